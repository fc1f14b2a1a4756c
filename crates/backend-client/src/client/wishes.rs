//! What whoever owns the client wants of it.

use rtp_rtcp::Now;

use super::{BackendClient, FAREWELL, Link};
use crate::Demand;
use crate::state::{After, Play, Rest, State};

impl BackendClient {
    /// What those who read the stream want from now on.
    pub fn set_demand(&mut self, now: Now, demand: Demand) {
        self.latest = now.mono;
        if self.shut_down {
            return;
        }
        if demand == Demand::Playing {
            self.lingers = None;
        } else if self.demand == Demand::Playing {
            // PLAY that is under way is for nobody already.
            let flows = self.state.playing().is_some() && !self.options.linger.is_zero();
            self.lingers = flows.then(|| now.mono + self.options.linger);
        }
        self.demand = demand;
        if demand < Demand::Playing
            && matches!(self.state, State::Starting(_))
            && self.recall_play()
        {
            self.exchanges.abandon();
            if let Some(session) = self.state.take_session() {
                // One that has grown plays already.
                self.state = match session.grown {
                    true => State::Playing(session, Play { since: now.mono, prove_by: None }),
                    false => State::Ready(session, Rest::Fresh),
                };
            }
        }
        self.advance(now.mono);
    }

    /// Whether readers wait for a backend that was lost. Then one that is not there is looked for
    /// every [`crate::Options::retry_held`]; waits after answers are as ever.
    pub fn set_held(&mut self, now: Now, held: bool) {
        self.latest = now.mono;
        if self.shut_down {
            return;
        }
        self.held = held;
        if !held {
            return;
        }
        let soon = self.backoff.earliest_held(&self.options).max(now.mono);
        let patience = self.patience();
        if let State::Waiting(retry) = &mut self.state
            && retry.unreached
        {
            retry.at = retry.at.min(soon);
        }
        if let Link::Opening { until, since } = &mut self.link {
            *until = (*until).min(*since + patience);
        }
    }

    /// Ends the session and begins anew with the first source, if another is used.
    pub fn return_to_first(&mut self, now: Now) {
        self.latest = now.mono;
        if self.backoff.source() == 0 || self.shut_down {
            return;
        }
        self.backoff.return_to_first();
        match &mut self.state {
            State::Finished => {}
            State::Waiting(retry) => {
                *retry = self.backoff.at_once(now.mono, &self.options);
            }
            State::Leaving(after) => {
                *after = After::Wait(self.backoff.at_once(now.mono, &self.options));
            }
            _ => {
                let retry = self.backoff.at_once(now.mono, &self.options);
                self.depart(now.mono, After::Wait(retry), FAREWELL);
            }
        }
    }

    /// Which source is used or tried, from 0: [`crate::Options::url`], then the alternates.
    pub fn source(&self) -> usize {
        self.backoff.source()
    }

    /// A reader asks for the stream: if an attempt is due later, it is made at once, but not
    /// sooner than the least wait after the one before, nor while rejected credentials are kept
    /// back.
    pub fn retry_now(&mut self, now: Now) {
        self.latest = now.mono;
        if let State::Waiting(retry) = &mut self.state {
            retry.at = retry.at.min(retry.not_before.max(now.mono));
            if retry.at <= now.mono {
                self.begin_attempt(now.mono);
            }
        }
    }

    /// Ends the session, if there is one, and the connection. Nothing follows but what is still to
    /// be carried out; within a second [`Self::is_finished`] says so.
    pub fn shutdown(&mut self, now: Now) {
        self.latest = now.mono;
        self.shut_down = true;
        self.demand = Demand::Idle;
        let now = now.mono;
        match &mut self.state {
            State::Finished => {}
            State::Leaving(after) => {
                *after = After::Finish;
                self.exchanges.hurry(now + FAREWELL);
            }
            _ => self.depart(now, After::Finish, FAREWELL),
        }
    }
}
