//! Pictures that repeat, in the order in which they are sent.

use anyhow::Context as _;

use super::Unit;
use super::h264;
use super::mp4::Movie;
use super::nal::{Packets, ParameterSets};

/// The frames of a clip. The first one is a key frame, and follows the last one.
#[derive(Debug)]
pub(super) struct Clip {
    pub(super) parameter_sets: ParameterSets,
    pub(super) fps: u32,
    units: Vec<Unit>,
    /// Of each unit its place in the order in which they are shown.
    shown: Vec<u32>,
    /// By how many frames the encoder holds frames back: it sees one before it sends it, also
    /// where others that are shown earlier are sent later.
    delay: u32,
}

impl Clip {
    /// Of a byte stream in which frames are sent as they are shown.
    pub(super) fn of_stream(
        stream: &[u8],
        fps: u32,
        limit: usize,
        in_band: bool,
    ) -> anyhow::Result<Self> {
        let parsed = h264::Stream::parse(stream)?;
        let frames = parsed.units.iter().map(Vec::as_slice).zip(0..);
        Self::of_frames(parsed.parameter_sets.clone(), fps, frames, limit, in_band)
    }

    /// Of an MP4 file.
    pub(super) fn of_file(file: &[u8], limit: usize, in_band: bool) -> anyhow::Result<Self> {
        let movie = Movie::parse(file)?;
        let frames = movie.frames.iter().map(|frame| (frame.nals.as_slice(), frame.shown));
        Self::of_frames(movie.parameter_sets.clone(), movie.fps, frames, limit, in_band)
    }

    fn of_frames<'a>(
        parameter_sets: ParameterSets,
        fps: u32,
        frames: impl Iterator<Item = (&'a [&'a [u8]], u32)>,
        limit: usize,
        in_band: bool,
    ) -> anyhow::Result<Self> {
        let codec = parameter_sets.codec();
        let (mut units, mut shown) = (Vec::new(), Vec::new());
        for (nals, place) in frames {
            let key = nals.iter().any(|nal| codec.is_key(nal));
            let mut packets = Packets::new(codec, limit);
            if key && in_band {
                parameter_sets.nals().for_each(|nal| packets.nal(nal));
            }
            for nal in nals.iter().filter(|nal| !codec.is_set_or_delimiter(nal)) {
                packets.nal(nal);
            }
            units.push(packets.finish(key));
            shown.push(place);
        }
        let first = units.first().context("there is no picture")?;
        anyhow::ensure!(first.key, "the first frame is no key frame");
        let ahead = shown.iter().zip(0..).map(|(shown, sent)| shown.saturating_sub(sent));
        let delay = ahead.max().unwrap_or_default();
        Ok(Self { parameter_sets, fps, units, shown, delay })
    }

    pub(super) fn len(&self) -> u64 {
        self.units.len() as u64
    }

    pub(super) fn unit(&self, index: u64) -> Option<&Unit> {
        self.units.get(self.place(index)?)
    }

    /// The place of a unit among all that are shown.
    pub(super) fn shown(&self, index: u64) -> u64 {
        let round = index - index.checked_rem(self.len()).unwrap_or_default();
        let shown = self.place(index).and_then(|place| self.shown.get(place));
        round + u64::from(shown.copied().unwrap_or_default())
    }

    pub(super) fn delay(&self) -> u64 {
        self.delay.into()
    }

    /// The first key frame at this index or after it.
    pub(super) fn next_key_frame(&self, index: u64) -> u64 {
        let ahead = (index..index.saturating_add(self.len()))
            .find(|index| self.unit(*index).is_some_and(|unit| unit.key));
        ahead.unwrap_or(index)
    }

    fn place(&self, index: u64) -> Option<usize> {
        usize::try_from(index.checked_rem(self.len())?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::mp4::tests::file;

    #[test]
    fn frames_that_are_shown_later_are_sent_no_sooner_than_they_are_there() {
        let clip = Clip::of_file(&file(), 1400, true).unwrap();
        assert_eq!(clip.len(), 4);
        let shown: Vec<u64> = (0..8).map(|index| clip.shown(index)).collect();
        assert_eq!(shown, [0, 3, 1, 2, 4, 7, 5, 6]);
        for index in 0..8 {
            assert!(index + clip.delay() >= clip.shown(index), "{index}");
        }
        assert_eq!(clip.delay(), 2);
        assert_eq!([0, 1, 4, 5].map(|index| clip.next_key_frame(index)), [0, 4, 4, 8]);
        // Its parameter sets come with the key frame, and only there.
        let packets: Vec<_> = (0..4).map(|i| clip.unit(i).unwrap().packets.len()).collect();
        assert_eq!(packets, [3, 1, 1, 1]);
    }
}
