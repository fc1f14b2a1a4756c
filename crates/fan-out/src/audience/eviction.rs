//! What the log keeps for readers, and for how long.

use std::time::Instant;

use super::renditions::Side;
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
        self.evict_from(now, Side::Original);
        if self.datagrams.is_some() {
            self.evict_from(now, Side::Datagrams);
        }
    }

    fn evict_from(&mut self, now: Instant, side: Side) {
        let mut needed = None;
        let mut needed_for_bursts = None;
        while let Some(log) = self.log_of(side)
            && let Some(front) = log.front()
        {
            if !log.is_over(&self.limits) {
                let age = now.saturating_duration_since(front.since);
                let is_old = age > self.limits.lag_max_age;
                let base = log.base();
                let goes = match log.floor(now, self.video, &self.limits) {
                    Floor::Kept => false,
                    Floor::Open => is_old,
                    Floor::Passed if is_old => {
                        let lowest = || self.lowest_burst(now, side);
                        base < *needed_for_bursts.get_or_insert_with(lowest)
                    }
                    Floor::Passed => base < *needed.get_or_insert_with(|| self.lowest_cursor(side)),
                };
                if !goes {
                    return;
                }
            }
            self.evict_one(Some(now), side);
        }
    }

    /// The oldest position any reader of this side's log still needs.
    fn lowest_cursor(&self, side: Side) -> u64 {
        let tcp = self.slots.iter().filter_map(|(_, slot)| match &slot.reader {
            Reader::Tcp(reader) if side == Side::Original && reader.row.is_none() => {
                Some(reader.needs())
            }
            _ => None,
        });
        let rows = self.rows.needs().filter(|_| side == Side::Original);
        let groups = self.groups.iter().filter(|_| self.serves_udp(side));
        let udp = groups.filter_map(Group::needs);
        tcp.chain(rows).chain(udp).min().unwrap_or(u64::MAX)
    }

    /// The oldest position that readers need who are just being brought to live.
    fn lowest_burst(&self, now: Instant, side: Side) -> u64 {
        let after = now.checked_sub(self.limits.instant_max_age);
        let tcp = self.slots.iter().filter_map(|(_, slot)| match &slot.reader {
            Reader::Tcp(reader) if side == Side::Original => {
                reader.needs_for_burst(now, &self.limits)
            }
            _ => None,
        });
        let groups = self.groups.iter().filter(|_| self.serves_udp(side));
        let udp = groups.filter_map(|group| group.needs_for_bursts(after));
        tcp.chain(udp).min().unwrap_or(u64::MAX)
    }

    /// Gives the scratch back once nobody catches up.
    pub(crate) fn tidy_scratch(&mut self) {
        if self.scratch.capacity() > 0 && self.groups.iter().all(|group| !group.has_bursts()) {
            self.scratch = Vec::new();
        }
    }

    pub(super) fn evict_one(&mut self, now: Option<Instant>, side: Side) {
        let groups = if self.serves_udp(side) { self.groups.len() } else { 0 };
        for number in 0..groups {
            let (group, mut shared) = self.group(number);
            if let Some(group) = group {
                group.lose_oldest(now, &mut shared);
            }
        }
        match (side, &mut self.datagrams) {
            (Side::Original, _) => self.log.evict(),
            (Side::Datagrams, log) => log.as_mut().and_then(|log| log.evict()),
        };
    }
}
