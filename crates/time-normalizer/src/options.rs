//! What can be chosen of a timeline, and what it has counted.

use std::time::Duration;

use crate::LieCounts;

/// Whose time of day the reports to readers carry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum NtpSource {
    /// Ours: cameras' clocks are often wrong, and those of two cameras never agree.
    #[default]
    Proxy,
    /// The backend's from its first report that tells a time of day on, ours until then.
    Backend,
}

/// What can be chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TimelineOptions {
    /// How far timestamps may depart from what is expected; up to a quarter of their range.
    pub max_ts_step: Duration,
    /// Whose time of day reports carry.
    pub ntp: NtpSource,
}

impl Default for TimelineOptions {
    fn default() -> Self {
        Self { max_ts_step: MAX_TIMESTAMP_STEP, ntp: NtpSource::Proxy }
    }
}

/// What has been counted since the timeline began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TimelineStats {
    /// How often a track's constant changed within a session, or its expectation gave way.
    pub refits: u64,
    /// How often a track's constant changed with a session.
    pub sessions: u64,
    /// How often the host's clock was set.
    pub host_steps: u64,
    /// How often the backend's clock was set.
    pub backend_steps: u64,
    /// Reports that were looked at.
    pub reports: u64,
    /// Reports that were wrong.
    pub lies: LieCounts,
    /// Events that were not kept because nobody took them.
    pub events_dropped: u64,
    /// How fast the sources' clock gains on ours, in parts per billion.
    pub drift_ppb: i64,
}

/// By default, a timestamp that departs further from what arrivals let expect is a step of the
/// source's clock, not jitter.
pub const MAX_TIMESTAMP_STEP: Duration = Duration::from_secs(1);
