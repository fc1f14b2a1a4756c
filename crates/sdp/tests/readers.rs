//! What readers are offered.

use sdp::{Media, Presentation, ReaderView};

fn read(body: &str) -> Presentation {
    Presentation::parse(body.as_bytes()).expect("a description").0
}

fn offer(body: &str, live: bool, allowed: &dyn Fn(usize, &Media) -> bool) -> String {
    let view = ReaderView { origin_session_id: 77, origin_version: 3, name: None, allowed, live };
    let offered = read(body).for_readers(&view);
    let text = offered.write();
    if !offered.media.is_empty() {
        assert_eq!(read(&text), offered, "a reader sees what was meant");
    }
    text
}

fn all(_: usize, _: &Media) -> bool {
    true
}

const TALK: &str = include_str!("fixtures/onvif_talk.sdp");

#[test]
fn a_reader_gets_the_backends_description_without_the_backends_session() {
    let expected = "v=0\r\n\
        o=- 77 3 IN IP4 0.0.0.0\r\n\
        s=Streamed by a machine vision camera\r\n\
        i=session information\r\n\
        c=IN IP4 0.0.0.0\r\n\
        t=0 0\r\n\
        a=type:broadcast\r\n\
        a=control:*\r\n\
        a=range:npt=now-\r\n\
        m=video 0 RTP/AVP 96\r\n\
        a=sendonly\r\n\
        a=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 packetization-mode=1; profile-level-id=4D4028; sprop-parameter-sets=Z01AKI2N,aO44gA==;\r\n\
        a=cliprect:0,0,1080,1920\r\n\
        a=control:track1\r\n";
    assert_eq!(offer(include_str!("fixtures/server_says_sendonly.sdp"), true, &all), expected);
}

#[test]
fn back_channels_are_left_out_and_the_others_keep_their_numbers() {
    let text = offer(TALK, true, &all);
    let controls: Vec<&str> = text.lines().filter(|line| line.contains("a=control")).collect();
    assert_eq!(
        controls,
        ["a=control:*", "a=control:track1", "a=control:track2", "a=control:track4"]
    );
    assert!(!text.contains("sendonly"));
}

#[test]
fn what_is_not_allowed_or_not_rtp_is_left_out() {
    let text = offer(TALK, true, &|index, _| index == 1);
    assert_eq!(text.matches("m=").count(), 1);
    assert!(text.contains("m=audio 0 RTP/AVP 0\r\n") && text.contains("a=control:track2\r\n"));

    let asked = std::cell::RefCell::new(Vec::new());
    let text = offer(include_str!("fixtures/everything_wrong.sdp"), true, &|index, _| {
        asked.borrow_mut().push(index);
        true
    });
    assert_eq!(asked.into_inner(), [0, 3, 4]);
    let media: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(media, ["m=video 0 RTP/AVPF 35", "m=audio 0 RTP/AVP 97", "m=audio 0 RTP/AVP 8"]);
    assert!(!text.contains("banner") && !text.contains("A="), "stray lines are not passed on");
    assert!(text.contains("a=rtpmap:96 MPEG4-GENERIC/16000\r\n"));
}

#[test]
fn nothing_of_the_backends_addresses_and_keys_remains() {
    let body = include_str!("fixtures/webrtc_like.sdp");
    let text = offer(body, true, &all);
    for secret in [
        "203.0.113.4",
        "127.0.0.1",
        "415812347",
        "inline",
        "mikey",
        "k=",
        "ICE-",
        "ice-",
        "ssrc",
        "rtcp:",
        "rtcp-mux",
        "candidate",
        "fingerprint",
        "source-filter",
        "SAVP",
        " 9 ",
    ] {
        assert!(body.contains(secret), "{secret} is in the fixture");
        assert!(!text.contains(secret), "{secret} remains in {text}");
    }
    for kept in [
        "m=audio 0 RTP/AVPF 111 0",
        "m=video 0 RTP/AVPF 100 101",
        "b=AS:2500",
        "a=rtpmap:101 rtx/90000",
        "a=fmtp:101 apt=100",
        "a=rtcp-fb:100 nack pli",
        "a=mid:video",
        "a=group:BUNDLE audio video",
        "s=-",
    ] {
        assert!(text.contains(&format!("{kept}\r\n")), "{kept} is missing in {text}");
    }
}

#[test]
fn every_other_attribute_is_kept_in_order() {
    let attributes = |text: &str| -> Vec<String> {
        let skipped = ["a=control", "a=range"];
        text.lines()
            .filter(|line| line.starts_with("a=") && !skipped.iter().any(|s| line.starts_with(s)))
            .map(str::to_owned)
            .collect()
    };
    let body = include_str!("fixtures/odd_media_words.sdp");
    assert_eq!(attributes(&offer(body, true, &all)), attributes(body));
}

#[test]
fn ranges_are_those_of_a_live_source_only_where_it_is_live() {
    let body = "v=0\na=range:npt=0-60\nm=video 0 RTP/AVP 26\na=range:npt=0-59\n";
    let live = offer(body, true, &all);
    assert_eq!(live.matches("a=range:npt=now-\r\n").count(), 2);
    assert_eq!(live.matches("a=range").count(), 2);
    let recorded = offer(body, false, &all);
    assert!(recorded.contains("a=range:npt=0-60\r\n") && recorded.contains("a=range:npt=0-59\r\n"));
    let silent = "v=0\nm=video 0 RTP/AVP 26\n";
    assert!(offer(silent, true, &all).contains("a=range:npt=now-\r\n"));
    assert!(!offer(silent, false, &all).contains("a=range"));
}

#[test]
fn lines_are_put_into_the_order_that_strict_readers_want() {
    let body = "v=0\nt=0 0\na=tool:x\ns=late\nb=AS:9\ne=NONE\nm=video 0 RTP/AVP 26\na=x\nb=AS:5\ni=title\n";
    let text = offer(body, false, &all);
    let letters: String = text.lines().filter_map(|line| line.chars().next()).collect();
    assert_eq!(letters, "vosecbtaamibaa");
}

#[test]
fn a_name_of_ours_takes_the_place_of_the_backends() {
    let allowed = &all;
    let name = Some("front\r\nm=audio 0 RTP/AVP 0");
    let view = ReaderView { origin_session_id: 1, origin_version: 1, name, allowed, live: true };
    let text = read(TALK).for_readers(&view).write();
    assert!(text.contains("s=frontm=audio 0 RTP/AVP 0\r\n"), "and cannot add a line");
    assert!(!text.contains("s=Gate"));
}
