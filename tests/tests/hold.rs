//! Readers outlive the backend: real players while the camera is killed and started again.

use std::process::Command;
use std::time::{Duration, Instant};

use integration_tests::pictures::Player;
use integration_tests::process::Process;
use integration_tests::programs;
use integration_tests::proxy::{Proxy, free_port};
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::recording::{Recording, distance, median_after};
use integration_tests::tally::Packet;
use integration_tests::{rtp, wait};
use nix::sys::signal::Signal;

const SOON: Duration = Duration::from_secs(5);
/// What a player may take to show a picture: it probes, and waits for a key frame.
const FIRST_PICTURE: Duration = Duration::from_secs(20);
/// Until a picture is shown again: attempts are a second apart, the camera begins with a key
/// frame, and players show it some pictures later.
const BACK: Duration = Duration::from_secs(4);

/// The camera as a program, on this port.
fn camera(port: u16) -> Process {
    let mut command = Command::new(programs::test_camera());
    command.args(["--port", &port.to_string(), "--start", "beginning"]);
    let process = Process::start("test-camera", &mut command);
    let url = process.stdout().wait_for(SOON, |line| line.starts_with("rtsp://"));
    assert!(url.is_some(), "{:?}", process.stderr().all());
    process
}

/// The camera is gone, without a word, for so long.
fn away(camera: Process, port: u16, time: Duration) -> (Process, Instant) {
    camera.signal(Signal::SIGKILL);
    drop(camera);
    wait::pass(time);
    let camera = self::camera(port);
    (camera, wait::now())
}

/// Who plays, under a name for messages.
type Players = Vec<(&'static str, Player)>;

fn players(url: &str) -> Players {
    vec![
        ("ffmpeg over UDP", Player::ffmpeg(url, Over::Udp)),
        ("ffmpeg over TCP", Player::ffmpeg(url, Over::Tcp)),
        ("GStreamer over UDP", Player::gstreamer_choosing(url, Over::Udp)),
        ("GStreamer over TCP", Player::gstreamer_choosing(url, Over::Tcp)),
    ]
}

/// Waits until all have shown a picture since; who has not.
fn without_picture(players: &Players, since: Instant, bound: Duration) -> Vec<String> {
    let end = wait::now() + bound;
    let late = |(name, player): &(&str, Player)| {
        let left = end.saturating_duration_since(wait::now());
        let shown = player.wait_for(left, |shown| shown.at > since && shown.number.is_some());
        shown.is_none().then(|| format!("{name}: no picture within {bound:?}"))
    };
    players.iter().filter_map(late).collect()
}

/// How many readers have begun to play, which is one more for each that comes again, and how many
/// were closed by either side.
fn begun(proxy: &Proxy) -> (usize, usize) {
    let log = proxy.log();
    let count = |what: &str| log.matches(what).count();
    (count("reader is playing"), count("reader left") + count("reader ended"))
}

/// What is wrong with the numbers and times of a track, and how long its gaps are beside those of
/// arrival, in seconds.
fn faults(packets: &[Packet], rate: f64) -> (Vec<String>, Vec<(f64, f64)>) {
    let (mut wrong, mut gaps) = (Vec::new(), Vec::new());
    for pair in packets.windows(2) {
        let (before, after) = (pair[0].header(), pair[1].header());
        if rtp::ahead(after.seq, before.seq) != 1 || after.ssrc != before.ssrc {
            wrong.push(format!("{before:?}, then {after:?}"));
        }
        let step = f64::from(after.timestamp.wrapping_sub(before.timestamp).cast_signed()) / rate;
        let arrived = (pair[1].at - pair[0].at).as_secs_f64();
        if step < 0.0 {
            wrong.push(format!("time goes back by {step} s at {}", after.seq));
        } else if step > 0.5 {
            gaps.push((step, arrived));
        }
    }
    (wrong, gaps)
}

/// Reads on a thread of its own; all of a track's packets in the end.
fn read_all(mut reader: RawReader, time: Duration) -> std::thread::JoinHandle<Vec<Packet>> {
    std::thread::spawn(move || {
        let end = wait::now() + time;
        let mut packets = Vec::new();
        while let Some(packet) = reader.next(end.saturating_duration_since(wait::now())) {
            packets.push(packet);
        }
        packets
    })
}

#[test]
fn nobody_comes_again_when_the_camera_is_killed_and_started_again() {
    let port = free_port();
    let mut camera = camera(port);
    let proxy = Proxy::of_camera(&format!("rtsp://127.0.0.1:{port}/cam"), &[]);
    let url = proxy.url("cam");
    let players = players(&url);
    let recording = Recording::new("hold.mkv");
    let mut recorder = {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-rtsp_transport", "tcp", "-i", &url]);
        command.args(["-map", "0", "-c", "copy", "-t", "52", "-y"]).arg(recording.path());
        Process::start("ffmpeg", &mut command)
    };
    let start = wait::now();
    let mut wrong = without_picture(&players, start, FIRST_PICTURE);
    let reads = [Over::Tcp, Over::Udp]
        .map(|over| read_all(RawReader::play_tracks(&url, over, &[1, 2]), Duration::from_secs(44)));
    wait::pass(Duration::from_secs(3));
    let before = begun(&proxy);
    assert_eq!(before, (7, 0), "{}", proxy.log());
    for seconds in [1, 5, 20] {
        let back;
        (camera, back) = away(camera, port, Duration::from_secs(seconds));
        for late in without_picture(&players, back, BACK) {
            wrong.push(format!("after {seconds} s: {late}"));
        }
        // It plays on.
        wait::pass(Duration::from_secs(1));
        let later = wait::now();
        for late in without_picture(&players, later, Duration::from_secs(1)) {
            wrong.push(format!("later after {seconds} s: {late}"));
        }
    }
    assert_eq!(begun(&proxy), before, "{wrong:#?}\n{}", proxy.log());
    for (name, player) in &players {
        let complaints = player.complaints();
        let harmless = |line: &&String| !line.contains("speed=") && !line.contains("frame=");
        let complaints: Vec<_> = complaints.iter().filter(harmless).collect();
        if !complaints.is_empty() {
            wrong.push(format!("{name}: {complaints:#?}"));
        }
        let unread = player.shown().iter().filter(|shown| shown.number.is_none()).count();
        if unread > 0 {
            wrong.push(format!("{name}: {unread} pictures cannot be read"));
        }
    }
    for (over, read) in ["TCP", "UDP"].into_iter().zip(reads) {
        let packets = read.join().expect("a reader");
        for (track, rate) in [(1, 90_000.0), (2, 48_000.0)] {
            let of_track = |packet: &&Packet| packet.track == track && !packet.rtcp;
            let media: Vec<Packet> = packets.iter().filter(of_track).cloned().collect();
            let (faults, gaps) = faults(&media, rate);
            wrong.extend(faults.iter().map(|fault| format!("{over}, track {track}: {fault}")));
            if gaps.len() != 3 {
                wrong.push(format!("{over}, track {track}: gaps {gaps:?}"));
            }
            for (told, arrived) in gaps {
                // What a reader on a busy machine sees of it; in virtual time it is true to the
                // millisecond.
                if (told - arrived).abs() > 0.5 {
                    wrong.push(format!("{over}, track {track}: {told} s, and {arrived} s passed"));
                }
            }
            // Nobody was left in silence.
            let of_track = packets.iter().filter(|packet| packet.track == track);
            let times: Vec<Instant> = of_track.map(|packet| packet.at).collect();
            let longest = times.windows(2).map(|pair| pair[1] - pair[0]).max();
            if longest.is_none_or(|longest| longest > Duration::from_millis(2_500)) {
                wrong.push(format!("{over}, track {track}: {longest:?} without a word"));
            }
        }
    }
    recorder.expect_success(Duration::from_secs(30));
    drop(camera);
    wrong.extend(out_of_step(&recording));
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", proxy.log());
}

/// Where sound and picture of a recording are apart by more than 20 ms: in each run of pictures
/// between two gaps.
fn out_of_step(recording: &Recording) -> Vec<String> {
    let (video, audio) = (recording.video_offsets(0), recording.audio_offsets());
    let mut runs: Vec<(f64, f64)> = Vec::new();
    for (time, _) in &video {
        match runs.last_mut() {
            Some((_, end)) if *time - *end <= 0.5 => *end = *time,
            _ => runs.push((*time, *time)),
        }
    }
    let mut wrong = Vec::new();
    if runs.len() != 4 {
        wrong.push(format!("recorded: runs from {runs:?}"));
    }
    for (from, to) in runs {
        let of_run = |offsets: &[(f64, f64)]| {
            let within = |(time, _): &&(f64, f64)| *time >= from + 0.2 && *time <= to - 0.2;
            let run: Vec<_> = offsets.iter().filter(within).copied().collect();
            median_after(&run, 0.0)
        };
        match of_run(&video).zip(of_run(&audio)) {
            Some((video, audio)) if distance(audio, video).abs() <= 0.02 => {}
            Some((video, audio)) => {
                let apart = distance(audio, video);
                wrong.push(format!("recorded from {from} s: picture and sound {apart} s apart"));
            }
            None => wrong.push(format!("recorded from {from} s: picture or sound is missing")),
        }
    }
    wrong
}

#[test]
fn a_reader_comes_again_when_the_camera_has_become_another() {
    let port = free_port();
    let camera = camera(port);
    let proxy = Proxy::of_camera(&format!("rtsp://127.0.0.1:{port}/cam"), &[]);
    let url = proxy.url("cam");
    let mut readers =
        [Over::Tcp, Over::Udp].map(|over| RawReader::play_tracks(&url, over, &[1, 2]));
    readers.iter_mut().for_each(|reader| assert!(reader.next_media(1, SOON).is_some()));
    camera.signal(Signal::SIGKILL);
    drop(camera);
    let mut command = Command::new(programs::test_camera());
    command.args(["--port", &port.to_string(), "--no-audio"]);
    let _camera = Process::start("test-camera", &mut command);
    for mut reader in readers {
        let tallies = reader.until_closed(SOON);
        let tallies = tallies.unwrap_or_else(|| panic!("not closed\n{}", proxy.log()));
        assert_eq!(tallies[&1].byes + tallies[&2].byes, 2, "{tallies:?}");
    }
    let mut reader = RawReader::play_tracks(&url, Over::Tcp, &[1]);
    assert!(reader.next_media(1, SOON).is_some());
}

#[test]
fn readers_are_told_when_nobody_waits_any_more() {
    let port = free_port();
    for (keys, least, most) in [
        ("hold_for = \"3s\"", Duration::from_secs(2), Duration::from_secs(5)),
        ("on_backend_loss = \"close\"", Duration::ZERO, Duration::from_secs(1)),
    ] {
        let camera = camera(port);
        let proxy = Proxy::configured(&format!(
            "[streams.cam]\nsource = \"rtsp://127.0.0.1:{port}/cam\"\n{keys}\n"
        ));
        proxy.wait_described("cam");
        let url = proxy.url("cam");
        let mut reader = RawReader::play_tracks(&url, Over::Udp, &[1, 2]);
        assert!(reader.next_media(1, SOON).is_some());
        camera.signal(Signal::SIGKILL);
        drop(camera);
        let lost = wait::now();
        let tallies = reader.until_closed(most).unwrap_or_else(|| panic!("{}", proxy.log()));
        assert!(wait::now() - lost >= least, "{keys}: after {:?}", wait::now() - lost);
        assert_eq!(tallies[&1].byes + tallies[&2].byes, 2, "{keys}: {tallies:?}");
        let mut again = RawReader::connect(&url, Over::Tcp);
        let answer = again.request("DESCRIBE", &url, &[]);
        assert_eq!(answer.status, 503, "{keys}");
        assert!(answer.header("Retry-After").is_some(), "{answer:?}");
    }
}
