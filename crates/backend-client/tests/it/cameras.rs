//! Dialogues in the manner of cameras that are about: what each does differently, and what comes of
//! it. Each is held at both line ends.

use backend_client::{Demand, Phase, Quirk};

use crate::camera::{Act, Camera, frame, rtp};
use crate::rig::{Rig, options, secs};

/// One camera.
struct Kind {
    name: &'static str,
    url: &'static str,
    /// Heads, behind the status line; `{cseq}` stands for the request's.
    describe: &'static str,
    sdp: &'static str,
    /// For each SETUP.
    setup: &'static [&'static str],
    play: &'static str,
    /// What is asked for in answer.
    uris: &'static [&'static str],
    aggregate: &'static str,
    /// What is told of it.
    quirks: &'static [Quirk],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "blanks before the session, absolute controls, a query behind the track",
        url: "rtsp://cam/Streaming/Channels/101?transportmode=unicast",
        describe: "CSeq: {cseq}\nContent-Type: application/sdp\n\
                   Content-Base: rtsp://cam:554/Streaming/Channels/101/\n",
        sdp: "v=0\no=- 1 1 IN IP4 192.0.2.7\ns=Media Presentation\ne=NONE\nb=AS:5100\nt=0 0\n\
              a=control:rtsp://cam:554/Streaming/Channels/101/\n\
              m=video 0 RTP/AVP 96\nc=IN IP4 0.0.0.0\na=recvonly\na=rtpmap:96 H264/90000\n\
              a=control:rtsp://cam:554/Streaming/Channels/101/trackID=1?transportmode=unicast\n",
        setup: &["CSeq: {cseq}\nSession:        708345999;timeout=60\n\
                  Transport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=64;mode=\"play\"\n\
                  Date:  Wed, May 05 2021 21:51:17 GMT\n"],
        play: "CSeq: {cseq}\nSession:        708345999\n\
               RTP-Info: url=rtsp://cam:554/Streaming/Channels/101/trackID=1?transportmode=unicast;\
               seq=24104;rtptime=1270711678\n",
        uris: &["rtsp://cam:554/Streaming/Channels/101/trackID=1?transportmode=unicast"],
        aggregate: "rtsp://cam:554/Streaming/Channels/101/",
        // Its numbers are not true.
        quirks: &[Quirk::OddRtpInfo],
    },
    Kind {
        name: "`Cseq`, no base, no control for all, a tab behind the formats",
        url: "rtsp://cam/udp/av0_0",
        describe: "Cseq: {cseq}\nContent-Type: application/sdp\n",
        sdp: "v=0\no=VSTC 1 1 IN IP4 192.0.2.7\ns=streamed\ne=NONE\nc=IN IP4 0.0.0.0\nt=0 0\n\
              m=video 0 RTP/AVP 96\nb=AS:1536\na=control:track0\na=rtpmap:96 H264/90000\n\
              m=audio 0 RTP/AVP 8\t \nb=AS:64\na=control:track1\na=rtpmap:8 PCMA/8000/1\n",
        setup: &[
            "Cseq: {cseq}\nSession: 5\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\n",
            "Cseq: {cseq}\nSession: 5\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\n",
        ],
        play: "Cseq: {cseq}\nSession: 5\n",
        uris: &["rtsp://cam/udp/av0_0/track0", "rtsp://cam/udp/av0_0/track1"],
        aggregate: "rtsp://cam/udp/av0_0",
        quirks: &[],
    },
    Kind {
        name: "another session for each track",
        url: "rtsp://cam/h264",
        describe: "Cseq: {cseq}\nServer: H264DVR 1.0\nContent-Type: application/sdp\n",
        sdp: "v=0\no=- 38990265062388 1 IN IP4 192.0.2.7\ns=RTSP Session\nt=0 0\na=control:*\n\
              m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:trackID=3\n\
              m=audio 0 RTP/AVP 8\na=control:trackID=4\n",
        setup: &[
            "Cseq: {cseq}\nSession: 231969\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\n",
            "Cseq: {cseq}\nSession: 231970\nTransport: RTP/AVP/TCP;unicast;interleaved=2-3\n",
        ],
        play: "Cseq: {cseq}\nRange: npt=now-\nSession: 231970\n",
        uris: &["rtsp://cam/h264/trackID=3", "rtsp://cam/h264/trackID=4"],
        aggregate: "rtsp://cam/h264",
        quirks: &[Quirk::ChangedSession],
    },
    Kind {
        name: "a query that has to survive in every request",
        url: "rtsp://cam/axis-media/media.amp?Axis-Orig-Sw=true",
        describe: "CSeq: {cseq}\nContent-Type: application/sdp\n",
        sdp: "v=0\no=- -1188340656180883 1 IN IP4 192.0.2.7\ns=Session\nt=0 0\na=control:*\n\
              m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:stream=0\n",
        setup: &["CSeq: {cseq}\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1;ssrc=00000064\n\
                  Session: QjWSPy9;timeout=60\n"],
        play: "CSeq: {cseq}\nSession: QjWSPy9\nRTP-Info: url=stream=0;seq=1;rtptime=0\n",
        uris: &["rtsp://cam/axis-media/media.amp?Axis-Orig-Sw=true/stream=0"],
        aggregate: "rtsp://cam/axis-media/media.amp?Axis-Orig-Sw=true",
        quirks: &[],
    },
    Kind {
        name: "no Content-Type, a track for all, video that is only sent",
        url: "rtsp://cam/live",
        describe: "CSeq: {cseq}\nSession: l0TtlUFSR\n",
        sdp: "v=0\no=- 1 1 IN IP4 *****\ns=Streamed\nt=0 0\na=type:broadcast\na=control:*\n\
              m=video 0 RTP/AVP 96\nc=IN IP4 *****\na=sendonly\na=rtpmap:96 H264/90000\n\
              a=control:rtsp://cam/video=video1\n",
        setup: &["CSeq: {cseq}\nTransport: RTP/AVP;unicast;interleaved=0-1\n"],
        play: "CSeq: {cseq}\nRTP-Info: url=rtsp://cam/video=video1;seq=0;rtptime=0;\n",
        uris: &["rtsp://cam/video=video1"],
        aggregate: "rtsp://cam/live",
        quirks: &[Quirk::MissingSession],
    },
    Kind {
        name: "answers in odd forms: no sequence number, other channels, no media type",
        url: "rtsp://cam/onvif1",
        describe: "Content-Type: application/sdp\n",
        sdp: "v=0\no=- 1 1 IN IP4 0.0.0.0\nc=IN\ngarbage\ns=a\nt=0 0\n\
              m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96\na=control:track1\n\
              m=audio oops\n",
        setup: &["Session: 7 ; timeout = abc\nTransport: unicast;interleaved=4-5;SSRC=zz\n"],
        play: "Session: 7\nRTP-Info: url=track1;seq=1;rtptime=-1\n",
        uris: &["rtsp://cam/onvif1/track1"],
        aggregate: "rtsp://cam/onvif1",
        quirks: &[
            Quirk::MissingCseq,
            Quirk::OtherChannels,
            Quirk::OddSsrc,
            Quirk::OddRtpInfo,
            Quirk::Message,
        ],
    },
];

fn answer(head: &str, body: &str, line_end: &str) -> Act {
    let body = body.replace('\n', line_end);
    let length = match body.len() {
        0 => String::new(),
        length => format!("Content-Length: {length}{line_end}"),
    };
    let head = format!("RTSP/1.0 200 OK\n{head}").replace('\n', line_end);
    Act::Raw(format!("{head}{length}{line_end}{body}"))
}

#[test]
fn cameras_of_every_kind_are_played_and_what_they_do_is_told() {
    for kind in KINDS {
        for line_end in ["\r\n", "\n"] {
            let mut camera = Camera { media: false, ..Camera::default() }
                .once("DESCRIBE", answer(kind.describe, kind.sdp, line_end))
                .once("PLAY", answer(kind.play, "", line_end));
            for setup in kind.setup {
                camera.then("SETUP", answer(setup, "", line_end));
            }
            let mut options = options(kind.url);
            options.transport = backend_client::TransportChoice::Tcp;
            let mut rig = Rig::new(options, camera);
            rig.demand(Demand::Playing);
            rig.run(secs(1.0));
            assert_eq!(rig.client.state(), Phase::Playing, "{}: {}", kind.name, rig.dialogue());
            let setups: Vec<&str> = rig
                .requests
                .iter()
                .filter(|(_, request)| request.method == "SETUP")
                .map(|(_, request)| request.uri.as_str())
                .collect();
            assert_eq!(setups, kind.uris, "{}", kind.name);
            assert_eq!(rig.last("PLAY").uri, kind.aggregate, "{}", kind.name);
            let channel = if kind.quirks.contains(&Quirk::OtherChannels) { 4 } else { 0 };
            rig.bytes(&frame(channel, &rtp(1, 100)));
            assert_eq!(rig.packets(), 1, "{}", kind.name);
            for quirk in kind.quirks {
                assert!(rig.client.quirk_count(*quirk) > 0, "{}: {quirk}", kind.name);
            }
            let told = rig.count(|event| matches!(event, backend_client::Event::Tolerated { quirk, .. } if *quirk != Quirk::Message));
            let expected = kind.quirks.iter().filter(|quirk| **quirk != Quirk::Message).count();
            assert_eq!(told, expected, "{}", kind.name);
            assert_eq!(rig.losses(), [], "{}", kind.name);
        }
    }
}

#[test]
fn a_challenge_of_the_old_kind_with_a_blank_behind_the_number_is_answered() {
    let challenge = "RTSP/1.0 401 Unauthorized\r\nCSeq: {cseq} \r\nServer: Rtsp Server 1920*1080\r\n\
                     WWW-Authenticate: Digest realm=\"Surveillance Server\", nonce=\"98481030\"\r\n\r\n";
    let camera = Camera::default().once("DESCRIBE", Act::Raw(challenge.to_owned()));
    let mut rig = Rig::new(options("rtsp://u:p@cam/live"), camera);
    rig.until(Phase::Described);
    let shown = rig.last("DESCRIBE").header("Authorization").expect("credentials").to_owned();
    assert!(shown.contains("realm=\"Surveillance Server\"") && !shown.contains("qop"), "{shown}");
}

#[test]
fn a_description_of_60_kb_is_read() {
    let sdp = crate::camera::SDP.to_owned() + &"a=x-noise:0123456789\r\n".repeat(2800);
    assert!(sdp.len() > 60_000);
    let mut rig = Rig::new(options("rtsp://cam/live"), Camera { sdp, ..Camera::default() });
    rig.demand(Demand::Playing);
    rig.until(Phase::Playing);
    assert_eq!(rig.losses(), []);
}

#[test]
fn a_url_whose_user_information_is_odd_is_told() {
    let rig = Rig::new(options("rtsp://u:p/ss#x@cam/live"), Camera::default());
    assert_eq!(rig.warnings().len(), 1);
    assert!(rig.warnings()[0].contains("up to the last @ before cam"), "{:?}", rig.warnings());
    assert!(!rig.warnings()[0].contains("ss#x"));
    let rig = Rig::new(options("rtsp://u:p@cam/live"), Camera::default());
    assert!(rig.warnings().is_empty());
}
