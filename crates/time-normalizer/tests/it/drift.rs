//! Networks that are not even.

use rtp_rtcp::Ssrc;
use time_normalizer::TimelineOptions;

use super::camera::{MS, SECOND, Scene};

/// Plays both tracks for so many seconds; `late` says by how much packets of a second are late.
/// The worst error of times since second `from`, beside the least delay.
fn play(scene: &mut Scene, seconds: i64, from: i64, late: impl Fn(i64) -> i64) -> i64 {
    let mut worst = 0;
    for nth in 0..seconds * 20 {
        let captured = nth * 50 * MS;
        let second = captured / SECOND;
        for is_video in [true, false] {
            let (at, outgoing) = scene.packet(is_video, captured, late(second));
            let off = scene.error(is_video, at, captured, outgoing) - scene.delay;
            if second >= from {
                worst = worst.max(off.abs());
            }
        }
        if nth % 100 == 50 {
            let _verdict = (scene.report(true, captured), scene.report(false, captured));
        }
    }
    worst
}

#[test]
fn seconds_of_a_full_queue_every_minute_move_little() {
    let mut scene = Scene::new(300, TimelineOptions::default());
    let late = |second: i64| if second % 60 > 50 { 300 * MS } else { 0 };
    let worst = play(&mut scene, 3_600, 600, late);
    assert!(worst <= 20 * MS, "{} us", worst / 1_000);
}

#[test]
fn a_longer_way_is_followed_slowly_and_to_the_end() {
    let mut scene = Scene::new(-300, TimelineOptions::default());
    let late = |second: i64| if second > 600 { 150 * MS } else { 0 };
    play(&mut scene, 600, 0, late);
    scene.delay += 150 * MS;
    let worst = play_on(&mut scene, 600, 3_600, 2_400);
    assert!(worst <= 20 * MS, "{} us", worst / 1_000);
}

/// Goes on from one second to another.
fn play_on(scene: &mut Scene, begin: i64, end: i64, from: i64) -> i64 {
    let mut worst = 0;
    for nth in begin * 20..end * 20 {
        let captured = nth * 50 * MS;
        let (at, outgoing) = scene.packet(true, captured, 0);
        if captured > from * SECOND {
            worst = worst.max((scene.error(true, at, captured, outgoing) - scene.delay).abs());
        }
    }
    worst
}

#[test]
fn a_first_packet_that_was_late_is_made_good_by_the_first_report() {
    let mut scene = Scene::new(0, TimelineOptions::default());
    scene.packet(true, 0, 700 * MS);
    scene.packet(false, 0, 700 * MS);
    let worst = play(&mut scene, 60, 10, |_| 0);
    assert!(worst <= 20 * MS, "{} us", worst / 1_000);
}

#[test]
fn when_the_first_track_falls_silent_the_other_goes_on_without_a_step() {
    let mut scene = Scene::new(100, TimelineOptions::default());
    scene.jitter = 0;
    let mut before = 0;
    for nth in 0..20_000 {
        let captured = nth * 50 * MS;
        let (at, outgoing) = scene.packet(true, captured, 120 * MS);
        let off = scene.error(true, at, captured, outgoing);
        if nth < 10_000 {
            before = off;
            scene.packet(false, captured, 0);
        } else {
            assert!((off - before).abs() < 3 * MS, "{before}, then {off}");
        }
        if nth % 100 == 50 {
            let _verdict = (scene.report(true, captured), scene.report(false, captured));
        }
    }
}

#[test]
fn hours_of_silence_pass_by_the_rate_that_was_learnt() {
    let mut scene = Scene::new(300, TimelineOptions::default());
    play(&mut scene, 1_200, 0, |_| 0);
    let captured = 3 * 3_600 * SECOND;
    let (at, outgoing) = scene.packet(true, captured, 0);
    let off = scene.error(true, at, captured, outgoing) - scene.delay;
    // Left alone, the crystal would be off by 3 s.
    assert!(off.abs() < 500 * MS, "{off}");
}

#[test]
fn a_new_session_keeps_the_rate() {
    let mut scene = Scene::new(-300, TimelineOptions::default());
    play(&mut scene, 1_200, 0, |_| 0);
    let before = scene.timeline.stats().drift_ppb;
    scene.timeline.restart();
    scene.video.ssrc = Ssrc(5);
    scene.packet(true, 1_300 * SECOND, 0);
    assert_eq!(scene.timeline.stats().drift_ppb, before);
    assert!((before + 300_000).abs() < 60_000, "{before}");
}

#[test]
fn timestamps_that_begin_anew_with_their_numbers_are_not_waited_for() {
    let mut scene = Scene::new(0, TimelineOptions::default());
    scene.jitter = 0;
    for nth in 0..100 {
        scene.packet(true, nth * 40 * MS, 0);
    }
    let (_, last) = scene.packet(true, 4_000 * MS, 0);
    scene.timeline.sequence_restarted(scene.video.index);
    // Half a second ahead: no step by itself.
    scene.video.base = scene.video.base.plus(45_000);
    let (_, next) = scene.packet(true, 4_040 * MS, 0);
    assert!((next.ahead_of(last) - 3_600).abs() <= 1, "{}", next.ahead_of(last));
    assert_eq!(scene.timeline.refits(), 1);
    // And when only the numbers do, nothing happens.
    scene.timeline.sequence_restarted(scene.video.index);
    for nth in 102..150 {
        scene.packet(true, nth * 40 * MS, 0);
    }
    assert_eq!(scene.timeline.refits(), 1);
}
