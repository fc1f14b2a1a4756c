//! Dialogues in which RTSP proxies are known to fail, with readers that see every byte.

use std::net::SocketAddr;
use std::time::Duration;

use integration_tests::camera;
use integration_tests::proxy::{Proxy, free_port};
use integration_tests::raw::{RawReader, Running};
use integration_tests::reader::Over;
use integration_tests::tally::Packet;
use integration_tests::wire::Wire;
use integration_tests::{relay, rtp, sockets, wait};
use test_camera::{Camera, CameraOptions, Fault, Source, Stamp, Synthetic};

const SOON: Duration = Duration::from_secs(5);
const A_MOMENT: Duration = Duration::from_secs(2);

fn start() -> (Camera, Proxy) {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    (camera, proxy)
}

/// Whether a reader gets both tracks whole for a moment.
fn is_served(reader: &mut RawReader) -> Result<(), String> {
    let tallies = reader.receive(A_MOMENT);
    match [1, 2].iter().find(|track| !tallies.get(track).is_some_and(|tally| tally.is_whole())) {
        Some(track) => Err(format!("track {track}: {tallies:?}")),
        None => Ok(()),
    }
}

#[test]
fn a_track_that_is_not_there_is_not_found_and_nobody_else_notices() {
    let (_camera, proxy) = start();
    let url = proxy.url("cam");
    let mut watching = RawReader::play_tracks(&url, Over::Tcp, &[1, 2]);
    for number in [99, 3] {
        for over in [Over::Udp, Over::Tcp] {
            let mut asker = RawReader::connect(&url, over);
            asker.describe();
            assert_eq!(asker.try_set_up(number).status, 404, "track{number}");
            // It may still have what there is.
            asker.set_up(1);
            asker.play();
            assert!(asker.next_media(1, SOON).is_some());
        }
    }
    let mut lost = RawReader::connect(&proxy.url("elsewhere"), Over::Tcp);
    let elsewhere = lost.url().to_owned();
    assert_eq!(lost.request("DESCRIBE", &elsewhere, &[]).status, 404);
    assert_eq!(is_served(&mut watching), Ok(()));
}

#[test]
fn a_first_reader_with_a_useless_transport_keeps_nobody_from_being_served() {
    let (_camera, proxy) = start();
    let url = proxy.url("cam");
    for transport in [
        "RTP/AVP;unicast",
        "RTP/AVP;multicast;port=5000-5001",
        "RAW/RAW/UDP;unicast;client_port=5000-5001",
        "MP2T/H2221/UDP;unicast;client_port=5000-5001",
        "",
    ] {
        let mut odd = RawReader::connect(&url, Over::Udp);
        odd.describe();
        let track = odd.track_url(1);
        let answer = odd.request("SETUP", &track, &[("Transport", transport)]);
        assert!((400..500).contains(&answer.status), "{transport:?}: {answer:?}");
        // The odd one is still there.
        let mut reader = RawReader::play_tracks(&url, Over::Udp, &[1, 2]);
        assert!(reader.next_media(1, SOON).is_some(), "after {transport:?}");
        assert!(reader.next_media(2, SOON).is_some(), "after {transport:?}");
    }
}

#[test]
fn a_frame_that_is_never_finished_costs_no_time_and_nobody_else() {
    let (_camera, proxy) = start();
    let url = proxy.url("cam");
    let mut healthy = RawReader::play_tracks(&url, Over::Tcp, &[1, 2]);
    let mut odd = RawReader::play_tracks(&url, Over::Tcp, &[1]);
    assert!(odd.next_media(1, SOON).is_some());
    // 64 bytes of RTCP are announced, 10 sent.
    odd.wire.send(b"$\x01\x00\x40");
    odd.wire.send(&[0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0]);
    let before = sockets::cpu_seconds(proxy.process.id());
    assert_eq!(is_served(&mut healthy), Ok(()));
    let spent = sockets::cpu_seconds(proxy.process.id()) - before;
    assert!(spent < 0.2 * A_MOMENT.as_secs_f64(), "{spent} s of processor time");
    // The rest, and a request behind it.
    odd.wire.send(&[0; 54]);
    let answer = odd.request("GET_PARAMETER", &url, &[]);
    assert_eq!(answer.status, 200);
    assert!(odd.next_media(1, SOON).is_some());
}

#[test]
fn cameras_with_the_same_port_in_their_descriptions_are_kept_apart() {
    let source = |fps, key_frame_bytes| {
        let measures = Synthetic { bitrate: 2_000_000, fps, gop: fps, key_frame_bytes };
        CameraOptions { source: Source::Synthetic(measures), ..CameraOptions::default() }
    };
    let cameras = [(25, 40_000), (10, 90_000)].map(|(fps, key)| camera::start(source(fps, key)));
    // A port that would need to be bound by whoever took the description at its word.
    let streams: Vec<String> = ["one", "two"]
        .iter()
        .zip(&cameras)
        .map(|(name, camera)| {
            let port = relay::replacing(camera.addr(), "m=video 0 RTP", "m=video 9 RTP");
            format!("{name}=rtsp://127.0.0.1:{port}/cam")
        })
        .collect();
    let proxy = Proxy::start(&streams);
    proxy.wait_described("one");
    proxy.wait_described("two");
    let mut readers =
        ["one", "two"].map(|name| RawReader::play_tracks(&proxy.url(name), Over::Udp, &[1]));
    let mut sources = Vec::new();
    for (reader, fps) in readers.iter_mut().zip([25_u64, 10]) {
        let mut packets = Vec::<Packet>::new();
        let mut frames = std::collections::BTreeMap::<u64, u64>::new();
        let end = wait::now() + Duration::from_secs(4);
        while wait::now() < end {
            let Some(packet) = reader.next_media(1, SOON) else { panic!("fps {fps}: silence") };
            if let Some(stamp) = Stamp::read(packet.payload()) {
                *frames.entry(stamp.frame).or_default() += 1;
            }
            packets.push(packet);
        }
        let ssrc = packets[0].header().ssrc;
        for pair in packets.windows(2) {
            let (a, b) = (pair[0].header(), pair[1].header());
            assert_eq!((b.ssrc, rtp::ahead(b.seq, a.seq)), (ssrc, 1), "fps {fps}");
            let step = u64::from(b.timestamp.wrapping_sub(a.timestamp));
            assert!(step == 0 || step == 90_000 / fps, "fps {fps}: a step of {step}");
        }
        assert!(frames.len() > usize::try_from(fps).expect("small"), "fps {fps}: {frames:?}");
        sources.push(ssrc);
    }
    assert_ne!(sources[0], sources[1]);
}

#[test]
fn sessions_are_accepted_back_as_they_were_given_and_kept_alive_by_get_parameter() {
    let (_camera, proxy) = start();
    let url = proxy.url("cam");
    let mut reader = RawReader::connect(&url, Over::Tcp);
    reader.describe();
    let set_up = reader.set_up(1);
    let given = set_up.header("Session").expect("a session").to_owned();
    assert!(given.contains(";timeout=60"), "{given}");
    let id = set_up.session().expect("a session").to_owned();
    for session in [&*given, &format!("{id};timeout=65"), &format!("{id} ; timeout=65")] {
        let answer = reader.request("GET_PARAMETER", &url, &[("Session", session)]);
        assert_eq!(answer.status, 200, "{session}");
    }
    let answer = reader.request("PLAY", &url, &[("Session", &format!("{id};timeout=65"))]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(reader.next_media(1, SOON).is_some());
    // Without a session it is a sign of life of the connection.
    let mut plain = RawReader::connect(&url, Over::Tcp);
    for uri in [&*url, "*"] {
        assert_eq!(plain.request("GET_PARAMETER", uri, &[]).status, 200, "{uri}");
        assert_eq!(plain.request("OPTIONS", uri, &[]).status, 200, "{uri}");
    }
    let unknown = [("Session", "0123456789abcdef")];
    assert_eq!(plain.request("GET_PARAMETER", &url, &unknown).status, 454);
    // It did not harm the other.
    assert!(reader.next_media(1, SOON).is_some());
}

#[test]
fn the_first_transport_that_will_do_is_taken() {
    let (_camera, proxy) = start();
    let url = proxy.url("cam");
    for (offered, granted) in [
        ("RTP/AVP;multicast,RTP/AVP/TCP;unicast;interleaved=4-5", "interleaved=4-5"),
        ("RAW/RAW/UDP;unicast,RTP/AVP/UDP;unicast;client_port=5002-5003", "client_port=5002-5003"),
        (
            "RTP/AVP/TCP;unicast;interleaved=0-1, RTP/AVP;unicast;client_port=5002-5003",
            "interleaved=0-1",
        ),
        ("RTP/AVP/TCP;interleaved=8-9;mode=\"PLAY\"", "interleaved=8-9"),
    ] {
        let mut reader = RawReader::connect(&url, Over::Tcp);
        reader.describe();
        let track = reader.track_url(1);
        let answer = reader.request("SETUP", &track, &[("Transport", offered)]);
        assert_eq!(answer.status, 200, "{offered}: {answer:?}");
        let transport = answer.header("Transport").unwrap_or_default();
        assert!(transport.contains(granted) && !transport.contains(','), "{offered}: {transport}");
    }
}

#[test]
fn the_base_of_a_description_has_the_host_that_was_asked_for() {
    let (_camera, proxy) = start();
    let port = proxy.port();
    for host in ["localhost", "127.0.0.1", "cameras.example.org"] {
        let mut reader = RawReader::connect(&proxy.url("cam"), Over::Tcp);
        let url = format!("rtsp://{host}:{port}/cam");
        let answer = reader.request("DESCRIBE", &url, &[]);
        assert_eq!(answer.status, 200);
        let base = answer.header("Content-Base").unwrap_or_default();
        assert_eq!(base.trim_end_matches('/'), url, "{host}");
        assert!(answer.body.contains("a=control:track1"), "{}", answer.body);
    }
}

#[test]
fn both_families_are_served_again_right_after_a_restart() {
    let camera = camera::start(CameraOptions::default());
    let port = free_port();
    let source = format!("cam={}", camera.url(0));
    for _round in 0..2 {
        let proxy = Proxy::start_on(port, &[&source]);
        proxy.wait_described("cam");
        // Whoever closes first has the port in TIME_WAIT: here it is the proxy.
        let mut readers: Vec<RawReader> = Vec::new();
        for host in ["127.0.0.1", "[::1]"] {
            for over in [Over::Udp, Over::Tcp] {
                let url = format!("rtsp://{host}:{port}/cam");
                let mut reader = RawReader::play_tracks(&url, over, &[1, 2]);
                assert!(reader.next_media(1, SOON).is_some(), "{host} over {over:?}");
                readers.push(reader);
            }
        }
        proxy.terminate();
        for reader in &mut readers {
            assert!(reader.until_closed(SOON).is_some());
        }
    }
}

#[test]
fn a_pause_stops_media_and_play_goes_on() {
    let (_camera, proxy) = start();
    for over in [Over::Udp, Over::Tcp] {
        // Another one keeps the backend playing.
        let mut other = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1, 2]);
        let mut reader = RawReader::play_tracks(&proxy.url("cam"), over, &[1, 2]);
        assert!(reader.next_media(1, SOON).is_some());
        reader.pause();
        // What was on its way.
        reader.receive(Duration::from_millis(300));
        let silent = reader.receive(A_MOMENT);
        let packets: u64 = silent.values().map(|tally| tally.packets).sum();
        assert_eq!(packets, 0, "{over:?}: {silent:?}");
        reader.play();
        let packet = reader.next_media(1, SOON).expect("media goes on");
        assert!(rtp::begins_h264_key(packet.payload()), "{over:?}: {:x?}", &packet.payload()[..4]);
        assert!(reader.next_media(2, SOON).is_some());
        assert!(other.next_media(1, SOON).is_some());
    }
}

#[test]
fn packets_that_changed_places_on_the_way_are_put_right_and_lost_ones_leave_a_gap() {
    let (camera, proxy) = start();
    let url = proxy.url("cam");
    let mut readers = [Over::Udp, Over::Tcp].map(|over| {
        let mut reader = RawReader::play_tracks(&url, over, &[1, 2]);
        assert!(reader.next_media(1, SOON).is_some());
        reader
    });
    camera.fault(Fault::Reorder(7));
    for reader in &mut readers {
        assert_eq!(is_served(reader), Ok(()));
    }
    camera.fault(Fault::Reorder(0));
    camera.fault(Fault::Drop(20));
    for reader in &mut readers {
        reader.receive(Duration::from_millis(500));
        let video = reader.receive(Duration::from_secs(3)).remove(&1).unwrap_or_default();
        // One of twenty, and nothing else.
        let lost = video.missing as f64 / (video.packets + video.missing) as f64;
        assert!((0.03..0.07).contains(&lost) && video.repeated == 0, "{video:?}");
        assert!(video.longest_gap < Duration::from_millis(500), "{video:?}");
    }
}

#[test]
fn readers_that_vanish_from_their_ports_disturb_nobody() {
    let (_camera, proxy) = start();
    let url = proxy.url("cam");
    let mut readers: Vec<RawReader> =
        (0..10).map(|_| RawReader::play_tracks(&url, Over::Udp, &[1, 2])).collect();
    for reader in &mut readers {
        assert!(reader.next_media(1, SOON).is_some());
    }
    // Their ports answer from now on that nobody is there.
    readers.truncate(5);
    let running: Vec<_> = readers.into_iter().map(RawReader::run).collect();
    wait::pass(A_MOMENT);
    let outcomes = running.into_iter().map(Running::stop);
    let wrong: Vec<_> = outcomes.filter_map(|outcome| outcome.check(&[1, 2]).err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());
}

#[test]
fn readers_that_come_and_go_in_every_state_leave_nothing_behind() {
    let (camera, proxy) = start();
    let url = proxy.url("cam");
    let mut staying = RawReader::play_tracks(&url, Over::Tcp, &[1, 2]);
    assert!(staying.next_media(1, SOON).is_some());
    let process = proxy.process.id();
    let before = sockets::open_files(process);
    for round in 0..150 {
        let over = if round % 2 == 0 { Over::Udp } else { Over::Tcp };
        let mut reader = RawReader::connect(&url, over);
        let state = round % 6;
        if state > 0 {
            reader.describe();
        }
        if state > 1 {
            reader.set_up(1);
        }
        if state > 2 {
            reader.play();
        }
        match state {
            4 => drop(reader.pause()),
            5 => reader.tear_down(),
            // Cut off in the middle of a request.
            _ => drop(reader.wire.send(b"GET_PARAMETER rtsp://")),
        }
    }
    let settled = wait::until(SOON, || sockets::open_files(process) <= before);
    assert!(settled, "{} files are open, {before} were", sockets::open_files(process));
    staying.receive(Duration::from_millis(100));
    assert_eq!(is_served(&mut staying), Ok(()));
    assert_eq!(camera.sessions(0), 1);
}

#[test]
fn silence_on_a_connection_before_its_first_request_harms_nobody() {
    let (_camera, proxy) = start();
    let address = SocketAddr::from(([127, 0, 0, 1], proxy.port()));
    let mut quiet: Vec<Wire> = (0..50).map(|_| Wire::connect(address)).collect();
    for wire in quiet.iter_mut().step_by(2) {
        wire.send(b"DESCRIBE rtsp://127.0.0.1/ca");
    }
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1, 2]);
    assert!(reader.next_media(1, SOON).is_some());
    assert_eq!(is_served(&mut reader), Ok(()));
}
