//! What comes next, given where we stand and what is wanted.

use std::time::Instant;

use super::BackendClient;
use crate::backoff::Retry;
use crate::exchange::Purpose;
use crate::keepalive::DEFAULT_TIMEOUT;
use crate::session::Session;
use crate::state::{Doing, Rest, State, Step};
use crate::{Demand, IdlePolicy, Quirk};

impl BackendClient {
    /// Begins what is to be done next, unless something is under way already. Every input, and
    /// every deadline, ends here.
    pub(super) fn advance(&mut self, now: Instant) {
        if !self.exchanges.is_idle() {
            return;
        }
        let due = self.keepalive.at() <= now;
        match &self.state {
            State::Describing if self.is_open() => self.send_first(now),
            State::Described(description) => {
                let wanted = self.demand > Demand::Idle && self.wants_any(description);
                if !self.is_open() {
                    if wanted || (due && !self.is_retired()) {
                        self.describe_again(now);
                    }
                } else if wanted {
                    let session = Session::new(description.clone(), DEFAULT_TIMEOUT);
                    self.state = State::SettingUp(Box::new(session), Step::FIRST);
                    self.set_up_next(now);
                } else if self.is_retired() {
                    self.hang_up();
                } else if due {
                    self.send_keepalive(now);
                }
            }
            State::SettingUp(_, step) => {
                if self.demand == Demand::Idle {
                    self.forsake(now);
                } else if step.doing == Doing::Turn {
                    self.set_up_next(now);
                }
            }
            State::Ready(session, _) => {
                if self.is_retired() {
                    self.forsake(now);
                } else if self.demand > Demand::Idle && self.wants_more(session) {
                    self.set_up_more(now);
                } else if self.demand == Demand::Playing {
                    self.play(now);
                } else if due {
                    self.send_keepalive(now);
                }
            }
            State::Playing(session, _) => {
                if self.demand < Demand::Playing {
                    if self.lingers_until(now).is_none() {
                        self.pause(now);
                    } else if due {
                        self.send_keepalive(now);
                    }
                } else if self.wants_more(session) {
                    self.set_up_more(now);
                } else if due {
                    self.send_keepalive(now);
                }
            }
            State::Adding(_, _, step) if step.doing == Doing::Turn => {
                if self.demand < Demand::Playing {
                    self.stop_adding();
                    self.advance(now);
                } else {
                    self.set_up_next(now);
                }
            }
            _ => {}
        }
    }

    /// Whether nobody needs the connection, and it is not to be kept for its own sake.
    pub(super) fn is_retired(&self) -> bool {
        self.demand == Demand::Idle && self.options.idle == IdlePolicy::Close
    }

    /// Until when media goes on though nobody wants it.
    pub(super) fn lingers_until(&self, now: Instant) -> Option<Instant> {
        self.lingers.filter(|until| *until > now)
    }

    /// The connection of a described, idle backend is gone: once it is needed again, it begins
    /// with a description, which may have changed.
    pub(super) fn describe_again(&mut self, now: Instant) {
        let earliest = self.backoff.earliest(&self.options);
        self.hang_up();
        if earliest <= now {
            self.begin_attempt(now);
        } else {
            self.state =
                State::Waiting(Retry { at: earliest, not_before: earliest, unreached: false });
        }
    }

    fn play(&mut self, now: Instant) {
        let resumed = matches!(self.state, State::Ready(_, Rest::Paused { .. }));
        let Some(mut session) = self.state.take_session() else { return };
        session.last_packet = None;
        session.last_counted = None;
        for track in &mut session.tracks {
            track.ended = false;
            track.last_packet = None;
        }
        self.state = State::Starting(session);
        self.open_nat();
        self.send_play(now, !resumed);
    }

    fn pause(&mut self, now: Instant) {
        if self.is_retired() {
            self.end_instead_of_pause(now);
        } else if self.pause.is_usable() {
            let Some(session) = self.state.take_session() else { return };
            self.state = State::Pausing(session);
            self.send_aggregate(now, Purpose::Pause);
        } else {
            self.tolerate(Quirk::NoPause, || "PAUSE cannot be used".to_owned());
            self.end_instead_of_pause(now);
        }
    }
}
