//! Packets that are too large for readers over UDP.

use bytes::Bytes;
use codec_framers::{
    AccessUnit, AnyDepacketizer, Continuity, Depacketizer, Limits, Packet as Payload,
};
use fan_out::{EntryKind, Form, Rendition, Start, WireBatch};
use proptest::prelude::*;
use proxy_session::{
    Ask, Delivery, Output, Packets, StreamEvent, StreamOptions, TrackStatus, Welcome,
};
use rtp_rtcp::{RtcpPacket, RtpPacket, SenderInfo, SeqUnwrapper, parse_compound};
use sdp::Presentation;
use std::sync::Arc;

use crate::camera::{Camera, SDP};
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, both, ms, options, secs};

/// What has been published for one side, in order, the past that readers over UDP begin with
/// included.
fn published(rig: &Rig, side: Rendition) -> Vec<Arc<WireBatch>> {
    let mut all: Vec<Arc<WireBatch>> = Vec::new();
    for (_, output) in &rig.said {
        match output {
            Output::Publish(batch) => {
                let is_for_side = [Rendition::Shared, side].contains(&batch.rendition());
                all.extend(is_for_side.then(|| Arc::clone(batch)));
            }
            Output::Part(batches) if side == Rendition::Datagrams => all = batches.to_vec(),
            _ => {}
        }
    }
    all
}

fn packets(rig: &Rig, side: Rendition, track: usize) -> Vec<RtpPacket> {
    let batches = published(rig, side).into_iter();
    let media = batches.filter(|b| b.kind() == EntryKind::Media && b.track().index() == track);
    media
        .flat_map(|batch| batch.packets().map(Bytes::copy_from_slice).collect::<Vec<_>>())
        .map(|bytes| RtpPacket::parse(bytes).expect("readers get RTP"))
        .collect()
}

/// The units in what a side got, by the description that readers were given.
fn units(rig: &Rig, side: Rendition) -> Vec<AccessUnit> {
    let told = &rig.stream.description().expect("described").sdp;
    let (presentation, _) = Presentation::parse(told).expect("a description");
    let media = &presentation.media[VIDEO];
    let mut depacketizer = AnyDepacketizer::for_media(media, Limits::default());
    let (mut numbers, mut continuity) = (SeqUnwrapper::new(), Continuity::new());
    let mut units = Vec::new();
    for packet in packets(rig, side, VIDEO) {
        let lost = continuity.on_packet(numbers.unwrap(packet.header().seq));
        depacketizer.push(Payload::from_rtp(&packet, lost)).expect("readers can read it");
        units.extend(std::iter::from_fn(|| depacketizer.poll()));
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    units
}

/// A NAL unit of its own content.
fn nal(first: [u8; 2], bytes: usize, what: u32) -> Vec<u8> {
    let body = (0..bytes).map(|at| (at as u32 * 7 + what) as u8 | 1);
    first.into_iter().chain(body).collect()
}

fn key(seq: u16, timestamp: u32, bytes: usize) -> Packet {
    Packet { payload: nal([0x65, 0x88], bytes, timestamp), ..Packet::new(seq, timestamp) }
}

fn other(seq: u16, timestamp: u32, bytes: usize) -> Packet {
    Packet { payload: nal([0x41, 0x9a], bytes, timestamp), ..Packet::new(seq, timestamp) }
}

fn send(rig: &mut Rig, sent: &[Packet]) {
    let sent: Vec<_> = sent.iter().map(|packet| (VIDEO, packet.clone())).collect();
    rig.send(&sent);
}

fn play(delivery: Delivery) -> Ask {
    Ask::Play { tracks: both(), start: Start::Instant, delivery }
}

/// One more reader plays.
fn join(rig: &mut Rig, reader: u64, delivery: Delivery) -> Welcome {
    rig.prepare(reader);
    let ask = play(delivery);
    if rig.stream.wants_history(ask) {
        let history = published(rig, Rendition::Original);
        rig.stream.fork(rig.now, ask, &history);
    }
    let ticket = rig.ask(reader, ask);
    rig.run(ms(50));
    let welcome = rig.welcome(ticket);
    rig.join();
    welcome
}

/// A stream that one reader plays, so delivered.
fn playing(options: StreamOptions, delivery: Delivery) -> Rig {
    playing_of(options, Camera::default(), delivery)
}

fn playing_of(options: StreamOptions, camera: Camera, delivery: Delivery) -> Rig {
    let mut rig = Rig::described(options, camera);
    join(&mut rig, 1, delivery);
    rig
}

fn sizes(packets: &[RtpPacket]) -> Vec<usize> {
    packets.iter().map(|packet| packet.bytes().len()).collect()
}

fn assert_numbered_on(packets: &[RtpPacket]) {
    let seqs: Vec<_> = packets.iter().map(|packet| packet.header().seq).collect();
    assert!(seqs.windows(2).all(|pair| pair[0].next() == pair[1]), "{seqs:?}");
}

fn status(rig: &Rig) -> TrackStatus {
    rig.stream.status().tracks[VIDEO]
}

fn warnings(rig: &Rig) -> Vec<String> {
    let events = rig.events().into_iter();
    let texts = events.filter_map(|event| match event {
        StreamEvent::Warning(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn what_fits_goes_to_all_in_one_log() {
    let mut rig = playing(options(), Delivery::UdpV4);
    join(&mut rig, 2, Delivery::Tcp);
    send(&mut rig, &[key(1, 0, 1_458), other(2, 3_600, 100)]);
    assert_eq!(sizes(&packets(&rig, Rendition::Datagrams, VIDEO)), [1_472, 114]);
    assert!(rig.batches().iter().all(|(_, batch)| batch.rendition() == Rendition::Shared));
    assert_eq!((status(&rig).relayed, status(&rig).relayed_udp), (2, 0));
}

/// The form that a batch of media was built in.
fn form(batch: &WireBatch) -> Form {
    match batch.built().len() - batch.image_len() {
        0 => Form::Plain,
        headers => {
            assert_eq!(headers, 4 * batch.len());
            Form::Interleaved
        }
    }
}

#[test]
fn batches_are_built_as_those_who_are_there_take_them() {
    let mut rig = playing(options(), Delivery::Tcp);
    let mut seq = 0;
    let mut next = |rig: &mut Rig| {
        seq += 1;
        send(rig, &[key(seq, u32::from(seq) * 3_600, 500)]);
        let (_, batch) = rig.batches().pop().expect("a batch");
        form(&batch)
    };
    assert_eq!(next(&mut rig), Form::Interleaved);
    join(&mut rig, 2, Delivery::Tcp);
    assert_eq!(next(&mut rig), Form::Interleaved);
    join(&mut rig, 3, Delivery::UdpV6);
    assert_eq!(next(&mut rig), Form::Plain);
    rig.pause(3);
    assert_eq!(next(&mut rig), Form::Interleaved);
    join(&mut rig, 4, Delivery::UdpV4);
    rig.leave(1);
    rig.leave(2);
    assert_eq!(next(&mut rig), Form::Plain);
}

#[test]
fn originals_are_built_for_readers_over_tcp_alone() {
    let mut rig = playing(options(), Delivery::UdpV4);
    join(&mut rig, 2, Delivery::Tcp);
    send(&mut rig, &[key(1, 0, 8_000), other(2, 3_600, 100)]);
    for (side, built) in
        [(Rendition::Original, Form::Interleaved), (Rendition::Datagrams, Form::Plain)]
    {
        let mut own = published(&rig, side);
        own.retain(|b| b.kind() == EntryKind::Media && b.rendition() == side);
        assert!(!own.is_empty());
        assert!(own.iter().all(|batch| form(batch) == built), "{side:?}");
    }
}

#[test]
fn readers_over_udp_go_on_with_smaller_packets_and_others_with_the_originals() {
    let mut rig = playing(options(), Delivery::UdpV4);
    join(&mut rig, 2, Delivery::Tcp);
    let sent = [
        Packet { marker: false, ..Packet::sets(1, 0) },
        key(2, 0, 8_000),
        other(3, 3_600, 500),
        other(4, 7_200, 3_000),
    ];
    send(&mut rig, &sent[..1]);
    send(&mut rig, &sent[1..]);
    rig.send(&[(AUDIO, Packet::audio(1, 0))]);
    let (tcp, udp) =
        (packets(&rig, Rendition::Original, VIDEO), packets(&rig, Rendition::Datagrams, VIDEO));
    assert_eq!(sizes(&tcp)[1..], [8_014, 514, 3_014]);
    assert!(sizes(&udp).iter().all(|size| *size <= 1_400), "{:?}", sizes(&udp));
    for (got, sent) in tcp.iter().zip(&sent) {
        assert_eq!(got.payload(), sent.payload);
    }
    assert_numbered_on(&tcp);
    assert_numbered_on(&udp);
    // What was passed before is the same to both, and so are times and the source.
    assert_eq!(tcp[0], udp[0]);
    let of = |packets: &[RtpPacket]| {
        let mut all: Vec<_> =
            packets.iter().map(|p| (p.header().timestamp, p.header().ssrc)).collect();
        all.dedup();
        all
    };
    assert_eq!(of(&tcp), of(&udp));
    assert_eq!(units(&rig, Rendition::Original), units(&rig, Rendition::Datagrams));
    // What fits is passed as it is.
    assert!(udp.iter().any(|packet| packet.payload() == sent[2].payload));
    let status = status(&rig);
    assert_eq!((status.relayed, status.made), (4, 0));
    assert_eq!((status.relayed_udp, status.made_udp), (1, udp.len() as u64 - 2));
    // Sound is for all as before.
    assert_eq!(
        packets(&rig, Rendition::Original, AUDIO),
        packets(&rig, Rendition::Datagrams, AUDIO)
    );
    assert!(warnings(&rig).is_empty());
}

#[test]
fn a_key_frame_is_one_on_both_sides() {
    let mut rig = playing(options(), Delivery::UdpV4);
    send(&mut rig, &[other(1, 0, 9_000), Packet { marker: false, ..Packet::sets(2, 3_600) }]);
    send(&mut rig, &[key(3, 3_600, 9_000)]);
    for side in [Rendition::Original, Rendition::Datagrams] {
        let keys: Vec<_> = published(&rig, side).iter().filter_map(|batch| batch.key()).collect();
        assert_eq!(keys.len(), 1, "{side:?}");
        let begins = packets(&rig, side, VIDEO)
            .into_iter()
            .find(|packet| packet.header().seq == keys[0].seq())
            .expect("the packet that it begins with");
        assert_eq!(begins.payload()[0], 0x67, "{side:?}");
    }
}

#[test]
fn readers_over_ipv6_take_less() {
    for (delivery, size, whole) in [
        (Delivery::UdpV4, 1_472, true),
        (Delivery::UdpV4, 1_473, false),
        (Delivery::UdpV6, 1_452, true),
        (Delivery::UdpV6, 1_453, false),
    ] {
        let mut rig = playing(options(), delivery);
        send(&mut rig, &[key(1, 0, size - 14)]);
        let got = sizes(&packets(&rig, Rendition::Datagrams, VIDEO));
        assert_eq!(got == [size], whole, "{delivery:?} {got:?}");
        assert_eq!(packets(&rig, Rendition::Original, VIDEO).len(), 1);
    }
    let options = StreamOptions { max_udp_payload: 700, ..options() };
    let mut rig = playing(options, Delivery::UdpV4);
    send(&mut rig, &[key(1, 0, 686), key(2, 3_600, 687)]);
    assert_eq!(sizes(&packets(&rig, Rendition::Datagrams, VIDEO))[..2], [700, 700]);
    assert_eq!(status(&rig).made_udp, 2);
}

#[test]
fn nothing_is_made_for_nobody() {
    let mut rig = playing(options(), Delivery::Tcp);
    send(&mut rig, &[key(1, 0, 8_000), other(2, 3_600, 9_000)]);
    assert!(rig.batches().iter().all(|(_, batch)| batch.rendition() == Rendition::Shared));
    assert_eq!(status(&rig).made_udp, 0);
    for packets in [Packets::Relay, Packets::Reframe] {
        let mut rig = playing(StreamOptions { packets, ..options() }, Delivery::UdpV4);
        send(&mut rig, &[key(1, 0, 8_000)]);
        assert!(rig.batches().iter().all(|(_, batch)| batch.rendition() == Rendition::Shared));
    }
}

#[test]
fn the_first_reader_over_udp_begins_with_what_was_before_it() {
    let mut rig = playing(options(), Delivery::Tcp);
    send(&mut rig, &[key(1, 0, 8_000), other(2, 3_600, 3_000)]);
    rig.run(ms(40));
    let welcome = join(&mut rig, 2, Delivery::UdpV4);
    send(&mut rig, &[other(3, 7_200, 3_000)]);
    let udp = packets(&rig, Rendition::Datagrams, VIDEO);
    assert_numbered_on(&udp);
    assert!(sizes(&udp).iter().all(|size| *size <= 1_400));
    assert_eq!(units(&rig, Rendition::Datagrams), units(&rig, Rendition::Original));
    let told = welcome.tracks[VIDEO].next_seq;
    assert!(udp[0].header().seq.ahead_of(told) >= 0 && told == udp[0].header().seq);
    let keys: Vec<_> =
        published(&rig, Rendition::Datagrams).iter().filter_map(|batch| batch.key()).collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].seq(), udp[0].header().seq);
}

#[test]
fn a_reader_is_told_a_number_below_which_nothing_comes() {
    let mut rig = playing(options(), Delivery::UdpV4);
    send(&mut rig, &[key(1, 0, 8_000), other(2, 3_600, 3_000)]);
    rig.run(ms(2_500));
    send(&mut rig, &[key(3, 225_000, 8_000), other(4, 228_600, 3_000)]);
    let udp = packets(&rig, Rendition::Datagrams, VIDEO);
    let told = join(&mut rig, 2, Delivery::UdpV4).tracks[VIDEO].next_seq;
    let first = udp.iter().find(|packet| packet.header().seq == told).expect("one of them");
    assert_eq!(first.payload()[..2], [0x7c, 0x85], "a key frame begins with it");
    let told = join(&mut rig, 3, Delivery::Tcp).tracks[VIDEO].next_seq;
    let tcp = packets(&rig, Rendition::Original, VIDEO);
    let first = tcp.iter().find(|packet| packet.header().seq == told).expect("one of them");
    assert_eq!(first.payload()[0], 0x65);
}

#[test]
fn reports_count_what_each_side_got() {
    let mut rig = playing(options(), Delivery::UdpV4);
    join(&mut rig, 2, Delivery::Tcp);
    send(&mut rig, &[key(1, 0, 8_000), other(2, 3_600, 3_000)]);
    rig.run(secs(3));
    let last = |side| -> SenderInfo {
        let batches = published(&rig, side);
        let mut reports = batches.iter().rev().filter(|b| b.kind() == EntryKind::Report);
        let report = reports.find(|b| b.track().index() == VIDEO).expect("a report");
        let parsed = parse_compound(report.packet(0)).expect("RTCP");
        let info = parsed.into_iter().find_map(|packet| match packet {
            RtcpPacket::SenderReport { info, .. } => Some(info),
            _ => None,
        });
        info.expect("a sender report")
    };
    let (tcp, udp) = (last(Rendition::Original), last(Rendition::Datagrams));
    assert_eq!((tcp.packets, tcp.octets), (2, 11_004));
    let got = packets(&rig, Rendition::Datagrams, VIDEO);
    let octets: usize = got.iter().map(|packet| packet.payload().len()).sum();
    assert_eq!((udp.packets as usize, udp.octets as usize), (got.len(), octets));
    assert_eq!((tcp.ntp, tcp.rtp), (udp.ntp, udp.rtp));
    let welcome = join(&mut rig, 3, Delivery::UdpV4);
    let parsed = parse_compound(&welcome.tracks[VIDEO].report).expect("RTCP");
    let is_own = |packet: RtcpPacket<'_>| matches!(packet, RtcpPacket::SenderReport { info, .. } if info.packets == udp.packets);
    assert!(parsed.into_iter().any(is_own));
}

#[test]
fn once_the_last_reader_over_udp_is_gone_nothing_is_made() {
    let mut rig = playing(options(), Delivery::Tcp);
    join(&mut rig, 2, Delivery::UdpV4);
    send(&mut rig, &[key(1, 0, 8_000)]);
    let made = status(&rig).made_udp;
    assert!(made > 0);
    rig.leave(2);
    assert!(rig.said.iter().any(|(_, output)| matches!(output, Output::Unite)));
    send(&mut rig, &[other(2, 3_600, 8_000)]);
    let last = rig.batches().into_iter().map(|(_, batch)| batch).last();
    assert_eq!(last.map(|batch| batch.rendition()), Some(Rendition::Shared));
    assert_eq!(status(&rig).made_udp, made, "and the count stays");
    assert_numbered_on(&packets(&rig, Rendition::Original, VIDEO));
    // And again for the next.
    join(&mut rig, 3, Delivery::UdpV4);
    send(&mut rig, &[other(3, 7_200, 8_000)]);
    assert!(status(&rig).made_udp > made);
    assert_numbered_on(&packets(&rig, Rendition::Datagrams, VIDEO));
}

#[test]
fn what_cannot_be_cut_goes_out_whole_and_is_told_of_once() {
    let sdp = SDP.replace("H264/90000", "X-SECRET/90000");
    let mut rig = playing_of(options(), Camera { sdp, ..Camera::default() }, Delivery::UdpV4);
    send(&mut rig, &[key(1, 0, 8_000), other(2, 3_600, 9_000), other(3, 7_200, 65_500)]);
    assert_eq!(sizes(&packets(&rig, Rendition::Datagrams, VIDEO)), [8_014, 9_014, 65_514]);
    assert!(rig.batches().iter().all(|(_, batch)| batch.rendition() == Rendition::Shared));
    let warnings = warnings(&rig);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("max_udp_payload = 1472"), "{warnings:?}");
    // The audience leaves out what no datagram holds.
    assert_eq!(status(&rig).dropped_udp, 1);
}

#[test]
fn a_packet_in_a_form_that_cannot_be_cut_goes_out_whole_among_others() {
    let mut rig = playing(options(), Delivery::UdpV4);
    // FU-B is of streams with numbers of their own.
    let fu_b = Packet { payload: nal([0x7d, 0x85], 3_000, 1), ..Packet::new(2, 3_600) };
    let huge = Packet { payload: nal([0x7d, 0x85], 65_500, 1), ..Packet::new(3, 7_200) };
    send(&mut rig, &[key(1, 0, 3_000), fu_b.clone(), huge, other(4, 10_800, 100)]);
    let udp = packets(&rig, Rendition::Datagrams, VIDEO);
    let got = sizes(&udp);
    assert_eq!(got[got.len() - 2..], [3_014, 114]);
    assert_eq!(udp[udp.len() - 2].payload(), fu_b.payload);
    let seq = |from_end: usize| udp[udp.len() - from_end].header().seq;
    assert_eq!(seq(1).ahead_of(seq(2)), 2, "what is dropped is seen to be missing");
    assert_eq!(status(&rig).dropped_udp, 1);
    assert_eq!(warnings(&rig).len(), 1);
}

/// A stream that a reader over UDP plays, in a format of which the track is said to be.
fn of_format(map: &str, max_unit: usize) -> Rig {
    let sdp = SDP.replace("H264/90000", map);
    let options = StreamOptions { max_unit, ..options() };
    playing_of(options, Camera { sdp, ..Camera::default() }, Delivery::UdpV4)
}

#[test]
fn a_known_format_that_cannot_be_cut_is_told_of_as_well() {
    for map in ["opus/48000/2", "speex/16000"] {
        let mut rig = of_format(map, 1 << 20);
        send(&mut rig, &[other(1, 0, 3_000), other(2, 960, 100)]);
        assert_eq!(sizes(&packets(&rig, Rendition::Datagrams, VIDEO)), [3_014, 114], "{map}");
        let warnings = warnings(&rig);
        assert!(
            matches!(&warnings[..], [one] if one.contains("max_udp_payload = 1472")),
            "{map}: {warnings:?}"
        );
    }
}

#[test]
fn a_known_format_that_fits_into_no_datagram_is_counted_and_missing() {
    let mut rig = of_format("speex/16000", 1 << 20);
    send(&mut rig, &[other(1, 0, 100), other(2, 320, 65_505), other(3, 640, 100)]);
    let udp = packets(&rig, Rendition::Datagrams, VIDEO);
    assert_eq!(sizes(&udp), [114, 114]);
    assert_eq!(udp[1].header().seq.ahead_of(udp[0].header().seq), 2, "a gap");
    assert_eq!(status(&rig).dropped_udp, 1);
    let warnings = warnings(&rig);
    assert!(
        matches!(&warnings[..], [one] if one.contains("max_udp_payload = 1472")),
        "{warnings:?}"
    );
}

#[test]
fn a_unit_above_the_bound_is_dropped_whole_for_readers_over_udp() {
    let mut rig = of_format("VP8/90000", 10_000);
    let part = |seq, timestamp, begins: bool, bytes: usize, marker| {
        let mut payload = vec![if begins { 0x10 } else { 0 }, 0x10, 0, 0, 0x9d, 0x01, 0x2a];
        payload.extend(std::iter::repeat_n(7, bytes));
        Packet { payload, marker, ..Packet::new(seq, timestamp) }
    };
    send(&mut rig, &[part(1, 0, true, 5_000, true)]);
    for (frame, timestamp) in [(0, 3_600), (1, 7_200)] {
        let large = (0..4).map(|n| part(2 + 4 * frame + n, timestamp, n == 0, 4_000, n == 3));
        send(&mut rig, &large.collect::<Vec<_>>());
    }
    send(&mut rig, &[part(10, 10_800, true, 5_000, true)]);
    let udp = packets(&rig, Rendition::Datagrams, VIDEO);
    assert!(sizes(&udp).iter().all(|size| *size <= 1_400), "{:?}", sizes(&udp));
    let lengths: Vec<_> =
        units(&rig, Rendition::Datagrams).iter().map(|unit| (unit.len(), unit.lost)).collect();
    assert!(matches!(lengths[..], [(5_006, 0), (5_006, 1..)]), "{lengths:?}");
    assert_eq!(status(&rig).units_too_large, 2);
    let warnings = warnings(&rig);
    assert!(matches!(&warnings[..], [one] if one.contains("max_unit = 10000")), "{warnings:?}");
}

#[test]
fn motion_pictures_of_one_frame_each_are_cut_as_well() {
    let sdp = SDP.replace("H264/90000", "VP8/90000");
    let mut rig = playing_of(options(), Camera { sdp, ..Camera::default() }, Delivery::UdpV4);
    // A key frame in two packets, and another frame in one.
    let frame = |first: u8, rest: u8, bytes| {
        let mut payload = vec![first, rest, 0, 0, 0x9d, 0x01, 0x2a];
        payload.extend(std::iter::repeat_n(7, bytes));
        payload
    };
    let begin = Packet { payload: frame(0x10, 0x10, 4_000), marker: false, ..Packet::new(1, 0) };
    let end = Packet { payload: frame(0x00, 0x10, 100), ..Packet::new(2, 0) };
    let next = Packet { payload: frame(0x10, 0x11, 5_000), ..Packet::new(3, 3_600) };
    send(&mut rig, &[begin]);
    assert!(packets(&rig, Rendition::Datagrams, VIDEO).is_empty(), "the frame is not whole");
    send(&mut rig, &[end, next]);
    let udp = packets(&rig, Rendition::Datagrams, VIDEO);
    assert!(sizes(&udp).iter().all(|size| *size <= 1_400), "{:?}", sizes(&udp));
    assert_numbered_on(&udp);
    let data = |side| -> Vec<Vec<u8>> {
        units(&rig, side).iter().map(|unit| unit.data().to_vec()).collect()
    };
    assert_eq!(data(Rendition::Datagrams), data(Rendition::Original));
    assert_eq!(data(Rendition::Datagrams).len(), 2);
}

#[test]
fn what_repairs_by_number_is_for_readers_of_the_originals() {
    for repair in ["rtx", "ulpfec", "flexfec-03"] {
        repairs_are_for_readers_of_the_originals(repair);
    }
}

fn repairs_are_for_readers_of_the_originals(repair: &str) {
    let with = format!(
        "RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 {repair}/90000\r\na=fmtp:97 apt=96"
    );
    let sdp = SDP.replace("RTP/AVP 96\r\na=rtpmap:96 H264/90000", &with);
    let mut rig = playing_of(options(), Camera { sdp, ..Camera::default() }, Delivery::UdpV4);
    let sent = [other(1, 0, 100), key(2, 0, 8_000), other(3, 0, 100), other(4, 3_600, 100)];
    let bytes = sent.iter().zip([97, 96, 97, 96]).map(|(packet, payload_type)| {
        let mut bytes = packet.bytes().to_vec();
        bytes[1] = bytes[1] & 0x80 | payload_type;
        (VIDEO, Bytes::from(bytes))
    });
    rig.send_raw(&bytes.collect::<Vec<_>>());
    let types = |side| -> Vec<u8> {
        let mut all: Vec<_> =
            packets(&rig, side, VIDEO).iter().map(|packet| packet.header().payload_type).collect();
        all.dedup();
        all
    };
    assert_eq!(types(Rendition::Original), [97, 96, 97, 96]);
    assert_eq!(types(Rendition::Datagrams), [97, 96]);
    assert_numbered_on(&packets(&rig, Rendition::Datagrams, VIDEO));
}

proptest! {
    #[test]
    fn whatever_sizes_come_and_go_both_sides_get_the_same_units_and_gaps(
        sent in proptest::collection::vec((0_usize..4, 1_u16..4, any::<bool>()), 1..40),
        limit in 200_usize..1_600,
    ) {
        let options = StreamOptions { max_udp_payload: limit, ..options() };
        let mut rig = playing(options, Delivery::UdpV4);
        let (mut seq, mut lost) = (0_u16, 0_u16);
        for (at, (size, step, is_key)) in (0..).zip(sent) {
            let step = if step == 3 && at > 0 { 2 } else { 1 };
            lost += step - 1;
            seq += step;
            let bytes = [40, 1_300, 3_000, 9_000][size];
            let make = if is_key { key } else { other };
            send(&mut rig, &[make(seq, at * 3_600, bytes)]);
        }
        let data = |side| -> Vec<(rtp_rtcp::RtpTime, bool, Vec<u8>)> {
            let units = units(&rig, side);
            units.iter().map(|u| (u.timestamp, u.key, u.data().to_vec())).collect()
        };
        prop_assert_eq!(data(Rendition::Datagrams), data(Rendition::Original));
        let udp = packets(&rig, Rendition::Datagrams, VIDEO);
        prop_assert!(udp.iter().all(|packet| packet.bytes().len() <= limit.min(1_472)));
        let span = udp[udp.len() - 1].header().seq.ahead_of(udp[0].header().seq);
        prop_assert_eq!(span as usize, udp.len() - 1 + usize::from(lost), "gaps stay");
    }
}
