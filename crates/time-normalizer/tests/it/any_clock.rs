//! Arbitrary cameras, networks and hosts.

use proptest::prelude::*;
use rtp_rtcp::RtpTime;
use time_normalizer::{Lie, TimeEvent, TimelineOptions, Verdict};

use super::camera::{MS, SECOND, Scene};

#[derive(Clone, Debug)]
struct World {
    /// When the session begins, in years after the timeline.
    years: i64,
    ppm: i64,
    jitter: i64,
    /// One in so many packets is lost.
    loss: i64,
    /// How much longer pictures take, and how much later the sound begins.
    encoder: i64,
    audio_begins: i64,
    /// Between packets of a track, between reports and when the first one leaves.
    gaps: [i64; 2],
    report_gaps: [i64; 2],
    first_reports: [i64; 2],
    /// When the camera's and the host's clocks are set, and by how much.
    camera_steps: Vec<(i64, i64)>,
    host_steps: Vec<(i64, i64)>,
}

const LENGTH: i64 = 60 * SECOND;

fn ms(range: std::ops::Range<i64>) -> impl Strategy<Value = i64> {
    range.prop_map(|ms| ms * MS)
}

fn world() -> impl Strategy<Value = World> {
    let magnitude = prop_oneof![2..10_i64, 3_600..86_400_i64, 86_400 * 365..86_400 * 365 * 30_i64];
    let camera_step = (ms(0..60_000), magnitude, any::<bool>())
        .prop_map(|(at, by, back)| (at, if back { -by } else { by } * SECOND));
    let host_step = (ms(0..60_000), prop_oneof![-900..900_i64, 1_100..1_000_000_000_i64])
        .prop_map(|(at, by)| (at, by * MS));
    (
        (0_i64..=10, -300_i64..=300, ms(0..60), 2_i64..200, ms(0..300), ms(0..5_000)),
        [ms(20..100), ms(20..100)],
        [ms(1_000..8_000), ms(1_000..8_000)],
        [ms(0..20_000), ms(0..20_000)],
        prop::collection::vec(camera_step, 0..3),
        prop::collection::vec(host_step, 0..3),
    )
        .prop_map(|(network, gaps, report_gaps, first_reports, camera_steps, host_steps)| {
            let (years, ppm, jitter, loss, encoder, audio_begins) = network;
            World {
                years,
                ppm,
                jitter,
                loss,
                encoder,
                audio_begins,
                gaps,
                report_gaps,
                first_reports,
                camera_steps,
                host_steps,
            }
        })
}

#[derive(Clone, Copy, Debug)]
enum Happening {
    Packet { is_video: bool, captured: i64 },
    Report { is_video: bool, sent: i64 },
    HostSet { by: i64 },
}

/// What comes when, in the order of arrival.
fn happenings(world: &World, scene: &mut Scene, begin: i64) -> Vec<(i64, Happening)> {
    let mut all = Vec::new();
    for (nth, is_video) in [true, false].into_iter().enumerate() {
        let starts = if is_video { 0 } else { world.audio_begins };
        let mut captured = begin + starts;
        while captured < begin + LENGTH {
            if scene.dice.below(world.loss) != 1 {
                let late = if is_video { world.encoder } else { 0 };
                let arrival = scene.arrival(captured) + late;
                all.push((arrival, Happening::Packet { is_video, captured }));
            }
            captured += world.gaps[nth];
        }
        let mut sent = begin + world.first_reports[nth];
        while sent < begin + LENGTH {
            all.push((scene.arrival(sent), Happening::Report { is_video, sent }));
            sent += world.report_gaps[nth];
        }
    }
    all.extend(world.host_steps.iter().map(|&(at, by)| (begin + at, Happening::HostSet { by })));
    all.sort_by_key(|&(at, _)| at);
    all
}

/// What is known of one track.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    offset: Option<u32>,
    /// When, the timestamp, and the time of day that it stood for.
    last: Option<(i64, RtpTime, i64)>,
    /// How far the camera's clock had been set at the last report.
    set: Option<i64>,
    /// Whether a report waits for the first packet.
    is_early: bool,
}

/// How many reports were refused because they may not be of the clock that the others were of.
fn doubted(scene: &Scene) -> u64 {
    let lies = scene.timeline.stats().lies;
    lies.of(Lie::ClockStep) + lies.of(Lie::Pair)
}

fn check(world: &World) -> Result<(), TestCaseError> {
    let mut scene = Scene::new(world.ppm, TimelineOptions::default());
    scene.jitter = world.jitter;
    let begin = world.years * 365 * 86_400 * SECOND + SECOND;
    if world.years > 0 {
        scene.packet(true, 0, 0);
        scene.packet(false, 0, 0);
        scene.timeline.restart();
    }
    let mut seen = [Seen::default(); 2];
    let mut host_set = 0;
    let mut firsts = 0;
    // Whether both tracks were aligned by the same clock.
    let mut is_together = false;
    for (at, happening) in happenings(world, &mut scene, begin) {
        let now = scene.host.now_set(at, host_set);
        match happening {
            Happening::Packet { is_video, captured } => {
                let source = scene.source(is_video);
                let incoming = source.timestamp(scene.crystal.own(captured));
                let before = doubted(&scene);
                let outgoing = scene.timeline.stamp(now, source.index, source.ssrc, incoming);
                let was_early = std::mem::take(&mut seen[usize::from(!is_video)].is_early);
                if was_early && before == doubted(&scene) {
                    // A report that had come before it is the track's first. One that came while
                    // the clock was being set is none: nobody knows which clock it was read from.
                    seen.iter_mut().for_each(|track| track.last = None);
                    firsts += 1;
                    is_together = firsts >= 2 && seen[0].set == seen[1].set;
                }
                let track = &mut seen[usize::from(!is_video)];
                let offset = outgoing.0.wrapping_sub(incoming.0);
                prop_assert_eq!(*track.offset.get_or_insert(offset), offset);

                let shown = scene.timeline.presentation(now, source.index, outgoing);
                let shown = scene.host.nanos(shown);
                if let Some((then, last, before)) = track.last.replace((at, outgoing, shown)) {
                    let ticks = i64::from(outgoing.ahead_of(last));
                    let step = shown - before - ticks * SECOND / i64::from(source.rate.hz());
                    let allowed = (at - then) / 1_000 + 10;
                    prop_assert!(step.abs() <= allowed, "{} ns at {}", step, at - begin);
                }
            }
            Happening::Report { is_video, sent } => {
                let set = world.camera_steps.iter().filter(|(when, _)| begin + when <= sent);
                scene.crystal.set = set.map(|(_, by)| by).sum();
                let source = scene.source(is_video);
                let verdict = source.report(&mut scene.timeline, now, &scene.crystal, sent);
                let track = &mut seen[usize::from(!is_video)];
                track.set = Some(scene.crystal.set);
                track.is_early |= verdict == Verdict::Early;
                let mut is_moved = verdict == Verdict::First;
                firsts += u32::from(is_moved);
                while let Some(event) = scene.timeline.poll_event() {
                    is_moved |= matches!(event, TimeEvent::Realigned { .. });
                }
                if is_moved {
                    // A step that is allowed.
                    seen.iter_mut().for_each(|track| track.last = None);
                    is_together = firsts >= 2 && seen[0].set == seen[1].set;
                }
            }
            Happening::HostSet { by } => {
                host_set += by;
                scene.timeline.handle_timeout(scene.host.now_set(at, host_set));
                seen.iter_mut().for_each(|track| track.last = None);
            }
        }
        if is_together && seen.iter().all(|track| track.offset.is_some()) {
            let shown = [true, false].map(|is_video| {
                let source = scene.source(is_video);
                let offset = seen[usize::from(!is_video)].offset.unwrap_or(0);
                let outgoing = source.timestamp(scene.crystal.own(at)).plus(offset);
                scene.host.nanos(scene.timeline.presentation(now, source.index, outgoing))
            });
            let apart = shown[0] - shown[1];
            prop_assert!(apart.abs() <= MS, "{} ns apart at {}", apart, at - begin);
        }
    }
    prop_assert_eq!(scene.timeline.refits(), 0);
    if world.camera_steps.is_empty() {
        prop_assert!(firsts <= 2);
    }
    Ok(())
}

/// The clock is set after the picture's first report; the sound's waits for a packet meanwhile.
#[test]
fn a_report_that_waits_for_its_packet_while_the_clock_is_set_ties_no_tracks() {
    let world = World {
        years: 0,
        ppm: 0,
        jitter: 0,
        loss: 200,
        encoder: 2 * MS,
        audio_begins: 3_567 * MS,
        gaps: [20 * MS; 2],
        report_gaps: [1_743 * MS, 1_000 * MS],
        first_reports: [599 * MS, 0],
        camera_steps: vec![(600 * MS, 2 * SECOND)],
        host_steps: Vec::new(),
    };
    check(&world).unwrap();
}

/// The clock is set back while the sound's report waits; that report's time is not what it took.
#[test]
fn a_report_that_waited_for_its_packet_is_as_old_as_when_it_came() {
    let world = World {
        years: 0,
        ppm: 0,
        jitter: 0,
        loss: 200,
        encoder: 0,
        audio_begins: 4_475 * MS,
        gaps: [21 * MS, 30 * MS],
        report_gaps: [4_024 * MS, 4_818 * MS],
        first_reports: [11_712 * MS, 2_249 * MS],
        camera_steps: vec![(2_250 * MS, -2 * SECOND)],
        host_steps: Vec::new(),
    };
    check(&world).unwrap();
}

proptest! {
    #[test]
    fn timestamps_keep_their_offset_times_are_slewed_and_tracks_keep_together(world in world()) {
        check(&world)?;
    }
}
