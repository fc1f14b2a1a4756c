//! From access units to packets.

use sdp::{Format, MediaKind};

use super::Layout;
use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

/// Sends each unit in a packet of its own, or in fragments.
#[derive(Clone, Debug)]
pub struct Packetizer {
    layout: Layout,
}

impl Packetizer {
    /// For receivers that know this description.
    pub fn new(kind: &MediaKind, format: &Format) -> Self {
        Self { layout: Layout::of(kind, format) }
    }

    /// All that goes before a unit, or a fragment of one.
    fn head(&self, size: usize, key: bool) -> Writer {
        let layout = &self.layout;
        let mut head = Writer::default();
        if layout.has_headers() {
            let flags = [layout.cts_delta > 0, layout.dts_delta > 0];
            let bits = u32::from(layout.size)
                + u32::from(layout.index)
                + flags.iter().map(|&flag| u32::from(flag)).sum::<u32>()
                + u32::from(layout.random_access)
                + u32::from(layout.stream_state);
            head.write(bits, 16);
            head.write(size as u32, layout.size);
            head.write(0, layout.index);
            flags.iter().filter(|&&flag| flag).for_each(|_| head.write(0, 1));
            head.write(key.into(), layout.random_access.into());
            head.write(0, layout.stream_state);
            head.align();
        }
        head.write(0, layout.auxiliary_size);
        head.align();
        head
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
        let layout = &self.layout;
        if unit.is_empty() {
            return Err(PacketizeError::Malformed("no bytes"));
        }
        if layout.size > 0 && (unit.len() as u64) >> layout.size != 0 {
            return Err(PacketizeError::Unsupported("a length beyond the bits for it"));
        }
        if layout.size == 0 && layout.constant_size.is_some_and(|size| size != unit.len()) {
            return Err(PacketizeError::Unsupported("another length than the constant one"));
        }
        let head = self.head(unit.len(), unit.key);
        let mut payload = Payload::new(unit.timestamp);
        let mut cursor = unit.data().cursor();
        while cursor.remaining() > 0 {
            payload.clear();
            payload.own(head.bytes());
            payload.lend_from(&mut cursor, limit - head.bytes().len());
            payload.marker = cursor.remaining() == 0;
            emit(&payload);
        }
        Ok(())
    }
}

/// Bits one after the other; never more than the fields of one header and the sizes before it.
#[derive(Clone, Copy, Debug, Default)]
struct Writer {
    buffer: [u8; 24],
    bits: usize,
}

impl Writer {
    fn write(&mut self, value: u32, count: u8) {
        for at in (0..count).rev() {
            if let Some(byte) = self.buffer.get_mut(self.bits / 8) {
                *byte |= ((value >> at & 1) as u8) << (7 - self.bits % 8);
            }
            self.bits += 1;
        }
    }

    fn align(&mut self) {
        self.bits = self.bits.next_multiple_of(8);
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.bits / 8).unwrap_or_default()
    }
}
