//! More readers do not mean more allocations: what one packet costs is the same for one reader and
//! for a hundred.
//!
//! One test only: the allocator counts for the whole process.

use std::alloc::System;
use std::time::{Duration, Instant};

use backend_client::TransportChoice;
use benches::packets::{Frames, KEY_FRAME, OTHER_FRAME};
use benches::rig::{Arriving, Rig};
use benches::stage::GOP;
use rtp_rtcp::{Now, NtpTime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Frames before the counting: every queue has its usual size by then.
const WARM_UP: u64 = 3 * GOP;
/// Frames that are counted.
const COUNTED: u64 = 4 * GOP;

/// Frames, made before anything is counted, and how many packets of them count.
fn frames(over: TransportChoice) -> (Vec<Arriving>, u64) {
    let mut packets_counted = 0;
    let mut frames = Frames::new();
    let arriving = (0..WARM_UP + COUNTED).map(|index| {
        let is_key = index.is_multiple_of(GOP);
        let packets = frames.frame(if is_key { KEY_FRAME } else { OTHER_FRAME }, is_key);
        if index >= WARM_UP {
            packets_counted += packets.len() as u64;
        }
        Arriving::new(&packets, over)
    });
    (arriving.collect(), packets_counted)
}

/// Allocations, and allocations made larger, while frames arrive.
fn allocations(now: Instant, over: TransportChoice, readers: usize) -> f64 {
    let (frames, packets) = frames(over);
    let wall = NtpTime::from_unix(Duration::from_secs(1_700_000_000));
    let mut rig = Rig::new(Now { mono: now, wall }, over, readers);
    let (warm_up, counted) = frames.split_at(WARM_UP as usize);
    warm_up.iter().for_each(|frame| rig.frame(frame));
    let before = rig.served();
    let region = Region::new(ALLOCATOR);
    counted.iter().for_each(|frame| rig.frame(frame));
    let stats = region.change();
    let bytes = 2 * readers as u64 * 4 * (KEY_FRAME as u64 + (GOP - 1) * OTHER_FRAME as u64);
    assert!(rig.served() - before > bytes, "{readers}: {} of {bytes}", rig.served() - before);
    (stats.allocations + stats.reallocations) as f64 / packets as f64
}

#[test]
fn allocations_per_packet_do_not_grow_with_readers() {
    let now = benches::clock::mono();
    for over in [TransportChoice::Udp, TransportChoice::Tcp] {
        let [one, hundred] = [1, 100].map(|readers| allocations(now, over, readers));
        println!("{over:?}: {one:.4} per packet with one reader each way, {hundred:.4} with 100");
        // An allocation per frame and reader would add 13 per packet, one per GOP and reader 0.27.
        assert!(hundred <= one + 0.01, "{over:?}: {one} per packet with one, {hundred} with 100");
        assert!(one < 1.0, "{over:?}: {one} per packet");
    }
}
