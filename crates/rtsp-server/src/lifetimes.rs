//! How connections, sessions and questions end.

use std::time::{Duration, Instant};

use crate::api::{AfterSend, CloseReason, EndReason, Event, Output};
use crate::conn::{Pending, Turn};
use crate::ids::{ConnId, SessionId};
use crate::reply::Reply;
use crate::server::Server;
use crate::session::Session;
use crate::timers::{Key, later};
use rtsp_proto::StatusCode;

/// How long after its last request a session lives by reports from a port that another session
/// claimed after it. They are likely to be that one's, and its reader gets every packet twice.
const CONTESTED_FOR: Duration = Duration::from_secs(300);

impl Server {
    pub(crate) fn arm_conn(&mut self, id: ConnId) {
        let deadline = self.conns.get(&id).and_then(|conn| conn.deadline(&self.options));
        if let Some(at) = deadline {
            self.timers.arm(Key::Conn(id), at);
        }
    }

    pub(crate) fn on_conn_due(&mut self, now: Instant, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match conn.deadline(&self.options) {
            Some(at) if at <= now => {}
            _ => return self.arm_conn(id),
        }
        let spoke = conn.spoke;
        match core::mem::replace(&mut conn.turn, Turn::Reader) {
            Turn::Shell(pending) => {
                conn.turn = Turn::Shell(pending);
                self.on_no_answer(now, id);
            }
            Turn::Delayed { cseq, reply, close, .. } => {
                conn.quiet_since = now;
                self.respond(id, cseq, reply, AfterSend::Nothing);
                match close {
                    Some(reason) => self.close_conn(now, id, reason),
                    None => self.free(id),
                }
            }
            Turn::Reader if spoke => self.close_conn(now, id, CloseReason::Idle),
            Turn::Reader => self.close_conn(now, id, CloseReason::NoRequest),
        }
    }

    fn on_no_answer(&mut self, now: Instant, conn: ConnId) {
        let Some(pending) = self.withdraw(now, conn) else { return };
        self.stats.unanswered += 1;
        self.output(Output::Event(Event::NoAnswer { conn, id: pending.id }));
        let reply = Reply::unavailable(self.options.retry_after);
        self.fail(now, conn, &pending, reply);
    }

    /// Answers a question's request with an error, and ends a session that never came to be.
    pub(crate) fn fail(&mut self, now: Instant, conn: ConnId, pending: &Pending, reply: Reply) {
        let session = pending.what.session().and_then(|id| self.sessions.get(&id));
        if let Some(id) = session.filter(|s| s.tracks.is_empty()).map(|s| s.id) {
            self.remove_session(now, id, EndReason::NeverSetUp);
        }
        self.respond(conn, Some(pending.cseq), reply, AfterSend::Nothing);
    }

    pub(crate) fn on_session_due(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(&id) else { return };
        let mut alive = self.reported(session).map_or(session.alive, |at| session.alive.max(at));
        if self.is_contested(id) {
            alive = alive.min(later(session.alive, CONTESTED_FOR));
        }
        let end = later(alive, self.options.reclaim_after);
        if end > now {
            return self.timers.arm(Key::Session(id), end);
        }
        self.stats.reclaimed += 1;
        self.end_by_us(now, id, EndReason::TimedOut);
    }

    /// When a session's reader was last heard of over UDP, if that is how it gets its media.
    fn reported(&self, session: &Session) -> Option<Instant> {
        if session.is_bound() {
            return None;
        }
        let host = session.host();
        let nat = self.addresses.get(&host).and_then(|known| known.reported);
        let ports = session.udp_ports().filter_map(|port| self.ports.reported(host, port));
        ports.chain(nat).max()
    }

    /// Another session, on the connection `by` if it is of this server, claims a port of this one.
    /// If its reader has gone, or begins anew, it is ended, for the other one's gets its media as
    /// well; if it seems to be there, the shell shall see.
    pub(crate) fn on_contested(&mut self, now: Instant, id: SessionId, by: Option<ConnId>) {
        let Some(session) = self.sessions.get(&id) else { return };
        match session.conn {
            Some(conn) if by != Some(conn) => self.output(Output::PortsContested { conn }),
            _ => self.end_by_us(now, id, EndReason::PortsTaken),
        }
    }

    fn is_contested(&self, id: SessionId) -> bool {
        let session = self.sessions.get(&id);
        session.is_some_and(|session| {
            let host = session.host();
            session.udp_ports().any(|port| self.ports.is_contested(host, port, id))
        })
    }

    /// Sessions that are to end together, the contested ones first: the last one on a port is then
    /// the one whose reader is likely to be there, and its goodbye the one that is said.
    pub(crate) fn sort_for_end(&self, ids: &mut [SessionId]) {
        ids.sort_by_cached_key(|id| (!self.is_contested(*id), *id));
    }

    /// Ends a session and, if that was its last, its connection: for the reader this is the only
    /// sign that does not depend on RTCP.
    pub(crate) fn end_by_us(&mut self, now: Instant, id: SessionId, reason: EndReason) {
        let conn = self.sessions.get(&id).and_then(|session| session.conn);
        self.remove_session(now, id, reason);
        if let Some(conn) = conn
            && self.conns.get(&conn).is_some_and(|conn| conn.sessions.is_empty())
        {
            self.close_conn(now, conn, CloseReason::SessionEnded(reason));
        }
    }

    /// Ends a session; its connection stays as it is.
    pub(crate) fn remove_session(&mut self, now: Instant, id: SessionId, reason: EndReason) {
        let Some(session) = self.sessions.remove(&id) else { return };
        self.timers.cancel(Key::Session(id));
        let host = session.host();
        if let Some(known) = self.addresses.get_mut(&host) {
            known.sessions = known.sessions.saturating_sub(1);
            if known.sessions == 0 {
                known.reported = None;
            }
            if known.sessions == 0 && known.conns == 0 {
                self.addresses.remove(&host);
            }
        }
        for port in session.udp_ports() {
            self.ports.release(host, port, id);
        }
        if let Some(on) = session.conn
            && let Some(conn) = self.conns.get_mut(&on)
        {
            conn.sessions.retain(|other| *other != id);
            conn.quiet_since = now;
            self.arm_conn(on);
        }
        self.output(Output::SessionEnded { session: id, reason });
        if let Some(conn) = session.busy
            && let Some(pending) = self.withdraw(now, conn)
        {
            let reply = match reason {
                EndReason::StreamLost | EndReason::Shutdown => {
                    Reply::unavailable(self.options.retry_after)
                }
                _ => Reply::new(StatusCode::SESSION_NOT_FOUND),
            };
            self.respond(conn, Some(pending.cseq), reply, AfterSend::Nothing);
        }
    }

    /// Closes a connection after what is queued. A request still unanswered is told 503 first.
    pub(crate) fn close_conn(&mut self, now: Instant, id: ConnId, reason: CloseReason) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if let Turn::Delayed { .. } = conn.turn
            && let Turn::Delayed { cseq, reply, .. } =
                core::mem::replace(&mut conn.turn, Turn::Reader)
        {
            self.respond(id, cseq, reply, AfterSend::Nothing);
        } else if let Some(pending) = self.withdraw(now, id) {
            let reply = Reply::unavailable(self.options.retry_after);
            self.respond(id, Some(pending.cseq), reply, AfterSend::Nothing);
        }
        self.forget_conn(now, id);
        self.output(Output::CloseConn { conn: id, reason });
    }

    /// Removes a connection with what lives and dies with it.
    pub(crate) fn forget_conn(&mut self, now: Instant, id: ConnId) {
        self.withdraw(now, id);
        let Some(conn) = self.conns.remove(&id) else { return };
        self.timers.cancel(Key::Conn(id));
        let host = conn.host();
        if let Some(known) = self.addresses.get_mut(&host) {
            known.conns = known.conns.saturating_sub(1);
            if known.sessions == 0 && known.conns == 0 {
                self.addresses.remove(&host);
            }
        }
        for session in conn.sessions {
            let contested = self.is_contested(session);
            match self.sessions.get_mut(&session) {
                Some(over_udp) if !over_udp.is_bound() => {
                    over_udp.conn = None;
                    if contested {
                        self.remove_session(now, session, EndReason::PortsTaken);
                    }
                }
                _ => self.remove_session(now, session, EndReason::ConnectionClosed),
            }
        }
    }

    /// Ends the question outstanding on a connection without an answer from the shell.
    fn withdraw(&mut self, now: Instant, conn: ConnId) -> Option<Pending> {
        let pending = self.take_pending(now, conn)?;
        self.output(Output::Withdrawn { id: pending.id });
        Some(pending)
    }

    /// Ends the question outstanding on a connection: it is the reader's turn again.
    pub(crate) fn take_pending(&mut self, now: Instant, id: ConnId) -> Option<Pending> {
        let conn = self.conns.get_mut(&id)?;
        let pending = match core::mem::replace(&mut conn.turn, Turn::Reader) {
            Turn::Shell(pending) => pending,
            other => {
                conn.turn = other;
                return None;
            }
        };
        conn.quiet_since = now;
        self.asks.remove(&pending.id);
        if let Some(session) = pending.what.session().and_then(|id| self.sessions.get_mut(&id)) {
            session.busy = None;
        }
        self.free(id);
        Some(pending)
    }

    fn free(&mut self, id: ConnId) {
        self.freed.push_back(id);
        self.arm_conn(id);
    }
}
