//! Serving readers, without the kernel: a frame of 14 packets (43 where it is a key frame) to a
//! hundred of them over UDP, over TCP, and to nobody, which is what the log alone costs.

use std::hint::black_box;
use std::time::Duration;

use benches::clock;
use benches::stage::{Batches, FRAME, GOP, Stage};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const READERS: usize = 100;

fn serve(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan-out");
    for (name, udp, tcp) in [("nobody", 0, 0), ("UDP", READERS, 0), ("TCP", 0, READERS)] {
        group.throughput(Throughput::Elements((udp + tcp).max(1) as u64));
        let mut now = clock::mono();
        let (mut stage, mut batches) = (Stage::new(now, udp, tcp), Batches::new());
        // Made beforehand, and made anew when they are used up.
        let mut ready = Vec::new();
        group.bench_function(name, |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let batch = ready.pop().unwrap_or_else(|| {
                        ready.extend((0..GOP).map(|_| batches.next(now)));
                        ready.reverse();
                        ready.pop().expect("some were made")
                    });
                    let begin = clock::mono();
                    stage.publish(now, batch);
                    black_box((stage.serve_udp(now), stage.serve_tcp(now)));
                    spent += begin.elapsed();
                    now += FRAME;
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, serve);
criterion_main!(benches);
