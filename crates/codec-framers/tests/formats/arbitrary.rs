//! Whatever comes in, nothing panics, nothing is mixed, and the next whole unit comes out.

use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyFramer, AnyPacketizer, Depacketizer, Framer, Limits, Packet,
    Packetizer, h264,
};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;

use crate::common::video;

const FORMATS: [(&str, &str); 27] = [
    ("H264", "packetization-mode=1"),
    ("H264", ""),
    ("H264", "packetization-mode=2;sprop-interleaving-depth=3"),
    ("H265", ""),
    ("H265", "sprop-max-don-diff=3;sprop-depack-buf-nalus=2"),
    ("H266", ""),
    ("H266", "sprop-max-don-diff=1"),
    ("MP4V-ES", "config=000001b001000001b509000001000000012000c8"),
    ("MPV", ""),
    ("JPEG", ""),
    ("VP8", ""),
    ("VP9", ""),
    ("AV1", ""),
    ("H263", ""),
    ("H263-1998", ""),
    ("H263-2000", ""),
    ("H261", ""),
    ("JPEG2000", ""),
    ("DV", ""),
    ("MP2T", ""),
    ("RAW", "sampling=RGB;width=8;height=2;depth=8"),
    ("RAW", "sampling=YCbCr-4:2:0;width=9;height=3;depth=10"),
    ("RAW", "sampling=RGB;width=32767;height=32767;depth=16"),
    ("RAW", ""),
    ("THEORA", "configuration=AAAAAavN7wA="),
    ("VORBIS", "configuration=AAAAAavN7wA="),
    ("x-unheard-of", ""),
];

/// Bytes in which headers, start codes, lengths and flags are likelier than by chance.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let heads: [&[u8]; 24] = [
        &[0x7c, 0x85],
        &[0x7c, 0x05],
        &[0x7c, 0x45],
        &[0x78, 0, 4],
        &[0x7a, 0, 1, 0, 4],
        &[0x7d, 0x81, 0, 2],
        &[0x67, 0x4d, 0x40, 0x1f],
        &[0x60, 1, 0, 3],
        &[0x62, 1, 0x93],
        &[0x64, 1, 0x60, 0x30],
        &[0, 0xe1, 0, 3],
        &[0, 0xe9, 0x87],
        &[0, 0, 1, 0xb6],
        &[0, 0, 0, 0, 1, 255, 4, 4, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0x41, 70, 4, 4, 0, 1, 255, 255],
        &[0x90, 0x80, 0x80],
        &[0xaa, 0x80, 1, 0],
        &[0x18, 2],
        &[0xd0, 1],
        &[4, 0, 0x80, 2],
        &[0xa4, 0, 0, 0, 0],
        &[0x47; 188],
        &[0x1f; 80],
        &[0, 0, 0, 6, 0, 0, 0, 0],
    ];
    let byte = prop_oneof![3 => 0_u8..5, 1 => 0x60_u8..0x80, 1 => Just(0xff_u8), 3 => any::<u8>()];
    let body = proptest::collection::vec(byte, 0..60);
    (proptest::option::of(proptest::sample::select(heads.to_vec())), body)
        .prop_map(|(head, body)| [head.unwrap_or_default(), &body].concat())
}

fn packet() -> impl Strategy<Value = Packet> {
    let lost = prop_oneof![5 => Just(0), 1 => 1_u32..4, 1 => Just(u32::MAX)];
    (payload(), 0_u32..4, any::<bool>(), lost).prop_map(|(payload, timestamp, marker, lost)| {
        Packet { payload: payload.into(), timestamp: RtpTime(timestamp), marker, lost }
    })
}

proptest! {
    #![proptest_config(crate::common::cases(60))]

    #[test]
    fn arbitrary_packets_never_panic_and_units_never_mix_instants(
        packets in proptest::collection::vec(packet(), 0..24),
        limit in 0_usize..300,
        max_unit in prop_oneof![Just(100_usize), Just(1 << 20)],
    ) {
        for (encoding, fmtp) in FORMATS {
            let (kind, format) = video(encoding, fmtp);
        let mut depacketizer = AnyDepacketizer::for_format(&kind, &format, Limits { max_unit });
        let mut framer = AnyFramer::for_format(&kind, &format);
        let mut packetizer = AnyPacketizer::for_format(&kind, &format);
        let mut take = |unit: AccessUnit| {
            assert!(unit.len() <= max_unit);
            for slice in unit.data().as_slices() {
                let range = slice.as_ptr_range();
                let from = packets.iter().find(|packet| {
                    let payload = packet.payload.as_ptr_range();
                    payload.start <= range.start && range.end <= payload.end
                });
                // Each NAL unit of an MTAP has a time of its own.
                let several_times = |packet: &Packet| {
                    encoding == "H264"
                        && packet.payload.first().is_some_and(|first| matches!(first & 0x1f, 26 | 27))
                };
                assert!(from.is_none_or(|packet| {
                    packet.timestamp == unit.timestamp || several_times(packet)
                }));
            }
            if let Some(unit) = framer.frame(unit) {
                let _ = packetizer.packetize(&unit, limit, &mut |payload| {
                    assert_eq!(payload.len(), payload.to_vec().len());
                });
            }
        };
        for packet in &packets {
            let _ = depacketizer.push(packet.clone());
            std::iter::from_fn(|| depacketizer.poll()).for_each(&mut take);
        }
        depacketizer.flush();
        std::iter::from_fn(|| depacketizer.poll()).for_each(&mut take);
        }
    }
    #[test]
    fn contiguous_units_are_the_others_in_one_piece(
        interleaved: bool,
        packets in proptest::collection::vec(packet(), 0..40),
        max_unit in prop_oneof![Just(100_usize), Just(1 << 20)],
        recycles: bool,
    ) {
        let fmtp = "packetization-mode=2;sprop-interleaving-depth=3";
        let (_, format) = video("H264", if interleaved { fmtp } else { "" });
        let mut one = h264::Depacketizer::new(&format, Limits { max_unit });
        let mut other = h264::ContiguousDepacketizer::new(&format, Limits { max_unit });
        let both = |one: &mut h264::Depacketizer, other: &mut h264::ContiguousDepacketizer| {
            loop {
                let unit = one.poll();
                let contiguous = other.poll();
                let Some((unit, contiguous)) = unit.as_ref().zip(contiguous.as_ref()) else {
                    assert!(unit.is_none() && contiguous.is_none());
                    return;
                };
                assert_eq!(contiguous.data, unit.to_length_prefixed());
                let told = (contiguous.timestamp, contiguous.key, contiguous.complete);
                assert_eq!(told, (unit.timestamp, unit.key, unit.complete));
                assert_eq!(contiguous.lost, unit.lost);
                if recycles {
                    other.recycle(contiguous.data.clone());
                }
            }
        };
        for Packet { payload, timestamp, marker, lost } in &packets {
            let packet = Packet {
                payload: payload.clone(), timestamp: *timestamp, marker: *marker, lost: *lost,
            };
            prop_assert_eq!(one.push(packet), other.push(payload, *timestamp, *marker, *lost));
            both(&mut one, &mut other);
        }
        one.flush();
        other.flush();
        both(&mut one, &mut other);
    }
}
