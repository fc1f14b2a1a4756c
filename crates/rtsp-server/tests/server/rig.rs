//! A server, its readers' buffers and a clock.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtp_rtcp::{RtpTime, Seq, Ssrc};
use rtsp_proto::{Decoder, Frame, Limits, Response, Role};
use rtsp_server::{
    AfterSend, Answer, Ask, AskId, CloseReason, ConnId, EndReason, Event, Intake, Output, PlayInfo,
    Server, ServerOptions, SessionId, Taken,
};

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    buffers: HashMap<ConnId, BytesMut>,
    /// Everything but what has been taken out by the methods below.
    pub(crate) log: VecDeque<Output>,
    next_port: u16,
    cseq: u32,
}

pub(crate) const UDP: &str = "RTP/AVP;unicast;client_port=5000-5001";
pub(crate) const TCP: &str = "RTP/AVP/TCP;unicast;interleaved=0-1";
pub(crate) const CAM: &str = "rtsp://proxy.example:8554/cam";

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl Rig {
    pub(crate) fn new(options: ServerOptions) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one base instant of a test")]
        let now = Instant::now();
        Self {
            server: Server::new(options, [42; 32]),
            now,
            buffers: HashMap::new(),
            log: VecDeque::new(),
            next_port: 40_000,
            cseq: 0,
        }
    }

    pub(crate) fn open() -> Self {
        Self::new(ServerOptions::default())
    }

    pub(crate) fn connect(&mut self) -> ConnId {
        self.connect_from("192.0.2.1")
    }

    pub(crate) fn connect_from(&mut self, ip: &str) -> ConnId {
        self.next_port += 1;
        self.connect_as(SocketAddr::new(ip.parse().expect("an address"), self.next_port))
    }

    pub(crate) fn connect_as(&mut self, peer: SocketAddr) -> ConnId {
        let local = SocketAddr::from(([10, 0, 0, 1], 8554));
        self.server.accept(self.now, peer, local).expect("room for a connection")
    }

    /// Bytes arrive.
    pub(crate) fn feed(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) -> Intake {
        let mut buffer = self.buffers.remove(&conn).unwrap_or_default();
        buffer.extend_from_slice(bytes.as_ref());
        let mut intake = self.server.handle(self.now, conn, &mut buffer);
        while intake == Intake::Again {
            intake = self.server.handle(self.now, conn, &mut buffer);
        }
        self.buffers.insert(conn, buffer);
        self.drain();
        intake
    }

    pub(crate) fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            if let Output::Resume { conn } = output {
                self.log.push_back(output);
                let _ = self.feed(conn, b"");
            } else {
                self.log.push_back(output);
            }
        }
    }

    /// Time passes, and what is due meanwhile is done.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.server.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.server.handle_timeout(end);
        self.drain();
    }

    pub(crate) fn send(&mut self, conn: ConnId, method: &str, uri: &str, headers: &[&str]) -> u32 {
        self.cseq += 1;
        let bytes = request(method, uri, self.cseq, headers);
        let _ = self.feed(conn, bytes);
        self.cseq
    }

    /// Sends a request that is answered without asking the shell.
    pub(crate) fn call(
        &mut self,
        conn: ConnId,
        method: &str,
        uri: &str,
        headers: &[&str],
    ) -> Response {
        let cseq = self.send(conn, method, uri, headers);
        let response = self.response(conn);
        assert_eq!(response.cseq(), Some(cseq));
        response
    }

    /// Sends a request that the shell is asked about, and gives its answer.
    pub(crate) fn call_asking(
        &mut self,
        conn: ConnId,
        (method, uri): (&str, &str),
        headers: &[&str],
        answer: Answer,
    ) -> (Ask, Response) {
        let cseq = self.send(conn, method, uri, headers);
        let (id, ask) = self.asked();
        assert_eq!(self.responses(conn).len(), 0, "answered before the shell did");
        assert_eq!(self.answer(id, answer), Taken::Used);
        let response = self.response(conn);
        assert_eq!(response.cseq(), Some(cseq));
        (ask, response)
    }

    pub(crate) fn answer(&mut self, id: AskId, answer: Answer) -> Taken {
        let taken = self.server.answer(self.now, id, answer);
        self.drain();
        taken
    }

    pub(crate) fn closed(&mut self, conn: ConnId) {
        self.server.closed(self.now, conn);
        self.drain();
    }

    fn take<T>(&mut self, mut pick: impl FnMut(&Output) -> Option<T>) -> Vec<T> {
        let mut taken = Vec::new();
        self.log.retain(|output| match pick(output) {
            Some(value) => {
                taken.push(value);
                false
            }
            None => true,
        });
        taken
    }

    /// What was sent on the connection since the last look.
    pub(crate) fn responses(&mut self, conn: ConnId) -> Vec<Response> {
        let sent = self.take(|output| match output {
            Output::Send { conn: to, bytes, .. } if *to == conn => Some(bytes.clone()),
            _ => None,
        });
        sent.iter().flat_map(decode).collect()
    }

    pub(crate) fn response(&mut self, conn: ConnId) -> Response {
        let mut responses = self.responses(conn);
        assert_eq!(responses.len(), 1, "one response, not {responses:?}");
        responses.remove(0)
    }

    pub(crate) fn asks(&mut self) -> Vec<(AskId, Ask)> {
        self.take(|output| match output {
            Output::Ask { id, ask } => Some((*id, ask.clone())),
            _ => None,
        })
    }

    pub(crate) fn asked(&mut self) -> (AskId, Ask) {
        let mut asks = self.asks();
        assert_eq!(asks.len(), 1, "one question, not {asks:?}");
        asks.remove(0)
    }

    pub(crate) fn ended(&mut self) -> Vec<(SessionId, EndReason)> {
        self.take(|output| match output {
            Output::SessionEnded { session, reason } => Some((*session, *reason)),
            _ => None,
        })
    }

    pub(crate) fn contested(&mut self) -> Vec<ConnId> {
        self.take(|output| match output {
            Output::PortsContested { conn } => Some(*conn),
            _ => None,
        })
    }

    pub(crate) fn closings(&mut self) -> Vec<(ConnId, CloseReason)> {
        self.take(|output| match output {
            Output::CloseConn { conn, reason } => Some((*conn, *reason)),
            _ => None,
        })
    }

    pub(crate) fn withdrawn(&mut self) -> Vec<AskId> {
        self.take(|output| match output {
            Output::Withdrawn { id } => Some(*id),
            _ => None,
        })
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        self.take(|output| match output {
            Output::Event(event) => Some(event.clone()),
            _ => None,
        })
    }

    /// SETUP of a track of [`CAM`], answered well.
    pub(crate) fn setup(
        &mut self,
        conn: ConnId,
        track: usize,
        transport: &str,
        session: Option<SessionId>,
    ) -> SessionId {
        let uri = format!("{CAM}/track{}", track + 1);
        let transport = format!("Transport: {transport}");
        let named = session.map(|session| format!("Session: {session}"));
        let headers: Vec<&str> =
            [Some(transport.as_str()), named.as_deref()].into_iter().flatten().collect();
        let (ask, response) = self.call_asking(conn, ("SETUP", &uri), &headers, set_up());
        assert_eq!(response.status.0, 200);
        match ask {
            Ask::Setup { session, .. } => session,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn play(&mut self, conn: ConnId, session: SessionId) -> Response {
        let named = format!("Session: {session}");
        let (_, response) = self.call_asking(conn, ("PLAY", CAM), &[&named], playing(&[0, 1]));
        assert_eq!(response.status.0, 200);
        response
    }

    /// A reader of one track that plays.
    pub(crate) fn player(&mut self, transport: &str) -> (ConnId, SessionId) {
        let conn = self.connect();
        let session = self.setup(conn, 0, transport, None);
        self.play(conn, session);
        (conn, session)
    }
}

pub(crate) fn request(method: &str, uri: &str, cseq: u32, headers: &[&str]) -> Vec<u8> {
    let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {cseq}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

pub(crate) fn decode(bytes: &Bytes) -> Vec<Response> {
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    let mut buffer = BytesMut::from(&bytes[..]);
    let mut responses = Vec::new();
    while let Some(frame) = decoder.decode(&mut buffer).expect("our own responses are good") {
        match frame {
            Frame::Response(response) => responses.push(response),
            other => panic!("{other:?} was sent to a reader"),
        }
    }
    assert!(buffer.is_empty(), "half a response was sent");
    responses
}

pub(crate) fn described() -> Answer {
    Answer::Described { sdp: Bytes::from_static(b"v=0\r\n") }
}

pub(crate) fn set_up() -> Answer {
    Answer::SetUp { server_ports: Some((6000, 6001)), source: None, ssrc: Some(Ssrc(0xdead_beef)) }
}

pub(crate) fn playing(tracks: &[usize]) -> Answer {
    let info = |track: &usize| PlayInfo { track: *track, seq: Seq(7), rtptime: RtpTime(9) };
    Answer::Playing { tracks: tracks.iter().map(info).collect() }
}

pub(crate) fn starts_media(output: &Output, session: SessionId) -> bool {
    matches!(output, Output::Send { then: AfterSend::StartMedia(of), .. } if *of == session)
}
