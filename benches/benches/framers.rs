//! Depacketizers, framers and packetizers in bytes per second, and H.264 beside `retina`.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::Duration;

use benches::clock;
use benches::formats::{self, Stream};
use bytes::{Bytes, BytesMut};
use codec_framers::h264::ContiguousDepacketizer;
use codec_framers::{AnyDepacketizer, ContiguousUnit, Depacketizer, Packet};
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
    let mut pieces = Vec::new();
    in_one_piece(&stream, &mut stream.contiguous_depacketizer(), |_, unit| pieces.push(unit.data));
    assert_eq!(pieces, theirs, "in one piece as well");

    let mut group = c.benchmark_group("H264 beside retina");
    group.throughput(Throughput::Bytes(stream.bytes()));
    group.bench_function("retina", |b| {
        b.iter(|| retina.each(&stream, |unit| drop(black_box(unit))));
    });
    // From where bytes were received straight to where they stay.
    group.bench_function("ours, in one piece", |b| {
        let mut depacketizer = stream.contiguous_depacketizer();
        b.iter(|| in_one_piece(&stream, &mut depacketizer, |_, unit| drop(black_box(unit))));
    });
    group.bench_function("ours, in one piece, memory given back", |b| {
        let mut depacketizer = stream.contiguous_depacketizer();
        b.iter(|| {
            in_one_piece(&stream, &mut depacketizer, |depacketizer, unit| {
                depacketizer.recycle(black_box(unit).data);
            });
        });
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
        b.iter(|| into_ring(&stream, &mut ring));
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

/// How many times `retina`'s throughput ours is: both in turns, so that what else the machine does
/// hits both alike, by the medians.
fn in_turns(_: &mut Criterion) {
    const ROUNDS: usize = 2001;
    let stream = formats::h264();
    let mut retina = Retina::new();
    let (mut fresh, mut spare) =
        (stream.contiguous_depacketizer(), stream.contiguous_depacketizer());
    let mut slices = stream.depacketizer();
    let mut ring = vec![0; RING];
    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..ROUNDS {
        let began = clock::mono();
        retina.each(&stream, |unit| drop(black_box(unit)));
        let theirs = clock::mono();
        in_one_piece(&stream, &mut fresh, |_, unit| drop(black_box(unit)));
        let ours = clock::mono();
        in_one_piece(&stream, &mut spare, |spare, unit| spare.recycle(black_box(unit).data));
        let reused = clock::mono();
        taken(&stream, &mut slices, Bytes::clone, |unit| drop(black_box(unit)));
        let sliced = clock::mono();
        into_ring(&stream, &mut ring);
        let ends = [theirs, ours, reused, sliced, clock::mono()];
        let mut begin = began;
        for (end, times) in ends.into_iter().zip(&mut times) {
            times.push(end - begin);
            begin = end;
        }
    }
    let [theirs, ours, reused, sliced, ring] = times.map(|mut times| {
        times.sort_unstable();
        times.get(ROUNDS / 2).map_or(f64::NAN, |median| median.as_secs_f64() * 1e6)
    });
    println!(
        "H264 in turns, medians of {ROUNDS}: retina {theirs:.1} us, of which its ring {ring:.1}"
    );
    for (what, time) in [("one piece", ours), ("memory given back", reused), ("slices", sliced)] {
        let (times, without) = (theirs / time, (theirs - ring) / time);
        println!(
            "  {what}: {time:.1} us, {times:.2} times retina's, {without:.2} without its ring"
        );
    }
}

/// What `retina` does first.
fn into_ring(stream: &Stream, ring: &mut [u8]) {
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
        black_box(&mut *ring);
    }
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

fn in_one_piece(
    stream: &Stream,
    depacketizer: &mut ContiguousDepacketizer,
    mut take: impl FnMut(&mut ContiguousDepacketizer, ContiguousUnit),
) {
    for packet in &stream.packets {
        let Packet { payload, timestamp, marker, lost } = packet;
        depacketizer.push(payload, *timestamp, *marker, *lost).expect("a packet of the format");
        while let Some(unit) = depacketizer.poll() {
            take(depacketizer, unit);
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

criterion_group!(benches, formats, beside_retina, in_turns);
criterion_main!(benches);
