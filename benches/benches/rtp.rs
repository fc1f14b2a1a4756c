//! What a packet passes on its way in: parsing, order, glance, image.

use std::hint::black_box;

use benches::clock;
use benches::packets::{Frames, KEY_FRAME, OTHER_FRAME, SDP};
use bytes::Bytes;
use codec_framers::{Glancer, UnitTracker};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fan_out::{Push, TrackId, WireBatchBuilder};
use rtp_rtcp::{
    Admit, ExtSeq, InOrder, Reorder, ReorderLimits, RtpPacket, RtpTime, Seq, Ssrc, patch_header,
};

/// Packets of a key frame.
fn packets() -> Vec<Bytes> {
    Frames::new().frame(KEY_FRAME, true).into_iter().map(Bytes::from).collect()
}

fn parsed(packets: &[Bytes]) -> Vec<RtpPacket> {
    packets.iter().map(|bytes| RtpPacket::parse(bytes.clone()).expect("RTP")).collect()
}

fn parse_and_patch(c: &mut Criterion) {
    let packets = packets();
    let mut group = c.benchmark_group("rtp");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("parse", |b| {
        b.iter(|| {
            for bytes in &packets {
                let packet = RtpPacket::parse(bytes.clone());
                black_box(packet.map(|packet| packet.payload().len())).ok();
            }
        });
    });
    let mut images: Vec<Vec<u8>> = packets.iter().map(|packet| packet.to_vec()).collect();
    group.bench_function("patch", |b| {
        b.iter(|| {
            for (image, seq) in images.iter_mut().zip(7..) {
                black_box(patch_header(image, Seq(seq), RtpTime(9), Ssrc(1)));
            }
        });
    });
    group.finish();
}

fn order(c: &mut Criterion) {
    let now = clock::mono();
    let packets = parsed(&packets());
    let mut swapped = packets.clone();
    // All but the first, which is where counting begins.
    if let Some((_, rest)) = swapped.split_first_mut() {
        rest.chunks_exact_mut(2).for_each(|pair| pair.swap(0, 1));
    }
    let mut group = c.benchmark_group("order");
    group.throughput(Throughput::Elements(packets.len() as u64));
    for (name, packets) in [("reorder", &packets), ("reorder, swapped", &swapped)] {
        group.bench_function(name, |b| {
            b.iter_batched(
                || (Reorder::new(ReorderLimits::default()), packets.clone()),
                |(mut window, packets)| {
                    for packet in packets {
                        assert_eq!(window.push(now, packet), Admit::Queued);
                        while let Some(next) = window.pull(now) {
                            black_box(next);
                        }
                    }
                    window
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.bench_function("in order", |b| {
        b.iter_batched(
            || (InOrder::new(), packets.clone()),
            |(mut order, packets)| {
                for packet in packets {
                    assert_eq!(order.push(now, packet), Admit::Queued);
                    while let Some(next) = order.pull(now) {
                        black_box(next);
                    }
                }
                order
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn glance(c: &mut Criterion) {
    let (presentation, _) = sdp::Presentation::parse(SDP.as_bytes()).expect("a description");
    let media = presentation.media.first().expect("a section");
    let mut frames = Frames::new();
    let mut bytes = frames.frame(KEY_FRAME, true);
    bytes.extend(frames.frame(OTHER_FRAME, false));
    let packets = parsed(&bytes.into_iter().map(Bytes::from).collect::<Vec<_>>());
    let mut glancer = Glancer::new(&media.kind, media.main_format());
    let mut group = c.benchmark_group("glance");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("H.264", |b| {
        b.iter(|| {
            let mut units = UnitTracker::new();
            for (packet, seq) in packets.iter().zip(1..) {
                let header = packet.header();
                let glance = glancer.look(header, packet.payload());
                black_box(units.on_packet(ExtSeq(seq), header.timestamp, glance));
            }
        });
    });
    group.finish();
}

fn image(c: &mut Criterion) {
    let now = clock::mono();
    let packets = packets();
    let mut builder = WireBatchBuilder::new(TrackId(0));
    let mut next = ExtSeq(1 << 16);
    let mut group = c.benchmark_group("batch");
    group.throughput(Throughput::Elements(packets.len() as u64));
    group.bench_function("push and finish", |b| {
        b.iter(|| {
            for packet in &packets {
                assert_eq!(builder.push(packet, next, RtpTime(9), Ssrc(1)), Push::Added);
                next = next.next();
            }
            black_box(builder.finish(now))
        });
    });
    let batch = || {
        let mut builder = WireBatchBuilder::new(TrackId(0));
        for (packet, seq) in packets.iter().zip(1 << 16..) {
            let pushed = builder.push(packet, ExtSeq(seq), RtpTime(9), Ssrc(1));
            assert_eq!(pushed, Push::Added);
        }
        builder.finish(now).expect("packets were pushed")
    };
    group.bench_function("interleave", |b| {
        b.iter_batched_ref(
            batch,
            |batch| black_box(batch.interleaved().len()),
            // Memory that was used a moment ago, as in a log that forgets as much as it takes in.
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, parse_and_patch, order, glance, image);
criterion_main!(benches);
