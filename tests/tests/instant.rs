//! Readers that begin with the last key frame and are caught up to the present.

use std::time::{Duration, Instant};

use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::tally::{Packet, Tally};
use integration_tests::{camera, rtp, wait};
use test_camera::{Camera, CameraOptions, Method, Pace, Source, Stamp, Synthetic};

const SOON: Duration = Duration::from_secs(5);
/// What is at once on a machine that runs other tests too.
const AT_ONCE: Duration = Duration::from_millis(400);

fn synthetic(gop: u32, bitrate: u64) -> CameraOptions {
    let source = Source::Synthetic(Synthetic { gop, bitrate, ..Synthetic::default() });
    CameraOptions { source, pace: Pace::Burst, ..CameraOptions::default() }
}

/// A reader that keeps the backend playing, brought to `age` after a key frame.
fn keeper(url: &str, age: Duration) -> RawReader {
    let mut reader = RawReader::play_tracks(url, Over::Tcp, &[1]);
    loop {
        let packet = reader.next_media(1, Duration::from_secs(15)).expect("media");
        if rtp::begins_h264_key(packet.payload()) && wait::now() - packet.at < AT_ONCE {
            break;
        }
    }
    let _passed = reader.receive(age);
    reader
}

/// A reader that plays, and when its PLAY was answered.
fn joined(url: &str, over: Over, tracks: &[usize]) -> (RawReader, Instant) {
    let mut reader = RawReader::connect(url, over);
    reader.describe();
    for track in tracks {
        reader.set_up(*track);
    }
    reader.play();
    let at = wait::now();
    (reader, at)
}

/// The next packets of the video, the reports and the sound passed over.
fn video(reader: &mut RawReader, time: Duration) -> Vec<Packet> {
    let end = wait::now() + time;
    let mut packets = Vec::new();
    while let Some(packet) = reader.next_media(1, end.saturating_duration_since(wait::now())) {
        packets.push(packet);
    }
    packets
}

/// Where the catch-up ends: the first packet whose picture came a real frame after the one before.
fn catch_up_len(packets: &[Packet]) -> usize {
    let steps = packets.windows(2).map(|pair| step(&pair[0], &pair[1]));
    let jump = steps.enumerate().find(|(_, step)| *step > FRAME / 2);
    jump.map_or(packets.len(), |(index, _)| index + 1)
}

fn step(before: &Packet, after: &Packet) -> i32 {
    after.header().timestamp.wrapping_sub(before.header().timestamp).cast_signed()
}

/// 25 pictures a second.
const FRAME: i32 = 3600;

#[test]
fn the_last_key_frame_comes_at_once_and_all_that_followed_it_in_one_run() {
    let camera = camera::start(synthetic(100, 2_000_000));
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let _keeper = keeper(&proxy.url("cam"), Duration::from_secs(2));
    for over in [Over::Tcp, Over::Udp] {
        let (mut reader, at) = joined(&proxy.url("cam"), over, &[1]);
        let packets = video(&mut reader, Duration::from_millis(700));
        let first = packets.first().expect("media");
        assert!(rtp::begins_h264_key(first.payload()), "{over:?} begins with another picture");
        assert!(first.at - at < AT_ONCE, "{over:?}: after {:?}", first.at - at);
        let mut tally = Tally::default();
        packets.iter().for_each(|packet| tally.take(packet));
        assert!(tally.is_whole(), "{over:?}: {tally:?}");
        // Its pictures are those of two seconds or more, shown within a fraction of one.
        let caught = catch_up_len(&packets);
        let stamp = |index: usize| Stamp::read(packets[index].payload()).expect("a stamp");
        let frames = stamp(caught - 1).frame - stamp(caught / 2).frame;
        assert!(frames >= 20, "{over:?}: {frames} frames in half of the catch-up");
        let shown = step(first, &packets[caught - 1]);
        assert!(shown <= 5 * FRAME, "{over:?}: shown over {shown} ticks");
        assert!(packets.windows(2).all(|pair| step(&pair[0], &pair[1]) >= 0), "{over:?}");
        // What follows is live: as far apart as the camera's pictures are.
        let live = &packets[caught..];
        assert!(live.len() > 10, "{over:?}: no live media");
        let steps = live.windows(2).map(|pair| step(&pair[0], &pair[1]));
        assert!(steps.clone().all(|step| step == 0 || step == FRAME), "{over:?}");
    }
}

#[test]
fn a_report_comes_first_and_the_other_tracks_begin_with_the_present() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let _keeper = keeper(&proxy.url("cam"), Duration::from_millis(1200));
    for over in [Over::Tcp, Over::Udp] {
        let (mut reader, _) = joined(&proxy.url("cam"), over, &[1, 2]);
        let mut reports = [None; 2];
        let mut firsts = [None; 2];
        let mut lasts = [None; 2];
        let end = wait::now() + Duration::from_millis(600);
        while let Some(packet) = reader.next(end.saturating_duration_since(wait::now())) {
            let place = packet.track - 1;
            if packet.rtcp {
                reports[place] = reports[place].or_else(|| rtp::sender_report(&packet.data));
            } else {
                assert!(reports[place].is_some(), "{over:?} track {}: no report", packet.track);
                firsts[place].get_or_insert_with(|| packet.header());
                lasts[place] = Some(packet.header());
            }
        }
        for (place, rate) in [(0, 90_000.0), (1, 48_000.0)] {
            let (report, first) = (reports[place].expect("a report"), firsts[place]);
            let first = first.expect("media");
            assert_eq!(report.ssrc, first.ssrc);
            let off = first.timestamp.wrapping_sub(report.timestamp).cast_signed();
            let off = f64::from(off) / rate;
            assert!(off.abs() < 0.3, "{over:?}: begins {off} s from the report's time");
        }
        // Sound is not caught up with: no more of it than the time that passed.
        let sound = lasts[1].expect("sound").timestamp;
        let span = sound.wrapping_sub(firsts[1].expect("sound").timestamp);
        assert!(f64::from(span) / 48_000.0 < 0.9, "{over:?}: {span} ticks of sound");
    }
}

/// The time from PLAY to the first packet of the video, which is a key frame's.
fn first_key(url: &str, over: Over) -> Duration {
    let (mut reader, at) = joined(url, over, &[1]);
    let first = reader.next_media(1, SOON).expect("media");
    assert!(rtp::begins_h264_key(first.payload()));
    first.at - at
}

#[test]
fn a_reader_may_say_where_it_begins() {
    let camera = camera::start(synthetic(75, 2_000_000));
    let proxy = Proxy::configured(&format!(
        "[streams.cam]\nsource = \"{0}\"\n[streams.old]\nsource = \"{0}\"\nstart = \"keyframe\"\n",
        camera.url(0)
    ));
    for name in ["cam", "old"] {
        proxy.wait_described(name);
        let _keeper = keeper(&proxy.url(name), Duration::from_millis(500));
        let url = |start: &str| format!("{}?start={start}", proxy.url(name));
        for over in [Over::Tcp, Over::Udp] {
            assert!(first_key(&url("instant"), over) < AT_ONCE, "{name} {over:?}");
        }
        let own = first_key(&proxy.url(name), Over::Tcp);
        assert_eq!(own < AT_ONCE, name == "cam", "{name}: {own:?}");
        if name == "cam" {
            assert!(first_key(&url("keyframe"), Over::Udp) > AT_ONCE, "it was caught up");
        }
    }
}

#[test]
fn beyond_instant_max_a_reader_waits_for_the_next_key_frame() {
    let camera = camera::start(synthetic(75, 4_000_000));
    for (key, value) in [("instant_max", "\"128KiB\""), ("instant_max_age", "\"500ms\"")] {
        let proxy = Proxy::configured(&format!(
            "[streams.cam]\nsource = \"{}\"\n{key} = {value}\n",
            camera.url(0)
        ));
        proxy.wait_described("cam");
        let _keeper = keeper(&proxy.url("cam"), Duration::from_millis(1000));
        let after = first_key(&proxy.url("cam"), Over::Udp);
        assert!(after > AT_ONCE, "{key}: after {after:?}");
    }
}

#[test]
fn a_reader_on_a_shard_without_any_begins_at_once_too() {
    let camera = camera::start(CameraOptions { streams: 2, ..synthetic(100, 2_000_000) });
    let proxy = Proxy::configured(&format!(
        "workers = 2\n[streams.one]\nsource = \"{}\"\n[streams.two]\nsource = \"{}\"\n",
        camera.url(0),
        camera.url(1)
    ));
    for (watched, placed) in [("one", "one"), ("two", "one"), ("one", "two")] {
        proxy.wait_described(watched);
        proxy.wait_described(placed);
        // The reader that starts the backend is at the stream's home or not, the other elsewhere.
        let other = if placed == "one" { "two" } else { "one" };
        let mut keeper = placed_by(&proxy.url(placed), &proxy.url(watched), Over::Tcp);
        keeper.play();
        loop {
            let packet = keeper.next_media(1, Duration::from_secs(10)).expect("media");
            if rtp::begins_h264_key(packet.payload()) {
                break;
            }
        }
        let _passed = keeper.receive(Duration::from_millis(1500));
        for over in [Over::Udp, Over::Tcp] {
            let mut reader = placed_by(&proxy.url(other), &proxy.url(watched), over);
            reader.play();
            let at = wait::now();
            let packets = video(&mut reader, Duration::from_millis(400));
            let first = packets.first().expect("media");
            let what = format!("{watched} placed by {other} {over:?}");
            assert!(rtp::begins_h264_key(first.payload()), "{what}");
            assert!(first.at - at < AT_ONCE, "{what}: after {:?}", first.at - at);
            let mut tally = Tally::default();
            packets.iter().for_each(|packet| tally.take(packet));
            assert!(tally.is_whole(), "{what}: {tally:?}");
        }
    }
}

/// A reader of `url` whose connection was placed by its first request, which is about `other`.
fn placed_by(other: &str, url: &str, over: Over) -> RawReader {
    let mut reader = RawReader::connect(url, over);
    assert_eq!(reader.request("DESCRIBE", other, &[]).status, 200);
    reader.describe();
    reader.set_up(1);
    reader
}

#[test]
fn nobody_is_shown_a_picture_from_before_a_pause() {
    let camera = camera::start(synthetic(50, 2_000_000));
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    for (turn, over) in [(0, Over::Tcp), (1, Over::Udp)] {
        let mut keeper = keeper(&proxy.url("cam"), Duration::from_millis(300));
        let before = newest_frame(&mut keeper);
        keeper.tear_down();
        camera::wait_count(&camera, Method::Pause, 2 * turn + 1, SOON);
        wait::pass(Duration::from_millis(700));
        let (mut reader, _) = joined(&proxy.url("cam"), over, &[1]);
        let after = newest_frame(&mut reader);
        assert!(after > before + 10, "{over:?}: frame {after} after {before}");
        reader.tear_down();
        camera::wait_count(&camera, Method::Pause, 2 * turn + 2, SOON);
    }
}

/// The first frame that comes from now on.
fn newest_frame(reader: &mut RawReader) -> u64 {
    loop {
        let packet = reader.next_media(1, SOON).expect("media");
        if let Some(stamp) = Stamp::read(packet.payload()) {
            return stamp.frame;
        }
    }
}

#[test]
fn the_receive_buffer_that_the_kernel_gives_is_enough() {
    let mut wrong = Vec::new();
    for (gop, bitrate) in [(50, 4_000_000), (50, 8_000_000), (100, 4_000_000), (100, 8_000_000)] {
        let camera: Camera = camera::start(synthetic(gop, bitrate));
        let proxy = Proxy::of_camera(&camera.url(0), &[]);
        let age = Duration::from_millis(u64::from(gop) * 40 - 400);
        let _keeper = keeper(&proxy.url("cam"), age);
        let mut reader = RawReader::connect(&proxy.url("cam"), Over::Udp).with_plain_buffers();
        reader.describe();
        reader.set_up(1);
        reader.play();
        let outcome = reader.run();
        wait::pass(Duration::from_millis(1500));
        let outcome = outcome.stop();
        assert_eq!(outcome.buffers, [212_992], "not the default of Linux");
        let (tally, dropped) =
            (outcome.tracks.get(&1).cloned().unwrap_or_default(), &outcome.dropped);
        if !tally.is_whole() || dropped.values().any(|count| *count > 0) {
            wrong.push(format!("GOP {gop} at {bitrate}: dropped {dropped:?}, {tally:?}"));
        }
        // A second of live media alone would be less.
        assert!(tally.packets > u64::from(gop) * bitrate / 25 / 8 / 1400, "{tally:?}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
