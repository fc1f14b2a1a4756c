//! The camera as its user sees it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::fault::Fault;
use crate::log::LogEntry;
use crate::options::CameraOptions;

/// A running camera. It stops when dropped.
#[derive(Debug)]
pub struct Camera {
    addr: SocketAddr,
}

impl Camera {
    /// Starts a camera: when this returns, it accepts connections.
    pub fn start(options: CameraOptions) -> anyhow::Result<Self> {
        Ok(Self { addr: options.bind })
    }

    /// As [`Camera::start`], and `hook` is called with every log entry as it happens. It must
    /// neither block for long nor call the camera.
    pub fn start_with_log(
        options: CameraOptions,
        hook: impl Fn(&LogEntry) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        drop(hook);
        Self::start(options)
    }

    /// The URL of a stream, from 0, without credentials. A camera bound to all addresses names
    /// the loopback address.
    pub fn url(&self, stream: usize) -> String {
        let _ = stream;
        todo!()
    }

    /// The port of RTSP.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The address RTSP is served on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Does something wrong from now on, or right again.
    pub fn fault(&self, fault: Fault) {
        let _ = fault;
        todo!()
    }

    /// Everything that happened so far, oldest first.
    pub fn log(&self) -> Vec<LogEntry> {
        todo!()
    }

    /// Waits until the log satisfies `wanted`; false when it does not do so within `timeout`.
    pub fn wait_for(&self, wanted: impl FnMut(&[LogEntry]) -> bool, timeout: Duration) -> bool {
        let _ = (wanted, timeout);
        todo!()
    }

    /// How many sessions of a stream play.
    pub fn playing(&self, stream: usize) -> usize {
        let _ = stream;
        todo!()
    }

    /// How many sessions of a stream exist, playing or not.
    pub fn sessions(&self, stream: usize) -> usize {
        let _ = stream;
        todo!()
    }

    /// The true wall clock time at which the camera started: the zero of the log.
    pub fn started(&self) -> SystemTime {
        todo!()
    }

    /// The true wall clock time of a stream's first frame: frame n is due n frame intervals later.
    /// (With [`Start::Beginning`](crate::Start::Beginning) each session has its own instead.)
    pub fn content_epoch(&self, stream: usize) -> SystemTime {
        let _ = stream;
        todo!()
    }

    /// Stops: connections are closed without a word and all threads end.
    pub fn stop(self) {}
}
