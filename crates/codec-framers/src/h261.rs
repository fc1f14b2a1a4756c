//! H.261 (RFC 4587).
//!
//! A unit is a picture, as in a bit stream filled up to whole bytes. Pictures are cut at groups
//! of blocks as far as these are small enough; else anywhere, which decoders take, but cannot
//! resume at after a loss.

use crate::access_unit::AccessUnit;
use crate::bits::Bits;
use crate::depacketizer::DepacketizeError;
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::parts::{Part, PartFormat, join_bits, part_depacketizer};

part_depacketizer! {
    /// Gives pictures. Which of them can be started at is not told by this codec's headers: all
    /// count as keys.
    H261, H261
}

#[derive(Clone, Debug)]
struct H261;

impl PartFormat for H261 {
    const RESUMES: bool = true;

    fn part(
        &mut self,
        packet: &Packet,
        open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let Some((&[first, _, _, _], data)) = packet.payload.split_first_chunk() else {
            return Err(DepacketizeError::Malformed("H.261 header"));
        };
        let shared = first >> 5;
        let mut bits = Bits::plain(data);
        // A start code of 16 bits, and group 0, which is the picture.
        let begins = bits.skip(u32::from(shared)).and_then(|()| bits.bits(20)) == Some(0x10);
        let (prefix, body) = join_bits(shared, open, packet.payload.slice_ref(data));
        let (splits, picture, key) = (begins, true, true);
        Ok(Part { prefix, body, begins, splits, picture, key, ..Part::default() })
    }
}

/// Sends pictures.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        // One byte less: the last one may be in the next payload too.
        let room = limit.clamp(MIN_LIMIT, MAX_PAYLOAD) - 5;
        let groups = groups(unit);
        let mut ahead = groups.as_slice();
        let mut whole = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        // Where this payload begins, in bits.
        let mut at = 0;
        let end = unit.len() * 8;
        while at < end {
            let most = (at / 8 + room) * 8;
            let within = ahead.partition_point(|&group| group <= most);
            let last = ahead.get(..within).and_then(<[usize]>::last).copied();
            ahead = ahead.get(within..).unwrap_or_default();
            let to = match last {
                _ if most >= end => end,
                Some(group) if group > at => group,
                _ => most,
            };
            let (skipped, left) = (at % 8, (8 - to % 8) % 8);
            payload.clear();
            // Bits of the first and last byte that are not meant, and that vectors may be used.
            payload.own(&[(skipped << 5 | left << 2 | 1) as u8, 0, 0, 0]);
            let bytes = to.div_ceil(8) - at / 8;
            let mut here = whole.clone();
            payload.lend_from(&mut here, bytes);
            whole.skip(to / 8 - at / 8);
            payload.marker = to == end;
            emit(&payload);
            at = to;
        }
        Ok(())
    }
}

/// The places, in bits, of all start codes: 15 zeros and a one.
fn groups(unit: &AccessUnit) -> Vec<usize> {
    let mut found = Vec::new();
    let mut zeros = 0;
    let mut at = 0;
    for slice in unit.data().as_slices() {
        for &byte in slice.iter() {
            if byte == 0 {
                zeros += 8;
            } else {
                let leading = byte.leading_zeros() as usize;
                if zeros + leading >= 15 {
                    found.push(at + leading - 15);
                }
                zeros = byte.trailing_zeros() as usize;
            }
            at += 8;
        }
    }
    found
}
