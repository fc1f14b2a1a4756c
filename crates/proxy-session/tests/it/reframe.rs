//! What becomes of the backend's packets where they are made anew.

use bytes::Bytes;
use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyPacketizer, Continuity, Depacketizer, Limits,
    Packet as Payload, Packetizer,
};
use fan_out::EntryKind;
use proptest::prelude::*;
use proxy_session::{OnLoss, Packets, Reply, StreamEvent, StreamOptions, TrackStatus};
use rtp_rtcp::{ExtSeq, RtpPacket, RtpTime, SeqUnwrapper};
use sdp::Presentation;

use crate::camera::{Camera, SDP};
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, ms, options, play, secs, udp};

fn reframing() -> StreamOptions {
    StreamOptions { packets: Packets::Reframe, max_udp_payload: 700, ..options() }
}

/// A picture that no other one is like: one NAL unit.
fn picture(number: u32, bytes: usize, key: bool) -> Vec<u8> {
    let first: &[u8] = if key { &[0x65, 0x88] } else { &[0x41, 0x9a] };
    let body = (0..bytes).map(|at| (at as u32 * 7 + number) as u8 | 1);
    first.iter().copied().chain(number.to_be_bytes().map(|b| b | 0x80)).chain(body).collect()
}

fn at(number: u32) -> u32 {
    number * 3_600
}

/// Packets of pictures as a camera with packets of so many bytes makes them.
fn packets_of(pictures: &[(Vec<u8>, bool)], limit: usize) -> Vec<Packet> {
    let sdp = SDP.replace("H264/90000", "H264/90000\r\na=fmtp:96 packetization-mode=1");
    let (presentation, _) = Presentation::parse(sdp.as_bytes()).expect("a description");
    let media = &presentation.media[0];
    let mut packetizer = AnyPacketizer::for_format(&media.kind, media.main_format());
    let mut packets = Vec::new();
    for (number, (nal, key)) in (0..).zip(pictures) {
        let unit = AccessUnit::of(RtpTime(at(number)), *key, nal.clone());
        let mut emit = |payload: &codec_framers::Payload<'_>| {
            let seq = packets.len() as u16 + 1;
            let (marker, payload) = (payload.marker, payload.to_vec());
            packets.push(Packet { marker, payload, ..Packet::new(seq, at(number)) });
        };
        packetizer.packetize(&unit, limit, &mut emit).expect("an access unit");
    }
    packets
}

/// The packets that readers of a track got, whole.
fn got(rig: &Rig, track: usize) -> Vec<RtpPacket> {
    let media = rig.batches().into_iter().map(|(_, batch)| batch);
    let media = media.filter(|b| b.kind() == EntryKind::Media && b.track().index() == track);
    media
        .flat_map(|batch| batch.packets().map(Bytes::copy_from_slice).collect::<Vec<_>>())
        .map(|bytes| RtpPacket::parse(bytes).expect("readers get RTP"))
        .collect()
}

/// The units in them, by the description that readers were given.
fn units(rig: &Rig, track: usize) -> Vec<AccessUnit> {
    let told = &rig.stream.description().expect("described").sdp;
    let (presentation, _) = Presentation::parse(told).expect("a description");
    let mut depacketizer =
        AnyDepacketizer::for_media(&presentation.media[track], Limits::default());
    let (mut numbers, mut continuity) = (SeqUnwrapper::new(), Continuity::new());
    let mut units = Vec::new();
    for packet in got(rig, track) {
        let lost = continuity.on_packet(numbers.unwrap(packet.header().seq));
        depacketizer.push(Payload::from_rtp(&packet, lost)).expect("readers can read it");
        units.extend(std::iter::from_fn(|| depacketizer.poll()));
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    units
}

fn status(rig: &Rig, track: usize) -> TrackStatus {
    rig.stream.status().tracks[track]
}

fn warnings(rig: &Rig) -> Vec<String> {
    let events = rig.events().into_iter();
    let texts = events.filter_map(|event| match event {
        StreamEvent::Warning(text) => Some(text.clone()),
        _ => None,
    });
    texts.collect()
}

fn send_video(rig: &mut Rig, packets: &[Packet]) {
    let packets: Vec<_> = packets.iter().map(|packet| (VIDEO, packet.clone())).collect();
    rig.send(&packets);
}

fn fmtp(sdp: &[u8]) -> String {
    let (presentation, _) = Presentation::parse(sdp).expect("a description");
    let format = presentation.media[VIDEO].main_format();
    format.fmtp.as_ref().map(|fmtp| fmtp.raw().to_owned()).unwrap_or_default()
}

#[test]
fn pictures_are_cut_to_the_size_asked_for() {
    let mut rig = Rig::playing(reframing());
    let large = picture(1, 8_000, true);
    send_video(&mut rig, &[Packet { payload: large.clone(), ..Packet::new(1, 0) }]);
    let got = got(&rig, VIDEO);
    assert!(got.len() > 10 && got.iter().all(|packet| packet.bytes().len() <= 700));
    assert!(got.iter().all(|packet| packet.payload()[0] & 0x1f == 28), "FU-A");
    assert!(got.windows(2).all(|pair| pair[0].header().seq.next() == pair[1].header().seq));
    let marked = got.iter().filter(|packet| packet.header().marker).count();
    assert!(marked == 1 && got[got.len() - 1].header().marker);
    let units = units(&rig, VIDEO);
    assert_eq!(units.len(), 1);
    assert_eq!(units[0].elements().last().map(|nal| nal.to_vec()), Some(large));
    let status = status(&rig, VIDEO);
    assert_eq!((status.relayed, status.made), (0, got.len() as u64));
}

#[test]
fn with_the_default_limit_packets_of_1400_bytes_are_made() {
    let options = StreamOptions { packets: Packets::Reframe, ..options() };
    let mut rig = Rig::playing(options);
    send_video(&mut rig, &[Packet { payload: picture(1, 8_000, true), ..Packet::new(1, 0) }]);
    let sizes: Vec<_> = got(&rig, VIDEO).iter().map(|packet| packet.bytes().len()).collect();
    assert_eq!(sizes.iter().max(), Some(&1_400));
}

#[test]
fn small_parts_of_a_picture_go_together() {
    let mut rig = Rig::playing(reframing());
    send_video(&mut rig, &[Packet::sets(1, 0), Packet::key(2, 0), Packet::new(3, 9)]);
    let got = got(&rig, VIDEO);
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].payload()[0] & 0x1f, 24, "STAP-A");
    assert_eq!(got[1].header().timestamp.ahead_of(got[0].header().timestamp), 9);
}

#[test]
fn audio_passes_in_packets_of_the_same_bytes() {
    let mut rig = Rig::playing(reframing());
    rig.send(&[(AUDIO, Packet::audio(1, 0)), (AUDIO, Packet::audio(2, 160))]);
    let got = got(&rig, AUDIO);
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|packet| packet.payload() == [0xd5; 160]));
    assert_eq!(got[1].header().timestamp.ahead_of(got[0].header().timestamp), 160);
    assert_eq!((status(&rig, AUDIO).relayed, status(&rig, AUDIO).made), (0, 2));
}

#[test]
fn a_key_unit_is_named_by_the_first_packet_of_it() {
    let mut rig = Rig::playing(reframing());
    let pictures: Vec<_> = (0..6).map(|n| (picture(n, 2_000, n % 3 == 0), n % 3 == 0)).collect();
    send_video(&mut rig, &packets_of(&pictures, 1_000));
    let got = got(&rig, VIDEO);
    let named: Vec<_> = rig.batches().iter().filter_map(|(_, batch)| batch.key()).collect();
    let first_of = |number: u32| {
        let ahead = |packet: &&RtpPacket| {
            packet.header().timestamp.ahead_of(got[0].header().timestamp) == at(number) as i32
        };
        got.iter().find(ahead).map(|packet| packet.header().seq)
    };
    let named: Vec<_> = named.into_iter().map(|seq: ExtSeq| Some(seq.seq())).collect();
    assert_eq!(named, [first_of(0), first_of(3)]);
}

#[test]
fn both_ways_carry_the_same_units_at_the_same_times() {
    let pictures: Vec<_> =
        (0..20).map(|n| (picture(n, 300 * n as usize, n % 5 == 0), n % 5 == 0)).collect();
    let carried = |options: StreamOptions| {
        let mut rig = Rig::playing(options);
        for packet in packets_of(&pictures, 1_200) {
            send_video(&mut rig, &[packet]);
            rig.run(ms(3));
        }
        units(&rig, VIDEO)
    };
    let (relayed, made) = (carried(options()), carried(reframing()));
    assert_eq!(relayed.len(), pictures.len());
    let apart = |units: &[AccessUnit]| -> Vec<_> {
        units.iter().map(|unit| unit.timestamp.ahead_of(units[0].timestamp)).collect()
    };
    assert_eq!(apart(&relayed), apart(&made));
    assert!(relayed.iter().zip(&made).all(|(a, b)| a.to_annex_b() == b.to_annex_b()));
}

#[test]
fn packets_that_never_came_are_gaps_to_readers() {
    let mut rig = Rig::playing(reframing());
    send_video(&mut rig, &[Packet::new(1, 0), Packet::new(5, at(1)), Packet::new(6, at(2))]);
    let numbers: Vec<_> = got(&rig, VIDEO).iter().map(|p| p.header().seq.0).collect();
    let from: Vec<_> = numbers.iter().map(|n| n.wrapping_sub(numbers[0])).collect();
    assert_eq!(from, [0, 4, 5]);
}

#[test]
fn over_udp_packets_are_put_in_order_first() {
    let options = StreamOptions { packets: Packets::Reframe, max_udp_payload: 700, ..udp() };
    let mut rig = Rig::playing(options);
    let pictures: Vec<_> = (0..4).map(|n| (picture(n, 2_000, n == 0), n == 0)).collect();
    let mut packets = packets_of(&pictures, 900);
    packets.swap(4, 5);
    packets.swap(7, 9);
    send_video(&mut rig, &packets);
    let units = units(&rig, VIDEO);
    let sent: Vec<_> = units.iter().map(|unit| unit.data().to_vec()).collect();
    assert_eq!(sent, pictures.iter().map(|(nal, _)| nal.clone()).collect::<Vec<_>>());
    assert!(units.iter().all(|unit| unit.complete && unit.lost == 0));
}

#[test]
fn after_pause_and_play_numbers_go_on_and_halves_of_units_are_gone() {
    let mut rig = Rig::playing(reframing());
    let half = packets_of(&[(picture(0, 2_000, true), true)], 1_500);
    send_video(&mut rig, &[Packet::new(100, 5_000), Packet { seq: 101, ..half[0].clone() }]);
    rig.pause(1);
    rig.run(secs(7));
    let ticket = rig.ask(1, play());
    rig.run(ms(100));
    rig.welcome(ticket);
    rig.join();
    let end = Packet { seq: 7, timestamp: 100, ..half[1].clone() };
    send_video(&mut rig, &[end, Packet::new(8, 3_700)]);
    let got = got(&rig, VIDEO);
    assert_eq!(got.len(), 2, "{got:?}");
    assert_eq!(got[1].header().seq, got[0].header().seq.next());
    assert_eq!(got[1].header().timestamp.ahead_of(got[0].header().timestamp), 71 * 9_000);
}

#[test]
fn another_source_begins_units_of_its_own() {
    let mut rig = Rig::playing(reframing());
    let unmarked = Packet { marker: false, ..Packet::new(10, 5_000) };
    send_video(&mut rig, &[Packet::new(9, 1_400), unmarked]);
    rig.run(ms(40));
    let other = |seq, time| Packet::new(seq, time).from(1234);
    send_video(&mut rig, &[other(40_000, 5_000), other(40_001, 8_600)]);
    let units = units(&rig, VIDEO);
    assert_eq!(units.len(), 4, "no unit is of two sources: {units:?}");
    assert!(units.windows(2).all(|pair| pair[1].timestamp.ahead_of(pair[0].timestamp) > 0));
}

#[test]
fn what_speaks_of_numbers_is_left_out_and_other_payloads_pass() {
    let sdp = SDP.replace(
        "RTP/AVP 96\r\na=rtpmap:96 H264/90000",
        "RTP/AVP 96 97 98\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 rtx/90000\r\n\
         a=rtpmap:98 x-events/90000",
    );
    let mut rig = Rig::described(reframing(), Camera { sdp, ..Camera::default() });
    rig.play(1);
    let of = |packet: Packet, payload_type: u8| {
        let mut bytes = packet.bytes().to_vec();
        bytes[1] = bytes[1] & 0x80 | payload_type;
        (VIDEO, Bytes::from(bytes))
    };
    rig.send_raw(&[
        of(Packet::key(1, 0), 96),
        of(Packet::new(2, 0), 97),
        of(Packet::new(3, 0), 98),
        of(Packet::new(4, 3_600), 96),
    ]);
    let got = got(&rig, VIDEO);
    let types: Vec<_> = got.iter().map(|packet| packet.header().payload_type).collect();
    assert_eq!(types, [96, 98, 96]);
    assert!(got.windows(2).all(|pair| pair[0].header().seq.next() == pair[1].header().seq));
    assert_eq!((status(&rig, VIDEO).relayed, status(&rig, VIDEO).made), (1, 2));
}

#[test]
fn error_correction_is_left_out_within_redundancy_too() {
    let sdp = SDP.replace(
        "RTP/AVP 96\r\na=rtpmap:96 H264/90000",
        "RTP/AVP 96 97 98\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 ulpfec/90000\r\n\
         a=rtpmap:98 red/90000",
    );
    let mut rig = Rig::described(reframing(), Camera { sdp, ..Camera::default() });
    rig.play(1);
    let red = |seq, first: u8| {
        let packet = Packet { payload: vec![first, 0x41, 0x9a, 1], ..Packet::new(seq, 0) };
        let mut bytes = packet.bytes().to_vec();
        bytes[1] = bytes[1] & 0x80 | 98;
        (VIDEO, Bytes::from(bytes))
    };
    let key = (VIDEO, Packet::key(1, 0).bytes().to_vec().into());
    // The second holds a correction, the third what is corrected, the last an older block first.
    rig.send_raw(&[key, red(2, 97), red(3, 96), red(4, 0x80 | 97)]);
    let got = got(&rig, VIDEO);
    let firsts: Vec<_> = got.iter().map(|packet| packet.payload()[0]).collect();
    assert_eq!(firsts[1..], [96, 0x80 | 97]);
    assert!(got.windows(2).all(|pair| pair[0].header().seq.next() == pair[1].header().seq));
}

#[test]
fn readers_are_told_that_pictures_may_be_cut() {
    let mut rig = Rig::described(reframing(), Camera::default());
    let ticket = rig.ask(1, proxy_session::Ask::Describe);
    let Some(Reply::Described(description)) = rig.reply(ticket) else { panic!("no description") };
    assert_eq!(fmtp(&description.sdp), "packetization-mode=1");
    let told = |packets| {
        let rig = Rig::described(StreamOptions { packets, ..options() }, Camera::default());
        fmtp(&rig.stream.description().expect("described").sdp)
    };
    assert_eq!(told(Packets::Auto), "packetization-mode=1");
    assert_eq!(told(Packets::Relay), "");
}

#[test]
fn readers_are_told_the_parameter_sets_of_the_stream() {
    let mut rig = Rig::playing(reframing());
    let pps = Packet { payload: vec![0x68, 0xee, 0x3c, 0x80], ..Packet::sets(2, 0) };
    send_video(&mut rig, &[Packet::sets(1, 0), pps, Packet::key(3, 0)]);
    let sdp = rig.stream.description().expect("described").sdp.clone();
    assert!(fmtp(&sdp).contains("sprop-parameter-sets=Z01AH5U=,aO48gA=="), "{}", fmtp(&sdp));
    assert!(fmtp(&sdp).contains("packetization-mode=1"));
    // They are given to a decoder that begins with a key frame without them.
    send_video(&mut rig, &[Packet::key(4, at(1))]);
    let units = units(&rig, VIDEO);
    assert_eq!(units[1].element_count(), 3, "{units:?}");
    assert_eq!(rig.stream.description().expect("described").sdp, sdp, "nothing has changed");
}

#[test]
fn parameter_sets_that_change_are_told_in_relay_too() {
    let sets = "sprop-parameter-sets=Z01AH5U=,aO48gA==";
    let told = format!("a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;{sets}");
    let sdp = SDP.replace("a=rtpmap:96 H264/90000", &told);
    let mut rig = Rig::described(options(), Camera { sdp, ..Camera::default() });
    rig.play(1);
    let description = |rig: &Rig| rig.stream.description().expect("described").sdp.clone();
    let first = description(&rig);
    let pps = |seq| Packet { payload: vec![0x68, 0xee, 0x3c, 0x80], ..Packet::sets(seq, 0) };
    send_video(&mut rig, &[Packet::sets(1, 0), pps(2), Packet::key(3, 0), Packet::new(4, at(1))]);
    assert_eq!(description(&rig), first, "what is true is not told again");
    let other = Packet { payload: vec![0x67, 0x64, 0, 0x28, 0x96], ..Packet::sets(5, at(2)) };
    send_video(&mut rig, &[other, Packet::key(6, at(2))]);
    let second = description(&rig);
    let wanted =
        "packetization-mode=1;sprop-parameter-sets=Z2QAKJY=,aO48gA==;profile-level-id=640028";
    assert_eq!(fmtp(&second), wanted);
    assert_ne!(second, first);
    send_video(&mut rig, &[Packet::key(7, at(3))]);
    assert_eq!(description(&rig), second, "it has been told");
    // Back to what the backend's description has.
    send_video(&mut rig, &[Packet::sets(8, at(4)), Packet::key(9, at(4))]);
    assert!(fmtp(&description(&rig)).contains(sets), "{}", fmtp(&description(&rig)));
    assert_eq!(status(&rig, VIDEO).made, 0);
}

#[test]
fn a_unit_whose_end_does_not_come_leaves_after_a_second() {
    let mut rig = Rig::playing(reframing());
    let unmarked = |seq, time| Packet { marker: false, ..Packet::new(seq, time) };
    send_video(&mut rig, &[Packet::key(1, 0), unmarked(2, at(1))]);
    rig.run(ms(900));
    assert_eq!(got(&rig, VIDEO).len(), 1, "its end may still come");
    rig.run(ms(200));
    assert_eq!(got(&rig, VIDEO).len(), 2);
    // The next burst is not touched by it.
    send_video(&mut rig, &[unmarked(3, at(40)), unmarked(4, at(41)), Packet::new(5, at(42))]);
    let units = units(&rig, VIDEO);
    assert_eq!(units.iter().map(|unit| unit.lost).sum::<u32>(), 0);
    let times: Vec<_> =
        units.iter().map(|unit| unit.timestamp.ahead_of(units[0].timestamp)).collect();
    assert_eq!(times, [0, 1, 40, 41, 42].map(|n| at(n) as i32));
    // Whose end is not known is not known to be whole.
    let mut rig = Rig::playing(StreamOptions { on_loss: OnLoss::DropUnit, ..reframing() });
    send_video(&mut rig, &[Packet::key(1, 0), unmarked(2, at(1))]);
    rig.run(secs(3));
    assert_eq!((got(&rig, VIDEO).len(), status(&rig, VIDEO).units_dropped), (1, 1));
}

/// Pictures of three slices each, of which one is missing in the third picture.
fn broken(on_loss: OnLoss) -> (Rig, Vec<u32>) {
    let mut rig = Rig::playing(StreamOptions { on_loss, ..reframing() });
    let slice = |number: u32, slice: u32| {
        let kind = if number.is_multiple_of(5) { 0x65 } else { 0x41 };
        // Where it begins: at macroblock 0, 1, 2.
        let payload = vec![kind, [0x88, 0x58, 0x68][slice as usize], 1, 2, 3];
        let seq = (3 * number + slice + 1) as u16;
        Packet { payload, marker: slice == 2, ..Packet::new(seq, at(number)) }
    };
    let mut packets: Vec<_> =
        (0..9).flat_map(|n| [slice(n, 0), slice(n, 1), slice(n, 2)]).collect();
    packets.remove(7);
    send_video(&mut rig, &packets);
    let left = units(&rig, VIDEO);
    let first = left[0].timestamp;
    let left = left.iter().map(|unit| unit.timestamp.ahead_of(first) as u32 / 3_600).collect();
    (rig, left)
}

#[test]
fn broken_units_pass_unless_something_else_is_chosen() {
    let (rig, left) = broken(OnLoss::Pass);
    assert_eq!(left, (0..9).collect::<Vec<_>>());
    assert!(units(&rig, VIDEO).iter().any(|unit| unit.lost > 0), "the gap is seen");
    assert_eq!(status(&rig, VIDEO).units_dropped, 0);
}

#[test]
fn broken_units_are_dropped_where_that_is_chosen() {
    let (rig, left) = broken(OnLoss::DropUnit);
    assert_eq!(left, [0, 1, 3, 4, 5, 6, 7, 8]);
    assert!(units(&rig, VIDEO).iter().any(|unit| unit.lost > 0), "the gap is seen");
    assert_eq!(status(&rig, VIDEO).units_dropped, 1);
}

#[test]
fn nothing_passes_until_the_next_key_frame_where_that_is_chosen() {
    let (rig, left) = broken(OnLoss::WaitKeyframe);
    assert_eq!(left, [0, 1, 5, 6, 7, 8]);
    assert_eq!(status(&rig, VIDEO).units_dropped, 3);
}

#[test]
fn a_unit_above_the_bound_is_dropped_whole_and_told_of_once() {
    let mut rig = Rig::playing(StreamOptions { max_unit: 3_000, ..reframing() });
    let pictures: Vec<_> = [1_000, 5_000, 1_000, 6_000, 1_000]
        .iter()
        .zip(0..)
        .map(|(bytes, n)| (picture(n, *bytes, n == 0), n == 0))
        .collect();
    send_video(&mut rig, &packets_of(&pictures, 900));
    let sizes: Vec<_> = units(&rig, VIDEO).iter().map(AccessUnit::len).collect();
    assert_eq!(sizes, [1_006; 3]);
    assert_eq!(status(&rig, VIDEO).units_too_large, 2);
    let told = warnings(&rig);
    assert!(matches!(&told[..], [one] if one.contains("max_unit = 3000")), "{told:?}");
}

#[test]
fn what_cannot_be_cut_goes_out_whole_and_is_told_of_once() {
    let sdp = SDP.replace("H264/90000", "X-UNHEARD/90000");
    let mut rig = Rig::described(reframing(), Camera { sdp, ..Camera::default() });
    rig.play(1);
    let large = |seq| Packet { payload: vec![1; 5_000], ..Packet::new(seq, 0) };
    send_video(&mut rig, &[large(1), large(2)]);
    let sizes: Vec<_> = got(&rig, VIDEO).iter().map(|packet| packet.bytes().len()).collect();
    assert_eq!(sizes, [5_012; 2]);
    let told = warnings(&rig);
    assert!(matches!(&told[..], [one] if one.contains("max_udp_payload = 700")), "{told:?}");
}

#[test]
fn what_fits_into_no_datagram_is_counted_and_told_of_once() {
    let sdp = SDP.replace("H264/90000", "X-UNHEARD/90000");
    let mut rig = Rig::described(reframing(), Camera { sdp, ..Camera::default() });
    rig.play(1);
    let of = |seq, bytes| Packet { payload: vec![1; bytes], ..Packet::new(seq, 0) };
    send_video(&mut rig, &[of(1, 9), of(2, 65_500), of(3, 65_500), of(4, 9)]);
    let sent = got(&rig, VIDEO);
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].header().seq.ahead_of(sent[0].header().seq), 3, "what is missing is seen");
    assert_eq!(status(&rig, VIDEO).malformed, 2);
    let told = warnings(&rig);
    assert!(matches!(&told[..], [one] if one.contains("packets = \"auto\"")), "{told:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_lost_units_are_never_mixed_and_whole_ones_come_out(
        sizes in prop::collection::vec(1_usize..2_500, 2..24),
        losses in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        per_wake_up in 1_usize..6,
        limit in 100_usize..1_500,
    ) {
        let pictures: Vec<_> = (0..)
            .zip(&sizes)
            .map(|(n, bytes)| (picture(n, *bytes, n % 4 == 0), n % 4 == 0))
            .collect();
        let all = packets_of(&pictures, limit);
        let lost: Vec<_> = losses.iter().map(|index| all[index.index(all.len())].seq).collect();
        let came: Vec<_> = all.iter().filter(|packet| !lost.contains(&packet.seq)).collect();
        let options = StreamOptions { on_loss: OnLoss::DropUnit, ..reframing() };
        let mut rig = Rig::playing(options);
        for packets in came.chunks(per_wake_up) {
            let packets: Vec<_> = packets.iter().map(|packet| (*packet).clone()).collect();
            send_video(&mut rig, &packets);
        }
        prop_assert!(got(&rig, VIDEO).iter().all(|packet| packet.bytes().len() <= 700));
        let left: Vec<_> = units(&rig, VIDEO).iter().map(|unit| unit.data().to_vec()).collect();
        let numbers: Vec<_> = left
            .iter()
            .map(|nal| pictures.iter().position(|(known, _)| known == nal))
            .collect();
        prop_assert!(numbers.iter().all(Option::is_some), "a unit that nobody sent");
        prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "in order: {numbers:?}");
        for number in 0..pictures.len() {
            let own = |packet: &&Packet| packet.timestamp == at(number as u32);
            let first = all.iter().find(own).map_or(0, |packet| packet.seq);
            let last = all.iter().rfind(own).map_or(0, |packet| packet.seq);
            let is_whole = (first..=last).all(|seq| !lost.contains(&seq));
            prop_assert!(!is_whole || numbers.contains(&Some(number)), "{number} of {numbers:?}");
        }
    }

    #[test]
    fn whatever_the_payloads_are_numbers_go_up_and_packets_fit(
        encoding in prop::sample::select(vec![
            "H264/90000", "H265/90000", "MP4V-ES/90000", "JPEG/90000", "VP8/90000", "VP9/90000",
            "AV1/90000", "H263-1998/90000", "MPV/90000", "MP2T/90000", "X-UNHEARD/90000",
        ]),
        packets in prop::collection::vec(
            (1_u16..4, 0_u32..3, any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)),
            1..40,
        ),
    ) {
        let sdp = SDP.replace("H264/90000", encoding);
        let mut rig = Rig::described(reframing(), Camera { sdp, ..Camera::default() });
        rig.play(1);
        let (mut seq, mut timestamp) = (0_u16, 0);
        for (ahead, later, marker, payload) in packets {
            seq += ahead;
            timestamp += later * 3_600;
            if payload.first() == Some(&0xd5) {
                // That is this camera's audio.
                continue;
            }
            let packet = Packet { marker, payload, ..Packet::new(seq, timestamp) };
            send_video(&mut rig, &[packet]);
        }
        let got = got(&rig, VIDEO);
        prop_assert!(got.iter().all(|packet| packet.bytes().len() <= 700));
        let is_after = |pair: &[RtpPacket]| {
            pair[1].header().seq.ahead_of(pair[0].header().seq) > 0
        };
        prop_assert!(got.windows(2).all(is_after));
        prop_assert_eq!(status(&rig, VIDEO).relayed, 0);
    }
}
