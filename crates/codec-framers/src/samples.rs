//! Audio whose payload is samples or frames of a fixed time, one directly after the other
//! (RFC 3551 section 4.5, RFC 3190, RFC 3952): PCM, ADPCM, and the codecs of telephony.
//!
//! A unit is what one payload has. It is cut only where a sample of all channels, or a frame,
//! ends.

use sdp::Format;

use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits, Ready};
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::slices::Cursor;

/// Where payloads of an encoding may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// So many bytes last so many ticks.
    Blocks { bytes: usize, ticks: u32, tail: Tail },
    /// The first byte of a frame says how long it is (RFC 3551 section 4.5.3).
    G723,
}

/// What may stand behind the last whole block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Nothing,
    /// Samples that do not fill a block, and bits to fill up.
    Samples,
    /// A frame of comfort noise of so many bytes, in place of one of speech.
    Silence(usize),
}

impl Layout {
    fn of(format: &Format) -> Option<Self> {
        let channels = usize::from(format.channels.unwrap_or(1).max(1));
        // Samples of this many bits, in the smallest number that fills bytes.
        let packed = |bits: usize| {
            let ticks =
                [1, 2, 4].into_iter().find(|ticks| (bits * ticks).is_multiple_of(8)).unwrap_or(8);
            Self::Blocks { bytes: bits * ticks / 8, ticks: ticks as u32, tail: Tail::Samples }
        };
        let linear =
            |bytes| Self::Blocks { bytes: bytes * channels, ticks: 1, tail: Tail::Nothing };
        let frames = |bytes, ticks, tail| Self::Blocks { bytes, ticks, tail };
        Some(match format.encoding.to_ascii_uppercase().as_str() {
            // G.722 counts a tick for the two samples of a byte (RFC 3551 section 4.5.2).
            "PCMU" | "PCMA" | "L8" | "G722" => linear(1),
            "L16" => linear(2),
            "L24" => linear(3),
            "L20" => packed(20 * channels),
            "DAT12" => packed(12 * channels),
            "G726-40" | "AAL2-G726-40" => packed(5),
            "G726-32" | "AAL2-G726-32" => packed(4),
            "G726-24" | "AAL2-G726-24" => packed(3),
            "G726-16" | "AAL2-G726-16" => packed(2),
            "G728" => frames(5, 20, Tail::Nothing),
            "G729" => frames(10, 80, Tail::Silence(2)),
            "G729D" => frames(8, 80, Tail::Silence(2)),
            "G729E" => frames(15, 80, Tail::Silence(2)),
            "GSM" => frames(33, 160, Tail::Nothing),
            "GSM-EFR" => frames(31, 160, Tail::Nothing),
            "LPC" => frames(14, 160, Tail::Nothing),
            "ILBC" if format.parameter("mode") == Some("20") => frames(38, 160, Tail::Nothing),
            "ILBC" => frames(50, 240, Tail::Nothing),
            "G723" => Self::G723,
            _ => return None,
        })
    }

    /// How many bytes of what follows can go together into `room`, and how many ticks they last.
    /// More than fits only where the first frame does not; nothing where what follows is none.
    fn take(self, mut cursor: Cursor<'_>, room: usize) -> (usize, u32) {
        let remaining = cursor.remaining();
        match self {
            Self::Blocks { bytes, ticks, tail } => {
                let most = (room / bytes).max(1).min(remaining / bytes);
                let (taken, lasts) = (most * bytes, most as u32 * ticks);
                let rest = remaining - taken;
                let more = match tail {
                    Tail::Silence(silence) if rest == silence => ticks,
                    Tail::Samples if rest < bytes => (rest * ticks as usize / bytes) as u32,
                    _ => 0,
                };
                if more > 0 && (taken == 0 || taken + rest <= room) {
                    return (taken + rest, lasts + more);
                }
                (taken, lasts)
            }
            Self::G723 => {
                let (mut taken, mut lasts) = (0, 0);
                while let Some(&first) = cursor.chunk_at().first() {
                    let frame = match first & 3 {
                        0 => 24,
                        1 => 20,
                        2 => 4,
                        _ => break,
                    };
                    if taken + frame > remaining || (taken > 0 && taken + frame > room) {
                        break;
                    }
                    cursor.skip(frame);
                    taken += frame;
                    lasts += 240;
                }
                (taken, lasts)
            }
        }
    }
}

/// Gives the samples of each payload as one unit.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    layout: Layout,
    limits: Limits,
    lost: u32,
    ready: Ready,
}

impl Depacketizer {
    /// Before the first packet; `None` for encodings that are not of this kind.
    pub fn for_format(format: &Format, limits: Limits) -> Option<Self> {
        let layout = Layout::of(format)?;
        Some(Self { layout, limits, lost: 0, ready: Ready::default() })
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.lost = self.lost.saturating_add(packet.lost);
        if packet.payload.len() > self.limits.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.limits.max_unit });
        }
        let mut unit = AccessUnit::of(packet.timestamp, true, packet.payload.clone());
        let (whole, lasts) = self.layout.take(unit.data().cursor(), usize::MAX);
        let cut = whole < packet.payload.len();
        if whole > 0 {
            if cut {
                let whole = packet.payload.slice(..whole);
                unit = AccessUnit::of(packet.timestamp, true, whole);
            }
            unit.complete = !cut;
            unit.marker = packet.marker;
            unit.duration = Some(lasts);
            unit.lost = std::mem::take(&mut self.lost);
            self.ready.push(unit);
        }
        if cut || whole == 0 {
            return Err(DepacketizeError::Malformed("no whole number of samples or frames"));
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.poll()
    }

    fn flush(&mut self) {}
}

/// Sends as many samples in a payload as fit.
#[derive(Clone, Debug)]
pub struct Packetizer {
    layout: Layout,
}

impl Packetizer {
    /// `None` for encodings that are not of this kind.
    pub fn for_format(format: &Format) -> Option<Self> {
        Some(Self { layout: Layout::of(format)? })
    }
}

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let mut cursor = unit.data().cursor();
        if self.layout.take(cursor.clone(), usize::MAX).0 < cursor.remaining() {
            return Err(PacketizeError::Malformed("no whole number of samples or frames"));
        }
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        while cursor.remaining() > 0 {
            let (bytes, ticks) = self.layout.take(cursor.clone(), limit);
            payload.lend_from(&mut cursor, bytes);
            emit(&payload);
            payload.clear();
            payload.timestamp = payload.timestamp.plus(ticks);
        }
        Ok(())
    }
}
