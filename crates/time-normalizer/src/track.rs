//! One track of a timeline.

use rtp_rtcp::{ClockRate, NtpTime, RtpTime, SenderInfo, Ssrc};

use crate::{
    Lie,
    drift::Window,
    fit::{Fitting, NANOS},
    servo::{Law, Servo, ppm},
};

/// Everything that is kept per track. Instants are nanoseconds since the timeline's epoch.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) fitting: Fitting,
    /// What the track's time is ahead of the other tracks', so that all mean the same instant.
    pub(crate) align: Servo,
    pub(crate) window: Window,
    /// How much later than the first track's the packets usually are that are least late.
    pub(crate) extra: Option<i64>,
    /// What the window that just closed has said.
    pub(crate) heard: Option<i64>,
    pub(crate) reports: Reports,
}

/// What the reports of one track have said since its source was fitted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reports {
    /// When a report tied the track to the others.
    pub(crate) aligned_at: Option<i64>,
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
            extra: None,
            heard: None,
            reports: Reports::default(),
        }
    }

    /// Another source from here on: nothing that the last one said of its time holds.
    pub(crate) fn forget(&mut self) {
        let early = self.reports.early;
        self.reports = Reports { early, ..Reports::default() };
        self.window = Window::EMPTY;
        self.extra = None;
    }

    pub(crate) fn restart(&mut self) {
        self.fitting.restart();
        self.forget();
        self.reports.early = None;
    }

    pub(crate) const fn is_aligned(&self) -> bool {
        self.reports.aligned_at.is_some()
    }

    /// The track's own time at an instant of the timeline's.
    #[inline]
    pub(crate) fn own(&self, now: i64, common: i64) -> i64 {
        common + self.align.at(now)
    }

    /// Packets are expected to carry so much later a time from here on.
    pub(crate) fn expect_more(&mut self, nanos: i64) {
        self.window.expect_more(self.fitting.ticks(nanos));
    }

    /// Moves the track against the others at once.
    pub(crate) fn realign(&mut self, now: i64, by: i64) {
        self.align.jump(now, by);
        self.expect_more(by);
        self.extra = None;
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

/// Tracks have crystals of their own in some cameras.
const ALIGN: Law = Law { limit: ppm(200), settle: 60 * NANOS, learns: true };
