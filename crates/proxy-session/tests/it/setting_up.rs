//! SETUP of readers, and of the backend.

use fan_out::TrackId;
use proxy_session::{Reply, StreamEvent};

use crate::camera::{Act, Camera, DELAY};
use crate::media::Packet;
use crate::rig::{Rig, ms, options, play, play_of, secs, set_up, udp};

#[test]
fn a_reader_is_told_after_the_backend_was() {
    let mut rig = Rig::described(options(), Camera::default());
    let begin = rig.elapsed();
    let video = rig.ask(1, set_up(0));
    let audio = rig.ask(2, set_up(1));
    assert!(rig.reply(video).is_none());
    rig.run(ms(100));
    assert_eq!(rig.replied_at(video), Some(begin + DELAY));
    assert_eq!(rig.replied_at(audio), Some(begin + 2 * DELAY));
    assert_eq!(rig.camera.dialogue, "DSS");
    // The next one need not wait.
    let again = rig.ask(3, set_up(0));
    assert!(matches!(rig.reply(again), Some(Reply::SetUp { .. })));
    assert_eq!(rig.readers(), (3, 0));
}

#[test]
fn a_reader_may_ask_before_the_backend_is_described() {
    let mut rig = Rig::new(options(), Camera::default());
    let (video, other) = (rig.ask(1, set_up(0)), rig.ask(2, set_up(9)));
    rig.run(ms(100));
    assert!(matches!(rig.reply(video), Some(Reply::SetUp { .. })));
    assert_eq!(rig.refused(other), (404, false));
    assert_eq!(rig.readers(), (1, 0));
}

#[test]
fn a_track_that_is_not_there_is_not_found() {
    let mut rig = Rig::described(options(), Camera::default());
    for track in [2, 31, 32, 255] {
        let ticket = rig.ask(1, set_up(track));
        assert_eq!(rig.refused(ticket), (404, false));
    }
    assert_eq!(rig.readers(), (0, 0));
    rig.run(secs(10));
    assert_eq!(rig.camera.dialogue, "D");
}

#[test]
fn a_refusal_is_passed_on_as_nearly_as_can_be_and_leaves_nothing() {
    for (backend, reader) in [
        (401, (502, false)),
        (403, (502, false)),
        (404, (404, false)),
        (453, (453, false)),
        (500, (503, true)),
        (551, (503, true)),
    ] {
        let mut rig =
            Rig::described(options(), Camera::default().with("SETUP", Act::Status(backend)));
        let ticket = rig.ask(1, set_up(0));
        rig.run(ms(100));
        assert_eq!(rig.refused(ticket), reader, "for {backend}");
        assert_eq!((rig.readers(), rig.ends()), ((0, 0), 0));
        rig.run(secs(10));
        assert!(!rig.camera.dialogue.ends_with('S'), "it is not set up for nobody");
    }
}

#[test]
fn a_backend_without_udp_is_pulled_over_tcp_and_readers_notice_nothing() {
    let mut rig = Rig::described(udp(), Camera::default());
    rig.camera.set("SETUP", Act::NoUdp);
    let ticket = rig.ask(1, set_up(0));
    rig.run(ms(100));
    assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
    assert!(matches!(rig.camera.tracks[..], [(0, Some(0)), (1, Some(2))]));
    let ticket = rig.ask(1, play());
    rig.run(ms(100));
    rig.welcome(ticket);
    rig.join();
    rig.send(&[(0, Packet::key(1, 1))]);
    assert_eq!((rig.got(0).len(), rig.ends()), (1, 0));
}

#[test]
fn one_track_that_is_refused_does_not_cost_the_others() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.camera.set_track("SETUP", "track1", Act::Status(403));
    let (video, audio) = (rig.ask(1, set_up(0)), rig.ask(1, set_up(1)));
    let only_audio = rig.ask(2, set_up(1));
    rig.run(ms(100));
    assert!(matches!(rig.reply(video), Some(Reply::SetUp { .. })));
    assert_eq!((rig.refused(audio), rig.refused(only_audio)), ((502, false), (502, false)));
    assert_eq!(rig.readers(), (1, 0), "who got a track stays");
    assert!(rig.events().iter().any(|event| matches!(event, StreamEvent::Warning(_))));
    let ticket = rig.ask(3, set_up(1));
    assert_eq!(rig.refused(ticket), (502, false), "the backend is not asked again");
    let ticket = rig.ask(1, play());
    rig.run(ms(100));
    assert_eq!(rig.welcome(ticket).tracks.len(), 2);
    assert_eq!(rig.camera.dialogue, "DSSP");
}

#[test]
fn a_track_refused_in_one_session_may_be_had_in_the_next() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.camera.set_track("SETUP", "track1", Act::Status(403));
    let ticket = rig.ask(1, set_up(1));
    rig.run(ms(100));
    assert_eq!(rig.refused(ticket), (502, false));
    rig.camera.set_track("SETUP", "track1", Act::Obey);
    rig.ask(1, set_up(0));
    rig.run(ms(100));
    rig.close();
    rig.run(secs(3));
    let ticket = rig.ask(1, set_up(1));
    rig.run(ms(100));
    assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
}

#[test]
fn who_is_refused_leaves_no_demand_behind() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.camera.set_track("SETUP", "track1", Act::Status(403));
    let ticket = rig.ask(1, set_up(1));
    rig.run(ms(100));
    assert_eq!(rig.refused(ticket), (502, false));
    assert_eq!(rig.readers(), (0, 0));
}

#[test]
fn without_pause_the_next_reader_waits_for_the_next_session() {
    let mut rig = Rig::described(options(), Camera::default().with("PAUSE", Act::Status(501)));
    rig.play(1);
    rig.leave(1);
    rig.run(ms(100));
    assert_eq!(rig.camera.dialogue, "DSSPZT");
    rig.camera.set("SETUP", Act::Late(ms(500)));
    let begin = rig.elapsed();
    let ticket = rig.ask(2, set_up(1));
    rig.run(secs(3));
    assert_eq!(rig.replied_at(ticket), Some(begin + ms(1000)));
    assert_eq!(rig.camera.dialogue, "DSSPZTSS");
}

#[test]
fn what_was_set_up_in_a_session_that_the_backend_forgot_is_waited_for_again() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.prepare(1);
    rig.camera.set("PLAY", Act::Status(454));
    rig.camera.set("SETUP", Act::Late(ms(200)));
    rig.ask(1, play());
    rig.run(ms(10));
    rig.camera.set("PLAY", Act::Obey);
    let asked = [rig.ask(2, set_up(0)), rig.ask(3, set_up(1))];
    assert!(asked.iter().all(|ticket| rig.reply(*ticket).is_none()));
    let begin = rig.elapsed();
    rig.run(secs(1));
    let at = asked.map(|ticket| rig.replied_at(ticket).map(|at| at - begin));
    assert_eq!(at, [Some(ms(195)), Some(ms(395))]);
}

#[test]
fn a_reader_that_leaves_gets_no_answer_and_is_not_counted() {
    let mut rig = Rig::described(options(), Camera::default());
    let ticket = rig.ask(1, set_up(0));
    rig.leave(1);
    rig.run(secs(1));
    assert!(rig.reply(ticket).is_none());
    assert_eq!(rig.readers(), (0, 0));
}

#[test]
fn set_up_is_refused_at_the_deadline() {
    let mut options = options();
    options.answer_deadline = secs(2);
    let mut rig = Rig::described(options, Camera::default().with("SETUP", Act::Ignore));
    let begin = rig.elapsed();
    let ticket = rig.ask(1, set_up(0));
    rig.run(secs(5));
    assert_eq!(rig.refused(ticket), (503, true));
    assert_eq!(rig.replied_at(ticket), Some(begin + secs(2)));
    assert_eq!(rig.readers(), (0, 0));
}

#[test]
fn a_reader_keeps_the_numbers_of_a_track_from_set_up_to_play() {
    let mut rig = Rig::described(options(), Camera::default());
    let ticket = rig.ask(1, set_up(0));
    rig.run(ms(100));
    let Some(Reply::SetUp { ssrc }) = rig.reply(ticket) else { panic!("not set up") };
    let ssrc = *ssrc;
    let ticket = rig.ask(1, play_of(fan_out::TrackMask::of(TrackId(0))));
    rig.run(ms(100));
    let welcome = rig.welcome(ticket);
    assert_eq!(welcome.tracks.iter().map(|t| (t.track.0, t.ssrc)).collect::<Vec<_>>(), [(0, ssrc)]);
    rig.join();
    rig.send(&[(0, Packet::key(1, 1))]);
    assert_eq!(rig.got(0)[0].ssrc, ssrc);
}
