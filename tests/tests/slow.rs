//! Readers that do not read: they cost nobody else anything, and find their way back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use integration_tests::camera;
use integration_tests::pictures::{Player, Shown};
use integration_tests::proxy::Proxy;
use integration_tests::raw::{RawReader, Running};
use integration_tests::reader::Over;
use integration_tests::wait;
use nix::sys::signal::Signal;
use socket2::SockRef;
use test_camera::{Camera, CameraOptions, Pace, Source, Synthetic};

/// From one key frame of the clip to the next.
const GOP: Duration = Duration::from_secs(2);
/// What a player may take for itself: it has to read, to decode and to write.
const PLAYERS_OWN: Duration = Duration::from_millis(1500);
/// Pictures so old are looked at when the newest are wanted.
const RECENT: Duration = Duration::from_millis(500);
/// The clip's length.
const CLIP: f64 = 16.0;

/// How long ago the camera showed what a player shows, in seconds.
fn age(camera: &Camera, shown: &Shown, now: (Instant, Duration)) -> Option<f64> {
    let (instant, wall) = now;
    let began = camera.content_epoch(0).duration_since(std::time::UNIX_EPOCH).ok()?;
    let at = wall.checked_sub(instant.checked_duration_since(shown.at)?)?;
    let due = at.checked_sub(began)?.as_secs_f64();
    Some((due - f64::from(shown.number?) / 25.0).rem_euclid(CLIP))
}

fn run_twenty(url: &str, tracks: &[usize]) -> Vec<Running> {
    (0..20)
        .map(|number| {
            let over = if number % 2 == 0 { Over::Udp } else { Over::Tcp };
            RawReader::play_tracks(url, over, tracks).run()
        })
        .collect()
}

fn stop_all(readers: Vec<Running>, tracks: &[usize]) -> Vec<String> {
    let outcomes = readers.into_iter().map(Running::stop);
    outcomes.filter_map(|outcome| outcome.check(tracks).err()).collect()
}

#[test]
fn players_stopped_for_twenty_seconds_harm_nobody_and_show_a_picture_within_a_gop() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");
    let players = [
        ("ffmpeg over TCP", Player::ffmpeg(&url, Over::Tcp)),
        ("ffmpeg over UDP", Player::ffmpeg(&url, Over::Udp)),
        ("GStreamer over TCP", Player::gstreamer(&url, Over::Tcp)),
        ("GStreamer over UDP", Player::gstreamer(&url, Over::Udp)),
    ];
    let readers = run_twenty(&url, &[1, 2]);
    for (name, player) in &players {
        let picture = player.wait_for(Duration::from_secs(20), |shown| shown.number.is_some());
        let said = player.process.stderr().all();
        assert!(picture.is_some(), "{name} shows nothing: {said:?}\n{}", proxy.log());
    }
    for (_, player) in &players {
        player.process.signal(Signal::SIGSTOP);
    }
    wait::pass(Duration::from_secs(20));
    let wrong = stop_all(readers, &[1, 2]);
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());

    let continued = wait::now();
    for (_, player) in &players {
        player.process.signal(Signal::SIGCONT);
    }
    let mut wrong = Vec::new();
    for (name, player) in &players {
        let first = player.wait_for(GOP + PLAYERS_OWN, |shown| shown.at > continued);
        println!("{name}: a picture after {:?}", first.map(|shown| shown.at - continued));
        if first.is_none() {
            wrong.push(format!("{name}: no picture: {:?}", player.process.stderr().all()));
        }
    }
    // What lay in the kernel's buffers is shown by then; what is shown now is new.
    wait::pass((GOP + PLAYERS_OWN).saturating_sub(wait::now() - continued));
    let now = (wait::now(), wait::wall());
    for (name, player) in &players {
        // A picture shown since `now` was read is of no age yet.
        let lately = |shown: &&Shown| {
            now.0.checked_duration_since(shown.at).is_some_and(|past| past < RECENT)
        };
        let shown = player.shown();
        let ages: Vec<_> =
            shown.iter().filter(lately).map(|shown| age(&camera, shown, now)).collect();
        println!("{name}: the newest pictures are so old: {ages:?}");
        if ages.is_empty() || !ages.iter().all(|age| age.is_some_and(|age| age < 3.0)) {
            wrong.push(format!("{name}: {ages:?}: {:?}", player.process.stderr().all()));
        }
    }
    let slow = proxy.log().lines().filter(|line| line.contains("slow reader")).count();
    assert!(slow > 0, "nobody was behind:\n{}", proxy.log());
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());
}

#[test]
fn who_never_reads_is_cut_off_aloud_and_harms_nobody() {
    let source = Source::Synthetic(Synthetic::default());
    let camera = camera::start(CameraOptions { source, ..CameraOptions::default() });
    let text = format!("[streams.cam]\nsource = \"{}\"\nreader_stall = \"6s\"\n", camera.url(0));
    let proxy = Proxy::configured(&text);
    proxy.wait_described("cam");
    let url = proxy.url("cam");
    let readers = run_twenty(&url, &[1]);

    let mut idle = RawReader::connect(&url, Over::Tcp);
    SockRef::from(idle.wire.stream()).set_recv_buffer_size(16_384).expect("a smaller buffer");
    let me = idle.wire.local();
    idle.describe();
    idle.set_up(1);
    idle.play();
    let began = wait::now();
    let peer = named(me);
    // First its lag is told, then its end.
    proxy.wait_for_log(Duration::from_secs(10), &["slow reader", "cam", &peer]);
    proxy.wait_for_log(Duration::from_secs(20), &["cut off", "cam", &peer]);
    let lasted = wait::now() - began;
    assert!(lasted >= Duration::from_secs(6), "cut off after {lasted:?}");

    let outcomes: Vec<_> = readers.into_iter().map(Running::stop).collect();
    let wrong: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.check(&[1]).err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());
    let longest = outcomes.iter().map(|outcome| outcome.tracks[&1].longest_gap).max();
    println!("longest gap of a healthy reader: {longest:?}");
    assert!(longest < Some(Duration::from_millis(500)), "{longest:?}");
    // What it gets at last ends.
    assert!(idle.until_closed(Duration::from_secs(3)).is_some());
}

/// As the log names it.
fn named(peer: SocketAddr) -> String {
    peer.port().to_string()
}

#[test]
fn large_key_frames_reach_three_readers_whole() {
    for (key_frame_bytes, bitrate) in [(300_000, 8_000_000), (2_000_000, 16_000_000)] {
        let source = Source::Synthetic(Synthetic { bitrate, gop: 50, key_frame_bytes, fps: 25 });
        for pace in [Pace::Spread, Pace::Line(400.0)] {
            let options = CameraOptions { source, pace, ..CameraOptions::default() };
            let camera = camera::start(options);
            let proxy = Proxy::of_camera(&camera.url(0), &["-t"]);
            let url = proxy.url("cam");
            let readers: Vec<_> =
                (0..3).map(|_| RawReader::play_tracks(&url, Over::Tcp, &[1]).run()).collect();
            wait::pass(Duration::from_secs(5));
            let wrong = stop_all(readers, &[1]);
            let lost = camera.lost_packets();
            assert!(wrong.is_empty(), "{key_frame_bytes}: {wrong:#?}\n{}", proxy.log());
            assert_eq!(lost, 0, "the camera itself lost packets");
            let slow = proxy.log().lines().filter(|l| l.contains("slow reader")).count();
            assert_eq!(slow, 0, "{}", proxy.log());
        }
    }
}
