//! What a reader is told before its first packet, and that it is true.

use std::net::SocketAddr;

use backend_client::Input;
use proxy_session::Output;
use rtp_rtcp::{RtcpPacket, parse_compound};

use crate::camera::{Act, Camera};
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, ms, options, play, seconds_between, secs, udp};

/// A rig whose PLAY is answered late, and the ticket of who asked.
fn starting() -> (Rig, proxy_session::Ticket) {
    let mut rig = Rig::described(options(), Camera::default().with("PLAY", Act::Late(ms(300))));
    rig.prepare(1);
    let ticket = rig.ask(1, play());
    rig.run(ms(100));
    (rig, ticket)
}

#[test]
fn media_that_overtakes_the_answer_to_play_is_kept_for_who_asked_for_it() {
    let (mut rig, ticket) = starting();
    rig.send(&[(AUDIO, Packet::audio(1, 1)), (VIDEO, Packet::key(50, 90_000))]);
    rig.run(ms(100));
    rig.send(&[(VIDEO, Packet::new(51, 99_000))]);
    assert!(rig.reply(ticket).is_none());
    rig.run(ms(400));
    let welcome = rig.welcome(ticket);
    assert_eq!(rig.got(VIDEO).len(), 0, "it has not joined yet");
    rig.join();
    rig.send(&[(VIDEO, Packet::new(52, 108_000))]);
    for (track, count) in [(VIDEO, 3), (AUDIO, 1)] {
        let (got, told) = (rig.got(track), &welcome.tracks[track]);
        assert_eq!(got.len(), count);
        assert_eq!(got[0].seq, told.next_seq);
        assert!(got[0].timestamp.ahead_of(told.rtptime) >= 0, "it is told a later time");
    }
    // The audio came at the instant told, the video with it.
    assert_eq!(rig.got(AUDIO)[0].timestamp, welcome.tracks[AUDIO].rtptime);
    assert_eq!(rig.got(VIDEO)[0].timestamp, welcome.tracks[VIDEO].rtptime);
}

#[test]
fn what_is_kept_for_the_first_reader_waits_no_longer_than_it_may() {
    let mut options = options();
    options.answer_deadline = secs(2);
    let mut rig = Rig::described(options, Camera::default());
    rig.prepare(1);
    let ticket = rig.ask(1, play());
    rig.run(ms(100));
    rig.welcome(ticket);
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    rig.run(ms(2800));
    assert_eq!(rig.got(VIDEO).len(), 0);
    rig.run(ms(200));
    assert_eq!(rig.got(VIDEO).len(), 1);
    rig.send(&[(VIDEO, Packet::new(2, 2))]);
    assert_eq!(rig.got(VIDEO).len(), 2);
}

#[test]
fn what_is_kept_for_the_first_reader_is_bounded_and_nothing_of_it_is_lost() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.prepare(1);
    rig.ask(1, play());
    rig.run(ms(100));
    let mut count = 0;
    while rig.got(VIDEO).is_empty() {
        let payload = vec![0x65; 60_000];
        rig.send(&[(VIDEO, Packet { payload, ..Packet::key(count, 1) })]);
        count += 1;
        assert!(count < 100, "it keeps whatever comes");
    }
    assert!(count > 30);
    let numbers: Vec<_> = rig.got(VIDEO).iter().map(|got| got.seq).collect();
    assert_eq!(numbers.len(), usize::from(count));
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0].next()));
}

#[test]
fn what_was_kept_goes_with_the_reader_it_was_kept_for() {
    let (mut rig, _) = starting();
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    rig.pause(1);
    rig.run(secs(1));
    let ticket = rig.ask(1, play());
    rig.run(secs(1));
    let welcome = rig.welcome(ticket);
    rig.join();
    assert_eq!(rig.got(VIDEO).len(), 0);
    rig.send(&[(VIDEO, Packet::key(2, 2))]);
    assert_eq!(rig.got(VIDEO)[0].seq, welcome.tracks[VIDEO].next_seq);
}

#[test]
fn a_later_reader_may_be_given_the_unit_that_is_just_arriving() {
    let mut rig = Rig::playing(options());
    rig.send(&[(VIDEO, Packet::key(1, 0)), (AUDIO, Packet::audio(1, 0))]);
    rig.run(ms(40));
    rig.send(&[(VIDEO, Packet::sets(2, 3600)), (AUDIO, Packet::audio(2, 320))]);
    rig.run(ms(2));
    rig.send(&[(VIDEO, Packet { payload: vec![0x68, 0xee, 0x3c, 0x80], ..Packet::sets(3, 3600) })]);
    rig.run(ms(2));
    rig.prepare(2);
    let ticket = rig.ask(2, play());
    let welcome = rig.welcome(ticket);
    let (video, audio) = (rig.got(VIDEO), rig.got(AUDIO));
    // The picture to come may make the parameter sets the beginning of a key unit.
    assert_eq!(welcome.tracks[VIDEO].next_seq, video[1].seq);
    assert!(video[1].timestamp.ahead_of(welcome.tracks[VIDEO].rtptime) >= 0);
    assert_eq!(welcome.tracks[AUDIO].next_seq, audio[1].seq.next());
    rig.send(&[(VIDEO, Packet::key(4, 3600))]);
    let key = rig.batches().last().and_then(|(_, batch)| batch.key()).expect("it is key");
    assert_eq!(key.seq(), welcome.tracks[VIDEO].next_seq);
}

#[test]
fn a_later_reader_is_not_given_a_unit_that_was_known_to_be_key_before() {
    let mut rig = Rig::playing(options());
    let sent = [Packet::sets(1, 0), Packet { marker: false, ..Packet::key(2, 0) }];
    rig.send(&sent.map(|packet| (VIDEO, packet)));
    rig.prepare(2);
    let ticket = rig.ask(2, play());
    assert_eq!(rig.welcome(ticket).tracks[VIDEO].next_seq, rig.got(VIDEO)[1].seq.next());
}

#[test]
fn who_asks_in_the_middle_of_a_wake_up_begins_after_what_came_before() {
    let mut rig = Rig::playing(udp());
    rig.prepare(2);
    for seq in 1..4 {
        let from = SocketAddr::from(([192, 0, 2, 7], 6000));
        let data = Packet::audio(seq, 0).bytes();
        rig.stream.handle(rig.now, Input::Datagram { track: AUDIO, rtcp: false, from, data });
    }
    let ticket = rig.ask(2, play());
    let welcome = rig.welcome(ticket);
    rig.send(&[(AUDIO, Packet::audio(4, 0))]);
    let is_reply = |output: &Output| matches!(output, Output::Reply { to, .. } if *to == ticket);
    let place = rig.said.iter().position(|(_, output)| is_reply(output)).expect("a reply");
    let first = rig.said[place..].iter().find_map(|(_, output)| match output {
        Output::Publish(batch) => batch.first_seq(),
        _ => None,
    });
    assert_eq!(first, Some(welcome.tracks[AUDIO].next_seq));
    assert_eq!(rig.got(AUDIO).len(), 4);
}

#[test]
fn the_times_told_are_one_instant_and_not_later_than_what_comes_late() {
    let mut rig = Rig::playing(options());
    rig.prepare(2);
    for index in 0..20_u16 {
        let time = u32::from(index);
        // From the tenth on the audio is 300 ms late.
        let late = if index < 10 { 0 } else { 300 * 8 };
        rig.send(&[
            (VIDEO, Packet::new(index, time * 3600)),
            (AUDIO, Packet::audio(index, (time * 320).wrapping_sub(late))),
        ]);
        rig.run(ms(40));
    }
    let ticket = rig.ask(2, play());
    let welcome = rig.welcome(ticket);
    rig.send(&[(VIDEO, Packet::new(20, 72_000)), (AUDIO, Packet::audio(20, 6400 - 2400))]);
    for track in [VIDEO, AUDIO] {
        let got = rig.got(track);
        let ahead = got[20].timestamp.ahead_of(welcome.tracks[track].rtptime);
        assert!(ahead >= 0, "{track}: {ahead}");
    }
    let since = |track: usize, rate: i64| {
        let first = rig.got(track)[0].timestamp;
        i64::from(welcome.tracks[track].rtptime.ahead_of(first)) * 1000 / rate
    };
    assert!(since(VIDEO, 90_000).abs_diff(since(AUDIO, 8_000)) <= 1, "not one instant");
}

#[test]
fn a_track_that_has_been_silent_for_long_does_not_move_the_time_told() {
    let mut rig = Rig::playing(options());
    rig.send(&[(VIDEO, Packet::new(1, 0)), (AUDIO, Packet::audio(1, 0))]);
    rig.run(secs(8));
    rig.prepare(2);
    let ticket = rig.ask(2, play());
    let told = rig.welcome(ticket).tracks[AUDIO].rtptime;
    let ahead = told.ahead_of(rig.got(AUDIO)[0].timestamp);
    assert!((7 * 8000..9 * 8000).contains(&ahead), "{ahead}");
}

#[test]
fn every_welcome_has_a_sender_report_made_for_that_moment() {
    let mut rig = Rig::playing(options());
    rig.send(&[
        (VIDEO, Packet::new(1, 0)),
        (AUDIO, Packet::audio(1, 0)),
        (AUDIO, Packet::audio(2, 160)),
    ]);
    rig.run(ms(100));
    rig.prepare(2);
    let ticket = rig.ask(2, play());
    let now = rig.now;
    for told in rig.welcome(ticket).tracks {
        let track = told.track.index();
        let packets: Vec<_> = parse_compound(&told.report).expect("a compound").collect();
        let [RtcpPacket::SenderReport { ssrc, info, .. }, RtcpPacket::SourceDescription(_)] =
            &packets[..]
        else {
            panic!("{packets:?}")
        };
        assert_eq!(*ssrc, told.ssrc);
        // The two times of a report are of one instant, to less than a tick.
        let distance = seconds_between(info.ntp, now.wall);
        assert!(distance.abs() < 0.000_126, "{distance} s: more than a tick");
        assert!(info.rtp.ahead_of(rig.got(track)[0].timestamp) > 0);
        let octets = [6, 320][track];
        assert_eq!((info.packets, info.octets), (rig.got(track).len() as u32, octets));
        let name = rig.stream.cname().as_bytes();
        assert!(told.report.windows(name.len()).any(|part| part == name));
    }
}
