//! Streams that are opened when a reader asks for a name that a pattern fits, and closed again.

use std::time::Duration;

use integration_tests::camera::{self, count, wait_count};
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::{Over, ffmpeg_sums};
use integration_tests::wait;
use nix::sys::signal::Signal;
use test_camera::{Auth, AuthScheme, Camera, CameraOptions, Fault, LogEvent, Method};

const SOON: Duration = Duration::from_secs(5);
/// How long the streams here may have no reader.
const LINGER: Duration = Duration::from_secs(2);
/// What it may take from the end of that until the camera has heard of it.
const LATE: Duration = Duration::from_millis(1500);

fn recorder(streams: usize) -> Camera {
    camera::start(CameraOptions { streams, ..CameraOptions::default() })
}

/// A proxy with the pattern `nvr/*` for the camera's streams, and what else is said before it.
fn proxy(camera: &Camera, before: &str) -> Proxy {
    Proxy::configured(&format!(
        "{before}\n[defaults]\nlinger = \"{}s\"\n[streams.\"nvr/*\"]\nsource = \"{}\"\n",
        LINGER.as_secs(),
        source(camera, "{1}"),
    ))
}

fn source(camera: &Camera, path: &str) -> String {
    format!("rtsp://{}/{path}", camera.addr())
}

/// The streams of which the camera was asked for a description, by their numbers, one per request.
fn described(camera: &Camera) -> Vec<Option<usize>> {
    let log = camera.log();
    let requests = log.iter().filter_map(|entry| entry.request());
    let mut streams: Vec<_> =
        requests.filter(|r| r.method == "DESCRIBE").map(|request| request.stream).collect();
    streams.sort_unstable();
    streams
}

/// The answer to DESCRIBE of a stream: status, and `Retry-After` in seconds.
fn ask(proxy: &Proxy, name: &str) -> (u16, Option<u64>) {
    let url = proxy.url(name);
    let mut reader = RawReader::connect(&url, Over::Tcp);
    let answer = reader.request("DESCRIBE", &url, &[]);
    let retry = answer.header("Retry-After").map(|text| text.parse().expect("a number"));
    (answer.status, retry)
}

fn log_count(proxy: &Proxy, words: &[&str]) -> usize {
    proxy.process.stderr().count(|line| words.iter().all(|word| line.contains(word)))
}

#[test]
fn players_read_all_streams_of_a_recorder_through_one_pattern() {
    let camera = recorder(5);
    // The exact name goes before both patterns, and the one that begins with a name before the other.
    let before = format!(
        "workers = 2\n[streams.\"nvr/front\"]\nsource = \"{}\"\n[streams.\"*/*\"]\nsource = \"{}\"",
        source(&camera, "cam4"),
        source(&camera, "cam{2}?{1}"),
    );
    let proxy = proxy(&camera, &before);
    proxy.wait_described("nvr/front");
    assert_eq!(described(&camera), [Some(4)], "nobody has asked for others");
    let mut players: Vec<_> = [
        ("nvr/cam", Over::Tcp),
        ("nvr/cam1", Over::Udp),
        ("nvr/cam1", Over::Tcp),
        ("nvr/cam2", Over::Tcp),
        ("nvr/front", Over::Udp),
        ("site/3", Over::Tcp),
    ]
    .into_iter()
    .map(|(name, over)| (name, ffmpeg_sums(&proxy.url(name), over, 3.0)))
    .collect();
    for (name, player) in &mut players {
        player.expect_success(Duration::from_secs(30));
        // Pictures and sound of three seconds.
        let frames = player.stdout().count(|line| !line.starts_with('#'));
        assert!(frames > 100, "{name}: {frames}\n{}", player.stderr().all().join("\n"));
    }
    assert_eq!(described(&camera), [0, 1, 2, 3, 4].map(Some), "{}", proxy.log());
    // Those that were opened are closed, the other stays.
    let closed = || log_count(&proxy, &["stream closed"]);
    assert!(wait::until(LINGER + SOON, || closed() == 4), "{}", proxy.log());
    proxy.process.signal(Signal::SIGUSR1);
    proxy.wait_for_log(SOON, &["status", "nvr/front"]);
    proxy.wait_for_log(SOON, &["log memory", "streams=1 "]);
}

#[test]
fn a_stream_lives_as_long_as_its_readers_and_a_little_longer() {
    let camera = recorder(2);
    let proxy = proxy(&camera, "");
    let mut reader = RawReader::play_tracks(&proxy.url("nvr/cam1"), Over::Tcp, &[1, 2]);
    reader.receive(LINGER * 2);
    proxy.process.signal(Signal::SIGUSR1);
    proxy.wait_for_log(SOON, &["status", "nvr/cam1", "playing", "readers=1"]);
    assert_eq!(log_count(&proxy, &["stream closed"]), 0);

    // One that comes back soon finds it as it was.
    reader.tear_down();
    wait::pass(LINGER / 2);
    let mut reader = RawReader::play_tracks(&proxy.url("nvr/cam1"), Over::Udp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    assert_eq!(described(&camera), [Some(1)]);

    let left = wait::now();
    reader.tear_down();
    proxy.wait_for_log(LINGER + LATE, &["stream closed", "nvr/cam1"]);
    assert!(left.elapsed() > LINGER - Duration::from_millis(500), "{:?}", left.elapsed());
    wait_count(&camera, Method::Teardown, 1, LATE);
    let closed = |log: &[test_camera::LogEntry]| {
        log.iter().filter(|entry| matches!(entry.event, LogEvent::Closed { .. })).count() > 0
    };
    assert!(camera.wait_for(closed, SOON), "{}", camera::text(&camera));
    // Nothing of it is left that would go on asking.
    let requests = camera.log().len();
    wait::pass(Duration::from_secs(2));
    assert_eq!(camera.log().len(), requests, "{}", camera::text(&camera));

    // It can be opened again.
    let mut reader = RawReader::play_tracks(&proxy.url("nvr/cam1"), Over::Tcp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    assert_eq!(described(&camera), [Some(1), Some(1)]);
}

#[test]
fn streams_that_come_and_go_leave_nothing_behind() {
    const STREAMS: usize = 12;
    let camera = recorder(STREAMS + 1);
    // It says nothing to goodbyes: its connections are closed all the same.
    camera.fault(Fault::Ignore { method: Method::Teardown, ignored: true });
    let proxy = proxy(&camera, "workers = 2");
    let directory = format!("/proc/{}/fd", proxy.process.id());
    let files = || std::fs::read_dir(&directory).expect("a running process").count();
    let before = files();
    let mut between = Vec::new();
    for round in 1..=2 {
        let play = |number: usize| {
            let over = if number.is_multiple_of(2) { Over::Udp } else { Over::Tcp };
            RawReader::play_tracks(&proxy.url(&format!("nvr/cam{number}")), over, &[1, 2])
        };
        let mut readers: Vec<_> = (1..=STREAMS).map(play).collect();
        for reader in &mut readers {
            assert!(reader.next_media(1, SOON).is_some());
        }
        assert!(files() >= before + 2 * STREAMS, "{} and {before}", files());
        readers.iter_mut().for_each(RawReader::tear_down);
        drop(readers);
        let closed = || log_count(&proxy, &["stream closed"]);
        let bound = LINGER + SOON;
        assert!(wait::until(bound, || closed() == round * STREAMS), "{}", proxy.log());
        assert!(wait::until(SOON, || files() < before + STREAMS), "{} and {before}", files());
        wait::pass(Duration::from_secs(1));
        between.push(files());
    }
    // What is there now was there after the first ones, too.
    assert!(between[1] <= between[0], "{before}, then {between:?}");
}

#[test]
fn asked_for_by_many_at_once_a_stream_is_opened_once() {
    let camera = recorder(2);
    let proxy = proxy(&camera, "workers = 3");
    let url = proxy.url("nvr/cam1");
    std::thread::scope(|scope| {
        for number in 0..24 {
            let (url, over) = (&url, if number % 2 == 0 { Over::Tcp } else { Over::Udp });
            scope.spawn(move || {
                let mut reader = RawReader::play_tracks(url, over, &[1, 2]);
                assert!(reader.next_media(1, SOON).is_some());
            });
        }
    });
    assert_eq!(described(&camera), [Some(1)], "{}", proxy.log());
    assert_eq!(count(&camera, Method::Play), 1, "{}", camera::text(&camera));
}

#[test]
fn beyond_max_dynamic_readers_are_told_to_come_again() {
    let camera = recorder(8);
    let proxy = proxy(&camera, "[limits]\nmax_dynamic = 2");
    let first = RawReader::play_tracks(&proxy.url("nvr/cam1"), Over::Tcp, &[1]);
    let second = RawReader::play_tracks(&proxy.url("nvr/cam2"), Over::Tcp, &[1]);
    for name in ["nvr/cam3", "nvr/cam4", "nvr/cam5", "nvr/cam3"] {
        let (status, retry) = ask(&proxy, name);
        assert_eq!(status, 503, "{name}");
        assert!(retry.is_some_and(|seconds| seconds > 0), "{name}: {retry:?}");
    }
    assert_eq!(log_count(&proxy, &["WARN", "max_dynamic"]), 1, "{}", proxy.log());
    // Those that are open are open to all.
    assert_eq!(ask(&proxy, "nvr/cam1").0, 200);
    assert_eq!(described(&camera), [Some(1), Some(2)]);
    drop(first);
    assert!(wait::until(LINGER + LATE, || ask(&proxy, "nvr/cam3").0 == 200), "{}", proxy.log());
    assert_eq!(ask(&proxy, "nvr/cam4").0, 503);
    drop(second);
}

#[test]
fn who_has_not_said_who_it_is_opens_nothing() {
    let camera = recorder(2);
    let proxy = proxy(&camera, "[users]\nanna = \"s3cret\"");
    let url = proxy.url("nvr/cam1");
    let mut reader = RawReader::connect(&url, Over::Tcp);
    let track = format!("{url}/track1");
    let transport = [("Transport", "RTP/AVP/TCP;unicast;interleaved=0-1")];
    assert_eq!(reader.request("OPTIONS", &url, &[]).status, 200);
    assert_eq!(reader.request("DESCRIBE", &url, &[]).status, 401);
    assert_eq!(reader.request("SETUP", &track, &transport).status, 401);
    let wrong = proxy.url("nvr/cam1").replacen("://", "://anna:wrong@", 1);
    let mut player = ffmpeg_sums(&wrong, Over::Tcp, 1.0);
    let status = player.wait(Duration::from_secs(20));
    assert!(status.is_some_and(|status| !status.success()), "{status:?}");
    assert_eq!(camera.log().len(), 0, "{}", camera::text(&camera));
    assert_eq!(log_count(&proxy, &["opens the stream"]), 0, "{}", proxy.log());

    let right = proxy.url("nvr/cam1").replacen("://", "://anna:s3cret@", 1);
    let mut player = ffmpeg_sums(&right, Over::Tcp, 1.0);
    player.expect_success(Duration::from_secs(20));
    assert_eq!(described(&camera), [Some(1)]);
}

#[test]
fn no_name_leads_anywhere_but_to_the_source() {
    let camera = recorder(2);
    let proxy = proxy(&camera, "");
    for name in [
        "nvr/..",
        "nvr/%2e%2e",
        "nvr/..%2f..",
        "nvr/%2e%2e/cam1",
        "nvr/cam1/..",
        "nvr/a..b",
        "nvr/cam1@other.example",
        "nvr/cam1%40127.0.0.1:9",
        "nvr/%7B1%7D",
        "nvr/cam1%00",
        "nvr/cam1%0d%0aX:1",
        "nvr/cam1%3fx",
        "nvr/cam1%252e",
        "nvr/*",
        "nvr/",
        "nvr",
        "nvr/cam1/track",
        "other/cam1",
        "cam1",
    ] {
        let (status, _) = ask(&proxy, name);
        assert!(status == 404 || status == 400, "{name}: {status}");
    }
    assert_eq!(ask(&proxy, &format!("nvr/{}", "x".repeat(300))).0, 404);
    assert_eq!(camera.log().len(), 0, "{}", camera::text(&camera));
    assert_eq!(log_count(&proxy, &["opens the stream"]), 0, "{}", proxy.log());
    // The URL's query is the reader's own affair, and no part of what is matched.
    assert_eq!(ask(&proxy, "nvr/cam1?start=live").0, 200);
    assert_eq!(described(&camera), [Some(1)]);
}

#[test]
fn streams_that_fail_count_while_their_backend_is_left_in_peace() {
    let camera = recorder(2);
    let proxy = proxy(&camera, "[limits]\nmax_dynamic = 2");
    // There is no such stream: its reader hears so, and not after a time-out.
    let begun = wait::now();
    for name in ["nvr/nothing", "nvr/nowhere"] {
        let (status, _) = ask(&proxy, name);
        assert!(status == 404 || status == 503, "{status}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(ask(&proxy, "nvr/cam1").0, 503);
    // Both are asked for again and again: within the back-off, and no more.
    while begun.elapsed() < Duration::from_secs(4) {
        let (status, _) = ask(&proxy, "nvr/nothing");
        assert!(status == 404 || status == 503, "{status}");
        wait::pass(Duration::from_millis(100));
    }
    let asked = described(&camera).len();
    assert!((2..=10).contains(&asked), "{asked}\n{}", camera::text(&camera));
    // Left alone, they are closed soon, and nobody asks for them any more.
    let bound = Duration::from_secs(7);
    assert!(wait::until(bound, || ask(&proxy, "nvr/cam1").0 == 200), "{}", proxy.log());
    proxy.wait_for_log(bound, &["stream closed", "nvr/nothing"]);
    proxy.wait_for_log(bound, &["stream closed", "nvr/nowhere"]);
    let nobody = || described(&camera).iter().filter(|stream| stream.is_none()).count();
    let asked = nobody();
    wait::pass(Duration::from_secs(3));
    assert_eq!(nobody(), asked, "{}", camera::text(&camera));
}

#[test]
fn readers_that_come_again_and_again_do_not_lock_an_account() {
    let auth = Some(Auth::new(AuthScheme::DigestMd5, "admin", "right"));
    let camera = camera::start(CameraOptions { auth, ..CameraOptions::default() });
    let source = source(&camera, "{1}").replacen("://", "://admin:wrong@", 1);
    let proxy = Proxy::configured(&format!("[streams.\"nvr/*\"]\nsource = \"{source}\"\n"));
    let begun = wait::now();
    while begun.elapsed() < Duration::from_secs(10) {
        let (status, _) = ask(&proxy, "nvr/cam");
        assert!(status == 502 || status == 503, "{status}");
        wait::pass(Duration::from_millis(300));
    }
    proxy.wait_for_log(Duration::from_secs(8), &["stream closed", "nvr/cam"]);
    // It is forgotten, but for the time of its next attempt.
    let (status, retry) = ask(&proxy, "nvr/cam");
    assert_eq!(status, 503);
    assert!(retry.is_some_and(|seconds| (200..=300).contains(&seconds)), "{retry:?}");
    let log = camera.log();
    let shown = log.iter().filter(|e| e.request().is_some_and(|r| r.authorization.is_some()));
    assert!(shown.count() <= 2, "{}", camera::text(&camera));
}
