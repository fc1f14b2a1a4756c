use std::time::{Duration, Instant};

use rtsp_proto::Method;

use crate::KeepAliveMethod;
use crate::rng::Rng;

/// When the backend hears from us next, and how.
#[derive(Clone, Debug)]
pub(crate) struct KeepAlive {
    method: KeepAliveMethod,
    at: Instant,
    /// Refusals in a row, by different methods.
    refusals: u8,
    /// Those in a row that were not answered.
    unanswered: u8,
}

impl KeepAlive {
    pub(crate) fn new(now: Instant, method: KeepAliveMethod) -> Self {
        Self { method, at: now + DEFAULT_TIMEOUT, refusals: 0, unanswered: 0 }
    }

    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    pub(crate) fn method(&self) -> Method {
        match self.method {
            KeepAliveMethod::Options => Method::Options,
            KeepAliveMethod::GetParameter => Method::GetParameter,
            KeepAliveMethod::SetParameter => Method::SetParameter,
        }
    }

    /// Arms it for a session that the backend drops after `timeout` of silence: at a random point
    /// of [0.4, 0.5) of that time, so that one lost request does not cost the session.
    pub(crate) fn arm(&mut self, now: Instant, timeout: Duration, rng: &mut Rng) {
        self.at = now + interval(timeout, rng);
    }

    /// Puts it off to `at`.
    pub(crate) fn postpone(&mut self, at: Instant) {
        self.at = self.at.max(at);
    }

    /// It was granted.
    pub(crate) fn on_granted(&mut self) {
        self.refusals = 0;
    }

    /// The backend said something.
    pub(crate) fn on_heard(&mut self) {
        self.unanswered = 0;
    }

    /// It was not answered. False once no method was, in a row.
    pub(crate) fn on_unanswered(&mut self) -> bool {
        self.unanswered = self.unanswered.saturating_add(1);
        self.unanswered < METHODS
    }

    /// It was refused or not answered: the next method is used from now on. False once every
    /// method was refused in a row: then the next one waits its turn.
    pub(crate) fn next_method(&mut self) -> bool {
        self.method = match self.method {
            KeepAliveMethod::Options => KeepAliveMethod::GetParameter,
            KeepAliveMethod::GetParameter => KeepAliveMethod::SetParameter,
            KeepAliveMethod::SetParameter => KeepAliveMethod::Options,
        };
        self.refusals = self.refusals.saturating_add(1);
        self.refusals < METHODS
    }

    /// Sends it as soon as nothing else is under way.
    pub(crate) fn hasten(&mut self, now: Instant) {
        self.at = now;
    }
}

fn interval(timeout: Duration, rng: &mut Rng) -> Duration {
    timeout.mul_f64(0.4 + rng.unit() / 10.0).max(LEAST_INTERVAL)
}

/// What a session lasts when the backend does not say (RFC 2326 section 12.37).
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);
/// Short timeouts do not make us a nuisance.
const LEAST_INTERVAL: Duration = Duration::from_millis(500);
/// How many methods there are to try.
const METHODS: u8 = 3;
