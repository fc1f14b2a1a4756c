//! MPEG-4 elementary streams (RFC 3640, `mpeg4-generic`): AAC-hbr, AAC-lbr, CELP, and whatever
//! else the parameters describe.
//!
//! A unit is an access unit as RFC 3640 means it: of AAC, one frame. Frames sent interleaved come
//! in the order of their times; they are never sent so.

mod depacketize;
mod packetize;

pub use depacketize::Depacketizer;
pub use packetize::Packetizer;

use sdp::{Format, MediaKind};

use crate::aac::{Framing, SAMPLES};
use crate::bits::Bits;
use crate::params::hex;

/// What a description says of the payloads (RFC 3640 section 4.1). Lengths are in bits; what has
/// none is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Layout {
    size: u8,
    index: u8,
    index_delta: u8,
    cts_delta: u8,
    dts_delta: u8,
    random_access: bool,
    stream_state: u8,
    auxiliary_size: u8,
    /// Bytes of each unit where all are the same.
    constant_size: Option<usize>,
    /// Ticks of a unit.
    duration: Option<u32>,
    /// Whether units may be decoded alone: all of audio.
    audio: bool,
}

impl Layout {
    fn of(kind: &MediaKind, format: &Format) -> Self {
        let number = |name| format.parameter(name).and_then(|value| value.trim().parse().ok());
        let bits = |name, default: u8| match number(name) {
            Some(bits @ 0..=32) => bits as u8,
            Some(_) => 0,
            None => default,
        };
        let mode = format.parameter("mode").unwrap_or_default().to_ascii_lowercase();
        // Where senders leave them out, what the mode demands (RFC 3640 section 3.3).
        let (size, index) = match mode.as_str() {
            "aac-hbr" => (13, 3),
            "aac-lbr" | "celp-vbr" => (6, 2),
            _ => (0, 0),
        };
        let positive = |name| number(name).filter(|&value: &u32| value > 0);
        let audio = *kind == MediaKind::Audio;
        // Cameras leave out the mode too; what they send is AAC.
        let is_aac = mode.starts_with("aac") || audio && mode.is_empty();
        let framing = format
            .parameter("config")
            .and_then(hex)
            .and_then(|config| Framing::read(&mut Bits::plain(&config))?.ticks(format.clock_rate));
        Self {
            size: bits("sizelength", size),
            index: bits("indexlength", index),
            index_delta: bits("indexdeltalength", index),
            cts_delta: bits("ctsdeltalength", 0),
            dts_delta: bits("dtsdeltalength", 0),
            random_access: bits("randomaccessindication", 0) > 0,
            stream_state: bits("streamstateindication", 0),
            auxiliary_size: bits("auxiliarydatasizelength", 0),
            constant_size: positive("constantsize").map(|size| size as usize),
            duration: positive("constantduration")
                .or(framing)
                .or_else(|| is_aac.then_some(SAMPLES)),
            audio,
        }
    }

    /// Whether payloads begin with headers of their units.
    fn has_headers(&self) -> bool {
        let Self { size, index, index_delta, cts_delta, dts_delta, stream_state, .. } = *self;
        [size, index, index_delta, cts_delta, dts_delta, stream_state].iter().any(|&bits| bits > 0)
            || self.random_access
    }
}
