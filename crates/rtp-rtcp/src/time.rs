//! Clocks and the units they are read in.

use std::{
    fmt,
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// Both clocks, read once per wake-up by the shell.
///
/// Deadlines and distances are taken from `mono`; `wall` is only ever shown to others, because an
/// operator or an NTP daemon may set it to anything at any moment.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The monotonic clock.
    pub mono: Instant,
    /// The wall clock.
    pub wall: NtpTime,
}

impl Now {
    /// The same moment `elapsed` later on both clocks.
    ///
    /// `mono` stays where it is if the platform cannot express the sum.
    pub fn after(self, elapsed: Duration) -> Self {
        Self {
            mono: self.mono.checked_add(elapsed).unwrap_or(self.mono),
            wall: self.wall.plus(elapsed),
        }
    }
}

/// A wall-clock time as RTCP carries it: seconds since 1900 in 32.32 fixed point (RFC 3550,
/// section 4).
///
/// The seconds wrap in February 2036, so there is no `Ord`: [`NtpTime::since`] compares.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NtpTime(u64);

impl NtpTime {
    /// Takes the 64 bits of the wire format.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The 64 bits of the wire format.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The time `since_1970` after the Unix epoch, to the nearest 2^-32 s.
    pub const fn from_unix(since_1970: Duration) -> Self {
        Self((UNIX_EPOCH_SECONDS << 32).wrapping_add(to_fixed(since_1970)))
    }

    /// The time since the Unix epoch, to the nearest nanosecond.
    ///
    /// Seconds without their highest bit are read as 2036..2104, after the wrap (RFC 4330,
    /// section 3). `None` for zero, which senders without a clock report (RFC 3550, section
    /// 6.4.1), and for times before 1970. A sender that counts from its own start is therefore
    /// not recognised here: it seems to live in 2036.
    pub const fn to_unix(self) -> Option<Duration> {
        if self.0 == 0 {
            return None;
        }
        let seconds = self.0 >> 32;
        let era = if seconds & (1 << 31) == 0 { 1 << 32 } else { 0 };
        match (seconds + era).checked_sub(UNIX_EPOCH_SECONDS) {
            Some(seconds) => Some(from_fixed(seconds, self.0 as u32)),
            None => None,
        }
    }

    /// The middle 32 bits, as LSR carries them (RFC 3550, section 6.4.1).
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }

    /// The time `elapsed` later.
    #[must_use]
    pub const fn plus(self, elapsed: Duration) -> Self {
        Self(self.0.wrapping_add(to_fixed(elapsed)))
    }

    /// How long `earlier` lies back, across a wrap too; `None` if it lies ahead.
    ///
    /// Two times are taken to lie within 68 years of each other.
    pub const fn since(self, earlier: Self) -> Option<Duration> {
        let distance = self.0.wrapping_sub(earlier.0);
        if distance >> 63 == 1 {
            return None;
        }
        Some(from_fixed(distance >> 32, distance as u32))
    }
}

/// An RTP timestamp: a count of clock ticks that wraps, so there is no `Ord`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct RtpTime(pub u32);

impl RtpTime {
    /// How many ticks `self` is ahead of `other`; negative if behind.
    pub const fn ahead_of(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0) as i32
    }

    /// The timestamp `ticks` later.
    #[must_use]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
}

/// The frequency of an RTP clock, never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ClockRate(NonZeroU32);

impl ClockRate {
    /// 90 kHz, the clock of every video format.
    pub const VIDEO: Self = match Self::new(90_000) {
        Some(rate) => rate,
        None => unreachable!(),
    };

    /// A clock of `hz` ticks per second; `None` for zero.
    pub const fn new(hz: u32) -> Option<Self> {
        match NonZeroU32::new(hz) {
            Some(hz) => Some(Self(hz)),
            None => None,
        }
    }

    /// Ticks per second.
    pub const fn hz(self) -> u32 {
        self.0.get()
    }

    /// The whole ticks in `elapsed`, at most `u64::MAX`.
    pub const fn ticks(self, elapsed: Duration) -> u64 {
        let hz = self.hz() as u64;
        // Seconds and the rest apart: both products fit 64 bits for any real length of time.
        let rest = elapsed.subsec_nanos() as u64 * hz / NANOS;
        elapsed.as_secs().saturating_mul(hz).saturating_add(rest)
    }

    /// The low 32 bits of [`ClockRate::ticks`].
    #[inline]
    pub(crate) const fn low_ticks(self, elapsed: Duration) -> u32 {
        let seconds = (elapsed.as_secs() as u32).wrapping_mul(self.hz());
        let rest = elapsed.subsec_nanos() as u64 * self.hz() as u64 / NANOS;
        seconds.wrapping_add(rest as u32)
    }

    /// How long `ticks` take, rounded up to a nanosecond, so that [`ClockRate::ticks`] of the
    /// result is `ticks` again (clocks up to 1 GHz).
    pub const fn duration(self, ticks: u64) -> Duration {
        let hz = self.hz() as u64;
        let nanos = (ticks % hz * NANOS).div_ceil(hz);
        Duration::new(ticks / hz, 0).saturating_add(Duration::from_nanos(nanos))
    }
}

/// A synchronisation source (RFC 3550, section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ssrc(pub u32);

impl fmt::Display for Ssrc {
    /// Eight hexadecimal digits, as `ssrc=` of a Transport header has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}", self.0)
    }
}

/// Wraps with the seconds, as NTP time does.
const fn to_fixed(duration: Duration) -> u64 {
    let fraction = (((duration.subsec_nanos() as u64) << 32) + NANOS / 2) / NANOS;
    (duration.as_secs() << 32).wrapping_add(fraction)
}

const fn from_fixed(seconds: u64, fraction: u32) -> Duration {
    let nanos = (fraction as u64 * NANOS + (1 << 31)) >> 32;
    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos))
}

const NANOS: u64 = 1_000_000_000;

/// From 1900 to 1970.
const UNIX_EPOCH_SECONDS: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_unix_epoch_is_seventy_years_after_1900() {
        let ntp = NtpTime::from_unix(Duration::ZERO);
        assert_eq!(ntp.bits(), 2_208_988_800 << 32);
        assert_eq!(ntp.to_unix(), Some(Duration::ZERO));
    }

    #[test]
    fn half_a_second_is_the_highest_bit_of_the_fraction() {
        let ntp = NtpTime::from_unix(Duration::from_millis(1500));
        assert_eq!(ntp.bits() as u32, 1 << 31);
        assert_eq!(ntp.middle(), (2_208_988_801_u32 << 16) | 0x8000);
    }

    #[test]
    fn zero_and_1969_are_no_unix_times() {
        assert_eq!(NtpTime::from_bits(0).to_unix(), None);
        assert_eq!(NtpTime::from_bits((UNIX_EPOCH_SECONDS - 1) << 32).to_unix(), None);
    }

    #[test]
    fn time_goes_on_through_the_wrap_of_2036() {
        let before = NtpTime::from_unix(Duration::from_secs((1 << 32) - UNIX_EPOCH_SECONDS - 1));
        let after = before.plus(Duration::from_secs(2));
        assert_eq!(after.bits() >> 32, 1);
        assert_eq!(after.since(before), Some(Duration::from_secs(2)));
        assert_eq!(before.since(after), None);
        let (before, after) = (before.to_unix().unwrap(), after.to_unix().unwrap());
        assert_eq!(after - before, Duration::from_secs(2));
    }

    #[test]
    fn a_clock_rate_is_never_zero() {
        assert_eq!(ClockRate::new(0), None);
        assert_eq!(ClockRate::VIDEO.hz(), 90_000);
    }

    #[test]
    fn ticks_of_the_longest_duration_saturate() {
        assert_eq!(ClockRate::VIDEO.ticks(Duration::MAX), u64::MAX);
        let slowest = ClockRate::new(1).unwrap();
        assert_eq!(slowest.duration(u64::MAX), Duration::from_secs(u64::MAX));
    }

    #[test]
    fn an_ssrc_shows_as_eight_digits() {
        assert_eq!(Ssrc(0xbeef).to_string(), "0000BEEF");
    }

    proptest! {
        #[test]
        fn unix_times_survive_the_trip(secs in 0_u64..4_000_000_000, nanos in 0_u32..1_000_000_000) {
            let unix = Duration::new(secs, nanos);
            prop_assert_eq!(NtpTime::from_unix(unix).to_unix(), Some(unix));
        }

        #[test]
        fn plus_and_since_agree(bits: u64, secs in 0_u64..2_000_000_000, nanos in 0_u32..1_000_000_000) {
            let (start, elapsed) = (NtpTime::from_bits(bits), Duration::new(secs, nanos));
            prop_assert_eq!(start.plus(elapsed).since(start), Some(elapsed));
        }

        #[test]
        fn ticks_are_those_of_exact_arithmetic(hz in 1_u32.., secs in 0_u64..1 << 32, nanos in 0_u32..1_000_000_000) {
            let elapsed = Duration::new(secs, nanos);
            let exact = elapsed.as_nanos() * u128::from(hz) / 1_000_000_000;
            prop_assert_eq!(u128::from(ClockRate::new(hz).unwrap().ticks(elapsed)), exact);
        }

        #[test]
        fn ticks_survive_the_trip(hz in 1_u32..1_000_000_000, ticks: u64) {
            let rate = ClockRate::new(hz).unwrap();
            prop_assert_eq!(rate.ticks(rate.duration(ticks)), ticks);
        }

        #[test]
        fn timestamps_compare_as_big_integers_do(start: u32, step in -0x7fff_ffff_i64..=0x7fff_ffff) {
            let moved = RtpTime((i64::from(start) + step).rem_euclid(1 << 32) as u32);
            prop_assert_eq!(i64::from(moved.ahead_of(RtpTime(start))), step);
            prop_assert_eq!(RtpTime(start).plus(step as u32), moved);
        }
    }
}
