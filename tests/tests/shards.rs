//! Readers on one shard of streams that another shard pulls.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use integration_tests::proxy::Proxy;
use integration_tests::raw::{RawReader, Running};
use integration_tests::reader::Over;
use integration_tests::sockets::Pair;
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

/// The media that comes for a while to a socket whose port another reader had, who left without a
/// word; and how often a packet came again.
fn after_another(first: (&str, &str), then: (&str, &str)) -> (usize, usize) {
    let ports = Pair::bind(Ipv4Addr::LOCALHOST.into());
    let transport = format!("RTP/AVP;unicast;client_port={}-{}", ports.port, ports.port + 1);
    let play = |(other, url): (&str, &str)| {
        let mut reader = RawReader::connect(url, Over::Udp);
        assert_eq!(reader.request("DESCRIBE", other, &[]).status, 200);
        reader.describe();
        let track = reader.track_url(1);
        let answer = reader.request("SETUP", &track, &[("Transport", &transport)]);
        let session = answer.session().expect("a session").to_owned();
        let headers = [("Session", &*session)];
        assert_eq!(reader.request("PLAY", url, &headers).status, 200);
        reader
    };
    drop(play(first));
    wait::pass(Duration::from_millis(300));
    let _reader = play(then);
    // What was on its way to the other one is not looked at.
    wait::pass(Duration::from_millis(300));
    let mut datagram = [0; 65_536];
    while ports.rtp.recv_from(&mut datagram).is_ok() {}
    let (mut seen, mut again) = (HashSet::new(), 0);
    let end = wait::now() + PLAYING;
    while wait::now() < end {
        match ports.rtp.recv_from(&mut datagram) {
            Ok((length, _)) => again += usize::from(!seen.insert(datagram[..length].to_vec())),
            Err(_) => wait::pass(Duration::from_millis(5)),
        }
    }
    let mut goodbyes = 0;
    while let Ok((length, _)) = ports.rtcp.recv_from(&mut datagram) {
        // A compound packet that has a BYE ends with it here.
        goodbyes += usize::from(datagram[..length].windows(2).any(|pair| pair == [0x81, 203]));
    }
    assert_eq!(goodbyes, 0, "it is told that the stream ended");
    (seen.len(), again)
}

#[test]
fn a_port_that_a_reader_left_without_a_word_gets_nothing_of_it_once_another_has_it() {
    let camera = camera::start(CameraOptions { streams: 2, ..CameraOptions::default() });
    let proxy = Proxy::configured(&format!(
        "workers = 2\n[streams.one]\nsource = \"{}\"\n[streams.two]\nsource = \"{}\"\n",
        camera.url(0),
        camera.url(1)
    ));
    proxy.wait_described("one");
    proxy.wait_described("two");
    let (one, two) = (&*proxy.url("one"), &*proxy.url("two"));
    // On the same shard, and on another.
    for other in [one, two] {
        let (packets, again) = after_another((one, one), (other, one));
        assert!(packets > 20, "{packets} packets");
        assert_eq!(again, 0, "of {packets} packets");
    }
}
