//! How far sound and picture are apart for who plays from the camera itself.

use std::sync::OnceLock;
use std::time::Duration;

use crate::faults::backend::CameraProcess;
use crate::faults::players::Recorder;
use crate::reader::Over;
use crate::recording::{distance, median_after};
use crate::wait;

/// How long the camera is recorded.
const RECORDED: Duration = Duration::from_secs(7);
/// Until then a player may still set times right.
pub(crate) const SETTLED: f64 = 2.5;

/// How much later the sound is played than the picture that belongs to it, in seconds, without any
/// proxy.
///
/// # Panics
/// If nothing can be measured.
pub(crate) fn skew() -> f64 {
    static DIRECT: OnceLock<f64> = OnceLock::new();
    *DIRECT.get_or_init(|| {
        let camera = CameraProcess::start_on(0, &[]);
        let recorder = Recorder::start(&camera.url(0), Over::Tcp, &[]);
        wait::pass(RECORDED);
        let recording = recorder.finish();
        let video = median_after(&recording.video_offsets(0), SETTLED);
        let audio = median_after(&recording.audio_offsets(), SETTLED);
        video.zip(audio).map(|(video, audio)| distance(video, audio)).expect("a recording")
    })
}
