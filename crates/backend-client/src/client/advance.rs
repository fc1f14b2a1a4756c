//! What comes next, given where we stand and what is wanted.

use std::time::Instant;

use super::BackendClient;
use crate::backoff::Retry;
use crate::exchange::Purpose;
use crate::keepalive::DEFAULT_TIMEOUT;
use crate::session::Session;
use crate::state::{Doing, State, Step};
use crate::{Demand, Quirk};

impl BackendClient {
    /// Begins what is to be done next, unless something is under way already. Every input, and
    /// every deadline, ends here.
    pub(super) fn advance(&mut self, now: Instant) {
        if !self.exchanges.is_idle() {
            return;
        }
        let due = self.keepalive.at() <= now;
        match &self.state {
            State::Describing if self.is_open() => self.send_describe(now),
            State::Described(description) => {
                let wanted = self.demand > Demand::Idle;
                if !self.is_open() {
                    if due || wanted {
                        self.describe_again(now);
                    }
                } else if wanted {
                    let session = Session::new(description.clone(), DEFAULT_TIMEOUT);
                    self.state = State::SettingUp(Box::new(session), Step::FIRST);
                    self.set_up_next(now);
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
            State::Ready(..) => {
                if self.demand == Demand::Playing {
                    self.play(now);
                } else if due {
                    self.send_keepalive(now);
                }
            }
            State::Playing(..) => {
                if self.demand < Demand::Playing {
                    self.pause(now);
                } else if due {
                    self.send_keepalive(now);
                }
            }
            _ => {}
        }
    }

    /// The connection of a described, idle backend is gone: once it is needed again, it begins
    /// with a description, which may have changed.
    pub(super) fn describe_again(&mut self, now: Instant) {
        let earliest = self.backoff.earliest(&self.options);
        self.hang_up();
        if earliest <= now {
            self.begin_attempt(now);
        } else {
            self.state = State::Waiting(Retry { at: earliest, not_before: earliest });
        }
    }

    fn play(&mut self, now: Instant) {
        let Some(mut session) = self.state.take_session() else { return };
        session.last_packet = None;
        session.last_counted = None;
        for track in &mut session.tracks {
            track.ended = false;
        }
        self.state = State::Starting(session);
        self.open_nat();
        self.send_aggregate(now, Purpose::Play);
    }

    fn pause(&mut self, now: Instant) {
        if self.pause.is_usable() {
            let Some(session) = self.state.take_session() else { return };
            self.state = State::Pausing(session);
            self.send_aggregate(now, Purpose::Pause);
        } else {
            self.tolerate(Quirk::NoPause, || "PAUSE cannot be used".to_owned());
            self.end_instead_of_pause(now);
        }
    }
}
