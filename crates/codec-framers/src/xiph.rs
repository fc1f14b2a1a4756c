//! Payloads of the Xiph codecs: Theora, and Vorbis, from which it was taken (RFC 5215).
//!
//! A unit is what one payload has: one or several of the codec's packets, each an element.
//! Codebooks sent in band are not heeded: those of the description are what readers know.

use bytes::Bytes;
use sdp::Format;
use smallvec::SmallVec;

use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::params::base64_list;
use crate::slices::Slices;

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// Video: key frames are told apart.
    Theora,
    /// Audio: every unit is a key.
    Vorbis,
}

/// Gives the codec's packets.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    codec: Codec,
    assembly: Assembly,
    /// Whether a fragmented packet is open.
    fragmented: bool,
}

impl Depacketizer {
    /// Before the first packet.
    pub fn new(codec: Codec, limits: Limits) -> Self {
        Self { codec, assembly: Assembly::new(limits), fragmented: false }
    }

    fn abandon(&mut self) {
        if std::mem::take(&mut self.fragmented) {
            self.assembly.discard();
        }
    }

    fn begin(&mut self, packet: &Packet, lost: u32, first: Option<&u8>) {
        self.assembly.arrive_at(packet.timestamp, lost);
        self.assembly.begins_intact();
        // The highest bit of a data packet is 0; then 0 is an intra frame.
        let key = self.codec == Codec::Vorbis || first.is_none_or(|first| first & 0xc0 == 0);
        self.assembly.unit().key = key;
    }

    fn whole(
        &mut self,
        packet: &Packet,
        count: u8,
        mut rest: Bytes,
    ) -> Result<(), DepacketizeError> {
        self.abandon();
        let first = rest.get(2);
        self.begin(packet, packet.lost, first);
        let mut took = Ok(());
        for _ in 0..count {
            let Some(data) = take_sized(&mut rest) else {
                self.assembly.damage();
                took = Err(CUT);
                break;
            };
            self.assembly.begin_element();
            self.assembly.push(data)?;
        }
        self.assembly.finish();
        took
    }

    fn fragment(
        &mut self,
        packet: &Packet,
        kind: u8,
        mut rest: Bytes,
    ) -> Result<(), DepacketizeError> {
        const START: u8 = 1;
        const END: u8 = 3;
        let Some(data) = take_sized(&mut rest) else {
            self.abandon();
            return Err(CUT);
        };
        if kind == START {
            self.abandon();
            self.begin(packet, packet.lost, data.first());
            self.fragmented = true;
            self.assembly.begin_element();
        } else if packet.lost > 0 || !self.fragmented || self.other_instant(packet) {
            self.abandon();
            // What is missing is told with the next unit.
            self.assembly.arrive(packet);
            self.assembly.discard();
            return Err(DepacketizeError::Orphaned("fragment without its first one"));
        }
        let took = self.assembly.push(data);
        if kind == END {
            self.fragmented = false;
            self.assembly.finish();
        }
        took
    }

    fn other_instant(&mut self, packet: &Packet) -> bool {
        self.assembly.unit().timestamp != packet.timestamp
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        // 24 bits of number, then: fragment type, data type, count of packets.
        let Some(&[_, _, _, flags]) = packet.payload.first_chunk() else {
            self.abandon();
            return Err(CUT);
        };
        let rest = packet.payload.slice(4..);
        match (flags >> 6, flags >> 4 & 3) {
            (0, 0) => self.whole(&packet, flags & 0x0f, rest),
            (fragment, 0) => self.fragment(&packet, fragment, rest),
            _ => {
                self.abandon();
                Err(DepacketizeError::Unsupported("configuration in band"))
            }
        }
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.assembly.poll()
    }

    fn flush(&mut self) {
        self.abandon();
    }
}

/// Sends the codec's packets under the number of the description's configuration.
#[derive(Clone, Debug)]
pub struct Packetizer {
    number: [u8; 3],
}

impl Packetizer {
    /// For receivers that know this description.
    pub fn for_format(format: &Format) -> Self {
        // A count of configurations, then the first one's number.
        let configuration = format.parameter("configuration").unwrap_or_default();
        let number = base64_list(configuration).next().and_then(|bytes| {
            let bytes: [u8; 7] = *bytes.first_chunk()?;
            Some([bytes[4], bytes[5], bytes[6]])
        });
        Self { number: number.unwrap_or_default() }
    }

    fn header(&self, flags: u8) -> [u8; 4] {
        let [a, b, c] = self.number;
        [a, b, c, flags]
    }
}

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let mut payload = Payload::new(unit.timestamp);
        let mut elements = unit.elements().peekable();
        while let Some(data) = elements.next() {
            payload.clear();
            if data.len() + HEADER > limit {
                self.fragments(data, limit, &mut payload, emit);
                continue;
            }
            let mut room = limit - HEADER - data.len();
            let mut group: SmallVec<[Slices<'_>; 15]> = SmallVec::new();
            group.push(data);
            while group.len() < 15
                && let Some(next) = elements.next_if(|next| next.len() + 2 <= room)
            {
                room -= next.len() + 2;
                group.push(next);
            }
            payload.own(&self.header(group.len() as u8));
            for data in group {
                // Shorter than a payload.
                payload.own(&(data.len() as u16).to_be_bytes());
                payload.lend_all(data);
            }
            emit(&payload);
        }
        Ok(())
    }
}

impl Packetizer {
    fn fragments<'a>(
        &self,
        data: Slices<'a>,
        limit: usize,
        payload: &mut Payload<'a>,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) {
        let mut cursor = data.cursor();
        let mut kind = 1;
        while cursor.remaining() > 0 {
            let here = cursor.remaining().min(limit - HEADER);
            if here == cursor.remaining() {
                kind = 3;
            }
            payload.clear();
            payload.own(&self.header(kind << 6));
            payload.own(&(here as u16).to_be_bytes());
            payload.lend_from(&mut cursor, here);
            emit(payload);
            kind = 2;
        }
    }
}

/// Takes data behind its length of 16 bits.
fn take_sized(rest: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
    if length + 2 > rest.len() {
        return None;
    }
    let _ = rest.split_to(2);
    Some(rest.split_to(length))
}

/// The header of a payload and a length.
const HEADER: usize = 6;
const CUT: DepacketizeError = DepacketizeError::Malformed("payload ends too early");
