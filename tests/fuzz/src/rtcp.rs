//! RTCP compound packets.

use std::time::Duration;

use rtp_rtcp::{
    MAX_SUBPACKETS, NtpTime, ReaderReportLimits, ReaderReports, ReportBlock, RtcpPacket,
    RtcpWriter, RtpTime, SenderInfo, Ssrc, looks_like_rtcp, parse_compound,
};

use crate::clock::origin;

/// Walks a compound, and notes it as a reader's and as our own.
pub(crate) fn run(input: &[u8]) {
    let _ = looks_like_rtcp(input);
    let now = origin();
    let mut reports = ReaderReports::new(ReaderReportLimits::default());
    reports.on_sent(now, Ssrc(7), NtpTime::from_unix(Duration::from_secs(1_800_000_000)));
    reports.on_sent_compound(now, input);
    for reader in 0_u8..3 {
        let _ = reports.on_compound(now + Duration::from_secs(1), reader, input);
    }
    reports.handle_timeout(now + Duration::from_secs(3600));

    let Ok(packets) = parse_compound(input) else { return };
    let mut count = 0;
    for packet in packets {
        count += 1;
        let _ = packet.asks_for_key_frame();
        match &packet {
            RtcpPacket::SenderReport { ssrc, info, blocks } => {
                same(&packet, RtcpWriter::new().sender_report(*ssrc, info, blocks));
            }
            RtcpPacket::ReceiverReport { ssrc, blocks } => {
                same(&packet, RtcpWriter::new().receiver_report(*ssrc, blocks));
            }
            RtcpPacket::SourceDescription(sdes) => {
                for chunk in sdes.chunks() {
                    assert!(sdes.cname(chunk.ssrc).is_some() >= chunk.cname().is_some());
                    let length: usize = chunk.items().map(|item| item.value.len() + 2).sum();
                    assert!(length <= input.len());
                }
            }
            RtcpPacket::Bye { ssrcs, reason: None } => {
                same(&packet, RtcpWriter::new().bye(ssrcs, None));
            }
            _ => {}
        }
    }
    assert!(count <= MAX_SUBPACKETS);
}

/// What is written of a packet that was read is read as the same.
fn same(packet: &RtcpPacket<'_>, writer: RtcpWriter) {
    let bytes = writer.finish();
    let mut again = parse_compound(&bytes).expect("a compound of ours");
    assert_eq!(again.next().as_ref(), Some(packet));
}

/// One compound of each kind.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let block = ReportBlock {
        ssrc: Ssrc(7),
        fraction_lost: 9,
        cumulative_lost: -3,
        highest_seq: 70_000,
        jitter: 90,
        last_sr: 5,
        delay_since_last_sr: 6,
    };
    let info = SenderInfo {
        ntp: NtpTime::from_unix(Duration::from_secs(1_800_000_000)),
        rtp: RtpTime(9),
        packets: 3,
        octets: 4000,
    };
    let sources = [Ssrc(7), Ssrc(8)];
    [
        RtcpWriter::new().sender_report(Ssrc(7), &info, &[block]).cname(Ssrc(7), "camera"),
        RtcpWriter::new().receiver_report(Ssrc(1), &[block; 40]).cname(Ssrc(1), "me"),
        RtcpWriter::new().receiver_report(Ssrc(1), &[]).bye(&sources, Some("enough")),
        RtcpWriter::new().receiver_report(Ssrc(1), &[]).bye(&sources, None),
        RtcpWriter::new().receiver_report(Ssrc(1), &[]).pli(Ssrc(1), Ssrc(7)),
        RtcpWriter::new().receiver_report(Ssrc(1), &[]).fir(Ssrc(1), Ssrc(7), 3),
    ]
    .map(|writer| writer.finish().to_vec())
    .to_vec()
}
