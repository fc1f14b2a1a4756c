//! From packets to ADU frames.

use std::collections::BTreeMap;

use bytes::Bytes;
use rtp_rtcp::RtpTime;
use sdp::Format;

use super::{CONTINUES, LONG};
use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::depacketizer::{self, DepacketizeError, Limits, Ready};
use crate::mpa::FrameHeader;
use crate::packet::Packet;

const CUT: DepacketizeError = DepacketizeError::Malformed("payload ends too early");

/// Gives ADU frames, in the order of their times.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    clock_rate: u32,
    assembly: Assembly,
    /// The length of the frame that is arriving in fragments, and its place.
    fragmented: Option<(usize, Option<Place>)>,
    cycle: Cycle,
}

/// Where an interleaved frame belongs (RFC 5219 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    cycle: u8,
    index: u8,
}

/// Frames of one cycle that wait for those before them.
#[derive(Clone, Debug, Default)]
struct Cycle {
    number: u8,
    next: u16,
    held: BTreeMap<u8, AccessUnit>,
    bytes: usize,
    ready: Ready,
}

impl Depacketizer {
    /// Before the first packet of this format.
    pub fn new(format: &Format, limits: Limits) -> Self {
        Self {
            clock_rate: format.clock_rate,
            assembly: Assembly::new(limits),
            fragmented: None,
            cycle: Cycle::default(),
        }
    }

    fn abandon(&mut self) {
        if self.fragmented.take().is_some() {
            self.assembly.discard();
        }
    }

    /// What is lost is told with the next frame.
    fn miss(&mut self, packet: &Packet, lost: u32) {
        self.assembly.arrive_at(packet.timestamp, lost);
        self.assembly.discard();
    }

    fn frames(&mut self, packet: &Packet) -> Result<(), DepacketizeError> {
        let mut rest = packet.payload.clone();
        let mut lost = packet.lost;
        // Place and time of the packet's first frame, and how many came so far.
        let mut first: Option<(Option<Place>, RtpTime)> = None;
        let mut count = 0;
        let mut took = Ok(());
        while !rest.is_empty() {
            let parsed = descriptor(&mut rest).and_then(|(continues, size)| {
                let head = rest.first_chunk().filter(|_| !continues && size >= 4).ok_or(CUT)?;
                let no_frame = DepacketizeError::Malformed("no frame header");
                let (head, place) = restored(*head);
                Ok((size, place, head, FrameHeader::read(head).ok_or(no_frame)?))
            });
            let (size, place, head, header) = match parsed {
                Ok(parsed) => parsed,
                Err(error) => {
                    self.miss(packet, lost);
                    return Err(error);
                }
            };
            let &mut (origin, mut time) = first.get_or_insert((place, packet.timestamp));
            let later = match (origin, place) {
                (Some(origin), Some(place)) if origin.cycle == place.cycle => {
                    i64::from(place.index) - i64::from(origin.index)
                }
                _ => i64::from(count),
            };
            let ticks = header.ticks(later.unsigned_abs() as u32, self.clock_rate);
            time = time.plus(if later < 0 { ticks.wrapping_neg() } else { ticks });
            self.assembly.arrive_at(time, lost);
            self.assembly.begins_intact();
            let unit = self.assembly.unit();
            unit.key = true;
            unit.marker = packet.marker && count == 0;
            unit.duration = Some(header.ticks(1, self.clock_rate));
            (lost, count) = (0, count + 1);
            let mut bytes = rest.split_to(size.min(rest.len()));
            let have = bytes.len();
            if place.is_some() {
                // What the sender wrote over is put back, from memory that is there.
                let at = usize::from(head[1] & 0x1f) * 2;
                let head = Bytes::from_static(HEADS.get(at..at + 2).unwrap_or_default());
                took = self.assembly.push(head);
                let _ = bytes.split_to(2);
            }
            let pushed = self.assembly.push(bytes);
            took = took.and(pushed);
            if have < size {
                self.fragmented = Some((size, place));
            } else {
                self.end(place);
            }
        }
        took
    }

    fn end(&mut self, place: Option<Place>) {
        self.fragmented = None;
        self.assembly.finish();
        while let Some(unit) = self.assembly.poll() {
            self.cycle.push(place, unit);
        }
    }

    fn continuation(&mut self, packet: &Packet) -> Result<(), DepacketizeError> {
        let mut rest = packet.payload.clone();
        let (_, size) = descriptor(&mut rest)?;
        let have = self.assembly.unit().len();
        let Some((_, place)) = self
            .fragmented
            .filter(|&(whole, _)| packet.lost == 0 && whole == size && have + rest.len() <= whole)
        else {
            self.abandon();
            self.miss(packet, packet.lost);
            return Err(DepacketizeError::Orphaned("fragment of a frame without what precedes"));
        };
        let took = self.assembly.push(rest);
        if self.assembly.unit().len() == size {
            self.end(place);
        }
        took
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        match packet.payload.first() {
            Some(first) if first & CONTINUES != 0 => self.continuation(&packet),
            Some(_) => {
                self.abandon();
                self.frames(&packet)
            }
            None => {
                self.abandon();
                self.miss(&packet, packet.lost);
                Err(CUT)
            }
        }
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.cycle.ready.poll()
    }

    fn flush(&mut self) {
        self.abandon();
        self.cycle.flush();
    }
}

impl Cycle {
    /// What frames of one cycle may have in bytes: the index has 8 bits, a length has 14.
    const MAX_BYTES: usize = 1 << 20;

    fn push(&mut self, place: Option<Place>, unit: AccessUnit) {
        let Some(Place { cycle, index }) = place else {
            self.flush();
            self.ready.push(unit);
            return;
        };
        if cycle != self.number || self.bytes > Self::MAX_BYTES {
            self.flush();
            self.number = cycle;
        }
        self.bytes += unit.len();
        if let Some(other) = self.held.insert(index, unit) {
            self.bytes -= other.len();
        }
        while let Some(entry) = self.held.first_entry()
            && u16::from(*entry.key()) <= self.next
        {
            self.next = u16::from(*entry.key()) + 1;
            let unit = entry.remove();
            self.bytes -= unit.len();
            self.ready.push(unit);
        }
    }

    fn flush(&mut self) {
        while let Some((_, unit)) = self.held.pop_first() {
            self.ready.push(unit);
        }
        (self.next, self.bytes) = (0, 0);
    }
}

/// Takes an ADU descriptor: whether a fragment that is not the first one follows, and how long
/// the whole frame is.
fn descriptor(rest: &mut Bytes) -> Result<(bool, usize), DepacketizeError> {
    let &first = rest.first().ok_or(CUT)?;
    let length = if first & LONG == 0 { 1 } else { 2 };
    if rest.len() < length {
        return Err(CUT);
    }
    let bytes = rest.split_to(length);
    let size = bytes.iter().fold(0, |size, &byte| size << 8 | usize::from(byte));
    Ok((first & CONTINUES != 0, size & if length == 1 { 0x3f } else { 0x3fff }))
}

/// The header with its eleven bits of synchronization, and what stood in their place, if it was
/// something else.
fn restored([b0, b1, b2, b3]: [u8; 4]) -> ([u8; 4], Option<Place>) {
    let interleaved = b0 != 0xff || b1 & 0xe0 != 0xe0;
    let place = interleaved.then_some(Place { index: b0, cycle: b1 >> 5 });
    ([0xff, b1 | 0xe0, b2, b3], place)
}

/// The first two bytes of every header there can be.
static HEADS: [u8; 64] = {
    let mut heads = [0xff; 64];
    let mut at = 0;
    while at < 32 {
        heads[at * 2 + 1] = 0xe0 | at as u8;
        at += 1;
    }
    heads
};
