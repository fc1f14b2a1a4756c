//! A session: where its tracks go, and how far each has come.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::fault::Track;
use crate::link::Link;
use crate::media::ParameterSet;

/// A session (RFC 2326, section 3), shared by its connection's thread and the pacer.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) stream: usize,
    pub(crate) link: Arc<Link>,
    pub(crate) state: Mutex<State>,
    /// The last sign of life, in milliseconds after the camera's start.
    last_seen: AtomicU64,
}

/// The part of a session that changes.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) playing: bool,
    /// When its content began. Set by the first PLAY.
    pub(crate) zero: Option<Zero>,
    pub(crate) outlets: Vec<Outlet>,
}

impl State {
    pub(crate) fn outlet_mut(&mut self, track: Track) -> Option<&mut Outlet> {
        self.outlets.iter_mut().find(|outlet| outlet.track == track)
    }
}

/// The relation between content time and the clock: content time is the time since `at`, plus
/// `ahead`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Zero {
    pub(crate) at: Instant,
    pub(crate) ahead: Duration,
}

impl Zero {
    pub(crate) fn content_time(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at) + self.ahead
    }

    /// When the content of that time is due.
    pub(crate) fn due(&self, content_time: Duration) -> Instant {
        self.at + content_time.saturating_sub(self.ahead)
    }
}

/// One track's way out.
#[derive(Debug)]
pub(crate) struct Outlet {
    pub(crate) track: Track,
    pub(crate) destination: Destination,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp_base: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
    /// The next unit and the next packet of it.
    pub(crate) unit: u64,
    pub(crate) packet: usize,
    pub(crate) set: ParameterSet,
    /// When the line is free again, with `Pace::Line`.
    pub(crate) line_free: Option<Instant>,
    /// RTP packets so far, by which faults are counted.
    pub(crate) count: u64,
    /// A packet that changes places with the next.
    pub(crate) held: Option<Vec<u8>>,
    /// A BYE was sent.
    pub(crate) ended: bool,
}

/// Where a track's packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    Udp { address: IpAddr, rtp: u16, rtcp: u16 },
    Interleaved { rtp: u8, rtcp: u8 },
}

impl Destination {
    pub(crate) fn rtcp_address(&self) -> Option<SocketAddr> {
        match *self {
            Self::Udp { address, rtcp, .. } => Some(SocketAddr::new(address, rtcp)),
            Self::Interleaved { .. } => None,
        }
    }
}

impl Session {
    pub(crate) fn new(name: String, stream: usize, link: Arc<Link>, elapsed: Duration) -> Self {
        let session =
            Self { name, stream, link, state: Mutex::default(), last_seen: AtomicU64::new(0) };
        session.touch(elapsed);
        session
    }

    /// Notes a sign of life at this time after the camera's start.
    pub(crate) fn touch(&self, elapsed: Duration) {
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        self.last_seen.store(millis, Ordering::Relaxed);
    }

    /// How long there was no sign of life.
    pub(crate) fn idle(&self, elapsed: Duration) -> Duration {
        elapsed.saturating_sub(Duration::from_millis(self.last_seen.load(Ordering::Relaxed)))
    }
}
