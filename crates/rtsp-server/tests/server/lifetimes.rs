//! Signs of life, and what happens without them.

use std::net::SocketAddr;
use std::time::Duration;

use rtsp_proto::StatusCode;
use rtsp_server::{CloseReason, EndReason, ServerOptions, SessionId};

use crate::rig::{CAM, Rig, TCP, UDP, described, secs};

/// Seconds until the session is ended when nothing more happens.
fn lives_on(rig: &mut Rig, session: SessionId) -> u64 {
    for second in 1..1000 {
        rig.pass(secs(1));
        if rig.server.session(&session).is_none() {
            return second;
        }
    }
    panic!("it lives for ever")
}

fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

#[test]
fn a_dead_udp_reader_is_reclaimed_after_65_seconds() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    rig.pass(Duration::from_millis(64_999));
    assert!(rig.server.session(&session).is_some());
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.ended(), [(session, EndReason::TimedOut)]);
    assert_eq!(rig.closings(), [(conn, CloseReason::SessionEnded(EndReason::TimedOut))]);
    assert_eq!(rig.server.stats().reclaimed, 1);
    assert_eq!(rig.server.poll_timeout(), None);
}

#[test]
fn a_session_that_never_plays_is_reclaimed_as_well() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    assert_eq!(lives_on(&mut rig, session), 65);
}

#[test]
fn reports_from_its_own_port_keep_a_reader_alive_and_no_other() {
    let mut rig = Rig::open();
    let (_, one) = rig.player(UDP);
    let (_, other) = rig.player("RTP/AVP;unicast;client_port=7000-7001");
    for _ in 0..10 {
        rig.pass(secs(20));
        rig.server.on_rtcp_from(rig.now, addr("192.0.2.1:5001"));
    }
    assert!(rig.server.session(&one).is_some());
    assert_eq!(rig.ended(), [(other, EndReason::TimedOut)]);
    assert_eq!(lives_on(&mut rig, one), 65);
}

#[test]
fn a_reader_that_left_without_a_word_ends_when_another_has_its_ports() {
    let mut rig = Rig::open();
    let (conn, gone) = rig.player(UDP);
    let (_, elsewhere) = rig.player("RTP/AVP;unicast;client_port=7000-7001");
    rig.closed(conn);
    assert!(rig.server.session(&gone).is_some(), "it may come again on another connection");
    let (_, here) = rig.player(UDP);
    assert_eq!(rig.ended(), [(gone, EndReason::PortsTaken)]);
    // Who is still connected is not ended by what another claims.
    rig.player(UDP);
    assert_eq!(rig.ended(), []);
    for session in [here, elsewhere] {
        assert!(rig.server.session(&session).is_some());
    }
}

#[test]
fn one_that_left_without_a_word_ends_when_a_reader_of_another_server_has_its_ports() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    let (_, elsewhere) = rig.player("RTP/AVP;unicast;client_port=7000-7001");
    rig.closed(conn);
    for (of, port) in [
        (session, "192.0.2.1:5003"),
        (session, "192.0.2.2:5001"),
        (session, "192.0.2.1:7001"),
        (elsewhere, "192.0.2.1:5001"),
    ] {
        rig.server.port_taken(rig.now, of, addr(port));
        rig.drain();
        assert_eq!(rig.ended(), [], "{port}");
        assert_eq!(rig.contested(), [], "{port}");
    }
    rig.server.port_taken(rig.now, session, addr("[::ffff:192.0.2.1]:5001"));
    rig.drain();
    assert_eq!(rig.ended(), [(session, EndReason::PortsTaken)]);
}

#[test]
fn a_connection_that_closes_after_its_ports_were_claimed_ends_its_session() {
    let mut rig = Rig::open();
    let (old, first) = rig.player(UDP);
    let (new, second) = rig.player(UDP);
    assert_eq!(rig.contested(), [old], "once, though there are two ports");
    assert_eq!(rig.ended(), [], "its reader may be there");
    rig.closed(old);
    assert_eq!(rig.ended(), [(first, EndReason::PortsTaken)]);
    // The latest on the port may come again.
    rig.closed(new);
    assert_eq!(rig.ended(), []);
    assert_eq!(lives_on(&mut rig, second), 65);
}

#[test]
fn it_ends_it_as_well_where_another_servers_reader_claimed_them() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    for _ in 0..2 {
        rig.server.port_taken(rig.now, session, addr("192.0.2.1:5001"));
    }
    rig.drain();
    assert_eq!((rig.ended(), rig.contested()), (vec![], vec![conn]));
    rig.closed(conn);
    assert_eq!(rig.ended(), [(session, EndReason::PortsTaken)]);
}

#[test]
fn who_gave_a_contested_port_up_or_claimed_it_again_is_not_contested() {
    let mut rig = Rig::open();
    let ready = rig.connect();
    let moved = rig.setup(ready, 0, UDP, None);
    let (other, _) = rig.player(UDP);
    assert_eq!(rig.contested(), [ready]);
    rig.setup(ready, 0, "RTP/AVP;unicast;client_port=8000-8001", Some(moved));
    rig.closed(ready);
    assert_eq!(rig.ended(), [], "its port is its own");
    // Who claims again is the latest.
    let ready = rig.connect();
    let again = rig.setup(ready, 0, UDP, None);
    assert_eq!(rig.contested(), [other]);
    let (latest, taker) = rig.player(UDP);
    assert_eq!(rig.contested(), [ready]);
    rig.setup(ready, 0, UDP, Some(again));
    assert_eq!(rig.contested(), [latest]);
    rig.closed(ready);
    assert_eq!(rig.ended(), []);
    rig.closed(latest);
    assert_eq!(rig.ended(), [(taker, EndReason::PortsTaken)]);
}

#[test]
fn a_reader_that_begins_anew_on_its_connection_and_ports_ends_what_it_had_there() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let before = rig.setup(conn, 0, UDP, None);
    let elsewhere = rig.setup(conn, 0, "RTP/AVP;unicast;client_port=7000-7001", None);
    assert_eq!(rig.ended(), []);
    let now = rig.setup(conn, 0, UDP, None);
    assert_eq!((rig.ended(), rig.contested()), (vec![(before, EndReason::PortsTaken)], vec![]));
    for session in [elsewhere, now] {
        assert!(rig.server.session(&session).is_some());
    }
}

#[test]
fn the_oldest_of_too_many_on_a_port_ends() {
    let mut rig = Rig::open();
    let sessions: Vec<_> = (0..40).map(|_| rig.player(UDP).1).collect();
    let ended: Vec<_> = rig.ended();
    let oldest = sessions.iter().take(8).map(|session| (*session, EndReason::PortsTaken));
    assert_eq!(ended, oldest.collect::<Vec<_>>());
}

#[test]
fn reports_keep_each_alive_that_claims_the_port() {
    let mut rig = Rig::open();
    let (_, victim) = rig.player(UDP);
    let (_, silent) = rig.player(UDP);
    for _ in 0..10 {
        rig.pass(secs(20));
        rig.server.on_rtcp_from(rig.now, addr("192.0.2.1:5001"));
    }
    assert_eq!(rig.ended(), []);
    assert_eq!(lives_on(&mut rig, victim), 65);
    assert!(rig.server.session(&silent).is_none());
}

#[test]
fn who_asks_for_nothing_any_more_lives_by_the_reports_of_another_for_five_minutes() {
    let mut rig = Rig::open();
    let (_, left) = rig.player(UDP);
    let (asks, earlier) = rig.player(UDP);
    let (_, latest) = rig.player(UDP);
    let named = format!("Session: {earlier}");
    let mut ended = Vec::new();
    for step in 1..=60 {
        rig.pass(secs(10));
        rig.server.on_rtcp_from(rig.now, addr("192.0.2.1:5001"));
        ended.extend(rig.ended().into_iter().map(|end| (step * 10, end)));
        if step % 5 == 0 {
            assert_eq!(rig.call(asks, "GET_PARAMETER", CAM, &[&named]).status, StatusCode::OK);
        }
    }
    assert_eq!(ended, [(370, (left, EndReason::TimedOut))]);
    assert!(rig.server.session(&latest).is_some(), "nobody contests its reports");
}

#[test]
fn the_end_of_one_claim_leaves_the_others() {
    for leaves in 0..2 {
        let mut rig = Rig::open();
        let both = [rig.player(UDP), rig.player(UDP)];
        let (conn, session) = both[leaves];
        let (_, stays) = both[1 - leaves];
        let named = format!("Session: {session}");
        assert_eq!(rig.call(conn, "TEARDOWN", CAM, &[&named]).status, StatusCode::OK);
        for _ in 0..10 {
            rig.pass(secs(20));
            rig.server.on_rtcp_from(rig.now, addr("192.0.2.1:5000"));
        }
        assert_eq!(lives_on(&mut rig, stays), 65, "{leaves}");
    }
}

#[test]
fn a_port_that_was_given_up_is_one_that_nobody_named() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let moved = rig.setup(conn, 0, UDP, None);
    rig.setup(conn, 0, "RTP/AVP;unicast;client_port=7000-7001", Some(moved));
    let (left, gone) = rig.player("RTP/AVP;unicast;client_port=8000-8001");
    let both = rig.setup(left, 0, "RTP/AVP;unicast;client_port=9000-9001", None);
    rig.setup(left, 1, "RTP/AVP;unicast;client_port=9002-9003", Some(both));
    let headers = [gone, both].map(|session| format!("Session: {session}"));
    let track = format!("{CAM}/track2");
    for (uri, named) in [(CAM, &headers[0]), (&*track, &headers[1])] {
        assert_eq!(rig.call(left, "TEARDOWN", uri, &[named]).status, StatusCode::OK);
    }
    // From then on it speaks for its address, as one that NAT made up.
    for port in [5001, 8001, 9003] {
        rig.pass(secs(60));
        rig.server.on_rtcp_from(rig.now, SocketAddr::from(([192, 0, 2, 1], port)));
    }
    assert_eq!(lives_on(&mut rig, moved), 65);
}

#[test]
fn the_latest_on_a_port_ends_last() {
    for readers in 2..10 {
        let mut rig = Rig::open();
        let mut sessions: Vec<_> = (0..readers).map(|_| rig.player(UDP).1).collect();
        rig.server.shutdown(rig.now);
        rig.drain();
        let ended = rig.ended();
        assert_eq!(ended.len(), sessions.len());
        assert_eq!(ended.last(), sessions.pop().map(|last| (last, EndReason::Shutdown)).as_ref());
    }
}

#[test]
fn a_link_of_its_own_is_a_host_of_its_own() {
    let mut rig = Rig::open();
    let on = |link: u32| {
        let ip = "fe80::7".parse().expect("an address");
        SocketAddr::from(std::net::SocketAddrV6::new(ip, 5001, 0, link))
    };
    let [one, other] = [2, 3].map(|link| {
        let conn = rig.connect_as(on(link));
        let session = rig.setup(conn, 0, UDP, None);
        (conn, session)
    });
    assert_eq!(rig.contested(), []);
    rig.pass(secs(60));
    rig.server.on_rtcp_from(rig.now, on(2));
    rig.pass(secs(6));
    assert_eq!(rig.ended(), [(other.1, EndReason::TimedOut)]);
    let stranger = rig.connect_as(on(3));
    let named = format!("Session: {}", one.1);
    let response = rig.call(stranger, "TEARDOWN", CAM, &[&named]);
    assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND);
    assert_eq!(rig.call(one.0, "TEARDOWN", CAM, &[&named]).status, StatusCode::OK);
}

#[test]
fn reports_from_a_port_that_nat_made_up_keep_the_addresss_readers_alive() {
    let mut rig = Rig::open();
    let (_, session) = rig.player(UDP);
    for _ in 0..10 {
        rig.pass(secs(20));
        rig.server.on_rtcp_from(rig.now, addr("[::ffff:192.0.2.1]:61234"));
    }
    assert_eq!(lives_on(&mut rig, session), 65);
}

#[test]
fn reports_from_another_address_keep_nobody_alive() {
    let mut rig = Rig::open();
    let (_, session) = rig.player(UDP);
    rig.pass(secs(60));
    rig.server.on_rtcp_from(rig.now, addr("192.0.2.2:5001"));
    assert_eq!(lives_on(&mut rig, session), 5);
}

#[test]
fn reports_over_udp_do_not_keep_an_interleaved_session_alive() {
    let mut rig = Rig::open();
    let (_, session) = rig.player(TCP);
    rig.pass(secs(60));
    rig.server.on_rtcp_from(rig.now, addr("192.0.2.1:5001"));
    assert_eq!(lives_on(&mut rig, session), 5);
}

#[test]
fn an_old_report_of_an_address_does_not_outlast_its_sessions() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    rig.pass(secs(20));
    rig.server.on_rtcp_from(rig.now, addr("192.0.2.1:61234"));
    let named = format!("Session: {session}");
    assert_eq!(rig.call(conn, "TEARDOWN", CAM, &[&named]).status, StatusCode::OK);
    let second = rig.setup(conn, 0, UDP, None);
    assert_eq!(lives_on(&mut rig, second), 65);
}

#[test]
fn any_request_of_its_connection_keeps_a_session_alive() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    let named = format!("Session: {session}");
    for (method, headers) in
        [("OPTIONS", vec![named.as_str()]), ("GET_PARAMETER", vec![]), ("OPTIONS", vec![])]
    {
        rig.pass(secs(60));
        rig.call(conn, method, CAM, &headers);
    }
    assert_eq!(lives_on(&mut rig, session), 65);
}

#[test]
fn bytes_taken_keep_an_interleaved_session_alive() {
    let mut rig = Rig::open();
    let (_, session) = rig.player(TCP);
    for _ in 0..10 {
        rig.pass(secs(60));
        rig.server.on_progress(rig.now, session);
    }
    assert_eq!(lives_on(&mut rig, session), 65);
}

#[test]
fn interleaved_reports_keep_their_session_alive() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(TCP);
    for _ in 0..10 {
        rig.pass(secs(60));
        let _ = rig.feed(conn, b"$\x01\x00\x04abcd");
    }
    assert_eq!(lives_on(&mut rig, session), 65);
}

#[test]
fn a_session_over_udp_outlives_its_connection_until_it_is_reclaimed() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    rig.closed(conn);
    assert_eq!(rig.ended(), []);
    assert_eq!(rig.server.session(&session).expect("a session").conn, None);
    assert_eq!(lives_on(&mut rig, session), 65);
    assert_eq!(rig.closings(), []);
}

#[test]
fn a_session_over_udp_is_taken_up_by_a_new_connection_of_the_same_address() {
    let mut rig = Rig::open();
    let (old, session) = rig.player(UDP);
    rig.closed(old);
    let named = format!("Session: {session}");
    let stranger = rig.connect_from("192.0.2.2");
    for method in ["GET_PARAMETER", "OPTIONS", "PAUSE", "PLAY", "TEARDOWN"] {
        let response = rig.call(stranger, method, CAM, &[&named]);
        assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND, "{method}");
    }
    let conn = rig.connect();
    assert_eq!(rig.call(conn, "GET_PARAMETER", CAM, &[&named]).status, StatusCode::OK);
    assert_eq!(rig.server.session(&session).expect("a session").conn, Some(conn));
    assert_eq!(rig.call(conn, "TEARDOWN", CAM, &[&named]).status, StatusCode::OK);
}

#[test]
fn an_interleaved_session_ends_with_its_connection_and_answers_to_no_other() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(TCP);
    let other = rig.connect();
    let named = format!("Session: {session}");
    for method in ["GET_PARAMETER", "OPTIONS", "PAUSE", "TEARDOWN"] {
        let response = rig.call(other, method, CAM, &[&named]);
        assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND, "{method}");
    }
    rig.closed(conn);
    assert_eq!(rig.ended(), [(session, EndReason::ConnectionClosed)]);
}

#[test]
fn a_connection_that_says_nothing_is_closed_after_10_seconds() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let _ = rig.feed(conn, b"OPTIONS * RTSP/1.0\r\nCSeq: ");
    rig.pass(Duration::from_millis(9_999));
    assert_eq!(rig.closings(), []);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.closings(), [(conn, CloseReason::NoRequest)]);
}

#[test]
fn a_connection_without_a_session_is_closed_60_seconds_after_its_last_request() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    for _ in 0..3 {
        rig.call(conn, "OPTIONS", "*", &[]);
        rig.pass(Duration::from_millis(59_999));
    }
    // Half a request is none.
    let _ = rig.feed(conn, b"OPTIONS * RTSP/1.0\r\nCSeq: ");
    assert_eq!(rig.closings(), []);
    rig.pass(Duration::from_millis(1));
    assert_eq!(rig.closings(), [(conn, CloseReason::Idle)]);
}

#[test]
fn a_connection_is_not_idle_while_it_has_a_session_or_waits_for_an_answer() {
    let options = ServerOptions { describe_deadline: secs(100), ..ServerOptions::default() };
    let mut rig = Rig::new(options);
    let (playing, session) = rig.player(TCP);
    let waiting = rig.connect();
    rig.send(waiting, "DESCRIBE", CAM, &[]);
    let (id, _) = rig.asked();
    for _ in 0..9 {
        rig.pass(secs(10));
        rig.server.on_progress(rig.now, session);
    }
    assert_eq!(rig.closings(), []);
    let _ = rig.answer(id, described());
    rig.pass(secs(59));
    assert_eq!(rig.closings(), []);
    rig.pass(secs(1));
    assert_eq!(rig.closings(), [(waiting, CloseReason::Idle)]);
    rig.server.on_progress(rig.now, session);
    assert_eq!(
        rig.call(playing, "TEARDOWN", CAM, &[&format!("Session: {session}")]).status,
        StatusCode::OK
    );
    rig.pass(secs(60));
    assert_eq!(rig.closings(), [(playing, CloseReason::Idle)]);
}
