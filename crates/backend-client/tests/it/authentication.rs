//! Credentials: shown when asked for, to the right host, and not too often.

use backend_client::{Demand, Event, LostReason, Phase};

use crate::camera::{Act, Camera};
use crate::rig::{Rig, options, secs};

const DIGEST: &str = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n1\"\r\n";
const DIGEST_2: &str = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n2\"\r\n";
const DIGEST_STALE: &str = "WWW-Authenticate: Digest realm=\"cam\", nonce=\"n3\", stale=true\r\n";
const BASIC: &str = "WWW-Authenticate: Basic realm=\"cam\"\r\n";

fn rig(camera: Camera) -> Rig {
    let mut options = options("rtsp://user:secret@cam/live");
    options.transport = backend_client::TransportChoice::Tcp;
    options.dialogue = true;
    Rig::new(options, camera)
}

/// Tells cases apart that the camera does not: whether the request carried credentials.
fn authorized(rig: &Rig) -> Vec<bool> {
    rig.requests.iter().map(|(_, request)| request.header("Authorization").is_some()).collect()
}

#[test]
fn a_challenge_is_answered_at_once_and_later_requests_carry_credentials() {
    for challenge in [DIGEST, BASIC] {
        let mut rig = rig(Camera::default().once("DESCRIBE", Act::Answer(401, challenge)));
        rig.demand(Demand::Playing);
        rig.until(Phase::Playing);
        assert_eq!(rig.dialogue(), "DDSSP");
        assert_eq!(authorized(&rig), [false, true, true, true, true]);
        assert_eq!(rig.connects.len(), 1);
    }
}

#[test]
fn the_digest_is_over_the_uri_of_the_request() {
    let mut rig = rig(Camera::default().once("DESCRIBE", Act::Answer(401, DIGEST)));
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    let setup = rig.last("SETUP");
    let authorization = setup.header("Authorization").expect("it is there");
    assert!(authorization.contains(&format!("uri=\"{}\"", setup.uri)), "{authorization}");
    assert!(authorization.contains("username=\"user\""), "{authorization}");
}

#[test]
fn the_secret_is_neither_on_the_request_line_nor_in_a_dialogue_nor_in_debug_output() {
    let mut rig = rig(Camera::default().once("DESCRIBE", Act::Answer(401, BASIC)));
    rig.until(Phase::Described);
    assert_eq!(rig.last("DESCRIBE").uri, "rtsp://cam/live");
    let basic = rig.last("DESCRIBE").header("Authorization").expect("it is there").to_owned();
    let encoded = basic.strip_prefix("Basic ").expect("Basic");
    let mut dialogues = 0;
    for (_, event) in &rig.events {
        if let Event::Dialogue { text, .. } = event {
            dialogues += 1;
            assert!(!text.contains(encoded) && !text.contains("secret"), "{text}");
        }
    }
    assert_eq!(dialogues, 4);
    assert!(!format!("{:?}", rig.client).contains("secret"));
}

#[test]
fn wrong_credentials_are_shown_twice_and_then_every_five_minutes() {
    let mut rig = rig(Camera::default().always("DESCRIBE", Act::Answer(401, DIGEST)));
    rig.run(secs(290.0));
    let shown = authorized(&rig).into_iter().filter(|shown| *shown).count();
    assert_eq!(shown, 2);
    assert_eq!(rig.losses().len(), 2);
    assert!(rig.losses().iter().all(|(_, reason, _)| *reason == LostReason::CredentialsRejected));
    assert_eq!(rig.losses()[1].2, secs(300.0));
    rig.run(secs(30.0));
    let shown = authorized(&rig).into_iter().filter(|shown| *shown).count();
    assert_eq!(shown, 3);
    rig.run(secs(270.0));
    let shown = authorized(&rig).into_iter().filter(|shown| *shown).count();
    assert_eq!(shown, 3);
}

#[test]
fn what_others_had_rejected_is_kept_back_until_then_and_tried_once() {
    let mut camera = Camera::default().always("DESCRIBE", Act::Answer(401, DIGEST));
    camera.locked = Some(secs(100.0));
    let mut rig = rig(camera);
    rig.run(secs(99.0));
    assert_eq!(rig.dialogue(), "");
    assert_eq!(rig.losses().len(), 1);
    assert_eq!(rig.losses()[0].1, LostReason::CredentialsRejected);
    assert!(rig.losses()[0].2 <= secs(100.0) && rig.losses()[0].2 > secs(99.0));
    rig.run(secs(200.0));
    assert_eq!(authorized(&rig).into_iter().filter(|shown| *shown).count(), 1);
    assert_eq!(rig.client.stats().rejected, 1);
}

#[test]
fn what_everybody_may_do_does_not_make_rejected_credentials_right() {
    // DESCRIBE is for everybody, or for us and less than PLAY; TEARDOWN is not asked about.
    for describe in [Act::Obey, Act::Answer(401, DIGEST_STALE)] {
        let mut camera = Camera::default().always("PLAY", Act::Answer(401, DIGEST));
        for _ in 0..10 {
            camera.then("DESCRIBE", describe.clone());
            camera.then("DESCRIBE", Act::Obey);
        }
        let mut rig = rig(camera);
        rig.demand(Demand::Playing);
        rig.run(secs(290.0));
        assert_eq!(rig.losses().len(), 2, "{}", rig.dialogue());
        assert!(rig.client.locked_until().is_some());
    }
}

#[test]
fn a_camera_that_renews_its_nonce_with_every_refusal_is_not_shown_more() {
    let mut camera = Camera::default().always("DESCRIBE", Act::Answer(401, DIGEST_STALE));
    for _ in 0..10 {
        camera.then("DESCRIBE", Act::Answer(401, DIGEST));
        camera.then("DESCRIBE", Act::Answer(401, DIGEST_2));
    }
    let mut rig = rig(camera);
    rig.run(secs(290.0));
    assert_eq!(authorized(&rig).into_iter().filter(|shown| *shown).count(), 2);
}

#[test]
fn a_nonce_called_stale_without_end_is_given_up() {
    let mut rig = rig(Camera::default().always("DESCRIBE", Act::Answer(401, DIGEST_STALE)));
    rig.run(secs(290.0));
    assert!(rig.requests.len() <= 6, "{}", rig.dialogue());
    assert_eq!(rig.losses().len(), 2);
}

#[test]
fn a_reader_who_asks_does_not_shorten_the_wait_after_rejected_credentials() {
    let mut rig = rig(Camera::default().always("DESCRIBE", Act::Answer(401, DIGEST)));
    rig.run(secs(10.0));
    let before = rig.connects.len();
    for _ in 0..50 {
        rig.retry_now();
        rig.run(secs(2.0));
    }
    assert_eq!(rig.connects.len(), before);
    assert!(rig.client.locked_until().is_some());
}

#[test]
fn credentials_that_are_right_after_all_are_used_as_ever() {
    let camera = Camera::default()
        .once("DESCRIBE", Act::Answer(401, DIGEST))
        .once("DESCRIBE", Act::Answer(401, DIGEST))
        .once("DESCRIBE", Act::Answer(401, DIGEST));
    let mut rig = rig(camera);
    rig.until(Phase::Described);
    assert_eq!(rig.client.locked_until(), None);
    assert_eq!(rig.connects.len(), 2);
}

#[test]
fn without_credentials_a_challenge_is_a_failure_as_any_other() {
    let camera = Camera::default().always("DESCRIBE", Act::Answer(401, DIGEST));
    let mut rig = Rig::new(options("rtsp://cam/live"), camera);
    rig.run(secs(2.0));
    assert_eq!(rig.losses()[0].1, LostReason::CredentialsNeeded);
    assert_eq!(authorized(&rig), [false, false]);
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let redirect = Act::Answer(302, "Location: rtsp://cam.example/x\r\n");
    let camera =
        Camera::default().once("DESCRIBE", redirect).always("DESCRIBE", Act::Answer(401, BASIC));
    let mut rig = rig(camera);
    rig.run(secs(0.9));
    assert_eq!(authorized(&rig), [false, false]);
    assert_eq!(rig.losses()[0].1, LostReason::CredentialsNeeded);
}

#[test]
fn credentials_follow_a_redirect_to_another_port_of_the_host() {
    let redirect = Act::Answer(302, "Location: rtsp://CAM:8554/x\r\n");
    let challenge = Act::Answer(401, BASIC);
    let mut rig = rig(Camera::default().once("DESCRIBE", redirect).once("DESCRIBE", challenge));
    rig.until(Phase::Described);
    assert_eq!(authorized(&rig), [false, false, true]);
}

#[test]
fn a_keep_alive_with_an_old_nonce_is_authorized_anew() {
    let camera = Camera::default()
        .once("DESCRIBE", Act::Answer(401, DIGEST))
        .once("OPTIONS", Act::Answer(401, DIGEST_2));
    let mut rig = rig(camera);
    rig.run(secs(31.0));
    assert_eq!(rig.dialogue(), "DDOO");
    assert_eq!(rig.losses(), []);
    let again = rig.last("OPTIONS").header("Authorization").expect("it is there");
    assert!(again.contains("n2"), "{again}");
}

#[test]
fn a_keep_alive_rejected_while_media_flows_kills_nothing_and_is_not_insisted_on() {
    let camera = Camera::default()
        .once("DESCRIBE", Act::Answer(401, DIGEST))
        .always("OPTIONS", Act::Answer(401, DIGEST_2))
        .always("GET_PARAMETER", Act::Answer(401, DIGEST_2));
    let mut rig = rig(camera);
    rig.demand(Demand::Playing);
    rig.run(secs(250.0));
    assert_eq!(rig.losses(), []);
    assert!(rig.requests.len() < 12, "{}", rig.dialogue());
}

#[test]
fn a_keep_alive_rejected_while_media_flows_is_sent_as_another_method() {
    let camera = Camera::default()
        .once("DESCRIBE", Act::Answer(401, DIGEST))
        .always("OPTIONS", Act::Answer(401, DIGEST_2));
    let mut rig = rig(camera);
    rig.demand(Demand::Playing);
    rig.run(secs(400.0));
    assert_eq!((rig.losses(), rig.client.locked_until()), (vec![], None));
    let of = |method| rig.requests.iter().filter(move |(_, r)| r.method == method);
    assert!(of("OPTIONS").count() <= 2, "{}", rig.dialogue());
    let at: Vec<f64> = of("GET_PARAMETER").map(|(at, _)| at.as_secs_f64()).collect();
    assert!(at.len() >= 11 && at.windows(2).all(|pair| pair[1] - pair[0] < 31.0), "{at:?}");
}

#[test]
fn credentials_follow_a_redirect_to_another_host_where_that_is_wanted() {
    let redirect = Act::Answer(307, "Location: rtsp://cam.example/x\r\n");
    let camera =
        Camera::default().once("DESCRIBE", redirect).once("DESCRIBE", Act::Answer(401, BASIC));
    let mut options = options("rtsp://u:p@cam/live");
    options.transport = backend_client::TransportChoice::Tcp;
    options.credentials_elsewhere = true;
    let mut rig = Rig::new(options, camera);
    rig.until(Phase::Described);
    assert_eq!(authorized(&rig), [false, false, true]);
}

#[test]
fn a_camera_that_renews_its_nonce_with_every_answer_is_not_refused() {
    let renew = "RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n\
                 Authentication-Info: nextnonce=\"two\"\r\nContent-Length: ";
    let raw = format!("{renew}{}\r\n\r\n{}", crate::camera::SDP.len(), crate::camera::SDP);
    let camera = Camera::default()
        .once("DESCRIBE", Act::Answer(401, DIGEST))
        .once("DESCRIBE", Act::Raw(raw));
    let mut rig = rig(camera);
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    let shown = rig.last("SETUP").header("Authorization").expect("credentials");
    assert!(shown.contains("nonce=\"two\""), "{shown}");
}
