//! Which of the transports offered is taken.

use rtsp_proto::StatusCode;
use rtsp_server::{Ask, Chosen, ConnId, ServerOptions, SessionId};

use crate::rig::{CAM, Rig, TCP, UDP, set_up};

/// What a SETUP of a track with these headers comes to.
fn offer(
    rig: &mut Rig,
    conn: ConnId,
    track: usize,
    session: Option<SessionId>,
    transports: &[&str],
) -> Result<Chosen, u16> {
    let mut headers: Vec<_> = transports.iter().map(|text| format!("Transport: {text}")).collect();
    headers.extend(session.map(|session| format!("Session: {session}")));
    let headers: Vec<_> = headers.iter().map(String::as_str).collect();
    rig.send(conn, "SETUP", &format!("{CAM}/track{}", track + 1), &headers);
    let Some((id, ask)) = rig.asks().pop() else { return Err(rig.response(conn).status.0) };
    let Ask::Setup { transport, .. } = ask else { panic!("{ask:?}") };
    let _ = rig.answer(id, set_up());
    assert_eq!(rig.response(conn).status, StatusCode::OK);
    Ok(transport)
}

fn first(transports: &[&str]) -> Result<Chosen, u16> {
    let mut rig = Rig::open();
    let conn = rig.connect();
    offer(&mut rig, conn, 0, None, transports)
}

fn udp(rtp: u16) -> Result<Chosen, u16> {
    Ok(Chosen::Udp { client_ports: (rtp, rtp + 1) })
}

fn tcp(rtp: u8) -> Result<Chosen, u16> {
    Ok(Chosen::Tcp { channels: (rtp, rtp + 1) })
}

#[test]
fn the_first_acceptable_alternative_is_taken() {
    let alternatives = [
        "RAW/RAW/UDP;unicast;client_port=4000-4001",
        "RTP/SAVP;unicast;client_port=4002-4003",
        "RTP/AVP;multicast;client_port=4004-4005",
        "RTP/AVP;unicast",
        "RTP/AVP;unicast;client_port=0-1",
        "RTP/AVP;unicast;client_port=4006-4006",
        "RTP/AVP;unicast;client_port=4008-4009;mode=record",
        "RTP/AVP;unicast;client_port=5000-5001;mode=\"PLAY\"",
        "RTP/AVP/TCP;unicast;interleaved=0-1",
    ];
    assert_eq!(first(&[&alternatives.join(",")]), udp(5000));
    assert_eq!(first(&alternatives), udp(5000));
    assert_eq!(first(&[TCP, UDP]), tcp(0));
    assert_eq!(first(&["RTP/AVP/UDP;unicast;client_port=5000-5001"]), udp(5000));
}

#[test]
fn no_acceptable_transport_is_461_and_none_at_all_400() {
    for none in [
        "RAW/RAW/UDP;unicast;client_port=4000-4001",
        "MP2T/H2221/UDP;unicast;client_port=4000-4001",
        "RTP/AVP;unicast",
        "RTP/AVP;multicast",
        "RTP/SAVP/TCP;unicast;interleaved=0-1",
        "nonsense",
    ] {
        assert_eq!(first(&[none]), Err(461), "{none}");
    }
    assert_eq!(first(&[]), Err(400));
}

#[test]
fn channels_not_named_are_the_tracks_usual_ones() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    assert_eq!(offer(&mut rig, conn, 3, None, &["RTP/AVP/TCP;unicast"]), tcp(6));
    assert_eq!(offer(&mut rig, conn, 0, None, &["RTP/AVP/TCP;unicast"]), tcp(0));
    // Channels 6 and 7 are in use by another session of this connection.
    assert_eq!(offer(&mut rig, conn, 3, None, &["RTP/AVP/TCP;unicast"]), tcp(2));
}

#[test]
fn channels_already_in_use_on_the_connection_are_replaced() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, TCP, None);
    for (track, wished, got) in
        [(1, "0-1", 2), (2, "1-2", 4), (3, "9-9", 6), (4, "200-201", 200), (5, "6-7", 10)]
    {
        let transport = format!("RTP/AVP/TCP;unicast;interleaved={wished}");
        assert_eq!(offer(&mut rig, conn, track, Some(session), &[&transport]), tcp(got));
    }
    let other = rig.connect();
    assert_eq!(offer(&mut rig, other, 0, None, &[TCP]), tcp(0));
}

#[test]
fn a_second_setup_of_a_track_replaces_its_transport() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    assert_eq!(offer(&mut rig, conn, 0, Some(session), &[TCP]), tcp(0));
    let tracks = rig.server.session(&session).expect("a session").tracks.to_vec();
    assert_eq!(tracks.len(), 1);
    assert_eq!(Ok(tracks[0].transport), tcp(0));
    // Its own channels are not in its way.
    assert_eq!(offer(&mut rig, conn, 0, Some(session), &[TCP]), tcp(0));
}

#[test]
fn one_session_is_interleaved_or_not() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    assert_eq!(offer(&mut rig, conn, 1, Some(session), &[TCP]), Err(461));
    let other = "RTP/AVP;unicast;client_port=5002-5003";
    assert_eq!(offer(&mut rig, conn, 1, Some(session), &[TCP, other]), udp(5002));
}

#[test]
fn readers_of_both_kinds_share_a_server() {
    let mut rig = Rig::open();
    rig.player(UDP);
    rig.player(TCP);
    assert_eq!(rig.server.stats().sessions, 2);
}

#[test]
fn a_second_interleaved_session_cannot_play_on_the_same_connection() {
    let mut rig = Rig::open();
    let (conn, _) = rig.player(TCP);
    let second = rig.setup(conn, 0, "RTP/AVP/TCP;unicast;interleaved=2-3", None);
    let named = format!("Session: {second}");
    let response = rig.call(conn, "PLAY", CAM, &[&named]);
    assert_eq!(response.status, StatusCode::METHOD_NOT_VALID_IN_THIS_STATE);
    let third = rig.setup(conn, 0, UDP, None);
    rig.play(conn, third);
}

#[test]
fn so_many_sessions_can_be_made_on_one_connection_and_no_more() {
    let options = ServerOptions { sessions_per_connection: 2, ..ServerOptions::default() };
    let mut rig = Rig::new(options);
    let conn = rig.connect();
    let another = "RTP/AVP;unicast;client_port=7000-7001";
    assert!(offer(&mut rig, conn, 0, None, &[UDP]).is_ok());
    assert!(offer(&mut rig, conn, 0, None, &[another]).is_ok());
    assert_eq!(offer(&mut rig, conn, 0, None, &[UDP]), Err(503));
    let other = rig.connect();
    assert!(offer(&mut rig, other, 0, None, &[UDP]).is_ok());
}

#[test]
fn so_many_sessions_there_can_be_in_all_and_of_one_address() {
    let options =
        ServerOptions { sessions: 3, sessions_per_address: Some(2), ..ServerOptions::default() };
    let mut rig = Rig::new(options);
    let conns: Vec<_> = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
        .map(|ip| rig.connect_from(ip))
        .into();
    let outcomes: Vec<_> =
        conns.iter().map(|conn| offer(&mut rig, *conn, 0, None, &[UDP]).err()).collect();
    assert_eq!(outcomes, [None, None, Some(503), None, Some(503)]);
}
