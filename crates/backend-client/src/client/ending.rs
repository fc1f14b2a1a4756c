//! How sessions and attempts end, and what comes after.

use std::time::{Duration, Instant};

use rtsp_proto::transport::Lower;
use rtsp_proto::url::RtspUrl;
use rtsp_proto::{Frame, StatusCode};

use super::{BackendClient, FAREWELL, Link, is_tls};
use crate::backoff::Failure;
use crate::exchange::Purpose;
use crate::keepalive::DEFAULT_TIMEOUT;
use crate::session::Orphan;
use crate::state::{After, State};
use crate::{Demand, Event, LostReason, Output, Quirk};

impl BackendClient {
    /// Gives the attempt or the session up, and waits for the next.
    pub(super) fn lose(&mut self, now: Instant, reason: LostReason) {
        self.lose_until(now, reason, None);
    }

    /// The same, but leaves the backend alone for as long as it asks, within our own ceiling.
    pub(super) fn lose_until(
        &mut self,
        now: Instant,
        reason: LostReason,
        retry_after: Option<Duration>,
    ) {
        if matches!(self.state, State::Finished | State::Waiting(_)) {
            return;
        }
        if matches!(self.state, State::Leaving(_)) {
            // Given up already: only the goodbye is cut short.
            self.left(now, false);
            return;
        }
        let had_session = self.state.session().is_some_and(|session| session.is_begun());
        self.judge_keepalive(now, &reason);
        let failure = Failure {
            rejected: reason == LostReason::CredentialsRejected,
            unreached: matches!(reason, LostReason::NoConnection { .. }) || self.unheard,
            held: self.held,
            retry_after,
        };
        let before = self.backoff.source();
        let retry = self.backoff.on_failure(now, failure, &self.options, &mut self.rng);
        let retry_in = retry.at.saturating_duration_since(now);
        self.depart(now, After::Wait(retry), FAREWELL);
        self.event(Event::Lost { reason, retry_in, had_session });
        let next = self.backoff.source();
        if next != before {
            let (url, _) = self.options.source(next);
            self.event(Event::Warning(format!("source {} is tried next: {url}", next + 1)));
        }
    }

    /// The connection can be read no more. It can still be written to: TEARDOWN is sent without
    /// waiting for the answer.
    pub(super) fn lose_unreadable(&mut self, now: Instant, why: String) {
        self.lose(now, LostReason::Protocol { why });
        if matches!(self.state, State::Leaving(_)) {
            self.left(now, false);
        }
    }

    /// A request was refused for good.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        purpose: Purpose,
        status: StatusCode,
        retry_after: Option<Duration>,
    ) {
        let what = purpose.as_str();
        self.event(Event::Refused { status, what });
        self.lose_until(now, LostReason::Refused { what, status }, retry_after);
    }

    /// Ends the session because nobody wants it; the connection stays.
    pub(super) fn forsake(&mut self, now: Instant) {
        let Some(session) = self.state.session() else { return };
        let after = After::SetUpAgain(session.description.clone());
        self.depart(now, after, self.options.request_timeout);
    }

    /// Asks for media over TCP from now on, and says so.
    pub(super) fn fall_back(&mut self, now: Instant, why: &str) {
        self.lower = Lower::Tcp;
        self.event(Event::Warning(format!("{why}: media is asked for over TCP from now on")));
        self.forsake(now);
    }

    /// Ends the session, with a TEARDOWN if there is one and it can be sent. What is under way is
    /// given up.
    pub(super) fn depart(&mut self, now: Instant, after: After, patience: Duration) {
        self.exchanges.abandon();
        let begun = self.state.session().is_some_and(|session| session.is_begun());
        self.remember_orphan(now);
        if begun && self.is_open() {
            self.say_goodbye();
            self.send_aggregate(now, Purpose::Teardown);
            self.exchanges.hurry(now + patience);
            self.close_udp();
            self.state = State::Leaving(after);
        } else {
            self.close_udp();
            self.state = State::Leaving(after);
            self.left(now, true);
        }
    }

    /// TEARDOWN was answered, was not worth sending, or (`heard` is false) will not be answered.
    pub(super) fn left(&mut self, now: Instant, heard: bool) {
        let State::Leaving(after) = std::mem::replace(&mut self.state, State::Finished) else {
            return;
        };
        if heard && self.is_open() {
            self.orphan = None;
        }
        self.exchanges.abandon();
        match after {
            After::Wait(retry) => {
                self.hang_up();
                self.state = State::Waiting(retry);
            }
            After::Describe => {
                self.hang_up();
                self.connect(now);
            }
            After::SetUpAgain(description) => {
                if !heard {
                    self.hang_up();
                }
                if let Link::Open(link) = &mut self.link {
                    link.used = true;
                }
                self.rest(now, description);
            }
            After::Finish => self.hang_up(),
        }
    }

    /// A session whose media comes by UDP outlives its connection: the backend sends on, and may
    /// have no room for another, until it is told or its time is over.
    fn remember_orphan(&mut self, now: Instant) {
        let Some(session) = self.state.session().filter(|session| session.has_udp()) else {
            return;
        };
        if let Some(id) = &session.id {
            self.orphan = Some(Orphan {
                id: id.clone(),
                aggregate: session.description.aggregate.clone(),
                place: self.target.authority(),
                until: now + session.timeout,
            });
        }
    }

    /// Drops the connection, or the attempt to get one, and the UDP sockets.
    pub(super) fn hang_up(&mut self) {
        self.close_udp();
        self.hang_up_post();
        if !matches!(self.link, Link::Closed) {
            self.link = Link::Closed;
            self.outputs.push_back(Output::Close);
        }
        self.exchanges.restart();
    }

    pub(super) fn close_udp(&mut self) {
        if std::mem::take(&mut self.udp_bound) {
            self.outputs.push_back(Output::CloseUdp);
        }
    }

    /// The connection is gone.
    pub(super) fn on_closed(&mut self, now: Instant, why: Option<String>) {
        let asked = self.exchanges.purpose();
        let used = matches!(&self.link, Link::Open(link) if link.used);
        let unheard = matches!(&self.link, Link::Open(link) if !link.answered);
        // What came of a description may be all there is.
        self.hang_up_post();
        let rest = self.finish_message().filter(|_| asked == Some(Purpose::Describe));
        self.link = Link::Closed;
        if let Some(Frame::Response(response)) = rest {
            self.on_response(now, &response);
            if !matches!(self.link, Link::Closed) {
                // It was a redirect.
                return;
            }
        }
        self.exchanges.restart();
        self.unheard = unheard && matches!(self.state, State::Describing);
        match &self.state {
            State::Leaving(_) => self.left(now, false),
            // It was closed for the session before, and took no notice of the new one.
            State::SettingUp(session, _) if used && !session.is_begun() => self.describe_again(now),
            State::Described(_) | State::Ready(..) | State::Pausing(_)
                if self.demand == Demand::Idle =>
            {
                self.on_idle_close(now, asked);
            }
            _ => self.lose(now, LostReason::Closed { why }),
        }
        self.unheard = false;
    }

    /// Nobody wanted media when the connection was closed: that is how some backends save
    /// connections. It is opened again when something is to be said.
    fn on_idle_close(&mut self, now: Instant, asked: Option<Purpose>) {
        self.tolerate(Quirk::IdleClose, || {
            "the idle connection was closed: the backend is described again later".to_owned()
        });
        if matches!(self.state, State::Pausing(_)) {
            self.event(Event::Paused);
        }
        self.remember_orphan(now);
        self.session_forgotten(now);
        if asked == Some(Purpose::KeepAlive) {
            // It may have been closed for the keep-alive, or before it arrived.
            self.describe_again(now);
        }
    }

    /// A request met its deadline.
    pub(super) fn on_unanswered(&mut self, now: Instant) {
        let flows = self.media_flows(now);
        let Some(exchange) = self.exchanges.abandon() else { return };
        match exchange.purpose {
            Purpose::Teardown => self.left(now, false),
            Purpose::KeepAlive if flows && !self.is_forgotten(now) => {
                self.tolerate(Quirk::KeepAliveIgnored, || {
                    "a keep-alive was not answered while media flows".to_owned()
                });
                self.keepalive.next_method();
                self.keepalive.hasten(now);
            }
            // It may know another method, or have lost the one before.
            Purpose::KeepAlive if self.keepalive.on_unanswered() && !self.is_forgotten(now) => {
                self.tolerate(Quirk::KeepAliveIgnored, || {
                    "a keep-alive was not answered".to_owned()
                });
                self.keepalive.next_method();
                self.keepalive.hasten(now);
            }
            Purpose::Setup if matches!(self.state, State::Adding(..)) => {
                self.on_late_setup_refused(now, "SETUP was not answered");
            }
            // The description tells whether the backend is there.
            Purpose::Orphan => {}
            purpose => self.lose(now, LostReason::NoAnswer { what: purpose.as_str() }),
        }
    }

    /// Whether nothing was answered for as long as the session lasts.
    fn is_forgotten(&self, now: Instant) -> bool {
        let timeout = self.state.session().map_or(DEFAULT_TIMEOUT, |session| session.timeout);
        now.saturating_duration_since(self.heard_at) >= timeout
    }

    /// The backend sends us elsewhere.
    pub(super) fn redirect(&mut self, now: Instant, location: Option<&str>) {
        if matches!(self.state, State::Finished | State::Waiting(_) | State::Leaving(_)) {
            return;
        }
        let target = match self.redirect_target(location) {
            Ok(target) => target,
            Err(why) => {
                self.lose(now, LostReason::BadRedirect { why });
                return;
            }
        };
        self.redirects += 1;
        self.event(Event::Warning(format!("the backend redirects to {target}")));
        self.target = target;
        self.depart(now, After::Describe, FAREWELL);
    }

    /// Media came from where we were sent. One who sends us on after a packet or two leads us in
    /// circles like one who does so at once.
    #[cold]
    pub(super) fn forget_redirects(&mut self, now: Instant) {
        if self.backoff.earliest(&self.options) <= now {
            self.redirects = 0;
        }
    }

    fn redirect_target(&self, location: Option<&str>) -> Result<RtspUrl, String> {
        if self.redirects >= MAX_REDIRECTS {
            return Err(format!("more than {MAX_REDIRECTS} in a row"));
        }
        let location = location.ok_or_else(|| "it names no location".to_owned())?;
        let absolute = match location.starts_with('/') {
            true => {
                format!("{}://{}{location}", self.target.scheme.as_str(), self.target.authority())
            }
            false => location.to_owned(),
        };
        let mut target = RtspUrl::parse(&absolute).map_err(|error| error.to_string())?;
        if is_tls(&self.target) && !is_tls(&target) {
            return Err("it leads from TLS to plain text".to_owned());
        }
        // Whatever a backend writes there is not ours to use.
        target.credentials = None;
        Ok(target)
    }
}

/// How many redirects are followed in a row.
const MAX_REDIRECTS: u8 = 5;
