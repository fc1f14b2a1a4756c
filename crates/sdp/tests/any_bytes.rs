//! Whatever comes in.

use proptest::prelude::*;
use sdp::{Presentation, ReaderView};

/// Lines of a description, right and wrong.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ \t]?[a-zA-Z]?=?[ -~]{0,20}",
        1 => "\\PC{0,8}",
        2 => "m=(video|audio|text|x|) ?[-0-9/]{0,5} ?(RTP/S?AVPF?(/TCP)?|UDP|) [0-9 a*]{0,12}",
        2 => "a=rtpmap:? ?[0-9]{0,3} ?[A-Za-z0-9]{0,5}/?[0-9]{0,6}/?[0-9]{0,2}",
        2 => "a=fmtp:? ?[0-9]{0,3} ?([a-c]{0,2}=?[0-9=,\"]{0,4};? ?){0,3}",
        2 => "a=(control|range|sendonly|recvonly|sendrecv|inactive|ssrc|ice-x|key-mgmt):?[ -~]{0,6}",
        1 => "[vostcb]=[ -~]{0,16}",
    ]
}

fn body() -> impl Strategy<Value = String> {
    let end = proptest::sample::select(&["\n", "\r\n", "\r", "\n\n", "\0\n", "\u{feff}\n"][..]);
    let lines = proptest::collection::vec((line(), end), 0..24);
    lines.prop_map(|lines| lines.into_iter().map(|(line, end)| line + end).collect())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Presentation::parse(&bytes);
        let mut described = b"v=0\nm=video 0 RTP/AVP 96\n".to_vec();
        described.extend(bytes);
        prop_assert!(Presentation::parse(&described).is_ok());
    }

    #[test]
    fn what_is_written_is_read_as_the_same(body in body()) {
        if let Ok((presentation, _)) = Presentation::parse(body.as_bytes()) {
            let (again, _) = Presentation::parse(presentation.write().as_bytes()).unwrap();
            prop_assert_eq!(again, presentation);
        }
    }

    #[test]
    fn readers_read_what_they_are_offered(body in body(), live: bool, mask: u32) {
        let Ok((presentation, _)) = Presentation::parse(body.as_bytes()) else { return Ok(()) };
        let view = ReaderView {
            origin_session_id: 1,
            origin_version: 1,
            name: None,
            allowed: &|index, _| mask >> index & 1 == 1,
            live,
        };
        let offered = presentation.for_readers(&view);
        for media in &offered.media {
            prop_assert!(media.is_rtp() && !media.is_back_channel() && media.port == 0);
            let index = media.control().and_then(sdp::parse_track_control);
            let original = presentation.media.get(index.unwrap()).unwrap();
            prop_assert_eq!(&media.formats, &original.formats);
        }
        if !offered.media.is_empty() {
            let (again, _) = Presentation::parse(offered.write().as_bytes()).unwrap();
            prop_assert_eq!(again, offered);
        }
    }
}
