//! What readers feel of a backend that goes and comes: held readers, lingering, idle connections,
//! sessions that outlive their connection.

use backend_client::{Demand, Event, IdlePolicy, Input, LostReason, Phase, Quirk};

use crate::camera::{Act, Camera, frame, rtp};
use crate::rig::{Rig, secs, tcp, udp};

#[test]
fn while_readers_are_held_a_camera_that_is_gone_is_looked_for_every_second() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.run(secs(5.0));
    rig.camera.up = false;
    rig.close();
    rig.set_held(true);
    let before = rig.connects.len();
    rig.run(secs(50.0));
    let tried = rig.connects.len() - before;
    assert!((48..=51).contains(&tried), "{tried}");
    assert_eq!(rig.client.failures(), 1);
    rig.camera.up = true;
    let back = rig.elapsed();
    rig.until(Phase::Playing);
    assert!(rig.elapsed() - back < secs(1.2));
}

#[test]
fn while_readers_are_held_a_connection_that_gets_no_answer_is_given_up_after_a_second() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.camera.mute = true;
    rig.close();
    rig.set_held(true);
    let before = rig.connects.len();
    rig.run(secs(30.0));
    let tried = rig.connects.len() - before;
    assert!((28..=31).contains(&tried), "{tried}");
}

#[test]
fn readers_that_come_to_be_held_shorten_an_attempt_and_a_wait_that_found_nobody() {
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.run(secs(40.0));
    rig.set_held(true);
    let before = rig.connects.len();
    rig.run(secs(0.1));
    assert_eq!(rig.connects.len(), before + 1);
    rig.camera.mute = true;
    rig.set_held(false);
    rig.until(Phase::Describing);
    rig.run(secs(2.0));
    let before = rig.connects.len();
    rig.set_held(true);
    rig.run(secs(0.1));
    assert_eq!(rig.connects.len(), before + 1);
}

#[test]
fn a_camera_that_closes_before_it_says_anything_counts_as_gone_and_one_that_refuses_does_not() {
    let mut rig = Rig::new(tcp(), Camera::default().always("DESCRIBE", Act::Close));
    rig.set_held(true);
    rig.run(secs(30.0));
    assert!(rig.connects.len() >= 28, "{}", rig.connects.len());
    rig.camera.set("DESCRIBE", Act::Status(404));
    let before = rig.connects.len();
    rig.run(secs(60.0));
    assert!(rig.connects.len() - before <= 8, "{}", rig.connects.len() - before);
}

#[test]
fn nobody_held_means_the_doubling_wait() {
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.set_held(true);
    rig.run(secs(5.0));
    rig.set_held(false);
    let before = rig.connects.len();
    rig.run(secs(60.0));
    assert!(rig.connects.len() - before <= 7);
}

#[test]
fn media_lingers_when_the_last_reader_leaves_and_the_next_one_finds_it_flowing() {
    let mut options = tcp();
    options.linger = secs(10.0);
    let mut rig = Rig::playing(options, Camera::default());
    rig.demand(Demand::Idle);
    rig.run(secs(9.0));
    assert_eq!(rig.dialogue(), "DSSP");
    rig.demand(Demand::Playing);
    rig.run(secs(10.0));
    assert_eq!(rig.dialogue(), "DSSP");
    rig.demand(Demand::Ready);
    rig.run(secs(5.0));
    rig.demand(Demand::Idle);
    rig.run(secs(4.9));
    assert_eq!(rig.client.state(), Phase::Playing);
    rig.run(secs(0.2));
    assert_eq!(rig.dialogue().trim_end_matches('Z').len() + 1, rig.dialogue().len());
    assert_eq!(rig.count(|event| matches!(event, Event::Paused)), 1);
}

#[test]
fn nothing_lingers_that_has_not_begun() {
    let mut options = tcp();
    options.linger = secs(10.0);
    let mut rig = Rig::new(options, Camera::default());
    rig.demand(Demand::Playing);
    rig.until(Phase::Starting);
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSPZ");
}

#[test]
fn a_lingering_backend_that_is_lost_is_described_and_not_played() {
    let mut options = tcp();
    options.linger = secs(10.0);
    let mut rig = Rig::playing(options, Camera::default());
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    rig.close();
    rig.run(secs(5.0));
    assert_eq!(rig.dialogue(), "DSSPD");
    assert_eq!(rig.client.state(), Phase::Described);
}

fn closing() -> backend_client::Options {
    let mut options = tcp();
    options.idle = IdlePolicy::Close;
    options
}

#[test]
fn an_idle_connection_is_closed_once_described_and_opened_for_the_next_reader() {
    let mut rig = Rig::new(closing(), Camera::default());
    rig.run(secs(1000.0));
    assert_eq!((rig.dialogue().as_str(), rig.connects.len(), rig.closes), ("D", 1, 1));
    assert_eq!(rig.client.poll_timeout(), None);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!((rig.dialogue().as_str(), rig.connects.len()), ("DDSSP", 2));
    rig.demand(Demand::Idle);
    rig.run(secs(1000.0));
    assert_eq!((rig.dialogue().as_str(), rig.closes), ("DDSSPT", 2));
    assert_eq!(rig.losses(), []);
}

#[test]
fn readers_that_only_pause_keep_the_connection() {
    let mut rig = Rig::playing(closing(), Camera::default());
    rig.demand(Demand::Ready);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSPZ");
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    assert_eq!((rig.dialogue().as_str(), rig.closes), ("DSSPZT", 1));
}

#[test]
fn an_absent_camera_is_looked_for_though_its_connection_would_be_closed() {
    let mut rig = Rig::new(closing(), Camera { up: false, ..Camera::default() });
    rig.run(secs(10.0));
    rig.camera.up = true;
    rig.until(Phase::Described);
    assert_eq!(rig.client.poll_timeout(), None);
}

#[test]
fn a_session_forgotten_at_pause_is_ended_all_the_same() {
    let mut rig = Rig::playing(tcp(), Camera::default().once("PAUSE", Act::Status(454)));
    rig.demand(Demand::Idle);
    rig.run(secs(10.0));
    assert_eq!(rig.dialogue(), "DSSPZT");
    assert_eq!(rig.client.state(), Phase::Described);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPZTSSP");
}

#[test]
fn a_camera_that_sends_on_after_teardown_is_hung_up_on() {
    let camera =
        Camera::default().once("PAUSE", Act::Status(454)).once("TEARDOWN", Act::Status(200));
    let mut rig = Rig::playing(tcp(), camera);
    rig.demand(Demand::Idle);
    rig.run(secs(3.0));
    for seq in 0..200 {
        rig.bytes(&frame(0, &rtp(seq, 100)));
    }
    assert_eq!(rig.client.quirk_count(Quirk::TeardownIgnored), 1);
    assert_eq!(rig.closes, 1);
    assert_eq!(rig.losses(), []);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.connects.len(), 2);
}

#[test]
fn a_session_by_udp_that_lost_its_connection_is_ended_over_the_next_one() {
    let mut rig = Rig::playing(udp(), Camera::default());
    rig.run(secs(1.0));
    rig.close();
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPTDSSP");
    assert_eq!(rig.last("TEARDOWN").header("Session"), Some("12345678"));
    assert_eq!(rig.losses().len(), 1);
    // It was told once.
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    rig.close();
    rig.run(secs(60.0));
    assert_eq!(rig.requests.iter().filter(|(_, r)| r.method == "TEARDOWN").count(), 2);
}

#[test]
fn an_interleaved_session_dies_with_its_connection() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.close();
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPDSSP");
}

#[test]
fn a_session_that_has_run_out_meanwhile_is_not_ended_once_more() {
    let camera = Camera { session: "1;timeout=5", ..Camera::default() };
    let mut rig = Rig::playing(udp(), camera);
    rig.camera.up = false;
    rig.close();
    rig.run(secs(20.0));
    rig.camera.up = true;
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPDSSP");
}

#[test]
fn a_camera_that_does_not_answer_for_the_old_session_is_described_all_the_same() {
    let camera = Camera::default().once("TEARDOWN", Act::Ignore);
    let mut rig = Rig::playing(udp(), camera);
    rig.close();
    rig.run(secs(1.0));
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPTDSSP");
    assert_eq!(rig.losses().len(), 1);
}

#[test]
fn the_old_session_is_ended_with_the_credentials_that_the_camera_asks_for() {
    let mut options = udp();
    options.credentials = Some(rtsp_proto::Credentials::new("u", "p"));
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"a\"\r\n";
    let mut rig = Rig::playing(options, Camera::default());
    rig.camera.then("TEARDOWN", Act::Answer(401, challenge));
    rig.close();
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPTTDSSP");
    assert!(rig.last("TEARDOWN").header("Authorization").is_some());
    assert!(rig.last("DESCRIBE").header("Authorization").is_some());
}

#[test]
fn silence_of_the_audio_beside_video_is_one_line() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.camera.sending[1] = false;
    rig.run(secs(100.0));
    assert_eq!(rig.warnings().len(), 1, "{:?}", rig.warnings());
    assert!(rig.warnings()[0].starts_with("track 2 has been silent for 10 s"));
    assert_eq!(rig.losses(), []);
    rig.camera.sending[0] = false;
    rig.run(secs(15.0));
    assert_eq!(rig.losses()[0].1, LostReason::Silent { gap: secs(10.0) });
}

#[test]
fn audio_that_flows_is_no_line() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.run(secs(100.0));
    assert_eq!(rig.warnings(), Vec::<&str>::new());
}

#[test]
fn play_names_a_range_at_the_beginning_and_none_after_pause() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    assert_eq!(rig.last("PLAY").header("Range"), Some("npt=0.000-"));
    rig.demand(Demand::Idle);
    rig.until(Phase::Ready);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.last("PLAY").header("Range"), None);
}

#[test]
fn starts_are_spread_and_a_reader_does_not_wait_for_that() {
    let mut options = tcp();
    options.start_spread = secs(20.0);
    let mut begun = Vec::new();
    for seed in 0..20 {
        let mut rig = Rig::seeded(options.clone(), Camera::default(), seed);
        rig.until(Phase::Described);
        begun.push(rig.connects[0].0.as_millis());
    }
    begun.sort_unstable();
    assert!(begun[0] < 5_000 && begun[19] > 15_000 && begun[19] < 20_000, "{begun:?}");
    let mut rig = Rig::seeded(options, Camera::default(), 1);
    rig.retry_now();
    assert_eq!(rig.connects.len(), 1);
}

#[test]
fn an_attempt_that_waits_for_its_turn_has_its_time_from_then_on() {
    let mut rig = Rig::new(tcp(), Camera { mute: true, ..Camera::default() });
    rig.handle(Input::Queued);
    rig.run(secs(30.0));
    assert_eq!(rig.losses(), []);
    rig.handle(Input::Dialling);
    rig.run(secs(5.5));
    assert_eq!(rig.losses(), []);
    rig.run(secs(1.0));
    assert!(matches!(rig.losses()[0].1, LostReason::NoConnection { .. }));
    // A queue without end is no reason to wait without end.
    rig.until(Phase::Describing);
    rig.handle(Input::Queued);
    rig.run(secs(61.0));
    assert_eq!(rig.losses().len(), 2);
    // Nobody waits who is not connecting.
    rig.camera.mute = false;
    rig.until(Phase::Described);
    rig.handle(Input::Queued);
    rig.handle(Input::Dialling);
    assert_eq!(rig.client.state(), Phase::Described);
}
