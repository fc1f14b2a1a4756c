//! The little RTCP a camera speaks (RFC 3550, section 6).

use std::time::{SystemTime, UNIX_EPOCH};

/// What a sender report says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SenderReport {
    pub(crate) ssrc: u32,
    pub(crate) ntp: u64,
    pub(crate) rtp: u32,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

/// A wall clock time as an NTP timestamp, off by `step` seconds.
pub(crate) fn ntp(time: SystemTime, step: i64) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds =
        since.as_secs().wrapping_add(NTP_1970).wrapping_add_signed(step) & u64::from(u32::MAX);
    (seconds << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
}

/// Writes a compound packet: the report and the source description.
pub(crate) fn write_report(out: &mut Vec<u8>, report: &SenderReport, cname: &str) {
    out.extend_from_slice(&[0x80, SR, 0, 6]);
    out.extend_from_slice(&report.ssrc.to_be_bytes());
    out.extend_from_slice(&report.ntp.to_be_bytes());
    for word in [report.rtp, report.packets, report.octets] {
        out.extend_from_slice(&word.to_be_bytes());
    }
    // One chunk with one item, CNAME, ended by at least one zero.
    let cname = cname.as_bytes();
    let cname = cname.get(..cname.len().min(MAX_CNAME)).unwrap_or_default();
    let words = (4 + 2 + cname.len()) / 4 + 1;
    out.extend_from_slice(&[0x81, SDES, 0, u8::try_from(words).unwrap_or(u8::MAX)]);
    out.extend_from_slice(&report.ssrc.to_be_bytes());
    out.extend_from_slice(&[1, u8::try_from(cname.len()).unwrap_or(u8::MAX)]);
    out.extend_from_slice(cname);
    out.resize(out.len() + words * 4 - (4 + 2 + cname.len()), 0);
}

/// Writes a BYE of one source; it follows a report in the same compound packet.
pub(crate) fn write_bye(out: &mut Vec<u8>, ssrc: u32) {
    out.extend_from_slice(&[0x81, BYE, 0, 1]);
    out.extend_from_slice(&ssrc.to_be_bytes());
}

/// The types of the packets in a compound packet, as far as it holds together.
pub(crate) fn types(mut compound: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let Some(&[first, kind, high, low]) = compound.first_chunk() {
        if first >> 6 != 2 || !(192..=223).contains(&kind) {
            break;
        }
        types.push(kind);
        let length = usize::from(u16::from_be_bytes([high, low])) * 4 + 4;
        compound = compound.get(length..).unwrap_or_default();
    }
    types
}

const SR: u8 = 200;
const SDES: u8 = 202;
const BYE: u8 = 203;
const MAX_CNAME: usize = 64;
/// Seconds from 1900 to 1970.
const NTP_1970: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_report_is_a_whole_compound_packet() {
        let report = SenderReport { ssrc: 7, ntp: 1 << 32, rtp: 2, packets: 3, octets: 4 };
        for cname in ["a", "ab", "abc", "abcd", "test-camera-0123456789abcdef"] {
            let mut out = Vec::new();
            write_report(&mut out, &report, cname);
            write_bye(&mut out, 7);
            assert_eq!(out.len() % 4, 0);
            assert_eq!(types(&out), [200, 202, 203], "{cname}");
            // Each length is exact: what follows the description is the BYE.
            assert_eq!(&out[out.len() - 8..], [0x81, 203, 0, 1, 0, 0, 0, 7]);
            assert_eq!(out[28 + 4 + 4 + 2 + cname.len()], 0);
        }
    }

    #[test]
    fn wall_clock_times_become_ntp_times_and_may_be_off() {
        let time = UNIX_EPOCH + Duration::from_millis(1500);
        assert_eq!(ntp(time, 0), 2_208_988_801 << 32 | 1 << 31);
        assert_eq!(ntp(time, -1), 2_208_988_800 << 32 | 1 << 31);
        // 2036: the seconds wrap.
        let time = UNIX_EPOCH + Duration::from_secs((1 << 32) - NTP_1970 + 5);
        assert_eq!(ntp(time, 0), 5 << 32);
    }

    #[test]
    fn broken_compounds_are_read_as_far_as_they_go() {
        assert_eq!(types(&[]), [0_u8; 0]);
        assert_eq!(types(&[0x80, 201, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4]), [201]);
        assert_eq!(types(&[0x80, 201, 0xFF, 0xFF]), [201]);
        assert_eq!(types(&[0x00, 201, 0, 1]), [0_u8; 0]);
    }
}
