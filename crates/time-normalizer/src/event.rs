//! What happened to a timeline, for the log and for the counters.

use std::{fmt, time::Duration};

use crate::TrackIndex;

/// A signed length of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Shift(i64);

impl Shift {
    /// So many nanoseconds forwards; negative for backwards.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds forwards; negative for backwards.
    pub const fn nanos(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Shift {
    /// Seconds with their sign and three decimals: `+3600.000 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.unsigned_abs() / 1_000_000;
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign}{}.{:03} s", millis / 1_000, millis % 1_000)
    }
}

/// Something that an operator may want to know of, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TimeEvent {
    /// The constant of a track is another one from here on.
    Refitted {
        /// The track.
        track: TrackIndex,
        /// Why.
        cause: RefitCause,
        /// What the readers see: how far the next timestamp is from the last one.
        gap: Shift,
    },
    /// The host's wall clock was set; reports follow it at once.
    HostClockStepped {
        /// By how much.
        by: Shift,
    },
    /// Reports carry the backend's time from here on, rather than ours.
    BackendTime {
        /// How far its clock is ahead of ours.
        ahead: Shift,
    },
    /// Reports carry our time again: the backend's clock lost its time of day.
    OurTime,
    /// The backend's wall clock was set. Reports follow only where they carry its time.
    BackendClockStepped {
        /// By how much.
        by: Shift,
    },
    /// A track's reports have moved it against the others by so much that it was done at once.
    Realigned {
        /// The track.
        track: TrackIndex,
        /// By how much.
        by: Shift,
    },
    /// The first report of a session on this track that is wrong in this way.
    Lie {
        /// The track.
        track: TrackIndex,
        /// What is wrong.
        lie: Lie,
    },
    /// The backend sends media but no report that tells a time.
    NoReports {
        /// For how long.
        after: Duration,
    },
}

impl TimeEvent {
    /// The track it is about; `None` where it is about all of them.
    pub const fn track(&self) -> Option<TrackIndex> {
        match self {
            Self::Refitted { track, .. }
            | Self::Realigned { track, .. }
            | Self::Lie { track, .. } => Some(*track),
            _ => None,
        }
    }
}

impl fmt::Display for TimeEvent {
    /// What happened, without the track.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refitted { cause, gap, .. } => {
                write!(f, "{cause}, timestamps go on after {gap}")
            }
            Self::HostClockStepped { by } => {
                write!(f, "the host's clock was set by {by}, reports follow it")
            }
            Self::BackendTime { ahead } => {
                write!(f, "reports carry the backend's time from here on, {ahead} from ours")
            }
            Self::OurTime => f.write_str("reports carry our own time again"),
            Self::BackendClockStepped { by } => {
                write!(f, "the backend's clock was set by {by}")
            }
            Self::Realigned { by, .. } => {
                write!(f, "its reports move it by {by} against the other tracks")
            }
            Self::Lie { lie, .. } => lie.fmt(f),
            Self::NoReports { after } => {
                write!(f, "no sender report after {} s of media", after.as_secs())
            }
        }
    }
}

/// Why the constant of a track changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum RefitCause {
    /// A new backend session, or one that goes on after PAUSE.
    Session,
    /// Packets of another SSRC.
    Source,
    /// The sequence numbers began anew, and the timestamps with them.
    Sequence,
    /// More than three packets in a row departed too far from what was expected.
    Timestamps,
    /// The source fell behind and did not make it good.
    Behind,
    /// Packets came before their time, so those they were compared with had been late: here the
    /// expectation gave way, and timestamps went on as they were.
    Ahead,
}

impl fmt::Display for RefitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => "the backend plays anew",
            Self::Source => "another SSRC",
            Self::Sequence => "the sequence numbers began anew",
            Self::Timestamps => "the timestamps stepped",
            Self::Behind => "the source stood still",
            Self::Ahead => "the source is ahead of what was expected",
        })
    }
}

/// What is wrong with a sender report.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Lie {
    /// Its NTP time is zero: the source has no clock (RFC 3550, section 6.4.1). Not used.
    NoClock,
    /// Its clock counts from 1900. Used for the distance between tracks, not as a time of day.
    Year1900,
    /// Its clock counts from 1970. Used for the distance between tracks, not as a time of day.
    Year1970,
    /// It is not of the source that sends the packets. Not used.
    OtherSource,
    /// Its RTP timestamp, or the two times together, do not fit the stream. Not used.
    Pair,
    /// The NTP time stepped, the RTP time did not. Believed when further reports agree.
    ClockStep,
    /// Timestamps do not advance at the rate that the description names. Not used.
    ClockRate,
}

impl Lie {
    /// All of them, in the order of [`LieCounts`].
    pub const ALL: [Self; 7] = [
        Self::NoClock,
        Self::Year1900,
        Self::Year1970,
        Self::OtherSource,
        Self::Pair,
        Self::ClockStep,
        Self::ClockRate,
    ];
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoClock => "sender reports without a time",
            Self::Year1900 => "sender reports by a clock that counts from 1900",
            Self::Year1970 => "sender reports by a clock that counts from 1970",
            Self::OtherSource => "sender reports of an SSRC that sends no packets",
            Self::Pair => "sender reports that do not fit the packets",
            Self::ClockStep => "sender reports by a clock that steps",
            Self::ClockRate => "timestamps at another rate than the description names",
        })
    }
}

/// How many reports were wrong in which way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LieCounts([u64; Lie::ALL.len()]);

impl LieCounts {
    /// Reports that were wrong in this way.
    pub fn of(&self, lie: Lie) -> u64 {
        self.0.get(lie as usize).copied().unwrap_or(0)
    }

    /// Reports that were wrong in any way.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    pub(crate) fn count(&mut self, lie: Lie) {
        if let Some(count) = self.0.get_mut(lie as usize) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_shows_its_sign_and_milliseconds() {
        assert_eq!(Shift::from_nanos(3_600_000_000_000).to_string(), "+3600.000 s");
        assert_eq!(Shift::from_nanos(-40_400_000).to_string(), "-0.040 s");
    }

    #[test]
    fn each_kind_of_lie_has_its_own_count() {
        let mut counts = LieCounts::default();
        Lie::ALL.into_iter().for_each(|lie| counts.count(lie));
        assert!(Lie::ALL.into_iter().all(|lie| counts.of(lie) == 1));
        assert_eq!(counts.total(), 7);
    }
}
