//! From access units to packets.

use rtp_rtcp::RtpTime;
use smallvec::SmallVec;
use thiserror::Error;

use crate::access_unit::AccessUnit;
use crate::slices::{Cursor, Slices};

/// Takes access units apart into the payloads of packets.
///
/// A payload is lent to `emit` while it is called; its bytes are still those of the unit, and
/// whoever takes them copies them once, to where the packet is sent from.
pub trait Packetizer {
    /// Packetizes one unit into payloads of at most `limit` bytes (without the RTP header).
    /// Limits below [`MIN_LIMIT`] count as that. A payload is longer only where the format has
    /// no way to cut it, which `emit` sees by its length.
    ///
    /// # Errors
    ///
    /// The unit has no form in packets; nothing of it was emitted.
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError>;

    /// Emits what is held back to fill packets. Formats of video hold nothing back.
    fn flush(&mut self, limit: usize, emit: &mut dyn FnMut(&Payload<'_>)) {
        let _ = (limit, emit);
    }
}

/// The smallest limit that payloads are cut to, in bytes.
pub const MIN_LIMIT: usize = 64;

/// Why a unit was not packetized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PacketizeError {
    /// The unit is not what the format demands.
    #[error("malformed access unit: {0}")]
    Malformed(&'static str),
    /// The unit has something that the payload format cannot express.
    #[error("not expressible in this payload format: {0}")]
    Unsupported(&'static str),
    /// The format cannot be cut, and no packet is that large.
    #[error("{have} bytes that cannot be split do not fit into a packet of {limit}")]
    TooLarge {
        /// Bytes of the payload.
        have: usize,
        /// [`MAX_PAYLOAD`].
        limit: usize,
    },
}

/// The largest payload there can be, in bytes: what fits into a UDP datagram over IPv4, without
/// the fixed RTP header.
pub const MAX_PAYLOAD: usize = 65_507 - 12;

/// One packet's payload, in pieces.
#[derive(Clone, Debug, Default)]
pub struct Payload<'a> {
    /// The RTP timestamp.
    pub timestamp: RtpTime,
    /// The marker bit.
    pub marker: bool,
    own: SmallVec<[u8; 32]>,
    pieces: SmallVec<[Piece<'a>; 12]>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum Piece<'a> {
    /// So many bytes more of `own`.
    Own(usize),
    Lent(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// A payload without bytes and marker.
    pub fn new(timestamp: RtpTime) -> Self {
        Self { timestamp, ..Self::default() }
    }

    /// Appends bytes that are not the unit's: headers.
    pub fn own(&mut self, bytes: &[u8]) {
        self.own.extend_from_slice(bytes);
        self.bytes += bytes.len();
        match self.pieces.last_mut() {
            Some(Piece::Own(count)) => *count += bytes.len(),
            _ => self.pieces.push(Piece::Own(bytes.len())),
        }
    }

    /// Appends bytes of the unit.
    pub fn lend(&mut self, bytes: &'a [u8]) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.pieces.push(Piece::Lent(bytes));
        }
    }

    /// Appends the next `count` bytes of the unit, or as many as there are.
    pub fn lend_from(&mut self, cursor: &mut Cursor<'a>, count: usize) {
        cursor.take(count, |piece| self.lend(piece));
    }

    /// Appends all of these bytes of the unit.
    pub fn lend_all(&mut self, slices: Slices<'a>) {
        slices.as_slices().iter().for_each(|slice| self.lend(slice));
    }

    /// Takes all bytes away, to begin the next payload.
    pub fn clear(&mut self) {
        self.own.clear();
        self.pieces.clear();
        self.bytes = 0;
        self.marker = false;
    }

    /// How many bytes there are in all.
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there is no byte.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The pieces in their order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let mut own = self.own.as_slice();
        self.pieces.iter().map(move |piece| match *piece {
            Piece::Own(count) => {
                let (taken, rest) = own.split_at_checked(count).unwrap_or((own, &[]));
                own = rest;
                taken
            }
            Piece::Lent(bytes) => bytes,
        })
    }

    /// Copies all bytes to the end of `buffer`.
    pub fn append_to(&self, buffer: &mut Vec<u8>) {
        self.pieces().for_each(|piece| buffer.extend_from_slice(piece));
    }

    /// All bytes in one piece, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes);
        self.append_to(&mut all);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_lent_bytes_keep_their_order() {
        let lent = [7, 8, 9];
        let mut payload = Payload::new(RtpTime(1));
        payload.own(&[1]);
        payload.own(&[2]);
        payload.lend(&lent);
        payload.own(&[3]);
        payload.lend(&[]);
        assert_eq!(payload.to_vec(), [1, 2, 7, 8, 9, 3]);
        assert_eq!((payload.len(), payload.pieces().count()), (6, 3));
        payload.clear();
        assert!(payload.is_empty() && payload.to_vec().is_empty());
    }
}
