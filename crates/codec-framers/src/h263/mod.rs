//! H.263 (RFC 4629 for `H263-1998` and `H263-2000`, RFC 2190 for `H263`).
//!
//! A unit is a picture, as in a byte stream. Pictures are cut at the start codes of groups of
//! blocks and slices as far as these are near enough; else anywhere, which decoders take, but
//! cannot resume at after a loss.

pub(crate) mod glance;

use bytes::Bytes;

use crate::access_unit::AccessUnit;
use crate::bits::Bits;
use crate::depacketizer::DepacketizeError;
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::parts::{Part, PartFormat, cut, join_bits, part_depacketizer, windows};

/// `H263-1998` and `H263-2000` (RFC 4629).
pub mod plus {
    use super::*;

    part_depacketizer! {
        /// Gives pictures.
        Plus, Plus
    }

    #[derive(Clone, Debug)]
    struct Plus;

    impl PartFormat for Plus {
        const RESUMES: bool = true;

        fn part(
            &mut self,
            packet: &Packet,
            _open: Option<&mut AccessUnit>,
        ) -> Result<Part, DepacketizeError> {
            let Some(&[first, second]) = packet.payload.first_chunk() else {
                return Err(DepacketizeError::Malformed("H.263 payload header"));
            };
            // A byte for redundancy, and a copy of the picture's header.
            let more = usize::from(first & 0x02 != 0) + usize::from((first & 1) << 5 | second >> 3);
            if 2 + more > packet.payload.len() {
                return Err(DepacketizeError::Malformed("H.263 payload header"));
            }
            let glance = glance::look_plus(&packet.payload);
            let zeros: &[u8] = if first & 0x04 != 0 { &[0, 0] } else { &[] };
            Ok(Part {
                prefix: Bytes::from_static(zeros),
                body: packet.payload.slice(2 + more..),
                begins: glance.begins,
                splits: glance.begins,
                picture: true,
                key: glance.random_access,
                ..Part::default()
            })
        }
    }

    /// Sends pictures, cut at start codes where there are any.
    #[derive(Clone, Debug, Default)]
    pub struct Packetizer;

    impl packetizer::Packetizer for Packetizer {
        fn packetize(
            &mut self,
            unit: &AccessUnit,
            limit: usize,
            emit: &mut dyn FnMut(&Payload<'_>),
        ) -> Result<(), PacketizeError> {
            let room = limit.clamp(MIN_LIMIT, MAX_PAYLOAD) - 2;
            let places = starts(unit);
            let mut ahead = places.as_slice();
            let mut starts = places.iter().peekable();
            let mut cursor = unit.data().cursor();
            let mut payload = Payload::new(unit.timestamp);
            let mut at = 0;
            while at < unit.len() {
                let to = cut(&mut ahead, at, room, unit.len());
                while starts.next_if(|&&start| start < at).is_some() {}
                // The two zero bytes of a start code are left out.
                let starts_here = starts.peek() == Some(&&at);
                payload.clear();
                payload.own(&[if starts_here { 0x04 } else { 0 }, 0]);
                let zeros = if starts_here { 2 } else { 0 };
                cursor.skip(zeros);
                payload.lend_from(&mut cursor, to - at - zeros);
                payload.marker = to == unit.len();
                emit(&payload);
                at = to;
            }
            Ok(())
        }
    }
}

part_depacketizer! {
    /// Gives pictures of `H263` (RFC 2190).
    H263, H263
}

#[derive(Clone, Debug)]
struct H263;

impl PartFormat for H263 {
    const RESUMES: bool = true;

    fn part(
        &mut self,
        packet: &Packet,
        open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let Some(&first) = packet.payload.first() else {
            return Err(DepacketizeError::Malformed("H.263 payload header"));
        };
        let header = match first >> 6 {
            0 | 1 => 4,
            2 => 8,
            _ => 12,
        };
        if packet.payload.len() < header {
            return Err(DepacketizeError::Malformed("H.263 payload header"));
        }
        let glance = glance::look(&packet.payload);
        let (prefix, body) = join_bits(first >> 3 & 7, open, packet.payload.slice(header..));
        Ok(Part {
            prefix,
            body,
            begins: glance.begins,
            splits: glance.begins,
            picture: true,
            key: glance.random_access,
            ..Part::default()
        })
    }
}

/// Sends pictures in mode A.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let room = limit.clamp(MIN_LIMIT, MAX_PAYLOAD) - 4;
        let header = mode_a(unit).ok_or(PacketizeError::Malformed("H.263 picture header"))?;
        let places = starts(unit);
        let mut ahead = places.as_slice();
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        let mut at = 0;
        while at < unit.len() {
            let to = cut(&mut ahead, at, room, unit.len());
            payload.clear();
            payload.own(&header);
            payload.lend_from(&mut cursor, to - at);
            payload.marker = to == unit.len();
            emit(&payload);
            at = to;
        }
        Ok(())
    }
}

/// What the header of a payload repeats of the picture's (RFC 2190 section 5.1): source format,
/// coding type, and the modes of vectors and arithmetic.
fn mode_a(unit: &AccessUnit) -> Option<[u8; 4]> {
    let start: [u8; 6] = unit.data().first_chunk()?;
    let mut bits = Bits::plain(&start);
    // Start code, temporal reference, five flags.
    bits.skip(22 + 8 + 5)?;
    Some([0, u8::try_from(bits.bits(7)? << 1).ok()?, 0, 0])
}

/// Where pictures, groups of blocks and slices start: two zero bytes and a bit.
fn starts(unit: &AccessUnit) -> Vec<usize> {
    windows(unit.data(), |four| four >> 15 == 1).into_iter().map(|(at, _)| at).collect()
}
