//! What an audience has to tell: lag, what was done about it, and counters.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::ReaderKey;
use crate::batch::MAX_DATAGRAM_BYTES;

/// How far a reader is behind the end of the log.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Lag {
    /// Media bytes of its tracks that it has not taken, with what the kernel holds for it where
    /// the caller told so.
    pub bytes: u64,
    /// How long the oldest frame it has not taken has waited for it.
    pub age: Duration,
}

/// Something happened to a reader that an operator may want to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AudienceEvent {
    /// Video is withheld until the next key frame; everything else goes on.
    Shed {
        /// The reader.
        reader: ReaderKey,
        /// How far behind it was.
        behind: Lag,
    },
    /// The reader was moved forward to the newest key frame, or to live where there was none.
    Jumped {
        /// The reader.
        reader: ReaderKey,
        /// How far behind it was.
        behind: Lag,
        /// Media packets it will never get.
        dropped: u64,
        /// Whether its video goes on at once with a key frame; else it waits for the next one.
        to_key: bool,
    },
    /// Video goes on, with a key frame, after shedding or a jump.
    Recovered {
        /// The reader.
        reader: ReaderKey,
        /// Media packets withheld since the last `Shed` or `Jumped`, those of the jump excluded.
        dropped: u64,
    },
    /// The reader gets nothing more; the caller closes its connection and makes it leave.
    Cut {
        /// The reader.
        reader: ReaderKey,
        /// Why.
        reason: CutReason,
        /// How far behind it was.
        behind: Lag,
    },
    /// A reader that was to begin at once ([`Start::Instant`](crate::Start::Instant)) waits for
    /// the next key frame: what there is exceeds the limits, or the log holds none.
    NoBurst {
        /// The reader.
        reader: ReaderKey,
        /// What there was from the newest key frame of the track on, and its age; `None` if the
        /// log holds no key frame.
        unit: Option<Lag>,
    },
    /// A reader that was to begin at once ([`Start::Instant`](crate::Start::Instant)) waits for
    /// the next key frame: too many others wait for their first picture already.
    Busy {
        /// The reader.
        reader: ReaderKey,
    },
    /// A UDP socket group lost what became too old, for the readers not yet served.
    UdpDropped {
        /// The socket group.
        group: usize,
        /// Why.
        cause: DropCause,
        /// How long the socket had been full, or how late the oldest packet dropped was.
        behind: Duration,
        /// Datagrams not sent, over all readers.
        packets: u64,
    },
}

impl AudienceEvent {
    /// The reader it happened to; none where it happened to a socket group.
    pub fn reader(&self) -> Option<ReaderKey> {
        match *self {
            Self::Shed { reader, .. }
            | Self::Jumped { reader, .. }
            | Self::Recovered { reader, .. }
            | Self::Cut { reader, .. }
            | Self::NoBurst { reader, .. }
            | Self::Busy { reader } => Some(reader),
            Self::UdpDropped { .. } => None,
        }
    }

    /// Packets that readers will never get because of it.
    pub fn dropped(&self) -> u64 {
        match *self {
            Self::Jumped { dropped, .. } | Self::Recovered { dropped, .. } => dropped,
            Self::UdpDropped { packets, .. } => packets,
            _ => 0,
        }
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s and {} KiB behind", self.age.as_secs_f64(), self.bytes / 1024)
    }
}

impl fmt::Display for AudienceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shed { behind, .. } => {
                write!(f, "{behind}: video withheld until the next key frame")
            }
            Self::Jumped { behind, dropped, to_key: true, .. } => {
                write!(f, "{behind}: moved to the newest key frame, {dropped} packets dropped")
            }
            Self::Jumped { behind, dropped, to_key: false, .. } => {
                write!(
                    f,
                    "{behind}: moved to live, {dropped} packets dropped; video waits for a key frame"
                )
            }
            Self::Recovered { dropped, .. } => {
                write!(f, "video goes on with a key frame, {dropped} packets were withheld")
            }
            Self::Cut { reason: CutReason::Stalled, behind, .. } => {
                write!(f, "{behind}: it took nothing for too long")
            }
            Self::Cut { reason: CutReason::JumpTooLong(numbers), behind, .. } => write!(
                f,
                "{behind}: going on would skip {numbers} sequence numbers, more than players recover from"
            ),
            Self::NoBurst { unit: Some(unit), .. } => {
                write!(f, "the key frame is {unit}: waits for the next one")
            }
            Self::NoBurst { unit: None, .. } => f.write_str("waits for a key frame, there is none"),
            Self::Busy { .. } => {
                f.write_str("too many begin at once: waits for the next key frame")
            }
            Self::UdpDropped { cause, behind, packets, .. } => {
                let seconds = behind.as_secs_f64();
                match cause {
                    DropCause::SocketFull => {
                        write!(f, "the UDP socket was full for {seconds:.1} s")
                    }
                    DropCause::Late => {
                        write!(f, "the proxy was short of CPU and {seconds:.1} s late")
                    }
                    DropCause::LogFull => {
                        write!(f, "the log is full, and readers over UDP are {seconds:.1} s behind")
                    }
                    DropCause::TooLarge => {
                        return write!(
                            f,
                            "no datagram holds more than {MAX_DATAGRAM_BYTES} bytes: larger packets \
                             are dropped, as all such will be; readers over TCP get them"
                        );
                    }
                }?;
                write!(f, ": {packets} datagrams dropped")
            }
        }
    }
}

/// Why readers over UDP lost something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DropCause {
    /// The socket was full for longer than
    /// [`FanOutLimits::udp_max_age`](crate::FanOutLimits::udp_max_age).
    SocketFull,
    /// The caller was later than [`FanOutLimits::lag_max_age`](crate::FanOutLimits::lag_max_age)
    /// although the socket was not full.
    Late,
    /// The log exceeded its bounds.
    LogFull,
    /// Packets are larger than a datagram can be; told once.
    TooLarge,
}

/// Why a reader was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CutReason {
    /// It took no byte for [`FanOutLimits::stall`](crate::FanOutLimits::stall).
    Stalled,
    /// Going on would have meant a jump of this many sequence numbers, more than
    /// [`FanOutLimits::max_jump`](crate::FanOutLimits::max_jump).
    JumpTooLong(u64),
}

/// One reader's counters since it joined.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReaderStats {
    /// RTP and RTCP packets given to its socket.
    pub packets: u64,
    /// Their bytes, without interleaving headers.
    pub octets: u64,
    /// Media packets that were dropped for it.
    pub dropped: u64,
    /// Times it jumped.
    pub jumps: u64,
    /// Times it shed video.
    pub sheds: u64,
    /// Datagrams its destination refused.
    pub send_errors: u64,
}

/// The events not yet fetched.
///
/// `Cut` comes at most once per reader and is always kept; of the rest at most `EVENTS_KEPT` wait.
#[derive(Debug, Default)]
pub(crate) struct Events {
    queue: VecDeque<AudienceEvent>,
    /// Whether it was told that packets are too large for datagrams.
    told_too_large: bool,
}

/// Events other than `Cut` kept for a caller that does not fetch them.
const EVENTS_KEPT: usize = 4096;

impl Events {
    pub(crate) fn push(&mut self, event: AudienceEvent) {
        if let AudienceEvent::UdpDropped { group, cause, behind, packets } = event
            && let Some(AudienceEvent::UdpDropped {
                group: last,
                cause: before,
                behind: oldest,
                packets: sum,
            }) = self.queue.back_mut()
            && (*last, *before) == (group, cause)
        {
            *oldest = behind.max(*oldest);
            *sum += packets;
            return;
        }
        // Who sends one sends more: these are counted.
        if let AudienceEvent::UdpDropped { cause: DropCause::TooLarge, .. } = event
            && std::mem::replace(&mut self.told_too_large, true)
        {
            return;
        }
        if self.queue.len() < EVENTS_KEPT || matches!(event, AudienceEvent::Cut { .. }) {
            self.queue.push_back(event);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<AudienceEvent> {
        self.queue.pop_front()
    }

    /// Forgets what concerns a reader that has left.
    pub(crate) fn forget(&mut self, key: ReaderKey) {
        if self.queue.is_empty() {
            return;
        }
        self.queue.retain(|event| event.reader() != Some(key));
    }
}
