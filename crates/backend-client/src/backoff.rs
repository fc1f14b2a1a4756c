use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::Options;
use crate::exchange::Purpose;
use crate::rng::Rng;

/// When the next attempt comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// By itself.
    pub(crate) at: Instant,
    /// Not before, even if a reader asks.
    pub(crate) not_before: Instant,
    /// The last attempt found nobody; while readers are held, the next comes soon.
    pub(crate) unreached: bool,
}

/// How an attempt or a session ended, as far as it decides the wait.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failure {
    /// Our credentials were rejected.
    pub(crate) rejected: bool,
    /// Nobody was there: no connection, or one that was closed before it said anything.
    pub(crate) unreached: bool,
    /// Readers are held.
    pub(crate) held: bool,
    /// How long the backend asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// How long to leave the backend alone.
///
/// The wait doubles with each failure and starts over only when media came, or when the backend
/// answered for as long as the longest wait: one that can be described but not played must not be
/// hammered. While readers are held, one that is not there is looked for at short intervals, and
/// that counts as no failure. Where a stream has several sources, the wait comes after the last of
/// them. Rejected credentials have a rule of their own, because cameras lock accounts.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    /// When a connection was asked for last.
    attempt_at: Instant,
    failures: u32,
    /// Which source is tried.
    source: usize,
    /// How many of them failed since the wait, or since media.
    failed: usize,
    /// Media came since the attempt began.
    media: bool,
    /// What each source thinks of our credentials; never empty.
    locks: SmallVec<[Lock; 1]>,
}

/// Whether credentials are kept back.
#[derive(Clone, Copy, Debug, Default)]
struct Lock {
    /// How often in a row they were rejected.
    rejections: u32,
    /// What was rejected last.
    rejected: Option<Purpose>,
    /// Set with the second rejection.
    until: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(now: Instant, sources: usize) -> Self {
        let locks = SmallVec::from_elem(Lock::default(), sources.max(1));
        Self { attempt_at: now, failures: 0, source: 0, failed: 0, media: false, locks }
    }

    /// A connection is asked for.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.attempt_at = now;
        self.media = false;
    }

    /// The first attempt, at a random point of `spread`.
    pub(crate) fn start(&self, now: Instant, spread: Duration, rng: &mut Rng) -> Retry {
        Retry { at: now + spread.mul_f64(rng.unit()), not_before: now, unreached: false }
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Which source the attempt is for, from 0.
    pub(crate) fn source(&self) -> usize {
        self.source
    }

    /// The next attempt is for the first source.
    pub(crate) fn return_to_first(&mut self) {
        self.source = 0;
        self.failed = 0;
    }

    /// The next attempt comes as soon as it may.
    pub(crate) fn at_once(&self, now: Instant, options: &Options) -> Retry {
        let at = self.earliest(options).max(now);
        Retry { at, not_before: at, unreached: false }
    }

    /// Media came.
    pub(crate) fn on_media(&mut self) {
        self.failures = 0;
        self.failed = 0;
        self.media = true;
    }

    /// A keep-alive was answered.
    pub(crate) fn on_answered(&mut self, now: Instant, options: &Options) {
        if now.saturating_duration_since(self.attempt_at) >= options.retry_max {
            self.failures = 0;
            self.failed = 0;
        }
    }

    /// A request that carried our credentials was granted.
    pub(crate) fn on_accepted(&mut self, granted: Purpose) {
        if let Some(lock) = self.locks.get_mut(self.source)
            && lock.rejected.is_none_or(|rejected| outweighs(granted, rejected))
        {
            *lock = Lock::default();
        }
    }

    /// A request that carried our credentials was answered 401.
    pub(crate) fn on_rejected(&mut self, now: Instant, rejected: Purpose, options: &Options) {
        if let Some(lock) = self.locks.get_mut(self.source) {
            lock.rejected = Some(rejected);
            lock.rejections = lock.rejections.saturating_add(1);
            if lock.rejections >= REJECTIONS {
                lock.until = Some(now + options.retry_unauthorized);
            }
        }
    }

    /// Credentials are kept back until then, as others had them rejected.
    pub(crate) fn lock(&mut self, until: Instant) {
        if let Some(lock) = self.locks.get_mut(self.source) {
            lock.rejections = lock.rejections.max(REJECTIONS);
            lock.until = Some(until);
        }
    }

    /// Until when our credentials are kept from the source.
    pub(crate) fn locked_until(&self) -> Option<Instant> {
        self.locks.get(self.source).and_then(|lock| lock.until)
    }

    /// The earliest instant of another attempt.
    pub(crate) fn earliest(&self, options: &Options) -> Instant {
        let floor = self.attempt_at + floor(options);
        self.locked_until().map_or(floor, |locked| locked.max(floor))
    }

    /// The earliest instant of another attempt at a source that may not be there.
    pub(crate) fn earliest_held(&self, options: &Options) -> Instant {
        self.earliest(options).max(self.attempt_at + options.retry_held)
    }

    /// An attempt, or a session, failed.
    pub(crate) fn on_failure(
        &mut self,
        now: Instant,
        failure: Failure,
        options: &Options,
        rng: &mut Rng,
    ) -> Retry {
        let unreached = failure.unreached;
        let locked = self.locked_until().filter(|_| failure.rejected);
        self.failed += 1;
        if std::mem::take(&mut self.media) {
            // It was well: it may be again, and so may one that is liked better.
            self.return_to_first();
        } else if self.locks.len() > 1 {
            self.pass_on(now);
            if self.failed < self.locks.len() {
                let not_before = self.earliest(options).max(now);
                return Retry { at: not_before, not_before, unreached };
            }
            self.failed = 0;
        }
        let not_before = self.earliest(options).max(now);
        if failure.held && unreached {
            let at = self.earliest_held(options).max(now);
            return Retry { at, not_before, unreached };
        }
        let least = floor(options);
        let ceiling = options.retry_max.max(least);
        let doubled = least.checked_mul(1 << self.failures.min(20)).unwrap_or(ceiling).min(ceiling);
        self.failures = self.failures.saturating_add(1);
        // Up to a quarter less, so that streams that failed together come apart.
        let wait = doubled.mul_f64(1.0 - rng.unit() / 4.0).max(least);
        let wait = failure.retry_after.map_or(wait, |asked| wait.max(asked.min(ceiling)));
        let at = match locked {
            Some(locked) if self.locks.len() == 1 => locked,
            _ => now + wait,
        };
        Retry { at: at.max(not_before), not_before, unreached }
    }

    /// On to the next source; those that rejected our credentials are passed over while there are
    /// others.
    fn pass_on(&mut self, now: Instant) {
        let count = self.locks.len();
        let free = |place: &usize| {
            self.locks.get(*place).is_some_and(|lock| lock.until.is_none_or(|until| until <= now))
        };
        let mut others = (1..=count).map(|step| (self.source + step) % count);
        self.source = others.find(free).unwrap_or((self.source + 1) % count);
    }
}

/// Whether credentials that were rejected may be shown again because something else was granted.
/// Backends check some requests and not others: most let everybody end a session that is named.
fn outweighs(granted: Purpose, rejected: Purpose) -> bool {
    match (rejected, granted) {
        (_, Purpose::Teardown | Purpose::Orphan) => false,
        (Purpose::Play, granted) => granted == Purpose::Play,
        (Purpose::Setup, granted) => matches!(granted, Purpose::Setup | Purpose::Play),
        _ => true,
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

    const CLOSED: Failure =
        Failure { rejected: false, unreached: false, held: false, retry_after: None };

    #[test]
    fn waits_double_up_to_the_ceiling_and_lose_a_quarter_at_most() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now, 1);
        for full in [1, 2, 4, 8, 16, 30, 30, 30, 30] {
            let full = Duration::from_secs(full);
            let wait = backoff.on_failure(now, CLOSED, &options, &mut rng).at - now;
            assert!(wait <= full && wait >= (full * 3 / 4).max(Duration::from_secs(1)), "{wait:?}");
        }
        backoff.on_media();
        let wait = backoff.on_failure(now, CLOSED, &options, &mut rng).at - now;
        assert_eq!(wait, Duration::from_secs(1));
    }

    #[test]
    fn a_count_of_failures_that_never_ends_does_not_overflow() {
        let (now, mut options, mut rng) = (origin(), options(), Rng::new(7));
        options.retry_min = Duration::from_secs(1_000_000);
        options.retry_max = Duration::from_secs(2_000_000);
        let mut backoff = Backoff::new(now, 1);
        backoff.failures = u32::MAX;
        let retry = backoff.on_failure(now, CLOSED, &options, &mut rng);
        assert!(retry.at - now <= options.retry_max);
    }

    #[test]
    fn a_reader_may_come_as_soon_as_the_floor_after_the_latest_attempt_has_passed() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now, 1);
        let later = now + Duration::from_millis(300);
        let retry = backoff.on_failure(later, CLOSED, &options, &mut rng);
        assert_eq!(retry.not_before, now + Duration::from_secs(1));
        let much_later = now + Duration::from_secs(300);
        let retry = backoff.on_failure(much_later, CLOSED, &options, &mut rng);
        assert_eq!(retry.not_before, much_later);
    }

    #[test]
    fn the_second_rejection_in_a_row_locks_and_success_unlocks() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now, 1);
        let rejected = Failure { rejected: true, ..CLOSED };
        backoff.on_rejected(now, Purpose::Describe, &options);
        let first = backoff.on_failure(now, rejected, &options, &mut rng);
        assert_eq!(first.at, now + Duration::from_secs(1));
        backoff.on_rejected(now, Purpose::Describe, &options);
        let second = backoff.on_failure(now, rejected, &options, &mut rng);
        assert_eq!((second.at, second.not_before), (now + Duration::from_secs(300), second.at));
        backoff.on_accepted(Purpose::Describe);
        assert_eq!(backoff.earliest(&options), now + Duration::from_secs(1));
    }

    #[test]
    fn while_readers_are_held_a_backend_that_is_not_there_is_looked_for_every_second() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now, 1);
        let gone = Failure { unreached: true, held: true, ..CLOSED };
        for _ in 0..100 {
            let retry = backoff.on_failure(now, gone, &options, &mut rng);
            assert_eq!(retry.at, now + Duration::from_secs(1));
        }
        assert_eq!(backoff.failures(), 0);
        let wait = |backoff: &mut Backoff, failure| {
            backoff.on_failure(now, failure, &options, &mut Rng::new(7)).at - now
        };
        // An answer that is none to be glad of is another matter.
        for _ in 0..3 {
            let _ = wait(&mut backoff, Failure { held: true, ..CLOSED });
        }
        assert!(wait(&mut backoff, Failure { held: true, ..CLOSED }) > Duration::from_secs(4));
    }

    #[test]
    fn every_source_is_tried_once_before_the_wait_and_the_first_again_after_media() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now, 3);
        let mut tried = Vec::new();
        for _ in 0..7 {
            tried.push(backoff.source());
            let at = now + Duration::from_secs(100);
            backoff.begin(at);
            let wait = backoff.on_failure(at, CLOSED, &options, &mut rng).at - at;
            if tried.len() < 3 {
                assert_eq!(wait, Duration::from_secs(1));
            }
        }
        assert_eq!(tried, [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(backoff.failures(), 2);
        assert_eq!(backoff.source(), 1);
        backoff.begin(now);
        backoff.on_media();
        let _ = backoff.on_failure(now, CLOSED, &options, &mut rng);
        assert_eq!(backoff.source(), 0);
    }

    #[test]
    fn a_source_that_rejected_our_credentials_is_passed_over_while_there_are_others() {
        let (now, options, mut rng) = (origin(), options(), Rng::new(7));
        let mut backoff = Backoff::new(now, 2);
        let rejected = Failure { rejected: true, ..CLOSED };
        backoff.on_rejected(now, Purpose::Describe, &options);
        backoff.on_rejected(now, Purpose::Describe, &options);
        let _ = backoff.on_failure(now, rejected, &options, &mut rng);
        for _ in 0..10 {
            assert_eq!((backoff.source(), backoff.locked_until()), (1, None));
            let _ = backoff.on_failure(now, CLOSED, &options, &mut rng);
        }
        let later = now + Duration::from_secs(301);
        let _ = backoff.on_failure(later, CLOSED, &options, &mut rng);
        assert_eq!(backoff.source(), 0);
    }
}
