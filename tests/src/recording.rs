//! What players made of timestamps: recordings of the test camera's clip, measured by content.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use test_camera::{frame_number, tone_time};

use crate::clips::FPS;

/// The size of the test camera's pictures.
const WIDTH: usize = 320;
const HEIGHT: usize = 180;
/// After how many seconds the clip repeats.
const REPEATS: f64 = 16.0;
/// The rate of its sound, and how many samples are looked at to tell a pitch.
const RATE: u32 = 48_000;
const WINDOW: usize = 2048;

/// A file that a player writes; it goes with this value.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

impl Recording {
    /// A place for a recording. The name's ending tells the format.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let name = format!("rtsp-proxy-{}-{name}", std::process::id());
        Self { path: std::env::temp_dir().join(name) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// For each picture of a video stream, by number: when it is shown, less the moment of the
    /// clip that it shows, in seconds below the clip's length.
    ///
    /// # Panics
    /// If ffmpeg or ffprobe cannot be run.
    #[must_use]
    pub fn video_offsets(&self, stream: usize) -> Vec<(f64, f64)> {
        let offset = |(time, number): (f64, Option<u32>)| {
            let number = f64::from(number?);
            Some((time, (time - number / f64::from(FPS)).rem_euclid(REPEATS)))
        };
        self.pictures(stream).into_iter().filter_map(offset).collect()
    }

    /// The pictures of a video stream, by number: when each is shown, in seconds, and which of the
    /// clip's it is, if that can be read.
    ///
    /// # Panics
    /// If ffmpeg or ffprobe cannot be run.
    #[must_use]
    pub fn pictures(&self, stream: usize) -> Vec<(f64, Option<u32>)> {
        let select = format!("v:{stream}");
        let size = format!("scale={WIDTH}:{HEIGHT}");
        let options = ["-fps_mode", "passthrough", "-vf", &size, "-pix_fmt", "gray"];
        let pictures = self.decoded(&select, &options, "rawvideo");
        let times = self.frame_times(&select);
        let pictures = pictures.chunks_exact(WIDTH * HEIGHT);
        let numbers = pictures.map(|gray| frame_number(gray, WIDTH, HEIGHT));
        times.into_iter().zip(numbers).collect()
    }

    /// The same for the sound, by its pitch.
    ///
    /// # Panics
    /// If ffmpeg or ffprobe cannot be run.
    #[must_use]
    pub fn audio_offsets(&self) -> Vec<(f64, f64)> {
        let bytes = self.decoded("a:0", &["-ac", "1", "-ar", "48000"], "s16le");
        let samples: Vec<i16> =
            bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        let times = self.frame_times("a:0");
        // A frame of AAC.
        let length = samples.len() / times.len().max(1);
        assert_eq!(length, 1024, "{} samples of {} frames", samples.len(), times.len());
        let offset = |(index, window): (usize, &[i16])| {
            let tone = tone_time(window, RATE)?;
            let place = (index * WINDOW) as f64 + tone.at_sample;
            let frame = place as usize / length;
            let within = place - (frame * length) as f64;
            let time = times.get(frame)? + within / f64::from(RATE);
            Some((time, (time - tone.clip_time.as_secs_f64()).rem_euclid(REPEATS)))
        };
        samples.chunks_exact(WINDOW).enumerate().filter_map(offset).collect()
    }

    fn decoded(&self, stream: &str, options: &[&str], format: &str) -> Vec<u8> {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-i"]).arg(&self.path);
        command.args(["-map", &format!("0:{stream}")]).args(options).args(["-f", format, "-"]);
        output(&mut command)
    }

    /// When each frame is shown, in seconds.
    fn frame_times(&self, stream: &str) -> Vec<f64> {
        let mut command = Command::new("ffprobe");
        command.args(["-hide_banner", "-loglevel", "error", "-select_streams", stream]);
        command.args(["-show_entries", "frame=pts_time", "-of", "csv=p=0"]).arg(&self.path);
        let text = String::from_utf8_lossy(&output(&mut command)).into_owned();
        let time = |line: &str| line.trim_end_matches(',').parse().ok();
        text.lines().filter_map(time).collect()
    }
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}")).stdout
}

/// The median of offsets taken after `from` seconds; `None` of none.
#[must_use]
pub fn median_after(offsets: &[(f64, f64)], from: f64) -> Option<f64> {
    let begin = offsets.first()?.0 + from;
    let mut late: Vec<f64> =
        offsets.iter().filter(|(time, _)| *time >= begin).map(|(_, offset)| *offset).collect();
    // They are on a circle: all near one of them.
    let one = *late.first()?;
    late.iter_mut().for_each(|offset| *offset = one + distance(one, *offset));
    late.sort_unstable_by(f64::total_cmp);
    late.get(late.len() / 2).copied()
}

/// How far one offset is from another, the short way round.
#[must_use]
pub fn distance(from: f64, to: f64) -> f64 {
    let around = (to - from).rem_euclid(REPEATS);
    if around > REPEATS / 2.0 { around - REPEATS } else { around }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_compared_the_short_way_round() {
        assert!((distance(15.9, 0.1) - 0.2).abs() < 1e-9);
        assert!((distance(0.1, 15.9) + 0.2).abs() < 1e-9);
        let offsets = [(0.0, 9.0), (1.0, 15.99), (2.0, 0.01), (3.0, 0.0)];
        let median = median_after(&offsets, 0.5).unwrap();
        assert!(distance(median, 0.0).abs() < 1e-9, "{median}");
    }
}
