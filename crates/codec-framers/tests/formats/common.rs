//! What the tests of taking apart and putting together share.

use bytes::Bytes;
use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyPacketizer, Continuity, Depacketizer, Limits, Packet,
    Packetizer, Payload, Slices,
};
use proptest::prelude::ProptestConfig;
use rtp_rtcp::{ExtSeq, RtpPacket, SeqUnwrapper};
use sdp::{Format, MediaKind, Presentation};

/// So many cases of a property, or more: `PROPTEST_CASES` counts as a share of the 256 that it is
/// by default.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    let share = ProptestConfig::default().cases;
    ProptestConfig::with_cases((count * share).div_ceil(256))
}

/// A format as a description would give it.
pub(crate) fn format(media: &str, map: &str, fmtp: &str) -> (MediaKind, Format) {
    let fmtp = if fmtp.is_empty() { String::new() } else { format!("a=fmtp:96 {fmtp}\n") };
    let body = format!("v=0\nm={media} 0 RTP/AVP 96\na=rtpmap:96 {map}\n{fmtp}");
    let (presentation, _) = Presentation::parse(body.as_bytes()).expect("a description");
    let media = &presentation.media[0];
    (media.kind.clone(), media.main_format().clone())
}

/// The format of a video track.
pub(crate) fn video(encoding: &str, fmtp: &str) -> (MediaKind, Format) {
    format("video", &format!("{encoding}/90000"), fmtp)
}

/// Bytes from hexadecimal digits with any blanks.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("digits");
            u8::from_str_radix(pair, 16).expect("digits")
        })
        .collect()
}

/// The packets that a packetizer makes of units.
pub(crate) fn packetize(
    (kind, format): &(MediaKind, Format),
    units: &[AccessUnit],
    limit: usize,
) -> Vec<Packet> {
    let mut packetizer = AnyPacketizer::for_format(kind, format);
    let mut packets = Vec::new();
    let mut emit = |payload: &Payload<'_>| {
        packets.push(Packet {
            payload: payload.to_vec().into(),
            timestamp: payload.timestamp,
            marker: payload.marker,
            lost: 0,
        });
    };
    for unit in units {
        packetizer.packetize(unit, limit, &mut emit).expect("a unit of the format");
    }
    packetizer.flush(limit, &mut emit);
    packets
}

/// The units that a depacketizer makes of packets, and how many of these it refused.
pub(crate) fn depacketize(
    (kind, format): &(MediaKind, Format),
    packets: &[Packet],
) -> (Vec<AccessUnit>, usize) {
    let mut depacketizer = AnyDepacketizer::for_format(kind, format, Limits::default());
    assert!(depacketizer.is_known());
    let (mut units, mut refused) = (Vec::new(), 0);
    for packet in packets {
        refused += usize::from(depacketizer.push(packet.clone()).is_err());
        units.extend(std::iter::from_fn(|| depacketizer.poll()));
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    (units, refused)
}

/// Packets as they arrive when those that `keep` denies are lost.
pub(crate) fn with_loss(packets: &[Packet], mut keep: impl FnMut(usize) -> bool) -> Vec<Packet> {
    let mut lost = 0;
    let mut arrived = Vec::new();
    for (at, packet) in packets.iter().enumerate() {
        if keep(at) {
            arrived.push(Packet { lost, ..packet.clone() });
            lost = 0;
        } else {
            lost += 1;
        }
    }
    arrived
}

/// The packets of a recorded stream: a length of 16 bits before each RTP packet (RFC 4571).
pub(crate) fn recorded(file: &str) -> Vec<Packet> {
    let path = format!("{}/tests/fixtures/{file}.rtp", env!("CARGO_MANIFEST_DIR"));
    let mut rest = Bytes::from(std::fs::read(path).expect("a fixture"));
    let (mut unwrapper, mut continuity) = (SeqUnwrapper::new(), Continuity::new());
    let mut packets = Vec::new();
    while let Some(&[high, low]) = rest.first_chunk() {
        let end = 2 + usize::from(u16::from_be_bytes([high, low]));
        let packet = RtpPacket::parse(rest.slice(2..end)).expect("an RTP packet");
        rest = rest.slice(end..);
        let seq: ExtSeq = unwrapper.unwrap(packet.header().seq);
        packets.push(Packet::from_rtp(&packet, continuity.on_packet(seq)));
    }
    packets
}

/// How many packets an Ogg file of one stream has beyond the elements of units, if these are those
/// that follow its three headers.
pub(crate) fn ogg_beyond(file: &[u8], units: &[AccessUnit]) -> Option<usize> {
    let sent = ogg_packets(file);
    let found: Vec<_> = units.iter().flat_map(|unit| unit.elements().map(Slices::to_vec)).collect();
    sent[3..].strip_prefix(found.as_slice()).map(<[_]>::len)
}

/// The packets of an Ogg file of one stream (RFC 3533).
fn ogg_packets(mut file: &[u8]) -> Vec<Vec<u8>> {
    let (mut packets, mut open) = (Vec::new(), Vec::new());
    while !file.is_empty() {
        assert_eq!(file[..4], *b"OggS");
        let (lacing, mut body) = file[27..].split_at(usize::from(file[26]));
        for &length in lacing {
            let (part, rest) = body.split_at(usize::from(length));
            open.extend_from_slice(part);
            body = rest;
            if length < 255 {
                packets.push(std::mem::take(&mut open));
            }
        }
        file = body;
    }
    packets
}

/// The bytes of a fixture.
pub(crate) fn fixture(file: &str) -> Vec<u8> {
    let path = format!("{}/tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).expect("a fixture")
}

/// Asserts that units survive being packetized at this limit, that no payload is longer, and
/// that with each single packet lost, all units but those it belongs to come out as they were.
pub(crate) fn assert_round_trip(format: &(MediaKind, Format), units: &[AccessUnit], limit: usize) {
    let packets = packetize(format, units, limit);
    for packet in &packets {
        assert!(packet.payload.len() <= limit, "{} > {limit}", packet.payload.len());
    }
    let (out, refused) = depacketize(format, &packets);
    assert_eq!(refused, 0);
    assert_eq!(out, units);
}

/// Asserts what holds after any loss: no unit mixes two instants, and each unit that none of its
/// packets nor the one before them is missing of comes out whole. Units have timestamps of their
/// own.
pub(crate) fn assert_loss_is_survived(
    format: &(MediaKind, Format),
    units: &[AccessUnit],
    limit: usize,
    mut keep: impl FnMut(usize) -> bool,
) {
    let packets = packetize(format, units, limit);
    let kept: Vec<bool> = (0..packets.len()).map(&mut keep).collect();
    let (out, _) = depacketize(format, &with_loss(&packets, |at| kept[at]));
    for unit in &out {
        let sent = units.iter().find(|sent| sent.timestamp == unit.timestamp);
        let sent = sent.expect("a unit that was sent");
        if unit.complete {
            // What goes before a picture may be lost without a trace; the picture not.
            let (all, have) = (sent.data().to_vec(), unit.data().to_vec());
            assert!(all.ends_with(&have), "whole, or not called so");
        }
    }
    for sent in units {
        let mut own = packets.iter().zip(&kept).enumerate();
        let whole = own
            .by_ref()
            .filter(|(_, (packet, _))| packet.timestamp == sent.timestamp)
            .all(|(at, (_, &kept_it))| kept_it && (at == 0 || kept[at - 1]));
        if whole {
            let found = out.iter().find(|unit| unit.timestamp == sent.timestamp);
            let found = found.expect("a unit none of which was lost");
            assert!(found.complete && found.key == sent.key && found.data() == sent.data());
        }
    }
}
