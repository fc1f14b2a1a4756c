//! What sources say about their time, true or not.

use rtp_rtcp::{NtpTime, SenderInfo, Ssrc};
use time_normalizer::{Lie, NtpSource, Shift, TimeEvent, TimelineOptions, Verdict};

use super::camera::{MS, SECOND, Scene, between, moved};

const BACKEND: TimelineOptions =
    TimelineOptions { max_ts_step: std::time::Duration::from_secs(1), ntp: NtpSource::Backend };

fn scene(options: TimelineOptions) -> Scene {
    let mut scene = Scene::new(50, options);
    scene.jitter = 0;
    scene
}

/// Frames of both tracks 40 ms apart, and a report of each track every 5 s, from one second to
/// another. What a track was off by at its end, in nanoseconds.
fn play(scene: &mut Scene, from: i64, to: i64, reports: bool) -> (i64, i64) {
    let mut errors = (0, 0);
    for nth in from * 25..to * 25 {
        let captured = nth * 40 * MS;
        let (at, outgoing) = scene.packet(true, captured, 60 * MS);
        errors.0 = scene.error(true, at, captured, outgoing);
        let (at, outgoing) = scene.packet(false, captured, 0);
        errors.1 = scene.error(false, at, captured, outgoing);
        if reports && nth % 125 == 50 {
            let _any = scene.report(true, captured);
        }
        if reports && nth % 125 == 100 {
            let _any = scene.report(false, captured);
        }
    }
    errors
}

fn events(scene: &mut Scene) -> Vec<TimeEvent> {
    std::iter::from_fn(|| scene.timeline.poll_event()).collect()
}

fn lies(scene: &mut Scene) -> Vec<Lie> {
    let lie = |event| if let TimeEvent::Lie { lie, .. } = event { Some(lie) } else { None };
    events(scene).into_iter().filter_map(lie).collect()
}

#[test]
fn without_reports_times_come_from_arrivals() {
    let mut scene = scene(TimelineOptions::default());
    let (video, audio) = play(&mut scene, 0, 60, false);
    assert!((video - 80 * MS).abs() < MS, "{video}");
    assert!((audio - 20 * MS).abs() < MS, "{audio}");
}

#[test]
fn the_first_report_of_a_track_sets_its_distance_at_once() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 2, false);
    assert_eq!(scene.report(true, 2 * SECOND), Verdict::First);
    assert_eq!(scene.report(false, 2 * SECOND), Verdict::First);
    let (video, audio) = play(&mut scene, 2, 3, false);
    assert!((video - audio).abs() < MS / 2, "{video} and {audio}");
    assert!((audio - 20 * MS).abs() < MS, "{audio}");
}

#[test]
fn a_report_before_the_first_packet_is_used_with_it() {
    let mut scene = scene(TimelineOptions::default());
    assert_eq!(scene.report(true, 0), Verdict::Early);
    assert_eq!(scene.report(false, 0), Verdict::Early);
    let (video, audio) = play(&mut scene, 1, 2, false);
    assert!((video - audio).abs() < MS / 2, "{video} and {audio}");
}

#[test]
fn tracks_may_start_seconds_apart() {
    let mut scene = scene(TimelineOptions::default());
    for nth in 0..200 {
        scene.packet(true, nth * 40 * MS, 60 * MS);
    }
    assert_eq!(scene.report(true, 8 * SECOND), Verdict::First);
    let (video, audio) = play(&mut scene, 8, 20, true);
    assert!((video - audio).abs() < MS / 2, "{video} and {audio}");
    assert_eq!(scene.timeline.refits(), 0);
}

#[test]
fn a_clock_that_is_set_moves_nothing_of_ours() {
    for by in [-3_600 * SECOND, 3_600 * SECOND, 2 * SECOND, 56 * 365 * 86_400 * SECOND] {
        let mut scene = scene(TimelineOptions::default());
        let (before, _) = play(&mut scene, 0, 30, true);
        events(&mut scene);
        scene.crystal.set = by;
        let (video, audio) = play(&mut scene, 30, 70, true);
        assert!((video - before).abs() < 2 * MS, "{before}, then {video}");
        assert!((video - audio).abs() < MS, "{video} and {audio}");
        let events = events(&mut scene);
        assert!(
            matches!(
                events[..],
                [
                    TimeEvent::Lie { lie: Lie::ClockStep, .. },
                    TimeEvent::Lie { lie: Lie::ClockStep, .. },
                    TimeEvent::BackendClockStepped { by: told },
                ] if (told.nanos() - by).abs() < 200 * MS
            ),
            "{events:?}"
        );
    }
}

#[test]
fn a_clock_that_is_set_between_the_first_reports_of_two_tracks_does_no_lasting_harm() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 3, false);
    assert_eq!(scene.report(true, 3 * SECOND), Verdict::First);
    scene.crystal.set = 3 * SECOND;
    assert_eq!(scene.report(false, 4 * SECOND), Verdict::First);
    let (video, audio) = play(&mut scene, 4, 40, true);
    assert!((video - audio).abs() < MS, "{video} and {audio}");
}

#[test]
fn a_clock_that_is_set_while_a_report_waits_for_its_packet_does_no_harm() {
    for by in [-3_600 * SECOND, -2 * SECOND, 2 * SECOND, 3_600 * SECOND] {
        let mut scene = scene(TimelineOptions::default());
        for nth in 0..75 {
            scene.packet(true, nth * 40 * MS, 60 * MS);
        }
        assert_eq!(scene.report(true, SECOND), Verdict::First);
        scene.crystal.set = by;
        assert_eq!(scene.report(true, 2 * SECOND), Verdict::Lie(Lie::ClockStep));
        assert_eq!(scene.report(false, 2 * SECOND), Verdict::Early);
        // It may be of either clock: the sound's times come from its arrivals for now.
        let (video, audio) = play(&mut scene, 3, 4, false);
        assert!((video - audio - 60 * MS).abs() < MS, "{by}: {video} and {audio}");
        assert_eq!(scene.timeline.stats().lies.of(Lie::ClockStep), 2);
        // The next ones tell.
        let (video, audio) = play(&mut scene, 4, 20, true);
        assert!((video - audio).abs() < MS, "{by}: {video} and {audio}");
        assert_eq!(scene.timeline.stats().backend_steps, 1);
    }
}

#[test]
fn a_source_without_a_clock_is_told_of_once_and_left_alone() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 5, false);
    for second in 5..9 {
        let info = SenderInfo {
            ntp: NtpTime::from_bits(0),
            ..scene.video.info(&scene.crystal, second * SECOND)
        };
        let now = scene.host.now(second * SECOND);
        let verdict =
            scene.timeline.on_sender_report(now, scene.video.index, scene.video.ssrc, &info);
        assert_eq!(verdict, Verdict::Lie(Lie::NoClock));
    }
    assert_eq!(lies(&mut scene), [Lie::NoClock]);
    assert_eq!(scene.timeline.stats().lies.of(Lie::NoClock), 4);
}

#[test]
fn clocks_that_were_never_set_still_tie_the_tracks_together() {
    for (epoch, lie) in [(60, Lie::Year1900), (2_208_988_860, Lie::Year1970)] {
        let mut scene = scene(BACKEND);
        scene.crystal.ntp = NtpTime::from_bits(epoch << 32);
        let (video, audio) = play(&mut scene, 0, 20, true);
        assert!((video - audio).abs() < MS, "{video} and {audio}");
        assert!(audio.abs() < SECOND, "our own time of day");
        assert_eq!(lies(&mut scene), [lie, lie], "one for each track");
        assert!(!scene.timeline.shows_backend_time());
    }
}

#[test]
fn reports_that_do_not_fit_the_packets_move_nothing() {
    let mut scene = scene(TimelineOptions::default());
    let (before, _) = play(&mut scene, 0, 20, true);
    for second in 20..60 {
        let mut info = scene.video.info(&scene.crystal, second * SECOND);
        let distance = scene.dice.below(1_000_000_000) as u32;
        info.rtp = info.rtp.plus(3_000_000 + distance);
        let now = scene.host.now(second * SECOND);
        let verdict =
            scene.timeline.on_sender_report(now, scene.video.index, scene.video.ssrc, &info);
        assert_eq!(verdict, Verdict::Lie(Lie::Pair));
    }
    let (video, audio) = play(&mut scene, 20, 60, true);
    assert!(
        (video - before).abs() < 2 * MS && (video - audio).abs() < MS,
        "{before} {video} {audio}"
    );
}

#[test]
fn a_single_report_that_is_off_moves_nothing() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 20, true);
    for (second, off) in [(20, 500), (30, -4_000), (40, 86_400_000), (50, 30)] {
        scene.crystal.set = off * MS;
        let _lie = scene.report(second % 20 == 0, second * SECOND);
        scene.crystal.set = 0;
        let (video, audio) = play(&mut scene, second, second + 10, true);
        assert!((video - audio).abs() < MS, "{video} and {audio}");
    }
    assert_eq!(scene.timeline.stats().backend_steps, 0);
}

#[test]
fn copies_of_one_report_are_not_several_that_agree() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 20, true);
    scene.crystal.set = 30_000 * MS;
    let wrong = scene.video.info(&scene.crystal, 20 * SECOND);
    scene.crystal.set = 0;
    let (index, ssrc) = (scene.video.index, scene.video.ssrc);
    for copy in 0..20 {
        let now = scene.host.now(20 * SECOND + copy * MS);
        let verdict = scene.timeline.on_sender_report(now, index, ssrc, &wrong);
        assert_eq!(verdict == Verdict::Again, copy > 0, "{verdict:?}");
    }
    let (video, audio) = play(&mut scene, 20, 30, true);
    assert!((video - audio).abs() < MS, "{video} and {audio}");
    assert_eq!(scene.timeline.stats().backend_steps, 0);
}

#[test]
fn reports_of_another_source_are_not_used() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 3, false);
    let info = scene.video.info(&scene.crystal, 3 * SECOND);
    let now = scene.host.now(3 * SECOND);
    let verdict = scene.timeline.on_sender_report(now, scene.video.index, Ssrc(9), &info);
    assert_eq!(verdict, Verdict::Lie(Lie::OtherSource));
    assert_eq!(lies(&mut scene), [Lie::OtherSource]);
}

#[test]
fn a_wrong_clock_rate_in_the_description_is_named() {
    let mut scene = scene(TimelineOptions::default());
    // It counts twice as fast as it should.
    scene.audio.rate = rtp_rtcp::ClockRate::new(16_000).unwrap();
    play(&mut scene, 0, 60, true);
    assert!(lies(&mut scene).contains(&Lie::ClockRate));
    let (video, _) = play(&mut scene, 60, 61, true);
    assert!((video - 20 * MS).abs() < 100 * MS, "{video}");
}

#[test]
fn a_track_at_a_wrong_rate_does_not_pull_the_others_away() {
    for (rate, reports) in [(16_000, true), (8_700, true), (4_000, true), (16_000, false)] {
        let mut scene = scene(TimelineOptions::default());
        scene.audio.rate = rtp_rtcp::ClockRate::new(rate).unwrap();
        play(&mut scene, 0, 900, reports);
        let (video, _) = play(&mut scene, 900, 901, reports);
        assert!((0..150 * MS).contains(&video), "{rate}, {reports}: {video}");
    }
}

#[test]
fn a_late_report_is_as_good_as_any() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 10, true);
    for second in (10..60).step_by(5) {
        play(&mut scene, second, second + 5, false);
        for is_video in [true, false] {
            let now = scene.host.now((second + 5) * SECOND);
            let source = scene.source(is_video);
            // Four seconds on its way.
            let sent = (second + 1) * SECOND;
            let verdict = source.report(&mut scene.timeline, now, &scene.crystal, sent);
            assert_eq!(verdict, Verdict::Fits);
        }
    }
    let (video, audio) = play(&mut scene, 60, 61, true);
    assert!((video - audio).abs() < MS, "{video} and {audio}");
}

#[test]
fn no_report_at_all_is_told_once() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 2, false);
    let due = scene.timeline.poll_timeout().unwrap();
    let at = i64::try_from((due - scene.host.now(0).mono).as_nanos()).unwrap();
    assert_eq!(at, 10 * SECOND + 80 * MS, "after the first packet");
    scene.timeline.handle_timeout(scene.host.now(at));
    scene.timeline.handle_timeout(scene.host.now(2 * at));
    assert!(matches!(events(&mut scene)[..], [TimeEvent::NoReports { .. }]));
    assert_eq!(scene.timeline.poll_timeout(), None);
}

#[test]
fn the_backends_time_passes_from_its_first_report_on() {
    let mut scene = scene(BACKEND);
    let (_, audio) = play(&mut scene, 0, 2, false);
    assert!(audio.abs() < SECOND, "ours until then: {audio}");
    let before = scene.timeline.at(scene.host.now(2 * SECOND), scene.video.index);
    assert_eq!(scene.report(true, 2 * SECOND), Verdict::First);
    assert_eq!(scene.report(false, 2 * SECOND), Verdict::First);
    let after = scene.timeline.at(scene.host.now(2 * SECOND), scene.video.index);
    assert!(after.ahead_of(before).abs() < 90 * 100, "timestamps are not touched");
    let told = events(&mut scene);
    let [TimeEvent::BackendTime { ahead }] = told[..] else { panic!("{told:?}") };
    assert!((ahead.nanos() - 7_200 * SECOND).abs() < SECOND, "{ahead}");

    // What it says of a picture is when the picture was taken, by the camera.
    for second in 2..600 {
        let captured = second * SECOND;
        for is_video in [true, false] {
            let (at, outgoing) = scene.packet(is_video, captured, 30 * MS);
            let index = scene.source(is_video).index;
            let shown = scene.timeline.presentation(scene.host.now(at), index, outgoing);
            let off = between(scene.crystal.ntp(captured), shown);
            assert!(off.abs() < MS, "{off} after {second} s");
            if second % 5 == 0 {
                assert_eq!(scene.report(is_video, captured), Verdict::Fits);
            }
        }
    }
}

#[test]
fn the_backends_time_follows_its_clock_when_enough_reports_agree() {
    let mut scene = scene(BACKEND);
    play(&mut scene, 0, 20, true);
    events(&mut scene);
    scene.crystal.set = 3_600 * SECOND;
    play(&mut scene, 20, 40, true);
    let told = events(&mut scene);
    assert!(matches!(told.last(), Some(TimeEvent::BackendClockStepped { .. })), "{told:?}");
    let now = scene.host.now(40 * SECOND);
    let off =
        between(scene.crystal.ntp(40 * SECOND), scene.timeline.report(now, scene.video.index).ntp);
    assert!(off.abs() < 30 * MS, "{off}");
}

#[test]
fn the_backends_time_goes_on_through_another_session() {
    let mut scene = scene(BACKEND);
    play(&mut scene, 0, 60, true);
    events(&mut scene);
    scene.timeline.restart();
    (scene.video.ssrc, scene.video.base) = (Ssrc(77), scene.video.base.plus(123_456_789));
    play(&mut scene, 70, 90, true);
    let told = events(&mut scene);
    assert!(told.iter().all(|event| matches!(event, TimeEvent::Refitted { .. })), "{told:?}");
    assert!(scene.timeline.shows_backend_time());
}

#[test]
fn a_host_that_boots_in_1970_is_followed_at_once() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 20, true);
    events(&mut scene);
    let set = 56 * 365 * 86_400 * SECOND;
    let now = scene.host.now_set(20 * SECOND, set);
    let report = scene.timeline.report(now, scene.video.index);
    assert!(between(moved(now.wall, -MS), report.ntp) <= MS, "even before it was told");
    scene.timeline.handle_timeout(now);
    scene.timeline.handle_timeout(scene.host.now_set(21 * SECOND, set));
    let told = events(&mut scene);
    let [TimeEvent::HostClockStepped { by }] = told[..] else { panic!("{told:?}") };
    assert!((by.nanos() - set).abs() < MS);
    assert_eq!(scene.timeline.stats().host_steps, 1);
}

#[test]
fn the_two_times_of_a_report_are_one_instant() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 20, true);
    for nth in 0..100 {
        let now = scene.host.now(20 * SECOND + nth * 1_234_567);
        for index in [scene.video.index, scene.audio.index] {
            let report = scene.timeline.report(now, index);
            let behind = between(report.ntp, now.wall);
            assert!((-2..125_001).contains(&behind), "within a tick: {behind}");
            let shown = scene.timeline.presentation(now, index, report.rtp);
            assert_eq!(shown, report.ntp);
        }
    }
}

#[test]
fn a_session_that_says_nothing_new_is_told_with_its_gap() {
    let mut scene = scene(TimelineOptions::default());
    play(&mut scene, 0, 10, true);
    events(&mut scene);
    scene.timeline.restart();
    scene.video.ssrc = Ssrc(3);
    scene.packet(true, 24 * SECOND, 60 * MS);
    let told = events(&mut scene);
    let [TimeEvent::Refitted { gap, .. }] = told[..] else { panic!("{told:?}") };
    assert!((gap.nanos() - 14 * SECOND).abs() < 100 * MS, "{gap}");
    assert_ne!(gap, Shift::default());
}

#[test]
fn pairs_that_are_not_taken_at_one_instant_make_the_tracks_tremble_and_no_more() {
    let mut scene = scene(TimelineOptions::default());
    let mut worst = 0;
    for second in 0..1_800 {
        let (video, audio) = play(&mut scene, second, second + 1, false);
        if second > 600 {
            worst = worst.max((video - audio).abs());
        }
        if second % 5 == 2 {
            for is_video in [true, false] {
                // The timestamp is that of the last frame, or of some moment near it.
                let off = scene.dice.below(40 * MS);
                let sent = (second + 1) * SECOND;
                let source = scene.source(is_video);
                let info = SenderInfo {
                    rtp: source.timestamp(scene.crystal.own(sent - off)),
                    ..source.info(&scene.crystal, sent)
                };
                let now = scene.host.now(sent + 20 * MS);
                let timeline = &mut scene.timeline;
                let verdict = timeline.on_sender_report(now, source.index, source.ssrc, &info);
                assert!(!matches!(verdict, Verdict::Lie(_)), "{verdict:?}");
            }
        }
    }
    assert!(worst < 20 * MS, "{worst}");
    assert_eq!(events(&mut scene), []);
}

#[test]
fn a_track_with_a_crystal_of_its_own_is_followed_by_its_reports() {
    let mut scene = scene(TimelineOptions::default());
    let mut worst = 0;
    for second in 0..3_600 {
        // The sound counts 80 ppm faster than the camera's clock.
        let own = |at: i64| at + at / 12_500;
        for nth in 0..25 {
            let captured = second * SECOND + nth * 40 * MS;
            let (at, video) = scene.packet(true, captured, 60 * MS);
            let source = scene.audio.clone();
            let incoming = source.timestamp(own(scene.crystal.own(captured)));
            let now = scene.host.now(at);
            let audio = scene.timeline.stamp(now, source.index, source.ssrc, incoming);
            let apart =
                scene.error(true, at, captured, video) - scene.error(false, at, captured, audio);
            if second > 300 {
                worst = worst.max(apart.abs());
            }
        }
        if second % 5 == 2 {
            let sent = (second + 1) * SECOND;
            let _fits = scene.report(true, sent);
            let source = scene.audio.clone();
            let info = SenderInfo {
                rtp: source.timestamp(own(scene.crystal.own(sent))),
                ..source.info(&scene.crystal, sent)
            };
            let now = scene.host.now(sent + 80 * MS);
            let verdict = scene.timeline.on_sender_report(now, source.index, source.ssrc, &info);
            assert!(!matches!(verdict, Verdict::Lie(_)), "{verdict:?}");
        }
    }
    assert!(worst < MS, "{worst}");
    assert_eq!(scene.timeline.refits(), 0);
}
