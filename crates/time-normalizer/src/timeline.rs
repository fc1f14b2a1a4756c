//! The timeline of one stream.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rtp_rtcp::{ClockRate, Now, NtpTime, RtpTime, SenderInfo, Ssrc};

use crate::{
    Lie, NtpSource, RefitCause, ReportPair, Shift, TimeEvent, TimelineOptions, TimelineStats,
    Verdict,
    drift::{Drift, Window},
    fit::{Heard, NANOS},
    line::Line,
    ntp::{moved, nanos_between},
    report::doubt_time_of_day,
    source::{Reading, Shown, SourceClock},
    track::{self, Track},
    wall::Wall,
};

/// A backend that has sent media for so long, but no report that tells a time, is told of.
pub const NO_REPORTS_AFTER: Duration = Duration::from_secs(10);

/// A track of a [`Timeline`], counted from zero in the order of [`Timeline::add_track`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TrackIndex(pub usize);

/// One timeline per proxied stream; it exists before the first packet and survives backend
/// sessions.
///
/// It is kept on the monotonic clock, and follows the speed of the source's own by at most half a
/// thousandth, so that [`Timeline::at`] stays with the packets for as long as a stream lives.
///
/// ```
/// use std::time::{Duration, Instant};
/// use rtp_rtcp::{ClockRate, Now, NtpTime, RtpTime, Ssrc};
/// use time_normalizer::Timeline;
///
/// # #[expect(clippy::disallowed_methods, reason = "an example needs a beginning of time")]
/// let start = Now { mono: Instant::now(), wall: NtpTime::from_unix(Duration::from_secs(1)) };
/// let mut timeline = Timeline::new(start, 7);
/// let video = timeline.add_track(ClockRate::VIDEO);
/// let later = |ms| start.after(Duration::from_millis(ms));
///
/// // One session: the source's own spacing, wherever it begins.
/// let first = timeline.stamp(later(500), video, Ssrc(1), RtpTime(1_000_000));
/// assert_eq!(first, timeline.at(later(500), video));
/// let second = timeline.stamp(later(540), video, Ssrc(1), RtpTime(1_003_600));
/// assert_eq!(second.ahead_of(first), 3_600);
///
/// // Another one, ten seconds later: the gap is ten seconds.
/// timeline.restart();
/// let third = timeline.stamp(later(10_500), video, Ssrc(2), RtpTime(5));
/// assert_eq!(third.ahead_of(first), 900_000);
/// ```
#[derive(Clone, Debug)]
pub struct Timeline {
    epoch: Instant,
    /// The last packet's arrival, and how long after the epoch it was: what comes within one cycle
    /// of reading has one arrival, and the distance of two instants is half of what a packet costs.
    arrival: (Instant, i64),
    seed: u64,
    options: TimelineOptions,
    tracks: Vec<Track>,
    drift: Drift,
    source: SourceClock,
    wall: Wall,
    /// Whether the backend's clock tells a time of day.
    has_time_of_day: bool,
    /// Whether reports carried the backend's time.
    shows_backend: bool,
    /// When the session's first packet came, as long as no report has come.
    unreported_since: Option<i64>,
    events: VecDeque<TimeEvent>,
    /// Events may pile up to this; it grows with time.
    allowance: Allowance,
    stats: TimelineStats,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    events: u32,
    since: i64,
}

impl Timeline {
    /// A timeline that begins now. The tracks' first timestamps come from `seed` (RFC 3550,
    /// section 5.1: they are to be random).
    pub fn new(now: Now, seed: u64) -> Self {
        Self::with_options(now, seed, TimelineOptions::default())
    }

    /// A timeline that begins now, other than by default.
    pub fn with_options(now: Now, seed: u64, options: TimelineOptions) -> Self {
        Self {
            epoch: now.mono,
            arrival: (now.mono, 0),
            seed,
            options,
            tracks: Vec::new(),
            drift: Drift::new(),
            source: SourceClock::new(),
            wall: Wall::new(now.wall),
            has_time_of_day: false,
            shows_backend: false,
            unreported_since: None,
            events: VecDeque::new(),
            allowance: Allowance { events: MAX_EVENTS, since: 0 },
            stats: TimelineStats::default(),
        }
    }

    /// Another track, whose timestamps count ticks of `rate`. How many there may be is bounded by
    /// the description that they come from.
    pub fn add_track(&mut self, rate: ClockRate) -> TrackIndex {
        let index = self.tracks.len();
        let base = RtpTime(scatter(self.seed, index as u64));
        self.tracks.push(Track::new(rate, base, rate.ticks(self.options.max_ts_step)));
        TrackIndex(index)
    }

    /// A new backend session, or one that goes on after PAUSE: each track is fitted anew at its
    /// next packet.
    pub fn restart(&mut self) {
        self.tracks.iter_mut().for_each(Track::restart);
        self.source.restart();
        self.unreported_since = None;
    }

    /// The sequence numbers of a track began anew: if its timestamps did so too, within its next
    /// 16 packets, it is fitted anew without waiting for more of them.
    pub fn sequence_restarted(&mut self, track: TrackIndex) {
        if let Some(track) = self.tracks.get_mut(track.0) {
            track.fitting.renumbered();
        }
    }

    /// The outgoing timestamp of a packet that came at `now`.
    ///
    /// The first of a session fits the track's constant offset, so that it leaves with the
    /// timeline's `now`, and in any case ahead of what the track has sent. From then on timestamps
    /// leave as they came, plus that offset: jitter, wraps, frames out of order, silence and the
    /// burst after a stall pass as they are.
    ///
    /// The fit is another one (and [`TimelineStats::refits`] counts) when the SSRC changes; when
    /// timestamps begin anew with the sequence numbers; when they depart by more than
    /// [`TimelineOptions::max_ts_step`] from what arrivals let expect, for more than three packets,
    /// the first three of which leave by the new fit already and return to the old one if nothing
    /// comes of it; and when a source falls that far behind and does not make it good. When one
    /// turns out to be ahead by as much, the expectation gives way instead.
    ///
    /// A track that does not exist leaves the timestamp alone.
    pub fn stamp(
        &mut self,
        now: Now,
        track: TrackIndex,
        ssrc: Ssrc,
        timestamp: RtpTime,
    ) -> RtpTime {
        if now.mono != self.arrival.0 {
            self.arrival = (now.mono, self.elapsed(now));
        }
        let elapsed = self.arrival.1;
        if let Some(track) = self.tracks.get_mut(track.0)
            && let Some(expected) = track.line.at(elapsed)
            && let Some((outgoing, departure)) =
                track.fitting.stamp_near(elapsed, expected, ssrc, timestamp)
        {
            track.window.on_arrival(departure);
            return outgoing;
        }
        self.stamp_afar(now, elapsed, track, ssrc, timestamp)
    }

    /// Takes a sender report of the backend's that came at `now`.
    ///
    /// The first of a track sets its times beside the other tracks' at once; what later ones say
    /// moves them by at most 0.2 ms per second. One that comes before its source's first packet is
    /// kept until then.
    pub fn on_sender_report(
        &mut self,
        now: Now,
        track: TrackIndex,
        ssrc: Ssrc,
        info: &SenderInfo,
    ) -> Verdict {
        self.stats.reports += 1;
        let elapsed = self.elapsed(now);
        self.read_report(now, elapsed, track, ssrc, info)
    }

    /// Reads a report that came at the instant `came`: now, or before its source's first packet.
    fn read_report(
        &mut self,
        now: Now,
        came: i64,
        track: TrackIndex,
        ssrc: Ssrc,
        info: &SenderInfo,
    ) -> Verdict {
        let elapsed = self.elapsed(now);
        let common = elapsed.saturating_add(self.drift.ahead(elapsed));
        let index = track;
        let Some(track) = self.tracks.get_mut(index.0) else {
            return Verdict::Lie(Lie::OtherSource);
        };
        if info.ntp.bits() == 0 {
            if !track.fitting.is_fitted() {
                // Told of with the next one, as of the session that begins with the first packet.
                self.stats.lies.count(Lie::NoClock);
                return Verdict::Lie(Lie::NoClock);
            }
            return self.lie(elapsed, index, Lie::NoClock);
        }
        let Some(outgoing) = track.fitting.fitted(ssrc, info.rtp) else {
            track.reports.early = Some((elapsed, ssrc, *info));
            if track.fitting.is_fitted() {
                return self.lie(elapsed, index, Lie::OtherSource);
            }
            return Verdict::Early;
        };
        let own = track.own(elapsed, common);
        let departure = track.fitting.nanos(outgoing.ahead_of(track.fitting.at(own)));
        if departure.abs() > MAX_REPORT_DISTANCE {
            return self.lie(elapsed, index, Lie::Pair);
        }
        let heard = track::Heard { at: came, ntp: info.ntp, rtp: info.rtp };
        // Copies of one report, as a network makes them, are not several that agree.
        if track.reports.last.is_some_and(|last| (last.ntp, last.rtp) == (heard.ntp, heard.rtp)) {
            return Verdict::Again;
        }
        let last = track.reports.last.replace(heard);
        if last.is_some_and(|last| is_at_another_rate(last, heard, track.fitting.rate())) {
            track.is_off(elapsed);
            return self.lie(elapsed, index, Lie::ClockRate);
        }

        let at = common.saturating_add(departure - track.fitting.behind_tick(own));
        let reading = Reading { track: index.0, now: elapsed, at, ntp: info.ntp };
        let shown = self.source.read(reading, &mut self.tracks);
        self.expect_anew();
        self.unreported_since = None;
        let verdict = match shown {
            Shown::First { stepped } => {
                self.be_on_time(elapsed, index);
                if let Some(by) = stepped {
                    self.on_backend_step(elapsed, by);
                }
                Verdict::First
            }
            Shown::Fits => Verdict::Fits,
            Shown::Stepped(by) => {
                self.on_backend_step(elapsed, by);
                Verdict::Fits
            }
            Shown::Realigned { track, by } => {
                let track = TrackIndex(track);
                self.tell(elapsed, TimeEvent::Realigned { track, by: Shift::from_nanos(by) });
                Verdict::Fits
            }
            Shown::Off(by) if by.abs() >= LEAST_CLOCK_STEP => {
                self.lie(elapsed, index, Lie::ClockStep)
            }
            Shown::Off(_) => self.lie(elapsed, index, Lie::Pair),
        };
        if matches!(verdict, Verdict::Lie(_)) {
            return verdict;
        }
        let doubt = doubt_time_of_day(info.ntp, now.wall);
        self.has_time_of_day = doubt.is_none();
        self.choose_time(now, elapsed);
        match doubt {
            Some(lie) => {
                let _counted = self.lie(elapsed, index, lie);
                if verdict == Verdict::First { verdict } else { Verdict::Lie(lie) }
            }
            None => verdict,
        }
    }

    /// The track's outgoing timestamp at the instant `now`, for RTP-Info: that of a packet that
    /// comes now and took the usual time. It means the same instant on all tracks.
    ///
    /// Zero for a track that does not exist.
    pub fn at(&self, now: Now, track: TrackIndex) -> RtpTime {
        let elapsed = self.elapsed(now);
        let common = elapsed.saturating_add(self.drift.ahead(elapsed));
        self.tracks
            .get(track.0)
            .map_or(RtpTime(0), |track| track.fitting.at(track.own(elapsed, common)))
    }

    /// The two times of a sender report that leaves at `now`: the timestamp of [`Timeline::at`],
    /// and the time of day that it stands for to the nanosecond, which is up to one tick earlier
    /// than `now`.
    pub fn report(&self, now: Now, track: TrackIndex) -> ReportPair {
        let rtp = self.at(now, track);
        ReportPair { ntp: self.presentation(now, track, rtp), rtp }
    }

    /// The time of day that an outgoing timestamp stands for, as far as is known at `now`: ours, or
    /// the backend's ([`NtpSource`]). The timestamp is taken to lie within half its range of now.
    ///
    /// `now` for a track that does not exist.
    pub fn presentation(&self, now: Now, track: TrackIndex, timestamp: RtpTime) -> NtpTime {
        let elapsed = self.elapsed(now);
        let common = elapsed.saturating_add(self.drift.ahead(elapsed));
        let Some(track) = self.tracks.get(track.0) else { return now.wall };
        let own = track.own(elapsed, common);
        let departure = timestamp.ahead_of(track.fitting.at(own));
        let distance = track.fitting.nanos(departure) - track.fitting.behind_tick(own);
        let backend = self.source.ntp(elapsed, common).filter(|_| self.shows_backend);
        moved(backend.unwrap_or_else(|| self.wall.at(elapsed, now.wall)), distance)
    }

    /// Whether what a track's timestamps stand for may have been moved at once since this was last
    /// asked: then what reports said before may not be true any more.
    #[inline]
    pub fn take_moved(&mut self, track: TrackIndex) -> bool {
        self.tracks.get_mut(track.0).is_some_and(|track| std::mem::take(&mut track.was_moved))
    }

    /// Whether reports carry the backend's time.
    pub const fn shows_backend_time(&self) -> bool {
        self.shows_backend
    }

    /// Looks at the host's clock, and whether reports are missing. To be called before reports are
    /// made, and when [`Timeline::poll_timeout`] says so.
    pub fn handle_timeout(&mut self, now: Now) {
        let elapsed = self.elapsed(now);
        if let Some(by) = self.wall.observe(elapsed, now.wall) {
            self.stats.host_steps += 1;
            self.tell(elapsed, TimeEvent::HostClockStepped { by: Shift::from_nanos(by) });
        }
        self.watch(elapsed);
    }

    /// When [`Timeline::handle_timeout`] has something to say even if nothing comes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let since = u64::try_from(self.unreported_since?).ok()?;
        self.epoch.checked_add(Duration::from_nanos(since) + NO_REPORTS_AFTER)
    }

    /// What happened, oldest first. At most [`MAX_EVENTS`] are kept, and no more than one per ten
    /// seconds in the long run.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<TimeEvent> {
        self.events.pop_front()
    }

    /// How often a fit was replaced within a session.
    pub const fn refits(&self) -> u64 {
        self.stats.refits
    }

    /// What has been counted.
    pub const fn stats(&self) -> TimelineStats {
        TimelineStats { drift_ppb: self.drift.ppb(), ..self.stats }
    }
}

impl Timeline {
    /// Since the epoch, in nanoseconds: 292 years fit.
    #[inline]
    fn elapsed(&self, now: Now) -> i64 {
        let elapsed = now.mono.saturating_duration_since(self.epoch);
        elapsed.as_secs() as i64 * NANOS + i64::from(elapsed.subsec_nanos())
    }

    /// What is not as simple as most packets are: a line has to be drawn anew, a window ends, or
    /// the packet is not where it was expected.
    #[cold]
    #[inline(never)]
    fn stamp_afar(
        &mut self,
        now: Now,
        elapsed: i64,
        index: TrackIndex,
        ssrc: Ssrc,
        timestamp: RtpTime,
    ) -> RtpTime {
        if self.drift.is_due(elapsed) {
            self.drift.close(elapsed, &mut self.tracks);
            self.watch(elapsed);
        }
        let common = elapsed.saturating_add(self.drift.ahead(elapsed));
        let later = elapsed.saturating_add(LINE_LENGTH);
        let common_later = later.saturating_add(self.drift.ahead(later));
        let Some(track) = self.tracks.get_mut(index.0) else { return timestamp };
        track.draw_line(elapsed, common, later, common_later);
        let expected = track.fitting.at(track.expected(elapsed, common));
        let (outgoing, heard) = track.fitting.stamp(elapsed, expected, ssrc, timestamp);
        match heard {
            Heard::Near(departure) => track.window.on_arrival(departure),
            heard => {
                self.on_departure(now, elapsed, index, ssrc, heard);
                self.expect_anew();
            }
        }
        outgoing
    }

    /// Something moved: no line holds any more.
    fn expect_anew(&mut self) {
        for track in &mut self.tracks {
            (track.line, track.was_moved) = (Line::NONE, true);
        }
    }

    #[cold]
    fn on_departure(
        &mut self,
        now: Now,
        elapsed: i64,
        index: TrackIndex,
        ssrc: Ssrc,
        heard: Heard,
    ) {
        let Some(track) = self.tracks.get_mut(index.0) else { return };
        let (cause, gap) = match heard {
            Heard::Near(_) | Heard::Nothing => return,
            Heard::Ahead(ticks) => {
                // Its times come from its arrivals again.
                let ahead = track.fitting.nanos(ticks as i32);
                track.align.jump(elapsed, ahead);
                (RefitCause::Ahead, 0)
            }
            Heard::Refit(cause, gap) => (cause, gap),
            Heard::RefitLater(cause, gap, by) => {
                track.fitting.move_base(by);
                (cause, gap)
            }
        };
        let Some(track) = self.tracks.get_mut(index.0) else { return };
        let gap = Shift::from_nanos(track.fitting.nanos(gap));
        match cause {
            // The same source, whose timestamps went on: what its reports said of them holds.
            RefitCause::Ahead | RefitCause::Behind => {
                track.forget_times();
                track.is_off(elapsed);
            }
            RefitCause::Timestamps => {
                track.forget();
                track.is_off(elapsed);
            }
            RefitCause::Session | RefitCause::Source | RefitCause::Sequence => track.forget(),
        }
        track.window.on_arrival(0);
        self.source.forget(index.0, &self.tracks);
        if cause == RefitCause::Session {
            self.stats.sessions += 1;
            if !self.source.is_known {
                self.unreported_since.get_or_insert(elapsed);
            }
        } else {
            self.stats.refits += 1;
        }
        if cause != RefitCause::Session || gap != Shift::default() {
            self.tell(elapsed, TimeEvent::Refitted { track: index, cause, gap });
        }
        self.take_early(now, elapsed, index, ssrc);
    }

    /// A report that came before the packets it belongs to.
    fn take_early(&mut self, now: Now, elapsed: i64, index: TrackIndex, ssrc: Ssrc) {
        let early = self.tracks.get_mut(index.0).and_then(|track| track.reports.early.take());
        if let Some((at, source, info)) = early
            && source == ssrc
            && elapsed - at < MAX_REPORT_DISTANCE
        {
            let _verdict = self.read_report(now, at, index, ssrc, &info);
        }
    }

    /// A track's first report sets the times at once: if its packets have come before the instant
    /// that they stand for, it is those that the timeline was fitted to that were late.
    fn be_on_time(&mut self, now: i64, first: TrackIndex) {
        let Some(track) = self.tracks.get(first.0) else { return };
        if track.window.packets == 0 || track.is_restless(now) {
            return;
        }
        let best = track.fitting.nanos(track.window.best);
        let before_its_time = best.saturating_sub(track.late);
        if !(LEAST_HASTE..=MOST_HASTE).contains(&before_its_time) {
            return;
        }
        self.drift.jump(now, before_its_time);
        for (index, track) in self.tracks.iter_mut().enumerate() {
            if index == first.0 {
                track.late = 0;
                track.window = Window::EMPTY;
            } else if track.reports.was_aligned {
                track.late = track.late.saturating_add(before_its_time);
            } else {
                // Its times still come from its own arrivals.
                track.align.jump(now, -before_its_time);
            }
        }
    }

    fn on_backend_step(&mut self, now: i64, by: i64) {
        self.stats.backend_steps += 1;
        self.tell(now, TimeEvent::BackendClockStepped { by: Shift::from_nanos(by) });
    }

    /// Once the backend's time is known, reports carry it.
    fn choose_time(&mut self, now: Now, elapsed: i64) {
        if self.options.ntp == NtpSource::Proxy {
            return;
        }
        let was = std::mem::replace(&mut self.shows_backend, self.has_time_of_day);
        if self.shows_backend && !was {
            let common = elapsed.saturating_add(self.drift.ahead(elapsed));
            let ours = self.wall.at(elapsed, now.wall);
            let theirs = self.source.ntp(elapsed, common).unwrap_or(ours);
            let ahead = Shift::from_nanos(nanos_between(ours, theirs));
            self.tell(elapsed, TimeEvent::BackendTime { ahead });
        } else if was && !self.shows_backend {
            self.tell(elapsed, TimeEvent::OurTime);
        }
    }

    fn watch(&mut self, now: i64) {
        let after = NO_REPORTS_AFTER.as_nanos() as i64;
        if self.unreported_since.is_some_and(|since| now - since >= after) {
            self.unreported_since = None;
            self.tell(now, TimeEvent::NoReports { after: NO_REPORTS_AFTER });
        }
    }

    fn lie(&mut self, now: i64, track: TrackIndex, lie: Lie) -> Verdict {
        self.stats.lies.count(lie);
        if self.tracks.get_mut(track.0).is_some_and(|track| track.reports.is_news(lie)) {
            self.tell(now, TimeEvent::Lie { track, lie });
        }
        Verdict::Lie(lie)
    }

    /// Keeps an event, unless there were so many that they tell nothing new.
    fn tell(&mut self, now: i64, event: TimeEvent) {
        let Allowance { events, since } = self.allowance;
        let grown = (now - since).max(0) / EVENT_EVERY;
        let events =
            MAX_EVENTS.min(events.saturating_add(u32::try_from(grown).unwrap_or(u32::MAX)));
        let since = since + grown * EVENT_EVERY;
        if events == 0 || self.events.len() >= MAX_EVENTS as usize {
            self.allowance = Allowance { events, since };
            self.stats.events_dropped += 1;
            return;
        }
        self.allowance = Allowance { events: events - 1, since };
        self.events.push_back(event);
    }
}

/// Whether timestamps advance at another rate than they should, while the clock is right.
fn is_at_another_rate(last: track::Heard, heard: track::Heard, rate: ClockRate) -> bool {
    let passed = heard.at - last.at;
    let told = nanos_between(last.ntp, heard.ntp);
    let ticks = i64::from(heard.rtp.ahead_of(last.rtp));
    let counted = (i128::from(ticks) * i128::from(NANOS) / i128::from(rate.hz())) as i64;
    let is_right = told.saturating_sub(passed).unsigned_abs() <= (passed / 10).unsigned_abs();
    let least = (passed / 100).max(LEAST_RATE_ERROR).unsigned_abs();
    passed >= NANOS && is_right && told.saturating_sub(counted).unsigned_abs() > least
}

/// The `nth` of numbers that look random (SplitMix64).
const fn scatter(seed: u64, nth: u64) -> u32 {
    let mut bits = seed.wrapping_add(nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as u32
}

/// For so long the drift of a clock is as good as straight.
const LINE_LENGTH: i64 = NANOS;

/// A report's timestamp further than this from now is not of this stream.
const MAX_REPORT_DISTANCE: i64 = 30 * NANOS;

/// A smaller step is a pair of times that were not taken at the same instant.
const LEAST_CLOCK_STEP: i64 = NANOS;

/// Less than this between two reports is no other rate.
const LEAST_RATE_ERROR: i64 = NANOS / 5;

/// Less than this is left to be slewed.
const LEAST_HASTE: i64 = 5_000_000;

/// More than this is a report that is wrong.
const MOST_HASTE: i64 = NANOS;

/// The most events that are kept.
pub const MAX_EVENTS: u32 = 32;

/// In the long run, one event in so long.
const EVENT_EVERY: i64 = 10 * NANOS;

#[cfg(test)]
mod tests;
