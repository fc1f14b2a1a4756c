//! What one payload of VP8 tells.

use crate::glance::Glance;

pub(crate) fn look(payload: &[u8]) -> Glance {
    let Some((start, data)) = read_descriptor(payload) else { return Glance::within() };
    // The lowest bit of the first byte of a frame: 0 in key frames (RFC 6386 section 9.1).
    let key = start && data.first().is_some_and(|first| first & 1 == 0);
    Glance { random_access: key, begins: start, ..Glance::within() }
}

/// Whether the packet begins a frame, and what follows the descriptor (section 4.2).
pub(super) fn read_descriptor(payload: &[u8]) -> Option<(bool, &[u8])> {
    let (&first, mut rest) = payload.split_first()?;
    let start = first & 0x10 != 0 && first & 0x07 == 0;
    if first & 0x80 != 0 {
        let (&extended, after) = rest.split_first()?;
        rest = after;
        if extended & 0x80 != 0 {
            let (&id, after) = rest.split_first()?;
            rest = if id & 0x80 == 0 { after } else { after.get(1..)? };
        }
        if extended & 0x40 != 0 {
            rest = rest.get(1..)?;
        }
        if extended & 0x30 != 0 {
            rest = rest.get(1..)?;
        }
    }
    Some((start, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn a_key_frame_is_found_behind_any_descriptor() {
        for descriptor in
            ["10", "90 00", "90 80 11", "90 80 91 22", "90 40 01", "90 20 01", "90 f0 91 22 01 02"]
        {
            let key = look(&hex(&format!("{descriptor} 50 9d 01 2a")));
            assert!(key.random_access && key.begins && key.picture, "{descriptor}");
            let other = look(&hex(&format!("{descriptor} 51 9d 01 2a")));
            assert!(!other.random_access && other.begins, "{descriptor}");
        }
    }

    #[test]
    fn a_later_packet_or_partition_begins_nothing() {
        assert_eq!(look(&hex("00 50 9d")), Glance::within());
        assert_eq!(look(&hex("11 50 9d")), Glance::within());
        assert_eq!(look(&hex("90 80")), Glance::within());
    }
}
