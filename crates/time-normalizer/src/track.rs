//! One track of a timeline.

use rtp_rtcp::{ClockRate, NtpTime, RtpTime, SenderInfo, Ssrc};

use crate::{
    Lie,
    drift::Window,
    fit::{Fitting, NANOS},
    line::Line,
    servo::{Law, Servo, ppm},
};

/// Everything that is kept per track. Instants are nanoseconds since the timeline's epoch.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) fitting: Fitting,
    /// What the track's time is ahead of the other tracks', so that all mean the same instant.
    pub(crate) align: Servo,
    pub(crate) window: Window,
    /// What is expected within the next second.
    pub(crate) line: Line,
    /// How long after the instant that they stand for the packets usually come that are least
    /// late. It only says what is to be expected: what was wrong in a report does not make the
    /// packets wrong.
    pub(crate) late: i64,
    /// Whether a window has ever closed with enough packets.
    pub(crate) was_heard: bool,
    /// What the window that just closed has said.
    pub(crate) heard: Option<i64>,
    /// Whether its times may have been moved at once since somebody last asked.
    pub(crate) was_moved: bool,
    /// Until then its timestamps are not taken for a clock, as long as another track has one.
    restless_until: i64,
    pub(crate) reports: Reports,
}

/// What the reports of one track have said since its source was fitted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reports {
    /// When a report tied the track to the others.
    pub(crate) aligned_at: Option<i64>,
    /// Whether one ever did: then the track's own arrivals do not move it against the others.
    pub(crate) was_aligned: bool,
    /// The last report that could be read.
    pub(crate) last: Option<Heard>,
    /// A sample that waits for the next report of the reference track.
    pub(crate) waiting: Option<Sample>,
    /// How far the last samples were off, newest last.
    pub(crate) residuals: [Option<i64>; 3],
    /// A report that came before the first packet.
    pub(crate) early: Option<(i64, Ssrc, SenderInfo)>,
    /// Kinds of lies that were told of, by bit.
    told: u8,
}

/// How far a report's NTP time was ahead of the line that the source's clock is thought to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: i64,
    pub(crate) off: i64,
}

/// A report as it was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) at: i64,
    pub(crate) ntp: NtpTime,
    pub(crate) rtp: RtpTime,
}

impl Track {
    pub(crate) fn new(rate: ClockRate, base: RtpTime, max_step: u64) -> Self {
        Self {
            fitting: Fitting::new(rate, base, max_step),
            align: Servo::new(ALIGN),
            window: Window::EMPTY,
            line: Line::NONE,
            was_moved: false,
            late: 0,
            was_heard: false,
            heard: None,
            restless_until: 0,
            reports: Reports::default(),
        }
    }

    /// Another source from here on: nothing that the last one said of its time holds.
    pub(crate) fn forget(&mut self) {
        let early = self.reports.early;
        self.reports = Reports { early, ..Reports::default() };
        self.window = Window::EMPTY;
    }

    /// The same source, which has turned out to be elsewhere in time.
    pub(crate) fn forget_times(&mut self) {
        let Reports { last, told, .. } = self.reports;
        self.forget();
        (self.reports.last, self.reports.told) = (last, told);
    }

    pub(crate) fn restart(&mut self) {
        self.fitting.restart();
        self.line = Line::NONE;
        self.forget();
        self.reports.early = None;
        self.restless_until = 0;
    }

    /// Its timestamps did not keep to the time: they stepped, or count at another rate than was
    /// named.
    pub(crate) const fn is_off(&mut self, now: i64) {
        self.restless_until = now.saturating_add(RESTLESS);
    }

    pub(crate) const fn is_restless(&self, now: i64) -> bool {
        now < self.restless_until
    }

    pub(crate) const fn is_aligned(&self) -> bool {
        self.reports.aligned_at.is_some()
    }

    /// The track's own time at an instant of the timeline's.
    #[inline]
    pub(crate) fn own(&self, now: i64, common: i64) -> i64 {
        common.saturating_add(self.align.at(now))
    }

    /// The track's own time when a packet comes that took the usual time.
    #[inline]
    pub(crate) fn expected(&self, now: i64, common: i64) -> i64 {
        self.own(now, common).saturating_sub(self.late)
    }

    /// Draws the line of what is expected from `now` to `later`, instants of which the timeline's
    /// are given too.
    pub(crate) fn draw_line(&mut self, now: i64, common: i64, later: i64, common_later: i64) {
        let begin = self.expected(now, common);
        let covered = self.expected(later, common_later).saturating_sub(begin);
        let fitting = &self.fitting;
        let (start, behind) = (fitting.at(begin), fitting.behind_tick(begin));
        self.line = Line::new(fitting.rate(), now, later - now, start, behind, covered);
    }

    /// A report ties the track to the others: its own arrivals move it no more.
    pub(crate) fn tie(&mut self, now: i64) {
        if self.reports.aligned_at.is_none() {
            self.reports.aligned_at = Some(now);
        }
        if !self.reports.was_aligned {
            self.reports.was_aligned = true;
            self.align.hold(now);
        }
    }

    /// Moves the track against the others at once.
    pub(crate) fn realign(&mut self, now: i64, by: i64) {
        self.tie(now);
        self.align.jump(now, by);
        self.late = self.late.saturating_add(by);
        self.reports.waiting = None;
        self.reports.residuals = [None; 3];
    }
}

impl Reports {
    /// The middle one of the last three samples, this one included; none before there are as many.
    pub(crate) fn median(&mut self, residual: i64) -> Option<i64> {
        let [_, second, third] = self.residuals;
        self.residuals = [second, third, Some(residual)];
        let (a, b) = (second?, third?);
        Some(a.min(b).max(a.max(b).min(residual)))
    }

    /// Whether the last three samples say much the same.
    pub(crate) fn agree(&self, within: i64) -> bool {
        let [Some(a), Some(b), Some(c)] = self.residuals else { return false };
        a.max(b).max(c) - a.min(b).min(c) <= within
    }

    /// Whether this is the first lie of its kind.
    pub(crate) const fn is_news(&mut self, lie: Lie) -> bool {
        let bit = 1 << lie as u8;
        let news = self.told & bit == 0;
        self.told |= bit;
        news
    }
}

/// Longer than timestamps at a rate that is wrong by a fiftieth take to be off by a second.
const RESTLESS: i64 = 60 * NANOS;

/// Tracks have crystals of their own in some cameras.
const ALIGN: Law = Law { limit: ppm(200), settle: 40 * NANOS, learns: true };
