//! One stream's log and its readers on one shard.

mod eviction;
mod renditions;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtp_rtcp::{ExtSeq, RtpTime};
use slab::Slab;
use smallvec::SmallVec;

use crate::batch::{Rendition, WireBatch};
use crate::event::{AudienceEvent, Events, Lag, ReaderStats};
use crate::group::{Greeting, Group};
use crate::join::{AudienceFull, Join, MAX_GROUPS, Start, Transport};
use crate::limits::FanOutLimits;
use crate::log::{Log, Newest};
use crate::pieces::CatchUp;
use crate::reader::{Context, TcpReader, framed, unusual};
use crate::rows::Rows;
use crate::tcp_run::Alike;
use crate::track::{TrackId, TrackMask};
use crate::udp::Shared;

use renditions::Side;

/// Names a reader of an audience; never names another one after it left.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ReaderKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ReaderKey {
    pub(crate) fn new(index: usize, generation: u32) -> Self {
        Self { index: index as u32, generation }
    }
}

impl ReaderKey {
    /// A small number that no other reader of the audience has at the same time, for tables beside
    /// the audience.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// One stream's log and its readers on one shard.
///
/// `A` is the type of UDP destinations, so that the caller can keep kernel addresses ready made.
pub struct Audience<A> {
    pub(crate) limits: FanOutLimits,
    pub(crate) video: TrackMask,
    pub(crate) log: Log,
    /// The log of readers over UDP, from when there has been an entry that is not for all.
    pub(crate) datagrams: Option<Box<Log>>,
    pub(crate) slots: Slab<Slot>,
    /// By slot index; apart from the slots because UDP sends touch nothing else of a reader.
    pub(crate) stats: Vec<ReaderStats>,
    pub(crate) groups: Vec<Group<A>>,
    pub(crate) events: Events,
    pub(crate) alike: Alike,
    pub(crate) rows: Rows,
    /// What is made for UDP readers that catch up; empty while there is none.
    pub(crate) scratch: Vec<u8>,
    /// When stalls and lag are looked at next; none while there is nobody to look at.
    tick: Option<Instant>,
    tcp: usize,
    joined: u32,
}

/// A reader and the generation that tells its key from an earlier reader's.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) reader: Reader,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "boxing the cursor would cost a miss per write")]
pub(crate) enum Reader {
    Tcp(TcpReader),
    Udp { group: usize, is_cut: bool },
}

/// How often lag and stalls of readers that are behind are looked at.
const TICK: Duration = Duration::from_millis(500);

impl<A: Copy> Audience<A> {
    /// An empty log without readers; `video` are the tracks that have key frames.
    pub fn new(limits: FanOutLimits, video: TrackMask) -> Self {
        Self {
            limits,
            video,
            log: Log::new(),
            datagrams: None,
            slots: Slab::new(),
            stats: Vec::new(),
            groups: Vec::new(),
            events: Events::default(),
            alike: Alike::default(),
            rows: Rows::default(),
            scratch: Vec::new(),
            tick: None,
            tcp: 0,
            joined: 0,
        }
    }

    /// The tracks with key frames have changed with the backend's description.
    pub fn set_tracks(&mut self, video: TrackMask) {
        self.video = video;
        self.dissolve_rows();
        for (_, slot) in &mut self.slots {
            if let Reader::Tcp(reader) = &mut slot.reader {
                reader.set_video(video);
            }
        }
        for group in &mut self.groups {
            group.set_video(video);
        }
    }

    /// Appends a batch and evicts what nobody needs or what exceeds the limits.
    ///
    /// A batch that is not for all readers gives those over UDP a log of their own, if they have
    /// none yet: they go on where they are, with what is for them from then on.
    pub fn publish(&mut self, now: Instant, batch: Arc<WireBatch>) {
        if self.datagrams.is_none() && batch.rendition() == Rendition::Shared {
            self.log.append(now, batch);
        } else {
            self.publish_apart(now, batch);
        }
        self.evict(now);
        if self.tick.is_none() && self.tcp > 0 {
            self.tick = Some(now + TICK);
        }
    }

    /// The backend paused: the log holds nothing any more, so nobody is ever shown an old
    /// picture; every reader goes on with what is published next, video with a key unit.
    pub fn clear(&mut self) {
        self.dissolve_rows();
        self.log.clear();
        for (_, slot) in &mut self.slots {
            if let Reader::Tcp(reader) = &mut slot.reader {
                reader.clear(&self.log, self.video);
            }
        }
        self.clear_datagrams();
    }

    /// Evicts what arrived before the instant `at`, needed or not: for a budget over many logs.
    pub fn forget_before(&mut self, at: Instant) {
        for side in Side::BOTH {
            while self.front_of(side).is_some_and(|entry| entry.batch.at() < at) {
                self.evict_one(None, side);
            }
        }
    }

    /// Adds a reader. It is served from the next call of [`Audience::slices`] or
    /// [`Audience::udp_next`] on.
    ///
    /// # Errors
    ///
    /// [`AudienceFull`] when [`FanOutLimits::readers`] are here, or for a group number of
    /// [`MAX_GROUPS`] or more.
    #[must_use = "a reader that did not get in has to be told"]
    pub fn join(&mut self, now: Instant, join: Join<A>) -> Result<ReaderKey, AudienceFull> {
        self.join_held(now, join, &[])
    }

    /// The same while the backend is away: with [`Start::Instant`] the tracks named begin as they
    /// would have when their media ended, and the last of it is shown as these times, which are to
    /// be those of the present.
    ///
    /// # Errors
    ///
    /// As for [`Audience::join`].
    #[must_use = "a reader that did not get in has to be told"]
    pub fn join_held(
        &mut self,
        now: Instant,
        join: Join<A>,
        present: &[(TrackId, RtpTime)],
    ) -> Result<ReaderKey, AudienceFull> {
        let key = ReaderKey { index: self.slots.vacant_key() as u32, generation: self.joined };
        let is_known = match &join.transport {
            Transport::Tcp { .. } => true,
            Transport::Udp { group, .. } => *group < MAX_GROUPS,
        };
        if self.slots.len() >= self.limits.readers || !is_known {
            return Err(AudienceFull);
        }
        let index = key.index as usize;
        if self.stats.len() <= index {
            self.stats.resize_with(index + 1, ReaderStats::default);
        }
        if let Some(stats) = self.stats.get_mut(index) {
            *stats = ReaderStats::default();
        }
        let wanted = join.tracks.intersect(join.transport.tracks());
        let group = match &join.transport {
            Transport::Tcp { .. } => None,
            Transport::Udp { group, .. } => Some(*group),
        };
        let (wait, bursts) = self.begin(now, key, (join.start, present), wanted, group);
        let reader = match join.transport {
            Transport::Tcp { channels } => {
                self.tcp += 1;
                self.tick = self.tick.or(Some(now + TICK));
                let mask: TrackMask = channels.iter().map(|&(track, ..)| track).collect();
                let mask = mask.intersect(wanted);
                let channels = unusual(channels, mask);
                let private = framed(&join.prologue, mask, channels.as_ref());
                let wait = mask.intersect(wait);
                let end = self.log.end();
                let bursts = bursts.iter().rev().map(|unit| CatchUp::to_live(unit, end)).collect();
                Reader::Tcp(TcpReader::new(now, &self.log, mask, wait, bursts, channels, private))
            }
            Transport::Udp { group, mut tracks } => {
                tracks.retain(|&mut (track, ..)| {
                    wanted.intersect(TrackMask::of(track)) != TrackMask::EMPTY
                });
                while self.groups.len() <= group {
                    self.groups.push(Group::new());
                }
                let bursts = bursts.into_iter().map(|unit| (unit, unit.rate(&self.limits)));
                let log = self.datagrams.as_deref().unwrap_or(&self.log);
                let greeting = Greeting::new(now, key, tracks, wait, log.end(), join.prologue)
                    .with_bursts(bursts.collect());
                if let Some(group) = self.groups.get_mut(group) {
                    group.join(greeting, log);
                }
                Reader::Udp { group, is_cut: false }
            }
        };
        self.rows.set_alone(key, matches!(reader, Reader::Tcp(_)));
        self.slots.insert(Slot { generation: key.generation, reader });
        self.joined = self.joined.wrapping_add(1);
        Ok(key)
    }

    /// The number that the media of `track` begins with for a reader that joins now with
    /// [`Start::Instant`]; `None` where it waits for the next key unit, or begins live.
    pub fn instant_seq(&self, now: Instant, track: TrackId) -> Option<ExtSeq> {
        let unit = Some(track).filter(|track| self.video.contains(*track));
        let unit = self.log.instant_unit(now, unit?, &self.limits)?;
        self.log.get(unit.begins.pos)?.batch.ext_seq(unit.begins.packet as usize)
    }

    /// Which tracks of `mask` wait for a key unit, and which begin with one that is there.
    fn begin(
        &mut self,
        now: Instant,
        key: ReaderKey,
        (start, present): (Start, &[(TrackId, RtpTime)]),
        mask: TrackMask,
        group: Option<usize>,
    ) -> (TrackMask, SmallVec<[Newest; 1]>) {
        let log = match group {
            Some(_) => self.datagrams.as_deref().unwrap_or(&self.log),
            None => &self.log,
        };
        let mut wait = self.video;
        let mut bursts = SmallVec::new();
        let is_busy =
            group.and_then(|group| self.groups.get(group)).is_some_and(|group| group.is_busy(now));
        match start {
            Start::Live => wait = TrackMask::EMPTY,
            Start::Instant if is_busy => {
                self.events.push(AudienceEvent::Busy { reader: key });
            }
            Start::KeyFrame => {}
            Start::Instant => {
                let mut refused = None;
                for track in self.video.intersect(mask).iter() {
                    let still = present.iter().find(|(of, _)| *of == track);
                    let unit = match still {
                        Some((_, at)) => log.still_unit(now, track, *at, &self.limits),
                        None => log.instant_unit(now, track, &self.limits),
                    };
                    match unit {
                        Some(unit) => {
                            wait.remove(track);
                            bursts.push(unit);
                        }
                        None => refused = Some(log.newest_unit(now, track)),
                    }
                }
                // With an empty log the stream just begins, with a key frame.
                if let Some(unit) = refused.filter(|_| log.front().is_some()) {
                    let unit = unit.map(|unit| Lag { bytes: unit.left.bytes, age: unit.age });
                    self.events.push(AudienceEvent::NoBurst { reader: key, unit });
                }
            }
        }
        (wait, bursts)
    }

    /// Takes tracks out of what a reader gets, for it goes on with `tracks` alone: no further
    /// packet, report or catch-up of the others but the end of a frame already cut. Nothing of
    /// those it keeps is lost, repeated or delayed; tracks it did not have are not added.
    pub fn keep_tracks(&mut self, now: Instant, key: ReaderKey, tracks: TrackMask) {
        if let Some((reader, mut cx)) = self.tcp_reader(now, key) {
            reader.keep_tracks(&mut cx, tracks);
        } else if let Some(&Reader::Udp { group, .. }) = self.slot(key).map(|slot| &slot.reader)
            && let Some(group) = self.groups.get_mut(group)
        {
            let log = self.datagrams.as_deref().unwrap_or(&self.log);
            group.keep_tracks(key, tracks, log);
        }
    }

    /// Removes a reader. What its [`Egress`](crate::Egress) still holds belongs to its connection.
    pub fn leave(&mut self, key: ReaderKey) -> Option<ReaderStats> {
        self.slot(key)?;
        self.step_out(key);
        let slot = self.slots.try_remove(key.index as usize)?;
        match slot.reader {
            Reader::Tcp(_) => {
                self.tcp -= 1;
                self.rows.set_alone(key, false);
            }
            Reader::Udp { group, .. } => {
                if let Some(group) = self.groups.get_mut(group) {
                    group.leave(key, self.datagrams.as_deref().unwrap_or(&self.log));
                }
            }
        }
        self.events.forget(key);
        self.stats.get(key.index as usize).copied()
    }

    /// How many readers there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is no reader.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// How many readers are served over TCP.
    pub fn tcp_count(&self) -> usize {
        self.tcp
    }

    /// How many readers are served over UDP.
    pub fn udp_count(&self) -> usize {
        self.slots.len() - self.tcp
    }

    /// A reader's counters.
    pub fn stats(&self, key: ReaderKey) -> Option<ReaderStats> {
        let mut stats = *self.stats.get(key.index as usize)?;
        if let Reader::Tcp(reader) = &self.slot(key)?.reader {
            self.rows.seen(key, reader, &mut stats);
        }
        Some(stats)
    }

    /// How far behind a TCP reader is; `None` for any other.
    pub fn lag(&self, now: Instant, key: ReaderKey) -> Option<Lag> {
        match &self.slot(key)?.reader {
            Reader::Tcp(reader) => Some(self.lag_of(now, key, reader)),
            Reader::Udp { .. } => None,
        }
    }

    fn lag_of(&self, now: Instant, key: ReaderKey, reader: &TcpReader) -> Lag {
        match reader.row {
            None => reader.lag(now, &self.log),
            Some(_) => {
                let seen = self.rows.seen(key, reader, &mut ReaderStats::default());
                seen.lag(now, &self.log)
            }
        }
    }

    /// The TCP readers whose oldest unsent frame has waited longer than
    /// [`FanOutLimits::burst_grace`].
    pub fn lagging(&self, now: Instant) -> impl Iterator<Item = (ReaderKey, Lag)> {
        let grace = self.limits.burst_grace;
        self.slots.iter().filter_map(move |(index, slot)| {
            let Reader::Tcp(reader) = &slot.reader else { return None };
            // Nobody is looked for in a row whose last ones do not lag.
            let row = reader.row.and_then(|number| self.rows.get(usize::from(number))?.at());
            if row.is_some_and(|row| row.longest_age(now, &self.log) < grace) {
                return None;
            }
            let key = ReaderKey::new(index, slot.generation);
            let lag = self.lag_of(now, key, reader);
            (!reader.is_cut() && lag.age >= grace).then_some((key, lag))
        })
    }

    /// The memory the logs hold, in bytes, both forms of the images counted. What readers over
    /// TCP and over UDP share counts twice where these have a log of their own.
    pub fn log_bytes(&self) -> usize {
        self.log.bytes() + self.datagrams.as_ref().map_or(0, |log| log.bytes())
    }

    /// What another audience of the stream has to be given first, in order, for its readers to
    /// begin where readers of this one can: everything from the oldest of such key units on. See
    /// [`Audience::datagrams_from_keys`] for what it has to be given next.
    pub fn log_from_keys(&self) -> impl Iterator<Item = &Arc<WireBatch>> {
        self.log.since_keys(self.video)
    }

    /// The media time the log spans, the longer one of two.
    pub fn log_span(&self) -> Duration {
        let datagrams = self.datagrams.as_ref().map(|log| log.span());
        self.log.span().max(datagrams.unwrap_or_default())
    }

    /// What happened to readers since the last call.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<AudienceEvent> {
        self.events.pop()
    }

    /// When [`Audience::handle_timeout`] is due.
    ///
    /// After it, [`Audience::udp_next`] may offer more than before, and [`Audience::slices`] may
    /// decide about readers that lag.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.groups.iter().filter_map(Group::wake).chain(self.tick).min()
    }

    /// Looks at lag and stalls of readers whose sockets do not ask for more, and evicts.
    pub fn handle_timeout(&mut self, now: Instant) {
        for group in &mut self.groups {
            group.handle_timeout(now);
        }
        if self.tick.is_none_or(|tick| now < tick) {
            return;
        }
        self.evict(now);
        self.dissolve_late_rows();
        let mut is_behind = false;
        for (index, slot) in &mut self.slots {
            let (Reader::Tcp(reader), Some(stats)) = (&mut slot.reader, self.stats.get_mut(index))
            else {
                continue;
            };
            if reader.row.is_some() {
                continue;
            }
            let mut cx = Context {
                now,
                key: ReaderKey::new(index, slot.generation),
                log: &self.log,
                limits: &self.limits,
                video: self.video,
                stats,
                events: &mut self.events,
            };
            reader.settle(&mut cx);
            is_behind |= reader.check_stall(&mut cx);
        }
        self.tick = is_behind.then(|| now + TICK);
    }

    pub(crate) fn slot(&self, key: ReaderKey) -> Option<&Slot> {
        self.slots.get(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    pub(crate) fn slot_mut(&mut self, key: ReaderKey) -> Option<&mut Slot> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    /// A socket group and what it shares with the others.
    pub(crate) fn group(&mut self, number: usize) -> (Option<&mut Group<A>>, Shared<'_>) {
        (
            self.groups.get_mut(number),
            Shared {
                number,
                log: self.datagrams.as_deref().unwrap_or(&self.log),
                limits: &self.limits,
                video: self.video,
                slots: &mut self.slots,
                stats: &mut self.stats,
                events: &mut self.events,
                scratch: &mut self.scratch,
            },
        )
    }
}

impl<A> fmt::Debug for Audience<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audience")
            .field("readers", &self.slots.len())
            .field("tcp", &self.tcp)
            .field("log_bytes", &self.log.bytes())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_costs_less_than_320_bytes() {
        assert!(size_of::<Slot>() + size_of::<ReaderStats>() < 320);
    }
}
