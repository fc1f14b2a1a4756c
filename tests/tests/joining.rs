//! What a reader gets first: the answer to PLAY, what it says of what follows, and that.

use std::time::Duration;

use integration_tests::camera;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::wire::Item;
use integration_tests::{rtp, wait};
use test_camera::{CameraOptions, Fault, Pace, Source, Stamp, Start, Synthetic};

const SOON: Duration = Duration::from_secs(5);

/// The entries of RTP-Info: track number, sequence number, timestamp.
fn rtp_info(value: &str) -> Vec<(usize, u16, u32)> {
    let entries = value.split(',').map(|entry| {
        let get = |name: &str| {
            entry.split(';').filter_map(|p| p.trim().split_once('=')).find(|(n, _)| *n == name)
        };
        let (_, track) = get("url")?.1.rsplit_once("/track")?;
        let track = track.split('?').next()?.parse().ok()?;
        Some((track, get("seq")?.1.parse().ok()?, get("rtptime")?.1.parse().ok()?))
    });
    entries.map(|entry| entry.unwrap_or_else(|| panic!("RTP-Info: {value}"))).collect()
}

#[test]
fn the_play_answer_tells_what_follows_and_nothing_comes_before_it() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");
    let _first = RawReader::play_tracks(&url, Over::Udp, &[1, 2]);
    for tracks in [&[1, 2][..], &[2], &[1]] {
        for start in ["instant", "keyframe", "live"] {
            let mut reader = RawReader::connect(&format!("{url}?start={start}"), Over::Tcp);
            reader.describe();
            for track in tracks {
                reader.set_up(*track);
            }
            // Time for media to come too early.
            wait::pass(Duration::from_millis(300));
            let aggregate = reader.url().to_owned();
            reader.send("PLAY", &aggregate, &[]);
            let answer = match reader.wire.next(SOON) {
                Some(Item::Answer(answer)) => answer,
                other => panic!("{tracks:?}: before the answer to PLAY came {other:?}"),
            };
            assert_eq!(answer.status, 200);
            let info = rtp_info(answer.header("RTP-Info").unwrap_or_default());
            let told: Vec<usize> = info.iter().map(|(track, ..)| *track).collect();
            assert_eq!(told, tracks, "RTP-Info: {info:?}");
            for (track, seq, rtptime) in info {
                check_beginning(&mut reader, track, seq, rtptime, start);
            }
        }
    }
}

#[test]
fn a_beginning_that_there_is_not_is_refused_and_other_words_of_a_query_are_not() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");
    for (query, status) in
        [("start=yesterday", 400), ("start=", 400), ("restart=no&start=live", 200)]
    {
        let mut reader = RawReader::connect(&format!("{url}?{query}"), Over::Tcp);
        let url = reader.url().to_owned();
        reader.send("DESCRIBE", &url, &[]);
        let answer = reader.answer(SOON).expect("an answer");
        assert_eq!(answer.status, status, "{query}");
        // Who mistyped it reads why.
        assert_eq!(answer.reason.contains("instant, keyframe, live"), status == 400, "{answer:?}");
    }
}

/// What comes first of a track: its report, then packets not before those that were told.
fn check_beginning(reader: &mut RawReader, track: usize, seq: u16, rtptime: u32, start: &str) {
    let mut report = None;
    let mut seen = Vec::new();
    // The others' packets are looked at in their turn.
    let packet = loop {
        let packet = reader.next(SOON).expect("media");
        if packet.track != track {
            seen.push(packet);
        } else if packet.rtcp {
            report = report.or_else(|| rtp::sender_report(&packet.data));
        } else {
            break packet;
        }
    };
    reader.put_back(seen);
    let header = packet.header();
    let report =
        report.unwrap_or_else(|| panic!("track {track}: no report before the first packet"));
    assert_eq!(report.ssrc, header.ssrc, "track {track}");
    assert!(rtp::ahead(header.seq, seq) >= 0, "track {track}: {} before {seq}", header.seq);
    // The same moment as the answer's, within what an answer takes.
    let rate = if track == 1 { 90_000.0 } else { 48_000.0 };
    let off = f64::from(report.timestamp.wrapping_sub(rtptime).cast_signed()) / rate;
    assert!(off.abs() < 0.5, "track {track}: report and RTP-Info are {off} s apart");
    let after = f64::from(header.timestamp.wrapping_sub(rtptime).cast_signed()) / rate;
    assert!((-0.5..2.5).contains(&after), "track {track}: begins {after} s after RTP-Info");
    if track == 1 && start != "live" {
        let payload = packet.payload();
        assert!(rtp::begins_h264_key(payload), "begins with {:x?}", &payload[..4]);
    }
}

#[test]
fn the_reader_that_starts_the_backend_misses_nothing_of_its_beginning() {
    let source = Source::Synthetic(Synthetic::default());
    let options = CameraOptions {
        source,
        pace: Pace::Burst,
        start: Start::Beginning,
        ..CameraOptions::default()
    };
    let camera = camera::start(options);
    // So that each reader has a beginning of its own.
    camera.fault(Fault::NoPause(true));
    let mut wrong = Vec::new();
    for backend in [&[][..], &["-t"]] {
        let proxy = Proxy::of_camera(&camera.url(0), backend);
        for round in 0..6 {
            let over = if round % 2 == 0 { Over::Udp } else { Over::Tcp };
            let mut reader = RawReader::connect(&proxy.url("cam"), over);
            if round >= 3 {
                // A first line without a name: the connection may be served by another thread.
                reader.request("OPTIONS", "*", &[]);
            }
            reader.describe();
            reader.set_up(1);
            let answer = reader.play();
            let told = rtp_info(answer.header("RTP-Info").unwrap_or_default())[0].1;
            let mut last = None;
            let stamp = loop {
                let packet = reader.next_media(1, SOON).expect("media");
                let seq = packet.header().seq;
                assert!(rtp::ahead(seq, told) >= 0, "{seq} before {told}");
                assert!(last.is_none_or(|last| rtp::ahead(seq, last) == 1), "a gap before {seq}");
                last = Some(seq);
                if let Some(stamp) = Stamp::read(packet.payload()) {
                    break stamp;
                }
            };
            if (stamp.frame, stamp.packet) != (0, 0) {
                wrong.push(format!("{backend:?} {over:?} round {round}: begins with {stamp:?}"));
            }
            reader.tear_down();
            assert!(wait::until(SOON, || camera.sessions(0) == 0), "{}", camera::text(&camera));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_later_reader_gets_one_run_that_begins_with_a_key_frame() {
    let source = Source::Synthetic(Synthetic { gop: 25, ..Synthetic::default() });
    for pace in [Pace::Spread, Pace::Burst] {
        let options = CameraOptions { source, pace, ..CameraOptions::default() };
        let camera = camera::start(options);
        let proxy = Proxy::of_camera(&camera.url(0), &[]);
        let _first = RawReader::play_tracks(&proxy.url("cam"), Over::Tcp, &[1]);
        for round in 0..6 {
            let over = if round % 2 == 0 { Over::Udp } else { Over::Tcp };
            // At another place between two key frames each time.
            wait::pass(Duration::from_millis(170));
            let mut reader = RawReader::connect(&proxy.url("cam"), over);
            if round >= 3 {
                reader.request("OPTIONS", "*", &[]);
            }
            reader.describe();
            reader.set_up(1);
            reader.play();
            let first = reader.next_media(1, SOON).expect("media");
            let payload = first.payload();
            assert!(rtp::begins_h264_key(payload), "begins with {:x?}", &payload[..4]);
            let mut last = first.header().seq;
            let mut stamps = Vec::new();
            while stamps.len() < 200 {
                let packet = reader.next_media(1, SOON).expect("media");
                let seq = packet.header().seq;
                assert_eq!(rtp::ahead(seq, last), 1, "{pace:?} {over:?} round {round}");
                last = seq;
                stamps.extend(Stamp::read(packet.payload()));
            }
            assert_eq!((stamps[0].frame % 25, stamps[0].packet), (0, 0), "{over:?}");
        }
    }
}
