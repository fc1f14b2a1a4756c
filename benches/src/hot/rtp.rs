//! What a packet passes on its way in: parsing, order, statistics, time.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use rtp_rtcp::{
    Admit, ClockRate, ExtSeq, InOrder, NtpTime, Reception, Reorder, ReorderLimits, ReportBlock,
    RtcpPacket, RtcpWriter, RtpPacket, RtpTime, SenderInfo, Seq, Ssrc, parse_compound,
    patch_header,
};
use time_normalizer::Timeline;

use super::{Path, Work, work};
use crate::clock;
use crate::packets::{Frames, OTHER_FRAME};
use crate::stage::FRAME;

pub(super) fn paths() -> Vec<Path> {
    vec![
        Path::new("rtp-rtcp/parse", "packet", parse),
        Path::new("rtp-rtcp/patch", "packet", patch),
        Path::new("rtp-rtcp/reorder", "packet", reorder),
        Path::new("rtp-rtcp/reorder swapped", "packet", reorder_swapped),
        Path::new("rtp-rtcp/number in order", "packet", in_order),
        Path::new("rtp-rtcp/reception", "packet", reception),
        Path::new("rtp-rtcp/read report", "report", read_report),
        Path::new("rtp-rtcp/write report", "report", write_report),
        Path::new("time-normalizer/stamp", "packet", stamp),
        Path::new("time-normalizer/stamp and reception", "packet", stamp_and_reception),
    ]
}

/// Packets of one frame after the other.
fn frames() -> impl FnMut() -> Vec<RtpPacket> + 'static {
    let mut frames = Frames::new();
    move || parsed(frames.frame(OTHER_FRAME, false))
}

fn parsed(packets: Vec<Vec<u8>>) -> Vec<RtpPacket> {
    packets.into_iter().map(|bytes| RtpPacket::parse(Bytes::from(bytes)).expect("RTP")).collect()
}

fn parse() -> Box<dyn Work> {
    let mut frames = Frames::new();
    work(
        move || frames.frame(OTHER_FRAME, false).into_iter().map(Bytes::from).collect::<Vec<_>>(),
        |packets| {
            let whole = packets.iter().filter(|bytes| {
                let packet = RtpPacket::parse(Bytes::clone(bytes));
                packet.is_ok_and(|packet| !black_box(packet.payload()).is_empty())
            });
            whole.count() as u64
        },
    )
}

fn patch() -> Box<dyn Work> {
    let mut frames = Frames::new();
    work(
        move || frames.frame(OTHER_FRAME, false),
        |packets| {
            let mut patched = 0;
            for (packet, seq) in packets.iter_mut().zip(7..) {
                let packet = black_box(packet);
                patched += u64::from(patch_header(packet, Seq(seq), RtpTime(9), Ssrc(1)));
            }
            patched
        },
    )
}

fn reorder() -> Box<dyn Work> {
    through_window(|_| {})
}

fn reorder_swapped() -> Box<dyn Work> {
    through_window(|packets| packets.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1)))
}

/// Frames through one window, each in an order of its own.
fn through_window(disorder: fn(&mut [RtpPacket])) -> Box<dyn Work> {
    let now = clock::fixed();
    let mut frames = frames();
    let mut window = Reorder::new(ReorderLimits::default());
    for packet in frames() {
        assert_eq!(window.push(now, packet), Admit::Queued);
        assert!(window.pull(now).is_some(), "in order");
    }
    let prepare = move || {
        let mut packets = frames();
        disorder(&mut packets);
        packets
    };
    work(prepare, move |packets| {
        let mut pulled = 0;
        for packet in packets.drain(..) {
            assert_ne!(window.push(now, packet), Admit::TooLate);
            while let Some(next) = window.pull(now) {
                black_box(next);
                pulled += 1;
            }
        }
        pulled
    })
}

fn in_order() -> Box<dyn Work> {
    let now = clock::fixed();
    let mut order = InOrder::new();
    work(frames(), move |packets| {
        let mut pulled = 0;
        for packet in packets.drain(..) {
            assert_eq!(order.push(now, packet), Admit::Queued);
            while let Some(next) = order.pull(now) {
                black_box(next);
                pulled += 1;
            }
        }
        pulled
    })
}

fn reception() -> Box<dyn Work> {
    let (mut now, mut reception) = (clock::fixed(), Reception::new(ClockRate::VIDEO));
    work(frames(), move |packets| {
        now += FRAME;
        for packet in packets.iter() {
            reception.on_packet(now, packet.header(), packet.bytes().len());
        }
        packets.len() as u64
    })
}

fn stamp() -> Box<dyn Work> {
    let mut now = clock::fixed_both();
    let mut timeline = Timeline::new(now, 7);
    let track = timeline.add_track(ClockRate::VIDEO);
    work(frames(), move |packets| {
        now = now.after(FRAME);
        for packet in packets.iter() {
            let header = packet.header();
            black_box(timeline.stamp(now, track, header.ssrc, header.timestamp));
        }
        packets.len() as u64
    })
}

/// Both of what a packet's time and number are entered in: what counting and timing it costs.
fn stamp_and_reception() -> Box<dyn Work> {
    let mut now = clock::fixed_both();
    let mut timeline = Timeline::new(now, 7);
    let track = timeline.add_track(ClockRate::VIDEO);
    let mut reception = Reception::new(ClockRate::VIDEO);
    work(frames(), move |packets| {
        now = now.after(FRAME);
        for packet in packets.iter() {
            let header = packet.header();
            reception.on_packet(now.mono, header, packet.bytes().len());
            black_box(timeline.stamp(now, track, header.ssrc, header.timestamp));
        }
        packets.len() as u64
    })
}

fn info() -> SenderInfo {
    let ntp = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
    SenderInfo { ntp, rtp: RtpTime(90_000), packets: 1000, octets: 1_400_000 }
}

fn write_report() -> Box<dyn Work> {
    work(|| (), |()| u64::from(!black_box(report(black_box(&info()))).is_empty()))
}

fn report(info: &SenderInfo) -> Bytes {
    let block = ReportBlock {
        ssrc: Ssrc(2),
        fraction_lost: 1,
        cumulative_lost: 20,
        highest_seq: 70_000,
        jitter: 90,
        last_sr: 0x1234_5678,
        delay_since_last_sr: 65_536,
    };
    let writer = RtcpWriter::new().sender_report(Ssrc(1), info, &[block]);
    writer.cname(Ssrc(1), "0123456789abcdef").finish()
}

fn read_report() -> Box<dyn Work> {
    let bytes = report(&info());
    work(
        || (),
        move |()| {
            let Ok(packets) = parse_compound(black_box(&bytes)) else { return 0 };
            let mut reports = 0;
            for packet in packets {
                match packet {
                    RtcpPacket::SenderReport { ssrc, info, blocks } => {
                        black_box((ssrc, info, blocks));
                        reports += 1;
                    }
                    RtcpPacket::SourceDescription(sdes) => {
                        black_box(sdes.cname(Ssrc(1)));
                    }
                    _ => {}
                }
            }
            reports
        },
    )
}

/// The number that a batch's packets begin with, here and in other modules.
pub(super) const FIRST: ExtSeq = ExtSeq(1 << 16);
