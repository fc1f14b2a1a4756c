//! AV1 (RTP Payload Format For AV1, Alliance for Open Media).
//!
//! A unit is a temporal unit; its elements are OBUs as they are sent, without temporal
//! delimiters and commonly without size fields. [`to_obu_stream`] gives what decoders and files
//! take. An OBU of which a fragment is missing is left out.

mod depacketize;
pub(crate) mod glance;
mod packetize;

pub use self::depacketize::Depacketizer;
pub use self::packetize::Packetizer;
use crate::access_unit::AccessUnit;

/// A temporal unit as a byte stream (low overhead format, AV1 specification section 5.2): a
/// temporal delimiter, and each OBU with its size.
pub fn to_obu_stream(unit: &AccessUnit) -> Vec<u8> {
    let mut stream = vec![0x12, 0];
    for obu in unit.elements() {
        let mut cursor = obu.cursor();
        let Some(header) = cursor.byte() else { continue };
        if header & HAS_SIZE != 0 {
            obu.append_to(&mut stream);
            continue;
        }
        stream.push(header | HAS_SIZE);
        if header & HAS_EXTENSION != 0 {
            stream.extend(cursor.byte());
        }
        write_leb128(cursor.remaining(), |byte| stream.push(byte));
        cursor.take(usize::MAX, |piece| stream.extend_from_slice(piece));
    }
    stream
}

/// Writes a number in groups of seven bits, lowest first.
fn write_leb128(mut number: usize, mut put: impl FnMut(u8)) {
    while number > 0x7f {
        put(number as u8 | 0x80);
        number >>= 7;
    }
    put(number as u8);
}

const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;
