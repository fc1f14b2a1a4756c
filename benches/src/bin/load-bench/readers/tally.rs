//! What readers get, packet by packet and frame by frame.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use test_camera::Stamp;

use crate::recording::RTP_HEADER;

/// What all readers of a stream share.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The number that counting begins at.
    base: Option<u64>,
    /// Packets of each frame.
    sizes: Vec<u16>,
    /// The newest frame seen by anyone.
    newest: u64,
    /// From the camera to readers, while that is wanted.
    latencies: Option<Latencies>,
}

/// Milliseconds from the camera's sending of a frame's last packet on.
#[derive(Debug, Default)]
pub(crate) struct Latencies {
    /// For each frame and reader.
    pub(crate) all: Vec<f64>,
    /// The slowest reader of each key frame.
    keys: BTreeMap<u64, f64>,
}

impl Latencies {
    /// Until the last reader had each key frame.
    pub(crate) fn key_to_all(&self) -> Vec<f64> {
        self.keys.values().copied().collect()
    }
}

/// The packet types of RTCP, as they stand where RTP has its marker and payload type (RFC 5761).
const RTCP: RangeInclusive<u8> = 192..=223;
/// Frames before the first one seen that a reader may still be given.
const EARLIER: u64 = 1_000;
/// Frames that are counted; no measurement is as long.
const MAX_FRAMES: usize = 100_000;

impl Frames {
    /// The number after the newest frame.
    pub(crate) fn next(&self) -> u64 {
        self.newest + 1
    }

    /// Begins to note latencies.
    pub(crate) fn note_latencies(&mut self) {
        self.latencies = Some(Latencies::default());
    }

    /// The latencies noted.
    pub(crate) fn take_latencies(&mut self) -> Latencies {
        self.latencies.take().unwrap_or_default()
    }

    fn place(&mut self, stamp: &Stamp) -> Option<usize> {
        let base = *self.base.get_or_insert_with(|| stamp.frame.saturating_sub(EARLIER));
        let place = usize::try_from(stamp.frame.checked_sub(base)?).ok()?;
        if place >= MAX_FRAMES {
            return None;
        }
        if self.sizes.len() <= place {
            self.sizes.resize(place + 1, 0);
        }
        *self.sizes.get_mut(place)? = stamp.packets;
        self.newest = self.newest.max(stamp.frame);
        Some(place)
    }
}

/// One reader.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    /// Packets that came twice or late.
    pub(crate) repeated: u64,
    /// Sequence numbers that were passed over.
    pub(crate) gaps: u64,
    /// When PLAY was sent, by the wall clock.
    pub(crate) asked: Option<Duration>,
    /// From then until the first key frame was whole.
    pub(crate) first_key: Option<Duration>,
    last_seq: Option<u16>,
    /// Packets of each frame.
    counts: Vec<u16>,
    newest: u64,
    /// What the packet before belonged to.
    current: Option<Current>,
}

/// The frame that is coming.
#[derive(Clone, Copy, Debug)]
struct Current {
    timestamp: [u8; 4],
    place: usize,
    packets: u16,
}

/// What did not come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Loss {
    pub(crate) packets: u64,
    pub(crate) frames: u64,
}

impl Tally {
    /// Counts an RTP packet that arrived at `at` by the wall clock.
    pub(crate) fn take(&mut self, frames: &mut Frames, packet: &[u8], at: Duration) {
        let Some((&[_, second, s0, s1, t0, t1, t2, t3, ..], payload)) =
            packet.split_first_chunk::<RTP_HEADER>()
        else {
            return;
        };
        // Reports come to this port too while there is no media.
        if RTCP.contains(&second) {
            return;
        }
        self.packets += 1;
        self.bytes += packet.len() as u64;
        let seq = u16::from_be_bytes([s0, s1]);
        if let Some(last) = self.last_seq {
            match seq.wrapping_sub(last).cast_signed() {
                ..=0 => {
                    self.repeated += 1;
                    return;
                }
                step => self.gaps += u64::from(step.unsigned_abs()) - 1,
            }
        }
        self.last_seq = Some(seq);
        let timestamp = [t0, t1, t2, t3];
        let is_last = second & MARKER != 0;
        // What a stamp says is the same in all packets of a frame but for the last one's time: the
        // others need not be read, so that reading costs little.
        let known = self.current.filter(|current| current.timestamp == timestamp);
        let stamp = if known.is_some() && !is_last { None } else { Stamp::read(payload) };
        let current = match (known, &stamp) {
            (Some(current), _) => current,
            (None, Some(stamp)) => {
                let Some(place) = frames.place(stamp) else { return };
                self.newest = self.newest.max(stamp.frame);
                if self.counts.len() <= place {
                    self.counts.resize(place + 1, 0);
                }
                Current { timestamp, place, packets: stamp.packets }
            }
            // Parameter sets.
            (None, None) => return,
        };
        self.current = Some(current);
        let Some(count) = self.counts.get_mut(current.place) else { return };
        *count += 1;
        let is_whole = *count == current.packets;
        let is_key = is_last && is_key(payload);
        if self.first_key.is_none() && is_whole && is_key {
            self.first_key = self.asked.map(|asked| at.saturating_sub(asked));
        }
        if let (Some(latencies), Some(stamp), true) = (&mut frames.latencies, stamp, is_last) {
            let millis = at.saturating_sub(stamp.sent).as_secs_f64() * 1e3;
            latencies.all.push(millis);
            if is_key {
                let slowest = latencies.keys.entry(stamp.frame).or_default();
                *slowest = slowest.max(millis);
            }
        }
    }

    /// Whether a frame from `frame` on has begun to come.
    pub(crate) fn has_reached(&self, frame: u64) -> bool {
        self.newest >= frame
    }

    /// What is missing of these frames.
    pub(crate) fn loss(&self, frames: &Frames, window: Range<u64>) -> Loss {
        let mut loss = Loss::default();
        for frame in window {
            let place = frame.checked_sub(frames.base.unwrap_or_default());
            let place = place.and_then(|place| usize::try_from(place).ok()).unwrap_or(usize::MAX);
            // A frame that nobody saw had at least a packet.
            let wanted = frames.sizes.get(place).copied().unwrap_or_default().max(1);
            let missing = wanted - self.counts.get(place).copied().unwrap_or_default().min(wanted);
            loss.packets += u64::from(missing);
            loss.frames += u64::from(missing > 0);
        }
        loss
    }
}

/// The last packet of a frame has it, beside the payload type.
const MARKER: u8 = 0x80;

/// Whether a payload is of an H.264 IDR picture, whole or a fragment.
fn is_key(payload: &[u8]) -> bool {
    match *payload {
        [first, header, ..] if first & 0x1f == 28 => header & 0x1f == 5,
        [first, ..] => first & 0x1f == 5,
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(seq: u16, frame: u64, index: u16, of: u16, sent: u64, nal: u8) -> Vec<u8> {
        let marker = if index + 1 == of { MARKER } else { 0 };
        let mut packet = vec![0x80, 96 | marker];
        packet.extend(seq.to_be_bytes());
        packet.extend((frame as u32 * 3600).to_be_bytes());
        packet.extend([0; 4]);
        packet.extend([0x7c, nal, 0x88]);
        packet.extend(format!("TCAM{frame:012x}{index:04x}{of:04x}{sent:016x}").bytes());
        packet
    }

    #[test]
    fn loss_latency_and_the_first_key_frame_are_told() {
        let (mut frames, mut whole, mut gappy) =
            (Frames::default(), Tally::default(), Tally::default());
        frames.note_latencies();
        let asked = Duration::from_nanos(500);
        (whole.asked, gappy.asked) = (Some(asked), Some(asked));
        let ms = |n: u64| Duration::from_nanos(1_000 + n * 1_000_000);
        // Two packets of a key frame, then three frames of one packet each.
        let sent = [
            packet(65_534, 7, 0, 2, 1_000, 5),
            packet(65_535, 7, 1, 2, 1_000, 5),
            packet(0, 8, 0, 1, 1_000, 1),
            packet(1, 9, 0, 1, 1_000, 1),
            packet(2, 10, 0, 1, 1_000, 1),
        ];
        for (index, bytes) in (0_u64..).zip(&sent) {
            whole.take(&mut frames, bytes, ms(index));
            if index != 1 && index != 3 {
                gappy.take(&mut frames, bytes, ms(index));
            }
        }
        gappy.take(&mut frames, &sent[4], ms(5));
        assert_eq!(whole.loss(&frames, 7..11), Loss::default());
        assert_eq!(gappy.loss(&frames, 7..11), Loss { packets: 2, frames: 2 });
        // A frame nobody has seen is lost to everybody.
        assert_eq!(whole.loss(&frames, 10..12), Loss { packets: 1, frames: 1 });
        assert_eq!((whole.packets, gappy.packets, gappy.repeated), (5, 4, 1));
        assert_eq!((whole.gaps, gappy.gaps), (0, 2));
        assert_eq!(whole.first_key, Some(Duration::from_nanos(1_000_500)));
        assert_eq!(gappy.first_key, None);
        assert!(whole.has_reached(10) && !whole.has_reached(11));
        assert_eq!(frames.next(), 11);
        let latencies = frames.take_latencies();
        assert_eq!(latencies.all, [1.0, 2.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(latencies.key_to_all(), [1.0]);
    }
}
