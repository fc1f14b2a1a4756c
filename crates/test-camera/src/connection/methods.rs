//! The methods of RFC 2326, section 10.

use std::sync::Arc;

use super::{After, Connection};
use crate::clock;
use crate::fault::{Method, Track, stream_name};
use crate::options::Start;
use crate::rtsp::{self, Answer, Proposal, Request};
use crate::sdp;
use crate::session::{Destination, Outlet, Session, Zero};

impl Connection<'_> {
    pub(super) fn perform(&mut self, method: Method, request: &Request) -> (Answer, After) {
        let answer = match method {
            Method::Describe => self.describe(request),
            Method::Setup => self.setup(request),
            Method::Options | Method::GetParameter | Method::SetParameter => {
                match request.session() {
                    Some(name) if self.shared.session(name).is_none() => Answer::new(454),
                    _ if method == Method::Options => self.options(),
                    _ => Answer::new(200),
                }
            }
            Method::Play | Method::Pause | Method::Teardown => {
                let session = request.session().and_then(|name| self.shared.session(name));
                let Some(session) = session else { return (Answer::new(454), After::Nothing) };
                match method {
                    Method::Play => return self.play(request, session),
                    Method::Pause => self.pause(&session),
                    _ => {
                        self.shared.end_sessions(|other| other.name == session.name);
                        Answer::new(200)
                    }
                }
            }
        };
        (answer, After::Nothing)
    }

    fn options(&self) -> Answer {
        let no_pause = self.shared.faults.lock().no_pause;
        let methods: Vec<&str> = Method::ALL
            .into_iter()
            .filter(|&method| method != Method::Pause || !no_pause)
            .map(Method::name)
            .collect();
        Answer::new(200).header("Public", &methods.join(", "))
    }

    fn describe(&self, request: &Request) -> Answer {
        let shared = self.shared;
        let Some(stream) = shared.stream_of(&request.uri) else { return Answer::new(404) };
        if rtsp::path(&request.uri) != stream_name(stream) {
            return Answer::new(404);
        }
        let set = shared.faults.lock().set;
        let id = shared
            .log
            .started()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let mut description = sdp::describe(&shared.content, set, &stream_name(stream), id);
        if let Some(multicast) = &shared.options.multicast {
            description = multicast.describe(&description, stream, self.link.local.ip());
        }
        Answer::new(200)
            .header("Content-Base", &format!("{}/", rtsp::without_query(&request.uri)))
            .body("application/sdp", description)
    }

    fn setup(&mut self, request: &Request) -> Answer {
        let shared = self.shared;
        let Some(stream) = shared.stream_of(&request.uri) else { return Answer::new(404) };
        let Some((name, control)) = rtsp::path(&request.uri).split_once('/') else {
            return Answer::new(459);
        };
        let track = sdp::track(control).filter(|&track| shared.content.has(track));
        let Some(track) = track.filter(|_| name == stream_name(stream)) else {
            return Answer::new(404);
        };
        let session = match request.session() {
            Some(name) => match shared.session(name) {
                Some(session) if session.stream == stream => session,
                Some(_) => return Answer::new(459),
                None => return Answer::new(454),
            },
            None => match self.new_session(stream) {
                Some(session) => session,
                None => return Answer::new(453),
            },
        };
        let answer = self.setup_track(&session, track, request);
        if answer.status != 200 {
            // A session without tracks does not outlive its refused SETUP.
            shared.end_sessions(|other| {
                other.name == session.name && other.state.lock().outlets.is_empty()
            });
        }
        answer
    }

    fn setup_track(&self, session: &Session, track: Track, request: &Request) -> Answer {
        let shared = self.shared;
        if session.state.lock().playing {
            return Answer::new(455);
        }
        let no_udp = shared.faults.lock().no_udp;
        let destination = rtsp::proposals(request.header("Transport").unwrap_or_default())
            .find_map(|proposal| match proposal {
                Proposal::Udp { .. } | Proposal::Group if no_udp => None,
                Proposal::Group => {
                    shared.options.multicast.as_ref()?.destination(session.stream, track)
                }
                Proposal::Udp { rtp, rtcp } => {
                    Some(Destination::Udp { address: self.link.peer.ip(), rtp, rtcp })
                }
                Proposal::Interleaved(Some((rtp, rtcp))) => {
                    Some(Destination::Interleaved { rtp, rtcp })
                }
                Proposal::Interleaved(None) => self.free_channels(),
            });
        let Some(destination) = destination else { return Answer::new(461) };
        let outlet = Outlet {
            track,
            destination,
            ssrc: shared.random.u32(),
            sequence: shared.random.u16(),
            timestamp_base: shared.random.u32(),
            packets: 0,
            octets: 0,
            unit: 0,
            packet: 0,
            set: shared.faults.lock().set,
            line_free: None,
            count: 0,
            held: None,
            ended: false,
        };
        let ssrc = outlet.ssrc;
        let mut state = session.state.lock();
        state.outlets.retain(|outlet| outlet.track != track);
        state.outlets.push(outlet);
        drop(state);
        let transport = match destination {
            Destination::Udp { address, rtp, .. } if address.is_multicast() => {
                let transport = shared.options.multicast.as_ref();
                transport.map(|m| m.transport(rtp, self.link.local.ip())).unwrap_or_default()
            }
            Destination::Udp { rtp, rtcp, .. } => {
                let port = shared.sockets.port;
                format!(
                    "RTP/AVP;unicast;client_port={rtp}-{rtcp};server_port={port}-{};ssrc={ssrc:08X}",
                    port + 1
                )
            }
            Destination::Interleaved { rtp, rtcp } => {
                format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp};ssrc={ssrc:08X}")
            }
        };
        Answer::new(200)
            .header("Transport", &transport)
            .header("Session", &format!("{};timeout={}", session.name, shared.timeout().as_secs()))
    }

    fn new_session(&self, stream: usize) -> Option<Arc<Session>> {
        let shared = self.shared;
        let mut sessions = shared.sessions.lock();
        let on_this = sessions.values().filter(|other| other.link.id == self.link.id).count();
        if on_this >= MAX_SESSIONS {
            return None;
        }
        let name = format!("{:016X}", shared.random.u64());
        let elapsed = shared.epoch.elapsed();
        let session = Session::new(name.clone(), stream, Arc::clone(self.link), elapsed);
        let session = Arc::new(session);
        sessions.insert(name, Arc::clone(&session));
        Some(session)
    }

    /// The first pair of interleaved channels that no session of this connection uses.
    fn free_channels(&self) -> Option<Destination> {
        let sessions = self.shared.sessions.lock();
        let mut used = Vec::new();
        for session in sessions.values().filter(|session| session.link.id == self.link.id) {
            for outlet in &session.state.lock().outlets {
                if let Destination::Interleaved { rtp, rtcp } = outlet.destination {
                    used.extend([rtp, rtcp]);
                }
            }
        }
        let free = |rtp: &u8| !used.contains(rtp) && !used.contains(&(rtp + 1));
        let rtp = (0..=254).step_by(2).find(free)?;
        Some(Destination::Interleaved { rtp, rtcp: rtp + 1 })
    }

    fn play(&self, request: &Request, session: Arc<Session>) -> (Answer, After) {
        let shared = self.shared;
        let content = &shared.content;
        let now = clock::now();
        let mut guard = session.state.lock();
        let state = &mut *guard;
        let zero = *state.zero.get_or_insert_with(|| match shared.options.start {
            Start::Beginning => Zero { at: now, ahead: shared.options.age },
            Start::Now | Start::KeyFrame => shared.zero(session.stream),
        });
        let moment = zero.content_time(now);
        let base = match rtsp::without_query(&request.uri) {
            "*" => stream_name(session.stream),
            uri => match uri.rsplit_once('/') {
                Some((base, control)) if sdp::track(control).is_some() => base.to_owned(),
                _ => uri.to_owned(),
            },
        };
        let mut info = Vec::new();
        for outlet in &mut state.outlets {
            if !state.playing {
                outlet.unit = match (outlet.track, shared.options.start) {
                    (Track::Video, Start::KeyFrame) => content.first_key_frame(moment),
                    (track, _) => content.first_unit(track, moment),
                };
                outlet.packet = 0;
                outlet.held = None;
                outlet.line_free = None;
            }
            info.push(format!(
                "url={base}/{};seq={};rtptime={}",
                sdp::control(outlet.track),
                outlet.sequence,
                content.timestamp_at(outlet.track, moment).wrapping_add(outlet.timestamp_base),
            ));
        }
        let played = std::mem::replace(&mut state.playing, true);
        drop(guard);
        let answer =
            Answer::new(200).header("Range", "npt=now-").header("RTP-Info", &info.join(","));
        (answer, if played { After::Nothing } else { After::Play(session) })
    }

    fn pause(&self, session: &Session) -> Answer {
        if self.shared.faults.lock().no_pause {
            return Answer::new(405);
        }
        self.shared.halt(session);
        Answer::new(200)
    }
}

/// The most sessions on one connection.
const MAX_SESSIONS: usize = 64;
