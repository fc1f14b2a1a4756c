//! Several sources of a stream, and tracks that are set up when they are wanted.

use backend_client::{Demand, Event, Options, Phase, Quirk, Source, TrackChoice};
use rtsp_proto::url::RtspUrl;

use crate::camera::{Act, Camera};
use crate::rig::{Rig, secs, tcp, udp};

fn sources() -> Options {
    let mut options = tcp();
    for url in ["rtsp://second/live", "rtsp://u:p@third/live"] {
        let url = RtspUrl::parse(url).expect("a URL");
        options.alternates.push(Source { url, credentials: None });
    }
    options
}

fn hosts(rig: &Rig) -> Vec<&str> {
    rig.connects.iter().map(|(_, host, _)| host.as_str()).collect()
}

#[test]
fn the_next_source_is_tried_when_one_fails_and_the_first_again_after_the_last() {
    let absent = ["cam", "second", "third"].map(str::to_owned).to_vec();
    let mut rig = Rig::new(sources(), Camera { absent, ..Camera::default() });
    rig.run(secs(3.1));
    assert_eq!(hosts(&rig), ["cam", "second", "third", "cam"]);
    rig.run(secs(60.0));
    assert!(rig.client.failures() >= 4);
}

#[test]
fn a_source_that_is_well_is_kept_and_the_first_is_tried_when_it_is_lost() {
    let absent = vec!["cam".to_owned()];
    let mut rig = Rig::new(sources(), Camera { absent, ..Camera::default() });
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!((rig.client.source(), rig.last("PLAY").uri.as_str()), (1, "rtsp://second/live/"));
    assert_eq!(rig.warnings(), ["source 2 is tried next: rtsp://second/live"]);
    rig.run(secs(100.0));
    rig.camera.absent.clear();
    rig.close();
    rig.until(Phase::Playing);
    assert_eq!(hosts(&rig), ["cam", "second", "cam"]);
    assert_eq!(rig.client.source(), 0);
}

#[test]
fn each_source_is_shown_its_own_credentials() {
    let absent = ["cam", "second"].map(str::to_owned).to_vec();
    let mut options = sources();
    options.credentials = Some(rtsp_proto::Credentials::new("first", "secret"));
    let challenge = Act::Answer(401, "WWW-Authenticate: Basic realm=\"r\"\r\n");
    let camera = Camera { absent, ..Camera::default() }.once("DESCRIBE", challenge);
    let mut rig = Rig::new(options, camera);
    rig.until(Phase::Described);
    assert_eq!(rig.last("DESCRIBE").header("Authorization"), Some("Basic dTpw"));
}

#[test]
fn one_that_rejects_our_credentials_does_not_keep_us_from_the_others() {
    let mut options = sources();
    options.credentials = Some(rtsp_proto::Credentials::new("first", "secret"));
    let challenge = Act::Answer(401, "WWW-Authenticate: Basic realm=\"r\"\r\n");
    let absent = ["second", "third"].map(str::to_owned).to_vec();
    let camera = Camera { absent, ..Camera::default() }.always("DESCRIBE", challenge);
    let mut rig = Rig::new(options, camera);
    rig.run(secs(200.0));
    let shown = hosts(&rig).iter().filter(|host| **host == "cam").count();
    assert_eq!(shown, 2);
    assert!(hosts(&rig).len() > 8, "{:?}", hosts(&rig));
}

#[test]
fn a_client_that_is_told_so_goes_back_to_the_first_source() {
    let absent = vec!["cam".to_owned()];
    let mut rig = Rig::new(sources(), Camera { absent, ..Camera::default() });
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.run(secs(10.0));
    rig.camera.absent.clear();
    rig.return_to_first();
    rig.until(Phase::Playing);
    assert_eq!((hosts(&rig).last().copied(), rig.client.source()), (Some("cam"), 0));
    assert_eq!(rig.dialogue(), "DSSPTDSSP");
    rig.return_to_first();
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSPTDSSP");
}

fn requested(mut options: Options) -> Options {
    options.tracks = TrackChoice::Requested;
    options
}

fn ready(rig: &Rig) -> Vec<usize> {
    let ready = rig.events.iter().filter_map(|(_, event)| match event {
        Event::TrackReady { track } => Some(*track),
        _ => None,
    });
    ready.collect()
}

#[test]
fn nothing_is_set_up_that_nobody_asks_for() {
    let mut rig = Rig::new(requested(tcp()), Camera::default());
    rig.demand(Demand::Playing);
    rig.run(secs(10.0));
    assert_eq!(rig.dialogue(), "D");
    rig.want(&[7]);
    rig.run(secs(10.0));
    assert_eq!(rig.dialogue(), "D");
    rig.want(&[1]);
    rig.until(Phase::Playing);
    assert_eq!((rig.dialogue().as_str(), ready(&rig)), ("DSP", vec![1]));
    assert!(rig.last("SETUP").uri.ends_with("trackID=1"));
}

#[test]
fn a_track_wanted_before_play_is_added_to_the_session() {
    let mut rig = Rig::new(requested(tcp()), Camera::default());
    rig.want(&[0]);
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    rig.want(&[0, 1]);
    rig.until(Phase::Ready);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!((rig.dialogue().as_str(), ready(&rig)), ("DSSP", vec![0, 1]));
    assert_eq!(rig.last("SETUP").header("Session"), Some("12345678"));
    assert_eq!(rig.last("SETUP").header("Transport"), Some("RTP/AVP/TCP;unicast;interleaved=2-3"));
}

#[test]
fn a_track_wanted_while_others_play_is_added_beside_them() {
    for options in [tcp(), udp()] {
        let mut rig = Rig::new(requested(options), Camera::default());
        rig.want(&[0]);
        rig.demand(Demand::Playing);
        rig.until(Phase::Playing);
        rig.run(secs(1.0));
        let before = rig.packets();
        rig.camera.delay = secs(0.5);
        rig.want(&[0, 1]);
        rig.run(secs(0.4));
        assert_eq!(rig.client.state(), Phase::Playing);
        assert!(rig.packets() > before, "media flows on");
        rig.run(secs(2.0));
        assert_eq!((rig.dialogue().as_str(), ready(&rig)), ("DSPSP", vec![0, 1]));
        assert_eq!(rig.client.state(), Phase::Playing);
        let both = |event: &Event| matches!(event, Event::Packet { track: 1, .. });
        assert!(rig.count(both) > 0);
        assert_eq!(rig.losses(), []);
    }
}

#[test]
fn a_camera_that_lets_no_session_grow_gets_a_new_one_with_all_that_is_wanted() {
    let mut rig = Rig::new(requested(tcp()), Camera::default());
    rig.want(&[0]);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.camera.then("SETUP", Act::Status(455));
    rig.want(&[0, 1]);
    rig.run(secs(2.0));
    assert_eq!(rig.dialogue(), "DSPSTSSP");
    assert_eq!(rig.client.quirk_count(Quirk::NoLateSetup), 1);
    assert_eq!(rig.losses(), []);
    // What plays already is not set up anew.
    rig.want(&[1]);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSPSTSSP");
}

#[test]
fn a_play_that_is_refused_for_the_added_track_is_no_loss() {
    let mut rig = Rig::new(requested(tcp()), Camera::default());
    rig.want(&[1]);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.camera.then("PLAY", Act::Status(455));
    rig.want(&[0, 1]);
    rig.run(secs(2.0));
    assert_eq!(rig.dialogue(), "DSPSPTSSP");
    assert_eq!(rig.losses(), []);
}

#[test]
fn an_added_track_that_is_refused_costs_nothing_and_is_not_insisted_on() {
    let mut rig = Rig::new(requested(tcp()), Camera::default());
    rig.want(&[0]);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.camera.set("SETUP", Act::Status(404));
    rig.want(&[0, 1]);
    rig.run(secs(20.0));
    assert_eq!(rig.dialogue(), "DSPS");
    let refused = |event: &Event| matches!(event, Event::TrackRefused { track: 1, .. });
    assert_eq!(rig.count(refused), 1);
    assert_eq!(rig.client.state(), Phase::Playing);
}

#[test]
fn a_reader_who_leaves_while_a_track_is_added_leads_to_pause() {
    let mut rig = Rig::new(requested(tcp()), Camera::default());
    rig.want(&[0]);
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    rig.want(&[0, 1]);
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSPSZ");
    rig.demand(Demand::Playing);
    rig.run(secs(1.0));
    assert_eq!((rig.dialogue().as_str(), ready(&rig)), ("DSPSZP", vec![0, 1]));
}

#[test]
fn a_second_client_tells_that_the_first_source_is_well_again() {
    let options = sources().first_only();
    let absent = vec!["cam".to_owned()];
    let mut rig = Rig::new(options, Camera { absent, ..Camera::default() });
    rig.run(secs(100.0));
    assert!(hosts(&rig).iter().all(|host| *host == "cam"));
    rig.camera.absent.clear();
    rig.until(Phase::Described);
    assert_eq!(rig.count(|event| matches!(event, Event::Described { .. })), 1);
}
