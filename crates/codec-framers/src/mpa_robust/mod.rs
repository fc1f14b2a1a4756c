//! MP3 that survives losses (RFC 5219, `mpa-robust`).
//!
//! A unit is an ADU frame: header and side information of an MP3 frame, and directly behind them
//! the data that they refer to, wherever it stood in the stream. So a lost packet costs its own
//! frames and no others. [`FrameToAdu`] and [`AduToFrame`] turn frames into ADU frames and back.

mod convert;
mod depacketize;

pub use convert::{AduToFrame, FrameToAdu};
pub use depacketize::Depacketizer;

use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

/// Bits of an ADU descriptor (RFC 5219 section 4.2).
const CONTINUES: u8 = 0x80;
const LONG: u8 = 0x40;

/// Sends each ADU frame in a packet of its own, or in fragments; not interleaved.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let Some(size) = u16::try_from(unit.len()).ok().filter(|&size| size < 1 << 14) else {
            return Err(PacketizeError::Unsupported("an ADU frame of more than 14 bits of length"));
        };
        let [high, low] = size.to_be_bytes();
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        let mut continues = 0;
        while cursor.remaining() > 0 {
            if size < 64 {
                payload.own(&[low]);
            } else {
                payload.own(&[continues | LONG | high, low]);
            }
            payload.lend_from(&mut cursor, limit - 2);
            emit(&payload);
            payload.clear();
            continues = CONTINUES;
        }
        Ok(())
    }
}
