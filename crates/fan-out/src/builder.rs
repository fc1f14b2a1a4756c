//! Building batches: the one copy a packet is given per stream.

use std::sync::Arc;
use std::time::Instant;

use rtp_rtcp::{ExtSeq, RtpTime, Ssrc, patch_header};
use smallvec::SmallVec;

use crate::batch::{EntryKind, MAX_BATCH_BYTES, Rendition, WireBatch, frame_header};
use crate::form::{Form, Forms};
use crate::live_point::Times;
use crate::meter::Meter;
use crate::track::TrackId;

/// Gathers packets into batches of one track each; reusable.
#[derive(Debug)]
pub struct WireBatchBuilder {
    track: TrackId,
    rendition: Rendition,
    /// The form of the batch under construction, and of the next one.
    form: Form,
    next_form: Form,
    /// The packets, in that form.
    image: Vec<u8>,
    /// The bytes of the packets alone.
    octets: usize,
    ends: SmallVec<[u32; 4]>,
    seqs: Option<(ExtSeq, ExtSeq)>,
    times: Option<Times>,
    key: Option<ExtSeq>,
    payload_octets: u64,
    /// What the next image of each track probably needs at most: one that grows is copied, one that
    /// shrinks is cut.
    guesses: SmallVec<[usize; 4]>,
    meter: Option<Arc<Meter>>,
}

/// What became of a pushed packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Push {
    /// It is in the batch.
    Added,
    /// It does not fit, or its number does not follow closely: finish this batch and push it
    /// again into the next.
    Full,
    /// It exceeds [`MAX_BATCH_BYTES`] and fits no batch.
    TooLarge,
    /// It has no RTP header to patch, or fewer bytes than were announced.
    NotRtp,
}

/// The longest jump of sequence numbers within one batch; a longer one begins a new batch, so
/// that readers need to look for jumps between batches only.
const MAX_STEP: u64 = 1_000;
/// The most packets of one batch: with `MAX_STEP` it keeps the numbers of a batch within a span
/// of 16 bits.
const MAX_PACKETS: usize = 4_096;
/// By this part the guess of an image's size shrinks with each image.
const GUESS_FADES: usize = 16;
/// The longest span of numbers in one batch.
const MAX_SPAN: u64 = 32_000;

impl WireBatchBuilder {
    /// A builder of batches of `track`.
    pub fn new(track: TrackId) -> Self {
        Self {
            track,
            rendition: Rendition::Shared,
            form: Form::Plain,
            next_form: Form::Plain,
            image: Vec::new(),
            octets: 0,
            ends: SmallVec::new(),
            seqs: None,
            times: None,
            key: None,
            payload_octets: 0,
            guesses: SmallVec::new(),
            meter: None,
        }
    }

    /// The same, with what counts its batches while they live.
    pub fn metered(track: TrackId, meter: Arc<Meter>) -> Self {
        Self { meter: Some(meter), ..Self::new(track) }
    }

    /// A builder of batches of `track` that are counted where this one's are.
    pub fn another(&self, track: TrackId) -> Self {
        Self { meter: self.meter.clone(), ..Self::new(track) }
    }

    /// From now on batches are of `track`. Packets of another one that were not finished are
    /// dropped.
    pub fn begin(&mut self, track: TrackId) {
        self.image.clear();
        self.ends.clear();
        self.octets = 0;
        (self.seqs, self.times, self.key, self.payload_octets) = (None, None, None, 0);
        self.track = track;
    }

    /// Batches are for these readers, from the one under construction on; at first for all.
    pub fn set_rendition(&mut self, rendition: Rendition) {
        self.rendition = rendition;
    }

    /// Batches are built in this form, from the next one on that is begun; at first plain. The
    /// other form of a batch costs a copy once it is asked for, so this one had better be what its
    /// readers take.
    pub fn set_form(&mut self, form: Form) {
        self.next_form = form;
    }

    /// Copies `packet` into the image and writes `seq`, `timestamp` and `ssrc` into the copy.
    ///
    /// Numbers go up within a batch; one that does not begins a new batch.
    pub fn push(&mut self, packet: &[u8], seq: ExtSeq, timestamp: RtpTime, ssrc: Ssrc) -> Push {
        let Some(payload) = payload_octets(packet) else { return Push::NotRtp };
        if let Err(push) = self.admit(packet.len(), seq) {
            return push;
        }
        let start = self.begin_packet(packet.len());
        self.image.extend_from_slice(packet);
        self.note(start, payload, seq, timestamp, ssrc)
    }

    /// Writes a packet into the image that is given in parts: the fixed header, of which number,
    /// timestamp and source are replaced, without CSRCs, extension and padding; and `octets` bytes
    /// of payload, in pieces; what these have beyond that is left out.
    pub fn push_parts<'a>(
        &mut self,
        header: [u8; 12],
        pieces: impl Iterator<Item = &'a [u8]>,
        octets: usize,
        seq: ExtSeq,
        timestamp: RtpTime,
        ssrc: Ssrc,
    ) -> Push {
        if let Err(push) = self.admit(header.len() + octets, seq) {
            return push;
        }
        let start = self.begin_packet(header.len() + octets);
        self.image.extend_from_slice(&header);
        let mut rest = octets;
        for piece in pieces {
            let piece = piece.get(..rest).unwrap_or(piece);
            self.image.extend_from_slice(piece);
            rest -= piece.len();
        }
        if rest > 0 {
            // Less than announced: no packet.
            self.cut_off(start);
            return Push::NotRtp;
        }
        self.note(start, octets as u64, seq, timestamp, ssrc)
    }

    /// Makes room for a packet of so many bytes, or says why there is none.
    #[inline(always)]
    fn admit(&mut self, bytes: usize, seq: ExtSeq) -> Result<(), Push> {
        if bytes > MAX_BATCH_BYTES {
            return Err(Push::TooLarge);
        }
        if let Some((first, last)) = self.seqs {
            let follows = seq > last && seq.0 - last.0 <= MAX_STEP && seq.0 - first.0 <= MAX_SPAN;
            let fits = self.octets + bytes <= MAX_BATCH_BYTES;
            if !follows || !fits || self.ends.len() >= MAX_PACKETS {
                return Err(Push::Full);
            }
        } else {
            self.form = self.next_form;
            let guess = self.guesses.get(self.track.index()).copied().unwrap_or_default();
            self.image.reserve(guess.max(bytes + self.form.header_len()));
        }
        Ok(())
    }

    /// Writes what goes before a packet of so many bytes; says where that begins.
    #[inline(always)]
    fn begin_packet(&mut self, bytes: usize) -> usize {
        let start = self.image.len();
        if self.form == Form::Interleaved {
            let (channel, _) = self.track.usual_channels();
            self.image.extend_from_slice(&frame_header(channel, bytes));
        }
        start
    }

    /// Takes a packet out again that was begun here.
    #[cold]
    fn cut_off(&mut self, start: usize) {
        self.image.truncate(start);
    }

    /// Patches and counts the packet that was begun at `start`.
    #[inline(always)]
    fn note(
        &mut self,
        start: usize,
        octets: u64,
        seq: ExtSeq,
        timestamp: RtpTime,
        ssrc: Ssrc,
    ) -> Push {
        let begin = start + self.form.header_len();
        let copy = self.image.get_mut(begin..).unwrap_or_default();
        if !patch_header(copy, seq.seq(), timestamp, ssrc) {
            self.cut_off(start);
            return Push::NotRtp;
        }
        self.octets += self.image.len() - begin;
        self.ends.push(self.octets as u32);
        self.seqs = Some((self.seqs.map_or(seq, |(first, _)| first), seq));
        match &mut self.times {
            Some(times) => times.push(timestamp),
            None => self.times = Some(Times::of(timestamp)),
        }
        self.payload_octets += octets;
        Push::Added
    }

    /// Notes that a key unit is now known to begin at packet `seq`, in this batch or an earlier
    /// one; of several the newest counts.
    pub fn note_key(&mut self, seq: ExtSeq) {
        self.key = self.key.max(Some(seq));
    }

    /// Whether no packet was pushed since the last batch.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The batch, arrived at the instant `at`; `None` if there is no packet in it (a key noted
    /// meanwhile is kept for the next one).
    pub fn finish(&mut self, at: Instant) -> Option<Arc<WireBatch>> {
        let seqs = self.seqs.take()?;
        self.guess_by(self.image.len());
        self.octets = 0;
        let batch = WireBatch {
            track: self.track,
            kind: EntryKind::Media,
            rendition: self.rendition,
            at,
            forms: Forms::new(self.form, std::mem::take(&mut self.image).into_boxed_slice()),
            ends: std::mem::take(&mut self.ends),
            seqs: Some(seqs),
            times: self.times.take(),
            key: self.key.take(),
            payload_octets: std::mem::take(&mut self.payload_octets),
            meter: self.meter.clone(),
        };
        if let Some(meter) = &batch.meter {
            meter.add(batch.bytes_held());
        }
        Some(Arc::new(batch))
    }
}

impl WireBatchBuilder {
    /// An image of the track turned out to be of so many bytes.
    fn guess_by(&mut self, bytes: usize) {
        let index = self.track.index();
        if self.guesses.len() <= index {
            self.guesses.resize(index + 1, 0);
        }
        if let Some(guess) = self.guesses.get_mut(index) {
            *guess = bytes.max(*guess - *guess / GUESS_FADES);
        }
    }
}

/// The payload octets of an RTP packet without header, CSRCs, extension and padding; `None` if
/// there is no RTP header.
fn payload_octets(packet: &[u8]) -> Option<u64> {
    let (&[first, ..], body) = packet.split_first_chunk::<12>()?;
    if first >> 6 != 2 {
        return None;
    }
    let mut octets = body.len().saturating_sub(4 * usize::from(first & 0x0f));
    if first & 0x10 != 0
        && let Some(&[_, _, high, low]) =
            body.get(4 * usize::from(first & 0x0f)..).and_then(<[u8]>::first_chunk)
    {
        octets = octets.saturating_sub(4 + 4 * usize::from(u16::from_be_bytes([high, low])));
    }
    if first & 0x20 != 0 {
        octets = octets.saturating_sub(packet.last().map_or(0, |&padding| usize::from(padding)));
    }
    Some(octets as u64)
}
