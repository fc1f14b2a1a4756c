//! Frames of any size, made of filler.

use super::nal::{Codec, IDR_SLICE, Packets, ParameterSets, SLICE};
use super::{Stamp, Unit};
use crate::options::Synthetic;

/// The key frame and the other frame of a stream; each packet has room for its [`Stamp`].
pub(super) fn units(
    measures: &Synthetic,
    sets: Option<&ParameterSets>,
    limit: usize,
) -> (Unit, Unit) {
    let mut key = Packets::new(Codec::H264, limit);
    if let Some(sets) = sets {
        sets.nals().for_each(|nal| key.nal(nal));
    }
    // `first_mb_in_slice` 0 and `slice_type` 7 or 5 (all I, all P), as ue(v).
    key.nal(&nal(0x60 | IDR_SLICE, 0x88, measures.key_frame_bytes, limit));
    let mut other = Packets::new(Codec::H264, limit);
    other.nal(&nal(0x40 | SLICE, 0x9A, other_frame_bytes(measures), limit));
    (stamped(key.finish(true)), stamped(other.finish(false)))
}

/// What the bit rate leaves for each frame that is not a key frame.
pub(super) fn other_frame_bytes(measures: &Synthetic) -> usize {
    let gop_bytes = u128::from(measures.bitrate) * u128::from(measures.gop)
        / (8 * u128::from(measures.fps.max(1)));
    let others = u128::from(measures.gop.max(2) - 1);
    let bytes = gop_bytes.saturating_sub(measures.key_frame_bytes as u128) / others;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// A NAL unit of about this size whose packets are all long enough for a stamp.
fn nal(header: u8, slice: u8, size: usize, limit: usize) -> Vec<u8> {
    let mut size = size.max(SHORTEST);
    if size > limit {
        let piece = limit.saturating_sub(2).max(1);
        let last = (size - 1) % piece;
        if (1..SHORTEST).contains(&last) {
            size += SHORTEST - last;
        }
    }
    let mut nal = vec![FILLER; size];
    if let Some(head) = nal.first_chunk_mut() {
        *head = [header, slice];
    }
    nal
}

/// Numbers the packets that have room for a stamp: all but the parameter sets.
fn stamped(mut unit: Unit) -> Unit {
    let long = |bytes: &[u8]| bytes.get(SHORTEST - 1) == Some(&FILLER);
    let count = unit.packets.iter().filter(|packet| long(&packet.bytes)).count();
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    let wanted = unit.packets.iter_mut().filter(|packet| long(&packet.bytes));
    for (packet, index) in wanted.zip(0..) {
        packet.stamp = Some((index, count));
    }
    unit
}

/// The shortest payload with room for a stamp.
const SHORTEST: usize = Stamp::OFFSET + Stamp::LEN + 1;
const FILLER: u8 = b'U';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_size_and_rate_asked_for() {
        let measures = Synthetic { bitrate: 20_000_000, fps: 25, gop: 50, key_frame_bytes: 60_000 };
        let (key, other) = units(&measures, None, 1400);
        let size = |unit: &Unit| unit.packets.iter().map(|p| p.bytes.len() - 2).sum::<usize>();
        assert!(size(&key).abs_diff(60_000) < 100);
        let total = size(&key) + 49 * size(&other);
        assert!(total.abs_diff(5_000_000) < 50_000, "{total} bytes in 2 s");
    }

    #[test]
    fn every_packet_but_parameter_sets_has_room_for_a_stamp() {
        let sets =
            ParameterSets::H264 { sps: [0x67, 0x4D, 0, 0x0D, 1].into(), pps: [0x68, 1].into() };
        for limit in [64, 65, 200, 1400, 8000] {
            for bytes in [0, 1, 43, 44, 64, 65, 1399, 1400, 1401, 2800, 2805, 60_000] {
                let measures = Synthetic { bitrate: 0, fps: 25, gop: 50, key_frame_bytes: bytes };
                let (key, other) = units(&measures, Some(&sets), limit);
                for (unit, bare) in [(key, 2), (other, 0)] {
                    let stamps: Vec<_> = unit.packets.iter().filter_map(|p| p.stamp).collect();
                    assert_eq!(stamps.len() + bare, unit.packets.len(), "{limit} {bytes}");
                    assert_eq!(stamps[0].0, 0);
                    assert!(stamps.iter().all(|stamp| usize::from(stamp.1) == stamps.len()));
                    assert!(unit.packets.iter().all(|packet| packet.bytes.len() <= limit));
                }
            }
        }
    }
}
