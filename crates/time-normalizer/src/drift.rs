//! How fast the sources' clock runs, seen from ours.

use crate::{
    fit::NANOS,
    line::Line,
    servo::{Law, Servo, ppm},
    track::Track,
};

/// Follows the distance between the sources' clock and ours.
///
/// A network only ever makes packets late, by jitter, in bursts or for as long as a queue is full.
/// So of every few seconds the packet that was *least* late counts, and the rest says nothing. What
/// is left is followed slowly, and what keeps coming back is taken for the rate of a crystal.
///
/// Tracks differ in how late they usually are (a video encoder takes longer than an audio one), so
/// that is kept per track: when the usual track falls silent, another one takes over without a
/// step. A track whose timestamps step or count at a wrong rate is not listened to for a while, as
/// long as there is another one.
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    /// What the sources' clock is ahead, in nanoseconds.
    ahead: Servo,
    /// When the present window ends.
    closes: i64,
}

/// What one track's packets said within the present window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Of the packet least late: how far it was ahead of what was expected, in ticks.
    pub(crate) best: i32,
    pub(crate) packets: u32,
    /// How many windows have closed while there were too few packets.
    age: u8,
}

impl Window {
    pub(crate) const EMPTY: Self = Self { best: i32::MIN, packets: 0, age: 0 };

    #[inline]
    pub(crate) const fn on_arrival(&mut self, departure: i32) {
        self.packets = self.packets.wrapping_add(1);
        if departure > self.best {
            self.best = departure;
        }
    }

    /// What was heard, if it is enough to be relied on.
    fn close(&mut self) -> Option<i32> {
        self.age = self.age.saturating_add(1);
        let enough = self.packets >= MIN_PACKETS || (self.packets > 0 && self.age >= MAX_AGE);
        if !enough {
            return None;
        }
        Some(std::mem::replace(self, Self::EMPTY).best)
    }
}

impl Drift {
    pub(crate) const fn new() -> Self {
        Self { ahead: Servo::new(FOLLOW), closes: WINDOW }
    }

    /// What the sources' clock has gained on ours, in nanoseconds; negative if it lost.
    #[inline]
    pub(crate) fn ahead(&self, now: i64) -> i64 {
        self.ahead.at(now)
    }

    /// How fast it gains, in parts per billion.
    pub(crate) const fn ppb(&self) -> i64 {
        self.ahead.ppb()
    }

    /// The sources turned out to be ahead by so much.
    pub(crate) fn jump(&mut self, now: i64, by: i64) {
        self.ahead.jump(now, by);
    }

    #[inline]
    pub(crate) const fn is_due(&self, now: i64) -> bool {
        now >= self.closes
    }

    /// The window ends: what the tracks have heard in it moves the estimate.
    #[cold]
    pub(crate) fn close(&mut self, now: i64, tracks: &mut [Track]) {
        self.closes = now.saturating_add(WINDOW);
        for track in tracks.iter_mut() {
            track.line = Line::NONE;
            track.heard = track.window.close().map(|best| track.fitting.nanos(best));
        }
        // What each track says, and how late it usually is.
        let is_calm = |track: &Track| !track.is_restless(now);
        let is_any_calm = tracks.iter().any(|track| track.heard.is_some() && is_calm(track));
        let counting = || tracks.iter().filter(|track| !is_any_calm || is_calm(track));
        let heard = || counting().filter_map(|track| Some((track.late, track.heard?)));
        // The track that is usually first is relied on most; none may be before the first.
        let usual = heard().min().map(|(_, heard)| heard);
        let earliest = heard().map(|(late, heard)| heard.saturating_sub(late)).max();
        let Some(error) = usual.max(earliest) else { return };
        for track in tracks.iter_mut() {
            let Some(heard) = track.heard else { continue };
            track.was_heard = true;
            if track.reports.was_aligned {
                let later = error.saturating_sub(heard) / LATE_PARTS;
                track.late = track.late.saturating_add(later.clamp(-LATE_STEP, LATE_STEP));
            } else {
                // No report ties it to the others: its times come from its own arrivals.
                track.align.correct(now, heard.saturating_sub(error));
            }
        }
        // When all are late, none is.
        let known = || tracks.iter().filter(|track| track.was_heard);
        let least = known().map(|track| track.late).min().unwrap_or(0).clamp(0, LATE_STEP);
        tracks.iter_mut().for_each(|track| track.late = track.late.saturating_sub(least));
        self.ahead.correct(now, error);
    }
}

/// Long enough for a packet that was hardly late, short enough for the fastest crystal.
const WINDOW: i64 = 5 * NANOS;

/// Fewer packets than this say little about the least lateness.
const MIN_PACKETS: u32 = 8;

/// After so many windows even one packet counts.
const MAX_AGE: u8 = 12;

/// A track's usual lateness moves by one part in so many per window.
const LATE_PARTS: i64 = 8;

/// By how much that changes per window at most: as slowly as what it is to make up for.
const LATE_STEP: i64 = 1_000_000;

const FOLLOW: Law = Law { limit: ppm(500), settle: 20 * NANOS, learns: true };
