//! UDP readers on their way from the newest key unit to live.
//!
//! A burst is one track from a key unit on, for readers that joined before it began: with mapped
//! timestamps, made in a scratch for each send, and paced, for a reader's socket buffer holds less
//! than a key unit. It ends where its readers meet the group. Bursts are kept by the time at which
//! they are due, so one of many costs as much as one alone; first pictures go before the rest. Each
//! costs what its reader would not cost live, so where the CPU does not last they end early.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rtp_rtcp::{ExtSeq, RtpHeader, RtpTime};
use smallvec::SmallVec;

use crate::ReaderKey;
use crate::batch::{EntryKind, MAX_DATAGRAM_BYTES, Run};
use crate::event::DropCause;
use crate::limits::FanOutLimits;
use crate::live_point::LivePoint;
use crate::log::{Entry, Log, Newest, Place};
use crate::seats::{Seat, Seats};
use crate::sending::Sending;
use crate::track::TrackId;
use crate::udp::{MAX_DESTINATIONS, Shared, UdpSend};

/// When a burst is due, those first whose readers have no picture yet, and a number that no other
/// one has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Due {
    phase: Phase,
    at: Instant,
    number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Phase {
    /// The first picture is under way: it costs little, and all is there to see.
    Picture,
    /// What follows it. It may wait for other readers' first pictures.
    Rest,
}

/// The bursts of one socket group.
#[derive(Debug)]
pub(crate) struct Bursts<A> {
    by_due: BTreeMap<Due, Burst<A>>,
    /// The newest burst of each track, which others may join until it begins.
    fresh: SmallVec<[(TrackId, Due); 1]>,
    count: u64,
    /// None of them is due before this instant.
    origin: Option<Instant>,
    /// None of them needs anything before this position.
    lowest: u64,
    /// When the first one is due, if nothing else was when this was last found out.
    pub(crate) wake: Option<Instant>,
}

#[derive(Debug)]
struct Burst<A> {
    track: TrackId,
    seats: Seats<A>,
    live: LivePoint,
    /// The end of the log when the live point was taken: later packets are not before it.
    until: u64,
    place: Place,
    /// What is being sent from there, and to how many of the readers it has been.
    run: Option<BurstRun>,
    done: usize,
    /// The last number sent.
    last: Option<ExtSeq>,
    /// Reports before this position are not for these readers: they have had better ones.
    reports_from: u64,
    /// Bits per second.
    rate: u64,
    /// The timestamp of the first picture.
    picture: Option<RtpTime>,
    /// How much later than at its rate it goes on.
    late: Duration,
}

/// Packets of one or more entries that leave in one send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct BurstRun {
    kind: EntryKind,
    packets: usize,
    bytes: usize,
    segment: usize,
    /// Packets among them that no datagram can carry.
    skipped: usize,
    end: Place,
    last: Option<ExtSeq>,
}

/// What one burst sends next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BurstOffer {
    due: Due,
    run: BurstRun,
    count: usize,
}

/// Readers that leave a burst, and its track.
pub(crate) type Left<A> = (TrackId, Vec<Seat<A>>);

/// What the bursts have to say.
pub(crate) enum Step<A> {
    Send(BurstOffer),
    /// These have met the group, or will at this position.
    Arrived(Left<A>, u64),
    Nothing,
}

/// The most bytes of one send, but for a single packet.
const RUN_BYTES: usize = 16 << 10;
/// The most packets of one send: a receive buffer is charged more than twice what they carry.
const RUN_PACKETS: usize = 16;
/// How late a burst may be and still make up for it. With `RUN_BYTES` it keeps what comes at once
/// to a reader far below the receive buffers that systems give by default (92 packets), and is
/// more than timers are late.
const MAKE_UP: Duration = Duration::from_millis(2);
/// Who is so late with what follows the first picture goes on with the next key unit instead, with
/// everyone: to bring many to live costs more than live does, and must not go on for ever.
const LATE: Duration = Duration::from_secs(1);
/// Where the first pictures of so many bursts wait for so long, more would only make it worse.
const BUSY: (usize, Duration) = (64, Duration::from_millis(100));
/// The shortest time over which a stream's own rate is taken: a key frame alone says nothing.
const RATE_SPAN: Duration = Duration::from_secs(1);

impl Newest {
    /// The bits per second at which a reader is brought to live: above all more than live has.
    pub(crate) fn rate(&self, limits: &FanOutLimits) -> u64 {
        let millis = self.age.max(RATE_SPAN).as_millis() as u64;
        let own = self.left.bytes.saturating_mul(8_000) / millis.max(1);
        limits.instant_rate.max(own.saturating_mul(2)).max(1)
    }
}

impl<A: Copy> Bursts<A> {
    pub(crate) fn new() -> Self {
        Self {
            by_due: BTreeMap::new(),
            fresh: SmallVec::new(),
            count: 0,
            origin: None,
            lowest: u64::MAX,
            wake: None,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_due.is_empty()
    }

    /// The oldest position needed by any of them that was due after the instant `after`.
    pub(crate) fn needs(&self, after: Option<Instant>) -> Option<u64> {
        let bursts = self.by_due.iter().filter(|(due, _)| Some(due.at) >= after);
        bursts.map(|(_, burst)| burst.place.pos).min()
    }

    /// Adds a reader that joined at the instant `at`, when the log ended at `joined`.
    pub(crate) fn add(
        &mut self,
        seat: Seat<A>,
        unit: &Newest,
        rate: u64,
        at: Instant,
        joined: u64,
    ) {
        let fresh = self.fresh.iter().find(|(track, _)| *track == unit.track);
        if let Some(burst) = fresh.and_then(|(_, due)| self.by_due.get_mut(due))
            && burst.place == unit.begins
            && burst.run.is_none()
        {
            // Nothing of it has been sent, so live may be later for those who came before.
            if unit.live.is_after(burst.live) {
                burst.live = unit.live;
                burst.until = joined;
            }
            burst.seats.push_live(seat);
            return;
        }
        let mut seats = Seats::new();
        seats.push_live(seat);
        let due = self.insert(
            Phase::Picture,
            at,
            Burst {
                track: unit.track,
                seats,
                live: unit.live,
                until: joined,
                place: unit.begins,
                run: None,
                done: 0,
                last: None,
                reports_from: joined,
                rate,
                picture: None,
                late: Duration::ZERO,
            },
        );
        self.lowest = self.lowest.min(unit.begins.pos);
        self.fresh.retain(|(track, _)| *track != unit.track);
        self.fresh.push((unit.track, due));
    }

    fn insert(&mut self, phase: Phase, at: Instant, burst: Burst<A>) -> Due {
        let due = Due { phase, at, number: self.count };
        self.origin = self.origin.filter(|_| !self.by_due.is_empty()).min(Some(at)).or(Some(at));
        self.count += 1;
        self.by_due.insert(due, burst);
        due
    }

    /// Takes a reader out of the bursts of the tracks that `goes` names.
    pub(crate) fn remove(&mut self, key: ReaderKey, goes: impl Fn(TrackId) -> bool) {
        self.by_due.retain(|_, burst| {
            if goes(burst.track)
                && let Some(index) = burst.seats.remove(key)
                && index < burst.done
            {
                burst.done -= 1;
            }
            !burst.seats.is_empty()
        });
    }

    /// Ends them all; each reader is told of with the last number that it may have been sent.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Left<A>> + use<A> {
        self.fresh.clear();
        self.lowest = u64::MAX;
        self.wake = None;
        std::mem::take(&mut self.by_due).into_values().map(Burst::end)
    }

    /// The oldest entry of the log is about to go: who still needs it loses it, and who has not
    /// begun would begin in the middle of a unit, so it is returned.
    pub(crate) fn lose_oldest(&mut self, shared: &mut Shared<'_>) -> SmallVec<[Left<A>; 1]> {
        let base = shared.log.base();
        let mut left = SmallVec::new();
        if self.lowest > base {
            return left;
        }
        let Some(entry) = shared.log.get(base) else { return left };
        self.lowest = u64::MAX;
        self.by_due.retain(|_, burst| {
            if burst.place.pos <= base {
                let seats = burst.lose(entry, base, shared);
                if !seats.is_empty() {
                    left.push((burst.track, seats));
                }
            }
            self.lowest = self.lowest.min(burst.place.pos);
            !burst.seats.is_empty()
        });
        left
    }

    /// The next thing to do for readers in bursts; what is sent is made in the shared scratch.
    pub(crate) fn next(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_>,
        main: &Sending,
        segments: usize,
    ) -> Step<A> {
        self.wake = None;
        while let Some(due) = self.first(now) {
            if due.at > now {
                let next = [self.first_of(Phase::Picture), self.first_of(Phase::Rest)];
                self.wake = next.into_iter().flatten().map(|due| due.at).min();
                break;
            }
            let Some(burst) = self.by_due.get_mut(&due) else { break };
            let Some(run) = burst.next_run(shared, main, segments) else {
                let at = burst.place.pos;
                let Some(burst) = self.by_due.remove(&due) else { break };
                return Step::Arrived(burst.end(), at);
            };
            if burst.done < burst.seats.who().len() {
                let count = (burst.seats.who().len() - burst.done).min(MAX_DESTINATIONS);
                return Step::Send(BurstOffer { due, run, count });
            }
            // The last readers it was for have left.
            self.end_run(now, shared.log, due, &run);
        }
        Step::Nothing
    }

    /// The bytes of an offer and where they go.
    pub(crate) fn lend<'a>(
        &'a self,
        offer: &BurstOffer,
        log: &'a Log,
        scratch: &'a [u8],
    ) -> Option<UdpSend<'a, A>> {
        let burst = self.by_due.get(&offer.due)?;
        let to = burst.seats.addresses(offer.run.kind);
        let to = to.get(burst.done..burst.done + offer.count)?;
        let rtcp = offer.run.kind == EntryKind::Report;
        let payload = if rtcp { log.get(burst.place.pos)?.batch.image() } else { scratch };
        let segment = (offer.run.packets > 1).then_some(offer.run.segment);
        Some(UdpSend { payload, segment, rtcp, to })
    }

    /// The offer went to the first `sent` destinations, or was refused by the one after them.
    pub(crate) fn sent(
        &mut self,
        now: Instant,
        shared: &mut Shared<'_>,
        offer: &BurstOffer,
        sent: usize,
        next_failed: bool,
    ) {
        let sent = sent.min(offer.count);
        let failed = usize::from(next_failed && sent < offer.count);
        let Some(burst) = self.by_due.get_mut(&offer.due) else { return };
        let BurstRun { packets, bytes, segment, skipped, .. } = offer.run;
        let run = Run { packets: 0..packets, bytes: 0..bytes, segment };
        let who = burst.seats.who().get(burst.done..).unwrap_or_default();
        shared.count(who, (sent, failed), &run, skipped);
        burst.done += sent + failed;
        if burst.done >= burst.seats.who().len() {
            self.end_run(now, shared.log, offer.due, &offer.run);
        }
    }

    /// The next one is due when this one's bytes have had their time.
    fn end_run(&mut self, now: Instant, log: &Log, due: Due, run: &BurstRun) {
        let Some(mut burst) = self.by_due.remove(&due) else { return };
        burst.picture = burst.picture.or_else(|| burst.timestamp(log));
        burst.pass(run);
        let is_whole = due.phase == Phase::Rest || burst.timestamp(log) != burst.picture;
        let phase = if is_whole { Phase::Rest } else { Phase::Picture };
        let nanos = (run.bytes as u64).saturating_mul(8_000_000_000) / burst.rate;
        let from = now.checked_sub(MAKE_UP).map_or(due.at, |earliest| earliest.max(due.at));
        burst.late += from.saturating_duration_since(due.at);
        self.insert(phase, from + Duration::from_nanos(nanos), burst);
    }

    /// Whether so many wait for their first picture that nobody else may begin with one.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        let (many, long) = BUSY;
        let mut waiting = self.by_due.keys().take_while(|due| due.phase == Phase::Picture);
        let longest = waiting.next().map(|due| now.saturating_duration_since(due.at));
        longest.is_some_and(|longest| longest >= long) && waiting.nth(many - 2).is_some()
    }

    /// Takes those out that are too late and can go on with the key unit of `track` that begins at
    /// `key`; what they lose is counted.
    pub(crate) fn take_late(
        &mut self,
        track: TrackId,
        key: Place,
        shared: &mut Shared<'_>,
    ) -> Vec<Seat<A>> {
        let is_late = |burst: &Burst<A>| {
            // A run that some have had is brought to an end, and live times are none before `until`.
            let is_between = burst.done == 0 && burst.until <= key.pos && burst.place < key;
            burst.track == track && burst.late > LATE && is_between
        };
        let due = self.by_due.iter().filter(|(_, burst)| is_late(burst)).map(|(due, _)| *due);
        let due: Vec<Due> = due.collect();
        let mut taken = Vec::new();
        for burst in due.iter().filter_map(|due| self.by_due.remove(due)) {
            let lost = burst.left_before(shared.log, key);
            for who in burst.seats.who() {
                shared.lose(who.key, lost, DropCause::Late, burst.late);
            }
            taken.extend(burst.end().1);
        }
        taken
    }

    /// The first one that is due, those first that have no picture yet; if none is, any.
    fn first(&self, now: Instant) -> Option<Due> {
        let pictures = self.first_of(Phase::Picture).filter(|due| due.at <= now);
        pictures.or_else(|| self.first_of(Phase::Rest)).or_else(|| self.first_of(Phase::Picture))
    }

    fn first_of(&self, phase: Phase) -> Option<Due> {
        let from = Due { phase, at: self.origin?, number: 0 };
        let found = self.by_due.range(from..).next().map(|(due, _)| *due);
        found.filter(|due| due.phase == phase)
    }
}

impl<A: Copy> Burst<A> {
    fn wants(&self, track: TrackId, is_media: bool, pos: u64) -> bool {
        track == self.track && (is_media || pos >= self.reports_from)
    }

    /// The run that is next, or the one that was begun; `None` once it has met the group.
    fn next_run(
        &mut self,
        shared: &mut Shared<'_>,
        main: &Sending,
        segments: usize,
    ) -> Option<BurstRun> {
        // An entry that the group is in the middle of comes from here, and so does what was there
        // when the live point was taken, should the group be late with it.
        let end = self.until.max(main.place.pos + u64::from(!main.is_at_border()));
        let cap = self.run.map_or_else(|| segments.clamp(1, RUN_PACKETS), |run| run.packets);
        while self.place.pos < end {
            let pos = self.place.pos;
            let batch = &shared.log.get(pos)?.batch;
            let is_media = batch.kind() == EntryKind::Media;
            let is_left = (self.place.packet as usize) < batch.len();
            if !is_left || !self.wants(batch.track(), is_media, pos) {
                self.place = Place::at(pos + 1);
                continue;
            }
            let run = if is_media {
                self.gather(shared.log, end, cap, shared.scratch)
            } else {
                let bytes = batch.image_len();
                BurstRun {
                    kind: EntryKind::Report,
                    packets: usize::from(bytes <= MAX_DATAGRAM_BYTES),
                    bytes,
                    segment: bytes,
                    skipped: 0,
                    end: Place::at(pos + 1),
                    last: self.last,
                }
            };
            if run.packets > 0 {
                self.run = Some(run);
                return Some(run);
            }
            for who in self.seats.who() {
                let (cause, behind) = (DropCause::TooLarge, Duration::ZERO);
                shared.lose(who.key, run.skipped as u64, cause, behind);
            }
            self.pass(&run);
        }
        None
    }

    /// The timestamp of its next packet, if there is any yet.
    fn timestamp(&self, log: &Log) -> Option<RtpTime> {
        let of_track = |pos: &u64| {
            log.get(*pos).is_some_and(|e| e.is_media() && e.batch.track() == self.track)
        };
        let is_left = |place: Place| {
            log.get(place.pos).is_some_and(|e| (place.packet as usize) < e.batch.len())
        };
        let here = Some(self.place).filter(|place| of_track(&place.pos) && is_left(*place));
        let place =
            here.or_else(|| (self.place.pos + 1..log.end()).find(of_track).map(Place::at))?;
        let packet = log.get(place.pos)?.batch.packet(place.packet as usize);
        RtpHeader::parse(packet).ok().map(|header| header.timestamp)
    }

    /// How many packets of its track there are between its place and another.
    fn left_before(&self, log: &Log, end: Place) -> u64 {
        let entries = (self.place.pos..=end.pos).filter_map(|pos| Some((pos, log.get(pos)?)));
        let entries = entries.filter(|(_, e)| e.is_media() && e.batch.track() == self.track);
        let counts = entries.map(|(pos, entry)| {
            let from = if pos == self.place.pos { self.place.packet as usize } else { 0 };
            let until = if pos == end.pos { end.packet as usize } else { entry.batch.len() };
            until.saturating_sub(from) as u64
        });
        counts.sum()
    }

    fn pass(&mut self, run: &BurstRun) {
        self.place = run.end;
        self.last = run.last;
        self.run = None;
        self.done = 0;
    }

    /// Copies packets of one size, the last of them possibly shorter, with mapped timestamps.
    fn gather(&self, log: &Log, end: u64, cap: usize, out: &mut Vec<u8>) -> BurstRun {
        out.clear();
        let mut run = BurstRun {
            kind: EntryKind::Media,
            packets: 0,
            bytes: 0,
            segment: 0,
            skipped: 0,
            end: self.place,
            last: self.last,
        };
        while run.end.pos < end
            && let Some(entry) = log.get(run.end.pos)
        {
            let batch = &entry.batch;
            let is_media = entry.is_media();
            if !self.wants(batch.track(), is_media, run.end.pos) {
                run.end = Place::at(run.end.pos + 1);
                continue;
            }
            if !is_media {
                break;
            }
            for index in run.end.packet as usize..batch.len() {
                let packet = batch.packet(index);
                let is_sendable = packet.len() <= MAX_DATAGRAM_BYTES;
                if is_sendable && run.packets > 0 {
                    let is_over = out.len() + packet.len() > RUN_BYTES || run.packets >= cap;
                    let is_full = is_over || out.len() < run.packets * run.segment;
                    if is_full || packet.len() > run.segment {
                        run.bytes = out.len();
                        return run;
                    }
                }
                if is_sendable {
                    let begin = out.len();
                    out.extend_from_slice(packet);
                    if run.end.pos < self.until
                        && let Some(copy) = out.get_mut(begin..)
                    {
                        self.live.patch(copy);
                    }
                    run.segment = if run.packets == 0 { packet.len() } else { run.segment };
                    run.packets += 1;
                    run.last = batch.ext_seq(index);
                } else {
                    run.skipped += 1;
                }
                run.end.packet = index as u32 + 1;
            }
            run.end = Place::at(run.end.pos + 1);
        }
        run.bytes = out.len();
        run
    }

    /// The entry at `base`, where it is, goes. Returns those that have had nothing of the unit.
    fn lose(&mut self, entry: &Entry, base: u64, shared: &mut Shared<'_>) -> Vec<Seat<A>> {
        if !self.wants(entry.batch.track(), entry.is_media(), base) {
            self.place = Place::at(base + 1);
            return Vec::new();
        }
        let mut left = Vec::new();
        if self.last.is_none() {
            left.extend(self.seats.take_after(self.done));
        }
        if let Some(run) = self.run.filter(|_| self.done > 0) {
            let lost = if run.kind == EntryKind::Media { run.packets + run.skipped } else { 0 };
            self.count_lost(lost, shared);
            self.pass(&run);
        }
        if self.place.pos <= base {
            let from = self.place.packet as usize;
            let lost = if entry.is_media() { entry.batch.len().saturating_sub(from) } else { 0 };
            self.count_lost(lost, shared);
            self.run = None;
            self.place = Place::at(base + 1);
        }
        left
    }

    /// Counts packets that readers do not get any more who have not been sent the run.
    fn count_lost(&self, packets: usize, shared: &mut Shared<'_>) {
        let behind = shared.log.span();
        for who in self.seats.who().iter().skip(self.done) {
            shared.lose(who.key, packets as u64, DropCause::LogFull, behind);
        }
    }

    /// Its readers, with the last number they may have been sent.
    fn end(mut self) -> Left<A> {
        let run = self.run.filter(|_| self.done > 0);
        self.seats.hold_all(run.map_or(self.last, |run| run.last));
        (self.track, self.seats.take_waiting().collect())
    }
}
