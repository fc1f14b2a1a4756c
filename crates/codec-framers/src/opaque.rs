//! Formats of which nothing is known: each packet is a unit of its own.

use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits, Ready};
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, PacketizeError, Payload};

/// Gives each payload as a unit.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    limits: Limits,
    ready: Ready,
}

impl Depacketizer {
    /// For any format.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ready: Ready::default() }
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        if packet.payload.len() > self.limits.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.limits.max_unit });
        }
        let mut unit = AccessUnit::of(packet.timestamp, true, packet.payload);
        unit.lost = packet.lost;
        unit.marker = packet.marker;
        self.ready.push(unit);
        Ok(())
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.poll()
    }

    fn flush(&mut self) {}
}

/// Sends each unit as one payload, however long: what is not known cannot be cut.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        _limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        if unit.len() > MAX_PAYLOAD {
            return Err(PacketizeError::TooLarge { have: unit.len(), limit: MAX_PAYLOAD });
        }
        let mut payload = Payload::new(unit.timestamp);
        payload.lend_all(unit.data());
        payload.marker = unit.marker;
        emit(&payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depacketizer::Depacketizer as _;
    use crate::packetizer::Packetizer as _;
    use rtp_rtcp::RtpTime;

    #[test]
    fn packets_come_out_as_they_went_in() {
        let mut depacketizer = Depacketizer::new(Limits::default());
        for (marker, payload) in [(true, &[1, 2][..]), (false, &[]), (false, &[3])] {
            let payload = payload.to_vec().into();
            let packet = Packet { payload, timestamp: RtpTime(4), marker, lost: 2 };
            depacketizer.push(packet.clone()).unwrap();
            let unit = depacketizer.poll().unwrap();
            assert_eq!((unit.lost, unit.complete, unit.key), (2, true, true));
            let mut out = Vec::new();
            let mut emit = |p: &Payload<'_>| out.push((p.marker, p.timestamp, p.to_vec()));
            Packetizer.packetize(&unit, 0, &mut emit).unwrap();
            assert_eq!(out, [(packet.marker, packet.timestamp, packet.payload.to_vec())]);
        }
    }

    #[test]
    fn what_fits_into_no_packet_is_refused() {
        let unit = AccessUnit::of(RtpTime(0), true, vec![0; MAX_PAYLOAD + 1]);
        let refused = Packetizer.packetize(&unit, 1400, &mut |_| {});
        assert!(matches!(refused, Err(PacketizeError::TooLarge { have: 65_496, .. })));
    }
}
