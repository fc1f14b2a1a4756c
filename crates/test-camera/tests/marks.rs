//! What the clip shows, read back from what ffmpeg decodes.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::path::Path;
use std::process::{Command, Stdio};

use test_camera::{Camera, CameraOptions, Start, frame_number, tone_time};

/// What ffmpeg writes; `None`, said aloud, where there is no ffmpeg.
fn ffmpeg(arguments: &[&str]) -> Option<Vec<u8>> {
    let run = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error"])
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    match run {
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {errors}");
            Some(output.stdout)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: there is no ffmpeg");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn numbers(gray: &[u8], width: usize, height: usize) -> Vec<Option<u32>> {
    gray.chunks_exact(width * height).map(|frame| frame_number(frame, width, height)).collect()
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn clip(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clip").join(name);
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_frame_of_both_clips_carries_its_number() {
    for (name, width, height) in [("clip-320x180.h264", 320, 180), ("clip-256x144.h264", 256, 144)]
    {
        let gray = ["-i", &clip(name), "-f", "rawvideo", "-pix_fmt", "gray", "-"];
        let Some(gray) = ffmpeg(&gray) else { return };
        let expected: Vec<_> = (0..400).map(Some).collect();
        assert_eq!(numbers(&gray, width, height), expected, "{name}");

        // As a player would scale it.
        let scaled =
            ["-i", &clip(name), "-vf", "scale=854:480", "-frames:v", "20", "-f", "rawvideo"];
        let scaled = ffmpeg(&[&scaled[..], &["-pix_fmt", "gray", "-"]].concat()).unwrap();
        assert_eq!(numbers(&scaled, 854, 480), expected[..20]);
    }
}

#[test]
fn the_sound_tells_its_time_and_loops_without_a_click() {
    let looped = ["-stream_loop", "1", "-i", &clip("clip.aac"), "-f", "s16le", "-"];
    let Some(bytes) = ffmpeg(&looped) else { return };
    let samples = samples(&bytes);
    assert_eq!(samples.len(), 2 * 750 * 1024);
    for (window, tolerance) in [(2048, 0.001), (4096, 0.0005)] {
        let mut told = 0;
        let mut worst = 0.0_f64;
        // The first frame lacks the one before it.
        for (index, window) in samples.chunks_exact(window).enumerate().skip(1) {
            let Some(time) = tone_time(window, 48_000) else { continue };
            let truth = ((index * window.len()) as f64 + time.at_sample) / 48_000.0 % 16.0;
            worst = worst.max((time.clip_time.as_secs_f64() - truth).abs());
            told += 1;
        }
        assert!(worst <= tolerance, "{window} samples: off by {worst} s");
        // All but the first and the one or two at the loop point.
        assert!(told + 3 >= samples.len() / window, "only {told} windows tell their time");
    }
    // Where the clip begins anew, no sample is further from the next than a sine of 4500 Hz and
    // half of full scale allows, and a little.
    let (before, after) = (750 * 1024 - 480, 750 * 1024 + 480);
    let steps = samples[before..after].windows(2).map(|pair| pair[0].abs_diff(pair[1]));
    assert!(steps.max().unwrap() < 12_000);
}

#[test]
fn ffmpeg_gets_every_frame_over_udp_and_tcp() {
    let options = CameraOptions { start: Start::Beginning, ..CameraOptions::default() };
    let camera = Camera::start(options).unwrap();
    let url = camera.url(0);
    for transport in ["udp", "tcp"] {
        let input = ["-rtsp_transport", transport, "-i", &url, "-frames:v", "60"];
        let gray = ["-map", "0:v", "-f", "rawvideo", "-pix_fmt", "gray", "-"];
        let Some(gray) = ffmpeg(&[&input[..], &gray].concat()) else { return };
        let expected: Vec<_> = (0..60).map(Some).collect();
        assert_eq!(numbers(&gray, 320, 180), expected, "{transport}");
    }
}
