//! When something is due next: one entry for each connection and session.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::ids::{ConnId, SessionId};

/// Whose timer it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Key {
    Conn(ConnId),
    Session(SessionId),
}

/// Timers that may fire early but never late: to push a deadline back costs nothing, its owner
/// looks again when the old one fires.
#[derive(Default, Debug)]
pub(crate) struct Timers {
    queue: BTreeSet<(Instant, Key)>,
    armed: HashMap<Key, Instant>,
}

impl Timers {
    /// Fires `key` at `at` or before.
    pub(crate) fn arm(&mut self, key: Key, at: Instant) {
        match self.armed.get_mut(&key) {
            Some(armed) if *armed <= at => return,
            Some(armed) => {
                self.queue.remove(&(*armed, key));
                *armed = at;
            }
            None => {
                self.armed.insert(key, at);
            }
        }
        self.queue.insert((at, key));
    }

    pub(crate) fn cancel(&mut self, key: Key) {
        if let Some(at) = self.armed.remove(&key) {
            self.queue.remove(&(at, key));
        }
    }

    /// Takes one entry that is due.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Key> {
        let &(at, key) = self.queue.first()?;
        if at > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.queue.first().map(|&(at, _)| at)
    }
}

/// `wait` after `at`; a wait beyond what the clock can express is as good as ten years.
pub(crate) fn later(at: Instant, wait: Duration) -> Instant {
    at.checked_add(wait).unwrap_or_else(|| at + FAR)
}

const FAR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_fires_at_the_earliest_instant_it_was_armed_for_and_once() {
        #[expect(clippy::disallowed_methods, reason = "one base instant")]
        let t0 = Instant::now();
        let at = |s| t0 + Duration::from_secs(s);
        let (a, b) = (Key::Conn(ConnId(1)), Key::Conn(ConnId(2)));
        let mut timers = Timers::default();
        timers.arm(a, at(5));
        timers.arm(b, at(4));
        timers.arm(a, at(3));
        timers.arm(a, at(9));
        assert_eq!(timers.next(), Some(at(3)));
        assert_eq!(timers.due(at(2)), None);
        assert_eq!(timers.due(at(3)), Some(a));
        timers.cancel(b);
        assert_eq!(timers.due(at(100)), None);
        assert_eq!(timers.next(), None);
    }
    #[test]
    fn a_wait_without_end_is_far_away_and_no_panic() {
        #[expect(clippy::disallowed_methods, reason = "one base instant")]
        let t0 = Instant::now();
        assert_eq!(later(t0, Duration::MAX), t0 + FAR);
        assert_eq!(later(t0, Duration::from_secs(1)), t0 + Duration::from_secs(1));
    }
}
