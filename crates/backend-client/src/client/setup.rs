//! SETUP of one track after the other.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rtsp_proto::session::SessionHeader;
use rtsp_proto::transport::{Lower, Transport, parse_transports};
use rtsp_proto::{Response, StatusCode};

use super::{BackendClient, Link};
use crate::description::Weight;
use crate::exchange::Purpose;
use crate::keepalive::DEFAULT_TIMEOUT;
use crate::session::{Path, Remote, Session, Track, UdpPath};
use crate::state::{Asked, Doing, Rest, State};
use crate::{Event, LostReason, Output, Quirk, TransportChoice};

impl BackendClient {
    pub(super) fn set_up_next(&mut self, now: Instant) {
        let udp = self.asks_udp();
        let multicast = self.options.transport == TransportChoice::Multicast;
        let patience = self.options.request_timeout;
        let Some((session, step)) = self.state.step() else { return };
        let offers = session.description.offers.iter().enumerate().skip(step.next);
        let mut turn =
            offers.filter(|(_, offer)| self.wants(offer.index) && !session.knows(offer.index));
        let Some((place, _)) = turn.next() else {
            self.all_set_up(now);
            return;
        };
        let Some((session, step)) = self.state.step_mut() else { return };
        step.next = place;
        let Some(offer) = session.description.offers.get(place) else { return };
        let track = offer.index;
        if multicast {
            let (uri, port) = (offer.uri.clone(), offer.port);
            step.doing = Doing::Asking(Asked::Multicast);
            self.send_setup(now, uri, Asked::Multicast, port);
            return;
        }
        if udp {
            step.doing = Doing::Binding { until: now + patience };
            self.udp_bound = true;
            self.outputs.push_back(Output::BindUdp { track });
            return;
        }
        let Some((rtp, rtcp)) = free_channels(session) else {
            let why = "no interleaved channels are left".to_owned();
            self.lose(now, LostReason::Protocol { why });
            return;
        };
        let asked = Asked::Interleaved { rtp, rtcp };
        let uri = offer.uri.clone();
        step.doing = Doing::Asking(asked);
        self.send_setup(now, uri, asked, 0);
    }

    pub(super) fn on_udp_bound(&mut self, now: Instant, track: usize, rtp_port: u16) {
        if self.is_joining(track) {
            self.on_joined(track);
            return;
        }
        let Some(uri) = self.bound_offer(track) else { return };
        if let Some((_, step)) = self.state.step_mut() {
            step.doing = Doing::Asking(Asked::Udp);
        }
        self.send_setup(now, uri, Asked::Udp, rtp_port);
    }

    pub(super) fn on_udp_bind_failed(&mut self, now: Instant, track: usize, why: String) {
        if self.is_joining(track) {
            self.lose(now, LostReason::Local { why });
            return;
        }
        if self.bound_offer(track).is_none() {
            return;
        }
        if self.options.transport == TransportChoice::Auto {
            self.fall_back(now, &format!("no UDP ports can be bound ({why})"));
        } else {
            self.lose(now, LostReason::Local { why });
        }
    }

    /// The control URL of the track that the shell binds ports for, if it is that one.
    fn bound_offer(&self, track: usize) -> Option<String> {
        let (session, step) = self.state.step()?;
        let Doing::Binding { .. } = step.doing else { return None };
        let offer = session.description.offers.get(step.next)?;
        (offer.index == track).then(|| offer.uri.clone())
    }

    pub(super) fn on_setup_granted(&mut self, now: Instant, response: &Response) {
        let Some((session, step)) = self.state.step() else { return };
        let Doing::Asking(asked) = step.doing else { return };
        let Some(offer) = session.description.offers.get(step.next).cloned() else { return };
        let (id, timeout) = self.granted_session(response);
        if let Some((session, _)) = self.state.step_mut() {
            session.id = id;
            session.timeout = timeout;
        }
        self.keepalive.arm(now, timeout, &mut self.rng);
        let Some(path) = self.granted_path(response, asked) else {
            // It insists on what we cannot take: as good as refused.
            self.on_setup_refused(now, StatusCode::UNSUPPORTED_TRANSPORT, None);
            return;
        };
        let ssrc = self.promised_ssrc(response.headers.get("Transport"));
        let track = offer.index;
        let remote = match &path {
            Path::Udp(udp) => udp.remote.map(|remote| (remote, udp.group)),
            Path::Interleaved { .. } => None,
        };
        let adding = matches!(self.state, State::Adding(..));
        if let Some((session, _)) = self.state.step_mut() {
            session.tracks.push(Track { promised_ssrc: ssrc, ..Track::new(offer, path) });
            session.grown = adding;
        }
        match remote {
            Some((remote, true)) => self.join(now, track, remote, response),
            Some((Remote { rtp, rtcp }, false)) => {
                self.outputs.push_back(Output::ConnectUdp { track, rtp, rtcp });
                self.on_track_ready(track);
            }
            None => self.on_track_ready(track),
        }
    }

    /// On to the next one.
    pub(super) fn on_track_ready(&mut self, track: usize) {
        if let Some((_, step)) = self.state.step_mut() {
            step.advance();
        }
        self.event(Event::TrackReady { track });
    }

    /// The session's name and how long it lasts, after a SETUP.
    fn granted_session(&mut self, response: &Response) -> (Option<String>, Duration) {
        let (old, old_timeout) = match self.state.session() {
            Some(session) => (session.id.clone(), session.timeout),
            None => (None, DEFAULT_TIMEOUT),
        };
        let header = response.headers.get("Session").and_then(SessionHeader::parse);
        let Some(header) = header else {
            if old.is_none() {
                self.tolerate(Quirk::MissingSession, || "SETUP answered without Session".into());
            }
            return (old, old_timeout);
        };
        if old.as_ref().is_some_and(|old| *old != header.id) {
            self.tolerate(Quirk::ChangedSession, || {
                "a later SETUP was answered with another session".to_owned()
            });
        }
        let timeout = match header.timeout {
            None if old.is_some() => old_timeout,
            None => DEFAULT_TIMEOUT,
            Some(seconds) => sane_timeout(seconds).unwrap_or_else(|| {
                self.tolerate(Quirk::OddSessionTimeout, || {
                    format!("a session timeout of {seconds} s: 60 s is used")
                });
                DEFAULT_TIMEOUT
            }),
        };
        (Some(header.id), timeout)
    }

    /// How media will come, by the answer to SETUP; `None` if it is a way we cannot take.
    fn granted_path(&mut self, response: &Response, asked: Asked) -> Option<Path> {
        let header = response.headers.get("Transport");
        let granted = header.and_then(|value| parse_transports(value).into_iter().next());
        if granted.is_none() {
            self.tolerate(Quirk::MissingTransport, || match header {
                None => "SETUP answered without Transport".to_owned(),
                Some(value) => format!("SETUP answered with an unreadable Transport: {value}"),
            });
        }
        let channels = granted.as_ref().and_then(|granted| granted.interleaved);
        match asked {
            Asked::Interleaved { rtp, rtcp } => {
                let by_udp = granted.as_ref().is_some_and(|granted| {
                    granted.lower == Lower::Udp && granted.server_port.is_some()
                });
                match channels {
                    None if by_udp => None,
                    Some(other) if other != (rtp, rtcp) => {
                        Some(self.other_channels(other, Some((rtp, rtcp)))?)
                    }
                    _ => Some(Path::Interleaved { rtp, rtcp }),
                }
            }
            Asked::Multicast => self.group_path(granted.as_ref()),
            Asked::Udp => match (channels, granted) {
                (Some(channels), _) => {
                    self.tolerate(Quirk::InterleavedInstead, || {
                        "UDP was asked for, interleaving was granted".to_owned()
                    });
                    self.other_channels(channels, None)
                }
                (None, Some(granted)) if granted.multicast || granted.lower == Lower::Tcp => None,
                (None, granted) => self.udp_path(granted.as_ref()),
            },
        }
    }

    /// Channels that were not asked for are taken if they are free.
    fn other_channels(&mut self, granted: (u8, u8), asked: Option<(u8, u8)>) -> Option<Path> {
        let (rtp, rtcp) = granted;
        let session = self.state.session()?;
        let free = rtp != rtcp && is_free(session, rtp) && is_free(session, rtcp);
        if free {
            self.tolerate(Quirk::OtherChannels, || {
                format!("channels {rtp}-{rtcp} were granted, which were not asked for")
            });
            return Some(Path::Interleaved { rtp, rtcp });
        }
        self.tolerate(Quirk::TakenChannels, || {
            format!("channels {rtp}-{rtcp} were granted, which another track has")
        });
        asked.map(|(rtp, rtcp)| Path::Interleaved { rtp, rtcp })
    }

    fn udp_path(&mut self, granted: Option<&Transport>) -> Option<Path> {
        let Link::Open(link) = &self.link else { return None };
        let peer = link.peer;
        let named = granted.and_then(|granted| granted.source.as_deref());
        let source = named.and_then(|name| name.trim_matches(['[', ']']).parse::<IpAddr>().ok());
        let source = source.map(|ip| ip.to_canonical());
        // A loopback address means the backend's own, not ours.
        let usable = source.filter(|ip| {
            !ip.is_unspecified()
                && !ip.is_multicast()
                && (!ip.is_loopback() || peer.is_loopback())
                && ip.is_ipv4() == peer.is_ipv4()
        });
        if let (Some(name), None) = (named, usable) {
            self.tolerate(Quirk::OddSource, || {
                format!("media is said to come from {name}: the connection's address is used")
            });
        }
        let host = usable.unwrap_or(peer);
        let ports = granted
            .and_then(|granted| granted.server_port)
            .filter(|(rtp, rtcp)| *rtp != 0 && *rtcp != 0);
        if ports.is_none() {
            self.tolerate(Quirk::MissingServerPorts, || {
                "no server ports were granted: they are learnt from what arrives".to_owned()
            });
        }
        let remote = ports.map(|(rtp, rtcp)| Remote {
            rtp: SocketAddr::new(host, rtp),
            rtcp: SocketAddr::new(host, rtcp),
        });
        Some(Path::Udp(UdpPath { hosts: [peer, host], remote, learnt: false, group: false }))
    }

    pub(super) fn on_setup_refused(
        &mut self,
        now: Instant,
        status: StatusCode,
        retry_after: Option<Duration>,
    ) {
        let adding = matches!(self.state, State::Adding(..));
        let Some((session, step)) = self.state.step_mut() else { return };
        let by_udp = step.doing == Doing::Asking(Asked::Udp);
        if by_udp
            && status == StatusCode::UNSUPPORTED_TRANSPORT
            && self.options.transport == TransportChoice::Auto
        {
            self.fall_back(now, "UDP is refused");
            return;
        }
        if adding && is_about_state(status) {
            self.on_late_setup_refused(now, &format!("SETUP was answered {}", status.0));
            return;
        }
        if status == StatusCode::SESSION_NOT_FOUND && session.is_begun() && !self.play_retried {
            self.play_retried = true;
            self.session_forgotten(now);
            return;
        }
        step.refused = Some(status);
        let next = step.next;
        let offered = session.description.offers.get(next).map(|offer| offer.index);
        session.refused.extend(offered);
        let Some((session, _)) = self.state.step() else { return };
        let has_video = self.wants_video(session);
        // One track does not cost the others, as long as one that matters is left.
        let hope = session.description.offers.iter().enumerate().any(|(place, offer)| {
            let counts = offer.weight == Weight::Video || !has_video;
            let awaited = place > next && self.wants(offer.index);
            counts && (awaited || session.track(offer.index).is_some())
        });
        let overloaded =
            matches!(status, StatusCode::NOT_ENOUGH_BANDWIDTH | StatusCode::SERVICE_UNAVAILABLE);
        match offered {
            Some(track) if adding || (hope && !overloaded) => {
                if let Some((_, step)) = self.state.step_mut() {
                    step.advance();
                }
                self.event(Event::TrackRefused { track, status });
            }
            _ => self.refuse(now, Purpose::Setup, status, retry_after),
        }
    }

    fn all_set_up(&mut self, now: Instant) {
        let State::SettingUp(session, step) = &self.state else {
            self.all_added(now);
            return;
        };
        let video_missing = self.wants_video(session)
            && !session.tracks.iter().any(|track| track.offer.weight == Weight::Video);
        if session.tracks.is_empty() || video_missing {
            let status = step.refused.unwrap_or(StatusCode::INTERNAL);
            self.refuse(now, Purpose::Setup, status, None);
            return;
        }
        if let Some(session) = self.state.take_session() {
            self.state = State::Ready(session, Rest::Fresh);
            self.event(Event::Ready);
            self.advance(now);
        }
    }

    fn wants_video(&self, session: &Session) -> bool {
        let mut offers = session.description.offers.iter();
        offers.any(|offer| offer.weight == Weight::Video && self.wants(offer.index))
    }
}

/// Whether a refusal is for the session's state rather than for the track.
fn is_about_state(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::SESSION_NOT_FOUND
            | StatusCode::METHOD_NOT_VALID_IN_THIS_STATE
            | StatusCode::AGGREGATE_OPERATION_NOT_ALLOWED
            | StatusCode::NOT_IMPLEMENTED
    )
}

/// What a session's timeout in seconds means, unless it cannot be meant.
pub(super) fn sane_timeout(seconds: u32) -> Option<Duration> {
    (1..=MAX_TIMEOUT).contains(&seconds).then(|| Duration::from_secs(seconds.into()))
}

/// The lowest pair of channels that no track has.
fn free_channels(session: &Session) -> Option<(u8, u8)> {
    (0..=u8::MAX / 2)
        .map(|pair| (2 * pair, 2 * pair + 1))
        .find(|(rtp, rtcp)| is_free(session, *rtp) && is_free(session, *rtcp))
}

fn is_free(session: &Session, channel: u8) -> bool {
    !session.tracks.iter().any(|track| match track.path {
        Path::Interleaved { rtp, rtcp } => rtp == channel || rtcp == channel,
        Path::Udp(_) => false,
    })
}

/// A day, in seconds: what claims to last longer was not meant.
const MAX_TIMEOUT: u32 = 86_400;
