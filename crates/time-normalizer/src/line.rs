//! What is expected of a track within the next second, for one multiplication per packet.

use rtp_rtcp::{ClockRate, RtpTime};

use crate::fit::NANOS;

/// The expected timestamp as a straight line, good for a short time and until something changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    from: i64,
    /// Zero for a line that is good for nothing.
    length: u64,
    start: RtpTime,
    /// Parts of a tick that the start leaves out, in units of 2^-60 ticks.
    parts: u64,
    /// Ticks per nanosecond, in units of 2^-60.
    slope: u64,
}

impl Line {
    pub(crate) const NONE: Self =
        Self { from: 0, length: 0, start: RtpTime(0), parts: 0, slope: 0 };

    /// From `start`, `behind` nanoseconds before the instant `from`, on; `covered` nanoseconds of
    /// the track's time pass within `length`.
    pub(crate) fn new(
        rate: ClockRate,
        from: i64,
        length: i64,
        start: RtpTime,
        behind: i64,
        covered: i64,
    ) -> Self {
        let per_nano = (u128::from(rate.hz()) << SHIFT) / NANOS as u128;
        let slope = per_nano * covered.max(0).unsigned_abs() as u128 / length.max(1) as u128;
        let parts = (per_nano * behind.max(0).unsigned_abs() as u128).min(1 << SHIFT);
        let length = length.max(0).unsigned_abs();
        Self { from, length, start, parts: parts as u64, slope: slope as u64 }
    }

    /// The expected timestamp, if the line still says it.
    #[inline]
    pub(crate) const fn at(&self, now: i64) -> Option<RtpTime> {
        let passed = now.wrapping_sub(self.from) as u64;
        if passed >= self.length {
            return None;
        }
        let ticks = (self.slope as u128 * passed as u128 + self.parts as u128) >> SHIFT;
        Some(self.start.plus(ticks as u32))
    }
}

/// A slope of 2^32 ticks per second still fits 64 bits.
const SHIFT: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_within_a_tick_for_as_long_as_it_is_good() {
        let rate = ClockRate::VIDEO;
        let line = Line::new(rate, 5, NANOS, RtpTime(100), 3_000, NANOS + 300_000);
        for now in (5..NANOS + 5).step_by(9_999_991) {
            let exact = 100.0 + (now - 5 + 3_000) as f64 * 1.0003 * 9e-5;
            let told = line.at(now).map(|time| f64::from(time.0)).unwrap();
            assert!((exact - told - 0.5).abs() < 1.0, "{told} for {exact}");
        }
        assert_eq!((line.at(4), line.at(NANOS + 5)), (None, None));
    }

    #[test]
    fn no_line_says_nothing() {
        assert_eq!(Line::NONE.at(0), None);
    }

    #[test]
    fn the_fastest_clock_does_not_overflow() {
        let rate = ClockRate::new(u32::MAX).unwrap();
        let line = Line::new(rate, 0, NANOS, RtpTime(0), 0, NANOS);
        let told = line.at(NANOS / 2).unwrap();
        assert!(told.ahead_of(RtpTime(u32::MAX / 2)).abs() <= 1, "{told:?}");
    }
}
