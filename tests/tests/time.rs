//! What time readers make of what they get, by content: whatever the camera's clock does.

use std::process::Command;
use std::time::Duration;

use integration_tests::process::Process;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::recording::{Recording, distance, median_after};
use integration_tests::{camera, programs, rtp, wait};
use nix::sys::signal::Signal;
use test_camera::{Camera, CameraOptions, Clock, Fault, Source, Stamp, Synthetic};

/// How long a player may take to end.
const END: Duration = Duration::from_secs(15);

/// ffprobe that writes a packet's track and times a line, for so many seconds of media.
fn ffprobe(url: &str, over: Over, seconds: u32) -> Process {
    let mut command = Command::new("ffprobe");
    command.args(["-hide_banner", "-loglevel", "error", "-rtsp_transport", over.as_str()]);
    command.args(["-analyzeduration", "500000", "-read_intervals", &format!("%+{seconds}")]);
    command.args(["-show_entries", "packet=stream_index,dts_time", "-of", "csv=p=0", url]);
    Process::start("ffprobe", &mut command)
}

/// The times of a track's packets in what ffprobe wrote.
fn probed(process: &Process, track: usize) -> Vec<f64> {
    let lines = process.stdout().all();
    let time = |line: &String| {
        let mut fields = line.split(',');
        let is_of_track = fields.next()? == track.to_string();
        fields.next().filter(|_| is_of_track)?.parse().ok()
    };
    lines.iter().filter_map(time).collect()
}

/// GStreamer that writes a line per access unit of the video.
fn gstreamer(url: &str, over: Over) -> Process {
    let mut command = programs::gst_play(&["-v"], url, over.as_str(), 200);
    command.args(["rtph264depay", "name=video", "!", "h264parse"]);
    command.args(["!", "fakesink", "silent=false", "sync=false"]);
    Process::start("GStreamer", &mut command)
}

fn launched(process: &Process) -> Vec<f64> {
    let time = |line: &String| {
        let text = line.split("pts: ").nth(1).filter(|_| line.contains("chain"))?;
        let mut parts = text.split(',').next()?.split(':').map(str::parse::<f64>);
        let mut next = || parts.next()?.ok();
        Some((next()? * 60.0 + next()?) * 60.0 + next()?)
    };
    process.stdout().all().iter().filter_map(time).collect()
}

/// What is wrong with the times of something that plays for so long without a pause.
fn faults(who: &str, times: &[f64], least: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, pair) in times.windows(2).enumerate() {
        let step = pair[1] - pair[0];
        if !(0.0..=0.5).contains(&step) {
            wrong.push(format!("{who}: {step:.3} s at {index}, {:.3} s", pair[0]));
        }
    }
    let span = times.last().unwrap_or(&0.0) - times.first().unwrap_or(&0.0);
    if !(least..=least + 8.0).contains(&span) {
        wrong.push(format!("{who}: {} times span {span:.3} s", times.len()));
    }
    wrong
}

#[test]
fn players_see_time_go_on_while_the_camera_sets_its_clock() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let url = proxy.url("cam");
    // There is a key frame to begin with.
    let _keeper = RawReader::play_tracks(&url, Over::Tcp, &[1, 2]).run();
    wait::pass(Duration::from_millis(2_500));
    let mut probes = [Over::Tcp, Over::Udp].map(|over| ffprobe(&url, over, 14));
    let launches = [Over::Tcp, Over::Udp].map(|over| gstreamer(&url, over));
    wait::pass(Duration::from_secs(4));
    for fault in [
        // Its wall clock, in reports alone.
        Fault::WallClock(3_600),
        Fault::WallClock(-3_600),
        // And timestamps with it: there, and back.
        Fault::ClockJump(3_600),
        Fault::ClockJump(0),
    ] {
        camera.fault(fault);
        wait::pass(Duration::from_millis(2_500));
    }
    let mut wrong = Vec::new();
    for (over, probe) in ["TCP", "UDP"].iter().zip(&mut probes) {
        probe.wait(END);
        for track in [0, 1] {
            let who = format!("ffmpeg over {over}, track {track}");
            wrong.extend(faults(&who, &probed(probe, track), 11.0));
        }
    }
    for (over, launch) in ["TCP", "UDP"].iter().zip(&launches) {
        launch.signal(Signal::SIGINT);
        wrong.extend(faults(&format!("GStreamer over {over}"), &launched(launch), 10.0));
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());
    let log = proxy.log();
    assert!(log.contains("the timestamps stepped"), "{log}");
}

/// ffmpeg that records what it gets as it is, for so long.
fn record(url: &str, over: Over, seconds: u32, to: &Recording) -> Process {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-rtsp_transport", over.as_str()]);
    command.args(["-i", url, "-map", "0", "-c", "copy"]);
    command.args(["-t", &seconds.to_string(), "-f", "nut", "-y"]).arg(to.path());
    Process::start("ffmpeg", &mut command)
}

/// GStreamer that does the same until it is told to end.
fn record_by_gstreamer(url: &str, over: Over, to: &Recording) -> Process {
    let mut command = programs::gst_play(&["-e"], url, over.as_str(), 500);
    command.args(["ntp-sync=true", "ntp-time-source=ntp"]);
    command.args(["rtph264depay", "name=video", "!", "h264parse", "!", "queue", "!", "mux."]);
    command.args(["rtpmp4gdepay", "name=audio", "!", "aacparse", "!", "queue", "!", "mux."]);
    command.args(["matroskamux", "name=mux", "!", "filesink"]);
    command.arg(format!("location={}", to.path().display()));
    Process::start("GStreamer", &mut command)
}

/// How much later the sound is played than the picture that belongs to it, in seconds.
fn skew(recording: &Recording) -> Option<f64> {
    // Until then a reader may be caught up.
    let video = median_after(&recording.video_offsets(0), 2.5)?;
    let audio = median_after(&recording.audio_offsets(), 2.5)?;
    Some(distance(video, audio))
}

#[test]
fn sound_and_picture_are_as_far_apart_as_at_the_camera() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let mut recordings = Vec::new();
    let mut start = |name: &str, url: &str, over: Over| {
        let recording = Recording::new(&format!("{name}-{}.nut", over.as_str()));
        let process = record(url, over, 7, &recording);
        recordings.push((name.to_owned(), over, recording, process));
    };
    start("direct", &camera.url(0), Over::Tcp);
    for (mode, over) in [
        ("live", Over::Tcp),
        ("instant", Over::Udp),
        ("keyframe", Over::Tcp),
        ("instant", Over::Tcp),
        ("keyframe", Over::Udp),
        ("live", Over::Udp),
    ] {
        start(mode, &format!("{}?start={mode}", proxy.url("cam")), over);
        // At any time within a group of pictures.
        wait::pass(Duration::from_millis(370));
    }
    let mut skews = Vec::new();
    for (name, over, recording, process) in &mut recordings {
        process.expect_success(Duration::from_secs(30));
        let who = format!("{name} over {over:?}");
        let skew = skew(recording).unwrap_or_else(|| panic!("{who}: nothing to measure"));
        println!("{who}: sound {:+.2} ms from the picture", skew * 1000.0);
        skews.push((who, skew));
    }
    let (_, direct) = skews[0];
    let off = |(_, skew): &&(String, f64)| (skew - direct).abs() > 0.005;
    let wrong: Vec<_> = skews.iter().filter(off).collect();
    assert!(wrong.is_empty(), "direct {direct}, but {wrong:?}");
}

#[test]
fn gstreamer_plays_sound_and_picture_as_far_apart_as_from_the_camera() {
    let camera = camera::start(CameraOptions::default());
    let proxy = Proxy::of_camera(&camera.url(0), &[]);
    let proxied = |mode: &str| format!("{}?start={mode}", proxy.url("cam"));
    let sources = [
        ("direct", camera.url(0), Over::Tcp),
        ("live", proxied("live"), Over::Tcp),
        ("instant", proxied("instant"), Over::Tcp),
        ("keyframe", proxied("keyframe"), Over::Udp),
    ];
    let mut attempts = (0..ATTEMPTS).map(|_| too_far_apart(&skews_in_gstreamer(&sources)));
    let wrong: Vec<_> = attempts.by_ref().take_while(|wrong| !wrong.is_empty()).collect();
    assert!(wrong.len() < ATTEMPTS, "{wrong:?}");
}

/// GStreamer guesses each track's clock by when packets come, which is late by some milliseconds
/// now and then where the machine is busy: who is too far apart each time is so for another reason.
const ATTEMPTS: usize = 3;

/// How far apart GStreamer plays sound and picture of each source.
fn skews_in_gstreamer(sources: &[(&'static str, String, Over)]) -> Vec<(&'static str, f64)> {
    let start = |(name, url, over): &(&'static str, String, Over)| {
        let recording = Recording::new(&format!("{name}-{}.mkv", over.as_str()));
        let process = record_by_gstreamer(url, *over, &recording);
        wait::pass(Duration::from_millis(430));
        (*name, recording, process)
    };
    let readers: Vec<_> = sources.iter().map(start).collect();
    wait::pass(Duration::from_secs(8));
    let finish = |(name, recording, mut process): (&'static str, Recording, Process)| {
        process.signal(Signal::SIGINT);
        assert!(process.wait(END).is_some(), "{name}: GStreamer does not end");
        let skew = skew(&recording);
        let skew = skew.unwrap_or_else(|| panic!("{name}: nothing to measure: {process:?}"));
        println!("{name}: sound {:+.2} ms from the picture", skew * 1000.0);
        (name, skew)
    };
    readers.into_iter().map(finish).collect()
}

/// Each track's buffer guesses a clock of its own and is off by some milliseconds, whoever sends:
/// what counts is how far they are from the truth, in which there is no distance. The first is the
/// direct connection.
fn too_far_apart(skews: &[(&'static str, f64)]) -> Vec<(&'static str, f64)> {
    let most = skews.first().map_or(0.0, |(_, direct)| direct.abs()) + 0.005;
    skews.iter().copied().filter(|(_, skew)| skew.abs() > most).collect()
}

#[test]
fn two_streams_of_one_camera_are_shown_together() {
    let camera =
        camera::start(CameraOptions { streams: 2, audio: false, ..CameraOptions::default() });
    let proxy = Proxy::configured(&format!(
        "[streams.one]\nsource = \"{}\"\n[streams.two]\nsource = \"{}\"\n",
        camera.url(0),
        camera.url(1)
    ));
    let recording = Recording::new("together.mkv");
    let mut command = Command::new("gst-launch-1.0");
    command.args(["-q", "-e", "matroskamux", "name=mux", "!", "filesink"]);
    command.arg(format!("location={}", recording.path().display()));
    for name in ["one", "two"] {
        proxy.wait_described(name);
        command.args(["rtspsrc", &format!("location={}?start=keyframe", proxy.url(name))]);
        command.args(["protocols=tcp", "latency=500", "ntp-sync=true", "ntp-time-source=ntp"]);
        command.args(["!", "application/x-rtp,media=video", "!", "rtph264depay"]);
        command.args(["!", "h264parse", "!", "queue", "!", "mux."]);
    }
    let mut launch = Process::start("gst-launch-1.0", &mut command);
    wait::pass(Duration::from_secs(9));
    launch.signal(Signal::SIGINT);
    assert!(launch.wait(END).is_some(), "GStreamer does not end");
    // How long after its moment at the camera each picture is shown, but for a common constant.
    let delays = [0, 1].map(|stream| {
        let offset = median_after(&recording.video_offsets(stream), 3.0);
        let offset = offset.unwrap_or_else(|| panic!("no video {stream}: {launch:?}"));
        let epoch = camera.content_epoch(stream).duration_since(std::time::UNIX_EPOCH);
        offset - epoch.expect("after 1970").as_secs_f64()
    });
    let apart = distance(delays[0], delays[1]);
    println!("two streams: {:+.2} ms apart", apart * 1000.0);
    assert!(apart.abs() < 0.02, "{apart} s apart");
}

/// How far the time of day that follows from the proxy's reports is from the moment at which the
/// camera's frames were due, in seconds: the least late one.
fn error(reader: &mut RawReader, camera: &Camera, time: Duration) -> Vec<f64> {
    let epoch = camera.content_epoch(0).duration_since(std::time::UNIX_EPOCH);
    let epoch = epoch.expect("after 1970").as_secs_f64();
    let end = wait::now() + time;
    let (mut report, mut errors) = (None::<rtp::SenderReport>, Vec::new());
    while let Some(packet) = reader.next(end.saturating_duration_since(wait::now())) {
        if packet.rtcp {
            report = rtp::sender_report(&packet.data).or(report);
            continue;
        }
        let (Some(report), Some(stamp)) = (report, Stamp::read(packet.payload())) else { continue };
        let header = packet.header();
        let since = header.timestamp.wrapping_sub(report.timestamp).cast_signed();
        let ntp = report.ntp as f64 / 4_294_967_296.0 - 2_208_988_800.0;
        let told = ntp + f64::from(since) / 90_000.0;
        errors.push(told - (epoch + stamp.frame as f64 / 25.0));
    }
    errors
}

#[test]
fn absolute_times_are_the_cameras_truth() {
    for (ntp, ahead) in [("proxy", 0_i32), ("backend", 0), ("backend", -86_400)] {
        let source = Source::Synthetic(Synthetic { bitrate: 1_000_000, ..Synthetic::default() });
        let interval = Duration::from_secs(1);
        let options =
            CameraOptions { source, report_interval: interval, ..CameraOptions::default() };
        let camera = camera::start(options);
        camera.fault(Fault::WallClock(ahead.into()));
        let proxy = Proxy::configured(&format!(
            "[streams.cam]\nsource = \"{}\"\nntp = \"{ntp}\"\n",
            camera.url(0)
        ));
        proxy.wait_described("cam");
        let url = format!("{}?start=live", proxy.url("cam"));
        let mut first = RawReader::play_tracks(&url, Over::Tcp, &[1]);
        let _settling = error(&mut first, &camera, Duration::from_secs(2));
        let mut reader = RawReader::play_tracks(&url, Over::Udp, &[1]);
        let errors = error(&mut reader, &camera, Duration::from_secs(3));
        assert!(errors.len() > 50, "{ntp}: {}", errors.len());
        let most = errors.iter().map(|error| (error - f64::from(ahead)).abs()).fold(0.0, f64::max);
        println!(
            "{ntp}, the camera's clock {ahead} s ahead: off by at most {:.2} ms",
            most * 1000.0
        );
        assert!(most < 0.02, "{ntp}, {ahead}: {most} s");
    }
}

#[test]
fn reports_that_lie_are_told_of_once_and_nobody_sees_them() {
    for (clock, words) in [
        (Clock::Zero, "sender reports without a time"),
        (Clock::Since1970, "sender reports by a clock that counts from 1970"),
        (Clock::Pair, "sender reports that do not fit the packets"),
    ] {
        let source = Source::Synthetic(Synthetic { bitrate: 1_000_000, ..Synthetic::default() });
        let interval = Duration::from_millis(500);
        let options =
            CameraOptions { source, report_interval: interval, ..CameraOptions::default() };
        let camera = camera::start(options);
        camera.fault(Fault::Clock(clock));
        let proxy = Proxy::of_camera(&camera.url(0), &[]);
        let url = format!("{}?start=live", proxy.url("cam"));
        let mut reader = RawReader::play_tracks(&url, Over::Tcp, &[1]);
        let errors = error(&mut reader, &camera, Duration::from_secs(4));
        let most = errors.iter().copied().map(f64::abs).fold(0.0, f64::max);
        assert!(errors.len() > 50 && most < 0.05, "{clock:?}: off by {most} s");
        let told = proxy.process.stderr().count(|line| line.contains(words));
        // Once for each track that the proxy plays.
        assert!((1..=2).contains(&told), "{clock:?}: told {told} times\n{}", proxy.log());
    }
}
