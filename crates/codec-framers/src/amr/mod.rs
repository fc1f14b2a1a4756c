//! AMR and AMR-WB (RFC 4867): bandwidth-efficient and octet-aligned, with checksums, sorted
//! robustly, interleaved, of several channels.
//!
//! A unit is a frame-block: for each channel one element, which is a frame as files have it (RFC
//! 4867 section 5.3): a byte with type and quality, and the speech bits, filled up to bytes. Where
//! the format has checksums (`crc=1`), one follows as a last byte. Once some have been right, blocks
//! whose checksum is wrong are left out; until then they are not heeded, for there are senders who
//! fill the byte with anything. Checksums are never computed anew. Requests for other modes concern
//! calls and are not carried on.

mod depacketize;
mod packetize;

pub use depacketize::Depacketizer;
pub use packetize::Packetizer;

use sdp::Format;

/// What a description says of the payloads (RFC 4867 section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    wide: bool,
    aligned: bool,
    checked: bool,
    sorted: bool,
    interleaved: bool,
    channels: usize,
}

impl Layout {
    fn of(format: &Format) -> Self {
        let says = |name| format.parameter(name).is_some_and(|value| value.trim() == "1");
        let (checked, sorted) = (says("crc"), says("robust-sorting"));
        let interleaved = format.parameter("interleaving").is_some();
        Self {
            wide: format.is("AMR-WB"),
            // Each of the others includes it.
            aligned: says("octet-align") || checked || sorted || interleaved,
            checked,
            sorted,
            interleaved,
            channels: usize::from(format.channels.unwrap_or(1).clamp(1, 6)),
        }
    }

    /// Ticks of a frame: 20 ms.
    const fn ticks(self) -> u32 {
        if self.wide { 320 } else { 160 }
    }

    /// The speech bits of a frame of this type; `None` for those that make the packet void.
    fn bits(self, kind: u8) -> Option<usize> {
        const NARROW: [u16; 9] = [95, 103, 118, 134, 148, 159, 204, 244, 39];
        const WIDE: [u16; 10] = [132, 177, 253, 285, 317, 365, 397, 461, 477, 40];
        let bits = match (self.wide, kind) {
            (_, 15) | (true, 14) => return Some(0),
            (true, _) => WIDE.get(usize::from(kind)),
            (false, _) => NARROW.get(usize::from(kind)),
        };
        bits.map(|&bits| bits.into())
    }

    /// Of these bits, how many of the first ones the checksum covers: class A, and all where there
    /// are no classes (RFC 4867 section 3.6 and 4.4.2.1).
    fn covered(self, kind: u8) -> Option<usize> {
        const NARROW: [u8; 9] = [42, 49, 55, 58, 61, 75, 65, 81, 39];
        const WIDE: [u8; 10] = [54, 64, 72, 72, 72, 72, 72, 72, 72, 40];
        let bits = match self.wide {
            true => WIDE.get(usize::from(kind)),
            false => NARROW.get(usize::from(kind)),
        };
        bits.map(|&bits| bits.into())
    }
}

/// The checksum of the first so many bits (RFC 4867 section 4.4.2.1): what is left of them and eight
/// zeros divided by x^8 + x^4 + x^3 + x^2 + 1.
fn checksum(data: &[u8], bits: usize) -> u8 {
    const GENERATOR: u8 = 0x1d;
    let bits = data.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).take(bits);
    bits.fold(0, |rest, bit| {
        let out = rest >> 7 ^ bit;
        (rest << 1) ^ (out * GENERATOR)
    })
}

/// The first byte of a frame in files, or of its entry in an octet-aligned table of contents: by
/// type and quality.
static ENTRIES: [u8; 32] = {
    let mut entries = [0; 32];
    let mut at = 0;
    while at < 32 {
        entries[at] = (at as u8) << 2;
        at += 1;
    }
    entries
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_remainder_of_a_division() {
        // Of one bit and eight zeros: x^8 itself.
        assert_eq!(checksum(&[0x80], 1), 0x1d);
        // Of what divides evenly: the generator's own bits.
        assert_eq!(checksum(&[0b1000_1110, 0b1000_0000], 9), 0);
        // Of the bits and their remainder.
        let remainder = checksum(&[0x12, 0x34, 0x56], 24);
        assert_eq!(checksum(&[0x12, 0x34, 0x56, remainder], 32), 0);
        // What is not covered does not matter.
        assert_eq!(checksum(&[0xab, 0xcd], 10), checksum(&[0xab, 0xff], 10));
        assert_ne!(checksum(&[0xab, 0xcd], 10), checksum(&[0xab, 0x0d], 10));
    }
}
