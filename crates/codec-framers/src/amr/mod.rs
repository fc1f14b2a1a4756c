//! AMR and AMR-WB (RFC 4867): bandwidth-efficient and octet-aligned, with checksums, sorted
//! robustly, interleaved, of several channels.
//!
//! A unit is a frame-block: for each channel one element, which is a frame as files have it (RFC
//! 4867 section 5.3): a byte with type and quality, and the speech bits, filled up to bytes. Where
//! the format has checksums (`crc=1`), one follows as a last byte; they are neither verified nor
//! computed, but carried on. Requests for other modes concern calls and are not carried on.

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
