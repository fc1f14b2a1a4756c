//! Access units out of payloads.

use bytes::{Buf, Bytes};
use rtp_rtcp::RtpTime;
use sdp::Format;
use smallvec::smallvec;

use super::glance::H264;
use super::kind::*;
use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::nal::order::OrderQueue;
use crate::nal::stream::{NalStream, header_byte};
use crate::packet::Packet;

/// Gives access units of NAL units.
///
/// A unit ends by the marker, by the next timestamp, and where a NAL unit comes that only a new
/// one can begin with. Where slices of a picture go on behind its marker, markers are not heeded
/// any more, until many pictures in a row have had one and at their end. A NAL unit of which a fragment is missing is left out.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    stream: NalStream<H264>,
}

impl Depacketizer {
    /// For this format: whether NAL units are interleaved stands in its parameters.
    pub fn new(format: &Format, limits: Limits) -> Self {
        let number = |name| format.parameter(name).and_then(|text| text.trim().parse().ok());
        let interleaved = number("packetization-mode") == Some(2_u16);
        let order = interleaved.then(|| {
            let depth = usize::from(number("sprop-interleaving-depth").unwrap_or(0));
            OrderQueue::new(depth, number("sprop-max-don-diff"), limits.max_unit)
        });
        Self { stream: NalStream::new(H264::new(format), order, limits) }
    }

    fn payload(&mut self, packet: &mut Packet) -> Result<(), DepacketizeError> {
        let payload = &packet.payload;
        let Some(&first) = payload.first() else { return Ok(()) };
        match first & TYPE {
            STAP_A => self.aggregate(packet, payload.slice(1..), Aggregate::SingleTime { at: 0 }),
            STAP_B | MTAP16 | MTAP24 => {
                let Some(&[_, high, low]) = payload.first_chunk() else { return Err(CUT) };
                let base = u16::from_be_bytes([high, low]);
                let aggregate = match first & TYPE {
                    STAP_B => Aggregate::SingleTime { at: base },
                    MTAP16 => Aggregate::SeveralTimes { base, offset: 2 },
                    _ => Aggregate::SeveralTimes { base, offset: 3 },
                };
                self.aggregate(packet, payload.slice(3..), aggregate)
            }
            FU_A => self.fragment(packet, first, false),
            FU_B => self.fragment(packet, first, true),
            PACSI | 31 => Err(DepacketizeError::Unsupported("NAL unit type of a payload")),
            _ => self.stream.whole(packet.timestamp, 0, packet.lost, payload),
        }
    }

    fn aggregate(
        &mut self,
        packet: &Packet,
        mut rest: Bytes,
        aggregate: Aggregate,
    ) -> Result<(), DepacketizeError> {
        let mut lost = packet.lost;
        let mut number = aggregate.first_number();
        while !rest.is_empty() {
            let Some(&[high, low]) = rest.first_chunk() else { return Err(CUT) };
            let mut size = usize::from(u16::from_be_bytes([high, low]));
            let mut timestamp = packet.timestamp;
            let mut start = 2;
            if let Aggregate::SeveralTimes { base, offset } = aggregate {
                let Some(own) = rest.get(2..3 + offset) else { return Err(CUT) };
                let Some((&difference, time)) = own.split_first() else { return Err(CUT) };
                number = base.wrapping_add(u16::from(difference));
                let ticks = time.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
                timestamp = RtpTime(timestamp.0.wrapping_add(ticks));
                start = 3 + offset;
            }
            // Some senders count the whole rest or more as the last unit's size.
            let cut = start + size > rest.len();
            if cut {
                size = rest.len() - start;
            }
            let unit = rest.slice(start..start + size);
            rest = rest.slice(start + size..);
            let nested = unit.first().is_none_or(|first| first & TYPE >= STAP_A);
            if cut || nested {
                self.stream.damage();
                if cut {
                    return Err(CUT);
                }
                continue;
            }
            self.stream.whole(timestamp, number, std::mem::take(&mut lost), &unit)?;
            number = number.wrapping_add(1);
        }
        Ok(())
    }

    fn fragment(
        &mut self,
        packet: &mut Packet,
        indicator: u8,
        numbered: bool,
    ) -> Result<(), DepacketizeError> {
        let Some(&[_, header]) = packet.payload.first_chunk() else { return Err(CUT) };
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        // The unit's own header is spread over indicator and fragment header.
        let own = indicator & !TYPE | header & TYPE;
        // Most packets are fragments: they are taken, not shared.
        let mut body = std::mem::take(&mut packet.payload);
        body.advance(2);
        let mut number = 0;
        if numbered {
            let Some(&[high, low]) = body.first_chunk() else { return Err(CUT) };
            number = u16::from_be_bytes([high, low]);
            body.advance(2);
        }
        let took = if start {
            let header = ([own, 0], smallvec![header_byte(own)]);
            self.stream.begin_fragments(packet.timestamp, number, packet.lost, header, body)
        } else {
            self.stream.fragment(packet.timestamp, [own, 0], body)
        };
        if end && took.is_ok() {
            return self.stream.end_fragments();
        }
        took
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, mut packet: Packet) -> Result<(), DepacketizeError> {
        self.stream.begin_packet(&packet);
        let took = self.payload(&mut packet);
        self.stream.end_packet(packet.marker);
        took
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.stream.poll()
    }

    fn flush(&mut self) {
        self.stream.flush();
    }
}

/// How the units of an aggregate get their numbers and times.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    /// All at the packet's time, numbered from `at`.
    SingleTime { at: u16 },
    /// Each at its own time, an offset of so many bytes, numbered as it says itself.
    SeveralTimes { base: u16, offset: usize },
}

impl Aggregate {
    fn first_number(self) -> u16 {
        match self {
            Self::SingleTime { at } => at,
            Self::SeveralTimes { base, .. } => base,
        }
    }
}

const CUT: DepacketizeError = DepacketizeError::Malformed("payload ends too early");
