//! What becomes of the backend's packets.

use bytes::Bytes;
use proxy_session::StreamEvent;

use crate::camera::Camera;
use crate::media::{AUDIO, Got, Packet, VIDEO};
use crate::rig::{Rig, closing, ms, options, secs, udp};

fn numbers(got: &[Got]) -> Vec<u16> {
    let first = got.first().map_or(0, |got| got.seq.0);
    got.iter().map(|got| got.seq.0.wrapping_sub(first)).collect()
}

fn videos(packets: &[(u16, u32)]) -> Vec<(usize, Packet)> {
    packets.iter().map(|(seq, timestamp)| (VIDEO, Packet::new(*seq, *timestamp))).collect()
}

#[test]
fn packets_pass_unchanged_but_for_number_time_and_source() {
    let mut rig = Rig::playing(options());
    let mut odd = vec![0xb2, 0x80 | 96, 0, 9, 0, 0, 0, 1, 0, 0, 0, 7];
    odd.extend_from_slice(&[1, 1, 1, 1, 2, 2, 2, 2]);
    odd.extend_from_slice(&[0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    odd.extend_from_slice(&[0x41, 0x9a, 5, 6, 7]);
    odd.extend_from_slice(&[0, 0, 3]);
    let plain = Packet::key(8, 0).bytes();
    rig.send_raw(&[(VIDEO, plain.clone()), (VIDEO, Bytes::from(odd.clone()))]);
    let got = rig.got(VIDEO);
    assert_eq!(got[0].rest, Got::new(&plain).rest);
    assert_eq!(got[1].rest, Got::new(&odd).rest);
    assert_eq!((numbers(&got), got[1].timestamp.ahead_of(got[0].timestamp)), (vec![0, 1], 1));
    assert_eq!(got[0].ssrc, got[1].ssrc);
}

#[test]
fn gaps_in_the_backends_numbers_stay_visible() {
    let mut rig = Rig::playing(options());
    rig.send(&videos(&[(65_534, 0), (65_535, 1), (3, 2), (4, 3)]));
    assert_eq!(numbers(&rig.got(VIDEO)), [0, 1, 5, 6]);
}

#[test]
fn over_tcp_nothing_waits_for_what_is_missing() {
    let mut rig = Rig::playing(options());
    rig.send(&videos(&[(1, 0), (5, 1)]));
    assert_eq!(numbers(&rig.got(VIDEO)), [0, 4]);
}

#[test]
fn over_udp_packets_are_put_in_order() {
    let mut rig = Rig::playing(udp());
    rig.send(&videos(&[(1, 0), (3, 2), (2, 1), (2, 1), (4, 3)]));
    assert_eq!(numbers(&rig.got(VIDEO)), [0, 1, 2, 3]);
    let times: Vec<_> = rig.got(VIDEO).iter().map(|got| got.timestamp).collect();
    assert!(times.windows(2).all(|pair| pair[1].ahead_of(pair[0]) == 1));
}

#[test]
fn over_udp_what_is_missing_is_waited_for_no_longer_than_allowed() {
    let mut rig = Rig::playing(udp());
    rig.send(&videos(&[(1, 0), (3, 2)]));
    rig.run(ms(99));
    assert_eq!(rig.got(VIDEO).len(), 1);
    rig.run(ms(1));
    assert_eq!(numbers(&rig.got(VIDEO)), [0, 2]);
    rig.send(&videos(&[(2, 1), (4, 3)]));
    assert_eq!(numbers(&rig.got(VIDEO)), [0, 2, 3], "it came too late");
}

#[test]
fn tracks_leave_in_the_order_they_came_in() {
    let mut rig = Rig::playing(options());
    let begin = rig.batches().len();
    let video = |seq| (VIDEO, Packet::new(seq, 0));
    let audio = |seq| (AUDIO, Packet::audio(seq, 0));
    rig.send(&[video(1), video(2), audio(1), video(3), audio(2), audio(3)]);
    let batches = rig.batches().split_off(begin);
    let order: Vec<_> = batches.iter().map(|(_, b)| (b.track().index(), b.len())).collect();
    assert_eq!(order, [(VIDEO, 2), (AUDIO, 1), (VIDEO, 1), (AUDIO, 2)]);
}

#[test]
fn what_one_wake_up_brings_of_one_track_is_one_batch() {
    let mut rig = Rig::playing(options());
    let begin = rig.batches().len();
    rig.send(&videos(&[(1, 0), (2, 0), (3, 0), (4, 1)]));
    assert_eq!(rig.batches().len() - begin, 1);
}

#[test]
fn a_batch_names_one_key_unit() {
    let mut rig = Rig::playing(options());
    let keys = [Packet::sets(1, 0), Packet::key(2, 0), Packet::key(3, 9), Packet::new(4, 18)];
    rig.send(&keys.map(|packet| (VIDEO, packet)));
    let batches = rig.batches();
    let first = rig.got(VIDEO)[0].seq;
    let keys: Vec<_> =
        batches.iter().filter_map(|(_, batch)| Some(batch.key()?.seq().ahead_of(first))).collect();
    assert_eq!(keys, [0, 2]);
}

#[test]
fn more_than_a_batch_holds_is_relayed_all_the_same() {
    let mut rig = Rig::playing(options());
    let big = |seq| Packet { payload: vec![0x41; 30_000], ..Packet::new(seq, 0) };
    let packets: Vec<_> = (0..10).map(|seq| (VIDEO, big(seq))).collect();
    rig.send(&packets);
    assert_eq!(numbers(&rig.got(VIDEO)), (0..10).collect::<Vec<_>>());
    let far = [(VIDEO, Packet::new(2_000, 1)), (VIDEO, Packet::new(2_001, 2))];
    rig.send(&far);
    assert_eq!(rig.got(VIDEO)[10].seq.ahead_of(rig.got(VIDEO)[9].seq), 1_991);
}

#[test]
fn packets_too_large_are_counted_and_told_once_per_track() {
    let mut rig = Rig::playing(udp());
    let large = Packet { payload: vec![0x41; 70_000], ..Packet::new(2, 1) };
    rig.send(&[(VIDEO, Packet::new(1, 0)), (VIDEO, large.clone())]);
    rig.send(&[(VIDEO, Packet { seq: 3, ..large }), (VIDEO, Packet::new(4, 3))]);
    rig.run(ms(100));
    let told: Vec<_> = rig
        .events()
        .into_iter()
        .filter(|event| matches!(event, StreamEvent::TooLarge { .. }))
        .collect();
    assert!(matches!(told[..], [StreamEvent::TooLarge { bytes: 70_012, .. }]), "{told:?}");
    assert_eq!(rig.stream.status().tracks[VIDEO].too_large, 2);
    assert_eq!(numbers(&rig.got(VIDEO)), [0, 3], "they are gaps to readers");
}

#[test]
fn packets_that_cannot_be_read_are_counted_and_told_once_per_track() {
    let mut rig = Rig::playing(options());
    // Padding longer than the packet.
    let odd = Bytes::from_static(&[0xa0, 96, 0, 2, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 200]);
    rig.send_raw(&[(VIDEO, odd.clone()), (VIDEO, odd)]);
    let told = rig.events().into_iter().filter(|e| matches!(e, StreamEvent::Malformed { .. }));
    assert_eq!(told.count(), 1);
    assert_eq!(rig.stream.status().tracks[VIDEO].malformed, 2);
}

#[test]
fn over_pause_and_play_numbers_go_on_and_times_by_what_passed() {
    let mut rig = Rig::playing(options());
    rig.send(&videos(&[(100, 5_000)]));
    rig.pause(1);
    rig.run(secs(7));
    let ticket = rig.ask(1, crate::rig::play());
    rig.run(ms(100));
    rig.welcome(ticket);
    rig.join();
    let begin = rig.elapsed();
    // A camera may count on, or begin anew.
    rig.send(&videos(&[(90, 1), (91, 3_601)]));
    let got = rig.got(VIDEO);
    assert_eq!(numbers(&got), [0, 1, 2]);
    assert_eq!(got[1].timestamp.ahead_of(got[0].timestamp), 71 * 9_000, "at {begin:?}");
    assert_eq!(got[2].timestamp.ahead_of(got[1].timestamp), 3_600);
    assert_eq!(got[0].ssrc, got[2].ssrc);
}

#[test]
fn over_a_loss_of_the_backend_numbers_go_on_and_times_by_what_passed() {
    let mut rig = Rig::playing(closing(options()));
    rig.send(&videos(&[(65_535, 5_000), (0, 8_600)]));
    let lost = rig.now;
    rig.close();
    rig.run(secs(3));
    rig.play(1);
    rig.send(&[(VIDEO, Packet::new(1, 77).from(99))]);
    let passed = (rig.now.mono - lost.mono).as_millis() as i32;
    let got = rig.got(VIDEO);
    assert_eq!(numbers(&got), [0, 1, 2]);
    let ahead = got[2].timestamp.ahead_of(got[0].timestamp);
    assert!((ahead - passed * 90).abs() <= 3_600, "{ahead} after {passed} ms");
    assert_eq!(got[0].ssrc, got[2].ssrc);
}

#[test]
fn another_source_within_a_session_is_the_same_one_to_readers() {
    let mut rig = Rig::playing(options());
    rig.send(&videos(&[(10, 5_000), (11, 8_600)]));
    rig.run(ms(40));
    let other = |seq, time| (VIDEO, Packet::new(seq, time).from(1234));
    rig.send(&[other(40_000, 1), other(40_001, 3_601)]);
    let got = rig.got(VIDEO);
    assert_eq!(numbers(&got), [0, 1, 2, 3]);
    assert!(got.iter().all(|packet| packet.ssrc == got[0].ssrc));
    assert!(got.windows(2).all(|pair| pair[1].timestamp.ahead_of(pair[0].timestamp) > 0));
}

#[test]
fn what_the_backend_sends_to_nobody_goes_nowhere() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.prepare(1);
    rig.send(&videos(&[(1, 0), (2, 1)]));
    rig.run(secs(1));
    assert!(rig.got(VIDEO).is_empty());
}
