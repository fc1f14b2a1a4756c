//! RTP packets, and the order in which they pass.

use std::time::Duration;

use bytes::Bytes;
use rtp_rtcp::{
    InOrder, Reorder, ReorderLimits, RtpPacket, RtpTime, Seq, Ssrc, padding_packet, patch_header,
};

use crate::clock::origin;
use crate::payloads::recorded;

/// Parses the input as a packet, then lets it say how packets arrive.
pub(crate) fn run(input: &[u8]) {
    parse(input);
    order(input);
}

fn parse(input: &[u8]) {
    let bytes = Bytes::copy_from_slice(input);
    let Ok(packet) = RtpPacket::parse(bytes.clone()) else { return };
    assert!(packet.payload().len() + 12 <= input.len());
    let mut patched = input.to_vec();
    assert!(patch_header(&mut patched, Seq(9), RtpTime(8), Ssrc(7)));
    let again = RtpPacket::parse(patched.into()).expect("a packet with other numbers");
    assert_eq!(again.payload(), packet.payload());
    let header = again.header();
    assert_eq!((header.seq, header.timestamp, header.ssrc), (Seq(9), RtpTime(8), Ssrc(7)));
    assert_eq!(packet.into_bytes(), bytes);
}

/// Two bytes are a packet: how far its number is from the last one, and how long after it.
fn order(input: &[u8]) {
    let mut now = origin();
    let mut reorder = Reorder::new(ReorderLimits::default());
    let mut in_order = InOrder::new();
    let (mut seq, mut passed, mut straight) = (65_530_u16, None, None);
    for pair in input.chunks_exact(2) {
        let [step, wait] = *pair else { continue };
        now += Duration::from_millis(u64::from(wait & 0x1f) * 5);
        let far = if wait & 0x80 == 0 { 1 } else { 0x111 };
        seq = seq.wrapping_add_signed(i16::from(step.cast_signed()).wrapping_mul(far));
        let source = Ssrc(u32::from(wait >> 5 & 1));
        let bytes = padding_packet(96, Seq(seq), RtpTime(u32::from(seq)), source);
        let packet = || RtpPacket::parse(Bytes::copy_from_slice(&bytes)).expect("a packet");
        let _ = reorder.push(now, packet());
        while let Some((number, _)) = reorder.pull(now) {
            assert!(passed < Some(number), "{number:?} behind {passed:?}");
            passed = Some(number);
        }
        let _ = in_order.push(now, packet());
        while let Some((number, _)) = in_order.pull(now) {
            assert!(straight < Some(number), "{number:?} behind {straight:?}");
            straight = Some(number);
        }
    }
    // Nothing waits for ever.
    while let Some(due) = reorder.poll_timeout() {
        now = due.max(now);
        let mut pulled = false;
        while let Some((number, _)) = reorder.pull(now) {
            assert!(passed < Some(number), "{number:?} behind {passed:?}");
            (passed, pulled) = (Some(number), true);
        }
        assert!(pulled, "nothing passes when it is due");
    }
}

/// Recorded packets without their beginnings, and ways of arriving.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        [1, 4].repeat(40),
        [1, 4, 2, 1, 255, 1, 2, 1].repeat(10),
        [1, 4, 100, 0x84, 1, 4, 129, 0x84].repeat(8),
        [1, 4, 1, 0x24, 0, 4].repeat(8),
    ];
    let heads: [&[u8]; 4] = [
        &[0x80, 0xe0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1],
        &[0x82, 0x60, 0, 2, 0, 0, 0, 7, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x90, 0x60, 0, 3, 0, 0, 0, 7, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 1, 0, 0],
        &[0xa0, 0x60, 0, 4, 0, 0, 0, 7, 0, 0, 0, 1, 9, 9, 0, 0, 3],
    ];
    for (head, packet) in heads.iter().zip(recorded("pcmu-gst")) {
        seeds.push([*head, &packet.payload[..], &[0, 0, 3]].concat());
        seeds.push(head.to_vec());
    }
    seeds
}
