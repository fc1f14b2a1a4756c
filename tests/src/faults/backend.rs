//! The test camera as a process of its own, to be killed, stopped and started again.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::process::Process;
use crate::{programs, wait};

/// How long a camera may take to listen.
const START: Duration = Duration::from_secs(10);

/// Where a camera is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its address.
    pub(crate) ip: IpAddr,
    /// Its port.
    pub(crate) port: u16,
    /// The network namespace, if not this one.
    pub(crate) namespace: Option<String>,
}

impl Place {
    /// On this port of loopback.
    pub(crate) fn local(port: u16) -> Self {
        Self { ip: Ipv4Addr::LOCALHOST.into(), port, namespace: None }
    }

    /// The URL of the camera's stream.
    pub(crate) fn url(&self) -> String {
        format!("rtsp://{}:{}/cam", self.ip, self.port)
    }
}

/// A running camera.
#[derive(Debug)]
pub struct CameraProcess {
    process: Process,
    /// When it was found to listen.
    since: Instant,
}

impl CameraProcess {
    /// Starts a camera on a port of loopback, which may be 0.
    ///
    /// # Panics
    /// If it does not listen in time.
    #[must_use]
    pub fn start_on(port: u16, arguments: &[&str]) -> Self {
        Self::start(&Place::local(port), arguments)
    }

    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Self {
        let program = programs::test_camera();
        let mut command = match &place.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(["--bind", &place.ip.to_string(), "--port", &place.port.to_string()]);
        let process = Process::start_told("test-camera", command.args(arguments));
        let url = process.stdout().wait_for(START, |line| line.starts_with("rtsp://"));
        let said = || process.stderr().all().join("\n");
        assert!(url.is_some(), "the camera does not start:\n{}", said());
        Self { process, since: wait::now() }
    }

    /// The URL of a stream, from 0.
    #[must_use]
    pub fn url(&self, stream: usize) -> String {
        // They are printed one after the other, beginning with that of `cam`.
        let first = self.process.stdout().all().into_iter().next().unwrap_or_default();
        if stream == 0 { first } else { format!("{first}{stream}") }
    }

    /// When it was found to listen.
    #[must_use]
    pub fn since(&self) -> Instant {
        self.since
    }

    /// Has it do something wrong, or right again: a line as [`test_camera::Fault`] reads it.
    pub fn tell(&mut self, fault: &str) {
        self.process.tell(fault);
    }

    /// Stops it where it stands.
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Its requests and answers, if it was started with `--log -`.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.process.stderr().all()
    }
}
