//! PLAY, and how playing ends.

use backend_client::{Demand, Event, LostReason, Output, Phase};
use bytes::Bytes;
use rtsp_proto::StatusCode;

use crate::camera::{Act, Camera, bye, frame, rtp};
use crate::rig::{Rig, secs, tcp, udp};

const METADATA: &str = "v=0\r\no=- 1 1 IN IP4 0\r\ns=x\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:v\r\n\
    m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:m\r\n";

fn last_loss(rig: &Rig) -> LostReason {
    rig.losses().pop().expect("it is lost").1
}

#[test]
fn packets_and_reports_are_given_in_the_order_they_came() {
    let mut rig = Rig::playing(tcp(), Camera { media: false, ..Camera::default() });
    let report = bye(4242);
    rig.bytes(&frame(0, &rtp(1, 7)));
    rig.bytes(&frame(1, &report));
    rig.bytes(&frame(2, &rtp(2, 8)));
    rig.bytes(&frame(0, &rtp(3, 7)));
    let got: Vec<(bool, usize)> = rig
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::Packet { track, .. } => Some((false, *track)),
            Event::Rtcp { track, .. } => Some((true, *track)),
            _ => None,
        })
        .collect();
    assert_eq!(got, [(false, 0), (true, 0), (false, 1), (false, 0)]);
    assert_eq!(rig.client.stats().packets, 3);
    assert_eq!(rig.count(|event| matches!(event, Event::TrackEnded { .. })), 0, "a stranger's BYE");
}

#[test]
fn media_that_overtakes_the_answer_to_play_is_not_lost() {
    let mut rig = Rig::new(udp(), Camera { media: false, ..Camera::default() });
    rig.demand(Demand::Playing);
    rig.until(Phase::Starting);
    rig.datagram(0, false, "192.0.2.7:6000", &rtp(1, 7));
    assert_eq!(rig.packets(), 1);
    rig.until(Phase::Playing);
    rig.run(secs(5.0));
    assert!(!rig.dialogue().contains('T'), "UDP has proven itself");
}

#[test]
fn what_is_neither_rtp_nor_rtcp_is_dropped_and_counted() {
    let mut rig = Rig::playing(tcp(), Camera { media: false, ..Camera::default() });
    rig.bytes(&frame(0, b"short"));
    rig.bytes(&frame(0, &[0x40; 20]));
    rig.bytes(&frame(1, b"no report"));
    rig.bytes(&frame(77, &rtp(1, 1)));
    rig.bytes(&frame(0, &rtp(1, 1)));
    let stats = rig.client.stats();
    assert_eq!((stats.malformed, stats.unknown_channel, stats.packets), (3, 1, 1));
}

#[test]
fn a_refused_play_is_told_and_tried_again_after_the_back_off() {
    let mut rig = Rig::new(tcp(), Camera::default().once("PLAY", Act::Status(453)));
    rig.demand(Demand::Playing);
    rig.run(secs(0.5));
    let status = StatusCode::NOT_ENOUGH_BANDWIDTH;
    assert_eq!(last_loss(&rig), LostReason::Refused { what: "PLAY", status });
    assert_eq!(rig.count(|event| matches!(event, Event::Refused { what: "PLAY", .. })), 1);
    assert_eq!(rig.dialogue(), "DSSPT");
    rig.until(Phase::Playing);
}

#[test]
fn a_session_forgotten_at_play_is_set_up_once_more_and_not_twice() {
    let mut rig = Rig::new(tcp(), Camera::default().once("PLAY", Act::Status(454)));
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSPSSP");
    let mut rig = Rig::new(tcp(), Camera::default().always("PLAY", Act::Status(454)));
    rig.demand(Demand::Playing);
    rig.run(secs(0.9));
    assert_eq!(rig.dialogue(), "DSSPSSPT");
}

#[test]
fn an_unanswered_play_meets_its_deadline_and_the_session_is_ended() {
    let camera = Camera { media: false, ..Camera::default() };
    let mut rig = Rig::new(tcp(), camera.once("PLAY", Act::Ignore));
    rig.demand(Demand::Playing);
    rig.run(secs(10.5));
    assert_eq!(last_loss(&rig), LostReason::NoAnswer { what: "PLAY" });
    assert_eq!(rig.dialogue(), "DSSPT");
}

#[test]
fn a_closed_connection_is_a_reset_at_once() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.run(secs(1.0));
    rig.close();
    assert_eq!(last_loss(&rig), LostReason::Closed { why: None });
    assert!(rig.count(|event| matches!(event, Event::Lost { had_session: true, .. })) == 1);
    rig.run(secs(1.1));
    assert_eq!(rig.dialogue(), "DSSPDSSP");
    rig.run(secs(1.0));
    assert_eq!(rig.client.failures(), 0);
}

#[test]
fn silence_of_the_video_is_a_reset_though_audio_goes_on() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.run(secs(5.0));
    rig.camera.sending[0] = false;
    rig.run(secs(9.5));
    assert_eq!(rig.losses(), []);
    rig.run(secs(0.6));
    assert_eq!(last_loss(&rig), LostReason::Silent { gap: secs(10.0) });
    assert_eq!(rig.dialogue(), "DSSPT");
    rig.until(Phase::Playing);
}

#[test]
fn silence_of_the_audio_beside_video_is_nothing() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.camera.sending[1] = false;
    rig.run(secs(60.0));
    assert_eq!(rig.losses(), []);
}

#[test]
fn metadata_neither_hides_silence_nor_counts_as_such() {
    let sdp = METADATA.to_owned();
    let mut rig = Rig::playing(tcp(), Camera { sdp, ..Camera::default() });
    rig.camera.sending[1] = false;
    rig.run(secs(20.0));
    assert_eq!(rig.losses(), []);
    rig.camera.sending = [false, true, false, false, false, false, false, false];
    rig.run(secs(11.0));
    assert_eq!(last_loss(&rig), LostReason::Silent { gap: secs(10.0) });
    let sdp = METADATA.replace("m=video", "m=text");
    let mut rig = Rig::playing(udp(), Camera { sdp, media: false, ..Camera::default() });
    rig.run(secs(60.0));
    assert_eq!(rig.losses(), []);
    assert!(!rig.dialogue().contains('T'));
}

#[test]
fn where_there_is_no_video_all_tracks_count() {
    let sdp = "v=0\r\no=- 1 1 IN IP4 0\r\ns=x\r\nt=0 0\r\n\
        m=audio 0 RTP/AVP 0\r\na=control:a\r\nm=audio 0 RTP/AVP 8\r\na=control:b\r\n";
    let mut rig = Rig::playing(tcp(), Camera { sdp: sdp.to_owned(), ..Camera::default() });
    rig.camera.sending[0] = false;
    rig.run(secs(20.0));
    assert_eq!(rig.losses(), []);
    rig.camera.sending[1] = false;
    rig.run(secs(11.0));
    assert_eq!(last_loss(&rig), LostReason::Silent { gap: secs(10.0) });
}

#[test]
fn silence_counts_from_play_and_not_from_before_a_pause() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.run(secs(1.0));
    rig.demand(Demand::Idle);
    rig.run(secs(100.0));
    rig.camera.media = false;
    rig.demand(Demand::Playing);
    rig.run(secs(9.0));
    assert_eq!(rig.losses(), []);
    rig.run(secs(1.5));
    assert_eq!(last_loss(&rig), LostReason::Silent { gap: secs(10.0) });
}

#[test]
fn silence_is_nothing_where_it_is_not_to_be() {
    let mut options = tcp();
    options.max_packet_gap = None;
    let mut rig = Rig::playing(options, Camera { media: false, ..Camera::default() });
    rig.run(secs(300.0));
    assert_eq!(rig.losses(), []);
}

#[test]
fn bye_on_one_track_is_told_and_on_all_tracks_is_a_reset() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.run(secs(1.0));
    rig.bytes(&frame(3, &bye(101)));
    assert_eq!(rig.count(|event| matches!(event, Event::TrackEnded { track: 1 })), 1);
    assert_eq!(rig.losses(), []);
    rig.bytes(&frame(1, &bye(100)));
    assert_eq!(last_loss(&rig), LostReason::Bye);
    assert!(rig.dialogue().ends_with('T'));
    rig.until(Phase::Playing);
}

#[test]
fn a_track_that_goes_on_with_another_source_after_bye_has_not_ended() {
    let mut rig = Rig::playing(tcp(), Camera { media: false, ..Camera::default() });
    rig.bytes(&frame(0, &rtp(1, 100)));
    rig.bytes(&frame(1, &bye(100)));
    rig.bytes(&frame(0, &rtp(2, 200)));
    rig.bytes(&frame(2, &rtp(2, 300)));
    rig.bytes(&frame(3, &bye(300)));
    assert_eq!(rig.losses(), []);
    rig.bytes(&frame(1, &bye(200)));
    assert_eq!(last_loss(&rig), LostReason::Bye);
}

#[test]
fn garbage_is_a_reset_with_a_goodbye_that_is_not_waited_for() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.run(secs(1.0));
    rig.bytes(&[0x07; 200_000]);
    assert!(matches!(last_loss(&rig), LostReason::Protocol { .. }));
    assert_eq!(rig.client.state(), Phase::Waiting);
    assert!(rig.dialogue().ends_with('T'));
    rig.until(Phase::Playing);
}

#[test]
fn reports_go_where_the_track_is() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.report(1);
    assert_eq!(rig.interleaved, [(3, Bytes::from_static(b"report"))]);
    rig.report(7);
    assert_eq!(rig.interleaved.len(), 1);
    let mut rig = Rig::playing(udp(), Camera::default());
    let before = rig.datagrams.len();
    rig.report(1);
    assert_eq!(rig.datagrams[before..], [(1, true, Bytes::from_static(b"report"))]);
}

#[test]
fn shutdown_ends_the_session_and_is_over_within_a_second() {
    let mut rig = Rig::playing(udp(), Camera::default());
    rig.shutdown();
    assert_eq!(rig.client.state(), Phase::Leaving);
    rig.run(secs(0.1));
    assert!(rig.client.is_finished());
    assert_eq!(rig.dialogue(), "DSSPT");
    assert_eq!((rig.closes, rig.closed_udp), (1, 1));
    rig.demand(Demand::Playing);
    rig.run(secs(100.0));
    assert_eq!(rig.dialogue(), "DSSPT");
    let mut rig = Rig::playing(tcp(), Camera::default().once("TEARDOWN", Act::Ignore));
    rig.shutdown();
    rig.run(secs(1.0));
    assert!(rig.client.is_finished());
}

#[test]
fn shutdown_is_over_at_once_where_there_is_no_session() {
    let mut rig = Rig::new(tcp(), Camera { mute: true, ..Camera::default() });
    rig.shutdown();
    assert!(rig.client.is_finished());
    assert_eq!(rig.closes, 1);
    let mut rig = Rig::new(tcp(), Camera { up: false, ..Camera::default() });
    rig.run(secs(0.5));
    rig.shutdown();
    assert!(rig.client.is_finished());
    assert_eq!(rig.client.poll_timeout(), None);
}

#[test]
fn shutdown_in_the_midst_of_a_teardown_does_not_begin_anew() {
    let camera =
        Camera::default().always("PAUSE", Act::Status(501)).once("TEARDOWN", Act::Late(0.5));
    let mut rig = Rig::playing(tcp(), camera);
    rig.demand(Demand::Idle);
    rig.until(Phase::Leaving);
    rig.shutdown();
    rig.run(secs(1.0));
    assert!(rig.client.is_finished());
    assert_eq!(rig.dialogue(), "DSSPZT");
}

#[test]
fn a_teardown_may_need_a_fresh_nonce() {
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n";
    let mut options = crate::rig::options("rtsp://u:p@cam/live");
    options.transport = backend_client::TransportChoice::Tcp;
    let mut rig =
        Rig::playing(options, Camera::default().once("TEARDOWN", Act::Answer(401, challenge)));
    rig.shutdown();
    rig.run(secs(0.5));
    assert!(rig.client.is_finished());
    assert_eq!(rig.dialogue(), "DSSPTT");
}

#[test]
fn nothing_is_asked_twice_of_the_shell_after_the_end() {
    let mut rig = Rig::playing(tcp(), Camera::default());
    rig.shutdown();
    rig.run(secs(1.0));
    let now = rig.now;
    rig.client.handle_timeout(now);
    rig.client.retry_now(now);
    assert!(!matches!(rig.client.poll_output(), Some(Output::Connect { .. } | Output::Send(_))));
}
