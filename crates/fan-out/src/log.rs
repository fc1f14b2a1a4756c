//! The bounded list of a rendition's entries.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::{AddAssign, SubAssign};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtp_rtcp::{ExtSeq, RtpTime};

use crate::batch::{EntryKind, WireBatch};
use crate::form::Form;
use crate::limits::FanOutLimits;
use crate::live_point::{Clock, LivePoint};
use crate::track::{MAX_TRACKS, TrackId, TrackMask};

/// A place on a frame border: before packet `packet` of the entry at position `pos`.
///
/// Positions count the entries of the log since it began and are never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(crate) struct Place {
    pub(crate) pos: u64,
    pub(crate) packet: u32,
}

impl Place {
    /// Before the first packet of the entry at `pos`.
    pub(crate) const fn at(pos: u64) -> Self {
        Self { pos, packet: 0 }
    }
}

/// An amount of media.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Amount {
    pub(crate) bytes: u64,
    pub(crate) packets: u64,
}

impl Amount {
    /// What `batch` holds from packet `from` on; nothing for a report.
    pub(crate) fn of(batch: &WireBatch, from: u32) -> Self {
        match batch.kind() {
            EntryKind::Report => Self::default(),
            EntryKind::Media => {
                let from = (from as usize).min(batch.len());
                Self {
                    bytes: (batch.image_len() - batch.start_of(from)) as u64,
                    packets: (batch.len() - from) as u64,
                }
            }
        }
    }

    /// What is left of this after `other`.
    pub(crate) const fn minus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            packets: self.packets.saturating_sub(other.packets),
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.packets += other.packets;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Self) {
        *self = self.minus(other);
    }
}

/// One batch in the log, with what was found out once for all readers.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) batch: Arc<WireBatch>,
    /// Where the key unit begins that this batch made known.
    pub(crate) key: Option<Place>,
    /// How far the first number is ahead of the last one of the track before it.
    pub(crate) step: u64,
    /// When it was appended: nobody has been behind with it for longer, whenever it arrived.
    pub(crate) since: Instant,
    /// What is counted of the form that it was not built in.
    more: Cell<usize>,
}

impl Entry {
    pub(crate) fn is_media(&self) -> bool {
        self.batch.kind() == EntryKind::Media
    }

    /// The bytes of what it was built of and what goes with it.
    fn bytes(&self) -> usize {
        size_of::<WireBatch>() + size_of::<Self>() + self.batch.built().len()
    }
}

/// What is known of one track, over all that was ever appended.
#[derive(Clone, Copy, Default, Debug)]
struct TrackState {
    appended: Amount,
    last: Option<ExtSeq>,
    /// The newest key unit in the log.
    key: Option<Key>,
    /// Those before it that readers may begin with while it is young, oldest first.
    older: [Option<Key>; OLDER_KEYS],
    clock: Clock,
    /// When the newest packet came.
    at: Option<Instant>,
}

/// A key unit in the log.
#[derive(Clone, Copy, Debug)]
struct Key {
    begins: Place,
    /// The position of the entry that made it known.
    known: u64,
    /// When it began to arrive.
    at: Instant,
    /// What the track had had before it.
    before: Amount,
}

/// What a track has from one of its newest key units on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newest {
    pub(crate) track: TrackId,
    pub(crate) begins: Place,
    /// The position of the entry that made the unit known.
    pub(crate) known: u64,
    pub(crate) left: Amount,
    /// How long ago it began.
    pub(crate) age: Duration,
    /// Where live is, behind all of it.
    pub(crate) live: LivePoint,
}

/// The entries from `base` to `end`, and nothing about readers.
#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    base: u64,
    tracks: [TrackState; MAX_TRACKS],
    /// Bytes held by media entries, by reports, and by the forms of media that somebody asked for
    /// besides those that were built. The last of these is a cell because a form is made while the
    /// log is lent to a write.
    held_media: usize,
    held_reports: usize,
    more: Cell<usize>,
    reports: usize,
    /// When the newest media entry arrived.
    media_at: Option<Instant>,
    /// When the newest of the evicted entries had been appended.
    gone_at: Option<Instant>,
}

/// Reports are not counted against the log's bytes and do not age it, but a stream that is held
/// for hours appends nothing else: beyond so many the oldest entries go.
const MAX_REPORTS: usize = 4_096;
/// Key units noted per track before the newest one. Of those that come often only some are: every
/// other one is at least `KEY_SPACING` after the last but one.
const OLDER_KEYS: usize = 5;
const KEY_SPACING: Duration = Duration::from_millis(600);

impl Log {
    pub(crate) fn new() -> Self {
        Self {
            entries: VecDeque::new(),
            base: 0,
            tracks: [TrackState::default(); MAX_TRACKS],
            held_media: 0,
            held_reports: 0,
            more: Cell::new(0),
            reports: 0,
            media_at: None,
            gone_at: None,
        }
    }

    /// A log that goes on from all that is in this one, places and numbers included. The batches
    /// are shared; a form that was not built is counted where it is asked for.
    pub(crate) fn fork(&self) -> Self {
        let entries = self.entries.iter().map(|entry| Entry {
            batch: Arc::clone(&entry.batch),
            more: Cell::new(0),
            ..*entry
        });
        Self { entries: entries.collect(), more: Cell::new(0), ..*self }
    }

    /// The position of the oldest entry.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }

    /// The position the next entry will have.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(crate) fn get(&self, pos: u64) -> Option<&Entry> {
        // Before the base this wraps to an index that no entry has.
        self.entries.get(pos.wrapping_sub(self.base) as usize)
    }

    pub(crate) fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// The bytes held, reports included.
    pub(crate) fn bytes(&self) -> usize {
        self.held_media + self.held_reports + self.more.get()
    }

    /// The time between the oldest and the newest media.
    pub(crate) fn span(&self) -> Duration {
        match (self.entries.iter().find(|entry| entry.is_media()), self.media_at) {
            (Some(oldest), Some(newest)) => newest.saturating_duration_since(oldest.batch.at()),
            _ => Duration::ZERO,
        }
    }

    /// When the newest of the evicted entries had been appended.
    pub(crate) fn gone_at(&self) -> Option<Instant> {
        self.gone_at
    }

    /// Everything ever appended to the tracks of `mask`.
    pub(crate) fn appended(&self, mask: TrackMask) -> Amount {
        let mut sum = Amount::default();
        for track in mask.iter() {
            if let Some(state) = self.tracks.get(track.index()) {
                sum += state.appended;
            }
        }
        sum
    }

    /// The last number appended to `track`.
    pub(crate) fn last_seq(&self, track: TrackId) -> Option<ExtSeq> {
        self.tracks.get(track.index())?.last
    }

    /// The last number of `track` before the entry at `pos`.
    pub(crate) fn last_seq_before(&self, track: TrackId, pos: u64) -> Option<ExtSeq> {
        let later = (pos..self.end()).filter_map(|pos| self.get(pos));
        let mut later = later.filter(|entry| entry.is_media() && entry.batch.track() == track);
        match later.next() {
            None => self.last_seq(track),
            Some(entry) if entry.step == 0 => None,
            Some(entry) => Some(ExtSeq(entry.batch.ext_seq(0)?.0.saturating_sub(entry.step))),
        }
    }

    /// Where the newest key unit of `track` begins, if it is in the log.
    pub(crate) fn newest_key(&self, track: TrackId) -> Option<Place> {
        Some(self.tracks.get(track.index())?.key?.begins)
    }

    /// What `track` has from its newest key unit on, if that is in the log.
    pub(crate) fn newest_unit(&self, now: Instant, track: TrackId) -> Option<Newest> {
        let state = self.tracks.get(track.index())?;
        self.unit(now, track, state, state.key?)
    }

    /// The unit that a reader begins with which joins now and may be given all from there on at
    /// once.
    pub(crate) fn instant_unit(
        &self,
        now: Instant,
        track: TrackId,
        limits: &FanOutLimits,
    ) -> Option<Newest> {
        let state = self.tracks.get(track.index())?;
        self.unit(now, track, state, state.instant_key(now, limits)?)
    }

    /// The same for a track whose backend is away, as it was when media ended: what it leads to is
    /// shown as the time `present`.
    pub(crate) fn still_unit(
        &self,
        now: Instant,
        track: TrackId,
        present: RtpTime,
        limits: &FanOutLimits,
    ) -> Option<Newest> {
        let state = self.tracks.get(track.index())?;
        let now = state.media_ended(now);
        let unit = self.unit(now, track, state, state.instant_key(now, limits)?)?;
        Some(Newest { live: state.clock.still(present)?, ..unit })
    }

    fn unit(&self, now: Instant, track: TrackId, state: &TrackState, key: Key) -> Option<Newest> {
        let begun = self.get(key.begins.pos)?.batch.at();
        Some(Newest {
            track,
            begins: key.begins,
            known: key.known,
            left: state.appended.minus(key.before),
            age: now.saturating_duration_since(begun),
            live: state.clock.live()?,
        })
    }

    /// Where the oldest key unit of `track` begins that readers may begin with.
    pub(crate) fn oldest_key(&self, track: TrackId) -> Option<Place> {
        let state = self.tracks.get(track.index())?;
        let oldest = state.older.iter().flatten().next().or(state.key.as_ref());
        oldest.map(|key| key.begins)
    }

    /// The batches from the oldest key unit on that readers may begin with.
    pub(crate) fn since_keys(&self, video: TrackMask) -> impl Iterator<Item = &Arc<WireBatch>> {
        let keys = video.iter().map(|track| self.oldest_key(track));
        // A unit that is just arriving may turn out to be one, of a track that has none yet.
        let (base, end) = (self.base(), self.end());
        let from = keys.map(|key| key.map_or(base, |key| key.pos)).min().unwrap_or(end);
        (from..end).filter_map(|pos| Some(&self.get(pos)?.batch))
    }

    /// Appends an entry and returns its position.
    pub(crate) fn append(&mut self, now: Instant, batch: Arc<WireBatch>) -> u64 {
        let pos = self.end();
        let mut entry = Entry { batch, key: None, step: 0, since: now, more: Cell::new(0) };
        let held = entry.bytes();
        let batch = &entry.batch;
        match batch.seqs {
            Some((first, last)) => {
                self.held_media += held;
                self.media_at = Some(batch.at());
                if let Some(state) = self.tracks.get_mut(batch.track().index()) {
                    state.appended += Amount::of(batch, 0);
                    entry.step = state.last.map_or(0, |before| first.0.saturating_sub(before.0));
                    state.last = state.last.max(Some(last));
                    state.at = Some(batch.at());
                    if let Some(times) = batch.times {
                        state.clock.append(times);
                    }
                }
            }
            None => {
                self.held_reports += held;
                self.reports += 1;
            }
        }
        let (track, key) = (batch.track(), batch.key());
        self.entries.push_back(entry);
        if let Some(key) = key.and_then(|key| self.find(track, key)) {
            if let Some(entry) = self.entries.back_mut() {
                entry.key = Some(key);
            }
            self.note_key(track, key, pos);
        }
        pos
    }

    /// The entry at `known` has made known that a key unit of `track` begins at `begins`.
    fn note_key(&mut self, track: TrackId, begins: Place, known: u64) {
        let mut of_unit = Amount::default();
        for pos in begins.pos..self.end() {
            if let Some(entry) = self.get(pos).filter(|entry| entry.batch.track() == track) {
                of_unit +=
                    Amount::of(&entry.batch, if pos == begins.pos { begins.packet } else { 0 });
            }
        }
        let at = self.get(begins.pos).map(|entry| entry.batch.at());
        if let Some(at) = at
            && let Some(state) = self.tracks.get_mut(track.index())
            && state.key.is_none_or(|newest| newest.begins < begins)
        {
            let before = state.appended.minus(of_unit);
            if let Some(key) = state.key.replace(Key { begins, known, at, before }) {
                state.keep(key);
            }
            state.clock.begin_unit();
        }
    }

    /// Where packet `seq` of `track` is, or the first one after it should it be missing; `None`
    /// once it is evicted.
    fn find(&self, track: TrackId, seq: ExtSeq) -> Option<Place> {
        let mut found = None;
        for (index, entry) in self.entries.iter().enumerate().rev() {
            let Some((first, last)) = entry.batch.seqs else { continue };
            if entry.batch.track() != track {
                continue;
            }
            if last < seq {
                return found;
            }
            found = Some(Place {
                pos: self.base + index as u64,
                packet: entry.batch.index_of(seq) as u32,
            });
            if first <= seq {
                return found;
            }
        }
        // The log begins after `seq`: the unit's first packet is gone.
        None
    }

    /// An entry of this log as readers over UDP take it.
    pub(crate) fn image<'a>(&self, entry: &'a Entry) -> &'a [u8] {
        self.count(entry, Form::Plain);
        entry.batch.image()
    }

    /// An entry of this log as readers over TCP take it.
    pub(crate) fn interleaved<'a>(&self, entry: &'a Entry) -> &'a [u8] {
        self.count(entry, Form::Interleaved);
        entry.batch.interleaved()
    }

    /// Counts a form of media that is about to be made; that of reports is not worth counting.
    fn count(&self, entry: &Entry, form: Form) {
        let more = entry.batch.bytes_more(form);
        if more > 0 && entry.more.get() == 0 && entry.is_media() {
            entry.more.set(more);
            self.more.set(self.more.get() + more);
        }
    }

    /// Whether the bounds that hold whatever an entry's age are exceeded.
    pub(crate) fn is_over(&self, limits: &FanOutLimits) -> bool {
        let Some(front) = self.front() else { return false };
        let age = self.media_at.map(|newest| newest.saturating_duration_since(front.batch.at()));
        self.held_media + self.more.get() > limits.log_max_bytes
            || self.reports > MAX_REPORTS
            || age.is_some_and(|age| age > limits.log_max_age)
    }

    /// What the last key frames say about the oldest entry.
    pub(crate) fn floor(&self, now: Instant, video: TrackMask, limits: &FanOutLimits) -> Floor {
        let mut oldest = None;
        let mut is_open = false;
        for state in video.iter().filter_map(|track| self.tracks.get(track.index())) {
            match state.instant_key(state.media_ended(now), limits).or(state.key) {
                Some(Key { begins, .. }) => {
                    oldest = Some(oldest.map_or(begins, |other: Place| other.min(begins)));
                }
                None => is_open |= state.last.is_some(),
            }
        }
        if oldest.is_some_and(|key| self.base >= key.pos) {
            Floor::Kept
        } else if is_open {
            Floor::Open
        } else {
            Floor::Passed
        }
    }

    /// Takes the oldest entry out.
    pub(crate) fn evict(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.base += 1;
        match entry.batch.kind() {
            EntryKind::Media => self.held_media -= entry.bytes(),
            EntryKind::Report => {
                self.held_reports -= entry.bytes();
                self.reports -= 1;
            }
        }
        self.more.set(self.more.get() - entry.more.get());
        self.gone_at = Some(entry.since);
        if let Some(state) = self.tracks.get_mut(entry.batch.track().index()) {
            let is_gone = |key: Key| key.begins.pos < self.base;
            if state.key.is_some_and(is_gone) {
                state.key = None;
            }
            if state.older.first().copied().flatten().is_some_and(is_gone) {
                state.drop_oldest();
            }
        }
        Some(entry)
    }

    /// Takes everything out; positions and numbers go on.
    pub(crate) fn clear(&mut self) {
        self.base = self.end();
        self.entries.clear();
        self.held_media = 0;
        self.held_reports = 0;
        self.more.set(0);
        self.reports = 0;
        self.media_at = None;
        self.gone_at = None;
        for state in &mut self.tracks {
            state.key = None;
            state.older = [None; OLDER_KEYS];
            state.clock.clear();
        }
    }
}

impl TrackState {
    /// Notes a key unit that is not the newest any more.
    fn keep(&mut self, key: Key) {
        let count = self.older.iter().flatten().count();
        let last_but_one = count.checked_sub(2).and_then(|index| *self.older.get(index)?);
        let is_close = |other: Key| key.at.saturating_duration_since(other.at) < KEY_SPACING;
        let mut place = count;
        if last_but_one.is_some_and(is_close) {
            place = count - 1;
        } else if count == OLDER_KEYS {
            self.drop_oldest();
            place = count - 1;
        }
        if let Some(free) = self.older.get_mut(place) {
            *free = Some(key);
        }
    }

    /// `now`, or when the newest packet came.
    fn media_ended(&self, now: Instant) -> Instant {
        self.at.map_or(now, |at| at.min(now))
    }

    fn drop_oldest(&mut self) {
        self.older.rotate_left(1);
        if let Some(last) = self.older.last_mut() {
            *last = None;
        }
    }

    /// The newest key unit that is not too young, or else the oldest; but none too far back.
    fn instant_key(&self, now: Instant, limits: &FanOutLimits) -> Option<Key> {
        let mut found = None;
        for key in self.key.iter().chain(self.older.iter().rev().flatten()) {
            let age = now.saturating_duration_since(key.at);
            let bytes = self.appended.minus(key.before).bytes;
            if bytes > limits.instant_max_bytes as u64 || age > limits.instant_max_age {
                break;
            }
            found = Some(*key);
            if age >= limits.instant_min_age {
                break;
            }
        }
        found
    }
}

/// What the last key frames, one per track that has any, say about the oldest entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Floor {
    /// It is not before them all.
    Kept,
    /// It is, or there is no video.
    Passed,
    /// It is, but a track has none in the log: a unit may yet turn out to be one, so what is
    /// young stays even if every cursor has passed it.
    Open,
}
