//! Who a reader is, and whose session it may use.

use rtsp_proto::auth::AuthVerdict;
use rtsp_proto::session::SessionHeader;
use rtsp_proto::{Request, StatusCode};

use crate::api::{CloseReason, Event, Output};
use crate::conn::Turn;
use crate::ids::SessionId;
use crate::reply::Reply;
use crate::requests::{At, no_session};
use crate::server::Server;
use crate::timers::later;

/// A reader that has shown who it is: the user's name, or nothing where nobody is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Who(pub(crate) Option<String>);

impl Server {
    /// Who sends this request. `None`: wrong credentials, and the answer is kept back for a while.
    pub(crate) fn identify(&mut self, at: At, request: &Request) -> Result<Option<Who>, Reply> {
        let Some(auth) = &self.auth else { return Ok(Some(Who(None))) };
        let shown = request.headers.get("Authorization");
        let verdict = auth.check(at.now, &request.method, &request.uri, shown);
        let challenges = match verdict {
            AuthVerdict::Ok { user } => return Ok(Some(Who(Some(user)))),
            AuthVerdict::Stale => auth.stale_challenges(at.now),
            AuthVerdict::Missing | AuthVerdict::Wrong => auth.challenges(at.now),
        };
        let reply = challenges
            .into_iter()
            .fold(Reply::new(StatusCode::UNAUTHORIZED), |reply, challenge| {
                reply.with("WWW-Authenticate", challenge)
            });
        if verdict != AuthVerdict::Wrong {
            return Err(reply);
        }
        self.on_wrong_credentials(at, reply);
        Ok(None)
    }

    fn on_wrong_credentials(&mut self, at: At, reply: Reply) {
        let Some(conn) = self.conns.get_mut(&at.conn) else { return };
        conn.failures += 1;
        let failures = conn.failures;
        let peer = conn.peer;
        let too_many = failures >= self.options.failures_per_connection;
        conn.turn = Turn::Delayed {
            until: later(at.now, self.options.failure_delay),
            cseq: Some(at.cseq),
            reply,
            close: too_many.then_some(CloseReason::Unauthorized),
        };
        self.stats.wrong_credentials += 1;
        let event = Event::WrongCredentials { conn: at.conn, peer, failures };
        self.output(Output::Event(event));
        self.arm_conn(at.conn);
    }

    /// Who sends this request, where that is not asked for; `None` if it cannot be told.
    pub(crate) fn who_unasked(&mut self, at: At, request: &Request) -> Option<Who> {
        let Some(auth) = &self.auth else { return Some(Who(None)) };
        let shown = request.headers.get("Authorization");
        match auth.check(at.now, &request.method, &request.uri, shown) {
            AuthVerdict::Ok { user } => Some(Who(Some(user))),
            _ => None,
        }
    }

    /// The session that a request names, if it names one; 454 if there is none of that name.
    pub(crate) fn named_session(&self, request: &Request) -> Result<Option<SessionId>, Reply> {
        let Some(header) = request.headers.get("Session") else { return Ok(None) };
        let id = SessionHeader::parse(header).and_then(|header| SessionId::parse(&header.id));
        match id.filter(|id| self.sessions.contains_key(id)) {
            Some(id) => Ok(Some(id)),
            None => Err(no_session()),
        }
    }

    /// Lets this reader use the session, or says 454, the same as if it did not exist.
    ///
    /// A session belongs to its reader's IP address and user; one whose media is interleaved, to
    /// its connection as well. A session over UDP is taken up by the connection that uses it last.
    /// A reader that has not shown who it is may use its own connection's sessions only.
    pub(crate) fn use_session(
        &mut self,
        at: At,
        id: SessionId,
        who: Option<&Who>,
    ) -> Result<(), Reply> {
        let conn = self.conns.get(&at.conn).ok_or_else(no_session)?;
        let session = self.sessions.get_mut(&id).ok_or_else(no_session)?;
        let own = session.conn == Some(at.conn);
        let may = match who {
            Some(Who(user)) => session.user == *user && (own || !session.is_bound()),
            None => own,
        };
        if !may || session.host() != conn.host() {
            return Err(no_session());
        }
        session.alive = at.now;
        let room = conn.sessions.len() < self.options.sessions_per_connection;
        if own || session.busy.is_some() || !room {
            return Ok(());
        }
        let before = session.conn.replace(at.conn);
        session.peer = conn.peer;
        session.local = conn.local;
        if let Some(conn) = self.conns.get_mut(&at.conn) {
            conn.sessions.push(id);
        }
        if let Some(before) = before
            && let Some(conn) = self.conns.get_mut(&before)
        {
            conn.sessions.retain(|other| *other != id);
            conn.quiet_since = at.now;
            self.arm_conn(before);
        }
        Ok(())
    }
}
