//! What is refused, with which status, and what goes on afterwards.

use std::time::Duration;

use rtsp_proto::StatusCode;
use rtsp_server::{Answer, Ask, CloseReason, EndReason, Event, Intake, Taken};

use crate::rig::{CAM, Rig, TCP, UDP, described, secs};

#[test]
fn an_unknown_method_is_501_and_the_connection_goes_on() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    for method in ["FLY", "ANNOUNCE", "RECORD"] {
        assert_eq!(rig.call(conn, method, CAM, &[]).status, StatusCode::NOT_IMPLEMENTED);
    }
    assert_eq!(rig.call(conn, "OPTIONS", "*", &[]).status, StatusCode::OK);
}

#[test]
fn a_session_that_does_not_exist_is_454() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let uri = format!("{CAM}/track1");
    let stranger = "Session: 00112233445566778899aabbccddeeff";
    for header in [stranger, "Session: 12345678"] {
        for method in ["PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "OPTIONS"] {
            let response = rig.call(conn, method, CAM, &[header]);
            assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND, "{method}");
        }
        let transport = format!("Transport: {UDP}");
        let response = rig.call(conn, "SETUP", &uri, &[header, &transport]);
        assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND);
    }
    for method in ["PLAY", "PAUSE", "TEARDOWN"] {
        let response = rig.call(conn, method, CAM, &[]);
        assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND, "{method}");
    }
}

#[test]
fn setup_while_playing_is_455_for_old_tracks_and_new_ones() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    let named = format!("Session: {session}");
    for track in ["track1", "track2"] {
        let response = rig.call(
            conn,
            "SETUP",
            &format!("{CAM}/{track}"),
            &[&named, "Transport: RTP/AVP;unicast;client_port=5002-5003"],
        );
        assert_eq!(response.status, StatusCode::METHOD_NOT_VALID_IN_THIS_STATE);
    }
}

#[test]
fn another_stream_in_a_session_is_459() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    let named = format!("Session: {session}");
    let transport = format!("Transport: {UDP}");
    let response = rig.call(conn, "SETUP", "rtsp://h/other/track1", &[&named, &transport]);
    assert_eq!(response.status.0, 459);
    for method in ["PLAY", "PAUSE", "TEARDOWN"] {
        let response = rig.call(conn, method, "rtsp://h/other", &[&named]);
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{method}");
    }
}

#[test]
fn a_stream_without_a_track_cannot_be_set_up() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let transport = format!("Transport: {UDP}");
    for uri in [CAM, "rtsp://h/track1", "rtsp://h/cam/track0"] {
        assert_eq!(rig.call(conn, "SETUP", uri, &[&transport]).status.0, 459, "{uri}");
    }
    for uri in ["*", "rtsp://h", "rtsp://h/cam/track33"] {
        let response = rig.call(conn, "SETUP", uri, &[&transport]);
        assert_eq!(response.status, StatusCode::NOT_FOUND, "{uri}");
    }
}

#[test]
fn a_refusal_is_passed_on_and_the_session_that_never_came_to_be_is_ended() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let transport = format!("Transport: {UDP}");
    let refused = Answer::Refused {
        status: StatusCode::NOT_FOUND,
        retry_after: None,
        reason: "No Such Track\r\nX: y".to_owned(),
    };
    let uri = format!("{CAM}/track9");
    let (ask, response) = rig.call_asking(conn, ("SETUP", &uri), &[&transport], refused);
    let Ask::Setup { session, track: 8, .. } = ask else { panic!("{ask:?}") };
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    assert_eq!(response.reason, "No Such TrackX: y");
    assert_eq!(rig.ended(), [(session, EndReason::NeverSetUp)]);
    assert_eq!(rig.server.stats().sessions, 0);
}

#[test]
fn a_refused_track_leaves_those_already_set_up() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    let headers = [
        format!("Session: {session}"),
        "Transport: RTP/AVP;unicast;client_port=5002-5003".to_owned(),
    ];
    let headers = headers.each_ref().map(String::as_str);
    let refused = Answer::Refused {
        status: StatusCode::SERVICE_UNAVAILABLE,
        retry_after: Some(Duration::from_millis(1500)),
        reason: String::new(),
    };
    let uri = format!("{CAM}/track2");
    let (_, response) = rig.call_asking(conn, ("SETUP", &uri), &headers, refused);
    assert_eq!(response.headers.get("Retry-After"), Some("2"));
    assert_eq!(rig.server.session(&session).expect("a session").tracks.len(), 1);
}

#[test]
fn an_answer_that_does_not_come_is_503_with_retry_after_and_one_too_late_is_not_used() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let cseq = rig.send(conn, "DESCRIBE", CAM, &[]);
    let (id, _) = rig.asked();
    rig.pass(Duration::from_millis(9_999));
    assert_eq!(rig.responses(conn), []);
    rig.pass(Duration::from_millis(1));
    let response = rig.response(conn);
    assert_eq!((response.cseq(), response.status.0), (Some(cseq), 503));
    assert_eq!(response.headers.get("Retry-After"), Some("5"));
    assert_eq!(rig.withdrawn(), [id]);
    assert_eq!(rig.events(), [Event::NoAnswer { conn, id }]);
    assert_eq!(rig.answer(id, described()), Taken::TooLate);
    assert_eq!(rig.responses(conn), []);
    assert_eq!(rig.call(conn, "OPTIONS", "*", &[]).status, StatusCode::OK);
}

#[test]
fn a_first_setup_without_an_answer_leaves_no_session() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    rig.send(conn, "SETUP", &format!("{CAM}/track1"), &[&format!("Transport: {TCP}")]);
    let (id, ask) = rig.asked();
    let Ask::Setup { session, .. } = ask else { panic!("{ask:?}") };
    rig.pass(secs(10));
    assert_eq!(rig.response(conn).status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.withdrawn(), [id]);
    assert_eq!(rig.ended(), [(session, EndReason::NeverSetUp)]);
}

#[test]
fn an_answer_of_the_wrong_kind_is_500() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let (_, response) = rig.call_asking(conn, ("DESCRIBE", CAM), &[], Answer::Paused);
    assert_eq!(response.status, StatusCode::INTERNAL);
}

#[test]
fn garbage_is_400_and_closes_but_not_before_earlier_requests_are_answered() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    rig.send(conn, "DESCRIBE", CAM, &[]);
    let (id, _) = rig.asked();
    let _ = rig.feed(conn, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n\r\n");
    assert_eq!((rig.responses(conn), rig.closings()), (vec![], vec![]));
    assert_eq!(rig.answer(id, described()), Taken::Used);
    let responses = rig.responses(conn);
    assert_eq!(responses.iter().map(|r| r.status.0).collect::<Vec<_>>(), [200, 400]);
    assert_eq!(rig.closings(), [(conn, CloseReason::BadInput)]);
    assert_eq!(rig.feed(conn, b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n"), Intake::Closed);
}

#[test]
fn a_request_without_cseq_is_400_and_the_connection_goes_on() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let _ = rig.feed(conn, b"OPTIONS * RTSP/1.0\r\n\r\n");
    let response = rig.response(conn);
    assert_eq!((response.status, response.cseq()), (StatusCode::BAD_REQUEST, None));
    assert_eq!(rig.call(conn, "OPTIONS", "*", &[]).status, StatusCode::OK);
}

#[test]
fn what_a_reader_requires_is_named_back_if_it_is_not_known() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let response =
        rig.call(conn, "OPTIONS", "*", &["Require: play.basic, implicit-play", "Proxy-Require: a"]);
    assert_eq!(response.status, StatusCode::OPTION_NOT_SUPPORTED);
    assert_eq!(response.headers.get("Unsupported"), Some("implicit-play, a"));
    let response =
        rig.call(conn, "OPTIONS", "*", &["Require: onvif-replay", "Require: play.basic"]);
    assert_eq!(response.status, StatusCode::OK);
}

#[test]
fn a_url_beyond_its_limit_is_414_and_one_that_cannot_be_decoded_400() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let long = format!("rtsp://h/{}", "a".repeat(rtsp_server::MAX_URI_BYTES));
    assert_eq!(rig.call(conn, "DESCRIBE", &long, &[]).status.0, 414);
    assert_eq!(rig.call(conn, "DESCRIBE", "rtsp://h/%ff", &[]).status, StatusCode::BAD_REQUEST);
    assert_eq!(rig.call(conn, "DESCRIBE", "rtsp://h/", &[]).status, StatusCode::NOT_FOUND);
}

#[test]
fn a_play_that_was_refused_may_be_tried_again() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    let named = format!("Session: {session}");
    let refused = Answer::Refused {
        status: StatusCode::SERVICE_UNAVAILABLE,
        retry_after: None,
        reason: String::new(),
    };
    let (_, response) = rig.call_asking(conn, ("PLAY", CAM), &[&named], refused);
    assert_eq!(response.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(response.headers.get("Retry-After").is_some());
    rig.play(conn, session);
}
