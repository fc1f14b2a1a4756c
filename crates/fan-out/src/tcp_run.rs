//! Serving TCP readers together that get the same bytes next, which nearly all of them do.

use std::io::IoSlice;
use std::time::Instant;

use smallvec::SmallVec;

use crate::audience::{Audience, Reader, ReaderKey};
use crate::egress::MAX_SLICES;
use crate::limits::FanOutLimits;
use crate::log::{Amount, Log, Place};
use crate::reader::{Context, TcpReader};
use crate::rows::Sent;
use crate::track::{TrackId, TrackMask};

/// The most readers that one [`TcpSend`] goes to.
pub const MAX_ALIKE: usize = 512;
/// For so many there is room without asking for memory.
pub(crate) const USUAL_ALIKE: usize = 128;
/// The default of [`FanOutLimits::alike_bytes`]: about what a core writes in a millisecond.
pub const ALIKE_BYTES: usize = 2 << 20;
/// To write less costs as much.
const LEAST_ALIKE_BYTES: usize = 16 << 10;
/// The readers that one [`TcpSend`] goes to however much they get.
pub const FEW_ALIKE: usize = 16;

/// Who is served next.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lives as long as a few writes, on the stack")]
pub enum TcpNext<'a> {
    /// Readers that all get the same. Write it to each, then call [`Audience::tcp_sent`].
    Alike(TcpSend<'a>),
    /// A reader that is served by itself, by [`Audience::slices`].
    Single(ReaderKey),
    /// Nobody is left.
    Done,
}

/// The same bytes for several readers.
#[derive(Debug)]
pub struct TcpSend<'a> {
    /// What each of them gets: whole frames from the shared images.
    pub slices: SmallVec<[IoSlice<'a>; MAX_SLICES]>,
    /// The bytes of all slices.
    pub bytes: usize,
    /// The readers, at most [`MAX_ALIKE`], and fewer where they get much.
    ///
    /// To one whose egress has something pending this must not be written: that goes first, so
    /// that it is to be served by itself.
    pub to: &'a [ReaderKey],
    /// Who comes next, for [`Audience::tcp_next`].
    pub place: TcpPlace,
}

/// How far a round over the readers of an audience has got: those in step come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcpPlace(Turn);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// The row has its turn until it is at position `until`: what comes meanwhile is for the next
    /// round, or the rows and readers behind it would never be served while more comes.
    Row {
        number: usize,
        until: u64,
    },
    Reader(usize),
}

/// After a reader that was served by itself.
impl From<ReaderKey> for TcpPlace {
    fn from(key: ReaderKey) -> Self {
        Self(Turn::Reader(key.index()))
    }
}

/// The last [`TcpSend`], as far as it concerns readers.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    /// Those that it went to; empty if it went to a row.
    to: SmallVec<[ReaderKey; USUAL_ALIKE]>,
    row: Option<usize>,
    /// To how many of that row.
    of_row: usize,
    from: Place,
    /// The position behind it.
    end: u64,
    sent: Sent,
    media: Amount,
    /// The last number of each track in it.
    last: SmallVec<[(TrackId, u64); 2]>,
}

/// The bytes that readers get together.
type Offer<'l> = (SmallVec<[IoSlice<'l>; MAX_SLICES]>, usize);

impl<A: Copy> Audience<A> {
    /// Sets [`FanOutLimits::alike_bytes`], for how long others can wait changes with who they are.
    pub fn limit_alike(&mut self, bytes: usize) {
        self.limits.alike_bytes = bytes;
    }

    /// The TCP readers after `after`, or the first ones, that have something to get: as many as
    /// get the same bytes. Those that have nothing to get are passed over.
    ///
    /// Decides about shedding and jumps, as [`Audience::slices`] does.
    pub fn tcp_next(&mut self, now: Instant, after: Option<TcpPlace>) -> TcpNext<'_> {
        let end = self.log.end();
        let (row, until, reader) = match after {
            None => (0, end, 0),
            Some(TcpPlace(Turn::Row { number, until })) => (number, until, 0),
            Some(TcpPlace(Turn::Reader(index))) => (usize::MAX, end, index + 1),
        };
        match self.row_with_more(now, row, until) {
            Some(number) => {
                let until = if number == row { until } else { end };
                self.next_in_row(number, TcpPlace(Turn::Row { number, until }))
            }
            None => self.next_alone(now, reader),
        }
    }

    /// The next row whose readers have something to get, for the first one before `until`.
    fn row_with_more(&mut self, now: Instant, from: usize, until: u64) -> Option<usize> {
        let Self { limits, log, slots, stats, rows, .. } = self;
        for number in from..rows.end() {
            let Some(row) = rows.get_mut(number) else { continue };
            let is_split = row.is_split();
            let Some(at) = row.at_mut() else { continue };
            if !is_split {
                at.pass_others(log);
            }
            if !at.is_in_order(now, log, limits) {
                rows.dissolve(number, slots, stats);
            } else if !at.is_idle(log) && (number > from || at.cursor.pos < until) {
                return Some(number);
            }
        }
        None
    }

    fn next_in_row(&mut self, number: usize, place: TcpPlace) -> TcpNext<'_> {
        let Self { limits, log, rows, alike, .. } = self;
        let Some(row) = rows.get(number) else { return TcpNext::Done };
        let (members, Some(at), until) = row.waiting() else { return TcpNext::Done };
        alike.begin(SmallVec::new(), Some(number), at.cursor);
        let (slices, bytes) = alike.offer(log, limits, at, until);
        let to = members.get(..limits.alike(bytes)).unwrap_or(members);
        alike.of_row = to.len();
        TcpNext::Alike(TcpSend { slices, bytes, to, place })
    }

    /// The next of those that are in no row.
    fn next_alone(&mut self, now: Instant, mut from: usize) -> TcpNext<'_> {
        let Self { limits, video, log, slots, stats, events, alike, rows, .. } = self;
        let mut to: SmallVec<[ReaderKey; USUAL_ALIKE]> = SmallVec::new();
        let mut common: Option<(Place, TrackMask)> = None;
        let mut at_most = limits.max_alike();
        while let Some(index) = rows.next_alone(from) {
            from = index + 1;
            let (Some(slot), Some(stats)) = (slots.get_mut(index), stats.get_mut(index)) else {
                continue;
            };
            let Reader::Tcp(reader) = &mut slot.reader else { continue };
            let key = ReaderKey::new(index, slot.generation);
            let video = *video;
            reader.settle(&mut Context { now, key, log, limits, video, stats, events });
            let is_idle = reader.is_idle(log);
            reader.note_offer(now, !is_idle);
            if is_idle {
                continue;
            }
            let place = (reader.cursor, reader.mask);
            if !reader.is_plain() || common.is_some_and(|common| common != place) {
                if to.is_empty() {
                    return TcpNext::Single(key);
                }
                break;
            }
            if common.is_none() {
                common = Some(place);
                let pieces = reader.pieces(log, limits).take(MAX_SLICES);
                at_most = limits.alike(pieces.map(|piece| piece.octets()).sum());
            }
            to.push(key);
            if to.len() == at_most {
                break;
            }
        }
        let (Some(&first), Some(&last)) = (to.first(), to.last()) else { return TcpNext::Done };
        let slot = slots.get(first.index());
        let Some(Reader::Tcp(reader)) = slot.map(|slot| &slot.reader) else {
            return TcpNext::Single(first);
        };
        alike.begin(to, None, reader.cursor);
        let (slices, bytes) = alike.offer(log, limits, reader, None);
        let place = TcpPlace::from(last);
        TcpNext::Alike(TcpSend { slices, bytes, to: &alike.to, place })
    }

    /// What became of the last [`TcpSend`]: `took` says of each of its readers, in their order,
    /// whether its socket took all. Of those that took less tell [`Audience::consume`]. Says
    /// whether the readers that took all may have more to get: then serve each by itself.
    pub fn tcp_sent(&mut self, now: Instant, took: &[bool]) -> bool {
        if let Some(number) = self.alike.row {
            self.sent_to_row(now, number, took);
            return false;
        }
        let Self { limits, log, slots, stats, alike, rows, .. } = self;
        for (key, _) in alike.to.iter().zip(took).filter(|(_, took)| **took) {
            let index = key.index as usize;
            let slot = slots.get_mut(index).filter(|slot| slot.generation == key.generation);
            if let Some(Reader::Tcp(reader)) = slot.map(|slot| &mut slot.reader)
                && let Some(stats) = stats.get_mut(index)
            {
                stats.packets = stats.packets.wrapping_add(alike.sent.packets);
                stats.octets = stats.octets.wrapping_add(alike.sent.octets);
                alike.advance(now, log, reader);
                rows.fall_in(*key, reader, stats, log, limits);
            }
        }
        alike.end < log.end()
    }

    fn sent_to_row(&mut self, now: Instant, number: usize, took: &[bool]) {
        let members = self.rows.get(number).map(|row| row.waiting().0).unwrap_or_default();
        let members = members.get(..self.alike.of_row).unwrap_or(members);
        let offered = members.len().min(took.len());
        let left: SmallVec<[ReaderKey; 4]> =
            members.iter().zip(took).filter(|(_, took)| !**took).map(|(key, _)| *key).collect();
        for key in &left {
            self.step_out(*key);
        }
        let Self { log, alike, rows, .. } = self;
        if let Some(row) = rows.get_mut(number)
            && offered > left.len()
        {
            row.advance(offered - left.len(), |step| {
                alike.advance(now, log, &mut step.reader);
                step.count(alike.sent);
            });
        }
    }
}

impl FanOutLimits {
    /// How many are served together at most.
    pub(crate) fn max_alike(&self) -> usize {
        self.max_alike.clamp(FEW_ALIKE, MAX_ALIKE)
    }

    /// How many are served together who get so many bytes each.
    fn alike(&self, bytes: usize) -> usize {
        (self.alike_bytes / bytes.max(LEAST_ALIKE_BYTES)).clamp(FEW_ALIKE, self.max_alike())
    }
}

impl Alike {
    fn begin(&mut self, to: SmallVec<[ReaderKey; USUAL_ALIKE]>, row: Option<usize>, from: Place) {
        *self = Self { to, row, from, ..Self::default() };
    }

    /// What a reader gets, as far as position `until`, noted.
    fn offer<'l>(
        &mut self,
        log: &'l Log,
        limits: &FanOutLimits,
        reader: &TcpReader,
        until: Option<Place>,
    ) -> Offer<'l> {
        let mut slices = SmallVec::new();
        let mut bytes = 0;
        let mut pieces = reader.pieces(log, limits);
        while slices.len() < MAX_SLICES
            && let Some(piece) = pieces.next()
            // What is before it may be for others.
            && until.is_none_or(|until| Place::at(piece.pos) < until)
        {
            let batch = &piece.entry.batch;
            let framed = log.interleaved(piece.entry);
            let rest = framed.get(batch.framed_start(piece.from as usize)..).unwrap_or_default();
            bytes += rest.len();
            slices.push(IoSlice::new(rest));
            self.add(&piece);
        }
        // Behind what the readers do not want, too.
        self.end = pieces.cursor.pos;
        (slices, bytes)
    }

    fn add(&mut self, piece: &crate::pieces::Piece<'_>) {
        let batch = &piece.entry.batch;
        self.sent.packets += (batch.len() - piece.from as usize) as u64;
        self.sent.octets += piece.octets() as u64;
        self.media += Amount::of(batch, piece.from);
        let last = batch.len().checked_sub(1).and_then(|index| batch.ext_seq(index));
        let Some(last) = last.filter(|_| piece.entry.is_media()) else { return };
        match self.last.iter_mut().find(|(track, _)| *track == batch.track()) {
            Some((_, seq)) => *seq = last.0,
            None => self.last.push((batch.track(), last.0)),
        }
    }

    /// A reader took all of it.
    fn advance(&self, now: Instant, log: &Log, reader: &mut TcpReader) {
        if reader.cursor != self.from {
            return;
        }
        reader.cursor = Place::at(self.end);
        reader.passed += self.media;
        for &(track, seq) in &self.last {
            if let Some(sent) = reader.sent.get_mut(reader.mask.rank(track)) {
                *sent = seq;
            }
        }
        reader.note_progress(now, log);
    }
}

impl TcpReader {
    /// Whether it gets the shared bytes from its cursor on and nothing before them.
    pub(crate) fn is_plain(&self) -> bool {
        self.channels.is_none()
            && self.private.is_empty()
            && self.catch_up.is_none()
            && self.wait.is_empty()
            && self.unsure.is_empty()
            && !self.pads
            && !self.is_cut
    }
}
