//! Formats in which each payload is a header and a piece of a picture.

use codec_framers::{AccessUnit, AnyFramer, Framer, Packet};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;

use crate::common::{
    assert_loss_is_survived, assert_round_trip, depacketize, hex, packetize, video, with_loss,
};

/// A format with the beginnings of a key picture and of another one.
#[derive(Clone, Copy)]
struct Simple {
    map: &'static str,
    fmtp: &'static str,
    key: &'static [u8],
    other: &'static [u8],
}

const FORMATS: [Simple; 11] = [
    Simple {
        map: "MP4V-ES",
        fmtp: "",
        key: &[0, 0, 1, 0xb0, 1, 0, 0, 1, 0x20, 1, 2, 0, 0, 1, 0xb6, 0x10],
        other: &[0, 0, 1, 0xb6, 0x50],
    },
    Simple {
        map: "MPV",
        fmtp: "",
        key: &[0, 0, 1, 0xb3, 9, 0, 0, 1, 0xb8, 9, 0, 0, 1, 0, 0, 0x0f, 0xff, 0xf8, 9, 0, 0, 1, 1],
        other: &[0, 0, 1, 0, 0, 0x57, 0xff, 0xfa, 0x80, 9, 0, 0, 1, 1],
    },
    Simple { map: "VP8", fmtp: "", key: &[0x10, 2], other: &[0x31, 2] },
    Simple { map: "VP9", fmtp: "", key: &[0x82, 0x49], other: &[0x86, 0] },
    Simple { map: "AV1", fmtp: "", key: &[0x30, 0x10], other: &[0x30, 0x30] },
    // A picture's header, some of it, and groups of blocks further on.
    Simple {
        map: "H263",
        fmtp: "",
        key: &[0, 0, 0x80, 2, 8, 1, 0, 0, 0x88, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0x90],
        other: &[0, 0, 0x80, 2, 0x0a, 1],
    },
    Simple {
        map: "H263-2000",
        fmtp: "",
        key: &[0, 0, 0x80, 2, 8, 1, 0, 0, 0x88, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0x90],
        other: &[0, 0, 0x80, 2, 0x0a, 1],
    },
    Simple {
        map: "H263-1998",
        fmtp: "",
        key: &[0, 0, 0x80, 2, 8, 1, 0, 0, 0x88, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0, 0, 0x90],
        other: &[0, 0, 0x80, 2, 0x0a, 1],
    },
    // A group of blocks that begins within a byte.
    Simple {
        map: "H261",
        fmtp: "",
        key: &[0, 1, 7, 9, 9, 9, 9, 9, 9, 9, 9, 9, 0xf0, 0, 0x17, 9, 9, 9, 9, 9, 9, 0xfe, 0, 3],
        other: &[0, 1, 7, 0x55],
    },
    Simple {
        map: "JPEG2000",
        fmtp: "",
        key: &[0xff, 0x4f, 0xff, 0x51, 9, 9, 0xff, 0x90],
        other: &[0xff, 0x4f, 0xff, 0x51, 9, 9, 0xff, 0x90],
    },
    Simple { map: "DV", fmtp: "", key: &[0x1f, 7, 0], other: &[0x1f, 7, 0] },
];

/// Formats of which every unit is a key.
const ALL_KEYS: [&str; 3] = ["H261", "JPEG2000", "DV"];

/// Whether a picture is a key, and what follows its beginning.
fn pictures() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    proptest::collection::vec((any::<bool>(), proptest::collection::vec(1_u8.., 1..2000)), 1..6)
}

fn units(format: &Simple, pictures: &[(bool, Vec<u8>)]) -> Vec<AccessUnit> {
    let &Simple { map, key: keys, other, .. } = format;
    let units = (1..).zip(pictures).map(|(at, (key, body))| {
        let head = if *key { keys } else { other };
        let mut bytes = [head, body.as_slice()].concat();
        if map == "DV" {
            bytes.resize(bytes.len().next_multiple_of(80), 0xff);
        }
        AccessUnit::of(RtpTime(at * 3000), *key || ALL_KEYS.contains(&map), bytes)
    });
    units.collect()
}

proptest! {
    #![proptest_config(crate::common::cases(40))]

    #[test]
    fn units_survive_any_limit(pictures in pictures(), limit in 80_usize..1500) {
        for format in &FORMATS {
            let units = units(format, &pictures);
            assert_round_trip(&video(format.map, format.fmtp), &units, limit);
        }
    }

    #[test]
    fn loss_breaks_only_what_it_hits(pictures in pictures(), limit in 80_usize..900, kept: u64) {
        for format in &FORMATS {
            let units = units(format, &pictures);
            assert_loss_is_survived(&video(format.map, format.fmtp), &units, limit, |at| {
                kept >> (at % 64) & 1 == 1
            });
        }
    }

    #[test]
    fn transport_packets_survive_any_limit_and_loss(
        counts in proptest::collection::vec(1_usize..9, 1..9),
        limit in 188_usize..1500,
        kept: u64,
    ) {
        let format = video("MP2T", "");
        let units = (1..).zip(&counts).map(|(at, &count)| {
            let packet = |n: usize| std::iter::once(0x47).chain((1..188).map(move |m| (m * n) as u8));
            let bytes: Vec<u8> = (0..count).flat_map(|n| packet(n + at as usize)).collect();
            AccessUnit::of(RtpTime(at * 900), true, bytes)
        });
        let units: Vec<_> = units.collect();
        let packets = packetize(&format, &units, limit);
        prop_assert!(packets.iter().all(|packet| packet.payload.len() <= limit));
        let sent = |packets: &[Packet]| -> Vec<u8> {
            packets.iter().flat_map(|packet| packet.payload.to_vec()).collect()
        };
        let arrived = with_loss(&packets, |at| kept >> (at % 64) & 1 == 1);
        for packets in [packets, arrived] {
            let (units, refused) = depacketize(&format, &packets);
            prop_assert_eq!(refused, 0);
            prop_assert!(units.iter().all(|unit| unit.len() % 188 == 0));
            let got: Vec<u8> = units.iter().flat_map(|unit| unit.data().to_vec()).collect();
            prop_assert_eq!(got, sent(&packets));
            let missing: u32 = packets.iter().map(|packet| packet.lost).sum();
            prop_assert_eq!(units.iter().map(|unit| unit.lost).sum::<u32>(), missing);
        }
    }
}

#[test]
fn the_configuration_is_put_before_a_key_plane_that_lacks_it() {
    let config = "000001b001000001b509000001000000012000c8";
    let (kind, format) = video("MP4V-ES", &format!("config={config}"));
    let mut framer = AnyFramer::for_format(&kind, &format);
    let mut frame = |key, bytes: &str| {
        let unit = framer.frame(AccessUnit::of(RtpTime(1), key, hex(bytes))).expect("a unit");
        unit.data().to_vec()
    };
    assert_eq!(frame(true, "000001b61060"), hex(&format!("{config}000001b61060")));
    assert_eq!(frame(false, "000001b65060"), hex("000001b65060"));
    let with = "000001b003000001000000012000c9000001b61060";
    assert_eq!(frame(true, with), hex(with));
    assert_eq!(frame(true, "000001b61060"), hex(with));
    assert_eq!(framer.parameters(), [("config", String::from("000001b003000001000000012000c9"))]);
}
