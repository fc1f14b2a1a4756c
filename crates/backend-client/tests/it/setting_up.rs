//! SETUP: which tracks, in which order, over what.

use std::net::SocketAddr;

use backend_client::{Demand, Event, Input, LostReason, Phase, Quirk, TransportChoice};
use rtsp_proto::StatusCode;
use rtsp_proto::transport::Lower;

use crate::camera::{Act, Camera, SDP_WITH_MORE, rtp};
use crate::rig::{Rig, secs, tcp, udp};

fn transports(rig: &Rig) -> Vec<String> {
    let transport =
        |request: &crate::camera::Request| request.header("Transport").map(str::to_owned);
    rig.requests.iter().filter_map(|(_, request)| transport(request)).collect()
}

fn setups(rig: &Rig) -> Vec<&str> {
    let setups = rig.requests.iter().filter(|(_, request)| request.method == "SETUP");
    setups.map(|(_, request)| request.uri.as_str()).collect()
}

#[test]
fn tracks_are_set_up_one_after_the_other_and_played_when_that_is_wanted() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.run(secs(1.0));
    rig.demand(Demand::Ready);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSS");
    assert_eq!(rig.client.state(), Phase::Ready);
    assert_eq!(setups(&rig), ["rtsp://cam/live/trackID=0", "rtsp://cam/live/trackID=1"]);
    assert_eq!(
        transports(&rig),
        ["RTP/AVP/TCP;unicast;interleaved=0-1", "RTP/AVP/TCP;unicast;interleaved=2-3"]
    );
    assert_eq!(rig.requests[1].1.header("Session"), None);
    assert_eq!(rig.requests[2].1.header("Session"), Some("12345678"));
    rig.demand(Demand::Playing);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSP");
    assert_eq!(rig.last("PLAY").uri, "rtsp://cam/live/");
    assert_eq!(rig.last("PLAY").header("Session"), Some("12345678"));
    assert!(rig.packets() > 10);
    let story: Vec<String> = rig
        .events
        .iter()
        .filter(|(_, event)| !matches!(event, Event::Packet { .. }))
        .map(|(_, event)| format!("{event:?}").split([' ', '{']).next().unwrap_or("").to_owned())
        .collect();
    assert_eq!(story, ["Described", "TrackReady", "TrackReady", "Ready", "Playing"]);
}

#[test]
fn over_udp_ports_are_bound_first_and_the_way_through_a_nat_is_opened_before_play() {
    let mut rig = Rig::new(udp(), Camera::default());
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    assert_eq!(rig.binds, [0, 1]);
    assert_eq!(
        transports(&rig),
        ["RTP/AVP;unicast;client_port=40000-40001", "RTP/AVP;unicast;client_port=40002-40003"]
    );
    let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
    let (rtp, rtcp) = (address("192.0.2.7:6000"), address("192.0.2.7:6001"));
    assert_eq!(rig.udp_peers, [(0, rtp, rtcp), (1, rtp, rtcp)]);
    assert!(rig.datagrams.is_empty());
    rig.demand(Demand::Playing);
    let kinds: Vec<_> = rig.datagrams.iter().map(|(track, rtcp, _)| (*track, *rtcp)).collect();
    assert_eq!(kinds, [(0, false), (0, true), (1, false), (1, true)]);
    assert!(rig.datagrams.iter().all(|(_, _, data)| data.len() <= 16));
    rig.run(secs(2.0));
    assert!(rig.packets() > 10);
}

#[test]
fn back_channels_and_what_is_not_rtp_are_not_set_up() {
    let camera = Camera { sdp: SDP_WITH_MORE.to_owned(), ..Camera::default() };
    let rig = Rig::playing(tcp(), camera);
    assert_eq!(setups(&rig), ["rtsp://cam/live/v", "rtsp://cam/live/m"]);
    let ready: Vec<usize> = rig
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::TrackReady { track } => Some(*track),
            _ => None,
        })
        .collect();
    assert_eq!(ready, [0, 3]);
}

#[test]
fn media_that_is_not_allowed_is_not_set_up() {
    let mut options = tcp();
    options.allowed = backend_client::AllowedMedia::Kinds(vec![sdp::MediaKind::Audio]);
    let rig = Rig::playing(options, Camera::default());
    assert_eq!(setups(&rig), ["rtsp://cam/live/trackID=1"]);
}

#[test]
fn udp_refused_with_461_falls_back_to_tcp_on_the_same_connection_for_good() {
    let camera = Camera::default().once("SETUP", Act::Status(461));
    let mut rig = Rig::new(udp(), camera);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSSP");
    assert_eq!(rig.connects.len(), 1);
    assert_eq!(rig.closed_udp, 1);
    assert_eq!(rig.client.lower(), Lower::Tcp);
    assert_eq!(rig.losses(), []);
    rig.close();
    rig.until(Phase::Playing);
    assert_eq!(rig.binds, [0], "remembered");
}

#[test]
fn udp_refused_for_the_second_track_ends_the_session_first() {
    let camera = Camera::default().once("SETUP", Act::Obey).once("SETUP", Act::Status(461));
    let rig = Rig::playing(udp(), camera);
    assert_eq!(rig.dialogue(), "DSSTSSP");
    assert_eq!(rig.last("SETUP").header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=2-3"));
}

#[test]
fn where_udp_is_insisted_on_a_refusal_is_a_failure() {
    let mut options = udp();
    options.transport = TransportChoice::Udp;
    let mut rig = Rig::new(options, Camera::default().always("SETUP", Act::Status(461)));
    rig.demand(Demand::Ready);
    rig.run(secs(0.5));
    let status = StatusCode::UNSUPPORTED_TRANSPORT;
    assert_eq!(rig.losses()[0].1, LostReason::Refused { what: "SETUP", status });
    assert_eq!(rig.count(|event| matches!(event, Event::Refused { .. })), 1);
}

#[test]
fn a_setup_that_always_fails_is_not_hammered() {
    let mut rig = Rig::new(tcp(), Camera::default().always("SETUP", Act::Status(500)));
    rig.demand(Demand::Ready);
    rig.run(secs(60.0));
    assert!(rig.connects.len() <= 7, "{:?}", rig.connects);
}

#[test]
fn no_packets_within_3_s_of_play_fall_back_to_tcp() {
    let mut rig = Rig::new(udp(), Camera { udp_blocked: true, ..Camera::default() });
    rig.demand(Demand::Playing);
    rig.run(secs(5.0));
    assert_eq!(rig.dialogue(), "DSSPTSSP");
    assert_eq!(rig.connects.len(), 1);
    assert_eq!(rig.losses(), []);
    assert!(rig.packets() > 0);
    assert_eq!(rig.count(|event| matches!(event, Event::Warning(_))), 1);
}

#[test]
fn a_camera_that_closes_at_the_teardown_of_a_fall_back_is_reached_anew() {
    let camera = Camera { udp_blocked: true, ..Camera::default() };
    let mut rig = Rig::new(udp(), camera.once("TEARDOWN", Act::ObeyAndClose));
    rig.demand(Demand::Playing);
    rig.run(secs(6.0));
    assert_eq!(rig.dialogue(), "DSSPTSDSSP");
    assert_eq!(rig.losses(), []);
    assert!(rig.packets() > 0);
}

#[test]
fn ports_that_cannot_be_bound_are_no_reason_to_give_up() {
    let mut rig = Rig::new(udp(), Camera::default());
    rig.no_ports = true;
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.client.lower(), Lower::Tcp);
    let mut options = udp();
    options.transport = TransportChoice::Udp;
    let mut rig = Rig::new(options, Camera::default());
    rig.no_ports = true;
    rig.demand(Demand::Playing);
    rig.run(secs(0.5));
    assert!(matches!(rig.losses()[0].1, LostReason::Local { .. }));
}

#[test]
fn a_shell_that_forgets_to_bind_ports_does_not_hang_it() {
    let mut rig = Rig::new(udp(), Camera { mute_shell: true, ..Camera::default() });
    rig.demand(Demand::Ready);
    rig.run(secs(10.5));
    assert!(matches!(rig.losses()[0].1, LostReason::Local { .. }));
}

#[test]
fn a_refused_audio_track_does_not_cost_the_video() {
    let camera = Camera::default().once("SETUP", Act::Obey).once("SETUP", Act::Status(404));
    let rig = Rig::playing(tcp(), camera);
    assert_eq!(rig.dialogue(), "DSSP");
    let status = StatusCode::NOT_FOUND;
    let refused = |event: &Event| matches!(event, Event::TrackRefused { track: 1, status: s } if *s == status);
    assert_eq!(rig.count(refused), 1);
}

#[test]
fn a_refused_video_track_is_a_failure() {
    let mut rig = Rig::new(tcp(), Camera::default().once("SETUP", Act::Status(415)));
    rig.demand(Demand::Playing);
    rig.run(secs(0.5));
    let status = StatusCode(415);
    assert_eq!(rig.losses()[0].1, LostReason::Refused { what: "SETUP", status });
}

#[test]
fn a_camera_without_room_is_not_asked_for_the_rest() {
    let camera = Camera::default().once("SETUP", Act::Obey).once("SETUP", Act::Status(453));
    let mut rig = Rig::new(tcp(), camera);
    rig.demand(Demand::Playing);
    rig.run(secs(0.5));
    assert_eq!(rig.dialogue(), "DSST");
}

#[test]
fn demand_that_goes_during_setup_cancels_what_is_pending() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.run(secs(1.0));
    rig.demand(Demand::Playing);
    rig.run(secs(0.001));
    assert_eq!(rig.dialogue(), "DS");
    rig.demand(Demand::Idle);
    rig.run(secs(5.0));
    assert_eq!(rig.dialogue(), "DST");
    assert_eq!(rig.client.state(), Phase::Described);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
}

#[test]
fn demand_that_goes_once_all_is_set_up_never_leads_to_play() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    rig.demand(Demand::Idle);
    rig.run(secs(100.0));
    assert!(!rig.dialogue().contains('P'));
    assert_eq!(rig.client.state(), Phase::Ready);
}

#[test]
fn granted_channels_are_used_and_numbers_start_over_with_each_connection() {
    let answer = "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=8-9\r\n";
    let mut rig = Rig::new(tcp(), Camera::default().once("SETUP", Act::Answer(200, answer)));
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.client.quirk_count(Quirk::OtherChannels), 1);
    assert_eq!(rig.last("SETUP").header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=0-1"));
    rig.bytes(&crate::camera::frame(8, &rtp(1, 1)));
    assert_eq!(rig.count(|event| matches!(event, Event::Packet { track: 0, .. })), 1);
    for _ in 0..60 {
        rig.run(secs(1.0));
        rig.close();
        rig.until(Phase::Playing);
    }
    assert_eq!(rig.last("SETUP").header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=2-3"));
}

#[test]
fn channels_of_another_track_are_not_taken() {
    let answer = "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";
    let camera = Camera::default().once("SETUP", Act::Obey).once("SETUP", Act::Answer(200, answer));
    let mut rig = Rig::playing(tcp(), camera);
    assert_eq!(rig.client.quirk_count(Quirk::TakenChannels), 1);
    rig.bytes(&crate::camera::frame(2, &rtp(1, 1)));
    assert_eq!(rig.count(|event| matches!(event, Event::Packet { track: 1, .. })), 1);
}

#[test]
fn datagrams_from_another_host_are_dropped_and_counted() {
    let mut rig = Rig::playing(udp(), Camera { media: false, ..Camera::default() });
    rig.datagram(0, false, "198.51.100.1:6000", &rtp(1, 1));
    rig.datagram(0, true, "198.51.100.1:6001", &crate::camera::bye(1));
    assert_eq!((rig.packets(), rig.client.stats().foreign), (0, 2));
    rig.datagram(0, false, "[::ffff:192.0.2.7]:6000", &rtp(1, 1));
    assert_eq!(rig.packets(), 1);
}

#[test]
fn a_source_counts_if_it_is_an_address_that_can_send() {
    let peer = |source: &str, answer: &'static str| {
        let rig = Rig::playing(udp(), Camera::default().once("SETUP", Act::Answer(200, answer)));
        let (_, rtp, _) = rig.udp_peers[0];
        assert_eq!(rtp.ip().to_string(), source, "{answer}");
        rig
    };
    let mut rig = peer(
        "203.0.113.9",
        "Session: 1\r\nTransport: RTP/AVP;unicast;client_port=40000-40001;server_port=7000-7001;source=203.0.113.9\r\n",
    );
    rig.datagram(0, false, "203.0.113.9:7000", &rtp(1, 1));
    rig.datagram(0, false, "192.0.2.7:7000", &rtp(2, 1));
    assert_eq!(rig.client.stats().foreign, 0);
    for answer in [
        "Session: 1\r\nTransport: RTP/AVP;unicast;server_port=7000-7001;source=camera.local\r\n",
        "Session: 1\r\nTransport: RTP/AVP;unicast;server_port=7000-7001;source=0.0.0.0\r\n",
        "Session: 1\r\nTransport: RTP/AVP;unicast;server_port=7000-7001;source=127.0.0.1\r\n",
        "Session: 1\r\nTransport: RTP/AVP;unicast;server_port=7000-7001;source=224.0.0.1\r\n",
    ] {
        assert_eq!(peer("192.0.2.7", answer).client.quirk_count(Quirk::OddSource), 1);
    }
}

#[test]
fn server_ports_that_were_not_named_are_learnt_and_moved_ones_followed_once() {
    let answer = "Session: 1\r\nTransport: RTP/AVP;unicast;client_port=40000-40001\r\n";
    let camera = Camera { media: false, ..Camera::default() };
    let mut rig = Rig::playing(udp(), camera.once("SETUP", Act::Answer(200, answer)));
    assert_eq!(rig.udp_peers.len(), 1, "the other track's");
    rig.datagram(0, false, "192.0.2.7:9000", &rtp(1, 1));
    rig.datagram(0, false, "192.0.2.7:9000", &rtp(2, 1));
    let (track, rtp, rtcp) = *rig.udp_peers.last().expect("learnt");
    assert_eq!((track, rtp.port(), rtcp.port()), (0, 9000, 9001));
    for port in [9301, 9401, 9501] {
        rig.datagram(0, true, &format!("192.0.2.7:{port}"), &crate::camera::bye(99));
    }
    assert_eq!(rig.udp_peers.len(), 3);
    assert_eq!(rig.udp_peers.last().map(|(_, _, rtcp)| rtcp.port()), Some(9301));
    for quirk in [Quirk::MissingServerPorts, Quirk::MovedServerPorts] {
        assert_eq!(rig.client.quirk_count(quirk), 1, "{quirk}");
    }
}

#[test]
fn input_that_nobody_asked_for_is_ignored() {
    let mut rig = Rig::new(tcp(), Camera::default());
    rig.handle(Input::UdpBound { track: 0, rtp_port: 4 });
    rig.handle(Input::UdpBindFailed { track: 9, why: String::new() });
    rig.run(secs(2.5));
    rig.handle(Input::ConnectFailed { why: "late".to_owned() });
    rig.datagram(0, false, "192.0.2.7:1", &rtp(1, 1));
    assert_eq!(rig.client.state(), Phase::Described);
    assert_eq!(rig.client.stats().unwanted, 1);
}
