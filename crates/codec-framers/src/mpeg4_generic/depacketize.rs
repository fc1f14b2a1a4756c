//! From packets to access units.

use bytes::Bytes;
use rtp_rtcp::RtpTime;
use sdp::{Format, MediaKind};
use smallvec::SmallVec;

use super::Layout;
use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::bits::Bits;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::interleave::Interleave;
use crate::packet::Packet;

/// Units of one packet at most.
const MAX_UNITS: usize = 1024;

const CUT: DepacketizeError = DepacketizeError::Malformed("payload ends too early");

/// Gives access units.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    layout: Layout,
    assembly: Assembly,
    /// Of the unit that is arriving in fragments: its length, where that is told.
    fragmented: Option<Option<usize>>,
    order: Interleave,
    /// Whether units have come in another order than that of their times.
    interleaved: bool,
}

/// What stands before all units about one of them (RFC 3640 section 3.2.1.1).
#[derive(Clone, Copy, Debug, Default)]
struct Header {
    size: Option<usize>,
    /// How many units lie between the one before and this one.
    skipped: u32,
    /// How much later than the packet's timestamp, where told.
    cts: Option<u32>,
    random_access: bool,
}

impl Depacketizer {
    /// Before the first packet of this format.
    pub fn new(kind: &MediaKind, format: &Format, limits: Limits) -> Self {
        Self {
            layout: Layout::of(kind, format),
            assembly: Assembly::new(limits),
            fragmented: None,
            order: Interleave::new(limits.max_unit),
            interleaved: false,
        }
    }

    fn abandon(&mut self) {
        if self.fragmented.take().is_some() {
            self.assembly.discard();
        }
    }

    fn take(&mut self, packet: &Packet) -> Result<(), DepacketizeError> {
        let mut payload = packet.payload.clone();
        let headers = match self.headers(&mut payload) {
            Ok(headers) if !payload.is_empty() => headers,
            headers => {
                // What is lost is told with the next unit.
                self.abandon();
                self.assembly.arrive(packet);
                self.assembly.discard();
                return Err(headers.err().unwrap_or(CUT));
            }
        };
        match *headers.as_slice() {
            [header] => {
                let size = header.size.or(self.layout.constant_size);
                let whole = match size {
                    Some(size) => size <= payload.len(),
                    // All that says that more follows is a marker that is missing.
                    None => packet.marker && self.fragmented.is_none(),
                };
                if !whole {
                    return self.fragment(packet, header, size, payload);
                }
                let unit = payload.split_to(size.unwrap_or(payload.len()));
                self.abandon();
                self.whole(packet.timestamp, header, packet.lost, unit)
            }
            _ => self.several(packet, &headers, payload),
        }
    }

    fn headers(&self, payload: &mut Bytes) -> Result<SmallVec<[Header; 8]>, DepacketizeError> {
        let layout = &self.layout;
        let mut headers = SmallVec::new();
        if layout.has_headers() {
            let &[high, low] = payload.first_chunk().ok_or(CUT)?;
            let length = usize::from(u16::from_be_bytes([high, low]));
            let end = 2 + length.div_ceil(8);
            if payload.len() < end {
                return Err(CUT);
            }
            let section = payload.split_to(end);
            let mut bits = Bits::plain(section.get(2..).unwrap_or_default());
            let mut left = length;
            // The bits of one header, or as many as there are of the last one.
            while left > 0 && headers.len() < MAX_UNITS {
                let Some((header, read)) = header(layout, &mut bits, headers.is_empty()) else {
                    break;
                };
                let Some(rest) = left.checked_sub(read.max(1)) else { break };
                left = rest;
                headers.push(header);
            }
        }
        if layout.auxiliary_size > 0 {
            let mut bits = Bits::plain(payload);
            let length = bits.bits(layout.auxiliary_size).ok_or(CUT)? as usize;
            let end = (usize::from(layout.auxiliary_size) + length).div_ceil(8);
            if payload.len() < end {
                return Err(CUT);
            }
            let _ = payload.split_to(end);
        }
        if headers.is_empty() {
            if layout.has_headers() {
                return Err(DepacketizeError::Malformed("no header of an access unit"));
            }
            let count = layout.constant_size.map_or(1, |size| payload.len() / size).max(1);
            headers.resize(count.min(MAX_UNITS), Header::default());
        }
        Ok(headers)
    }

    fn whole(
        &mut self,
        timestamp: RtpTime,
        header: Header,
        lost: u32,
        bytes: Bytes,
    ) -> Result<(), DepacketizeError> {
        self.begin(timestamp, header, lost);
        let took = self.assembly.push(bytes);
        self.assembly.finish();
        took
    }

    fn begin(&mut self, timestamp: RtpTime, header: Header, lost: u32) {
        self.assembly.arrive_at(timestamp, lost);
        self.assembly.begins_intact();
        let unit = self.assembly.unit();
        unit.duration = self.layout.duration;
        unit.key = self.layout.audio || header.random_access || !self.layout.random_access;
    }

    fn several(
        &mut self,
        packet: &Packet,
        headers: &[Header],
        mut payload: Bytes,
    ) -> Result<(), DepacketizeError> {
        self.abandon();
        let duration = self.layout.duration.unwrap_or_default();
        let (mut offset, mut lost, mut took) = (0_u32, packet.lost, Ok(()));
        for (at, &header) in headers.iter().enumerate() {
            let size = header.size.or(self.layout.constant_size).unwrap_or(payload.len());
            if size > payload.len() {
                return Err(CUT);
            }
            if at > 0 {
                self.interleaved |= header.skipped > 0;
                offset = offset.wrapping_add(duration.wrapping_mul(header.skipped.wrapping_add(1)));
            }
            let time = packet.timestamp.plus(header.cts.unwrap_or(offset));
            let unit = self.whole(time, header, lost, payload.split_to(size));
            took = took.and(unit);
            lost = 0;
        }
        took
    }

    fn fragment(
        &mut self,
        packet: &Packet,
        header: Header,
        size: Option<usize>,
        payload: Bytes,
    ) -> Result<(), DepacketizeError> {
        let goes_on = self.fragmented == Some(size)
            && packet.lost == 0
            && self.assembly.unit().timestamp == packet.timestamp;
        if !goes_on {
            self.abandon();
            // Whether this is the first fragment is known only at the end, by the length. Where
            // that is not told, nothing but the packets' numbers says so.
            self.begin(packet.timestamp, header, packet.lost);
            if size.is_none() && packet.lost > 0 {
                self.assembly.damage();
            }
            self.fragmented = Some(size);
        }
        let took = self.assembly.push(payload);
        let have = self.assembly.unit().len();
        let ended = size.map_or(packet.marker, |size| have >= size || packet.marker);
        if ended {
            if took.is_ok() && size.is_some_and(|size| have != size && have > 0) {
                self.abandon();
                return Err(DepacketizeError::Orphaned("fragments without the first one"));
            }
            self.fragmented = None;
            self.assembly.finish();
        }
        took
    }
}

/// Reads one header and tells how many bits it has.
fn header(layout: &Layout, bits: &mut Bits<'_>, first: bool) -> Option<(Header, usize)> {
    let mut read = 0;
    let mut field = |count: u8| {
        read += usize::from(count);
        bits.bits(count)
    };
    let size = field(layout.size)?;
    let index = field(if first { layout.index } else { layout.index_delta })?;
    let timed = |count: u8, field: &mut dyn FnMut(u8) -> Option<u32>| {
        if count == 0 || field(1)? == 0 {
            return Some(None);
        }
        let value = field(count)?;
        // Two's complement of `count` bits.
        let unused = 32 - u32::from(count);
        Some(Some(((value << unused) as i32 >> unused) as u32))
    };
    let cts = timed(layout.cts_delta, &mut field)?;
    let _dts = timed(layout.dts_delta, &mut field)?;
    let random_access = layout.random_access && field(1)? == 1;
    let _state = field(layout.stream_state)?;
    let size = (layout.size > 0).then_some(size as usize);
    let skipped = if first { 0 } else { index };
    Some((Header { size, skipped, cts, random_access }, read))
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        let took = self.take(&packet);
        if self.interleaved {
            self.order.packet(packet.timestamp);
            while let Some(unit) = self.assembly.poll() {
                self.order.push(unit);
            }
            self.order.end(packet.timestamp);
        }
        took
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        if self.interleaved { self.order.poll() } else { self.assembly.poll() }
    }

    fn flush(&mut self) {
        self.abandon();
        self.order.flush();
    }
}
