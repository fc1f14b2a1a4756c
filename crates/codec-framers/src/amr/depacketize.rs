//! From packets to frame-blocks.

use bytes::Bytes;
use sdp::Format;
use smallvec::SmallVec;

use super::{ENTRIES, Layout, checksum};
use crate::access_unit::AccessUnit;
use crate::bits::Bits;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::interleave::{Interleave, MAX_HELD};
use crate::packet::Packet;

const WRONG: DepacketizeError = DepacketizeError::Malformed("frame with a wrong checksum");
const CUT: DepacketizeError = DepacketizeError::Malformed("payload ends too early");

/// Gives frame-blocks.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    layout: Layout,
    max_unit: usize,
    lost: u32,
    order: Interleave,
    /// How many checksums have been right, up to [`CREDIBLE`].
    right: u8,
}

/// Right checksums after which wrong ones are believed: one of 256 is right by chance.
const CREDIBLE: u8 = 4;

/// One frame's place in the table of contents, and what belongs to it.
#[derive(Clone, Debug, Default)]
struct Frame {
    /// Type and quality, five bits.
    entry: u8,
    bits: usize,
    data: Bytes,
    checksum: Bytes,
}

type Frames = SmallVec<[Frame; 4]>;

impl Depacketizer {
    /// Before the first packet of this format.
    pub fn new(format: &Format, limits: Limits) -> Self {
        Self {
            layout: Layout::of(format),
            max_unit: limits.max_unit,
            lost: 0,
            order: Interleave::new(limits.max_unit),
            right: 0,
        }
    }

    /// Whether a frame is what was sent, as far as can be told.
    fn is_right(&mut self, frame: &Frame) -> bool {
        let Some(&told) = frame.checksum.first() else { return true };
        let covered = self.layout.covered(frame.entry >> 1).unwrap_or(frame.bits);
        let is_right = checksum(&frame.data, covered) == told;
        let is_credible = self.right == CREDIBLE;
        if is_right && !is_credible {
            self.right += 1;
        } else if !is_right && !is_credible {
            self.right = 0;
        }
        is_right || !is_credible
    }

    fn take(&mut self, packet: &Packet) -> Result<(), DepacketizeError> {
        let layout = self.layout;
        let (frames, apart) = match layout.aligned {
            true => aligned(layout, packet.payload.clone())?,
            false => (efficient(layout, &packet.payload)?, 1),
        };
        if frames.len() % layout.channels != 0 {
            return Err(DepacketizeError::Malformed("not a frame for each channel"));
        }
        if packet.payload.len() > self.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.max_unit });
        }
        self.order.packet(packet.timestamp);
        let mut took = Ok(());
        for (at, block) in (0_u32..).zip(frames.chunks(layout.channels)) {
            // All of them are looked at, whichever is wrong.
            if block.iter().filter(|frame| !self.is_right(frame)).count() > 0 {
                self.lost = self.lost.saturating_add(1);
                took = Err(WRONG);
                continue;
            }
            let time = packet.timestamp.plus(at * apart * layout.ticks());
            let mut unit = AccessUnit::new(time);
            unit.key = true;
            for frame in block {
                unit.push_element(entry(frame.entry));
                unit.push(frame.data.clone());
                unit.push(frame.checksum.clone());
            }
            unit.marker = packet.marker && at == 0;
            unit.duration = Some(layout.ticks());
            unit.lost = std::mem::take(&mut self.lost);
            self.order.push(unit);
        }
        // What is not interleaved has no reason to wait, whatever the times are.
        match apart {
            1 if !layout.interleaved => self.order.flush(),
            _ => self.order.end(packet.timestamp),
        }
        took
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.lost = self.lost.saturating_add(packet.lost);
        match self.take(&packet) {
            // What is missing has been counted.
            Err(error) if error != WRONG => {
                self.lost = self.lost.saturating_add(1);
                Err(error)
            }
            took => took,
        }
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.order.poll()
    }

    fn flush(&mut self) {
        self.order.flush();
    }
}

/// The entry as one byte; there are so few of them that they are there already.
fn entry(entry: u8) -> Bytes {
    let at = usize::from(entry & 31);
    Bytes::from_static(ENTRIES.get(at..=at).unwrap_or_default())
}

/// Octet-aligned (RFC 4867 section 4.4); also by how many frame-blocks the frames are apart.
fn aligned(layout: Layout, mut rest: Bytes) -> Result<(Frames, u32), DepacketizeError> {
    let byte = |rest: &mut Bytes| match rest.is_empty() {
        true => Err(CUT),
        false => Ok(rest.split_to(1)),
    };
    let value = |byte: &Bytes| byte.first().copied().unwrap_or_default();
    let _request = byte(&mut rest)?;
    let mut apart = 1;
    if layout.interleaved {
        let header = value(&byte(&mut rest)?);
        let (length, index) = (header >> 4, header & 0x0f);
        if index > length {
            return Err(DepacketizeError::Malformed("interleaving index beyond its length"));
        }
        apart = u32::from(length) + 1;
    }
    let mut frames = Frames::new();
    loop {
        let toc = value(&byte(&mut rest)?);
        frames.push(frame(layout, toc >> 2 & 31)?);
        if toc & 0x80 == 0 {
            break;
        }
        if frames.len() == MAX_HELD {
            return Err(DepacketizeError::Malformed("too many frames"));
        }
    }
    if layout.checked {
        for frame in frames.iter_mut().filter(|frame| frame.bits > 0) {
            frame.checksum = byte(&mut rest)?;
        }
    }
    let bytes = |frame: &Frame| frame.bits.div_ceil(8);
    if frames.iter().map(bytes).sum::<usize>() > rest.len() {
        return Err(CUT);
    }
    if !layout.sorted || frames.len() == 1 {
        for frame in &mut frames {
            frame.data = rest.split_to(bytes(frame));
        }
        return Ok((frames, apart));
    }
    // The first byte of each frame, then the second of each (section 4.4.4).
    let mut data: SmallVec<[Vec<u8>; 4]> =
        frames.iter().map(|frame| Vec::with_capacity(bytes(frame))).collect();
    let mut sorted = rest.iter();
    for at in 0..frames.iter().map(bytes).max().unwrap_or_default() {
        for (frame, data) in frames.iter().zip(&mut data).filter(|(frame, _)| bytes(frame) > at) {
            let _ = frame;
            data.extend(sorted.next());
        }
    }
    for (frame, data) in frames.iter_mut().zip(data) {
        frame.data = data.into();
    }
    Ok((frames, apart))
}

/// Bandwidth-efficient (section 4.3): no field begins at a byte.
fn efficient(layout: Layout, payload: &[u8]) -> Result<Frames, DepacketizeError> {
    let mut bits = Bits::plain(payload);
    let _request = bits.bits(4).ok_or(CUT)?;
    let mut frames = Frames::new();
    loop {
        let toc = bits.bits(6).ok_or(CUT)? as u8;
        frames.push(frame(layout, toc & 31)?);
        if toc & 0x20 == 0 {
            break;
        }
        if frames.len() == MAX_HELD {
            return Err(DepacketizeError::Malformed("too many frames"));
        }
    }
    for frame in &mut frames {
        let mut data = Vec::with_capacity(frame.bits.div_ceil(8));
        for at in (0..frame.bits).step_by(8) {
            let count = (frame.bits - at).min(8) as u8;
            data.push((bits.bits(count).ok_or(CUT)? << (8 - count)) as u8);
        }
        frame.data = data.into();
    }
    Ok(frames)
}

fn frame(layout: Layout, entry: u8) -> Result<Frame, DepacketizeError> {
    let bits = layout.bits(entry >> 1);
    let bits = bits.ok_or(DepacketizeError::Malformed("frame type of no meaning"))?;
    Ok(Frame { entry, bits, ..Frame::default() })
}
