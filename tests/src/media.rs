//! Clips that ffmpeg makes at test time, once per kind.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use parking_lot::Mutex;

/// Length of every clip in seconds.
pub const SECONDS: usize = 6;
/// Frames per second of every clip with video.
pub const FPS: usize = 25;

/// A clip and how a server packs it.
#[derive(Clone, Copy, Debug)]
pub struct Clip {
    /// Its name, for files and messages.
    pub name: &'static str,
    /// How ffmpeg makes it.
    encode: &'static [&'static str],
    /// The file's ending.
    container: &'static str,
    /// How gst-rtsp-server serves it; `FILE` stands for the file.
    pub launch: &'static str,
    /// Whether it has video, audio.
    pub tracks: (bool, bool),
}

const VIDEO: &[&str] = &["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
const TONE: &[&str] = &["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];

/// H.264 and AAC.
pub const H264_AAC: Clip = Clip {
    name: "h264-aac",
    encode: &[
        "V", "A", "-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "0", "-pix_fmt",
        "yuv420p", "-c:a", "aac", "-b:a", "64k",
    ],
    container: "mp4",
    launch: "( filesrc location=FILE ! qtdemux name=d d.video_0 ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=0 d.audio_0 ! queue ! aacparse ! rtpmp4gpay name=pay1 pt=97 )",
    tracks: (true, true),
};

/// H.265 alone.
pub const H265: Clip = Clip {
    name: "h265",
    encode: &[
        "V",
        "-c:v",
        "libx265",
        "-preset",
        "ultrafast",
        "-x265-params",
        "keyint=25:bframes=0:log-level=error",
        "-pix_fmt",
        "yuv420p",
    ],
    container: "mp4",
    launch: "( filesrc location=FILE ! qtdemux ! queue ! h265parse ! rtph265pay name=pay0 pt=96 )",
    tracks: (true, false),
};

/// G.711 mu-law alone.
pub const PCMU: Clip = Clip {
    name: "pcmu",
    encode: &["A", "-c:a", "pcm_mulaw", "-ar", "8000", "-ac", "1"],
    container: "wav",
    launch: "( filesrc location=FILE ! wavparse ! queue ! rtppcmupay name=pay0 pt=0 )",
    tracks: (false, true),
};

/// Opus alone.
pub const OPUS: Clip = Clip {
    name: "opus",
    encode: &["A", "-c:a", "libopus", "-b:a", "64k"],
    container: "mkv",
    launch: "( filesrc location=FILE ! matroskademux ! queue ! opusparse ! rtpopuspay name=pay0 pt=96 )",
    tracks: (false, true),
};

/// Motion JPEG alone.
pub const MJPEG: Clip = Clip {
    name: "mjpeg",
    encode: &["V", "-c:v", "mjpeg", "-q:v", "5", "-pix_fmt", "yuvj420p", "-huffman", "0"],
    container: "avi",
    launch: "( filesrc location=FILE ! avidemux ! queue ! jpegparse ! rtpjpegpay name=pay0 pt=26 )",
    tracks: (true, false),
};

/// H.264 in one NAL unit per packet, however large.
pub const H264_WHOLE: Clip = Clip {
    name: "h264-whole",
    encode: &["V", "-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p"],
    container: "mp4",
    launch: "( filesrc location=FILE ! qtdemux ! queue ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=0 mtu=65000 )",
    tracks: (true, false),
};

/// MPEG-4 part 2 alone.
pub const MPEG4: Clip = Clip {
    name: "mpeg4",
    encode: &["V", "-c:v", "mpeg4", "-g", "25", "-q:v", "4"],
    container: "mp4",
    launch: "( filesrc location=FILE ! qtdemux ! queue ! mpeg4videoparse ! rtpmp4vpay name=pay0 pt=96 )",
    tracks: (true, false),
};

/// VP8 alone.
pub const VP8: Clip = Clip {
    name: "vp8",
    encode: &["V", "-c:v", "libvpx", "-deadline", "realtime", "-g", "25", "-pix_fmt", "yuv420p"],
    container: "mkv",
    launch: "( filesrc location=FILE ! matroskademux ! queue ! rtpvp8pay name=pay0 pt=96 )",
    tracks: (true, false),
};

/// VP9 alone.
pub const VP9: Clip = Clip {
    name: "vp9",
    encode: &[
        "V",
        "-c:v",
        "libvpx-vp9",
        "-deadline",
        "realtime",
        "-cpu-used",
        "8",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
    ],
    container: "mkv",
    launch: "( filesrc location=FILE ! matroskademux ! queue ! rtpvp9pay name=pay0 pt=96 )",
    tracks: (true, false),
};

/// MP3 alone.
pub const MP3: Clip = Clip {
    name: "mp3",
    encode: &["A", "-c:a", "libmp3lame", "-b:a", "128k"],
    container: "mp3",
    launch: "( filesrc location=FILE ! mpegaudioparse ! queue ! rtpmpapay name=pay0 pt=14 )",
    tracks: (false, true),
};

/// AC-3 alone.
pub const AC3: Clip = Clip {
    name: "ac3",
    encode: &["A", "-c:a", "ac3", "-b:a", "192k"],
    container: "ac3",
    launch: "( filesrc location=FILE ! ac3parse ! queue ! rtpac3pay name=pay0 pt=96 )",
    tracks: (false, true),
};

/// AAC alone, as MP4A-LATM.
pub const AAC_LATM: Clip = Clip {
    name: "aac-latm",
    encode: &["A", "-c:a", "aac", "-b:a", "64k"],
    container: "mp4",
    launch: "( filesrc location=FILE ! qtdemux ! queue ! aacparse ! rtpmp4apay name=pay0 pt=96 )",
    tracks: (false, true),
};

/// 16 bit samples alone.
pub const L16: Clip = Clip {
    name: "l16",
    encode: &["A", "-c:a", "pcm_s16le", "-ar", "44100", "-ac", "2"],
    container: "wav",
    launch: "( filesrc location=FILE ! wavparse ! queue ! audioconvert ! rtpL16pay name=pay0 pt=96 )",
    tracks: (false, true),
};

/// An MPEG transport stream with H.264.
pub const MP2T: Clip = Clip {
    name: "mp2t",
    encode: &["V", "-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-pix_fmt", "yuv420p"],
    container: "ts",
    launch: "( filesrc location=FILE ! tsparse set-timestamps=true ! queue ! rtpmp2tpay name=pay0 pt=33 )",
    tracks: (true, false),
};

/// G.711 A-law alone.
pub const PCMA: Clip = Clip {
    name: "pcma",
    encode: &["A", "-c:a", "pcm_alaw", "-ar", "8000", "-ac", "1"],
    container: "wav",
    launch: "( filesrc location=FILE ! wavparse ! queue ! rtppcmapay name=pay0 pt=8 )",
    tracks: (false, true),
};

/// 24 bit samples alone.
pub const L24: Clip = Clip {
    name: "l24",
    encode: &["A", "-c:a", "pcm_s24le", "-ar", "48000", "-ac", "2"],
    container: "wav",
    launch: "( filesrc location=FILE ! wavparse ! queue ! audioconvert ! rtpL24pay name=pay0 pt=96 )",
    tracks: (false, true),
};

/// G.722 alone.
pub const G722: Clip = Clip {
    name: "g722",
    encode: &["A", "-c:a", "pcm_s16le", "-ar", "16000", "-ac", "1"],
    container: "wav",
    launch: "( filesrc location=FILE ! wavparse ! queue ! audioconvert ! avenc_g722 ! rtpg722pay name=pay0 pt=9 )",
    tracks: (false, true),
};

/// Vorbis alone.
pub const VORBIS: Clip = Clip {
    name: "vorbis",
    encode: &["A", "-c:a", "libvorbis", "-b:a", "96k"],
    container: "ogg",
    launch: "( filesrc location=FILE ! oggdemux ! vorbisparse ! queue ! rtpvorbispay name=pay0 pt=96 )",
    tracks: (false, true),
};

/// Theora alone.
pub const THEORA: Clip = Clip {
    name: "theora",
    encode: &["V", "-c:v", "libtheora", "-g", "25", "-q:v", "6", "-pix_fmt", "yuv420p"],
    container: "ogg",
    launch: "( filesrc location=FILE ! oggdemux ! theoraparse ! queue ! rtptheorapay name=pay0 pt=96 )",
    tracks: (true, false),
};

static MAKING: Mutex<()> = Mutex::new(());

impl Clip {
    /// The file, made if it is not there yet.
    ///
    /// # Panics
    /// If ffmpeg fails.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        let _one_at_a_time = MAKING.lock();
        let folder = std::env::temp_dir().join("rtsp-proxy-clips");
        std::fs::create_dir_all(&folder).expect("a folder for clips");
        let file = folder.join(format!("{}-{SECONDS}s.{}", self.name, self.container));
        if file.is_file() {
            return file;
        }
        let part =
            folder.join(format!("{}-{}.part.{}", self.name, std::process::id(), self.container));
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-y"]);
        for word in self.encode {
            match *word {
                "V" => command.args(VIDEO),
                "A" => command.args(TONE),
                other => {
                    if other == "-c:v" || (other == "-c:a" && !self.tracks.0) {
                        command.args(["-t", &SECONDS.to_string()]);
                    }
                    command.arg(other)
                }
            };
        }
        let status = command.arg(&part).stdin(Stdio::null()).status().expect("ffmpeg runs");
        assert!(status.success(), "ffmpeg cannot make {}", self.name);
        std::fs::rename(&part, &file).expect("the clip's place");
        file
    }

    /// The launch line for gst-rtsp-server.
    #[must_use]
    pub fn launch_line(&self) -> String {
        self.launch.replace("FILE", &self.file().display().to_string())
    }
}
