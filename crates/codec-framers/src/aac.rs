//! What MPEG-4 audio configurations tell of times (ISO/IEC 14496-3 section 1.6.2).

use crate::bits::Bits;

/// Samples of an audio frame unless its configuration says otherwise.
pub(crate) const SAMPLES: u32 = 1024;

/// How long a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Framing {
    /// Samples per frame and channel, as the core of the codec counts them.
    samples: u32,
    /// Their rate in hertz.
    rate: u32,
}

impl Framing {
    /// Reads an AudioSpecificConfig.
    pub(crate) fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let mut object = object_type(bits)?;
        let rate = frequency(bits)?;
        let _channels = bits.bits(4)?;
        if matches!(object, 5 | 29) {
            // Extensions by spectral band replication: the rate above is the core's.
            let _ = frequency(bits)?;
            object = object_type(bits)?;
            if object == 22 {
                let _ = bits.bits(4)?;
            }
        }
        let samples = match object {
            1..=4 | 6 | 7 | 17 | 19..=22 => [1024, 960],
            23 | 39 => [512, 480],
            _ => return None,
        };
        let samples = samples.get(bits.bit()? as usize).copied()?;
        Some(Self { samples, rate })
    }

    /// Ticks of a frame of this many hertz.
    pub(crate) fn ticks(self, clock_rate: u32) -> Option<u32> {
        let ticks = u64::from(self.samples) * u64::from(clock_rate) / u64::from(self.rate.max(1));
        u32::try_from(ticks).ok().filter(|&ticks| ticks > 0)
    }
}

fn object_type(bits: &mut Bits<'_>) -> Option<u32> {
    match bits.bits(5)? {
        31 => Some(32 + bits.bits(6)?),
        object => Some(object),
    }
}

fn frequency(bits: &mut Bits<'_>) -> Option<u32> {
    const RATES: [u32; 13] = [
        96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
        8_000, 7_350,
    ];
    match bits.bits(4)? {
        15 => bits.bits(24).filter(|&rate| rate > 0),
        index => RATES.get(index as usize).copied(),
    }
}
