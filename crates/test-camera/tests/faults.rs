//! The camera doing wrong as it is told.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]
#[expect(dead_code, reason = "each test file uses its part of the client")]
mod support;

use std::net::UdpSocket;
use std::time::Duration;

use support::Client;
use test_camera::{
    Camera, CameraOptions, Fault, LogEvent, Method, Source, Start, Synthetic, Target,
};

fn camera() -> Camera {
    // Many small frames, so that nothing takes long; a key frame every 100 ms.
    let source =
        Source::Synthetic(Synthetic { bitrate: 400_000, fps: 100, gop: 10, key_frame_bytes: 2000 });
    Camera::start(CameraOptions { source, ..CameraOptions::default() }).unwrap()
}

fn command(camera: &Camera, line: &str) {
    camera.fault(line.parse().unwrap());
}

#[test]
fn methods_are_refused_delayed_and_left_without_answer() {
    let camera = camera();
    let url = camera.url(0);
    let mut client = Client::connect(&camera);
    command(&camera, "refuse describe 404 once");
    assert_eq!(client.ask("DESCRIBE", &url, "").status, 404);
    assert_eq!(client.ask("DESCRIBE", &url, "").status, 200);
    command(&camera, "refuse describe 500");
    assert_eq!(client.ask("DESCRIBE", &url, "").status, 500);
    assert_eq!(client.ask("DESCRIBE", &url, "").status, 500);
    command(&camera, "accept describe");
    assert_eq!(client.ask("DESCRIBE", &url, "").status, 200);

    command(&camera, "delay options 300");
    client.send("OPTIONS", &url, "");
    client.stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(client.stream.peek(&mut [0]).is_err(), "answered at once");
    client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(client.answer().status, 200);
    command(&camera, "delay options 0");

    command(&camera, "options-blackhole");
    client.send("OPTIONS", &url, "");
    assert_eq!(client.ask("GET_PARAMETER", &url, "").status, 200);
    let options = |camera: &Camera| {
        camera.log().iter().filter(|entry| entry.is_request(Method::Options)).count()
    };
    assert_eq!(options(&camera), 2);
    command(&camera, "clear");
    assert_eq!(client.ask("OPTIONS", &url, "").status, 200);
}

#[test]
fn pause_and_udp_can_be_missing() {
    let camera = camera();
    let url = camera.url(0);
    let mut client = Client::connect(&camera);
    command(&camera, "no-pause");
    assert!(!client.ask("OPTIONS", &url, "").headers["public"].contains("PAUSE"));
    client.play_video(&url);
    assert_eq!(client.ask("PAUSE", &url, "").status, 405);
    assert_eq!(camera.playing(0), 1);

    command(&camera, "no-udp");
    let mut client = Client::connect(&camera);
    assert_eq!(client.setup(&url, 1, "RTP/AVP;unicast;client_port=5000-5001").status, 461);
    let both = "RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;unicast;interleaved=4-5";
    let setup = client.setup(&url, 1, both);
    assert!(setup.headers["transport"].contains("interleaved=4-5"));
}

#[test]
fn udp_can_be_silent() {
    let camera = camera();
    let url = camera.url(0);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut client = Client::connect(&camera);
    command(&camera, "udp-silent");
    let setup = client.setup(&url, 1, &format!("RTP/AVP;unicast;client_port={port}-1"));
    assert_eq!(setup.status, 200);
    assert_eq!(client.ask("PLAY", &url, "").status, 200);
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_err());
    command(&camera, "udp-silent off");
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_ok());
}

#[test]
fn packets_are_dropped_and_reordered_at_the_places_told() {
    let camera = camera();
    command(&camera, "drop 5");
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    let first = client.rtp(0).sequence;
    let got: Vec<u16> = (0..11).map(|_| client.rtp(0).sequence.wrapping_sub(first)).collect();
    assert_eq!(got, [1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13]);

    command(&camera, "clear");
    command(&camera, "reorder 4");
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    let first = client.rtp(0).sequence;
    let got: Vec<u16> = (0..8).map(|_| client.rtp(0).sequence.wrapping_sub(first)).collect();
    assert_eq!(got, [1, 2, 4, 3, 5, 6, 8, 7]);
}

#[test]
fn sending_stops_and_goes_on_after_the_true_gap() {
    let camera = camera();
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    client.rtp(0);
    command(&camera, "stop-sending cam");
    // What was on its way arrives; then it is silent.
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut chunk = vec![0; 1 << 16];
    while std::io::Read::read(&mut client.stream, &mut chunk).is_ok() {}
    client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    command(&camera, "resume");
    let mut fresh = Client::connect(&camera);
    std::mem::swap(&mut fresh.stream, &mut client.stream);
    let before = fresh.rtp(0);
    let after = fresh.rtp(0);
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
}

#[test]
fn a_bye_ends_the_track_and_closing_ends_the_connection() {
    let camera = camera();
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    let ssrc = client.rtp(0).ssrc;
    command(&camera, "bye cam");
    let bye = loop {
        let (channel, packet) = client.packet();
        if channel == 1 && packet.windows(2).any(|pair| pair == [0x81, 203]) {
            break packet;
        }
    };
    assert_eq!(bye[1], 200, "a compound packet begins with a report");
    assert_eq!(bye[bye.len() - 4..], ssrc.to_be_bytes());
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(client.stream.peek(&mut [0]).is_err(), "media after the BYE");
    client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    command(&camera, "close cam");
    assert!(client.is_closed());
}

#[test]
fn sessions_without_a_sign_of_life_end_where_that_is_enforced() {
    let camera = camera();
    let url = camera.url(0);
    command(&camera, "timeout 1");
    let mut client = Client::connect(&camera);
    let setup = client.setup(&url, 1, "RTP/AVP;unicast;client_port=5000-5001");
    assert!(setup.headers["session"].ends_with(";timeout=1"));
    client.ask("PLAY", &url, "");
    command(&camera, "enforce-timeout");
    let expired = |log: &[test_camera::LogEntry]| {
        log.iter().any(|entry| matches!(entry.event, LogEvent::Expired { .. }))
    };
    assert!(camera.wait_for(expired, Duration::from_secs(5)));
    let log = camera.log();
    let at = |wanted: &dyn Fn(&LogEvent) -> bool| {
        log.iter().rev().find(|entry| wanted(&entry.event)).unwrap().at
    };
    let idle = at(&|event| matches!(event, LogEvent::Expired { .. }))
        - at(&|event| matches!(event, LogEvent::Request(_)));
    assert!(idle >= Duration::from_secs(1), "after {idle:?}");
    assert_eq!(camera.playing(0), 0);
    assert_eq!(client.ask("OPTIONS", &url, "").status, 454);

    camera.fault(Fault::Clear);
    client.session = None;
    client.setup(&url, 1, "RTP/AVP;unicast;client_port=5000-5001");
    camera.fault(Fault::EndSessions(Target::All));
    assert_eq!(client.ask("GET_PARAMETER", &url, "").status, 454);
}

#[test]
fn parameter_sets_change_at_a_key_frame() {
    let options = CameraOptions { start: Start::Beginning, ..CameraOptions::default() };
    let camera = Camera::start(options).unwrap();
    let url = camera.url(0);
    let mut client = Client::connect(&camera);
    let before = client.ask("DESCRIBE", &url, "").body;
    client.play_video(&url);
    let set = client.rtp(0).payload;
    command(&camera, "parameter-sets");
    let mut frames = 0;
    let other = loop {
        let rtp = client.rtp(0);
        if rtp.payload[0] & 0x1F == 7 {
            break rtp.payload;
        }
        frames += u32::from(rtp.marker);
    };
    assert_eq!(frames, 50, "in the middle of a group of pictures");
    assert_ne!(set, other);
    let after = client.ask("DESCRIBE", &url, "").body;
    assert_ne!(before, after);
}

#[test]
fn reports_can_lie_about_the_time_or_be_missing() {
    let camera = camera();
    let seconds = |client: &mut Client| loop {
        let (channel, packet) = client.packet();
        if channel == 1 {
            break i64::from(support::word(&packet, 8));
        }
    };
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    let truth = seconds(&mut client);
    command(&camera, "wall-clock -3600");
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    assert!((truth - 3600 - seconds(&mut client)).abs() <= 2);
    command(&camera, "sender-reports off");
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    for _ in 0..20 {
        assert_eq!(client.packet().0, 0);
    }
}
