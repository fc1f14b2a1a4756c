//! What a backend hears from the proxy, by the test camera's own log of requests.

use std::time::Duration;

use integration_tests::camera::{self, count, has_expired, methods, times, wait_count};
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::{sockets, wait};
use test_camera::{Camera, CameraOptions, Fault, LogEvent, Method, Start};

const SOON: Duration = Duration::from_secs(5);
const A_MOMENT: Duration = Duration::from_secs(2);
const KEEP_ALIVES: [Method; 3] = [Method::Options, Method::GetParameter, Method::SetParameter];

/// A camera that begins with a key frame, so that the first packet tells how long the proxy took.
fn prompt() -> CameraOptions {
    CameraOptions { start: Start::Beginning, ..CameraOptions::default() }
}

/// The requests since a place in the log, without keep-alives.
fn deeds_since(camera: &Camera, place: usize) -> Vec<String> {
    let is_deed = |m: &String| KEEP_ALIVES.iter().all(|keep_alive| keep_alive.name() != m);
    methods(camera).into_iter().skip(place).filter(is_deed).collect()
}

#[test]
fn one_session_serves_twenty_readers_from_describe_to_teardown() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");

    // Described before anybody asks, and then left alone.
    wait::pass(A_MOMENT);
    assert_eq!(deeds_since(&camera, 0), ["DESCRIBE"], "{}", camera::text(&camera));
    assert_eq!(camera.sessions(0), 0);

    // The first reader: a SETUP per track, one after the other, then PLAY.
    let first = RawReader::play_tracks(&url, Over::Udp, &[1, 2]);
    assert_eq!(deeds_since(&camera, 0), ["DESCRIBE", "SETUP", "SETUP", "PLAY"]);
    let log = camera.log();
    let setups: Vec<bool> = log
        .iter()
        .filter_map(|entry| match &entry.event {
            LogEvent::Request(request) if request.method == "SETUP" => Some(true),
            LogEvent::Answer { method, .. } if method == "SETUP" => Some(false),
            _ => None,
        })
        .collect();
    assert_eq!(setups, [true, false, true, false], "{}", camera::text(&camera));
    let uris: Vec<&str> = log
        .iter()
        .filter_map(|entry| entry.request())
        .filter(|request| request.method == "SETUP")
        .map(|request| &*request.uri)
        .collect();
    let url_0 = camera.url(0);
    assert_eq!(uris, [format!("{url_0}/trackID=1"), format!("{url_0}/trackID=2")]);

    // Nineteen more change nothing for the backend.
    let mut readers = vec![first];
    for number in 1..20 {
        let over = if number % 2 == 0 { Over::Udp } else { Over::Tcp };
        readers.push(RawReader::play_tracks(&url, over, &[1, 2]));
    }
    for reader in &mut readers {
        assert!(reader.next_media(1, SOON).is_some());
    }
    assert_eq!(deeds_since(&camera, 0), ["DESCRIBE", "SETUP", "SETUP", "PLAY"]);

    // PAUSE when the last leaves, not before.
    let mut last = readers.pop().expect("a reader");
    for (number, mut reader) in readers.into_iter().enumerate() {
        // Sessions over UDP outlive their connections, as some readers expect; over TCP they end
        // with them, torn down or not.
        if number % 4 != 1 {
            reader.tear_down();
        }
    }
    wait::pass(Duration::from_millis(500));
    assert_eq!(count(&camera, Method::Pause), 0);
    assert!(last.next_media(1, SOON).is_some());
    last.tear_down();
    wait_count(&camera, Method::Pause, 1, SOON);
    // It is logged before it is done.
    assert!(wait::until(SOON, || camera.playing(0) == 0));

    // The next reader has the same session played again.
    let place = methods(&camera).len();
    let mut next = RawReader::play_tracks(&url, Over::Tcp, &[1]);
    assert!(next.next_media(1, SOON).is_some());
    assert_eq!(deeds_since(&camera, place), ["PLAY"]);

    let place = methods(&camera).len();
    proxy.terminate();
    wait_count(&camera, Method::Teardown, 1, SOON);
    assert_eq!(deeds_since(&camera, place), ["TEARDOWN"]);
}

#[test]
fn keep_alives_come_within_a_short_timeout_while_playing_and_while_paused() {
    for options in [&[][..], &["-t"]] {
        let timeout = Duration::from_secs(4);
        let options_of_camera =
            CameraOptions { timeout, enforce_timeout: true, ..CameraOptions::default() };
        let camera = camera::start(options_of_camera);
        // No receiver reports count as a sign of life for this camera's log of requests.
        let proxy = Proxy::of_camera(&camera.url(0), options);
        let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1]);
        assert_eq!(reader.receive(Duration::from_secs(5))[&1].missing, 0);
        reader.tear_down();
        wait_count(&camera, Method::Pause, 1, SOON);
        wait::pass(Duration::from_millis(4500));
        assert!(!has_expired(&camera), "{}", camera::text(&camera));
        let signs = [&KEEP_ALIVES[..], &[Method::Setup, Method::Play, Method::Pause]].concat();
        let at = times(&camera, &signs);
        assert!(at.len() >= 7, "{}", camera::text(&camera));
        for pair in at.windows(2) {
            assert!(pair[1] - pair[0] < timeout, "{pair:?}\n{}", camera::text(&camera));
        }
        let mut again = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1]);
        assert!(again.next_media(1, SOON).is_some());
        assert_eq!(count(&camera, Method::Describe), 1);
        assert_eq!(count(&camera, Method::Setup), 2);
    }
}

#[test]
fn the_pause_of_the_only_reader_reaches_the_backend_and_so_does_its_play() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1, 2]);
    let first = reader.next_media(1, SOON).expect("media").header();
    reader.pause();
    wait_count(&camera, Method::Pause, 1, SOON);
    reader.receive(Duration::from_secs(1));
    reader.play();
    let again = reader.next_media(1, SOON).expect("media").header();
    assert_eq!(again.ssrc, first.ssrc);
    assert_eq!(deeds_since(&camera, 0)[3..], ["PLAY", "PAUSE", "PLAY"]);
}

#[test]
fn a_backend_without_pause_is_torn_down_and_set_up_anew() {
    let camera = camera::start(CameraOptions::default());
    camera.fault(Fault::NoPause(true));
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");
    let mut reader = RawReader::play_tracks(&url, Over::Udp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    reader.tear_down();
    wait_count(&camera, Method::Teardown, 1, SOON);
    assert!(wait::until(SOON, || camera.sessions(0) == 0));

    let mut reader = RawReader::play_tracks(&url, Over::Udp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    assert!(reader.next_media(2, SOON).is_some());
    assert_eq!(count(&camera, Method::Setup), 4, "{}", camera::text(&camera));
    assert_eq!(count(&camera, Method::Play), 2);
    proxy.terminate();
    wait_count(&camera, Method::Teardown, 2, SOON);
}

#[test]
fn a_backend_that_refuses_udp_is_asked_for_tcp() {
    let camera = camera::start(CameraOptions::default());
    camera.fault(Fault::NoUdp(true));
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Udp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    assert!(reader.next_media(2, SOON).is_some());
    let log = camera.log();
    let transports: Vec<bool> = log
        .iter()
        .filter_map(|entry| Some(entry.request()?.transport.as_deref()?.contains("RTP/AVP/TCP")))
        .collect();
    assert_eq!(transports.first(), Some(&false), "{}", camera::text(&camera));
    assert_eq!(transports.last(), Some(&true), "{}", camera::text(&camera));
    assert_eq!(count(&camera, Method::Play), 1);
}

#[test]
fn udp_that_brings_nothing_is_given_up_for_tcp_within_five_seconds() {
    let camera = camera::start(prompt());
    camera.fault(Fault::UdpSilent(true));
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let began = wait::now();
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1, 2]);
    let packet = reader.next_media(1, Duration::from_secs(8));
    let Some(packet) = packet else {
        panic!("no media\n{}\n{}", camera::text(&camera), proxy.log())
    };
    assert!(packet.at - began < Duration::from_secs(5), "{:?}", packet.at - began);
    // And it stays at that for the next reader.
    let mut other = RawReader::play_tracks(&proxy.url("cam"), Over::Udp, &[1]);
    assert!(other.next_media(1, SOON).is_some());
}

#[test]
fn a_reader_of_video_alone_does_not_wait_for_the_sound() {
    for options in [&[][..], &["-t"]] {
        let camera = camera::start(prompt());
        let proxy = Proxy::of_camera(&camera.url(0), options);
        for over in [Over::Udp, Over::Tcp] {
            let url = format!("{}?start=live", proxy.url("cam"));
            let mut reader = RawReader::play_tracks(&url, over, &[1]);
            let played = wait::now();
            let packet = reader.next_media(1, SOON).expect("a packet");
            let waited = packet.at.saturating_duration_since(played);
            assert!(waited < Duration::from_millis(400), "{over:?} {options:?}: {waited:?}");
        }
    }
}

#[test]
fn a_reader_that_leaves_after_setup_causes_no_play() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    for over in [Over::Udp, Over::Tcp] {
        let mut reader = RawReader::connect(&proxy.url("cam"), over);
        reader.describe();
        reader.set_up(1);
        wait::pass(Duration::from_secs(1));
        drop(reader);
        wait::pass(A_MOMENT);
        assert_eq!(count(&camera, Method::Play), 0, "{}", camera::text(&camera));
    }
    // The same while the backend still thinks about its own SETUP.
    camera.fault(Fault::Close(test_camera::Target::All));
    camera.fault(Fault::Delay { method: Method::Setup, delay: Duration::from_millis(1500) });
    assert!(wait::until(SOON, || count(&camera, Method::Describe) >= 2));
    let mut reader = RawReader::connect(&proxy.url("cam"), Over::Tcp);
    reader.describe();
    let track = reader.track_url(1);
    reader.send("SETUP", &track, &[("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")]);
    wait::pass(Duration::from_secs(1));
    drop(reader);
    wait::pass(Duration::from_secs(3));
    assert_eq!(count(&camera, Method::Play), 0, "{}", camera::text(&camera));
}

#[test]
fn the_teardown_of_one_track_leaves_the_other_going() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    for over in [Over::Udp, Over::Tcp] {
        let mut reader = RawReader::play_tracks(&proxy.url("cam"), over, &[1, 2]);
        assert!(reader.next_media(1, SOON).is_some());
        assert!(reader.next_media(2, SOON).is_some());
        let sound = reader.track_url(2);
        let answer = reader.request("TEARDOWN", &sound, &[]);
        assert_eq!(answer.status, 200, "{over:?}");
        // What had come before the answer.
        reader.receive(Duration::from_millis(200));
        let tallies = reader.receive(A_MOMENT);
        let video = &tallies[&1];
        assert!(video.is_whole() && video.packets > 40, "{over:?}: {video:?}");
        let sound = tallies.get(&2).map_or(0, |tally| tally.packets);
        assert_eq!(sound, 0, "{over:?}: sound goes on");
    }
}

#[test]
fn readers_of_different_tracks_do_not_disturb_each_other() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &["-t"]);
    let url = proxy.url("cam");
    let mut video = RawReader::play_tracks(&url, Over::Tcp, &[1]);
    let mut sound = RawReader::play_tracks(&url, Over::Tcp, &[2]);
    assert!(video.next_media(1, SOON).is_some());
    assert!(sound.next_media(2, SOON).is_some());
    drop(video);
    let before = sockets::cpu_seconds(proxy.process.id());
    let tally = sound.receive(A_MOMENT).remove(&2).unwrap_or_default();
    let spent = sockets::cpu_seconds(proxy.process.id()) - before;
    assert!(tally.is_whole() && tally.packets > 80, "{tally:?}");
    assert!(tally.longest_gap < Duration::from_millis(500), "{tally:?}");
    assert!(spent < 0.2 * A_MOMENT.as_secs_f64(), "{spent} s of processor time");
    assert_eq!(count(&camera, Method::Pause), 0);
}
