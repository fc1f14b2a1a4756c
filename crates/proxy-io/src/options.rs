//! What the shell can be told.

use std::net::IpAddr;

use fan_out::{FanOutLimits, Start};
use proxy_session::StreamOptions;
use rtsp_server::ServerOptions;

/// Everything a proxy is started with.
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    /// Addresses to listen on. Empty: every IPv4 and every IPv6 address of the host.
    pub bind: Vec<IpAddr>,
    /// The RTSP port; 0 lets the kernel choose one.
    pub rtsp_port: u16,
    /// The even port that UDP readers get their media from, the next one being for RTCP; 0 lets
    /// the kernel choose a pair.
    pub rtp_port: u16,
    /// Shards, each with a thread of its own. 0: one per core.
    pub workers: usize,
    /// Whether readers over TCP are served through io_uring where the kernel allows it. Default yes.
    pub io_uring: bool,
    /// How readers are treated.
    pub server: ServerOptions,
    /// Bytes of answers that may wait for a reader that does not read. Default 256 KiB.
    pub control_bytes: usize,
    /// Bytes that the logs of all streams together may hold. 0, the default: a quarter of the
    /// host's memory, or of what the control group leaves the process.
    pub log_budget: usize,
    /// Connections whose first request has not come yet. Default 5,000.
    pub pending_connections: usize,
    /// The streams.
    pub streams: Vec<StreamSetup>,
}

/// One stream to be proxied.
#[derive(Clone, Debug)]
pub struct StreamSetup {
    /// The name it is served under.
    pub name: String,
    /// Backend and relay.
    pub options: StreamOptions,
    /// Where readers begin who do not say.
    pub start: Start,
    /// Bounds of the stream's log and of lag, on each shard.
    pub fan_out: FanOutLimits,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            bind: Vec::new(),
            rtsp_port: 8554,
            rtp_port: 0,
            workers: 0,
            io_uring: true,
            server: ServerOptions::default(),
            control_bytes: FanOutLimits::default().control_bytes,
            log_budget: 0,
            pending_connections: 5_000,
            streams: Vec::new(),
        }
    }
}
