//! The core itself: what it holds, and the verbs it is driven by.

use core::net::SocketAddr;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtsp_proto::auth::ServerAuth;
use rtsp_proto::{Decoder, Frame, Role, StatusCode};
use smallvec::SmallVec;

use crate::api::{
    AfterSend, Ask, CloseReason, EndReason, Event, Intake, Output, Refused, ServerStats,
};
use crate::conn::{Conn, Parked, Pending, Turn, What};
use crate::ids::{AskId, ConnId, IdSource, SessionId};
use crate::options::{MAX_MESSAGES_PER_CALL, ServerOptions};
use crate::ports::{Host, Ports};
use crate::reply::Reply;
use crate::session::{Session, SessionView};
use crate::timers::{Key, Timers, later};

/// The server side of RTSP for all connections of one shard.
///
/// After every call, [`poll_output`](Self::poll_output) is drained and
/// [`poll_timeout`](Self::poll_timeout) looked at again. Calls about connections and sessions that
/// are gone do nothing.
pub struct Server {
    pub(crate) options: ServerOptions,
    /// `None` where nobody is asked who he is.
    pub(crate) auth: Option<ServerAuth>,
    pub(crate) ids: IdSource,
    pub(crate) conns: HashMap<ConnId, Conn>,
    pub(crate) sessions: HashMap<SessionId, Session>,
    /// On which connection each question is outstanding.
    pub(crate) asks: HashMap<AskId, ConnId>,
    pub(crate) addresses: HashMap<Host, Address>,
    /// Which sessions set up a port to get datagrams on, and so may send reports from it.
    pub(crate) ports: Ports,
    pub(crate) timers: Timers,
    outputs: VecDeque<Output>,
    /// Connections whose turn it may be to go on with what was parked.
    pub(crate) freed: VecDeque<ConnId>,
    last_conn: u64,
    last_ask: u64,
    shutting_down: bool,
    pub(crate) stats: ServerStats,
}

/// What is known about one host.
#[derive(Default, Debug)]
pub(crate) struct Address {
    pub(crate) conns: usize,
    pub(crate) sessions: usize,
    /// When it last sent a report from a port that nobody set up: NAT may have changed it.
    pub(crate) reported: Option<Instant>,
}

impl Server {
    /// Makes a server that holds nothing yet. `seed` is to come from the system's generator: who
    /// knows it knows every session id.
    pub fn new(options: ServerOptions, seed: [u8; 32]) -> Self {
        let mut ids = IdSource::new(seed);
        let nonces = ids.number();
        let auth = (!options.users.is_empty())
            .then(|| ServerAuth::new(options.realm.as_str(), options.users.clone(), nonces));
        Self {
            options,
            auth,
            ids,
            conns: HashMap::new(),
            sessions: HashMap::new(),
            asks: HashMap::new(),
            addresses: HashMap::new(),
            ports: Ports::default(),
            timers: Timers::default(),
            outputs: VecDeque::new(),
            freed: VecDeque::new(),
            last_conn: 0,
            last_ask: 0,
            shutting_down: false,
            stats: ServerStats::default(),
        }
    }

    /// Takes a connection in.
    ///
    /// # Errors
    ///
    /// A limit is reached, or the server is shutting down.
    pub fn accept(
        &mut self,
        now: Instant,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<ConnId, Refused> {
        if self.shutting_down {
            return Err(Refused::ShuttingDown);
        }
        let limit = self.options.connections;
        if self.conns.len() >= limit {
            return Err(Refused::TooManyConnections { limit });
        }
        let host = Host::of(peer);
        let from_here = self.addresses.get(&host).map_or(0, |address| address.conns);
        if let Some(limit) = self.options.connections_per_address
            && from_here >= limit
        {
            return Err(Refused::TooManyFromAddress { limit });
        }
        self.last_conn += 1;
        let id = ConnId(self.last_conn);
        self.addresses.entry(host).or_default().conns += 1;
        self.conns.insert(
            id,
            Conn {
                peer,
                local,
                decoder: Decoder::new(self.options.limits, Role::Server),
                turn: Turn::Reader,
                parked: None,
                held: false,
                sessions: SmallVec::new(),
                failures: 0,
                spoke: false,
                quiet_since: now,
            },
        );
        self.arm_conn(id);
        Ok(id)
    }

    /// Takes whole messages from the front of `input`, as many as may be looked at now.
    pub fn handle(&mut self, now: Instant, conn: ConnId, input: &mut BytesMut) -> Intake {
        let intake = self.take_messages(now, conn, input);
        self.settle(now);
        if self.conns.contains_key(&conn) {
            return intake;
        }
        input.clear();
        Intake::Closed
    }

    fn take_messages(&mut self, now: Instant, id: ConnId, input: &mut BytesMut) -> Intake {
        for _ in 0..MAX_MESSAGES_PER_CALL {
            let Some(conn) = self.conns.get_mut(&id) else { return Intake::Closed };
            if conn.parked.is_some() {
                conn.held = true;
                return Intake::Held;
            }
            let decoded = conn.decoder.decode(input);
            let tolerated = conn.decoder.take_tolerated();
            let parked = match decoded {
                Ok(None) => None,
                Ok(Some(Frame::Request(request))) => Some(Parked::Request(request)),
                Ok(Some(Frame::Interleaved { channel, data })) => {
                    self.on_interleaved(now, id, channel, data);
                    continue;
                }
                // We ask readers nothing, so nothing can be answered.
                Ok(Some(Frame::Response(_))) => continue,
                Err(error) => {
                    Some(Parked::Broken { status: error.kind.status(), why: error.to_string() })
                }
            };
            conn.parked = parked;
            let idle = conn.parked.is_none();
            for what in tolerated {
                self.output(Output::Event(Event::Tolerated { conn: id, what: what.to_string() }));
            }
            if idle {
                return Intake::Ready;
            }
            self.advance(now, id);
        }
        Intake::Again
    }

    /// The connection was closed by its reader or by the network. Interleaved sessions end with
    /// it; those over UDP live on and may be taken up from another connection.
    pub fn closed(&mut self, now: Instant, conn: ConnId) {
        self.forget_conn(now, conn);
        self.settle(now);
    }

    /// The session's connection took media: the reader lives, whatever else it says or does not.
    pub fn on_progress(&mut self, now: Instant, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.alive = now;
        }
    }

    /// RTCP arrived over UDP. From a port that was set up it keeps those sessions alive that set it
    /// up; from any other, which may be what NAT made of one, all UDP sessions of that host.
    pub fn on_rtcp_from(&mut self, now: Instant, from: SocketAddr) {
        let host = Host::of(from);
        if !self.ports.on_report(now, host, from.port())
            && let Some(known) = self.addresses.get_mut(&host)
        {
            known.reported = Some(now);
        }
    }

    /// A session of another server set up this port after this one did. If this one's connection is
    /// closed it is ended, for the port cannot be its reader's any more; else when that happens.
    pub fn port_taken(&mut self, now: Instant, session: SessionId, port: SocketAddr) {
        if self.ports.contest(Host::of(port), port.port(), session) {
            self.on_contested(now, session, None);
            self.settle(now);
        }
    }

    /// Ends every session of a stream; connections that were used for nothing else are closed.
    pub fn end_stream(&mut self, now: Instant, stream: &str, reason: EndReason) {
        let of_stream = |session: &&Session| session.stream == stream;
        let mut ids: Vec<_> = self.sessions.values().filter(of_stream).map(|s| s.id).collect();
        self.sort_for_end(&mut ids);
        for id in ids {
            self.end_by_us(now, id, reason);
        }
        self.settle(now);
    }

    /// Ends a session; its connection is closed if it was used for nothing else.
    pub fn end_session(&mut self, now: Instant, session: SessionId, reason: EndReason) {
        self.end_by_us(now, session, reason);
        self.settle(now);
    }

    /// Ends all sessions, closes all connections after what is queued, accepts no more.
    pub fn shutdown(&mut self, now: Instant) {
        self.shutting_down = true;
        let mut sessions: Vec<_> = self.sessions.keys().copied().collect();
        self.sort_for_end(&mut sessions);
        for id in sessions {
            self.remove_session(now, id, EndReason::Shutdown);
        }
        let mut conns: Vec<_> = self.conns.keys().copied().collect();
        conns.sort_unstable();
        for id in conns {
            self.close_conn(now, id, CloseReason::Shutdown);
        }
        self.settle(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.timers.due(now) {
            match key {
                Key::Conn(id) => self.on_conn_due(now, id),
                Key::Session(id) => self.on_session_due(now, id),
            }
        }
        self.settle(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next. It may turn out that
    /// nothing was due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next thing to do.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A session, if there is one of that id.
    pub fn session(&self, id: &SessionId) -> Option<SessionView<'_>> {
        self.sessions.get(id).map(Session::view)
    }

    /// All sessions, in no order.
    pub fn sessions(&self) -> impl Iterator<Item = SessionView<'_>> {
        self.sessions.values().map(Session::view)
    }

    /// Counters.
    pub fn stats(&self) -> ServerStats {
        ServerStats { connections: self.conns.len(), sessions: self.sessions.len(), ..self.stats }
    }

    /// Goes on wherever an answer has made room. A queue, not recursion: to end one session may
    /// free another connection, whose parked TEARDOWN ends the next.
    pub(crate) fn settle(&mut self, now: Instant) {
        while let Some(id) = self.freed.pop_front() {
            self.advance(now, id);
        }
    }

    /// Looks at the parked message if it is the reader's turn.
    fn advance(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if !conn.is_readers_turn() {
            return;
        }
        match conn.parked.take() {
            Some(Parked::Request(request)) => self.on_request(now, id, &request),
            Some(Parked::Broken { status, why }) => self.on_broken(now, id, status, why),
            None => {}
        }
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if conn.parked.is_none() && core::mem::take(&mut conn.held) {
            self.output(Output::Resume { conn: id });
        }
        self.arm_conn(id);
    }

    fn on_broken(&mut self, now: Instant, id: ConnId, status: StatusCode, why: String) {
        let Some(conn) = self.conns.get(&id) else { return };
        let peer = conn.peer;
        self.output(Output::Event(Event::BadInput { conn: id, peer, why }));
        self.respond(id, None, Reply::new(status), AfterSend::Nothing);
        self.close_conn(now, id, CloseReason::BadInput);
    }

    /// Sends a response.
    pub(crate) fn respond(&mut self, id: ConnId, cseq: Option<u32>, reply: Reply, then: AfterSend) {
        let status = reply.status;
        if status.0 >= 400 && status != StatusCode::UNAUTHORIZED {
            self.stats.refused += 1;
        }
        let bytes = reply.into_response(cseq, &self.options.server_name).encode();
        self.dialogue(id, true, &bytes);
        self.output(Output::Send { conn: id, bytes, then });
    }

    pub(crate) fn dialogue(&mut self, conn: ConnId, sent: bool, message: &[u8]) {
        if self.options.dialogue {
            self.output(Output::Dialogue { conn, sent, text: rtsp_proto::redact(message) });
        }
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// Asks the shell; until it answers, nothing more of this connection is looked at.
    pub(crate) fn ask(&mut self, now: Instant, conn: ConnId, cseq: u32, what: What, ask: Ask) {
        self.last_ask += 1;
        let id = AskId(self.last_ask);
        let wait = match ask {
            Ask::Describe { .. } => self.options.describe_deadline,
            _ => self.options.answer_deadline,
        };
        if let Some(session) = what.session().and_then(|id| self.sessions.get_mut(&id)) {
            session.busy = Some(conn);
        }
        let Some(asking) = self.conns.get_mut(&conn) else { return };
        asking.turn = Turn::Shell(Pending { id, cseq, deadline: later(now, wait), what });
        self.asks.insert(id, conn);
        self.output(Output::Ask { id, ask });
        self.arm_conn(conn);
    }

    fn on_interleaved(&mut self, now: Instant, id: ConnId, channel: u8, data: Bytes) {
        let Some(conn) = self.conns.get(&id) else { return };
        let found = conn.sessions.iter().find_map(|session| {
            let of = self.sessions.get(session)?;
            let mut channels = of.channels();
            let hit = channels.find(|&(_, (rtp, rtcp))| rtp == channel || rtcp == channel)?;
            Some((*session, hit))
        });
        let Some((session, (track, (_, rtcp)))) = found else {
            self.stats.stray_frames += 1;
            return;
        };
        self.on_progress(now, session);
        // Media from a reader has nowhere to go; that it sends at all is all it tells.
        if channel == rtcp {
            self.output(Output::Rtcp { session, track, data });
        }
    }
}

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Server")
            .field("connections", &self.conns.len())
            .field("sessions", &self.sessions.len())
            .field("asks", &self.asks.len())
            .finish_non_exhaustive()
    }
}
