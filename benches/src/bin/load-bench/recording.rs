//! What a proxy sent and when: batches of packets without their content, to be sent again.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use benches::runs::Message;
use serde::{Deserialize, Serialize};
use test_camera::Stamp;

/// Some frames of streams that repeat themselves, in the batches they left in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Recording {
    /// After so long it begins anew.
    pub(crate) period_nanos: u64,
    /// The frames of one period.
    pub(crate) frames: u32,
    /// The number of the first frame of the stream that begins first, as the camera counts them.
    pub(crate) first: u64,
    pub(crate) streams: Vec<Vec<Batch>>,
}

/// Packets that left together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// When, from the camera's sending of the first packet of any stream on.
    pub(crate) at_nanos: i64,
    pub(crate) packets: Vec<Packet>,
}

/// A packet's shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Packet {
    /// All its bytes.
    pub(crate) size: usize,
    /// The first of them: RTP header and what comes before the stamp.
    pub(crate) head: Vec<u8>,
    /// From the stream's first packet on.
    pub(crate) timestamp: u32,
    pub(crate) stamp: Option<Mark>,
}

/// A packet's stamp, counted from the recording's first packet.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) frame: u32,
    pub(crate) packet: u16,
    pub(crate) packets: u16,
    pub(crate) sent_nanos: i64,
}

/// The fixed RTP header.
pub(crate) const RTP_HEADER: usize = 12;

impl Recording {
    /// Puts streams together that were recorded at the same time.
    pub(crate) fn of(recorders: &[&Recorder], frames: u32, period: Duration) -> Result<Self> {
        let begins = recorders.iter().map(|recorder| recorder.begin(frames));
        let begins = begins.collect::<Result<Vec<_>>>()?;
        let (zero, first) = begins.into_iter().min().context("no streams")?;
        let streams = recorders.iter().map(|recorder| recorder.finish(frames, zero));
        let period_nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self { period_nanos, frames, first, streams: streams.collect::<Result<_>>()? })
    }

    /// Whether it begins with this packet of the camera's, in whatever period.
    pub(crate) fn begins_with(&self, stamp: &Stamp) -> bool {
        let packets = self.streams.iter().flatten().flat_map(|batch| &batch.packets);
        let mut marks = packets.filter_map(|packet| packet.stamp);
        let first = marks.find(|mark| mark.frame == 0 && mark.sent_nanos == 0);
        let period = u64::from(self.frames.max(1));
        first.is_some_and(|first| {
            first.packet == stamp.packet && self.first % period == stamp.frame % period
        })
    }

    pub(crate) fn batches(&self) -> usize {
        self.streams.iter().map(Vec::len).sum()
    }

    pub(crate) fn packets(&self) -> usize {
        self.streams.iter().flatten().map(|batch| batch.packets.len()).sum()
    }

    /// The same packets with each frame in one batch, which leaves when the camera has sent the
    /// last of them.
    pub(crate) fn in_whole_frames(&self) -> Self {
        let streams = self.streams.iter().map(|batches| whole_frames(batches)).collect();
        Self { streams, ..*self }
    }
}

fn whole_frames(batches: &[Batch]) -> Vec<Batch> {
    let mut frames: Vec<Batch> = Vec::new();
    for packet in batches.iter().flat_map(|batch| &batch.packets) {
        let sent = packet.stamp.map_or(i64::MIN, |stamp| stamp.sent_nanos);
        match frames.last_mut() {
            Some(batch) if batch.is_of(packet.timestamp) => {
                batch.at_nanos = batch.at_nanos.max(sent);
                batch.packets.push(packet.clone());
            }
            _ => frames.push(Batch { at_nanos: sent, packets: vec![packet.clone()] }),
        }
    }
    frames
}

impl Batch {
    /// Whether it begins with a packet of this timestamp.
    fn is_of(&self, timestamp: u32) -> bool {
        self.packets.first().is_some_and(|first| first.timestamp == timestamp)
    }
}

/// Makes a recording from messages as they come.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    messages: Vec<Seen>,
    newest: u64,
    oldest: Option<u64>,
}

#[derive(Debug)]
struct Seen {
    at: Duration,
    segment: usize,
    packets: Vec<SeenPacket>,
}

#[derive(Debug)]
struct SeenPacket {
    size: usize,
    head: Vec<u8>,
    seq: u16,
    timestamp: u32,
    stamp: Option<Stamp>,
}

impl Recorder {
    /// Takes a message that the sender handed to the kernel at once, at the time `at`.
    pub(crate) fn take(&mut self, message: Message<'_>, at: Duration) {
        let packets: Vec<_> = message.datagrams().filter_map(SeenPacket::read).collect();
        for stamp in packets.iter().filter_map(|packet| packet.stamp) {
            self.newest = self.newest.max(stamp.frame);
            self.oldest.get_or_insert(stamp.frame);
        }
        self.messages.push(Seen { at, segment: message.segment, packets });
    }

    /// Whether so many whole frames have been seen.
    pub(crate) fn has(&self, frames: u32) -> bool {
        self.oldest.is_some_and(|oldest| self.newest > oldest + u64::from(frames))
    }

    /// When the camera sent the first packet of the first whole frame, and that frame's number.
    fn begin(&self, frames: u32) -> Result<(Duration, u64)> {
        ensure!(self.has(frames), "the recording has too few frames");
        let (first, begin) = self.first()?;
        Ok((begin.stamp.map(|stamp| stamp.sent).unwrap_or_default(), first))
    }

    /// The first whole frame and its first packet with a stamp.
    fn first(&self) -> Result<(u64, &SeenPacket)> {
        // The oldest one may have lost its beginning.
        let first = self.oldest.context("the recording has no frames")? + 1;
        let begin = self.packets().find(|packet| packet.stamp.is_some_and(|s| s.frame == first));
        Ok((first, begin.context("the recording has no beginning")?))
    }

    fn packets(&self) -> impl Iterator<Item = &SeenPacket> {
        self.messages.iter().flat_map(|message| &message.packets)
    }

    /// The first `frames` whole frames, in time from `zero` on.
    fn finish(&self, frames: u32, zero: Duration) -> Result<Vec<Batch>> {
        let (first, begin) = self.first()?;
        let base = begin.timestamp;
        let wanted = first..first + u64::from(frames);
        let of_timestamp: HashMap<u32, u64> = self
            .packets()
            .filter_map(|packet| Some((packet.timestamp, packet.stamp?.frame)))
            .collect();

        let mut batches: Vec<Batch> = Vec::new();
        let mut last: Option<u16> = None;
        for (index, message) in self.messages.iter().enumerate() {
            let packets = message.packets.iter().filter(|packet| {
                of_timestamp.get(&packet.timestamp).is_some_and(|frame| wanted.contains(frame))
            });
            let mut kept = Vec::new();
            for packet in packets {
                let follows = last.is_none_or(|last| packet.seq == last.wrapping_add(1));
                ensure!(follows, "the recording has a gap: the machine is too busy");
                last = Some(packet.seq);
                kept.push(Packet {
                    size: packet.size,
                    head: packet.head.clone(),
                    timestamp: packet.timestamp.wrapping_sub(base),
                    stamp: packet.stamp.map(|stamp| Mark {
                        frame: u32::try_from(stamp.frame - first).unwrap_or(u32::MAX),
                        packet: stamp.packet,
                        packets: stamp.packets,
                        sent_nanos: nanos_between(zero, stamp.sent),
                    }),
                });
            }
            if kept.is_empty() {
                continue;
            }
            let before = index.checked_sub(1).and_then(|before| self.messages.get(before));
            match batches.last_mut() {
                Some(batch) if before.is_some_and(|before| before.goes_on_with(message)) => {
                    batch.packets.append(&mut kept);
                }
                _ => {
                    batches.push(Batch { at_nanos: nanos_between(zero, message.at), packets: kept })
                }
            }
        }
        Ok(batches)
    }
}

impl Seen {
    /// Whether `next` belongs to the same batch: the datagrams of one message are of one size but
    /// for a shorter last one, so that a batch may leave as several.
    fn goes_on_with(&self, next: &Self) -> bool {
        let (Some(last), Some(first)) = (self.packets.last(), next.packets.first()) else {
            return false;
        };
        let is_forced = last.size < self.segment || first.size > self.segment;
        is_forced && last.timestamp == first.timestamp
    }
}

impl SeenPacket {
    fn read(datagram: &[u8]) -> Option<Self> {
        let (&[_, _, s0, s1, t0, t1, t2, t3, ..], payload) =
            datagram.split_first_chunk::<RTP_HEADER>()?;
        let stamp = Stamp::read(payload);
        let head = if stamp.is_some() { RTP_HEADER + Stamp::OFFSET } else { MAX_PLAIN_HEAD };
        Some(Self {
            size: datagram.len(),
            head: datagram.iter().take(head).copied().collect(),
            seq: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            stamp,
        })
    }
}

/// Parameter sets are shorter.
const MAX_PLAIN_HEAD: usize = 256;

fn nanos_between(from: Duration, to: Duration) -> i64 {
    let nanos = to.as_nanos().cast_signed() - from.as_nanos().cast_signed();
    i64::try_from(nanos).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with a stamp, of `size` bytes.
    fn packet(seq: u16, frame: u64, (index, of): (u16, u16), size: usize) -> Vec<u8> {
        let mut packet = vec![0x80, 96];
        packet.extend(seq.to_be_bytes());
        packet.extend((u32::try_from(frame).unwrap() * 3600).to_be_bytes());
        packet.extend([0, 0, 0, 1, 0x7c, 0x85, 0x88]);
        packet.extend(
            format!("TCAM{frame:012x}{index:04x}{of:04x}{:016x}", frame * 40_000_000).bytes(),
        );
        packet.resize(size, b'U');
        packet
    }

    fn send(recorder: &mut Recorder, at: u64, packets: &[Vec<u8>]) {
        let bytes = packets.concat();
        let message = Message { bytes: &bytes, segment: packets[0].len(), at: None };
        recorder.take(message, Duration::from_micros(at));
    }

    #[test]
    fn whole_frames_are_kept_in_the_batches_they_came_in() {
        let mut recorder = Recorder::default();
        send(&mut recorder, 0, &[packet(9, 0, (1, 2), 100)]);
        // Frame 1 in two batches, the first of them in two messages for its sizes' sake.
        send(&mut recorder, 40_010, &[packet(10, 1, (0, 3), 80)]);
        send(&mut recorder, 40_012, &[packet(11, 1, (1, 3), 100)]);
        send(&mut recorder, 40_050, &[packet(12, 1, (2, 3), 100)]);
        send(&mut recorder, 80_010, &[packet(13, 2, (0, 2), 100), packet(14, 2, (1, 2), 60)]);
        assert!(!recorder.has(2));
        send(&mut recorder, 120_010, &[packet(15, 3, (0, 1), 100)]);
        assert!(recorder.has(2));

        let recording = Recording::of(&[&recorder], 2, Duration::from_millis(80)).unwrap();
        let batches: Vec<_> = recording.streams[0]
            .iter()
            .map(|batch| (batch.at_nanos, batch.packets.len()))
            .collect();
        assert_eq!(batches, [(10_000, 2), (50_000, 1), (40_010_000, 2)]);
        let last = &recording.streams[0][2].packets[1];
        assert_eq!((last.size, last.timestamp, last.head.len()), (60, 3600, 15));
        let stamp = last.stamp.unwrap();
        assert_eq!((stamp.frame, stamp.packet, stamp.sent_nanos), (1, 1, 40_000_000));

        // In this period or another.
        let begins = |frame, packet| {
            let sent = Duration::from_secs(9);
            recording.begins_with(&Stamp { frame, packet, packets: 3, sent })
        };
        assert!(begins(1, 0) && begins(7, 0) && !begins(2, 0) && !begins(1, 1));

        let frames = recording.in_whole_frames();
        let frames: Vec<_> =
            frames.streams[0].iter().map(|batch| (batch.at_nanos, batch.packets.len())).collect();
        assert_eq!(frames, [(0, 3), (40_000_000, 2)]);
    }

    #[test]
    fn a_recording_with_a_gap_is_refused() {
        let mut recorder = Recorder::default();
        for (seq, frame) in [(1, 1), (2, 2), (4, 3), (5, 4)] {
            send(&mut recorder, 0, &[packet(seq, frame, (0, 1), 100)]);
        }
        let recorded = |frames| Recording::of(&[&recorder], frames, Duration::from_secs(1));
        assert!(recorded(1).is_ok() && recorded(2).is_err() && recorded(3).is_err());
    }

    #[test]
    fn streams_keep_their_places_in_time() {
        let (mut early, mut late) = (Recorder::default(), Recorder::default());
        for frame in 0..4_u16 {
            let bytes = packet(frame, frame.into(), (0, 1), 100);
            send(&mut early, u64::from(frame) * 40_000 + 5, std::slice::from_ref(&bytes));
            if frame > 0 {
                send(&mut late, u64::from(frame) * 40_000 + 9, &[bytes]);
            }
        }
        let recording = Recording::of(&[&late, &early], 1, Duration::from_millis(40)).unwrap();
        let at: Vec<_> = recording.streams.iter().map(|batches| batches[0].at_nanos).collect();
        // The later one begins a frame later, and keeps it so.
        assert_eq!(at, [40_009_000, 5_000]);
        assert_eq!((recording.batches(), recording.packets()), (2, 2));
    }
}
