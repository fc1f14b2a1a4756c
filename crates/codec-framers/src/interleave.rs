//! Frames that come in another order than that of their times.

use std::collections::VecDeque;

use rtp_rtcp::RtpTime;

use crate::access_unit::AccessUnit;
use crate::depacketizer::Ready;

/// Frames held back until those before them have come.
///
/// Of every interleaving format (RFC 3640, 4867, 2658) it holds that the first frame of a packet
/// is its earliest, and that the first frames of packets follow each other in time. So whatever
/// is not later than the first frame of the newest packet may leave, and after that whatever
/// follows without a gap.
#[derive(Clone, Debug)]
pub(crate) struct Interleave {
    /// In the order of their times.
    held: VecDeque<AccessUnit>,
    bytes: usize,
    max_bytes: usize,
    /// Where what left last ended.
    next: Option<RtpTime>,
    ready: Ready,
}

/// Frames held back at most; above that the earliest leaves.
pub(crate) const MAX_HELD: usize = 512;

impl Interleave {
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { held: VecDeque::new(), bytes: 0, max_bytes, next: None, ready: Ready::default() }
    }

    /// A packet has come whose first frame is of this time.
    pub(crate) fn packet(&mut self, first: RtpTime) {
        // Backwards only by a sender that begins anew.
        if self.next.is_some_and(|next| first.ahead_of(next) < 0) {
            self.flush();
        }
        while let Some(unit) = self.held.front()
            && unit.timestamp.ahead_of(first) <= 0
        {
            self.release();
        }
    }

    /// A frame of that packet.
    pub(crate) fn push(&mut self, unit: AccessUnit) {
        self.bytes += unit.len();
        let at = self.held.partition_point(|held| held.timestamp.ahead_of(unit.timestamp) <= 0);
        self.held.insert(at, unit);
        while self.held.len() > MAX_HELD || self.bytes > self.max_bytes {
            self.release();
        }
    }

    /// All frames of that packet are there.
    pub(crate) fn end(&mut self, first: RtpTime) {
        while let Some(unit) = self.held.front()
            && (unit.timestamp.ahead_of(first) <= 0 || Some(unit.timestamp) == self.next)
        {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(unit) = self.held.pop_front() {
            self.bytes -= unit.len();
            self.next = Some(unit.timestamp.plus(unit.duration.unwrap_or_default()));
            self.ready.push(unit);
        }
    }

    /// Nothing will come before what is held.
    pub(crate) fn flush(&mut self) {
        while !self.held.is_empty() {
            self.release();
        }
        self.next = None;
    }

    pub(crate) fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.poll()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(order: &mut Interleave, times: &[u32]) -> Vec<u32> {
        let first = RtpTime(times[0]);
        order.packet(first);
        for &time in times {
            let mut unit = AccessUnit::of(RtpTime(time), true, vec![0; 4]);
            unit.duration = Some(1);
            order.push(unit);
        }
        order.end(first);
        polled(order)
    }

    fn polled(order: &mut Interleave) -> Vec<u32> {
        std::iter::from_fn(|| order.poll()).map(|unit| unit.timestamp.0).collect()
    }

    #[test]
    fn frames_leave_as_soon_as_those_before_them_have() {
        let mut order = Interleave::new(1000);
        assert_eq!(push(&mut order, &[0, 3, 6]), [0]);
        assert_eq!(push(&mut order, &[1, 4, 7]), [1]);
        assert_eq!(push(&mut order, &[2, 5, 8]), [2, 3, 4, 5, 6, 7, 8]);
        // The packet of 10, 13, 16 is lost.
        assert_eq!(push(&mut order, &[9, 12, 15]), [9]);
        assert_eq!(push(&mut order, &[11, 14, 17]), [11, 12]);
        assert_eq!(push(&mut order, &[18, 21, 24]), [14, 15, 17, 18]);
        order.flush();
        assert_eq!(polled(&mut order), [21, 24]);
    }

    #[test]
    fn what_is_held_has_bounds_and_a_new_beginning_frees_it() {
        let mut order = Interleave::new(16);
        assert_eq!(push(&mut order, &[100, 110, 120, 130, 140, 150]), [100, 110]);
        assert_eq!(push(&mut order, &[5, 7]), [120, 130, 140, 150, 5]);
        assert_eq!(push(&mut order, &[6, 8]), [6, 7, 8]);
    }
}
