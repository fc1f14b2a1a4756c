//! 72 hours with a crystal that is wrong, jitter, and a report every 5 s.

use time_normalizer::{TimeEvent, TimelineOptions};

use super::camera::{MS, SECOND, Scene};

/// The worst that was seen, in nanoseconds, and a sample of it now and then for a plot.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) time_error: i64,
    pub(crate) skew: i64,
    /// Hours, milliseconds.
    pub(crate) time_errors: Vec<(f64, f64)>,
    pub(crate) skews: Vec<(f64, f64)>,
}

/// Runs a camera for so many hours. `packet` frames of both tracks are `gap` apart.
pub(crate) fn run(ppm: i64, hours: i64, gap: i64, plotted_every: i64) -> Run {
    let mut scene = Scene::new(ppm, TimelineOptions::default());
    let mut run = Run::default();
    let mut last_offset = None;
    let (mut next_report, mut next_plot) = (2 * SECOND, 10 * SECOND);
    let mut captured = 0;
    while captured < hours * 3_600 * SECOND {
        // The encoder of the pictures takes 80 ms longer, and one in a thousand packets is stuck.
        let stuck = if scene.dice.below(1_000) == 0 { 400 * MS } else { 0 };
        let (at_video, video) = scene.packet(true, captured, 80 * MS + stuck);
        let (at_audio, audio) = scene.packet(false, captured + 3 * MS, 0);
        let now = at_video.max(at_audio);

        let incoming = scene.video.timestamp(scene.crystal.own(captured));
        let offset = video.0.wrapping_sub(incoming.0);
        assert_eq!(*last_offset.get_or_insert(offset), offset, "timestamps go as they came");
        if captured > next_report {
            let (v, a) = (scene.report(true, captured), scene.report(false, captured + SECOND / 8));
            assert!(!matches!((v, a), (time_normalizer::Verdict::Lie(_), _)), "{v:?}");
            assert!(!matches!(a, time_normalizer::Verdict::Lie(_)), "{a:?}");
            next_report += 5 * SECOND;
        }
        if captured > 3 * SECOND {
            // The usual delay of the first track is what it takes at least.
            let of_video = scene.error(true, now, captured, video) - scene.delay;
            let of_audio = scene.error(false, now, captured + 3 * MS, audio) - scene.delay;
            run.time_error = run.time_error.max(of_video.abs()).max(of_audio.abs());
            run.skew = run.skew.max((of_video - of_audio).abs());
            if captured >= next_plot {
                next_plot += plotted_every;
                let hours = captured as f64 / (3_600.0 * SECOND as f64);
                run.time_errors.push((hours, of_video as f64 / MS as f64));
                run.skews.push((hours, (of_video - of_audio) as f64 / MS as f64));
            }
        }
        captured += gap + scene.dice.below(gap / 4);
    }
    assert_eq!(scene.timeline.refits(), 0);
    while let Some(event) = scene.timeline.poll_event() {
        assert!(matches!(event, TimeEvent::Refitted { .. }), "{event}");
    }
    let off = scene.timeline.stats().drift_ppb - ppm * 1_000;
    assert!(off.abs() < 60_000, "the rate is off by {off} ppb");
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(ppm: i64) {
        let run = run(ppm, 72, 200 * MS, i64::MAX / 4);
        println!("{ppm} ppm: {} us, skew {} us", run.time_error / 1_000, run.skew / 1_000);
        assert!(run.time_error <= 20 * MS, "off by {} us", run.time_error / 1_000);
        assert!(run.skew <= MS, "skew of {} us", run.skew / 1_000);
    }

    #[test]
    fn after_three_days_of_a_fast_crystal_times_are_still_right() {
        holds(300);
    }

    #[test]
    fn after_three_days_of_a_slow_crystal_times_are_still_right() {
        holds(-300);
    }
}
