//! What the shell can be told.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use fan_out::{FanOutLimits, Start};
use proxy_session::StreamOptions;
use rtsp_server::ServerOptions;

use crate::reach::Reach;

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
    /// Streams beside these, which are opened when a reader asks for them. Default none.
    pub on_demand: OnDemand,
}

/// One stream to be proxied.
#[derive(Clone, Debug)]
pub struct StreamSetup {
    /// The name it is served under.
    pub name: String,
    /// Backend and relay.
    pub options: StreamOptions,
    /// How its backend is reached.
    pub reach: Reach,
    /// Where readers begin who do not say.
    pub start: Start,
    /// Bounds of the stream's log and of lag, on each shard.
    pub fan_out: FanOutLimits,
}

/// Streams that are opened when a reader asks for them, and closed when nobody has for a while.
#[derive(Clone, Default)]
pub struct OnDemand {
    find: Option<Arc<Find>>,
    max: usize,
}

type Find = dyn Fn(&str) -> Option<Opening> + Send + Sync;

/// A stream that is to be opened.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The stream, with the name that was asked for.
    pub setup: StreamSetup,
    /// How long it may have no reader before it is closed. Less than a second is as a second:
    /// between two of its requests a reader has no session yet.
    pub linger: Duration,
}

impl OnDemand {
    /// At most `max` streams at one time, which `find` knows by their names. It is asked on the
    /// shards' threads and must not take long.
    #[must_use]
    pub fn new(max: usize, find: impl Fn(&str) -> Option<Opening> + Send + Sync + 'static) -> Self {
        Self { find: Some(Arc::new(find)), max }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Opening> {
        self.find.as_ref()?(name)
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }
}

impl fmt::Debug for OnDemand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnDemand").field("max", &self.max).finish_non_exhaustive()
    }
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
            on_demand: OnDemand::default(),
        }
    }
}
