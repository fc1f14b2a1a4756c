//! Players that decode, and the numbers of the frames they show.

use std::io::Read;
use std::process::{ChildStdout, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use test_camera::{Camera, frame_number};

use crate::clips::{Codec, FPS, REPEATS};
use crate::pictures_tct;
use crate::process::Process;
use crate::programs;
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

impl Shown {
    /// How long ago the camera showed this picture when a player did, if that was less than the
    /// clip's length.
    #[must_use]
    pub fn age(&self, camera: &Camera) -> Option<Duration> {
        let past = wait::now().checked_duration_since(self.at)?;
        let due = content_time(camera).checked_sub(past)?;
        let shown = Duration::from_secs(self.number?.into()) / FPS;
        let nanos = (due + REPEATS).checked_sub(shown)?.as_nanos() % REPEATS.as_nanos();
        u64::try_from(nanos).ok().map(Duration::from_nanos)
    }
}

/// What moment of its content the camera's first stream is at.
#[must_use]
pub fn content_time(camera: &Camera) -> Duration {
    let began = camera.content_epoch(0).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    wait::wall().saturating_sub(began)
}

/// A player of the test camera's clip that decodes it.
#[derive(Debug)]
pub struct Player {
    /// The process.
    pub process: Process,
    shown: Arc<Seen>,
    /// Whether it writes more to standard error than complaints.
    logs: bool,
}

type Seen = (Mutex<Vec<Shown>>, Condvar);

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
        let mut command = programs::gst_play(&[], url, over.as_str(), 200);
        command.args(["rtph264depay", "name=video", "!", "h264parse"]);
        command.args(["!", "avdec_h264", "!", "videoconvert", "!", "video/x-raw,format=GRAY8"]);
        command.args(["!", "fdsink", "fd=1", "sync=false"]);
        Self::start("GStreamer", &mut command)
    }

    /// GStreamer that is free to give up UDP for TCP, as it is where nobody says otherwise, and
    /// shows pictures of any size in that of the clip.
    #[must_use]
    pub fn gstreamer_choosing(url: &str, over: Over) -> Self {
        let protocols = match over {
            Over::Udp => "udp+tcp",
            Over::Tcp => "tcp",
        };
        let mut command = programs::gst_play(&[], url, protocols, 200);
        command.args(["rtph264depay", "name=video", "!", "h264parse"]);
        command.args(["!", "avdec_h264", "!", "videoconvert", "!", "videoscale", "!"]);
        command.arg(format!("video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT}"));
        command.args(["!", "fdsink", "fd=1", "sync=false"]);
        Self::start("GStreamer", &mut command)
    }

    /// ffmpeg that takes the picture as fast as its timestamps say, and no faster. It does not
    /// read while it waits, so over UDP it needs a large buffer to lose nothing.
    #[must_use]
    pub fn ffmpeg_in_time(url: &str, over: Over) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "warning", "-rtsp_transport", over.as_str()]);
        command.args(["-buffer_size", "2000000", "-re", "-i", url]);
        command.args(["-map", "0:v", "-an", "-fps_mode", "passthrough"]);
        // Finer than the frame rate: pictures may come closer together.
        command.args(["-enc_time_base", "1:90000", "-pix_fmt", "gray", "-f", "rawvideo", "-"]);
        Self::start("ffmpeg", &mut command)
    }

    /// GStreamer that shows each picture at its time.
    #[must_use]
    pub fn gstreamer_in_time(url: &str, over: Over, codec: Codec) -> Self {
        let names = match codec {
            Codec::H264 => ["rtph264depay", "h264parse", "avdec_h264"],
            Codec::H265 => ["rtph265depay", "h265parse", "avdec_h265"],
        };
        let mut command = programs::gst_play(&[], url, over.as_str(), 200);
        command.args(["identity", "name=video"]);
        names.iter().for_each(|name| {
            command.args(["!", name]);
        });
        command.args(["!", "videoconvert", "!", "video/x-raw,format=GRAY8"]);
        command.args(["!", "fdsink", "fd=1", "sync=true"]);
        Self::start("GStreamer", &mut command)
    }

    /// mpv, with sound that nobody hears. It shows its first picture twice.
    #[must_use]
    pub fn mpv(url: &str, over: Over) -> Self {
        let mut command = Command::new("mpv");
        command.args(["--no-config", "--really-quiet", "--ao=null", "--log-file=/dev/stderr"]);
        command.arg(format!("--rtsp-transport={}", over.as_str()));
        command.args(pictures_tct::OPTIONS).arg(url);
        let shown = Arc::<Seen>::default();
        let seen = Arc::clone(&shown);
        let process = Process::start_with("mpv", &mut command, move |stdout| {
            pictures_tct::read(stdout, |gray, width, height| note(&seen, gray, width, height));
        });
        Self { process, shown, logs: true }
    }

    fn start(name: &str, command: &mut Command) -> Self {
        let shown = Arc::<Seen>::default();
        let seen = Arc::clone(&shown);
        let process = Process::start_with(name, command, move |stdout| look(stdout, &seen));
        Self { process, shown, logs: false }
    }

    /// What it says is wrong.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let said = self.process.stderr().all();
        // mpv's log tells all; it warns of timestamps at every start of a stream like this.
        let fits = |line: &String| {
            let marks = ["][e]", "][f]", "desynchronisation"];
            !self.logs || marks.iter().any(|mark| line.contains(mark))
        };
        said.into_iter().filter(fits).collect()
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

fn look(mut stdout: ChildStdout, seen: &Seen) {
    let mut gray = vec![0; WIDTH * HEIGHT];
    while stdout.read_exact(&mut gray).is_ok() {
        note(seen, &gray, WIDTH, HEIGHT);
    }
}

fn note(seen: &Seen, gray: &[u8], width: usize, height: usize) {
    let number = frame_number(gray, width, height);
    seen.0.lock().push(Shown { at: wait::now(), number });
    seen.1.notify_all();
}
