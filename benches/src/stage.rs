//! An audience and sockets that take everything: what serving readers costs beside the kernel.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fan_out::{
    Audience, Egress, FanOutLimits, Form, Join, MAX_ALIKE, MAX_SLICES, Push, ReaderKey, Start,
    TcpNext, TrackId, TrackMask, Transport, WireBatch, WireBatchBuilder,
};
use rtp_rtcp::{ExtSeq, RtpTime, Ssrc};
use smallvec::SmallVec;

use crate::packets::{Frames, KEY_FRAME, OTHER_FRAME};

/// The only track.
pub const TRACK: TrackId = TrackId(0);
/// Frames from one key frame to the next.
pub const GOP: u64 = 50;
/// From one frame to the next.
pub const FRAME: Duration = Duration::from_millis(40);

/// Readers of one track.
#[derive(Debug)]
pub struct Stage {
    audience: Audience<SocketAddr>,
    /// By the reader's place.
    egresses: Vec<Option<Egress>>,
    scratch: Vec<u8>,
}

/// What was handed to the sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Served {
    /// System calls that a shell would have made.
    pub calls: u64,
    /// Bytes, counted once for each destination.
    pub bytes: u64,
}

impl Stage {
    /// So many readers over UDP and so many over TCP, who begin with the next key frame.
    ///
    /// # Panics
    /// If the audience takes fewer.
    #[must_use]
    pub fn new(now: Instant, udp: usize, tcp: usize) -> Self {
        let mut this = Self {
            audience: Audience::new(FanOutLimits::default(), TrackMask::of(TRACK)),
            egresses: Vec::new(),
            scratch: Vec::new(),
        };
        for number in 0..udp {
            let port = 10_000 + 2 * u16::try_from(number).unwrap_or_default();
            let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let tracks = [(TRACK, address(port), address(port + 1))].into_iter().collect();
            this.join(now, Transport::Udp { group: 0, tracks }, Start::KeyFrame);
        }
        for _ in 0..tcp {
            this.join_tcp(now, Start::KeyFrame);
        }
        this
    }

    /// One more reader over TCP.
    ///
    /// # Panics
    /// If the audience does not take it.
    pub fn join_tcp(&mut self, now: Instant, start: Start) -> ReaderKey {
        let channels = [(TRACK, 0, 1)].into_iter().collect();
        let key = self.join(now, Transport::Tcp { channels }, start);
        if self.egresses.len() <= key.index() {
            self.egresses.resize_with(key.index() + 1, || None);
        }
        if let Some(egress) = self.egresses.get_mut(key.index()) {
            *egress = Some(Egress::new(FanOutLimits::default().control_bytes));
        }
        key
    }

    /// One reader less.
    pub fn leave(&mut self, key: ReaderKey) {
        self.audience.leave(key);
        if let Some(egress) = self.egresses.get_mut(key.index()) {
            *egress = None;
        }
    }

    fn join(&mut self, now: Instant, transport: Transport<SocketAddr>, start: Start) -> ReaderKey {
        let prologue = vec![(TRACK, Bytes::from_static(b"a report"))];
        let tracks = TrackMask::of(TRACK);
        let join = Join { transport, tracks, start, prologue };
        self.audience.join(now, join).expect("there is room")
    }

    /// Appends a batch to the log.
    pub fn publish(&mut self, now: Instant, batch: Arc<WireBatch>) {
        self.audience.publish(now, batch);
    }

    /// Gives the readers over UDP all there is.
    pub fn serve_udp(&mut self, now: Instant) -> Served {
        let mut served = Served::default();
        while let Some(send) = self.audience.udp_next(now, 0) {
            let sent = send.to.len();
            served.calls += 1;
            served.bytes += (send.payload.len() * sent) as u64;
            self.audience.udp_sent(now, 0, sent, false);
        }
        served
    }

    /// Gives the readers over TCP all there is.
    pub fn serve_tcp(&mut self, now: Instant) -> Served {
        let mut served = Served::default();
        let mut place = None;
        loop {
            let (alone, after, count, bytes) = match self.audience.tcp_next(now, place) {
                TcpNext::Done => return served,
                TcpNext::Single(key) => (Some(key), key.into(), 0, 0),
                TcpNext::Alike(send) => (None, send.place, send.to.len(), send.bytes),
            };
            place = Some(after);
            if let Some(key) = alone {
                self.serve_one(now, key, &mut served);
                continue;
            }
            served.calls += count as u64;
            served.bytes += (count * bytes) as u64;
            let may_have_more = self.audience.tcp_sent(now, &[true; MAX_ALIKE]);
            assert!(!may_have_more, "a few batches are one write");
        }
    }

    /// Gives a reader what is for it alone.
    fn serve_one(&mut self, now: Instant, key: ReaderKey, served: &mut Served) {
        while let Some(Some(egress)) = self.egresses.get_mut(key.index()) {
            let mut slices = SmallVec::<[_; MAX_SLICES]>::new();
            self.audience.slices(now, key, egress, &mut self.scratch, &mut slices);
            if slices.is_empty() {
                break;
            }
            let bytes = slices.iter().map(|slice| slice.len()).sum();
            drop(slices);
            served.calls += 1;
            served.bytes += bytes as u64;
            if !self.audience.consume(now, key, egress, bytes) {
                break;
            }
        }
    }

    /// Does what is due by the clock.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.audience.handle_timeout(now);
    }
}

/// Batches of a stream, one per frame.
#[derive(Debug)]
pub struct Batches {
    builder: WireBatchBuilder,
    frames: Frames,
    count: u64,
    next: ExtSeq,
}

impl Batches {
    /// From a key frame on, built in this form.
    #[must_use]
    pub fn new(form: Form) -> Self {
        let mut builder = WireBatchBuilder::new(TRACK);
        builder.set_form(form);
        Self { builder, frames: Frames::new(), count: 0, next: ExtSeq(1 << 16) }
    }

    /// The next frame.
    ///
    /// # Panics
    /// If the builder does not take it.
    pub fn next(&mut self, now: Instant) -> Arc<WireBatch> {
        let is_key = self.count.is_multiple_of(GOP);
        let size = if is_key { KEY_FRAME } else { OTHER_FRAME };
        if is_key {
            self.builder.note_key(self.next);
        }
        let time = RtpTime((self.count * 3600) as u32);
        for packet in self.frames.frame(size, is_key) {
            assert_eq!(self.builder.push(&packet, self.next, time, Ssrc(9)), Push::Added);
            self.next = self.next.next();
        }
        self.count += 1;
        self.builder.finish(now).expect("packets were pushed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_is_given_every_byte() {
        let now = crate::clock::mono();
        let (mut stage, mut batches) = (Stage::new(now, 70, 3), Batches::new(Form::Plain));
        // The prologues.
        assert_eq!(stage.serve_udp(now), Served { calls: 70, bytes: 70 * 8 });
        assert_eq!(stage.serve_tcp(now), Served { calls: 3, bytes: 3 * 12 });
        let batch = batches.next(now);
        let (bytes, packets) = (batch.image_len() as u64, batch.len() as u64);
        stage.publish(now, batch);
        assert_eq!(stage.serve_udp(now), Served { calls: 2, bytes: 70 * bytes });
        assert_eq!(stage.serve_tcp(now), Served { calls: 3, bytes: 3 * (bytes + 4 * packets) });
        assert_eq!((stage.serve_udp(now), stage.serve_tcp(now)), Default::default());
    }
}
