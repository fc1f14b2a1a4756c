//! A place in the log that is kept per run and destination, and readers on their way to a group.

use std::time::{Duration, Instant};

use crate::batch::Run;
use crate::blocked::Blocked;
use crate::event::DropCause;
use crate::log::{Entry, Log, Place};
use crate::seats::Seats;
use crate::track::{TrackId, TrackMask};
use crate::udp::{MAX_DESTINATIONS, Shared};

/// How far something has been sent: the run that begins at a place, and the destinations of that
/// run that are served.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sending {
    pub(crate) place: Place,
    pub(crate) done: usize,
    /// How many segments the run may have; constant while it goes to its destinations.
    pub(crate) segments: usize,
    /// Media before it came too late.
    pub(crate) drop_to: Place,
}

/// What lateness is measured by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lateness<'a> {
    pub(crate) now: Instant,
    pub(crate) blocked: &'a Blocked,
}

/// One track over a range of the log for some readers, until they meet their group.
#[derive(Debug)]
pub(crate) struct Chase<A> {
    pub(crate) track: TrackId,
    pub(crate) seats: Seats<A>,
    pub(crate) sending: Sending,
    /// Reports before this position are not for these readers: they have had them, or better ones.
    pub(crate) reports_from: u64,
    /// When their key unit became known: nothing has waited for these readers longer. `None` for
    /// those who begin with whatever comes.
    pub(crate) since: Option<Instant>,
    /// Whether any of them has been sent anything of it.
    pub(crate) has_begun: bool,
}

impl<A: Copy> Chase<A> {
    pub(crate) fn wants(&self, entry: &Entry, pos: u64) -> bool {
        entry.batch.track() == self.track && (entry.is_media() || pos >= self.reports_from)
    }

    pub(crate) fn next_run(
        &mut self,
        late: Lateness<'_>,
        shared: &mut Shared<'_>,
        main: &Sending,
        segments: usize,
    ) -> Option<(Run, usize)> {
        loop {
            let pos = self.sending.place.pos;
            let is_between = self.sending.is_at_border();
            let has_met = is_between && main.is_at_border() && pos == main.place.pos;
            if pos > main.place.pos || has_met {
                return None;
            }
            let entry = shared.log.get(pos)?;
            let seats = self.wants(entry, pos).then_some(&self.seats);
            let waits_since = self.since.map_or(entry.since, |since| since.max(entry.since));
            let run = self.sending.next_run(late, shared, seats, entry, waits_since, segments);
            if run.is_some() {
                return run;
            }
        }
    }
}

impl Sending {
    /// Whether nothing of the entry has been sent to anyone.
    pub(crate) const fn is_at_border(&self) -> bool {
        self.place.packet == 0 && self.done == 0
    }

    pub(crate) fn next_entry(&mut self) {
        self.place = Place::at(self.place.pos + 1);
        self.done = 0;
    }

    /// The destination at `index` is gone.
    pub(crate) const fn vacate(&mut self, index: usize) {
        if index < self.done {
            self.done -= 1;
        }
    }

    /// The next run of `entry`, where this stands, and how many destinations to offer it to;
    /// `None` if it has moved on to another place.
    pub(crate) fn next_run<A: Copy>(
        &mut self,
        late: Lateness<'_>,
        shared: &mut Shared<'_>,
        seats: Option<&Seats<A>>,
        entry: &Entry,
        waits_since: Instant,
        segments: usize,
    ) -> Option<(Run, usize)> {
        let count = seats.map_or(0, |seats| seats.count(entry.batch.kind()));
        if count == 0 {
            self.next_entry();
            return None;
        }
        if self.done == 0 {
            self.segments = segments;
        }
        // A report is as true later, and BYE must not get lost.
        if entry.is_media()
            && let Some((cause, behind)) = self.too_late(late, shared, waits_since)
        {
            let is_reached = cause == DropCause::Late && self.drop_to.pos == self.place.pos;
            let until = if is_reached { self.drop_to.packet as usize } else { entry.batch.len() };
            self.give_up(seats, entry, until, (cause, behind), shared);
            return None;
        }
        let packet = self.place.packet as usize;
        let Some(run) = entry.batch.run_at(packet, self.segments) else {
            let age = late.now.saturating_duration_since(waits_since);
            self.give_up(seats, entry, entry.batch.len(), (DropCause::TooLarge, age), shared);
            return None;
        };
        if self.done >= count {
            self.end_run(entry, &run);
            return None;
        }
        Some((run, (count - self.done).min(MAX_DESTINATIONS)))
    }

    /// The next `sent` destinations took the run, the `failed` ones after them refused it.
    pub(crate) fn sent<A: Copy>(
        &mut self,
        shared: &mut Shared<'_>,
        seats: &Seats<A>,
        entry: &Entry,
        (sent, failed): (usize, usize),
        run: &Run,
    ) {
        let unsendable = run.packets.start.saturating_sub(self.place.packet as usize);
        let who = seats.who().get(self.done..).unwrap_or_default();
        shared.count(who, (sent, failed), run, unsendable);
        self.done += sent + failed;
        if self.done >= seats.count(entry.batch.kind()) {
            self.end_run(entry, run);
        }
    }

    fn end_run(&mut self, entry: &Entry, run: &Run) {
        self.done = 0;
        self.place.packet = run.packets.end as u32;
        if run.packets.end >= entry.batch.len() {
            self.next_entry();
        }
    }

    /// Why media here is of no use any more, and how late it is.
    fn too_late(
        &mut self,
        late: Lateness<'_>,
        shared: &Shared<'_>,
        waits_since: Instant,
    ) -> Option<(DropCause, Duration)> {
        let blocked = late.blocked.within(waits_since, late.now);
        if blocked > shared.limits.udp_max_age {
            return Some((DropCause::SocketFull, blocked));
        }
        let age = late.now.saturating_duration_since(waits_since);
        if age > shared.limits.lag_max_age && self.place >= self.drop_to {
            self.move_forward(shared.log, shared.video);
        }
        (self.place < self.drop_to).then_some((DropCause::Late, age))
    }

    /// The newest key unit that is ahead is next, or where there is none what comes from now on:
    /// who is too late with one entry would be with the next as well.
    pub(crate) fn move_forward(&mut self, log: &Log, video: TrackMask) {
        let keys = video.iter().filter_map(|track| log.newest_key(track));
        let ahead = keys.filter(|key| key.pos > self.place.pos).min();
        self.drop_to = ahead.unwrap_or_else(|| Place::at(log.end())).max(self.drop_to);
    }

    /// Drops the packets of `entry` before `until`, counted for those in `seats` who would have got
    /// them.
    pub(crate) fn give_up<A: Copy>(
        &mut self,
        seats: Option<&Seats<A>>,
        entry: &Entry,
        until: usize,
        (cause, behind): (DropCause, Duration),
        shared: &mut Shared<'_>,
    ) {
        let packet = self.place.packet as usize;
        let count = seats.map_or(0, |seats| seats.count(entry.batch.kind()));
        if entry.is_media() && count > 0 && packet < until {
            let left = (until - packet) as u64;
            let run = entry.batch.run_at(packet, self.segments);
            let served = run.map_or(0, |run| (run.packets.end - packet) as u64);
            for (index, who) in seats.iter().flat_map(|seats| seats.who()).take(count).enumerate() {
                let lost = if index < self.done { left.saturating_sub(served) } else { left };
                shared.lose(who.key, lost, cause, behind);
            }
        }
        if until < entry.batch.len() {
            self.place.packet = until as u32;
        } else {
            self.next_entry();
        }
    }
}
