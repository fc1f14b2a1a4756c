//! What happened at the camera, for tests to read and to wait for.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};

use crate::clock::{self, Epoch};
use crate::fault::{Fault, Method};

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct LogEntry {
    /// When, counted from the camera's start.
    pub at: Duration,
    /// The connection concerned, counted from 1; 0 for what concerns no connection.
    pub connection: u64,
    /// What.
    pub event: LogEvent,
}

impl LogEntry {
    /// The request, if this is one.
    pub fn request(&self) -> Option<&LoggedRequest> {
        match &self.event {
            LogEvent::Request(request) => Some(request),
            _ => None,
        }
    }

    /// Whether this is a request of that method.
    pub fn is_request(&self, method: Method) -> bool {
        self.request().is_some_and(|request| request.method == method.name())
    }
}

/// What can happen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum LogEvent {
    /// A connection was accepted.
    Opened {
        /// The other end.
        peer: SocketAddr,
    },
    /// A request was received.
    Request(LoggedRequest),
    /// A request was answered.
    Answer {
        /// The request's method.
        method: String,
        /// The request's number.
        cseq: Option<u32>,
        /// The status code.
        status: u16,
    },
    /// A session's RTCP packet was received.
    Rtcp {
        /// The stream.
        stream: usize,
        /// The session.
        session: String,
        /// The packet types in the compound packet, in order (200 SR, 201 RR, 202 SDES, 203 BYE,
        /// 205 and 206 feedback).
        types: Vec<u8>,
    },
    /// A session ended because there was no sign of life for its timeout.
    Expired {
        /// The session.
        session: String,
    },
    /// A connection was closed.
    Closed {
        /// Why, in words.
        reason: String,
    },
    /// A fault was commanded.
    Fault(Fault),
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// The method as written.
    pub method: String,
    /// The request URI as written.
    pub uri: String,
    /// The number of the stream that the URI names.
    pub stream: Option<usize>,
    /// `CSeq`.
    pub cseq: Option<u32>,
    /// `Session`, without parameters.
    pub session: Option<String>,
    /// `Transport`, as written.
    pub transport: Option<String>,
    /// The scheme in `Authorization` (what follows it is not kept).
    pub authorization: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10.3}  #{:<4} ", self.at.as_secs_f64(), self.connection)?;
        match &self.event {
            LogEvent::Opened { peer } => write!(f, "opened by {peer}"),
            LogEvent::Request(request) => {
                write!(f, "{} {}", request.method, request.uri)?;
                if let Some(cseq) = request.cseq {
                    write!(f, " cseq={cseq}")?;
                }
                for (name, value) in [
                    ("session", &request.session),
                    ("transport", &request.transport),
                    ("authorization", &request.authorization),
                ] {
                    if let Some(value) = value {
                        write!(f, " {name}={value}")?;
                    }
                }
                Ok(())
            }
            LogEvent::Answer { method, status, .. } => write!(f, "answered {status} to {method}"),
            LogEvent::Rtcp { stream, session, types } => {
                write!(f, "rtcp {types:?} stream={stream} session={session}")
            }
            LogEvent::Expired { session } => write!(f, "expired session={session}"),
            LogEvent::Closed { reason } => write!(f, "closed: {reason}"),
            LogEvent::Fault(fault) => write!(f, "fault {fault:?}"),
        }
    }
}

/// The log, shared by all threads of a camera.
pub(crate) struct Log {
    epoch: Epoch,
    entries: Mutex<VecDeque<LogEntry>>,
    changed: Condvar,
    hook: Option<Hook>,
}

/// Called with every entry, in order.
pub(crate) type Hook = Box<dyn Fn(&LogEntry) + Send + Sync>;

impl Log {
    pub(crate) fn new(epoch: Epoch, hook: Option<Hook>) -> Self {
        Self { epoch, entries: Mutex::default(), changed: Condvar::new(), hook }
    }

    pub(crate) fn add(&self, connection: u64, event: LogEvent) {
        let mut entries = self.entries.lock();
        let entry = LogEntry { at: self.epoch.elapsed(), connection, event };
        if let Some(hook) = &self.hook {
            hook(&entry);
        }
        if entries.len() >= MAX_ENTRIES {
            entries.pop_front();
        }
        entries.push_back(entry);
        self.changed.notify_all();
    }

    pub(crate) fn entries(&self) -> Vec<LogEntry> {
        self.entries.lock().iter().cloned().collect()
    }

    pub(crate) fn wait_for(
        &self,
        mut wanted: impl FnMut(&[LogEntry]) -> bool,
        timeout: Duration,
    ) -> bool {
        let deadline = clock::now() + timeout;
        let mut entries = self.entries.lock();
        loop {
            if wanted(entries.make_contiguous()) {
                return true;
            }
            if self.changed.wait_until(&mut entries, deadline).timed_out() {
                return wanted(entries.make_contiguous());
            }
        }
    }

    /// The wall clock time of the log's zero.
    pub(crate) fn started(&self) -> SystemTime {
        self.epoch.wall
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("entries", &self.entries.lock().len()).finish_non_exhaustive()
    }
}

/// The oldest entries beyond this number are forgotten.
const MAX_ENTRIES: usize = 100_000;
