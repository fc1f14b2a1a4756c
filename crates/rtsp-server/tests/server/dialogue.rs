//! Requests, their order and their answers.

use bytes::Bytes;
use rtsp_proto::StatusCode;
use rtsp_proto::transport::Transport;
use rtsp_server::{Answer, Ask, Chosen, EndReason, Intake, Output, SessionState, Taken};

use crate::rig::{CAM, Rig, TCP, UDP, described, playing, request, set_up, starts_media};

#[test]
fn options_names_the_methods() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    for uri in ["*", CAM] {
        let response = rig.call(conn, "OPTIONS", uri, &[]);
        assert_eq!(response.status, StatusCode::OK);
        let public = response.headers.get("Public").expect("a list");
        for method in
            ["DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN", "GET_PARAMETER", "SET_PARAMETER"]
        {
            assert!(public.contains(method), "{method} is missing in {public}");
        }
    }
}

#[test]
fn a_reader_describes_sets_up_plays_pauses_and_leaves() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let (ask, response) = rig.call_asking(conn, ("DESCRIBE", CAM), &[], described());
    assert_eq!(ask, Ask::Describe { conn, stream: "cam".to_owned(), query: None });
    assert_eq!(response.headers.get("Content-Type"), Some("application/sdp"));
    assert_eq!(response.headers.get("Content-Base"), Some("rtsp://proxy.example:8554/cam/"));
    assert_eq!(response.body, Bytes::from_static(b"v=0\r\n"));

    let session = rig.setup(conn, 0, UDP, None);
    rig.setup(conn, 1, "RTP/AVP;unicast;client_port=5002-5003", Some(session));
    let view = rig.server.session(&session).expect("a session");
    assert_eq!(view.state, SessionState::Ready);
    assert_eq!(view.conn, Some(conn));
    assert_eq!(view.tracks.iter().map(|track| track.index).collect::<Vec<_>>(), [0, 1]);

    let named = format!("Session: {session}");
    let (ask, response) = rig.call_asking(conn, ("PLAY", CAM), &[&named], playing(&[0, 1]));
    assert!(matches!(ask, Ask::Play { tracks, .. } if tracks[..] == [0, 1]));
    assert_eq!(response.headers.get("Range"), Some("npt=now-"));
    assert_eq!(rig.server.session(&session).expect("a session").state, SessionState::Playing);

    let (ask, response) = rig.call_asking(conn, ("PAUSE", CAM), &[&named], Answer::Paused);
    assert_eq!((ask, response.status), (Ask::Pause { session }, StatusCode::OK));
    assert_eq!(rig.server.session(&session).expect("a session").state, SessionState::Ready);

    let response = rig.call(conn, "TEARDOWN", CAM, &[&named]);
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.headers.get("Session").is_some());
    assert_eq!(rig.ended(), [(session, EndReason::Teardown)]);
    assert!(rig.server.session(&session).is_none());
    assert_eq!(rig.closings(), []);
}

#[test]
fn the_answer_to_play_is_what_starts_media() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, TCP, None);
    rig.send(conn, "PLAY", CAM, &[&format!("Session: {session}")]);
    let (id, _) = rig.asked();
    assert!(!rig.log.iter().any(|output| starts_media(output, session)));
    assert_eq!(rig.answer(id, playing(&[0])), Taken::Used);
    assert_eq!(rig.log.iter().filter(|output| starts_media(output, session)).count(), 1);
}

#[test]
fn rtp_info_speaks_of_the_tracks_set_up_by_the_urls_of_their_setup() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 1, UDP, None);
    let response = rig.play(conn, session);
    assert_eq!(
        response.headers.get("RTP-Info"),
        Some("url=rtsp://proxy.example:8554/cam/track2;seq=7;rtptime=9")
    );
}

#[test]
fn a_session_id_comes_with_its_timeout_and_is_taken_back_with_parameters() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let transport = format!("Transport: {UDP}");
    let uri = format!("{CAM}/track1");
    let (ask, response) = rig.call_asking(conn, ("SETUP", &uri), &[&transport], set_up());
    let Ask::Setup { session, .. } = ask else { panic!("{ask:?}") };
    let sent = response.headers.get("Session").expect("a session").to_owned();
    assert_eq!(sent, format!("{session};timeout=60"));
    for header in [format!("Session: {sent}"), format!("Session:{session} ; timeout=65")] {
        assert_eq!(rig.call(conn, "GET_PARAMETER", CAM, &[&header]).status, StatusCode::OK);
    }
}

#[test]
fn pipelined_requests_wait_for_the_answer_and_are_answered_in_order() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let mut bytes = request("OPTIONS", "*", 1, &[]);
    bytes.extend(request("DESCRIBE", CAM, 2, &[]));
    bytes.extend(request("OPTIONS", "*", 3, &[]));
    bytes.extend(request("DESCRIBE", CAM, 4, &[]));
    bytes.extend(request("OPTIONS", "*", 5, &[]));
    assert_eq!(rig.feed(conn, bytes), Intake::Held);
    assert_eq!(rig.response(conn).cseq(), Some(1));
    let (first, _) = rig.asked();
    assert_eq!(rig.answer(first, described()), Taken::Used);
    let cseqs: Vec<_> = rig.responses(conn).iter().map(|response| response.cseq()).collect();
    assert_eq!(cseqs, [Some(2), Some(3)]);
    let (second, _) = rig.asked();
    assert_eq!(rig.answer(second, described()), Taken::Used);
    let cseqs: Vec<_> = rig.responses(conn).iter().map(|response| response.cseq()).collect();
    assert_eq!(cseqs, [Some(4), Some(5)]);
}

#[test]
fn input_behind_a_held_request_stays_in_the_buffer() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let mut buffer = bytes::BytesMut::new();
    for cseq in 1..=4 {
        buffer.extend_from_slice(&request("DESCRIBE", CAM, cseq, &[]));
    }
    let each = buffer.len() / 4;
    assert_eq!(rig.server.handle(rig.now, conn, &mut buffer), Intake::Held);
    // One is being answered, one is parked.
    assert_eq!(buffer.len(), 2 * each);
    assert_eq!(rig.server.handle(rig.now, conn, &mut buffer), Intake::Held);
    assert_eq!(buffer.len(), 2 * each);
}

#[test]
fn where_the_byte_stream_is_cut_does_not_matter() {
    let mut bytes = request("OPTIONS", "*", 1, &[]);
    bytes.extend(b"$\x05\x00\x04abcd");
    bytes.extend(request("SET_PARAMETER", CAM, 2, &["Content-Length: 4"]));
    bytes.extend(b"a: b");
    bytes.extend(request("FLY", CAM, 3, &[]));
    for cut in 0..bytes.len() {
        let mut rig = Rig::open();
        let conn = rig.connect();
        let (head, tail) = bytes.split_at(cut);
        let _ = rig.feed(conn, head);
        let _ = rig.feed(conn, tail);
        let seen: Vec<_> = rig.responses(conn).iter().map(|r| (r.cseq(), r.status.0)).collect();
        assert_eq!(seen, [(Some(1), 200), (Some(2), 200), (Some(3), 501)], "cut at {cut}");
    }
}

#[test]
fn a_call_looks_at_so_many_messages_and_no_more() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let mut buffer = bytes::BytesMut::new();
    for cseq in 0..100 {
        buffer.extend_from_slice(&request("OPTIONS", "*", cseq, &[]));
    }
    assert_eq!(rig.server.handle(rig.now, conn, &mut buffer), Intake::Again);
    rig.drain();
    assert_eq!(rig.responses(conn).len(), rtsp_server::MAX_MESSAGES_PER_CALL);
    let _ = rig.server.handle(rig.now, conn, &mut buffer);
    rig.drain();
    assert_eq!(rig.responses(conn).len(), rtsp_server::MAX_MESSAGES_PER_CALL);
}

#[test]
fn reports_between_requests_reach_their_session_even_while_an_answer_is_outstanding() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player("RTP/AVP/TCP;unicast;interleaved=4-5");
    rig.send(conn, "PAUSE", CAM, &[&format!("Session: {session}")]);
    let _ = rig.feed(conn, b"$\x05\x00\x04abcd$\x04\x00\x01x$\x09\x00\x01x");
    let rtcp: Vec<_> =
        rig.log.iter().filter(|output| matches!(output, Output::Rtcp { .. })).collect();
    let expected = Output::Rtcp { session, track: 0, data: Bytes::from_static(b"abcd") };
    assert_eq!(rtcp, [&expected]);
    assert_eq!(rig.server.stats().stray_frames, 1);
}

#[test]
fn a_keep_alive_without_a_session_is_answered() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    for method in ["GET_PARAMETER", "SET_PARAMETER"] {
        assert_eq!(rig.call(conn, method, CAM, &[]).status, StatusCode::OK);
    }
}

#[test]
fn a_query_reaches_the_shell_and_comes_back_in_the_base() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let uri = format!("{CAM}?start=live");
    let (ask, response) = rig.call_asking(conn, ("DESCRIBE", &uri), &[], described());
    let query = Some("start=live".to_owned());
    assert_eq!(ask, Ask::Describe { conn, stream: "cam".to_owned(), query: query.clone() });
    let base = "rtsp://proxy.example:8554/cam/?start=live";
    assert_eq!(response.headers.get("Content-Base"), Some(base));
    let transport = format!("Transport: {UDP}");
    let uri = format!("{base}/track1");
    let (ask, _) = rig.call_asking(conn, ("SETUP", &uri), &[&transport], set_up());
    let Ask::Setup { session, stream, track: 0, query: asked, .. } = ask else { panic!("{ask:?}") };
    assert_eq!((stream.as_str(), asked), ("cam", query.clone()));
    // PLAY of the plain URL still remembers it.
    let named = format!("Session: {session}");
    let (ask, _) = rig.call_asking(conn, ("PLAY", CAM), &[&named], playing(&[0]));
    assert!(matches!(ask, Ask::Play { query: asked, .. } if asked == query));
}

#[test]
fn one_track_of_several_cannot_be_played_alone_but_the_only_one_can() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    let named = format!("Session: {session}");
    let track = format!("{CAM}/track1");
    let (_, response) = rig.call_asking(conn, ("PLAY", &track), &[&named], playing(&[0]));
    assert_eq!(response.status, StatusCode::OK);
    let _ = rig.call_asking(conn, ("PAUSE", CAM), &[&named], Answer::Paused);
    rig.setup(conn, 1, "RTP/AVP;unicast;client_port=5002-5003", Some(session));
    assert_eq!(rig.call(conn, "PLAY", &track, &[&named]).status.0, 460);
    let other = format!("{CAM}/track3");
    assert_eq!(rig.call(conn, "PLAY", &other, &[&named]).status, StatusCode::NOT_FOUND);
}

#[test]
fn play_while_playing_is_answered_without_asking_and_play_after_pause_asks_again() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(UDP);
    let named = format!("Session: {session}");
    assert_eq!(rig.call(conn, "PLAY", CAM, &[&named]).status, StatusCode::OK);
    assert!(rig.asks().is_empty());
    let _ = rig.call_asking(conn, ("PAUSE", CAM), &[&named], Answer::Paused);
    assert_eq!(rig.call(conn, "PAUSE", CAM, &[&named]).status, StatusCode::OK);
    rig.play(conn, session);
}

#[test]
fn scale_is_answered_as_one_where_it_was_asked_for() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, UDP, None);
    let named = format!("Session: {session}");
    let headers = [named.as_str(), "Scale: 2.0", "Range: npt=10-"];
    let (_, response) = rig.call_asking(conn, ("PLAY", CAM), &headers, playing(&[0]));
    assert_eq!(response.headers.get("Scale"), Some("1.000"));
    assert_eq!(response.headers.get("Speed"), None);
    assert_eq!(response.headers.get("Range"), Some("npt=now-"));
}

#[test]
fn teardown_of_one_track_leaves_the_others_playing() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let session = rig.setup(conn, 0, TCP, None);
    rig.setup(conn, 1, "RTP/AVP/TCP;unicast;interleaved=2-3", Some(session));
    rig.play(conn, session);
    let named = format!("Session: {session}");
    let response = rig.call(conn, "TEARDOWN", &format!("{CAM}/track1"), &[&named]);
    assert_eq!(response.status, StatusCode::OK);
    assert!(response.headers.get("Session").is_some());
    let changed = Output::TracksChanged { session, tracks: [1].into_iter().collect() };
    assert!(rig.log.contains(&changed));
    assert_eq!(rig.server.session(&session).expect("a session").state, SessionState::Playing);
    assert_eq!(rig.ended(), []);
    let response = rig.call(conn, "TEARDOWN", &format!("{CAM}/track1"), &[&named]);
    assert_eq!(response.status, StatusCode::NOT_FOUND);
    let response = rig.call(conn, "TEARDOWN", &format!("{CAM}/track2"), &[&named]);
    assert_eq!(response.status, StatusCode::OK);
    assert_eq!(rig.ended(), [(session, EndReason::Teardown)]);
}

#[test]
fn a_session_is_ended_before_its_teardown_is_answered() {
    let mut rig = Rig::open();
    let (conn, session) = rig.player(TCP);
    rig.log.clear();
    rig.send(conn, "TEARDOWN", CAM, &[&format!("Session: {session}")]);
    let place = |rig: &Rig, wanted: fn(&Output) -> bool| rig.log.iter().position(wanted);
    let ended = place(&rig, |output| matches!(output, Output::SessionEnded { .. }));
    let sent = place(&rig, |output| matches!(output, Output::Send { .. }));
    assert!(ended.is_some() && ended < sent);
}

#[test]
fn the_dialogue_is_told_with_secrets_blanked() {
    let options =
        rtsp_server::ServerOptions { dialogue: true, ..rtsp_server::ServerOptions::default() };
    let mut rig = Rig::new(options);
    let conn = rig.connect();
    rig.call(conn, "OPTIONS", "*", &["Authorization: Basic dXNlcjpodW50ZXIy"]);
    let texts: Vec<_> = rig
        .log
        .iter()
        .filter_map(|output| match output {
            Output::Dialogue { sent, text, .. } => Some((*sent, text.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(texts.iter().map(|(sent, _)| *sent).collect::<Vec<_>>(), [false, true]);
    assert!(texts.iter().all(|(_, text)| !text.contains("dXNlcjpodW50ZXIy")));
}

#[test]
fn the_server_is_named_if_it_has_a_name() {
    let options = rtsp_server::ServerOptions {
        server_name: "proxy/1".to_owned(),
        ..rtsp_server::ServerOptions::default()
    };
    let mut rig = Rig::new(options);
    let conn = rig.connect();
    assert_eq!(rig.call(conn, "OPTIONS", "*", &[]).headers.get("Server"), Some("proxy/1"));
}

#[test]
fn a_transport_answer_says_where_media_comes_from() {
    let mut rig = Rig::open();
    let conn = rig.connect();
    let uri = format!("{CAM}/track1");
    let transport = format!("Transport: {UDP}");
    let answer = Answer::SetUp {
        server_ports: Some((6000, 6001)),
        source: "10.0.0.1".parse().ok(),
        ssrc: Some(rtp_rtcp::Ssrc(0xab)),
    };
    let (ask, response) = rig.call_asking(conn, ("SETUP", &uri), &[&transport], answer);
    let chosen = Chosen::Udp { client_ports: (5000, 5001) };
    assert!(matches!(ask, Ask::Setup { transport, .. } if transport == chosen));
    let sent = Transport::parse(response.headers.get("Transport").expect("a transport"));
    let expected = Transport {
        server_port: Some((6000, 6001)),
        source: Some("10.0.0.1".to_owned()),
        ssrc: Some(0xab),
        ..Transport::udp((5000, 5001))
    };
    assert_eq!(sent, Some(expected));
}
