//! At most one write per batch and TCP reader.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use benches::clock;
use benches::runs::{Receiver, Scratch};
use benches::stage::{Batches, FRAME, Stage};
use integration_tests::camera;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use test_camera::{CameraOptions, Pace, Source, Synthetic};

#[test]
fn a_socket_that_takes_everything_is_written_to_once_per_batch() {
    const READERS: usize = 100;
    let mut now = clock::mono();
    let (mut stage, mut batches) = (Stage::new(now, 0, READERS), Batches::new());
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
    let (mut stage, mut batches) = (Stage::new(now, 0, 10), Batches::new());
    stage.serve_tcp(now);
    for _ in 0..8 {
        let batch = batches.next(now);
        stage.publish(now, batch);
        now += FRAME;
    }
    assert_eq!(stage.serve_tcp(now).calls, 10);
}

/// `write` and its kind, as the kernel counts them for a process.
fn writes(process: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{process}/io")).expect("a process of ours");
    let line = io.lines().find_map(|line| line.strip_prefix("syscw:")).expect("a count");
    line.trim().parse().expect("a number")
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

    let before = writes(proxy.process.id());
    let (messages, packets) = probe.count(1200);
    let written = writes(proxy.process.id()) - before;

    // Each batch is at least one message. Beside them, shards wake each other, and reports are
    // batches of their own; what arrived around the ends of the time is counted on one side only.
    let batches = messages + 4;
    let wakes = 2 * batches + 50;
    println!("{packets} packets in {messages} messages; {written} writes to {READERS} readers");
    assert!(messages * 4 < packets, "{messages} messages tell nothing of {packets} packets");
    assert!(written <= batches * READERS + wakes, "{written} writes for {messages} messages");
    // The count is of what it is thought to be of.
    assert!(written >= 10 * READERS, "{written} writes");
    for reader in readers {
        let outcome = reader.stop();
        assert_eq!(outcome.check(&[1]), Ok(()));
    }
    drop(probe.reader);
}
