//! One track: the constant that moves its timestamps onto the timeline.

use std::time::{Duration, Instant};

use rtp_rtcp::{ClockRate, RtpTime, Ssrc};

/// One track of a timeline.
///
/// ```text
///              first packet, another SSRC
///   no fit ------------------------------------> fitted
///     ^                                            |   ^ more than MAX_STRAYS: that fit is taken
///     |  restart                                   v   |
///     +-------------------------------- a step: fitted for the time being
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Track {
    rate: ClockRate,
    /// The outgoing timestamp at the timeline's epoch.
    base: RtpTime,
    /// The largest allowed departure, in ticks.
    step: u32,
    fit: Option<Fit>,
    furthest: Option<Sent>,
}

/// How the timestamps of one source are moved.
#[derive(Clone, Copy, Debug)]
struct Fit {
    ssrc: Ssrc,
    offset: u32,
    /// The last packet that this fit was right for.
    last: Arrival,
    /// Another fit, for packets that this one is not right for.
    other: Option<Other>,
    behind: Option<Behind>,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    timestamp: RtpTime,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Other {
    offset: u32,
    packets: u32,
}

/// The source is late, and it shows whether it makes that good.
#[derive(Clone, Copy, Debug)]
struct Behind {
    least: u32,
    since: Instant,
    packets: u32,
}

/// The furthest timestamp that readers were given.
#[derive(Clone, Copy, Debug)]
struct Sent {
    timestamp: RtpTime,
    at: Instant,
}

/// What a packet said of its source's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// It is where it was expected, but for so many ticks.
    Near(i32),
    /// Nothing that can be relied on.
    Nothing,
    /// The fit, or the expectation, is another one from here on.
    Refit,
}

impl Track {
    pub(crate) fn new(rate: ClockRate, base: RtpTime, max_step: Duration) -> Self {
        // A wrapped distance beyond a quarter of the range tells nothing.
        let step = u32::try_from(rate.ticks(max_step)).unwrap_or(u32::MAX).min(1 << 30);
        Self { rate, base, step, fit: None, furthest: None }
    }

    pub(crate) const fn rate(&self) -> ClockRate {
        self.rate
    }

    /// The outgoing timestamp when so much of the sources' time has passed since the epoch.
    pub(crate) const fn at(&self, elapsed: Duration) -> RtpTime {
        self.base.plus(self.rate.ticks(elapsed) as u32)
    }

    pub(crate) const fn restart(&mut self) {
        self.fit = None;
    }

    /// `expected` is the outgoing timestamp of a packet that comes `now` and took the usual time.
    pub(crate) fn stamp(
        &mut self,
        now: Instant,
        expected: RtpTime,
        ssrc: Ssrc,
        timestamp: RtpTime,
    ) -> (RtpTime, Heard) {
        let (outgoing, heard) = match self.fit {
            None => (self.fit_anew(now, expected, ssrc, timestamp), Heard::Near(0)),
            Some(fit) if fit.ssrc != ssrc => {
                (self.fit_anew(now, expected, ssrc, timestamp), Heard::Refit)
            }
            Some(fit) => self.stamp_fitted(fit, now, expected, timestamp),
        };
        if self.furthest.is_none_or(|sent| outgoing.ahead_of(sent.timestamp) > 0) {
            self.furthest = Some(Sent { timestamp: outgoing, at: now });
        }
        (outgoing, heard)
    }

    fn stamp_fitted(
        &mut self,
        mut fit: Fit,
        now: Instant,
        expected: RtpTime,
        timestamp: RtpTime,
    ) -> (RtpTime, Heard) {
        let outgoing = timestamp.plus(fit.offset);
        let departure = outgoing.ahead_of(expected);
        if departure.unsigned_abs() <= self.step {
            fit.last = Arrival { timestamp, at: now };
            (fit.other, fit.behind) = (None, None);
            self.fit = Some(fit);
            return (outgoing, Heard::Near(departure));
        }

        // How far time went on for the source, and for us.
        let passed = i64::from(timestamp.ahead_of(fit.last.timestamp));
        let waited = self.rate.ticks(now.saturating_duration_since(fit.last.at)) as i64;
        let step = i64::from(self.step);
        let goes_on = passed.abs() <= step || waited.saturating_sub(passed).abs() <= step;
        if !goes_on {
            return self.stamp_step(fit, now, expected, timestamp);
        }
        fit.last = Arrival { timestamp, at: now };
        fit.other = None;
        if departure > 0 {
            // No packet comes before its time: those it is compared with came late.
            self.base = self.base.plus(departure as u32);
            fit.behind = None;
            self.fit = Some(fit);
            return (outgoing, Heard::Refit);
        }
        let stalled = waited.saturating_sub(passed) > step;
        if self.stays_behind(&mut fit, now, departure.unsigned_abs(), stalled) {
            return (self.fit_anew(now, expected, fit.ssrc, timestamp), Heard::Refit);
        }
        self.fit = Some(fit);
        (outgoing, Heard::Nothing)
    }

    /// The source's time jumped. It leaves at once as if it had not; whether the jump stays is
    /// seen by the packets that follow.
    fn stamp_step(
        &mut self,
        mut fit: Fit,
        now: Instant,
        expected: RtpTime,
        timestamp: RtpTime,
    ) -> (RtpTime, Heard) {
        let same = fit.other.filter(|other| {
            timestamp.plus(other.offset).ahead_of(expected).unsigned_abs() <= self.step
        });
        let other = match same {
            Some(other) => Other { packets: other.packets + 1, ..other },
            None => {
                let outgoing = self.next_after_furthest(now, expected);
                Other { offset: outgoing.0.wrapping_sub(timestamp.0), packets: 1 }
            }
        };
        let outgoing = timestamp.plus(other.offset);
        if other.packets <= MAX_STRAYS {
            fit.other = Some(other);
            self.fit = Some(fit);
            return (outgoing, Heard::Nothing);
        }
        let last = Arrival { timestamp, at: now };
        self.fit = Some(Fit { offset: other.offset, last, other: None, behind: None, ..fit });
        (outgoing, Heard::Refit)
    }

    /// Whether the source is late for good, rather than making up for a stall.
    fn stays_behind(&self, fit: &mut Fit, now: Instant, by: u32, stalled: bool) -> bool {
        let progress = self.step / 4;
        match &mut fit.behind {
            Some(behind) if !stalled && by.saturating_add(progress) > behind.least => {
                behind.packets += 1;
                behind.packets > MAX_STRAYS
                    && now.saturating_duration_since(behind.since) > MAX_CATCHING_UP
            }
            behind => {
                *behind = Some(Behind { least: by, since: now, packets: 1 });
                false
            }
        }
    }

    fn fit_anew(
        &mut self,
        now: Instant,
        expected: RtpTime,
        ssrc: Ssrc,
        timestamp: RtpTime,
    ) -> RtpTime {
        let outgoing = self.next_after_furthest(now, expected);
        let departure = outgoing.ahead_of(expected);
        if departure.unsigned_abs() > self.step {
            self.base = self.base.plus(departure as u32);
        }
        let offset = outgoing.0.wrapping_sub(timestamp.0);
        let last = Arrival { timestamp, at: now };
        self.fit = Some(Fit { ssrc, offset, last, other: None, behind: None });
        outgoing
    }

    /// Where it is expected, but never at or before what was sent already.
    fn next_after_furthest(&self, now: Instant, expected: RtpTime) -> RtpTime {
        match self.furthest {
            Some(sent) if expected.ahead_of(sent.timestamp) <= 0 => {
                // After a silence so long that it seems to lie behind, this is where it is too.
                let waited = self.rate.ticks(now.saturating_duration_since(sent.at));
                sent.timestamp.plus((waited as u32).max(1))
            }
            _ => expected,
        }
    }
}

/// More packets in a row than this that are not where they were expected are believed.
const MAX_STRAYS: u32 = 3;

/// A source that is late and comes no nearer for so long stays late.
const MAX_CATCHING_UP: Duration = Duration::from_secs(2);
