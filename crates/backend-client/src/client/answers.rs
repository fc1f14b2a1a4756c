//! What the backend's responses mean.

use std::time::{Duration, Instant};

use rtsp_proto::auth::{Challenge, ChallengeVerdict, parse_challenges};
use rtsp_proto::session::SessionHeader;
use rtsp_proto::{Response, StatusCode};
use sdp::Presentation;
use std::sync::Arc;

use super::{BackendClient, Link, Pause};
use crate::description::{Bases, Description};
use crate::exchange::{Answered, Attribution, Exchange, Purpose};
use crate::keepalive::DEFAULT_TIMEOUT;

use crate::state::{Play, Rest, State};
use crate::{Demand, Event, LostReason, Quirk, TransportChoice};

impl BackendClient {
    pub(super) fn on_response(&mut self, now: Instant, response: &Response) {
        self.heard_at = now;
        self.keepalive.on_heard();
        if let Link::Open(link) = &mut self.link {
            link.answered = true;
        }
        let exchange = match self.exchanges.answered(response.cseq()) {
            Answered::Exchange(exchange, Attribution::Exact) => exchange,
            Answered::Exchange(exchange, Attribution::MissingCseq) => {
                self.tolerate(Quirk::MissingCseq, || "a response without CSeq".to_owned());
                exchange
            }
            Answered::Exchange(exchange, Attribution::ForeignCseq(cseq)) => {
                let sent = exchange.cseq;
                self.tolerate(Quirk::ForeignCseq, || {
                    format!("a response with CSeq {cseq} to a request with {sent}")
                });
                exchange
            }
            Answered::Late => return,
            Answered::Stray => {
                self.tolerate(Quirk::StrayResponse, || "a response to no request".to_owned());
                return;
            }
        };
        let status = response.status;
        if status.is_provisional() {
            self.exchanges.resume(exchange);
            return;
        }
        if status == StatusCode::UNAUTHORIZED {
            self.on_challenge(now, exchange, response);
            return;
        }
        if exchange.authorized {
            if let Some(auth) = &mut self.auth {
                auth.on_accepted();
                if let Some(info) = response.headers.get("Authentication-Info") {
                    auth.on_info(info);
                }
            }
            if status.is_success() {
                self.backoff.on_accepted(exchange.purpose);
            }
        }
        self.learn_methods(response);
        if status.is_redirect()
            && !matches!(exchange.purpose, Purpose::KeepAlive | Purpose::Teardown | Purpose::Orphan)
        {
            self.redirect(now, response.headers.get("Location"));
            return;
        }
        match exchange.purpose {
            Purpose::Describe if status.is_success() => {
                self.on_described(now, &exchange, response);
            }
            Purpose::Describe => {
                let reason = LostReason::Refused { what: Purpose::Describe.as_str(), status };
                self.lose_until(now, reason, retry_after(response));
            }
            Purpose::Setup if status.is_success() => self.on_setup_granted(now, response),
            Purpose::Setup => self.on_setup_refused(now, status, retry_after(response)),
            Purpose::Play => self.on_play(now, response),
            Purpose::Pause => self.on_pause(now, status),
            // One who refuses to end the session goes on sending until the connection is closed.
            Purpose::Teardown => {
                let over = status.is_success() || status == StatusCode::SESSION_NOT_FOUND;
                self.left(now, over);
            }
            Purpose::KeepAlive => self.on_keepalive(now, status),
            // Whatever it says, the session is gone or will be.
            Purpose::Orphan => {}
        }
    }

    fn on_challenge(&mut self, now: Instant, exchange: Exchange, response: &Response) {
        let challenges = parse_challenges(response.headers.get_all("WWW-Authenticate"));
        let reason = match &mut self.auth {
            None => LostReason::CredentialsNeeded,
            Some(auth) => match auth.on_challenge(&challenges) {
                ChallengeVerdict::Retry => {
                    // A second challenge in a row means that the answer to the first was wrong,
                    // unless it says that only the nonce was.
                    let stale = challenges.iter().any(
                        |challenge| matches!(challenge, Challenge::Digest(digest) if digest.stale),
                    );
                    let most = if stale { MAX_CHALLENGES } else { 1 };
                    if self.is_moot(exchange.purpose) {
                        return;
                    }
                    if !self.is_open() {
                        self.lose(now, LostReason::Closed { why: None });
                        return;
                    }
                    if exchange.challenges < most {
                        let Exchange { purpose, request, deadline, challenges, .. } = exchange;
                        self.transmit(purpose, request, deadline, challenges + 1);
                        return;
                    }
                    LostReason::CredentialsRejected
                }
                ChallengeVerdict::Rejected => LostReason::CredentialsRejected,
                ChallengeVerdict::Unsupported => LostReason::AuthenticationUnknown,
            },
        };
        if reason == LostReason::CredentialsRejected {
            self.stats.rejected += 1;
            self.backoff.on_rejected(now, exchange.purpose, &self.options);
        }
        match exchange.purpose {
            Purpose::Teardown => self.left(now, false),
            Purpose::KeepAlive if self.media_flows(now) => {
                // What granted PLAY may still want no OPTIONS.
                let method = self.keepalive.method();
                self.tolerate(Quirk::KeepAliveRefused, || {
                    format!("{} as a keep-alive was answered 401", method.as_str())
                });
                self.keepalive.next_method();
                self.rearm(now);
                if let Some(locked) = self.backoff.locked_until() {
                    self.keepalive.postpone(locked);
                }
            }
            purpose => {
                if matches!(purpose, Purpose::Setup | Purpose::Play) {
                    let what = purpose.as_str();
                    self.event(Event::Refused { status: StatusCode::UNAUTHORIZED, what });
                }
                self.lose(now, reason);
            }
        }
    }

    /// Whether a request that would have to be sent again has lost its reason meanwhile; then it
    /// never happened.
    fn is_moot(&mut self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Setup => self.demand == Demand::Idle,
            Purpose::Play if self.demand < Demand::Playing => {
                if let Some(session) = self.state.take_session() {
                    self.state = State::Ready(session, Rest::Fresh);
                }
                true
            }
            _ => false,
        }
    }

    fn on_described(&mut self, now: Instant, exchange: &Exchange, response: &Response) {
        let (presentation, tolerated) = match Presentation::parse(&response.body) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.lose(now, LostReason::BadDescription { why: error.to_string() });
                return;
            }
        };
        let bases = Bases {
            content_base: response.headers.get("Content-Base"),
            content_location: response.headers.get("Content-Location"),
            request_url: &exchange.request.uri,
        };
        let Some(description) = Description::new(&presentation, &bases, &self.options) else {
            self.lose(now, LostReason::NothingToPlay);
            return;
        };
        if self.is_tunnelled() {
            self.backoff.on_accepted(Purpose::Describe);
        }
        self.rest(now, Arc::new(description));
        // Each kind is told once, however often the backend is described.
        let tolerated = tolerated
            .iter()
            .filter(|repair| self.quirks.count_repair(repair.name()))
            .map(|repair| format!("{}: {repair}", repair.name()))
            .collect();
        let presentation = Arc::new(presentation);
        self.event(Event::Described { presentation, tolerated });
    }

    fn on_play(&mut self, now: Instant, response: &Response) {
        let status = response.status;
        if !status.is_success() {
            if self.state.session().is_some_and(|session| session.grown) {
                self.on_late_setup_refused(now, &format!("PLAY was answered {}", status.0));
            } else if status == StatusCode::SESSION_NOT_FOUND && !self.play_retried {
                self.play_retried = true;
                self.session_forgotten(now);
            } else {
                self.refuse(now, Purpose::Play, status, retry_after(response));
            }
            return;
        }
        let doubtful = self.options.transport == TransportChoice::Auto && !self.udp_proven;
        let no_packets = self.options.no_packets_after_play;
        let Some(mut session) = self.state.take_session() else { return };
        session.grown = false;
        // Some say only here how long it lasts.
        let header = response.headers.get("Session").and_then(SessionHeader::parse);
        let timeout = header.and_then(|header| header.timeout);
        let timeout = timeout.and_then(super::setup::sane_timeout);
        let revealed = timeout.filter(|timeout| *timeout != session.timeout);
        session.timeout = revealed.unwrap_or(session.timeout);
        let prove = doubtful && session.has_udp() && session.is_watched();
        let prove_by = prove.then(|| now + no_packets);
        self.state = State::Playing(session, Play { since: now, prove_by });
        if revealed.is_some() {
            self.rearm(now);
        }
        self.note_rtp_info(response.headers.get("RTP-Info"));
        self.event(Event::Playing {});
    }

    fn on_pause(&mut self, now: Instant, status: StatusCode) {
        if status.is_success() {
            self.pause = Pause::Offered;
            if let Some(session) = self.state.take_session() {
                self.state = State::Ready(session, Rest::Paused { at: now, strays: 0 });
                self.event(Event::Paused);
            }
        } else if status == StatusCode::SESSION_NOT_FOUND {
            // Some say so and send on.
            self.end_instead_of_pause(now);
        } else {
            self.pause = Pause::Broken;
            self.tolerate(Quirk::NoPause, || format!("PAUSE was answered {}", status.0));
            self.end_instead_of_pause(now);
        }
    }

    /// Nobody wants media, and PAUSE is of no use.
    pub(super) fn end_instead_of_pause(&mut self, now: Instant) {
        self.event(Event::Paused);
        self.forsake(now);
    }

    fn on_keepalive(&mut self, now: Instant, status: StatusCode) {
        if status.is_success() {
            self.keepalive.on_granted();
            self.backoff.on_answered(now, &self.options);
            if let Some(session) = self.state.session_mut() {
                session.denied = false;
            }
            self.rearm(now);
            return;
        }
        let flows = self.media_flows(now);
        if status == StatusCode::SESSION_NOT_FOUND
            && let Some(session) = self.state.session_mut()
        {
            // Some backends deny a session to one method and know it by another.
            if session.denied && !flows {
                self.session_forgotten(now);
                return;
            }
            session.denied = true;
        } else if let Some(session) = self.state.session_mut() {
            session.denied = false;
        }
        if flows && status == StatusCode::SESSION_NOT_FOUND {
            self.tolerate(Quirk::SessionDenied, || {
                "a keep-alive was answered 454 while media flows".to_owned()
            });
        } else {
            let method = self.keepalive.method();
            self.tolerate(Quirk::KeepAliveRefused, || {
                format!("{} as a keep-alive was answered {}", method.as_str(), status.0)
            });
        }
        // Any answer shows that the backend is there; but the session may not have been touched.
        self.rearm(now);
        let denied = self.state.session().is_some_and(|session| session.denied);
        if self.keepalive.next_method() || (denied && !flows) {
            self.keepalive.hasten(now);
        }
    }

    /// Arms the keep-alive for the session, or for the idle connection.
    pub(super) fn rearm(&mut self, now: Instant) {
        let timeout = self.state.session().map_or(DEFAULT_TIMEOUT, |session| session.timeout);
        self.keepalive.arm(now, timeout, &mut self.rng);
    }

    /// The backend says that it knows our session no more: a new one is set up when it is wanted.
    pub(super) fn session_forgotten(&mut self, now: Instant) {
        if let Some(session) = self.state.take_session() {
            self.close_udp();
            if let Link::Open(link) = &mut self.link {
                link.used = true;
            }
            self.rest(now, session.description);
        }
    }

    /// No session any more, but a connection perhaps.
    pub(super) fn rest(&mut self, now: Instant, description: Arc<Description>) {
        self.state = State::Described(description);
        self.rested_at = now;
        self.strays = 0;
        self.rearm(now);
    }

    fn learn_methods(&mut self, response: &Response) {
        let Some(public) = response.headers.get("Public") else { return };
        if self.pause == Pause::Broken {
            return;
        }
        let listed = public.split(',').any(|method| method.trim().eq_ignore_ascii_case("PAUSE"));
        self.pause = if listed { Pause::Offered } else { Pause::Unlisted };
    }

    /// Whether media came a moment ago.
    pub(super) fn media_flows(&self, now: Instant) -> bool {
        let Some((session, _)) = self.state.playing() else { return false };
        session.last_packet.is_some_and(|latest| now.saturating_duration_since(latest) < FLOWING)
    }
}

impl Pause {
    /// Whether it is worth asking.
    pub(super) fn is_usable(self) -> bool {
        matches!(self, Self::Untold | Self::Offered)
    }
}

/// How long a backend that is too busy asks to be left alone (RFC 2326 section 12.31); a date is
/// not looked at.
fn retry_after(response: &Response) -> Option<Duration> {
    response.headers.get("Retry-After")?.trim().parse().ok().map(Duration::from_secs)
}

/// Media that came within this flows.
const FLOWING: Duration = Duration::from_secs(2);
/// How often one request is sent again because its nonce was stale.
const MAX_CHALLENGES: u8 = 2;
