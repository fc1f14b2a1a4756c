//! When sender reports go to readers.

use std::time::{Duration, Instant};

/// Between two reports while media flows: the minimum interval of RFC 3550, section 6.2, which
/// rates above some 100 kbit/s always come down to.
pub const STEADY_REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Between two reports while no media flows: players leave when nothing at all comes.
pub const SILENT_REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// Without media for this long, a track is silent.
pub const SILENCE_AFTER: Duration = Duration::from_secs(1);

/// Says when the next report of one track, or of a whole stream, is due.
///
/// A reader never waits for more than [`SILENT_REPORT_INTERVAL`] for media or a report.
#[derive(Clone, Debug)]
pub struct ReportSchedule {
    last_report: Instant,
    /// `None` before the first packet: as silent as can be.
    last_media: Option<Instant>,
}

impl ReportSchedule {
    /// A report has just left, and no media has come yet.
    pub const fn new(now: Instant) -> Self {
        Self { last_report: now, last_media: None }
    }

    /// Media has come.
    pub const fn on_media(&mut self, now: Instant) {
        self.last_media = Some(now);
    }

    /// When the next report is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let steady = self.last_report.checked_add(STEADY_REPORT_INTERVAL);
        let silent = self.last_report.checked_add(SILENT_REPORT_INTERVAL)?;
        let silent = match self.last_media {
            Some(last_media) => silent.max(last_media.checked_add(SILENCE_AFTER)?),
            None => silent,
        };
        Some(steady.map_or(silent, |steady| steady.min(silent)))
    }

    /// Whether a report is due; if so, it is taken to leave now. One that was missed is not made
    /// up for.
    #[must_use]
    pub fn due(&mut self, now: Instant) -> bool {
        let due = self.poll_timeout().is_some_and(|due| due <= now);
        if due {
            self.last_report = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
    fn origin() -> Instant {
        Instant::now()
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn reports_leave_every_five_seconds_while_media_flows() {
        let start = origin();
        let mut schedule = ReportSchedule::new(start);
        let mut reports = Vec::new();
        for at in (0..=20_000).step_by(40) {
            schedule.on_media(start + ms(at));
            if schedule.due(start + ms(at)) {
                reports.push(at);
            }
        }
        assert_eq!(reports, [5_000, 10_000, 15_000, 20_000]);
    }

    #[test]
    fn reports_leave_every_two_seconds_before_the_first_media() {
        let start = origin();
        let mut schedule = ReportSchedule::new(start);
        assert_eq!(schedule.poll_timeout(), Some(start + ms(2_000)));
        assert!(!schedule.due(start + ms(1_999)));
        assert!(schedule.due(start + ms(2_000)));
        assert_eq!(schedule.poll_timeout(), Some(start + ms(4_000)));
    }

    #[test]
    fn the_first_report_of_a_silence_leaves_after_a_second() {
        let start = origin();
        let mut schedule = ReportSchedule::new(start);
        schedule.on_media(start + ms(3_000));
        assert_eq!(schedule.poll_timeout(), Some(start + ms(4_000)));
        assert!(schedule.due(start + ms(4_000)));
        assert_eq!(schedule.poll_timeout(), Some(start + ms(6_000)));
    }

    #[test]
    fn a_silence_just_after_a_report_is_told_two_seconds_after_it() {
        let start = origin();
        let mut schedule = ReportSchedule::new(start);
        schedule.on_media(start + ms(100));
        assert_eq!(schedule.poll_timeout(), Some(start + ms(2_000)));
    }

    #[test]
    fn reports_missed_are_not_made_up_for() {
        let start = origin();
        let mut schedule = ReportSchedule::new(start);
        assert!(schedule.due(start + ms(60_000)));
        assert!(!schedule.due(start + ms(60_000)));
        assert_eq!(schedule.poll_timeout(), Some(start + ms(62_000)));
    }

    proptest! {
        #[test]
        fn nobody_waits_longer_than_promised(gaps in prop::collection::vec(1_u64..8_000, 1..100)) {
            let start = origin();
            let mut schedule = ReportSchedule::new(start);
            let (mut now, mut media, mut report) = (start, start, start);
            for gap in gaps {
                let until = now + ms(gap);
                while let Some(due) = schedule.poll_timeout().filter(|&due| due <= until) {
                    prop_assert!(schedule.due(due));
                    prop_assert!(due - report <= STEADY_REPORT_INTERVAL);
                    prop_assert!(due - report.max(media) <= SILENT_REPORT_INTERVAL);
                    // Nor are there more of them than that takes.
                    prop_assert!(due - report >= SILENT_REPORT_INTERVAL);
                    report = due;
                }
                now = until;
                media = now;
                schedule.on_media(now);
            }
        }
    }
}
