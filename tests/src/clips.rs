//! The test camera's pictures, encoded otherwise by ffmpeg at test time, once per kind.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use parking_lot::Mutex;

/// Frames per second.
pub const FPS: u32 = 25;
/// When the clip repeats.
pub const REPEATS: Duration = Duration::from_secs(16);

/// What the pictures are encoded as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Codec {
    /// H.264.
    H264,
    /// H.265.
    H265,
}

/// Pictures of the test camera's clip: 320x180, 2 Mbit/s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pictures {
    /// What they are encoded as.
    pub codec: Codec,
    /// Seconds from one key frame to the next; the last interval of the clip may be shorter.
    pub gop: u32,
    /// Whether there are B-frames: three in a row, of which others use the middle one.
    pub b_frames: bool,
}

impl Pictures {
    /// The name of these pictures, for streams, files and messages.
    #[must_use]
    pub fn name(&self) -> String {
        let codec = match self.codec {
            Codec::H264 => "h264",
            Codec::H265 => "h265",
        };
        format!("{codec}{}-gop{}", if self.b_frames { "-b" } else { "" }, self.gop)
    }

    /// How long ago the newest key frame's moment was, at a moment of the content.
    #[must_use]
    pub fn key_frame_age(&self, content: Duration) -> Duration {
        let gop = u128::from(self.gop) * 1_000_000_000;
        let nanos = content.as_nanos() % REPEATS.as_nanos() % gop;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or_default())
    }

    /// How far behind the content a player is at best: three B-frames are sent after a frame that
    /// the encoder has to see first, and the first of them to be shown is sent third.
    #[must_use]
    pub fn floor(&self) -> Duration {
        if self.b_frames { Duration::from_secs(5) / FPS } else { Duration::ZERO }
    }

    /// The file, made if it is not there yet.
    ///
    /// # Panics
    /// If ffmpeg fails.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        static MAKING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = MAKING.lock();
        let folder = std::env::temp_dir().join("rtsp-proxy-clips");
        std::fs::create_dir_all(&folder).expect("a folder for clips");
        let file = folder.join(format!("camera-{}.mp4", self.name()));
        if file.is_file() {
            return file;
        }
        let part = folder.join(format!("camera-{}-{}.mp4", self.name(), std::process::id()));
        let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/test-camera/clip");
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-y", "-framerate", "25"]);
        command.args(["-f", "h264", "-i", &format!("{clip}/clip-320x180.h264")]);
        // Noise keeps all frames large, as those of a real scene are.
        command.args(["-vf", "noise=alls=12:allf=t", "-pix_fmt", "yuv420p"]);
        let (frames, b) = ((self.gop * FPS).to_string(), if self.b_frames { "3" } else { "0" });
        match self.codec {
            Codec::H264 => {
                command.args(["-c:v", "libx264", "-preset", "veryfast", "-g", &frames]);
                command.args(["-keyint_min", &frames, "-sc_threshold", "0"]);
                command.args(["-bf", b, "-b_strategy", "0"]);
            }
            Codec::H265 => {
                let keys = format!("keyint={frames}:min-keyint={frames}:scenecut=0:open-gop=0");
                let b = format!("bframes={b}:b-adapt=0:log-level=error");
                command.args(["-c:v", "libx265", "-preset", "ultrafast"]);
                command.args(["-x265-params", &format!("{keys}:{b}")]);
            }
        }
        command.args(["-b:v", "2M"]);
        let status = command.arg(&part).stdin(Stdio::null()).status().expect("ffmpeg runs");
        assert!(status.success(), "ffmpeg cannot make {}", self.name());
        std::fs::rename(&part, &file).expect("the clip's place");
        file
    }
}
