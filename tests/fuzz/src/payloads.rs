//! A format's depacketizer, framer, packetizer and glancer.

use bytes::Bytes;
use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyFramer, AnyPacketizer, Continuity, Depacketizer, Framer,
    Glancer, Limits, MAX_PAYLOAD, Packet, Packetizer, UnitTracker,
};
use rtp_rtcp::{ExtSeq, RtpHeader, RtpPacket, RtpTime, Seq, SeqUnwrapper, Ssrc};
use sdp::{Media, Presentation};

use crate::formats::{Family, Mixing};
use crate::script::Script;

const PAYLOAD_TYPE: u8 = 96;

/// Takes the packets of an input apart and puts what comes out together again.
pub(crate) fn run(family: &Family, input: &[u8]) {
    let script = Script::parse(input, family.variants.len());
    let Some(media) = described(family, &script) else { return };
    let (kind, format) = (&media.kind, media.main_format());
    let limits = Limits { max_unit: script.max_unit };

    let mut depacketizer = AnyDepacketizer::for_media(&media, limits);
    let mut framer = AnyFramer::for_format(kind, format);
    let mut packetizer = AnyPacketizer::for_format(kind, format);
    let mut again = AnyDepacketizer::for_media(&media, limits);
    let mut take = |unit: AccessUnit| {
        judge(family, &script, &unit);
        let Some(unit) = framer.frame(unit) else { return };
        let _ = (unit.to_annex_b(), framer.parameters());
        // What is written is read by the same format, whatever it makes of it.
        let _ = packetizer.packetize(&unit, script.limit, &mut |payload| {
            let bytes = payload.to_vec();
            assert_eq!(payload.len(), bytes.len(), "a payload's own length");
            assert!(bytes.len() <= MAX_PAYLOAD, "{} bytes fit no packet", bytes.len());
            let (timestamp, marker) = (payload.timestamp, payload.marker);
            let _ = again.push(Packet { payload: bytes.into(), timestamp, marker, lost: 0 });
            while again.poll().is_some() {}
        });
    };
    for packet in &script.packets {
        let _ = depacketizer.push(packet.clone());
        std::iter::from_fn(|| depacketizer.poll()).for_each(&mut take);
    }
    // A whole unit behind all that comes out whole.
    if script.max_unit > 1 << 16 && script.parameters.is_none() {
        recover(family, script.variant, &mut depacketizer, &mut take);
    } else {
        depacketizer.flush();
        std::iter::from_fn(|| depacketizer.poll()).for_each(&mut take);
    }
    glance(&media, &script.packets);
}

/// What holds of every unit.
fn judge(family: &Family, script: &Script, unit: &AccessUnit) {
    assert!(unit.len() <= script.max_unit, "{} bytes in a unit", unit.len());
    let mut own = None;
    for slice in unit.data().as_slices().iter().filter(|slice| !slice.is_empty()) {
        let range = slice.as_ptr_range();
        let from = script.packets.iter().find(|packet| {
            let payload = packet.payload.as_ptr_range();
            payload.start <= range.start && range.end <= payload.end
        });
        let Some(from) = from else { continue };
        let first = *own.get_or_insert(from.timestamp);
        match family.mixing {
            Mixing::Own => assert_eq!(from.timestamp, unit.timestamp, "a unit mixes instants"),
            Mixing::One => assert_eq!(from.timestamp, first, "a unit mixes instants"),
            Mixing::Several => {}
        }
    }
}

/// Sends a recorded stream behind whatever came: its last unit comes, and is whole.
fn recover(
    family: &Family,
    variant: usize,
    depacketizer: &mut AnyDepacketizer,
    take: &mut dyn FnMut(AccessUnit),
) {
    let recording = family.recorded.iter().find(|(_, of)| usize::from(*of) == variant);
    let mut packets = recording.map(|(name, _)| recorded(name)).unwrap_or_default();
    let last = packets.last().map(|packet| packet.timestamp);
    // Units end where the next one begins, at the latest.
    if let Some(first) = packets.first_mut() {
        first.lost = 1;
        let timestamp = RtpTime(first.timestamp.0.wrapping_add(LATER));
        let next = Packet { timestamp, lost: 0, ..first.clone() };
        packets.push(next);
    }
    let mut whole = false;
    let mut look = |unit: AccessUnit| {
        let behind = last.map(|last| unit.timestamp.ahead_of(last));
        whole |= behind.is_some_and(|ticks| (0..90_000).contains(&ticks)) && unit.complete;
        take(unit);
    };
    for packet in &packets {
        let _ = depacketizer.push(packet.clone());
        std::iter::from_fn(|| depacketizer.poll()).for_each(&mut look);
    }
    depacketizer.flush();
    std::iter::from_fn(|| depacketizer.poll()).for_each(&mut look);
    assert!(whole || last.is_none(), "the last unit of {recording:?} did not come whole");
}

/// Ticks from a recording's first packet to the one behind it.
const LATER: u32 = 0x1000_0000;

fn glance(media: &Media, packets: &[Packet]) {
    let mut glancer = Glancer::new(&media.kind, media.main_format());
    let mut tracker = UnitTracker::new();
    for (number, packet) in (0_u16..).zip(packets) {
        let header = RtpHeader {
            marker: packet.marker,
            payload_type: PAYLOAD_TYPE,
            seq: Seq(number),
            timestamp: packet.timestamp,
            ssrc: Ssrc(1),
        };
        let glance = glancer.look(&header, &packet.payload);
        let begins = tracker.on_packet(ExtSeq(u64::from(number)), packet.timestamp, glance);
        assert!(begins.is_none_or(|begin| begin <= ExtSeq(u64::from(number))));
    }
    let _ = glancer.parameter_sets();
}

/// The media section that announces the format.
fn described(family: &Family, script: &Script) -> Option<Media> {
    let (kind, map, own) = family.variants.get(script.variant)?;
    let parameters = script.parameters.as_deref().unwrap_or(own);
    let body = format!(
        "v=0\nm={kind} 0 RTP/AVP {PAYLOAD_TYPE}\na=rtpmap:{PAYLOAD_TYPE} {map}\n\
         a=fmtp:{PAYLOAD_TYPE} {parameters}\n"
    );
    let (presentation, _) = Presentation::parse(body.as_bytes()).ok()?;
    presentation.media.into_iter().next()
}

/// The packets of recorded streams in pieces, and beginnings of payloads of all formats.
pub(crate) fn seeds(family: &Family) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (name, variant) in family.recorded {
        let packets = recorded(name);
        for part in packets.chunks(6).take(8) {
            seeds.push(Script::write(*variant, part));
        }
    }
    let heads: Vec<Packet> = HEADS
        .iter()
        .map(|head| {
            let payload = Bytes::from([*head, &[0x55; 9]].concat());
            Packet { payload, marker: true, ..Packet::default() }
        })
        .collect();
    for (variant, _) in (0_u8..).zip(family.variants) {
        seeds.extend(heads.chunks(4).map(|part| Script::write(variant, part)));
    }
    // Parameters of its own: their length stands where the variant does.
    if let Some((_, _, parameters)) = family.variants.first() {
        let mut seed = Script::write(0, &heads);
        let length = (family.variants.len() + parameters.len()).min(255);
        if let (Some(first), Ok(length)) = (seed.first_mut(), u8::try_from(length)) {
            *first = length;
        }
        seed.splice(3..3, parameters.bytes());
        seeds.push(seed);
    }
    seeds
}

/// An input as packets.
pub(crate) fn shown(family: &Family, input: &[u8]) -> String {
    let script = Script::parse(input, family.variants.len());
    let format = family.variants.get(script.variant);
    let mut text = format!(
        "{format:?} {:?}, payloads of {}, units of {}\n",
        script.parameters, script.limit, script.max_unit
    );
    for packet in &script.packets {
        text += &format!(
            "  at {}, {} lost{}: {:02x?}\n",
            packet.timestamp.0,
            packet.lost,
            if packet.marker { ", marker" } else { "" },
            &packet.payload[..]
        );
    }
    text
}

/// The packets of a recorded stream: a length of 16 bits before each RTP packet (RFC 4571).
pub(crate) fn recorded(name: &str) -> Vec<Packet> {
    let mut rest = file(name);
    let (mut unwrapper, mut continuity) = (SeqUnwrapper::new(), Continuity::new());
    let mut packets = Vec::new();
    while let Some(&[high, low]) = rest.first_chunk() {
        let end = 2 + usize::from(u16::from_be_bytes([high, low]));
        let packet = RtpPacket::parse(rest.slice(2..end)).expect("an RTP packet");
        rest = rest.slice(end..);
        let lost = continuity.on_packet(unwrapper.unwrap(packet.header().seq));
        packets.push(Packet::from_rtp(&packet, lost));
    }
    packets
}

/// Read once, for a fuzzer asks for it thousands of times a second.
fn file(name: &str) -> Bytes {
    use std::collections::HashMap;
    use std::sync::{Mutex, PoisonError};
    static FILES: Mutex<Option<HashMap<String, Bytes>>> = Mutex::new(None);
    let mut files = FILES.lock().unwrap_or_else(PoisonError::into_inner);
    let read = || {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates/codec-framers/tests");
        Bytes::from(std::fs::read(format!("{folder}/fixtures/{name}.rtp")).expect("a fixture"))
    };
    files.get_or_insert_default().entry(name.to_owned()).or_insert_with(read).clone()
}

/// How payloads of some formats begin.
const HEADS: &[&[u8]] = &[
    &[0x7c, 0x85],
    &[0x7c, 0x05],
    &[0x7c, 0x45],
    &[0x78, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 1],
    &[0x7a, 0, 1, 0, 4, 0, 0, 9, 0x65, 1],
    &[0x7d, 0x81, 0, 2],
    &[0x60, 1, 0, 3, 0x40, 1, 2],
    &[0x62, 1, 0x93],
    &[0x64, 1, 0x60, 0x30],
    &[0, 0xe1, 0, 3],
    &[0, 0xe9, 0x87],
    &[0, 0, 1, 0xb6, 0x10],
    &[0, 0, 0, 0, 1, 255, 4, 4, 0, 0, 0, 0],
    &[0, 0, 0, 0, 0x41, 70, 4, 4, 0, 1, 255, 255],
    &[0x90, 0x80, 0x80],
    &[0xaa, 0x80, 1, 0],
    &[0x18, 2, 0x0a, 0x0b],
    &[0xd0, 1],
    &[4, 0, 0x80, 2],
    &[0xa4, 0, 0, 0, 0],
    &[0x47; 188],
    &[0x1f; 80],
    &[0, 0, 0, 6, 0, 0, 0, 0],
    // AU headers, frames of audio, descriptors.
    &[0, 16, 0, 32],
    &[0xff, 0xfb, 0x90, 0x64],
    &[0, 0, 0, 0, 0xff, 0xfb, 0x90, 0x64],
    &[0x40, 0x68, 0xff, 0xfb, 0x90, 0x64],
    &[0, 1, 0x0b, 0x77, 0, 0, 0x1c, 0x40],
    &[0xf0, 0xbc, 0x3c],
    &[0xab, 0xcd, 0xef, 1, 0, 4],
];
