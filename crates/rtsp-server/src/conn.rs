//! One connection: whose turn it is, and what waits for it.

use core::net::SocketAddr;
use std::time::Instant;

use rtsp_proto::transport::Profile;
use rtsp_proto::{Decoder, Request, StatusCode};
use smallvec::SmallVec;

use crate::api::CloseReason;
use crate::ids::{AskId, SessionId};
use crate::options::ServerOptions;
use crate::ports::Host;
use crate::reply::Reply;
use crate::session::SessionTrack;
use crate::timers::later;

#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) decoder: Decoder,
    pub(crate) turn: Turn,
    /// The one message taken while it was not the reader's turn.
    pub(crate) parked: Option<Parked>,
    /// [`Intake::Held`](crate::Intake::Held) was said: a [`Output::Resume`](crate::Output::Resume)
    /// is owed.
    pub(crate) held: bool,
    /// Sessions made or taken up here.
    pub(crate) sessions: SmallVec<[SessionId; 2]>,
    pub(crate) failures: u32,
    /// Whether a whole request has ever come.
    pub(crate) spoke: bool,
    /// Since when nothing has been asked and no session been held; at first, since the beginning.
    pub(crate) quiet_since: Instant,
}

/// Who has to act. Requests are answered strictly in order, so while it is not the reader's turn
/// nothing of it is looked at but interleaved frames.
#[derive(Debug)]
pub(crate) enum Turn {
    /// The reader's.
    Reader,
    /// The shell's: it was asked something.
    Shell(Pending),
    /// Nobody's: an answer is being kept back.
    Delayed { until: Instant, cseq: Option<u32>, reply: Reply, close: Option<CloseReason> },
}

/// A question that is outstanding.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: AskId,
    pub(crate) cseq: u32,
    pub(crate) deadline: Instant,
    pub(crate) what: What,
}

/// What the answer will be put into.
#[derive(Debug)]
pub(crate) enum What {
    Describe { base: Option<String> },
    Setup { session: SessionId, track: SessionTrack, profile: Profile },
    Play { session: SessionId, scale: bool, speed: bool },
    Pause { session: SessionId },
}

impl What {
    pub(crate) fn session(&self) -> Option<SessionId> {
        match *self {
            Self::Describe { .. } => None,
            Self::Setup { session, .. } | Self::Play { session, .. } | Self::Pause { session } => {
                Some(session)
            }
        }
    }
}

#[derive(Debug)]
pub(crate) enum Parked {
    Request(Request),
    Broken { status: StatusCode, why: String },
}

impl Conn {
    pub(crate) fn host(&self) -> Host {
        Host::of(self.peer)
    }

    pub(crate) fn is_readers_turn(&self) -> bool {
        matches!(self.turn, Turn::Reader)
    }

    /// When something has to be done about this connection if nothing happens.
    pub(crate) fn deadline(&self, options: &ServerOptions) -> Option<Instant> {
        match &self.turn {
            Turn::Shell(pending) => Some(pending.deadline),
            Turn::Delayed { until, .. } => Some(*until),
            Turn::Reader if !self.spoke => Some(later(self.quiet_since, options.first_request)),
            Turn::Reader if self.sessions.is_empty() => {
                Some(later(self.quiet_since, options.idle_connection))
            }
            Turn::Reader => None,
        }
    }
}
