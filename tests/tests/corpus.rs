//! What real cameras and servers answer: every sample is understood, and the tracks found in it are
//! those that are there.
//!
//! The samples are not part of the repository. `RTSP_CORPUS` names their folder; without it they are
//! looked for beside the repository; where they are absent the tests say so and pass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use rtsp_proto::auth::parse_challenges;
use rtsp_proto::rtp_info::RtpInfo;
use rtsp_proto::session::SessionHeader;
use rtsp_proto::transport::parse_transports;
use rtsp_proto::{Decoder, Frame, Limits, Response, Role};
use sdp::Presentation;

/// The folder, if it is there.
fn corpus() -> Option<PathBuf> {
    let folder = match std::env::var_os("RTSP_CORPUS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
    };
    if folder.is_dir() {
        return Some(folder);
    }
    // Past the test's own capture, which would swallow it.
    let line = format!("SKIPPED: no samples of real cameras at {}\n", folder.display());
    let _unseen = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    None
}

/// The files of a folder by name, which must be just these.
fn samples(folder: &Path, expected: &[&str]) -> Vec<(String, Vec<u8>)> {
    let found: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .collect();
    let known: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, known, "samples and table differ");
    let read = |name: String| {
        let bytes = std::fs::read(folder.join(&name)).expect("a sample");
        (name, bytes)
    };
    found.into_iter().map(read).collect()
}

/// The tracks of a description, one line each: kind, formats, control, and `back-channel`.
fn tracks(name: &str, body: &[u8]) -> Vec<String> {
    let (presentation, _) =
        Presentation::parse(body).unwrap_or_else(|error| panic!("{name}: {error}"));
    let again = Presentation::parse(presentation.write().as_bytes());
    assert_eq!(again.map(|(p, _)| p), Ok(presentation.clone()), "{name}: written and read again");
    let describe = |media: &sdp::Media| {
        let formats: Vec<String> = media
            .formats
            .iter()
            .map(|format| {
                let channels = format.channels.map_or(String::new(), |n| format!("/{n}"));
                format!(
                    "{} {}/{}{channels}",
                    format.payload_type, format.encoding, format.clock_rate
                )
            })
            .collect();
        let back = if media.is_back_channel() { " back-channel" } else { "" };
        let control = media.control().unwrap_or("-");
        format!("{} [{}] {control}{back}", media.kind.as_str(), formats.join(", "))
    };
    presentation.media.iter().map(describe).collect()
}

/// Every description and its tracks.
const DESCRIPTIONS: &[(&str, &[&str])] = &[
    (
        "anpviz_sdp.txt",
        &["video [96 H264/90000] trackID=1", "audio [0 MPEG4-GENERIC/16000/2] trackID=2"],
    ),
    (
        "camera_bugsdp3.sdp",
        &[
            "video [96 H264/90000] track1",
            "audio [97 MPEG4-GENERIC/16000] track2",
            "audio [8 PCMA/8000] track3 back-channel",
        ],
    ),
    (
        "camera_bugsdp6.sdp",
        &[
            "video [26 JPEG/90000] track1",
            "audio [0 PCMU/8000/1] track2",
            "application [107 vnd.onvif.metadata/90000] track4",
            "vana [108 video.analysis/90000] track5",
        ],
    ),
    (
        "camera_hikvisionpcm.sdp",
        &[
            "video [96 H264/90000] rtsp://192.168.1.12:554/Streaming/channels/101/trackID=1",
            "audio [11 PCM/48000] rtsp://192.168.1.12:554/Streaming/channels/101/trackID=2",
        ],
    ),
    (
        "go_issue_mediamtx_5074_fake_back_channel.sdp",
        // Alone and said to be for sending: that is what the server does.
        &["video [96 H264/90000] rtsp://*****/video=video1"],
    ),
    (
        "go_issue_mediamtx_5074_real_back_channel.sdp",
        &[
            "video [96 H264/90000] video",
            "audio [0 PCMU/8000] audio",
            "audio [0 PCMU/8000] backchannel back-channel",
            "application [98 vnd.onvif.metadata/90000] meta",
        ],
    ),
    ("go_key_mgmt_in_media.sdp", &["video [96 H264/90000] trackID=0"]),
    (
        "go_multiple_formats_for_each_media.sdp",
        &[
            "audio [111 opus/48000/2, 103 ISAC/16000, 104 ISAC/32000, 9 G722/8000, \
             102 ILBC/8000, 0 PCMU/8000, 8 PCMA/8000, 106 CN/32000, 105 CN/16000, 13 CN/8000, \
             110 telephone-event/48000, 112 telephone-event/32000, 113 telephone-event/16000, \
             126 telephone-event/8000] -",
            "video [96 VP8/90000, 97 rtx/90000, 98 VP9/90000, 99 rtx/90000, 100 H264/90000, \
             101 rtx/90000, 127 red/90000, 124 rtx/90000, 125 ulpfec/90000] -",
        ],
    ),
    ("go_multiple_formats_for_each_media_2.sdp", &["video [96 H264/90000, 98 MetaData/90000] -"]),
    (
        "go_ulpfec_rfc5109.sdp",
        &[
            "audio [0 PCMU/8000/1] -",
            "application [100 ulpfec/8000] -",
            "video [31 H261/90000] -",
            "application [101 ulpfec/8000] -",
        ],
    ),
    (
        "ubiquiti_sdp.txt",
        &[
            "audio [96 mpeg4-generic/48000/1] trackID=0",
            "audio [96 opus/48000/2] trackID=1",
            "video [97 H264/90000] trackID=2",
        ],
    ),
];

#[test]
fn every_description_parses_and_has_its_tracks() {
    let Some(folder) = corpus() else { return };
    let names: Vec<&str> = DESCRIPTIONS.iter().map(|(name, _)| *name).collect();
    let samples = samples(&folder.join("sdp"), &names);
    for (name, expected) in DESCRIPTIONS {
        let (_, body) = samples.iter().find(|(n, _)| n == name).expect("listed above");
        assert_eq!(tracks(name, body), *expected, "{name}");
        // As a camera sends it, with either line end.
        let text = String::from_utf8_lossy(body).replace("\r\n", "\n");
        assert_eq!(tracks(name, text.as_bytes()), *expected, "{name} with LF");
        let text = text.replace('\n', "\r\n");
        assert_eq!(tracks(name, text.as_bytes()), *expected, "{name} with CRLF");
    }
}

/// What is to be found in an answer.
enum Found {
    /// A description with these tracks.
    Tracks(&'static [&'static str]),
    /// Interleaved channels, session and its timeout.
    SetUp((u8, u8), &'static str, Option<u32>),
    /// Session and the entries of RTP-Info: URL, sequence number and timestamp.
    Playing(&'static str, &'static [(&'static str, Option<u16>, Option<u32>)]),
    /// A status with so many challenges.
    Refused(u16, usize),
}

use Found::{Playing, Refused, SetUp, Tracks};

const ANSWERS: &[(&str, Found)] = &[
    (
        "bad_rtptime.txt",
        Playing(
            "551045787",
            &[
                ("trackID=1", Some(1), None),
                (
                    "rtsp://wowzaec2demo.streamlock.net/vod/mp4:BigBuckBunny_115k.mov/trackID=2",
                    Some(1),
                    None,
                ),
            ],
        ),
    ),
    (
        "bunny_describe.txt",
        Tracks(&["audio [96 mpeg4-generic/12000/2] trackID=1", "video [97 H264/90000] trackID=2"]),
    ),
    (
        "bunny_play.txt",
        Playing(
            "551045787",
            &[
                ("trackID=1", Some(1), Some(0)),
                (
                    "rtsp://wowzaec2demo.streamlock.net/vod/mp4:BigBuckBunny_115k.mov/trackID=2",
                    Some(1),
                    Some(0),
                ),
            ],
        ),
    ),
    ("bunny_setup.txt", SetUp((0, 1), "1642021126", Some(60))),
    (
        "dahua_describe_h264_aac_onvif.txt",
        Tracks(&[
            "video [96 H264/90000] trackID=0",
            "audio [97 MPEG4-GENERIC/48000] trackID=1",
            "application [107 vnd.onvif.metadata/90000] trackID=4",
        ]),
    ),
    (
        "dahua_describe_h265_pcma.txt",
        Tracks(&["video [98 H265/90000] trackID=0", "audio [8 PCMA/8000] trackID=1"]),
    ),
    ("gw_main_setup_audio.txt", SetUp((2, 3), "9a90de54", Some(60))),
    ("gw_main_setup_video.txt", SetUp((0, 1), "9a90de54", Some(60))),
    ("gw_sub_describe.txt", Tracks(&["video [96 H264/90000] video"])),
    (
        "gw_sub_play.txt",
        Playing(
            "9b0d0e54",
            &[("rtsp://192.168.1.110:5049/H264/video", Some(273), Some(1_621_810_809))],
        ),
    ),
    ("h264dvr_play.txt", Playing("231970", &[])),
    (
        "hikvision_play.txt",
        Playing(
            "708345999",
            &[(
                "rtsp://192.168.5.106:554/Streaming/Channels/101/trackID=1?transportmode=unicast&profile=Profile_1",
                Some(24_104),
                Some(1_270_711_678),
            )],
        ),
    ),
    ("hikvision_setup.txt", SetUp((0, 1), "708345999", Some(60))),
    (
        "laureii_play.txt",
        Playing("1234567890", &[("rtsp://192.168.1.19:554/0/main/trackID=0", Some(0), Some(0))]),
    ),
    ("longse_unauthorized.txt", Refused(401, 1)),
    (
        "missing_content_type_describe.txt",
        Tracks(&[
            "video [96 H264/90000] streamid=0",
            "audio [97 MPEG4-GENERIC/48000/2] streamid=1",
        ]),
    ),
    (
        "reolink_describe.txt",
        Tracks(&["video [96 H264/90000] trackID=1", "audio [97 MPEG4-GENERIC/16000] trackID=2"]),
    ),
    ("reolink_setup.txt", SetUp((0, 1), "F8F8E425", None)),
    (
        "vstarcam_describe.txt",
        Tracks(&["video [96 H264/90000] track0", "audio [8 PCMA/8000/1] track1"]),
    ),
];

/// Reads one answer; the connection ends behind it, for what its length says may not be true of a
/// sample whose line ends were changed.
fn answer(name: &str, bytes: &[u8]) -> Response {
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    let mut stream = BytesMut::from(bytes);
    let frame = decoder.decode(&mut stream).unwrap_or_else(|error| panic!("{name}: {error}"));
    match frame.or_else(|| decoder.finish(&mut stream)) {
        Some(Frame::Response(response)) => response,
        other => panic!("{name}: {other:?}"),
    }
}

fn check(name: &str, response: &Response, expected: &Found) {
    let header = |wanted: &str| response.headers.get(wanted).unwrap_or_default();
    assert!(response.cseq().is_some(), "{name}: no CSeq");
    match expected {
        Refused(status, challenges) => {
            assert_eq!(response.status.0, *status, "{name}");
            let found = parse_challenges(response.headers.get_all("WWW-Authenticate"));
            assert_eq!(found.len(), *challenges, "{name}: {found:?}");
            return;
        }
        _ => assert!(response.status.is_success(), "{name}: {:?}", response.status),
    }
    match expected {
        Tracks(expected) => assert_eq!(tracks(name, &response.body), *expected, "{name}"),
        SetUp(channels, session, timeout) => {
            let transports = parse_transports(header("Transport"));
            let found = transports.first().and_then(|transport| transport.interleaved);
            assert_eq!(found, Some(*channels), "{name}");
            let found = SessionHeader::parse(header("Session")).map(|s| (s.id, s.timeout));
            assert_eq!(found, Some(((*session).to_owned(), *timeout)), "{name}");
        }
        Playing(session, expected) => {
            let found = SessionHeader::parse(header("Session")).map(|session| session.id);
            assert_eq!(found.as_deref(), Some(*session), "{name}");
            let found = RtpInfo::parse(header("RTP-Info"));
            let found: Vec<_> =
                found.iter().map(|info| (&*info.url, info.seq, info.rtptime)).collect();
            assert_eq!(found, *expected, "{name}");
        }
        Refused(..) => {}
    }
}

#[test]
fn every_answer_parses_and_says_what_it_says() {
    let Some(folder) = corpus() else { return };
    let names: Vec<&str> = ANSWERS.iter().map(|(name, _)| *name).collect();
    let samples = samples(&folder.join("rtsp"), &names);
    for (name, expected) in ANSWERS {
        let (_, bytes) = samples.iter().find(|(n, _)| n == name).expect("listed above");
        let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
        check(name, &answer(name, text.replace('\n', "\r\n").as_bytes()), expected);
        check(&format!("{name} with LF"), &answer(name, text.as_bytes()), expected);
    }
}
