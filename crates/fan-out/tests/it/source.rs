//! Published media for tests: packets that say which they are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fan_out::{Push, TrackId, TrackMask, WireBatch, WireBatchBuilder};
use rtp_rtcp::{ExtSeq, RtpTime, Ssrc};

pub(crate) const VIDEO: TrackId = TrackId(0);
pub(crate) const AUDIO: TrackId = TrackId(1);

/// The number every track begins with: it wraps on the wire soon.
pub(crate) const FIRST: ExtSeq = ExtSeq(65_536 + 65_000);

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

/// One track's packets, one after the other.
#[derive(Debug)]
pub(crate) struct Source {
    builder: WireBatchBuilder,
    track: TrackId,
    pub(crate) next: ExtSeq,
}

impl Source {
    pub(crate) fn new(track: TrackId) -> Self {
        Self { builder: WireBatchBuilder::new(track), track, next: FIRST }
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
            RtpTime(seq.0 as u32),
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
    packet.extend_from_slice(&(seq.0 as u32).to_be_bytes());
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
    let (&track, rest) = bytes.get(12..)?.split_first()?;
    let is_padding = bytes[0] & 0x20 != 0;
    if is_padding {
        return None;
    }
    let seq = ExtSeq(u64::from_be_bytes(*rest.first_chunk()?));
    assert_eq!(bytes, packet(TrackId(track), seq, bytes.len()), "a packet was changed");
    Some((TrackId(track), seq))
}

/// A report that says what it is.
pub(crate) fn report(track: TrackId, name: &str) -> Vec<u8> {
    let mut bytes = vec![0x80, 200, 0, 6, track.0];
    bytes.extend_from_slice(name.as_bytes());
    bytes
}
