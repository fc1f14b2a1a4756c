//! The numbers of one rendition in those of another.

use std::collections::VecDeque;

use rtp_rtcp::ExtSeq;

/// Which number of a fork a packet of its parent has, or the first of several made of it.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// Where the distance between the two changes, the oldest first.
    steps: VecDeque<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    parent: ExtSeq,
    own: ExtSeq,
    /// Whether all of the parent's packets up to the next step became others.
    is_made: bool,
}

impl Numbers {
    /// The parent's packet is the fork's, or of the first of those that are made.
    pub(super) fn note(&mut self, parent: ExtSeq, own: ExtSeq, is_made: bool) {
        let goes_on = self.steps.back().is_some_and(|last| {
            let distance = |from: ExtSeq, to: ExtSeq| to.0.wrapping_sub(from.0);
            !is_made && !last.is_made && distance(last.parent, parent) == distance(last.own, own)
        });
        if goes_on {
            return;
        }
        if self.steps.len() == MAX_STEPS {
            self.steps.pop_front();
        }
        self.steps.push_back(Step { parent, own, is_made });
    }

    /// The number that none is below which stands for the parent's packet.
    pub(super) fn of(&self, parent: ExtSeq) -> ExtSeq {
        let after = self.steps.partition_point(|step| step.parent <= parent);
        let step = after.checked_sub(1).and_then(|index| self.steps.get(index));
        match step {
            Some(step) if step.is_made => step.own,
            Some(step) => ExtSeq(step.own.0.wrapping_add(parent.0.wrapping_sub(step.parent.0))),
            // What both have in common, or what is forgotten.
            None => self.steps.front().map_or(parent, |first| {
                ExtSeq(first.own.0.saturating_sub(first.parent.0.saturating_sub(parent.0)))
            }),
        }
    }
}

/// What is forgotten is older than anybody begins with, by far.
const MAX_STEPS: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_first_packet_made() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.of(ExtSeq(7)), ExtSeq(7));
        let steps = [(100, 100, false), (101, 101, false), (102, 102, true), (105, 120, false)];
        for (parent, own, is_made) in steps {
            numbers.note(ExtSeq(parent), ExtSeq(own), is_made);
        }
        let of = |parent| numbers.of(ExtSeq(parent)).0;
        assert_eq!([90, 100, 101, 102, 104, 105, 109].map(of), [90, 100, 101, 102, 102, 120, 124]);
        assert_eq!(numbers.steps.len(), 3);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut numbers = Numbers::default();
        for parent in 0..20_000 {
            numbers.note(ExtSeq(parent), ExtSeq(parent * 3), true);
        }
        assert_eq!(numbers.steps.len(), MAX_STEPS);
        assert_eq!(numbers.of(ExtSeq(19_999)), ExtSeq(59_997));
    }
}
