//! What the logs of all streams may hold together.

use std::time::Duration;

use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::{camera, rtp, wait};
use nix::sys::signal::Signal;
use test_camera::{CameraOptions, Pace, Source, Start, Synthetic};

const SOON: Duration = Duration::from_secs(5);
const MIB: usize = 1 << 20;

/// The figures of the line on the memory of the logs: bytes, streams, readers.
fn log_memory(proxy: &Proxy) -> (usize, usize, usize) {
    let is_it = |line: &str| line.contains("log memory");
    let known = proxy.process.stderr().count(is_it);
    proxy.process.signal(Signal::SIGUSR1);
    assert!(wait::until(SOON, || proxy.process.stderr().count(is_it) > known), "no answer");
    let lines = proxy.process.stderr().all();
    let line = lines.iter().rev().find(|line| is_it(line)).expect("a line");
    let field = |name: &str| {
        let value = line.split_whitespace().find_map(|word| word.strip_prefix(name));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {line}"))
    };
    (field("bytes="), field("streams="), field("readers="))
}

/// Eight streams of 8 Mbit/s, the last of which has a key frame every second and the others every
/// ten; three of them with a reader on another shard than their own.
fn proxy(cameras: [&test_camera::Camera; 2], budget: &str) -> Proxy {
    let mut text = format!("workers = 2\n[limits]\nlog_budget = {budget}\n");
    for number in 0..8 {
        let source = if number < 7 { cameras[0].url(number) } else { cameras[1].url(0) };
        text += &format!("[streams.s{number}]\nsource = \"{source}\"\n");
    }
    let proxy = Proxy::configured(&text);
    (0..8).for_each(|number| proxy.wait_described(&format!("s{number}")));
    proxy
}

fn cameras() -> [test_camera::Camera; 2] {
    [(250, 7), (25, 1)].map(|(gop, streams)| {
        let measures = Synthetic { bitrate: 8_000_000, gop, ..Synthetic::default() };
        let source = Source::Synthetic(measures);
        camera::start(CameraOptions {
            streams,
            source,
            pace: Pace::Burst,
            start: Start::Beginning,
            ..CameraOptions::default()
        })
    })
}

#[test]
fn it_holds_when_all_of_it_is_asked_for_at_once_and_the_longest_gives_way() {
    let [long, short] = cameras();
    let proxy = proxy([&long, &short], "\"12MiB\"");
    let readers: Vec<_> = (0..8)
        .map(|number| {
            let over = if number % 2 == 0 { Over::Tcp } else { Over::Udp };
            let mut reader = RawReader::connect(&proxy.url(&format!("s{number}")), over);
            if number < 3 {
                // Its first line places it, on a shard that is not the stream's home.
                let other = proxy.url(&format!("s{}", number + 1));
                assert_eq!(reader.request("DESCRIBE", &other, &[]).status, 200);
            }
            reader.describe();
            reader.set_up(1);
            reader.play();
            reader.run()
        })
        .collect();
    // It would be full after two seconds.
    for _ in 0..16 {
        wait::pass(Duration::from_millis(500));
        let (bytes, streams, readers) = log_memory(&proxy);
        assert!(bytes <= 12 * MIB, "{bytes} bytes in the logs");
        assert_eq!((streams, readers), (8, 8));
    }
    let (bytes, ..) = log_memory(&proxy);
    assert!(bytes > 6 * MIB, "{bytes} bytes: more is cut than has to be");
    proxy.wait_for_log(SOON, &["WARN", "log_budget", "stream=s"]);
    // The stream with many key frames keeps its own, and nobody who keeps up has lost anything.
    let mut reader = RawReader::play_tracks(&proxy.url("s7"), Over::Tcp, &[1]);
    let at = wait::now();
    let first = reader.next_media(1, SOON).expect("media");
    assert!(rtp::begins_h264_key(first.payload()));
    assert!(first.at - at < Duration::from_millis(400), "after {:?}", first.at - at);
    for (number, reader) in readers.into_iter().enumerate() {
        assert_eq!(reader.stop().check(&[1]), Ok(()), "s{number}");
    }
}

#[test]
fn who_keeps_up_loses_nothing_though_another_stream_alone_would_fill_it() {
    let [large, small] = [(20_000_000, 100_000, 1), (500_000, 10_000, 4)].map(
        |(bitrate, key_frame_bytes, streams)| {
            let measures = Synthetic { bitrate, key_frame_bytes, ..Synthetic::default() };
            camera::start(CameraOptions {
                streams,
                source: Source::Synthetic(measures),
                start: Start::Beginning,
                ..CameraOptions::default()
            })
        },
    );
    let mut text = "workers = 2\n[limits]\nlog_budget = \"4MiB\"\n".to_owned();
    for number in 0..5 {
        let source = if number == 0 { large.url(0) } else { small.url(number - 1) };
        text += &format!("[streams.s{number}]\nsource = \"{source}\"\n");
    }
    let proxy = Proxy::configured(&text);
    (0..5).for_each(|number| proxy.wait_described(&format!("s{number}")));
    let readers: Vec<_> = (0..5)
        .map(|number| {
            let over = if number % 2 == 0 { Over::Tcp } else { Over::Udp };
            RawReader::play_tracks(&proxy.url(&format!("s{number}")), over, &[1]).run()
        })
        .collect();
    for _ in 0..16 {
        wait::pass(Duration::from_millis(500));
        let (bytes, ..) = log_memory(&proxy);
        assert!(bytes <= 4 * MIB, "{bytes} bytes in the logs");
    }
    proxy.wait_for_log(SOON, &["WARN", "log_budget", "stream=s0"]);
    for (number, reader) in readers.into_iter().enumerate() {
        assert_eq!(reader.stop().check(&[1]), Ok(()), "s{number}");
    }
}

#[test]
fn the_logs_of_streams_that_nobody_watches_hold_nothing() {
    let [long, short] = cameras();
    let proxy = proxy([&long, &short], "0");
    let readers: Vec<_> = (0..4)
        .map(|number| {
            RawReader::play_tracks(&proxy.url(&format!("s{number}")), Over::Tcp, &[1]).run()
        })
        .collect();
    wait::pass(Duration::from_secs(2));
    let (bytes, _, playing) = log_memory(&proxy);
    // Both forms of two seconds of four streams, and not twice what two shards hold.
    assert!((6 * MIB..20 * MIB).contains(&bytes), "{bytes}");
    assert_eq!(playing, 4);
    for reader in readers {
        assert_eq!(reader.stop().check(&[1]), Ok(()));
    }
    assert!(wait::until(SOON, || log_memory(&proxy) == (0, 8, 0)), "{:?}", log_memory(&proxy));
}
