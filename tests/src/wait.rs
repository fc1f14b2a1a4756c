//! The only place where tests wait: for a condition, with a bound.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Waits until `condition` holds; says whether it came to hold in time.
#[expect(clippy::disallowed_methods, reason = "tests with real programs wait for real events")]
pub fn until(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + bound;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lets time pass where the passing of time is what is tested: a reader that stands still, a
/// timeout that must not be met.
#[expect(clippy::disallowed_methods, reason = "tests with real programs wait for real events")]
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// The time now, for durations that tests report.
#[expect(clippy::disallowed_methods, reason = "tests with real programs measure real time")]
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, as time since 1970, to compare with what a camera on this host says of its own.
#[expect(clippy::disallowed_methods, reason = "tests with real programs measure real time")]
#[must_use]
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
