//! AC-3 (RFC 4184) and Enhanced AC-3 (RFC 4598).
//!
//! A unit is a frame of AC-3; of E-AC-3, all that belongs to the same 1536 samples: frames of
//! up to six blocks and of several substreams, one after the other.

mod depacketize;
mod sync;

pub use depacketize::Depacketizer;

use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

/// Samples of a unit and channel.
pub const SAMPLES: u32 = 1536;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// `ac3`
    Ac3,
    /// `eac3`
    Eac3,
}

/// Sends each unit in a packet of its own, or in fragments.
#[derive(Clone, Debug)]
pub struct Packetizer {
    codec: Codec,
}

impl Packetizer {
    /// For this codec.
    pub const fn new(codec: Codec) -> Self {
        Self { codec }
    }
}

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let room = limit.clamp(MIN_LIMIT, MAX_PAYLOAD) - 2;
        let count = unit.len().div_ceil(room);
        let Ok(fragments) = u8::try_from(count) else {
            return Err(PacketizeError::Unsupported("a frame of more than 255 fragments"));
        };
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        let mut first = true;
        while cursor.remaining() > 0 {
            payload.clear();
            let kind = match (self.codec, count) {
                (_, 1) => 0,
                (Codec::Eac3, _) => 1,
                // Whether the first fragment has the five eighths of the frame that can be
                // decoded alone (RFC 4184 section 4.1.1).
                (Codec::Ac3, _) if first && room * 8 >= unit.len() * 5 => 1,
                (Codec::Ac3, _) if first => 2,
                (Codec::Ac3, _) => 3,
            };
            payload.own(&[kind, fragments]);
            payload.lend_from(&mut cursor, room);
            payload.marker = cursor.remaining() == 0;
            emit(&payload);
            first = false;
        }
        Ok(())
    }
}
