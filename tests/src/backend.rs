//! gst-rtsp-server as a backend.

use std::time::Duration;

use crate::media::Clip;
use crate::process::Process;
use crate::programs;

/// A running gst-rtsp-server.
#[derive(Debug)]
pub struct GstServer {
    /// The process.
    pub process: Process,
    port: u16,
}

impl GstServer {
    /// Serves clips under their names, each connection from the beginning.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start(clips: &[Clip]) -> Self {
        Self::start_on(0, clips)
    }

    /// The same on this port.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start_on(port: u16, clips: &[Clip]) -> Self {
        Self::start_with(port, &[], clips)
    }

    /// The same with these further options, which `media/gst_server.py` explains.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start_with(port: u16, options: &[&str], clips: &[Clip]) -> Self {
        let mut command = programs::python("gst_server.py");
        command.args(options).arg(port.to_string());
        for clip in clips {
            command.arg(format!("{}={}", clip.name, clip.launch_line()));
        }
        let process = Process::start("gst-rtsp-server", &mut command);
        let line = process.stdout().wait_for(Duration::from_secs(20), |l| l.starts_with("port "));
        let port = line.as_deref().and_then(|l| l.strip_prefix("port ")?.parse().ok());
        let Some(port) = port else {
            panic!("gst-rtsp-server does not start:\n{}", process.stderr().all().join("\n"))
        };
        Self { process, port }
    }

    /// The port that it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of a clip.
    #[must_use]
    pub fn url(&self, clip: Clip) -> String {
        format!("rtsp://127.0.0.1:{}/{}", self.port, clip.name)
    }
}
