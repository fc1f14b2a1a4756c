//! H.265 and H.266, whose payloads differ little.

use codec_framers::{AccessUnit, AnyFramer, Framer, Packet, Slices};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;

use crate::common::{
    assert_loss_is_survived, assert_round_trip, depacketize, hex, packetize, video,
};

/// Headers of delimiter, VPS, SPS, PPS, key slices and others.
struct Codec {
    encoding: &'static str,
    before: [&'static [u8]; 4],
    key: [&'static [u8]; 2],
    other: [&'static [u8]; 2],
}

const CODECS: [Codec; 2] = [
    Codec {
        encoding: "H265",
        before: [&[0x46, 1, 0x50], &[0x40, 1, 0x0c], &[0x42, 1, 1], &[0x44, 1, 0xc1]],
        key: [&[0x26, 1, 0xaf], &[0x26, 1, 0x2f]],
        other: [&[0x02, 1, 0xd0], &[0x02, 1, 0x50]],
    },
    Codec {
        encoding: "H266",
        before: [&[0, 0xa1, 0x28], &[0, 0x71, 1], &[0, 0x79, 0], &[0, 0x81, 1]],
        key: [&[0, 0x39, 0xc0], &[0, 0x39, 0x40]],
        other: [&[0, 0x01, 0xc0], &[0, 0x01, 0x40]],
    },
];

fn units() -> impl Strategy<Value = (usize, Vec<AccessUnit>)> {
    let bytes = |longest| proptest::collection::vec(1_u8.., 1..longest);
    let unit = (
        any::<bool>(),
        0_usize..5,
        bytes(30),
        bytes(900),
        proptest::collection::vec(bytes(300), 0..3),
    );
    (0..CODECS.len(), proptest::collection::vec(unit, 1..6)).prop_map(|(codec, units)| {
        let Codec { before, key: keys, other, .. } = &CODECS[codec];
        let units = (1..).zip(units).map(|(at, (key, sets, small, first, more))| {
            let mut unit = AccessUnit::new(RtpTime(at * 3000));
            unit.key = key;
            let heads = if key { keys } else { other };
            for head in before.iter().take(sets) {
                unit.push_element([head, small.as_slice()].concat().into());
            }
            unit.push_element([heads[0], first.as_slice()].concat().into());
            for slice in more {
                unit.push_element([heads[1], slice.as_slice()].concat().into());
            }
            unit
        });
        (codec, units.collect())
    })
}

proptest! {
    #![proptest_config(crate::common::cases(100))]

    #[test]
    fn units_survive_any_limit((codec, units) in units(), limit in 64_usize..1500) {
        assert_round_trip(&video(CODECS[codec].encoding, ""), &units, limit);
    }

    #[test]
    fn units_survive_with_order_numbers((codec, mut units) in units(), limit in 64_usize..1500) {
        let format = video(CODECS[codec].encoding, "sprop-max-don-diff=2;sprop-depack-buf-nalus=3");
        let packets = packetize(&format, &units, limit);
        prop_assert!(packets.iter().all(|packet| packet.payload.len() <= limit));
        let (out, refused) = depacketize(&format, &packets);
        // Nothing tells the end of the last one.
        units.last_mut().expect("a unit").complete = false;
        prop_assert_eq!((out, refused), (units, 0));
    }

    #[test]
    fn loss_breaks_only_what_it_hits((codec, units) in units(), limit in 64_usize..400, kept: u64) {
        let format = video(CODECS[codec].encoding, "");
        assert_loss_is_survived(&format, &units, limit, |at| kept >> (at % 64) & 1 == 1);
    }
}

fn units_of(encoding: &str, fmtp: &str, payloads: &[&str]) -> Vec<(bool, bool, Vec<Vec<u8>>)> {
    let last = payloads.len() - 1;
    let packets: Vec<_> = payloads
        .iter()
        .enumerate()
        .map(|(at, payload)| Packet {
            payload: hex(payload).into(),
            marker: at == last,
            ..Packet::default()
        })
        .collect();
    let (units, _) = depacketize(&video(encoding, fmtp), &packets);
    let elements = |unit: &AccessUnit| unit.elements().map(Slices::to_vec).collect();
    units.iter().map(|unit| (unit.key, unit.complete, elements(unit))).collect()
}

fn nals(digits: &[&str]) -> Vec<Vec<u8>> {
    digits.iter().map(|nal| hex(nal)).collect()
}

#[test]
fn every_way_of_putting_nal_units_into_packets_is_read() {
    let whole = nals(&["40010c", "420101", "4401c1", "2601af01", "26012f0203"]);
    // Aggregate, single, fragments; then the same within payloads with extensions.
    let plain =
        ["6001 0003 40010c 0003 420101 0003 4401c1", "2601 af01", "6201 93 2f02", "6201 53 03"];
    assert_eq!(units_of("H265", "", &plain), [(true, true, whole.clone())]);
    let extended = [
        "6401 6030 aaaaaa 0003 40010c 0003 420101 0003 4401c1",
        "6401 2610 bb af01",
        "6401 6200 93 2f02",
        "6401 6200 53 03",
    ];
    assert_eq!(units_of("H265", "", &extended), [(true, true, whole.clone())]);
    let byte_stream =
        ["00000001 40010c 000001 420101 000001 4401c1 000001 2601af01", "2601 2f0203"];
    assert_eq!(units_of("H265", "", &byte_stream), [(true, true, whole)]);
    let other = ["00e1 0004 00790011 0004 00810022", "00e9 87 c001", "00e9 47 02"];
    let whole = nals(&["00790011", "00810022", "0039c00102"]);
    assert_eq!(units_of("H266", "", &other), [(true, true, whole)]);
}

#[test]
fn nal_units_with_numbers_come_in_decoding_order() {
    let sent =
        ["0201 0001 5002", "6001 0000 0003 0201d0 01 0003 020150", "6201 81 0003 50", "6201 41 04"];
    let fmtp = "sprop-max-don-diff=3;sprop-depack-buf-nalus=2";
    let whole = nals(&["0201d0", "02015002", "020150", "02015004"]);
    assert_eq!(units_of("H265", fmtp, &sent), [(false, false, whole)]);
}

#[test]
fn payloads_that_lie_about_lengths_break_their_unit_alone() {
    for broken in ["6001 0009 0201d0", "6001 00", "6201", "6401 26", "6401 27f0 00", "6401 6400 26"]
    {
        let (units, refused) = depacketize(
            &video("H265", ""),
            &[(1, broken, false), (1, "0201 50", true), (2, "0201 d0", true)].map(
                |(timestamp, payload, marker)| Packet {
                    payload: hex(payload).into(),
                    timestamp: RtpTime(timestamp),
                    marker,
                    lost: 0,
                },
            ),
        );
        assert_eq!(refused, 1, "{broken}");
        let told: Vec<_> = units.iter().map(|unit| (unit.timestamp.0, unit.complete)).collect();
        assert_eq!(told, [(1, false), (2, true)], "{broken}");
    }
}

#[test]
fn an_aggregate_has_the_lowest_layer_and_sublayer() {
    let mut unit = AccessUnit::new(RtpTime(1));
    for nal in ["0202d0", "021350", "020a50"] {
        unit.push_element(hex(nal).into());
    }
    let packets = packetize(&video("H265", ""), &[unit], 64);
    assert_eq!(packets[0].payload[..], hex("6002 0003 0202d0 0003 021350 0003 020a50"));
}

#[test]
fn parameter_sets_are_put_before_a_key_that_lacks_them() {
    let fmtp = "sprop-vps=QAEM;sprop-sps=QgEB;sprop-pps=RAHB";
    let (kind, format) = video("H265", fmtp);
    let mut framer = AnyFramer::for_format(&kind, &format);
    let mut frame = |key, elements: &[&str]| {
        let mut unit = AccessUnit::new(RtpTime(1));
        unit.key = key;
        elements.iter().for_each(|nal| unit.push_element(hex(nal).into()));
        let unit = framer.frame(unit).expect("a unit");
        unit.elements().map(Slices::to_vec).collect::<Vec<_>>()
    };
    let all = nals(&["460150", "40010c", "420101", "4401c1", "2601af"]);
    assert_eq!(frame(true, &["460150", "2601af"]), all);
    assert_eq!(frame(true, &["460150", "420101", "2601af"]), all);
    assert_eq!(frame(false, &["0201d0"]), nals(&["0201d0"]));
    assert!(!framer.parameter_sets_are_stale());
    let parameters = framer.parameters();
    let text: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(text.join(";"), "sprop-vps=QAEM;sprop-sps=QgEB;sprop-pps=RAHB");
}
