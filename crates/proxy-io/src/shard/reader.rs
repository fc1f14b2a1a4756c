//! Readers' sessions: what the server asks is asked of the stream, and its answers go back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use fan_out::{Join, ReaderKey, Start, TrackId, TrackMask, Transport};
use proxy_session::{Ask as StreamAsk, Delivery, ReaderId, Reply, Ticket, Welcome};
use rtp_rtcp::{Now, RtcpWriter};
use rtsp_proto::StatusCode;
use rtsp_server::{
    AfterSend, Answer, Ask, AskId, Chosen, ConnId, EndReason, Event, Output, PlayInfo, SessionId,
    Taken,
};
use smallvec::SmallVec;

use super::Shard;
use super::start_query::start_of;
use crate::bus::{FromStream, ToStream};
use crate::registry::{Lease, StreamEntry, StreamId};
use crate::rtcp_routes;
use crate::sockopt;

/// A reader's session on this shard.
pub(super) struct Session {
    conn: ConnId,
    pub(super) peer: SocketAddr,
    /// Our address that it connected to.
    local: IpAddr,
    pub(super) stream: StreamEntry,
    reader: ReaderId,
    pub(super) transports: SmallVec<[(TrackId, Chosen); 2]>,
    start: Start,
    /// What the stream said to PLAY, until the answer to it is queued.
    welcome: Option<Welcome>,
    /// The tracks' SSRCs, for saying goodbye.
    pub(super) sources: SmallVec<[(TrackId, rtp_rtcp::Ssrc); 2]>,
    pub(super) joined: Option<ReaderKey>,
}

impl Session {
    /// How it gets its packets.
    fn delivery(&self) -> Delivery {
        if self.transports.iter().any(|(_, transport)| transport.is_interleaved()) {
            return Delivery::Tcp;
        }
        match self.peer.ip().to_canonical() {
            IpAddr::V4(_) => Delivery::UdpV4,
            IpAddr::V6(_) => Delivery::UdpV6,
        }
    }
}

/// A question that a stream has not answered yet.
pub(super) struct Question {
    id: AskId,
    what: Asked,
    stream: Arc<str>,
    conn: Option<ConnId>,
    _lease: Lease,
}

enum Asked {
    Describe,
    Setup { session: SessionId, track: TrackId, transport: Chosen },
    Play { session: SessionId },
}

/// Tickets and readers carry their shard in the upper bits.
const SHARD_SHIFT: u32 = 48;

/// The shard that a ticket came from.
pub(super) fn shard_of(ticket: Ticket) -> usize {
    usize::try_from(ticket.0 >> SHARD_SHIFT).unwrap_or(usize::MAX)
}

impl Shard {
    fn own_number(&mut self) -> u64 {
        ((self.me as u64) << SHARD_SHIFT) | self.number()
    }

    pub(super) fn on_server_output(&mut self, now: Now, output: Output) {
        match output {
            Output::Send { conn, bytes, then } => {
                self.send_on(conn, bytes);
                if let AfterSend::StartMedia(session) = then {
                    self.start_media(now, session);
                }
            }
            Output::Ask { id, ask } => self.on_ask(now, id, ask),
            Output::Withdrawn { id } => {
                if let Some(number) = self.asked.remove(&id) {
                    self.questions.remove(&number);
                }
            }
            // A sign of life as well: the server has taken note of that.
            Output::Rtcp { session, data, .. } => self.on_reader_rtcp(now, session, &data),
            Output::SessionEnded { session, reason } => self.end_session(now, session, reason),
            Output::TracksChanged { session, tracks } => self.change_tracks(now, session, &tracks),
            Output::PortsContested { conn } => self.ask_whether_there(conn),
            Output::Resume { conn } => {
                if self.offer_input(now, conn) {
                    self.resume_later(conn);
                }
            }
            Output::CloseConn { conn, reason } => {
                tracing::debug!(%conn, ?reason, "closing connection");
                self.close_conn(now, conn);
            }
            Output::Event(event) => self.log_event(&event),
            Output::Dialogue { conn, sent, text } => {
                let to = if sent { "to reader" } else { "from reader" };
                tracing::debug!(target: "dialogue", %conn, dialogue = %format_args!("\n{text}"), "{to}");
            }
        }
    }

    /// Another session has set up a port of one on this connection. If its reader's host was
    /// restarted, or is gone, the kernel finds out and the connection ends as any other.
    fn ask_whether_there(&self, conn: ConnId) {
        let Some(conn) = self.conns.get(&conn) else { return };
        let for_media = !conn.io.seats.borrow().is_empty();
        if let Err(error) = sockopt::contested_connection(&conn.io.stream, for_media) {
            tracing::debug!(peer = %conn.peer, %error, "cannot ask whether a reader is there");
        }
    }

    /// A connection with many pipelined requests goes on in a later step.
    fn resume_later(&mut self, conn: ConnId) {
        let Some(shard) = self.shared() else { return };
        tokio::task::spawn_local(async move {
            tokio::task::yield_now().await;
            let now = crate::clock::now();
            let mut this = shard.borrow_mut();
            if this.offer_input(now, conn) {
                this.resume_later(conn);
            }
            this.settle(now);
        });
    }

    fn on_ask(&mut self, now: Now, id: AskId, ask: Ask) {
        let query = match &ask {
            Ask::Describe { query, .. } | Ask::Setup { query, .. } | Ask::Play { query, .. } => {
                query.as_deref()
            }
            Ask::Pause { .. } => None,
        };
        let start = match query.map_or(Ok(None), start_of) {
            Ok(start) => start,
            Err(why) => return self.refuse(now, id, StatusCode::BAD_REQUEST, why),
        };
        match ask {
            Ask::Describe { conn, stream, .. } => match self.seek(now, conn, &stream) {
                Ok(entry) => {
                    let what = (Asked::Describe, Some(conn));
                    self.ask_stream(&entry, id, what, None, StreamAsk::Describe);
                }
                Err(refusal) => {
                    self.answer(now, id, refusal);
                }
            },
            Ask::Setup { conn, session, stream, track, transport, .. } => {
                self.on_setup(now, id, conn, session, &stream, track, transport, start);
            }
            Ask::Play { session, tracks, .. } => {
                let Some(state) = self.sessions.get_mut(&session) else {
                    return self.refuse(now, id, StatusCode::SESSION_NOT_FOUND, "no such session");
                };
                state.start = start.unwrap_or(state.start);
                let mut mask = TrackMask::EMPTY;
                for track in tracks {
                    if let Ok(track) = u8::try_from(track) {
                        mask.insert(TrackId(track));
                    }
                }
                let (entry, reader, conn) = (state.stream.clone(), state.reader, state.conn);
                let delivery = state.delivery();
                let ask = StreamAsk::Play { tracks: mask, start: state.start, delivery };
                let what = (Asked::Play { session }, Some(conn));
                self.ask_stream(&entry, id, what, Some(reader), ask);
            }
            Ask::Pause { session } => {
                self.leave_audience(now, session);
                if let Some(state) = self.sessions.get(&session) {
                    let (home, stream, reader) = (state.stream.home, state.stream.id, state.reader);
                    self.tell_home(home, stream, ToStream::Pause(reader));
                }
                self.answer(now, id, Answer::Paused);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one question")]
    fn on_setup(
        &mut self,
        now: Now,
        id: AskId,
        conn: ConnId,
        session: SessionId,
        stream: &str,
        track: usize,
        transport: Chosen,
        start: Option<Start>,
    ) {
        let entry = match self.seek(now, conn, stream) {
            Ok(entry) => entry,
            Err(refusal) => {
                self.answer(now, id, refusal);
                return;
            }
        };
        let Some(track) = u8::try_from(track).ok().map(TrackId) else {
            return self.refuse(now, id, StatusCode::NOT_FOUND, "no such track");
        };
        let ends = self.conns.get(&conn).map(|c| (c.peer, c.local.ip()));
        let Some((peer, local)) = ends else { return };
        if !transport.is_interleaved() && self.sockets.ports(local).is_none() {
            let why = "no UDP socket for this address family";
            return self.refuse(now, id, StatusCode::UNSUPPORTED_TRANSPORT, why);
        }
        if !self.sessions.contains_key(&session) {
            let reader = ReaderId(self.own_number());
            let start = start.unwrap_or(entry.start);
            let state = Session {
                conn,
                peer,
                local,
                stream: entry.clone(),
                reader,
                transports: SmallVec::new(),
                start,
                welcome: None,
                sources: SmallVec::new(),
                joined: None,
            };
            self.sessions.insert(session, state);
            self.watch(&entry);
        }
        let Some(state) = self.sessions.get_mut(&session) else { return };
        state.conn = conn;
        let reader = state.reader;
        let what = (Asked::Setup { session, track, transport }, Some(conn));
        self.ask_stream(&entry, id, what, Some(reader), StreamAsk::SetUp { track });
    }

    fn ask_stream(
        &mut self,
        entry: &StreamEntry,
        id: AskId,
        (what, conn): (Asked, Option<ConnId>),
        reader: Option<ReaderId>,
        ask: StreamAsk,
    ) {
        let number = self.own_number();
        let stream = Arc::clone(&entry.name);
        let lease = entry.lease.clone();
        self.questions.insert(number, Question { id, what, stream, conn, _lease: lease });
        self.asked.insert(id, number);
        let reader = reader.unwrap_or(ReaderId(number));
        let message = ToStream::Ask { ticket: Ticket(number), reader, ask };
        self.tell_home(entry.home, entry.id, message);
    }

    pub(super) fn on_from_stream(&mut self, now: Now, id: StreamId, what: FromStream) {
        match what {
            FromStream::Publish(batch) => self.publish(now, id, batch),
            FromStream::Begin(batches) => self.begin(now, id, &batches),
            FromStream::Part(batches) => self.part(now, id, &batches),
            FromStream::Unite => self.unite(id),
            FromStream::Cut { keep } => {
                self.cut_log(now, id, keep);
            }
            FromStream::Clear => self.clear(id),
            FromStream::Described(description, cname) => self.described(id, &description, cname),
            FromStream::Reply { ticket, reply } => self.on_reply(now, ticket, reply),
            FromStream::EndReaders { why } => self.end_readers(now, id, &why),
        }
    }

    fn on_reply(&mut self, now: Now, ticket: Ticket, reply: Reply) {
        let Some(question) = self.questions.remove(&ticket.0) else { return };
        let Question { id, what, stream, conn, .. } = question;
        self.asked.remove(&id);
        let answer = match (what, reply) {
            (_, Reply::Refused(refusal)) => {
                let peer = conn.and_then(|conn| self.conns.get(&conn)).map(|c| c.peer);
                let peer = rtcp_routes::display(peer);
                tracing::debug!(%stream, %peer, status = refusal.status.0, why = %refusal.why, "a reader was refused");
                Answer::Refused {
                    status: refusal.status,
                    retry_after: refusal.retry_after,
                    reason: String::new(),
                }
            }
            (Asked::Describe, Reply::Described(description)) => {
                Answer::Described { sdp: description.sdp.clone() }
            }
            (Asked::Setup { session, track, transport }, Reply::SetUp { ssrc }) => {
                let Some(state) = self.sessions.get_mut(&session) else { return };
                let before: SmallVec<[SocketAddr; 2]> = state.rtcp_addresses().collect();
                state.transports.retain(|(other, _)| *other != track);
                state.transports.push((track, transport));
                state.sources.retain(|(other, _)| *other != track);
                state.sources.push((track, ssrc));
                let server_ports = match transport {
                    Chosen::Udp { .. } => self.sockets.ports(state.local),
                    Chosen::Tcp { .. } => None,
                };
                let claimed = state.rtcp_address(transport);
                let _nobodys = self.release_reports(session, &before);
                let answer = Answer::SetUp { server_ports, source: None, ssrc: Some(ssrc) };
                // A session that has ended meanwhile claims nothing.
                if self.answer(now, id, answer)
                    && let Some(from) = claimed
                {
                    self.claim_reports(session, from);
                }
                return;
            }
            (Asked::Play { session }, Reply::Playing(welcome)) => {
                let tracks = welcome
                    .tracks
                    .iter()
                    .map(|t| PlayInfo {
                        track: usize::from(t.track.0),
                        seq: t.next_seq,
                        rtptime: t.rtptime,
                    })
                    .collect();
                if let Some(state) = self.sessions.get_mut(&session) {
                    state.welcome = Some(welcome);
                }
                Answer::Playing { tracks }
            }
            (_, _) => Answer::Refused {
                status: StatusCode::INTERNAL,
                retry_after: None,
                reason: String::new(),
            },
        };
        self.answer(now, id, answer);
    }

    /// Says whether it is of use still. A late answer needs no undoing here: the session's end takes
    /// back what it began.
    fn answer(&mut self, now: Now, id: AskId, answer: Answer) -> bool {
        self.server.answer(now.mono, id, answer) == Taken::Used
    }

    /// Says no, and why, to the log and to the reader.
    fn refuse(&mut self, now: Now, id: AskId, status: StatusCode, why: &str) {
        tracing::debug!(status = status.0, why, "a reader was refused");
        self.answer(now, id, Answer::Refused { status, retry_after: None, reason: why.to_owned() });
    }

    /// The PLAY answer is queued: media may follow it.
    fn start_media(&mut self, now: Now, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let Some(welcome) = state.welcome.take() else { return };
        if state.joined.is_some() {
            return;
        }
        let mut tracks = TrackMask::EMPTY;
        for (track, _) in &state.transports {
            tracks.insert(*track);
        }
        let prologue: Vec<(TrackId, Bytes)> =
            welcome.tracks.iter().map(|t| (t.track, t.report.clone())).collect();
        let present: SmallVec<[_; 2]> =
            welcome.tracks.iter().filter_map(|t| Some((t.track, t.live?))).collect();
        let interleaved = state.transports.iter().any(|(_, t)| t.is_interleaved());
        let transport = if interleaved {
            Transport::Tcp { channels: channels(&state.transports) }
        } else {
            let Some(group) = self.sockets.group(state.local) else { return };
            Transport::Udp { group, tracks: addresses(state.peer, &state.transports) }
        };
        let (start, entry, conn) = (state.start, state.stream.clone(), state.conn);
        if let Some(watch) = self.watches.get_mut(&entry.id) {
            for (_, report) in &prologue {
                watch.reports.on_sent_compound(now.mono, report);
            }
        }
        let io = self.conns.get(&conn).map(|c| std::rc::Rc::clone(&c.io));
        let Some(watch) = self.watches.get_mut(&entry.id) else { return };
        let join = Join { transport, tracks, start, prologue };
        match watch.audience.join_held(now.mono, join, &present) {
            Ok(key) => {
                let io = io.filter(|_| interleaved);
                if let Some(Err(error)) =
                    io.as_ref().map(|io| sockopt::media_connection(&io.stream))
                {
                    tracing::debug!(%conn, %error, "a stopped reader may be cut early");
                }
                watch.seat(key, session, io);
                self.ledger.joined(self.me);
                tracing::debug!(stream = %entry.name, %conn, transport = if interleaved { "TCP" } else { "UDP" }, "reader is playing");
                if let Some(state) = self.sessions.get_mut(&session) {
                    state.joined = Some(key);
                }
                self.mark(entry.id);
                self.tell_home(entry.home, entry.id, ToStream::Joined);
            }
            Err(full) => {
                tracing::warn!(stream = %entry.name, why = %full, "reader refused");
                self.server.end_session(now.mono, session, EndReason::TooSlow);
            }
        }
    }

    /// Takes a session out of its stream's audience, if it was in it.
    fn leave_audience(&mut self, now: Now, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        state.welcome = None;
        let Some(key) = state.joined.take() else { return };
        let stream = state.stream.id;
        self.forget_reports(now, session);
        if let Some(watch) = self.watches.get_mut(&stream) {
            watch.unseat(key);
            self.ledger.left(self.me);
        }
    }

    fn end_session(&mut self, now: Now, session: SessionId, reason: EndReason) {
        let farewell = !matches!(
            reason,
            EndReason::Teardown | EndReason::ConnectionClosed | EndReason::PortsTaken
        );
        let was_playing = self.sessions.get(&session).is_some_and(|s| s.joined.is_some());
        self.leave_audience(now, session);
        let Some(state) = self.sessions.remove(&session) else { return };
        let addresses: SmallVec<[SocketAddr; 2]> = state.rtcp_addresses().collect();
        let nobodys = self.release_reports(session, &addresses);
        if farewell && was_playing {
            self.say_bye(&state, &nobodys);
        }
        let stream = &state.stream;
        match reason {
            EndReason::Teardown
            | EndReason::ConnectionClosed
            | EndReason::PortsTaken
            | EndReason::NeverSetUp => {
                tracing::debug!(stream = %stream.name, peer = %state.peer, ?reason, "reader left");
            }
            EndReason::TimedOut => {
                tracing::info!(stream = %stream.name, peer = %state.peer, "reader reclaimed: no sign of life");
            }
            _ => tracing::info!(stream = %stream.name, peer = %state.peer, ?reason, "reader ended"),
        }
        self.tell_home(stream.home, stream.id, ToStream::Leave(state.reader));
        self.unwatch(now, stream);
    }

    /// RTCP BYE for each track, on the reader's own transport (RFC 3550 section 6.6); over UDP to
    /// those addresses alone that are `nobodys` now. Where another session claims one, its reader
    /// would take the goodbye for its own: the source is the same for all readers of a stream.
    /// Where several that play end together, the last one says it.
    fn say_bye(&mut self, state: &Session, nobodys: &[SocketAddr]) {
        let Some(watch) = self.watches.get(&state.stream.id) else { return };
        let cname = Arc::clone(&watch.cname);
        for (track, ssrc) in &state.sources {
            let bye = RtcpWriter::new()
                .receiver_report(*ssrc, &[])
                .cname(*ssrc, &cname)
                .bye(&[*ssrc], None)
                .finish();
            let chosen = state.transports.iter().find(|(t, _)| t == track).map(|(_, c)| *c);
            let Some(chosen) = chosen else { continue };
            match (chosen, state.rtcp_address(chosen)) {
                (Chosen::Tcp { channels: (_, channel) }, _) => {
                    self.send_on(state.conn, interleaved(channel, &bye));
                }
                (Chosen::Udp { .. }, Some(to)) if nobodys.contains(&to) => {
                    self.sockets.send_rtcp(state.local, to, &bye);
                }
                (Chosen::Udp { .. }, _) => {}
            }
        }
    }

    fn change_tracks(&mut self, now: Now, session: SessionId, tracks: &[usize]) {
        let Some(state) = self.sessions.get_mut(&session) else { return };
        let before: SmallVec<[SocketAddr; 2]> = state.rtcp_addresses().collect();
        state.transports.retain(|(track, _)| tracks.contains(&usize::from(track.0)));
        state.sources.retain(|(track, _)| tracks.contains(&usize::from(track.0)));
        let mut mask = TrackMask::EMPTY;
        for (track, _) in &state.transports {
            mask.insert(*track);
        }
        let (stream, joined) = (state.stream.id, state.joined);
        let _nobodys = self.release_reports(session, &before);
        if let Some(key) = joined
            && let Some(watch) = self.watches.get_mut(&stream)
        {
            watch.audience.keep_tracks(now.mono, key, mask);
            self.mark(stream);
        }
    }

    fn end_readers(&mut self, now: Now, id: StreamId, why: &Arc<str>) {
        let Some(watch) = self.watches.get(&id) else { return };
        let name = Arc::clone(&watch.name);
        tracing::warn!(stream = %name, %why, "all readers ended: there is nothing for them to go on with");
        self.server.end_stream(now.mono, &name, EndReason::StreamLost);
    }
}

/// One `$` frame (RFC 2326 section 10.12).
fn interleaved(channel: u8, data: &[u8]) -> Bytes {
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut frame = Vec::with_capacity(4 + data.len());
    frame.extend_from_slice(&[b'$', channel]);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(data.get(..usize::from(length)).unwrap_or_default());
    Bytes::from(frame)
}

fn channels(transports: &[(TrackId, Chosen)]) -> SmallVec<[(TrackId, u8, u8); 4]> {
    transports
        .iter()
        .filter_map(|(track, chosen)| match chosen {
            Chosen::Tcp { channels: (rtp, rtcp) } => Some((*track, *rtp, *rtcp)),
            Chosen::Udp { .. } => None,
        })
        .collect()
}

/// Media goes to the address of the reader's connection and nowhere else.
fn addresses(
    peer: SocketAddr,
    transports: &[(TrackId, Chosen)],
) -> SmallVec<[(TrackId, SocketAddr, SocketAddr); 2]> {
    transports
        .iter()
        .filter_map(|(track, chosen)| match chosen {
            Chosen::Udp { client_ports: (rtp, rtcp) } => {
                let at = |port: u16| rtcp_routes::at_port(peer, port);
                Some((*track, at(*rtp), at(*rtcp)))
            }
            Chosen::Tcp { .. } => None,
        })
        .collect()
}

impl Shard {
    fn log_event(&self, event: &Event) {
        let peer = |conn: &ConnId| rtcp_routes::display(self.conns.get(conn).map(|c| c.peer));
        match event {
            Event::WrongCredentials { peer, failures, .. } => {
                tracing::warn!(%peer, failures, "a reader showed wrong credentials");
            }
            Event::LimitReached { conn, limit } => {
                tracing::warn!(peer = %peer(conn), limit, "a reader was refused: limit reached");
            }
            Event::NoAnswer { conn, id } => {
                let question = self.asked.get(id).and_then(|number| self.questions.get(number));
                let stream = question.map_or("unknown", |question| &question.stream);
                tracing::warn!(%stream, peer = %peer(conn), "a reader was refused: no answer from its stream in time");
            }
            Event::BadInput { peer, why, .. } => {
                tracing::warn!(%peer, %why, "connection closed: this is not RTSP");
            }
            Event::Tolerated { conn, what } => {
                tracing::debug!(peer = %peer(conn), what, "tolerated");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_carries_its_channel_and_length() {
        assert_eq!(interleaved(3, b"abc").as_ref(), b"$\x03\x00\x03abc");
    }
}
