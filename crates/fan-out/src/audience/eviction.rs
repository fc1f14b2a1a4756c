//! What the log keeps for readers, and for how long.

use std::time::Instant;

use super::{Audience, Reader};
use crate::group::Group;
use crate::log::Floor;

impl<A: Copy> Audience<A> {
    /// What is before the last key frame goes once every cursor has passed it or it is older
    /// than `lag_max_age`; whatever its age, what exceeds the log's own bounds.
    ///
    /// A reader that is just being brought to live would begin in the middle of a unit without
    /// what it still needs; so that stays a little longer.
    pub(super) fn evict(&mut self, now: Instant) {
        let mut needed = None;
        let mut needed_for_bursts = None;
        while let Some(front) = self.log.front() {
            if !self.log.is_over(&self.limits) {
                let age = now.saturating_duration_since(front.since);
                let is_old = age > self.limits.lag_max_age;
                let goes = match self.log.floor(now, self.video, &self.limits) {
                    Floor::Kept => false,
                    Floor::Open => is_old,
                    Floor::Passed if is_old => {
                        self.log.base()
                            < *needed_for_bursts.get_or_insert_with(|| self.lowest_burst(now))
                    }
                    Floor::Passed => {
                        self.log.base() < *needed.get_or_insert_with(|| self.lowest_cursor())
                    }
                };
                if !goes {
                    return;
                }
            }
            self.evict_one(Some(now));
        }
    }

    /// The oldest position any reader still needs.
    fn lowest_cursor(&self) -> u64 {
        let tcp = self.slots.iter().filter_map(|(_, slot)| match &slot.reader {
            Reader::Tcp(reader) => Some(reader.needs()),
            Reader::Udp { .. } => None,
        });
        let udp = self.groups.iter().filter_map(Group::needs);
        tcp.chain(udp).min().unwrap_or(u64::MAX)
    }

    /// The oldest position that readers need who are just being brought to live.
    fn lowest_burst(&self, now: Instant) -> u64 {
        let after = now.checked_sub(self.limits.instant_max_age);
        let tcp = self.slots.iter().filter_map(|(_, slot)| match &slot.reader {
            Reader::Tcp(reader) => reader.needs_for_burst(now, &self.limits),
            Reader::Udp { .. } => None,
        });
        let udp = self.groups.iter().filter_map(|group| group.needs_for_bursts(after));
        tcp.chain(udp).min().unwrap_or(u64::MAX)
    }

    /// Gives the scratch back once nobody catches up.
    pub(crate) fn tidy_scratch(&mut self) {
        if self.scratch.capacity() > 0 && self.groups.iter().all(|group| !group.has_bursts()) {
            self.scratch = Vec::new();
        }
    }

    pub(super) fn evict_one(&mut self, now: Option<Instant>) {
        for number in 0..self.groups.len() {
            let (group, mut shared) = self.group(number);
            if let Some(group) = group {
                group.lose_oldest(now, &mut shared);
            }
        }
        self.log.evict();
    }
}
