//! More readers do not mean more allocations: what one packet costs is the same for one reader and
//! for a hundred.
//!
//! One test only: the allocator counts for the whole process.

use std::alloc::System;
use std::net::SocketAddr;
use std::time::Instant;

use backend_client::{Input, Options, Output as Wanted, TransportChoice};
use benches::packets::{Frames, KEY_FRAME, OTHER_FRAME, SDP};
use benches::stage::{FRAME, GOP, Stage, TRACK};
use bytes::{Bytes, BytesMut};
use fan_out::TrackMask;
use proxy_session::{Ask, Output, ReaderId, Reply, Stream, StreamOptions, Ticket};
use rtp_rtcp::{Now, NtpTime};
use rtsp_proto::RtspUrl;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Frames before the counting: every queue has its usual size by then.
const WARM_UP: u64 = 3 * GOP;
/// Frames that are counted.
const COUNTED: u64 = 4 * GOP;
/// The backend's port for RTP.
const BACKEND_RTP: u16 = 5000;

/// A stream, a backend that answers as it should, and readers.
struct Rig {
    now: Now,
    stream: Stream,
    stage: Stage,
    /// What the stream has not taken of its connection.
    inbox: BytesMut,
    is_playing: bool,
    served: u64,
}

fn backend() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 7], 554))
}

impl Rig {
    fn new(mono: Instant, over: TransportChoice, readers: usize) -> Self {
        let wall = NtpTime::from_unix(std::time::Duration::from_secs(1_700_000_000));
        let now = Now { mono, wall };
        let mut options = Options::new(RtspUrl::parse("rtsp://192.0.2.7/cam").expect("a URL"));
        options.transport = over;
        let mut rig = Self {
            now,
            stream: Stream::new(now, "cam", StreamOptions::new(options), 7),
            stage: Stage::new(mono, readers, readers),
            inbox: BytesMut::new(),
            is_playing: false,
            served: 0,
        };
        rig.settle();
        let tracks = TrackMask::of(TRACK);
        for ask in [Ask::SetUp { track: TRACK }, Ask::Play { tracks }] {
            rig.stream.ask(now, Ticket(1), ReaderId(1), ask);
            rig.settle();
        }
        rig.stream.joined();
        assert!(rig.is_playing, "the backend's PLAY was answered");
        rig
    }

    /// Does what the stream asks for, and serves the readers.
    fn settle(&mut self) {
        self.stream.flush(self.now);
        while let Some(output) = self.stream.poll_output() {
            match output {
                Output::Backend(wanted) => self.perform(wanted),
                Output::Publish(batch) => {
                    self.stage.publish(self.now.mono, batch);
                    self.served += self.stage.serve_udp(self.now.mono).bytes;
                    self.served += self.stage.serve_tcp(self.now.mono).bytes;
                }
                Output::Reply { reply: Reply::Playing(_), .. } => self.is_playing = true,
                Output::Reply { reply: Reply::Refused(refusal), .. } => panic!("{refusal:?}"),
                _ => {}
            }
        }
    }

    fn perform(&mut self, wanted: Wanted) {
        let local = SocketAddr::from(([192, 0, 2, 1], 40_000));
        match wanted {
            Wanted::Connect { .. } => {
                self.stream.handle(self.now, Input::Connected { local, peer: backend() });
            }
            Wanted::BindUdp { track } => {
                self.stream.handle(self.now, Input::UdpBound { track, rtp_port: 6000 });
            }
            Wanted::Send(request) => {
                let request = String::from_utf8_lossy(&request);
                self.inbox.extend_from_slice(answer(&request).as_bytes());
                self.stream.handle(self.now, Input::Stream(&mut self.inbox));
            }
            _ => {}
        }
    }

    /// One frame arrives.
    fn frame(&mut self, frame: &Arriving) {
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
        self.now.mono += FRAME;
        self.stage.handle_timeout(self.now.mono);
        if self.stream.poll_timeout().is_some_and(|due| due <= self.now.mono) {
            self.stream.handle_timeout(self.now);
            self.settle();
        }
    }
}

/// The backend's answer, which is always yes.
fn answer(request: &str) -> String {
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
            let ports = format!("server_port={BACKEND_RTP}-{}", BACKEND_RTP + 1);
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

/// A frame as it comes from the backend, made before anything is counted.
enum Arriving {
    Interleaved(Vec<u8>),
    Datagrams(Vec<Bytes>),
}

fn frames(over: TransportChoice) -> (Vec<Arriving>, u64) {
    let mut packets_counted = 0;
    let mut frames = Frames::new();
    let arriving = (0..WARM_UP + COUNTED).map(|index| {
        let is_key = index.is_multiple_of(GOP);
        let packets = frames.frame(if is_key { KEY_FRAME } else { OTHER_FRAME }, is_key);
        if index >= WARM_UP {
            packets_counted += packets.len() as u64;
        }
        if over == TransportChoice::Udp {
            // Shares of one block, as datagrams are received.
            let mut block = BytesMut::with_capacity(packets.iter().map(Vec::len).sum());
            let datagrams = packets.iter().map(|packet| {
                block.extend_from_slice(packet);
                block.split().freeze()
            });
            return Arriving::Datagrams(datagrams.collect());
        }
        let mut bytes = Vec::new();
        for packet in packets {
            let length = u16::try_from(packet.len()).expect("a short packet");
            bytes.extend_from_slice(&[b'$', 0]);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&packet);
        }
        Arriving::Interleaved(bytes)
    });
    (arriving.collect(), packets_counted)
}

/// Allocations, and allocations made larger, while frames arrive.
fn allocations(now: Instant, over: TransportChoice, readers: usize) -> f64 {
    let (frames, packets) = frames(over);
    let mut rig = Rig::new(now, over, readers);
    let (warm_up, counted) = frames.split_at(WARM_UP as usize);
    warm_up.iter().for_each(|frame| rig.frame(frame));
    let before = rig.served;
    let region = Region::new(ALLOCATOR);
    counted.iter().for_each(|frame| rig.frame(frame));
    let stats = region.change();
    let bytes = 2 * readers as u64 * 4 * (KEY_FRAME as u64 + (GOP - 1) * OTHER_FRAME as u64);
    assert!(rig.served - before > bytes, "{readers}: {} of {bytes}", rig.served - before);
    (stats.allocations + stats.reallocations) as f64 / packets as f64
}

#[test]
fn allocations_per_packet_do_not_grow_with_readers() {
    let now = benches::clock::mono();
    for over in [TransportChoice::Udp, TransportChoice::Tcp] {
        let [one, hundred] = [1, 100].map(|readers| allocations(now, over, readers));
        println!("{over:?}: {one:.4} per packet with one reader each way, {hundred:.4} with 100");
        // An allocation per frame and reader would add 13 per packet, one per GOP and reader 0.27.
        assert!(hundred <= one + 0.01, "{over:?}: {one} per packet with one, {hundred} with 100");
        assert!(one < 1.0, "{over:?}: {one} per packet");
    }
}
