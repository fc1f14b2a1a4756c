//! Serving TCP readers together that get the same bytes next, which nearly all of them do.

use std::io::IoSlice;
use std::time::Instant;

use smallvec::SmallVec;

use crate::audience::{Audience, Reader, ReaderKey};
use crate::egress::MAX_SLICES;
use crate::log::{Amount, Log, Place};
use crate::reader::{Context, TcpReader};
use crate::track::{TrackId, TrackMask};

/// The most readers that one [`TcpSend`] goes to.
pub const MAX_ALIKE: usize = 128;
/// The bytes that one [`TcpSend`] comes to for all its readers together, above which it goes to no
/// more than [`FEW_ALIKE`]: about what a core writes in a millisecond.
pub const MAX_ALIKE_BYTES: usize = 2 << 20;
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
    /// The readers, in the order of their keys, at most [`MAX_ALIKE`], and fewer where they get
    /// much.
    ///
    /// To one whose egress has something pending this must not be written: that goes first, so
    /// that it is to be served by itself.
    pub to: &'a [ReaderKey],
}

/// The last [`TcpSend`], as far as it concerns readers.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    to: SmallVec<[ReaderKey; MAX_ALIKE]>,
    from: Place,
    /// The position behind it.
    end: u64,
    packets: u64,
    octets: u64,
    media: Amount,
    /// The last number of each track in it.
    last: SmallVec<[(TrackId, u64); 2]>,
}

impl<A: Copy> Audience<A> {
    /// The TCP readers after `after`, or the first ones, that have something to get: as many as
    /// get the same bytes. Those that have nothing to get are passed over.
    ///
    /// Decides about shedding and jumps, as [`Audience::slices`] does.
    pub fn tcp_next(&mut self, now: Instant, after: Option<ReaderKey>) -> TcpNext<'_> {
        let Self { limits, video, log, slots, stats, events, alike, .. } = self;
        alike.to.clear();
        let mut common: Option<(Place, TrackMask)> = None;
        let mut most = MAX_ALIKE;
        let from = after.map_or(0, |key| key.index as usize + 1);
        for (index, stats) in stats.iter_mut().enumerate().skip(from) {
            let Some(slot) = slots.get_mut(index) else { continue };
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
                if alike.to.is_empty() {
                    return TcpNext::Single(key);
                }
                break;
            }
            if common.is_none() {
                common = Some(place);
                let pieces = reader.pieces(log, limits).take(MAX_SLICES);
                let bytes: usize = pieces.map(|piece| piece.octets()).sum();
                most = (MAX_ALIKE_BYTES / bytes.max(1)).clamp(FEW_ALIKE, MAX_ALIKE);
            }
            alike.to.push(key);
            if alike.to.len() == most {
                break;
            }
        }
        let Some(&first) = alike.to.first() else { return TcpNext::Done };
        let slot = slots.get(first.index as usize);
        let Some(Reader::Tcp(reader)) = slot.map(|slot| &slot.reader) else {
            return TcpNext::Single(first);
        };
        let mut slices = SmallVec::new();
        alike.begin(reader.cursor);
        let mut bytes = 0;
        let mut pieces = reader.pieces(log, limits);
        for piece in pieces.by_ref().take(MAX_SLICES) {
            let batch = &piece.entry.batch;
            let framed = batch.interleaved();
            log.count_framed(piece.entry);
            let rest = framed.get(batch.framed_start(piece.from as usize)..).unwrap_or_default();
            bytes += rest.len();
            slices.push(IoSlice::new(rest));
            alike.add(&piece);
        }
        // Behind what the readers do not want, too.
        alike.end = pieces.cursor.pos;
        TcpNext::Alike(TcpSend { slices, bytes, to: &alike.to })
    }

    /// What became of the last [`TcpSend`]: `took` says of each of its readers, in their order,
    /// whether its socket took all. Of those that took less tell [`Audience::consume`]. Says
    /// whether the readers that took all may have more to get: then serve each by itself.
    pub fn tcp_sent(&mut self, now: Instant, took: &[bool]) -> bool {
        let Self { log, slots, stats, alike, .. } = self;
        for (key, _) in alike.to.iter().zip(took).filter(|(_, took)| **took) {
            let index = key.index as usize;
            let slot = slots.get_mut(index).filter(|slot| slot.generation == key.generation);
            if let Some(Reader::Tcp(reader)) = slot.map(|slot| &mut slot.reader)
                && let Some(stats) = stats.get_mut(index)
            {
                stats.packets += alike.packets;
                stats.octets += alike.octets;
                alike.advance(now, log, reader);
            }
        }
        alike.end < log.end()
    }
}

impl Alike {
    fn begin(&mut self, from: Place) {
        let to = std::mem::take(&mut self.to);
        *self = Self { to, from, ..Self::default() };
    }

    fn add(&mut self, piece: &crate::pieces::Piece<'_>) {
        let batch = &piece.entry.batch;
        self.packets += (batch.len() - piece.from as usize) as u64;
        self.octets += piece.octets() as u64;
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
    fn is_plain(&self) -> bool {
        self.channels.is_none()
            && self.private.is_empty()
            && self.catch_up.is_none()
            && self.wait.is_empty()
            && self.unsure.is_empty()
            && !self.pads
            && !self.is_cut
    }
}
