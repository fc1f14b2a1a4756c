//! Bytes that are in several pieces, read as if they were in one.

use bytes::Bytes;

/// A run of bytes that is spread over slices of received packets.
#[derive(Clone, Copy, Debug)]
pub struct Slices<'a> {
    slices: &'a [Bytes],
}

impl<'a> Slices<'a> {
    /// What these slices hold, one after the other.
    pub const fn new(slices: &'a [Bytes]) -> Self {
        Self { slices }
    }

    /// The slices themselves.
    pub const fn as_slices(self) -> &'a [Bytes] {
        self.slices
    }

    /// How many bytes there are in all.
    pub fn len(self) -> usize {
        self.slices.iter().map(Bytes::len).sum()
    }

    /// Whether there is no byte.
    pub fn is_empty(self) -> bool {
        self.slices.iter().all(Bytes::is_empty)
    }

    /// A place at the first byte, to read from.
    pub fn cursor(self) -> Cursor<'a> {
        Cursor { current: &[], rest: self.slices, remaining: self.len() }
    }

    /// The first `N` bytes.
    pub fn first_chunk<const N: usize>(self) -> Option<[u8; N]> {
        // Nearly always they stand in one slice.
        if let Some(chunk) = self.slices.first().and_then(|first| first.first_chunk()) {
            return Some(*chunk);
        }
        self.cursor().chunk()
    }

    /// Whether these are the last bytes.
    pub fn ends_with(self, end: &[u8]) -> bool {
        let bytes = self.slices.iter().rev().flat_map(|slice| slice.iter().rev());
        let mut wanted = end.iter().rev();
        // Stops where all of `end` was found, or at the first byte that differs.
        !bytes.zip(wanted.by_ref()).any(|(byte, wanted)| byte != wanted) && wanted.next().is_none()
    }

    /// All bytes in one piece, copied.
    pub fn to_vec(self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        self.append_to(&mut all);
        all
    }

    /// Copies all bytes to the end of `buffer`.
    pub fn append_to(self, buffer: &mut Vec<u8>) {
        for slice in self.slices {
            buffer.extend_from_slice(slice);
        }
    }

    /// All bytes in one piece; copied only if they are not.
    pub fn to_bytes(self) -> Bytes {
        match self.slices {
            [] => Bytes::new(),
            [only] => only.clone(),
            _ => self.to_vec().into(),
        }
    }
}

impl PartialEq for Slices<'_> {
    /// Equal bytes are equal, however they are cut.
    fn eq(&self, other: &Self) -> bool {
        let (mut left, mut right) = (self.cursor(), other.cursor());
        if left.remaining() != right.remaining() {
            return false;
        }
        loop {
            let (a, b) = (left.chunk_at(), right.chunk_at());
            let count = a.len().min(b.len());
            if count == 0 {
                return true;
            }
            if a.get(..count) != b.get(..count) {
                return false;
            }
            left.skip(count);
            right.skip(count);
        }
    }
}

impl Eq for Slices<'_> {}

/// A place in [`Slices`].
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    current: &'a [u8],
    rest: &'a [Bytes],
    remaining: usize,
}

impl<'a> Cursor<'a> {
    /// How many bytes follow.
    pub const fn remaining(&self) -> usize {
        self.remaining
    }

    /// The bytes that follow in the same slice; empty only at the end.
    pub fn chunk_at(&mut self) -> &'a [u8] {
        while self.current.is_empty() {
            let Some((first, rest)) = self.rest.split_first() else { break };
            self.current = first;
            self.rest = rest;
        }
        self.current
    }

    /// Takes up to `count` bytes that stand together.
    fn take_chunk(&mut self, count: usize) -> &'a [u8] {
        let chunk = self.chunk_at();
        let (taken, left) = chunk.split_at_checked(count).unwrap_or((chunk, &[]));
        self.current = left;
        self.remaining -= taken.len();
        taken
    }

    /// Hands over the next `count` bytes, or as many as there are, piece by piece.
    pub fn take(&mut self, count: usize, mut piece: impl FnMut(&'a [u8])) {
        let mut left = count;
        while left > 0 {
            let taken = self.take_chunk(left);
            if taken.is_empty() {
                return;
            }
            left -= taken.len();
            piece(taken);
        }
    }

    /// Passes over `count` bytes, or as many as there are.
    pub fn skip(&mut self, count: usize) {
        self.take(count, |_| {});
    }

    /// Takes one byte.
    pub fn byte(&mut self) -> Option<u8> {
        self.take_chunk(1).first().copied()
    }

    /// Takes `N` bytes; none if there are fewer.
    pub fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.remaining < N {
            return None;
        }
        let mut chunk = [0; N];
        for byte in &mut chunk {
            *byte = self.byte()?;
        }
        Some(chunk)
    }

    /// Takes a number of 16 bits, most significant byte first.
    pub fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&'static [u8]]) -> Vec<Bytes> {
        parts.iter().copied().map(Bytes::from_static).collect()
    }

    #[test]
    fn equal_bytes_are_equal_however_they_are_cut() {
        let one = cut(&[&[1, 2, 3, 4, 5]]);
        let many = cut(&[&[1], &[], &[2, 3], &[4, 5], &[]]);
        assert_eq!(Slices::new(&one), Slices::new(&many));
        assert_eq!(Slices::new(&many).to_vec(), [1, 2, 3, 4, 5]);
        for (end, is_end) in [(&[][..], true), (&[3, 4, 5], true), (&[3, 5], false)] {
            assert_eq!(Slices::new(&many).ends_with(end), is_end);
        }
        assert!(!Slices::new(&many).ends_with(&[0, 1, 2, 3, 4, 5]));
        assert_ne!(Slices::new(&one), Slices::new(&cut(&[&[1, 2], &[3, 4, 6]])));
        assert_ne!(Slices::new(&one), Slices::new(&cut(&[&[1, 2, 3, 4]])));
    }

    #[test]
    fn a_cursor_reads_across_cuts_and_not_beyond_the_end() {
        let parts = cut(&[&[1], &[], &[2, 3], &[4, 5]]);
        assert_eq!(Slices::new(&parts).first_chunk(), Some([1, 2, 3, 4]));
        let mut cursor = Slices::new(&parts).cursor();
        assert_eq!(cursor.u16(), Some(0x0102));
        let mut taken = Vec::new();
        cursor.take(2, |piece| taken.push(piece.to_vec()));
        assert_eq!(taken, [vec![3], vec![4]]);
        assert_eq!((cursor.u16(), cursor.byte(), cursor.byte()), (None, Some(5), None));
        cursor.skip(9);
        assert_eq!(cursor.remaining(), 0);
    }

    #[test]
    fn one_slice_is_shared_and_several_are_joined() {
        let one = cut(&[&[1, 2]]);
        assert_eq!(Slices::new(&one).to_bytes().as_ptr(), one[0].as_ptr());
        assert_eq!(Slices::new(&cut(&[&[1], &[2]])).to_bytes(), one[0]);
    }
}
