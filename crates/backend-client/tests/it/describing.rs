//! DESCRIBE, back-off, redirects.

use backend_client::{Demand, Event, LostReason, Phase};
use rtsp_proto::StatusCode;

use crate::camera::{Act, Camera};
use crate::rig::{Rig, options, secs, tcp};

fn describe_times(rig: &Rig) -> Vec<f64> {
    rig.connects.iter().map(|(at, ..)| at.as_secs_f64()).collect()
}

#[test]
fn it_describes_before_anybody_asks_and_then_keeps_quiet() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.run(secs(10.0));
    assert_eq!(rig.dialogue(), "D");
    assert_eq!(rig.client.state(), Phase::Described);
    assert_eq!(rig.last("DESCRIBE").uri, "rtsp://cam/live");
    assert_eq!(rig.last("DESCRIBE").header("Accept"), Some("application/sdp"));
    assert_eq!(rig.last("DESCRIBE").header("User-Agent"), Some("test"));
    assert_eq!(rig.count(|event| matches!(event, Event::Described { .. })), 1);
}

#[test]
fn an_absent_camera_is_tried_after_1_2_4_8_16_and_then_every_30_seconds_less_a_quarter_at_most() {
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.run(secs(180.0));
    let times = describe_times(&rig);
    let waits: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let full = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0];
    assert!(waits.len() >= 7, "{waits:?}");
    for (wait, full) in waits.iter().zip(full) {
        // An attempt that is refused takes 5 ms here.
        assert!(*wait <= full + 0.01 && *wait >= (full * 0.75_f64).max(1.0), "{waits:?}");
    }
    assert!(matches!(rig.losses()[0].1, LostReason::NoConnection { .. }));
}

#[test]
fn seeds_spread_the_attempts() {
    let third = |seed| {
        let camera = Camera { up: false, ..Camera::default() };
        let mut rig = Rig::seeded(tcp(), camera, seed);
        rig.run(secs(20.0));
        describe_times(&rig)[3]
    };
    assert_ne!(third(1), third(2));
    assert_eq!(third(3), third(3));
}

#[test]
fn a_camera_that_comes_is_described_and_a_mere_description_leaves_the_wait_as_it_was() {
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.run(secs(6.0));
    rig.camera.up = true;
    rig.until(Phase::Described);
    let failures = rig.client.failures();
    assert!(failures >= 3);
    rig.camera.set("PLAY", Act::Status(500));
    rig.demand(Demand::Playing);
    rig.run(secs(0.5));
    let (_, reason, retry_in) = rig.losses().pop().expect("it is lost");
    let status = StatusCode::INTERNAL;
    assert_eq!(reason, LostReason::Refused { what: "PLAY", status });
    assert!(retry_in >= secs(6.0), "{retry_in:?}");
    assert_eq!(rig.client.failures(), failures + 1);
}

#[test]
fn the_first_media_starts_the_back_off_over() {
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.run(secs(6.0));
    rig.camera.up = true;
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.run(secs(1.0));
    assert_eq!(rig.client.failures(), 0);
    rig.close();
    let (_, reason, retry_in) = rig.losses().pop().expect("it is lost");
    assert_eq!(reason, LostReason::Closed { why: None });
    assert_eq!(retry_in, secs(1.0));
    rig.until(Phase::Playing);
}

#[test]
fn a_description_that_stands_for_long_starts_the_back_off_over_too() {
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.run(secs(6.0));
    rig.camera.up = true;
    rig.until(Phase::Described);
    rig.run(secs(65.0));
    assert_eq!(rig.client.failures(), 0);
}

#[test]
fn a_describe_without_an_answer_meets_its_deadline() {
    let mut rig = Rig::new(tcp(), Camera::default().once("DESCRIBE", Act::Ignore));
    rig.run(secs(10.5));
    let (at, reason, _) = rig.losses().pop().expect("it is lost");
    assert_eq!(reason, LostReason::NoAnswer { what: "DESCRIBE" });
    assert_eq!(at, secs(10.005));
    assert_eq!(rig.closes, 1);
    rig.until(Phase::Described);
}

#[test]
fn a_connection_attempt_without_an_answer_meets_its_deadline_even_if_the_shell_says_nothing() {
    let mut rig = Rig::new(tcp(), Camera { mute: true, ..Camera::default() });
    rig.run(secs(6.0));
    assert!(matches!(rig.losses()[0].1, LostReason::NoConnection { .. }));
    assert_eq!(rig.closes, 1);
}

#[test]
fn what_cannot_be_used_is_a_failure_not_a_success() {
    for (reply, expected) in [
        ("Content-Length: 4\r\n\r\njunk", "cannot be used"),
        ("Content-Length: 0\r\n\r\n", "cannot be used"),
        (
            "Content-Length: 52\r\n\r\nv=0\r\no=- 1 1 IN IP4 0\r\ns=x\r\nt=0 0\r\nm=data 0 UDP 33\r\n",
            "nothing to play",
        ),
    ] {
        let raw = format!("RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\n{reply}");
        let mut rig = Rig::new(tcp(), Camera::default().once("DESCRIBE", Act::Raw(raw)));
        rig.run(secs(0.5));
        let reason = rig.losses().pop().expect("it is lost").1.to_string();
        assert!(reason.contains(expected), "{reason}");
        rig.until(Phase::Described);
    }
}

#[test]
fn a_reader_who_asks_shortens_the_wait_but_not_under_its_floor() {
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.run(secs(12.0));
    assert_eq!(rig.client.state(), Phase::Waiting);
    let before = rig.connects.len();
    rig.retry_now();
    rig.run(secs(0.01));
    assert_eq!(rig.connects.len(), before + 1, "at once");
    rig.retry_now();
    rig.run(secs(0.5));
    assert_eq!(rig.connects.len(), before + 1, "not within the floor");
    rig.run(secs(0.6));
    assert_eq!(rig.connects.len(), before + 2, "but then");
}

#[test]
fn a_busy_camera_says_when_to_come_again() {
    let camera = Camera::default().once("DESCRIBE", Act::Answer(503, "Retry-After: 12\r\n"));
    let mut rig = Rig::new(tcp(), camera);
    rig.run(secs(0.5));
    assert_eq!(rig.losses()[0].2, secs(12.0));
    let camera = Camera::default().once("DESCRIBE", Act::Answer(503, "Retry-After: 86400\r\n"));
    let mut rig = Rig::new(tcp(), camera);
    rig.run(secs(0.5));
    assert_eq!(rig.losses()[0].2, secs(30.0), "within our own ceiling");
}

#[test]
fn redirects_are_followed_to_another_host_and_the_next_attempt_begins_at_home() {
    let camera =
        Camera::default().once("DESCRIBE", Act::Answer(302, "Location: rtsp://other:8554/new\r\n"));
    let mut rig = Rig::new(tcp(), camera);
    rig.until(Phase::Described);
    let hosts: Vec<_> = rig.connects.iter().map(|(_, host, port)| (host.as_str(), *port)).collect();
    assert_eq!(hosts, [("cam", 554), ("other", 8554)]);
    assert_eq!(rig.last("DESCRIBE").uri, "rtsp://other:8554/new");
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    rig.close();
    rig.until(Phase::Ready);
    assert_eq!(rig.connects.last().map(|(_, host, _)| host.as_str()), Some("cam"));
}

#[test]
fn more_than_five_redirects_are_a_failure() {
    let camera =
        Camera::default().always("DESCRIBE", Act::Answer(301, "Location: rtsp://cam/again\r\n"));
    let mut rig = Rig::new(tcp(), camera);
    rig.run(secs(0.9));
    assert_eq!(rig.dialogue(), "DDDDDD");
    assert!(matches!(rig.losses()[0].1, LostReason::BadRedirect { .. }));
}

#[test]
fn a_redirect_must_lead_somewhere_and_not_out_of_tls() {
    for headers in ["", "Location: http://cam/\r\n", "Location: elsewhere\r\n"] {
        let mut rig =
            Rig::new(tcp(), Camera::default().once("DESCRIBE", Act::Answer(302, headers)));
        rig.run(secs(0.5));
        assert!(matches!(rig.losses()[0].1, LostReason::BadRedirect { .. }), "{headers}");
    }
    let camera = Camera::default().once("DESCRIBE", Act::Answer(302, "Location: rtsp://cam/\r\n"));
    let mut rig = Rig::new(options("rtsps://cam/live"), camera);
    rig.run(secs(0.5));
    assert!(matches!(rig.losses()[0].1, LostReason::BadRedirect { .. }));
}

#[test]
fn a_redirect_to_a_path_stays_with_the_host() {
    for status in [301, 302, 303, 305, 307, 308] {
        let redirect = Act::Answer(status, "Location: /other?x=1\r\n");
        let mut rig = Rig::new(tcp(), Camera::default().once("DESCRIBE", redirect));
        rig.until(Phase::Described);
        assert_eq!(rig.last("DESCRIBE").uri, "rtsp://cam/other?x=1");
        assert_eq!(rig.connects.len(), 2);
    }
}
