//! Descriptions as cameras write them.

use sdp::{
    Direction, MAX_FORMATS, MAX_LINES, MAX_MEDIA, MAX_SDP_BYTES, MAX_TOLERATED, MediaKind,
    Presentation, SdpError, Tolerated,
};

fn read(body: &str) -> (Presentation, Vec<Tolerated>) {
    Presentation::parse(body.as_bytes()).expect("a description")
}

/// Kind, encoding and clock rate of every section.
fn tracks(presentation: &Presentation) -> Vec<(&str, &str, u32)> {
    presentation
        .media
        .iter()
        .map(|media| {
            let format = media.main_format();
            (media.kind.as_str(), &*format.encoding, format.clock_rate)
        })
        .collect()
}

const TALK: &str = include_str!("fixtures/onvif_talk.sdp");
const SENDONLY: &str = include_str!("fixtures/server_says_sendonly.sdp");
const ODD: &str = include_str!("fixtures/odd_media_words.sdp");
const WRONG: &str = include_str!("fixtures/everything_wrong.sdp");

#[test]
fn the_back_channel_is_told_from_what_is_received() {
    let (presentation, tolerated) = read(TALK);
    assert_eq!(tolerated, []);
    let back: Vec<bool> = presentation.media.iter().map(|m| m.is_back_channel()).collect();
    assert_eq!(back, [false, false, true, false]);
    assert_eq!(presentation.media[2].direction(), Direction::SendOnly);
    assert_eq!(presentation.media[0].direction(), Direction::RecvOnly);
}

#[test]
fn a_server_that_speaks_of_itself_has_no_back_channel() {
    let (presentation, _) = read(SENDONLY);
    assert!(!presentation.media[0].is_back_channel());
    let (presentation, _) = read(include_str!("fixtures/webrtc_like.sdp"));
    assert!(presentation.media.iter().all(|media| !media.is_back_channel()));
}

#[test]
fn a_picture_is_a_back_channel_only_where_directions_are_plainly_the_clients() {
    let unclear = "v=0\nm=video 0 RTP/AVP 26\na=sendonly\nm=audio 0 RTP/AVP 0\n";
    assert!(!read(unclear).0.media[0].is_back_channel());
    let plain = "v=0\nm=video 0 RTP/AVP 26\na=sendonly\nm=audio 0 RTP/AVP 0\na=recvonly\n";
    assert!(read(plain).0.media[0].is_back_channel());
    let sound = "v=0\nm=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 0\na=sendonly\n";
    assert!(read(sound).0.media[1].is_back_channel());
}

#[test]
fn a_direction_of_the_session_holds_for_sections_without_one() {
    let (presentation, _) =
        read("v=0\na=recvonly\nm=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 0\na=sendonly\n");
    assert_eq!(presentation.media[0].direction(), Direction::RecvOnly);
    assert!(presentation.media[1].is_back_channel());
    let (presentation, _) = read("v=0\na=sendonly\nm=video 0 RTP/AVP 26\nm=audio 0 RTP/AVP 0\n");
    assert!(presentation.media.iter().all(|media| !media.is_back_channel()));
}

#[test]
fn unheard_of_media_are_kept_with_their_attributes() {
    let (presentation, tolerated) = read(ODD);
    assert_eq!(tolerated, []);
    assert_eq!(
        tracks(&presentation),
        [
            ("video", "JPEG", 90_000),
            ("audio", "PCMU", 8_000),
            ("application", "vnd.onvif.metadata", 90_000),
            ("vana", "video.analysis", 90_000),
        ]
    );
    let video = &presentation.media[0];
    assert_eq!(video.bandwidth_as(), Some(1500));
    assert_eq!(video.attribute("X-Dimensions"), Some("1280,960"));
    assert!(video.has_attribute("x-bufferdelay") && !video.has_attribute("framerate"));
    assert_eq!(presentation.media[3].kind, MediaKind::Other("vana".into()));
    assert_eq!(presentation.session.name(), Some("IP camera Live streaming"));
    assert_eq!(presentation.session.control(), Some("*"));
    assert_eq!(presentation.session.range(), None);
}

#[test]
fn no_bad_line_and_no_bad_section_costs_the_others() {
    let (presentation, tolerated) = read(WRONG);
    assert_eq!(
        tracks(&presentation),
        [
            ("video", "unknown", 90_000),
            ("video", "MP2T", 90_000),
            ("", "unknown", 90_000),
            ("audio", "MPEG4-GENERIC", 16_000),
            ("audio", "PCMA", 8_000),
        ]
    );
    let rtp: Vec<bool> = presentation.media.iter().map(|media| media.is_rtp()).collect();
    assert_eq!(rtp, [true, false, false, true, true]);
    assert_eq!(presentation.session.origin().unwrap().username, "RTSP Session");
    assert_eq!(presentation.session.name(), None);
    assert_eq!(
        tolerated,
        [
            Tolerated::Connection { line: 3 },
            Tolerated::StrayLine { line: 4 },
            Tolerated::StrayLine { line: 14 },
            Tolerated::MissingVersion,
            Tolerated::UnknownPayloadType { line: 6, payload_type: 35 },
            Tolerated::EmptyParameter { line: 7, name: "config".into() },
            Tolerated::EmptyParameter { line: 7, name: "mode".into() },
            Tolerated::MissingControl { line: 6 },
            Tolerated::MediaLine { line: 10 },
            Tolerated::MediaPort { line: 12 },
            Tolerated::OtherPayloadType { line: 13, said: 96, payload_type: 97 },
            Tolerated::MediaPort { line: 16 },
        ]
    );
    for repair in &tolerated {
        assert!(!repair.to_string().is_empty());
    }
}

#[test]
fn every_line_is_written_back_where_it_was() {
    for body in [TALK, SENDONLY, ODD, include_str!("fixtures/webrtc_like.sdp")] {
        let (presentation, _) = read(body);
        assert_eq!(presentation.write(), body.replace('\n', "\r\n"));
    }
    let (presentation, _) = read(WRONG);
    assert_eq!(presentation.write().lines().count(), WRONG.lines().count());
}

#[test]
fn line_ends_may_be_anything() {
    let (expected, _) = read(TALK);
    for end in ["\r\n", "\r", "\r\r\n", "\n\n", " \r\n\r\n"] {
        let body = TALK.replace('\n', end);
        let (found, tolerated) = read(&body);
        assert_eq!(tracks(&found), tracks(&expected), "{end:?}");
        assert_eq!(found.media[1].control(), Some("audio"));
        assert_eq!(tolerated, []);
    }
    // No end on the last line, and the terminator of a C string behind it.
    let body = format!("{}\0", TALK.trim_end());
    assert_eq!(read(&body), (expected, vec![]));
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let body = b"v=0\ns=Ga\xdfe \x01\nm=video 0 RTP/AVP 26\n";
    let (presentation, tolerated) = Presentation::parse(body).unwrap();
    assert_eq!(presentation.session.name(), Some("Ga\u{fffd}e"));
    assert_eq!(tolerated, [Tolerated::NotUtf8, Tolerated::ControlCharacters]);
}

#[test]
fn profiles_with_and_without_lower_transports_are_rtp() {
    for proto in ["RTP/AVP", "rtp/avp", "RTP/AVPF", "RTP/AVP/TCP", "TCP/RTP/AVP", "RTP/AVP/UDP"] {
        let (presentation, _) = read(&format!("v=0\nm=video 0 {proto} 26\n"));
        let media = &presentation.media[0];
        assert!(media.is_rtp() && !media.is_encrypted(), "{proto}");
    }
    for proto in ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF"] {
        let (presentation, _) = read(&format!("v=0\nm=video 0 {proto} 26\n"));
        assert!(presentation.media[0].is_encrypted(), "{proto}");
    }
    for proto in ["UDP", "RAW/RAW/UDP", "RTP", "RTP/XYZ", "TCP/MSRP"] {
        let (presentation, _) = read(&format!("v=0\nm=video 0 {proto} 26\n"));
        assert!(!presentation.media[0].is_rtp(), "{proto}");
    }
}

#[test]
fn a_port_that_is_not_zero_is_read_and_means_nothing() {
    let (presentation, tolerated) = read("v=0\nm=video 49170/2 RTP/AVP 31\n");
    assert_eq!((presentation.media[0].port, tolerated), (49170, vec![]));
}

#[test]
fn only_what_holds_no_media_is_refused() {
    let refused = |body: &[u8]| Presentation::parse(body).unwrap_err();
    assert_eq!(refused(b""), SdpError::NotSdp);
    assert_eq!(refused(b"<html>404</html>\n"), SdpError::NotSdp);
    assert_eq!(refused(&[0xff; 100]), SdpError::NotSdp);
    assert_eq!(refused(b"v=0\ns=x\nt=0 0\n"), SdpError::NoMedia);
    assert_eq!(refused(b"v=0\nm=\nm=video\nm=video 0\n"), SdpError::NoMedia);
    let bytes = MAX_SDP_BYTES + 1;
    assert_eq!(refused(&vec![b'a'; bytes]), SdpError::TooLarge { bytes });
    assert!(Presentation::parse(b"m=video 0 RTP/AVP 26").is_ok());
}

#[test]
fn a_long_description_is_read_and_its_excess_left_out_aloud() {
    let mut long = String::from("v=0\nm=video 0 RTP/AVP 26\n");
    while long.len() < 60_000 {
        long.push_str("a=x-filler:0123456789\n");
    }
    let (presentation, tolerated) = read(&long);
    assert_eq!(tolerated, []);
    assert_eq!(presentation.media[0].lines.len(), long.lines().count() - 2);

    let sections = "m=audio 0 RTP/AVP 0\na=control:x\n".repeat(MAX_MEDIA + 3);
    let (presentation, tolerated) = read(&format!("v=0\n{sections}"));
    assert_eq!(presentation.media.len(), MAX_MEDIA);
    assert_eq!(tolerated, [Tolerated::TooManyMedia { line: 2 * MAX_MEDIA + 2 }]);

    let types: String = (0..128).map(|n| format!(" {n}")).collect();
    let (presentation, tolerated) = read(&format!("v=0\nm=audio 0 RTP/AVP{types}\n"));
    assert_eq!(presentation.media[0].formats.len(), MAX_FORMATS);
    assert!(tolerated.contains(&Tolerated::TooManyFormats { line: 2 }));

    let (presentation, tolerated) =
        read(&format!("v=0\nm=video 0 RTP/AVP 26\n{}", "a=\n".repeat(MAX_LINES)));
    assert_eq!(presentation.media[0].lines.len(), MAX_LINES - 2);
    assert_eq!(tolerated, [Tolerated::TooManyLines { line: MAX_LINES + 1 }]);

    let empty = "x=;".repeat(60_000);
    let (presentation, tolerated) =
        read(&format!("v=0\nm=video 0 RTP/AVP 26\na=fmtp:26 {empty}\n"));
    assert_eq!(presentation.media[0].main_format().parameter("x"), Some(""));
    assert_eq!(tolerated.last(), Some(&Tolerated::More { count: 60_000 - MAX_TOLERATED }));

    let (_, tolerated) = read(&format!("v=0\nm=video 0 RTP/AVP 26\n{}", "?\n".repeat(1000)));
    assert_eq!(tolerated.len(), MAX_TOLERATED + 1);
    assert_eq!(tolerated.last(), Some(&Tolerated::More { count: 1000 - MAX_TOLERATED }));
}

#[test]
fn controls_are_resolved_against_the_base_or_the_sessions_own_url() {
    let (presentation, _) = read(TALK);
    let urls = presentation.control_urls(Some("rtsp://192.0.2.81/s/"), None, "rtsp://192.0.2.81/s");
    assert_eq!(urls.aggregate, "rtsp://192.0.2.81/s/");
    assert_eq!(urls.media[1], "rtsp://192.0.2.81/s/audio");

    let (presentation, _) = read(SENDONLY);
    let urls = presentation.control_urls(None, None, "rtsp://camera/s");
    assert_eq!(urls.aggregate, "rtsp://camera/s");
    assert_eq!(urls.media, ["rtsp://192.0.2.7/video=video1"]);

    let (presentation, _) = read(
        "v=0\na=control:rtsp://h/all/\nm=video 0 RTP/AVP 26\na=control:1\nm=audio 0 RTP/AVP 0\n",
    );
    let urls = presentation.control_urls(Some("rtsp://base/"), None, "rtsp://camera/s");
    assert_eq!(urls.aggregate, "rtsp://h/all/");
    assert_eq!(urls.media, ["rtsp://h/all/1", "rtsp://h/all/"]);
}
