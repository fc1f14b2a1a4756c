//! A client of a few lines, on a plain socket.
#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use test_camera::Camera;

/// An answer to a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// An RTP packet.
#[derive(Clone, Debug)]
pub(crate) struct Rtp {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
}

impl Rtp {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        assert_eq!(bytes[0], 0x80, "version 2, nothing else");
        Self {
            marker: bytes[1] & 0x80 != 0,
            payload_type: bytes[1] & 0x7F,
            sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
            timestamp: word(bytes, 4),
            ssrc: word(bytes, 8),
            payload: bytes[12..].to_vec(),
        }
    }
}

pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
    cseq: u32,
    pub(crate) session: Option<String>,
    /// Interleaved packets that came before an answer.
    pub(crate) early: Vec<(u8, Vec<u8>)>,
}

impl Client {
    pub(crate) fn connect(camera: &Camera) -> Self {
        let stream = TcpStream::connect(camera.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { stream, buffer: Vec::new(), cseq: 0, session: None, early: Vec::new() }
    }

    pub(crate) fn send(&mut self, method: &str, uri: &str, headers: &str) {
        self.cseq += 1;
        let session = match &self.session {
            Some(session) => format!("Session: {session}\r\n"),
            None => String::new(),
        };
        let request =
            format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n{session}{headers}\r\n", self.cseq);
        self.stream.write_all(request.as_bytes()).unwrap();
    }

    pub(crate) fn ask(&mut self, method: &str, uri: &str, headers: &str) -> Answer {
        self.send(method, uri, headers);
        self.answer()
    }

    pub(crate) fn answer(&mut self) -> Answer {
        loop {
            self.fill(1);
            if self.buffer[0] == b'$' {
                let packet = self.packet();
                self.early.push(packet);
                continue;
            }
            let end = loop {
                let found = self.buffer.windows(4).position(|window| window == b"\r\n\r\n");
                if let Some(at) = found {
                    break at + 4;
                }
                self.fill(self.buffer.len() + 1);
            };
            let head: Vec<u8> = self.buffer.drain(..end).collect();
            let head = String::from_utf8(head).unwrap();
            let mut lines = head.split("\r\n");
            let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            assert_eq!(headers["cseq"], self.cseq.to_string());
            let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
            self.fill(length);
            let body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
            return Answer { status, headers, body };
        }
    }

    /// The next interleaved packet.
    pub(crate) fn packet(&mut self) -> (u8, Vec<u8>) {
        self.fill(4);
        assert_eq!(self.buffer[0], b'$', "an answer where a packet was expected");
        let length = usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]]));
        self.fill(4 + length);
        let packet: Vec<u8> = self.buffer.drain(..4 + length).collect();
        (packet[1], packet[4..].to_vec())
    }

    fn fill(&mut self, length: usize) {
        while self.buffer.len() < length {
            let mut chunk = [0; 4096];
            let count = self.stream.read(&mut chunk).expect("silence");
            assert_ne!(count, 0, "the connection was closed");
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }

    /// Whether the other end closes the connection, after whatever it still sends.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut chunk = [0; 4096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }

    /// Sets up one track and remembers the session.
    pub(crate) fn setup(&mut self, url: &str, track: u8, transport: &str) -> Answer {
        let uri = format!("{url}/trackID={track}");
        let answer = self.ask("SETUP", &uri, &format!("Transport: {transport}\r\n"));
        if let Some(session) = answer.headers.get("session") {
            self.session = session.split(';').next().map(str::to_owned);
        }
        answer
    }

    /// Sets up video over TCP, on channels 0 and 1, and plays.
    pub(crate) fn play_video(&mut self, url: &str) -> Answer {
        assert_eq!(self.setup(url, 1, "RTP/AVP/TCP;unicast;interleaved=0-1").status, 200);
        let answer = self.ask("PLAY", url, "Range: npt=now-\r\n");
        assert_eq!(answer.status, 200);
        answer
    }

    /// The next RTP packet on a channel; what else comes is passed over.
    pub(crate) fn rtp(&mut self, wanted: u8) -> Rtp {
        loop {
            let (channel, packet) = self.packet();
            if channel == wanted {
                return Rtp::parse(&packet);
            }
        }
    }
}
