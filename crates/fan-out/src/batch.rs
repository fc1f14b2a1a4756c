//! One wire image of one track's packets, shared by every reader.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use rtp_rtcp::{ExtSeq, Seq};
use smallvec::SmallVec;

use crate::TrackId;
use crate::form::Forms;
use crate::live_point::Times;
use crate::meter::Meter;

/// The most bytes one image may hold; also the most one interleaved frame can carry.
pub const MAX_BATCH_BYTES: usize = 65_535;
/// The most bytes one UDP send may carry, over IPv4 the tighter bound.
pub const MAX_DATAGRAM_BYTES: usize = 65_507;
/// The most segments one GSO send may have on every kernel that knows GSO.
pub const MAX_SEGMENTS: usize = 64;
/// `$`, channel and two bytes of length (RFC 2326 section 10.12).
pub const FRAME_HEADER_BYTES: usize = 4;

/// What an entry of the log is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// RTP packets.
    Media,
    /// An RTCP compound packet; it goes to the RTCP port or channel.
    Report,
}

/// Which readers an entry is for.
///
/// As long as all entries are for all readers, readers over TCP and over UDP share one log. From
/// the first one on that is not, those over UDP have a log of their own, which begins as the one
/// that was shared: see [`Audience::publish`](crate::Audience::publish).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Rendition {
    /// For all.
    #[default]
    Shared,
    /// For readers over TCP, who get packets of any size.
    Original,
    /// For readers over UDP: what goes to them in place of that.
    Datagrams,
}

/// Packets of one track, [`MAX_BATCH_BYTES`] of them at most, with the points to cut them at.
///
/// Made once per stream by a [`WireBatchBuilder`](crate::WireBatchBuilder), never changed, and
/// always behind an [`Arc`]: the same bytes go to every socket. It is built in the
/// [`Form`](crate::Form) that its readers take, and has the other one once somebody takes that.
pub struct WireBatch {
    pub(crate) track: TrackId,
    pub(crate) kind: EntryKind,
    pub(crate) rendition: Rendition,
    pub(crate) at: Instant,
    pub(crate) forms: Forms,
    /// Where each packet ends in the image.
    pub(crate) ends: SmallVec<[u32; 4]>,
    /// First and last sequence number; none for a report.
    pub(crate) seqs: Option<(ExtSeq, ExtSeq)>,
    /// What the timestamps say; none for a report.
    pub(crate) times: Option<Times>,
    pub(crate) key: Option<ExtSeq>,
    pub(crate) payload_octets: u64,
    /// What counts it while it lives.
    pub(crate) meter: Option<Arc<Meter>>,
}

impl WireBatch {
    /// An entry that carries one RTCP compound packet of `track`, made at the instant `at`.
    ///
    /// What exceeds [`MAX_BATCH_BYTES`] cannot be sent by anyone and gives an empty entry.
    pub fn report(track: TrackId, compound: &[u8], at: Instant) -> Arc<Self> {
        Self::report_for(Rendition::Shared, track, compound, at)
    }

    /// The same for some readers only.
    pub fn report_for(
        rendition: Rendition,
        track: TrackId,
        compound: &[u8],
        at: Instant,
    ) -> Arc<Self> {
        let compound = if compound.len() > MAX_BATCH_BYTES { &[][..] } else { compound };
        let ends = if compound.is_empty() {
            SmallVec::new()
        } else {
            SmallVec::from_iter([compound.len() as u32])
        };
        Arc::new(Self {
            track,
            kind: EntryKind::Report,
            rendition,
            at,
            forms: Forms::plain(compound.into()),
            ends,
            seqs: None,
            times: None,
            key: None,
            payload_octets: 0,
            meter: None,
        })
    }

    /// The track all packets belong to.
    pub fn track(&self) -> TrackId {
        self.track
    }

    /// It is for these readers only; for a batch that nobody has been given yet.
    pub fn set_rendition(&mut self, rendition: Rendition) {
        self.rendition = rendition;
    }

    /// Which readers it is for.
    pub fn rendition(&self) -> Rendition {
        self.rendition
    }

    /// Whether it carries RTP or RTCP.
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// How many packets it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds no packet (only a report that was too long does).
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all packets together.
    pub fn image_len(&self) -> usize {
        self.ends.last().map_or(0, |end| *end as usize)
    }

    /// The packet with this index; empty if there is none.
    pub fn packet(&self, index: usize) -> &[u8] {
        if index >= self.len() {
            return &[];
        }
        let bytes = self.bytes_of(index);
        let headers = self.forms.header_len() * (index + 1);
        self.forms.built().get(bytes.start + headers..bytes.end + headers).unwrap_or_default()
    }

    /// The packets in order.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.packet(index))
    }

    /// The sequence number of the first packet; none for a report.
    pub fn first_seq(&self) -> Option<Seq> {
        self.seqs.map(|(first, _)| first.seq())
    }

    /// The extended sequence number of the first packet; none for a report.
    pub fn first_ext_seq(&self) -> Option<ExtSeq> {
        self.seqs.map(|(first, _)| first)
    }

    /// The extended sequence number of the last packet; none for a report.
    pub fn last_ext_seq(&self) -> Option<ExtSeq> {
        self.seqs.map(|(_, last)| last)
    }

    /// "It is now known that a key unit begins at this packet", in this or an earlier batch of
    /// the track.
    pub fn key(&self) -> Option<ExtSeq> {
        self.key
    }

    /// When it arrived.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Payload octets as sender reports count them (RFC 3550 section 6.4.1); 0 for a report.
    pub fn octets(&self) -> u64 {
        self.payload_octets
    }

    /// Cuts the image into sends of equal packets, the last of each possibly shorter, each of at
    /// most [`MAX_DATAGRAM_BYTES`] and `max_segments` packets (capped at [`MAX_SEGMENTS`]).
    ///
    /// A packet too long for any datagram is left out.
    pub fn runs(&self, max_segments: usize) -> impl Iterator<Item = Run> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let run = self.run_at(next, max_segments)?;
            next = run.packets.end;
            Some(run)
        })
    }

    /// The run that begins at packet `from`, or at the first one after it that UDP can carry.
    pub(crate) fn run_at(&self, from: usize, max_segments: usize) -> Option<Run> {
        let max_segments = max_segments.clamp(1, MAX_SEGMENTS);
        let mut first = from;
        let segment = loop {
            match self.bytes_of(first).len() {
                0 => return None,
                size if size <= MAX_DATAGRAM_BYTES => break size,
                _ => first += 1,
            }
        };
        let begin = self.start_of(first);
        let mut end = first + 1;
        while end - first < max_segments {
            let size = self.bytes_of(end).len();
            if size == 0 || size > segment || self.end_of(end) - begin > MAX_DATAGRAM_BYTES {
                break;
            }
            end += 1;
            if size < segment {
                break;
            }
        }
        Some(Run { packets: first..end, bytes: begin..self.start_of(end), segment })
    }

    /// The bytes of the interleaved form.
    pub(crate) fn framed_len(&self) -> usize {
        self.image_len() + FRAME_HEADER_BYTES * self.len()
    }

    /// Where packet `index` begins in the interleaved form.
    pub(crate) fn framed_start(&self, index: usize) -> usize {
        self.start_of(index) + FRAME_HEADER_BYTES * index.min(self.len())
    }

    /// The last packet that begins at or before `offset` of the interleaved form.
    pub(crate) fn framed_packet(&self, offset: usize) -> usize {
        let (mut low, mut high) = (0, self.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.framed_start(middle) <= offset { low = middle } else { high = middle }
        }
        low
    }

    /// Appends `packets` as `$` frames of `channel`.
    pub(crate) fn frame_onto(&self, out: &mut Vec<u8>, packets: Range<usize>, channel: u8) {
        for index in packets {
            frame_onto(out, channel, self.packet(index));
        }
    }

    /// The extended sequence number of packet `index`; `None` for a report, or if there is no such
    /// packet.
    ///
    /// The builder keeps a batch's numbers within a span that 16 bits can tell.
    pub fn ext_seq(&self, index: usize) -> Option<ExtSeq> {
        let (first, last) = self.seqs?;
        // The usual questions need no look at the image.
        if index == 0 {
            return Some(first);
        }
        if index + 1 == self.len() {
            return Some(last);
        }
        let &[_, _, high, low, ..] = self.packet(index) else { return None };
        let ahead = u16::from_be_bytes([high, low]).wrapping_sub(first.0 as u16);
        Some(ExtSeq(first.0 + u64::from(ahead)))
    }

    /// The first packet whose number is `seq` or later.
    pub(crate) fn index_of(&self, seq: ExtSeq) -> usize {
        (0..self.len())
            .find(|&index| self.ext_seq(index).is_some_and(|found| found >= seq))
            .unwrap_or(self.len())
    }

    pub(crate) fn start_of(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            None => 0,
            Some(before) => self.end_of(before),
        }
    }

    fn end_of(&self, index: usize) -> usize {
        self.ends.get(index).map_or_else(|| self.image_len(), |end| *end as usize)
    }

    fn bytes_of(&self, index: usize) -> Range<usize> {
        self.start_of(index)..self.end_of(index)
    }
}

impl Drop for WireBatch {
    fn drop(&mut self) {
        if let Some(meter) = &self.meter {
            meter.remove(self.bytes_held());
        }
    }
}

impl fmt::Debug for WireBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireBatch")
            .field("track", &self.track)
            .field("kind", &self.kind)
            .field("packets", &self.len())
            .field("bytes", &self.image_len())
            .field("seqs", &self.seqs)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Packets of one batch that leave in one GSO send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Their indices.
    pub packets: Range<usize>,
    /// Their bytes in the image.
    pub bytes: Range<usize>,
    /// The size of each but the last, which may be shorter.
    pub segment: usize,
}

/// Appends `packet` as one `$` frame (RFC 2326 section 10.12).
///
/// The caller sees to it that the packet is at most [`MAX_BATCH_BYTES`] long.
pub(crate) fn frame_onto(out: &mut Vec<u8>, channel: u8, packet: &[u8]) {
    out.extend_from_slice(&frame_header(channel, packet.len()));
    out.extend_from_slice(packet);
}

/// The header of a `$` frame that carries `len` bytes.
pub(crate) fn frame_header(channel: u8, len: usize) -> [u8; FRAME_HEADER_BYTES] {
    let [high, low] = (len as u16).to_be_bytes();
    [b'$', channel, high, low]
}
