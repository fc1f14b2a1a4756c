//! The only place where this package reads clocks and sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rtp_rtcp::{Now, NtpTime};

/// The monotonic clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "programs that measure time read the clock")]
pub fn mono() -> Instant {
    Instant::now()
}

/// The host's wall clock, since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "programs that measure time read the clock")]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Sleeps until an instant of the monotonic clock; not at all if it has passed.
#[expect(clippy::disallowed_methods, reason = "a replay waits for nothing but the time")]
pub fn sleep_until(due: Instant) {
    let left = due.saturating_duration_since(mono());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// An instant that is the same in every run: so many steps of arithmetic as it takes today, it takes
/// tomorrow.
///
/// # Panics
/// Where an instant does not show its seconds and nanoseconds, as it does on Linux.
#[must_use]
pub fn fixed() -> Instant {
    let now = mono();
    let shown = format!("{now:?}");
    let mut numbers = shown.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let mut number = || numbers.next().and_then(|word| word.parse().ok());
    let (Some(seconds), Some(nanos)) = (number(), number()) else { panic!("{shown}") };
    let since_boot = Duration::from_secs(seconds) + Duration::from_nanos(nanos);
    let zero = now.checked_sub(since_boot).unwrap_or_else(|| panic!("{shown}"));
    zero + FIXED
}

/// The same, with a wall clock that is as fixed.
#[must_use]
pub fn fixed_both() -> Now {
    Now { mono: fixed(), wall: NtpTime::from_unix(Duration::from_secs(1_700_000_000)) }
}

/// Long after a machine's start, as instants usually are.
const FIXED: Duration = Duration::from_secs(1_000_000);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_instant_is_the_same_whenever_it_is_asked_for() {
        let first = fixed();
        std::hint::black_box(mono());
        assert_eq!(fixed(), first);
        assert!(format!("{first:?}").contains("1000000"), "{first:?}");
    }
}
