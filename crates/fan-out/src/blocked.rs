//! How long a socket was full.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// When the socket of a group was full, as far back as anything may have waited for it.
///
/// A proxy that is short of CPU is late as well, but that is not the socket's doing: what is late
/// for that reason alone is still of use.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    /// Since when it has taken nothing.
    since: Option<Instant>,
    /// Times before, oldest first.
    spans: VecDeque<(Instant, Instant)>,
}

/// Times kept apart; beyond it the two oldest become one.
const SPANS: usize = 32;

impl Blocked {
    /// The socket took nothing of what it was offered.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// The socket takes again; nobody asks for more than `kept` ago.
    pub(crate) fn end(&mut self, now: Instant, kept: Duration) {
        let Some(since) = self.since.take() else { return };
        self.spans.push_back((since, now));
        while let Some(&(_, until)) = self.spans.front()
            && now.saturating_duration_since(until) > kept
        {
            self.spans.pop_front();
        }
        // The sum stays, at the place of the later one.
        if self.spans.len() > SPANS
            && let Some((since, until)) = self.spans.pop_front()
            && let Some((later, _)) = self.spans.front_mut()
            && let Some(moved) = later.checked_sub(until.saturating_duration_since(since))
        {
            *later = moved;
        }
    }

    /// For how long it was full between two instants.
    pub(crate) fn within(&self, from: Instant, now: Instant) -> Duration {
        let last = self.since.map(|since| (since, now));
        let spans = self.spans.iter().copied().chain(last).rev();
        let spans = spans.take_while(|(_, until)| *until > from);
        spans.map(|(since, until)| until.saturating_duration_since(since.max(from))).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an origin for virtual time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn only_the_time_without_room_counts() {
        let t0 = origin();
        let mut blocked = Blocked::default();
        blocked.begin(t0 + ms(10));
        blocked.begin(t0 + ms(20));
        assert_eq!(blocked.within(t0, t0 + ms(30)), ms(20));
        blocked.end(t0 + ms(40), ms(2000));
        blocked.end(t0 + ms(50), ms(2000));
        blocked.begin(t0 + ms(100));
        assert_eq!(blocked.within(t0, t0 + ms(105)), ms(35));
        assert_eq!(blocked.within(t0 + ms(35), t0 + ms(105)), ms(10));
        assert_eq!(blocked.within(t0 + ms(103), t0 + ms(105)), ms(2));
        blocked.end(t0 + ms(105), ms(2000));
        assert_eq!(blocked.within(t0 + ms(105), t0 + ms(900)), ms(0));
    }

    #[test]
    fn however_often_it_was_full_the_sum_is_kept_and_the_list_is_short() {
        let t0 = origin();
        let mut blocked = Blocked::default();
        for time in 0..1000_u64 {
            blocked.begin(t0 + ms(time * 2));
            blocked.end(t0 + ms(time * 2 + 1), ms(2000));
        }
        let now = t0 + ms(2000);
        assert_eq!(blocked.within(t0, now), ms(1000));
        assert!(blocked.spans.len() <= SPANS);
        blocked.begin(t0 + ms(9000));
        blocked.end(t0 + ms(9001), ms(2000));
        assert_eq!(blocked.spans.len(), 1);
    }
}
