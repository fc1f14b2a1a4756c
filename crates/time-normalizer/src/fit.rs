//! The constant that moves one track's timestamps onto the timeline.

use rtp_rtcp::{ClockRate, RtpTime, Ssrc};

use crate::RefitCause;

/// How the timestamps of one track are moved. Instants are nanoseconds since the timeline's epoch.
///
/// ```text
///              first packet, another SSRC
///   no fit ------------------------------------> fitted
///     ^                                            |   ^ more than MAX_STRAYS: that fit is taken
///     |  restart                                   v   |
///     +-------------------------------- a step: fitted for the time being
/// ```
#[derive(Clone, Debug)]
pub(crate) struct Fitting {
    rate: ClockRate,
    /// The outgoing timestamp at the timeline's epoch.
    base: RtpTime,
    /// The largest allowed departure, in ticks.
    step: u32,
    fit: Option<Fit>,
    furthest: Option<Sent>,
    /// So many packets more may show that their timestamps began anew with their numbers.
    renumbered: u8,
    /// Whether the next packet has to be looked at more closely.
    is_in_doubt: bool,
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
    at: i64,
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
    since: i64,
    packets: u32,
}

/// The furthest timestamp that readers were given.
#[derive(Clone, Copy, Debug)]
struct Sent {
    timestamp: RtpTime,
    at: i64,
}

/// What a packet said of its source's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// It is where it was expected, but for so many ticks.
    Near(i32),
    /// Nothing that can be relied on.
    Nothing,
    /// The packet is so many ticks ahead of what was expected, and it is right.
    Ahead(u32),
    /// The fit is another one from here on, so many ticks after what was sent last.
    Refit(RefitCause, i32),
    /// As `Refit`, and the first timestamp cannot be where it is expected, but so many ticks later.
    RefitLater(RefitCause, i32, i32),
}

impl Fitting {
    pub(crate) fn new(rate: ClockRate, base: RtpTime, max_step: u64) -> Self {
        // A wrapped distance beyond a quarter of the range tells nothing.
        let step = u32::try_from(max_step).unwrap_or(u32::MAX).min(1 << 30);
        Self { rate, base, step, fit: None, furthest: None, renumbered: 0, is_in_doubt: false }
    }

    pub(crate) const fn rate(&self) -> ClockRate {
        self.rate
    }

    /// The outgoing timestamp when `nanos` of the track's time have passed since the epoch.
    #[inline]
    pub(crate) const fn at(&self, nanos: i64) -> RtpTime {
        let (seconds, parts) = self.split(nanos);
        // Only the low 32 bits are wanted.
        let ticks = (seconds as u32).wrapping_mul(self.rate.hz());
        self.base.plus(ticks.wrapping_add((parts / NANOS as u64) as u32))
    }

    /// How far `nanos` lies behind the instant that [`Fitting::at`] stands for, in nanoseconds.
    pub(crate) const fn behind_tick(&self, nanos: i64) -> i64 {
        let (_, parts) = self.split(nanos);
        (parts % NANOS as u64 / self.rate.hz() as u64) as i64
    }

    /// Whole seconds, and the rest in billionths of a tick.
    const fn split(&self, nanos: i64) -> (i64, u64) {
        let rest = nanos.rem_euclid(NANOS) as u64;
        (nanos.div_euclid(NANOS), rest * self.rate.hz() as u64)
    }

    /// So many ticks as nanoseconds.
    pub(crate) const fn nanos(&self, ticks: i32) -> i64 {
        ticks as i64 * NANOS / self.rate.hz() as i64
    }

    /// What the source calls by this timestamp leaves as the returned one, if it is the source
    /// that is fitted.
    pub(crate) fn fitted(&self, ssrc: Ssrc, timestamp: RtpTime) -> Option<RtpTime> {
        let fit = self.fit.filter(|fit| fit.ssrc == ssrc)?;
        Some(timestamp.plus(fit.offset))
    }

    pub(crate) const fn is_fitted(&self) -> bool {
        self.fit.is_some()
    }

    pub(crate) const fn restart(&mut self) {
        self.fit = None;
    }

    pub(crate) const fn renumbered(&mut self) {
        (self.renumbered, self.is_in_doubt) = (MAX_RENUMBERED, true);
    }

    /// The track's time is moved by so many ticks, and what was sent stays.
    pub(crate) const fn move_base(&mut self, ticks: i32) {
        self.base = self.base.plus(ticks as u32);
    }

    /// The outgoing timestamp and how far it departs from the expected one, if the packet is of the
    /// source that is fitted and where it was expected.
    #[inline]
    pub(crate) fn stamp_near(
        &mut self,
        now: i64,
        expected: RtpTime,
        ssrc: Ssrc,
        timestamp: RtpTime,
    ) -> Option<(RtpTime, i32)> {
        let fit = self.fit.as_mut().filter(|fit| fit.ssrc == ssrc)?;
        let outgoing = timestamp.plus(fit.offset);
        let departure = outgoing.ahead_of(expected);
        if departure.unsigned_abs() > self.step || self.is_in_doubt {
            return None;
        }
        fit.last = Arrival { timestamp, at: now };
        // Something has been sent, as there is a fit.
        if let Some(furthest) = &mut self.furthest
            && outgoing.ahead_of(furthest.timestamp) > 0
        {
            *furthest = Sent { timestamp: outgoing, at: now };
        }
        Some((outgoing, departure))
    }

    /// `expected` is the outgoing timestamp of a packet that comes `now` and took the usual time.
    pub(crate) fn stamp(
        &mut self,
        now: i64,
        expected: RtpTime,
        ssrc: Ssrc,
        timestamp: RtpTime,
    ) -> (RtpTime, Heard) {
        let (outgoing, heard) = match self.fit {
            Some(fit) if fit.ssrc == ssrc => self.stamp_fitted(fit, now, expected, timestamp),
            None => self.fit_anew(now, expected, ssrc, timestamp, RefitCause::Session),
            Some(_) => self.fit_anew(now, expected, ssrc, timestamp, RefitCause::Source),
        };
        let is_strange = |fit: &Fit| fit.other.is_some() || fit.behind.is_some();
        self.is_in_doubt = self.renumbered > 0 || self.fit.as_ref().is_some_and(is_strange);
        self.sent(now, outgoing);
        (outgoing, heard)
    }

    fn sent(&mut self, now: i64, outgoing: RtpTime) {
        match &mut self.furthest {
            Some(sent) if outgoing.ahead_of(sent.timestamp) <= 0 => {}
            furthest => *furthest = Some(Sent { timestamp: outgoing, at: now }),
        }
    }

    fn stamp_fitted(
        &mut self,
        mut fit: Fit,
        now: i64,
        expected: RtpTime,
        timestamp: RtpTime,
    ) -> (RtpTime, Heard) {
        let outgoing = timestamp.plus(fit.offset);
        let departure = outgoing.ahead_of(expected);
        if self.renumbered > 0 {
            if departure.unsigned_abs() > self.step / 4 {
                return self.fit_anew(now, expected, fit.ssrc, timestamp, RefitCause::Sequence);
            }
            self.renumbered -= 1;
        }
        if departure.unsigned_abs() <= self.step {
            fit.last = Arrival { timestamp, at: now };
            (fit.other, fit.behind) = (None, None);
            self.fit = Some(fit);
            return (outgoing, Heard::Near(departure));
        }

        // How far time went on for the source, and for us.
        let passed = i64::from(timestamp.ahead_of(fit.last.timestamp));
        let waited = self.ticks((now - fit.last.at).max(0));
        let step = i64::from(self.step);
        let goes_on = passed.abs() <= step || waited.saturating_sub(passed).abs() <= step;
        if !goes_on {
            return self.stamp_step(fit, now, expected, timestamp);
        }
        fit.last = Arrival { timestamp, at: now };
        fit.other = None;
        if departure > 0 {
            // No packet comes before its time: those it is compared with came late.
            fit.behind = None;
            self.fit = Some(fit);
            return (outgoing, Heard::Ahead(departure.unsigned_abs()));
        }
        let stalled = waited.saturating_sub(passed) > step;
        if self.stays_behind(&mut fit, now, departure.unsigned_abs(), stalled) {
            return self.fit_anew(now, expected, fit.ssrc, timestamp, RefitCause::Behind);
        }
        self.fit = Some(fit);
        (outgoing, Heard::Nothing)
    }

    /// The source's time jumped. It leaves at once as if it had not; whether the jump stays is
    /// seen by the packets that follow.
    fn stamp_step(
        &mut self,
        mut fit: Fit,
        now: i64,
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
        (outgoing, Heard::Refit(RefitCause::Timestamps, self.gap(outgoing)))
    }

    /// Whether the source is late for good, rather than making up for a stall.
    fn stays_behind(&self, fit: &mut Fit, now: i64, by: u32, stalled: bool) -> bool {
        let progress = self.step / 4;
        match &mut fit.behind {
            Some(behind) if !stalled && by.saturating_add(progress) > behind.least => {
                behind.packets += 1;
                behind.packets > MAX_STRAYS && now - behind.since > MAX_CATCHING_UP
            }
            behind => {
                *behind = Some(Behind { least: by, since: now, packets: 1 });
                false
            }
        }
    }

    #[cold]
    fn fit_anew(
        &mut self,
        now: i64,
        expected: RtpTime,
        ssrc: Ssrc,
        timestamp: RtpTime,
        cause: RefitCause,
    ) -> (RtpTime, Heard) {
        let outgoing = self.next_after_furthest(now, expected);
        let departure = outgoing.ahead_of(expected);
        let offset = outgoing.0.wrapping_sub(timestamp.0);
        let last = Arrival { timestamp, at: now };
        self.fit = Some(Fit { ssrc, offset, last, other: None, behind: None });
        self.renumbered = 0;
        let gap = self.gap(outgoing);
        if departure.unsigned_abs() > self.step {
            return (outgoing, Heard::RefitLater(cause, gap, departure));
        }
        (outgoing, Heard::Refit(cause, gap))
    }

    /// How far a timestamp is from the furthest one that readers have.
    fn gap(&self, outgoing: RtpTime) -> i32 {
        self.furthest.map_or(0, |sent| outgoing.ahead_of(sent.timestamp))
    }

    /// Where it is expected, but never at or before what was sent already.
    fn next_after_furthest(&self, now: i64, expected: RtpTime) -> RtpTime {
        match self.furthest {
            Some(sent) if expected.ahead_of(sent.timestamp) <= 0 => {
                // After a silence so long that it seems to lie behind, this is where it is too.
                let waited = self.ticks((now - sent.at).max(0));
                sent.timestamp.plus((waited as u32).max(1))
            }
            _ => expected,
        }
    }

    /// So many nanoseconds as whole ticks.
    pub(crate) fn ticks(&self, nanos: i64) -> i64 {
        (i128::from(nanos) * i128::from(self.rate.hz()) / i128::from(NANOS)) as i64
    }
}

pub(crate) const NANOS: i64 = 1_000_000_000;

/// More packets in a row than this that are not where they were expected are believed.
const MAX_STRAYS: u32 = 3;

/// A source that is late and comes no nearer for so long stays late.
const MAX_CATCHING_UP: i64 = 2 * NANOS;

/// So many packets after their numbers began anew: those that were held back come first.
const MAX_RENUMBERED: u8 = 16;
