//! What a report says of the time of day.

use rtp_rtcp::{NtpTime, RtpTime};

use crate::{Lie, ntp::nanos_between};

/// The two times of a sender report (RFC 3550, section 6.4.1): they stand for the same instant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportPair {
    /// The time of day.
    pub ntp: NtpTime,
    /// The same instant in the track's outgoing timestamps.
    pub rtp: RtpTime,
}

/// What became of a backend's sender report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// It is the track's first of this source, and has set its times.
    First,
    /// It fits what is known.
    Fits,
    /// It is the track's last one once more, and says nothing new.
    Again,
    /// It came before the first packet, and is looked at when that comes.
    Early,
    /// It is wrong, and has moved nothing; or only its time of day is wrong, and it was of use
    /// otherwise ([`Lie::Year1900`], [`Lie::Year1970`]).
    Lie(Lie),
}

/// What is wrong with an NTP time as a time of day, if anything.
pub(crate) fn doubt_time_of_day(ntp: NtpTime, ours: NtpTime) -> Option<Lie> {
    let seconds = ntp.bits() >> 32;
    if seconds < A_DECADE {
        // The seconds wrap in 2036: from then on a low count is a time of day, as our clock shows.
        let is_near = nanos_between(ours, ntp).unsigned_abs() < A_YEAR * 1_000_000_000;
        return (!is_near).then_some(Lie::Year1900);
    }
    let since_1970 = seconds.checked_sub(SECONDS_TO_1970);
    since_1970.is_some_and(|seconds| seconds < A_DECADE).then_some(Lie::Year1970)
}

const A_YEAR: u64 = 365 * 24 * 3_600;
const A_DECADE: u64 = 10 * A_YEAR;
const SECONDS_TO_1970: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ntp(seconds: u64) -> NtpTime {
        NtpTime::from_bits(seconds << 32)
    }

    #[test]
    fn clocks_that_were_never_set_are_told_from_those_that_were() {
        let ours = NtpTime::from_unix(Duration::from_secs(1_800_000_000));
        assert_eq!(doubt_time_of_day(ntp(3_600), ours), Some(Lie::Year1900));
        assert_eq!(doubt_time_of_day(ntp(SECONDS_TO_1970 + 60), ours), Some(Lie::Year1970));
        assert_eq!(doubt_time_of_day(ours, ours), None);
        let booted = NtpTime::from_unix(Duration::from_secs(60));
        assert_eq!(doubt_time_of_day(ours, booted), None);
    }

    #[test]
    fn after_the_wrap_of_2036_low_counts_are_times_of_day() {
        assert_eq!(doubt_time_of_day(ntp(1_000), ntp(2_000)), None);
        assert_eq!(
            doubt_time_of_day(ntp(1_000), ntp(0).plus(Duration::from_secs(2 * A_YEAR))),
            Some(Lie::Year1900)
        );
    }
}
