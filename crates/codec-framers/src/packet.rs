//! What depacketizers are given.

use bytes::Bytes;
use rtp_rtcp::{ExtSeq, RtpPacket, RtpTime};

/// One RTP packet as a depacketizer sees it. Packets come in the order of their sequence
/// numbers; reordering and duplicates are the matter of whoever receives them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// What the packet carries: without header, CSRCs, header extension and padding. Access
    /// units are made of slices of this.
    pub payload: Bytes,
    /// The RTP timestamp.
    pub timestamp: RtpTime,
    /// The marker bit.
    pub marker: bool,
    /// How many packets are missing right before this one.
    pub lost: u32,
}

impl Packet {
    /// A view of a parsed packet that shares its memory; `lost` as [`Continuity`] tells it.
    pub fn from_rtp(packet: &RtpPacket, lost: u32) -> Self {
        let header = packet.header();
        Self {
            payload: packet.bytes().slice_ref(packet.payload()),
            timestamp: header.timestamp,
            marker: header.marker,
            lost,
        }
    }
}

/// Counts the packets that are missing in one source's sequence numbers.
#[derive(Clone, Debug, Default)]
pub struct Continuity {
    newest: Option<ExtSeq>,
}

impl Continuity {
    /// Before the first packet.
    pub const fn new() -> Self {
        Self { newest: None }
    }

    /// How many packets are missing right before the one with this number; 0 for the first one
    /// and for numbers that were passed already.
    pub fn on_packet(&mut self, seq: ExtSeq) -> u32 {
        let expected = self.newest.map_or(seq.0, |newest| newest.0 + 1);
        self.newest = self.newest.max(Some(seq));
        u32::try_from(seq.0.saturating_sub(expected)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_and_repetitions_are_none() {
        let mut continuity = Continuity::new();
        let lost =
            [70_000, 70_001, 70_004, 70_002, 70_005].map(|n| continuity.on_packet(ExtSeq(n)));
        assert_eq!(lost, [0, 0, 2, 0, 0]);
    }

    #[test]
    fn a_packet_is_seen_without_its_padding_and_shares_its_memory() {
        let bytes = [&[0xa0, 0xe0, 0, 9, 0, 0, 0, 7, 0, 0, 0, 1][..], &[1, 2, 3, 0, 2]].concat();
        let rtp = RtpPacket::parse(bytes.into()).unwrap();
        let packet = Packet::from_rtp(&rtp, 1);
        assert_eq!((&packet.payload[..], packet.marker, packet.lost), (&[1, 2, 3][..], true, 1));
        assert_eq!(packet.payload.as_ptr(), rtp.payload().as_ptr());
    }
}
