//! What one payload of AV1 tells.

use crate::bits::Bits;
use crate::glance::Glance;
use crate::params::{ParameterSetKind, ParameterSets};

#[derive(Clone, Debug, Default)]
pub(crate) struct Av1 {
    sets: ParameterSets,
}

impl Av1 {
    pub(crate) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    pub(crate) fn look(&mut self, payload: &[u8]) -> Glance {
        let Some((&aggregation, mut rest)) = payload.split_first() else {
            return Glance::default();
        };
        let continues = aggregation & 0x80 != 0;
        let unfinished = aggregation & 0x40 != 0;
        let count = aggregation >> 4 & 0x03;
        let new_sequence = aggregation & 0x08 != 0;

        let mut glance = Glance { picture: continues, ..Glance::default() };
        let mut key_frame = false;
        let mut index = 0_u8;
        while !rest.is_empty() {
            // With a count, the last element has no length.
            let last = count != 0 && index + 1 >= count;
            let element = if last { std::mem::take(&mut rest) } else { take_element(&mut rest) };
            let whole = !(unfinished && rest.is_empty());
            if !(continues && index == 0) {
                key_frame |= self.unit(element, whole, &mut glance).unwrap_or(false);
            }
            // Without a count there may be any number; only 1 to 3 are ever compared.
            index = index.saturating_add(1);
        }
        // N promises a sequence header and a key frame; some senders never set it.
        let marked = new_sequence && !continues;
        glance.begins |= marked;
        glance.random_access = marked || (glance.parameter_sets && key_frame);
        glance
    }

    /// Looks at one OBU, or its beginning; `true` if it begins a key frame.
    fn unit(&mut self, unit: &[u8], whole: bool, glance: &mut Glance) -> Option<bool> {
        let (&header, mut body) = unit.split_first()?;
        if header & 0x04 != 0 {
            body = body.get(1..)?;
        }
        if header & 0x02 != 0 {
            read_leb128(&mut body)?;
        }
        match header >> 3 & 0x0f {
            SEQUENCE_HEADER => {
                glance.parameter_sets = true;
                glance.begins = true;
                if whole {
                    // One element, which begins a sequence.
                    self.sets.keep(ParameterSetKind::Configuration, 0, &[&[0x18], unit]);
                }
            }
            TEMPORAL_DELIMITER => glance.begins = true,
            FRAME_HEADER | FRAME => {
                glance.picture = true;
                let mut bits = Bits::plain(body);
                // show_existing_frame, frame_type; 0 is a key frame (section 5.9.2).
                return Some(bits.bits(3)? == 0);
            }
            TILE_GROUP => glance.picture = true,
            _ => {}
        }
        Some(false)
    }
}

/// Takes an element with its length from the beginning; what is cut short is given as far as it
/// goes, and nothing is left behind it.
pub(super) fn take_element<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let Some(size) = read_leb128(rest) else {
        *rest = &[];
        return &[];
    };
    let (element, after) = rest.split_at(size.min(rest.len()));
    *rest = after;
    element
}

/// At most four bytes: no payload is longer.
fn read_leb128(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for shift in [0, 7, 14, 21] {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

pub(super) const SEQUENCE_HEADER: u8 = 1;
pub(super) const TEMPORAL_DELIMITER: u8 = 2;
const FRAME_HEADER: u8 = 3;
const TILE_GROUP: u8 = 4;
const FRAME: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    fn look(payload: &str) -> (Glance, Vec<Vec<u8>>) {
        let mut codec = Av1::default();
        let glance = codec.look(&hex(payload));
        (glance, codec.sets.payloads().map(|p| p.to_vec()).collect())
    }

    #[test]
    fn the_first_packet_of_a_sequence_is_a_key() {
        // two elements: a sequence header of 3 bytes, a key frame
        let (glance, sets) = look("28 03 08 00 11 30 10");
        assert!(glance.random_access && glance.parameter_sets && glance.begins && glance.picture);
        assert_eq!(sets, [hex("18 08 00 11")]);
    }

    #[test]
    fn a_key_frame_behind_a_sequence_header_is_a_key_without_the_flag() {
        assert!(look("20 03 08 00 11 30 10").0.random_access);
        assert!(look("00 03 08 00 11 02 30 10").0.random_access, "elements without a count");
        assert!(!look("20 03 08 00 11 30 20").0.random_access, "an inter frame");
        assert!(!look("20 03 08 00 11 30 80").0.random_access, "an existing frame shown");
        assert!(!look("10 30 10").0.random_access, "a key frame without sequence header");
    }

    #[test]
    fn headers_with_extension_and_size_are_read() {
        let (glance, sets) = look("20 04 0a 02 00 11 36 08 01 10");
        assert!(glance.random_access && glance.picture);
        assert_eq!(sets, [hex("18 0a 02 00 11")]);
    }

    #[test]
    fn a_continued_element_is_not_looked_into() {
        let (glance, sets) = look("98 08 00 11");
        assert_eq!(glance, Glance::within());
        assert!(sets.is_empty());
        let (cut, sets) = look("58 08 00 11");
        assert!(cut.parameter_sets && sets.is_empty(), "half a sequence header is not kept");
    }
}
