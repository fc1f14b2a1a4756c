//! Payloads put together by hand, as the specifications of their formats describe them.

use codec_framers::{AccessUnit, Packet, Slices, av1};
use rtp_rtcp::RtpTime;

use crate::common::{depacketize, hex, packetize, video};

fn packets(payloads: &[&str]) -> Vec<Packet> {
    let last = payloads.len() - 1;
    let packet = |(at, payload): (usize, &&str)| Packet {
        payload: hex(payload).into(),
        marker: at == last,
        ..Packet::default()
    };
    payloads.iter().enumerate().map(packet).collect()
}

fn only(encoding: &str, payloads: &[&str]) -> AccessUnit {
    let (mut units, refused) = depacketize(&video(encoding, ""), &packets(payloads));
    assert_eq!((units.len(), refused), (1, 0), "{encoding} {payloads:?}");
    units.remove(0)
}

fn elements(unit: &AccessUnit) -> Vec<Vec<u8>> {
    unit.elements().map(Slices::to_vec).collect()
}

fn payloads(encoding: &str, unit: &AccessUnit, limit: usize) -> Vec<Vec<u8>> {
    let packets = packetize(&video(encoding, ""), std::slice::from_ref(unit), limit);
    packets.iter().map(|packet| packet.payload.to_vec()).collect()
}

#[test]
fn av1_elements_are_counted_or_not_and_go_on_in_the_next_packet() {
    // Three elements, with the last one's length left out; a temporal delimiter among them.
    let whole = ["0a0b00", "301001", "32"].map(hex);
    let counted = only("AV1", &["38 01 12 03 0a0b00 301001", "10 32"]);
    assert_eq!(elements(&counted), whole);
    assert!(counted.key && counted.complete);
    // Not counted: all with their lengths.
    let uncounted = only("AV1", &["08 02 1200 03 0a0b00 03 301001 01 32"]);
    assert_eq!(elements(&uncounted), whole);
    // An OBU over three packets, another behind its end.
    let parts = ["68 03 0a0b00 30", "d0 10", "a0 01 01 32"];
    assert_eq!(elements(&only("AV1", &parts)), whole);
    // The middle one lost: what is whole is left.
    let mut arrived = packets(&parts);
    arrived.remove(1);
    arrived[1].lost = 1;
    let (units, refused) = depacketize(&video("AV1", ""), &arrived);
    assert_eq!((elements(&units[0]), refused), (["0a0b00", "32"].map(hex).into(), 1));
    assert!(!units[0].complete);
}

#[test]
fn av1_units_become_byte_streams_with_sizes() {
    let unit = only("AV1", &["38 03 0a0b00 04 340810ff 3203aabbcc"]);
    assert_eq!(
        av1::to_obu_stream(&unit),
        hex("1200 0a0b00 36 08 02 10ff 3203aabbcc"),
        "those that have a size keep it"
    );
    let unit = AccessUnit::of(RtpTime(0), false, [&[0x30][..], &[7; 200]].concat());
    assert_eq!(av1::to_obu_stream(&unit)[..5], hex("1200 32 c801"));
}

#[test]
fn av1_aggregates_as_many_as_fit() {
    let mut unit = AccessUnit::new(RtpTime(0));
    unit.key = true;
    for obu in ["0a0b00", "2a01", "301001", "2202"] {
        unit.push_element(hex(obu).into());
    }
    assert_eq!(payloads("AV1", &unit, 64), [hex("08 03 0a0b00 02 2a01 03 301001 02 2202")]);
    unit.pop_element();
    assert_eq!(payloads("AV1", &unit, 64), [hex("38 03 0a0b00 02 2a01 301001")]);
}

#[test]
fn vp9_layers_are_elements_and_keep_their_order() {
    // A key picture of two spatial layers, the second in two packets.
    let first = "aa 8001 00 07 20 824983421122";
    let parts = [first, "a8 8001 03 07 86aa", "a4 8001 03 07 bb"];
    let unit = only("VP9", &parts);
    assert_eq!(elements(&unit), ["824983421122", "86aabb"].map(hex));
    assert!(unit.key);
    let again = payloads("VP9", &unit, 64);
    assert_eq!(again, ["ae 8000 00 00 20 824983421122", "ac 8000 03 00 86aabb"].map(hex));
    let nine = (0..9).fold(AccessUnit::new(RtpTime(0)), |mut unit, _| {
        unit.push_element(vec![1].into());
        unit
    });
    let (kind, format) = video("VP9", "");
    let mut packetizer = codec_framers::AnyPacketizer::for_format(&kind, &format);
    let refused = codec_framers::Packetizer::packetize(&mut packetizer, &nine, 64, &mut |_| {});
    assert!(refused.is_err());
}

#[test]
fn vp8_descriptors_of_all_lengths_are_taken_off() {
    for descriptor in ["10", "90 80 11", "90 80 8011", "90 f0 8011 05 20", "90 60 05 20"] {
        let unit = only("VP8", &[&format!("{descriptor} 02aa"), "00 bb"]);
        assert_eq!(unit.data().to_vec(), hex("02aabb"), "{descriptor}");
        assert!(unit.key);
    }
}

#[test]
fn h263_bytes_that_two_payloads_share_are_joined() {
    // Mode A; mode B whose first five bits are not meant; mode C likewise.
    let parts = [
        "0000 0000 0000 8002 08a8",
        "a800 0000 0000 0000 07bb",
        "e800 0000 0000 0000 0000 0000 05cc",
    ];
    let unit = only("H263", &parts);
    assert_eq!(unit.data().to_vec(), hex("0000 8002 08 af bd cc"));
    assert!(unit.key);
}

#[test]
fn h263_plus_gives_back_the_zeros_and_leaves_redundancy_out() {
    // With a byte of redundancy and two of another picture header.
    let unit = only("H263-2000", &["0610 aa 1122 8002 08", "0000 cc", "0400 8811"]);
    assert_eq!(unit.data().to_vec(), hex("0000 8002 08 cc 0000 8811"));
}

#[test]
fn mpeg_headers_of_both_lengths_are_taken_off() {
    let parts =
        ["0000 2100 000001b3 11 00000100 000a0000 00000101 22", "0400 0000 00000000 00000102 33"];
    let unit = only("MPV", &parts);
    let whole = "000001b3 11 00000100 000a0000 00000101 22 00000102 33";
    assert_eq!(unit.data().to_vec(), hex(whole));
    // All slices fit: the payload begins and ends with whole slices; picture type 1, number 0.
    assert_eq!(payloads("MPV", &unit, 1400), [hex(&format!("0000 3900 {whole}"))]);
}

#[test]
fn jpeg_2000_payloads_end_where_tiles_do() {
    let codestream =
        "ff4f ff51 0004 0000 ff90000a 0001 00000000 0001 aabb ff90000a 0002 00000000 0001 cc";
    let unit = AccessUnit::of(RtpTime(0), true, hex(codestream));
    assert_eq!(
        payloads("JPEG2000", &unit, 64),
        [
            hex("31ff 0000 00 000000 ff4f ff51 0004 0000"),
            hex("00ff 0001 00 000008 ff90000a 0001 00000000 0001 aabb"),
            hex("00ff 0002 00 000016 ff90000a 0002 00000000 0001 cc"),
        ]
    );
}
