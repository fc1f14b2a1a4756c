//! Payloads of H.265 (RFC 7798) and H.266 (RFC 9328), whose NAL units have two bytes of header.

use bytes::Bytes;
use sdp::Format;
use smallvec::{SmallVec, smallvec};

use crate::access_unit::AccessUnit;
use crate::depacketizer::{DepacketizeError, Depacketizer, Limits};
use crate::nal::order::OrderQueue;
use crate::nal::stream::{NalCodec, NalStream, header_byte};
use crate::packet::Packet;
use crate::packetizer::{MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Packetizer, Payload};
use crate::slices::Slices;

/// What differs between the two.
pub(crate) trait WideCodec: NalCodec {
    /// The type of aggregation packets.
    const AGGREGATE: u8;
    /// The type of fragmentation units.
    const FRAGMENT: u8;
    /// The type of payloads with extensions, where there are any.
    const EXTENDED: Option<u8>;
    /// The bits of a fragment's header that hold the type.
    const FRAGMENT_TYPE: u8;

    fn kind(header: [u8; 2]) -> u8;

    /// The same header with another type.
    fn with_kind(header: [u8; 2], kind: u8) -> [u8; 2];

    fn layer(header: [u8; 2]) -> u8;

    /// The same header for what belongs to several layers and temporal sublayers: the lowest.
    fn lowest(left: [u8; 2], right: [u8; 2]) -> [u8; 2];
}

/// Whether payloads carry decoding order numbers (`sprop-max-don-diff`).
fn largest_difference(format: &Format) -> Option<u16> {
    let value = format.parameter("sprop-max-don-diff")?.trim().parse().ok()?;
    (value > 0).then_some(value)
}

/// Gives access units of NAL units.
#[derive(Clone, Debug)]
pub(crate) struct WideDepacketizer<C> {
    stream: NalStream<C>,
    numbered: bool,
}

impl<C: WideCodec> WideDepacketizer<C> {
    pub(crate) fn new(codec: C, format: &Format, limits: Limits) -> Self {
        let difference = largest_difference(format);
        let depth = format.parameter("sprop-depack-buf-nalus");
        let depth = depth.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let order = difference.map(|_| OrderQueue::new(depth, difference, limits.max_unit));
        let numbered = order.is_some();
        Self { stream: NalStream::new(codec, order, limits), numbered }
    }

    fn payload(
        &mut self,
        packet: &Packet,
        header: [u8; 2],
        body: Bytes,
    ) -> Result<(), DepacketizeError> {
        match C::kind(header) {
            kind if kind == C::AGGREGATE => self.aggregate(packet, body),
            kind if kind == C::FRAGMENT => self.fragment(packet, header, body),
            kind if Some(kind) == C::EXTENDED => self.extended(packet, header, body),
            _ => self.single(packet, header, body),
        }
    }

    fn single(
        &mut self,
        packet: &Packet,
        header: [u8; 2],
        mut body: Bytes,
    ) -> Result<(), DepacketizeError> {
        let at_start = packet.payload.starts_with(&header);
        if !self.numbered && at_start && body.len() + 2 == packet.payload.len() {
            return self.stream.whole(packet.timestamp, 0, packet.lost, packet.payload.clone());
        }
        // Header and body do not stand together.
        let number = self.take_number(&mut body)?;
        let (timestamp, lost) = (packet.timestamp, packet.lost);
        self.stream.begin_fragments(timestamp, number, lost, (header, in_slices(header)), body)?;
        self.stream.end_fragments()
    }

    fn aggregate(&mut self, packet: &Packet, mut rest: Bytes) -> Result<(), DepacketizeError> {
        let mut lost = packet.lost;
        let mut number = self.take_number(&mut rest)?;
        let mut first = true;
        while !rest.is_empty() {
            if self.numbered && !std::mem::take(&mut first) {
                let difference = rest.first().copied().unwrap_or_default();
                number = number.wrapping_add(u16::from(difference) + 1);
                rest = rest.slice(1..);
            }
            let Some(&[high, low]) = rest.first_chunk() else { return Err(self.cut()) };
            let end = 2 + usize::from(u16::from_be_bytes([high, low]));
            if end > rest.len() {
                return Err(self.cut());
            }
            let unit = rest.slice(2..end);
            rest = rest.slice(end..);
            self.stream.whole(packet.timestamp, number, std::mem::take(&mut lost), unit)?;
        }
        Ok(())
    }

    fn fragment(
        &mut self,
        packet: &Packet,
        header: [u8; 2],
        mut body: Bytes,
    ) -> Result<(), DepacketizeError> {
        let Some(&fragment) = body.first() else { return Err(self.cut()) };
        body = body.slice(1..);
        let (start, end) = (fragment & 0x80 != 0, fragment & 0x40 != 0);
        let own = C::with_kind(header, fragment & C::FRAGMENT_TYPE);
        let took = if start {
            let number = self.take_number(&mut body)?;
            let (timestamp, lost) = (packet.timestamp, packet.lost);
            self.stream.begin_fragments(timestamp, number, lost, (own, in_slices(own)), body)
        } else {
            self.stream.fragment(packet.timestamp, own, body)
        };
        if end && took.is_ok() {
            return self.stream.end_fragments();
        }
        took
    }

    /// A payload with extensions before it (RFC 7798 section 4.4.4): of what kind it is stands
    /// there. What they say is of use only to who drops layers.
    fn extended(
        &mut self,
        packet: &Packet,
        header: [u8; 2],
        body: Bytes,
    ) -> Result<(), DepacketizeError> {
        let Some(&[high, low]) = body.first_chunk() else { return Err(self.cut()) };
        let [first, second] = C::with_kind(header, high >> 1 & 0x3f);
        let inner = [first & 0x7f | high & 0x80, second];
        let start = 2 + usize::from((high & 1) << 4 | low >> 4);
        if start > body.len() || Some(C::kind(inner)) == C::EXTENDED {
            return Err(self.cut());
        }
        self.payload(packet, inner, body.slice(start..))
    }

    fn take_number(&mut self, body: &mut Bytes) -> Result<u16, DepacketizeError> {
        if !self.numbered {
            return Ok(0);
        }
        let Some(&[high, low]) = body.first_chunk() else { return Err(self.cut()) };
        *body = body.slice(2..);
        Ok(u16::from_be_bytes([high, low]))
    }

    fn cut(&mut self) -> DepacketizeError {
        self.stream.damage();
        DepacketizeError::Malformed("payload ends too early")
    }
}

impl<C: WideCodec> Depacketizer for WideDepacketizer<C> {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.stream.begin_packet(packet.timestamp, packet.lost);
        let took = if packet.payload.starts_with(&[0, 0, 1])
            || packet.payload.starts_with(&[0, 0, 0, 1])
        {
            self.stream.whole(packet.timestamp, 0, packet.lost, packet.payload.clone())
        } else if let Some(&header) = packet.payload.first_chunk() {
            self.payload(&packet, header, packet.payload.slice(2..))
        } else {
            Ok(())
        };
        let ended = self.stream.end_packet(packet.marker);
        took.and(ended)
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.stream.poll()
    }

    fn flush(&mut self) {
        self.stream.flush();
    }
}

fn in_slices([first, second]: [u8; 2]) -> SmallVec<[Bytes; 2]> {
    smallvec![header_byte(first), header_byte(second)]
}

/// Sends NAL units in their order: small ones together, large ones in fragments.
#[derive(Clone, Debug)]
pub(crate) struct WidePacketizer<C> {
    codec: std::marker::PhantomData<C>,
    /// The next decoding order number, where there are any.
    number: Option<u16>,
}

impl<C: WideCodec> WidePacketizer<C> {
    pub(crate) fn for_format(format: &Format) -> Self {
        let number = largest_difference(format).map(|_| 0);
        Self { codec: std::marker::PhantomData, number }
    }

    fn next_number(&mut self) -> SmallVec<[u8; 2]> {
        let Some(number) = &mut self.number else { return SmallVec::new() };
        let bytes = number.to_be_bytes();
        *number = number.wrapping_add(1);
        bytes.into()
    }

    fn single<'a>(&mut self, nal: Slices<'a>, payload: &mut Payload<'a>) {
        let mut cursor = nal.cursor();
        if self.number.is_some() {
            payload.lend_from(&mut cursor, 2);
            payload.own(&self.next_number());
        }
        payload.lend_from(&mut cursor, usize::MAX);
    }

    fn aggregate<'a>(&mut self, group: &[Slices<'a>], payload: &mut Payload<'a>) {
        let headers = group.iter().filter_map(|nal| nal.first_chunk());
        let lowest = headers.reduce(C::lowest).unwrap_or_default();
        payload.own(&C::with_kind(lowest, C::AGGREGATE));
        for (at, nal) in group.iter().enumerate() {
            let number = self.next_number();
            match at {
                0 => payload.own(&number),
                // Each number follows the one before.
                _ if self.number.is_some() => payload.own(&[0]),
                _ => {}
            }
            // What is in an aggregate is shorter than a packet.
            payload.own(&(nal.len() as u16).to_be_bytes());
            payload.lend_all(*nal);
        }
    }

    fn fragment<'a>(
        &mut self,
        nal: Slices<'a>,
        limit: usize,
        last: bool,
        payload: &mut Payload<'a>,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) {
        let mut cursor = nal.cursor();
        let Some(header) = cursor.chunk() else { return };
        let mut start = 0x80;
        while cursor.remaining() > 0 {
            let number = if start == 0 { SmallVec::new() } else { self.next_number() };
            let body = limit - 3 - number.len();
            let end = if cursor.remaining() <= body { 0x40 } else { 0 };
            payload.clear();
            payload.own(&C::with_kind(header, C::FRAGMENT));
            payload.own(&[start | end | C::kind(header)]);
            payload.own(&number);
            payload.lend_from(&mut cursor, body);
            payload.marker = last && end != 0;
            emit(payload);
            start = 0;
        }
    }
}

impl<C: WideCodec> Packetizer for WidePacketizer<C> {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let kinds = unit.elements().filter_map(|nal| nal.first_chunk()).map(C::kind);
        if kinds.clone().any(|kind| kind >= C::AGGREGATE) || kinds.count() < unit.element_count() {
            return Err(PacketizeError::Malformed("NAL unit"));
        }
        let (first, further) = if self.number.is_some() { (2, 1) } else { (0, 0) };
        let mut elements = unit.elements().peekable();
        let mut payload = Payload::new(unit.timestamp);
        while let Some(nal) = elements.next() {
            payload.clear();
            let size = nal.len() + first;
            if size > limit {
                let last = elements.peek().is_none();
                self.fragment(nal, limit, last, &mut payload, emit);
                continue;
            }
            let mut room = limit.saturating_sub(2 + 2 + size);
            let mut group: SmallVec<[Slices<'_>; 8]> = smallvec![nal];
            while let Some(next) = elements.next_if(|next| further + 2 + next.len() <= room) {
                room -= further + 2 + next.len();
                group.push(next);
            }
            match group.as_slice() {
                [only] => self.single(*only, &mut payload),
                several => self.aggregate(several, &mut payload),
            }
            payload.marker = elements.peek().is_none();
            emit(&payload);
        }
        Ok(())
    }
}

/// Public types around the ones of this module.
macro_rules! wide_codec {
    ($codec:ty, $new:expr) => {
        /// Gives access units of NAL units, in decoding order.
        ///
        /// A unit ends by the marker, by the next timestamp, and where a NAL unit comes that
        /// only a new one can begin with. Where slices of a picture go on behind its marker,
        /// markers are not heeded any more, until many pictures in a row have had one and at
        /// their end. A NAL unit of which a fragment is missing is left out.
        #[derive(Clone, Debug)]
        pub struct Depacketizer($crate::nal::wide::WideDepacketizer<$codec>);

        impl Depacketizer {
            /// For this format: whether NAL units have decoding order numbers stands in its
            /// parameters.
            pub fn new(format: &sdp::Format, limits: $crate::depacketizer::Limits) -> Self {
                Self($crate::nal::wide::WideDepacketizer::new($new(format), format, limits))
            }
        }

        impl $crate::depacketizer::Depacketizer for Depacketizer {
            fn push(
                &mut self,
                packet: $crate::packet::Packet,
            ) -> Result<(), $crate::depacketizer::DepacketizeError> {
                self.0.push(packet)
            }

            fn poll(&mut self) -> Option<$crate::access_unit::AccessUnit> {
                self.0.poll()
            }

            fn flush(&mut self) {
                self.0.flush();
            }
        }

        /// Sends NAL units in their order: small ones together, large ones in fragments.
        #[derive(Clone, Debug)]
        pub struct Packetizer($crate::nal::wide::WidePacketizer<$codec>);

        impl Packetizer {
            /// For receivers that know this description: it says whether there are decoding
            /// order numbers.
            pub fn for_format(format: &sdp::Format) -> Self {
                Self($crate::nal::wide::WidePacketizer::for_format(format))
            }
        }

        impl $crate::packetizer::Packetizer for Packetizer {
            fn packetize(
                &mut self,
                unit: &$crate::access_unit::AccessUnit,
                limit: usize,
                emit: &mut dyn FnMut(&$crate::packetizer::Payload<'_>),
            ) -> Result<(), $crate::packetizer::PacketizeError> {
                self.0.packetize(unit, limit, emit)
            }
        }
    };
}

pub(crate) use wide_codec;
