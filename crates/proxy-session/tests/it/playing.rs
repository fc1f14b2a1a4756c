//! PLAY and PAUSE of readers, and of the backend.

use fan_out::{TrackId, TrackMask};
use proxy_session::{Output, StreamState};

use crate::camera::{Act, Camera, DELAY};
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, ms, options, play, play_of, secs, udp};

#[test]
fn a_reader_is_told_after_the_backend_was() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.prepare(1);
    assert_eq!(rig.stream.status().state, StreamState::Ready);
    let begin = rig.elapsed();
    let ticket = rig.ask(1, play());
    assert_eq!(rig.stream.status().state, StreamState::Starting);
    assert!(rig.reply(ticket).is_none());
    rig.run(ms(100));
    assert_eq!(rig.replied_at(ticket), Some(begin + DELAY));
    assert_eq!(rig.welcome(ticket).tracks.len(), 2);
    assert_eq!(rig.camera.dialogue, "DSSP");
    assert_eq!(rig.stream.status().state, StreamState::Playing);
}

#[test]
fn twenty_readers_cost_the_backend_one_play_and_the_last_one_a_pause() {
    let mut rig = Rig::described(options(), Camera::default());
    (1..=20).for_each(|reader| {
        rig.play(reader);
    });
    assert_eq!((rig.camera.dialogue.as_str(), rig.readers()), ("DSSP", (20, 20)));
    for reader in 1..=19 {
        if reader % 2 == 0 { rig.leave(reader) } else { rig.pause(reader) }
    }
    rig.run(secs(1));
    assert_eq!((rig.camera.dialogue.as_str(), rig.clears()), ("DSSP", 0));
    rig.pause(20);
    assert_eq!(rig.clears(), 1, "the logs are emptied at once");
    rig.run(secs(1));
    assert_eq!((rig.camera.dialogue.as_str(), rig.readers()), ("DSSPZ", (11, 0)));
    let ticket = rig.ask(1, play());
    rig.run(secs(1));
    rig.welcome(ticket);
    assert_eq!((rig.camera.dialogue.as_str(), rig.clears()), ("DSSPZP", 1));
}

#[test]
fn who_has_set_up_nothing_cannot_play() {
    let mut rig = Rig::described(options(), Camera::default());
    let ticket = rig.ask(1, play());
    assert_eq!(rig.refused(ticket), (455, false));
    rig.run(secs(1));
    assert_eq!((rig.camera.dialogue.as_str(), rig.readers()), ("D", (0, 0)));
}

#[test]
fn tracks_that_are_not_there_cannot_be_played() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.prepare(1);
    let ticket = rig.ask(1, play_of(TrackMask::of(TrackId(7))));
    rig.run(secs(1));
    assert_eq!(rig.refused(ticket), (404, false));
    assert_eq!(rig.readers(), (1, 0));
    assert!(!rig.camera.is_playing);
}

#[test]
fn a_refusal_is_passed_on_as_nearly_as_can_be_and_ends_the_readers_with_the_session() {
    for (backend, reader) in [(401, 502), (404, 404), (453, 453), (455, 503), (500, 503)] {
        let mut rig =
            Rig::described(options(), Camera::default().with("PLAY", Act::Status(backend)));
        rig.prepare(1);
        let ticket = rig.ask(1, play());
        rig.run(ms(100));
        assert_eq!(rig.refused(ticket).0, reader, "for {backend}");
        assert_eq!((rig.readers(), rig.ends()), ((0, 0), 1));
    }
}

#[test]
fn a_reader_that_leaves_before_the_backend_plays_gets_no_answer_and_no_media_flows_for_it() {
    for is_sudden in [true, false] {
        let mut rig = Rig::described(options(), Camera::default());
        rig.prepare(1);
        let ticket = rig.ask(1, play());
        if is_sudden {
            rig.leave(1)
        } else {
            rig.pause(1)
        }
        rig.run(secs(1));
        let refused = (!is_sudden).then_some((455, false));
        assert_eq!(rig.reply(ticket).map(|_| rig.refused(ticket)), refused);
        assert!(!rig.camera.is_playing, "{}", rig.camera.dialogue);
        rig.send(&[(VIDEO, Packet::key(1, 1))]);
        assert_eq!((rig.got(VIDEO).len(), rig.readers().1), (0, 0));
    }
}

#[test]
fn play_is_refused_at_the_deadline_and_the_demand_goes_back() {
    let mut options = options();
    options.answer_deadline = secs(2);
    let mut rig = Rig::described(options, Camera::default().with("PLAY", Act::Late(secs(5))));
    rig.prepare(1);
    let begin = rig.elapsed();
    let ticket = rig.ask(1, play());
    rig.run(secs(8));
    assert_eq!(rig.refused(ticket), (503, true));
    assert_eq!(rig.replied_at(ticket), Some(begin + secs(2)));
    assert_eq!((rig.camera.dialogue.as_str(), rig.readers()), ("DSSPZ", (1, 0)));
}

#[test]
fn who_plays_again_while_playing_is_answered_and_stays() {
    let mut rig = Rig::playing(options());
    let ticket = rig.ask(1, play());
    rig.welcome(ticket);
    assert_eq!((rig.readers(), rig.clears()), ((1, 1), 0));
}

#[test]
fn a_reader_may_come_while_the_backend_has_not_been_told_that_the_last_one_left() {
    let mut rig = Rig::playing(options());
    rig.prepare(2);
    rig.camera.set("OPTIONS", Act::Late(ms(400)));
    let (before, mut seq) = (rig.camera.count('O'), 0);
    while rig.camera.count('O') == before {
        seq += 1;
        rig.send(&[(VIDEO, Packet::new(seq, u32::from(seq) * 9000))]);
        rig.run(ms(100));
    }
    // The keep-alive is under way, so PAUSE has to wait.
    rig.leave(1);
    let ticket = rig.ask(2, play());
    rig.welcome(ticket);
    rig.join();
    rig.run(secs(1));
    assert_eq!(rig.camera.dialogue.replace('O', ""), "DSSP");
    rig.send(&[(VIDEO, Packet::key(seq + 1, 1))]);
    assert!(rig.camera.is_playing && rig.stream.status().state == StreamState::Playing);
    assert_eq!(rig.got(VIDEO).len(), usize::from(seq) + 1);
}

#[test]
fn udp_that_brings_nothing_gives_way_to_tcp_under_the_readers() {
    let mut rig = Rig::described(udp(), Camera::default());
    let welcome = rig.play(1);
    assert!(matches!(rig.camera.tracks[..], [(0, None), (1, None)]));
    rig.run(secs(2));
    // Who comes while the backend is set up anew waits for it.
    rig.prepare(2);
    rig.run(ms(860));
    let ticket = rig.ask(2, play());
    assert!(rig.reply(ticket).is_none());
    rig.run(secs(1));
    rig.welcome(ticket);
    assert_eq!(rig.camera.dialogue, "DSSPTSSP");
    assert_eq!((rig.readers(), rig.ends(), rig.clears()), ((2, 2), 0, 0));
    rig.send(&[(VIDEO, Packet::key(1, 1)), (AUDIO, Packet::audio(1, 1))]);
    assert_eq!(rig.got(VIDEO)[0].seq, welcome.tracks[VIDEO].next_seq);
    assert_eq!(rig.got(AUDIO)[0].ssrc, welcome.tracks[AUDIO].ssrc);
}

#[test]
fn who_plays_and_asks_again_in_vain_goes_on_playing() {
    let mut options = udp();
    options.answer_deadline = secs(2);
    let mut rig = Rig::described(options, Camera::default());
    rig.play(1);
    rig.camera.set("SETUP", Act::Late(secs(2)));
    rig.run(secs(4));
    let ticket = rig.ask(1, play());
    rig.run(ms(2_500));
    assert_eq!(rig.refused(ticket), (503, true));
    rig.run(secs(1));
    assert_eq!((rig.readers(), rig.clears()), ((1, 1), 0));
    assert!(rig.camera.is_playing, "{}", rig.camera.dialogue);
}

#[test]
fn a_session_that_the_backend_forgot_is_set_up_anew_under_the_readers() {
    let mut rig = Rig::playing(options());
    rig.send(&[(VIDEO, Packet::key(100, 1000))]);
    rig.pause(1);
    rig.run(secs(1));
    rig.camera.set("PLAY", Act::Status(454));
    let ticket = rig.ask(1, play());
    rig.run(ms(8));
    rig.camera.set("PLAY", Act::Obey);
    rig.run(secs(1));
    rig.welcome(ticket);
    rig.join();
    assert_eq!(rig.camera.dialogue, "DSSPZPSSP");
    assert_eq!((rig.readers(), rig.ends()), ((1, 1), 0));
    // The new session numbers its packets as it likes.
    rig.send(&[(VIDEO, Packet::key(90, 5))]);
    let got = rig.got(VIDEO);
    assert_eq!(got[1].seq, got[0].seq.next());
}

#[test]
fn a_backend_that_sends_us_elsewhere_is_followed_under_the_readers() {
    let mut rig = Rig::playing(options());
    rig.send(&[(VIDEO, Packet::key(100, 90_000)), (VIDEO, Packet::new(101, 93_600))]);
    let begin = rig.now.mono;
    rig.bytes(b"REDIRECT * RTSP/1.0\r\nCSeq: 1\r\nLocation: rtsp://cam/other\r\n\r\n");
    rig.run(ms(200));
    assert_eq!(rig.camera.dialogue, "DSSPTDSSP");
    assert_eq!((rig.readers(), rig.ends(), rig.clears()), ((1, 1), 0, 0));
    // The same numbers and times once more, a little back: they are those of another session.
    rig.send(&[(VIDEO, Packet::key(98, 60_000)), (VIDEO, Packet::new(99, 63_600))]);
    let (got, passed) = (rig.got(VIDEO), (rig.now.mono - begin).as_millis() as i32);
    let numbers: Vec<_> = got.iter().map(|packet| packet.seq.ahead_of(got[0].seq)).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
    assert_eq!(got[2].timestamp.ahead_of(got[0].timestamp), passed * 90);
}

#[test]
fn what_comes_after_the_last_reader_paused_goes_nowhere() {
    let mut rig = Rig::playing(udp());
    rig.send(&[(VIDEO, Packet::key(1, 1)), (VIDEO, Packet::new(3, 3))]);
    rig.pause(1);
    // The second packet waited for one before it; it is of yesterday by the time of the next play.
    rig.run(secs(1));
    rig.send(&[(VIDEO, Packet::new(4, 4))]);
    let cleared = rig.said.iter().position(|(_, output)| matches!(output, Output::Clear));
    let after = &rig.said[cleared.expect("the logs were emptied")..];
    assert!(!after.iter().any(|(_, output)| matches!(output, Output::Publish(_))));
    assert_eq!(rig.got(VIDEO).len(), 1);
}
