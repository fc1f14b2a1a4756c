//! Whether runs of datagrams are worth offering to the kernel as segmented messages (GSO).
//!
//! A refusal speaks for one destination: the way there may have a smaller MTU than ours, or go
//! through a tunnel whose device segments nothing. Only when all refuse everything is it the
//! kernel, or the device of all of them; to a smaller MTU some small segments always go.

use std::time::{Duration, Instant};

/// Refusals one after the other, with none between that takes a segmented message: a reader that
/// begins, or a single one with large frames, may be offered as many at once, so time counts too.
const ALL: u32 = 16;
/// From the first of them on.
const FOR: Duration = Duration::from_secs(2);
/// How long nothing is offered then: routes and devices change.
const PAUSE: Duration = Duration::from_secs(60);

/// What is known of a pair of sockets.
#[derive(Default, Debug)]
pub(super) struct Segmenting {
    /// In a row.
    refusals: u32,
    /// When the first of them was.
    since: Option<Instant>,
    paused_at: Option<Instant>,
    was_told: bool,
}

impl Segmenting {
    /// Whether segmented messages are to be offered.
    pub(super) fn is_on(&mut self, now: Instant) -> bool {
        match self.paused_at {
            None => true,
            Some(at) if now.saturating_duration_since(at) < PAUSE => false,
            Some(_) => {
                *self = Self { was_told: self.was_told, ..Self::default() };
                true
            }
        }
    }

    /// A destination took a segmented message.
    pub(super) fn took(&mut self) {
        self.refusals = 0;
        self.since = None;
    }

    /// A destination refused one. Whether the operator is to know that all do, which is news once.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        let is_short = now.saturating_duration_since(since) < FOR;
        if self.refusals < ALL || is_short || self.paused_at.is_some() {
            return false;
        }
        self.paused_at = Some(now);
        !std::mem::replace(&mut self.was_told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_refuses_among_others_changes_nothing() {
        let now = crate::clock::mono();
        let mut segmenting = Segmenting::default();
        for _ in 0..10 * ALL {
            assert!(!segmenting.refused(now));
            assert!(segmenting.is_on(now));
            segmenting.took();
        }
    }

    #[test]
    fn nor_do_many_between_two_that_take() {
        let mut now = crate::clock::mono();
        let mut segmenting = Segmenting::default();
        for _ in 0..10 {
            // As many as a key frame of some megabytes has, for a reader that is served first.
            for _ in 0..10 * ALL {
                assert!(!segmenting.refused(now));
                assert!(segmenting.is_on(now));
            }
            now += Duration::from_millis(40);
            segmenting.took();
            now += FOR;
        }
    }

    #[test]
    fn when_all_refuse_nothing_is_offered_for_a_minute_which_is_told_once() {
        let begin = crate::clock::mono();
        let mut segmenting = Segmenting::default();
        let mut told = 0;
        for round in 0..3 {
            let before = begin + round * (PAUSE + FOR);
            let now = before + FOR;
            for step in 1..ALL {
                assert!(segmenting.is_on(now));
                told += u32::from(segmenting.refused(before + FOR * step / ALL));
            }
            assert!(segmenting.is_on(now));
            told += u32::from(segmenting.refused(now + FOR / ALL));
            let now = now + FOR / ALL;
            assert!(!segmenting.is_on(now));
            assert!(!segmenting.is_on(now + PAUSE - Duration::from_millis(1)));
        }
        assert_eq!(told, 1);
    }
}
