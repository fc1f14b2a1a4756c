//! Packets that leave in segmented messages, as receivers with and without `UDP_GRO` get them.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]
#[expect(dead_code, reason = "each test file uses its part of the client")]
mod support;

use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, sendmsg, setsockopt, sockopt::UdpGroSegment,
};
use socket2::SockRef;
use support::{Client, Rtp};
use test_camera::{Camera, CameraOptions, Pace, Source, Stamp, Start, Synthetic};

/// A receiver that has room for some bursts.
fn receiver() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    SockRef::from(&socket).set_recv_buffer_size(1 << 20).unwrap();
    socket
}

/// A camera that sends each frame at once, from the first frame on.
fn camera(segmented: bool, options: CameraOptions) -> Camera {
    let (pace, start) = (Pace::Burst, Start::Beginning);
    Camera::start(CameraOptions { pace, start, segmented, ..options }).unwrap()
}

/// Has the video of the first stream sent to `socket` as long as the client lasts.
fn play(camera: &Camera, socket: &UdpSocket) -> Client {
    let url = camera.url(0);
    let port = socket.local_addr().unwrap().port();
    let mut client = Client::connect(camera);
    let setup = client.setup(&url, 1, &format!("RTP/AVP;unicast;client_port={port}-1"));
    assert_eq!(setup.status, 200);
    assert_eq!(client.ask("PLAY", &url, "").status, 200);
    client
}

fn datagram(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

/// Whether a segmented message arrives in one piece here. Said aloud if not.
fn messages_arrive_joined() -> bool {
    let (from, to) = (receiver(), receiver());
    let std::net::SocketAddr::V4(address) = to.local_addr().unwrap() else { return false };
    let sent = setsockopt(&to, UdpGroSegment, &true).and_then(|()| {
        sendmsg(
            from.as_raw_fd(),
            &[IoSlice::new(&[0; 300])],
            &[ControlMessage::UdpGsoSegments(&100)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(address)),
        )
    });
    let joined = sent.is_ok() && datagram(&to).len() == 300;
    if !joined {
        eprintln!("SKIPPED: this kernel joins no datagrams");
    }
    joined
}

#[test]
fn a_receiver_of_single_datagrams_gets_the_same_ones() {
    // Small packets, so that there are more of a key frame than a message may have segments.
    let got = [false, true].map(|segmented| {
        let camera = camera(segmented, CameraOptions { payload_limit: 64, ..Default::default() });
        let socket = receiver();
        let _client = play(&camera, &socket);
        let mut packets: Vec<Rtp> = (0..400).map(|_| Rtp::parse(&datagram(&socket))).collect();
        assert_eq!(camera.lost_packets(), 0);
        // All else is the session's own.
        let (sequence, timestamp) = (packets[0].sequence, packets[0].timestamp);
        for packet in &mut packets {
            packet.sequence = packet.sequence.wrapping_sub(sequence);
            packet.timestamp = packet.timestamp.wrapping_sub(timestamp);
        }
        packets
    });
    let first = got[0].iter().filter(|packet| packet.timestamp == 0).count();
    assert!(first > 64, "{first} packets of the first frame");
    for (index, (without, with)) in got[0].iter().zip(&got[1]).enumerate() {
        assert_eq!(usize::from(without.sequence), index);
        let fields = |rtp: &Rtp| (rtp.sequence, rtp.timestamp, rtp.marker, rtp.payload_type);
        assert_eq!(fields(without), fields(with));
        assert_eq!(without.payload, with.payload, "packet {index}");
    }
}

#[test]
fn a_receiver_of_joined_datagrams_gets_a_frame_in_few_messages() {
    if !messages_arrive_joined() {
        return;
    }
    for segmented in [false, true] {
        let source = Source::Synthetic(Synthetic { fps: 1, gop: 1, ..Synthetic::default() });
        let in_band_parameter_sets = false;
        let options = CameraOptions { source, in_band_parameter_sets, ..Default::default() };
        let camera = camera(segmented, options);
        let socket = receiver();
        setsockopt(&socket, UdpGroSegment, &true).unwrap();
        let _client = play(&camera, &socket);
        // Nothing is kept until the next frame, which is a second away.
        socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
        let (mut messages, mut packets) = (0, Vec::<Rtp>::new());
        while packets.last().is_none_or(|last| !last.marker) {
            // Full packets are 1412 bytes; only the last of a frame is shorter.
            packets.extend(datagram(&socket).chunks(1412).map(Rtp::parse));
            messages += 1;
        }
        let first = Stamp::read(&packets[0].payload).unwrap();
        assert_eq!((packets.len(), first.packets), (43, 43));
        for (packet, index) in packets.iter().zip(0..) {
            assert_eq!(Stamp::read(&packet.payload).unwrap().packet, index);
        }
        assert_eq!(messages, if segmented { 1 } else { 43 });
    }
}

#[test]
fn faults_act_on_packets_and_not_on_messages() {
    for (fault, expected) in
        [("drop 5", [0, 1, 2, 3, 5, 6, 7, 8]), ("reorder 4", [0, 1, 2, 4, 3, 5, 6, 8])]
    {
        let source = Source::Synthetic(Synthetic::default());
        let camera = camera(true, CameraOptions { source, ..Default::default() });
        camera.fault(fault.parse().unwrap());
        let socket = receiver();
        let _client = play(&camera, &socket);
        let first = Rtp::parse(&datagram(&socket)).sequence;
        let rest = (0..7).map(|_| Rtp::parse(&datagram(&socket)).sequence.wrapping_sub(first));
        let got: Vec<u16> = std::iter::once(0).chain(rest).collect();
        assert_eq!(got, expected, "{fault}");
    }
}

#[test]
fn silence_over_udp_is_kept() {
    let camera = camera(true, CameraOptions::default());
    camera.fault("udp-silent".parse().unwrap());
    let socket = receiver();
    let _client = play(&camera, &socket);
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_err());
    camera.fault("udp-silent off".parse().unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_ok());
}
