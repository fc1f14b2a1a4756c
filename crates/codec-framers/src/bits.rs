//! Bits of a payload, one after the other.

/// Reads bits from the most significant on. Every read is `None` beyond the end.
#[derive(Clone, Debug)]
pub(crate) struct Bits<'a> {
    rest: &'a [u8],
    /// Whether emulation prevention bytes are skipped; how many zero bytes precede.
    escaped: Option<u8>,
    current: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    /// Bits as they stand.
    pub(crate) fn plain(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, escaped: None, current: 0, left: 0 }
    }

    /// Bits of a NAL unit, without the 3 in 00 00 03 (H.264 section 7.4.1).
    pub(crate) fn escaped(bytes: &'a [u8]) -> Self {
        Self { escaped: Some(0), ..Self::plain(bytes) }
    }

    pub(crate) fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            self.current = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(u32::from(self.current >> self.left & 1))
    }

    /// At most 32 bits.
    pub(crate) fn bits(&mut self, count: u8) -> Option<u32> {
        (0..count).try_fold(0_u32, |value, _| Some(value << 1 | self.bit()?))
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.bits(8).and_then(|value| u8::try_from(value).ok())
    }

    pub(crate) fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(|_| ()))
    }

    /// An unsigned Exp-Golomb code (H.264 section 9.1).
    pub(crate) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0_u8;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        match &mut self.escaped {
            Some(zeros @ 2..) if byte == 3 => {
                *zeros = 0;
                return self.next_byte();
            }
            Some(zeros) if byte == 0 => *zeros = zeros.saturating_add(1),
            Some(zeros) => *zeros = 0,
            None => {}
        }
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        // 1, 010, 011, 00100, 00101 and one bit to fill up
        let mut bits = Bits::plain(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let codes: Vec<_> = (0..5).map(|_| bits.ue().unwrap()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn emulation_prevention_is_skipped_only_where_it_is_one() {
        let mut bits = Bits::escaped(&[0, 0, 3, 1, 3, 0, 0, 3]);
        let bytes: Vec<_> = std::iter::from_fn(|| bits.byte()).collect();
        assert_eq!(bytes, [0, 0, 1, 3, 0, 0]);
        assert_eq!(Bits::plain(&[0, 0, 3]).bits(24), Some(3));
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        assert_eq!(Bits::plain(&[0]).ue(), None);
        assert_eq!(Bits::plain(&[0; 8]).ue(), None);
        assert_eq!(Bits::plain(&[0xff]).bits(9), None);
    }
}
