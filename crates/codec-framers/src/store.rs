//! What access units are put together in: slices of packets, or one piece of memory.

use std::fmt;
use std::ops::{Deref, Range};

use bytes::{Buf as _, Bytes};
use rtp_rtcp::RtpTime;

use crate::access_unit::AccessUnit;

/// A unit while it is being put together.
pub(crate) trait Store: Clone + fmt::Debug + Default {
    /// A part of a packet.
    type Piece<'a>: Piece;

    /// What is known of earlier units, for those to come.
    type Memory: Clone + fmt::Debug + Default;

    /// A unit without bytes; complete, and no key.
    fn open(timestamp: RtpTime) -> Self;

    /// It will get no more bytes.
    fn close(&self, memory: &mut Self::Memory);

    fn timestamp(&self) -> RtpTime;

    fn is_complete(&self) -> bool;

    fn set_complete(&mut self, complete: bool);

    fn set_key(&mut self);

    fn set_lost(&mut self, lost: u32);

    /// The bytes of its elements.
    fn bytes(&self) -> usize;

    /// The slices that they are in.
    fn slices(&self) -> usize;

    /// The same unit with no bytes.
    fn emptied(&self) -> Self;

    /// Begins an element; where it is `bulky`, most bytes of the unit are in it and those after it.
    fn begin_element(&mut self, bulky: bool, memory: &mut Self::Memory);

    /// Appends to the last element.
    fn push_piece(&mut self, piece: Self::Piece<'_>);

    /// Appends to the last element what was kept for its turn.
    fn push_kept(&mut self, bytes: Bytes);

    /// Takes the last element away.
    fn pop_element(&mut self) -> Option<Bytes>;

    /// As [`Self::pop_element`], where its bytes are of no use.
    fn drop_element(&mut self);

    /// A piece of what was kept.
    fn piece_of(bytes: &Bytes) -> Self::Piece<'_>;
}

/// A part of a packet.
pub(crate) trait Piece: Deref<Target = [u8]> + Clone {
    /// A part of it; of what is outside of it, nothing.
    fn part(&self, range: Range<usize>) -> Self;

    /// The part that these bytes are, which are its own.
    fn part_of(&self, bytes: &[u8]) -> Self;

    /// All but the first bytes.
    fn behind(self, count: usize) -> Self;

    /// To keep until its turn comes.
    fn keep(self) -> Bytes;
}

impl Piece for Bytes {
    fn part(&self, range: Range<usize>) -> Self {
        if range.start > range.end || range.end > self.len() {
            return Self::new();
        }
        self.slice(range)
    }

    fn part_of(&self, bytes: &[u8]) -> Self {
        self.slice_ref(bytes)
    }

    fn behind(mut self, count: usize) -> Self {
        self.advance(count.min(self.len()));
        self
    }

    fn keep(self) -> Bytes {
        self
    }
}

impl Piece for &[u8] {
    fn part(&self, range: Range<usize>) -> Self {
        self.get(range).unwrap_or_default()
    }

    fn part_of(&self, bytes: &[u8]) -> Self {
        let at = bytes.as_ptr().addr().saturating_sub(self.as_ptr().addr());
        self.get(at..at + bytes.len()).unwrap_or_default()
    }

    fn behind(self, count: usize) -> Self {
        self.get(count..).unwrap_or_default()
    }

    fn keep(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl Store for AccessUnit {
    type Piece<'a> = Bytes;
    type Memory = ();

    fn open(timestamp: RtpTime) -> Self {
        Self::new(timestamp)
    }

    fn close(&self, (): &mut ()) {}

    fn timestamp(&self) -> RtpTime {
        self.timestamp
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    fn set_key(&mut self) {
        self.key = true;
    }

    fn set_lost(&mut self, lost: u32) {
        self.lost = lost;
    }

    fn bytes(&self) -> usize {
        self.len()
    }

    fn slices(&self) -> usize {
        self.slice_count() as usize
    }

    fn emptied(&self) -> Self {
        self.emptied()
    }

    fn begin_element(&mut self, _bulky: bool, (): &mut ()) {
        self.begin_element();
    }

    fn push_piece(&mut self, piece: Bytes) {
        self.push(piece);
    }

    fn push_kept(&mut self, bytes: Bytes) {
        self.push(bytes);
    }

    fn pop_element(&mut self) -> Option<Bytes> {
        let parts = self.pop_element()?;
        Some(parts.concat().into())
    }

    fn drop_element(&mut self) {
        let _gone = self.pop_element();
    }

    fn piece_of(bytes: &Bytes) -> Bytes {
        bytes.clone()
    }
}

/// An access unit in one piece of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContiguousUnit {
    /// The RTP timestamp, in ticks of the format's clock.
    pub timestamp: RtpTime,
    /// Whether a decoder can start here.
    pub key: bool,
    /// Whether nothing of the unit is missing, as far as this can be told.
    pub complete: bool,
    /// How many packets are missing between the end of the unit before and the end of this one.
    pub lost: u32,
    /// The elements one after the other, each behind its length in 32 bits, as in MP4 files
    /// (`avcC` with 4 byte lengths).
    pub data: Vec<u8>,
    /// Where the last element's length stands.
    last: usize,
    /// The bytes of the elements.
    bytes: usize,
}

/// How large units were, so that memory for the next is asked for once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    key: usize,
    other: usize,
    /// Memory that was given back.
    pub(crate) spare: Vec<u8>,
}

const PREFIX: usize = 4;

impl ContiguousUnit {
    fn append(&mut self, bytes: &[u8]) {
        if self.data.is_empty() {
            self.data.extend_from_slice(&[0; PREFIX]);
        }
        self.data.extend_from_slice(bytes);
        self.bytes += bytes.len();
        // Nothing that long is ever put together.
        let length = self.data.len() - self.last - PREFIX;
        let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        if let Some(prefix) = self.data.get_mut(self.last..).and_then(<[u8]>::first_chunk_mut) {
            *prefix = length;
        }
    }
}

impl Store for ContiguousUnit {
    type Piece<'a> = &'a [u8];
    type Memory = Sizes;

    fn open(timestamp: RtpTime) -> Self {
        Self { timestamp, complete: true, ..Self::default() }
    }

    fn close(&self, sizes: &mut Sizes) {
        let size = if self.key { &mut sizes.key } else { &mut sizes.other };
        // The largest of late, and somewhat more.
        *size = (self.data.len() + self.data.len() / 8).max(*size - *size / 16);
    }

    fn timestamp(&self) -> RtpTime {
        self.timestamp
    }

    fn is_complete(&self) -> bool {
        self.complete
    }

    fn set_complete(&mut self, complete: bool) {
        self.complete = complete;
    }

    fn set_key(&mut self) {
        self.key = true;
    }

    fn set_lost(&mut self, lost: u32) {
        self.lost = lost;
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn slices(&self) -> usize {
        0
    }

    fn emptied(&self) -> Self {
        Self { data: Vec::new(), last: 0, bytes: 0, ..*self }
    }

    fn begin_element(&mut self, bulky: bool, sizes: &mut Sizes) {
        if self.data.capacity() == 0 {
            self.data = std::mem::take(&mut sizes.spare);
            self.data.clear();
        }
        if bulky {
            let size = if self.key { sizes.key } else { sizes.other };
            self.data.reserve_exact(size.saturating_sub(self.data.len()));
        }
        self.last = self.data.len();
        self.data.extend_from_slice(&[0; PREFIX]);
    }

    fn push_piece(&mut self, piece: &[u8]) {
        self.append(piece);
    }

    fn push_kept(&mut self, bytes: Bytes) {
        self.append(&bytes);
    }

    fn pop_element(&mut self) -> Option<Bytes> {
        let element = Bytes::copy_from_slice(self.data.get(self.last + PREFIX..)?);
        self.data.truncate(self.last);
        self.bytes -= element.len();
        Some(element)
    }

    fn drop_element(&mut self) {
        self.bytes -= self.data.len().saturating_sub(self.last + PREFIX);
        self.data.truncate(self.last);
    }

    fn piece_of(bytes: &Bytes) -> &[u8] {
        bytes
    }
}
