//! Uncompressed video (RFC 4175, `RAW`).
//!
//! A unit is a frame: all lines, in order, as groups of pixels. A frame of which packets are
//! missing has zeros in their place. The fields of interlaced video are units of their own; as
//! nothing tells which is which, these cannot be packetized.

mod geometry;

use bytes::Bytes;
use sdp::Format;
use smallvec::SmallVec;

use self::geometry::Geometry;
use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

/// Gives frames.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    geometry: Option<Geometry>,
    assembly: Assembly,
    max_unit: usize,
}

impl Depacketizer {
    /// For this format, whose parameters say how large frames are.
    pub fn new(format: &Format, limits: Limits) -> Self {
        let geometry = Geometry::of(format);
        Self { geometry, assembly: Assembly::new(limits), max_unit: limits.max_unit }
    }

    /// Appends zeros up to this place in the frame.
    fn fill(&mut self, place: usize) -> Result<(), DepacketizeError> {
        static ZEROS: [u8; 4096] = [0; 4096];
        let mut missing = place.saturating_sub(self.assembly.unit().len());
        if missing > 0 {
            self.assembly.damage();
        }
        while missing > 0 {
            let here = missing.min(ZEROS.len());
            self.assembly.push(Bytes::from_static(ZEROS.get(..here).unwrap_or_default()))?;
            missing -= here;
        }
        Ok(())
    }

    fn finish(&mut self, geometry: Geometry) {
        if self.assembly.has_bytes() {
            // It fits: that was seen before the first byte.
            let _ = self.fill(geometry.frame_bytes());
            self.assembly.unit().key = true;
        }
        self.assembly.finish();
    }

    fn take(&mut self, geometry: Geometry, packet: &Packet) -> Result<(), DepacketizeError> {
        // The high bits of the sequence number, then the headers of all lines, then their bytes.
        let mut headers = packet.payload.get(2..).ok_or(CUT)?;
        let mut segments: SmallVec<[(usize, usize); 4]> = SmallVec::new();
        loop {
            let Some((&[l0, l1, n0, n1, o0, o1], rest)) = headers.split_first_chunk() else {
                return Err(CUT);
            };
            headers = rest;
            let [length, line, offset] =
                [[l0, l1], [n0 & 0x7f, n1], [o0 & 0x7f, o1]].map(u16::from_be_bytes);
            let place = geometry.place(line, offset).ok_or(OUTSIDE)?;
            segments.push((place, usize::from(length)));
            if o0 & 0x80 == 0 {
                break;
            }
        }
        let mut data = packet.payload.slice_ref(headers);
        for (place, length) in segments {
            if length > data.len() || place + length > geometry.frame_bytes() {
                return Err(OUTSIDE);
            }
            let segment = data.split_to(length);
            if place < self.assembly.unit().len() {
                return Err(DepacketizeError::Malformed("lines out of order"));
            }
            self.fill(place)?;
            self.assembly.push(segment)?;
        }
        Ok(())
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        let Some(geometry) = self.geometry else {
            return Err(DepacketizeError::Unsupported("sampling, depth or size"));
        };
        if geometry.frame_bytes() > self.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.max_unit });
        }
        if self.assembly.is_open() && self.assembly.unit().timestamp != packet.timestamp {
            self.finish(geometry);
        }
        if self.assembly.arrive(&packet) {
            // What is missing shows by its place.
            self.assembly.begins_intact();
        }
        let took = self.take(geometry, &packet);
        if took.is_err() {
            self.assembly.damage();
        }
        if packet.marker {
            self.finish(geometry);
        }
        took
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.assembly.poll()
    }

    fn flush(&mut self) {
        if let Some(geometry) = self.geometry {
            self.finish(geometry);
        }
    }
}

/// Sends frames, with as many pixels in a payload as fit. The high bits of the sequence number,
/// of which nothing is known here, are sent as 0; receivers count for themselves.
#[derive(Clone, Debug)]
pub struct Packetizer {
    geometry: Option<Geometry>,
}

impl Packetizer {
    /// For this format, whose parameters say how large frames are.
    pub fn new(format: &Format) -> Self {
        Self { geometry: Geometry::of(format) }
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
        let geometry = match self.geometry {
            Some(geometry) if !geometry.interlaced => geometry,
            _ => return Err(PacketizeError::Unsupported("sampling, depth or interlacing")),
        };
        if unit.len() != geometry.frame_bytes() {
            return Err(PacketizeError::Malformed("size of a frame"));
        }
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        let mut at = 0;
        while at < unit.len() {
            let mut room = limit - 2;
            let mut segments: SmallVec<[(usize, usize); 4]> = SmallVec::new();
            let mut next = at;
            while room >= SEGMENT + geometry.group && next < unit.len() {
                let line_left = geometry.line_bytes - next % geometry.line_bytes;
                let fits = (room - SEGMENT) / geometry.group * geometry.group;
                let length = line_left.min(fits);
                segments.push((next, length));
                room -= SEGMENT + length;
                next += length;
            }
            payload.clear();
            payload.own(&[0, 0]);
            for (index, &(place, length)) in segments.iter().enumerate() {
                let (line, offset) = geometry.pixel(place);
                let [l0, l1] = (length as u16).to_be_bytes();
                let [n0, n1] = line.to_be_bytes();
                let [o0, o1] = offset.to_be_bytes();
                let more = if index + 1 < segments.len() { 0x80 } else { 0 };
                payload.own(&[l0, l1, n0, n1, o0 | more, o1]);
            }
            payload.lend_from(&mut cursor, next - at);
            payload.marker = next == unit.len();
            emit(&payload);
            at = next;
        }
        Ok(())
    }
}

/// The header of a piece of a line.
const SEGMENT: usize = 6;
const CUT: DepacketizeError = DepacketizeError::Malformed("line headers end too early");
const OUTSIDE: DepacketizeError = DepacketizeError::Malformed("pixels outside the frame");
