//! Backends that come late, go, and fall silent; who may read; and the proxy's own beginning and end.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use integration_tests::camera::{self, count, wait_count};
use integration_tests::process::Process;
use integration_tests::programs;
use integration_tests::proxy::{Proxy, free_port};
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::tally::Packet;
use integration_tests::wait;
use nix::sys::signal::Signal;
use test_camera::{
    Auth, AuthScheme, CameraOptions, Fault, Method, Source, Stamp, Synthetic, Target,
};

const SOON: Duration = Duration::from_secs(5);
/// What a backend that comes back may take: a few waits of the back-off.
const BACK_OFF: Duration = Duration::from_secs(8);

/// Waits until a stream can be described to a reader.
fn playable(url: &str, bound: Duration) -> bool {
    wait::until(bound, || {
        let mut reader = RawReader::connect(url, Over::Tcp);
        reader.request("DESCRIBE", url, &[("Accept", "application/sdp")]).status == 200
    })
}

#[test]
fn a_camera_that_comes_late_is_played_within_the_back_off() {
    let port = free_port();
    let proxy = Proxy::start(&[format!("cam=rtsp://127.0.0.1:{port}/cam")]);
    proxy.wait_for_log(SOON, &["cam", "not available"]);
    // An asker is told to come again.
    let mut early = RawReader::connect(&proxy.url("cam"), Over::Tcp);
    let url = early.url().to_owned();
    let answer = early.request("DESCRIBE", &url, &[]);
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some_and(|s| s.parse::<u32>().is_ok()), "{answer:?}");
    wait::pass(Duration::from_secs(1));

    let camera = camera::start_on(port, CameraOptions::default());
    assert!(playable(&url, BACK_OFF), "{}", proxy.log());
    let mut reader = RawReader::play_tracks(&url, Over::Udp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    assert_eq!(camera.playing(0), 1);
}

#[test]
fn the_backend_gets_the_credentials_that_open_it() {
    let schemes = [AuthScheme::Basic, AuthScheme::DigestMd5, AuthScheme::DigestSha256];
    let cameras = schemes.map(|scheme| {
        let mut auth = Auth::new(scheme, "admin", "pa ss:wörd");
        auth.qop = scheme == AuthScheme::DigestSha256;
        // Nonces that wear out are renewed in passing.
        auth.nonce_uses = Some(3);
        camera::start(CameraOptions { auth: Some(auth), ..CameraOptions::default() })
    });
    let streams: Vec<String> =
        (1..).zip(&cameras).map(|(n, c)| format!("s{n}={}", c.url(0))).collect();

    let options = ["-u", "admin", "pa ss:wörd"].map(str::to_owned);
    let proxy = Proxy::start(&[&options[..], &streams].concat());
    for (name, camera) in ["s1", "s2", "s3"].into_iter().zip(&cameras) {
        proxy.wait_described(name);
        let mut reader = RawReader::play_tracks(&proxy.url(name), Over::Tcp, &[1, 2]);
        assert!(reader.next_media(1, SOON).is_some(), "{name}\n{}", camera::text(camera));
    }
    proxy.terminate();
    for camera in &cameras {
        wait_count(camera, Method::Teardown, 1, SOON);
    }

    // In the URL, too.
    let url = cameras[1].url(0).replacen("://", "://admin:pa%20ss%3Aw%C3%B6rd@", 1);
    let proxy = Proxy::of_camera(&url, &[]);
    drop(proxy);
}

#[test]
fn wrong_credentials_for_a_backend_are_said_and_not_repeated_until_it_locks() {
    let schemes = [AuthScheme::Basic, AuthScheme::DigestMd5, AuthScheme::DigestSha256];
    let cameras = schemes.map(|scheme| {
        let auth = Some(Auth::new(scheme, "admin", "right"));
        camera::start(CameraOptions { auth, ..CameraOptions::default() })
    });
    let mut arguments = ["-u", "admin", "wrong"].map(str::to_owned).to_vec();
    arguments.extend((1..).zip(&cameras).map(|(n, c)| format!("s{n}={}", c.url(0))));
    let proxy = Proxy::start(&arguments);
    for name in ["s1", "s2", "s3"] {
        proxy.wait_for_log(SOON, &[name, "not available", "password"]);
    }
    wait::pass(Duration::from_secs(6));
    for camera in &cameras {
        let shown = camera.log().iter().filter_map(|e| e.request()?.authorization.clone()).count();
        assert!((1..=2).contains(&shown), "{shown}\n{}", camera::text(camera));
    }
    assert_eq!(proxy.log().matches("backend described").count(), 0);
    // A reader is not asked for a password that it is not to know.
    let url = proxy.url("s2");
    let mut reader = RawReader::connect(&url, Over::Tcp);
    let status = reader.request("DESCRIBE", &url, &[]).status;
    assert!(status >= 500, "{status}");
}

#[test]
fn many_streams_with_one_wrong_password_do_not_lock_the_account() {
    const STREAMS: usize = 30;
    let auth = Some(Auth::new(AuthScheme::DigestMd5, "admin", "right"));
    let camera =
        camera::start(CameraOptions { auth, streams: STREAMS, ..CameraOptions::default() });
    let mut arguments: Vec<_> = (0..STREAMS)
        .map(|n| format!("s{n}={}", camera.url(n).replacen("://", "://admin:wrong@", 1)))
        .collect();
    arguments.push(format!("good={}", camera.url(0).replacen("://", "://admin:right@", 1)));
    let proxy = Proxy::start(&arguments);
    for n in 0..STREAMS {
        proxy.wait_for_log(SOON, &[&format!("stream=s{n} "), "not available", "password"]);
    }
    proxy.wait_for_log(SOON, &["backend described", "stream=good"]);
    let log = camera.log();
    let shown = log.iter().filter(|e| e.request().is_some_and(|r| r.authorization.is_some()));
    // Two, what was under way by then, and the right one.
    let shown = shown.filter(|e| e.is_request(Method::Describe)).count();
    assert!((3..=12).contains(&shown), "{shown}\n{}", camera::text(&camera));
}

fn ffmpeg_copy(url: &str, over: Over) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-rtsp_transport", over.as_str()]);
    command.args(["-i", url, "-map", "0", "-c", "copy", "-t", "1", "-f", "null", "-"]);
    Process::start("ffmpeg", &mut command)
}

#[test]
fn readers_need_the_password_that_was_set() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &["-C", "anna", "s3cret"]);
    let with = |user: &str| proxy.url("cam").replacen("://", &format!("://{user}@"), 1);

    let mut reader = RawReader::connect(&proxy.url("cam"), Over::Tcp);
    let url = reader.url().to_owned();
    let answer = reader.request("DESCRIBE", &url, &[]);
    assert_eq!(answer.status, 401);
    let challenges: Vec<&str> = answer.headers("WWW-Authenticate").collect();
    assert!(challenges.iter().all(|c| c.starts_with("Digest ")), "{challenges:?}");
    assert!(challenges.iter().any(|c| c.contains("SHA-256")), "{challenges:?}");
    assert!(challenges.iter().any(|c| !c.contains("SHA")), "{challenges:?}");

    let mut players = [
        (ffmpeg_copy(&with("anna:s3cret"), Over::Tcp), true),
        (ffmpeg_copy(&with("anna:s3cret"), Over::Udp), true),
        (ffmpeg_copy(&with("anna:wrong"), Over::Tcp), false),
        (ffmpeg_copy(&proxy.url("cam"), Over::Udp), false),
    ];
    for (player, welcome) in &mut players {
        if *welcome {
            player.expect_success(Duration::from_secs(20));
        } else {
            let status = player.wait(Duration::from_secs(20));
            assert!(status.is_some_and(|status| !status.success()), "{status:?}");
            let said = player.stderr().wait_for(SOON, |line| line.contains("401"));
            assert!(said.is_some(), "{:?}", player.stderr().all());
        }
    }
    assert_eq!(count(&camera, Method::Play), 1, "{}", camera::text(&camera));
}

#[test]
fn play_urls_are_all_that_standard_output_says() {
    let camera = camera::start(CameraOptions { streams: 2, ..CameraOptions::default() });
    for (arguments, names) in [
        (vec![camera.url(0)], &["proxyStream"][..]),
        (vec![camera.url(0), camera.url(1)], &["proxyStream-1", "proxyStream-2"]),
        (vec![format!("a={}", camera.url(0)), camera.url(1)], &["a", "proxyStream-2"]),
        (vec!["-e".into(), "gate".into(), camera.url(0), camera.url(1)], &["gate-1", "gate-2"]),
    ] {
        let proxy = Proxy::start(&arguments);
        let mut urls = Vec::new();
        for name in names {
            let ending = format!(":{}/{name}", proxy.port());
            let url = proxy.process.stdout().wait_for(SOON, |line| line.ends_with(&ending));
            assert!(url.is_some(), "{name}: {:?}", proxy.process.stdout().all());
            urls.extend(url);
            assert!(playable(&proxy.url(name), SOON), "{name}\n{}", proxy.log());
        }
        assert_eq!(proxy.process.stdout().all(), urls);
    }
}

#[test]
fn without_arguments_there_is_something_to_see() {
    let arguments: [&str; 0] = [];
    let proxy = Proxy::start(&arguments);
    assert!(proxy.process.stdout().all()[0].ends_with("/demo"), "{:?}", proxy.process.stdout());
    let line = proxy.wait_for_log(SOON, &["ffplay", "/demo"]);
    assert!(line.contains(&proxy.port().to_string()), "{line}");
    assert!(playable(&proxy.url("demo"), SOON), "{}", proxy.log());
    let mut reader = RawReader::play_tracks(&proxy.url("demo"), Over::Udp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    assert!(reader.next_media(2, SOON).is_some());
    proxy.terminate();
}

/// Runs the proxy to its end; the exit code and what it wrote to standard error.
fn refused(arguments: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut command = Command::new(programs::proxy_server());
    let mut process = Process::start("proxy-server", command.args(arguments));
    let status = process.wait(SOON);
    assert!(status.is_some(), "still running: {arguments:?}");
    let ended = process.stderr().wait_for(SOON, |_| false);
    assert_eq!((ended, process.stdout().all()), (None, Vec::new()), "{arguments:?}");
    (status.and_then(|status| status.code()), process.stderr().all())
}

#[test]
fn a_port_in_use_ends_it_with_1_and_one_line_that_names_the_port() {
    for address in ["0.0.0.0:0", "[::1]:0"] {
        let holder = TcpListener::bind(address).expect("a free port");
        let port = holder.local_addr().expect("bound").port().to_string();
        let (code, lines) = refused(&["-p", &port, "cam=rtsp://127.0.0.1:9/cam"]);
        assert_eq!(code, Some(1), "{lines:?}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(&port) && lines[0].contains("in use"), "{lines:?}");
    }
}

#[test]
fn what_cannot_be_served_ends_it_with_2_and_one_line() {
    for (arguments, named) in [
        (&["rtsp://"][..], "rtsp://"),
        (&["http://127.0.0.1/cam"], "http"),
        (&["cam=file:///etc/passwd"], "file"),
        (&["rtsp://127.0.0.1:99999/cam"], "99999"),
        (&["-T", "x", "rtsp://127.0.0.1/cam"], "-T"),
        (&["-R", "rtsp://127.0.0.1/cam"], "-R"),
        (&["-U", "a", "b", "rtsp://127.0.0.1/cam"], "-U"),
    ] {
        let (code, lines) = refused(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {lines:?}");
        assert_eq!(lines.len(), 1, "{arguments:?}: {lines:?}");
        assert!(lines[0].contains(named), "{arguments:?}: {lines:?}");
    }
}

/// Takes everything until the connection is closed; whether each of `tracks` said goodbye.
fn hears_the_end(reader: &mut RawReader, tracks: &[usize], bound: Duration) -> Result<(), String> {
    let Some(tallies) = reader.until_closed(bound) else { return Err("not closed".to_owned()) };
    match tracks.iter().find(|track| tallies.get(track).is_none_or(|tally| tally.byes == 0)) {
        Some(track) => Err(format!("no BYE on track {track}: {tallies:?}")),
        None => Ok(()),
    }
}

#[test]
fn sigterm_says_goodbye_to_readers_and_backends_within_two_seconds() {
    let camera = camera::start(CameraOptions::default());
    let mut proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");
    let mut readers = [Over::Udp, Over::Tcp].map(|over| {
        let mut reader = RawReader::play_tracks(&url, over, &[1, 2]);
        assert!(reader.next_media(1, SOON).is_some());
        reader
    });
    let signalled = wait::now();
    proxy.process.signal(Signal::SIGTERM);
    for reader in &mut readers {
        assert_eq!(hears_the_end(reader, &[1, 2], Duration::from_secs(2)), Ok(()));
    }
    let left = Duration::from_secs(2).saturating_sub(wait::now() - signalled);
    let status = proxy.process.wait(left);
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", proxy.log());
    wait_count(&camera, Method::Teardown, 1, SOON);
}

#[test]
fn an_interrupt_ends_it_in_time_with_a_backend_that_does_not_answer() {
    let camera = camera::start(CameraOptions::default());
    camera.fault(Fault::Ignore { method: Method::Teardown, ignored: true });
    let mut proxy = Proxy::of_camera(&camera.url(0), &["-t"]);
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1]);
    assert!(reader.next_media(1, SOON).is_some());
    proxy.process.signal(Signal::SIGINT);
    let status = proxy.process.wait(Duration::from_secs(2));
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", proxy.log());
    wait_count(&camera, Method::Teardown, 1, SOON);
}

/// When the camera handed a packet of a synthetic stream to its socket, since 1970.
fn sent(packet: &Packet) -> Option<Duration> {
    Stamp::read(packet.payload()).map(|stamp| stamp.sent)
}

#[test]
fn who_comes_after_a_pause_never_sees_what_was_before() {
    let source = Source::Synthetic(Synthetic { gop: 25, ..Synthetic::default() });
    let camera = camera::start(CameraOptions { source, ..CameraOptions::default() });
    for options in [&[][..], &["-t"]] {
        let proxy = Proxy::of_camera(&camera.url(0), options);
        for over in [Over::Tcp, Over::Udp] {
            let mut first = RawReader::play_tracks(&proxy.url("cam"), over, &[1]);
            let tally = first.receive(Duration::from_millis(1500)).remove(&1).unwrap_or_default();
            assert!(tally.is_whole(), "{tally:?}");
            let before = tally.last.expect("packets");
            let pauses = count(&camera, Method::Pause);
            first.tear_down();
            wait_count(&camera, Method::Pause, pauses + 1, SOON);
            wait::pass(Duration::from_secs(1));

            let asked = wait::wall();
            let mut second = RawReader::play_tracks(&proxy.url("cam"), over, &[1]);
            let mut stamps = Vec::new();
            let mut headers = Vec::new();
            while stamps.len() < 100 {
                let packet = second.next_media(1, SOON).expect("media goes on");
                headers.push(packet.header());
                stamps.extend(sent(&packet));
            }
            assert!(stamps.iter().all(|sent| *sent >= asked), "{over:?} {options:?}: old pictures");
            // Numbers go on, and so does time, by as much as has passed.
            let after = headers[0];
            assert_eq!(after.ssrc, before.ssrc);
            let passed = f64::from(after.timestamp.wrapping_sub(before.timestamp)) / 90_000.0;
            assert!((1.0..4.0).contains(&passed), "{passed} s between {before:?} and {after:?}");
        }
    }
}

#[test]
fn readers_are_told_when_the_backend_goes_and_may_come_again() {
    told_of_the_end("auto");
}

#[test]
fn readers_of_a_backend_over_tcp_are_told_as_well() {
    told_of_the_end("tcp");
}

fn told_of_the_end(transport: &str) {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::configured(&format!(
        "[streams.cam]\nsource = \"{}\"\ntransport = \"{transport}\"\nmax_packet_gap = \"2s\"\n\
         on_backend_loss = \"close\"\nlinger = 0\n",
        camera.url(0)
    ));
    proxy.wait_described("cam");
    let url = proxy.url("cam");
    let silence = |on: bool| {
        let track = test_camera::Track::Video;
        Fault::Silence { target: Target::All, track, silent: on }
    };
    for (fault, end) in [
        (Fault::Close(Target::All), None),
        (Fault::Bye { target: Target::All, track: None }, None),
        (Fault::StopSending(Target::All), Some(Fault::Resume(Target::All))),
        // The sound alone is not enough.
        (silence(true), Some(silence(false))),
        (Fault::EndSessions(Target::All), None),
    ] {
        let mut readers = [Over::Udp, Over::Tcp].map(|over| {
            let mut reader = RawReader::play_tracks(&url, over, &[1, 2]);
            assert!(reader.next_media(1, SOON).is_some(), "{fault:?}\n{}", proxy.log());
            assert!(reader.next_media(2, SOON).is_some(), "{fault:?}\n{}", proxy.log());
            reader
        });
        let described = count(&camera, Method::Describe);
        camera.fault(fault.clone());
        for reader in &mut readers {
            let end = hears_the_end(reader, &[1, 2], SOON);
            assert_eq!(end, Ok(()), "{fault:?}\n{}\n{}", camera::text(&camera), proxy.log());
        }
        camera.fault(end.unwrap_or(Fault::Clear));
        wait_count(&camera, Method::Describe, described + 1, BACK_OFF);
        assert!(playable(&url, BACK_OFF), "{fault:?}\n{}", proxy.log());
    }
}

#[test]
fn the_end_of_one_track_is_not_the_end_of_the_others() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &["-D", "2"]);
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1, 2]);
    assert!(reader.next_media(2, SOON).is_some());
    assert!(reader.next_media(1, SOON).is_some());
    let track = Some(test_camera::Track::Audio);
    camera.fault(Fault::Bye { target: Target::All, track });
    let tallies = reader.receive(Duration::from_secs(4));
    assert!(!reader.wire.is_closed(), "{}", proxy.log());
    assert!(tallies[&1].is_whole() && tallies[&1].packets > 80, "{tallies:?}");
}

#[test]
fn a_backend_that_no_longer_answers_keep_alives_is_reset() {
    let timeout = Duration::from_secs(4);
    let camera = camera::start(CameraOptions { timeout, ..CameraOptions::default() });
    let text = format!(
        "[streams.cam]\nsource = \"{}\"\nrequest_timeout = \"2s\"\nlinger = 0\n",
        camera.url(0)
    );
    let proxy = Proxy::configured(&text);
    proxy.wait_described("cam");
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1]);
    assert!(reader.next_media(1, SOON).is_some());
    reader.tear_down();
    wait_count(&camera, Method::Pause, 1, SOON);
    for method in [Method::Options, Method::GetParameter, Method::SetParameter] {
        camera.fault(Fault::Ignore { method, ignored: true });
    }
    wait_count(&camera, Method::Describe, 2, Duration::from_secs(15));
}

#[test]
fn sigusr1_asks_for_a_line_per_stream() {
    let camera = camera::start(CameraOptions { streams: 2, ..CameraOptions::default() });
    let streams = [format!("hall={}", camera.url(0)), format!("yard={}", camera.url(1))];
    let proxy = Proxy::start(&streams);
    proxy.wait_described("hall");
    proxy.wait_described("yard");
    let mut reader = RawReader::play_tracks(&proxy.url("hall"), Over::Tcp, &[1, 2]);
    reader.receive(Duration::from_secs(1));
    proxy.process.signal(Signal::SIGUSR1);
    let hall = proxy.wait_for_log(SOON, &["status", "hall", "H264", "readers=1"]);
    assert!(!hall.contains("mbit=0.00"), "{hall}");
    proxy.wait_for_log(SOON, &["status", "yard", "readers=0"]);
}

#[test]
fn no_secret_is_ever_logged() {
    let auth = |scheme| Some(Auth::new(scheme, "admin", "hush-backend"));
    let basic =
        camera::start(CameraOptions { auth: auth(AuthScheme::Basic), ..CameraOptions::default() });
    let digest = camera::start(CameraOptions {
        auth: auth(AuthScheme::DigestMd5),
        ..CameraOptions::default()
    });
    let in_url = digest.url(0).replacen("://", "://admin:hush-url@", 1);
    let absent = format!("rtsp://admin:hush-absent@127.0.0.1:{}/cam", free_port());
    let proxy = Proxy::start(&[
        "-V".to_owned(),
        "-u".to_owned(),
        "admin".to_owned(),
        "hush-backend".to_owned(),
        "-C".to_owned(),
        "anna".to_owned(),
        "hush-reader".to_owned(),
        format!("basic={}", basic.url(0)),
        format!("digest={}", digest.url(0)),
        format!("wrong={in_url}"),
        format!("absent={absent}"),
    ]);
    proxy.wait_described("basic");
    proxy.wait_described("digest");
    proxy.wait_for_log(SOON, &["wrong", "not available"]);
    proxy.wait_for_log(SOON, &["absent", "not available"]);
    for user in ["anna:hush-reader", "anna:hush-guess"] {
        let url = proxy.url("basic").replacen("://", &format!("://{user}@"), 1);
        ffmpeg_copy(&url, Over::Tcp).wait(Duration::from_secs(20));
    }
    // A reader that shows its secret in the open.
    let url = proxy.url("digest").replacen("://", "://anna:hush-line@", 1);
    let mut reader = RawReader::connect(&proxy.url("digest"), Over::Tcp);
    let encoded =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "anna:hush-basic");
    let basic_reader = format!("Basic {encoded}");
    assert_eq!(reader.request("DESCRIBE", &url, &[("Authorization", &basic_reader)]).status, 401);
    proxy.process.signal(Signal::SIGUSR1);
    proxy.wait_for_log(SOON, &["status", "absent"]);

    let log = proxy.log();
    assert!(log.contains("DESCRIBE "), "the dialogues are not logged:\n{log}");
    let backend =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "admin:hush-backend");
    for secret in ["hush", &*encoded, &*backend, "response=\""] {
        let shown: Vec<&str> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(shown.is_empty(), "{secret:?} in the log: {shown:#?}");
    }
}
