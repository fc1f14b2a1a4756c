//! A backend whose packets are too large for readers over UDP: these get packets that fit, readers
//! over TCP the originals, and all of them the same frames.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use integration_tests::anew::{self, What, packets};
use integration_tests::camera;
use integration_tests::frames::contiguous_run;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::tally::Packet;
use integration_tests::wait;
use test_camera::{Camera, CameraOptions, Source, Start, Synthetic};

/// What the camera puts into a packet.
const LARGE: usize = 8_000;
/// What may go to readers over UDP in one piece over IPv4, and over IPv6.
const LARGEST: (usize, usize) = (1_472, 1_452);

/// A camera of large frames in large packets, and a proxy with the stream `cam` of it.
fn large(source: Source) -> (Camera, Proxy) {
    let camera = camera::start(CameraOptions {
        source,
        payload_limit: LARGE,
        start: Start::KeyFrame,
        ..CameraOptions::default()
    });
    let proxy = Proxy::configured(&format!(
        "[streams.cam]\nsource = \"{}\"\ntransport = \"tcp\"\n",
        camera.url(0)
    ));
    proxy.wait_described("cam");
    (camera, proxy)
}

fn synthetic() -> Source {
    Source::Synthetic(Synthetic { key_frame_bytes: 60_000, ..Synthetic::default() })
}

/// The video that comes within `time`, of a reader that plays.
fn video(reader: &mut RawReader, time: Duration) -> Vec<Packet> {
    let end = wait::now() + time;
    std::iter::from_fn(|| reader.next_media(1, end.saturating_duration_since(wait::now())))
        .collect()
}

/// NAL units of H.264 by their timestamps, of frames that came as whole as the packets tell.
fn nals(packets: &[Packet]) -> BTreeMap<u32, Vec<Vec<u8>>> {
    let mut frames: BTreeMap<u32, Vec<Vec<u8>>> = BTreeMap::new();
    for packet in packets {
        let units = frames.entry(packet.header().timestamp).or_default();
        let payload = packet.payload();
        match (payload[0] & 0x1f, payload.get(1)) {
            (28, Some(fragment)) => {
                if fragment & 0x80 != 0 {
                    units.push(vec![payload[0] & 0xe0 | fragment & 0x1f]);
                }
                if let Some(unit) = units.last_mut() {
                    unit.extend_from_slice(&payload[2..]);
                }
            }
            (1..24, _) => units.push(payload.to_vec()),
            (kind, _) => panic!("a NAL unit of type {kind}"),
        }
    }
    frames
}

fn sizes(packets: &[Packet]) -> Vec<usize> {
    packets.iter().map(|packet| packet.data.len()).collect()
}

fn assert_without_gap(what: &str, packets: &[Packet]) {
    let seqs: Vec<u16> = packets.iter().map(|packet| packet.header().seq).collect();
    let follows = |pair: &[u16]| pair[0].wrapping_add(1) == pair[1];
    let gap = seqs.windows(2).find(|pair| !follows(pair));
    assert!(gap.is_none(), "{what}: {gap:?}");
}

/// Plays for some seconds over TCP, UDP and UDP over IPv6 at once.
fn play_all(proxy: &Proxy, time: Duration) -> [Vec<Packet>; 3] {
    let six = format!("rtsp://[::1]:{}/cam", proxy.port());
    let urls = [(proxy.url("cam"), Over::Tcp), (proxy.url("cam"), Over::Udp), (six, Over::Udp)];
    thread::scope(|scope| {
        let threads = urls.map(|(url, over)| {
            scope.spawn(move || video(&mut RawReader::play_tracks(&url, over, &[1]), time))
        });
        threads.map(|thread| thread.join().expect("a reader that plays"))
    })
}

#[test]
fn readers_over_udp_get_packets_that_fit_and_others_the_originals() {
    let (_camera, proxy) = large(synthetic());
    let [tcp, udp, six] = play_all(&proxy, Duration::from_secs(4));
    let largest = |packets: &[Packet]| sizes(packets).into_iter().max();
    assert_eq!(largest(&tcp), Some(12 + LARGE), "the originals");
    assert!(largest(&udp).is_some_and(|size| size <= LARGEST.0), "{:?}", largest(&udp));
    assert!(largest(&six).is_some_and(|size| size <= LARGEST.1), "{:?}", largest(&six));
    for (what, packets) in [("TCP", &tcp), ("UDP", &udp), ("IPv6", &six)] {
        assert_without_gap(what, packets);
    }
    // Each frame that two of them have got whole is the same in both. Times are those of the
    // stream from each one's live point on: the frames before it are caught up with.
    let originals = nals(&tcp);
    for (what, cut) in [("UDP", nals(&udp)), ("IPv6", nals(&six))] {
        let mut cut: Vec<_> = cut.into_iter().collect();
        // The last one may still be coming.
        cut.pop();
        let common = cut.iter().filter(|(time, _)| originals.contains_key(time)).count();
        let same = cut.iter().filter(|(time, units)| originals.get(time) == Some(units)).count();
        assert!(common > 25 && same + 1 >= common, "{what}: {same} of {common} are the same");
    }
    let (relayed, made) = packets(&proxy);
    assert!(relayed > 0 && made == 0, "{relayed} {made}");
}

#[test]
fn frames_are_the_same_over_udp_and_over_tcp() {
    let camera = camera::start(CameraOptions {
        payload_limit: LARGE,
        start: Start::Beginning,
        ..CameraOptions::default()
    });
    let proxy = Proxy::configured(&format!(
        "[streams.cam]\nsource = \"{}\"\ntransport = \"tcp\"\nmax_udp_payload = 500\n",
        camera.url(0)
    ));
    proxy.wait_described("cam");
    let get = |over| anew::ffmpeg(&proxy.url("cam"), over, What::Pictures, 8.0);
    let (direct, tcp, udp) = thread::scope(|scope| {
        let direct = scope.spawn(|| anew::ffmpeg(&camera.url(0), Over::Tcp, What::Pictures, 14.0));
        let tcp = scope.spawn(|| get(Over::Tcp));
        let udp = scope.spawn(|| get(Over::Udp));
        let done = "a thread of this test panicked";
        (direct.join().expect(done), tcp.join().expect(done), udp.join().expect(done))
    });
    // The second of them joins within the clip, with a key frame.
    for (over, got) in [("TCP", &tcp[&0]), ("UDP", &udp[&0])] {
        let first = got.get(..150).unwrap_or_else(|| panic!("{over}: {} frames", got.len()));
        let run = contiguous_run(first, &direct[&0]);
        assert!(run.is_ok(), "{over}: {run:?}");
    }
}

#[test]
fn a_reader_over_udp_that_comes_later_begins_at_once() {
    let (_camera, proxy) = large(synthetic());
    let mut tcp = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1]);
    // A key frame comes every two seconds: now some are there, and the next one is not yet.
    let before = video(&mut tcp, Duration::from_millis(2_700));
    assert!(before.len() > 20);
    let mut udp = RawReader::play_tracks(&proxy.url("cam"), Over::Udp, &[1]);
    let first = udp.next_media(1, Duration::from_millis(600)).expect("media at once");
    // A parameter set, or a key frame's first fragment.
    let payload = first.payload();
    let kind = if payload[0] & 0x1f == 28 { payload[1] & 0x1f } else { payload[0] & 0x1f };
    assert!([5, 7].contains(&kind), "a NAL unit of type {kind}");
    let mut rest = vec![first];
    rest.extend(video(&mut udp, Duration::from_secs(2)));
    assert!(sizes(&rest).into_iter().all(|size| size <= LARGEST.0));
    assert_without_gap("UDP", &rest);
}
