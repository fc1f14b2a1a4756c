//! Numbers the packets of one track that come in order (TCP input).

use std::{collections::VecDeque, time::Instant};

use crate::{
    Admit, ExtSeq, RtpPacket,
    numbering::{MAX_MISORDER, Numbering, Place},
};

/// The same verbs as [`Reorder`](crate::Reorder) has, for a transport that keeps the order:
/// nothing waits, and a number far from the others is believed at once, as there is no network
/// that could have led it astray.
#[derive(Debug)]
pub struct InOrder {
    numbering: Numbering,
    queue: VecDeque<(ExtSeq, RtpPacket)>,
    /// The number of the last packet let in, then of the last one pulled.
    last: Option<ExtSeq>,
    last_pulled: Option<ExtSeq>,
}

impl InOrder {
    /// Begins with the next packet, wherever it is.
    pub fn new() -> Self {
        Self {
            numbering: Numbering::new(MAX_MISORDER.unsigned_abs().into()),
            queue: VecDeque::new(),
            last: None,
            last_pulled: None,
        }
    }

    /// Takes a packet. Each push is to be followed by pulls until there is nothing.
    pub fn push(&mut self, _now: Instant, packet: RtpPacket) -> Admit {
        if self.queue.len() >= MAX_WAITING {
            return Admit::Overflowed;
        }
        let header = *packet.header();
        let (seq, admit) = match self.numbering.place(&header) {
            Place::Near(seq) if self.last.is_none_or(|last| seq > last) => {
                self.numbering.accepted(&header);
                (seq, Admit::Queued)
            }
            Place::Near(seq) if !self.numbering.late(&header) => {
                return if self.last == Some(seq) { Admit::Duplicate } else { Admit::TooLate };
            }
            Place::Near(_) | Place::Far => (self.numbering.restart(&header), Admit::Restarted),
        };
        self.last = Some(seq);
        self.queue.push_back((seq, packet));
        admit
    }

    /// The next packet with its number, which is higher than all before.
    pub fn pull(&mut self, _now: Instant) -> Option<(ExtSeq, RtpPacket)> {
        let (seq, packet) = self.queue.pop_front()?;
        self.last_pulled = Some(seq);
        Some((seq, packet))
    }

    /// Never: nothing waits.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Drops what was not pulled. The next packet begins anew wherever it is, with the number
    /// after the last one pulled: for a new session with the same source.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.last = self.last_pulled;
        self.numbering.forget_source(self.last_pulled);
    }
}

impl Default for InOrder {
    fn default() -> Self {
        Self::new()
    }
}

/// The most packets between two pulls.
const MAX_WAITING: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RtpTime, Seq, Ssrc, padding_packet};
    use bytes::Bytes;

    fn packet(ssrc: u32, seq: u16, timestamp: u32) -> RtpPacket {
        let bytes = padding_packet(96, Seq(seq), RtpTime(timestamp), Ssrc(ssrc));
        RtpPacket::parse(Bytes::copy_from_slice(&bytes)).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn number(in_order: &mut InOrder, packet: RtpPacket) -> (Admit, Option<u64>) {
        let now = origin();
        let admit = in_order.push(now, packet);
        (admit, in_order.pull(now).map(|(seq, _)| seq.0 - 65_536))
    }

    #[test]
    fn gaps_stay_and_wraps_count_on() {
        let mut in_order = InOrder::new();
        assert_eq!(number(&mut in_order, packet(1, 65_534, 0)), (Admit::Queued, Some(65_534)));
        assert_eq!(number(&mut in_order, packet(1, 1, 0)), (Admit::Queued, Some(65_537)));
        assert_eq!(in_order.poll_timeout(), None);
    }

    #[test]
    fn what_is_not_ahead_is_dropped() {
        let mut in_order = InOrder::new();
        assert_eq!(number(&mut in_order, packet(1, 10, 0)), (Admit::Queued, Some(10)));
        assert_eq!(number(&mut in_order, packet(1, 10, 0)), (Admit::Duplicate, None));
        assert_eq!(number(&mut in_order, packet(1, 9, 0)), (Admit::TooLate, None));
        assert_eq!(number(&mut in_order, packet(1, 11, 0)), (Admit::Queued, Some(11)));
    }

    #[test]
    fn a_jump_or_another_source_goes_on_with_the_next_number() {
        let mut in_order = InOrder::new();
        assert_eq!(number(&mut in_order, packet(1, 10, 0)), (Admit::Queued, Some(10)));
        assert_eq!(number(&mut in_order, packet(1, 40_000, 0)), (Admit::Restarted, Some(11)));
        assert_eq!(number(&mut in_order, packet(2, 40_001, 0)), (Admit::Restarted, Some(12)));
        assert_eq!(number(&mut in_order, packet(2, 40_003, 0)), (Admit::Queued, Some(14)));
    }

    #[test]
    fn a_source_that_begins_anew_a_little_behind_is_heard_again() {
        let mut in_order = InOrder::new();
        for seq in 0..50 {
            assert_eq!(number(&mut in_order, packet(1, seq, 0)).0, Admit::Queued);
        }
        let numbers: Vec<_> =
            (0..20).filter_map(|seq| number(&mut in_order, packet(1, seq, 90_000)).1).collect();
        assert_eq!(numbers, (50..63).collect::<Vec<_>>());
    }

    #[test]
    fn a_new_session_goes_on_after_what_was_pulled() {
        let mut in_order = InOrder::new();
        assert_eq!(number(&mut in_order, packet(1, 10, 0)), (Admit::Queued, Some(10)));
        assert_eq!(in_order.push(origin(), packet(1, 11, 0)), Admit::Queued);
        in_order.clear();
        assert_eq!(number(&mut in_order, packet(9, 4, 0)), (Admit::Queued, Some(11)));
        assert_eq!(number(&mut in_order, packet(9, 5, 0)), (Admit::Queued, Some(12)));
    }

    #[test]
    fn the_queue_has_an_end() {
        let mut in_order = InOrder::new();
        let now = origin();
        let mut push = |seq| in_order.push(now, packet(1, seq, 0));
        assert!((0..MAX_WAITING as u16).all(|seq| push(seq) == Admit::Queued));
        assert_eq!(push(256), Admit::Overflowed);
    }
}
