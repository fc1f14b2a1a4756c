//! Payloads out of access units.

use sdp::Format;
use smallvec::SmallVec;

use super::kind::*;
use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::slices::Slices;

/// What a receiver takes (RFC 6184 section 6). Interleaved streams are not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PacketizationMode {
    /// Mode 0: each NAL unit in a payload of its own, however large.
    SingleNalUnit,
    /// Mode 1: small ones together (STAP-A), large ones in fragments (FU-A).
    #[default]
    NonInterleaved,
}

/// Sends NAL units in their order.
#[derive(Clone, Debug, Default)]
pub struct Packetizer {
    mode: PacketizationMode,
}

impl Packetizer {
    /// For receivers that know this mode.
    pub const fn new(mode: PacketizationMode) -> Self {
        Self { mode }
    }

    /// For receivers that know this description. Mode 2 means that mode 1 can be read too.
    pub fn for_format(format: &Format) -> Self {
        Self::new(match format.parameter("packetization-mode").map(str::trim) {
            Some("1" | "2") => PacketizationMode::NonInterleaved,
            _ => PacketizationMode::SingleNalUnit,
        })
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
        check(unit, self.mode)?;
        let mut elements = unit.elements().filter(|nal| !nal.is_empty()).peekable();
        let mut payload = Payload::new(unit.timestamp);
        while let Some(nal) = elements.next() {
            let size = nal.len();
            payload.clear();
            if self.mode == PacketizationMode::SingleNalUnit {
                payload.lend_all(nal);
            } else if size > limit {
                let last = elements.peek().is_none();
                fragment(nal, limit, last, &mut payload, emit);
                continue;
            } else {
                match that_fit(elements.clone(), limit.saturating_sub(1 + 2 + size)) {
                    0 => payload.lend_all(nal),
                    count => {
                        let group = std::iter::once(nal).chain(elements.by_ref().take(count));
                        aggregate(group, &mut payload);
                    }
                }
            }
            payload.marker = elements.peek().is_none();
            emit(&payload);
        }
        Ok(())
    }
}

fn check(unit: &AccessUnit, mode: PacketizationMode) -> Result<(), PacketizeError> {
    for nal in unit.elements() {
        let Some([first]) = nal.first_chunk() else { continue };
        // Not of the codec, but of the payload format.
        if !(1..STAP_A).contains(&(first & TYPE)) {
            return Err(PacketizeError::Malformed("NAL unit type"));
        }
        let have = nal.len();
        if mode == PacketizationMode::SingleNalUnit && have > MAX_PAYLOAD {
            return Err(PacketizeError::TooLarge { have, limit: MAX_PAYLOAD });
        }
    }
    Ok(())
}

/// How many of the next NAL units have room in the same aggregate.
fn that_fit<'a>(next: impl Iterator<Item = Slices<'a>>, mut room: usize) -> usize {
    next.take_while(|nal| match room.checked_sub(2 + nal.len()) {
        Some(left) => {
            room = left;
            true
        }
        None => false,
    })
    .count()
}

/// STAP-A (section 5.7.1): as important as the most important unit in it.
fn aggregate<'a>(group: impl Iterator<Item = Slices<'a>>, payload: &mut Payload<'a>) {
    let group: SmallVec<[Slices<'a>; 8]> = group.collect();
    let first = |nal: &Slices<'_>| nal.first_chunk().map_or(0, |[first]| first);
    let forbidden = group.iter().fold(0, |bits, nal| bits | first(nal) & FORBIDDEN);
    let importance = group.iter().map(|nal| first(nal) & IMPORTANCE).max().unwrap_or(0);
    payload.own(&[forbidden | importance | STAP_A]);
    for nal in group {
        // What is in an aggregate is shorter than a packet.
        payload.own(&(nal.len() as u16).to_be_bytes());
        payload.lend_all(nal);
    }
}

/// FU-A (section 5.8).
fn fragment<'a>(
    nal: Slices<'a>,
    limit: usize,
    last: bool,
    payload: &mut Payload<'a>,
    emit: &mut dyn FnMut(&Payload<'_>),
) {
    let mut cursor = nal.cursor();
    let Some(header) = cursor.byte() else { return };
    let mut start = 0x80;
    while cursor.remaining() > 0 {
        let body = limit - 2;
        let end = if cursor.remaining() <= body { 0x40 } else { 0 };
        payload.clear();
        payload.own(&[header & !TYPE | FU_A, start | end | header & TYPE]);
        payload.lend_from(&mut cursor, body);
        payload.marker = last && end != 0;
        emit(payload);
        start = 0;
    }
}
