//! PureVoice (RFC 2658, `QCELP`).
//!
//! A unit is a frame of the codec, whose first byte tells its rate and so its length. Frames sent
//! interleaved come in the order of their times; they are never sent so.

use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::interleave::{Interleave, MAX_HELD};
use crate::packet::Packet;
use crate::packetizer::{self, PacketizeError, Payload};

/// Ticks of a frame: 20 ms at 8 kHz.
const TICKS: u32 = 160;

/// Gives frames.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    limits: Limits,
    lost: u32,
    order: Interleave,
}

impl Depacketizer {
    /// Before the first packet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, lost: 0, order: Interleave::new(limits.max_unit) }
    }

    fn take(&mut self, packet: &Packet) -> Result<(), DepacketizeError> {
        if packet.payload.len() > self.limits.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.limits.max_unit });
        }
        let Some(&header) = packet.payload.first() else {
            return Err(DepacketizeError::Malformed("payload ends too early"));
        };
        // Two bits reserved, then: interleaving length and index.
        let (length, index) = (header >> 3 & 7, header & 7);
        if length > 5 || index > length {
            return Err(DepacketizeError::Malformed("interleaving out of its range"));
        }
        let apart = (u32::from(length) + 1) * TICKS;
        let mut rest = packet.payload.slice(1..);
        let mut time = packet.timestamp;
        let mut took = Ok(());
        self.order.packet(time);
        for at in 0..MAX_HELD {
            let Some(&rate) = rest.first() else { break };
            let Some(size) = frame_length(rate).filter(|&size| size <= rest.len()) else {
                took = Err(DepacketizeError::Malformed("no frame"));
                break;
            };
            let mut unit = AccessUnit::of(time, true, rest.split_to(size));
            unit.marker = packet.marker && at == 0;
            unit.duration = Some(TICKS);
            unit.lost = std::mem::take(&mut self.lost);
            self.order.push(unit);
            time = time.plus(apart);
        }
        match length {
            0 => self.order.flush(),
            _ => self.order.end(packet.timestamp),
        }
        took
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.lost = self.lost.saturating_add(packet.lost);
        self.take(&packet).inspect_err(|_| self.lost = self.lost.saturating_add(1))
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.order.poll()
    }

    fn flush(&mut self) {
        self.order.flush();
    }
}

/// Sends each frame in a packet of its own, which is far below any limit.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        _limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let rate = unit.data().cursor().byte();
        if rate.and_then(frame_length) != Some(unit.len()) {
            return Err(PacketizeError::Malformed("another length than that of its rate"));
        }
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        payload.own(&[0]);
        payload.lend_all(unit.data());
        emit(&payload);
        Ok(())
    }
}

/// The bytes of a frame by its rate: blank, 1/8, 1/4, 1/2, 1, erased.
const fn frame_length(rate: u8) -> Option<usize> {
    Some(match rate {
        0 | 14 => 1,
        1 => 4,
        2 => 8,
        3 => 17,
        4 => 35,
        _ => return None,
    })
}
