//! Users, passwords, and whose session is whose.

use rtsp_proto::auth::{ClientAuth, Credentials, Secret, parse_challenges};
use rtsp_proto::{Method, Response, StatusCode};
use rtsp_server::{Ask, CloseReason, ConnId, Event, Intake, ServerOptions, SessionId};

use crate::rig::{CAM, Rig, TCP, UDP, described, playing, secs, set_up};

fn guarded() -> Rig {
    let user = |name: &str, password: &str| (name.to_owned(), Secret::new(password));
    Rig::new(ServerOptions {
        users: vec![user("ann", "rose"), user("bob", "oak")],
        ..ServerOptions::default()
    })
}

fn client(user: &str, password: &str, challenge: &Response) -> ClientAuth {
    let mut auth = ClientAuth::new(Credentials::new(user, password), 7);
    let challenges = parse_challenges(challenge.headers.get_all("WWW-Authenticate"));
    assert!(!challenges.is_empty(), "no challenge in {challenge:?}");
    let _ = auth.on_challenge(&challenges);
    auth
}

fn header(auth: &mut ClientAuth, method: &Method, uri: &str) -> String {
    format!("Authorization: {}", auth.authorize(method, uri).expect("challenged"))
}

/// A connection, and the credentials with which its requests are to be sent.
fn log_in(rig: &mut Rig, user: &str, password: &str) -> (ConnId, ClientAuth) {
    let conn = rig.connect();
    let challenge = rig.call(conn, "DESCRIBE", CAM, &[]);
    assert_eq!(challenge.status, StatusCode::UNAUTHORIZED);
    (conn, client(user, password, &challenge))
}

fn setup_as(rig: &mut Rig, conn: ConnId, auth: &mut ClientAuth, transport: &str) -> SessionId {
    let uri = format!("{CAM}/track1");
    let authorization = header(auth, &Method::Setup, &uri);
    let transport = format!("Transport: {transport}");
    let (ask, response) =
        rig.call_asking(conn, ("SETUP", &uri), &[&transport, &authorization], set_up());
    assert_eq!(response.status, StatusCode::OK);
    match ask {
        Ask::Setup { session, .. } => session,
        other => panic!("{other:?}"),
    }
}

#[test]
fn options_is_answered_to_strangers_and_nothing_else_is() {
    let mut rig = guarded();
    let conn = rig.connect();
    assert_eq!(rig.call(conn, "OPTIONS", "*", &[]).status, StatusCode::OK);
    for method in
        ["DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER"]
    {
        let response = rig.call(conn, method, CAM, &[]);
        assert_eq!(response.status, StatusCode::UNAUTHORIZED, "{method}");
        let challenges: Vec<_> = response.headers.get_all("WWW-Authenticate").collect();
        assert!(challenges.iter().any(|text| text.contains("SHA-256")), "{challenges:?}");
        assert!(challenges.iter().any(|text| !text.contains("SHA-256")), "{challenges:?}");
    }
    assert!(rig.asks().is_empty());
}

#[test]
fn the_right_password_opens() {
    let mut rig = guarded();
    let (conn, mut auth) = log_in(&mut rig, "ann", "rose");
    let authorization = header(&mut auth, &Method::Describe, CAM);
    let (_, response) = rig.call_asking(conn, ("DESCRIBE", CAM), &[&authorization], described());
    assert_eq!(response.status, StatusCode::OK);
    let session = setup_as(&mut rig, conn, &mut auth, UDP);
    assert_eq!(rig.server.session(&session).expect("a session").user, Some("ann"));
    assert_eq!(rig.server.stats().wrong_credentials, 0);
}

#[test]
fn a_wrong_password_is_answered_late_and_five_of_them_close_the_connection() {
    let mut rig = guarded();
    let (conn, _) = log_in(&mut rig, "ann", "rose");
    for failure in 1..=5 {
        // A fresh challenge, for which another connection is as good.
        let probe = rig.connect();
        let challenge = rig.call(probe, "DESCRIBE", CAM, &[]);
        let mut auth = client("ann", "thorn", &challenge);
        let authorization = header(&mut auth, &Method::Describe, CAM);
        rig.send(conn, "DESCRIBE", CAM, &[&authorization]);
        assert_eq!(rig.responses(conn), []);
        let events = rig.events();
        assert!(
            matches!(events[..], [Event::WrongCredentials { failures, .. }] if failures == failure),
            "{events:?}"
        );
        rig.pass(secs(1));
        assert_eq!(rig.response(conn).status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(rig.closings(), [(conn, CloseReason::Unauthorized)]);
    assert!(rig.asks().is_empty());
}

#[test]
fn requests_behind_a_wrong_password_wait_their_turn() {
    let mut rig = guarded();
    let (conn, mut auth) = log_in(&mut rig, "ann", "thorn");
    let authorization = header(&mut auth, &Method::Describe, CAM);
    let first = rig.send(conn, "DESCRIBE", CAM, &[&authorization]);
    let second = rig.send(conn, "OPTIONS", "*", &[]);
    rig.pass(secs(1));
    let seen: Vec<_> = rig.responses(conn).iter().map(|r| (r.cseq(), r.status.0)).collect();
    assert_eq!(seen, [(Some(first), 401), (Some(second), 200)]);
}

#[test]
fn a_request_without_credentials_is_not_a_failure() {
    let mut rig = guarded();
    let conn = rig.connect();
    for _ in 0..20 {
        assert_eq!(rig.call(conn, "DESCRIBE", CAM, &[]).status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(rig.closings(), []);
}

#[test]
fn a_keep_alive_on_the_sessions_own_connection_needs_no_password() {
    let mut rig = guarded();
    let (conn, mut auth) = log_in(&mut rig, "ann", "rose");
    let session = setup_as(&mut rig, conn, &mut auth, UDP);
    let named = format!("Session: {session}");
    for method in ["GET_PARAMETER", "OPTIONS"] {
        assert_eq!(rig.call(conn, method, CAM, &[&named]).status, StatusCode::OK, "{method}");
    }
    let response = rig.call(conn, "TEARDOWN", CAM, &[&named]);
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    let other = rig.connect();
    let response = rig.call(other, "GET_PARAMETER", CAM, &[&named]);
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    let response = rig.call(other, "OPTIONS", CAM, &[&named]);
    assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND);
}

#[test]
fn a_session_answers_to_its_own_user_only() {
    let mut rig = guarded();
    let (conn, mut ann) = log_in(&mut rig, "ann", "rose");
    let session = setup_as(&mut rig, conn, &mut ann, UDP);
    let named = format!("Session: {session}");
    let (other, mut bob) = log_in(&mut rig, "bob", "oak");
    for (method, name) in [
        (Method::Play, "PLAY"),
        (Method::Pause, "PAUSE"),
        (Method::Teardown, "TEARDOWN"),
        (Method::GetParameter, "GET_PARAMETER"),
        (Method::Options, "OPTIONS"),
    ] {
        let authorization = header(&mut bob, &method, CAM);
        let response = rig.call(other, name, CAM, &[&named, &authorization]);
        assert_eq!(response.status, StatusCode::SESSION_NOT_FOUND, "{name}");
    }
    let authorization = header(&mut ann, &Method::Play, CAM);
    let (ask, _) = rig.call_asking(other, ("PLAY", CAM), &[&named, &authorization], playing(&[0]));
    assert!(matches!(ask, Ask::Play { session: played, .. } if played == session));
    assert_eq!(rig.server.session(&session).expect("a session").conn, Some(other));
}

#[test]
fn a_wrong_password_does_not_start_media() {
    let mut rig = guarded();
    let (conn, mut auth) = log_in(&mut rig, "ann", "rose");
    let session = setup_as(&mut rig, conn, &mut auth, TCP);
    let challenge = rig.call(conn, "PLAY", CAM, &[&format!("Session: {session}")]);
    assert_eq!(challenge.status, StatusCode::UNAUTHORIZED);
    let mut wrong = client("ann", "thorn", &challenge);
    let authorization = header(&mut wrong, &Method::Play, CAM);
    rig.send(conn, "PLAY", CAM, &[&format!("Session: {session}"), &authorization]);
    rig.pass(secs(1));
    assert_eq!(rig.response(conn).status, StatusCode::UNAUTHORIZED);
    assert!(rig.asks().is_empty());
}

#[test]
fn a_reader_that_closes_while_its_answer_is_kept_back_gets_none() {
    let mut rig = guarded();
    let (conn, mut auth) = log_in(&mut rig, "ann", "thorn");
    let authorization = header(&mut auth, &Method::Describe, CAM);
    rig.send(conn, "DESCRIBE", CAM, &[&authorization]);
    rig.closed(conn);
    rig.pass(secs(10));
    assert_eq!(rig.responses(conn), []);
    assert_eq!(rig.feed(conn, b"x"), Intake::Closed);
    assert_eq!(rig.server.poll_timeout(), None);
}

#[test]
fn refusals_do_not_tell_strangers_which_streams_there_are() {
    let mut rig = guarded();
    let conn = rig.connect();
    let answers = ["rtsp://h/cam", "rtsp://h/", "rtsp://h/%ff", "rtsp://h/nothing"]
        .map(|uri| rig.call(conn, "DESCRIBE", uri, &[]).status);
    assert_eq!(answers, [StatusCode::UNAUTHORIZED; 4]);
}
