//! From the shell's answers to responses.

use std::time::Instant;

use core::time::Duration;

use bytes::Bytes;
use rtsp_proto::StatusCode;
use rtsp_proto::rtp_info::RtpInfo;
use rtsp_proto::session::SessionHeader;

use crate::api::{AfterSend, Answer, PlayInfo, Taken};
use crate::conn::{Pending, What};
use crate::ids::{AskId, ConnId, SessionId};
use crate::offer;
use crate::reply::Reply;
use crate::server::Server;

impl Server {
    /// Gives the answer to a question. One that does not fit its question is told the reader as
    /// 500.
    pub fn answer(&mut self, now: Instant, id: AskId, answer: Answer) -> Taken {
        let Some(&conn) = self.asks.get(&id) else { return Taken::TooLate };
        let Some(pending) = self.take_pending(now, conn) else { return Taken::TooLate };
        if let Some(session) = pending.what.session().and_then(|id| self.sessions.get_mut(&id)) {
            // The reader could not ask for anything while it waited for us.
            session.alive = now;
        }
        self.on_answer(now, conn, pending, answer);
        self.settle(now);
        Taken::Used
    }

    fn on_answer(&mut self, now: Instant, conn: ConnId, pending: Pending, answer: Answer) {
        let cseq = Some(pending.cseq);
        let mut then = AfterSend::Nothing;
        let reply = match (&pending.what, answer) {
            (What::Describe { base }, Answer::Described { sdp }) => described(base.as_deref(), sdp),
            (
                What::Setup { session, track, profile },
                Answer::SetUp { server_ports, source, ssrc },
            ) => {
                let transport =
                    offer::accepted(track.transport, *profile, server_ports, source, ssrc);
                self.put_track(now, *session, track.clone());
                self.session_reply(*session).with("Transport", transport.to_string())
            }
            (What::Play { session, scale, speed }, Answer::Playing { tracks }) => {
                then = AfterSend::StartMedia(*session);
                self.playing(*session, *scale, *speed, &tracks)
            }
            (What::Pause { session }, Answer::Paused) => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.playing = false;
                }
                self.session_reply(*session)
            }
            (_, Answer::Refused { status, retry_after, reason }) => {
                let reply = self.refused(status, retry_after, &reason);
                return self.fail(now, conn, &pending, reply);
            }
            _ => return self.fail(now, conn, &pending, Reply::new(StatusCode::INTERNAL)),
        };
        self.respond(conn, cseq, reply, then);
    }

    fn playing(&mut self, id: SessionId, scale: bool, speed: bool, infos: &[PlayInfo]) -> Reply {
        let mut reply = self.session_reply(id).with("Range", LIVE_RANGE);
        if scale {
            reply = reply.with("Scale", "1.000");
        }
        if speed {
            reply = reply.with("Speed", "1.000");
        }
        let Some(session) = self.sessions.get_mut(&id) else { return reply };
        session.playing = true;
        let lines: Vec<RtpInfo> = session
            .tracks
            .iter()
            .filter_map(|track| {
                let info = infos.iter().find(|info| info.track == track.index)?;
                Some(RtpInfo {
                    url: track.uri.clone(),
                    seq: Some(info.seq.0),
                    rtptime: Some(info.rtptime.0),
                })
            })
            .collect();
        if lines.is_empty() {
            return reply;
        }
        reply.with("RTP-Info", RtpInfo::write(&lines))
    }

    /// 200 with the session's header.
    pub(crate) fn session_reply(&self, id: SessionId) -> Reply {
        let timeout = u32::try_from(self.options.session_timeout.as_secs()).ok();
        let header = SessionHeader { id: id.to_string(), timeout };
        Reply::ok().with("Session", header.to_string())
    }

    fn refused(&self, status: StatusCode, retry_after: Option<Duration>, reason: &str) -> Reply {
        let status = if status.0 < 300 { StatusCode::INTERNAL } else { status };
        let reply = Reply::new(status).reason(reason);
        match retry_after {
            Some(wait) => reply.retry_after(wait),
            None if status == StatusCode::SERVICE_UNAVAILABLE => {
                reply.retry_after(self.options.retry_after)
            }
            None => reply,
        }
    }
}

fn described(base: Option<&str>, sdp: Bytes) -> Reply {
    let mut reply = Reply::ok();
    if let Some(base) = base {
        reply = reply.with("Content-Base", base);
    }
    reply.with("Content-Type", "application/sdp").body(sdp)
}

/// Live streams begin now, wherever the reader wanted to begin. Not `npt=0.000-`, which some
/// players take for the beginning of something that can be searched; and it is what the
/// description's own range says.
pub(crate) const LIVE_RANGE: &str = "npt=now-";
