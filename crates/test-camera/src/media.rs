//! What the streams show, cut into RTP payloads beforehand: sending only adds headers.

mod aac;
mod clip;
mod h264;
mod mp4;
mod nal;
mod replay;
mod stamp;
mod synthetic;

use std::time::Duration;

use anyhow::Context as _;

use crate::fault::Track;
use crate::options::{CameraOptions, Source};

use clip::Clip;
pub(crate) use nal::ParameterSets;
use replay::Replay;
pub use stamp::Stamp;

/// The payload of one RTP packet.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) marker: bool,
    /// Which of the stamped packets of its frame it is, and of how many.
    pub(crate) stamp: Option<(u16, u16)>,
    /// The first byte of its packet and the payload type, where they are not those of the track;
    /// `bytes` is then all that follows the fixed header.
    pub(crate) head: Option<(u8, u8)>,
}

/// One access unit: the packets of one timestamp.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) packets: Box<[Payload]>,
    pub(crate) key: bool,
}

/// The video and audio of all streams. Units are counted from the content's beginning, without
/// end: the clip's first unit follows its last one.
#[derive(Debug)]
pub(crate) struct Content {
    /// The same pictures with one set of parameter sets and with the other.
    video: [Video; 2],
    audio: Option<Audio>,
    /// What is sent in their place, as the only track.
    replay: Option<Replay>,
}

#[derive(Debug)]
enum Video {
    Clip(Clip),
    Synthetic { sets: ParameterSets, key: Unit, other: Unit, gop: u64, fps: u32 },
}

#[derive(Debug)]
struct Audio {
    units: Vec<Unit>,
    config: [u8; 2],
}

impl Content {
    pub(crate) fn new(options: &CameraOptions) -> anyhow::Result<Self> {
        let limit = options.payload_limit;
        let in_band = options.in_band_parameter_sets;
        let built_in = |stream, name| {
            Clip::of_stream(stream, CLIP_FPS, limit, in_band)
                .with_context(|| format!("the {name} clip"))
        };
        let video = match (options.source, &options.pictures) {
            (Source::Clip, None) => [
                Video::Clip(built_in(CLIP_320X180, "first")?),
                Video::Clip(built_in(CLIP_256X144, "second")?),
            ],
            (Source::Clip, Some(path)) => {
                let name = || path.display().to_string();
                let file = std::fs::read(path).with_context(name)?;
                let clip = || Clip::of_file(&file, limit, in_band).with_context(name);
                let video = [Video::Clip(clip()?), Video::Clip(clip()?)];
                let seconds = video[0].seconds().filter(|s| s.is_multiple_of(AUDIO_SECONDS));
                anyhow::ensure!(
                    !options.audio || seconds.is_some(),
                    "{}: the sound lasts {AUDIO_SECONDS} s, the pictures do not",
                    name()
                );
                video
            }
            (Source::Synthetic(_), Some(_)) => {
                anyhow::bail!("a synthetic stream has no pictures")
            }
            (Source::Synthetic(measures), None) => {
                anyhow::ensure!((1..=1000).contains(&measures.fps), "fps must be 1 to 1000");
                anyhow::ensure!(measures.gop >= 1, "gop must be at least 1");
                anyhow::ensure!(
                    measures.key_frame_bytes <= MAX_FRAME
                        && synthetic::other_frame_bytes(&measures) <= MAX_FRAME,
                    "frames must be at most {MAX_FRAME} bytes"
                );
                let synthetic = |stream, name| {
                    let sets = built_in(stream, name)?.parameter_sets;
                    let (key, other) = synthetic::units(&measures, in_band.then_some(&sets), limit);
                    let (gop, fps) = (measures.gop.into(), measures.fps);
                    anyhow::Ok(Video::Synthetic { sets, key, other, gop, fps })
                };
                [synthetic(CLIP_320X180, "first")?, synthetic(CLIP_256X144, "second")?]
            }
        };
        let replay = match &options.replay {
            Some(path) => {
                anyhow::ensure!(options.pictures.is_none(), "pictures or a recording, not both");
                Some(Replay::read(path)?)
            }
            None => None,
        };
        let audio = if options.audio && options.source == Source::Clip {
            let clip = aac::Clip::parse(CLIP_AAC).context("the clip's sound")?;
            Some(Audio { units: clip.packetize(limit), config: clip.config })
        } else {
            None
        };
        Ok(Self { video, audio, replay })
    }

    pub(crate) fn has(&self, track: Track) -> bool {
        track == Track::Video || (self.audio.is_some() && self.replay.is_none())
    }

    pub(crate) fn unit(&self, track: Track, index: u64, set: ParameterSet) -> Option<&Unit> {
        if let Some(replay) = &self.replay {
            return replay.unit(index);
        }
        match track {
            Track::Video => self.video(set).at(index),
            Track::Audio => {
                let units = &self.audio.as_ref()?.units;
                units.get(usize::try_from(index.checked_rem(units.len() as u64)?).ok()?)
            }
        }
    }

    pub(crate) fn is_key(&self, track: Track, index: u64) -> bool {
        self.unit(track, index, ParameterSet::First).is_some_and(|unit| unit.key)
    }

    /// When a unit is due, counted from the content's beginning.
    pub(crate) fn time(&self, track: Track, index: u64) -> Duration {
        match &self.replay {
            Some(replay) => replay.time(index),
            None => self.units_last(track, index.saturating_add(self.delay(track))),
        }
    }

    /// The first unit that is due at `time` or later.
    pub(crate) fn first_unit(&self, track: Track, time: Duration) -> u64 {
        if let Some(replay) = &self.replay {
            return replay.first_unit(time);
        }
        let (units, seconds) = self.unit_rate(track);
        let index = (time.as_nanos() * units).div_ceil(1_000_000_000 * seconds);
        u64::try_from(index).unwrap_or(u64::MAX).saturating_sub(self.delay(track))
    }

    /// The first key frame that is due at `time` or later.
    pub(crate) fn first_key_frame(&self, time: Duration) -> u64 {
        let first = self.first_unit(Track::Video, time);
        if self.replay.is_some() {
            return first;
        }
        self.video(ParameterSet::First).next_key_frame(first)
    }

    /// A unit's RTP timestamp before the random offset is added: when it is shown, which is not
    /// the order in which units are sent.
    pub(crate) fn timestamp(&self, track: Track, index: u64) -> u32 {
        if let Some(replay) = &self.replay {
            return wrap(replay.timestamp(index));
        }
        let shown = match track {
            Track::Video => self.video(ParameterSet::First).shown(index),
            Track::Audio => index,
        };
        let (units, seconds) = self.unit_rate(track);
        let rate = u128::from(self.clock_rate(track));
        wrap(u128::from(shown) * rate * seconds / units)
    }

    /// The RTP timestamp of any moment before the random offset is added.
    pub(crate) fn timestamp_at(&self, track: Track, time: Duration) -> u32 {
        wrap(time.as_nanos() * u128::from(self.clock_rate(track)) / 1_000_000_000)
    }

    pub(crate) fn clock_rate(&self, track: Track) -> u32 {
        if let Some(replay) = &self.replay {
            return replay.clock_rate();
        }
        match track {
            Track::Video => 90_000,
            Track::Audio => AUDIO_RATE,
        }
    }

    /// The time from one unit of a track to the next.
    pub(crate) fn interval(&self, track: Track) -> Duration {
        match &self.replay {
            Some(replay) => replay.interval(),
            None => self.units_last(track, 1),
        }
    }

    /// The time from one key frame to the next.
    pub(crate) fn key_frame_interval(&self) -> Duration {
        if let Some(replay) = &self.replay {
            return replay.length();
        }
        let gop = self.video(ParameterSet::First).next_key_frame(1);
        self.units_last(Track::Video, gop)
    }

    pub(crate) fn parameter_sets(&self, set: ParameterSet) -> &ParameterSets {
        match self.video(set) {
            Video::Clip(clip) => &clip.parameter_sets,
            Video::Synthetic { sets, .. } => sets,
        }
    }

    /// The lines of the description for a recording's track, which is set up at `control`.
    pub(crate) fn describe_recording(&self, control: &str) -> Option<String> {
        self.replay.as_ref().map(|replay| replay.describe(control))
    }

    /// The AudioSpecificConfig (ISO/IEC 14496-3) of the sound.
    pub(crate) fn audio_config(&self) -> Option<[u8; 2]> {
        self.audio.as_ref().map(|audio| audio.config)
    }

    pub(crate) fn fps(&self) -> u32 {
        self.video(ParameterSet::First).fps()
    }

    fn video(&self, set: ParameterSet) -> &Video {
        let [first, second] = &self.video;
        match set {
            ParameterSet::First => first,
            ParameterSet::Second => second,
        }
    }

    fn delay(&self, track: Track) -> u64 {
        match (track, self.video(ParameterSet::First)) {
            (Track::Video, Video::Clip(clip)) => clip.delay(),
            _ => 0,
        }
    }

    /// How long so many units last.
    fn units_last(&self, track: Track, count: u64) -> Duration {
        let (units, seconds) = self.unit_rate(track);
        nanos(u128::from(count) * 1_000_000_000 * seconds / units)
    }

    /// So many units in so many seconds, in whole numbers.
    fn unit_rate(&self, track: Track) -> (u128, u128) {
        match track {
            Track::Video => (u128::from(self.fps()), 1),
            // 48,000 / 1024 = 375 / 8
            Track::Audio => (375, 8),
        }
    }
}

impl Video {
    fn at(&self, index: u64) -> Option<&Unit> {
        match self {
            Self::Clip(clip) => clip.unit(index),
            Self::Synthetic { key, other, gop, .. } => {
                Some(if index.is_multiple_of(*gop) { key } else { other })
            }
        }
    }

    /// The place of a unit among all that are shown.
    fn shown(&self, index: u64) -> u64 {
        match self {
            Self::Clip(clip) => clip.shown(index),
            Self::Synthetic { .. } => index,
        }
    }

    /// The first key frame at this index or after it.
    fn next_key_frame(&self, index: u64) -> u64 {
        match self {
            Self::Clip(clip) => clip.next_key_frame(index),
            Self::Synthetic { gop, .. } => index.div_ceil(*gop).saturating_mul(*gop),
        }
    }

    fn fps(&self) -> u32 {
        match self {
            Self::Clip(clip) => clip.fps,
            Self::Synthetic { fps, .. } => *fps,
        }
    }

    /// After how many whole seconds the pictures repeat.
    fn seconds(&self) -> Option<u64> {
        match self {
            Self::Clip(clip) => {
                let fps = u64::from(clip.fps);
                clip.len().is_multiple_of(fps).then(|| clip.len() / fps)
            }
            Self::Synthetic { .. } => None,
        }
    }
}

/// Which of the two sets of parameter sets a picture uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ParameterSet {
    #[default]
    First,
    Second,
}

impl ParameterSet {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

fn nanos(value: u128) -> Duration {
    Duration::from_nanos(u64::try_from(value).unwrap_or(u64::MAX))
}

/// RTP time wraps.
#[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are what is wanted")]
fn wrap(ticks: u128) -> u32 {
    ticks as u32
}

const CLIP_320X180: &[u8] = include_bytes!("../clip/clip-320x180.h264");
const CLIP_256X144: &[u8] = include_bytes!("../clip/clip-256x144.h264");
const CLIP_AAC: &[u8] = include_bytes!("../clip/clip.aac");
const CLIP_FPS: u32 = 25;
const AUDIO_RATE: u32 = 48_000;
/// The length of the clip's sound.
const AUDIO_SECONDS: u64 = 16;
/// The largest synthetic frame: 16 MiB.
const MAX_FRAME: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content::new(&CameraOptions::default()).unwrap()
    }

    #[test]
    fn the_clip_loops_with_picture_sound_and_key_frames_together() {
        let content = content();
        for set in [ParameterSet::First, ParameterSet::Second] {
            let Video::Clip(clip) = content.video(set) else { panic!("not a clip") };
            assert_eq!(clip.len(), 400);
            for index in 0..400 {
                let unit = clip.unit(index).unwrap();
                assert_eq!(unit.key, index % 50 == 0, "frame {index}");
            }
        }
        assert_eq!(content.audio.as_ref().unwrap().units.len(), 750);
        assert_eq!(content.time(Track::Video, 400), Duration::from_secs(16));
        assert_eq!(content.time(Track::Audio, 750), Duration::from_secs(16));
    }

    #[test]
    fn timestamps_go_on_evenly_over_the_loop_point_and_for_years() {
        let content = content();
        // Frame numbers of the first hours and of ten years on.
        for start in [0, 390, 399, 25 * 3600 * 24 * 3650] {
            for index in start..start + 30 {
                let step = content
                    .timestamp(Track::Video, index + 1)
                    .wrapping_sub(content.timestamp(Track::Video, index));
                assert_eq!(step, 3600);
                let step = content
                    .timestamp(Track::Audio, index + 1)
                    .wrapping_sub(content.timestamp(Track::Audio, index));
                assert_eq!(step, 1024);
            }
        }
        // At every loop point picture and sound are at the same moment.
        for round in [1_u64, 2, 1_000_000] {
            assert_eq!(
                content.time(Track::Video, 400 * round),
                content.time(Track::Audio, 750 * round)
            );
        }
    }

    #[test]
    fn the_first_unit_of_a_moment_is_never_before_it() {
        let content = content();
        for track in [Track::Video, Track::Audio] {
            for millis in [0, 1, 39, 40, 41, 999, 16_000, 3_600_000] {
                let time = Duration::from_millis(millis);
                let index = content.first_unit(track, time);
                // A unit's time is rounded down to nanoseconds.
                assert!(content.time(track, index) + Duration::from_nanos(1) >= time);
                assert!(index == 0 || content.time(track, index - 1) < time);
            }
        }
        assert_eq!(content.first_key_frame(Duration::from_millis(1)), 50);
        assert_eq!(content.first_key_frame(Duration::ZERO), 0);
    }

    #[test]
    fn a_small_payload_limit_is_kept() {
        let options = CameraOptions { payload_limit: 64, ..CameraOptions::default() };
        let content = Content::new(&options).unwrap();
        for track in [Track::Video, Track::Audio] {
            for index in 0..750 {
                let unit = content.unit(track, index, ParameterSet::First).unwrap();
                assert!(unit.packets.iter().all(|packet| packet.bytes.len() <= 64));
                let markers = unit.packets.iter().filter(|packet| packet.marker).count();
                assert_eq!(markers, 1);
                assert!(unit.packets.last().unwrap().marker);
            }
        }
    }
}
