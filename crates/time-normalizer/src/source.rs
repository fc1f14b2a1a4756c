//! The source's own clock, as its sender reports show it.

use rtp_rtcp::NtpTime;

use crate::{
    fit::NANOS,
    ntp::{moved, nanos_between},
    servo::{Law, Servo, ppm},
    track::{Sample, Track},
};

/// The line that the source's NTP time keeps beside the timeline, and how the tracks lie on it.
///
/// One track is the reference: its reports say what the clock does. What the others' say counts
/// only beside it, where two of its reports lie around theirs and show no step in between. So a
/// source may set its clock as often and as far as it likes: the tracks' distances stay.
#[derive(Clone, Debug)]
pub(crate) struct SourceClock {
    line: Option<Line>,
    reference: Option<usize>,
    /// Reports that may show that the clock was set.
    doubt: Option<Doubt>,
    /// Whether a report of this session has been used.
    pub(crate) is_known: bool,
}

/// NTP `ntp` is at instant `at` of the sources' time, and so on from there, but for `steer`.
#[derive(Clone, Copy, Debug)]
struct Line {
    ntp: NtpTime,
    at: i64,
    steer: Servo,
    /// How many reports have fitted.
    fits: u32,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    off: i64,
    reports: u32,
    /// Whether the reference is among those that say so.
    by_reference: bool,
}

/// A report whose RTP timestamp fits the stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) track: usize,
    pub(crate) now: i64,
    /// The instant that it stands for, in the sources' time.
    pub(crate) at: i64,
    pub(crate) ntp: NtpTime,
}

/// What a reading has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shown {
    /// The first of its track. The clock was set by so much since the last session, if there was
    /// one.
    First {
        stepped: Option<i64>,
    },
    Fits,
    /// Off by so much; not believed.
    Off(i64),
    /// The clock was set by so much: enough reports agree.
    Stepped(i64),
    /// A track was moved by so much at once.
    Realigned {
        track: usize,
        by: i64,
    },
}

impl SourceClock {
    pub(crate) const fn new() -> Self {
        Self { line: None, reference: None, doubt: None, is_known: false }
    }

    /// Another session: the clock is taken to go on until a report says otherwise.
    pub(crate) const fn restart(&mut self) {
        (self.reference, self.doubt, self.is_known) = (None, None, false);
    }

    /// The track's source is another one.
    pub(crate) fn forget(&mut self, track: usize, tracks: &[Track]) {
        if self.reference == Some(track) {
            let other = |(index, other): (usize, &Track)| {
                (index != track && other.is_aligned()).then_some(index)
            };
            self.reference = tracks.iter().enumerate().find_map(other);
        }
    }

    /// The source's NTP time at instant `at` of the sources' time, as far as is known `now`.
    pub(crate) fn ntp(&self, now: i64, at: i64) -> Option<NtpTime> {
        let line = self.line.as_ref()?;
        Some(moved(line.ntp, at - line.at + line.steer.at(now)))
    }

    pub(crate) fn read(&mut self, reading: Reading, tracks: &mut [Track]) -> Shown {
        let Reading { track: index, now, at, ntp } = reading;
        let is_first = !self.is_known;
        let Some(line) = &mut self.line else {
            self.begin(reading, tracks);
            return Shown::First { stepped: None };
        };
        let off = line.off(at, ntp);
        let unsteered = off - line.steer.at(now);
        if is_first {
            if unsteered.abs() > NEAR {
                self.begin(reading, tracks);
                return Shown::First { stepped: Some(unsteered) };
            }
            (self.is_known, self.reference) = (true, Some(index));
            if let Some(track) = tracks.get_mut(index) {
                track.tie(now);
                track.reports.waiting = Some(Sample { at: now, off });
            }
            return Shown::First { stepped: None };
        }
        if self.reference.is_none() {
            // No track is left that the others were aligned with.
            self.begin(reading, tracks);
            return Shown::First { stepped: Some(unsteered).filter(|by| by.abs() > MAX_APART) };
        }
        self.choose_reference(index, now, tracks);
        let is_reference = self.reference == Some(index);
        // One that is not tied to the others yet says nothing about the clock.
        let may_judge = is_reference || tracks.get(index).is_some_and(Track::is_aligned);
        if may_judge && let Some(stepped) = self.judge(now, unsteered, is_reference, tracks) {
            // All tracks' samples lie beside a line that is gone.
            for track in tracks.iter_mut() {
                track.reports.waiting = None;
                track.reports.residuals = [None; 3];
            }
            let sample = Sample { at: now, off: self.line.map_or(0, |line| line.off(at, ntp)) };
            if let Some(track) = tracks.get_mut(index) {
                track.reports.waiting = Some(sample);
                if is_reference {
                    track.tie(now);
                }
            }
            return Shown::Stepped(stepped);
        }
        let sample = Sample { at: now, off };
        if is_reference {
            self.on_reference(index, sample, tracks)
        } else {
            self.on_other(index, sample, unsteered, tracks)
        }
    }

    /// The line begins with this reading, and its track is the reference.
    fn begin(&mut self, reading: Reading, tracks: &mut [Track]) {
        let Reading { track, now, at, ntp } = reading;
        self.line = Some(Line { ntp, at, steer: Servo::new(STEER), fits: 0 });
        (self.reference, self.is_known, self.doubt) = (Some(track), true, None);
        for track in tracks.iter_mut() {
            track.reports.waiting = None;
        }
        if let Some(track) = tracks.get_mut(track) {
            track.tie(now);
            track.reports.waiting = Some(Sample { at: now, off: 0 });
        }
    }

    /// One that has fallen silent is no reference.
    fn choose_reference(&mut self, index: usize, now: i64, tracks: &[Track]) {
        let heard = |index: usize| tracks.get(index)?.reports.waiting.map(|sample| sample.at);
        let reference = self.reference.and_then(heard);
        let is_aligned = tracks.get(index).is_some_and(Track::is_aligned);
        if is_aligned && reference.is_none_or(|at| now - at > MAX_SILENCE) {
            self.reference = Some(index);
        }
    }

    /// Whether the reading agrees with the line; by how much the clock was set if enough do not.
    fn judge(
        &mut self,
        now: i64,
        unsteered: i64,
        is_reference: bool,
        tracks: &mut [Track],
    ) -> Option<i64> {
        let line = self.line.as_mut()?;
        if unsteered.abs() <= NEAR {
            if is_reference {
                line.fits = line.fits.saturating_add(1);
                self.doubt = None;
            }
            return None;
        }
        let doubt = match self.doubt {
            Some(doubt) if (doubt.off - unsteered).abs() <= NEAR / 2 => {
                let by_reference = doubt.by_reference || is_reference;
                Doubt { reports: doubt.reports + 1, by_reference, ..doubt }
            }
            _ => Doubt { off: unsteered, reports: 1, by_reference: is_reference },
        };
        self.doubt = Some(doubt);
        if doubt.reports < BELIEVED || !is_reference {
            return None;
        }
        // What was aligned since the line was right last was not aligned by it. If it never was,
        // nothing was.
        let good = self.reference.and_then(|index| tracks.get(index)?.reports.waiting);
        let since = good.filter(|_| line.fits >= BELIEVED).map_or(i64::MIN, |good| good.at);
        for (index, track) in tracks.iter_mut().enumerate() {
            if self.reference != Some(index)
                && track.reports.aligned_at.is_some_and(|at| at >= since)
            {
                track.reports.aligned_at = None;
            }
        }
        let steer = line.steer.at(now);
        line.ntp = moved(line.ntp, steer.saturating_add(unsteered));
        line.steer.jump(now, -steer);
        (line.fits, self.doubt) = (0, None);
        Some(unsteered)
    }

    fn on_reference(&mut self, index: usize, sample: Sample, tracks: &mut [Track]) -> Shown {
        let now = sample.at;
        let Some(line) = &mut self.line else { return Shown::Fits };
        let unsteered = sample.off - line.steer.at(now);
        let last = tracks.get_mut(index).and_then(|track| {
            track.tie(now);
            track.reports.waiting.replace(sample)
        });
        if unsteered.abs() > NEAR {
            // Not to be compared with.
            if let Some(track) = tracks.get_mut(index) {
                track.reports.waiting = last;
            }
            return Shown::Off(unsteered);
        }
        line.steer.correct(now, unsteered);
        let Some(last) = last else { return Shown::Fits };
        let steady = (now - last.at) / MAX_SLOPE + MAX_NOISE;
        let is_steady = (sample.off - last.off).abs() <= steady;
        let mut shown = Shown::Fits;
        for (other, track) in tracks.iter_mut().enumerate().filter(|(other, _)| *other != index) {
            let Some(waiting) = track.reports.waiting.take() else { continue };
            let is_between = (last.at..=now).contains(&waiting.at);
            if !is_steady || !is_between {
                if track.reports.aligned_at.is_some_and(|at| at >= last.at) {
                    // Aligned while the clock was being set: not by the same clock.
                    track.reports.aligned_at = None;
                }
                continue;
            }
            if let Some(by) = settle(track, waiting, between(last, sample, waiting.at), now) {
                shown = Shown::Realigned { track: other, by };
            }
        }
        shown
    }

    fn on_other(
        &mut self,
        index: usize,
        sample: Sample,
        unsteered: i64,
        tracks: &mut [Track],
    ) -> Shown {
        let reference = self.reference.and_then(|index| tracks.get(index)?.reports.waiting);
        let (Some(reference), Some(line)) = (reference, &self.line) else {
            return Shown::Off(unsteered);
        };
        let Some(track) = tracks.get_mut(index) else { return Shown::Fits };
        // The line is drawn by the reference's reports: where it would be by now.
        let drift = line.steer.drift_within(sample.at - reference.at);
        let apart = sample.off - reference.off - drift;
        if !track.is_aligned() {
            if let Some(doubt) = self.doubt.filter(|doubt| doubt.by_reference) {
                // Before or after the clock was set, if it was? The next ones will tell.
                return Shown::Off(doubt.off);
            }
            if apart.abs() > MAX_APART {
                return Shown::Off(apart);
            }
            track.realign(sample.at, -apart);
            return Shown::First { stepped: None };
        }
        track.reports.waiting = Some(sample);
        if apart.abs() > NEAR { Shown::Off(apart) } else { Shown::Fits }
    }
}

impl Line {
    /// How far `ntp` is ahead of the line, before it was steered.
    const fn off(&self, at: i64, ntp: NtpTime) -> i64 {
        nanos_between(self.ntp, ntp).saturating_sub(at - self.at)
    }
}

/// A sample of a track counts, beside what the reference was at that instant.
fn settle(track: &mut Track, sample: Sample, reference: i64, now: i64) -> Option<i64> {
    let apart = sample.off - reference;
    let median = track.reports.median(apart)?;
    if median.abs() > MAX_SLEWED && track.reports.agree(NEAR / 2) {
        track.realign(now, -median);
        return Some(-median);
    }
    track.align.correct(now, -median);
    None
}

/// On the straight line through two samples.
fn between(first: Sample, second: Sample, at: i64) -> i64 {
    let span = i128::from((second.at - first.at).max(1));
    let rise = i128::from(second.off - first.off) * i128::from(at - first.at);
    first.off + (rise / span) as i64
}

/// Reports further from the line than this do not fit it.
const NEAR: i64 = 100_000_000;

/// So many reports that agree are believed.
const BELIEVED: u32 = 3;

/// A reference from which nothing has come for so long is replaced.
const MAX_SILENCE: i64 = 30 * NANOS;

/// Tracks of one session further apart than this do not belong together.
const MAX_APART: i64 = 5 * NANOS;

/// Tracks that turn out to be further apart than this would take hours to be slewed.
const MAX_SLEWED: i64 = NANOS;

/// A clock moves by at most one part in so many between two reports, and by [`MAX_NOISE`].
const MAX_SLOPE: i64 = 1_000;

/// A report's two times are not taken at the very same instant.
const MAX_NOISE: i64 = 50_000_000;

const STEER: Law = Law { limit: ppm(500), settle: 60 * NANOS, learns: true };
