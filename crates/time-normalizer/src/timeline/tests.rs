use proptest::prelude::*;
use rtp_rtcp::NtpTime;

use super::*;

/// A timeline with one video track, and a source that it is fed from; times in milliseconds.
struct Bench {
    timeline: Timeline,
    start: Now,
    video: TrackIndex,
}

impl Bench {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
        let mono = Instant::now();
        let start = Now { mono, wall: NtpTime::from_unix(Duration::from_secs(1_800_000_000)) };
        let mut timeline = Timeline::new(start, 0xfeed);
        let video = timeline.add_track(ClockRate::VIDEO);
        Self { timeline, start, video }
    }

    fn now(&self, ms: u64) -> Now {
        self.start.after(Duration::from_millis(ms))
    }

    /// A packet of time `source` that comes at `arrival`.
    fn stamp(&mut self, arrival: u64, source: i64) -> RtpTime {
        self.stamp_from(Ssrc(1), arrival, source)
    }

    fn stamp_from(&mut self, ssrc: Ssrc, arrival: u64, source: i64) -> RtpTime {
        self.timeline.stamp(self.now(arrival), self.video, ssrc, ticks(source))
    }

    fn at(&self, ms: u64) -> RtpTime {
        self.timeline.at(self.now(ms), self.video)
    }
}

/// Milliseconds of a source's time, which began somewhere.
fn ticks(ms: i64) -> RtpTime {
    RtpTime(0xffff_0000).plus((ms * 90) as u32)
}

/// Outgoing distance in milliseconds, rounded down.
fn ms_between(earlier: RtpTime, later: RtpTime) -> i32 {
    later.ahead_of(earlier).div_euclid(90)
}

#[test]
fn the_first_packet_leaves_with_the_timelines_now() {
    let mut bench = Bench::new();
    assert_eq!(bench.stamp(700, 123_456), bench.at(700));
    assert_eq!(bench.timeline.refits(), 0);
}

#[test]
fn the_timeline_runs_before_the_first_packet() {
    let bench = Bench::new();
    assert_eq!(bench.at(2_000).ahead_of(bench.at(1_000)), 90_000);
}

#[test]
fn tracks_begin_at_numbers_of_their_own() {
    let mut bench = Bench::new();
    let audio = bench.timeline.add_track(ClockRate::new(8_000).unwrap());
    assert_eq!(audio, TrackIndex(1));
    let (now, later) = (bench.now(0), bench.now(1_000));
    assert_ne!(bench.timeline.at(now, audio), bench.timeline.at(now, bench.video));
    let first = bench.timeline.at(now, audio);
    assert_eq!(bench.timeline.at(later, audio).ahead_of(first), 8_000);
}

#[test]
fn a_track_that_does_not_exist_is_left_alone() {
    let mut bench = Bench::new();
    let now = bench.now(0);
    let nowhere = TrackIndex(5);
    assert_eq!(bench.timeline.stamp(now, nowhere, Ssrc(1), RtpTime(9)), RtpTime(9));
    assert_eq!(bench.timeline.at(now, nowhere), RtpTime(0));
}

#[test]
fn frames_out_of_order_keep_their_spacing() {
    let mut bench = Bench::new();
    let first = bench.stamp(0, 0);
    let shown = [120, 40, 80, 240, 160, 200];
    for (arrival, shown) in (1..).zip(shown) {
        let outgoing = bench.stamp(arrival * 40, shown);
        assert_eq!(outgoing.ahead_of(first), shown as i32 * 90);
    }
}

#[test]
fn a_restart_shows_as_the_time_it_took() {
    let mut bench = Bench::new();
    let last = (0..250).map(|nth| bench.stamp(nth * 40, nth as i64 * 40)).last().unwrap();
    bench.timeline.restart();
    let next = bench.stamp(249 * 40 + 14_000, -3_600_000);
    assert_eq!(next.ahead_of(last), 14_000 * 90);
    assert_eq!(bench.timeline.refits(), 0);
}

#[test]
fn a_restart_after_nine_hours_goes_on_too() {
    let mut bench = Bench::new();
    let last = bench.stamp(0, 0);
    bench.timeline.restart();
    // More than half of what 32 bits of 90 kHz can tell.
    let hours = 9 * 3_600_000;
    let next = bench.stamp(hours, 5);
    assert_eq!(next, last.plus((hours * 90) as u32));
    assert_eq!(next, bench.at(hours));
}

#[test]
fn a_restart_just_after_an_early_packet_does_not_go_back() {
    let mut bench = Bench::new();
    bench.stamp(0, 0);
    let early = bench.stamp(100, 400);
    bench.timeline.restart();
    let next = bench.stamp(110, 0);
    assert_eq!(ms_between(early, next), 10);
}

#[test]
fn another_source_is_fitted_and_counted() {
    let mut bench = Bench::new();
    let last = bench.stamp(0, 0);
    let next = bench.stamp_from(Ssrc(2), 40, 777_777);
    assert_eq!(ms_between(last, next), 40);
    assert_eq!(bench.timeline.refits(), 1);
}

#[test]
fn a_clock_set_by_an_hour_does_not_show() {
    for step in [3_600_000, -3_600_000] {
        let mut bench = Bench::new();
        let mut last = bench.stamp(0, 0);
        for nth in 1..100 {
            let set = if nth < 50 { 0 } else { step };
            let next = bench.stamp(nth * 40, nth as i64 * 40 + set);
            assert_eq!(next.ahead_of(last), 3_600, "packet {nth}");
            last = next;
        }
        assert_eq!(bench.timeline.refits(), 1);
    }
}

#[test]
fn three_packets_with_another_time_are_no_step() {
    let mut bench = Bench::new();
    let first = bench.stamp(0, 0);
    for nth in 1..100_u64 {
        let wrong = if nth % 10 < 3 { 1_000_000_000 } else { 0 };
        let next = bench.stamp(nth * 40, nth as i64 * 40 + wrong);
        assert_eq!(ms_between(first, next), nth as i32 * 40);
    }
    assert_eq!(bench.timeline.refits(), 0);
}

#[test]
fn the_burst_after_a_stall_passes_as_it_is() {
    let mut bench = Bench::new();
    let first = bench.stamp(0, 0);
    // Eight seconds late, then 200 frames within 200 ms.
    for nth in 1..400_u64 {
        let arrival = if nth <= 200 { 8_000 + nth } else { nth * 40 + 160 };
        let next = bench.stamp(arrival, nth as i64 * 40);
        assert_eq!(ms_between(first, next), nth as i32 * 40);
    }
    assert_eq!(bench.timeline.refits(), 0);
}

#[test]
fn a_stall_made_good_at_twice_the_pace_passes_as_it_is() {
    let mut bench = Bench::new();
    let first = bench.stamp(0, 0);
    for nth in 1..600_u64 {
        let arrival = (8_000 + nth * 20).max(nth * 40);
        assert_eq!(ms_between(first, bench.stamp(arrival, nth as i64 * 40)), nth as i32 * 40);
    }
    assert_eq!(bench.timeline.refits(), 0);
}

#[test]
fn a_stall_while_another_is_made_good_passes_as_it_is() {
    for between in 50..60 {
        let mut bench = Bench::new();
        let first = bench.stamp(0, 0);
        for nth in 1..400_u64 {
            let stalled = if nth <= between { 5_000 } else { 10_000 };
            let arrival = (stalled + nth).max(nth * 40);
            assert_eq!(ms_between(first, bench.stamp(arrival, nth as i64 * 40)), nth as i32 * 40);
        }
        assert_eq!(bench.timeline.refits(), 0);
    }
}

#[test]
fn a_silence_of_the_source_passes_as_it_is() {
    let mut bench = Bench::new();
    let first = bench.stamp(0, 0);
    for (nth, at) in [60_000, 60_040, 180_000, 180_040].into_iter().enumerate() {
        assert_eq!(ms_between(first, bench.stamp(at, at as i64)), at as i32, "{nth}");
    }
    assert_eq!(bench.timeline.refits(), 0);
}

#[test]
fn a_stall_that_is_not_made_good_becomes_a_gap() {
    let mut bench = Bench::new();
    let first = bench.stamp(0, 0);
    // The source stood still for five seconds, and so did its clock.
    let outgoing: Vec<_> =
        (1..200_u64).map(|nth| bench.stamp(5_000 + nth * 40, nth as i64 * 40)).collect();
    assert_eq!(bench.timeline.refits(), 1);
    assert_eq!(ms_between(first, outgoing[0]), 40);
    assert_eq!(*outgoing.last().unwrap(), bench.at(5_000 + 199 * 40));
    assert!(outgoing.is_sorted_by(|earlier, later| later.ahead_of(*earlier) > 0));
}

#[test]
fn frames_of_the_past_sent_at_once_do_not_leave_the_timeline_behind() {
    let mut bench = Bench::new();
    let first = bench.stamp(0, 0);
    for nth in 1..100_u64 {
        assert_eq!(ms_between(first, bench.stamp(nth, nth as i64 * 40)), nth as i32 * 40);
    }
    let live = bench.stamp(140, 100 * 40);
    assert!(ms_between(bench.at(140), live).abs() <= 1_000);
}

#[test]
fn a_clock_rate_that_is_a_lie_never_takes_time_back() {
    for factor in [0.5, 2.0] {
        let mut bench = Bench::new();
        let mut last = bench.stamp(0, 0);
        for nth in 1..2_000_u64 {
            let next = bench.stamp(nth * 40, (nth as f64 * 40.0 * factor) as i64);
            assert!(next.ahead_of(last) > 0);
            let behind = ms_between(next, bench.at(nth * 40));
            assert!(behind.abs() < 4_000, "{behind} ms after {nth} packets");
            last = next;
        }
        assert!(bench.timeline.refits() > 0);
    }
}

#[test]
fn a_clock_that_drifts_for_a_day_is_followed() {
    for ppm in [300, -300] {
        let mut bench = Bench::new();
        let first = bench.stamp(0, 0);
        let mut worst = 0;
        for second in 1..86_400_i64 {
            let source = second * 1_000 + second * ppm / 1_000;
            let late = second * 7_919 % 30;
            let now = (second * 1_000 + late) as u64;
            let outgoing = bench.stamp(now, source);
            let offset = outgoing.0.wrapping_sub(ticks(source).0);
            assert_eq!(offset, first.0.wrapping_sub(ticks(0).0));
            worst = worst.max(ms_between(outgoing, bench.at(now)).abs());
        }
        assert!(worst <= 35, "{worst} ms");
        assert_eq!(bench.timeline.refits(), 0);
    }
}

#[derive(Clone, Debug)]
struct Session {
    ssrc: u32,
    first: u32,
    /// Time until the next frame, how late each packet is, how far out of order.
    frames: Vec<(u64, u64, i64)>,
    pause: u64,
}

fn session() -> impl Strategy<Value = Session> {
    let frame = (1_u64..3_000, 0_u64..400, -200_i64..=200);
    (any::<u32>(), any::<u32>(), prop::collection::vec(frame, 1..60), 500_u64..100_000)
        .prop_map(|(ssrc, first, frames, pause)| Session { ssrc, first, frames, pause })
}

proptest! {
    #[test]
    fn within_a_session_timestamps_leave_as_they_came_plus_a_constant(
        seed: u64, hz in 8_000_u32..200_000, sessions in prop::collection::vec(session(), 1..5),
    ) {
        let Bench { start, .. } = Bench::new();
        let rate = ClockRate::new(hz).unwrap();
        let per_ms = |ms: i64| (i128::from(ms) * i128::from(hz) / 1_000) as u32;
        let mut timeline = Timeline::new(start, seed);
        let track = timeline.add_track(rate);
        let (mut time, mut arrival) = (0, 0);
        // What was sent last: its timestamp, and how much later than it should have been.
        let mut furthest: Option<(RtpTime, u64)> = None;
        for Session { ssrc, first, frames, pause } in sessions {
            timeline.restart();
            let begin = time;
            let mut offset = None;
            for (gap, late, out_of_order) in frames {
                arrival = arrival.max(time + late);
                let now = start.after(Duration::from_millis(arrival));
                let incoming = RtpTime(first).plus(per_ms((time - begin) as i64 + out_of_order));
                let outgoing = timeline.stamp(now, track, Ssrc(ssrc), incoming);
                let constant = outgoing.0.wrapping_sub(incoming.0);
                if offset.is_none() && let Some((last, at)) = furthest {
                    // From one session to the next: the time that passed, but for what jitter
                    // and disorder hide of it, and never back.
                    let step = i64::from(outgoing.ahead_of(last));
                    let passed = i64::from(per_ms((arrival - at) as i64));
                    prop_assert!(step > 0);
                    prop_assert!((step - passed).abs() <= i64::from(hz), "{step} for {passed}");
                }
                prop_assert_eq!(*offset.get_or_insert(constant), constant);
                if furthest.is_none_or(|(last, _)| outgoing.ahead_of(last) > 0) {
                    furthest = Some((outgoing, arrival));
                }
                time += gap;
            }
            time = time.max(arrival) + pause;
        }
        prop_assert_eq!(timeline.refits(), 0);
    }

    #[test]
    fn a_step_of_any_size_does_not_show(step in prop_oneof![-10_000_000_i64..-2_100, 2_100_i64..10_000_000]) {
        let mut bench = Bench::new();
        let mut last = bench.stamp(0, 0);
        for nth in 1..20_u64 {
            let set = if nth < 10 { 0 } else { step };
            let next = bench.stamp(nth * 40, nth as i64 * 40 + set);
            prop_assert_eq!(next.ahead_of(last), 3_600);
            last = next;
        }
        prop_assert_eq!(bench.timeline.refits(), 1);
    }

    #[test]
    fn hostile_sources_and_clocks_never_panic_and_stay_within_bounds(
        happenings in prop::collection::vec(
            (0_usize..3, any::<u8>(), any::<i32>(), any::<u64>(), 0_u64..1 << 33), 0..200,
        ),
        hz in prop_oneof![Just(1), Just(90_000), 1_u32..],
        ntp in prop_oneof![Just(NtpSource::Proxy), Just(NtpSource::Backend)],
    ) {
        let Bench { start, .. } = Bench::new();
        let options = TimelineOptions { ntp, ..TimelineOptions::default() };
        let mut timeline = Timeline::with_options(start, 1, options);
        let rate = ClockRate::new(hz).unwrap();
        let tracks = [timeline.add_track(ClockRate::VIDEO), timeline.add_track(rate), TrackIndex(9)];
        let mut now = start;
        for (track, what, timestamp, bits, gap) in happenings {
            let track = tracks[track];
            // Most of the time a little, sometimes months.
            now = now.after(Duration::from_millis(if what % 8 == 0 { gap } else { gap % 5_000 }));
            // Mostly somewhere near.
            let near = if what % 4 == 0 { timestamp } else { timestamp % 300_000 };
            let timestamp = timeline.at(now, track).plus(near as u32);
            let ssrc = Ssrc(u32::from(what % 16 == 3));
            match what / 32 {
                0..=3 => {
                    let _outgoing = timeline.stamp(now, track, ssrc, timestamp);
                }
                4..=5 => {
                    let ntp = if what % 2 == 0 {
                        NtpTime::from_bits(bits)
                    } else {
                        NtpTime::from_bits(now.wall.bits().wrapping_add(bits >> 30))
                    };
                    let info = SenderInfo { ntp, rtp: timestamp, packets: 0, octets: 0 };
                    let _verdict = timeline.on_sender_report(now, track, ssrc, &info);
                }
                6 => timeline.handle_timeout(Now { wall: NtpTime::from_bits(bits), ..now }),
                _ if what % 4 == 0 => timeline.restart(),
                _ => timeline.sequence_restarted(track),
            }
            let report = timeline.report(now, track);
            let _time = timeline.presentation(now, track, report.rtp);
            prop_assert!(timeline.events.len() <= MAX_EVENTS as usize);
            prop_assert!(timeline.stats().drift_ppb.abs() <= 500_000);
            if what == 7 {
                while timeline.poll_event().is_some() {}
            }
        }
    }

    #[test]
    fn arbitrary_timestamps_never_panic_and_a_restart_never_goes_back(
        packets in prop::collection::vec((any::<u32>(), 0_u32..2, 0_u64..100_000, prop::bool::weighted(0.1)), 0..100),
        hz in 1_u32..,
    ) {
        let Bench { start, .. } = Bench::new();
        let mut timeline = Timeline::new(start, 1);
        let track = timeline.add_track(ClockRate::new(hz).unwrap());
        let mut ms = 0;
        let mut last: Option<(RtpTime, u64)> = None;
        for (timestamp, ssrc, gap, restart) in packets {
            ms += gap;
            if restart {
                timeline.restart();
            }
            let now = start.after(Duration::from_millis(ms));
            let outgoing = timeline.stamp(now, track, Ssrc(ssrc), RtpTime(timestamp));
            // Told only where 32 bits can tell it.
            if let Some((last, at)) = last.filter(|_| restart && hz < 1_000_000)
                && (ms - at) * u64::from(hz) / 1_000 < 1 << 31
            {
                prop_assert!(outgoing.ahead_of(last) > 0);
            }
            if last.is_none_or(|(last, _)| outgoing.ahead_of(last) > 0) {
                last = Some((outgoing, ms));
            }
        }
    }
}
