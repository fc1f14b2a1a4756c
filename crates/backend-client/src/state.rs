use std::sync::Arc;
use std::time::Instant;

use rtsp_proto::StatusCode;

use crate::Phase;
use crate::backoff::Retry;
use crate::description::Description;
use crate::session::Session;

/// Where a client stands.
///
/// ```text
///                 due, or a reader asks
///          +------------------------------------------------------------+
///          v                                                            |
///  new  Describing ---- refused, no answer, no connection ---------> Waiting
///          | ^  \                                                       ^
///     SDP  | |   '-- redirect: Describing elsewhere                     |
///          v | closed while idle, and then: demand, or keep-alive due   |
///       Described <----------------------------------------.            |
///          | demand                                        |            |
///          v                                               |            |
///       SettingUp --- refused UDP, or the demand gone ---. |            |
///          | every track answered                        | |            |
///          v                                             v |            |
///        Ready --- PAUSE not obeyed ----------------> Leaving --------->|
///   demand | ^                                         ^ ^ (TEARDOWN)   |
///          v | PAUSE answered                          | |              |
///      Starting | Pausing --- PAUSE refused -----------' |              |
///          |    |     ^                                  |              |
///   PLAY   v    |     | no demand                        |              |
/// answered Playing ---' --- no packets by UDP, PAUSE ----'              |
///          | ^              not offered                                 |
///          v | every track wanted since is answered: Starting           |
///        Adding --- SETUP in mid-play refused: Leaving                  |
///  SettingUp .. Pausing --- refused, no answer, BYE, silence: Leaving --'
///  SettingUp .. Pausing --- connection closed: Waiting (Described if nobody wants media)
///  any --- shutdown: Leaving if there is a session, then Finished
/// ```
///
/// Every state but `Finished` has a request under way, a timer, or a question to the shell that has
/// a timer.
#[derive(Debug)]
pub(crate) enum State {
    /// Nothing is open.
    Waiting(Retry),
    /// The connection is being opened, or DESCRIBE is under way.
    Describing,
    /// No session at the backend; the keep-alive is armed. The connection may be closed.
    Described(Arc<Description>),
    /// Tracks are set up one after the other; the connection is open from here to `Leaving`.
    SettingUp(Box<Session>, Step),
    /// All are set up; the keep-alive is armed.
    Ready(Box<Session>, Rest),
    /// PLAY is under way.
    Starting(Box<Session>),
    /// The keep-alive is armed, silence is watched.
    Playing(Box<Session>, Play),
    /// The same while tracks that are wanted since are set up.
    Adding(Box<Session>, Play, Step),
    /// PAUSE is under way.
    Pausing(Box<Session>),
    /// TEARDOWN is under way.
    Leaving(After),
    /// Nothing will happen any more.
    Finished,
}

/// What is under way for the next track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its place among the description's offers.
    pub(crate) next: usize,
    pub(crate) doing: Doing,
    /// How the latest of those before it was refused, if one was.
    pub(crate) refused: Option<StatusCode>,
}

impl Step {
    pub(crate) const FIRST: Self = Self { next: 0, doing: Doing::Turn, refused: None };

    /// On to the next track.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        self.doing = Doing::Turn;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    /// It is its turn.
    Turn,
    /// The shell binds ports for it, by then.
    Binding { until: Instant },
    /// It was granted, and the shell joins its group, by then.
    Joining { until: Instant },
    /// Its SETUP is under way, over UDP or else interleaved on these channels.
    Asking(Asked),
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Udp,
    Multicast,
    Interleaved { rtp: u8, rtcp: u8 },
}

/// Why nothing plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It never did.
    Fresh,
    /// PAUSE was granted.
    Paused {
        at: Instant,
        /// Packets that came long after.
        strays: u32,
    },
}

/// What is watched while playing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Play {
    /// When PLAY was answered.
    pub(crate) since: Instant,
    /// By when UDP must have brought something.
    pub(crate) prove_by: Option<Instant>,
}

/// What follows TEARDOWN.
#[derive(Debug)]
pub(crate) enum After {
    /// The connection is closed, the next attempt waits.
    Wait(Retry),
    /// The connection is closed, and another opened to where the backend sent us.
    Describe,
    /// The connection stays; the session is set up anew when there is demand.
    SetUpAgain(Arc<Description>),
    /// The connection is closed, and that was all.
    Finish,
}

impl State {
    pub(crate) fn phase(&self) -> Phase {
        match self {
            Self::Waiting(_) => Phase::Waiting,
            Self::Describing => Phase::Describing,
            Self::Described(_) => Phase::Described,
            Self::SettingUp(..) => Phase::SettingUp,
            Self::Ready(..) => Phase::Ready,
            Self::Starting(_) => Phase::Starting,
            Self::Playing(..) | Self::Adding(..) => Phase::Playing,
            Self::Pausing(_) => Phase::Pausing,
            Self::Leaving(_) => Phase::Leaving,
            Self::Finished => Phase::Finished,
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        match self {
            Self::SettingUp(session, _)
            | Self::Ready(session, _)
            | Self::Starting(session)
            | Self::Playing(session, _)
            | Self::Adding(session, ..)
            | Self::Pausing(session) => Some(session),
            _ => None,
        }
    }

    pub(crate) fn session_mut(&mut self) -> Option<&mut Session> {
        match self {
            Self::SettingUp(session, _)
            | Self::Ready(session, _)
            | Self::Starting(session)
            | Self::Playing(session, _)
            | Self::Adding(session, ..)
            | Self::Pausing(session) => Some(session),
            _ => None,
        }
    }

    /// Which track is being set up.
    pub(crate) fn step(&self) -> Option<(&Session, Step)> {
        match self {
            Self::SettingUp(session, step) | Self::Adding(session, _, step) => {
                Some((session, *step))
            }
            _ => None,
        }
    }

    pub(crate) fn step_mut(&mut self) -> Option<(&mut Session, &mut Step)> {
        match self {
            Self::SettingUp(session, step) | Self::Adding(session, _, step) => {
                Some((session, step))
            }
            _ => None,
        }
    }

    /// What plays, and since when.
    pub(crate) fn playing(&self) -> Option<(&Session, &Play)> {
        match self {
            Self::Playing(session, play) | Self::Adding(session, play, _) => Some((session, play)),
            _ => None,
        }
    }

    pub(crate) fn play_mut(&mut self) -> Option<&mut Play> {
        match self {
            Self::Playing(_, play) | Self::Adding(_, play, _) => Some(play),
            _ => None,
        }
    }

    /// Takes the session out; what is left is `Finished`, for the caller to replace.
    pub(crate) fn take_session(&mut self) -> Option<Box<Session>> {
        self.session()?;
        match std::mem::replace(self, Self::Finished) {
            Self::SettingUp(session, _)
            | Self::Ready(session, _)
            | Self::Starting(session)
            | Self::Playing(session, _)
            | Self::Adding(session, ..)
            | Self::Pausing(session) => Some(session),
            _ => None,
        }
    }
}
