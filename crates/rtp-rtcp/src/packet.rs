//! RTP packets: a view that shares their memory, and the few bytes a relay rewrites (RFC 3550,
//! section 5).

use bytes::Bytes;
use thiserror::Error;

use crate::{RtpTime, Seq, Ssrc};

/// The fixed part of the header.
pub const RTP_HEADER_BYTES: usize = 12;

/// The longest packet: what an interleaved frame can hold (RFC 2326, section 10.12).
pub const MAX_RTP_BYTES: usize = 65_535;

/// What the fixed header says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RtpHeader {
    /// The marker bit.
    pub marker: bool,
    /// The payload type, 0..=127.
    pub payload_type: u8,
    /// The sequence number.
    pub seq: Seq,
    /// The timestamp.
    pub timestamp: RtpTime,
    /// The source.
    pub ssrc: Ssrc,
}

impl RtpHeader {
    /// Reads the fixed header; what follows it is not looked at.
    ///
    /// # Errors
    ///
    /// [`RtpError::Truncated`] below 12 bytes, [`RtpError::Version`] if it is not 2.
    pub fn parse(packet: &[u8]) -> Result<Self, RtpError> {
        let Some(&[b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]) = packet.first_chunk() else {
            return Err(RtpError::Truncated { needed: RTP_HEADER_BYTES, have: packet.len() });
        };
        if b0 >> 6 != VERSION {
            return Err(RtpError::Version { found: b0 >> 6 });
        }
        Ok(Self {
            marker: b1 & MARKER != 0,
            payload_type: b1 & PAYLOAD_TYPE,
            seq: Seq(u16::from_be_bytes([s0, s1])),
            timestamp: RtpTime(u32::from_be_bytes([t0, t1, t2, t3])),
            ssrc: Ssrc(u32::from_be_bytes([c0, c1, c2, c3])),
        })
    }
}

/// One RTP packet: a view of bytes that are shared, not copied. A clone is cheap.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtpPacket {
    bytes: Bytes,
    header: RtpHeader,
    payload_start: u16,
    payload_end: u16,
}

impl RtpPacket {
    /// Takes a packet as it came.
    ///
    /// Tolerated: a padding bit whose count is zero. It forbids nothing to a decoder, and players
    /// take it as no padding.
    ///
    /// # Errors
    ///
    /// The packet is too short for what its header announces, too long for RTP, of another
    /// version, or its padding is longer than what it pads.
    pub fn parse(bytes: Bytes) -> Result<Self, RtpError> {
        let have = bytes.len();
        let Ok(end) = u16::try_from(have) else {
            return Err(RtpError::TooLong { have });
        };
        let header = RtpHeader::parse(&bytes)?;
        let first = bytes.first().copied().unwrap_or_default();

        let mut start = RTP_HEADER_BYTES + 4 * usize::from(first & CSRC_COUNT);
        if first & EXTENSION != 0 {
            let rest = bytes.get(start..).unwrap_or_default();
            let Some(&[_, _, l0, l1]) = rest.first_chunk() else {
                return Err(RtpError::Truncated { needed: start + 4, have });
            };
            start += 4 + 4 * usize::from(u16::from_be_bytes([l0, l1]));
        }
        let Some(payload) = bytes.get(start..) else {
            return Err(RtpError::Truncated { needed: start, have });
        };

        let mut padding = 0;
        if first & PADDING != 0 {
            padding = payload.last().copied().map_or(usize::MAX, usize::from);
            if padding > payload.len() {
                return Err(RtpError::Padding { have: payload.len() });
            }
        }
        // Both fit: `start` and the padding lie within `end`.
        let (payload_start, payload_end) = (start as u16, end - padding as u16);
        Ok(Self { bytes, header, payload_start, payload_end })
    }

    /// The fixed header.
    pub const fn header(&self) -> &RtpHeader {
        &self.header
    }

    /// The whole packet.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole packet.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What the packet carries: without CSRCs, header extension and padding.
    pub fn payload(&self) -> &[u8] {
        self.bytes
            .get(usize::from(self.payload_start)..usize::from(self.payload_end))
            .unwrap_or_default()
    }

    /// Whether there is padding and nothing else: such packets only move sequence numbers on.
    pub fn is_padding_only(&self) -> bool {
        self.payload_start == self.payload_end && usize::from(self.payload_end) < self.bytes.len()
    }
}

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RtpError {
    /// The packet ends within its header.
    #[error("RTP packet of {have} bytes is too short: its header takes {needed}")]
    Truncated {
        /// Bytes that the header takes, as far as it could be read.
        needed: usize,
        /// Bytes that there are.
        have: usize,
    },
    /// The version is not 2.
    #[error("RTP version {found} instead of 2")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The padding bit is set, and the count of padding exceeds what follows the header.
    #[error("RTP padding is longer than the {have} bytes behind the header")]
    Padding {
        /// Bytes behind the header.
        have: usize,
    },
    /// Longer than [`MAX_RTP_BYTES`].
    #[error("RTP packet of {have} bytes is longer than {MAX_RTP_BYTES}")]
    TooLong {
        /// Bytes that there are.
        have: usize,
    },
}

/// Whether a datagram is RTCP rather than RTP, where both come to one port: version 2 and a packet
/// type of 192..=223 (RFC 5761, section 4).
pub const fn looks_like_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, _, _, ..] if *first >> 6 == VERSION)
}

/// Rewrites sequence number, timestamp and SSRC in the 12 header bytes at the start of `packet`;
/// everything else stays. `false`, and nothing done, if it is shorter than that.
#[must_use]
pub fn patch_header(packet: &mut [u8], seq: Seq, timestamp: RtpTime, ssrc: Ssrc) -> bool {
    let Some([_, _, numbers @ ..]) = packet.first_chunk_mut::<RTP_HEADER_BYTES>() else {
        return false;
    };
    *numbers = numbers_of(seq, timestamp, ssrc);
    true
}

/// A packet with four bytes of padding and nothing else (RFC 3550, section 5.1).
///
/// Sent before a large jump of sequence numbers, with the number just before the packet that
/// matters: players discard the first packet after such a jump.
pub fn padding_packet(payload_type: u8, seq: Seq, timestamp: RtpTime, ssrc: Ssrc) -> [u8; 16] {
    let mut packet = [0; 16];
    packet[0] = (VERSION << 6) | PADDING;
    packet[1] = payload_type & PAYLOAD_TYPE;
    packet[2..12].copy_from_slice(&numbers_of(seq, timestamp, ssrc));
    packet[15] = 4;
    packet
}

fn numbers_of(Seq(seq): Seq, RtpTime(timestamp): RtpTime, Ssrc(ssrc): Ssrc) -> [u8; 10] {
    let [s0, s1] = seq.to_be_bytes();
    let [t0, t1, t2, t3] = timestamp.to_be_bytes();
    let [c0, c1, c2, c3] = ssrc.to_be_bytes();
    [s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
}

const VERSION: u8 = 2;
const PADDING: u8 = 0x20;
const EXTENSION: u8 = 0x10;
const CSRC_COUNT: u8 = 0x0f;
const MARKER: u8 = 0x80;
const PAYLOAD_TYPE: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![first, 0xe0, 0x12, 0x34, 0, 0, 0, 9, 0xca, 0xfe, 0xba, 0xbe];
        packet.extend_from_slice(rest);
        packet
    }

    fn parse(bytes: Vec<u8>) -> Result<RtpPacket, RtpError> {
        RtpPacket::parse(Bytes::from(bytes))
    }

    #[test]
    fn a_plain_packet_is_read() {
        let packet = parse(packet(0x80, b"hello")).unwrap();
        let header = RtpHeader {
            marker: true,
            payload_type: 96,
            seq: Seq(0x1234),
            timestamp: RtpTime(9),
            ssrc: Ssrc(0xcafe_babe),
        };
        assert_eq!(*packet.header(), header);
        assert_eq!(packet.payload(), b"hello");
        assert_eq!(packet.bytes().len(), 17);
        assert!(!packet.is_padding_only());
    }

    #[test]
    fn sources_extension_and_padding_are_no_payload() {
        let rest = [
            &[1, 1, 1, 1, 2, 2, 2, 2][..], // two CSRCs
            &[0xbe, 0xde, 0, 1, 9, 9, 9, 9],
            b"payload",
            &[0, 0, 3],
        ]
        .concat();
        let packet = parse(packet(0xb2, &rest)).unwrap();
        assert_eq!(packet.payload(), b"payload");
    }

    #[test]
    fn a_padding_packet_has_nothing_in_it() {
        let bytes = padding_packet(96, Seq(7), RtpTime(8), Ssrc(9));
        let packet = parse(bytes.to_vec()).unwrap();
        assert!(packet.is_padding_only());
        assert_eq!(packet.payload(), b"");
        assert_eq!(packet.header().seq, Seq(7));
        assert_eq!(packet.header().payload_type, 96);
        assert!(!packet.header().marker);
    }

    #[test]
    fn an_empty_packet_is_not_padding() {
        let packet = parse(packet(0x80, b"")).unwrap();
        assert_eq!(packet.payload(), b"");
        assert!(!packet.is_padding_only());
    }

    #[test]
    fn a_padding_count_of_zero_is_no_padding() {
        assert_eq!(parse(packet(0xa0, &[5, 0])).unwrap().payload(), [5, 0]);
    }

    #[test]
    fn padding_longer_than_the_payload_is_refused() {
        assert_eq!(parse(packet(0xa0, &[1, 2, 4])), Err(RtpError::Padding { have: 3 }));
        assert_eq!(parse(packet(0xa0, &[])), Err(RtpError::Padding { have: 0 }));
    }

    #[test]
    fn short_packets_are_refused_with_what_they_lack() {
        let truncated = |needed, have| Err(RtpError::Truncated { needed, have });
        assert_eq!(parse(vec![0x80; 11]), truncated(12, 11));
        assert_eq!(parse(packet(0x81, &[0; 3])), truncated(16, 15));
        assert_eq!(parse(packet(0x90, &[0; 3])), truncated(16, 15));
        assert_eq!(parse(packet(0x90, &[0, 0, 0, 2, 0])), truncated(24, 17));
    }

    #[test]
    fn another_version_is_refused() {
        assert_eq!(parse(packet(0x40, b"")), Err(RtpError::Version { found: 1 }));
    }

    #[test]
    fn the_longest_packet_is_taken_and_a_longer_one_refused() {
        assert!(parse(packet(0x80, &vec![0; MAX_RTP_BYTES - 12])).is_ok());
        let longer = parse(packet(0x80, &vec![0; MAX_RTP_BYTES - 11]));
        assert_eq!(longer, Err(RtpError::TooLong { have: 65_536 }));
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_its_second_byte() {
        assert!(looks_like_rtcp(&[0x80, 200, 0, 6]));
        assert!(looks_like_rtcp(&[0x81, 223, 0, 6]));
        assert!(!looks_like_rtcp(&[0x80, 0xe0, 0, 6]));
        assert!(!looks_like_rtcp(&[0x80, 191, 0, 6]));
        assert!(!looks_like_rtcp(&[0x00, 200, 0, 6]));
        assert!(!looks_like_rtcp(&[0x80, 200]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..80), valid: bool) {
            if let (true, Some(first)) = (valid, bytes.first_mut()) {
                *first = (*first & 0x3f) | 0x80;
            }
            let _ = looks_like_rtcp(&bytes);
            if let Ok(packet) = parse(bytes.clone()) {
                prop_assert!(packet.payload().len() + RTP_HEADER_BYTES <= bytes.len());
                prop_assert_eq!(packet.into_bytes(), bytes);
            }
        }

        #[test]
        fn a_patch_changes_numbers_and_nothing_else(
            rest in prop::collection::vec(any::<u8>(), 0..40), seq: u16, timestamp: u32, ssrc: u32,
        ) {
            let before = packet(0x80, &rest);
            let mut after = before.clone();
            prop_assert!(patch_header(&mut after, Seq(seq), RtpTime(timestamp), Ssrc(ssrc)));
            prop_assert_eq!(&after[..2], &before[..2]);
            prop_assert_eq!(&after[12..], &before[12..]);
            let header = RtpHeader::parse(&after).unwrap();
            prop_assert_eq!((header.seq, header.timestamp, header.ssrc), (Seq(seq), RtpTime(timestamp), Ssrc(ssrc)));
        }
    }

    #[test]
    fn too_short_for_a_header_is_not_patched() {
        let mut short = [1; 11];
        assert!(!patch_header(&mut short, Seq(0), RtpTime(0), Ssrc(0)));
        assert_eq!(short, [1; 11]);
    }
}
