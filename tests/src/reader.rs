//! Real players as readers.

use std::process::Command;
use std::time::Duration;

use crate::process::Process;
use crate::programs;

/// How media comes to a reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// As datagrams.
    Udp,
    /// Interleaved.
    Tcp,
}

impl Over {
    /// The name that ffmpeg and GStreamer use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// ffmpeg that writes the checksums of the undecoded frames of every track, for `seconds` at most.
#[must_use]
pub fn ffmpeg_sums(url: &str, over: Over, seconds: f64) -> Process {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "warning", "-rtsp_transport", over.as_str()])
        .args(["-i", url, "-map", "0", "-c", "copy", "-t", &seconds.to_string()])
        .args(["-f", "framemd5", "-"]);
    Process::start("ffmpeg", &mut command)
}

/// GStreamer that writes the checksums of the frames of the track of this media (`video`, `audio`),
/// or of the only one (`media`).
#[must_use]
pub fn gst_sums(url: &str, over: Over, media: &str, depayloader: &str) -> Process {
    let mut command = programs::gst_play(&[], url, over.as_str(), 200);
    command.args(["identity", &format!("name={media}"), "!"]);
    command.args(depayloader.split_whitespace());
    command.args(["!", "checksumsink", "hash=md5", "sync=false"]);
    Process::start("GStreamer", &mut command)
}

/// The checksums that `checksumsink` has written so far.
#[must_use]
pub fn gst_lines(process: &Process) -> Vec<String> {
    let lines = process.stdout().all();
    lines
        .iter()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|sum| sum.len() == 32)
        .map(str::to_owned)
        .collect()
}

/// ffprobe's view of a stream: codec names, one per track.
///
/// # Panics
/// If ffprobe cannot be run.
#[must_use]
pub fn probe(url: &str, over: Over) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args(["-hide_banner", "-loglevel", "error", "-rtsp_transport", over.as_str()]).args([
        "-show_entries",
        "stream=codec_name",
        "-of",
        "csv=p=0",
        url,
    ]);
    let mut process = Process::start("ffprobe", &mut command);
    process.wait(Duration::from_secs(30));
    process.stdout().all()
}
