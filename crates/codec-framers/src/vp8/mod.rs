//! VP8 (RFC 7741).
//!
//! A unit is a frame. After a hole the rest of a frame is left out.

pub(crate) mod glance;

use self::glance::read_descriptor;
use crate::access_unit::AccessUnit;
use crate::depacketizer::DepacketizeError;
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::parts::{Part, PartFormat, part_depacketizer};

part_depacketizer! {
    /// Gives frames.
    Vp8, Vp8
}

#[derive(Clone, Debug)]
struct Vp8;

impl PartFormat for Vp8 {
    const RESUMES: bool = false;

    fn part(
        &mut self,
        packet: &Packet,
        _open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let Some((begins, data)) = read_descriptor(&packet.payload) else {
            return Err(DepacketizeError::Malformed("VP8 payload descriptor"));
        };
        let key = begins && data.first().is_some_and(|first| first & 1 == 0);
        let body = packet.payload.slice_ref(data);
        Ok(Part { body, begins, splits: begins, picture: true, key, ..Part::default() })
    }
}

/// Sends frames in as few payloads as it takes, numbered by picture.
#[derive(Clone, Debug, Default)]
pub struct Packetizer {
    picture: u16,
}

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        self.picture = self.picture.wrapping_add(1);
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        // An extension follows; the frame begins.
        let mut first = 0x80 | 0x10;
        while cursor.remaining() > 0 {
            payload.clear();
            payload.own(&[first, 0x80, high, low]);
            payload.lend_from(&mut cursor, limit - 4);
            payload.marker = cursor.remaining() == 0;
            emit(&payload);
            first = 0x80;
        }
        Ok(())
    }
}
