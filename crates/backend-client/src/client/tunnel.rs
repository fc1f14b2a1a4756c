//! RTSP over HTTP: two connections that are one link.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtsp_proto::StatusCode;
use rtsp_proto::tunnel::{TunnelAnswer, TunnelClient};

use super::{BackendClient, Link, is_tls};
use crate::exchange::Purpose;
use crate::state::{After, State};
use crate::{LostReason, Output, TransportChoice};

/// What a link has besides, where it is a tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    client: TunnelClient,
    /// The GET was answered.
    is_open: bool,
    post: Post,
    /// What could not be sent yet.
    queue: VecDeque<Bytes>,
}

/// The second connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Post {
    Closed,
    Opening { until: Instant },
    Open,
}

impl Tunnel {
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.post {
            Post::Opening { until } => Some(until),
            _ => None,
        }
    }
}

impl BackendClient {
    pub(super) fn is_tunnelled(&self) -> bool {
        self.options.transport == TransportChoice::Http
    }

    /// Where connections go.
    pub(super) fn port(&self) -> u16 {
        let http = self.options.http_port.filter(|_| self.is_tunnelled());
        http.unwrap_or(self.target.port)
    }

    /// The first connection stands: the GET goes out.
    pub(super) fn open_tunnel(&mut self, now: Instant) {
        let url = self.target.clone().with_port(self.port());
        let mut client = TunnelClient::new(&url, &self.options.user_agent, self.rng.bits());
        if self.tunnel_auth.is_none() {
            self.tunnel_auth = self.client_auth();
        }
        let get = client.get(self.tunnel_auth.as_mut());
        self.dialogue(true, || get.clone());
        self.outputs.push_back(Output::Send(get));
        let patience = self.options.request_timeout;
        let Link::Open(link) = &mut self.link else { return };
        link.opened_by = Some(now + patience);
        let queue = VecDeque::new();
        link.tunnel = Some(Box::new(Tunnel { client, is_open: false, post: Post::Closed, queue }));
    }

    /// Bytes on the first connection; true once they are RTSP.
    pub(super) fn on_tunnel_stream(&mut self, now: Instant, bytes: &mut BytesMut) -> bool {
        let Link::Open(link) = &mut self.link else { return true };
        let Some(tunnel) = link.tunnel.as_mut().filter(|tunnel| !tunnel.is_open) else {
            return true;
        };
        let before = bytes.clone();
        let answer = tunnel.client.on_answer(bytes, self.tunnel_auth.as_mut());
        if answer == TunnelAnswer::More {
            return false;
        }
        let head = before.len() - bytes.len();
        self.dialogue(false, || before.freeze().slice(..head));
        if let Link::Open(link) = &mut self.link {
            link.answered = true;
        }
        if answer != TunnelAnswer::Open {
            bytes.clear();
        }
        match answer {
            TunnelAnswer::Open => {
                if let Link::Open(link) = &mut self.link
                    && let Some(tunnel) = &mut link.tunnel
                {
                    tunnel.is_open = true;
                    link.opened_by = None;
                }
                self.heard_at = now;
                return true;
            }
            TunnelAnswer::More => {}
            TunnelAnswer::Again => self.depart_for(now),
            TunnelAnswer::Rejected => {
                self.stats.rejected += 1;
                self.backoff.on_rejected(now, Purpose::Describe, &self.options);
                self.lose(now, LostReason::CredentialsRejected);
            }
            TunnelAnswer::Unauthorized => {
                let reason = match self.tunnel_auth {
                    Some(_) => LostReason::AuthenticationUnknown,
                    None => LostReason::CredentialsNeeded,
                };
                self.lose(now, reason);
            }
            TunnelAnswer::Elsewhere(location) => self.redirect(now, Some(&location)),
            TunnelAnswer::Refused(status) => self.refuse_tunnel(now, status),
            _ => {
                let why = "what answers there is no web server".to_owned();
                self.lose(now, LostReason::Protocol { why });
            }
        }
        false
    }

    fn refuse_tunnel(&mut self, now: Instant, status: StatusCode) {
        self.lose(now, LostReason::Refused { what: "GET", status });
    }

    /// The same attempt over another connection.
    fn depart_for(&mut self, now: Instant) {
        let auth = self.tunnel_auth.take();
        self.state = State::Leaving(After::Describe);
        self.left(now, true);
        self.tunnel_auth = auth;
    }

    /// Sends as the link has it.
    pub(super) fn send(&mut self, message: Bytes) {
        let Link::Open(link) = &mut self.link else { return };
        let Some(tunnel) = &mut link.tunnel else {
            self.outputs.push_back(Output::Send(message));
            return;
        };
        // Requests come one at a time: what is too much is reports, or answers to requests.
        if tunnel.queue.len() < MAX_QUEUED {
            tunnel.queue.push_back(message);
        }
        self.flush_post();
    }

    /// Sends what waits, as far as there is a POST with room for it.
    fn flush_post(&mut self) {
        let since = self.latest;
        let (deadline, port) = (self.patience(), self.port());
        let (host, tls) = (self.target.host.clone(), is_tls(&self.target));
        let Link::Open(link) = &mut self.link else { return };
        let Some(tunnel) = &mut link.tunnel else { return };
        while let Some(message) = tunnel.queue.front() {
            match tunnel.post {
                Post::Opening { .. } => return,
                Post::Open => {
                    if let Some(encoded) = tunnel.client.encode(message) {
                        self.outputs.push_back(Output::SendPost(encoded));
                        tunnel.queue.pop_front();
                        continue;
                    }
                    // Its length is used up.
                    self.outputs.push_back(Output::ClosePost);
                }
                Post::Closed => {}
            }
            tunnel.post = Post::Opening { until: since + deadline + super::CONNECT_GRACE };
            self.outputs.push_back(Output::ConnectPost { host, port, tls, deadline });
            return;
        }
    }

    /// Takes back a PLAY that has not been sent; false if it has.
    pub(super) fn recall_play(&mut self) -> bool {
        let Link::Open(link) = &mut self.link else { return false };
        let Some(tunnel) = &mut link.tunnel else { return false };
        let before = tunnel.queue.len();
        tunnel.queue.retain(|message| !message.starts_with(b"PLAY "));
        tunnel.queue.len() < before
    }

    pub(super) fn on_post_connected(&mut self) {
        let Link::Open(link) = &mut self.link else { return };
        let Some(tunnel) = &mut link.tunnel else { return };
        if !matches!(tunnel.post, Post::Opening { .. }) {
            return;
        }
        let needed = tunnel.queue.front().map_or(0, Bytes::len);
        let post = tunnel.client.post(self.tunnel_auth.as_mut(), needed);
        tunnel.post = Post::Open;
        self.dialogue(true, || post.clone());
        self.outputs.push_back(Output::SendPost(post));
        self.flush_post();
    }

    /// The second connection cannot be had.
    pub(super) fn on_post_failed(&mut self, now: Instant, why: String) {
        let Link::Open(link) = &mut self.link else { return };
        let Some(tunnel) = &mut link.tunnel else { return };
        if matches!(tunnel.post, Post::Opening { .. }) {
            tunnel.post = Post::Closed;
            tunnel.queue.clear();
            self.lose(now, LostReason::NoConnection { why });
        }
    }

    /// The backend closed the second connection: the next message opens another.
    pub(super) fn on_post_closed(&mut self) {
        let Link::Open(link) = &mut self.link else { return };
        let Some(tunnel) = &mut link.tunnel else { return };
        if tunnel.post == Post::Open {
            tunnel.post = Post::Closed;
        }
        self.flush_post();
    }

    /// Drops the second connection, or the attempt to get one.
    pub(super) fn hang_up_post(&mut self) {
        let Link::Open(link) = &mut self.link else { return };
        let Some(tunnel) = &mut link.tunnel else { return };
        if tunnel.post != Post::Closed {
            tunnel.post = Post::Closed;
            self.outputs.push_back(Output::ClosePost);
        }
    }

    /// What should have been there by now.
    pub(super) fn check_tunnel(&mut self, now: Instant) {
        let Link::Open(link) = &self.link else { return };
        if link.opened_by.is_some_and(|by| by <= now) {
            self.lose(now, LostReason::NoAnswer { what: "GET" });
            return;
        }
        if link.tunnel.as_ref().and_then(|t| t.deadline()).is_some_and(|by| by <= now) {
            self.hang_up_post();
            let why = "no second connection within the time allowed".to_owned();
            self.lose(now, LostReason::NoConnection { why });
        }
    }
}

/// What waits for a POST.
const MAX_QUEUED: usize = 64;
