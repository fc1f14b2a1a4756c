//! ffmpeg and GStreamer, attached while something happens to the backend.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::clips::{FPS, REPEATS};
use crate::faults::direct;
use crate::pictures::Player;
use crate::process::Process;
use crate::reader::Over;
use crate::recording::{Recording, distance};
use crate::wait;

/// How long a player may take to end.
const END: Duration = Duration::from_secs(15);
/// How long after the first picture complaints may still be about the gap.
const MENDED: Duration = Duration::from_secs(1);
/// How much further apart than at the camera sound and picture may be, in seconds.
const SKEW: f64 = 0.005;

/// ffmpeg that records picture and sound as they come.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) over: Over,
    pub(crate) process: Process,
    recording: Recording,
}

impl Recorder {
    pub(crate) fn start(url: &str, over: Over, options: &[&str]) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let recording = Recording::new(&format!("faults-{number}-{}.nut", over.as_str()));
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-nostats"]).args(options);
        command.args(["-rtsp_transport", over.as_str(), "-i", url]);
        command
            .args(["-map", "0", "-c", "copy", "-flush_packets", "1", "-f", "nut", "-y"])
            .arg(recording.path());
        let process = Process::start("ffmpeg", &mut command);
        Self { over, process, recording }
    }

    /// How much it has written so far, in bytes.
    pub(crate) fn written(&self) -> u64 {
        std::fs::metadata(self.recording.path()).map_or(0, |file| file.len())
    }

    /// Ends it; what it has recorded.
    ///
    /// # Panics
    /// If it does not end.
    pub(crate) fn finish(mut self) -> Recording {
        self.process.signal(Signal::SIGINT);
        assert!(self.process.wait(END).is_some(), "ffmpeg does not end: {:?}", self.process);
        self.recording
    }
}

/// What a recording shows on both sides of its longest gap.
pub(crate) struct Halves {
    /// How much later the sound is played than the picture, in seconds, before and after.
    pub(crate) skews: [Option<f64>; 2],
    /// What is wrong with the pictures on the far side.
    pub(crate) wrong: Vec<String>,
}

impl Halves {
    pub(crate) fn of(recording: &Recording) -> Self {
        let pictures = recording.pictures(0);
        let gap = longest_gap(&pictures);
        let mut wrong = Vec::new();
        let Some((before, after)) = gap else {
            return Self { skews: [None; 2], wrong: vec!["no picture was recorded".to_owned()] };
        };
        let numbers: Vec<_> =
            pictures.iter().filter(|(time, _)| *time >= after).map(|(_, number)| *number).collect();
        if numbers.len() < 2 * usize::try_from(FPS).unwrap_or_default() {
            wrong.push(format!("only {} pictures after the gap", numbers.len()));
        }
        wrong.extend(breaks(&numbers));
        let begin = pictures.first().map_or(0.0, |(time, _)| *time) + direct::SETTLED;
        // The last moments before it may have been cut short.
        let sides = [(begin, before - 0.1), (after + 0.5, f64::INFINITY)];
        let (video, audio) = (recording.video_offsets(0), recording.audio_offsets());
        let skews = sides.map(|(from, to)| {
            Some(distance(median_within(&video, from, to)?, median_within(&audio, from, to)?))
        });
        Self { skews, wrong }
    }

    /// Notes how far sound and picture are from where they are without a proxy.
    pub(crate) fn judge(&mut self) -> Option<f64> {
        let direct = direct::skew();
        let [before, after] = self.skews.map(|skew| skew.map(|skew| skew - direct));
        for (when, off) in [("before", before), ("after", after)] {
            match off {
                Some(off) if off.abs() <= SKEW => {}
                Some(off) => self.wrong.push(format!("sound {:+.1} ms off {when}", off * 1e3)),
                None => self.wrong.push(format!("no sound to measure {when}")),
            }
        }
        after
    }
}

/// The last picture's time before the longest time without one, and the next one's.
fn longest_gap(pictures: &[(f64, Option<u32>)]) -> Option<(f64, f64)> {
    let steps = pictures.windows(2).map(|pair| (pair[0].0, pair[1].0));
    steps.max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)))
}

fn median_within(offsets: &[(f64, f64)], from: f64, to: f64) -> Option<f64> {
    let within: Vec<_> =
        offsets.iter().copied().filter(|(time, _)| (from..to).contains(time)).collect();
    crate::recording::median_after(&within, 0.0)
}

/// Where pictures are not each the one after the one before.
fn breaks(numbers: &[Option<u32>]) -> Vec<String> {
    let all = u32::try_from(REPEATS.as_secs()).unwrap_or_default() * FPS;
    let goes_on = |pair: &&[Option<u32>]| {
        let [Some(before), Some(after)] = pair else { return false };
        (before + 1) % all == *after
    };
    let broken: Vec<_> = numbers.windows(2).filter(|pair| !goes_on(pair)).collect();
    let shown = broken.iter().take(3);
    let mut out: Vec<_> = shown.map(|pair| format!("{:?} after {:?}", pair[1], pair[0])).collect();
    if broken.len() > out.len() {
        out.push(format!("{} such steps in all", broken.len()));
    }
    out
}

/// GStreamer that decodes, and what is expected of it.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) over: Over,
    pub(crate) player: Player,
    /// How much it had complained a while after the first picture.
    settled: Option<usize>,
}

impl Decoder {
    pub(crate) fn start(url: &str, over: Over) -> Self {
        Self { over, player: Player::gstreamer_choosing(url, over), settled: None }
    }

    /// Notes what it has complained of by now, a while after the first picture.
    pub(crate) fn settle(&mut self) {
        self.settled = Some(self.player.complaints().len());
    }

    /// What is wrong with what it showed since.
    pub(crate) fn judge(&mut self, since: Instant) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.player.process.is_running() {
            wrong.push("it ended".to_owned());
        }
        let shown = self.player.shown();
        let mut numbers: Vec<_> =
            shown.iter().filter(|picture| picture.at >= since).map(|p| p.number).collect();
        if numbers.len() < 2 * usize::try_from(FPS).unwrap_or_default() {
            wrong.push(format!("only {} pictures since", numbers.len()));
        }
        numbers.dedup();
        wrong.extend(breaks(&numbers));
        let complaints = self.player.complaints();
        let late = complaints.get(self.settled.unwrap_or_default()..).unwrap_or_default();
        wrong.extend(late.iter().take(3).map(|line| format!("it says {line:?}")));
        if !wrong.is_empty() {
            wrong.extend(complaints.iter().take(6).map(|line| format!("(it had said {line:?})")));
        }
        let over = self.over;
        wrong.into_iter().map(|what| format!("GStreamer over {over:?}: {what}")).collect()
    }
}

/// Waits until all show a picture again, and for what is still said about the gap.
pub(crate) fn settle(decoders: &mut [Decoder], since: Instant, bound: Duration) {
    for decoder in &*decoders {
        let _shown = decoder.player.wait_for(bound, |picture| picture.at >= since);
    }
    wait::pass(MENDED);
    decoders.iter_mut().for_each(Decoder::settle);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_go_on_over_the_end_of_the_clip_and_nowhere_else() {
        assert!(breaks(&[Some(398), Some(399), Some(0), Some(1)]).is_empty());
        assert_eq!(breaks(&[Some(1), Some(3), None, Some(4)]).len(), 3);
    }

    #[test]
    fn the_longest_gap_is_found() {
        let pictures = [(0.0, None), (0.04, None), (5.0, None), (5.04, None)];
        assert_eq!(longest_gap(&pictures), Some((0.04, 5.0)));
    }
}
