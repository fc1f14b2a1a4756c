//! Access units out of NAL units: what depacketizers of H.264, H.265 and H.266 share.

use bytes::Bytes;
use rtp_rtcp::RtpTime;
use smallvec::SmallVec;

use crate::access_unit::{AccessUnit, MAX_SLICES};
use crate::assembly::Assembly;
use crate::depacketizer::{DepacketizeError, Limits};
use crate::nal::order::{Numbered, OrderQueue};
use crate::nal::units;
use crate::slices::Slices;
use crate::store::{Piece as _, Store};

/// What a NAL unit is to the access unit that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NalInfo {
    /// It carries part of a picture.
    pub(crate) picture: bool,
    /// It stands at the beginning of an access unit: a delimiter, a parameter set, the first
    /// slice.
    pub(crate) begins: bool,
    /// It cannot follow a picture in the same access unit.
    pub(crate) splits: bool,
    /// A decoder can start at its picture.
    pub(crate) key: bool,
    /// It has no place in an access unit.
    pub(crate) foreign: bool,
}

/// What differs between the codecs.
pub(crate) trait NalCodec {
    /// What a NAL unit is; of a fragmented one, `body` is its first fragment. NAL units are
    /// shown in decoding order.
    fn inspect(&mut self, header: [u8; 2], body: &[u8]) -> NalInfo;

    /// Whether NAL units of this kind are short, and cameras leave further ones behind start
    /// codes in them.
    fn may_hold_more(header: [u8; 2]) -> bool;

    /// The bytes of a NAL unit's header.
    const HEADER: usize;
}

/// The header of a NAL unit, padded to two bytes, and what follows it.
pub(crate) fn split_header<C: NalCodec>(nal: &[u8]) -> Option<([u8; 2], &[u8])> {
    match (C::HEADER, nal) {
        (1, [first, body @ ..]) => Some(([*first, 0], body)),
        (2, [first, second, body @ ..]) => Some(([*first, *second], body)),
        _ => None,
    }
}

/// Where a fragmented NAL unit is put together.
#[derive(Clone, Debug)]
enum Fragmented {
    /// As the last element of the open access unit.
    InPlace { header: [u8; 2] },
    /// Apart, until it is its turn.
    Apart { number: u16, timestamp: RtpTime, lost: u32, slices: SmallVec<[Bytes; 4]>, bytes: usize },
}

/// Puts NAL units together to access units.
#[derive(Clone, Debug)]
pub(crate) struct NalStream<C, U: Store = AccessUnit> {
    codec: C,
    assembly: Assembly<U>,
    order: Option<OrderQueue>,
    fragmented: Option<Fragmented>,
    /// Whether nothing of the open unit has come yet, not even in vain.
    untouched: bool,
    /// Whether the open unit has part of a picture.
    has_picture: bool,
    markers: Markers,
    max_unit: usize,
}

/// Whether markers are where units end.
#[derive(Clone, Debug)]
struct Markers {
    /// The instant of the last unit that a marker ended.
    ended: Option<RtpTime>,
    /// Whether units went on behind markers, so that these say nothing.
    lie: bool,
    /// While they lie: those in the open unit, and whether its last packet has one.
    seen: u32,
    last: bool,
    /// Units one after the other that had one, at their end.
    right: u32,
    /// So many of these make markers credible again; twice as many after each further lie.
    wanted: u32,
}

impl Markers {
    const WANTED: u32 = 50;
    const WANTED_AT_MOST: u32 = 100_000;

    fn new() -> Self {
        Self { ended: None, lie: false, seen: 0, last: false, right: 0, wanted: Self::WANTED }
    }

    /// A packet of the open unit has ended.
    fn packet(&mut self, marker: bool) {
        if self.lie {
            self.seen = self.seen.saturating_add(marker.into());
            self.last = marker;
        }
    }

    /// A unit has ended by something else than its marker, with a picture and nothing missing.
    fn unit(&mut self) {
        if !self.lie {
            return;
        }
        self.right = if self.seen == 1 && self.last { self.right + 1 } else { 0 };
        if self.right >= self.wanted {
            self.lie = false;
            self.wanted = self.wanted.saturating_mul(2).min(Self::WANTED_AT_MOST);
        }
        self.forget();
    }

    /// A unit begins of which nothing is known.
    fn forget(&mut self) {
        (self.seen, self.last) = (0, false);
    }

    /// A unit went on behind its marker.
    fn lied(&mut self) {
        (self.lie, self.right) = (true, 0);
        // The one that it went on behind.
        (self.seen, self.last) = (1, true);
    }
}

impl<C: NalCodec, U: Store> NalStream<C, U> {
    /// `order` is there if NAL units come with decoding order numbers.
    pub(crate) fn new(codec: C, order: Option<OrderQueue>, limits: Limits) -> Self {
        Self {
            codec,
            assembly: Assembly::new(limits),
            order,
            fragmented: None,
            untouched: false,
            has_picture: false,
            markers: Markers::new(),
            max_unit: limits.max_unit,
        }
    }

    /// A packet begins.
    #[inline]
    pub(crate) fn begin_packet(&mut self, timestamp: RtpTime, lost: u32) {
        let other_instant =
            self.assembly.is_open() && self.assembly.unit().timestamp() != timestamp;
        if lost > 0 || (other_instant && self.order.is_none()) {
            self.abandon_fragments();
        }
        if self.order.is_none() {
            self.arrive(timestamp, lost);
        }
    }

    /// Something of the open unit is missing.
    pub(crate) fn damage(&mut self) {
        if self.order.is_none() {
            self.untouched = false;
            self.assembly.damage();
        }
    }

    /// A packet is over. The error is that of a unit whose turn came with it.
    #[inline]
    pub(crate) fn end_packet(&mut self, marker: bool) -> Result<(), DepacketizeError> {
        if self.order.is_some() {
            return self.deliver_due();
        }
        self.markers.packet(marker);
        if !marker {
            return Ok(());
        }
        let mut ended = Ok(());
        if self.fragmented.is_some() {
            // The end bit is missing, but nothing more comes.
            ended = self.end_fragments();
        }
        if self.has_picture && !self.markers.lie {
            self.markers.ended = Some(self.assembly.unit().timestamp());
            self.assembly.finish();
        }
        ended
    }

    /// The NAL units whose turn has come; the first error of any.
    fn deliver_due(&mut self) -> Result<(), DepacketizeError> {
        let mut took = Ok(());
        while let Some(next) = self.order.as_mut().and_then(OrderQueue::pop) {
            let delivered = self.deliver(next);
            took = took.and(delivered);
        }
        took
    }

    /// A whole NAL unit. `number` is its decoding order number, where there are any; `lost`
    /// that of the packet.
    pub(crate) fn whole(
        &mut self,
        timestamp: RtpTime,
        number: u16,
        lost: u32,
        nal: U::Piece<'_>,
    ) -> Result<(), DepacketizeError> {
        self.abandon_fragments();
        if let Some(order) = &mut self.order {
            order.push(number, timestamp, lost, std::iter::once(nal.keep()).collect());
            return Ok(());
        }
        if self.assembly.unit().timestamp() != timestamp || !self.assembly.is_open() {
            self.arrive(timestamp, 0);
        }
        if nal.starts_with(&[0, 0, 1]) || nal.starts_with(&[0, 0, 0, 1]) {
            return self.split(&nal);
        }
        let Some((header, body)) = split_header::<C>(&nal) else {
            return Err(DepacketizeError::Malformed("NAL unit without header"));
        };
        if C::may_hold_more(header) {
            return self.split(&nal);
        }
        let info = self.codec.inspect(header, body);
        if info.foreign {
            self.damage();
            return Err(FOREIGN);
        }
        self.begin_nal(info);
        self.assembly.push(nal)
    }

    /// The first fragment of a NAL unit: its header, in slices, and what follows it.
    pub(crate) fn begin_fragments(
        &mut self,
        timestamp: RtpTime,
        number: u16,
        lost: u32,
        header: ([u8; 2], SmallVec<[Bytes; 2]>),
        body: U::Piece<'_>,
    ) -> Result<(), DepacketizeError> {
        self.abandon_fragments();
        let (header, slices) = header;
        if self.order.is_some() {
            let slices: SmallVec<_> = slices.into_iter().chain([body.keep()]).collect();
            let bytes = slices.iter().map(Bytes::len).sum();
            self.fragmented = Some(Fragmented::Apart { number, timestamp, lost, slices, bytes });
            return Ok(());
        }
        if !self.assembly.is_open() {
            self.arrive(timestamp, 0);
        }
        let info = self.codec.inspect(header, &body);
        if info.foreign {
            self.damage();
            return Err(FOREIGN);
        }
        self.begin_nal(info);
        self.fragmented = Some(Fragmented::InPlace { header });
        slices.into_iter().try_for_each(|slice| self.assembly.push_kept(slice))?;
        self.assembly.push(body)
    }

    /// A further fragment; `own` is the header of its NAL unit.
    #[inline]
    pub(crate) fn fragment(
        &mut self,
        timestamp: RtpTime,
        own: [u8; 2],
        body: U::Piece<'_>,
    ) -> Result<(), DepacketizeError> {
        match &mut self.fragmented {
            Some(Fragmented::InPlace { header }) if *header == own => self.assembly.push(body),
            Some(Fragmented::Apart { slices, bytes, timestamp: begun, .. })
                if *begun == timestamp =>
            {
                if body.is_empty() {
                    return Ok(());
                }
                *bytes += body.len();
                if *bytes > self.max_unit || slices.len() >= MAX_SLICES {
                    self.fragmented = None;
                    return Err(DepacketizeError::UnitTooLarge { limit: self.max_unit });
                }
                slices.push(body.keep());
                Ok(())
            }
            _ => {
                self.abandon_fragments();
                if self.order.is_none() {
                    if !self.assembly.is_open() {
                        self.arrive(timestamp, 0);
                    }
                    self.damage();
                }
                Err(DepacketizeError::Orphaned("fragment without its first one"))
            }
        }
    }

    /// The fragment just given was the last of its NAL unit.
    pub(crate) fn end_fragments(&mut self) -> Result<(), DepacketizeError> {
        match self.fragmented.take() {
            Some(Fragmented::InPlace { header }) if C::may_hold_more(header) => {
                let Some(whole) = self.assembly.unit().pop_element() else { return Ok(()) };
                self.split(&U::piece_of(&whole))
            }
            Some(Fragmented::Apart { number, timestamp, lost, slices, .. }) => {
                if let Some(order) = &mut self.order {
                    order.push(number, timestamp, lost, slices);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What is kept for units to come.
    pub(crate) fn memory(&mut self) -> &mut U::Memory {
        self.assembly.memory()
    }

    pub(crate) fn poll(&mut self) -> Option<U> {
        self.assembly.poll()
    }

    pub(crate) fn flush(&mut self) {
        self.abandon_fragments();
        while let Some(next) = self.order.as_mut().and_then(OrderQueue::pop_any) {
            // There is no packet that it could be told of.
            let _ = self.deliver(next);
        }
        self.assembly.flush();
    }

    fn arrive(&mut self, timestamp: RtpTime, lost: u32) {
        let whole = lost == 0 && self.assembly.is_open() && self.assembly.unit().is_complete();
        let whole = whole && self.has_picture;
        let opened = self.assembly.arrive_at(timestamp, lost);
        if opened {
            match whole {
                true => self.markers.unit(),
                false => self.markers.forget(),
            }
            self.has_picture = false;
            self.untouched = true;
        }
    }

    /// A NAL unit whose turn has come.
    fn deliver(&mut self, nal: Numbered) -> Result<(), DepacketizeError> {
        self.arrive(nal.timestamp, nal.lost);
        // The header of a fragmented one may be in slices of its own.
        let joined = Slices::new(&nal.slices);
        let body_at = nal.slices.iter().position(|slice| slice.len() > 2).unwrap_or_default();
        let header = match C::HEADER {
            1 => joined.first_chunk::<1>().map(|[first]| [first, 0]),
            _ => joined.first_chunk::<2>(),
        };
        let Some(header) = header else { return Ok(()) };
        let body = nal.slices.get(body_at).map(|body| match body_at {
            0 => body.get(C::HEADER..).unwrap_or_default(),
            _ => body,
        });
        let info = self.codec.inspect(header, body.unwrap_or_default());
        if info.foreign {
            // The packet that is at hand has nothing to do with it.
            self.assembly.damage();
            return Ok(());
        }
        self.begin_nal(info);
        nal.slices.into_iter().try_for_each(|slice| self.assembly.push_kept(slice))
    }

    /// A NAL unit begins, in the open access unit or, if it cannot belong to it, in a new one.
    fn begin_nal(&mut self, info: NalInfo) {
        if self.has_picture && info.splits {
            let timestamp = self.assembly.unit().timestamp();
            if self.assembly.unit().is_complete() {
                self.markers.unit();
            }
            self.assembly.finish();
            self.arrive(timestamp, 0);
        }
        if std::mem::take(&mut self.untouched) {
            let timestamp = self.assembly.unit().timestamp();
            if info.begins {
                self.assembly.begins_intact();
            } else if info.picture
                && self.markers.ended == Some(timestamp)
                && self.assembly.unit().is_complete()
            {
                self.markers.lied();
                self.assembly.damage();
            }
        }
        self.has_picture |= info.picture;
        if info.key {
            self.assembly.unit().set_key();
        }
        match info.picture {
            true => self.assembly.begin_bulky_element(),
            false => self.assembly.begin_element(),
        }
    }

    /// Takes a byte stream with start codes for what it is.
    fn split(&mut self, stream: &U::Piece<'_>) -> Result<(), DepacketizeError> {
        let mut took = Ok(());
        for nal in units(stream) {
            let Some((header, body)) = split_header::<C>(nal) else { continue };
            let info = self.codec.inspect(header, body);
            if info.foreign {
                self.assembly.damage();
                took = Err(FOREIGN);
                continue;
            }
            self.begin_nal(info);
            self.assembly.push(stream.part_of(nal))?;
        }
        took
    }

    /// What there is of a fragmented NAL unit is of no use to a decoder.
    fn abandon_fragments(&mut self) {
        if let Some(Fragmented::InPlace { .. }) = self.fragmented.take() {
            self.assembly.unit().drop_element();
            self.damage();
        }
    }
}

/// A byte of a header that is not in the packet as it stands.
pub(crate) fn header_byte(byte: u8) -> Bytes {
    static EVERY: [u8; 256] = {
        let mut every = [0; 256];
        let mut at = 0;
        while at < every.len() {
            every[at] = at as u8;
            at += 1;
        }
        every
    };
    let at = usize::from(byte);
    Bytes::from_static(EVERY.get(at..=at).unwrap_or_default())
}

const FOREIGN: DepacketizeError = DepacketizeError::Malformed("NAL unit type");
