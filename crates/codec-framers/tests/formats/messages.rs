//! Text, ONVIF metadata and KLV.

use codec_framers::{AccessUnit, Packet};
use rtp_rtcp::RtpTime;
use sdp::{Format, MediaKind};

use crate::common::{depacketize, fixture, format, packetize, recorded};

fn metadata() -> (MediaKind, Format) {
    format("application", "vnd.onvif.metadata/90000", "")
}

fn packet(timestamp: u32, marker: bool, lost: u32, payload: &str) -> Packet {
    Packet { payload: payload.to_owned().into(), timestamp: RtpTime(timestamp), marker, lost }
}

/// Text, whether it is whole, and how many packets are missing.
fn documents(packets: &[Packet]) -> Vec<(String, bool, u32)> {
    let (units, refused) = depacketize(&metadata(), packets);
    assert_eq!(refused, 0);
    let text = |unit: &AccessUnit| String::from_utf8(unit.data().to_vec()).expect("text");
    units.iter().map(|unit| (text(unit), unit.complete, unit.lost)).collect()
}

#[test]
fn documents_end_with_the_marker_or_with_their_time() {
    let packets = [
        packet(1, false, 0, "<?xml version='1.0'?><tt:Meta"),
        packet(1, true, 0, "dataStream/>"),
        packet(1, true, 0, "<tt:MetadataStream/>"),
        packet(2, false, 0, "<tt:MetadataStream>"),
        packet(3, true, 0, "<tt:MetadataStream/>"),
    ];
    let expected = [
        "<?xml version='1.0'?><tt:MetadataStream/>",
        "<tt:MetadataStream/>",
        "<tt:MetadataStream>",
        "<tt:MetadataStream/>",
    ];
    assert_eq!(documents(&packets), expected.map(|text| (text.to_owned(), true, 0)));
}

#[test]
fn after_a_loss_a_document_that_shows_its_beginning_is_whole() {
    let packets = [
        packet(1, false, 0, "<?xml version='1.0'?><a>"),
        packet(2, false, 1, "<?xml version='1.0'?><b>"),
        packet(2, true, 0, "</b>"),
        packet(3, true, 2, "</c>"),
    ];
    let documents = documents(&packets);
    let whole: Vec<_> = documents.iter().map(|(_, whole, lost)| (*whole, *lost)).collect();
    assert_eq!(whole, [(false, 0), (true, 1), (false, 2)]);
}

#[test]
fn items_of_klv_are_what_the_sender_had() {
    let format = format("application", "smpte336m/90000", "");
    let (units, refused) = depacketize(&format, &recorded("klv-gst"));
    assert_eq!((refused, units.len()), (0, 4));
    let all: Vec<u8> = units.iter().flat_map(|unit| unit.data().to_vec()).collect();
    assert!(all == fixture("klv-gst.ref"));
    let sent = packetize(&format, &units[..1], 388);
    let markers: Vec<_> = sent.iter().map(|packet| (packet.payload.len(), packet.marker)).collect();
    assert_eq!(markers, [(388, false), (388, false), (43, true)]);
}

#[test]
fn text_is_cut_between_characters() {
    let format_ = format("text", "t140/1000", "");
    let text = "é😀".repeat(20);
    let mut unit = AccessUnit::of(RtpTime(3), true, text.clone());
    unit.marker = true;
    let packets = packetize(&format_, &[unit], 64);
    let parts: Vec<_> =
        packets.iter().map(|packet| String::from_utf8(packet.payload.to_vec())).collect();
    assert!(parts.len() > 1 && parts.iter().all(Result::is_ok));
    assert_eq!(parts.into_iter().flatten().collect::<String>(), text);
    assert!(packets[0].marker && !packets[1].marker);
}
