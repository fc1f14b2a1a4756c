//! Readers on one shard of streams that another shard pulls.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use integration_tests::proxy::Proxy;
use integration_tests::raw::{RawReader, Running};
use integration_tests::reader::Over;
use integration_tests::sockets::Pair;
use integration_tests::{camera, wait};
use test_camera::{Camera, CameraOptions, Method, Pace, Source, Synthetic};

const PLAYING: Duration = Duration::from_secs(4);
const A_WHILE: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(20);

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

/// Two cameras, and a proxy of two shards with a stream of each.
fn two_streams(lines: &str) -> (Camera, Camera, Proxy) {
    let [one, two] = [(); 2].map(|()| camera::start(CameraOptions::default()));
    let proxy = Proxy::configured(&format!(
        "workers = 2\n[defaults]\n{lines}\n[streams.one]\nsource = \"{}\"\n[streams.two]\nsource = \"{}\"\n",
        one.url(0),
        two.url(0)
    ));
    proxy.wait_described("one");
    proxy.wait_described("two");
    (one, two, proxy)
}

/// A reader of `url` that has these ports its media sent to, whose connection was placed by its
/// first request, which is about `other`.
fn play_to(ports: &Pair, other: &str, url: &str) -> RawReader {
    let transport = format!("RTP/AVP;unicast;client_port={}-{}", ports.port, ports.port + 1);
    let mut reader = RawReader::connect(url, Over::Udp);
    assert_eq!(reader.request("DESCRIBE", other, &[]).status, 200);
    reader.describe();
    let track = reader.track_url(1);
    let answer = reader.request("SETUP", &track, &[("Transport", &transport)]);
    let session = answer.session().expect("a session").to_owned();
    let headers = [("Session", &*session)];
    assert_eq!(reader.request("PLAY", url, &headers).status, 200);
    reader
}

/// How many goodbyes wait in a socket. A compound packet that has one ends with it here.
fn goodbyes(ports: &Pair) -> usize {
    let (mut datagram, mut goodbyes) = ([0; 2048], 0);
    while let Ok((length, _)) = ports.rtcp.recv_from(&mut datagram) {
        goodbyes += usize::from(datagram[..length].windows(2).any(|pair| pair == [0x81, 203]));
    }
    goodbyes
}

/// How a reader goes without TEARDOWN.
#[derive(Clone, Copy, Debug)]
enum Goes {
    /// Its connection is closed, then another reader comes.
    Before,
    /// Another reader comes, then its connection is closed.
    After,
    /// Its host loses its power: its connection is not closed, and then another reader comes.
    Unheard,
}

/// A reader has its ports from another one that went without TEARDOWN: it gets each packet once, and
/// no goodbye.
fn after_another(proxy: &Proxy, goes: Goes, (other, url): (&str, &str)) {
    let ports = Pair::bind(Ipv4Addr::LOCALHOST.into());
    let ended = || proxy.log().matches("PortsTaken").count();
    let before = ended();
    let first = play_to(&ports, url, url);
    let _reader = match goes {
        Goes::Before => {
            drop(first);
            play_to(&ports, other, url)
        }
        Goes::After => {
            let reader = play_to(&ports, other, url);
            drop(first);
            reader
        }
        Goes::Unheard if first.wire.vanish() => play_to(&ports, other, url),
        Goes::Unheard => return,
    };
    let what = format!("{goes:?}, {url} after {other}");
    assert!(wait::until(SOON, || ended() > before), "{what}: {}", proxy.log());
    // What came for the other one is not looked at.
    let mut datagram = [0; 65_536];
    while ports.rtp.recv_from(&mut datagram).is_ok() {}
    let (mut seen, mut again) = (HashSet::new(), 0);
    let end = wait::now() + A_WHILE;
    while wait::now() < end {
        match ports.rtp.recv_from(&mut datagram) {
            Ok((length, _)) => again += usize::from(!seen.insert(datagram[..length].to_vec())),
            Err(_) => wait::pass(Duration::from_millis(5)),
        }
    }
    assert!(seen.len() > 5, "{what}: {} packets", seen.len());
    assert_eq!((again, goodbyes(&ports)), (0, 0), "{what}: packets again, goodbyes");
}

#[test]
fn a_port_that_a_reader_left_without_a_word_gets_nothing_of_it_once_another_has_it() {
    let (_one, _two, proxy) = two_streams("");
    let (one, two) = (&*proxy.url("one"), &*proxy.url("two"));
    for goes in [Goes::Before, Goes::After, Goes::Unheard] {
        // On the same shard, and on another.
        for other in [one, two] {
            after_another(&proxy, goes, (other, one));
        }
    }
}

#[test]
fn a_reader_that_is_ended_says_no_goodbye_to_a_port_that_another_has_set_up() {
    for same_shard in [true, false] {
        let (camera, other_camera, proxy) = two_streams("on_backend_loss = \"close\"");
        let (one, two) = (&*proxy.url("one"), &*proxy.url("two"));
        let ports = Pair::bind(Ipv4Addr::LOCALHOST.into());
        let mut first = play_to(&ports, one, one);
        let mut then = play_to(&ports, if same_shard { one } else { two }, two);
        drop(camera);
        assert!(first.until_closed(SOON).is_some(), "{}", proxy.log());
        // A goodbye comes before the connection's end.
        assert_eq!(goodbyes(&ports), 0, "of a stream that the reader has not");
        drop(other_camera);
        assert!(then.until_closed(SOON).is_some(), "{}", proxy.log());
        assert_eq!(goodbyes(&ports), 1);
    }
}

#[test]
fn at_the_end_a_port_hears_one_goodbye_however_many_claim_it() {
    let (_one, _two, proxy) = two_streams("");
    let (one, two) = (&*proxy.url("one"), &*proxy.url("two"));
    let ports = Pair::bind(Ipv4Addr::LOCALHOST.into());
    let _readers = [one, two, one, two].map(|other| play_to(&ports, other, one));
    let alone = Pair::bind(Ipv4Addr::LOCALHOST.into());
    let _reader = play_to(&alone, two, one);
    proxy.terminate();
    assert_eq!((goodbyes(&ports), goodbyes(&alone)), (1, 1));
}
