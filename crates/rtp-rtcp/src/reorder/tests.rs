use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{RtpTime, Seq, Ssrc, padding_packet};

const LIMITS: ReorderLimits = ReorderLimits { packets: 8, delay: Duration::from_millis(100) };

#[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
fn origin() -> Instant {
    Instant::now()
}

fn packet(ssrc: u32, seq: u16, timestamp: u32) -> RtpPacket {
    let bytes = padding_packet(96, Seq(seq), RtpTime(timestamp), Ssrc(ssrc));
    RtpPacket::parse(Bytes::copy_from_slice(&bytes)).unwrap()
}

/// A window with a clock of its own, which counts milliseconds; numbers are shown less 2^16.
struct Bench {
    reorder: Reorder,
    start: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { reorder: Reorder::new(LIMITS), start: origin() }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn push(&mut self, ms: u64, seq: u16) -> Admit {
        self.reorder.push(self.at(ms), packet(1, seq, 0))
    }

    fn pull(&mut self, ms: u64) -> Vec<u64> {
        let now = self.at(ms);
        std::iter::from_fn(|| self.reorder.pull(now)).map(|(seq, _)| seq.0 - 65_536).collect()
    }

    /// Pushes, expects it to be let in, and pulls.
    fn pass(&mut self, ms: u64, seq: u16) -> Vec<u64> {
        assert_eq!(self.push(ms, seq), Admit::Queued);
        self.pull(ms)
    }

    fn due(&self) -> Option<u64> {
        let due = self.reorder.poll_timeout()?;
        Some((due - self.start).as_millis() as u64)
    }
}

#[test]
fn packets_in_order_pass_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 65_534), [65_534]);
    assert_eq!(bench.pass(0, 65_535), [65_535]);
    assert_eq!(bench.pass(0, 0), [65_536]);
    assert_eq!(bench.due(), None);
}

#[test]
fn two_that_changed_places_are_put_back() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    assert_eq!(bench.pass(10, 3), []);
    assert_eq!(bench.due(), Some(110));
    assert_eq!(bench.pass(20, 2), [2, 3]);
    assert_eq!(bench.due(), None);
}

#[test]
fn a_lost_packet_holds_the_others_for_the_delay_and_no_longer() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    assert_eq!(bench.pass(10, 3), []);
    assert_eq!(bench.pass(50, 4), []);
    assert_eq!(bench.pull(109), []);
    assert_eq!(bench.pull(110), [3, 4]);
    assert_eq!(bench.push(111, 2), Admit::TooLate);
    assert_eq!(bench.push(111, 3), Admit::Duplicate);
    assert_eq!(bench.reorder.stats().missing, 1);
}

#[test]
fn a_lost_packet_delays_a_slow_track_by_the_timer_alone() {
    let mut bench = Bench::new();
    for second in 0..100_u64 {
        let (at, seq) = (second * 1_000, second as u16);
        match second % 10 {
            // Lost.
            4 => assert_eq!(bench.pull(at), []),
            5 => {
                assert_eq!(bench.pass(at, seq), []);
                assert_eq!(bench.due(), Some(at + 100));
                assert_eq!(bench.pull(at + 100), [second]);
            }
            _ => assert_eq!(bench.pass(at, seq), [second]),
        }
        assert_eq!(bench.due(), None);
    }
    assert_eq!(bench.reorder.stats().missing, 10);
}

#[test]
fn a_slow_track_that_begins_anew_loses_one_packet_at_most() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1_000), [1_000]);
    assert_eq!(bench.push(1_000, 40_000), Admit::Queued);
    assert_eq!(bench.pull(1_000), []);
    assert_eq!(bench.push(2_000, 40_001), Admit::Restarted);
    assert_eq!(bench.pull(2_000), [1_001]);
    assert_eq!(bench.pass(3_000, 40_002), [1_002]);
}

#[test]
fn each_gap_has_the_delay_of_those_behind_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    assert_eq!(bench.pass(10, 3), []);
    assert_eq!(bench.pass(60, 5), []);
    assert_eq!(bench.pull(110), [3]);
    assert_eq!(bench.due(), Some(160));
    assert_eq!(bench.pull(160), [5]);
}

#[test]
fn one_that_comes_before_another_that_waits_for_longer_goes_with_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    assert_eq!(bench.pass(10, 6), []);
    assert_eq!(bench.pass(90, 4), []);
    assert_eq!(bench.pull(110), [4, 6]);
}

#[test]
fn more_than_the_window_holds_gives_up_the_oldest_gap() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    for seq in 3..=10 {
        assert_eq!(bench.pass(1, seq), []);
    }
    assert_eq!(bench.pass(1, 11), (3..=11).collect::<Vec<_>>());
}

#[test]
fn a_window_that_nobody_empties_overflows() {
    let mut bench = Bench::new();
    assert!((0..9).all(|seq| bench.push(0, seq) == Admit::Queued));
    assert_eq!(bench.push(0, 9), Admit::Overflowed);
    assert_eq!(bench.pull(0).len(), 9);
    assert_eq!(bench.pass(0, 9), [9]);
}

#[test]
fn a_number_twice_is_dropped_while_it_waits_and_after() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    assert_eq!(bench.push(0, 1), Admit::Duplicate);
    assert_eq!(bench.pass(0, 3), []);
    assert_eq!(bench.push(0, 3), Admit::Duplicate);
    assert_eq!(bench.reorder.stats().duplicates, 2);
}

#[test]
fn a_restart_loses_nothing_and_numbers_go_on() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1_000), [1_000]);
    assert_eq!(bench.pass(0, 1_002), []);
    assert_eq!(bench.push(10, 30_000), Admit::Queued);
    assert_eq!(bench.pull(10), []);
    assert_eq!(bench.push(20, 30_001), Admit::Restarted);
    assert_eq!(bench.pull(20), [1_002, 1_003, 1_004]);
    assert_eq!(bench.pass(30, 30_003), []);
    assert_eq!(bench.pass(40, 30_002), [1_005, 1_006]);
    assert_eq!(bench.reorder.stats().restarts, 1);
}

#[test]
fn the_first_two_of_a_restart_may_change_places() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1_000), [1_000]);
    assert_eq!(bench.push(10, 30_001), Admit::Queued);
    assert_eq!(bench.push(11, 30_000), Admit::Restarted);
    let now = bench.at(11);
    let wire = |(_, packet): (ExtSeq, RtpPacket)| packet.header().seq.0;
    assert_eq!(bench.reorder.pull(now).map(wire), Some(30_000));
    assert_eq!(bench.reorder.pull(now).map(wire), Some(30_001));
}

#[test]
fn a_single_stray_packet_changes_nothing() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    assert_eq!(bench.pass(0, 30_000), []);
    assert_eq!(bench.due(), None);
    assert_eq!(bench.pass(0, 2), [2]);
    assert_eq!(bench.pass(0, 30_001), []);
    assert_eq!(bench.pass(0, 3), [3]);
    assert_eq!(bench.reorder.stats().strays, 2);
}

#[test]
fn a_first_packet_kept_for_longer_than_the_delay_does_not_pass() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 1), [1]);
    assert_eq!(bench.pass(0, 30_000), []);
    assert_eq!(bench.push(101, 30_001), Admit::Restarted);
    let (seq, packet) = bench.reorder.pull(bench.at(101)).unwrap();
    assert_eq!((seq.0, packet.header().seq.0), (65_538, 30_001));
    assert_eq!(bench.pull(101), []);
}

#[test]
fn another_source_takes_over_with_its_second_packet() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 5), [5]);
    let now = bench.at(1);
    assert_eq!(bench.reorder.push(now, packet(2, 6, 0)), Admit::Queued);
    assert_eq!(bench.pull(1), []);
    assert_eq!(bench.reorder.push(now, packet(2, 7, 0)), Admit::Restarted);
    assert_eq!(bench.pull(1), [6, 7]);
}

#[test]
fn a_source_that_begins_anew_a_little_behind_is_heard_again() {
    let mut bench = Bench::new();
    for seq in 0..50 {
        assert_eq!(bench.pass(0, seq).len(), 1);
    }
    let now = bench.at(1);
    let mut passed = Vec::new();
    for seq in 0..20 {
        let _admit = bench.reorder.push(now, packet(1, seq, 1));
        passed.extend(bench.pull(1));
    }
    assert_eq!(passed, (50..63).collect::<Vec<_>>());
}

#[test]
fn late_packets_of_any_age_are_no_new_beginning() {
    let mut bench = Bench::new();
    for seq in 0..50 {
        assert_eq!(bench.pass(0, seq).len(), 1);
    }
    let now = bench.at(1);
    for seq in 0..40 {
        let younger = u32::from(seq % 8 != 7);
        assert_eq!(bench.reorder.push(now, packet(1, seq, younger)), Admit::Duplicate);
    }
}

#[test]
fn a_new_session_goes_on_after_what_was_pulled() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 10), [10]);
    assert_eq!(bench.pass(0, 12), []);
    bench.reorder.clear();
    assert_eq!(bench.due(), None);
    assert_eq!(bench.pass(1, 40_000), [11]);
    assert_eq!(bench.pass(1, 40_001), [12]);
}

#[test]
fn what_was_released_before_a_new_session_releases_nothing_in_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.pass(0, 10), [10]);
    assert_eq!(bench.pass(0, 19), []);
    assert_eq!(bench.push(0, 30_000), Admit::Queued);
    assert_eq!(bench.push(0, 30_001), Admit::Restarted);
    bench.reorder.clear();
    assert_eq!(bench.pass(1, 500), [11]);
    assert_eq!(bench.pass(1, 502), []);
    assert_eq!(bench.due(), Some(101));
}

#[test]
fn clearing_a_window_that_was_never_used_changes_nothing() {
    let mut bench = Bench::new();
    bench.reorder.clear();
    assert_eq!(bench.pass(0, 10), [10]);
}

/// The same rules in the plainest way: a map, searched from end to end after every event.
#[derive(Default)]
struct Model {
    next: Option<i64>,
    passed: BTreeSet<i64>,
    waiting: BTreeMap<i64, u64>,
}

impl Model {
    fn push(&mut self, now: u64, number: i64) -> Admit {
        let next = *self.next.get_or_insert(number);
        if self.passed.contains(&number) || self.waiting.contains_key(&number) {
            Admit::Duplicate
        } else if number < next {
            Admit::TooLate
        } else {
            self.waiting.insert(number, now);
            Admit::Queued
        }
    }

    fn pull(&mut self, now: u64) -> Vec<i64> {
        let mut pulled = Vec::new();
        while let Some((&number, _)) = self.waiting.first_key_value() {
            let in_order = self.next == Some(number);
            let overdue = self.due().is_some_and(|due| due <= now);
            if !in_order && !overdue && self.waiting.len() <= LIMITS.packets {
                break;
            }
            self.waiting.remove(&number);
            self.next = Some(number + 1);
            self.passed.insert(number);
            pulled.push(number);
        }
        pulled
    }

    fn due(&self) -> Option<u64> {
        self.waiting.values().min().map(|since| since + LIMITS.delay.as_millis() as u64)
    }
}

proptest! {
    #[test]
    fn the_window_does_what_the_plainest_one_does(
        first: u16,
        // Time since the packet before was sent, time on the way of each of its copies.
        sent in prop::collection::vec(
            (0_u64..20, prop::collection::vec(0_u64..150, 0..3)), 1..90,
        ),
    ) {
        let mut now = 0;
        let mut arrivals = BTreeSet::new();
        for (number, (gap, ways)) in (0_i64..).zip(sent) {
            now += gap;
            arrivals.extend(ways.iter().enumerate().map(|(copy, way)| (now + way, number, copy)));
        }
        let mut bench = Bench::new();
        let mut model = Model::default();
        let mut arrived = BTreeMap::new();
        let mut last = None;
        let mut base = None;
        let mut compare = |bench: &mut Bench, model: &mut Model, arrived: &BTreeMap<i64, u64>, now: u64| {
            let mut pulled = Vec::new();
            let instant = bench.at(now);
            while let Some((seq, packet)) = bench.reorder.pull(instant) {
                prop_assert!(last.is_none_or(|last| seq > last));
                last = Some(seq);
                let number = i64::from(packet.header().timestamp.0);
                // Numbers count from the first that came, whatever its own was.
                let (base, origin) = *base.get_or_insert((seq.0 as i64, number));
                prop_assert_eq!(seq.0 as i64 - base, number - origin);
                prop_assert!(now - arrived[&number] <= 100);
                pulled.push(number);
            }
            prop_assert_eq!(pulled, model.pull(now));
            prop_assert_eq!(bench.due(), model.due());
            prop_assert!(bench.reorder.queue.len() <= LIMITS.packets);
            Ok(())
        };
        for (now, number, _) in arrivals {
            while let Some(due) = bench.due().filter(|&due| due <= now) {
                compare(&mut bench, &mut model, &arrived, due)?;
            }
            let seq = first.wrapping_add(number as u16);
            let admit = bench.reorder.push(bench.at(now), packet(1, seq, number as u32));
            prop_assert_eq!(admit, model.push(now, number));
            if admit == Admit::Queued {
                arrived.insert(number, now);
            }
            compare(&mut bench, &mut model, &arrived, now)?;
        }
        while let Some(due) = bench.due() {
            compare(&mut bench, &mut model, &arrived, due)?;
        }
        prop_assert!(bench.reorder.queue.is_empty());
    }

    #[test]
    fn whatever_came_before_a_source_is_heard_and_numbers_rise(
        history in prop::collection::vec((0_u64..60, 1_u32..3, prop_oneof![any::<u16>(), 0_u16..300], 0_u32..1 << 30), 0..60),
        (ssrc, first) in (1_u32..3, prop_oneof![any::<u16>(), 0_u16..300]),
    ) {
        let mut bench = Bench::new();
        let mut came = BTreeMap::new();
        let mut last = None;
        let mut heard = BTreeSet::new();
        let mut drain = |bench: &mut Bench, came: &BTreeMap<(u32, u16, u32), u64>, ms: u64| {
            let now = bench.at(ms);
            while let Some((seq, packet)) = bench.reorder.pull(now) {
                prop_assert!(last.is_none_or(|last| seq > last), "{:?} after {:?}", seq, last);
                last = Some(seq);
                let header = packet.header();
                let key = (header.ssrc.0, header.seq.0, header.timestamp.0);
                prop_assert!(ms - came[&key] <= 100);
                heard.insert(header.timestamp.0);
            }
            prop_assert!(bench.reorder.queue.len() <= LIMITS.packets);
            Ok(())
        };
        let run = (0..20).map(|nth| (if nth == 0 { 200 } else { 1 }, ssrc, first.wrapping_add(nth), (1 << 30) + u32::from(nth)));
        let mut now = 0;
        for (gap, ssrc, seq, timestamp) in history.into_iter().chain(run) {
            now += gap;
            while let Some(due) = bench.due().filter(|&due| due <= now) {
                drain(&mut bench, &came, due)?;
            }
            came.insert((ssrc, seq, timestamp), now);
            let admit = bench.reorder.push(bench.at(now), packet(ssrc, seq, timestamp));
            prop_assert_ne!(admit, Admit::Overflowed);
            drain(&mut bench, &came, now)?;
        }
        while let Some(due) = bench.due() {
            drain(&mut bench, &came, due)?;
        }
        let of_run = heard.range(1 << 30..).count();
        prop_assert!(of_run >= 11, "{of_run} of 20");
        prop_assert!(heard.contains(&((1 << 30) + 19)));
    }
}
