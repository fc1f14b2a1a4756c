//! At most one write per batch and TCP reader.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use benches::clock;
use benches::runs::{Receiver, Scratch};
use benches::stage::{Batches, FRAME, Stage};
use fan_out::Form;
use integration_tests::camera;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use test_camera::{CameraOptions, Pace, Source, Synthetic};

#[test]
fn a_socket_that_takes_everything_is_written_to_once_per_batch() {
    const READERS: usize = 100;
    let mut now = clock::mono();
    let (mut stage, mut batches) = (Stage::new(now, 0, READERS), Batches::new(Form::Interleaved));
    stage.serve_tcp(now);
    for _ in 0..120 {
        let batch = batches.next(now);
        stage.publish(now, batch);
        assert_eq!(stage.serve_tcp(now).calls, READERS as u64);
        now += FRAME;
    }
}

#[test]
fn batches_that_wait_together_are_written_together() {
    let mut now = clock::mono();
    let (mut stage, mut batches) = (Stage::new(now, 0, 10), Batches::new(Form::Interleaved));
    stage.serve_tcp(now);
    for _ in 0..8 {
        let batch = batches.next(now);
        stage.publish(now, batch);
        now += FRAME;
    }
    assert_eq!(stage.serve_tcp(now).calls, 10);
}

/// The segments with data that our TCP sockets at local port `port` have sent, as the kernel counts
/// them (`sock_diag(7)`): on loopback a write is one, or two if it is as large as a batch can be.
fn segments(port: u16) -> u64 {
    // SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, and INET_DIAG_INFO as one bit of many.
    const ASK: u16 = 20;
    const DUMP: u16 = 0x301;
    const INFO: u8 = 1 << 1;
    let mut request = [0_u8; 72];
    request[..4].copy_from_slice(&72_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&ASK.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    request[16..19].copy_from_slice(&[AddressFamily::Inet as u8, SockProtocol::Tcp as u8, INFO]);
    request[20..24].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[24..26].copy_from_slice(&port.to_be_bytes());
    let (kind, protocol) = (SockType::Datagram, SockProtocol::NetlinkSockDiag);
    let socket =
        socket(AddressFamily::Netlink, kind, SockFlag::empty(), protocol).expect("a socket");
    send(socket.as_raw_fd(), &request, MsgFlags::empty()).expect("a request");

    let (mut sum, mut buf) = (0, vec![0; 1 << 16]);
    loop {
        let length = recv(socket.as_raw_fd(), &mut buf, MsgFlags::empty()).expect("an answer");
        let mut messages = &buf[..length];
        while let Some(message) = first(&mut messages, |head| u32_at(head, 0) as usize) {
            match u16_at(message, 4) {
                ASK => sum += sent(&message[16..]),
                // NLMSG_DONE.
                3 => return sum,
                other => panic!("netlink message {other}"),
            }
        }
    }
}

/// `tcpi_data_segs_out` of the `tcp_info` behind an `inet_diag_msg`.
fn sent(message: &[u8]) -> u64 {
    let mut attributes = &message[72..];
    while let Some(attribute) = first(&mut attributes, |head| usize::from(u16_at(head, 0))) {
        if u16_at(attribute, 2) == 2 {
            return u64::from(u32_at(attribute, 4 + 156));
        }
    }
    0
}

/// Takes what says its own length off the front of `rest`, padded to four bytes as it is.
fn first<'a>(rest: &mut &'a [u8], length: impl Fn(&[u8]) -> usize) -> Option<&'a [u8]> {
    let all = *rest;
    let length = (!all.is_empty()).then(|| length(all))?;
    *rest = all.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some(&all[..length])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A reader that is sent datagrams and sees what was sent at once: runs of the proxy's batches.
struct Probe {
    reader: RawReader,
    receiver: Receiver,
    _rtcp: UdpSocket,
    epoll: Epoll,
    scratch: Scratch,
}

impl Probe {
    fn play(url: &str) -> Self {
        let (rtp, rtcp) = pair();
        let port = rtp.local_addr().expect("bound").port();
        let mut reader = RawReader::connect(url, Over::Udp);
        let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
        let answer = reader.request("SETUP", &reader.track_url(1), &[("Transport", &transport)]);
        let session = answer.session().expect("a session").to_owned();
        let receiver = Receiver::of_messages(rtp).expect("options");
        let epoll = Epoll::new(EpollCreateFlags::empty()).expect("an epoll");
        let event = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        epoll.add(receiver.socket().as_fd(), event).expect("a socket");
        let answer = reader.request("PLAY", url, &[("Session", &session)]);
        assert_eq!(answer.status, 200);
        let scratch = Scratch::new(Scratch::JOINED);
        Self { reader, receiver, _rtcp: rtcp, epoll, scratch }
    }

    /// Takes what comes until it is so many packets; messages and packets.
    fn count(&mut self, enough: u64) -> (u64, u64) {
        let (mut messages, mut packets) = (0, 0);
        let end = clock::mono() + Duration::from_secs(60);
        while packets < enough {
            assert!(clock::mono() < end, "{packets} of {enough} packets in a minute");
            let mut events = [EpollEvent::empty()];
            let _ready = self.epoll.wait(&mut events, EpollTimeout::from(100_u8));
            while self
                .receiver
                .take(&mut self.scratch, |message| {
                    messages += 1;
                    packets += message.datagrams().count() as u64;
                })
                .is_ok()
            {}
        }
        (messages, packets)
    }
}

fn pair() -> (UdpSocket, UdpSocket) {
    let bind = |port| UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    for _ in 0..200 {
        let first = bind(0).expect("a port");
        let port = first.local_addr().expect("bound").port();
        let Ok(second) = bind(port ^ 1) else { continue };
        return if port.is_multiple_of(2) { (first, second) } else { (second, first) };
    }
    panic!("no pair of free UDP ports");
}

#[test]
fn the_proxy_writes_to_a_tcp_reader_at_most_once_per_batch() {
    const READERS: u64 = 20;
    let source = Source::Synthetic(Synthetic::default());
    let options = CameraOptions { source, pace: Pace::Burst, ..CameraOptions::default() };
    let camera = camera::start(options);
    // Interleaved from the camera, so that a frame arrives in one piece or a few.
    let proxy = Proxy::of_camera(&camera.url(0), &["-t"]);
    let url = proxy.url("cam");
    let readers: Vec<_> =
        (0..READERS).map(|_| RawReader::play_tracks(&url, Over::Tcp, &[1]).run()).collect();
    let mut probe = Probe::play(&url);
    // More than from one key frame to the next: everybody has begun.
    probe.count(800);

    let port = url.split(['/', ':']).nth(4).and_then(|port| port.parse().ok()).expect("a port");
    let before = segments(port);
    let (messages, packets) = probe.count(1200);
    let written = segments(port) - before;

    // Each batch is at least one message. Reports are batches of their own; what arrived around
    // the ends of the time is counted on one side only.
    let batches = messages + 4;
    println!("{packets} packets in {messages} messages; {written} writes to {READERS} readers");
    assert!(messages * 4 < packets, "{messages} messages tell nothing of {packets} packets");
    assert!(written <= batches * READERS, "{written} writes for {messages} messages");
    // The count is of what it is thought to be of.
    assert!(written >= 10 * READERS, "{written} writes");
    for reader in readers {
        let outcome = reader.stop();
        assert_eq!(outcome.check(&[1]), Ok(()));
    }
    drop(probe.reader);
}
