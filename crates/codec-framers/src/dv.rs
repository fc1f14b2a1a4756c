//! DV (RFC 6469).
//!
//! A unit is a frame of DIF blocks of 80 bytes.

use crate::access_unit::AccessUnit;
use crate::depacketizer::DepacketizeError;
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, PacketizeError, Payload};
use crate::parts::{Part, PartFormat, part_depacketizer};

/// The length of a DIF block.
pub const DIF_BLOCK: usize = 80;

part_depacketizer! {
    /// Gives frames. Each block says where it belongs, so that decoders resume behind a hole.
    Dv, Dv
}

#[derive(Clone, Debug)]
struct Dv;

impl PartFormat for Dv {
    const RESUMES: bool = true;

    fn part(
        &mut self,
        packet: &Packet,
        _open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let payload = &packet.payload;
        if payload.is_empty() || !payload.len().is_multiple_of(DIF_BLOCK) {
            return Err(DepacketizeError::Malformed("no whole number of DIF blocks"));
        }
        // Section type 0 is the header; the first of the first DIF sequence.
        let begins =
            matches!(**payload, [kind, sequence, ..] if kind >> 5 == 0 && sequence >> 4 == 0);
        // Frames of two channels have two such headers.
        let splits = false;
        let (body, picture, key) = (payload.clone(), true, true);
        Ok(Part { body, begins, splits, picture, key, ..Part::default() })
    }
}

/// Sends as many DIF blocks in a payload as fit.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        if !unit.len().is_multiple_of(DIF_BLOCK) {
            return Err(PacketizeError::Malformed("no whole number of DIF blocks"));
        }
        let room = (limit.min(MAX_PAYLOAD) / DIF_BLOCK).max(1) * DIF_BLOCK;
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        while cursor.remaining() > 0 {
            payload.clear();
            payload.lend_from(&mut cursor, room);
            payload.marker = cursor.remaining() == 0;
            emit(&payload);
        }
        Ok(())
    }
}
