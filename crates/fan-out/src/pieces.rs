//! A walk over what one TCP reader gets next, which decides nothing.

use rtp_rtcp::RtpTime;

use crate::live_point::LivePoint;
use crate::log::{Amount, Entry, Log, Newest, Place};
use crate::track::{TrackId, TrackMask};

/// Packets of one entry that the reader gets next, from packet `from` to the entry's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    pub(crate) entry: &'a Entry,
    pub(crate) pos: u64,
    pub(crate) from: u32,
    /// What its timestamps are mapped onto; `None` if the shared bytes are what it gets.
    pub(crate) live: Option<LivePoint>,
}

impl Piece<'_> {
    /// Bytes of its packets, without what frames them.
    pub(crate) fn octets(&self) -> usize {
        let batch = &self.entry.batch;
        batch.image_len() - batch.start_of(self.from as usize)
    }
}

/// One track over a range of the log, sent before the reader goes on at its cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CatchUp {
    pub(crate) track: TrackId,
    /// The next frame of it.
    pub(crate) place: Place,
    /// The first position that is not part of it.
    pub(crate) until: u64,
    /// Whether it brings a reader that just joined to live; else it is as live as the rest.
    pub(crate) is_burst: bool,
    /// What the timestamps of a burst are mapped onto.
    live: LivePoint,
    /// The packets that are left of a burst: these are not lag.
    left_of_burst: u32,
}

/// The pieces a reader gets next, up to the first one that asks for a decision: a key unit on a
/// track that waits, or a packet that may be a long jump of numbers away.
#[derive(Debug)]
pub(crate) struct Pieces<'l> {
    pub(crate) log: &'l Log,
    pub(crate) mask: TrackMask,
    pub(crate) wait: TrackMask,
    pub(crate) unsure: TrackMask,
    pub(crate) padding_jump: u64,
    pub(crate) catch_up: Option<CatchUp>,
    /// Whether another one comes before the cursor.
    pub(crate) has_later: bool,
    pub(crate) cursor: Place,
    /// What comes first was decided about when the reader was settled.
    pub(crate) is_first: bool,
}

impl<'l> Iterator for Pieces<'l> {
    type Item = Piece<'l>;

    fn next(&mut self) -> Option<Piece<'l>> {
        if let Some(range) = &mut self.catch_up
            && !self.mask.is_empty()
        {
            let mut passed = *range;
            if let Some(piece) = passed.next(self.log) {
                if piece.entry.step > self.padding_jump && !self.is_first {
                    return None;
                }
                self.is_first = false;
                *range = passed;
                return Some(piece);
            }
            if self.has_later {
                return None;
            }
            self.catch_up = None;
        }
        loop {
            let entry = self.log.get(self.cursor.pos)?;
            let track = entry.batch.track();
            let is_wanted = self.mask.contains(track) && !entry.batch.is_empty();
            if is_wanted && entry.is_media() {
                let is_due = if self.wait.contains(track) {
                    entry.key.is_some()
                } else {
                    (entry.step > self.padding_jump || self.unsure.contains(track))
                        && !self.is_first
                };
                if is_due {
                    return None;
                }
            }
            let (pos, from) = (self.cursor.pos, self.cursor.packet);
            let piece = Piece { entry, pos, from, live: None };
            self.cursor = Place::at(self.cursor.pos + 1);
            if is_wanted && !(entry.is_media() && self.wait.contains(track)) {
                self.is_first = false;
                return Some(piece);
            }
        }
    }
}

impl<'l> Pieces<'l> {
    /// The next piece, if it is not of the shared bytes because its timestamps are mapped.
    pub(crate) fn next_of_burst(&mut self) -> Option<Piece<'l>> {
        let range = self.catch_up.filter(|range| range.is_burst)?;
        range.peek(self.log)?;
        self.next()
    }
}

impl CatchUp {
    /// Brings a reader that joins when the log ends at `until` to live.
    pub(crate) const fn to_live(unit: &Newest, until: u64) -> Self {
        Self {
            track: unit.track,
            place: unit.begins,
            until,
            is_burst: true,
            live: unit.live,
            left_of_burst: unit.left.packets as u32,
        }
    }

    /// Gives a reader a range of a track as it is.
    pub(crate) const fn as_it_is(track: TrackId, place: Place, until: u64) -> Self {
        let live = LivePoint::at(RtpTime(0));
        Self { track, place, until, is_burst: false, live, left_of_burst: 0 }
    }

    /// What the timestamps are mapped onto, if they are.
    pub(crate) fn live(&self) -> Option<LivePoint> {
        self.is_burst.then_some(self.live)
    }

    /// The packets that are left of it and are not lag.
    pub(crate) const fn left_of_burst(&self) -> u32 {
        self.left_of_burst
    }

    /// So many packets of a burst went out.
    pub(crate) const fn take(&mut self, packets: u32) {
        self.left_of_burst = self.left_of_burst.saturating_sub(packets);
    }

    /// The next piece of it, which it then has passed.
    pub(crate) fn next<'a>(&mut self, log: &'a Log) -> Option<Piece<'a>> {
        while self.place.pos < self.until {
            let at = self.place;
            let entry = log.get(at.pos)?;
            self.place = Place::at(at.pos + 1);
            if entry.is_media() && entry.batch.track() == self.track {
                let live = self.live();
                return Some(Piece { entry, pos: at.pos, from: at.packet, live });
            }
        }
        None
    }

    /// The next piece of it.
    pub(crate) fn peek<'a>(mut self, log: &'a Log) -> Option<Piece<'a>> {
        self.next(log)
    }

    /// The part of it from position `pos` on.
    pub(crate) fn from(self, pos: u64) -> Self {
        Self { place: self.place.max(Place::at(pos)), ..self }
    }

    /// What is left of it.
    pub(crate) fn left(mut self, log: &Log) -> Amount {
        let mut sum = Amount::default();
        self.place = self.place.max(Place::at(log.base()));
        while let Some(piece) = self.next(log) {
            sum += Amount::of(&piece.entry.batch, piece.from);
        }
        sum
    }
}
