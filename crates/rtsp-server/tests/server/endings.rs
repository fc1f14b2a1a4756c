//! Streams, sessions and servers that end while readers are there.

use rtsp_proto::StatusCode;
use rtsp_server::{
    Answer, Ask, CloseReason, EndReason, Intake, Output, Refused, ServerOptions, Taken,
};

use crate::rig::{CAM, Rig, TCP, UDP, described, playing, secs, set_up};

#[test]
fn a_lost_stream_ends_its_sessions_and_closes_their_connections() {
    let mut rig = Rig::open();
    let (tcp, one) = rig.player(TCP);
    let (udp, other) = rig.player(UDP);
    let bystander = rig.connect();
    let transport = format!("Transport: {UDP}");
    let (ask, _) =
        rig.call_asking(bystander, ("SETUP", "rtsp://h/b/track1"), &[&transport], set_up());
    let Ask::Setup { session: unharmed, .. } = ask else { panic!("{ask:?}") };
    rig.server.end_stream(rig.now, "cam", EndReason::StreamLost);
    rig.drain();
    let mut ended = rig.ended();
    ended.sort_by_key(|(session, _)| *session != one);
    assert_eq!(ended, [(one, EndReason::StreamLost), (other, EndReason::StreamLost)]);
    let mut closings = rig.closings();
    closings.sort_by_key(|(conn, _)| *conn);
    let reason = CloseReason::SessionEnded(EndReason::StreamLost);
    assert_eq!(closings, [(tcp, reason), (udp, reason)]);
    assert!(rig.server.session(&unharmed).is_some());
}

#[test]
fn a_request_that_waits_for_a_lost_stream_is_answered_before_the_connection_closes() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, TCP, None);
    let cseq = rig.send(conn, "PLAY", CAM, &[&format!("Session: {session}")]);
    let (id, _) = rig.asked();
    rig.log.clear();
    rig.server.end_stream(rig.now, "cam", EndReason::StreamLost);
    rig.drain();
    assert!(matches!(rig.log.back(), Some(Output::CloseConn { .. })));
    assert_eq!(rig.withdrawn(), [id]);
    let response = rig.response(conn);
    assert_eq!((response.cseq(), response.status.0), (Some(cseq), 503));
    assert!(response.headers.get("Retry-After").is_some());
    assert_eq!(rig.answer(id, playing(&[0])), Taken::TooLate);
    assert_eq!(rig.ended(), [(session, EndReason::StreamLost)]);
}

#[test]
fn a_reader_that_is_cut_loses_its_connection_but_not_its_other_sessions() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(TCP);
    let second = rig.setup(conn, 0, UDP, None);
    rig.server.end_session(rig.now, session, EndReason::TooSlow);
    rig.drain();
    assert_eq!(rig.ended(), [(session, EndReason::TooSlow)]);
    assert_eq!(rig.closings(), []);
    rig.server.end_session(rig.now, second, EndReason::Operator);
    rig.drain();
    assert_eq!(rig.closings(), [(conn, CloseReason::SessionEnded(EndReason::Operator))]);
}

#[test]
fn a_connection_that_closes_withdraws_its_question() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    rig.send(conn, "DESCRIBE", CAM, &[]);
    let (describe, _) = rig.asked();
    rig.closed(conn);
    assert_eq!(rig.withdrawn(), [describe]);
    assert_eq!(rig.answer(describe, described()), Taken::TooLate);

    let conn = rig.connect();
    rig.send(conn, "SETUP", &format!("{CAM}/track1"), &[&format!("Transport: {UDP}")]);
    let (setup, ask) = rig.asked();
    let Ask::Setup { session, .. } = ask else { panic!("{ask:?}") };
    rig.closed(conn);
    assert_eq!(rig.withdrawn(), [setup]);
    assert_eq!(rig.ended(), [(session, EndReason::ConnectionClosed)]);
    assert_eq!((rig.server.stats().connections, rig.server.stats().sessions), (0, 0));
    assert_eq!(rig.server.poll_timeout(), None);
}

#[test]
fn a_session_torn_down_from_another_connection_frees_the_one_that_waits() {
    let mut rig = Rig::open();
    let first = rig.connect();
    let session = rig.setup(first, 0, UDP, None);
    let named = format!("Session: {session}");
    let play = rig.send(first, "PLAY", CAM, &[&named]);
    let (id, _) = rig.asked();
    let options = rig.send(first, "OPTIONS", "*", &[]);
    let second = rig.connect();
    for method in ["PLAY", "PAUSE"] {
        let response = rig.call(second, method, CAM, &[&named]);
        assert_eq!(response.status, StatusCode::METHOD_NOT_VALID_IN_THIS_STATE, "{method}");
    }
    assert_eq!(rig.call(second, "TEARDOWN", CAM, &[&named]).status, StatusCode::OK);
    assert_eq!(rig.withdrawn(), [id]);
    let seen: Vec<_> = rig.responses(first).iter().map(|r| (r.cseq(), r.status.0)).collect();
    assert_eq!(seen, [(Some(play), 454), (Some(options), 200)]);
    assert_eq!(rig.answer(id, playing(&[0])), Taken::TooLate);
}

#[test]
fn a_stopped_server_ends_everything_and_accepts_no_more() {
    let mut rig = Rig::open();
    let (tcp, one) = rig.player(TCP);
    let (udp, two) = rig.player(UDP);
    let asking = rig.connect();
    rig.send(asking, "DESCRIBE", CAM, &[]);
    let (id, _) = rig.asked();
    let silent = rig.connect();
    rig.server.shutdown(rig.now);
    rig.drain();
    let ended = rig.ended();
    assert_eq!(ended.len(), 2);
    assert!(ended.contains(&(one, EndReason::Shutdown)));
    assert!(ended.contains(&(two, EndReason::Shutdown)));
    assert_eq!(rig.response(asking).status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.withdrawn(), [id]);
    let expected = [tcp, udp, asking, silent].map(|conn| (conn, CloseReason::Shutdown));
    assert_eq!(rig.closings(), expected);
    let refused = rig.server.accept(
        rig.now,
        "192.0.2.1:1".parse().expect("an address"),
        "10.0.0.1:8554".parse().expect("an address"),
    );
    assert_eq!(refused, Err(Refused::ShuttingDown));
    assert_eq!(rig.feed(tcp, b"x"), Intake::Closed);
    assert_eq!(rig.server.poll_timeout(), None);
}

#[test]
fn so_many_connections_are_accepted_in_all_and_from_one_address() {
    let options = ServerOptions {
        connections: 3,
        connections_per_address: Some(2),
        ..ServerOptions::default()
    };
    let mut rig = Rig::new(options);
    let mut accept = |peer: &str| {
        let local = "10.0.0.1:8554".parse().expect("an address");
        rig.server.accept(rig.now, peer.parse().expect("an address"), local)
    };
    let first = accept("192.0.2.1:1").expect("room");
    assert!(accept("[::ffff:192.0.2.1]:2").is_ok());
    assert_eq!(accept("192.0.2.1:3"), Err(Refused::TooManyFromAddress { limit: 2 }));
    assert!(accept("192.0.2.2:1").is_ok());
    assert_eq!(accept("192.0.2.3:1"), Err(Refused::TooManyConnections { limit: 3 }));
    rig.closed(first);
    rig.connect_from("192.0.2.1");
}

#[test]
fn calls_about_what_is_gone_do_nothing() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(TCP);
    rig.closed(conn);
    rig.log.clear();
    rig.closed(conn);
    rig.server.end_session(rig.now, session, EndReason::Operator);
    rig.server.on_progress(rig.now, session);
    rig.server.end_stream(rig.now, "cam", EndReason::StreamLost);
    rig.pass(secs(1000));
    assert!(rig.log.is_empty());
}

#[test]
fn a_pause_without_an_answer_leaves_the_session_playing() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(TCP);
    let named = format!("Session: {session}");
    rig.send(conn, "PAUSE", CAM, &[&named]);
    let (id, _) = rig.asked();
    rig.pass(secs(10));
    assert_eq!(rig.withdrawn(), [id]);
    assert_eq!(rig.response(conn).status, StatusCode::SERVICE_UNAVAILABLE);
    let (_, response) = rig.call_asking(conn, ("PAUSE", CAM), &[&named], Answer::Paused);
    assert_eq!(response.status, StatusCode::OK);
}
