//! The only place where this package reads clocks and sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
