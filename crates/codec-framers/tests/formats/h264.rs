//! H.264: units to packets and back, whatever is lost on the way.

use crate::common::{
    assert_loss_is_survived, assert_round_trip, depacketize, hex, packetize, video,
};
use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyFramer, DepacketizeError, Depacketizer, Framer, Limits, Packet,
    Slices,
};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;

/// A NAL unit of a kind: its first byte, what the codec reads, arbitrary bytes, and no zero at
/// its end.
fn nal(head: &'static [u8], longest: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..longest)
        .prop_map(move |body| [head, &body, &[0x80]].concat())
}

/// Bytes that a header has, escaped so that they hold no start code.
fn small(head: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(1_u8.., 0..40).prop_map(move |body| [head, &body].concat())
}

/// A picture with what goes before it: delimiter, parameter sets, slices.
fn unit() -> impl Strategy<Value = (bool, Vec<Vec<u8>>)> {
    let before = prop_oneof![
        Just(vec![]),
        small(&[0x09, 0xf0]).prop_map(|one| vec![one]),
        (small(&[0x67, 0x4d, 0x40, 0x1f]), small(&[0x68, 0xee])).prop_map(|(a, b)| vec![a, b]),
    ];
    let slices = prop_oneof![
        // First and later slices of a key picture, of one that is none.
        (nal(&[0x65, 0x88], 900), proptest::collection::vec(nal(&[0x65, 0x4c], 300), 0..3))
            .prop_map(|(first, more)| (true, first, more)),
        (nal(&[0x41, 0xe0], 900), proptest::collection::vec(nal(&[0x41, 0x4c], 300), 0..3))
            .prop_map(|(first, more)| (false, first, more)),
    ];
    (before, slices).prop_map(|(before, (key, first, more))| {
        (key, before.into_iter().chain([first]).chain(more).collect())
    })
}

fn units() -> impl Strategy<Value = Vec<AccessUnit>> {
    proptest::collection::vec(unit(), 1..6).prop_map(|units| {
        (1..)
            .zip(units)
            .map(|(at, (key, nals))| {
                let mut unit = AccessUnit::new(RtpTime(at * 3000));
                unit.key = key;
                nals.into_iter().for_each(|nal| unit.push_element(nal.into()));
                unit
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(crate::common::cases(100))]

    #[test]
    fn units_survive_any_limit(units in units(), limit in 64_usize..1500) {
        assert_round_trip(&video("H264", "packetization-mode=1"), &units, limit);
    }

    #[test]
    fn loss_breaks_only_what_it_hits(units in units(), limit in 64_usize..400, kept: u64) {
        let format = video("H264", "packetization-mode=1");
        assert_loss_is_survived(&format, &units, limit, |at| kept >> (at % 64) & 1 == 1);
    }
}

fn packet(payload: &str, timestamp: u32, marker: bool) -> Packet {
    let timestamp = RtpTime(timestamp);
    Packet { payload: hex(payload).into(), timestamp, marker, lost: 0 }
}

/// Timestamp, key, complete and elements of the units that packets give.
fn units_of(fmtp: &str, packets: &[Packet]) -> Vec<(u32, bool, bool, Vec<String>)> {
    let (units, _) = depacketize(&video("H264", fmtp), packets);
    let digits = |slices: Slices<'_>| -> String {
        slices.to_vec().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    units
        .iter()
        .map(|unit| {
            (unit.timestamp.0, unit.key, unit.complete, unit.elements().map(digits).collect())
        })
        .collect()
}

fn own(elements: &[&str]) -> Vec<String> {
    elements.iter().copied().map(String::from).collect()
}

#[test]
fn every_way_of_putting_nal_units_into_packets_is_read() {
    let packets = [
        packet("78 0003 674d40 0002 68ee 0003 658801", 1, false),
        packet("7c 05 aa", 1, false),
        packet("7c 85 4c01", 1, false),
        packet("7c 05 02", 1, false),
        packet("7c 45 03", 1, true),
        // STAP-B, MTAP16 and FU-B in an order that needs no changing
        packet("79 0001 0003 41e001", 2, true),
        packet("7a 0002 0003 00 0000 41e002", 3, true),
        packet("7b 0003 0003 00 000000 41e003", 4, true),
        packet("5d 81 0004 e004", 5, false),
        packet("5c 41 05", 5, true),
    ];
    assert_eq!(
        units_of("packetization-mode=1", &packets),
        [
            (1, true, false, own(&["674d40", "68ee", "658801", "654c010203"])),
            (2, false, true, own(&["41e001"])),
            (3, false, true, own(&["41e002"])),
            (4, false, true, own(&["41e003"])),
            (5, false, true, own(&["41e00405"])),
        ]
    );
}

#[test]
fn interleaved_nal_units_come_in_decoding_order() {
    // Numbers 0xffff, 1, 0, 3, 2; times by offsets to the earliest unit of a packet.
    let packets = [
        packet("7a ffff 0003 00 0000 658801 0003 02 0bb8 41e003", 1000, false),
        packet("79 0000 0003 654c02", 1000, false),
        packet("7b 0002 0003 01 000bb8 41e005 0003 00 000000 41e004", 7000, false),
    ];
    assert_eq!(
        units_of("packetization-mode=2;sprop-interleaving-depth=2", &packets),
        [
            (1000, true, true, own(&["658801", "654c02"])),
            (4000, false, true, own(&["41e003"])),
            (7000, false, true, own(&["41e004"])),
            (10000, false, false, own(&["41e005"])),
        ]
    );
}

#[test]
fn an_interleaved_unit_above_the_bound_is_told_of() {
    let (_, format) = video("H264", "packetization-mode=2;sprop-interleaving-depth=1");
    let limits = Limits { max_unit: 8 };
    let mut depacketizer = codec_framers::h264::Depacketizer::new(&format, limits);
    // STAP-B: two slices of one picture that are too much together, then a picture that is not.
    let packets = [
        packet("79 0000 0006 658801020304", 0, false),
        packet("79 0001 0006 654c01020304", 0, false),
        packet("79 0002 0003 41e001", 3000, false),
        packet("79 0003 0003 41e002", 6000, false),
        packet("79 0004 0003 41e003", 9000, false),
    ];
    let told: Vec<_> =
        packets.into_iter().filter_map(|packet| depacketizer.push(packet).err()).collect();
    assert_eq!(told, [DepacketizeError::UnitTooLarge { limit: 8 }]);
    let left: Vec<_> = std::iter::from_fn(|| depacketizer.poll()).map(|u| u.timestamp.0).collect();
    assert_eq!(left, [3000]);
}

#[test]
fn a_marker_that_lies_is_not_heeded_any_more() {
    let picture =
        |timestamp| ["41e001", "414c02", "414c03"].map(|slice| packet(slice, timestamp, true));
    let packets: Vec<_> = (1..4).flat_map(picture).collect();
    let whole = own(&["41e001", "414c02", "414c03"]);
    assert_eq!(
        units_of("", &packets),
        [
            (1, false, true, own(&["41e001"])),
            (1, false, false, own(&["414c02", "414c03"])),
            (2, false, true, whole.clone()),
            (3, false, false, whole),
        ]
    );
    // Before a picture nothing can end.
    let packets = [packet("674d40", 1, true), packet("68ee", 1, true), packet("6588", 1, true)];
    assert_eq!(units_of("", &packets), [(1, true, true, own(&["674d40", "68ee", "6588"]))]);
}

#[test]
fn markers_that_lied_are_heeded_again_when_they_are_right_for_long() {
    let (kind, format) = video("H264", "");
    let mut depacketizer = AnyDepacketizer::for_format(&kind, &format, Limits::default());
    let mut time = 0;
    // Pictures of two slices with these markers; how many until one comes out with its last packet.
    let mut until_at_once = |depacketizer: &mut AnyDepacketizer, first, second, most| {
        (1..=most).find(|_| {
            time += 1;
            while depacketizer.poll().is_some() {}
            depacketizer.push(packet("41e001", time, first)).expect("a slice");
            assert!(first || depacketizer.poll().is_none_or(|unit| unit.timestamp.0 < time));
            depacketizer.push(packet("414c02", time, second)).expect("a slice");
            std::iter::from_fn(|| depacketizer.poll())
                .any(|unit| unit.timestamp.0 == time && unit.element_count() == 2)
        })
    };
    assert_eq!(until_at_once(&mut depacketizer, false, true, 1), Some(1), "a marker is believed");
    assert_eq!(until_at_once(&mut depacketizer, true, true, 200), None, "these lie");
    let first = until_at_once(&mut depacketizer, false, true, 200);
    assert_eq!(first, Some(51));
    // Who lied twice is believed later.
    assert_eq!(until_at_once(&mut depacketizer, true, true, 200), None);
    let second = until_at_once(&mut depacketizer, false, true, 200);
    assert_eq!(second, Some(101));
    // Markers that are missing are no lies: the next picture ends the one before.
    assert_eq!(until_at_once(&mut depacketizer, false, false, 200), None);
    assert_eq!(until_at_once(&mut depacketizer, false, true, 1), Some(1));
}

#[test]
fn a_unit_ends_without_marker_where_the_next_one_must_begin() {
    let packets = [
        packet("41e001", 7, false),
        packet("414c02", 7, false),
        packet("41e003", 7, false),
        packet("09f0", 7, false),
        packet("41e004", 7, false),
        packet("41e005", 8, false),
    ];
    assert_eq!(
        units_of("", &packets),
        [
            (7, false, true, own(&["41e001", "414c02"])),
            (7, false, true, own(&["41e003"])),
            (7, false, true, own(&["09f0", "41e004"])),
            (8, false, false, own(&["41e005"])),
        ]
    );
}

#[test]
fn fields_of_one_instant_stay_together() {
    let packets = [
        packet("67f40015919b282821f89c0440000003004000000c87c50a6580", 7, false),
        packet("68ee", 7, false),
        packet("6588", 7, false),
        packet("41e001", 7, true),
    ];
    assert_eq!(units_of("", &packets).len(), 1);
}

#[test]
fn start_codes_within_payloads_are_taken_away() {
    let whole = own(&["674d40", "68ee", "658801"]);
    for packets in [
        vec![packet("00000001 674d40 00000001 68ee 000001 658801", 1, true)],
        vec![packet("674d40 00000001 68ee 000001 658801", 1, true)],
        vec![packet("7c87 4d40 0000", 1, false), packet("7c47 0001 68ee 000001 658801", 1, true)],
    ] {
        assert_eq!(units_of("", &packets), [(1, true, true, whole.clone())]);
    }
}

#[test]
fn a_fragmented_nal_unit_with_a_hole_is_left_out() {
    let mut packets = [
        packet("41e001", 1, false),
        packet("7c81 4c01", 1, false),
        packet("7c01 02", 1, false),
        packet("7c41 03", 1, true),
        packet("41e004", 2, true),
    ];
    packets[2].lost = 1;
    assert_eq!(
        units_of("", &packets),
        [(1, false, false, own(&["41e001"])), (2, false, true, own(&["41e004"]))]
    );
}

#[test]
fn parameter_sets_are_put_before_a_key_that_lacks_them() {
    let (kind, format) = video("H264", "sprop-parameter-sets=Z01AHw==,aO4=");
    let mut framer = AnyFramer::for_format(&kind, &format);
    let mut frame = |key, nals: &[&str]| {
        let mut unit = AccessUnit::new(RtpTime(1));
        unit.key = key;
        nals.iter().for_each(|nal| unit.push_element(hex(nal).into()));
        let unit = framer.frame(unit).expect("a unit");
        unit.elements().map(Slices::to_vec).collect::<Vec<_>>()
    };
    let nals = |digits: &[&str]| digits.iter().map(|nal| hex(nal)).collect::<Vec<_>>();
    assert_eq!(
        frame(true, &["09f0", "06aa", "6588"]),
        nals(&["09f0", "674d401f", "68ee", "06aa", "6588"])
    );
    assert_eq!(frame(false, &["41e0"]), nals(&["41e0"]));
    assert_eq!(frame(true, &["674d4028", "68ef", "6588"]), nals(&["674d4028", "68ef", "6588"]));
    assert_eq!(frame(true, &["674d4028", "6588"]), nals(&["674d4028", "68ef", "6588"]));
    assert_eq!(frame(true, &["6588"]), nals(&["674d4028", "68ef", "6588"]));
    assert!(framer.parameter_sets_are_stale());
    let parameters = framer.parameters();
    assert_eq!(parameters[0], ("profile-level-id", String::from("4d4028")));
    assert_eq!(parameters[1], ("sprop-parameter-sets", String::from("Z01AKA==,aO8=")));
}

#[test]
fn mode_0_has_one_nal_unit_in_each_packet_however_large() {
    let mut unit = AccessUnit::new(RtpTime(1));
    let nals = [vec![0x67, 1], vec![0x65; 3000]];
    nals.iter().for_each(|nal| unit.push_element(nal.clone().into()));
    let packets = packetize(&video("H264", ""), &[unit], 1000);
    assert_eq!(packets.iter().map(|p| p.payload.to_vec()).collect::<Vec<_>>(), nals);
    assert_eq!(packets.iter().map(|p| p.marker).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn an_aggregate_is_as_important_as_its_most_important_unit() {
    let mut unit = AccessUnit::new(RtpTime(1));
    for nal in ["0601", "674d", "65".repeat(70).as_str(), "4101"] {
        unit.push_element(hex(nal).into());
    }
    let packets = packetize(&video("H264", "packetization-mode=1"), &[unit], 64);
    let payloads: Vec<_> = packets.iter().map(|p| p.payload.to_vec()).collect();
    assert_eq!(payloads[0], hex("78 0002 0601 0002 674d"));
    assert_eq!(payloads[1], [hex("7c 85"), vec![0x65; 62]].concat());
    assert_eq!(payloads[2], [hex("7c 45"), vec![0x65; 7]].concat());
    assert_eq!(payloads[3], hex("4101"));
}

#[test]
fn a_unit_that_lost_a_fragment_is_not_whole_for_what_begins_behind_it() {
    let mut packets =
        [packet("41e001", 1, true), packet("7c87 4d40", 2, false), packet("6588", 2, true)];
    packets[2].lost = 1;
    let told: Vec<_> = units_of("", &packets).into_iter().map(|unit| (unit.0, unit.2)).collect();
    assert_eq!(told, [(1, true), (2, false)]);
}
