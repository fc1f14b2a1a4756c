//! How fast the sources' clock runs, seen from ours.

use std::time::{Duration, Instant};

/// Follows the distance between the sources' clock and ours, by at most [`SLEW`] of the time that
/// passes.
///
/// Each arrival says "later" or "earlier" and moves the estimate by what the time since the one
/// before allows, so it settles at the median of the arrivals: neither a late packet nor a burst
/// of them can pull it far.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// What the sources' clock is ahead, in nanoseconds.
    ahead: i64,
    last: Instant,
}

impl Follower {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { ahead: 0, last: now }
    }

    /// What the sources' clock has gained on ours, in nanoseconds; negative if it lost.
    pub(crate) const fn ahead(&self) -> i64 {
        self.ahead
    }

    /// A packet came that is `departure` nanoseconds ahead of the estimate.
    pub(crate) fn on_arrival(&mut self, now: Instant, departure: i64) {
        let passed = now.saturating_duration_since(self.last).min(MAX_PASSED);
        self.last = self.last.max(now);
        let allowed = passed.as_nanos() as i64 / SLEW;
        self.ahead = self.ahead.saturating_add(departure.clamp(-allowed, allowed));
    }
}

/// One part in so many: 1 ms per second, more than any crystal is wrong.
const SLEW: i64 = 1_000;

/// After a silence, one packet is not to speak for all of it.
const MAX_PASSED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_late_packet_moves_little_and_the_next_ones_undo_it() {
        #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
        let start = Instant::now();
        let mut follower = Follower::new(start);
        follower.on_arrival(start + Duration::from_millis(40), -500_000_000);
        assert_eq!(follower.ahead(), -40_000);
        follower.on_arrival(start + Duration::from_millis(80), 40_000);
        assert_eq!(follower.ahead(), 0);
    }

    #[test]
    fn an_hour_of_silence_weighs_as_a_second() {
        #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
        let start = Instant::now();
        let mut follower = Follower::new(start);
        follower.on_arrival(start + Duration::from_secs(3_600), 900_000_000);
        assert_eq!(follower.ahead(), 1_000_000);
    }
}
