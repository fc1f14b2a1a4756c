//! What may change a track's constant, and what readers see of it.

use proptest::prelude::*;
use rtp_rtcp::{RtpTime, Ssrc};
use time_normalizer::TimelineOptions;

use super::camera::{MS, SECOND, Scene};

/// What happens to a source, and by how many milliseconds its timestamps step with it.
#[derive(Clone, Copy, Debug)]
enum Break {
    Session(i64),
    Source(i64),
    Timestamps(i64),
    Numbers(i64),
}

fn breaks() -> impl Strategy<Value = Vec<(i64, Break)>> {
    // Less than the allowed second, more than what the network hides of it.
    let any = -100_000_000..100_000_000_i64;
    let large = prop_oneof![-100_000_000..-1_300_i64, 1_300..100_000_000_i64];
    let noticed = prop_oneof![-100_000_000..-500_i64, 500..100_000_000_i64];
    // Timestamps wrap: what is left of a step has to be large as well.
    let left = |ms: i64| i64::from((ms * 90) as i32).abs() / 90;
    let large = large.prop_filter("wraps to less", move |ms| left(*ms) >= 1_300);
    let noticed = noticed.prop_filter("wraps to less", move |ms| left(*ms) >= 500);
    let kind = prop_oneof![
        any.clone().prop_map(Break::Session),
        any.prop_map(Break::Source),
        large.prop_map(Break::Timestamps),
        noticed.prop_map(Break::Numbers),
    ];
    // Silence before it, in milliseconds.
    prop::collection::vec((0..20_000_i64, kind), 1..5)
}

proptest! {
    #[test]
    fn only_what_is_named_changes_the_constant_and_the_gap_is_the_true_one(
        breaks in breaks(), ppm in -300_i64..300, jitter in 0..60_i64, reports: bool,
    ) {
        let mut scene = Scene::new(ppm, TimelineOptions::default());
        scene.jitter = jitter * MS;
        // (arrival, timestamp) of the furthest packet.
        let mut furthest: Option<(i64, RtpTime)> = None;
        let (mut captured, mut arrival) = (0, 0);
        let mut changes = 0;
        let all = std::iter::once((0, Break::Session(0))).chain(breaks.iter().copied());
        for (silence, what) in all {
            captured += silence * MS;
            let step = match what {
                Break::Session(step) => {
                    scene.timeline.restart();
                    step
                }
                Break::Source(step) => {
                    scene.video.ssrc = Ssrc(scene.video.ssrc.0.wrapping_add(1));
                    changes += u64::from(furthest.is_some());
                    step
                }
                Break::Timestamps(step) => {
                    changes += 1;
                    step
                }
                Break::Numbers(step) => {
                    scene.timeline.sequence_restarted(scene.video.index);
                    changes += 1;
                    step
                }
            };
            scene.video.base = scene.video.base.plus((step * 90) as u32);
            let mut offset = None;
            for nth in 0..100 {
                captured += 40 * MS;
                arrival = scene.arrival(captured).max(arrival);
                let now = scene.host.now(arrival);
                let source = scene.video.clone();
                let incoming = source.timestamp(scene.crystal.own(captured));
                let outgoing = scene.timeline.stamp(now, source.index, source.ssrc, incoming);
                let constant = outgoing.0.wrapping_sub(incoming.0);
                prop_assert_eq!(*offset.get_or_insert(constant), constant, "packet {}", nth);
                if let Some((at, last)) = furthest {
                    let gap = i64::from(outgoing.ahead_of(last)) * SECOND / 90_000;
                    prop_assert!(gap > 0, "{gap} after {what:?}");
                    let off = gap - (arrival - at);
                    prop_assert!(off.abs() <= (3 * jitter + 20) * MS, "{off} after {what:?}");
                }
                furthest = Some((arrival, outgoing));
                if reports && nth % 30 == 20 {
                    let _verdict = scene.report(true, captured);
                }
            }
            prop_assert_eq!(scene.timeline.refits(), changes);
        }
        prop_assert_eq!(scene.timeline.stats().sessions, 1 + breaks.iter().filter(|(_, what)| {
            matches!(what, Break::Session(_))
        }).count() as u64);
    }
}
