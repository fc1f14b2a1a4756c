//! The mark in the packets of a synthetic stream.

use std::time::Duration;

/// What a packet of a synthetic stream says of itself, for those who measure loss and delay.
///
/// It begins at byte 3 of the RTP payload, behind NAL unit or FU headers and the first byte of the
/// slice header, and is 40 bytes of ASCII (so that it holds no start code):
///
/// | bytes | content |
/// |---|---|
/// | 4 | `TCAM` |
/// | 12 | number of the frame since the content began, hexadecimal |
/// | 4 | number of the packet among the stamped packets of this frame, from 0, hexadecimal |
/// | 4 | stamped packets in this frame, hexadecimal |
/// | 16 | time when the packet was handed to the socket, nanoseconds since 1970, hexadecimal |
///
/// Every packet of a synthetic stream has one but for those of parameter sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Number of the frame since the content began.
    pub frame: u64,
    /// Number of the packet in the frame, from 0.
    pub packet: u16,
    /// Packets in the frame.
    pub packets: u16,
    /// Time of sending since 1970 by the camera host's wall clock.
    pub sent: Duration,
}

impl Stamp {
    /// Length in bytes.
    pub const LEN: usize = 40;

    /// Where it begins in the RTP payload.
    pub const OFFSET: usize = 3;

    /// Finds the stamp in an RTP payload: at its place, or in the first 128 bytes of a payload
    /// that was packed anew on its way.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let at_place = payload.get(Self::OFFSET..).and_then(Self::parse);
        at_place.or_else(|| {
            let head = payload.get(..payload.len().min(128))?;
            let at = head.windows(MAGIC.len()).position(|window| window == MAGIC)?;
            payload.get(at..).and_then(Self::parse)
        })
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let digits = bytes.get(..Self::LEN)?.strip_prefix(MAGIC)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let number = |range| u64::from_str_radix(digits.get(range)?, 16).ok();
        Some(Self {
            frame: number(0..12)?,
            packet: number(12..16)?.try_into().ok()?,
            packets: number(16..20)?.try_into().ok()?,
            sent: Duration::from_nanos(number(20..36)?),
        })
    }

    /// Writes it into its place in an RTP payload, which must have room for it.
    pub(crate) fn write(&self, payload: &mut [u8]) {
        let fields = [
            (self.frame, 12),
            (u64::from(self.packet), 4),
            (u64::from(self.packets), 4),
            (u64::try_from(self.sent.as_nanos()).unwrap_or(u64::MAX), 16),
        ];
        let Some(place) = payload.get_mut(Self::OFFSET..Self::OFFSET + Self::LEN) else { return };
        let (magic, mut rest) = place.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        for (value, width) in fields {
            let Some((digits, after)) = rest.split_at_mut_checked(width) else { return };
            for (index, digit) in digits.iter_mut().rev().enumerate() {
                *digit = b"0123456789abcdef"[(value >> (4 * index) & 0xF) as usize];
            }
            rest = after;
        }
    }
}

const MAGIC: &[u8; 4] = b"TCAM";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let stamp = Stamp {
            frame: 0x1234_5678_9ABC,
            packet: 41,
            packets: 43,
            sent: Duration::from_nanos(1_764_000_000_123_456_789),
        };
        let mut payload = [0x55; 64];
        stamp.write(&mut payload);
        assert_eq!(Stamp::read(&payload), Some(stamp));
        // Packed anew: seven bytes further on.
        let moved = [&[0; 7][..], &payload].concat();
        assert_eq!(Stamp::read(&moved), Some(stamp));
    }

    #[test]
    fn other_payloads_have_no_stamp() {
        assert_eq!(Stamp::read(&[]), None);
        assert_eq!(Stamp::read(&[0x55; 43]), None);
        assert_eq!(Stamp::read(b"...TCAM12"), None);
        let text = b"...TCAMzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz";
        assert_eq!(text.len(), 43);
        assert_eq!(Stamp::read(text), None);
    }
}
