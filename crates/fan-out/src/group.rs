//! The readers of one socket group.
//!
//! They are one cursor: per track one list of destinations, and one place (entry, run of packets,
//! destination) that survives a blocked socket and a caller whose budget is spent. A reader
//! enters the lists between two entries. One that has to get something before, because it came in
//! the middle of an entry or because its key unit began in an earlier one, is in a [`Chase`]: one
//! track over a range of the log for a few readers, until it meets the group's place; chases take
//! turns with the group. So do bursts, which bring readers from a key unit long past to live.

mod offer;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtp_rtcp::ExtSeq;
use smallvec::SmallVec;

use crate::ReaderKey;
use crate::batch::MAX_DATAGRAM_BYTES;
use crate::blocked::Blocked;
use crate::burst::{Bursts, Left};
use crate::event::DropCause;
use crate::join::UdpTracks;
use crate::knocks::{Knocks, Untouched};
use crate::limits::FanOutLimits;
use crate::log::{Entry, Log, Newest, Place};
use crate::seats::{Seat, Seats, Who};
use crate::sending::{Chase, Sending};
use crate::track::{TrackId, TrackMask};
use crate::udp::Shared;

/// The readers behind one pair of sockets.
#[derive(Debug)]
pub(crate) struct Group<A> {
    /// By track; as many as needed.
    tracks: Vec<Seats<A>>,
    main: Sending,
    greetings: VecDeque<Greeting<A>>,
    chases: Vec<Chase<A>>,
    next_chase: usize,
    knocks: Knocks<A>,
    bursts: Bursts<A>,
    /// Whether it is the turn of the chases.
    is_chase_turn: bool,
    blocked: Blocked,
    pub(crate) offered: Option<offer::Offer>,
    pub(crate) max_segments: Option<usize>,
    members: usize,
}

/// A reader that gets its prologue.
#[derive(Debug)]
pub(crate) struct Greeting<A> {
    key: ReaderKey,
    tracks: UdpTracks<A>,
    wait: TrackMask,
    /// The units that tracks begin with which do not wait for one, and the rates.
    bursts: SmallVec<[(Newest, u64); 1]>,
    /// When it joined.
    at: Instant,
    /// The end of the log when it joined.
    joined: u64,
    /// What is left of it, last one first.
    reports: Vec<(TrackId, A, Bytes)>,
}

impl<A: Copy> Greeting<A> {
    pub(crate) fn new(
        at: Instant,
        key: ReaderKey,
        tracks: UdpTracks<A>,
        wait: TrackMask,
        joined: u64,
        prologue: Vec<(TrackId, Bytes)>,
    ) -> Self {
        let address = |track| tracks.iter().find(|&&(of, ..)| of == track).map(|&(.., rtcp)| rtcp);
        let reports = prologue
            .into_iter()
            .rev()
            .filter(|(_, report)| !report.is_empty() && report.len() <= MAX_DATAGRAM_BYTES)
            .filter_map(|(track, report)| Some((track, address(track)?, report)))
            .collect();
        Self { key, tracks, wait, bursts: SmallVec::new(), at, joined, reports }
    }

    pub(crate) fn with_bursts(self, bursts: SmallVec<[(Newest, u64); 1]>) -> Self {
        Self { bursts, ..self }
    }

    fn has_burst(&self, track: TrackId) -> bool {
        self.bursts.iter().any(|(unit, _)| unit.track == track)
    }
}

impl<A: Copy> Group<A> {
    pub(crate) fn new() -> Self {
        Self {
            tracks: Vec::new(),
            main: Sending::default(),
            greetings: VecDeque::new(),
            chases: Vec::new(),
            next_chase: 0,
            knocks: Knocks::new(),
            bursts: Bursts::new(),
            is_chase_turn: false,
            blocked: Blocked::default(),
            offered: None,
            max_segments: None,
            members: 0,
        }
    }

    /// The oldest position it still needs; `None` without readers.
    pub(crate) fn needs(&self) -> Option<u64> {
        let chases = self.chases.iter().map(|chase| chase.sending.place.pos);
        let all = chases.chain(self.needs_for_bursts(None));
        (self.members > 0).then(|| all.fold(self.main.place.pos, u64::min))
    }

    /// The oldest position that readers need who are being brought to live, those left out that
    /// could not be served since the instant `after`.
    pub(crate) fn needs_for_bursts(&self, after: Option<Instant>) -> Option<u64> {
        let greeted = self.greetings.iter().filter(|greeting| Some(greeting.at) >= after);
        let greeted = greeted.flat_map(|greeting| &greeting.bursts);
        let greeted = greeted.map(|(unit, _)| unit.begins.pos);
        greeted.chain(self.bursts.needs(after)).min()
    }

    /// Whether nobody else should begin with a key unit long past.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        self.bursts.is_busy(now)
    }

    pub(crate) fn has_bursts(&self) -> bool {
        !self.bursts.is_empty()
    }

    /// When there is something to send again for readers that are being brought to live.
    pub(crate) fn wake(&self) -> Option<Instant> {
        self.bursts.wake
    }

    /// The socket took nothing of what was offered.
    pub(crate) fn blocked(&mut self, now: Instant) {
        self.blocked.begin(now);
    }

    /// The socket takes what is offered.
    pub(crate) fn taken(&mut self, now: Instant, limits: &FanOutLimits) {
        self.blocked.end(now, limits.lag_max_age);
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.bursts.wake = self.bursts.wake.filter(|wake| now < *wake);
    }

    pub(crate) fn join(&mut self, greeting: Greeting<A>, log: &Log) {
        if self.members == 0 {
            self.main = Sending { place: Place::at(log.end()), ..Sending::default() };
        }
        self.members += 1;
        if greeting.reports.is_empty() {
            self.seat(greeting, log);
        } else {
            self.greetings.push_back(greeting);
        }
    }

    pub(crate) fn leave(&mut self, key: ReaderKey, log: &Log) {
        self.members = self.members.saturating_sub(1);
        self.remove(key, log);
    }

    /// A reader goes on with `tracks` alone.
    pub(crate) fn keep_tracks(&mut self, key: ReaderKey, tracks: TrackMask, log: &Log) {
        if let Some(place) = self.greetings.iter().position(|greeting| greeting.key == key)
            && let Some(greeting) = self.greetings.get_mut(place)
        {
            greeting.tracks.retain(|(track, ..)| tracks.contains(*track));
            greeting.reports.retain(|(track, ..)| tracks.contains(*track));
            greeting.bursts.retain(|(unit, _)| tracks.contains(unit.track));
            // One with nothing left to say would stand in the way of those after it.
            if greeting.reports.is_empty()
                && let Some(greeting) = self.greetings.remove(place)
            {
                self.seat(greeting, log);
            }
        }
        self.unseat(key, log, |track| !tracks.contains(track));
    }

    /// Takes a reader out of every list.
    fn remove(&mut self, key: ReaderKey, log: &Log) {
        self.greetings.retain(|greeting| greeting.key != key);
        self.unseat(key, log, |_| true);
    }

    /// Takes a reader out of the lists of the tracks that `goes` names; those behind it move up,
    /// and so does the place.
    fn unseat(&mut self, key: ReaderKey, log: &Log, goes: impl Fn(TrackId) -> bool) {
        self.offered = None;
        self.knocks.remove(key, &goes);
        let current = log.get(self.main.place.pos).map(|entry| entry.batch.track());
        for (index, seats) in self.tracks.iter_mut().enumerate() {
            let track = TrackId(index as u8);
            if goes(track)
                && let Some(seat) = seats.remove(key)
                && current == Some(track)
            {
                self.main.vacate(seat);
            }
        }
        for chase in self.chases.iter_mut().filter(|chase| goes(chase.track)) {
            if let Some(seat) = chase.seats.remove(key) {
                chase.sending.vacate(seat);
            }
        }
        self.chases.retain(|chase| !chase.seats.is_empty());
        self.bursts.remove(key, goes);
    }

    /// Tracks that turned out to have no key frames are not waited for.
    pub(crate) fn set_video(&mut self, video: TrackMask) {
        for greeting in &mut self.greetings {
            greeting.wait = greeting.wait.intersect(video);
        }
        for index in 0..self.tracks.len() {
            let track = TrackId(index as u8);
            if !video.contains(track)
                && let Some(seats) = self.tracks.get_mut(index)
                && seats.has_waiting()
            {
                for seat in seats.take_waiting() {
                    self.go_live(track, seat);
                }
            }
        }
    }

    /// The log was cleared: everybody goes on with what comes next, video with a key unit.
    pub(crate) fn clear(&mut self, log: &Log, video: TrackMask) {
        self.offered = None;
        // Who of them had media is not known any more.
        self.knocks.clear();
        self.main = Sending { place: Place::at(log.end()), ..Sending::default() };
        for greeting in &mut self.greetings {
            greeting.wait = video;
            greeting.bursts.clear();
        }
        for mut chase in std::mem::take(&mut self.chases) {
            chase.seats.hold_all(log.last_seq(chase.track));
            if let Some(seats) = self.tracks.get_mut(chase.track.index()) {
                for seat in chase.seats.take_waiting() {
                    seats.push_live(seat);
                }
            }
        }
        for left in self.bursts.clear() {
            wait_for_key(&mut self.tracks, left);
        }
        for (index, seats) in self.tracks.iter_mut().enumerate() {
            let track = TrackId(index as u8);
            if video.contains(track) {
                seats.hold_all(log.last_seq(track));
            }
        }
    }

    /// The oldest entry of the log is about to go: who still needs it loses it. `now` is there
    /// unless the log has to shrink whatever its age.
    pub(crate) fn lose_oldest(&mut self, now: Option<Instant>, shared: &mut Shared<'_>) {
        let base = shared.log.base();
        let Some(entry) = shared.log.get(base).filter(|_| self.members > 0) else { return };
        let why = self.why_lost(now, entry, shared);
        let (all, behind) = (entry.batch.len(), why.1);
        if self.main.place.pos <= base {
            self.offered = None;
            if why.0 == DropCause::Late {
                self.main.move_forward(shared.log, shared.video);
            }
            let seats = self.tracks.get(entry.batch.track().index());
            self.main.give_up(seats, entry, all, why, shared);
        }
        for greeting in &self.greetings {
            let is_played = greeting.tracks.iter().any(|(track, ..)| *track == entry.batch.track());
            let track = entry.batch.track();
            let waits = greeting.wait.contains(track) || greeting.has_burst(track);
            let is_due = greeting.joined <= base && !waits;
            if is_played && is_due && entry.is_media() {
                shared.lose(greeting.key, all as u64, why.0, behind);
            }
        }
        let mut index = 0;
        while let Some(chase) = self.chases.get_mut(index) {
            if chase.sending.place.pos > base {
                index += 1;
                continue;
            }
            self.offered = None;
            let is_wanted = chase.wants(entry, base);
            // Who joined live begins anywhere.
            let begins_with_key = chase.since.is_some() && !chase.has_begun;
            let is_video = entry.is_media() && shared.video.contains(chase.track);
            if is_wanted && is_video && begins_with_key {
                // What is left would begin in the middle of a unit.
                let mut chase = self.chases.swap_remove(index);
                chase.seats.hold_all(None);
                if let Some(seats) = self.tracks.get_mut(chase.track.index()) {
                    chase.seats.take_waiting().for_each(|seat| seats.push_waiting(seat));
                }
            } else {
                let seats = is_wanted.then_some(&chase.seats);
                chase.sending.give_up(seats, entry, all, why, shared);
            }
        }
        for left in self.bursts.lose_oldest(shared) {
            self.offered = None;
            wait_for_key(&mut self.tracks, left);
        }
    }

    /// Why readers that have not had `entry` lose it as the log lets it go, and how late it is.
    fn why_lost(
        &self,
        now: Option<Instant>,
        entry: &Entry,
        shared: &Shared<'_>,
    ) -> (DropCause, Duration) {
        let Some(now) = now else { return (DropCause::LogFull, shared.log.span()) };
        let blocked = self.blocked.within(entry.since, now);
        let age = now.saturating_duration_since(entry.since);
        if blocked > shared.limits.udp_max_age {
            (DropCause::SocketFull, blocked)
        } else if age > shared.limits.lag_max_age {
            (DropCause::Late, age)
        } else {
            (DropCause::LogFull, shared.log.span())
        }
    }

    /// A reader has had its prologue.
    fn seat(&mut self, greeting: Greeting<A>, log: &Log) {
        let next = self.main.place.pos + u64::from(!self.main.is_at_border());
        for (track, rtp, rtcp) in greeting.tracks {
            let mut seat = Seat { rtp, rtcp, who: Who { key: greeting.key, last: None } };
            while self.tracks.len() <= track.index() {
                self.tracks.push(Seats::new());
            }
            let mut waits = greeting.wait.contains(track);
            let place =
                Untouched { track, key: greeting.key, rtp, last: log.last_seq_before(track, next) };
            let unit = greeting.bursts.iter().find(|(unit, _)| unit.track == track);
            if let Some((unit, rate)) = unit {
                // Where the group has yet to come to that unit, it begins there with the others, and
                // not with an earlier one.
                let is_ahead = unit.known > self.main.place.pos
                    || (unit.known == self.main.place.pos && self.main.is_at_border());
                waits = is_ahead || unit.begins.pos < log.base();
                if !waits {
                    self.bursts.add(seat, unit, *rate, greeting.at, greeting.joined);
                    continue;
                }
                let begins = log.get(unit.begins.pos).map(|entry| &entry.batch);
                let begins = begins.and_then(|batch| batch.ext_seq(unit.begins.packet as usize));
                seat.who.last = begins.and_then(|begins| begins.0.checked_sub(1)).map(ExtSeq);
            }
            self.knocks.add(place);
            if waits {
                if let Some(seats) = self.tracks.get_mut(track.index()) {
                    seats.push_waiting(seat);
                }
            } else {
                self.go_live(track, seat);
            }
        }
    }

    /// Adds a reader to a track's list, if need be once the current entry is done.
    fn go_live(&mut self, track: TrackId, seat: Seat<A>) {
        self.go_live_at(track, seat, self.main.place.pos);
    }

    /// The same for one that has had everything before the position `at`.
    fn go_live_at(&mut self, track: TrackId, seat: Seat<A>, at: u64) {
        if self.main.is_at_border() && at <= self.main.place.pos {
            if let Some(seats) = self.tracks.get_mut(track.index()) {
                seats.push_live(seat);
            }
            return;
        }
        let next = at.max(self.main.place.pos + u64::from(!self.main.is_at_border()));
        let place = Place::at(next);
        let same = self.chases.iter_mut().find(|chase| {
            chase.track == track && chase.sending.place == place && chase.sending.is_at_border()
        });
        if let Some(chase) = same {
            chase.seats.push_live(seat);
            return;
        }
        let mut seats = Seats::new();
        seats.push_live(seat);
        let sending = Sending { place, ..Sending::default() };
        self.chases.push(Chase {
            track,
            seats,
            sending,
            reports_from: next,
            since: None,
            has_begun: false,
        });
    }
}

/// Readers that were to be brought to live wait for the next key unit.
fn wait_for_key<A: Copy>(tracks: &mut [Seats<A>], (track, left): Left<A>) {
    if let Some(seats) = tracks.get_mut(track.index()) {
        left.into_iter().for_each(|seat| seats.push_waiting(seat));
    }
}
