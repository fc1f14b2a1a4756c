//! From packets to frames.

use bytes::Bytes;
use rtp_rtcp::RtpTime;
use sdp::Format;

use super::FrameHeader;
use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;

/// Gives frames.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    assembly: Assembly,
    clock_rate: u32,
    /// The length of the frame that is arriving in fragments; `None` in free format.
    fragmented: Option<Option<usize>>,
    /// The time of the packet in which it began.
    origin: Option<RtpTime>,
}

impl Depacketizer {
    /// Before the first packet of this format.
    pub fn new(format: &Format, limits: Limits) -> Self {
        let clock_rate = format.clock_rate;
        Self { assembly: Assembly::new(limits), clock_rate, fragmented: None, origin: None }
    }

    fn abandon(&mut self) {
        if self.fragmented.take().is_some() {
            self.assembly.discard();
        }
    }

    /// The frame in fragments has no more of them: of one in free format that is its end.
    fn end_fragments(&mut self, lost: u32) {
        if lost == 0 && self.fragmented == Some(None) {
            self.fragmented = None;
            self.assembly.finish();
        }
        self.abandon();
    }

    fn begin(&mut self, timestamp: RtpTime, lost: u32, header: FrameHeader, marker: bool) {
        self.assembly.arrive_at(timestamp, lost);
        self.assembly.begins_intact();
        let unit = self.assembly.unit();
        unit.key = true;
        unit.marker = marker;
        unit.duration = Some(header.ticks(1, self.clock_rate));
    }

    fn frames(&mut self, packet: &Packet, mut rest: Bytes) -> Result<(), DepacketizeError> {
        self.end_fragments(packet.lost);
        let (mut lost, mut at, mut took) = (packet.lost, 0, Ok(()));
        while !rest.is_empty() {
            let Some(header) = rest.first_chunk().and_then(|head| FrameHeader::read(*head)) else {
                self.miss(packet, lost);
                return Err(DepacketizeError::Malformed("no frame header"));
            };
            let timestamp = packet.timestamp.plus(header.ticks(at, self.clock_rate));
            self.begin(timestamp, lost, header, packet.marker && at == 0);
            lost = 0;
            at += 1;
            match header.length {
                Some(length) if length <= rest.len() => {
                    let pushed = self.assembly.push(rest.split_to(length));
                    took = took.and(pushed);
                    self.assembly.finish();
                }
                length => {
                    self.fragmented = Some(length);
                    self.origin = Some(packet.timestamp);
                    let pushed = self.assembly.push(std::mem::take(&mut rest));
                    took = took.and(pushed);
                }
            }
        }
        took
    }

    fn fragment(
        &mut self,
        packet: &Packet,
        offset: usize,
        mut rest: Bytes,
    ) -> Result<(), DepacketizeError> {
        let have = self.assembly.unit().len();
        // Of a frame that began behind others, senders round the time, or keep that of the packet.
        let time = self.assembly.unit().timestamp;
        let same = packet.timestamp.ahead_of(time).unsigned_abs() <= 2
            || self.origin == Some(packet.timestamp);
        let goes_on = packet.lost == 0 && have == offset && same;
        let Some(length) = self.fragmented.filter(|_| goes_on) else {
            self.abandon();
            self.miss(packet, packet.lost);
            return Err(DepacketizeError::Orphaned("fragment of a frame without what precedes"));
        };
        if let Some(length) = length {
            rest.truncate(length.saturating_sub(offset));
        }
        let took = self.assembly.push(rest);
        if length.is_some_and(|length| self.assembly.unit().len() >= length) {
            self.fragmented = None;
            self.assembly.finish();
        }
        took
    }

    /// What is lost is told with the next frame.
    fn miss(&mut self, packet: &Packet, lost: u32) {
        self.assembly.arrive_at(packet.timestamp, lost);
        self.assembly.discard();
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        let Some(&[_, _, high, low]) = packet.payload.first_chunk() else {
            self.abandon();
            self.miss(&packet, packet.lost);
            return Err(DepacketizeError::Malformed("payload ends too early"));
        };
        let rest = packet.payload.slice(4..);
        match u16::from_be_bytes([high, low]) {
            0 => self.frames(&packet, rest),
            offset => self.fragment(&packet, offset.into(), rest),
        }
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.assembly.poll()
    }

    fn flush(&mut self) {
        self.end_fragments(0);
    }
}
