//! What H.264, H.265 and H.266 have in common.

pub(crate) mod frame;
pub(crate) mod order;
pub(crate) mod split;
pub(crate) mod stream;
pub(crate) mod wide;

use crate::bits::Bits;
use crate::params::MAX_PARAMETER_SET_BYTES;

/// Splits a payload at start codes, which some cameras leave in: they put several units into one
/// packet as they stand in a byte stream. Zeros at the end of a unit are cut off.
pub(crate) fn units(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(payload);
    std::iter::from_fn(move || {
        loop {
            let bytes = rest?;
            let unit = match bytes.windows(3).position(|three| three == [0, 0, 1]) {
                Some(at) => {
                    rest = bytes.get(at + 3..);
                    bytes.get(..at)?
                }
                None => {
                    rest = None;
                    bytes
                }
            };
            let end = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let unit = unit.get(..end).unwrap_or_default();
            if !unit.is_empty() {
                return Some(unit);
            }
        }
    })
}

/// Takes a unit from the beginning of an aggregate: its 16 bit length, `between` bytes that do
/// not count, the unit. A last unit that is cut short is given as far as it goes.
pub(crate) fn take_sized<'a>(rest: &mut &'a [u8], between: usize) -> Option<&'a [u8]> {
    let (&[high, low], after) = rest.split_first_chunk()?;
    let after = skip(after, between);
    let size = usize::from(u16::from_be_bytes([high, low])).min(after.len());
    let (unit, after) = after.split_at_checked(size)?;
    *rest = after;
    Some(unit)
}

/// Cuts off the first `count` bytes; all of them if there are fewer.
pub(crate) fn skip(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(count..).unwrap_or_default()
}

/// Whether a supplemental enhancement information unit, its NAL header cut off, holds a recovery
/// point (payload type 6 in annex D of H.264 and of H.265).
pub(crate) fn has_recovery_point(sei: &[u8]) -> bool {
    const RECOVERY_POINT: u32 = 6;
    /// More messages than this in one unit are nobody's.
    const MAX_MESSAGES: usize = 32;

    let mut bits = Bits::escaped(sei);
    for _ in 0..MAX_MESSAGES {
        let (Some(kind), Some(size)) = (sei_number(&mut bits), sei_number(&mut bits)) else {
            return false;
        };
        if kind == RECOVERY_POINT {
            return size > 0;
        }
        if bits.skip(size.saturating_mul(8)).is_none() {
            return false;
        }
    }
    false
}

/// A sum of bytes that goes on as long as they are 255.
fn sei_number(bits: &mut Bits<'_>) -> Option<u32> {
    let mut sum = 0_u32;
    loop {
        let byte = bits.byte()?;
        sum = sum.saturating_add(u32::from(byte));
        if byte != u8::MAX {
            return Some(sum);
        }
    }
}

/// What came before a picture and may make it one to start at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lead {
    /// Nothing that matters.
    #[default]
    Nothing,
    /// A sequence parameter set: a picture of I slices can be started at.
    Sequence,
    /// A recovery point: any picture can be started at.
    RecoveryPoint,
}

/// A parameter set that comes in fragments, while it does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fragments {
    bytes: Vec<u8>,
    open: bool,
}

impl Fragments {
    /// Takes the first fragment: the unit's own header and what follows.
    pub(crate) fn begin(&mut self, header: &[u8], body: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(header);
        self.open = true;
        self.add(body);
    }

    /// Takes a further fragment; without a first one, or beyond the length that is kept, it is
    /// passed over.
    pub(crate) fn add(&mut self, body: &[u8]) {
        if self.bytes.len() + body.len() > MAX_PARAMETER_SET_BYTES {
            self.open = false;
        }
        if self.open {
            self.bytes.extend_from_slice(body);
        }
    }

    /// The unit, if all of it was there.
    pub(crate) fn finish(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.open).then(|| std::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_split_and_zeros_at_the_end_go() {
        let stream = [0, 0, 0, 1, 0x67, 7, 0, 0, 0, 1, 0x68, 0, 0, 1, 0, 0, 1, 0x65, 5, 0];
        let found: Vec<_> = units(&stream).collect();
        assert_eq!(found, [&[0x67, 7][..], &[0x68], &[0x65, 5]]);
        assert_eq!(units(&[]).count() + units(&[0, 0]).count() + units(&[0, 0, 1]).count(), 0);
    }

    #[test]
    fn a_recovery_point_is_found_behind_other_messages() {
        // user data of 3 bytes, then the recovery point
        assert!(has_recovery_point(&[5, 3, 1, 2, 3, 6, 1, 0x84, 0x80]));
        assert!(has_recovery_point(&[6, 1, 0x84, 0x80]));
        assert!(!has_recovery_point(&[5, 3, 6, 6, 6, 0x80]));
        assert!(!has_recovery_point(&[5, 200, 6, 1]));
        // a length of 255 + 1
        let long: Vec<u8> =
            [5, 255, 1].into_iter().chain(std::iter::repeat_n(6, 256)).chain([6, 1]).collect();
        assert!(has_recovery_point(&long));
    }

    #[test]
    fn an_aggregate_that_is_cut_short_gives_what_is_there() {
        let mut rest = &[0, 2, 1, 2, 0, 9, 3, 4, 5][..];
        assert_eq!(take_sized(&mut rest, 0), Some(&[1, 2][..]));
        assert_eq!(take_sized(&mut rest, 2), Some(&[5][..]));
        assert_eq!(take_sized(&mut rest, 2), None);
        assert_eq!(take_sized(&mut &[0, 1, 7][..], 4), Some(&[][..]));
    }

    #[test]
    fn fragments_are_put_together_only_from_the_first_on() {
        let mut fragments = Fragments::default();
        fragments.add(&[9]);
        assert_eq!(fragments.finish(), None);
        fragments.begin(&[0x67], &[1]);
        fragments.add(&[2]);
        assert_eq!(fragments.finish(), Some(vec![0x67, 1, 2]));
        fragments.begin(&[0x67], &[0; MAX_PARAMETER_SET_BYTES]);
        fragments.add(&[1]);
        assert_eq!(fragments.finish(), None);
    }
}
