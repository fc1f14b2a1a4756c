//! What readers are told about a backend.

use proxy_session::{Ask, Description, Output, Reply, StreamEvent, StreamState};
use rtsp_proto::StatusCode;
use rtsp_proto::auth::Credentials;
use std::sync::Arc;

use crate::camera::{Act, Camera, DELAY, SDP};
use crate::rig::{Rig, closing, ms, options, secs, set_up};

/// The tracks of a usual camera under one of the formats in it.
fn sdp_of(media: &[&str]) -> String {
    let mut sdp = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\n".to_owned();
    for (index, line) in media.iter().enumerate() {
        sdp.push_str(&format!("{line}\r\na=control:track{index}\r\n"));
    }
    sdp
}

fn described(rig: &Rig, ticket: proxy_session::Ticket) -> Arc<Description> {
    match rig.reply(ticket) {
        Some(Reply::Described(description)) => Arc::clone(description),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_backend_is_described_before_anybody_asks_and_then_only_kept_alive() {
    let mut rig = Rig::new(options(), Camera::default());
    assert_eq!(rig.stream.status().state, StreamState::Connecting);
    rig.run(secs(100));
    assert_eq!(rig.camera.dialogue.trim_end_matches('O'), "D");
    assert!(rig.camera.count('O') >= 1);
    assert_eq!(rig.stream.status().state, StreamState::Idle);
    assert!(
        matches!(rig.events()[..], [StreamEvent::Described { summary, .. }] if summary == "video H264, audio PCMU")
    );
    let ticket = rig.ask(1, Ask::Describe);
    let sdp = String::from_utf8(described(&rig, ticket).sdp.to_vec()).expect("text");
    assert!(sdp.contains("m=video") && sdp.contains("a=control:track2"), "{sdp}");
    assert_eq!(rig.readers(), (0, 0), "a description alone makes no reader");
}

#[test]
fn who_asks_before_the_backend_is_there_is_answered_when_it_is() {
    let mut rig = Rig::new(options(), Camera::default());
    let tickets = [rig.ask(1, Ask::Describe), rig.ask(2, Ask::Describe)];
    assert!(tickets.iter().all(|ticket| rig.reply(*ticket).is_none()));
    rig.run(secs(1));
    for ticket in tickets {
        described(&rig, ticket);
        assert_eq!(rig.replied_at(ticket), Some(2 * DELAY));
    }
}

#[test]
fn who_asks_is_refused_and_told_when_to_come_again_when_the_attempt_fails() {
    let mut rig = Rig::new(options(), Camera { is_up: false, ..Camera::default() });
    let ticket = rig.ask(1, Ask::Describe);
    rig.run(ms(100));
    let refusal = rig.refusal(ticket);
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refusal.retry_after.is_some_and(|after| after >= secs(1)), "{refusal:?}");
    assert!(matches!(rig.events()[..], [StreamEvent::Lost { .. }]));
}

#[test]
fn who_asks_is_refused_when_the_deadline_passes() {
    let mut options = options();
    options.answer_deadline = secs(3);
    let mut rig = Rig::new(options, Camera::default().with("DESCRIBE", Act::Ignore));
    rig.run(secs(1));
    let ticket = rig.ask(1, Ask::Describe);
    rig.run(secs(5));
    assert_eq!(rig.refused(ticket), (503, true));
    assert_eq!(rig.replied_at(ticket), Some(secs(4)));
}

#[test]
fn nobody_waits_for_an_attempt_that_comes_after_the_deadline() {
    let challenge = Camera::default().with("DESCRIBE", Act::Challenge);
    let mut options = options();
    options.backend.credentials = Some(Credentials::new("admin", "wrong"));
    let mut rig = Rig::new(options, challenge);
    rig.run(secs(10));
    let attempts = rig.connects.len();
    // The backend may lock the account at the next one.
    let ticket = rig.ask(1, Ask::Describe);
    let refusal = rig.refusal(ticket);
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refusal.retry_after.is_some_and(|after| after > secs(280)), "{refusal:?}");
    rig.run(secs(200));
    assert_eq!(rig.connects.len(), attempts);
}

#[test]
fn a_reader_that_asks_brings_the_next_attempt_forward() {
    let mut rig = Rig::new(options(), Camera { is_up: false, ..Camera::default() });
    rig.run(secs(120));
    rig.camera.is_up = true;
    let attempts = rig.connects.len();
    // Without a reader it would be made within half a minute.
    let ticket = rig.ask(1, Ask::Describe);
    rig.run(secs(2));
    assert_eq!(rig.connects.len(), attempts + 1);
    described(&rig, ticket);
}

#[test]
fn after_a_loss_nobody_is_told_what_was_true_before() {
    let mut rig = Rig::described(closing(options()), Camera::default());
    let ticket = rig.ask(1, set_up(0));
    rig.run(ms(100));
    assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
    rig.camera.sdp = sdp_of(&["m=audio 0 RTP/AVP 8"]);
    rig.close();
    assert_eq!(rig.stream.status().state, StreamState::Connecting);
    let ticket = rig.ask(2, Ask::Describe);
    assert!(rig.reply(ticket).is_none());
    rig.run(secs(3));
    assert_eq!(described(&rig, ticket).summary(), "audio PCMA");
}

#[test]
fn a_refused_description_is_refused_to_readers_as_nearly_as_can_be() {
    for (backend, reader) in [
        (401, (502, false)),
        (403, (502, false)),
        (404, (404, false)),
        (453, (453, false)),
        (500, (503, true)),
        (503, (503, true)),
    ] {
        let mut rig = Rig::new(options(), Camera::default().with("DESCRIBE", Act::Status(backend)));
        let ticket = rig.ask(1, Ask::Describe);
        rig.run(ms(100));
        assert_eq!(rig.refused(ticket), reader, "for {backend}");
    }
}

#[test]
fn back_channels_and_what_is_encrypted_are_not_offered() {
    let sdp = "v=0\r\ns=cam\r\nt=0 0\r\n\
        m=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n\
        m=audio 0 RTP/AVP 0\r\na=control:track1\r\na=recvonly\r\n\
        m=audio 0 RTP/AVP 0\r\na=control:track2\r\na=sendonly\r\n";
    let mut rig = Rig::described(options(), Camera { sdp: sdp.to_owned(), ..Camera::default() });
    let ticket = rig.ask(1, Ask::Describe);
    let description = described(&rig, ticket);
    assert_eq!(description.tracks.iter().map(|info| info.track.0).collect::<Vec<_>>(), [1]);
    let refused = [rig.ask(1, set_up(0)), rig.ask(1, set_up(2))];
    assert!(refused.iter().all(|ticket| rig.refused(*ticket) == (404, false)));
    let ticket = rig.ask(1, set_up(1));
    rig.run(ms(100));
    assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
    assert_eq!(rig.camera.tracks.iter().map(|(track, _)| *track).collect::<Vec<_>>(), [1]);
}

#[test]
fn an_offer_without_a_track_is_a_refusal_rather_than_an_empty_description() {
    for media in ["m=video 0 RTP/SAVP 96", "m=data 0 UDP 33"] {
        let mut rig = Rig::new(options(), Camera { sdp: sdp_of(&[media]), ..Camera::default() });
        let ticket = rig.ask(1, Ask::Describe);
        rig.run(ms(100));
        assert_eq!(rig.refused(ticket), (502, false), "{media}");
    }
}

#[test]
fn tracks_that_a_new_description_lacks_are_gone_and_the_others_are_the_same() {
    let mut rig = Rig::described(options(), Camera::default());
    let ssrc = |rig: &mut Rig, track: u8| {
        let ticket = rig.ask(1, set_up(track));
        rig.run(ms(100));
        match rig.reply(ticket) {
            Some(Reply::SetUp { ssrc }) => *ssrc,
            other => panic!("{other:?}"),
        }
    };
    let before = ssrc(&mut rig, 0);
    rig.camera.sdp = sdp_of(&["m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000"]);
    rig.close();
    rig.run(secs(3));
    assert_eq!(rig.stream.status().tracks.len(), 1);
    assert_eq!(ssrc(&mut rig, 0), before);
    let ticket = rig.ask(1, set_up(1));
    assert_eq!(rig.refused(ticket), (404, false));
}

#[test]
fn a_backend_whose_clocks_change_without_end_makes_nothing_grow_and_is_still_served() {
    let mut rig = Rig::described(options(), Camera::default());
    let mut sizes = Vec::new();
    for rate in 1..300 {
        sizes.push(format!("{:?}", rig.stream).len());
        let media = format!("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/{}", 90_000 + rate);
        rig.camera.sdp = sdp_of(&[&media]);
        rig.ask(1, set_up(0));
        rig.run(ms(100));
        rig.close();
        rig.run(secs(3));
    }
    let (early, late) = sizes.split_at(150);
    assert!(late.iter().max() < early.iter().max().map(|most| most + 5_000).as_ref());
    rig.camera.sdp = SDP.to_owned();
    rig.ask(1, set_up(0));
    rig.run(ms(100));
    rig.close();
    rig.run(secs(3));
    rig.play(1);
    rig.send(&[(0, crate::media::Packet::key(1, 1)), (1, crate::media::Packet::audio(1, 1))]);
    assert_eq!((rig.got(0).len(), rig.got(1).len()), (1, 1));
}

#[test]
fn each_description_has_a_higher_version_than_the_one_before() {
    let mut rig = Rig::described(options(), Camera::default());
    let mut origins = Vec::new();
    for _ in 0..3 {
        let ticket = rig.ask(1, Ask::Describe);
        rig.run(secs(3));
        let sdp = String::from_utf8(described(&rig, ticket).sdp.to_vec()).expect("text");
        let origin = sdp.lines().find(|line| line.starts_with("o=")).expect("an origin");
        let fields: Vec<_> = origin.split(' ').map(str::to_owned).collect();
        origins.push((fields[1].clone(), fields[2].parse::<u64>().expect("a number")));
        rig.ask(1, set_up(0));
        rig.run(ms(100));
        rig.close();
    }
    assert!(origins.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 < pair[1].1));
}

#[test]
fn a_departure_from_the_protocol_is_told_once() {
    let mut rig = Rig::described(options(), Camera::default());
    rig.bytes(b"RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n");
    rig.bytes(b"RTSP/1.0 200 OK\r\nCSeq: 99\r\n\r\n");
    let told = rig.count(|output| {
        matches!(output, Output::Event(StreamEvent::Tolerated { quirk: "stray-response", .. }))
    });
    assert_eq!(told, 1);
}
