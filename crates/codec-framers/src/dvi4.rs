//! IMA ADPCM, as `DVI4` (RFC 3551 section 4.5.1).
//!
//! A payload is four bytes of state and four bits for each sample. A unit is what one payload
//! has; where it is cut, the state there is found by decoding what goes before.

use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits, Ready};
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

const HEADER: usize = 4;

/// Gives each payload as a unit, its state included.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    limits: Limits,
    lost: u32,
    ready: Ready,
}

impl Depacketizer {
    /// Before the first packet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, lost: 0, ready: Ready::default() }
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.lost = self.lost.saturating_add(packet.lost);
        if packet.payload.len() > self.limits.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.limits.max_unit });
        }
        let samples = packet.payload.len().saturating_sub(HEADER) * 2;
        if samples == 0 {
            return Err(DepacketizeError::Malformed("no samples"));
        }
        let mut unit = AccessUnit::of(packet.timestamp, true, packet.payload);
        unit.marker = packet.marker;
        unit.duration = u32::try_from(samples).ok();
        unit.lost = std::mem::take(&mut self.lost);
        self.ready.push(unit);
        Ok(())
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.poll()
    }

    fn flush(&mut self) {}
}

/// Sends as many samples in a payload as fit.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let room = limit.clamp(MIN_LIMIT, MAX_PAYLOAD) - HEADER;
        let mut cursor = unit.data().cursor();
        let Some([high, low, index, _]) = cursor.chunk() else {
            return Err(PacketizeError::Malformed("no state"));
        };
        let mut state = State { predicted: i16::from_be_bytes([high, low]).into(), index };
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        while cursor.remaining() > 0 {
            payload.own(&state.header());
            let mut ahead = cursor.clone();
            payload.lend_from(&mut cursor, room);
            emit(&payload);
            payload.clear();
            if cursor.remaining() > 0 {
                ahead.take(room, |piece| piece.iter().for_each(|&byte| state.decode(byte)));
                payload.timestamp = payload.timestamp.plus(room as u32 * 2);
            }
        }
        Ok(())
    }
}

/// A decoder's state before a sample.
#[derive(Clone, Copy, Debug)]
struct State {
    predicted: i32,
    index: u8,
}

impl State {
    fn header(self) -> [u8; HEADER] {
        let [high, low] = (self.predicted as i16).to_be_bytes();
        [high, low, self.index, 0]
    }

    /// Goes on by the two samples of a byte, the one in the higher bits first.
    fn decode(&mut self, byte: u8) {
        for code in [byte >> 4, byte & 0x0f] {
            let step = STEPS.get(usize::from(self.index)).copied().unwrap_or(32_767);
            let mut change = step >> 3;
            for (bit, part) in [(4, step), (2, step >> 1), (1, step >> 2)] {
                if code & bit != 0 {
                    change += part;
                }
            }
            let change = if code & 8 == 0 { change } else { -change };
            self.predicted = (self.predicted + change).clamp(i16::MIN.into(), i16::MAX.into());
            self.index = match code & 7 {
                4 => self.index.saturating_add(2),
                5 => self.index.saturating_add(4),
                6 => self.index.saturating_add(6),
                7 => self.index.saturating_add(8),
                _ => self.index.saturating_sub(1),
            }
            .min(88);
        }
    }
}

const STEPS: [i32; 89] = [
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66,
    73, 80, 88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449,
    494, 544, 598, 658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272,
    2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493,
    10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
];
