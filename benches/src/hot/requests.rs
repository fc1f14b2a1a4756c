//! Readers' requests, with a shell that answers at once.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rtp_rtcp::{RtpTime, Seq, Ssrc};
use rtsp_server::{Answer, Ask, ConnId, Output, PlayInfo, Server, ServerOptions, SessionId, Taken};

use super::{Path, Work, work};
use crate::clock;
use crate::packets::SDP;

pub(super) fn paths() -> Vec<Path> {
    vec![
        Path::new("rtsp-server/OPTIONS to PLAY", "dialogue", dialogue),
        Path::new("rtsp-server/keep alive", "request", keep_alive),
    ]
}

/// One connection.
struct Desk {
    server: Server,
    conn: ConnId,
    now: Instant,
    input: BytesMut,
    session: Option<SessionId>,
    /// Messages sent to the reader.
    answers: u64,
    /// Whether all of them said yes.
    is_well: bool,
}

impl Desk {
    fn new() -> Self {
        let now = clock::fixed();
        let mut server = Server::new(ServerOptions::default(), [7; 32]);
        let address = |host, port| SocketAddr::from((Ipv4Addr::new(192, 0, 2, host), port));
        let conn = server.accept(now, address(9, 40_000), address(1, 554)).expect("there is room");
        Self { server, conn, now, input: BytesMut::new(), session: None, answers: 0, is_well: true }
    }

    /// A request arrives, and everything that follows from it is done.
    fn request(&mut self, line: &str, headers: &str) {
        self.input.extend_from_slice(line.as_bytes());
        self.input.extend_from_slice(headers.as_bytes());
        self.handle();
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Send { bytes, .. } => {
                    self.answers += 1;
                    self.is_well &= bytes.starts_with(b"RTSP/1.0 200 ");
                }
                Output::Ask { id, ask } => {
                    let answer = self.answer(ask);
                    self.is_well &= self.server.answer(self.now, id, answer) == Taken::Used;
                }
                Output::Resume { .. } => self.handle(),
                _ => {}
            }
        }
    }

    fn handle(&mut self) {
        // Whatever it says, all there is has been offered.
        let _taken = self.server.handle(self.now, self.conn, &mut self.input);
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Describe { .. } => Answer::Described { sdp: Bytes::from_static(SDP.as_bytes()) },
            Ask::Setup { session, .. } => {
                self.session = Some(session);
                Answer::SetUp { server_ports: None, source: None, ssrc: Some(Ssrc(9)) }
            }
            Ask::Play { tracks, .. } => {
                let info = |track| PlayInfo { track, seq: Seq(7), rtptime: RtpTime(90_000) };
                Answer::Playing { tracks: tracks.into_iter().map(info).collect() }
            }
            Ask::Pause { .. } => Answer::Paused,
        }
    }

    fn play(&mut self) {
        const URL: &str = "rtsp://192.0.2.1/cam";
        const AGENT: &str = "User-Agent: Lavf61.7.100\r\n";
        self.request(&format!("OPTIONS {URL} RTSP/1.0\r\nCSeq: 1\r\n"), &format!("{AGENT}\r\n"));
        let accept = format!("Accept: application/sdp\r\n{AGENT}\r\n");
        self.request(&format!("DESCRIBE {URL} RTSP/1.0\r\nCSeq: 2\r\n"), &accept);
        let transport = format!("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n{AGENT}\r\n");
        self.request(&format!("SETUP {URL}/track1 RTSP/1.0\r\nCSeq: 3\r\n"), &transport);
        let session = self.session_header();
        let range = format!("Range: npt=0.000-\r\n{session}{AGENT}\r\n");
        self.request(&format!("PLAY {URL} RTSP/1.0\r\nCSeq: 4\r\n"), &range);
    }

    fn session_header(&self) -> String {
        self.session.map(|id| format!("Session: {id}\r\n")).unwrap_or_default()
    }
}

fn dialogue() -> Box<dyn Work> {
    work(Desk::new, |desk| {
        desk.play();
        u64::from(desk.is_well && desk.answers == 4)
    })
}

fn keep_alive() -> Box<dyn Work> {
    let mut desk = Desk::new();
    desk.play();
    let line = "GET_PARAMETER rtsp://192.0.2.1/cam RTSP/1.0\r\nCSeq: 5\r\n";
    let headers = format!("User-Agent: Lavf61.7.100\r\n{}\r\n", desk.session_header());
    work(
        || (),
        move |()| {
            let before = desk.answers;
            desk.request(line, &headers);
            if desk.is_well { desk.answers - before } else { 0 }
        },
    )
}
