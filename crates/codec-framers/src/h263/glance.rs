//! What one payload of H.263 tells (RFC 4629, RFC 2190).

use crate::bits::Bits;
use crate::glance::Glance;
use crate::nal::skip;

/// RFC 4629 section 5: the two zero bytes of a start code are left out and stand for the P bit.
pub(crate) fn look_plus(payload: &[u8]) -> Glance {
    let Some((&[first, second], rest)) = payload.split_first_chunk() else {
        return Glance::default();
    };
    if first & 0x04 == 0 {
        return Glance::within();
    }
    let redundancy = usize::from(first & 0x02 != 0);
    let picture_header = usize::from((first & 0x01) << 5 | second >> 3);
    picture(skip(rest, redundancy + picture_header))
}

/// RFC 2190 section 5: three modes of header, told apart by the first two bits.
pub(crate) fn look(payload: &[u8]) -> Glance {
    let length = match payload.first() {
        None => return Glance::default(),
        Some(first) if first & 0x80 == 0 => 4,
        Some(first) if first & 0x40 == 0 => 8,
        Some(_) => 12,
    };
    match skip(payload, length) {
        [0, 0, rest @ ..] => picture(rest),
        _ => Glance::within(),
    }
}

/// What follows 16 zero bits: a picture's header, or that of a group of blocks or slice.
pub(super) fn picture(rest: &[u8]) -> Glance {
    if rest.first().is_none_or(|first| first & 0xfc != 0x80) {
        return Glance::within();
    }
    let random_access = is_intra(rest).unwrap_or(false);
    Glance { random_access, begins: true, ..Glance::within() }
}

/// H.263 sections 5.1.3 and 5.1.4.
fn is_intra(rest: &[u8]) -> Option<bool> {
    const EXTENDED: u32 = 7;
    let mut bits = Bits::plain(rest);
    // The rest of the start code, the temporal reference, five flags.
    bits.skip(6 + 8 + 5)?;
    if bits.bits(3)? != EXTENDED {
        return Some(bits.bit()? == 0);
    }
    if bits.bits(3)? == 1 {
        bits.skip(18)?;
    }
    Some(bits.bits(3)? == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn an_intra_picture_is_a_key() {
        // start code, reference 0, flags 1 0 0 0 0, format 2, coding type
        for (payload, key) in [("04 00 80 02 08", true), ("04 00 80 02 0a", false)] {
            let glance = look_plus(&hex(payload));
            assert_eq!((glance.random_access, glance.begins), (key, true), "{payload}");
        }
        assert!(look_plus(&hex("06 10 aa 1111 80 02 08")).random_access, "behind redundancy");
    }

    #[test]
    fn the_extended_picture_type_is_read() {
        // format 7, then UFEP 0 and type 0 or 1
        assert!(look_plus(&hex("04 00 80 02 1c 00")).random_access);
        assert!(!look_plus(&hex("04 00 80 02 1c 10")).random_access);
        // UFEP 1: 18 bits more
        assert!(look_plus(&hex("04 00 80 02 1c 80 00 00")).random_access);
        assert!(!look_plus(&hex("04 00 80 02 1c 80 00 08")).random_access);
    }

    #[test]
    fn groups_of_blocks_and_continuations_begin_nothing() {
        assert_eq!(look_plus(&hex("04 00 84 02 08")), Glance::within());
        assert_eq!(look_plus(&hex("00 00 80 02 08")), Glance::within());
        assert_eq!(look_plus(&hex("04")), Glance::default());
    }

    #[test]
    fn the_older_format_keeps_its_start_codes() {
        assert!(look(&hex("00 40 00 00 00 00 80 02 08")).random_access);
        assert!(!look(&hex("00 50 00 00 00 00 80 02 0a")).random_access);
        assert!(look(&hex("80 00 00 00 00 00 00 00 00 00 80 02 08")).random_access);
        assert_eq!(look(&hex("c0 00 00 00 00 00 80 02 08")), Glance::within());
    }
}
