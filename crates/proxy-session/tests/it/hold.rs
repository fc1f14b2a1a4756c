//! Readers outlive the backend.

use std::time::Duration;

use fan_out::{EntryKind, Start};
use proxy_session::{Ask, Delivery, Output, Reply, StreamEvent, StreamOptions, StreamState};
use rtp_rtcp::RtcpPacket;

use crate::camera::{Act, Camera, SDP};
use crate::media::{AUDIO, Got, Packet, VIDEO};
use crate::rig::{Rig, both, closing, ms, options, play, play_instant, secs, set_up, udp};

/// A camera that sends 25 pictures a second with sound, a key frame each second, and begins its
/// numbers and clocks anew with each session.
struct Source {
    seq: u16,
    time: u32,
    ssrc: u32,
}

impl Source {
    const fn session(number: u16) -> Self {
        Self { seq: number.wrapping_mul(17_000), time: number as u32 * 77_777, ssrc: number as u32 }
    }

    /// Pictures from the one with this place between key frames on.
    fn send(&mut self, rig: &mut Rig, from: u16, count: u16) {
        for place in from..from + count {
            let time = self.time * 90;
            let video = match place % 25 {
                0 => Packet::key(self.seq, time),
                _ => Packet::new(self.seq, time),
            };
            let audio = Packet::audio(self.seq, self.time * 8).from(100 + self.ssrc);
            rig.send(&[(VIDEO, video.from(self.ssrc)), (AUDIO, audio)]);
            rig.run(ms(40));
            self.seq = self.seq.wrapping_add(1);
            self.time += 40;
        }
    }
}

/// A stream that has played for two seconds, to reader 1.
fn flowing(options: StreamOptions) -> Rig {
    let mut rig = Rig::playing(options);
    Source::session(1).send(&mut rig, 0, 50);
    rig
}

/// The camera goes away for so long, with its host still there.
fn away(rig: &mut Rig, duration: Duration) {
    rig.camera.is_up = false;
    rig.close();
    rig.run(duration);
    rig.camera.is_up = true;
}

/// Lets time pass until the camera plays.
fn until_played(rig: &mut Rig) {
    for _ in 0..400 {
        if rig.camera.is_playing {
            return;
        }
        rig.run(ms(10));
    }
    panic!("it does not play: {}", rig.camera.dialogue);
}

fn assert_continuous(got: &[Got]) {
    for pair in got.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq.next());
        assert_eq!(pair[1].ssrc, pair[0].ssrc);
        assert!(pair[1].timestamp.ahead_of(pair[0].timestamp) > 0, "{pair:?}");
    }
}

fn is_key(got: &Got) -> bool {
    got.rest[12] == 0x65
}

/// How the stream has fared since its loss, as far as the operator is told.
fn held(rig: &Rig) -> (usize, usize) {
    let count = |is: fn(&StreamEvent) -> bool| rig.events().iter().filter(|e| is(e)).count();
    let held = count(|event| matches!(event, StreamEvent::Held { .. }));
    (held, count(|event| matches!(event, StreamEvent::Resumed { .. })))
}

#[test]
fn the_stream_goes_on_at_a_key_frame_after_the_true_gap() {
    for options in [options(), udp()] {
        for seconds in [1, 5, 20, 50] {
            let mut rig = flowing(options.clone());
            let before = [VIDEO, AUDIO].map(|track| rig.got(track).len());
            let last = rig.elapsed() - ms(40);
            away(&mut rig, secs(seconds));
            let back = rig.elapsed();
            assert_eq!((rig.ends(), rig.clears(), rig.readers()), (0, 0, (1, 1)));
            assert_eq!(rig.stream.status().state, StreamState::Held);
            until_played(&mut rig);
            let connected = rig.elapsed() - back;
            assert!(connected <= ms(1_300), "{connected:?} after its return");
            // It begins within a group of pictures.
            let first = rig.elapsed();
            Source::session(2).send(&mut rig, 20, 30);
            let gaps = [(VIDEO, 90, first + ms(200)), (AUDIO, 8, first)];
            for (track, rate, went_on) in gaps {
                let got = rig.got(track);
                assert_continuous(&got);
                let (old, new) = got.split_at(before[track]);
                let (old, new) = (old.last().expect("media"), &new[0]);
                let gap = (went_on - last).as_millis() as i32;
                let told = new.timestamp.ahead_of(old.timestamp) / rate;
                assert!((told - gap).abs() <= 1, "track {track}: {told} ms, not {gap} ms");
                assert!(track == AUDIO || is_key(new));
            }
            assert_eq!(rig.got(VIDEO).len() - before[VIDEO], 25, "those before it are not sent");
            assert_eq!((rig.ends(), rig.clears(), held(&rig)), (0, 0, (1, 1)));
            assert_eq!(rig.stream.status().state, StreamState::Playing);
        }
    }
}

#[test]
fn held_readers_hear_a_report_of_each_track_every_two_seconds() {
    let mut rig = flowing(options());
    let lost = rig.elapsed();
    away(&mut rig, secs(50));
    for track in [VIDEO, AUDIO] {
        let reports = rig.sender_reports(track);
        let since: Vec<_> = reports.iter().filter(|(at, _)| *at >= lost).collect();
        assert!(since[0].0 - lost <= secs(2), "{:?}", since[0].0 - lost);
        for pair in since.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, secs(2));
        }
        assert!(since.len() >= 24);
        // They are true: time goes on, nothing is sent.
        let (first, last) = (since[0], since[since.len() - 1]);
        let ticks = last.1.rtp.ahead_of(first.1.rtp);
        let rate = [90, 8][track];
        let passed = (last.0 - first.0).as_millis() as i32;
        assert!((ticks / rate - passed).abs() <= 1, "{ticks} ticks in {passed} ms");
        assert_eq!(first.1.packets, last.1.packets);
    }
}

#[test]
fn a_backend_that_says_goodbye_and_comes_back_is_not_told_of() {
    let mut rig = flowing(options());
    let reports = rig.batches().len();
    // Both tracks, one after the other.
    for (channel, ssrc) in [(1_u8, 1_u8), (3, 101)] {
        let mut bye = vec![b'$', channel, 0, 16, 0x80, 201, 0, 1, 0, 0, 0, ssrc];
        bye.extend_from_slice(&[0x81, 203, 0, 1, 0, 0, 0, ssrc]);
        rig.bytes(&bye);
    }
    rig.run(secs(5));
    for (_, batch) in &rig.batches()[reports..] {
        let mut packets = rtp_rtcp::parse_compound(batch.packet(0)).expect("a report");
        assert!(packets.all(|packet| !matches!(packet, RtcpPacket::Bye { .. })));
    }
    assert_eq!((rig.ends(), held(&rig)), (0, (1, 0)));
    Source::session(2).send(&mut rig, 0, 25);
    assert_continuous(&rig.got(VIDEO));
    assert_eq!(held(&rig), (1, 1));
}

#[test]
fn new_parameter_sets_come_in_band_before_the_key_frame() {
    // "Z01A" is 0x67 0x4d 0x40, "aM48" 0x68 0xce 0x3c.
    let sets = |sets: &str| {
        let with = format!("a=fmtp:96 sprop-parameter-sets={sets}\r\na=control:track0");
        SDP.replace("a=control:track0", &with)
    };
    let camera = Camera { sdp: sets("Z01B,aM48"), ..Camera::default() };
    let mut rig = Rig::described(options(), camera);
    rig.play(1);
    Source::session(1).send(&mut rig, 0, 25);
    for (sdp, expected) in [
        (sets("Z01A,aM48"), &[&[0x67, 0x4d, 0x40][..], &[0x68, 0xce, 0x3c], &[0x65]][..]),
        (sets("Z01A,aM48"), &[&[0x65][..]]),
    ] {
        let before = rig.got(VIDEO).len();
        rig.camera.sdp = sdp;
        away(&mut rig, secs(3));
        until_played(&mut rig);
        Source::session(2).send(&mut rig, 0, 1);
        let got = rig.got(VIDEO);
        assert_continuous_but_for_time(&got);
        let new = &got[before..];
        assert_eq!(new.len(), expected.len());
        for (got, expected) in new.iter().zip(expected) {
            assert!(got.rest[12..].starts_with(expected), "{got:?}");
            assert_eq!(got.timestamp, new[0].timestamp);
        }
        assert_eq!(rig.ends(), 0);
    }
}

fn assert_continuous_but_for_time(got: &[Got]) {
    assert!(got.windows(2).all(|pair| pair[1].seq == pair[0].seq.next()));
    assert!(got.windows(2).all(|pair| pair[1].timestamp.ahead_of(pair[0].timestamp) >= 0));
}

#[test]
fn what_cannot_be_gone_on_with_ends_readers_once_it_is_known() {
    let codec = SDP.replace("H264", "H265");
    let clock = SDP.replace("H264/90000", "H264/1000");
    let payload_type = SDP.replace("96", "97");
    let silent = SDP.split("m=audio").next().expect("a description").to_owned();
    let other = SDP.replace("RTP/AVP 0", "RTP/AVP 8");
    let kind = SDP.replace("m=audio", "m=text");
    for sdp in [codec, clock, payload_type, silent, other, kind] {
        let mut rig = flowing(options());
        rig.camera.sdp = sdp.clone();
        away(&mut rig, secs(5));
        assert_eq!(rig.ends(), 0, "nobody knows yet");
        let waits = rig.ask(9, Ask::Describe);
        assert!(matches!(rig.reply(waits), Some(Reply::Described(_))));
        rig.run(secs(2));
        assert_eq!((rig.ends(), rig.readers()), (1, (0, 0)), "{sdp}");
        assert_eq!((rig.clears(), rig.camera.is_playing), (1, false));
        // Who comes again finds the stream as it is now.
        let ticket = rig.ask(2, Ask::Describe);
        let Some(Reply::Described(described)) = rig.reply(ticket) else { panic!("{sdp}") };
        assert_eq!(described.tracks.len(), sdp.matches("m=").count());
    }
}

#[test]
fn a_backend_that_stays_away_ends_its_readers_in_the_end() {
    let mut options = options();
    options.hold_for = secs(30);
    let mut rig = flowing(options);
    away(&mut rig, ms(29_990));
    assert_eq!(rig.ends(), 0);
    let ticket = rig.ask(2, Ask::Describe);
    assert!(matches!(rig.reply(ticket), Some(Reply::Described(_))));
    rig.camera.is_up = false;
    rig.run(ms(20));
    assert_eq!((rig.ends(), rig.readers(), rig.clears()), (1, (0, 0), 1));
    assert_eq!(rig.stream.status().state, StreamState::Connecting);
    let reports = rig.reports(VIDEO).len();
    let ticket = rig.ask(3, Ask::Describe);
    rig.run(secs(11));
    assert_eq!(rig.refused(ticket), (503, true));
    assert_eq!(rig.reports(VIDEO).len(), reports, "there is nobody to report to");
    rig.camera.is_up = true;
    rig.run(secs(40));
    rig.play(4);
    Source::session(2).send(&mut rig, 5, 5);
    assert_continuous(&rig.got(VIDEO));
    assert_eq!(rig.got(VIDEO).len(), 55, "who begins anew is not kept from anything");
}

#[test]
fn where_readers_are_not_held_they_are_ended_at_once() {
    let mut rig = flowing(closing(options()));
    rig.close();
    assert_eq!((rig.ends(), rig.clears(), rig.readers(), held(&rig)), (1, 1, (0, 0), (0, 0)));
}

#[test]
fn attempts_are_made_every_second_while_readers_are_held() {
    let mut rig = flowing(options());
    let connects = rig.connects.len();
    away(&mut rig, secs(50));
    assert!((49..=51).contains(&(rig.connects.len() - connects)), "{:?}", rig.connects);
    // And as ever once they are not.
    rig.camera.is_up = false;
    rig.leave(1);
    let connects = rig.connects.len();
    rig.run(secs(120));
    assert!(rig.connects.len() - connects < 12, "{:?}", &rig.connects[connects..]);
}

#[test]
fn who_comes_while_the_backend_is_away_is_taken_in_and_waits() {
    let mut rig = flowing(options());
    away(&mut rig, secs(20));
    rig.camera.is_up = false;
    let ticket = rig.ask(2, Ask::Describe);
    assert!(matches!(rig.reply(ticket), Some(Reply::Described(_))));
    let tickets = [0, 1].map(|track| rig.ask(2, set_up(track)));
    for ticket in tickets {
        assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
    }
    let unknown = rig.ask(2, set_up(7));
    assert_eq!(rig.refused(unknown).0, 404);
    let ticket = rig.ask(2, play_instant());
    let welcome = rig.welcome(ticket);
    let got = rig.got(VIDEO);
    for track in &welcome.tracks {
        // Its report says that what it is shown is of this moment.
        let info = crate::rig::sender_info(&track.report);
        let live = track.live.expect("the backend is away");
        assert!(info.rtp.ahead_of(live).abs() <= 1, "{track:?}");
        assert!(live.ahead_of(track.rtptime) >= 0);
        assert!(live.ahead_of(track.rtptime) < 9_000, "{track:?}");
    }
    // It begins with the last key frame but one, which is what those who come get of live media.
    let first = got.iter().position(|got| got.seq == welcome.tracks[VIDEO].next_seq);
    assert!(first.is_some_and(|place| is_key(&got[place])), "{first:?}");
    assert_eq!(rig.readers(), (2, 2));
    rig.camera.is_up = true;
    until_played(&mut rig);
    Source::session(2).send(&mut rig, 0, 25);
    let got = rig.got(VIDEO);
    assert_continuous(&got);
    let live = welcome.tracks[VIDEO].live.expect("it was away");
    assert!(got[50].timestamp.ahead_of(live) > 0, "what comes is after what it was shown");
    // And who comes now joins live.
    rig.prepare(3);
    let ticket = rig.ask(3, play_instant());
    assert!(rig.welcome(ticket).tracks.iter().all(|track| track.live.is_none()));
}

#[test]
fn a_key_frame_just_before_the_loss_is_what_a_newcomer_begins_with() {
    let mut rig = Rig::playing(options());
    Source::session(1).send(&mut rig, 0, 26);
    rig.close();
    rig.camera.is_up = false;
    rig.run(secs(40));
    let ask = Ask::Play { tracks: both(), start: Start::Instant, delivery: Delivery::Tcp };
    for track in 0..2 {
        rig.ask(2, set_up(track));
    }
    let ticket = rig.ask(2, ask);
    let (welcome, got) = (rig.welcome(ticket), rig.got(VIDEO));
    // The first one: it was less than 1.2 s old as media ended.
    assert_eq!(welcome.tracks[VIDEO].next_seq, got[0].seq);
}

#[test]
fn who_waits_as_the_backend_is_lost_is_answered_with_the_rest() {
    let mut rig = flowing(options());
    rig.prepare(2);
    rig.camera.set("SETUP", Act::Ignore);
    rig.camera.is_up = false;
    rig.close();
    let ticket = rig.ask(2, play());
    rig.welcome(ticket);
    rig.run(secs(2));
    assert_eq!((rig.readers(), rig.ends()), ((2, 2), 0));
}

#[test]
fn where_nothing_ever_came_a_play_that_waits_is_refused_and_the_session_kept() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.prepare(1);
    let ticket = rig.ask(1, play());
    rig.close();
    assert_eq!(rig.refused(ticket), (503, true));
    assert_eq!((rig.readers(), rig.ends()), ((1, 0), 0));
    rig.run(secs(3));
    let ticket = rig.ask(1, play());
    rig.run(secs(1));
    rig.welcome(ticket);
    rig.join();
    Source::session(2).send(&mut rig, 3, 3);
    assert_eq!(rig.got(VIDEO).len(), 3);
    rig.run(secs(9));
    assert_eq!(rig.ends(), 0);
}

#[test]
fn a_reader_may_pause_while_it_is_held_and_play_again() {
    let mut rig = flowing(options());
    away(&mut rig, secs(5));
    rig.camera.is_up = false;
    rig.pause(1);
    assert_eq!((rig.readers(), rig.clears()), ((1, 0), 1));
    let reports = rig.reports(VIDEO).len();
    rig.run(secs(10));
    assert_eq!(rig.reports(VIDEO).len(), reports);
    let ticket = rig.ask(1, play());
    rig.welcome(ticket);
    rig.join();
    rig.run(secs(5));
    assert!(rig.reports(VIDEO).len() >= reports + 2);
    rig.camera.is_up = true;
    until_played(&mut rig);
    Source::session(2).send(&mut rig, 0, 25);
    assert_continuous(&rig.got(VIDEO));
    assert_eq!(rig.got(VIDEO).len(), 75);
    assert_eq!(rig.ends(), 0);
}

#[test]
fn a_reader_that_pauses_while_it_is_held_keeps_its_session_when_the_backend_is_back() {
    let mut rig = flowing(options());
    away(&mut rig, secs(5));
    rig.pause(1);
    rig.run(secs(100));
    assert_eq!((rig.readers(), rig.ends(), rig.camera.is_playing), ((1, 0), 0, false));
    assert_eq!(rig.stream.status().state, StreamState::Ready);
    let ticket = rig.ask(1, play());
    rig.run(secs(1));
    rig.welcome(ticket);
}

#[test]
fn nothing_is_asked_of_a_backend_that_comes_back_to_nobody() {
    let mut rig = flowing(options());
    away(&mut rig, secs(5));
    rig.leave(1);
    assert_eq!((rig.readers(), rig.clears()), ((0, 0), 1));
    rig.run(secs(100));
    let since = rig.camera.dialogue.trim_start_matches("DSSP").replace('O', "");
    assert_eq!(since, "D", "it is described, and no more");
    // Nothing is left of it.
    rig.play(2);
    Source::session(2).send(&mut rig, 3, 3);
    assert_eq!(rig.got(VIDEO).len(), 53);
}

#[test]
fn a_backend_that_is_back_but_brings_nothing_is_not_waited_for_for_ever() {
    let mut rig = flowing(options());
    away(&mut rig, secs(1));
    rig.run(secs(56));
    assert_eq!(rig.ends(), 0);
    rig.run(secs(6));
    assert_eq!((rig.ends(), held(&rig)), (1, (1, 0)));
}

#[test]
fn the_last_picture_is_shown_again_every_five_seconds_where_that_is_wanted() {
    let mut options = options();
    options.hold_picture = true;
    let mut rig = Rig::playing(options);
    let mut source = Source::session(1);
    rig.send(&[(VIDEO, Packet::sets(0, 0).from(1))]);
    source.seq = 1;
    source.send(&mut rig, 0, 30);
    let before = rig.got(VIDEO).len();
    let lost = rig.elapsed();
    away(&mut rig, secs(18));
    let pictures: Vec<_> = rig
        .batches()
        .into_iter()
        .filter(|(at, batch)| *at > lost && batch.kind() == EntryKind::Media)
        .collect();
    let at: Vec<_> = pictures.iter().map(|(at, _)| *at - lost).collect();
    assert_eq!(at, [secs(5), secs(10), secs(15)]);
    assert!(pictures.iter().all(|(_, batch)| batch.key().is_some()));
    let got = rig.got(VIDEO);
    assert_continuous_but_for_time(&got);
    for pair in got[before..].windows(2) {
        assert!(is_key(&pair[1]));
        assert_eq!(pair[1].timestamp.ahead_of(pair[0].timestamp), 450_000);
    }
    until_played(&mut rig);
    Source::session(2).send(&mut rig, 0, 25);
    assert_continuous_but_for_time(&rig.got(VIDEO));
}

#[test]
fn a_camera_that_can_be_asked_is_asked_for_the_key_frame_to_go_on_with() {
    let mut rig = Rig::described(options(), Camera::offering("96 nack pli"));
    rig.play(1);
    Source::session(1).send(&mut rig, 0, 25);
    away(&mut rig, secs(3));
    until_played(&mut rig);
    rig.run(ms(10));
    let asked = |rig: &Rig| {
        let is_pli = |(_, report): &&(Duration, bytes::Bytes)| {
            let mut packets = rtp_rtcp::parse_compound(report).expect("a compound");
            packets.any(|packet| matches!(packet, RtcpPacket::PayloadFeedback { fmt: 1, .. }))
        };
        rig.reported.iter().filter(is_pli).count()
    };
    let before = asked(&rig);
    // Parameter sets tell that one is coming.
    rig.send(&[(VIDEO, Packet::sets(1, 1).from(2))]);
    assert_eq!(asked(&rig), before);
    rig.send(&[(VIDEO, Packet::new(2, 1).from(2))]);
    assert_eq!(asked(&rig), before + 1);
    rig.send(&[(VIDEO, Packet::key(3, 3_601).from(2))]);
    rig.run(secs(5));
    assert_eq!((asked(&rig), rig.got(VIDEO).len()), (before + 1, 26));
}

#[test]
fn a_stream_without_video_goes_on_with_its_sound() {
    let sdp = format!(
        "{}m=audio 0 RTP/AVP 0\r\na=control:track0\r\n",
        &SDP[..SDP.find("m=").unwrap_or(0)]
    );
    let mut rig = Rig::described(options(), Camera { sdp, ..Camera::default() });
    let ticket = rig.ask(1, set_up(0));
    rig.run(ms(50));
    assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
    let ticket =
        rig.ask(1, Ask::Play { tracks: both(), start: Start::Instant, delivery: Delivery::Tcp });
    rig.run(ms(50));
    rig.welcome(ticket);
    rig.join();
    rig.send(&[(0, Packet::audio(1, 0))]);
    away(&mut rig, secs(5));
    until_played(&mut rig);
    rig.send(&[(0, Packet::audio(500, 0).from(9))]);
    let got = rig.got(0);
    assert_continuous(&got);
    assert_eq!((got.len(), held(&rig)), (2, (1, 1)));
}

#[test]
fn a_backend_that_comes_and_goes_is_one_stream() {
    let mut rig = flowing(udp());
    let mut sent = 50;
    for session in 2..12 {
        away(&mut rig, ms(700 * u64::from(session)));
        until_played(&mut rig);
        Source::session(session).send(&mut rig, 0, 5 * session);
        sent += usize::from(5 * session);
    }
    assert_eq!((rig.got(VIDEO).len(), rig.got(AUDIO).len()), (sent, sent));
    assert_continuous(&rig.got(VIDEO));
    assert_continuous(&rig.got(AUDIO));
    assert_eq!((rig.ends(), held(&rig)), (0, (10, 10)));
}

#[test]
fn the_end_of_the_proxy_is_the_end_of_the_wait() {
    let mut rig = flowing(options());
    away(&mut rig, secs(5));
    rig.shutdown();
    rig.run(secs(2));
    assert!(rig.stream.is_finished());
    let said = rig.count(|output| matches!(output, Output::Publish(_)));
    rig.run(secs(60));
    assert_eq!(rig.count(|output| matches!(output, Output::Publish(_))), said);
}
