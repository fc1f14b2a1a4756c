//! What is read of a sequence parameter set (H.264 section 7.3.2.1.1).

use crate::bits::Bits;

/// Whether all pictures are frames (`frame_mbs_only_flag`); `None` if that cannot be read.
/// `body` follows the NAL unit's header.
pub(super) fn has_frames_only(body: &[u8]) -> Option<bool> {
    let mut bits = Bits::escaped(body);
    let profile = bits.byte()?;
    bits.skip(16)?;
    bits.ue()?;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        let chroma = bits.ue()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.ue()?;
        bits.ue()?;
        bits.bit()?;
        if bits.bit()? == 1 {
            let lists = if chroma == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.bit()? == 1 {
                    skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.ue()?;
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.bit()?;
            bits.ue()?;
            bits.ue()?;
            for _ in 0..bits.ue()?.min(255) {
                bits.ue()?;
            }
        }
        _ => {}
    }
    bits.ue()?;
    bits.bit()?;
    bits.ue()?;
    bits.ue()?;
    Some(bits.bit()? == 1)
}

/// Section 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Option<()> {
    let (mut last, mut next) = (8_i64, 8_i64);
    for _ in 0..size {
        if next != 0 {
            let code = i64::from(bits.ue()?);
            let delta = if code & 1 == 1 { (code + 1) / 2 } else { -(code / 2) };
            next = (last + delta).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn frames_and_fields_are_told_apart() {
        // Made by x264 at 320x240.
        let progressive = hex("f4000d919b28283f6022000003000200000300641e28532c");
        let interlaced = hex("f40015919b282821f89c0440000003004000000c87c50a6580");
        assert_eq!(has_frames_only(&progressive), Some(true));
        assert_eq!(has_frames_only(&interlaced), Some(false));
        assert_eq!(has_frames_only(&[0x4d, 0x40]), None);
    }
}
