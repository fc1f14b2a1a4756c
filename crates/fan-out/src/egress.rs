//! What one TCP connection's socket gets besides the log.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;
use smallvec::SmallVec;

/// The most slices offered for one write.
pub const MAX_SLICES: usize = 16;

/// The rest of a cut `$` frame, then control bytes: RTSP answers, each whole and in order.
///
/// Whoever owns the connection owns its `Egress`, and lends it to the audiences the connection
/// reads. After a short write the audience leaves the rest of the one cut frame here, so that a
/// cursor always stands on a frame border and answers can go exactly there.
#[derive(Debug)]
pub struct Egress {
    rest: Vec<u8>,
    rest_sent: usize,
    control: VecDeque<Bytes>,
    control_sent: usize,
    control_bytes: usize,
    limit: usize,
}

/// Whether control bytes were taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Admit {
    /// They wait for their turn.
    Queued,
    /// They would exceed the limit and were not taken: the peer asks but does not read.
    Overflowed,
}

/// A buffer for the rest of a cut frame larger than this is given back once it is sent.
const REST_KEPT: usize = 2048;

impl Egress {
    /// An empty one that lets at most `limit` bytes of control wait
    /// ([`FanOutLimits::control_bytes`](crate::FanOutLimits::control_bytes)).
    pub fn new(limit: usize) -> Self {
        Self {
            rest: Vec::new(),
            rest_sent: 0,
            control: VecDeque::new(),
            control_sent: 0,
            control_bytes: 0,
            limit,
        }
    }

    /// Queues one RTSP message; it leaves at the next frame border.
    pub fn push_control(&mut self, message: Bytes) -> Admit {
        if self.control_bytes.saturating_add(message.len()) > self.limit {
            return Admit::Overflowed;
        }
        if !message.is_empty() {
            self.control_bytes += message.len();
            self.control.push_back(message);
        }
        Admit::Queued
    }

    /// Whether anything waits.
    pub fn has_pending(&self) -> bool {
        self.rest_sent < self.rest.len() || !self.control.is_empty()
    }

    /// How many bytes wait.
    pub fn pending_bytes(&self) -> usize {
        self.rest.len() - self.rest_sent + self.control_bytes
    }

    /// Appends what waits, in order, as far as `out` has room ([`MAX_SLICES`]).
    pub fn pending_slices<'a>(&'a self, out: &mut SmallVec<[IoSlice<'a>; MAX_SLICES]>) {
        let rest = self.rest.get(self.rest_sent..).unwrap_or_default();
        let mut sent = self.control_sent;
        if !rest.is_empty() && out.len() < MAX_SLICES {
            out.push(IoSlice::new(rest));
        }
        for message in &self.control {
            if out.len() >= MAX_SLICES {
                break;
            }
            out.push(IoSlice::new(message.get(sent..).unwrap_or_default()));
            sent = 0;
        }
    }

    /// The socket took `n` bytes; returns those that were not from here.
    pub fn consume_pending(&mut self, mut n: usize) -> usize {
        let rest = (self.rest.len() - self.rest_sent).min(n);
        self.rest_sent += rest;
        n -= rest;
        if self.rest_sent == self.rest.len() {
            self.rest_sent = 0;
            self.rest.clear();
            if self.rest.capacity() > REST_KEPT {
                self.rest = Vec::new();
            }
        }
        while n > 0
            && let Some(front) = self.control.front()
        {
            let left = front.len() - self.control_sent;
            let taken = left.min(n);
            n -= taken;
            self.control_bytes -= taken;
            if taken == left {
                self.control_sent = 0;
                self.control.pop_front();
            } else {
                self.control_sent += taken;
            }
        }
        n
    }

    /// Keeps the rest of a cut frame; the one before it has left, or nothing after it would have.
    pub(crate) fn hold(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(egress: &mut Egress, n: usize) -> Vec<u8> {
        let all: Vec<u8> = {
            let mut out = SmallVec::new();
            egress.pending_slices(&mut out);
            out.iter().flat_map(|slice| slice.to_vec()).collect()
        };
        assert_eq!(egress.consume_pending(n), n.saturating_sub(all.len()));
        all[..n.min(all.len())].to_vec()
    }

    #[test]
    fn the_rest_of_a_cut_frame_goes_before_answers() {
        let mut egress = Egress::new(100);
        egress.hold(|rest| rest.extend_from_slice(b"frame"));
        assert_eq!(egress.push_control(Bytes::from_static(b"answer")), Admit::Queued);
        assert_eq!(egress.pending_bytes(), 11);
        assert_eq!(taken(&mut egress, 3), b"fra");
        assert_eq!(taken(&mut egress, 4), b"mean");
        assert_eq!(taken(&mut egress, 100), b"swer");
        assert!(!egress.has_pending());
    }

    #[test]
    fn a_peer_that_asks_without_reading_overflows_its_control_limit() {
        let mut egress = Egress::new(10);
        assert_eq!(egress.push_control(Bytes::from_static(b"0123456")), Admit::Queued);
        assert_eq!(egress.push_control(Bytes::from_static(b"0123")), Admit::Overflowed);
        assert_eq!(egress.consume_pending(7), 0);
        assert_eq!(egress.push_control(Bytes::from_static(b"0123")), Admit::Queued);
    }

    #[test]
    fn more_messages_than_slices_leave_over_several_writes() {
        let mut egress = Egress::new(1000);
        for _ in 0..40 {
            assert_eq!(egress.push_control(Bytes::from_static(b"ab")), Admit::Queued);
        }
        let mut left = 0;
        while egress.has_pending() {
            left += taken(&mut egress, 32).len();
        }
        assert_eq!(left, 80);
    }
}
