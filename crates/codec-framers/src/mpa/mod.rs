//! MPEG-1 and MPEG-2 audio of all layers (RFC 2250 section 3.5, `MPA`): MP3 and its elders.
//!
//! A unit is a frame. Frames of layer III refer to data within frames before them; what that
//! means after a loss is left to decoders.

mod depacketize;
mod header;

pub use depacketize::Depacketizer;
pub use header::FrameHeader;

use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

/// Sends each frame in a packet of its own, or in fragments.
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
        let mut cursor = unit.data().cursor();
        let length = cursor.remaining();
        if u16::try_from(length).is_err() {
            return Err(PacketizeError::Unsupported("a frame beyond the range of offsets"));
        }
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        while cursor.remaining() > 0 {
            let offset = (length - cursor.remaining()) as u16;
            payload.own(&[0, 0]);
            payload.own(&offset.to_be_bytes());
            payload.lend_from(&mut cursor, limit - 4);
            emit(&payload);
            payload.clear();
        }
        Ok(())
    }
}
