//! Players that decode, and the numbers of the frames they show.

use std::io::Read;
use std::process::{ChildStdout, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use test_camera::frame_number;

use crate::process::Process;
use crate::reader::Over;
use crate::wait;

/// The size of the test camera's pictures.
const WIDTH: usize = 320;
const HEIGHT: usize = 180;

/// A picture that a player showed.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// When.
    pub at: Instant,
    /// The frame's number in the clip; `None` if it cannot be read.
    pub number: Option<u32>,
}

/// A player of the test camera's clip that decodes it.
#[derive(Debug)]
pub struct Player {
    /// The process.
    pub process: Process,
    shown: Arc<(Mutex<Vec<Shown>>, Condvar)>,
}

impl Player {
    /// ffmpeg.
    #[must_use]
    pub fn ffmpeg(url: &str, over: Over) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-rtsp_transport", over.as_str()]);
        // The picture is all that is looked at; what is known from the description need not be
        // probed for.
        command.args(["-analyzeduration", "500000", "-i", url, "-map", "0:v", "-an"]);
        command.args(["-fps_mode", "passthrough", "-pix_fmt", "gray", "-f", "rawvideo", "-"]);
        Self::start("ffmpeg", &mut command)
    }

    /// GStreamer.
    #[must_use]
    pub fn gstreamer(url: &str, over: Over) -> Self {
        let mut command = Command::new("gst-launch-1.0");
        command.args(["-q", "rtspsrc", &format!("location={url}")]);
        command.args([&format!("protocols={}", over.as_str()), "latency=200", "!"]);
        command.args(["application/x-rtp,media=video", "!", "rtph264depay", "!", "h264parse"]);
        command.args(["!", "avdec_h264", "!", "videoconvert", "!", "video/x-raw,format=GRAY8"]);
        command.args(["!", "fdsink", "fd=1", "sync=false"]);
        Self::start("gst-launch-1.0", &mut command)
    }

    fn start(name: &str, command: &mut Command) -> Self {
        let shown = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let seen = Arc::clone(&shown);
        let process = Process::start_with(name, command, move |stdout| look(stdout, &seen));
        Self { process, shown }
    }

    /// The pictures so far.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        self.shown.0.lock().clone()
    }

    /// Waits for a picture that fits.
    pub fn wait_for(&self, bound: Duration, fits: impl Fn(&Shown) -> bool) -> Option<Shown> {
        let end = wait::now() + bound;
        let (shown, changed) = &*self.shown;
        let mut shown = shown.lock();
        loop {
            if let Some(found) = shown.iter().find(|picture| fits(picture)) {
                return Some(*found);
            }
            if changed.wait_until(&mut shown, end).timed_out() {
                return shown.iter().find(|picture| fits(picture)).copied();
            }
        }
    }
}

fn look(mut stdout: ChildStdout, seen: &(Mutex<Vec<Shown>>, Condvar)) {
    let mut gray = vec![0; WIDTH * HEIGHT];
    while stdout.read_exact(&mut gray).is_ok() {
        let number = frame_number(&gray, WIDTH, HEIGHT);
        seen.0.lock().push(Shown { at: wait::now(), number });
        seen.1.notify_all();
    }
}
