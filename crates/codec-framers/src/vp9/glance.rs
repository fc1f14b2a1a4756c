//! What one payload of VP9 tells.

use crate::bits::Bits;
use crate::glance::Glance;

pub(crate) fn look(payload: &[u8]) -> Glance {
    let Some(descriptor) = Descriptor::read(payload) else { return Glance::within() };
    let begins = descriptor.begins_frame && descriptor.spatial_layer == 0;
    // Intra-only frames are not predicted either, but a decoder cannot start at them.
    let key = begins && !descriptor.predicted && is_key_frame(descriptor.data).unwrap_or(false);
    Glance { random_access: key, begins, ..Glance::within() }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor<'a> {
    pub(super) predicted: bool,
    pub(super) begins_frame: bool,
    pub(super) spatial_layer: u8,
    pub(super) data: &'a [u8],
}

impl<'a> Descriptor<'a> {
    /// Section 4.2.
    pub(super) fn read(payload: &'a [u8]) -> Option<Self> {
        let mut rest = payload;
        let mut next = || {
            let (&byte, after) = rest.split_first()?;
            rest = after;
            Some(byte)
        };
        let flags = next()?;
        let [has_id, predicted, layered, flexible] =
            [0x80, 0x40, 0x20, 0x10].map(|bit| flags & bit != 0);
        let [begins_frame, structured] = [0x08, 0x02].map(|bit| flags & bit != 0);

        if has_id && next()? & 0x80 != 0 {
            next()?;
        }
        let mut spatial_layer = 0;
        if layered {
            spatial_layer = next()? >> 1 & 0x07;
            if !flexible {
                next()?;
            }
        }
        if flexible && predicted {
            // At most three differences; the lowest bit says that another follows.
            for _ in 0..3 {
                if next()? & 1 == 0 {
                    break;
                }
            }
        }
        if structured {
            let structure = next()?;
            if structure & 0x10 != 0 {
                for _ in 0..4 * (u16::from(structure >> 5) + 1) {
                    next()?;
                }
            }
            if structure & 0x08 != 0 {
                for _ in 0..next()? {
                    for _ in 0..next()? >> 2 & 0x03 {
                        next()?;
                    }
                }
            }
        }
        Some(Self { predicted, begins_frame, spatial_layer, data: rest })
    }
}

/// The first bits of the uncompressed header (VP9 bitstream specification, section 6.2).
pub(super) fn is_key_frame(data: &[u8]) -> Option<bool> {
    let mut bits = Bits::plain(data);
    if bits.bits(2)? != 2 {
        return None;
    }
    let profile = bits.bits(2)?;
    // The bits are written low first, but 3 is 3 either way.
    if profile == 3 {
        bits.skip(1)?;
    }
    let shows_existing = bits.bit()? == 1;
    let frame_type = bits.bit()?;
    Some(!shows_existing && frame_type == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn a_key_frame_is_found_behind_any_descriptor() {
        for descriptor in [
            "08",                          // beginning only
            "88 11",                       // short picture number
            "88 91 22",                    // long one
            "28 00 05",                    // layers, with TL0PICIDX
            "b8 91 22 00",                 // layers, flexible mode
            "8a 11 00",                    // structure, nothing in it
            "8a 11 18 0140 00f0 01 04 01", // structure with size and one picture
        ] {
            let key = look(&hex(&format!("{descriptor} 82 49 83 42")));
            assert!(key.random_access && key.begins, "{descriptor}");
            let other = look(&hex(&format!("{descriptor} 86 49 83 42")));
            assert!(!other.random_access && other.begins, "{descriptor}");
        }
    }

    #[test]
    fn predicted_frames_upper_layers_and_later_packets_are_no_keys() {
        assert!(!look(&hex("48 82 49 83")).random_access);
        assert!(!look(&hex("58 03 05 02 82 49 83")).random_access);
        assert!(!look(&hex("28 02 05 82 49 83")).random_access, "spatial layer 1");
        assert_eq!(look(&hex("04 82 49 83")), Glance::within());
        assert_eq!(look(&hex("88")), Glance::within());
    }
}
