//! What a camera sends.

use bytes::Bytes;
use rtp_rtcp::{RtpTime, Seq, Ssrc};

/// The video track.
pub(crate) const VIDEO: usize = 0;
/// The audio track.
pub(crate) const AUDIO: usize = 1;

/// A packet as a camera numbers it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    /// Of a picture that is no key frame.
    pub(crate) fn new(seq: u16, timestamp: u32) -> Self {
        Self { seq, timestamp, ssrc: 7, marker: true, payload: vec![0x41, 0x9a, 1, 2, 3, 4] }
    }

    /// Of a key frame.
    pub(crate) fn key(seq: u16, timestamp: u32) -> Self {
        Self { payload: vec![0x65, 0x88, 0x84, 1, 2, 3], ..Self::new(seq, timestamp) }
    }

    /// The parameter sets before a key frame.
    pub(crate) fn sets(seq: u16, timestamp: u32) -> Self {
        let payload = vec![0x67, 0x4d, 0x40, 0x1f, 0x95];
        Self { payload, marker: false, ..Self::new(seq, timestamp) }
    }

    /// Of no format in particular.
    pub(crate) fn audio(seq: u16, timestamp: u32) -> Self {
        Self { payload: vec![0xd5; 160], marker: false, ssrc: 8, ..Self::new(seq, timestamp) }
    }

    pub(crate) fn from(self, ssrc: u32) -> Self {
        Self { ssrc, ..self }
    }

    pub(crate) fn bytes(&self) -> Bytes {
        let payload_type = if self.payload.first() == Some(&0xd5) { 0 } else { 96 };
        let mut out = vec![0x80, payload_type | u8::from(self.marker) << 7];
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.ssrc.to_be_bytes());
        out.extend_from_slice(&self.payload);
        out.into()
    }
}

/// A packet as readers get it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Got {
    pub(crate) seq: Seq,
    pub(crate) timestamp: RtpTime,
    pub(crate) ssrc: Ssrc,
    /// All of it, but for what is named above.
    pub(crate) rest: Vec<u8>,
}

impl Got {
    pub(crate) fn new(packet: &[u8]) -> Self {
        let header = rtp_rtcp::RtpHeader::parse(packet).expect("readers get RTP");
        let mut rest = packet.to_vec();
        rest[2..12].fill(0);
        Self { seq: header.seq, timestamp: header.timestamp, ssrc: header.ssrc, rest }
    }
}
