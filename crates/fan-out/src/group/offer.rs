//! What a socket group sends next, and what became of it.

use std::time::Instant;

use super::Group;
use crate::batch::{EntryKind, Run};
use crate::burst::{BurstOffer, Step};
use crate::event::CutReason;
use crate::log::{Entry, Log};
use crate::seats::{Seats, Who};
use crate::sending::{Chase, Lateness, Sending};
use crate::udp::{Shared, UdpSend};

/// What was offered last.
#[derive(Debug)]
pub(crate) struct Offer {
    side: Side,
    count: usize,
    run: Run,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Main,
    Greeting,
    Chase(usize),
    Burst(BurstOffer),
    /// A report to readers that have had nothing on their RTP ports.
    Knock,
}

impl<A: Copy> Group<A> {
    /// Finds the next thing to send.
    pub(crate) fn offer(&mut self, now: Instant, shared: &mut Shared<'_>) -> Option<Offer> {
        // A reader gets what was published after it joined: it has to be seated before that goes
        // out.
        if let Some((.., report)) = self.greetings.front().and_then(|first| first.reports.last()) {
            let run = Run { packets: 0..1, bytes: 0..report.len(), segment: report.len() };
            return Some(Offer { side: Side::Greeting, count: 1, run });
        }
        if self.is_chase_turn
            && let Some(offer) = self.offer_others(now, shared)
        {
            return Some(offer);
        }
        // The group may have made work for the others on its way to its end.
        self.offer_main(now, shared).or_else(|| self.offer_others(now, shared))
    }

    fn offer_others(&mut self, now: Instant, shared: &mut Shared<'_>) -> Option<Offer> {
        self.offer_chase(now, shared).or_else(|| self.offer_burst(now, shared))
    }

    fn offer_burst(&mut self, now: Instant, shared: &mut Shared<'_>) -> Option<Offer> {
        let segments = self.max_segments.unwrap_or(shared.limits.max_segments);
        loop {
            match self.bursts.next(now, shared, &self.main, segments) {
                Step::Send(offer) => {
                    let run = Run { packets: 0..0, bytes: 0..0, segment: 0 };
                    return Some(Offer { side: Side::Burst(offer), count: 0, run });
                }
                Step::Arrived((track, seats), at) => {
                    for seat in seats {
                        self.go_live_at(track, seat, at);
                    }
                }
                Step::Nothing => return None,
            }
        }
    }

    fn offer_main(&mut self, now: Instant, shared: &mut Shared<'_>) -> Option<Offer> {
        let segments = self.max_segments.unwrap_or(shared.limits.max_segments);
        loop {
            if self.main.is_at_border() {
                self.main.segments = segments;
                self.merge();
            }
            let entry = shared.log.get(self.main.place.pos)?;
            if self.main.is_at_border() {
                self.start_waiting(now, shared, entry);
            }
            let seats = self.tracks.get(entry.batch.track().index());
            if !self.knocks.is_empty() && !entry.is_media() && self.main.is_at_border() {
                let count = self.knocks.due(self.main.place.pos, entry, seats, shared.log);
                if count > 0 {
                    let bytes = entry.batch.image_len();
                    let run = Run { packets: 0..1, bytes: 0..bytes, segment: bytes };
                    return Some(Offer { side: Side::Knock, count, run });
                }
            }
            let late = Lateness { now, blocked: &self.blocked };
            let run = self.main.next_run(late, shared, seats, entry, entry.since, segments);
            if let Some((run, count)) = run {
                return Some(Offer { side: Side::Main, count, run });
            }
        }
    }

    fn offer_chase(&mut self, now: Instant, shared: &mut Shared<'_>) -> Option<Offer> {
        let segments = self.max_segments.unwrap_or(shared.limits.max_segments);
        let late = Lateness { now, blocked: &self.blocked };
        for turn in 0..self.chases.len() {
            let index = (self.next_chase + turn) % self.chases.len();
            let Some(chase) = self.chases.get_mut(index) else { continue };
            if let Some((run, count)) = chase.next_run(late, shared, &self.main, segments) {
                return Some(Offer { side: Side::Chase(index), count, run });
            }
        }
        None
    }

    /// Takes in the readers that have met the group, which is between two entries.
    fn merge(&mut self) {
        let mut index = 0;
        while let Some(chase) = self.chases.get(index) {
            if chase.sending.is_at_border() && chase.sending.place == self.main.place {
                let mut chase = self.chases.swap_remove(index);
                chase.seats.hold_all(None);
                if let Some(seats) = self.tracks.get_mut(chase.track.index()) {
                    chase.seats.take_waiting().for_each(|seat| seats.push_live(seat));
                }
            } else {
                index += 1;
            }
        }
    }

    /// If `entry`, which is next, makes a key unit known, those who waited for one begin there.
    fn start_waiting(&mut self, now: Instant, shared: &mut Shared<'_>, entry: &Entry) {
        let track = entry.batch.track();
        let Some(key) = entry.key.filter(|key| key.pos >= shared.log.base()) else { return };
        let Some(seats) = self.tracks.get_mut(track.index()) else { return };
        for seat in self.bursts.take_late(track, key, shared) {
            seats.push_waiting(seat);
        }
        if !seats.has_waiting() {
            return;
        }
        let begun = shared.log.get(key.pos);
        let Some(begins) = begun.and_then(|begun| begun.batch.ext_seq(key.packet as usize)) else {
            return;
        };
        let mut going = Seats::new();
        let mut cut = Vec::new();
        for seat in seats.take_waiting() {
            match seat.who.last {
                Some(last) if last >= begins => seats.push_waiting(seat),
                Some(last) if begins.0 - last.0 > u64::from(shared.limits.max_jump) => {
                    cut.push((seat.who.key, begins.0 - last.0));
                }
                _ if key == self.main.place => seats.push_live(seat),
                _ => going.push_live(seat),
            }
        }
        if !going.is_empty() {
            self.chases.push(Chase {
                track,
                seats: going,
                sending: Sending { place: key, ..Sending::default() },
                reports_from: self.main.place.pos,
                since: Some(now),
                has_begun: false,
            });
        }
        for (key, ahead) in cut {
            self.remove(key, shared.log);
            shared.cut(key, CutReason::JumpTooLong(ahead));
        }
    }

    /// The bytes and destinations of what was offered.
    pub(crate) fn lend<'a>(&'a self, log: &'a Log, scratch: &'a [u8]) -> Option<UdpSend<'a, A>> {
        let offer = self.offered.as_ref()?;
        let (sending, seats) = match offer.side {
            Side::Greeting => {
                let (_, to, report) = self.greetings.front()?.reports.last()?;
                let to = std::slice::from_ref(to);
                return Some(UdpSend { payload: report, segment: None, rtcp: true, to });
            }
            Side::Main => {
                let track = log.get(self.main.place.pos)?.batch.track();
                (&self.main, self.tracks.get(track.index())?)
            }
            Side::Chase(index) => {
                let chase = self.chases.get(index)?;
                (&chase.sending, &chase.seats)
            }
            Side::Burst(offer) => return self.bursts.lend(&offer, log, scratch),
            Side::Knock => {
                let payload = log.get(self.main.place.pos)?.batch.image();
                let to = self.knocks.to(offer.count);
                return Some(UdpSend { payload, segment: None, rtcp: false, to });
            }
        };
        let entry = log.get(sending.place.pos)?;
        let batch = &entry.batch;
        let to = seats.addresses(batch.kind()).get(sending.done..sending.done + offer.count)?;
        Some(UdpSend {
            payload: log.image(entry).get(offer.run.bytes.clone())?,
            segment: (offer.run.packets.len() > 1).then_some(offer.run.segment),
            rtcp: batch.kind() == EntryKind::Report,
            to,
        })
    }

    /// What was offered went to the first `sent` destinations.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_>,
        sent: usize,
        next_failed: bool,
    ) {
        let Some(offer) = self.offered.take() else { return };
        if sent > 0 || next_failed {
            self.taken(now, shared.limits);
        }
        if let Side::Burst(offer) = offer.side {
            self.is_chase_turn = false;
            self.bursts.sent(now, shared, &offer, sent, next_failed);
            return;
        }
        let sent = sent.min(offer.count);
        let failed = usize::from(next_failed && sent < offer.count);
        if sent + failed == 0 {
            return;
        }
        self.is_chase_turn = matches!(offer.side, Side::Main | Side::Knock);
        match offer.side {
            Side::Greeting => {
                let Some(first) = self.greetings.front_mut() else { return };
                let who = [Who { key: first.key, last: None }];
                shared.count(&who, (sent, failed), &offer.run, 0);
                first.reports.pop();
                if first.reports.is_empty()
                    && let Some(greeting) = self.greetings.pop_front()
                {
                    self.seat(greeting, shared.log);
                }
            }
            Side::Burst(_) => {}
            Side::Knock => self.knocks.sent(sent + failed),
            Side::Main => {
                let Some(entry) = shared.log.get(self.main.place.pos) else { return };
                if let Some(seats) = self.tracks.get(entry.batch.track().index()) {
                    self.main.sent(shared, seats, entry, (sent, failed), &offer.run);
                }
            }
            Side::Chase(index) => {
                self.next_chase = index + 1;
                let Some(chase) = self.chases.get_mut(index) else { return };
                chase.has_begun = true;
                let Some(entry) = shared.log.get(chase.sending.place.pos) else { return };
                chase.sending.sent(shared, &chase.seats, entry, (sent, failed), &offer.run);
            }
        }
    }
}
