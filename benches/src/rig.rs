//! A proxied stream without a network: a backend that answers as it should, and readers whose
//! sockets take everything.

use std::net::SocketAddr;
use std::sync::Arc;

use backend_client::{Input, Options, Output as Wanted, TransportChoice};
use bytes::{Bytes, BytesMut};
use fan_out::{Start, TrackMask, WireBatch};
use proxy_session::{Ask, Delivery, Output, ReaderId, Reply, Stream, StreamOptions, Ticket};
use rtp_rtcp::Now;
use rtsp_proto::RtspUrl;

use crate::packets::{SDP, interleaved};
use crate::stage::{FRAME, Stage, TRACK};

/// A stream that plays, its backend and its readers.
#[derive(Debug)]
pub struct Rig {
    now: Now,
    stream: Stream,
    stage: Stage,
    /// What the stream has not taken of its connection.
    inbox: BytesMut,
    /// What it has published and nobody has been given.
    published: Vec<Arc<WireBatch>>,
    is_playing: bool,
    served: u64,
}

impl Rig {
    /// A stream that comes over this transport, with so many readers over UDP and as many over TCP.
    ///
    /// # Panics
    /// If the stream does not get as far as PLAY.
    #[must_use]
    pub fn new(now: Now, over: TransportChoice, readers: usize) -> Self {
        let mut rig = Self {
            now,
            stream: Stream::new(now, "cam", StreamOptions::new(options(over)), 7),
            stage: Stage::new(now.mono, readers, readers),
            inbox: BytesMut::new(),
            published: Vec::new(),
            is_playing: false,
            served: 0,
        };
        rig.settle();
        let (tracks, start) = (TrackMask::of(TRACK), Start::KeyFrame);
        let play = Ask::Play { tracks, start, delivery: Delivery::Tcp };
        for ask in [Ask::SetUp { track: TRACK }, play] {
            rig.stream.ask(now, Ticket(1), ReaderId(1), ask);
            rig.settle();
        }
        rig.stream.joined();
        assert!(rig.is_playing, "the backend's PLAY was answered");
        rig.serve();
        rig
    }

    /// A frame arrives and is given to all readers; then it is time for the next one.
    pub fn frame(&mut self, frame: &Arriving) {
        self.relay(frame);
        self.serve();
        self.step();
    }

    /// A frame arrives: what the stream itself does with it. How many packets it has published.
    pub fn relay(&mut self, frame: &Arriving) -> u64 {
        let before = self.published.len();
        match frame {
            Arriving::Interleaved(bytes) => {
                self.inbox.extend_from_slice(bytes);
                self.stream.handle(self.now, Input::Stream(&mut self.inbox));
            }
            Arriving::Datagrams(packets) => {
                let from = SocketAddr::new(backend().ip(), BACKEND_RTP);
                for data in packets {
                    let data = data.clone();
                    let input = Input::Datagram { track: 0, rtcp: false, from, data };
                    self.stream.handle(self.now, input);
                }
            }
        }
        self.settle();
        self.published.iter().skip(before).map(|batch| batch.len() as u64).sum()
    }

    /// Gives the readers what is published.
    pub fn serve(&mut self) {
        for batch in self.published.drain(..) {
            self.stage.publish(self.now.mono, batch);
            self.served += self.stage.serve_udp(self.now.mono).bytes;
            self.served += self.stage.serve_tcp(self.now.mono).bytes;
        }
    }

    /// Time passes, until the next frame.
    pub fn step(&mut self) {
        self.now = self.now.after(FRAME);
        self.stage.handle_timeout(self.now.mono);
        if self.stream.poll_timeout().is_some_and(|due| due <= self.now.mono) {
            self.stream.handle_timeout(self.now);
            self.settle();
            self.serve();
        }
    }

    /// Bytes that were handed to the readers' sockets.
    #[must_use]
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Does what the stream asks for.
    fn settle(&mut self) {
        self.stream.flush(self.now);
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Backend(wanted) => {
                    let (stream, now) = (&mut self.stream, self.now);
                    perform(wanted, &mut self.inbox, |input| stream.handle(now, input));
                }
                Output::Publish(batch) => self.published.push(batch),
                Output::Reply { reply: Reply::Playing(_), .. } => self.is_playing = true,
                Output::Reply { reply: Reply::Refused(refusal), .. } => panic!("{refusal:?}"),
                _ => {}
            }
        }
    }
}

/// A frame as it comes from the backend.
#[derive(Clone, Debug)]
pub enum Arriving {
    /// On its connection.
    Interleaved(Vec<u8>),
    /// As datagrams, which share one block as those received do.
    Datagrams(Vec<Bytes>),
}

impl Arriving {
    /// These packets over this transport.
    #[must_use]
    pub fn new(packets: &[Vec<u8>], over: TransportChoice) -> Self {
        if over != TransportChoice::Udp {
            return Self::Interleaved(interleaved(packets));
        }
        let mut block = BytesMut::with_capacity(packets.iter().map(Vec::len).sum());
        let datagrams = packets.iter().map(|packet| {
            block.extend_from_slice(packet);
            block.split().freeze()
        });
        Self::Datagrams(datagrams.collect())
    }
}

/// How the backend is pulled.
pub(crate) fn options(over: TransportChoice) -> Options {
    let mut options = Options::new(RtspUrl::parse("rtsp://192.0.2.7/cam").expect("a URL"));
    options.transport = over;
    options
}

/// Does what a client of the backend asks for; answers are put behind what `inbox` holds.
pub(crate) fn perform(wanted: Wanted, inbox: &mut BytesMut, mut handle: impl FnMut(Input<'_>)) {
    let local = SocketAddr::from(([192, 0, 2, 1], 40_000));
    match wanted {
        Wanted::Connect { .. } => handle(Input::Connected { local, peer: backend() }),
        Wanted::BindUdp { track } => handle(Input::UdpBound { track, rtp_port: 6000 }),
        Wanted::Send(request) => {
            let request = String::from_utf8_lossy(&request);
            inbox.extend_from_slice(answer(&request, BACKEND_RTP).as_bytes());
            handle(Input::Stream(inbox));
        }
        _ => {}
    }
}

/// The backend's answer to a request, which is always yes. Media over UDP comes from `rtp_port`.
#[must_use]
pub fn answer(request: &str, rtp_port: u16) -> String {
    let header = |name: &str| {
        let line = request.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).unwrap_or_default()
    };
    let mut answer = format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\n", header("CSeq:"));
    let mut body = "";
    match request.split(' ').next() {
        Some("OPTIONS") => answer.push_str("Public: OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE\r\n"),
        Some("DESCRIBE") => {
            body = SDP;
            answer.push_str(&format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        Some("SETUP") => {
            let ports = format!("server_port={rtp_port}-{}", rtp_port + 1);
            let transport = match header("Transport:") {
                udp if udp.contains("client_port") => format!("{udp};{ports}"),
                tcp => tcp.to_owned(),
            };
            answer.push_str(&format!("Session: 42\r\nTransport: {transport}\r\n"));
        }
        _ => answer.push_str("Session: 42\r\n"),
    }
    format!("{answer}\r\n{body}")
}

fn backend() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 554))
}

/// The backend's port for RTP.
const BACKEND_RTP: u16 = 5000;
