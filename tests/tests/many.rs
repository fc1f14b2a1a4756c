//! Many readers of one stream at once, some of them real players: nothing is lost.

use std::time::Duration;

use integration_tests::camera::{self, count};
use integration_tests::frames::parse_times;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::{Over, ffmpeg_sums};
use integration_tests::wait;
use test_camera::{CameraOptions, Method, Source, Synthetic};

/// Test readers; with the players they are fifty.
const READERS: usize = 46;
/// How long all of them are there.
const TIME: Duration = Duration::from_secs(8);

/// Readers of these tracks, over UDP and TCP in turn.
fn readers(url: &str, tracks: &[usize]) -> Vec<integration_tests::raw::Running> {
    (0..READERS)
        .map(|number| {
            let over = if number % 2 == 0 { Over::Udp } else { Over::Tcp };
            RawReader::play_tracks(url, over, tracks).run()
        })
        .collect()
}

/// Ends the readers; what is wrong with them. Says what the kernel gave and took.
fn judge(readers: Vec<integration_tests::raw::Running>, tracks: &[usize]) -> Vec<String> {
    let outcomes: Vec<_> = readers.into_iter().map(|reader| reader.stop()).collect();
    let buffers = outcomes.iter().flat_map(|outcome| outcome.buffers.iter()).min();
    let dropped: u64 = outcomes.iter().flat_map(|outcome| outcome.dropped.values()).sum();
    println!("smallest UDP receive buffer: {buffers:?} bytes; dropped by the kernel: {dropped}");
    outcomes.iter().filter_map(|outcome| outcome.check(tracks).err()).collect()
}

/// Whether one frame follows the other by the same time, give or take the rounding of units.
fn is_even(times: &[i64]) -> bool {
    let steps: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let (least, most) = (steps.iter().min(), steps.iter().max());
    least.zip(most).is_some_and(|(least, most)| *least > 0 && most - least <= 1)
}

#[test]
fn forty_six_readers_and_four_players_lose_nothing() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");
    let readers = readers(&url, &[1, 2]);
    let overs = [Over::Udp, Over::Tcp, Over::Udp, Over::Tcp];
    let mut players = overs.map(|over| ffmpeg_sums(&url, over, TIME.as_secs_f64()));
    for player in &mut players {
        player.expect_success(TIME + Duration::from_secs(30));
    }
    let wrong = judge(readers, &[1, 2]);
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());
    for (player, over) in players.iter().zip(overs) {
        let times = parse_times(&player.stdout().all().join("\n"));
        // A key frame comes every 2 s.
        let frames = times.get(&0).map_or(0, Vec::len);
        assert!(frames > 25 * 5, "{over:?}: only {frames} frames");
        // Where picture and sound begin, ffmpeg may set times right; from then on they are even.
        for (stream, times) in &times {
            let settled = times.get(5..).unwrap_or_default();
            assert!(is_even(settled), "{over:?} stream {stream}: {settled:?}");
        }
    }
    assert_eq!(count(&camera, Method::Play), 1);
}

#[test]
fn forty_six_readers_of_four_megabits_lose_nothing() {
    let source = Source::Synthetic(Synthetic::default());
    for options in [&[][..], &["-t"]] {
        let camera = camera::start(CameraOptions { source, ..CameraOptions::default() });
        let proxy = Proxy::of_camera(&camera.url(0), options);
        let readers = readers(&proxy.url("cam"), &[1]);
        wait::pass(TIME);
        let wrong = judge(readers, &[1]);
        assert!(wrong.is_empty(), "{options:?}: {wrong:#?}\n{}", proxy.log());
        assert_eq!(camera.lost_packets(), 0);
    }
}
