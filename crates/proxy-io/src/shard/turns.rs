//! Whose turn it is to write to readers.

use std::time::{Duration, Instant};

/// Nobody's but [`super::pump::run`]'s, for a while, once a budget was spent.
///
/// Every step of every task ends with writing what there is. Did each of them go on with what a
/// budget did not suffice for, each of many connections that ask for something would wait for a
/// budget of each of the others. So others leave it alone; but not for ever, for the one task has
/// its turn when all others have had theirs, and these may take long.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Turns {
    /// When a budget was spent, and its length.
    spent: Option<(Instant, Duration)>,
}

/// After so many budgets whoever makes a step goes on with the rest: where steps are short, a third
/// of the time is for readers however many of them others have to make.
const OVERDUE: u32 = 2;

impl Turns {
    /// A budget that began with this length was spent at the instant `at`.
    pub(super) fn spend(&mut self, at: Instant, budget: Duration) {
        self.spent = Some((at, budget));
    }

    /// Everything was written, or it is the turn of the one that goes on.
    pub(super) fn begin(&mut self) {
        self.spent = None;
    }

    /// Whether a step at the instant `now` may write.
    pub(super) fn may_write(&self, now: Instant) -> bool {
        let is_due = |(at, budget): (Instant, Duration)| {
            now.saturating_duration_since(at) >= budget * OVERDUE
        };
        self.spent.is_none_or(is_due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const BUDGET: Duration = Duration::from_millis(2);

    #[test]
    fn who_makes_a_step_writes_unless_a_budget_was_just_spent() {
        let begin = clock::mono();
        let mut turns = Turns::default();
        assert!(turns.may_write(begin));
        turns.spend(begin, BUDGET);
        assert!(!turns.may_write(begin));
        assert!(!turns.may_write(begin + BUDGET), "its own step began before");
        turns.begin();
        assert!(turns.may_write(begin));
    }

    #[test]
    fn where_others_never_end_a_third_of_the_time_is_for_readers() {
        let begin = clock::mono();
        let (mut now, mut turns, mut written) = (begin, Turns::default(), Duration::ZERO);
        let end = begin + Duration::from_secs(1);
        // Steps of others of 100 us, and the one that goes on never has its turn.
        while now < end {
            now += Duration::from_micros(100);
            if turns.may_write(now) {
                turns.begin();
                now += BUDGET;
                written += BUDGET;
                turns.spend(now, BUDGET);
            }
        }
        let share = written.as_secs_f64() / (now - begin).as_secs_f64();
        assert!((0.3..0.35).contains(&share), "{share}");
    }
}
