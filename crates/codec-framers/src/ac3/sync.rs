//! Headers of AC-3 and E-AC-3 frames (ATSC A/52 section 5.3 and annex E).

use crate::slices::Cursor;

/// What the first bytes of a frame say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sync {
    pub(super) length: usize,
    /// Blocks of 256 samples.
    pub(super) blocks: u8,
    /// Belongs to the first independent substream, whose blocks are the unit's.
    pub(super) leads: bool,
}

/// Kilobits per second (A/52 table 5.18).
const RATES: [u16; 19] =
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];

impl Sync {
    pub(super) fn read(cursor: &Cursor<'_>) -> Option<Self> {
        let [0x0b, 0x77, b2, b3, b4, b5] = cursor.clone().chunk::<6>()? else { return None };
        if b5 >> 3 > 10 {
            if b5 >> 3 > 16 {
                return None;
            }
            let words = usize::from(b2 & 7) << 8 | usize::from(b3);
            // The half sampling rates have six blocks always.
            let blocks = match (b4 >> 6, b4 >> 4 & 3) {
                (3, _) | (_, 3) => 6,
                (_, code) => code + 1,
            };
            // Stream type 1 is a dependent substream; 0 and 2 are independent.
            let leads = b2 >> 6 != 1 && b2 >> 3 & 7 == 0;
            return Some(Self { length: (words + 1) * 2, blocks, leads });
        }
        let rate = usize::from(*RATES.get(usize::from(b4 >> 1 & 0x1f))?);
        let words = match b4 >> 6 {
            0 => rate * 2,
            1 => rate * 96_000 / 44_100 + usize::from(b4 & 1),
            2 => rate * 3,
            _ => return None,
        };
        Some(Self { length: words * 2, blocks: 6, leads: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slices::Slices;
    use bytes::Bytes;

    fn read(bytes: &'static [u8]) -> Option<Sync> {
        Sync::read(&Slices::new(&[Bytes::from_static(bytes)]).cursor())
    }

    #[test]
    fn lengths_are_those_of_the_standard() {
        // 192 kbit/s at 48, 44.1 and 32 kHz.
        let length = |b4| read(Box::leak(Box::new([0x0b, 0x77, 0, 0, b4, 0x40]))).unwrap().length;
        assert_eq!([0x14, 0x54, 0x55, 0x94].map(length), [768, 834, 836, 1152]);
        let sync = |length, blocks, leads| Some(Sync { length, blocks, leads });
        assert_eq!(read(&[0x0b, 0x77, 0x00, 0xff, 0x30, 0x80]), sync(512, 6, true));
        assert_eq!(read(&[0x0b, 0x77, 0x01, 0x00, 0x10, 0x80]), sync(514, 2, true));
        assert_eq!(read(&[0x0b, 0x77, 0x40, 0xff, 0x30, 0x80]), sync(512, 6, false));
        assert_eq!(read(&[0x0b, 0x77, 0, 0, 0xd4, 0x40]), None);
        assert_eq!(read(&[0x0b, 0x77, 0, 0, 0x14]), None);
    }
}
