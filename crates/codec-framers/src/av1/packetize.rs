//! Payloads out of temporal units.

use smallvec::SmallVec;

use super::write_leb128;
use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::slices::Cursor;

/// Sends OBUs in their order, several together and large ones in fragments.
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
        let mut elements = unit.elements().filter(|obu| !obu.is_empty()).map(|obu| obu.cursor());
        let mut payload = Payload::new(unit.timestamp);
        let mut next = elements.next();
        // A coded video sequence begins with a key unit.
        let mut flags = if unit.key { 0x08 } else { 0 };
        while next.is_some() {
            // Each element behind its length, though the last may have none.
            let mut room = limit - 1;
            let mut group: SmallVec<[(Cursor<'_>, usize); 4]> = SmallVec::new();
            while let Some(mut cursor) = next.take() {
                let size = cursor.remaining();
                if length_of(size) + size <= room {
                    room -= length_of(size) + size;
                    group.push((cursor, size));
                    next = elements.next();
                    continue;
                }
                if room >= WORTHWHILE {
                    let part = room - length_of(room);
                    group.push((cursor.clone(), part));
                    cursor.skip(part);
                    flags |= 0x40;
                }
                next = Some(cursor);
                break;
            }
            let count = group.len();
            // Two bits: more than three elements are not counted, and all have their length.
            let counted = if count <= 3 { count as u8 } else { 0 };
            payload.clear();
            payload.own(&[flags | counted << 4]);
            for (at, (mut cursor, size)) in group.into_iter().enumerate() {
                if counted == 0 || at + 1 < count {
                    write_leb128(size, |byte| payload.own(&[byte]));
                }
                payload.lend_from(&mut cursor, size);
            }
            payload.marker = next.is_none();
            emit(&payload);
            // The next packet goes on with what this one began.
            flags = if flags & 0x40 != 0 { 0x80 } else { 0 };
        }
        Ok(())
    }
}

/// How many bytes a length takes.
fn length_of(size: usize) -> usize {
    let mut bytes = 0;
    write_leb128(size, |_| bytes += 1);
    bytes
}

/// No fragment begins in less room than this.
const WORTHWHILE: usize = 16;
