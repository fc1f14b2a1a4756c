//! Many readers of one stream at once, some of them real players: nothing is lost.

use std::time::Duration;

use integration_tests::camera::{self, count};
use integration_tests::frames::parse_times;
use integration_tests::process::Process;
use integration_tests::proxy::Proxy;
use integration_tests::raw::{RawReader, Running};
use integration_tests::reader::{Over, ffmpeg_sums};
use test_camera::{CameraOptions, Method, Pace, Source, Synthetic};

/// Test readers; with the players they are fifty.
const READERS: usize = 46;
/// How long all of them are there.
const TIME: Duration = Duration::from_secs(8);

/// Readers of these tracks, over UDP and TCP in turn.
fn readers(url: &str, tracks: &[usize]) -> Vec<Running> {
    (0..READERS)
        .map(|number| {
            let over = if number % 2 == 0 { Over::Udp } else { Over::Tcp };
            RawReader::play_tracks(url, over, tracks).run()
        })
        .collect()
}

/// Ends the readers; what is wrong with them. Says what the kernel gave and took.
fn judge(readers: Vec<Running>, tracks: &[usize]) -> Vec<String> {
    let outcomes: Vec<_> = readers.into_iter().map(Running::stop).collect();
    let buffers = outcomes.iter().flat_map(|outcome| outcome.buffers.iter()).min();
    let dropped: u64 = outcomes.iter().flat_map(|outcome| outcome.dropped.values()).sum();
    println!("smallest UDP receive buffer: {buffers:?} bytes; dropped by the kernel: {dropped}");
    outcomes.iter().filter_map(|outcome| outcome.check(tracks).err()).collect()
}

/// ffmpeg copying, over UDP and TCP.
fn players(url: &str) -> Vec<(Over, Process)> {
    [Over::Udp, Over::Tcp, Over::Udp, Over::Tcp]
        .map(|over| (over, ffmpeg_sums(url, over, TIME.as_secs_f64())))
        .into()
}

/// Waits for the players' end; what is wrong with what they got.
fn judge_players(players: Vec<(Over, Process)>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (over, mut player) in players {
        player.expect_success(TIME + Duration::from_secs(30));
        let times = parse_times(&player.stdout().all().join("\n"));
        // A key frame comes every 2 s.
        let frames = times.get(&0).map_or(0, Vec::len);
        if frames < 25 * 5 {
            wrong.push(format!("ffmpeg over {over:?}: only {frames} frames"));
        }
        for (stream, times) in &times {
            // Where picture and sound begin, ffmpeg may set times right; from then on they are even.
            let settled = times.get(5..).unwrap_or_default();
            if !is_even(settled) {
                wrong.push(format!("ffmpeg over {over:?}: stream {stream}: {settled:?}"));
            }
        }
    }
    wrong
}

/// Whether one frame follows the other: a step of half as much again, or half as much, is a frame
/// too few or too many. (With each sender report ffmpeg sets its times right by some milliseconds.)
fn is_even(times: &[i64]) -> bool {
    let mut steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    steps.sort_unstable();
    let usual = steps.get(steps.len() / 2).copied().unwrap_or_default();
    usual > 0 && steps.iter().all(|step| 2 * (step - usual).abs() < usual)
}

/// All of them on one stream.
fn nothing_is_lost(options: CameraOptions, proxy_options: &[&str], tracks: &[usize]) {
    let camera = camera::start(options);
    let proxy = Proxy::of_camera(&camera.url(0), proxy_options);
    let url = proxy.url("cam");
    let readers = readers(&url, tracks);
    let mut wrong = judge_players(players(&url));
    wrong.extend(judge(readers, tracks));
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());
    assert_eq!(camera.lost_packets(), 0);
    assert_eq!(count(&camera, Method::Play), 1);
}

#[test]
fn forty_six_readers_and_four_players_of_picture_and_sound_lose_nothing() {
    nothing_is_lost(CameraOptions::default(), &[], &[1, 2]);
}

#[test]
fn forty_six_readers_and_four_players_of_four_megabits_lose_nothing() {
    let source = Source::Synthetic(Synthetic::default());
    let pace = Pace::Line(100.0);
    nothing_is_lost(CameraOptions { source, pace, ..CameraOptions::default() }, &[], &[1]);
}

#[test]
fn forty_six_readers_and_four_players_of_a_backend_over_tcp_lose_nothing() {
    let source = Source::Synthetic(Synthetic::default());
    let pace = Pace::Burst;
    nothing_is_lost(CameraOptions { source, pace, ..CameraOptions::default() }, &["-t"], &[1]);
}
