//! What happens again and again is told now and then.

use std::time::{Duration, Instant};

/// Between two words: a slow reader may lag at every key frame, a full log drop with every packet.
const AGAIN: Duration = Duration::from_secs(10);

/// When something was last told of, and what has not been told since.
#[derive(Default, Debug)]
pub(super) struct Telling {
    last: Option<Instant>,
    untold: Untold,
}

/// What was kept back.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Untold {
    /// How often it happened.
    pub(super) times: u64,
    /// Packets that it concerned.
    pub(super) packets: u64,
}

impl Telling {
    /// Whether the log shall say what happened, to so many packets, with what was kept back before.
    pub(super) fn tells(&mut self, now: Instant, packets: u64) -> Option<Untold> {
        if self.last.is_some_and(|at| now.saturating_duration_since(at) < AGAIN) {
            self.untold.times = self.untold.times.saturating_add(1);
            self.untold.packets = self.untold.packets.saturating_add(packets);
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_at_every_moment_is_told_every_ten_seconds_with_how_often_it_did() {
        let begin = crate::clock::mono();
        let mut telling = Telling::default();
        let told = (0..=500).map(|step| telling.tells(begin + step * Duration::from_millis(40), 3));
        let told: Vec<_> = told.flatten().map(|untold| (untold.times, untold.packets)).collect();
        assert_eq!(told, [(0, 0), (249, 747), (249, 747)]);
    }
}
