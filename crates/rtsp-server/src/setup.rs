//! SETUP, and what becomes of a session's tracks.

use std::time::Instant;

use rtsp_proto::transport::parse_transports;
use rtsp_proto::{Request, StatusCode};
use smallvec::SmallVec;

use crate::access::Who;
use crate::api::{Ask, EndReason, Output};
use crate::conn::What;
use crate::ids::SessionId;
use crate::offer::{self, Taken};
use crate::options::MAX_TRACKS;
use crate::reply::Reply;
use crate::requests::{At, Step, no_session, target, wrong_state};
use crate::server::Server;
use crate::session::{Session, SessionTrack, udp_ports};
use crate::timers::{Key, later};

impl Server {
    pub(crate) fn on_setup(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        let Some(who) = self.identify(at, request)? else { return Ok(Step::Later) };
        let target = target(request)?;
        let Some((stream, track)) = target.split_track() else {
            let status = if target.path.is_empty() { StatusCode::NOT_FOUND } else { AGGREGATE };
            return Err(Reply::new(status));
        };
        if track >= MAX_TRACKS || stream.is_empty() {
            return Err(Reply::new(StatusCode::NOT_FOUND));
        }
        let named = self.named_session(request)?;
        if let Some(named) = named {
            self.use_session(at, named, Some(&who))?;
            self.check_addition(at, named, stream)?;
        }
        if request.headers.get("Transport").is_none() {
            return Err(Reply::new(StatusCode::BAD_REQUEST).reason("Transport Missing"));
        }
        let taken = self.taken(at, named, track);
        let chosen = request
            .headers
            .get_all("Transport")
            .flat_map(parse_transports)
            .find_map(|offered| offer::choose(&offered, track, &taken));
        let Some((transport, profile)) = chosen else {
            return Err(Reply::new(StatusCode::UNSUPPORTED_TRANSPORT));
        };
        let session = match named {
            Some(named) => named,
            None => self.new_session(at, stream, target.query.as_deref(), who)?,
        };
        let uri = request.uri.clone();
        let what =
            What::Setup { session, track: SessionTrack { index: track, transport, uri }, profile };
        let ask = Ask::Setup {
            conn: at.conn,
            session,
            stream: stream.to_owned(),
            track,
            transport,
            query: target.query.clone(),
        };
        self.ask(at.now, at.conn, at.cseq, what, ask);
        Ok(Step::Later)
    }

    /// Whether a track of `stream` may be added to the session now.
    fn check_addition(&mut self, at: At, id: SessionId, stream: &str) -> Result<(), Reply> {
        let session = self.sessions.get(&id).ok_or_else(no_session)?;
        if session.stream != stream {
            return Err(Reply::new(AGGREGATE));
        }
        if session.busy.is_some() || session.playing {
            return Err(wrong_state());
        }
        if session.conn != Some(at.conn) {
            return Err(self.too_many(at, "sessions_per_connection"));
        }
        Ok(())
    }

    /// What a new track of this session has to keep clear of.
    fn taken(&self, at: At, session: Option<SessionId>, track: usize) -> Taken {
        let mut taken = Taken::default();
        let here = self.conns.get(&at.conn).into_iter().flat_map(|conn| &conn.sessions);
        for id in here {
            let Some(other) = self.sessions.get(id) else { continue };
            let same = session == Some(*id);
            for (index, (rtp, rtcp)) in other.channels() {
                if !(same && index == track) {
                    taken.channels.extend([rtp, rtcp]);
                }
            }
            let mut others = other.tracks.iter().filter(|other| same && other.index != track);
            if let Some(other) = others.next() {
                taken.interleaved = Some(other.transport.is_interleaved());
            }
        }
        taken
    }

    fn new_session(
        &mut self,
        at: At,
        stream: &str,
        query: Option<&str>,
        Who(user): Who,
    ) -> Result<SessionId, Reply> {
        let conn = self.conns.get(&at.conn).ok_or_else(no_session)?;
        let host = conn.host();
        let from_here = self.addresses.get(&host).map_or(0, |known| known.sessions);
        if self.sessions.len() >= self.options.sessions {
            return Err(self.too_many(at, "sessions"));
        }
        if conn.sessions.len() >= self.options.sessions_per_connection {
            return Err(self.too_many(at, "sessions_per_connection"));
        }
        if self.options.sessions_per_address.is_some_and(|limit| from_here >= limit) {
            return Err(self.too_many(at, "sessions_per_address"));
        }
        let id = loop {
            let id = self.ids.session(self.options.shard_tag);
            if !self.sessions.contains_key(&id) {
                break id;
            }
        };
        let session = Session {
            id,
            conn: Some(at.conn),
            stream: stream.to_owned(),
            query: query.map(str::to_owned),
            peer: conn.peer,
            local: conn.local,
            user,
            tracks: SmallVec::new(),
            playing: false,
            busy: None,
            alive: at.now,
        };
        self.sessions.insert(id, session);
        self.addresses.entry(host).or_default().sessions += 1;
        if let Some(conn) = self.conns.get_mut(&at.conn) {
            conn.sessions.push(id);
        }
        self.timers.arm(Key::Session(id), later(at.now, self.options.reclaim_after));
        Ok(id)
    }

    fn too_many(&mut self, at: At, limit: &'static str) -> Reply {
        self.limit(at.conn, limit);
        Reply::unavailable(self.options.retry_after)
    }

    /// A TEARDOWN took one of several tracks; the others go on.
    pub(crate) fn remove_track(&mut self, id: SessionId, index: usize) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let before: SmallVec<[u16; 4]> = session.udp_ports().collect();
        session.remove(index);
        let tracks = session.indices();
        self.release_ports(id, &before);
        self.output(Output::TracksChanged { session: id, tracks });
    }

    /// Adds a track to a session, or gives one another transport.
    pub(crate) fn put_track(&mut self, now: Instant, id: SessionId, track: SessionTrack) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let (host, claimed) = (session.host(), udp_ports(track.transport));
        let before: SmallVec<[u16; 4]> = session.udp_ports().collect();
        session.put(track);
        self.release_ports(id, &before);
        let mut earlier: SmallVec<[SessionId; 2]> = SmallVec::new();
        let mut surplus: SmallVec<[SessionId; 2]> = SmallVec::new();
        for port in claimed {
            let contested = self.ports.claim(host, port, id);
            earlier.extend(contested.filter(|contested| !earlier.contains(contested)));
            surplus.extend(self.ports.surplus(host, port));
        }
        let by = self.sessions.get(&id).and_then(|session| session.conn);
        for contested in earlier {
            self.on_contested(now, contested, by);
        }
        for oldest in surplus {
            self.end_by_us(now, oldest, EndReason::PortsTaken);
        }
    }

    /// Gives up those of the ports that a session had `before` and has no more.
    fn release_ports(&mut self, id: SessionId, before: &[u16]) {
        let Some(session) = self.sessions.get(&id) else { return };
        let now: SmallVec<[u16; 4]> = session.udp_ports().collect();
        for port in before.iter().filter(|port| !now.contains(port)) {
            self.ports.release(session.host(), *port, id);
        }
    }
}

const AGGREGATE: StatusCode = StatusCode::AGGREGATE_OPERATION_NOT_ALLOWED;
