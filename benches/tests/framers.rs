//! Allocations per access unit, by format.
//!
//! One test only: the allocator counts for the whole process.

use std::alloc::System;
use std::hint::black_box;

use benches::formats::{self, Stream};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations, and allocations made larger, of the second time that this is done.
fn counted(units: usize, mut work: impl FnMut()) -> f64 {
    work();
    let region = Region::new(ALLOCATOR);
    work();
    let stats = region.change();
    (stats.allocations + stats.reallocations) as f64 / units as f64
}

#[test]
fn units_are_taken_apart_and_put_together_with_few_allocations() {
    println!("{:<20}{:>8}{:>14}{:>8}{:>12}", "", "packets", "depacketize", "frame", "packetize");
    for stream in formats::all() {
        let units = stream.units.len();
        let packets = stream.packets.len() as f64 / units as f64;
        let mut depacketizer = stream.depacketizer();
        let apart = counted(units, || {
            stream.depacketize(&mut depacketizer, |unit| drop(black_box(unit)));
        });
        let mut framer = stream.framer();
        let copying = counted(units, || drop(black_box(stream.units.clone())));
        let framing = counted(units, || {
            Stream::frame(&mut framer, stream.units.clone(), |unit| drop(black_box(unit)));
        });
        let framing = framing - copying;
        let mut packetizer = stream.packetizer();
        let together = counted(units, || {
            stream.packetize(&mut packetizer, |payload| _ = black_box(payload.len()));
        });
        let name = stream.name;
        println!("{name:<20}{packets:>8.1}{apart:>14.2}{framing:>8.2}{together:>12.2}");
        // Lists of slices that grow; lines of uncompressed pictures are sorted, too.
        let (most_apart, most_together) = if name == "RAW" { (16.0, 16.0) } else { (6.0, 4.0) };
        assert!(apart <= most_apart, "{name}: {apart} to take one apart");
        assert!(framing <= 1.0, "{name}: {framing} to frame one");
        assert!(together <= most_together, "{name}: {together} to packetize one");
    }
}
