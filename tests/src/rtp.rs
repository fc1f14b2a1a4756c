//! As much of RTP and RTCP (RFC 3550) as a test needs to look at, written apart from what is tested.

/// The fixed header of an RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The marker bit.
    pub marker: bool,
    /// The payload type.
    pub payload_type: u8,
    /// The sequence number.
    pub seq: u16,
    /// The timestamp.
    pub timestamp: u32,
    /// The source.
    pub ssrc: u32,
}

/// Reads the header; `None` if these bytes are no RTP packet.
#[must_use]
pub fn header(packet: &[u8]) -> Option<Header> {
    let &[first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = packet.first_chunk()?;
    (first >> 6 == 2).then(|| Header {
        marker: second & 0x80 != 0,
        payload_type: second & 0x7f,
        seq: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
    })
}

/// The payload of a packet without CSRCs and extension; padding is cut off.
#[must_use]
pub fn payload(packet: &[u8]) -> &[u8] {
    let Some(&first) = packet.first() else { return &[] };
    let padding = if first & 0x20 == 0 { 0 } else { packet.last().map_or(0, |&n| usize::from(n)) };
    let end = packet.len().saturating_sub(padding);
    packet.get(12 + 4 * usize::from(first & 0x0f)..end).unwrap_or_default()
}

/// How far `a` is ahead of `b`.
#[must_use]
pub fn ahead(a: u16, b: u16) -> i16 {
    a.wrapping_sub(b).cast_signed()
}

/// Whether an H.264 payload begins what a decoder can start at: parameter sets or an IDR picture,
/// whole, aggregated or its first fragment.
#[must_use]
pub fn begins_h264_key(payload: &[u8]) -> bool {
    let key = |nal: u8| matches!(nal & 0x1f, 5 | 7 | 8);
    match *payload {
        [first, header, ..] if first & 0x1f == 28 => header & 0x80 != 0 && key(header),
        [first, _, _, inner, ..] if first & 0x1f == 24 => key(inner),
        [first, ..] => key(first),
        [] => false,
    }
}

/// Type of a sender report.
pub const SENDER_REPORT: u8 = 200;
/// Type of a BYE.
pub const BYE: u8 = 203;

/// A sender report's own part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderReport {
    /// The source.
    pub ssrc: u32,
    /// Wall clock, 32.32 since 1900.
    pub ntp: u64,
    /// The same moment in RTP time.
    pub timestamp: u32,
    /// Packets sent so far.
    pub packets: u32,
}

/// The packets of a compound packet: type and bytes.
#[must_use]
pub fn compound(bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(&[first, kind, l0, l1]) = rest.first_chunk() {
        let length = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        let Some((packet, after)) = rest.split_at_checked(length) else { break };
        if first >> 6 != 2 {
            break;
        }
        out.push((kind, packet));
        rest = after;
    }
    out
}

/// The sender report in a compound packet.
#[must_use]
pub fn sender_report(bytes: &[u8]) -> Option<SenderReport> {
    let (_, packet) = compound(bytes).into_iter().find(|(kind, _)| *kind == SENDER_REPORT)?;
    let word = |index: usize| -> Option<u32> {
        let at = packet.get(4 * index..)?.first_chunk()?;
        Some(u32::from_be_bytes(*at))
    };
    Some(SenderReport {
        ssrc: word(1)?,
        ntp: u64::from(word(2)?) << 32 | u64::from(word(3)?),
        timestamp: word(4)?,
        packets: word(5)?,
    })
}

/// Whether this is RTCP where either may come (RFC 5761, section 4).
#[must_use]
pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// Whether a compound packet says goodbye.
#[must_use]
pub fn is_bye(bytes: &[u8]) -> bool {
    compound(bytes).iter().any(|(kind, _)| *kind == BYE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_and_a_bye_are_found_in_a_compound_packet() {
        let mut bytes = vec![0x80, 200, 0, 6];
        bytes.extend((1..=6_u32).flat_map(u32::to_be_bytes));
        bytes.extend([0x81, 203, 0, 1, 0, 0, 0, 9]);
        let report = sender_report(&bytes).unwrap();
        assert_eq!((report.ssrc, report.ntp, report.timestamp), (1, 2 << 32 | 3, 4));
        assert!(is_bye(&bytes));
        assert!(!is_bye(&bytes[..28]));
        assert_eq!(sender_report(&bytes[..27]), None);
    }

    #[test]
    fn key_pictures_are_told_by_their_first_bytes() {
        for (bytes, key) in [
            (&[0x67, 1][..], true),
            (&[0x65, 1], true),
            (&[0x61, 1], false),
            (&[0x7c, 0x85], true),
            (&[0x7c, 0x05], false),
            (&[0x78, 0, 9, 0x67], true),
            (&[], false),
        ] {
            assert_eq!(begins_h264_key(bytes), key, "{bytes:x?}");
        }
    }
}
