//! Packet in, packet out.

use codec_framers::{Glancer, UnitStart, UnitTracker};
use rtp_rtcp::{ExtSeq, RtpPacket};

use super::{Exit, Leaving, Told, Way, WayStatus};

/// Passes packets on as they came, but for number, time and source, and looks at their payloads as
/// they pass.
#[derive(Debug)]
pub(crate) struct Relay {
    glancer: Glancer,
    units: UnitTracker,
    told: Told,
}

impl Relay {
    pub(crate) fn new(glancer: Glancer) -> Self {
        Self { glancer, units: UnitTracker::new(), told: Told::default() }
    }
}

impl Way for Relay {
    fn take(&mut self, seq: ExtSeq, packet: RtpPacket, exit: &mut Exit<'_>) {
        let header = packet.header();
        let seq = exit.number(seq);
        let timestamp = exit.stamp(header.ssrc, header.timestamp);
        let payload = packet.payload();
        let leaving = Leaving {
            bytes: packet.bytes(),
            payload: payload.len(),
            seq,
            timestamp,
            relayed: true,
        };
        if exit.send(&leaving) {
            let glance = self.glancer.look(header, payload);
            if let Some(begin) = self.units.on_packet(seq, timestamp, glance) {
                exit.key(begin, timestamp);
                let is_stale = self.glancer.parameter_sets_are_stale();
                self.told.tell(is_stale, || self.glancer.parameters(), exit);
            }
        }
    }

    fn restart(&mut self) {
        self.units = UnitTracker::new();
    }

    fn undecided(&self, _next: ExtSeq) -> Option<UnitStart> {
        self.units.undecided()
    }

    fn awaits_picture(&self) -> bool {
        self.units.awaits_picture()
    }

    fn status(&self) -> WayStatus {
        WayStatus::default()
    }
}
