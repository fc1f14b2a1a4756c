//! Headers of MPEG audio frames (ISO/IEC 11172-3 section 2.4.2.3, ISO/IEC 13818-3).

/// What the first four bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// 1 to 3.
    pub layer: u8,
    /// MPEG-1; else the lower sampling rates of MPEG-2, or those of MPEG-2.5.
    pub mpeg1: bool,
    /// One channel; else two.
    pub mono: bool,
    /// Whether a checksum of two bytes follows the header.
    pub checked: bool,
    /// Hertz.
    pub sampling_rate: u32,
    /// The bytes of the frame with its header; `None` in free format, where only the next frame
    /// tells.
    pub length: Option<usize>,
}

impl FrameHeader {
    /// Reads a header; `None` if it is none.
    pub fn read(bytes: [u8; 4]) -> Option<Self> {
        let [sync, b1, b2, b3] = bytes;
        if sync != 0xff || b1 & 0xe0 != 0xe0 {
            return None;
        }
        // 0 is MPEG-2.5, 2 is MPEG-2, 3 is MPEG-1.
        let version = b1 >> 3 & 3;
        let layer = 4 - (b1 >> 1 & 3);
        if version == 1 || layer == 4 {
            return None;
        }
        let mpeg1 = version == 3;
        let rate: u32 = *[44_100, 48_000, 32_000].get(usize::from(b2 >> 2 & 3))?;
        let sampling_rate = match version {
            3 => rate,
            2 => rate / 2,
            _ => rate / 4,
        };
        let kilobits = *table(mpeg1, layer).get(usize::from(b2 >> 4))?;
        let padding = u32::from(b2 >> 1 & 1);
        let slots =
            |factor: u32| (factor * u32::from(kilobits) * 1000 / sampling_rate + padding) as usize;
        let length = (kilobits > 0).then(|| match layer {
            1 => 4 * slots(12),
            3 if !mpeg1 => slots(72),
            _ => slots(144),
        });
        let (mono, checked) = (b3 >> 6 == 3, b1 & 1 == 0);
        Some(Self { layer, mpeg1, mono, checked, sampling_rate, length })
    }

    /// Samples per channel.
    pub const fn samples(self) -> u32 {
        match (self.layer, self.mpeg1) {
            (1, _) => 384,
            (3, false) => 576,
            _ => 1152,
        }
    }

    /// How long so many frames last, in ticks of a clock, to the nearest one.
    pub fn ticks(self, frames: u32, clock_rate: u32) -> u32 {
        let rate = u64::from(self.sampling_rate.max(1));
        let samples = u64::from(frames) * u64::from(self.samples()) * u64::from(clock_rate);
        u32::try_from((samples + rate / 2) / rate).unwrap_or(u32::MAX)
    }

    /// Bytes of side information behind header and checksum (layer III).
    pub const fn side_info(self) -> usize {
        match (self.mpeg1, self.mono) {
            (true, false) => 32,
            (true, true) | (false, false) => 17,
            (false, true) => 9,
        }
    }
}

/// Kilobits per second; 0 is free format, and the last value is forbidden.
const fn table(mpeg1: bool, layer: u8) -> [u16; 15] {
    match (mpeg1, layer) {
        (true, 1) => [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
        (true, 2) => [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
        (true, _) => [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
        (false, 1) => [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
        (false, _) => [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_times_are_those_of_the_standard() {
        let read = |bytes| {
            let header = FrameHeader::read(bytes).unwrap();
            (header.layer, header.length, header.samples(), header.ticks(1, 90_000))
        };
        assert_eq!(read([0xff, 0xfb, 0x90, 0x64]), (3, Some(417), 1152, 2351));
        assert_eq!(read([0xff, 0xfb, 0x92, 0x64]), (3, Some(418), 1152, 2351));
        assert_eq!(read([0xff, 0xf3, 0x84, 0xc4]), (3, Some(192), 576, 2160));
        assert_eq!(read([0xff, 0xfd, 0xa4, 0x00]), (2, Some(576), 1152, 2160));
        assert_eq!(read([0xff, 0xff, 0x14, 0x00]), (1, Some(32), 384, 720));
        assert_eq!(read([0xff, 0xfb, 0x00, 0x00]), (3, None, 1152, 2351));
        assert_eq!(FrameHeader::read([0xff, 0xfb, 0xf0, 0]), None);
        assert_eq!(FrameHeader::read([0xff, 0xfb, 0x9c, 0]), None);
        assert_eq!(FrameHeader::read([0xfe, 0xfb, 0x90, 0]), None);
    }
}
