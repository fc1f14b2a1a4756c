//! From frame-blocks to packets.

use sdp::Format;
use smallvec::SmallVec;

use super::Layout;
use crate::access_unit::AccessUnit;
use crate::packetizer::{self, PacketizeError, Payload};
use crate::slices::Cursor;

/// No request for another mode.
const NO_REQUEST: u8 = 15;

/// Sends each frame-block in a packet of its own, which is far below any limit; not interleaved.
#[derive(Clone, Debug)]
pub struct Packetizer {
    layout: Layout,
}

struct Frame<'a> {
    /// Type and quality, five bits.
    entry: u8,
    bits: usize,
    /// At the speech bits.
    data: Cursor<'a>,
}

impl Packetizer {
    /// For receivers that know this description.
    pub fn new(format: &Format) -> Self {
        Self { layout: Layout::of(format) }
    }

    fn frames<'a>(&self, unit: &'a AccessUnit) -> Result<SmallVec<[Frame<'a>; 2]>, PacketizeError> {
        let mut frames = SmallVec::new();
        for element in unit.elements() {
            let mut data = element.cursor();
            let entry = data.byte().unwrap_or_default() >> 2 & 31;
            let bits = self.layout.bits(entry >> 1);
            let bits = bits.ok_or(PacketizeError::Malformed("frame type of no meaning"))?;
            let checksum = usize::from(self.layout.checked && bits > 0);
            if data.remaining() != bits.div_ceil(8) + checksum {
                return Err(PacketizeError::Malformed("another length than that of its type"));
            }
            frames.push(Frame { entry, bits, data });
        }
        if frames.len() != self.layout.channels {
            return Err(PacketizeError::Malformed("not a frame for each channel"));
        }
        Ok(frames)
    }
}

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        _limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let mut frames = self.frames(unit)?;
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        let last = frames.len() - 1;
        if !self.layout.aligned {
            let mut writer = Writer::default();
            writer.write(NO_REQUEST, 4);
            for (at, frame) in frames.iter().enumerate() {
                writer.write(u8::from(at < last) << 5 | frame.entry, 6);
            }
            for frame in &mut frames {
                for at in (0..frame.bits).step_by(8) {
                    let count = (frame.bits - at).min(8);
                    writer.write(frame.data.byte().unwrap_or_default() >> (8 - count), count);
                }
            }
            payload.own(&writer.bytes);
            emit(&payload);
            return Ok(());
        }
        payload.own(&[NO_REQUEST << 4]);
        if self.layout.interleaved {
            payload.own(&[0]);
        }
        for (at, frame) in frames.iter().enumerate() {
            payload.own(&[u8::from(at < last) << 7 | frame.entry << 2]);
        }
        if self.layout.checked {
            for frame in &frames {
                let mut checksum = frame.data.clone();
                checksum.skip(frame.bits.div_ceil(8));
                payload.lend_from(&mut checksum, 1);
            }
        }
        // Sorted means: a byte of each in turn.
        let step = if self.layout.sorted { 1 } else { usize::MAX };
        let mut at = 0;
        while frames.iter().any(|frame| frame.bits.div_ceil(8) > at) {
            for frame in &mut frames {
                let left = frame.bits.div_ceil(8).saturating_sub(at);
                payload.lend_from(&mut frame.data, left.min(step));
            }
            at = at.saturating_add(step);
        }
        emit(&payload);
        Ok(())
    }
}

/// Bits one after the other.
#[derive(Default)]
struct Writer {
    bytes: SmallVec<[u8; 64]>,
    bits: usize,
}

impl Writer {
    /// Up to eight bits, the lowest ones of `value`.
    fn write(&mut self, value: u8, count: usize) {
        for at in (0..count).rev() {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (value >> at & 1) << (7 - self.bits % 8);
            }
            self.bits += 1;
        }
    }
}
