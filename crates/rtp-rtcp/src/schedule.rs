//! When reports leave.

use std::time::{Duration, Instant};

/// Between two reports while media flows: the minimum interval of RFC 3550, section 6.2, which
/// rates above some 100 kbit/s always come down to.
pub const STEADY_REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// Between two reports while no media flows: players leave when nothing at all comes.
pub const SILENT_REPORT_INTERVAL: Duration = Duration::from_secs(2);

/// The longest that is chosen, as a timer that fires a little late must not make it more than
/// [`STEADY_REPORT_INTERVAL`].
const LONGEST_INTERVAL: Duration = Duration::from_millis(4_900);

/// Without media for this long, a track is silent.
pub const SILENCE_AFTER: Duration = Duration::from_secs(1);

/// Says when the next report of one track, or of a whole stream, is due.
///
/// A reader never waits for more than [`SILENT_REPORT_INTERVAL`] for media or a report.
#[derive(Clone, Debug)]
pub struct ReportSchedule {
    last_report: Instant,
    /// Until the next report while media flows.
    steady: Duration,
    intervals: Option<Intervals>,
    /// `None` before the first packet: as silent as can be.
    last_media: Option<Instant>,
}

impl ReportSchedule {
    /// A report has just left, and no media has come yet.
    pub const fn new(now: Instant) -> Self {
        Self { last_report: now, steady: STEADY_REPORT_INTERVAL, intervals: None, last_media: None }
    }

    /// The same, with intervals that vary as RFC 3550, section 6.3.1, asks for, so that the reports
    /// of many streams do not leave at the same moment.
    pub const fn seeded(now: Instant, seed: u64) -> Self {
        let mut intervals = Intervals { bits: seed };
        let steady = intervals.next();
        Self { last_report: now, steady, intervals: Some(intervals), last_media: None }
    }

    /// Media has come.
    pub const fn on_media(&mut self, now: Instant) {
        self.last_media = Some(now);
    }

    /// When media last came.
    pub const fn last_media(&self) -> Option<Instant> {
        self.last_media
    }

    /// When the next report is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let steady = self.last_report.checked_add(self.steady);
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
            if let Some(intervals) = &mut self.intervals {
                self.steady = intervals.next();
            }
        }
        due
    }
}

/// Says when a receiver report to a backend is due: the first soon after the first packet, then at
/// least every [`STEADY_REPORT_INTERVAL`], as some cameras end a session that is silent for 10 s.
#[derive(Clone, Debug)]
pub struct ReceiverSchedule {
    intervals: Intervals,
    due: Option<Instant>,
}

impl ReceiverSchedule {
    /// Nothing is due before a packet has come. Intervals vary as RFC 3550, section 6.3.1, asks
    /// for.
    pub const fn new(seed: u64) -> Self {
        Self { intervals: Intervals { bits: seed }, due: None }
    }

    /// A packet has come.
    pub fn on_packet(&mut self, now: Instant) {
        if self.due.is_none() {
            // The first interval is half as long (section 6.3.1).
            self.due = now.checked_add(self.intervals.next() / 2);
        }
    }

    /// The session has ended or paused: nothing is due before another packet comes.
    pub const fn clear(&mut self) {
        self.due = None;
    }

    /// When the next report is due.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a report is due; if so, it is taken to leave now.
    #[must_use]
    pub fn due(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = now.checked_add(self.intervals.next());
        }
        due
    }
}

/// Intervals between reports (RFC 3550, section 6.3.1): a session of two members, of which any
/// rate above some kilobits a second leaves the minimum interval, times 0.5..1.5, divided by
/// e - 3/2; and never more than [`LONGEST_INTERVAL`].
#[derive(Clone, Debug)]
struct Intervals {
    bits: u64,
}

impl Intervals {
    /// Random numbers are SplitMix64's.
    const fn next(&mut self) -> Duration {
        self.bits = self.bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.bits;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let mean = STEADY_REPORT_INTERVAL.as_micros() as u64;
        let longest = LONGEST_INTERVAL.as_micros() as u64;
        // In millionths: (0.5..1.5) / 1.21828.
        let part = (500_000 + bits % 1_000_000) * 100_000 / 121_828;
        let micros = mean * part / 1_000_000;
        Duration::from_micros(if micros < longest { micros } else { longest })
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
    fn seeded_intervals_vary_and_stay_within_the_bound() {
        let start = origin();
        let mut schedule = ReportSchedule::seeded(start, 7);
        let (mut last, mut gaps) = (0, Vec::new());
        for at in (0..=600_000).step_by(40) {
            schedule.on_media(start + ms(at));
            if schedule.due(start + ms(at)) {
                gaps.push(at - last);
                last = at;
            }
        }
        assert!(gaps.iter().all(|gap| (2_040..=4_940).contains(gap)), "{gaps:?}");
        let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
        assert!((3_300..=4_500).contains(&mean), "{mean}");
        assert!(gaps.iter().any(|gap| *gap < 3_000) && gaps.iter().any(|gap| *gap > 4_800));
    }

    #[test]
    fn the_first_receiver_report_follows_the_first_packet_soon() {
        let start = origin();
        let mut schedule = ReceiverSchedule::new(1);
        assert!(!schedule.due(start));
        assert_eq!(schedule.poll_timeout(), None);
        schedule.on_packet(start);
        let first = schedule.poll_timeout().unwrap() - start;
        assert!(first <= ms(2_500), "{first:?}");
        let mut last = start;
        for _ in 0..100 {
            let due = schedule.poll_timeout().unwrap();
            assert!(due - last <= STEADY_REPORT_INTERVAL);
            schedule.on_packet(due);
            assert!(schedule.due(due));
            assert!(!schedule.due(due));
            last = due;
        }
        schedule.clear();
        assert!(!schedule.due(last + ms(60_000)));
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
