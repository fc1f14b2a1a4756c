use std::time::{Duration, Instant};

use crate::rng::Rng;
use crate::{LostReason, Options};

/// When the next attempt comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// By itself.
    pub(crate) at: Instant,
    /// Not before, even if a reader asks.
    pub(crate) not_before: Instant,
}

/// How long to leave the backend alone.
///
/// The wait doubles with each failure and starts over only when media came, or when the backend
/// answered for as long as the longest wait: one that can be described but not played must not be
/// hammered. Rejected credentials have a rule of their own, because cameras lock accounts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    /// When the latest attempt began.
    attempt_at: Instant,
    failures: u32,
    /// How often in a row our credentials were rejected.
    rejections: u32,
    /// Set with the second rejection.
    locked_until: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(now: Instant) -> Self {
        Self { attempt_at: now, failures: 0, rejections: 0, locked_until: None }
    }

    pub(crate) fn begin(&mut self, now: Instant) {
        self.attempt_at = now;
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Media came.
    pub(crate) fn on_media(&mut self) {
        self.failures = 0;
    }

    /// A keep-alive was answered.
    pub(crate) fn on_answered(&mut self, now: Instant, options: &Options) {
        if now.saturating_duration_since(self.attempt_at) >= options.retry_max {
            self.failures = 0;
        }
    }

    /// A request that carried our credentials was granted.
    pub(crate) fn on_accepted(&mut self) {
        self.rejections = 0;
        self.locked_until = None;
    }

    /// A request that carried our credentials was answered 401.
    pub(crate) fn on_rejected(&mut self, now: Instant, options: &Options) {
        self.rejections = self.rejections.saturating_add(1);
        if self.rejections >= REJECTIONS {
            self.locked_until = Some(now + options.retry_unauthorized);
        }
    }

    /// Until when our credentials are kept to ourselves.
    pub(crate) fn locked_until(&self) -> Option<Instant> {
        self.locked_until
    }

    /// The earliest instant of another attempt.
    pub(crate) fn earliest(&self, options: &Options) -> Instant {
        let floor = self.attempt_at + floor(options);
        self.locked_until.map_or(floor, |locked| locked.max(floor))
    }

    /// An attempt, or a session, failed.
    pub(crate) fn on_failure(
        &mut self,
        now: Instant,
        reason: &LostReason,
        retry_after: Option<Duration>,
        options: &Options,
        rng: &mut Rng,
    ) -> Retry {
        let least = floor(options);
        let ceiling = options.retry_max.max(least);
        let doubled = least.checked_mul(1 << self.failures.min(20)).unwrap_or(ceiling).min(ceiling);
        self.failures = self.failures.saturating_add(1);
        // Up to a quarter less, so that streams that failed together come apart.
        let wait = doubled.mul_f64(1.0 - rng.unit() / 4.0).max(least);
        let wait = retry_after.map_or(wait, |asked| wait.max(asked.min(ceiling)));
        let not_before = self.earliest(options).max(now);
        let locked = matches!(reason, LostReason::CredentialsRejected)
            .then_some(self.locked_until)
            .flatten();
        Retry { at: locked.unwrap_or(now + wait).max(not_before), not_before }
    }
}

/// The least time between the beginnings of two attempts.
fn floor(options: &Options) -> Duration {
    options.retry_min.max(LEAST_RETRY)
}

/// Rejections in a row after which our credentials are kept back.
const REJECTIONS: u32 = 2;
/// What a shorter `retry_min` is taken for.
const LEAST_RETRY: Duration = Duration::from_millis(10);
