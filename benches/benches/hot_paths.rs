//! Every hot path in nanoseconds.

use std::hint::black_box;
use std::time::Duration;

use benches::{clock, hot};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn hot_paths(c: &mut Criterion) {
    for path in hot::all() {
        let Some((group, name)) = path.name.split_once('/') else { continue };
        let mut work = path.make();
        work.prepare();
        let mut group = c.benchmark_group(group);
        group.throughput(Throughput::Elements(work.run()));
        group.bench_function(name, |b| {
            b.iter_custom(|runs| {
                let mut spent = Duration::ZERO;
                for _ in 0..runs {
                    work.prepare();
                    let begin = clock::mono();
                    black_box(work.run());
                    spent += begin.elapsed();
                }
                spent
            });
        });
        group.finish();
    }
}

criterion_group!(benches, hot_paths);
criterion_main!(benches);
