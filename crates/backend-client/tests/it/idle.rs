//! Keep-alive, PAUSE, and what happens while nobody watches.

use backend_client::{Demand, Event, LostReason, Phase, Quirk};

use crate::camera::{Act, Camera, rtp};
use crate::rig::{Rig, secs, tcp};

fn times(rig: &Rig, method: &str) -> Vec<f64> {
    let sent = rig.requests.iter().filter(|(_, request)| request.method == method);
    sent.map(|(at, _)| at.as_secs_f64()).collect()
}

/// Ready, with nobody who wants media.
fn resting(camera: Camera) -> Rig {
    let mut rig = Rig::playing(tcp(), camera);
    rig.demand(Demand::Idle);
    rig.until(Phase::Ready);
    rig
}

#[test]
fn a_described_camera_hears_options_every_24_to_30_seconds() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.run(secs(600.0));
    let times = times(&rig, "OPTIONS");
    assert!((20..=25).contains(&times.len()), "{times:?}");
    let mut before = 0.0;
    let mut waits = Vec::new();
    for at in times {
        let wait = at - before;
        assert!((23.9..30.1).contains(&wait), "{wait}");
        waits.push((wait * 10.0) as u64);
        before = at;
    }
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 5, "not random: {waits:?}");
    assert_eq!(rig.last("OPTIONS").header("Session"), None);
}

#[test]
fn the_timeout_that_setup_reveals_governs_the_keep_alive() {
    for (session, least, most) in [
        ("1;timeout=4", 1.6, 2.01),
        ("1;timeout=20", 8.0, 10.01),
        ("1", 24.0, 30.01),
        ("1;timeout=1", 0.5, 0.51),
        ("1;timeout=0", 24.0, 30.01),
        ("1;timeout=4294967295", 24.0, 30.01),
    ] {
        let mut rig = Rig::playing(tcp(), Camera { session, ..Camera::default() });
        rig.run(secs(100.0));
        let times = times(&rig, "OPTIONS");
        assert!(times[0] <= most + 0.1, "{session}: {times:?}");
        for pair in times.windows(2) {
            let wait = pair[1] - pair[0];
            let (least, most) = (least + 0.004, most + 0.005);
            assert!((least..most).contains(&wait), "{session}: {wait}");
        }
        assert_eq!(rig.last("OPTIONS").header("Session"), Some("1"));
        assert_eq!(rig.losses(), []);
    }
}

#[test]
fn an_unanswered_keep_alive_of_an_idle_camera_is_repeated_with_the_next_method() {
    let mut rig = Rig::new(tcp(), Camera::default().always("OPTIONS", Act::Ignore));
    rig.run(secs(100.0));
    assert_eq!(rig.dialogue(), "DOGGG");
    assert_eq!(rig.losses(), []);
    assert_eq!(rig.client.quirk_count(Quirk::KeepAliveIgnored), 1);
}

#[test]
fn an_idle_camera_that_answers_to_no_method_is_given_up() {
    let camera = Camera::default()
        .once("OPTIONS", Act::Ignore)
        .once("GET_PARAMETER", Act::Ignore)
        .once("SET_PARAMETER", Act::Ignore);
    let mut rig = Rig::new(tcp(), camera);
    rig.run(secs(65.0));
    let (at, reason, retry_in) = rig.losses().pop().expect("it is lost");
    assert_eq!(reason, LostReason::NoAnswer { what: "keep-alive" });
    assert!(at >= secs(54.0) && at <= secs(60.1), "{at:?}");
    assert_eq!(retry_in, secs(1.0));
    assert_eq!(rig.dialogue(), "DOGED");
}

#[test]
fn an_unanswered_keep_alive_kills_nothing_while_media_flows_until_the_session_ends() {
    let mut rig = Rig::playing(tcp(), Camera::default().always("OPTIONS", Act::Ignore));
    rig.run(secs(100.0));
    assert_eq!(rig.losses(), []);
    assert!(rig.dialogue().contains("OG"), "{}", rig.dialogue());
    rig.camera.set("GET_PARAMETER", Act::Ignore);
    rig.camera.set("SET_PARAMETER", Act::Ignore);
    rig.run(secs(100.0));
    let (_, reason, _) = rig.losses().first().cloned().expect("it is lost");
    assert_eq!(reason, LostReason::NoAnswer { what: "keep-alive" });
    assert!(rig.client.quirk_count(Quirk::KeepAliveIgnored) > 3);
}

#[test]
fn a_late_answer_is_not_taken_for_the_answer_to_the_next_request() {
    let camera =
        Camera::default().once("OPTIONS", Act::Late(10.1)).once("GET_PARAMETER", Act::Late(1.0));
    let mut rig = Rig::playing(tcp(), camera);
    rig.run(secs(60.0));
    assert_eq!(rig.losses(), []);
    assert_eq!(rig.client.quirk_count(Quirk::ForeignCseq), 0);
    assert_eq!(rig.client.quirk_count(Quirk::StrayResponse), 0);
}

#[test]
fn a_refused_keep_alive_is_sent_as_another_method_that_is_remembered() {
    for status in [405, 501, 551] {
        let mut rig = Rig::new(tcp(), Camera::default().always("OPTIONS", Act::Status(status)));
        rig.run(secs(100.0));
        assert_eq!(rig.dialogue(), "DOGGG", "{status}");
        assert_eq!(rig.losses(), []);
        assert_eq!(rig.client.quirk_count(Quirk::KeepAliveRefused), 1);
    }
}

#[test]
fn a_camera_that_refuses_every_method_is_alive_and_not_hammered() {
    let camera = Camera::default()
        .always("OPTIONS", Act::Status(405))
        .always("GET_PARAMETER", Act::Status(405))
        .always("SET_PARAMETER", Act::Status(405));
    let mut rig = Rig::playing(tcp(), camera);
    rig.run(secs(300.0));
    assert_eq!(rig.losses(), []);
    assert!(rig.requests.len() < 20, "{}", rig.dialogue());
}

#[test]
fn a_session_that_two_methods_deny_is_set_up_anew() {
    // Watched for silence it would be lost before.
    let mut options = tcp();
    options.max_packet_gap = None;
    let mut rig = Rig::playing(options, Camera::default());
    rig.run(secs(1.0));
    rig.camera.playing = false;
    rig.camera.then("OPTIONS", Act::Status(454));
    rig.camera.then("GET_PARAMETER", Act::Status(454));
    rig.run(secs(35.0));
    assert_eq!(rig.dialogue(), "DSSPOGSSP");
    assert_eq!(rig.losses(), []);
    assert_eq!(rig.connects.len(), 1);
    let again = rig.requests.iter().filter(|(_, request)| request.method == "SETUP").nth(2);
    assert_eq!(again.and_then(|(_, request)| request.header("Session")), None);
    assert!(rig.client.state() == Phase::Playing);
}

#[test]
fn a_session_denied_while_its_media_flows_is_kept() {
    let camera = Camera::default()
        .always("OPTIONS", Act::Status(454))
        .always("GET_PARAMETER", Act::Status(454))
        .always("SET_PARAMETER", Act::Status(454));
    let mut rig = Rig::playing(tcp(), camera);
    rig.run(secs(200.0));
    assert_eq!(rig.losses(), []);
    assert_eq!(rig.count(|event| matches!(event, Event::Playing {})), 1);
    assert!(rig.client.quirk_count(Quirk::SessionDenied) > 0);
    assert!(rig.requests.len() < 20, "{}", rig.dialogue());
}

#[test]
fn a_paused_session_that_is_denied_waits_for_demand() {
    let mut rig = resting(Camera::default());
    rig.camera.then("OPTIONS", Act::Status(454));
    rig.camera.then("GET_PARAMETER", Act::Status(454));
    rig.until(Phase::Described);
    assert_eq!(rig.dialogue(), "DSSPZOG");
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPZOGSSP");
}

#[test]
fn without_demand_it_pauses_keeps_the_session_alive_and_resumes_with_play_alone() {
    let mut rig = resting(Camera::default());
    rig.run(secs(100.0));
    assert!(rig.dialogue().starts_with("DSSPZOOO"), "{}", rig.dialogue());
    assert_eq!(rig.last("OPTIONS").header("Session"), Some("12345678"));
    assert_eq!(rig.count(|event| matches!(event, Event::Paused)), 1);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.run(secs(1.0));
    assert!(rig.dialogue().ends_with("OP"), "{}", rig.dialogue());
    assert_eq!(rig.losses(), []);
}

#[test]
fn readers_who_are_only_ready_are_no_reason_to_play_on() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.demand(Demand::Ready);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSPZ");
}

#[test]
fn what_still_comes_after_pause_is_dropped_and_so_is_what_comes_before_play() {
    let mut rig = resting(Camera::default());
    let before = rig.packets();
    rig.bytes(&crate::camera::frame(0, &rtp(900, 100)));
    assert_eq!(rig.packets(), before);
    assert_eq!(rig.client.stats().unwanted, 1);
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    rig.bytes(&crate::camera::frame(0, &rtp(900, 100)));
    assert_eq!(rig.packets(), 0);
}

#[test]
fn demand_that_comes_back_during_pause_is_played_after_it() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.demand(Demand::Idle);
    rig.demand(Demand::Playing);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSPZP");
    assert_eq!(rig.client.state(), Phase::Playing);
}

#[test]
fn demand_that_goes_during_play_is_paused_after_it() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.demand(Demand::Playing);
    rig.until(Phase::Starting);
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSPZ");
}

#[test]
fn a_camera_that_does_not_offer_pause_gets_teardown_and_a_new_setup_later() {
    let public = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN";
    let mut rig = Rig::new(tcp(), Camera { public, ..Camera::default() });
    rig.run(secs(31.0));
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DOSSPT");
    assert_eq!(rig.client.quirk_count(Quirk::NoPause), 1);
    assert_eq!(rig.client.state(), Phase::Described);
    assert_eq!(rig.count(|event| matches!(event, Event::Paused)), 1);
    assert_eq!(rig.losses(), []);
    rig.demand(Demand::Playing);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DOSSPTSSP");
    assert_eq!(rig.connects.len(), 1);
}

#[test]
fn a_refused_pause_is_not_tried_again() {
    let mut rig = Rig::playing(tcp(), Camera::default().always("PAUSE", Act::Status(501)));
    for _ in 0..2 {
        rig.demand(Demand::Idle);
        rig.until(Phase::Described);
        rig.demand(Demand::Playing);
        rig.until(Phase::Playing);
    }
    assert_eq!(rig.dialogue(), "DSSPZTSSPTSSP");
    assert_eq!(rig.count(|event| matches!(event, Event::Paused)), 2);
}

#[test]
fn a_pause_that_is_granted_but_not_obeyed_leads_to_teardown() {
    let mut rig = resting(Camera::default());
    rig.camera.playing = true;
    rig.run(secs(1.5));
    assert_eq!(rig.dialogue(), "DSSPZ", "what is on its way may come");
    rig.run(secs(20.0));
    assert_eq!(rig.dialogue(), "DSSPZT");
    assert_eq!(rig.client.quirk_count(Quirk::PauseIgnored), 1);
}

#[test]
fn an_unanswered_pause_is_a_reset() {
    let mut rig = Rig::playing(tcp(), Camera::default().once("PAUSE", Act::Ignore));
    rig.demand(Demand::Idle);
    rig.run(secs(15.0));
    assert_eq!(rig.losses()[0].1, LostReason::NoAnswer { what: "PAUSE" });
    assert_eq!(rig.dialogue(), "DSSPZTD");
}

#[test]
fn an_idle_connection_that_is_closed_is_described_again_at_the_next_keep_alive() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.run(secs(5.0));
    rig.close();
    rig.run(secs(15.0));
    assert_eq!(rig.dialogue(), "D", "not at once");
    assert_eq!(rig.client.quirk_count(Quirk::IdleClose), 1);
    assert_eq!(rig.client.state(), Phase::Described);
    rig.run(secs(11.0));
    assert_eq!(rig.dialogue(), "DD");
    assert_eq!(rig.losses(), []);
}

#[test]
fn demand_opens_a_closed_idle_connection_at_once() {
    let mut rig = Rig::new(tcp(), Camera::default().once("DESCRIBE", Act::ObeyAndClose));
    rig.run(secs(5.0));
    assert_eq!(rig.client.state(), Phase::Described);
    rig.demand(Demand::Playing);
    rig.run(secs(0.5));
    assert_eq!(rig.dialogue(), "DDSSP");
    assert_eq!(rig.losses(), []);
}

#[test]
fn a_paused_session_whose_connection_closes_is_gone_without_harm() {
    let mut rig = resting(Camera::default());
    rig.close();
    assert_eq!(rig.client.state(), Phase::Described);
    assert_eq!(rig.losses(), []);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPZDSSP");
}

#[test]
fn a_camera_that_closes_in_answer_to_a_keep_alive_is_described_again() {
    let mut rig = Rig::new(tcp(), Camera::default().always("OPTIONS", Act::Close));
    rig.run(secs(70.0));
    assert_eq!(rig.dialogue(), "DODOD");
    assert_eq!(rig.losses(), []);
}

#[test]
fn a_timeout_that_only_play_reveals_governs_the_keep_alive() {
    let raw = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nSession: 1; timeout=10\r\n\r\n".to_owned();
    let mut options = tcp();
    options.max_packet_gap = None;
    let camera = Camera { session: "1", ..Camera::default() }.once("PLAY", Act::Raw(raw));
    let mut rig = Rig::playing(options, camera);
    rig.run(secs(20.0));
    assert!((4..=5).contains(&times(&rig, "OPTIONS").len()), "{}", rig.dialogue());
}
