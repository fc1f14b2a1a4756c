//! Whatever a backend, its network, its readers and their clock do.
//!
//! The rig itself asserts, at every step: one connection at a time, one request at a time unless
//! the one before met its deadline or the session ends, no PLAY without demand, no attempt under
//! the floor, always a timer (but for an idle connection that was closed on purpose), one session at
//! a time, one POST at a time and no longer than it said, outputs bounded, and that time moves on.

use std::time::Duration;

use backend_client::{Demand, IdlePolicy, Phase, Source, TrackChoice, TransportChoice};
use proptest::prelude::*;
use rtsp_proto::url::RtspUrl;

use crate::camera::{Act, Camera, bye, frame, rtp};
use crate::rig::{Rig, options, secs};

#[derive(Clone, Debug)]
enum Step {
    Run(u64),
    Demand(Demand),
    RetryNow,
    Close,
    Once(&'static str, Act),
    Always(&'static str, Act),
    Bytes(Vec<u8>),
    Datagram(usize, bool, bool, Vec<u8>),
    Up(bool),
    Mute(bool),
    Media(bool),
    UdpBlocked(bool),
    NoPorts(bool),
    Report(usize),
    Held(bool),
    Want(Vec<usize>),
    ReturnToFirst,
    EndPost,
    Absent(Vec<&'static str>),
    Web(&'static str),
    NoPost(bool),
    Group(&'static str),
    Shutdown,
}

fn method() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "DESCRIBE",
        "SETUP",
        "PLAY",
        "PAUSE",
        "TEARDOWN",
        "OPTIONS",
        "GET_PARAMETER",
        "SET_PARAMETER",
    ])
}

fn act() -> impl Strategy<Value = Act> {
    let statuses = vec![
        100, 200, 204, 301, 400, 401, 403, 404, 405, 451, 453, 454, 455, 461, 500, 501, 503, 551,
        999,
    ];
    let headers = vec![
        "Session: 1;timeout=2\r\nTransport: RTP/AVP;unicast;server_port=6000-6001\r\n",
        "Session: 2;timeout=1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n",
        "Session: ;\r\nTransport: RTP/AVP/TCP;interleaved=255-254\r\n",
        "Transport: RAW/RAW/UDP\r\nPublic: OPTIONS\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"a\"\r\n",
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"b\", stale=true\r\n",
        "WWW-Authenticate: Basic realm=\"r\"\r\n",
        "Location: rtsp://elsewhere/x\r\n",
        "Retry-After: 18446744073709551615\r\n",
        "Content-Length: 3\r\n\r\nv=0",
        "Content-Type: application/sdp\r\nContent-Length: 99\r\n\r\nv=0\r\nm=video",
    ];
    prop_oneof![
        4 => Just(Act::Obey),
        4 => prop::sample::select(statuses.clone()).prop_map(Act::Status),
        4 => (prop::sample::select(statuses), prop::sample::select(headers))
            .prop_map(|(status, headers)| Act::Answer(status, headers)),
        2 => Just(Act::Ignore),
        2 => (0.0..15.0_f64).prop_map(Act::Late),
        1 => Just(Act::Close),
        1 => Just(Act::ObeyAndClose),
        1 => Just(Act::Raw("RTSP/1.0 200 OK\r\n\r\n".to_owned())),
        1 => Just(Act::Raw("RTSP/1.0 200 OK\r\nCSeq: 4000000000\r\n\r\n".to_owned())),
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(channel, data)| frame(channel % 6, &data)),
        (0_u8..6, any::<u16>()).prop_map(|(channel, seq)| frame(channel, &rtp(seq, 100))),
        (0_u8..6, 99_u32..102).prop_map(|(channel, ssrc)| frame(channel, &bye(ssrc))),
        prop::sample::select(vec![
            "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            "TEARDOWN * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
            "REDIRECT * RTSP/1.0\r\nCSeq: 1\r\nLocation: rtsp://a/\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSeq: 9\r\n\r\n",
            "RTSP/1.0 454 Session Not Found\r\n\r\n",
            "RTSP/1.0 200 OK\r\nCSe",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let demand = prop::sample::select(vec![Demand::Idle, Demand::Ready, Demand::Playing]);
    prop_oneof![
        6 => (0_u64..100).prop_map(Step::Run),
        4 => (0_u64..20_000).prop_map(Step::Run),
        1 => (0_u64..400_000).prop_map(Step::Run),
        6 => demand.prop_map(Step::Demand),
        1 => Just(Step::RetryNow),
        1 => Just(Step::Close),
        5 => (method(), act()).prop_map(|(method, act)| Step::Once(method, act)),
        2 => (method(), act()).prop_map(|(method, act)| Step::Always(method, act)),
        3 => bytes().prop_map(Step::Bytes),
        1 => (0_usize..4, any::<bool>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(track, rtcp, foreign, data)| Step::Datagram(track, rtcp, foreign, data)),
        1 => any::<bool>().prop_map(Step::Up),
        1 => any::<bool>().prop_map(Step::Mute),
        1 => any::<bool>().prop_map(Step::Media),
        1 => any::<bool>().prop_map(Step::UdpBlocked),
        1 => any::<bool>().prop_map(Step::NoPorts),
        1 => (0_usize..4).prop_map(Step::Report),
        2 => any::<bool>().prop_map(Step::Held),
        2 => prop::collection::vec(0_usize..3, 0..3).prop_map(Step::Want),
        1 => Just(Step::ReturnToFirst),
        1 => Just(Step::EndPost),
        1 => prop::collection::vec(prop::sample::select(vec!["cam", "second"]), 0..3)
            .prop_map(Step::Absent),
        1 => prop::sample::select(vec![
            "",
            "200 OK",
            "302 Found\r\nLocation: rtsp://elsewhere/",
            "401 No\r\nWWW-Authenticate: Basic realm=\"r\"",
            "500 No",
        ])
        .prop_map(Step::Web),
        1 => any::<bool>().prop_map(Step::NoPost),
        1 => prop::sample::select(vec![
            "RTP/AVP;multicast;destination=232.1.1.1;port=5000-5001",
            "RTP/AVP;multicast",
            "RTP/AVP;unicast;server_port=1-2",
        ])
        .prop_map(Step::Group),
    ]
}

fn take(rig: &mut Rig, step: Step) {
    match step {
        Step::Run(millis) => rig.run(Duration::from_millis(millis)),
        Step::Demand(demand) => rig.demand(demand),
        Step::RetryNow => rig.retry_now(),
        Step::Close => rig.close(),
        Step::Once(method, act) => rig.camera.then(method, act),
        Step::Always(method, act) => rig.camera.set(method, act),
        Step::Bytes(bytes) => rig.bytes(&bytes),
        Step::Datagram(track, rtcp, foreign, data) => {
            let from = if foreign { "198.51.100.9:1" } else { "192.0.2.7:6000" };
            rig.datagram(track, rtcp, from, &data);
        }
        Step::Up(up) => rig.camera.up = up,
        Step::Mute(mute) => rig.camera.mute = mute,
        Step::Media(media) => rig.camera.media = media,
        Step::UdpBlocked(blocked) => rig.camera.udp_blocked = blocked,
        Step::NoPorts(none) => rig.no_ports = none,
        Step::Report(track) => rig.report(track),
        Step::Held(held) => rig.set_held(held),
        Step::Want(tracks) => rig.want(&tracks),
        Step::ReturnToFirst => rig.return_to_first(),
        Step::EndPost => rig.end_post(),
        Step::Absent(hosts) => {
            rig.camera.absent = hosts.into_iter().map(str::to_owned).collect();
        }
        Step::Web(answer) => rig.camera.web.push(answer),
        Step::NoPost(none) => rig.camera.no_post = none,
        Step::Group(group) => rig.camera.group = group,
        Step::Shutdown => rig.shutdown(),
    }
}

/// How the client is set.
#[derive(Clone, Debug)]
struct Choices {
    transport: TransportChoice,
    idle: IdlePolicy,
    linger: u64,
    sources: bool,
    requested: bool,
    watched: bool,
    spread: u64,
    seed: u64,
}

fn choices() -> impl Strategy<Value = Choices> {
    let transports = vec![
        TransportChoice::Auto,
        TransportChoice::Auto,
        TransportChoice::Udp,
        TransportChoice::Tcp,
        TransportChoice::Tcp,
        TransportChoice::Multicast,
        TransportChoice::Http,
    ];
    let idle = prop::sample::select(vec![IdlePolicy::KeepAlive, IdlePolicy::Close]);
    let times = (prop::sample::select(vec![0, 10_000]), prop::sample::select(vec![0, 5_000]));
    let flags = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.8));
    (prop::sample::select(transports), idle, times, flags, any::<u64>()).prop_map(
        |(transport, idle, (linger, spread), (sources, requested, watched), seed)| Choices {
            transport,
            idle,
            linger,
            sources,
            requested,
            watched,
            spread,
            seed,
        },
    )
}

fn begin(choices: &Choices) -> Rig {
    let mut options = options("rtsp://user:password@cam/live");
    options.transport = choices.transport;
    options.idle = choices.idle;
    options.linger = Duration::from_millis(choices.linger);
    options.start_spread = Duration::from_millis(choices.spread);
    if choices.sources {
        let url = RtspUrl::parse("rtsp://second/live").expect("a URL");
        options.alternates = vec![Source { url, credentials: None }];
    }
    if choices.requested {
        options.tracks = TrackChoice::Requested;
    }
    if !choices.watched {
        options.max_packet_gap = None;
    }
    let pace = Duration::from_secs(1);
    Rig::seeded(options, Camera { pace, ..Camera::default() }, choices.seed)
}

/// What is under way may take its time, media may be missed for its time, and then comes the wait:
/// one period of the back-off, of five minutes if credentials were rejected.
fn flows_again_by(rig: &Rig, choices: &Choices) -> Duration {
    let now = rig.now.mono;
    let locked =
        rig.client.locked_until().map_or(Duration::ZERO, |l| l.saturating_duration_since(now));
    // Without a watch on silence it takes a session's timeout and three unanswered keep-alives.
    let unwatched = if choices.watched { 0.0 } else { 100.0 };
    locked + secs(30.0 + 45.0 + unwatched)
}

/// These are over soon, and find what is rare.
fn more() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(4), ..usual }
}

proptest! {
    #![proptest_config(more())]

    #[test]
    fn whatever_happened_media_flows_once_the_backend_is_well(
        choices in choices(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut rig = begin(&choices);
        for step in steps {
            take(&mut rig, step);
        }
        rig.camera.heal();
        rig.no_ports = false;
        rig.want(&[0, 1]);
        rig.demand(Demand::Playing);
        rig.run(flows_again_by(&rig, &choices));
        let before = rig.packets();
        rig.run(secs(10.0));
        prop_assert_eq!(rig.client.state(), Phase::Playing, "{}", rig.dialogue());
        // One that answers PLAY and sends nothing is found out by its silence alone.
        prop_assert!(rig.packets() > before || !choices.watched, "{}", rig.dialogue());
        prop_assert!(rig.client.failures() == 0 || !choices.watched);
        // Six connections at most belong to one attempt: redirects.
        let most = 6 * (2 + rig.elapsed().as_secs() as usize);
        prop_assert!(rig.connects.len() <= most);
    }

    #[test]
    fn whatever_happened_a_shutdown_is_over_within_a_second(
        choices in choices(),
        before in prop::collection::vec(step(), 1..40),
        after in prop::collection::vec(step(), 0..5),
    ) {
        let mut rig = begin(&choices);
        for step in before {
            take(&mut rig, step);
        }
        take(&mut rig, Step::Shutdown);
        rig.run(secs(1.0));
        prop_assert!(rig.client.is_finished());
        let requests = rig.requests.len();
        for step in after {
            take(&mut rig, step);
        }
        rig.run(secs(100.0));
        prop_assert!(rig.client.is_finished());
        prop_assert_eq!(rig.requests.len(), requests);
    }
}

/// Each of these takes a thousand seconds, if virtual ones.
fn fewer() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / 8, ..usual }
}

proptest! {
    #![proptest_config(fewer())]

    #[test]
    fn a_camera_that_never_gets_better_is_neither_hammered_nor_given_up(
        choices in choices(),
        acts in prop::collection::vec((method(), act()), 1..6),
        held in any::<bool>(),
    ) {
        let mut rig = begin(&choices);
        for (method, act) in acts {
            rig.camera.set(method, act);
        }
        rig.want(&[0, 1]);
        rig.demand(Demand::Playing);
        rig.set_held(held);
        rig.run(secs(600.0));
        let (requests, connects) = (rig.requests.len(), rig.connects.len());
        // One attempt in a second, of some ten requests, is the most that a held reader is worth;
        // without one it is two attempts in a minute, or keep-alives of one that is up.
        prop_assert!(requests <= 600 * 10, "{requests}");
        prop_assert!(connects <= 6 * 602, "{connects}");
        rig.set_held(false);
        rig.run(secs(100.0));
        let (requests, connects) = (rig.requests.len(), rig.connects.len());
        rig.run(secs(300.0));
        prop_assert!(rig.connects.len() - connects <= 6 * 60, "{}", rig.dialogue());
        prop_assert!(rig.requests.len() - requests <= 300 * 5, "{}", rig.dialogue());
        prop_assert!(!rig.client.is_finished());
    }
}
