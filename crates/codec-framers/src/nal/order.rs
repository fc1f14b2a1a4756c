//! NAL units that were sent out of their decoding order.

use bytes::Bytes;
use rtp_rtcp::RtpTime;
use smallvec::SmallVec;

/// NAL units that wait for their turn at most.
pub(crate) const MAX_WAITING: usize = 1024;

/// One NAL unit with its time and decoding order number.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) timestamp: RtpTime,
    pub(crate) slices: SmallVec<[Bytes; 4]>,
    /// Packets missing before it, in the order of sending.
    pub(crate) lost: u32,
    order: i64,
}

/// Puts NAL units in their decoding order (RFC 6184 section 7.2, RFC 7798 section 6).
#[derive(Clone, Debug)]
pub(crate) struct OrderQueue {
    /// How many units wait in a correct stream.
    depth: usize,
    /// How far apart the numbers of two units that wait may be.
    difference: i64,
    max_bytes: usize,
    bytes: usize,
    newest: Option<i64>,
    waiting: Vec<Numbered>,
}

impl OrderQueue {
    pub(crate) fn new(depth: usize, difference: Option<u16>, max_bytes: usize) -> Self {
        Self {
            depth: depth.min(MAX_WAITING),
            difference: difference.map_or(i64::MAX, i64::from),
            max_bytes,
            bytes: 0,
            newest: None,
            waiting: Vec::new(),
        }
    }

    /// Takes a unit with its number, which wraps at 16 bits.
    pub(crate) fn push(
        &mut self,
        number: u16,
        timestamp: RtpTime,
        lost: u32,
        slices: SmallVec<[Bytes; 4]>,
    ) {
        let order = match self.newest {
            None => i64::from(number),
            // The nearest number to the last one that ends in these 16 bits.
            Some(newest) => newest + i64::from(number.wrapping_sub(newest as u16) as i16),
        };
        self.newest = Some(order);
        self.bytes += slices.iter().map(Bytes::len).sum::<usize>();
        // Units of equal number keep the order in which they came.
        let at = self.waiting.partition_point(|unit| unit.order <= order);
        self.waiting.insert(at, Numbered { timestamp, slices, lost, order });
    }

    /// The next unit whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Numbered> {
        let (first, last) = (self.waiting.first()?, self.waiting.last()?);
        let due = self.waiting.len() > self.depth
            || self.bytes > self.max_bytes
            || last.order - first.order > self.difference;
        due.then(|| self.take_first())
    }

    /// The next unit, though others could still come before it.
    pub(crate) fn pop_any(&mut self) -> Option<Numbered> {
        (!self.waiting.is_empty()).then(|| self.take_first())
    }

    fn take_first(&mut self) -> Numbered {
        let first = self.waiting.remove(0);
        self.bytes -= first.slices.iter().map(Bytes::len).sum::<usize>();
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut OrderQueue, number: u16) -> Vec<u8> {
        let slices = [Bytes::from(vec![number as u8])].into_iter().collect();
        queue.push(number, RtpTime(0), 0, slices);
        std::iter::from_fn(|| queue.pop()).map(|unit| unit.slices[0][0]).collect()
    }

    #[test]
    fn units_leave_in_the_order_of_their_numbers_across_the_wrap() {
        let mut queue = OrderQueue::new(2, None, 100);
        let out: Vec<_> = [0xfffe, 1, 0xffff, 0, 4, 2, 3].map(|n| push(&mut queue, n)).concat();
        assert_eq!(out, [0xfe, 0xff, 0, 1, 2]);
        assert_eq!(queue.pop_any().map(|unit| unit.slices[0][0]), Some(3));
    }

    #[test]
    fn a_large_difference_and_the_bound_make_units_leave() {
        let mut queue = OrderQueue::new(100, Some(3), 4);
        let out: Vec<_> = [0, 4, 5, 6, 7].map(|n| push(&mut queue, n)).into();
        assert_eq!(out, [vec![], vec![0], vec![], vec![], vec![]]);
        assert_eq!(push(&mut queue, 6), [4], "five bytes are one too many");
    }
}
