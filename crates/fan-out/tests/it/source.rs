//! Published media for tests: packets that say which they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fan_out::{Form, Push, TrackId, TrackMask, WireBatch, WireBatchBuilder};
use rtp_rtcp::{ExtSeq, RtpTime, Ssrc};

pub(crate) const VIDEO: TrackId = TrackId(0);
pub(crate) const AUDIO: TrackId = TrackId(1);

/// The number every track begins with: it wraps on the wire soon.
pub(crate) const FIRST: ExtSeq = ExtSeq(65_536 + 65_000);

/// Packets of one picture.
const PICTURE: u64 = 3;
/// After so many packets the order of pictures repeats itself.
pub(crate) const ORDER: u64 = 3 * PICTURE;
/// Ticks from one picture to the next one that is shown.
const INTERVAL: u32 = 3600;
/// How far a picture's timestamp is behind the newest one before it, at most.
pub(crate) const DEPTH: u32 = 2 * INTERVAL;

/// The timestamp of a packet. Video has two B-frames between others, and its timestamps wrap soon.
pub(crate) fn time(track: TrackId, seq: ExtSeq) -> RtpTime {
    if track.0 == LAST_TRACK {
        return RtpTime(seq.0 as u32 * 1000);
    }
    let picture = (seq.0.saturating_sub(FIRST.0) / PICTURE) as u32;
    let shown = match (picture.wrapping_sub(1) / 3, picture.wrapping_sub(1) % 3) {
        _ if picture == 0 => 0,
        (group, 0) => 3 * group + 3,
        (group, place) => 3 * group + place,
    };
    RtpTime((shown * INTERVAL).wrapping_sub(40 * INTERVAL))
}

/// The track of the models that is no video.
const LAST_TRACK: u8 = 2;

/// What a reader that began at once was sent of a track, up to where what it got is the log's own:
/// the distance from each original timestamp is what it has to be. Returns how far before live it
/// began, and how many packets there were before its timestamps were the log's.
pub(crate) fn check_mapping(track: TrackId, got: &[(ExtSeq, RtpTime)]) -> (u32, usize) {
    let shift = |&(seq, sent): &(ExtSeq, RtpTime)| sent.ahead_of(time(track, seq));
    let Some(first) = got.first() else { return (0, 0) };
    if got.iter().all(|item| shift(item) == 0) {
        return (0, got.len());
    }
    let live = (0..100_000).map(|pictures| pictures * INTERVAL);
    let mut live = live.map(|before| (before, time(track, first.0).plus(before)));
    let before = |time: RtpTime, live: RtpTime| live.ahead_of(time).max(0);
    let mapped = |time: RtpTime, live: RtpTime| {
        let before = before(time, live);
        before - before / 40
    };
    let (begins, live) = live
        .find(|(_, live)| mapped(time(track, first.0), *live) == shift(first))
        .expect("the first timestamp is mapped onto some live point");
    let is_mapped = |item: &&(ExtSeq, RtpTime)| shift(item) == mapped(time(track, item.0), live);
    let prefix = got.iter().take_while(is_mapped).count();
    assert!(got[prefix..].iter().all(|item| shift(item) == 0), "neither mapped nor the log's");
    (begins, prefix)
}

/// A reader that began with packet `begins`, `before` ticks before live, when `next` was the next
/// number of the track: as near to live as the order of the pictures allows.
pub(crate) fn check_live(track: TrackId, published: &[u64], begins: u64, next: u64, before: u32) {
    let at = |seq: u64| time(track, ExtSeq(seq));
    let there = published.iter().filter(|seq| (begins..next).contains(seq));
    let newest = there.map(|seq| at(*seq).ahead_of(at(begins))).max().unwrap_or(0);
    let behind = i64::from(newest) - i64::from(before);
    // In the first unit no nearer than the newest picture but one, which lost ones make far.
    let steps = published.windows(2).map(|pair| at(pair[1]).ahead_of(at(pair[0])));
    let longest = i64::from(steps.max().unwrap_or(0)) + i64::from(DEPTH);
    assert!(behind <= longest.max(i64::from(2 * DEPTH)), "{behind} ticks behind live");
}

/// Both tracks.
pub(crate) fn both() -> TrackMask {
    TrackMask::of(VIDEO).union(TrackMask::of(AUDIO))
}

/// The one instant a test's times are counted from.
pub(crate) fn origin() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a base to count a test's times from")]
    Instant::now()
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One track's packets, one after the other, in batches of one form and the other in turn.
#[derive(Debug)]
pub(crate) struct Source {
    builder: WireBatchBuilder,
    form: Form,
    track: TrackId,
    pub(crate) next: ExtSeq,
}

impl Source {
    pub(crate) fn new(track: TrackId) -> Self {
        let builder = WireBatchBuilder::new(track);
        Self { builder, form: Form::Plain, track, next: FIRST }
    }

    pub(crate) fn track(&self) -> TrackId {
        self.track
    }

    /// Leaves out `count` numbers.
    pub(crate) fn lose(&mut self, count: u64) {
        self.next = self.next.plus(count);
    }

    /// Adds a packet of `size` bytes, at least 24; returns its number.
    pub(crate) fn push(&mut self, size: usize) -> ExtSeq {
        let seq = self.next;
        let verdict = self.builder.push(
            &packet(self.track, seq, size),
            seq,
            time(self.track, seq),
            Ssrc(u32::from(self.track.0)),
        );
        assert_eq!(verdict, Push::Added);
        self.next = seq.next();
        seq
    }

    pub(crate) fn note_key(&mut self, seq: ExtSeq) {
        self.builder.note_key(seq);
    }

    pub(crate) fn finish(&mut self, at: Instant) -> Arc<WireBatch> {
        self.form = match self.form {
            Form::Plain => Form::Interleaved,
            Form::Interleaved => Form::Plain,
        };
        self.builder.set_form(self.form);
        self.builder.finish(at).expect("a packet was pushed")
    }

    /// A batch of `count` packets of `size` bytes.
    pub(crate) fn batch(&mut self, at: Instant, count: usize, size: usize) -> Arc<WireBatch> {
        for _ in 0..count {
            self.push(size);
        }
        self.finish(at)
    }

    /// The same, of which the first packet begins a key unit.
    pub(crate) fn key(&mut self, at: Instant, count: usize, size: usize) -> Arc<WireBatch> {
        self.note_key(self.next);
        self.batch(at, count, size)
    }
}

/// A packet whose payload names its track and number.
pub(crate) fn packet(track: TrackId, seq: ExtSeq, size: usize) -> Vec<u8> {
    let mut packet = vec![0x80, 96 + track.0];
    packet.extend_from_slice(&seq.seq().0.to_be_bytes());
    packet.extend_from_slice(&time(track, seq).0.to_be_bytes());
    packet.extend_from_slice(&u32::from(track.0).to_be_bytes());
    packet.push(track.0);
    packet.extend_from_slice(&seq.0.to_be_bytes());
    while packet.len() < size.max(24) {
        packet.push((seq.0 as usize + packet.len()) as u8);
    }
    packet
}

/// What a packet says it is; `None` for one without payload. Panics if it was changed.
pub(crate) fn identify(bytes: &[u8]) -> Option<(TrackId, ExtSeq)> {
    let (track, seq, sent) = identify_timed(bytes)?;
    assert_eq!(sent, time(track, seq), "a timestamp was changed");
    Some((track, seq))
}

/// The same for one whose timestamp may have been changed, and its timestamp.
pub(crate) fn identify_timed(bytes: &[u8]) -> Option<(TrackId, ExtSeq, RtpTime)> {
    let (&track, rest) = bytes.get(12..)?.split_first()?;
    let is_padding = bytes[0] & 0x20 != 0;
    if is_padding {
        return None;
    }
    let seq = ExtSeq(u64::from_be_bytes(*rest.first_chunk()?));
    let mut original = bytes.to_vec();
    original[4..8].copy_from_slice(&time(TrackId(track), seq).0.to_be_bytes());
    assert_eq!(original, packet(TrackId(track), seq, bytes.len()), "a packet was changed");
    let sent = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    Some((TrackId(track), seq, RtpTime(sent)))
}

/// A report that says what it is.
pub(crate) fn report(track: TrackId, name: &str) -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6, track.0];
    bytes.extend_from_slice(name.as_bytes());
    bytes
}
