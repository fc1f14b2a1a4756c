//! JPEG 2000 (RFC 5371).
//!
//! A unit is a codestream. After a hole the rest of it is left out.

use crate::access_unit::AccessUnit;
use crate::depacketizer::DepacketizeError;
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::parts::{Part, PartFormat, part_depacketizer, windows};

part_depacketizer! {
    /// Gives codestreams.
    Jpeg2000, Jpeg2000
}

#[derive(Clone, Debug)]
struct Jpeg2000;

impl PartFormat for Jpeg2000 {
    const RESUMES: bool = false;

    fn part(
        &mut self,
        packet: &Packet,
        open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let Some((&[_, _, _, _, _, a, b, c], data)) = packet.payload.split_first_chunk() else {
            return Err(DepacketizeError::Malformed("JPEG 2000 header"));
        };
        let offset = u32::from_be_bytes([0, a, b, c]) as usize;
        // The offset has 24 bits; codestreams may have more.
        if offset != 0 && open.is_some_and(|unit| unit.len() & 0x00ff_ffff != offset) {
            return Err(DepacketizeError::Malformed("JPEG 2000 fragment offset"));
        }
        let begins = offset == 0;
        Ok(Part {
            body: packet.payload.slice_ref(data),
            begins,
            splits: begins,
            picture: true,
            key: true,
            ..Part::default()
        })
    }
}

/// Sends codestreams as they are.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let room = limit.clamp(MIN_LIMIT, MAX_PAYLOAD) - 8;
        // Payloads end where tile parts do, so that each belongs to one tile, or to the main
        // header before the first.
        let tiles = windows(unit.data(), |four| four == START_OF_TILE);
        let mut ahead = tiles.iter().map(|(at, _)| *at).peekable();
        let header = ahead.peek().copied().unwrap_or(unit.len());
        let mut tile = None;
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        let mut at = 0;
        while at < unit.len() {
            if ahead.next_if_eq(&at).is_some() {
                let mut start = cursor.clone();
                start.skip(4);
                tile = start.u16();
            }
            let end = ahead.peek().copied().unwrap_or(unit.len());
            let to = (at + room).min(end);
            // Section 4.2: all of the main header, part of it, its end.
            let flags = match (at, to) {
                (0, to) if to == header => 3,
                (_, to) if to == header => 2,
                (_, to) if to < header => 1,
                _ => 0,
            };
            let [_, a, b, c] = ((at & 0x00ff_ffff) as u32).to_be_bytes();
            let [high, low] = tile.unwrap_or_default().to_be_bytes();
            payload.clear();
            // Priorities are not in use.
            payload.own(&[flags << 4 | u8::from(tile.is_none()), 255, high, low, 0, a, b, c]);
            payload.lend_from(&mut cursor, to - at);
            payload.marker = to == unit.len();
            emit(&payload);
            at = to;
        }
        Ok(())
    }
}

/// The marker of a tile part with the length of its segment.
const START_OF_TILE: u32 = 0xff90_000a;
