//! Motion JPEG (RFC 2435) and JPEG 2000 (RFC 5371): every frame can be started at.

use crate::glance::Glance;

/// RFC 2435 section 3.1: type-specific byte, 24 bits of fragment offset.
pub(crate) fn look(payload: &[u8]) -> Glance {
    match payload {
        [_, 0, 0, 0, ..] => first(),
        _ => Glance::within(),
    }
}

/// RFC 5371 section 4.2: the last three of eight bytes are the fragment offset.
pub(crate) fn look_2000(payload: &[u8]) -> Glance {
    match payload {
        [_, _, _, _, _, 0, 0, 0, ..] => first(),
        _ => Glance::within(),
    }
}

fn first() -> Glance {
    Glance { random_access: true, begins: true, ..Glance::within() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn the_fragment_at_offset_zero_begins_a_frame() {
        assert!(look(&hex("00 000000 01 32 28 1e ff")).random_access);
        assert_eq!(look(&hex("00 000580 01 32 28 1e ff")), Glance::within());
        assert!(look_2000(&hex("30 ff 0000 00 000000 ff4f")).random_access);
        assert_eq!(look_2000(&hex("00 ff 0000 00 000500 ff")), Glance::within());
        assert_eq!(look(&hex("00 00")), Glance::within());
    }
}
