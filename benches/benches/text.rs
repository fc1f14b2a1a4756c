//! What is read as text, and the frames between it.

use std::hint::black_box;

use benches::packets::{Frames, KEY_FRAME, SDP};
use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rtsp_proto::{Decoder, Limits, Role};

const REQUEST: &str = "SETUP rtsp://192.0.2.7:8554/cam/track1 RTSP/1.0\r\n\
CSeq: 3\r\n\
User-Agent: Lavf61.7.100\r\n\
Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\
Session: 0123456789abcdef0123456789abcdef\r\n\r\n";

fn rtsp(c: &mut Criterion) {
    let mut frames = BytesMut::new();
    let packets = Frames::new().frame(KEY_FRAME, true);
    for packet in &packets {
        let length = u16::try_from(packet.len()).unwrap_or_default();
        frames.extend_from_slice(&[b'$', 0]);
        frames.extend_from_slice(&length.to_be_bytes());
        frames.extend_from_slice(packet);
    }
    let mut group = c.benchmark_group("rtsp");
    for (name, role, bytes, count) in [
        ("request", Role::Server, BytesMut::from(REQUEST), 1),
        ("interleaved packets", Role::Client, frames, packets.len()),
    ] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name, |b| {
            b.iter_batched(
                || (Decoder::new(Limits::default(), role), bytes.clone()),
                |(mut decoder, mut bytes)| {
                    let mut seen = 0;
                    while let Ok(Some(frame)) = decoder.decode(&mut bytes) {
                        black_box(frame);
                        seen += 1;
                    }
                    assert_eq!(seen, count);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn sdp(c: &mut Criterion) {
    c.bench_function("sdp/parse", |b| {
        b.iter(|| black_box(sdp::Presentation::parse(black_box(SDP.as_bytes()))).is_ok());
    });
}

criterion_group!(benches, rtsp, sdp);
criterion_main!(benches);
