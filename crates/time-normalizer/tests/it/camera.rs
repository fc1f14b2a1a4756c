//! A camera, the network before it and our clocks, in virtual time.
//!
//! Times are nanoseconds since the beginning, by our monotonic clock unless another one is named.

use std::time::{Duration, Instant};

use rtp_rtcp::{ClockRate, Now, NtpTime, RtpTime, SenderInfo, Ssrc};
use time_normalizer::{Timeline, TimelineOptions, TrackIndex, Verdict};

pub(crate) const MS: i64 = 1_000_000;
pub(crate) const SECOND: i64 = 1_000 * MS;

/// Our clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    start: Now,
}

impl Host {
    pub(crate) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
        let mono = Instant::now();
        Self { start: Now { mono, wall: NtpTime::from_unix(Duration::from_secs(1_800_000_000)) } }
    }

    pub(crate) fn now(&self, at: i64) -> Now {
        self.start.after(Duration::from_nanos(at.max(0) as u64))
    }

    /// The same instant, with a wall clock that was set by so much.
    pub(crate) fn now_set(&self, at: i64, by: i64) -> Now {
        let now = self.now(at);
        Now { wall: moved(now.wall, by), ..now }
    }

    /// A time of day of ours as nanoseconds since the beginning.
    pub(crate) fn nanos(&self, time: NtpTime) -> i64 {
        between(self.start.wall, time)
    }
}

pub(crate) fn between(earlier: NtpTime, later: NtpTime) -> i64 {
    let fixed = later.bits().wrapping_sub(earlier.bits()) as i64;
    ((i128::from(fixed) * i128::from(SECOND)) >> 32) as i64
}

pub(crate) fn moved(time: NtpTime, nanos: i64) -> NtpTime {
    let fixed = (i128::from(nanos) << 32) / i128::from(SECOND);
    NtpTime::from_bits(time.bits().wrapping_add(fixed as u64))
}

/// Numbers that look random (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// 0..`below`.
    pub(crate) fn below(&mut self, below: i64) -> i64 {
        if below <= 0 { 0 } else { (self.roll() % below as u64) as i64 }
    }
}

/// The camera's clocks: one crystal for everything, and a time of day that somebody sets.
#[derive(Clone, Debug)]
pub(crate) struct Crystal {
    /// How much it is fast, in parts per billion.
    pub(crate) ppb: i64,
    /// Its time of day at the beginning.
    pub(crate) ntp: NtpTime,
    /// By how much its time of day was set so far.
    pub(crate) set: i64,
}

impl Crystal {
    pub(crate) fn new(host: &Host, ppm: i64) -> Self {
        // Not ours, but for the time zone it might be.
        Self { ppb: ppm * 1_000, ntp: moved(host.now(0).wall, 7_200 * SECOND + 123 * MS), set: 0 }
    }

    /// What the camera's crystal has counted by our `at`.
    pub(crate) fn own(&self, at: i64) -> i64 {
        at + (i128::from(at) * i128::from(self.ppb) / 1_000_000_000) as i64
    }

    pub(crate) fn ntp(&self, at: i64) -> NtpTime {
        moved(self.ntp, self.own(at) + self.set)
    }
}

/// One track of the camera.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) index: TrackIndex,
    pub(crate) ssrc: Ssrc,
    pub(crate) rate: ClockRate,
    pub(crate) base: RtpTime,
}

impl Source {
    pub(crate) fn add(timeline: &mut Timeline, hz: u32, dice: &mut Dice) -> Self {
        let rate = ClockRate::new(hz).expect("a clock runs");
        let (ssrc, base) = (Ssrc(dice.roll() as u32), RtpTime(dice.roll() as u32));
        Self { index: timeline.add_track(rate), ssrc, rate, base }
    }

    /// What was captured when the camera's crystal had counted to `own`.
    pub(crate) fn timestamp(&self, own: i64) -> RtpTime {
        let ticks = i128::from(own) * i128::from(self.rate.hz()) / i128::from(SECOND);
        self.base.plus(ticks as u32)
    }

    pub(crate) fn packet(
        &self,
        timeline: &mut Timeline,
        now: Now,
        crystal: &Crystal,
        captured: i64,
    ) -> RtpTime {
        timeline.stamp(now, self.index, self.ssrc, self.timestamp(crystal.own(captured)))
    }

    pub(crate) fn report(
        &self,
        timeline: &mut Timeline,
        now: Now,
        crystal: &Crystal,
        sent: i64,
    ) -> Verdict {
        let info = self.info(crystal, sent);
        timeline.on_sender_report(now, self.index, self.ssrc, &info)
    }

    pub(crate) fn info(&self, crystal: &Crystal, sent: i64) -> SenderInfo {
        let rtp = self.timestamp(crystal.own(sent));
        SenderInfo { ntp: crystal.ntp(sent), rtp, packets: 0, octets: 0 }
    }
}

/// A camera with a video and an audio track, seen through a network.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) host: Host,
    pub(crate) timeline: Timeline,
    pub(crate) crystal: Crystal,
    pub(crate) dice: Dice,
    pub(crate) video: Source,
    pub(crate) audio: Source,
    /// How long packets take at least.
    pub(crate) delay: i64,
    /// By how much more, at most.
    pub(crate) jitter: i64,
}

impl Scene {
    pub(crate) fn new(ppm: i64, options: TimelineOptions) -> Self {
        let host = Host::new();
        let mut timeline = Timeline::with_options(host.now(0), 0xfeed, options);
        let mut dice = Dice(ppm as u64);
        let video = Source::add(&mut timeline, 90_000, &mut dice);
        let audio = Source::add(&mut timeline, 8_000, &mut dice);
        let crystal = Crystal::new(&host, ppm);
        Self { host, timeline, crystal, dice, video, audio, delay: 20 * MS, jitter: 30 * MS }
    }

    /// The arrival of what is sent at `sent`.
    pub(crate) fn arrival(&mut self, sent: i64) -> i64 {
        sent + self.delay + self.dice.below(self.jitter + 1)
    }

    pub(crate) fn source(&self, is_video: bool) -> Source {
        if is_video { self.video.clone() } else { self.audio.clone() }
    }

    /// A packet captured at `captured`, so much later than the network alone makes it.
    pub(crate) fn packet(&mut self, is_video: bool, captured: i64, late: i64) -> (i64, RtpTime) {
        let arrival = self.arrival(captured) + late;
        let now = self.host.now(arrival);
        let source = self.source(is_video);
        (arrival, source.packet(&mut self.timeline, now, &self.crystal, captured))
    }

    pub(crate) fn report(&mut self, is_video: bool, sent: i64) -> Verdict {
        let arrival = self.arrival(sent);
        let now = self.host.now(arrival);
        let source = self.source(is_video);
        source.report(&mut self.timeline, now, &self.crystal, sent)
    }

    /// The instant that the track's picture or sound of `captured` is shown at, less `captured`.
    pub(crate) fn error(&self, is_video: bool, now: i64, captured: i64, outgoing: RtpTime) -> i64 {
        let index = if is_video { self.video.index } else { self.audio.index };
        let shown = self.timeline.presentation(self.host.now(now), index, outgoing);
        self.host.nanos(shown) - captured
    }
}
