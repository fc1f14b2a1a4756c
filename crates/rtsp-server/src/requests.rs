//! From requests to responses, or to questions.

use std::time::Instant;

use rtsp_proto::{Method, Request, StatusCode, Version};

use crate::api::{AfterSend, Ask, Output};
use crate::conn::What;
use crate::ids::ConnId;
use crate::options::MAX_URI_BYTES;
use crate::reply::{PUBLIC, Reply};
use crate::server::Server;
use crate::target::{Part, Target, content_base, stream_of};

/// A request's place: when, where, and what its answer is numbered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) now: Instant,
    pub(crate) conn: ConnId,
    pub(crate) cseq: u32,
}

/// What a request led to.
#[derive(Debug)]
pub(crate) enum Step {
    Reply(Reply),
    /// The shell was asked, or the answer is kept back.
    Later,
}

impl Server {
    pub(crate) fn on_request(&mut self, now: Instant, id: ConnId, request: &Request) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.spoke = true;
        conn.quiet_since = now;
        // A request says that the reader is there, whether or not it names the session.
        for session in &conn.sessions {
            if let Some(session) = self.sessions.get_mut(session) {
                session.alive = now;
            }
        }
        self.stats.requests += 1;
        if self.options.dialogue {
            self.dialogue(id, false, &request.encode());
        }
        let Some(cseq) = request.cseq() else {
            let reply = Reply::new(StatusCode::BAD_REQUEST).reason("CSeq Missing");
            return self.respond(id, None, reply, AfterSend::Nothing);
        };
        let step = self.dispatch(At { now, conn: id, cseq }, request);
        if let Ok(Step::Reply(reply)) | Err(reply) = step {
            self.respond(id, Some(cseq), reply, AfterSend::Nothing);
        }
    }

    fn dispatch(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        if request.uri.len() > MAX_URI_BYTES {
            return Err(Reply::new(StatusCode::REQUEST_URI_TOO_LARGE));
        }
        if request.version.major != Version::RTSP_1_0.major {
            return Err(Reply::new(StatusCode::RTSP_VERSION_NOT_SUPPORTED));
        }
        let unsupported = unsupported_tags(request);
        if !unsupported.is_empty() {
            return Err(Reply::new(StatusCode::OPTION_NOT_SUPPORTED)
                .with("Unsupported", unsupported.join(", ")));
        }
        match request.method {
            Method::Options => self.on_options(at, request),
            Method::Describe => self.on_describe(at, request),
            Method::Setup => self.on_setup(at, request),
            Method::Play => self.on_play(at, request),
            Method::Pause => self.on_pause(at, request),
            Method::Teardown => self.on_teardown(at, request),
            Method::GetParameter | Method::SetParameter => self.on_parameter(at, request),
            _ => Err(Reply::not_implemented()),
        }
    }

    /// Never asks who the reader is: players send it to find out what they have to do. It keeps a
    /// session alive all the same.
    fn on_options(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        let reply = match self.named_session(request)? {
            None => Reply::ok(),
            Some(named) => {
                let who = self.who_unasked(at, request);
                self.use_session(at, named, who.as_ref())?;
                self.session_reply(named)
            }
        };
        Ok(Step::Reply(reply.with("Public", PUBLIC)))
    }

    /// GET_PARAMETER and SET_PARAMETER: signs of life, with or without a session. There are no
    /// parameters; a body is taken and ignored, because players that send one want an answer, not
    /// a value.
    fn on_parameter(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        let named = self.named_session(request)?;
        if let Some(named) = named
            && request.method == Method::GetParameter
            && self.conns.get(&at.conn).is_some_and(|conn| conn.sessions.contains(&named))
        {
            return Ok(Step::Reply(self.session_reply(named)));
        }
        let Some(who) = self.identify(at, request)? else { return Ok(Step::Later) };
        let Some(named) = named else { return Ok(Step::Reply(Reply::ok())) };
        self.use_session(at, named, Some(&who))?;
        Ok(Step::Reply(self.session_reply(named)))
    }

    /// `Accept` is not looked at: there is one form of description, and players that name others
    /// take it.
    fn on_describe(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        let Some(_) = self.identify(at, request)? else { return Ok(Step::Later) };
        let Target { path: stream, query } = target(request)?;
        if stream.is_empty() {
            return Err(Reply::new(StatusCode::NOT_FOUND));
        }
        let what = What::Describe { base: content_base(&request.uri) };
        let ask = Ask::Describe { conn: at.conn, stream, query };
        self.ask(at.now, at.conn, at.cseq, what, ask);
        Ok(Step::Later)
    }

    fn on_play(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        let Some(who) = self.identify(at, request)? else { return Ok(Step::Later) };
        let named = self.named_session(request)?.ok_or_else(no_session)?;
        self.use_session(at, named, Some(&who))?;
        let target = target(request)?;
        let session = self.sessions.get(&named).ok_or_else(no_session)?;
        about_all(&target, session)?;
        if session.busy.is_some() || session.tracks.is_empty() {
            return Err(wrong_state());
        }
        if session.playing {
            // Some players send PLAY as a sign of life. Live, there is nowhere to go to.
            let reply = self.session_reply(named).with("Range", crate::answers::LIVE_RANGE);
            return Ok(Step::Reply(reply));
        }
        let plays_here =
            |id| self.sessions.get(id).is_some_and(|other| other.playing && other.is_bound());
        let conn = self.conns.get(&at.conn).ok_or_else(no_session)?;
        if session.is_bound() && conn.sessions.iter().any(plays_here) {
            self.limit(at.conn, "MAX_PLAYING_INTERLEAVED_PER_CONNECTION");
            return Err(wrong_state());
        }
        let what = What::Play {
            session: named,
            scale: request.headers.get("Scale").is_some(),
            speed: request.headers.get("Speed").is_some(),
        };
        let ask = Ask::Play {
            conn: at.conn,
            session: named,
            stream: session.stream.clone(),
            tracks: session.indices(),
            query: target.query.or_else(|| session.query.clone()),
        };
        self.ask(at.now, at.conn, at.cseq, what, ask);
        Ok(Step::Later)
    }

    fn on_pause(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        let Some(who) = self.identify(at, request)? else { return Ok(Step::Later) };
        let named = self.named_session(request)?.ok_or_else(no_session)?;
        self.use_session(at, named, Some(&who))?;
        let session = self.sessions.get(&named).ok_or_else(no_session)?;
        about_all(&target(request)?, session)?;
        if session.busy.is_some() || session.tracks.is_empty() {
            return Err(wrong_state());
        }
        if !session.playing {
            return Ok(Step::Reply(self.session_reply(named)));
        }
        let what = What::Pause { session: named };
        self.ask(at.now, at.conn, at.cseq, what, Ask::Pause { session: named });
        Ok(Step::Later)
    }

    fn on_teardown(&mut self, at: At, request: &Request) -> Result<Step, Reply> {
        let Some(who) = self.identify(at, request)? else { return Ok(Step::Later) };
        let named = self.named_session(request)?.ok_or_else(no_session)?;
        self.use_session(at, named, Some(&who))?;
        let session = self.sessions.get_mut(&named).ok_or_else(no_session)?;
        let part = target(request)?.within(&session.stream);
        let reply = match part {
            None => return Err(Reply::new(StatusCode::NOT_FOUND)),
            Some(Part::Whole) => None,
            Some(Part::Track(index)) if session.track(index).is_none() => {
                return Err(Reply::new(StatusCode::NOT_FOUND));
            }
            Some(Part::Track(_)) if session.tracks.len() == 1 => None,
            Some(Part::Track(_)) if session.busy.is_some() => return Err(wrong_state()),
            Some(Part::Track(index)) => Some(index),
        };
        if let Some(index) = reply {
            self.remove_track(named, index);
        } else {
            self.remove_session(at.now, named, crate::EndReason::Teardown);
        }
        Ok(Step::Reply(self.session_reply(named)))
    }

    /// Says that somebody was refused because of a limit.
    pub(crate) fn limit(&mut self, conn: ConnId, limit: &'static str) {
        self.output(Output::Event(crate::Event::LimitReached { conn, limit }));
    }
}

/// The request's target, or what to answer if it has none.
pub(crate) fn target(request: &Request) -> Result<Target, Reply> {
    stream_of(&request.uri).ok_or_else(|| Reply::new(StatusCode::BAD_REQUEST))
}

/// PLAY and PAUSE are for all tracks at once (RFC 2326 section 10.5); the URL of a session's only
/// track will do as well.
fn about_all(target: &Target, session: &crate::session::Session) -> Result<(), Reply> {
    match target.within(&session.stream) {
        Some(Part::Whole) => Ok(()),
        Some(Part::Track(index)) if session.track(index).is_none() => {
            Err(Reply::new(StatusCode::NOT_FOUND))
        }
        Some(Part::Track(_)) if session.tracks.len() == 1 => Ok(()),
        Some(Part::Track(_)) => Err(Reply::new(StatusCode::ONLY_AGGREGATE_OPERATION_ALLOWED)),
        None => Err(Reply::new(StatusCode::NOT_FOUND)),
    }
}

pub(crate) fn no_session() -> Reply {
    Reply::new(StatusCode::SESSION_NOT_FOUND)
}

pub(crate) fn wrong_state() -> Reply {
    Reply::new(StatusCode::METHOD_NOT_VALID_IN_THIS_STATE)
}

/// What the reader insists on that we do not know (RFC 2326 section 12.32).
fn unsupported_tags(request: &Request) -> Vec<String> {
    let lists = ["Require", "Proxy-Require"].into_iter();
    lists
        .flat_map(|name| request.headers.get_all(name))
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .filter(|tag| !KNOWN_TAGS.iter().any(|known| known.eq_ignore_ascii_case(tag)))
        .map(str::to_owned)
        .collect()
}

/// `onvif-replay` asks for header extensions, which pass through us if the backend sends them.
/// The back channel is not among them: players that hear 551 do without.
const KNOWN_TAGS: [&str; 2] = ["play.basic", "onvif-replay"];
