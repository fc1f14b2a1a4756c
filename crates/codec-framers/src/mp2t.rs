//! MPEG-2 transport streams (RFC 2250 section 2, `MP2T`).
//!
//! A payload is a whole number of transport packets of 188 bytes; a unit is what one payload
//! carries, for the stream inside has its own clock and its own units.

use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits, Ready};
use crate::packet::Packet;
use crate::packetizer::{self, PacketizeError, Payload};

/// The length of a transport packet.
pub const TRANSPORT_PACKET: usize = 188;

/// Gives the transport packets of each payload as one unit.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    limits: Limits,
    lost: u32,
    ready: Ready,
}

impl Depacketizer {
    /// Before the first packet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, lost: 0, ready: Ready::default() }
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.lost = self.lost.saturating_add(packet.lost);
        let mut payload = packet.payload;
        // What does not fill a transport packet cannot be one, and what follows would be read at
        // the wrong place.
        let whole = payload.len() - payload.len() % TRANSPORT_PACKET;
        let cut = whole < payload.len();
        payload.truncate(whole);
        if payload.len() > self.limits.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.limits.max_unit });
        }
        if !payload.is_empty() {
            let mut unit = AccessUnit::of(packet.timestamp, true, payload);
            unit.marker = packet.marker;
            unit.complete = !cut;
            unit.lost = std::mem::take(&mut self.lost);
            self.ready.push(unit);
        }
        if cut {
            return Err(DepacketizeError::Malformed("no whole number of transport packets"));
        }
        Ok(())
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.poll()
    }

    fn flush(&mut self) {}
}

/// Sends as many transport packets in a payload as fit.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        if !unit.len().is_multiple_of(TRANSPORT_PACKET) {
            return Err(PacketizeError::Malformed("no whole number of transport packets"));
        }
        let most = (limit / TRANSPORT_PACKET).max(1) * TRANSPORT_PACKET;
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        let mut cursor = unit.data().cursor();
        while cursor.remaining() > 0 {
            payload.lend_from(&mut cursor, most);
            emit(&payload);
            payload.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depacketizer::Depacketizer as _;
    use crate::packetizer::Packetizer as _;
    use rtp_rtcp::RtpTime;

    fn transport(count: usize) -> Vec<u8> {
        (0..count)
            .flat_map(|n| std::iter::once(0x47).chain(std::iter::repeat_n(n as u8, 187)))
            .collect()
    }

    #[test]
    fn transport_packets_stay_whole_at_any_limit() {
        let unit = AccessUnit::of(RtpTime(5), true, transport(7));
        for (limit, lengths) in [
            (1400, &[1316][..]),
            (1315, &[1128, 188]),
            (400, &[376, 376, 376, 188]),
            (64, &[188; 7]),
        ] {
            let mut out = Vec::new();
            Packetizer.packetize(&unit, limit, &mut |p| out.push(p.to_vec())).unwrap();
            assert_eq!(out.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
            assert_eq!(out.concat(), transport(7));
        }
    }

    #[test]
    fn a_payload_that_ends_within_a_transport_packet_gives_the_whole_ones() {
        let mut depacketizer = Depacketizer::new(Limits::default());
        let mut push = |payload: Vec<u8>, lost| {
            let packet = Packet { payload: payload.into(), lost, ..Packet::default() };
            let refused = depacketizer.push(packet).is_err();
            (refused, depacketizer.poll().map(|unit| (unit.len(), unit.complete, unit.lost)))
        };
        assert_eq!(push(transport(2), 1), (false, Some((376, true, 1))));
        assert_eq!(push(transport(2)[..375].to_vec(), 0), (true, Some((188, false, 0))));
        assert_eq!(push(vec![0x47; 9], 3), (true, None));
        assert_eq!(push(transport(1), 0), (false, Some((188, true, 3))));
    }
}
