//! Reading back, from decoded pictures and sound, what moment of the clip they show.
//!
//! The clip is 16 s long: 400 frames at 25 per second, and a tone. Both loop together.
//!
//! *Pictures* carry their number (0 to 399) to the eye, and in their lowest sixth to machines: a
//! row of 16 blocks of equal width, the first white, the second black, then ten that are the
//! number in binary, then four that are 15 - (number mod 15); the most significant bit is on the
//! left and white is one. [`frame_number`] reads it at any picture size.
//!
//! *Sound* has a pitch of 500 Hz at the clip's beginning that rises by 250 Hz per second, to
//! 4500 Hz at its end. [`tone_time`] reads it. Frame n and the pitch of n/25 s belong together.

use std::time::Duration;

/// Reads the number of a clip's frame from its luminance: `width` x `height` bytes, row by row.
///
/// `None` when the picture is no frame of the clip, or too damaged to tell.
pub fn frame_number(gray: &[u8], width: usize, height: usize) -> Option<u32> {
    if width < BLOCKS * 4 || height < 24 || gray.len() < width.checked_mul(height)? {
        return None;
    }
    // The middle of each block: half its width, a third of the row's height.
    let (top, bottom) = (height * 8 / 9, height * 17 / 18);
    let level = |block: usize| -> Option<u32> {
        let left = (block * 4 + 1) * width / (BLOCKS * 4);
        let right = (block * 4 + 3) * width / (BLOCKS * 4);
        let mut sum = 0_u64;
        for row in gray.chunks_exact(width).take(bottom).skip(top) {
            sum += row.get(left..right)?.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        }
        let pixels = ((right - left) * (bottom - top)) as u64;
        u32::try_from(sum.checked_div(pixels)?).ok()
    };
    let (white, black) = (level(0)?, level(1)?);
    let contrast = white.checked_sub(black).filter(|&contrast| contrast >= 80)?;
    let mut code = 0_u32;
    for block in 2..BLOCKS {
        let above = level(block)?.saturating_sub(black).min(contrast);
        let bit = match above * 8 / contrast {
            0..=2 => 0,
            5..=8 => 1,
            _ => return None,
        };
        code = code << 1 | bit;
    }
    let (number, check) = (code >> 4, code & 0xF);
    (check == 15 - number % 15 && number < CLIP_FRAMES).then_some(number)
}

/// A moment of the clip as heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ToneTime {
    /// The place among the samples that were given, in samples, near their middle.
    pub at_sample: f64,
    /// The time in the clip, below 16 s, at that place.
    pub clip_time: Duration,
}

/// Tells from the pitch of decoded sound (one channel) what moment of the clip it is.
///
/// At 48 kHz, 2048 samples tell it to a millisecond and 4096 to half a millisecond. `None` when it is not the clip's tone, or when the loop point lies within the
/// samples.
pub fn tone_time(samples: &[i16], sample_rate: u32) -> Option<ToneTime> {
    let loud = samples.iter().filter(|sample| sample.unsigned_abs() > 4000).count();
    if loud * 2 < samples.len() {
        return None;
    }
    // The moments, between samples, when the wave crosses zero upwards: one period apart each.
    let crossings: Vec<f64> = samples
        .windows(2)
        .enumerate()
        .filter_map(|(index, pair)| match *pair {
            [before, after] if before < 0 && after >= 0 => {
                let (before, after) = (f64::from(before), f64::from(after));
                Some(index as f64 + before / (before - after))
            }
            _ => None,
        })
        .collect();
    let at_sample = f64::midpoint(*crossings.first()?, *crossings.last()?);
    // Around the middle, in seconds t, the n-th crossing satisfies n = c + hertz * t + rise/2 * t^2.
    // All is known but c and the pitch: a straight line, fitted.
    let rate = f64::from(sample_rate);
    let points: Vec<(f64, f64)> = crossings
        .iter()
        .enumerate()
        .map(|(n, crossing)| {
            let t = (crossing - at_sample) / rate;
            (t, n as f64 - TONE_RISE / 2.0 * t * t)
        })
        .collect();
    let count = points.len() as f64;
    let mean_t = points.iter().map(|point| point.0).sum::<f64>() / count;
    let mean_n = points.iter().map(|point| point.1).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|point| (point.0 - mean_t).powi(2)).sum();
    let common: f64 = points.iter().map(|point| (point.0 - mean_t) * (point.1 - mean_n)).sum();
    let hertz = common / spread;
    // At the loop point, or in other sounds, crossings are not where the line has them.
    let fits = |&(t, n): &(f64, f64)| (n - mean_n - hertz * (t - mean_t)).abs() < 0.04;
    let seconds = (hertz - TONE_START) / TONE_RISE;
    let plausible = points.len() >= 4 && (-0.01..CLIP_SECONDS + 0.01).contains(&seconds);
    (plausible && points.iter().all(fits)).then(|| ToneTime {
        at_sample,
        clip_time: Duration::from_secs_f64(seconds.clamp(0.0, CLIP_SECONDS)),
    })
}

const BLOCKS: usize = 16;
const CLIP_FRAMES: u32 = 400;
const CLIP_SECONDS: f64 = 16.0;
const TONE_START: f64 = 500.0;
const TONE_RISE: f64 = 250.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(number: u32, width: usize, height: usize) -> Vec<u8> {
        let code = 0b10 << 14 | number << 4 | (15 - number % 15);
        let mut gray = vec![90; width * height];
        for row in gray.chunks_exact_mut(width).skip(height * 5 / 6) {
            for (x, pixel) in row.iter_mut().enumerate() {
                let bit = code >> (15 - x * 16 / width) & 1;
                *pixel = if bit == 1 { 230 } else { 20 };
            }
        }
        gray
    }

    #[test]
    fn every_number_is_read_at_any_size() {
        for (width, height) in [(320, 180), (256, 144), (641, 361), (64, 24)] {
            for number in 0..400 {
                let gray = picture(number, width, height);
                assert_eq!(frame_number(&gray, width, height), Some(number));
            }
        }
    }

    #[test]
    fn what_is_not_a_frame_of_the_clip_has_no_number() {
        let (width, height) = (320, 180);
        assert_eq!(frame_number(&vec![128; width * height], width, height), None);
        assert_eq!(frame_number(&picture(17, width, height)[1..], width, height), None);
        assert_eq!(frame_number(&picture(500, width, height), width, height), None);
        assert_eq!(frame_number(&[], 0, 0), None);
        assert_eq!(frame_number(&[], usize::MAX, usize::MAX), None);
        // One block torn.
        let mut gray = picture(17, width, height);
        for row in gray.chunks_exact_mut(width).skip(150) {
            row[100..120].iter_mut().for_each(|pixel| *pixel = 250 - *pixel);
        }
        assert_eq!(frame_number(&gray, width, height), None);
    }

    fn tone(from: f64, count: u32) -> Vec<i16> {
        (0..count)
            .map(|index| {
                let t = (from + f64::from(index) / 48_000.0) % 16.0;
                let phase = std::f64::consts::TAU * (500.0 * t + 125.0 * t * t);
                (phase.sin() * 16_000.0) as i16
            })
            .collect()
    }

    #[test]
    fn a_tone_tells_its_time_to_a_fraction_of_a_millisecond() {
        for from in [0.0, 0.3, 7.77, 15.9] {
            for count in [1024, 2048, 4800] {
                let time = tone_time(&tone(from, count), 48_000).unwrap();
                let expected = from + time.at_sample / 48_000.0;
                let error = time.clip_time.as_secs_f64() - expected;
                assert!(error.abs() < 0.0003, "{from} {count}: off by {error} s");
            }
        }
    }

    #[test]
    fn the_loop_point_and_other_sounds_tell_no_time() {
        assert_eq!(tone_time(&tone(15.98, 2048), 48_000), None);
        assert_eq!(tone_time(&[0; 2048], 48_000), None);
        assert_eq!(tone_time(&[], 48_000), None);
        let buzz: Vec<i16> = (0..4096).map(|i| if i % 7 < 3 { 9000 } else { -9000 }).collect();
        assert_eq!(tone_time(&buzz, 48_000), None);
    }
}
