//! Signed distances between NTP times.

use rtp_rtcp::NtpTime;

/// How far `later` is ahead of `earlier` in nanoseconds; negative if it lies behind. The two are
/// taken to lie within 68 years of each other.
pub(crate) const fn nanos_between(earlier: NtpTime, later: NtpTime) -> i64 {
    let fixed = later.bits().wrapping_sub(earlier.bits()) as i64;
    ((fixed as i128 * NANOS) >> 32) as i64
}

/// The time `nanos` later, or earlier.
pub(crate) const fn moved(time: NtpTime, nanos: i64) -> NtpTime {
    let fixed = ((nanos as i128) << 32) / NANOS;
    NtpTime::from_bits(time.bits().wrapping_add(fixed as u64))
}

const NANOS: i128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_added_is_found_again(bits: u64, nanos in -2_000_000_000_000_000_000_i64..2_000_000_000_000_000_000) {
            let start = NtpTime::from_bits(bits);
            let found = nanos_between(start, moved(start, nanos));
            prop_assert!((found - nanos).abs() <= 1, "{found} for {nanos}");
        }
    }
}
