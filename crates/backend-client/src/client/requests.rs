//! What is sent: requests one at a time, and answers to the backend's own.

use std::time::{Duration, Instant};

use rtsp_proto::transport::Lower;
use rtsp_proto::{Method, Request, Response, StatusCode};

use super::{BackendClient, FAREWELL, Link};
use crate::exchange::{Exchange, Purpose};
use crate::state::Asked;
use crate::{LostReason, Quirk};

impl BackendClient {
    /// What a connection begins with.
    pub(super) fn send_first(&mut self, now: Instant) {
        if !self.send_orphan(now) {
            self.send_describe(now);
        }
    }

    fn send_describe(&mut self, now: Instant) {
        let mut request = Request::new(Method::Describe, self.target.to_request());
        request.headers.push("Accept", "application/sdp");
        self.request(now, Purpose::Describe, request);
    }

    pub(super) fn send_setup(&mut self, now: Instant, uri: String, asked: Asked, port: u16) {
        let mut request = Request::new(Method::Setup, uri);
        let transport = match asked {
            Asked::Udp => {
                format!("RTP/AVP;unicast;client_port={port}-{}", port.saturating_add(1))
            }
            // Which ports is the backend's to say; some want to be told what they announced.
            Asked::Multicast if port == 0 => "RTP/AVP;multicast".to_owned(),
            Asked::Multicast => {
                format!("RTP/AVP;multicast;port={port}-{}", port.saturating_add(1))
            }
            Asked::Interleaved { rtp, rtcp } => {
                format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}")
            }
        };
        request.headers.push("Transport", transport);
        self.request(now, Purpose::Setup, request);
    }

    /// PLAY from now on. Every other client names the range at the beginning of a session, so
    /// that is what backends were tested with; after PAUSE it would be a seek.
    pub(super) fn send_play(&mut self, now: Instant, begin: bool) {
        let Some(session) = self.state.session() else { return };
        let mut request = Request::new(Method::Play, session.description.aggregate.clone());
        if begin {
            request.headers.push("Range", "npt=0.000-");
        }
        self.request(now, Purpose::Play, request);
    }

    /// TEARDOWN of a session whose connection is gone, if there is one here.
    fn send_orphan(&mut self, now: Instant) -> bool {
        let here = self.target.authority();
        let Some(orphan) =
            self.orphan.take_if(|orphan| orphan.place == here || orphan.until <= now)
        else {
            return false;
        };
        if orphan.until <= now {
            return false;
        }
        let mut request = Request::new(Method::Teardown, orphan.aggregate);
        request.headers.push("Session", orphan.id);
        self.request(now, Purpose::Orphan, request);
        self.exchanges.hurry(now + FAREWELL);
        true
    }

    /// PLAY, PAUSE or TEARDOWN of the whole session.
    pub(super) fn send_aggregate(&mut self, now: Instant, purpose: Purpose) {
        let method = match purpose {
            Purpose::Pause => Method::Pause,
            Purpose::Teardown => Method::Teardown,
            _ => Method::Play,
        };
        let Some(session) = self.state.session() else { return };
        let request = Request::new(method, session.description.aggregate.clone());
        self.request(now, purpose, request);
    }

    pub(super) fn send_keepalive(&mut self, now: Instant) {
        let uri = match self.state.session() {
            Some(session) => session.description.aggregate.clone(),
            None => self.target.to_request(),
        };
        let request = Request::new(self.keepalive.method(), uri);
        self.request(now, Purpose::KeepAlive, request);
    }

    fn request(&mut self, now: Instant, purpose: Purpose, mut request: Request) {
        if let Some(id) = self.state.session().and_then(|session| session.id.clone()) {
            request.headers.push("Session", id);
        }
        if !self.options.user_agent.is_empty() {
            request.headers.push("User-Agent", self.options.user_agent.clone());
        }
        let deadline = now + self.options.request_timeout.max(LEAST_TIMEOUT);
        self.transmit(purpose, request, deadline, 0);
    }

    /// Sends a request with a number and credentials of its own.
    pub(super) fn transmit(
        &mut self,
        purpose: Purpose,
        request: Request,
        deadline: Instant,
        challenges: u8,
    ) {
        let cseq = self.exchanges.next_cseq();
        let authorization = match &mut self.auth {
            Some(auth) => auth.authorize(&request.method, &request.uri),
            None => None,
        };
        let mut message = request.clone();
        message.headers.push("CSeq", cseq.to_string());
        let authorized = authorization.is_some();
        if let Some(authorization) = authorization {
            message.headers.push("Authorization", authorization);
        }
        let bytes = message.encode();
        self.dialogue(true, || bytes.clone());
        self.send(bytes);
        self.exchanges.begin(Exchange { purpose, request, cseq, deadline, authorized, challenges });
    }

    /// Answers a request of the backend's. Only what ends or moves the stream has consequences.
    pub(super) fn on_request(&mut self, now: Instant, request: &Request) {
        let Link::Open(link) = &mut self.link else { return };
        link.requests += 1;
        if link.requests > MAX_SERVER_REQUESTS {
            let why = "the backend sends requests without end".to_owned();
            self.lose_unreadable(now, why);
            return;
        }
        let status = match request.method {
            Method::Options
            | Method::GetParameter
            | Method::SetParameter
            | Method::Announce
            | Method::Redirect
            | Method::Teardown => StatusCode::OK,
            _ => StatusCode::NOT_IMPLEMENTED,
        };
        let mut response = Response::new(status);
        for name in ["CSeq", "Session"] {
            if let Some(value) = request.headers.get(name) {
                response.headers.push(name, value);
            }
        }
        if matches!(request.method, Method::Options) || !status.is_success() {
            response.headers.push("Public", "OPTIONS, GET_PARAMETER, SET_PARAMETER, ANNOUNCE");
        }
        let bytes = response.encode();
        self.dialogue(true, || bytes.clone());
        self.send(bytes);
        match request.method {
            Method::Redirect => self.redirect(now, request.headers.get("Location")),
            // RTSP 2.0 lets a server end a session so (RFC 7826 section 13.7.2).
            Method::Teardown => self.lose(now, LostReason::Bye),
            Method::Announce => self.tolerate(Quirk::Announced, || {
                "the backend announced a description in mid-session".to_owned()
            }),
            _ => {}
        }
    }

    pub(super) fn asks_udp(&self) -> bool {
        matches!(self.lower, Lower::Udp)
    }
}

/// What a shorter `request_timeout` is taken for.
const LEAST_TIMEOUT: Duration = Duration::from_millis(10);
/// How many requests of the backend are answered of what is read at once.
const MAX_SERVER_REQUESTS: usize = 64;
