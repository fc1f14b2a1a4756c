//! Depacketizers, framers and packetizers in bytes per second, and H.264 beside `retina`.

use std::hint::black_box;
use std::num::NonZeroU32;

use benches::formats::{self, Stream};
use bytes::{Bytes, BytesMut};
use codec_framers::{AnyDepacketizer, Depacketizer, Packet};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use retina::codec::{CodecItem, FrameFormat};
use retina::testutil::DepacketizeBuf;

fn formats(c: &mut Criterion) {
    for stream in formats::all() {
        let mut group = c.benchmark_group(stream.name);
        group.throughput(Throughput::Bytes(stream.bytes()));
        group.bench_function("depacketize", |b| {
            let mut depacketizer = stream.depacketizer();
            b.iter(|| stream.depacketize(&mut depacketizer, |unit| drop(black_box(unit))));
        });
        group.bench_function("frame", |b| {
            let mut framer = stream.framer();
            b.iter_batched(
                || stream.units.clone(),
                |units| Stream::frame(&mut framer, units, |unit| drop(black_box(unit))),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("packetize", |b| {
            let mut packetizer = stream.packetizer();
            b.iter(|| stream.packetize(&mut packetizer, |payload| _ = black_box(payload.len())));
        });
        group.finish();
    }
}

/// The same packets by both, from the bytes of a datagram to one contiguous access unit with length
/// prefixes. `retina` takes payloads into a ring of its own, we into an arena of which packets are
/// slices: as both do on the way from the network.
fn beside_retina(c: &mut Criterion) {
    let stream = formats::h264();
    let mut retina = Retina::new();
    let theirs = retina.units(&stream);
    assert_eq!(ours(&stream), theirs, "both give the same");

    let mut group = c.benchmark_group("H264 beside retina");
    group.throughput(Throughput::Bytes(stream.bytes()));
    group.bench_function("retina", |b| {
        b.iter(|| retina.each(&stream, |unit| drop(black_box(unit))));
    });
    group.bench_function("ours", |b| {
        let (mut arena, mut depacketizer) = (Arena::default(), stream.depacketizer());
        b.iter(|| {
            taken(
                &stream,
                &mut depacketizer,
                |bytes| arena.take(bytes),
                |unit| {
                    drop(black_box(unit.to_length_prefixed()));
                },
            );
        });
    });
    group.bench_function("ours, slices", |b| {
        let (mut arena, mut depacketizer) = (Arena::default(), stream.depacketizer());
        b.iter(|| {
            taken(
                &stream,
                &mut depacketizer,
                |bytes| arena.take(bytes),
                |unit| {
                    drop(black_box(unit));
                },
            );
        });
    });
    group.bench_function("ours, packets at hand", |b| {
        let mut depacketizer = stream.depacketizer();
        b.iter(|| {
            taken(&stream, &mut depacketizer, Bytes::clone, |unit| {
                drop(black_box(unit.to_length_prefixed()));
            });
        });
    });
    group.bench_function("ours, packets at hand, slices", |b| {
        let mut depacketizer = stream.depacketizer();
        b.iter(|| {
            taken(&stream, &mut depacketizer, Bytes::clone, |unit| drop(black_box(unit)));
        });
    });
    // What neither can do without, to see how much of each is the copying of bytes.
    group.bench_function("payloads into a ring", |b| {
        let mut ring = vec![0_u8; RING];
        b.iter(|| {
            let mut at = 0;
            for packet in &stream.packets {
                let length = packet.payload.len();
                if at + length > ring.len() {
                    at = 0;
                }
                if let Some(place) = ring.get_mut(at..at + length) {
                    place.copy_from_slice(&packet.payload);
                }
                at += length;
                black_box(&mut ring);
            }
        });
    });
    group.bench_function("payloads into units", |b| {
        b.iter(|| {
            let mut unit = Vec::new();
            for packet in &stream.packets {
                if unit.is_empty() {
                    unit.reserve_exact(benches::packets::KEY_FRAME + 64);
                }
                unit.extend_from_slice(&packet.payload);
                if packet.marker {
                    drop(black_box(std::mem::take(&mut unit)));
                }
            }
        });
    });
    group.finish();
}

const RING: usize = 1 << 16;

/// Where received bytes are kept until nobody has slices of them.
#[derive(Default)]
struct Arena(BytesMut);

impl Arena {
    fn take(&mut self, bytes: &Bytes) -> Bytes {
        if self.0.capacity() < bytes.len() {
            self.0.reserve(RING);
        }
        self.0.extend_from_slice(bytes);
        self.0.split().freeze()
    }
}

fn taken(
    stream: &Stream,
    depacketizer: &mut AnyDepacketizer,
    mut receive: impl FnMut(&Bytes) -> Bytes,
    mut take: impl FnMut(codec_framers::AccessUnit),
) {
    for packet in &stream.packets {
        let payload = receive(&packet.payload);
        let packet = Packet { payload, ..*packet };
        depacketizer.push(packet).expect("a packet of the format");
        while let Some(unit) = depacketizer.poll() {
            take(unit);
        }
    }
}

fn ours(stream: &Stream) -> Vec<Vec<u8>> {
    let mut units = Vec::new();
    taken(stream, &mut stream.depacketizer(), Bytes::clone, |unit| {
        units.push(unit.to_length_prefixed());
    });
    units
}

struct Retina {
    depacketizer: retina::codec::Depacketizer,
    ring: DepacketizeBuf,
    seq: u16,
    begin: i64,
}

impl Retina {
    fn new() -> Self {
        let fmtp = "packetization-mode=1;sprop-parameter-sets=Z00ADZWoUH6bgICAgQ==,aO48gA==";
        let depacketizer =
            retina::codec::Depacketizer::new("video", "h264", 90_000, None, Some(fmtp));
        let mut depacketizer = depacketizer.expect("retina's depacketizer");
        depacketizer.set_frame_format(FrameFormat::MP4);
        Self { depacketizer, ring: DepacketizeBuf::new(RING), seq: 0, begin: 0 }
    }

    fn each(&mut self, stream: &Stream, mut take: impl FnMut(Vec<u8>)) {
        let context = retina::PacketContext::dummy();
        for packet in &stream.packets {
            let ticks = self.begin + i64::from(packet.timestamp.0);
            let rate = NonZeroU32::new(90_000).expect("a rate");
            let meta = retina::rtp::PacketMeta {
                ctx: context,
                stream_id: 0,
                timestamp: retina::Timestamp::new(ticks, rate, 0).expect("a time"),
                sequence_number: self.seq,
                ssrc: 1,
                mark: packet.marker,
                loss: 0,
            };
            self.seq = self.seq.wrapping_add(1);
            self.ring.push(&mut self.depacketizer, meta, &packet.payload).expect("a packet");
            while let Some(item) = self.depacketizer.pull() {
                if let Ok(CodecItem::VideoFrame(frame)) = item {
                    take(frame.into_data());
                }
            }
        }
        // Times go on.
        self.begin += 90_000;
    }

    fn units(&mut self, stream: &Stream) -> Vec<Vec<u8>> {
        let mut units = Vec::new();
        self.each(stream, |unit| units.push(unit));
        units
    }
}

criterion_group!(benches, formats, beside_retina);
criterion_main!(benches);
