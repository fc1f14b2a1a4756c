//! Reports to the RTP ports of readers that have had nothing there: some give UDP up when nothing
//! comes to that port for a few seconds (GStreamer after 5), whatever comes to the other.

use rtp_rtcp::ExtSeq;

use crate::ReaderKey;
use crate::log::{Entry, Log};
use crate::seats::Seats;
use crate::track::TrackId;
use crate::udp::MAX_DESTINATIONS;

/// A reader that had nothing on the RTP port of a track when it was given its seat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untouched<A> {
    pub(crate) track: TrackId,
    pub(crate) key: ReaderKey,
    pub(crate) rtp: A,
    /// The last number of the track before what it gets.
    pub(crate) last: Option<ExtSeq>,
}

/// The readers of one socket group that wait for their first packet, and who of them the report
/// that goes out goes to as well.
#[derive(Debug)]
pub(crate) struct Knocks<A> {
    all: Vec<Untouched<A>>,
    /// Where the report is that goes to `to`, of which the first `done` had it.
    at: Option<u64>,
    to: Vec<A>,
    done: usize,
}

impl<A: Copy> Knocks<A> {
    pub(crate) const fn new() -> Self {
        Self { all: Vec::new(), at: None, to: Vec::new(), done: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn add(&mut self, reader: Untouched<A>) {
        self.all.push(reader);
    }

    /// A reader is gone, or the tracks that `goes` names are.
    pub(crate) fn remove(&mut self, key: ReaderKey, goes: impl Fn(TrackId) -> bool) {
        self.all.retain(|reader| reader.key != key || !goes(reader.track));
        self.stop();
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.all.clear();
        self.stop();
    }

    /// The report under way goes to nobody else.
    fn stop(&mut self) {
        self.to.clear();
        self.done = 0;
    }

    /// How many destinations the report at `pos` is to be offered to next. Who has had media
    /// meanwhile is forgotten.
    pub(crate) fn due(
        &mut self,
        pos: u64,
        report: &Entry,
        seats: Option<&Seats<A>>,
        log: &Log,
    ) -> usize {
        if self.at != Some(pos) {
            self.at = Some(pos);
            self.stop();
            let track = report.batch.track();
            let last = log.last_seq_before(track, pos);
            let waits = |key| seats.is_some_and(|seats| seats.waits(key));
            self.all
                .retain(|reader| reader.track != track || reader.last == last || waits(reader.key));
            let of_track = self.all.iter().filter(|reader| reader.track == track);
            self.to.extend(of_track.map(|reader| reader.rtp));
        }
        (self.to.len() - self.done).min(MAX_DESTINATIONS)
    }

    /// The next destinations of the report under way.
    pub(crate) fn to(&self, count: usize) -> &[A] {
        self.to.get(self.done..self.done + count).unwrap_or_default()
    }

    /// So many of them had it, or refused it.
    pub(crate) fn sent(&mut self, count: usize) {
        self.done = (self.done + count).min(self.to.len());
    }
}
