//! What real cameras do that no specification says.

use backend_client::{Demand, Event, LostReason, Phase, Quirk};

use crate::camera::{Act, Camera, SDP, bye, frame, rtp};
use crate::rig::{Rig, secs, tcp, udp};

fn raw(text: &str) -> Act {
    Act::Raw(text.to_owned())
}

fn told(rig: &Rig, wanted: Quirk) -> usize {
    rig.count(|event| matches!(event, Event::Tolerated { quirk, .. } if *quirk == wanted))
}

#[test]
fn a_response_without_cseq_answers_the_request_under_way() {
    let answer = "RTSP/1.0 200 OK\r\nSession: 9\r\n\
        Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n";
    let rig = Rig::playing(tcp(), Camera::default().once("SETUP", raw(answer)));
    assert_eq!(rig.dialogue(), "DSSP");
    assert_eq!(told(&rig, Quirk::MissingCseq), 1);
}

#[test]
fn a_response_with_another_cseq_answers_the_request_under_way() {
    let camera = Camera::default()
        .once("PLAY", raw("RTSP/1.0 200 OK\r\nCSeq: 0\r\n\r\n"))
        .once("OPTIONS", raw("RTSP/1.0 200 OK\r\nCSeq: 0\r\n\r\n"));
    let mut rig = Rig::playing(tcp(), camera);
    rig.camera.playing = true;
    rig.run(secs(31.0));
    assert_eq!(rig.losses(), []);
    assert_eq!(told(&rig, Quirk::ForeignCseq), 1, "once");
    assert_eq!(rig.client.quirk_count(Quirk::ForeignCseq), 2);
}

#[test]
fn a_response_that_answers_nothing_is_dropped() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.bytes(b"RTSP/1.0 454 Session Not Found\r\nCSeq: 77\r\n\r\n");
    rig.run(secs(1.0));
    assert_eq!(rig.client.state(), Phase::Playing);
    assert_eq!(told(&rig, Quirk::StrayResponse), 1);
}

#[test]
fn a_provisional_response_is_not_the_answer() {
    let answer = "RTSP/1.0 100 Continue\r\nCSeq: {cseq}\r\n\r\n\
        RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n";
    let rig = Rig::playing(tcp(), Camera::default().once("PLAY", raw(answer)));
    assert_eq!(rig.dialogue(), "DSSP");
}

#[test]
fn a_setup_without_session_or_transport_is_taken_as_granted() {
    let answer = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n";
    let mut rig = Rig::playing(tcp(), Camera::default().always("SETUP", raw(answer)));
    assert_eq!(rig.last("PLAY").header("Session"), None);
    rig.bytes(&frame(2, &rtp(1, 1)));
    assert_eq!(rig.count(|event| matches!(event, Event::Packet { track: 1, .. })), 1);
    assert_eq!(told(&rig, Quirk::MissingSession), 1);
    assert_eq!(told(&rig, Quirk::MissingTransport), 1);
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSPZ");
}

#[test]
fn a_session_that_changes_between_setups_is_followed() {
    let answer = "Session: other\r\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\r\n";
    let camera = Camera::default().once("SETUP", Act::Obey).once("SETUP", Act::Answer(200, answer));
    let rig = Rig::playing(tcp(), camera);
    assert_eq!(rig.last("PLAY").header("Session"), Some("other"));
    assert_eq!(told(&rig, Quirk::ChangedSession), 1);
}

#[test]
fn a_session_with_odd_parameters_is_given_back_without_them() {
    let camera = Camera { session: "a-b_c$1 ; timeout = 30 ;x=y", ..Camera::default() };
    let rig = Rig::playing(tcp(), camera);
    assert_eq!(rig.last("PLAY").header("Session"), Some("a-b_c$1"));
}

#[test]
fn interleaving_granted_where_udp_was_asked_for_is_used() {
    let answer = "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=4-5\r\n";
    let sdp = SDP.split("m=audio").next().expect("video").to_owned();
    let camera = Camera { sdp, media: false, ..Camera::default() };
    let mut rig = Rig::playing(udp(), camera.once("SETUP", Act::Answer(200, answer)));
    rig.bytes(&frame(4, &rtp(1, 1)));
    assert_eq!(rig.packets(), 1);
    assert_eq!(told(&rig, Quirk::InterleavedInstead), 1);
}

#[test]
fn udp_granted_where_interleaving_was_asked_for_is_a_refusal() {
    let answer = "Session: 1\r\nTransport: RTP/AVP;unicast;client_port=1-2;server_port=3-4\r\n";
    let mut rig = Rig::new(tcp(), Camera::default().always("SETUP", Act::Answer(200, answer)));
    rig.demand(Demand::Ready);
    rig.run(secs(0.5));
    assert!(matches!(rig.losses()[0].1, LostReason::Refused { what: "SETUP", .. }));
}

#[test]
fn data_on_unknown_channels_is_skipped_by_its_length() {
    let mut rig = Rig::playing(tcp(), Camera { media: false, ..Camera::default() });
    let mut bytes = frame(200, b"RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n");
    bytes.extend_from_slice(&frame(0, &rtp(1, 1)));
    rig.bytes(&bytes);
    assert_eq!((rig.packets(), rig.client.stats().unknown_channel), (1, 1));
    assert_eq!(told(&rig, Quirk::UnknownChannel), 1);
}

#[test]
fn rtcp_on_the_channel_of_rtp_is_rtcp() {
    let mut rig = Rig::playing(tcp(), Camera { media: false, ..Camera::default() });
    rig.bytes(&frame(0, &bye(5)));
    assert_eq!(rig.count(|event| matches!(event, Event::Rtcp { track: 0, .. })), 1);
    assert_eq!(told(&rig, Quirk::MuxedRtcp), 1);
}

#[test]
fn requests_of_the_camera_are_answered_and_change_nothing() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    for (method, status) in [
        ("OPTIONS", "200"),
        ("GET_PARAMETER", "200"),
        ("SET_PARAMETER", "200"),
        ("ANNOUNCE", "200"),
        ("RECORD", "501"),
        ("FROBNICATE", "501"),
    ] {
        let request =
            format!("{method} rtsp://x/ RTSP/1.0\r\nCSeq: 5\r\nSession: 12345678\r\n\r\n");
        rig.bytes(request.as_bytes());
        let response = rig.responses.last().expect("an answer");
        assert!(response.starts_with(&format!("RTSP/1.0 {status} ")), "{method}: {response}");
        assert!(response.contains("CSeq: 5\r\n") && response.contains("Session: 12345678\r\n"));
    }
    rig.run(secs(1.0));
    assert_eq!(rig.client.state(), Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSP");
    assert_eq!(told(&rig, Quirk::Announced), 1);
}

#[test]
fn what_is_repaired_has_a_name_is_counted_and_is_told_once_however_often_it_is_described() {
    let sdp = SDP.replace("s=", "garbage\r\ns=");
    let fold = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\nX: a\r\n b\r\n\r\n";
    let camera = Camera { sdp, ..Camera::default() }.always("OPTIONS", raw(fold));
    let mut rig = Rig::new(tcp(), camera);
    for _ in 0..3 {
        rig.run(secs(65.0));
        rig.close();
    }
    let descriptions: Vec<_> = rig
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Described { tolerated, .. } => Some(tolerated.clone()),
            _ => None,
        })
        .collect();
    assert!(descriptions.len() > 2, "{}", rig.dialogue());
    assert!(descriptions[0][0].starts_with("stray-line: line "), "{descriptions:?}");
    assert!(descriptions[1..].iter().all(Vec::is_empty), "{descriptions:?}");
    assert_eq!(told(&rig, Quirk::Message), 1);
    let count = |name| rig.client.quirks().find(|quirk| quirk.0 == name).map(|quirk| quirk.1);
    assert_eq!(count("stray-line"), Some(descriptions.len() as u64));
    assert!(count("folded-header").is_some_and(|count| count > 1));
}

#[test]
fn a_session_timeout_that_cannot_be_meant_is_60_seconds() {
    let camera = Camera { session: "12345678;timeout=0", ..Camera::default() };
    let mut rig = Rig::playing(tcp(), camera);
    assert_eq!(told(&rig, Quirk::OddSessionTimeout), 1);
    rig.run(secs(23.0));
    assert_eq!(rig.dialogue(), "DSSP");
    rig.run(secs(8.0));
    assert_eq!(rig.dialogue(), "DSSPO");
}

#[test]
fn requests_without_end_are_not_answered_without_end() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    let request = "OPTIONS * RTSP/1.0\r\nCSeq: 5\r\n\r\n".repeat(1000);
    rig.bytes(request.as_bytes());
    assert!(rig.responses.len() <= 64);
    assert!(matches!(rig.losses()[0].1, LostReason::Protocol { .. }));
}

#[test]
fn a_redirect_request_moves_the_session() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.bytes(b"REDIRECT rtsp://x/ RTSP/1.0\r\nCSeq: 5\r\nLocation: rtsp://spare/live\r\n\r\n");
    assert_eq!(rig.responses.len(), 1);
    rig.run(secs(0.2));
    assert_eq!(rig.dialogue(), "DSSPTDSSP");
    assert_eq!(rig.connects.last().map(|(_, host, _)| host.as_str()), Some("spare"));
}

#[test]
fn one_that_sends_us_on_after_every_first_packet_is_not_followed_without_end() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    for _ in 0..2_000 {
        let before = rig.connects.len();
        rig.run(secs(0.01));
        if rig.client.state() == Phase::Playing && rig.connects.len() == before {
            rig.run(secs(0.1));
            rig.bytes(b"REDIRECT rtsp://x/ RTSP/1.0\r\nCSeq: 5\r\nLocation: rtsp://b/\r\n\r\n");
        }
    }
    assert!(rig.losses().iter().any(|loss| matches!(loss.1, LostReason::BadRedirect { .. })));
    // Six connections are one attempt; the next one waits its second.
    let (connects, time) = (rig.connects.len() as f64, rig.elapsed().as_secs_f64());
    assert!(connects <= 6.0 * (time + 1.0), "{connects} in {time} s");
}

#[test]
fn a_description_whose_length_is_too_large_is_read_when_nothing_more_comes() {
    for close in [false, true] {
        let long = format!(
            "RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{SDP}",
            SDP.len() + 7
        );
        let mut rig = Rig::new(tcp(), Camera::default().once("DESCRIBE", Act::Raw(long)));
        rig.run(secs(1.0));
        assert_eq!(rig.client.state(), Phase::Describing);
        if close {
            rig.close();
        }
        rig.until(Phase::Described);
        assert_eq!(rig.losses(), []);
        assert_eq!(rig.dialogue(), "D");
    }
}

#[test]
fn a_description_without_a_length_is_read_when_nothing_more_comes() {
    let raw =
        format!("RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nContent-Type: application/sdp\r\n\r\n{SDP}");
    let mut rig = Rig::new(tcp(), Camera::default().once("DESCRIBE", Act::Raw(raw)));
    rig.run(secs(2.0));
    assert_eq!(rig.client.state(), Phase::Described);
    assert_eq!(rig.losses(), []);
}

#[test]
fn relative_controls_are_resolved_against_the_base_and_credentials_in_it_are_dropped() {
    let sdp = SDP.to_owned();
    let raw = format!(
        "RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nContent-Base: rtsp://u:p@10.0.0.9/other/\r\n\
         Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    let mut rig = Rig::new(tcp(), Camera::default().once("DESCRIBE", Act::Raw(raw)));
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.last("SETUP").uri, "rtsp://10.0.0.9/other/trackID=1");
    assert_eq!(rig.last("PLAY").uri, "rtsp://10.0.0.9/other/");
}

#[test]
fn blanks_in_a_control_do_not_end_the_request_line() {
    let sdp = SDP.replace("trackID=0", "track one");
    let camera = Camera { sdp, ..Camera::default() };
    let mut rig = Rig::new(tcp(), camera);
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    let setup = rig.requests.iter().find(|(_, request)| request.method == "SETUP");
    assert_eq!(setup.map(|(_, request)| request.uri.as_str()), Some("rtsp://cam/live/track%20one"));
}

#[test]
fn an_answer_amid_media_is_found_wherever_the_stream_is_cut() {
    let mut rig = Rig::new(tcp(), Camera { media: false, ..Camera::default() });
    rig.demand(Demand::Playing);
    rig.until(Phase::Starting);
    let cseq = rig.last("PLAY").header("CSeq").expect("a CSeq").to_owned();
    let mut bytes = frame(0, &rtp(1, 1));
    bytes.extend_from_slice(format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n").as_bytes());
    bytes.extend_from_slice(&frame(0, &rtp(2, 1)));
    let mut buffer = bytes::BytesMut::new();
    for byte in bytes {
        buffer.extend_from_slice(&[byte]);
        rig.handle(backend_client::Input::Stream(&mut buffer));
    }
    assert_eq!(rig.client.state(), Phase::Playing);
    assert_eq!(rig.packets(), 2);
}

/// What a camera answers to PLAY, and the first number it then sends.
fn plays(rtp_info: &str, seq: u16) -> Rig {
    let raw = format!("RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nRTP-Info: {rtp_info}\r\n\r\n");
    let camera = Camera { media: false, ..Camera::default() }.once("PLAY", Act::Raw(raw));
    let mut rig = Rig::playing(tcp(), camera);
    rig.bytes(&frame(0, &rtp(seq, 100)));
    assert_eq!(rig.packets(), 1);
    rig
}

#[test]
fn an_rtp_info_that_is_not_true_is_told_and_not_used() {
    for (rtp_info, seq, odd) in [
        ("url=rtsp://cam/live/trackID=0;seq=24104;rtptime=1270711678", 24105, 0),
        ("url=trackID=0;seq=1;rtptime=0,url=trackID=1;seq=1;rtptime=0", 1, 0),
        ("url=trackID=0;seq=65535;rtptime=0", 3, 0),
        ("url=rtsp://elsewhere/x;seq=5;rtptime=0", 20_000, 0),
        ("url=trackID=0", 20_000, 0),
        ("url=trackID=0;seq=1;rtptime=-1", 1, 1),
        ("url=rtsp://cam/live/trackID=0;seq=0;rtptime=0;", 20_000, 1),
        ("url=rtsp://cam/live/trackID=0;seq=70000;rtptime=0;", 20_000, 1),
    ] {
        let rig = plays(rtp_info, seq);
        assert_eq!(rig.client.quirk_count(Quirk::OddRtpInfo), odd, "{rtp_info}");
        assert_eq!(told(&rig, Quirk::OddRtpInfo) as u64, odd);
    }
}

#[test]
fn an_ssrc_that_is_not_that_of_the_packets_is_told_and_not_used() {
    for (ssrc, odd) in [
        (";ssrc=00000064", 0),
        (";ssrc=64", 0),
        ("", 0),
        // As left-padded with blanks.
        (";ssrc=      64", 1),
        // In decimal.
        (";ssrc=100", 1),
        (";ssrc=zz", 1),
    ] {
        let raw = format!(
            "RTSP/1.0 200 OK\r\nCSeq: {{cseq}}\r\nSession: 1\r\n\
             Transport: RTP/AVP/TCP;unicast;interleaved=0-1{ssrc};mode=\"play\"\r\n\r\n"
        );
        let camera = Camera { media: false, ..Camera::default() }.once("SETUP", Act::Raw(raw));
        let mut rig = Rig::playing(tcp(), camera);
        rig.bytes(&frame(0, &rtp(1, 100)));
        rig.bytes(&frame(0, &rtp(2, 100)));
        assert_eq!((rig.packets(), rig.client.quirk_count(Quirk::OddSsrc)), (2, odd), "{ssrc}");
    }
}

#[test]
fn packets_of_a_session_that_ended_with_another_connection_are_not_mixed_in() {
    let mut rig = Rig::new(tcp(), Camera { media: false, ..Camera::default() });
    rig.until(Phase::Described);
    rig.bytes(&frame(0, &rtp(5000, 77)));
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    for seq in 0..10 {
        rig.bytes(&frame(0, &rtp(5001 + seq, 77)));
        rig.bytes(&frame(0, &rtp(seq, 100)));
    }
    assert_eq!(rig.packets(), 10);
    assert_eq!((told(&rig, Quirk::StaleSession), rig.client.stats().unwanted), (1, 11));
    rig.run(secs(5.0));
    rig.bytes(&frame(0, &rtp(5020, 77)));
    assert_eq!(rig.packets(), 10);
}

#[test]
fn a_camera_that_uses_one_source_for_all_its_sessions_is_believed_after_a_while() {
    let mut rig = Rig::new(tcp(), Camera { media: false, ..Camera::default() });
    rig.until(Phase::Described);
    rig.bytes(&frame(0, &rtp(5000, 77)));
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    for seq in 0..100 {
        rig.bytes(&frame(0, &rtp(5001 + seq, 77)));
        rig.run(secs(0.1));
    }
    assert!(rig.packets() > 60, "{}", rig.packets());
    assert_eq!(rig.losses(), []);
}

#[test]
fn keep_alives_that_do_not_count_are_sent_as_another_method() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    for _ in 0..2 {
        // The camera ends each session after its minute, whatever it was sent.
        rig.run(secs(60.0));
        rig.close();
        rig.until(Phase::Playing);
    }
    rig.run(secs(50.0));
    assert_eq!(rig.dialogue(), "DSSPOODSSPOODSSPG");
    assert_eq!(told(&rig, Quirk::KeepAliveInVain), 1);
}

#[test]
fn sessions_that_end_at_other_times_say_nothing_about_keep_alives() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    for lasted in [20.0, 60.0, 90.0, 60.0, 200.0] {
        rig.run(secs(lasted));
        rig.close();
        rig.until(Phase::Playing);
    }
    assert_eq!(rig.client.quirk_count(Quirk::KeepAliveInVain), 0);
    assert!(!rig.dialogue().contains('G'));
}

#[test]
fn an_answer_in_the_midst_of_a_packet_is_found() {
    let camera = Camera { media: false, ..Camera::default() }.always("OPTIONS", Act::Ignore);
    let mut rig = Rig::playing(tcp(), camera);
    rig.run(secs(5.0));
    let packet = frame(0, &[rtp(1, 100), vec![7; 100]].concat());
    rig.bytes(&packet);
    for _ in 0..3000 {
        if rig.dialogue().ends_with('O') {
            break;
        }
        rig.bytes(&packet);
        rig.run(secs(0.01));
    }
    let cseq = rig.last("OPTIONS").header("CSeq").expect("a CSeq").to_owned();
    let answer = format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\r\n");
    let (before, after) = packet.split_at(50);
    let packets = rig.packets();
    rig.bytes(&[before, answer.as_bytes(), after].concat());
    assert_eq!(rig.packets(), packets + 1);
    assert_eq!(rig.client.quirk_count(Quirk::KeepAliveIgnored), 0);
    assert!(rig.client.quirk_count(Quirk::Message) > 0);
    for _ in 0..1500 {
        rig.bytes(&packet);
        rig.run(secs(0.01));
    }
    assert!(rig.dialogue().ends_with("PO"), "{}", rig.dialogue());
}
