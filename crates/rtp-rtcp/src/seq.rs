//! Sequence numbers: those on the wire, which wrap, and those that do not.

/// A sequence number of the wire. It wraps, so there is no `Ord`: "less" has no meaning without a
/// reference.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Seq(pub u16);

impl Seq {
    /// How far `self` is ahead of `other`, -32768..=32767; negative if behind.
    pub const fn ahead_of(self, other: Self) -> i16 {
        self.0.wrapping_sub(other.0) as i16
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The number `count` further on.
    #[must_use]
    pub const fn plus(self, count: u16) -> Self {
        Self(self.0.wrapping_add(count))
    }
}

/// A sequence number that does not wrap: 2^64 packets are more than any stream lives to send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ExtSeq(pub u64);

impl ExtSeq {
    /// The low 16 bits, which are what goes on the wire.
    pub const fn seq(self) -> Seq {
        Seq(self.0 as u16)
    }

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    /// The number `count` further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How far `self` is ahead of `other`; negative if behind.
    pub const fn ahead_of(self, other: Self) -> i64 {
        self.0.wrapping_sub(other.0) as i64
    }
}

/// Extends sequence numbers of the wire: each is taken to lie within 2^15 of the highest so far.
///
/// The first value `s` becomes `2^16 + s`, so that earlier ones can be expressed too.
#[derive(Clone, Debug, Default)]
pub struct SeqUnwrapper {
    highest: Option<ExtSeq>,
    /// Added to numbers of the wire before they are compared: a restart of the source's numbers
    /// changes it and nothing else.
    shift: u16,
}

impl SeqUnwrapper {
    /// Starts with the next number, whatever it is.
    pub const fn new() -> Self {
        Self { highest: None, shift: 0 }
    }

    /// Extends `seq` and remembers it if it is the highest so far.
    pub fn unwrap(&mut self, seq: Seq) -> ExtSeq {
        let extended = self.peek(seq);
        self.highest = self.highest.max(Some(extended));
        extended
    }

    /// What [`SeqUnwrapper::unwrap`] would return, remembering nothing.
    pub fn peek(&self, seq: Seq) -> ExtSeq {
        let seq = seq.plus(self.shift);
        match self.highest {
            None => ExtSeq(FIRST_CYCLE + u64::from(seq.0)),
            // Never below zero: the highest number is at least 2^16.
            Some(highest) => {
                ExtSeq(highest.0.wrapping_add_signed(i64::from(seq.ahead_of(highest.seq()))))
            }
        }
    }

    /// The highest number so far.
    pub const fn highest(&self) -> Option<ExtSeq> {
        self.highest
    }

    /// The source's numbers begin anew at `seq`: it becomes the number after `last`, and what
    /// follows is extended from there.
    pub fn restart(&mut self, last: ExtSeq, seq: Seq) -> ExtSeq {
        let next = last.next();
        self.shift = next.seq().0.wrapping_sub(seq.0);
        self.highest = Some(next);
        next
    }

    /// Forgets numbers above `last`: nobody has been told them.
    pub(crate) const fn rewind(&mut self, last: ExtSeq) {
        self.highest = Some(last);
    }
}

const FIRST_CYCLE: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_number_leaves_room_for_earlier_ones() {
        let mut unwrapper = SeqUnwrapper::new();
        assert_eq!(unwrapper.unwrap(Seq(3)), ExtSeq(65_539));
        assert_eq!(unwrapper.unwrap(Seq(65_535)), ExtSeq(65_535));
        assert_eq!(unwrapper.highest(), Some(ExtSeq(65_539)));
    }

    #[test]
    fn peeking_remembers_nothing() {
        let mut unwrapper = SeqUnwrapper::new();
        unwrapper.unwrap(Seq(10));
        assert_eq!(unwrapper.peek(Seq(30_000)), ExtSeq(65_536 + 30_000));
        assert_eq!(unwrapper.highest(), Some(ExtSeq(65_536 + 10)));
    }

    #[test]
    fn a_restart_goes_on_with_the_next_number() {
        let mut unwrapper = SeqUnwrapper::new();
        let last = unwrapper.unwrap(Seq(500));
        assert_eq!(unwrapper.restart(last, Seq(40_000)), last.next());
        assert_eq!(unwrapper.unwrap(Seq(40_003)), last.plus(4));
        assert_eq!(unwrapper.unwrap(Seq(40_001)), last.plus(2));
    }

    proptest! {
        #[test]
        fn sequence_numbers_compare_as_big_integers_do(start: u16, step in -32_768_i32..=32_767) {
            let moved = Seq((i32::from(start) + step).rem_euclid(1 << 16) as u16);
            prop_assert_eq!(i32::from(moved.ahead_of(Seq(start))), step);
            prop_assert_eq!(Seq(start).plus(step as u16), moved);
        }

        #[test]
        fn unwrapping_finds_the_big_integer_behind(
            first in 65_536_i128..131_072,
            steps in prop::collection::vec(-32_768_i128..=32_767, 0..200),
        ) {
            let mut unwrapper = SeqUnwrapper::new();
            let mut highest = first;
            prop_assert_eq!(i128::from(unwrapper.unwrap(Seq(first as u16)).0), first);
            for step in steps {
                let number = highest + step;
                prop_assert_eq!(i128::from(unwrapper.unwrap(Seq(number as u16)).0), number);
                highest = highest.max(number);
            }
        }

        #[test]
        fn extended_numbers_end_in_what_the_wire_says(seqs in prop::collection::vec(any::<u16>(), 1..200)) {
            let mut unwrapper = SeqUnwrapper::new();
            for seq in seqs {
                prop_assert_eq!(unwrapper.unwrap(Seq(seq)).seq(), Seq(seq));
            }
        }
    }
}
