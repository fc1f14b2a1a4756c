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
    /// When a connection was asked for last.
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

    /// A connection is asked for.
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

#[cfg(test)]
mod tests {
    use super::*;
    use rtsp_proto::url::RtspUrl;

    fn origin() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "virtual time needs an origin")]
        Instant::now()
    }

    fn options() -> Options {
        Options::new(RtspUrl::parse("rtsp://cam/").unwrap())
    }

    const CLOSED: LostReason = LostReason::Closed { why: None };

    #[test]
    fn waits_double_up_to_the_ceiling_and_lose_a_quarter_at_most() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now);
        for full in [1, 2, 4, 8, 16, 30, 30, 30, 30] {
            let full = Duration::from_secs(full);
            let wait = backoff.on_failure(now, &CLOSED, None, &options, &mut rng).at - now;
            assert!(wait <= full && wait >= (full * 3 / 4).max(Duration::from_secs(1)), "{wait:?}");
        }
        backoff.on_media();
        let wait = backoff.on_failure(now, &CLOSED, None, &options, &mut rng).at - now;
        assert_eq!(wait, Duration::from_secs(1));
    }

    #[test]
    fn a_count_of_failures_that_never_ends_does_not_overflow() {
        let (now, mut options, mut rng) = (origin(), options(), Rng::new(7));
        options.retry_min = Duration::from_secs(1_000_000);
        options.retry_max = Duration::from_secs(2_000_000);
        let mut backoff = Backoff::new(now);
        backoff.failures = u32::MAX;
        let retry = backoff.on_failure(now, &CLOSED, None, &options, &mut rng);
        assert!(retry.at - now <= options.retry_max);
    }

    #[test]
    fn a_reader_may_come_as_soon_as_the_floor_after_the_latest_attempt_has_passed() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now);
        let later = now + Duration::from_millis(300);
        let retry = backoff.on_failure(later, &CLOSED, None, &options, &mut rng);
        assert_eq!(retry.not_before, now + Duration::from_secs(1));
        let much_later = now + Duration::from_secs(300);
        let retry = backoff.on_failure(much_later, &CLOSED, None, &options, &mut rng);
        assert_eq!(retry.not_before, much_later);
    }

    #[test]
    fn the_second_rejection_in_a_row_locks_and_success_unlocks() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now);
        let rejected = LostReason::CredentialsRejected;
        backoff.on_rejected(now, &options);
        let first = backoff.on_failure(now, &rejected, None, &options, &mut rng);
        assert_eq!(first.at, now + Duration::from_secs(1));
        backoff.on_rejected(now, &options);
        let second = backoff.on_failure(now, &rejected, None, &options, &mut rng);
        assert_eq!((second.at, second.not_before), (now + Duration::from_secs(300), second.at));
        backoff.on_accepted();
        assert_eq!(backoff.earliest(&options), now + Duration::from_secs(1));
    }
}
