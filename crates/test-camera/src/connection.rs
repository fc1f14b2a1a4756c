//! One connection: requests are read, performed and answered on a thread of its own.

mod methods;
mod tunnel;

use std::sync::Arc;

use crate::auth::{Challenger, Verdict};
use crate::fault::Method;
use crate::link::{Link, Taken};
use crate::log::{LogEvent, LoggedRequest};
use crate::pacer::Command;
use crate::rtsp::{self, Answer, Incoming, Request};
use crate::session::{Destination, Session};
use crate::shared::Shared;

pub(crate) use tunnel::Tunnel;

/// Serves a connection until it is closed.
pub(crate) fn serve(shared: &Arc<Shared>, link: &Arc<Link>) {
    let reason = run(shared, link);
    shared.end_sessions(|session| session.link.id == link.id);
    link.close();
    shared.links.lock().remove(&link.id);
    shared.log.add(link.id, LogEvent::Closed { reason });
}

/// Reads until there is a reason to stop, which is returned.
fn run(shared: &Arc<Shared>, link: &Arc<Link>) -> String {
    let mut challenger = Challenger::new(&shared.random);
    let mut connection = Connection { shared, link, challenger: &mut challenger };
    let mut may_be_http = shared.options.tunnel;
    let mut buffer = Vec::new();
    let mut chunk = [0; 8192];
    loop {
        match link.read(&mut chunk) {
            Ok(0) => return "closed by its peer, or by command".to_owned(),
            Ok(length) => buffer.extend_from_slice(chunk.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return error.to_string(),
        }
        if may_be_http {
            match tunnel::is_http(&buffer) {
                Some(true) => return tunnel::serve(shared, link, buffer),
                Some(false) => may_be_http = false,
                None => continue,
            }
        }
        if let Err(reason) = connection.take(&mut buffer) {
            return reason;
        }
    }
}

struct Connection<'a> {
    shared: &'a Arc<Shared>,
    link: &'a Arc<Link>,
    challenger: &'a mut Challenger,
}

/// What follows an answer.
enum After {
    Nothing,
    /// The session's media starts, now that the answer is on its way.
    Play(Arc<Session>),
}

impl Connection<'_> {
    /// Performs and answers what came; what is not whole yet stays. An error is the reason to stop.
    fn take(&mut self, buffer: &mut Vec<u8>) -> Result<(), String> {
        // What cannot be a message yet is bounded by `rtsp::next`.
        let mut used = rtsp::blank(buffer);
        loop {
            let rest = buffer.get(used..).unwrap_or_default();
            match rtsp::next(rest) {
                Ok(Some((Incoming::Request(request), length))) => {
                    self.on_request(&request).map_err(str::to_owned)?;
                    used += length;
                }
                Ok(Some((Incoming::Packet { channel, data }, length))) => {
                    self.on_packet(channel, data);
                    used += length;
                }
                Ok(None) => break,
                Err(malformed) => {
                    if self.link.send(&Answer::new(400).to_bytes(None)) == Taken::Closed {
                        return Err("closed by its peer".to_owned());
                    }
                    return Err(format!("malformed: {}", malformed.0));
                }
            }
        }
        buffer.drain(..used);
        Ok(())
    }

    fn on_packet(&self, channel: u8, data: &[u8]) {
        let found = self.shared.sessions.lock().values().find(|session| {
            session.link.id == self.link.id
                && session.state.lock().outlets.iter().any(|outlet| {
                    matches!(outlet.destination, Destination::Interleaved { rtcp, .. } if rtcp == channel)
                })
        }).cloned();
        if let Some(session) = found {
            self.shared.on_rtcp(&session, self.link.id, data);
        }
    }

    /// Performs and answers a request; an error when the connection is to be closed.
    fn on_request(&mut self, request: &Request) -> Result<(), &'static str> {
        let shared = self.shared;
        shared.log.add(self.link.id, LogEvent::Request(logged(shared, request)));
        for session in shared.sessions.lock().values() {
            // Any request on its connection is a sign of life, and one by its name.
            if session.link.id == self.link.id || Some(session.name.as_str()) == request.session() {
                session.touch(shared.epoch.elapsed());
            }
        }
        let method = request.method.parse::<Method>().ok();
        let delay = method.and_then(|method| shared.faults.lock().delay(method));
        if delay.is_some_and(|delay| !shared.wait(delay)) {
            return Err("the camera stops");
        }
        let (mut answer, after) = match method {
            Some(method) => self.answer(method, request),
            None => (Answer::new(501), After::Nothing),
        };
        if let Some(name) = request.session()
            && answer.status == 200
            && method != Some(Method::Setup)
        {
            answer = answer.header("Session", name);
        }
        if !method.is_some_and(|method| shared.faults.lock().ignored(method)) {
            match self.link.send(&answer.to_bytes(request.header("CSeq"))) {
                Taken::All | Taken::Waiting => {}
                Taken::Closed => return Err("closed before the answer"),
                Taken::Dropped => return Err("its peer does not read"),
            }
            let event = LogEvent::Answer {
                method: request.method.clone(),
                cseq: request.cseq(),
                status: answer.status,
            };
            shared.log.add(self.link.id, event);
        }
        match after {
            After::Nothing => Ok(()),
            After::Play(session) => {
                shared.commands.send(Command::Play(session)).map_err(|_| "the camera stops")
            }
        }
    }

    fn answer(&mut self, method: Method, request: &Request) -> (Answer, After) {
        let refusal = self.shared.faults.lock().take_refusal(method);
        if let Some(status) = refusal {
            return (Answer::new(status), After::Nothing);
        }
        if let Some(auth) = self.shared.options.auth.as_ref().filter(|_| method != Method::Options)
        {
            let verdict = self.challenger.check(auth, request);
            if verdict != Verdict::Welcome {
                let challenge = self.challenger.challenge(auth, verdict, &self.shared.random);
                return (challenge, After::Nothing);
            }
        }
        self.perform(method, request)
    }
}

fn logged(shared: &Shared, request: &Request) -> LoggedRequest {
    let scheme = request.header("Authorization").and_then(|value| value.split(' ').next());
    LoggedRequest {
        method: request.method.clone(),
        uri: request.uri.clone(),
        stream: shared.stream_of(&request.uri),
        cseq: request.cseq(),
        session: request.session().map(str::to_owned),
        transport: request.header("Transport").map(str::to_owned),
        authorization: scheme.map(str::to_owned),
        user_agent: request.header("User-Agent").map(str::to_owned),
    }
}
