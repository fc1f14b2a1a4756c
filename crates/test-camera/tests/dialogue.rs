//! The camera as a plain client sees it when nothing is wrong.

#![expect(clippy::unwrap_used, reason = "a failed step of a test ends it")]
mod support;

use std::io::Write as _;
use std::net::UdpSocket;
use std::time::Duration;

use support::{Client, Rtp, word};
use test_camera::{
    Auth, AuthScheme, Camera, CameraOptions, LogEvent, Method, Pace, Source, Stamp, Start,
    Synthetic,
};

/// The value of `name` in the part of an RTP-Info header for one track.
fn info(header: &str, track: &str, name: &str) -> u32 {
    let part = header.split(',').find(|part| part.contains(track)).unwrap();
    let value = part.split(';').find_map(|field| field.strip_prefix(name)).unwrap();
    value.parse().unwrap()
}

#[test]
fn a_session_over_tcp_is_what_it_was_announced_to_be() {
    let camera = Camera::start(CameraOptions::default()).unwrap();
    let url = camera.url(0);
    let mut client = Client::connect(&camera);

    let options = client.ask("OPTIONS", &url, "");
    assert!(options.headers["public"].contains("PAUSE"));
    let described = client.ask("DESCRIBE", &url, "Accept: application/sdp\r\n");
    assert_eq!(described.status, 200);
    assert_eq!(described.headers["content-base"], format!("{url}/"));
    assert!(described.body.contains("a=rtpmap:96 H264/90000\r\n"));
    assert!(described.body.contains("config=1188\r\n"));

    let setup = client.setup(&url, 1, "RTP/AVP/TCP;unicast;interleaved=0-1");
    assert!(setup.headers["session"].ends_with(";timeout=60"));
    let setup = client.setup(&url, 2, "RTP/AVP/TCP;unicast");
    assert!(setup.headers["transport"].contains("interleaved=2-3"));
    assert_eq!((camera.sessions(0), camera.playing(0)), (1, 0));

    let played = client.ask("PLAY", &url, "Range: npt=now-\r\n");
    assert!(client.early.is_empty(), "media before the answer to PLAY");
    assert_eq!(camera.playing(0), 1);
    let rtp_info = played.headers["rtp-info"].clone();

    // Of each track: a report first, then packets without a gap, in step with each other.
    let mut next: [Option<Rtp>; 2] = [None, None];
    let mut reports = [None, None];
    for _ in 0..120 {
        let (channel, packet) = client.packet();
        let track = usize::from(channel / 2);
        if channel % 2 == 1 {
            assert_eq!(packet[1], 200);
            let ntp = f64::from(word(&packet, 8)) + f64::from(word(&packet, 12)) / 4_294_967_296.0;
            reports[track] = Some((word(&packet, 4), ntp, word(&packet, 16)));
            continue;
        }
        let rtp = Rtp::parse(&packet);
        let report = reports[track].expect("a packet before the first report");
        assert_eq!(report.0, rtp.ssrc);
        match &next[track] {
            None => {
                let name = ["trackID=1", "trackID=2"][track];
                assert_eq!(info(&rtp_info, name, "seq="), u32::from(rtp.sequence));
                let late = rtp.timestamp.wrapping_sub(info(&rtp_info, name, "rtptime="));
                assert!(late <= [3600, 1024][track], "the first packet is {late} ticks late");
            }
            Some(before) => {
                assert_eq!(rtp.sequence, before.sequence.wrapping_add(1));
                let step = rtp.timestamp.wrapping_sub(before.timestamp);
                let unit = [3600, 1024][track];
                assert_eq!(step, if before.marker { unit } else { 0 });
            }
        }
        next[track] = Some(rtp);
    }
    // The reports of both tracks tell the same moment, and RTP-Info too.
    let [Some(video), Some(audio)] = reports else { panic!("{reports:?}") };
    assert!((video.1 - audio.1).abs() < 0.001);
    let video_late = video.2.wrapping_sub(info(&rtp_info, "trackID=1", "rtptime="));
    let audio_late = audio.2.wrapping_sub(info(&rtp_info, "trackID=2", "rtptime="));
    let skew = f64::from(video_late) / 90_000.0 - f64::from(audio_late) / 48_000.0;
    assert!(skew.abs() < 0.001, "{skew} s");

    assert_eq!(client.ask("GET_PARAMETER", &url, "").status, 200);
    assert_eq!(client.ask("PAUSE", &url, "").status, 200);
    assert_eq!((camera.sessions(0), camera.playing(0)), (1, 0));
    for (channel, packet) in client.early.drain(..) {
        if channel % 2 == 0 {
            next[usize::from(channel / 2)] = Some(Rtp::parse(&packet));
        }
    }
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(client.stream.peek(&mut [0]).is_err(), "media after the answer to PAUSE");
    client.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();

    // PLAY again: numbers without a gap, time with the true one.
    let played = client.ask("PLAY", &url, "");
    let (mut rtp, last) = (client.rtp(0), next[0].take().unwrap());
    assert_eq!(rtp.sequence, last.sequence.wrapping_add(1));
    assert_eq!(info(&played.headers["rtp-info"], "trackID=1", "seq="), u32::from(rtp.sequence));
    assert!(rtp.timestamp.wrapping_sub(last.timestamp) >= 27_000);
    for _ in 0..20 {
        let following = client.rtp(0);
        assert_eq!(following.sequence, rtp.sequence.wrapping_add(1));
        rtp = following;
    }

    assert_eq!(client.ask("TEARDOWN", &url, "").status, 200);
    assert_eq!(camera.sessions(0), 0);
    assert_eq!(client.ask("PLAY", &url, "").status, 454);
    assert_eq!(camera.lost_packets(), 0);

    let methods: Vec<String> =
        camera.log().iter().filter_map(|entry| Some(entry.request()?.method.clone())).collect();
    let expected = "OPTIONS DESCRIBE SETUP SETUP PLAY GET_PARAMETER PAUSE PLAY TEARDOWN PLAY";
    assert_eq!(methods.join(" "), expected);
}

#[test]
fn a_session_over_udp_comes_from_the_ports_announced() {
    let camera = Camera::start(CameraOptions { streams: 3, ..CameraOptions::default() }).unwrap();
    let url = camera.url(2);
    assert!(url.ends_with("/cam2"));
    let (rtp, rtcp) =
        (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    for socket in [&rtp, &rtcp] {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    let ports = (rtp.local_addr().unwrap().port(), rtcp.local_addr().unwrap().port());
    let mut client = Client::connect(&camera);
    let transport = format!("RTP/AVP;unicast;client_port={}-{}", ports.0, ports.1);
    let setup = client.setup(&url, 1, &transport);
    let transport = &setup.headers["transport"];
    let server = transport.split(';').find_map(|field| field.strip_prefix("server_port=")).unwrap();
    let server: Vec<u16> = server.split('-').map(|port| port.parse().unwrap()).collect();
    assert_eq!(server[0] % 2, 0);
    assert_eq!(server[1], server[0] + 1);

    client.ask("PLAY", &url, "");
    let mut buffer = [0; 2048];
    let (length, from) = rtcp.recv_from(&mut buffer).unwrap();
    assert_eq!(from.port(), server[1]);
    assert_eq!((buffer[1], length % 4), (200, 0));
    let mut last: Option<Rtp> = None;
    for _ in 0..30 {
        let (length, from) = rtp.recv_from(&mut buffer).unwrap();
        assert_eq!(from.port(), server[0]);
        let packet = Rtp::parse(&buffer[..length]);
        assert_eq!(packet.payload_type, 96);
        let follows = last.is_none_or(|last| packet.sequence == last.sequence.wrapping_add(1));
        assert!(follows);
        last = Some(packet);
    }

    // A receiver report is noted with its session.
    rtcp.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 1], ("127.0.0.1", server[1])).unwrap();
    let session = client.session.clone().unwrap();
    let noted = |event: &LogEvent| match event {
        LogEvent::Rtcp { stream: 2, session: of, types } => *of == session && *types == [201],
        _ => false,
    };
    assert!(camera.wait_for(|log| log.iter().any(|e| noted(&e.event)), Duration::from_secs(5)));

    // The session ends with its connection.
    drop(client);
    let closed = |log: &[test_camera::LogEntry]| {
        log.iter().any(|entry| matches!(entry.event, LogEvent::Closed { .. }))
    };
    assert!(camera.wait_for(closed, Duration::from_secs(5)));
    assert_eq!(camera.sessions(2), 0);
}

#[test]
fn the_clip_loops_without_a_step_after_months() {
    // 100 days and 15.9 s: the loop point is 0.1 s away.
    let age = Duration::from_millis((100 * 86_400 / 16) * 16 * 1000 + 15_900);
    let options = CameraOptions { age, pace: Pace::Burst, ..CameraOptions::default() };
    let camera = Camera::start(options).unwrap();
    let url = camera.url(0);
    let mut client = Client::connect(&camera);
    client.setup(&url, 2, "RTP/AVP/TCP;unicast;interleaved=2-3");
    client.play_video(&url);
    let mut video = client.rtp(0);
    let mut keys = 0;
    while keys == 0 || !video.marker {
        let next = client.rtp(0);
        assert_eq!(next.sequence, video.sequence.wrapping_add(1));
        let step = next.timestamp.wrapping_sub(video.timestamp);
        assert_eq!(step, if video.marker { 3600 } else { 0 });
        keys += u32::from(next.payload[0] & 0x1F == 7);
        video = next;
    }
}

#[test]
fn a_session_can_begin_at_a_key_frame_or_at_the_beginning() {
    for start in [Start::KeyFrame, Start::Beginning] {
        let age = if start == Start::KeyFrame { 1500 } else { 0 };
        let options =
            CameraOptions { start, age: Duration::from_millis(age), ..CameraOptions::default() };
        let camera = Camera::start(options).unwrap();
        let mut client = Client::connect(&camera);
        client.play_video(&camera.url(0));
        // A parameter set, which only precedes key frames.
        assert_eq!(client.rtp(0).payload[0] & 0x1F, 7, "{start:?}");
    }
}

#[test]
fn synthetic_packets_say_which_they_are() {
    let measures = Synthetic { bitrate: 8_000_000, fps: 50, gop: 10, key_frame_bytes: 60_000 };
    for pace in [Pace::Burst, Pace::Line(100.0), Pace::Spread] {
        let source = Source::Synthetic(measures);
        let options = CameraOptions {
            source,
            pace,
            start: Start::Beginning,
            in_band_parameter_sets: false,
            ..CameraOptions::default()
        };
        let camera = Camera::start(options).unwrap();
        let mut client = Client::connect(&camera);
        client.play_video(&camera.url(0));
        let (mut frame, mut packet) = (0, 0);
        while frame < 12 {
            let rtp = client.rtp(0);
            let stamp = Stamp::read(&rtp.payload).expect("a packet without a stamp");
            assert_eq!((stamp.frame, stamp.packet), (frame, packet), "{pace:?}");
            assert_eq!(rtp.marker, stamp.packet + 1 == stamp.packets);
            if frame.is_multiple_of(10) {
                assert_eq!(stamp.packets, 43);
            }
            (frame, packet) = if rtp.marker { (frame + 1, 0) } else { (frame, packet + 1) };
        }
        assert_eq!(camera.lost_packets(), 0);
    }
}

#[test]
fn credentials_are_asked_for() {
    let auth = Auth::new(AuthScheme::Basic, "user", "secret");
    let camera =
        Camera::start(CameraOptions { auth: Some(auth), ..CameraOptions::default() }).unwrap();
    let url = camera.url(0);
    let mut client = Client::connect(&camera);
    assert_eq!(client.ask("OPTIONS", &url, "").status, 200);
    let refused = client.ask("DESCRIBE", &url, "");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.headers["www-authenticate"], "Basic realm=\"test-camera\"");
    let wrong = "Authorization: Basic dXNlcjp3cm9uZw==\r\n";
    assert_eq!(client.ask("DESCRIBE", &url, wrong).status, 401);
    let right = "Authorization: Basic dXNlcjpzZWNyZXQ=\r\n";
    assert_eq!(client.ask("DESCRIBE", &url, right).status, 200);
    // The log tells the scheme and keeps no secret.
    let log = camera.log();
    let last = log.iter().rev().find_map(|entry| entry.request()).unwrap();
    assert_eq!(last.authorization.as_deref(), Some("Basic"));
    assert!(log.iter().all(|entry| !format!("{entry:?}").contains("dXNlcj")));
}

#[test]
fn hostile_connections_harm_nothing() {
    let camera = Camera::start(CameraOptions::default()).unwrap();
    let long = vec![b'a'; 100_000];
    let floods: [&[u8]; 6] = [
        b"\x00\x01\x02\xFF\xFE\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"$\x09\x00\x04abcdSETUP rtsp://x RTSP/1.0\r\nContent-Length: 99999999999999\r\n\r\n",
        b"OPTIONS * RTSP/1.0\r\n no name\r\n\r\n",
        &long,
        b"PLAY rtsp://h/cam RTSP/1.0\r\nSession: \xC3\x28\r\n\r\n",
    ];
    for flood in floods {
        let mut client = Client::connect(&camera);
        client.stream.write_all(flood).unwrap();
        assert!(client.is_closed(), "{:?}", String::from_utf8_lossy(&flood[..20]));
    }
    // Nonsense in good form is answered.
    let mut client = Client::connect(&camera);
    let url = camera.url(0);
    assert_eq!(client.ask("SING", &url, "").status, 501);
    assert_eq!(client.ask("DESCRIBE", "rtsp://h/cam999999999999999999999", "").status, 404);
    assert_eq!(client.ask("DESCRIBE", "*", "").status, 404);
    assert_eq!(client.ask("SETUP", &url, "Transport: RTP/AVP;client_port=1-2\r\n").status, 459);
    assert_eq!(client.setup(&url, 1, "RTP/AVP;multicast;client_port=1-2").status, 461);
    assert_eq!(client.setup(&url, 1, "RTP/AVP;client_port=99999-2").status, 461);
    assert_eq!(client.setup(&url, 3, "RTP/AVP;client_port=1-2").status, 404);
    assert_eq!(camera.sessions(0), 0);
    assert_eq!(client.ask("PLAY", &url, "Session: nobody\r\n").status, 454);
    client.stream.write_all(&b"\r\n".repeat(50_000)).unwrap();
    assert_eq!(client.ask("OPTIONS", &url, "").status, 200);
}

#[test]
fn a_stopped_camera_lets_go_of_everything() {
    let camera = Camera::start(CameraOptions::default()).unwrap();
    let bind = camera.addr();
    let mut client = Client::connect(&camera);
    client.play_video(&camera.url(0));
    client.rtp(0);
    camera.stop();
    assert!(client.is_closed());
    let again = Camera::start(CameraOptions { bind, ..CameraOptions::default() }).unwrap();
    assert_eq!(again.port(), bind.port());
    let mut client = Client::connect(&again);
    client.play_video(&again.url(0));
    client.rtp(0);
    assert!(again.log().iter().any(|entry| entry.is_request(Method::Play)));
}

#[test]
fn ipv6_is_served() {
    let bind = "[::1]:0".parse().unwrap();
    let Ok(camera) = Camera::start(CameraOptions { bind, ..CameraOptions::default() }) else {
        eprintln!("SKIPPED: this host has no IPv6");
        return;
    };
    assert!(camera.url(0).starts_with("rtsp://[::1]:"));
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = socket.local_addr().unwrap().port();
    let mut client = Client::connect(&camera);
    client.setup(&camera.url(0), 1, &format!("RTP/AVP;unicast;client_port={port}-1"));
    client.ask("PLAY", &camera.url(0), "");
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(Rtp::parse(&buffer[..length]).payload_type, 96);
}
