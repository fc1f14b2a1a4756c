//! MPEG-4 audio in its own transport multiplex (RFC 6416 section 5, `MP4A-LATM`).
//!
//! A unit is an audioMuxElement: one AAC frame or several, behind their lengths, and with the
//! configuration where the stream carries it (`cpresent`).

use sdp::Format;

use crate::aac::Framing;
use crate::access_unit::AccessUnit;
use crate::bits::Bits;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;
use crate::params::hex;
use crate::parts::{Part, PartDepacketizer, PartFormat};

/// Cuts units wherever a payload is full.
pub use crate::messages::Packetizer;

/// Gives audioMuxElements.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    parts: PartDepacketizer<Latm>,
    clock_rate: u32,
    announced: Option<StreamMux>,
    /// Seen in the stream last.
    sent: Option<StreamMux>,
    in_band: bool,
}

impl Depacketizer {
    /// Before the first packet of this format.
    pub fn new(format: &Format, limits: Limits) -> Self {
        // RFC 6416 section 7.3: in band unless said otherwise.
        let in_band = format.parameter("cpresent").is_none_or(|value| value.trim() != "0");
        let announced = format
            .parameter("config")
            .and_then(hex)
            .and_then(|config| StreamMux::read(&mut Bits::plain(&config)));
        let latm = Latm { in_band, announced: announced.is_some() };
        let parts = PartDepacketizer::new(latm, limits);
        Self { parts, clock_rate: format.clock_rate, announced, sent: None, in_band }
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.parts.push(packet)
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        let mut unit = self.parts.poll()?;
        if self.in_band && unit.complete {
            // It is at the beginning, which is in one slice but for strange senders.
            let first = unit.data().as_slices().first();
            let read = first.and_then(|first| StreamMux::in_band(first));
            self.sent = read.or(self.sent);
        }
        unit.duration = self.sent.or(self.announced).and_then(|mux| mux.ticks(self.clock_rate));
        Some(unit)
    }

    fn flush(&mut self) {
        self.parts.flush();
    }
}

#[derive(Clone, Debug)]
struct Latm {
    in_band: bool,
    announced: bool,
}

impl PartFormat for Latm {
    const RESUMES: bool = false;

    fn part(
        &mut self,
        packet: &Packet,
        open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let body = packet.payload.clone();
        let Some(&first) = body.first() else {
            return Err(DepacketizeError::Malformed("nothing"));
        };
        let configures = self.in_band && first & 0x80 == 0;
        let begins = packet.lost == 0 || packet.marker && self.is_whole(&body);
        // Of the first fragment alone it can be told.
        let key = open.is_none() && (configures || !self.in_band || self.announced);
        Ok(Part { body, begins, picture: true, key, ..Part::default() })
    }
}

impl Latm {
    /// Whether a payload is a unit from its beginning, as far as this shows.
    fn is_whole(&self, payload: &[u8]) -> bool {
        let mut bits = Bits::plain(payload);
        if self.in_band && bits.bit() == Some(0) {
            return StreamMux::read(&mut bits).is_some();
        }
        // PayloadLengthInfo of one frame (ISO/IEC 14496-3 section 1.7.3).
        let mut length = usize::from(self.in_band);
        loop {
            let Some(byte) = bits.byte() else { return false };
            length += 8 + 8 * usize::from(byte);
            if byte < 255 {
                break;
            }
        }
        length.div_ceil(8) == payload.len()
    }
}

/// What a StreamMuxConfig (ISO/IEC 14496-3 section 1.7.3) tells of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamMux {
    /// Frames in a unit.
    frames: u32,
    framing: Framing,
}

impl StreamMux {
    fn in_band(unit: &[u8]) -> Option<Self> {
        let mut bits = Bits::plain(unit);
        if bits.bit()? == 1 {
            return None;
        }
        Self::read(&mut bits)
    }

    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let version = bits.bit()?;
        if version == 1 {
            if bits.bit()? == 1 {
                return None;
            }
            let _buffer_fullness = value(bits)?;
        }
        let _same_time_framing = bits.bit()?;
        let frames = bits.bits(6)? + 1;
        let (_programs, _layers) = (bits.bits(4)?, bits.bits(3)?);
        if version == 1 {
            let _length = value(bits)?;
        }
        Some(Self { frames, framing: Framing::read(bits)? })
    }

    fn ticks(self, clock_rate: u32) -> Option<u32> {
        self.framing.ticks(clock_rate)?.checked_mul(self.frames)
    }
}

/// LatmGetValue.
fn value(bits: &mut Bits<'_>) -> Option<u32> {
    let bytes = bits.bits(2)? + 1;
    bits.bits(8 * bytes as u8)
}
