//! What a reader is told that begins at once, and that it is true.

use std::time::Duration;

use proxy_session::{StreamOptions, Welcome};

use crate::camera::Camera;
use crate::media::{AUDIO, Got, Packet, VIDEO};
use crate::rig::{Rig, ms, options, play_instant, seconds_between, secs};

/// 25 pictures a second.
const FRAME: u32 = 3600;

/// A stream with a key frame that is `pictures` old, and the last picture just come.
fn playing(options: StreamOptions, pictures: u16) -> Rig {
    let mut rig = Rig::playing(options);
    rig.prepare(2);
    for number in 0..=pictures {
        let timestamp = 90_000 + u32::from(number) * FRAME;
        let video = match number {
            0 => Packet::key(number, timestamp),
            _ => Packet::new(number, timestamp),
        };
        rig.send(&[(VIDEO, video), (AUDIO, Packet::audio(number, u32::from(number) * 320))]);
        if number < pictures {
            rig.run(ms(40));
        }
    }
    rig
}

/// A picture of 4,000 bytes.
fn large(number: u16) -> Packet {
    let mut packet = Packet::new(number, 90_000 + u32::from(number) * FRAME);
    packet.payload.resize(4_000, 0);
    packet
}

fn welcome(rig: &mut Rig) -> Welcome {
    let ticket = rig.ask(2, play_instant());
    rig.welcome(ticket)
}

/// What the picture leaves with that a reader is caught up with first.
fn first_timestamp(video: &[Got]) -> i32 {
    let newest = video.last().expect("media").timestamp;
    newest.ahead_of(video[0].timestamp) / 40
}

#[test]
fn it_is_told_the_key_frame_that_is_there_and_one_instant_before_all_it_gets() {
    let mut rig = playing(options(), 50);
    rig.run(ms(20));
    let welcome = welcome(&mut rig);
    let (video, audio) = (rig.got(VIDEO), rig.got(AUDIO));
    assert_eq!(welcome.tracks[VIDEO].next_seq, video[0].seq);
    assert_eq!(welcome.tracks[AUDIO].next_seq, audio[50].seq.next());
    // The key frame is 2 s old, so it is shown 50 ms before the last picture, which came 20 ms ago.
    let rtptime = welcome.tracks[VIDEO].rtptime;
    let newest = video[50].timestamp;
    let first = first_timestamp(&video);
    let before = newest.ahead_of(rtptime) - first;
    assert!((0..2 * FRAME as i32).contains(&before), "{before} ticks before the first packet");
    // The same instant on the other track.
    let of_video = f64::from(newest.ahead_of(rtptime)) / 90_000.0;
    let audio_told = welcome.tracks[AUDIO].rtptime;
    let of_audio = f64::from(audio[50].timestamp.ahead_of(audio_told)) / 8_000.0;
    assert!((of_video - of_audio).abs() < 0.002, "{of_video} s and {of_audio} s");
}

#[test]
fn it_is_told_a_key_frame_before_one_that_is_young() {
    let mut rig = playing(options(), 50);
    let mut number = 50;
    let mut go_on = |rig: &mut Rig, pictures: u16, key: bool| {
        for picture in 0..pictures {
            rig.run(ms(40));
            number += 1;
            let timestamp = 90_000 + u32::from(number) * FRAME;
            let is_key = key && picture == 0;
            let packet = if is_key { Packet::key } else { Packet::new };
            rig.send(&[(VIDEO, packet(number, timestamp))]);
        }
    };
    go_on(&mut rig, 25, true);
    assert_eq!(welcome(&mut rig).tracks[VIDEO].next_seq, rig.got(VIDEO)[0].seq);
    go_on(&mut rig, 26, false);
    assert_eq!(welcome(&mut rig).tracks[VIDEO].next_seq, rig.got(VIDEO)[51].seq);
    // Of those that come often, one that is not much older than it has to be.
    for _ in 0..10 {
        go_on(&mut rig, 10, true);
    }
    let told = welcome(&mut rig).tracks[VIDEO].next_seq;
    let missed = rig.got(VIDEO).iter().rev().position(|got| got.seq == told).map(|last| last + 1);
    assert!(missed.is_some_and(|missed| (50..=80).contains(&missed)), "{missed:?} pictures");
}

#[test]
fn its_report_names_the_present_on_the_timeline_that_it_is_caught_up_to() {
    let mut rig = playing(options(), 50);
    let welcome = welcome(&mut rig);
    let newest = rig.got(VIDEO)[50].timestamp;
    let report = &welcome.tracks[VIDEO].report;
    let mut packets = rtp_rtcp::parse_compound(report).expect("a report");
    let Some(rtp_rtcp::RtcpPacket::SenderReport { info, .. }) = packets.next() else {
        panic!("no sender report first")
    };
    let distance = seconds_between(info.ntp, rig.now.wall);
    assert!(distance.abs() < 0.000_012, "{distance} s: more than a tick");
    // It came at this very instant.
    assert_eq!(info.rtp.ahead_of(newest), 0);
}

#[test]
fn it_is_told_the_picture_now_arriving_where_the_key_frame_is_too_old() {
    let mut options = options();
    options.instant_max_age = ms(500);
    let mut rig = playing(options, 12);
    let near = welcome(&mut rig);
    assert_eq!(near.tracks[VIDEO].next_seq, rig.got(VIDEO)[0].seq);
    rig.run(ms(40));
    let far = welcome(&mut rig);
    assert_eq!(far.tracks[VIDEO].next_seq, rig.got(VIDEO)[12].seq);
}

#[test]
fn it_is_told_the_picture_now_arriving_where_the_key_frame_lies_too_many_bytes_back() {
    let mut options = options();
    options.instant_max_bytes = 10_000;
    let mut rig = playing(options, 1);
    for number in 2..4 {
        rig.send(&[(VIDEO, large(number))]);
    }
    let near = welcome(&mut rig);
    assert_eq!(near.tracks[VIDEO].next_seq, rig.got(VIDEO)[0].seq);
    rig.send(&[(VIDEO, large(4))]);
    let far = welcome(&mut rig);
    assert_eq!(far.tracks[VIDEO].next_seq, rig.got(VIDEO)[4].seq);
}

#[test]
fn the_key_frames_from_before_a_pause_are_not_told_of() {
    let mut rig = playing(options(), 5);
    rig.pause(1);
    rig.run(secs(1));
    let old = rig.got(VIDEO).last().expect("media").seq;
    rig.play(1);
    let told = welcome(&mut rig);
    assert_eq!(told.tracks[VIDEO].next_seq, old.next());
    rig.join();
    rig.send(&[(VIDEO, Packet::new(60, 600_000))]);
    assert_eq!(rig.got(VIDEO).last().expect("media").seq, old.next());
}

#[test]
fn who_starts_the_backend_is_told_its_first_packet() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.prepare(1);
    let ticket = rig.ask(1, play_instant());
    rig.run(Duration::from_millis(100));
    let welcome = rig.welcome(ticket);
    rig.send(&[(VIDEO, Packet::new(7, 0)), (VIDEO, Packet::key(8, FRAME))]);
    rig.join();
    assert_eq!(welcome.tracks[VIDEO].next_seq, rig.got(VIDEO)[0].seq);
}
