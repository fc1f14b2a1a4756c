//! Readers on one shard of streams that another shard pulls.

use std::time::Duration;

use integration_tests::proxy::Proxy;
use integration_tests::raw::{RawReader, Running};
use integration_tests::reader::Over;
use integration_tests::{camera, wait};
use test_camera::{CameraOptions, Method, Pace, Source, Synthetic};

const PLAYING: Duration = Duration::from_secs(4);

/// A reader of `url` whose connection was placed by its first request, which is about `other`.
fn placed_by(other: &str, url: &str, over: Over) -> Running {
    let mut reader = RawReader::connect(url, over);
    assert_eq!(reader.request("DESCRIBE", other, &[]).status, 200);
    reader.describe();
    reader.set_up(1);
    reader.play();
    reader.run()
}

#[test]
fn readers_of_streams_of_other_shards_miss_nothing() {
    let synthetic = Synthetic { bitrate: 4_000_000, fps: 25, gop: 25, key_frame_bytes: 60_000 };
    let camera = camera::start(CameraOptions {
        streams: 2,
        source: Source::Synthetic(synthetic),
        pace: Pace::Burst,
        ..CameraOptions::default()
    });
    let proxy = Proxy::configured(&format!(
        "workers = 2\n[defaults]\nlinger = 0\n[streams.one]\nsource = \"{}\"\n[streams.two]\nsource = \"{}\"\n",
        camera.url(0),
        camera.url(1)
    ));
    proxy.wait_described("one");
    proxy.wait_described("two");
    let (one, two) = (proxy.url("one"), proxy.url("two"));
    let mut readers = Vec::new();
    for over in [Over::Tcp, Over::Udp] {
        for (first, then) in [(&one, &one), (&one, &two), (&two, &one), (&two, &two)] {
            readers.push((format!("{first} then {then}"), placed_by(first, then, over)));
        }
    }
    wait::pass(PLAYING);
    let outcomes: Vec<_> =
        readers.into_iter().map(|(what, reader)| (what, reader.stop())).collect();
    for (what, outcome) in outcomes {
        assert_eq!(outcome.check(&[1]), Ok(()), "{what}");
    }
}

#[test]
fn a_stream_whose_only_reader_is_on_another_shard_is_paused_and_played_again() {
    let camera = camera::start(CameraOptions { streams: 2, ..CameraOptions::default() });
    let proxy = Proxy::configured(&format!(
        "workers = 2\n[defaults]\nlinger = 0\n[streams.one]\nsource = \"{}\"\n[streams.two]\nsource = \"{}\"\n",
        camera.url(0),
        camera.url(1)
    ));
    proxy.wait_described("one");
    proxy.wait_described("two");
    for turn in 1..=2 {
        let reader = placed_by(&proxy.url("one"), &proxy.url("two"), Over::Tcp);
        wait::pass(Duration::from_millis(2500));
        assert_eq!(reader.stop().check(&[1]), Ok(()));
        camera::wait_count(&camera, Method::Pause, turn, Duration::from_secs(5));
    }
    assert_eq!(camera::count(&camera, Method::Play), 2);
}
