//! Tunnels over HTTP, and groups.

use backend_client::{Demand, Event, LostReason, Options, Phase, Quirk, TransportChoice};
use rtsp_proto::StatusCode;

use crate::camera::{Act, Camera, SDP, rtp};
use crate::rig::{Rig, options, secs};

fn http() -> Options {
    let mut options = options("rtsp://u:p@cam/live?x=1");
    options.transport = TransportChoice::Http;
    options.http_port = Some(8080);
    options
}

fn multicast() -> Options {
    let mut options = options("rtsp://cam/live");
    options.transport = TransportChoice::Multicast;
    options
}

#[test]
fn a_tunnel_is_a_get_that_brings_media_and_a_post_that_takes_requests() {
    let mut rig = Rig::playing(http(), Camera::default());
    rig.run(secs(1.0));
    assert_eq!(rig.dialogue(), "DSSP");
    assert_eq!(rig.last("DESCRIBE").uri, "rtsp://cam/live?x=1");
    assert!(rig.packets() > 0);
    let place = ("cam".to_owned(), 8080);
    assert_eq!((rig.connects[0].1.clone(), rig.connects[0].2), place);
    assert_eq!(
        rig.posts.iter().map(|(_, host, port)| (host.clone(), *port)).collect::<Vec<_>>(),
        [place]
    );
    assert_eq!(rig.web.len(), 2);
    assert!(rig.web[0].starts_with("GET /live?x=1 HTTP/1.0\r\nHost: cam:8080\r\n"));
    assert!(rig.web[1].starts_with("POST /live?x=1 HTTP/1.0\r\n"));
    rig.report(0);
    assert_eq!(rig.interleaved.len(), 1);
    rig.shutdown();
    rig.run(secs(1.0));
    assert!(rig.client.is_finished() && rig.dialogue() == "DSSPT");
}

#[test]
fn a_post_is_renewed_before_its_length_is_used_up() {
    let camera = Camera { session: "1;timeout=1", ..Camera::default() };
    let mut rig = Rig::playing(http(), camera);
    // Some 32 KiB of keep-alives take a while.
    rig.run(secs(300.0));
    assert!(rig.requests.len() > 400 && rig.posts.len() > 2, "{}", rig.posts.len());
    assert_eq!((rig.losses(), rig.connects.len()), (vec![], 1));
}

#[test]
fn a_post_that_the_server_closes_is_opened_for_the_next_message() {
    let mut rig = Rig::playing(http(), Camera::default());
    for _ in 0..3 {
        rig.run(secs(30.0));
        rig.end_post();
    }
    rig.run(secs(30.0));
    assert_eq!((rig.losses(), rig.posts.len()), (vec![], 4));
}

#[test]
fn the_web_server_is_shown_credentials_where_it_asks_for_them() {
    let challenge = "401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    let camera = Camera { web: vec![challenge], ..Camera::default() };
    let mut rig = Rig::playing(http(), camera);
    rig.run(secs(1.0));
    assert_eq!((rig.connects.len(), rig.client.stats().attempts), (2, 1));
    let authorized: Vec<bool> =
        rig.web.iter().map(|head| head.contains("Authorization: Digest ")).collect();
    assert_eq!(authorized, [false, true, true]);
}

#[test]
fn a_web_server_that_rejects_credentials_is_left_alone_like_a_camera() {
    let challenge = "401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"";
    let camera = Camera { web: vec![challenge; 100], ..Camera::default() };
    let mut rig = Rig::new(http(), camera);
    rig.run(secs(250.0));
    assert_eq!(rig.losses().len(), 2);
    assert!(rig.losses().iter().all(|(_, reason, _)| *reason == LostReason::CredentialsRejected));
}

#[test]
fn a_tunnel_that_does_not_come_to_stand_is_a_failure() {
    let refused = |status| LostReason::Refused { what: "GET", status: StatusCode(status) };
    for (web, no_post, expected) in [
        ("404 Not Found", false, refused(404)),
        ("", false, LostReason::NoAnswer { what: "GET" }),
        ("401 No\r\nWWW-Authenticate: NTLM", false, LostReason::AuthenticationUnknown),
        (
            "200 OK",
            true,
            LostReason::NoConnection {
                why: "no second connection within the time allowed".to_owned(),
            },
        ),
    ] {
        let camera = Camera { web: vec![web], no_post, ..Camera::default() };
        let mut rig = Rig::new(http(), camera);
        rig.run(secs(15.0));
        assert_eq!(rig.losses().first().map(|loss| loss.1.clone()), Some(expected), "{web}");
    }
}

#[test]
fn a_web_server_may_redirect() {
    let camera = Camera { web: vec!["302 Found\r\nLocation: rtsp://spare/x"], ..Camera::default() };
    let rig = Rig::playing(http(), camera);
    assert_eq!(rig.connects.last().map(|(_, host, _)| host.as_str()), Some("spare"));
    assert!(rig.web[1].starts_with("GET /x HTTP/1.0\r\n"));
    assert!(!rig.web.iter().any(|head| head.contains("Authorization")));
}

#[test]
fn a_group_is_joined_as_the_backend_grants_it() {
    let mut rig = Rig::playing(multicast(), Camera { media: false, ..Camera::default() });
    assert_eq!(rig.last("SETUP").header("Transport"), Some("RTP/AVP;multicast"));
    let group = "239.1.1.1:5000".parse().expect("an address");
    assert_eq!(rig.joins[0], (0, group, None, 7));
    assert_eq!(rig.udp_peers[0], (0, group, "239.1.1.1:5001".parse().expect("an address")));
    rig.datagram(0, false, "192.0.2.7:3333", &rtp(1, 100));
    rig.datagram(0, false, "198.51.100.1:5000", &rtp(1, 100));
    assert_eq!((rig.packets(), rig.client.stats().foreign), (1, 1));
    // Nobody needs a way through a NAT, and the group does not want to hear of one.
    assert!(rig.datagrams.is_empty());
    rig.report(0);
    assert_eq!(rig.datagrams.len(), 1);
    rig.shutdown();
    rig.run(secs(1.0));
    assert_eq!((rig.dialogue().as_str(), rig.closed_udp), ("DSSPT", 1));
}

#[test]
fn a_group_with_one_sender_is_joined_for_that_sender() {
    let filter = "a=source-filter: incl IN IP4 * 192.0.2.99\r\n";
    for (group, more, source) in [
        ("RTP/AVP;multicast;destination=232.1.1.1;port=5000-5001", "", Some("192.0.2.7")),
        (
            "RTP/AVP;multicast;destination=232.1.1.1;port=5000-5001;source=192.0.2.8",
            "",
            Some("192.0.2.8"),
        ),
        (
            "RTP/AVP;multicast;destination=239.1.1.1;port=5000-5001",
            "c=IN IP4 239.1.1.1/3\r\n",
            Some("192.0.2.99"),
        ),
        ("RTP/AVP;multicast;destination=239.1.1.1;port=5000-5001;source=192.0.2.8", "", None),
    ] {
        let sdp = SDP.replace(
            "a=control:*\r\n",
            &format!("{more}{}", if more.is_empty() { "" } else { filter }),
        );
        let rig =
            Rig::playing(multicast(), Camera { group, sdp, media: false, ..Camera::default() });
        let expected = source.map(|source| source.parse().expect("an address"));
        assert_eq!(rig.joins[0].2, expected, "{group}");
    }
}

#[test]
fn a_group_that_setup_does_not_name_is_that_of_the_description() {
    let sdp = SDP
        .replace("m=video 0", "c=IN IP4 239.2.2.2/9\r\nm=video 7000")
        .replace("m=audio 0", "m=audio 7002");
    for group in ["RTP/AVP;multicast", "RTP/AVP/UDP;multicast;destination=10.0.0.1;port=0-0"] {
        let camera = Camera { group, sdp: sdp.clone(), media: false, ..Camera::default() };
        let rig = Rig::playing(multicast(), camera);
        assert_eq!(rig.joins[0].1.to_string(), "239.2.2.2:7000");
        assert_eq!((rig.joins[1].1.to_string().as_str(), rig.joins[1].3), ("239.2.2.2:7002", 9));
        assert_eq!(rig.client.quirk_count(Quirk::MissingGroup), 2);
        assert_eq!(rig.last("SETUP").header("Transport"), Some("RTP/AVP;multicast;port=7002-7003"));
    }
}

#[test]
fn a_backend_that_would_send_to_us_alone_or_nowhere_is_as_good_as_one_that_refuses() {
    for group in ["RTP/AVP;unicast;server_port=6000-6001", "RTP/AVP;multicast"] {
        let mut rig = Rig::new(multicast(), Camera { group, ..Camera::default() });
        rig.demand(Demand::Playing);
        rig.run(secs(0.9));
        let refused = |event: &Event| matches!(event, Event::TrackRefused { .. });
        assert!(rig.joins.is_empty() && rig.count(refused) <= 1);
        assert!(matches!(rig.losses()[0].1, LostReason::Refused { what: "SETUP", .. }), "{group}");
    }
}

#[test]
fn a_group_that_cannot_be_joined_ends_the_session() {
    for mute in [false, true] {
        let mut rig = Rig::new(multicast(), Camera { mute_shell: mute, ..Camera::default() });
        rig.no_ports = !mute;
        rig.demand(Demand::Playing);
        rig.run(secs(10.9));
        assert!(matches!(rig.losses()[0].1, LostReason::Local { .. }));
        assert!(rig.dialogue().starts_with("DST"), "{}", rig.dialogue());
    }
}

#[test]
fn an_answer_that_is_no_http_is_said() {
    let camera = Camera::default().once("OPTIONS", Act::Obey);
    let mut rig = Rig::new(http(), Camera { web: vec![""], ..camera });
    rig.run(secs(0.1));
    rig.bytes(b"RTSP/1.0 400 Bad Request\r\n\r\n");
    assert!(matches!(rig.losses()[0].1, LostReason::Protocol { .. }));
    assert_eq!(rig.client.state(), Phase::Waiting);
}

#[test]
fn a_play_that_waits_for_a_second_connection_is_taken_back_when_the_reader_leaves() {
    let mut rig = Rig::new(http(), Camera::default());
    rig.demand(Demand::Ready);
    rig.until(Phase::Ready);
    rig.end_post();
    rig.demand(Demand::Playing);
    rig.demand(Demand::Idle);
    rig.run(secs(1.0));
    assert_eq!((rig.dialogue().as_str(), rig.client.state()), ("DSS", Phase::Ready));
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.dialogue(), "DSSP");
}
