use super::*;
use crate::{Method, StatusCode};

/// What a stream consists of, cut into pieces of at most `piece` bytes.
fn decode_in_pieces(
    stream: &[u8],
    role: Role,
    piece: usize,
) -> (Vec<Frame>, Option<DecodeError>, Vec<Tolerated>) {
    let mut decoder = Decoder::new(Limits::default(), role);
    let (mut src, mut frames) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece.max(1)) {
        src.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut src) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error), decoder.take_tolerated()),
            }
        }
    }
    (frames, None, decoder.take_tolerated())
}

fn client(stream: &[u8]) -> (Vec<Frame>, Vec<Tolerated>) {
    let (frames, error, tolerated) = decode_in_pieces(stream, Role::Client, stream.len());
    assert_eq!(error, None);
    (frames, tolerated)
}

fn response(stream: &[u8]) -> (Response, Vec<Tolerated>) {
    let (mut frames, tolerated) = client(stream);
    match (frames.pop(), frames.pop()) {
        (Some(Frame::Response(response)), None) => (response, tolerated),
        other => panic!("not one response: {other:?}"),
    }
}

fn server_error(stream: &[u8]) -> DecodeError {
    let (_, error, _) = decode_in_pieces(stream, Role::Server, stream.len());
    error.expect("an error")
}

fn statuses(frames: &[Frame]) -> Vec<u16> {
    let status = |frame: &Frame| match frame {
        Frame::Response(response) => Some(response.status.0),
        _ => None,
    };
    frames.iter().filter_map(status).collect()
}

const OK: &[u8] = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n";
/// A receiver report on channel 1.
const RTCP: &[u8] = b"$\x01\0\x08\x80\xc9\0\x01abcd";

#[test]
fn a_description_comes_with_its_body_at_both_line_ends() {
    let message = b"RTSP/1.0 200 OK\r\n\
        CSeq: 3\r\n\
        Content-Base: rtsp://10.0.0.5:554/cam?channel=1&subtype=1/\r\n\
        Cache-Control: must-revalidate\r\n\
        Content-Length: 15\r\n\
        Content-Type: application/sdp\r\n\r\n\
        v=0\r\ns=Server\r\n\r\n";
    let (read, tolerated) = response(message);
    assert_eq!((read.status, &*read.reason, read.cseq()), (StatusCode::OK, "OK", Some(3)));
    assert_eq!(read.headers.len(), 5);
    assert_eq!(
        read.headers.get("content-base"),
        Some("rtsp://10.0.0.5:554/cam?channel=1&subtype=1/"),
    );
    assert_eq!(read.body, "v=0\r\ns=Server\r\n");
    assert_eq!(tolerated, [Tolerated::BlankLines]);

    let text = String::from_utf8_lossy(message).replace("\r\n", "\n").replace(": 15", ": 13");
    let (bare, tolerated) = response(text.as_bytes());
    assert_eq!(bare.body, "v=0\ns=Server\n");
    assert_eq!(tolerated, [Tolerated::BareLineFeeds, Tolerated::BlankLines]);
    assert!(bare.headers.iter().zip(read.headers.iter()).take(3).all(|(a, b)| a == b));
}

#[test]
fn headers_of_cameras_are_read_as_they_are_meant() {
    let (read, tolerated) = response(
        b"RTSP/1.0 401 Unauthorized\r\n\
        Cseq: 1 \r\n\
        Session:        708345999;timeout=60\r\n\
        Server : Rtsp Server 1920*1080\r\n\
        Date:\tWed\r\n\
        Empty:\r\n\
        WWW-Authenticate: Digest realm=\"Surveillance Server\",\r\n\
        \t nonce=\"98481030\"\r\n\r\n",
    );
    assert_eq!(read.cseq(), Some(1));
    assert_eq!(read.headers.get("Session"), Some("708345999;timeout=60"));
    assert_eq!(read.headers.get("Server"), Some("Rtsp Server 1920*1080"));
    assert_eq!(read.headers.get("Date"), Some("Wed"));
    assert_eq!(read.headers.get("Empty"), Some(""));
    assert_eq!(
        read.headers.get("WWW-Authenticate"),
        Some("Digest realm=\"Surveillance Server\", nonce=\"98481030\""),
    );
    assert_eq!(tolerated, [Tolerated::OddSpaces, Tolerated::FoldedHeader]);
}

#[test]
fn a_client_reads_past_lines_that_are_no_headers() {
    let (read, tolerated) = response(
        b"RTSP/1.0 200\r\n CSeq: 4\r\nthis is no header\r\n: nor this\r\nServer: Cam\xe9ra\r\nA: b\0c\r\n\r\n",
    );
    assert_eq!(read.cseq(), Some(4));
    assert_eq!(read.headers.get("Server"), Some("Cam\u{fffd}ra"));
    assert_eq!(read.headers.get("A"), Some("b c"));
    assert_eq!(read.headers.len(), 3);
    let expected =
        [Tolerated::NoReason, Tolerated::OddSpaces, Tolerated::NoHeader, Tolerated::NotText];
    assert_eq!(tolerated, expected);
}

#[test]
fn a_response_without_cseq_is_a_response() {
    let (read, tolerated) = response(b"RTSP/1.0 200 OK\r\nCSeq: x\r\n\r\n");
    assert_eq!((read.cseq(), tolerated), (None, vec![Tolerated::NoCseq]));
}

#[test]
fn a_sequence_number_has_32_bits() {
    let cseq = |text: &str| {
        let stream = format!("OPTIONS * RTSP/1.0\r\nCSeq: {text}\r\n\r\n");
        match decode_in_pieces(stream.as_bytes(), Role::Server, 4096).0.pop() {
            Some(Frame::Request(request)) => request.cseq(),
            other => panic!("no request: {other:?}"),
        }
    };
    assert_eq!(cseq("4294967295"), Some(u32::MAX));
    assert_eq!(cseq("4294967296"), None);
    assert_eq!(cseq("7 (again)"), Some(7));
    assert_eq!(cseq("-1"), None);
    assert_eq!(cseq(""), None);
}

#[test]
fn a_missing_content_length_ends_a_description_at_the_next_frame() {
    let head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: Application/SDP;x=y\r\n\r\n";
    let body = b"v=0\r\nReally?\r\n\r\nm=video\r\n";
    for next in [OK, RTCP, b"OPTIONS * RTSP/1.0\r\n\r\n"] {
        let (frames, _) = client(&[head.as_slice(), body, next].concat());
        assert_eq!(frames.len(), 2);
        assert!(matches!(&frames[0], Frame::Response(read) if read.body == body[..]));
    }
}

#[test]
fn a_missing_content_length_ends_a_description_when_nothing_comes() {
    let head = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=vi";
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    let mut src = BytesMut::from(head.as_slice());
    assert!(!decoder.awaits_silence());
    assert_eq!(decoder.decode(&mut src), Ok(None));
    assert!(decoder.awaits_silence());
    let frame = decoder.finish(&mut src);
    assert!(matches!(frame, Some(Frame::Response(read)) if read.body == "v=0\r\nm=vi"));
    assert!(!decoder.awaits_silence() && src.is_empty());
    assert_eq!(decoder.position(), head.len() as u64);
    assert_eq!(decoder.take_tolerated(), [Tolerated::NoContentLength]);
}

#[test]
fn only_a_description_can_be_long_without_saying_so() {
    let (frames, _) =
        client(&[OK, b"RTSP/1.0 404 No\r\nContent-Type: application/sdp\r\n\r\n"].concat());
    assert_eq!(statuses(&frames), [200, 404]);
}

#[test]
fn a_body_that_never_ends_is_given_as_far_as_it_came() {
    let stream = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 100\r\n\r\nv=0\r\n";
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    let mut src = BytesMut::from(stream.as_slice());
    assert_eq!(decoder.decode(&mut src), Ok(None));
    assert!(!decoder.awaits_silence());
    let frame = decoder.finish(&mut src);
    assert!(matches!(frame, Some(Frame::Response(read)) if read.body == "v=0\r\n"));
    assert_eq!(decoder.take_tolerated(), [Tolerated::ShortBody]);
    assert_eq!(decoder.finish(&mut src), None);
    src.extend_from_slice(OK);
    assert!(matches!(decoder.decode(&mut src), Ok(Some(Frame::Response(_)))));
}

#[test]
fn a_server_finishes_nothing() {
    let mut decoder = Decoder::new(Limits::default(), Role::Server);
    let mut src = BytesMut::from("SET_PARAMETER * RTSP/1.0\r\nContent-Length: 9\r\n\r\nab");
    assert_eq!(decoder.decode(&mut src), Ok(None));
    assert_eq!(decoder.finish(&mut src), None);
    src.extend_from_slice(b"cdefghi");
    assert!(
        matches!(decoder.decode(&mut src), Ok(Some(Frame::Request(r))) if r.body == "abcdefghi")
    );
}

#[test]
fn a_content_length_that_leaves_whole_lines_out_leaves_stray_bytes() {
    let sdp = "v=0\r\ns=PLAY it\r\na=$1\r\nPLAY is no request\r\nRTSP/1.0 is no response\r\n";
    let short = format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\n{sdp}");
    let (frames, tolerated) = client(&[short.as_bytes(), RTCP, OK].concat());
    assert_eq!(statuses(&frames), [200, 200]);
    assert_eq!(frames.len(), 3);
    let count = u32::try_from(sdp.len() - 5).unwrap();
    assert_eq!(tolerated, [Tolerated::StrayBytes { count }]);
}

#[test]
fn a_description_cut_in_the_midst_of_a_line_goes_on_wherever_the_stream_is_cut() {
    let sdp = "v=0\r\nm=video 0 RTP/AVP 96\r\na=control:trackID=1\r\n";
    for length in (1..sdp.len()).filter(|at| !sdp[..*at].ends_with('\n') && *at > 2) {
        let head = format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: {length}\r\n\r\n");
        let stream = [head.as_bytes(), sdp.as_bytes(), RTCP, OK].concat();
        for piece in [1, 7, 50, stream.len()] {
            let (frames, error, tolerated) = decode_in_pieces(&stream, Role::Client, piece);
            assert_eq!((error, frames.len()), (None, 3), "{length} {piece}");
            assert!(matches!(&frames[0], Frame::Response(response) if response.body == sdp));
            assert_eq!(tolerated, [Tolerated::CutDescription]);
        }
    }
}

#[test]
fn a_description_without_a_line_end_at_its_end_is_there_after_a_silence() {
    let stream = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 13\r\n\r\nv=0\r\nm=video ";
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    let mut src = BytesMut::from(stream.as_slice());
    assert_eq!(decoder.decode(&mut src), Ok(None));
    assert!(decoder.awaits_silence());
    let frame = decoder.finish(&mut src);
    assert!(matches!(frame, Some(Frame::Response(r)) if r.body == "v=0\r\nm=video "));
}

/// An interleaved packet of 200 bytes with `answer` written into it at `at`.
fn split_by(answer: &[u8], at: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..200).map(|n| if n == 0 { 0x80 } else { n }).collect();
    let (before, after) = payload.split_at(at);
    [b"$\0\0\xc8", before, answer, after].concat()
}

fn decode_expecting(stream: &[u8], piece: usize) -> (Vec<Frame>, Vec<Tolerated>) {
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    decoder.expect_response(true);
    let (mut src, mut frames) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece) {
        src.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut src).expect("a stream that can be read") {
            frames.push(frame);
        }
    }
    assert_eq!(decoder.position(), stream.len() as u64);
    (frames, decoder.take_tolerated())
}

#[test]
fn an_expected_response_in_the_midst_of_a_packet_is_taken_out_of_it() {
    let with_body = b"RTSP/1.0 200 OK\nCSeq: 7\nContent-Length: 4\n\na: b";
    for answer in [OK, with_body.as_slice()] {
        for at in [0, 1, 100, 191] {
            let stream = [RTCP, &split_by(answer, at), RTCP].concat();
            for piece in [1, 3, 64, stream.len()] {
                let (frames, tolerated) = decode_expecting(&stream, piece);
                let [_, Frame::Response(_), Frame::Interleaved { channel: 0, data }, last] =
                    frames.as_slice()
                else {
                    panic!("{frames:?}");
                };
                let whole = split_by(b"", 0);
                assert_eq!((data.as_ref(), last), (&whole[4..], &frames[0]));
                assert_eq!(tolerated, [Tolerated::SplitFrame]);
            }
        }
    }
}

#[test]
fn what_only_looks_like_a_response_stays_in_its_packet() {
    for text in ["RTSP/1.0 ", "RTSP/1.0 200 OK\r\n\r\n", "RTSP/1.0 abc\r\nCSeq: 1\r\n\r\n"] {
        let length = u8::try_from(text.len()).unwrap();
        let filler = [b"$\x01\x40\0".as_slice(), &[0; 0x4000]].concat();
        let stream = [b"$\0\0", [length].as_slice(), text.as_bytes(), &filler].concat();
        let (frames, tolerated) = decode_expecting(&stream, 1000);
        assert!(matches!(&frames[0], Frame::Interleaved { data, .. } if data == text), "{text}");
        assert_eq!((frames.len(), tolerated), (2, vec![]));
    }
}

#[test]
fn a_response_that_nobody_expects_is_not_looked_for() {
    let stream = split_by(OK, 100);
    let (frames, _) = client(&stream[..204]);
    assert!(matches!(&frames[0], Frame::Interleaved { data, .. } if data.len() == 200));
}

#[test]
fn a_content_length_that_is_none_is_passed_over_by_a_client() {
    for (lines, body, tolerated) in [
        ("Content-Length: abc", "", Tolerated::BadContentLength),
        ("Content-Length: -5", "", Tolerated::BadContentLength),
        ("Content-Length: 1\r\nContent-Length: 2", "xy", Tolerated::SeveralContentLengths),
    ] {
        let stream = format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\n{lines}\r\n\r\n{body}");
        let (read, seen) = response(stream.as_bytes());
        assert_eq!((&*read.body, seen), (body.as_bytes(), vec![tolerated]), "{lines}");
        let request = format!("OPTIONS * RTSP/1.0\r\n{lines}\r\n\r\n{body}");
        let error = server_error(request.as_bytes());
        assert_eq!((error.pos, error.kind), (0, DecodeErrorKind::BadContentLength), "{lines}");
    }
}

#[test]
fn the_same_content_length_twice_is_no_contradiction() {
    let stream = b"SET_PARAMETER * RTSP/1.0\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nxy";
    let (frames, error, _) = decode_in_pieces(stream, Role::Server, 4096);
    assert_eq!((frames.len(), error), (1, None));
}

#[test]
fn interleaved_data_comes_between_messages() {
    let stream = [RTCP, OK, b"$\x02\0\0", RTCP, OK].concat();
    let (frames, tolerated) = client(&stream);
    let channels: Vec<_> = frames
        .iter()
        .map(|frame| match frame {
            Frame::Interleaved { channel, data } => Some((*channel, data.len())),
            _ => None,
        })
        .collect();
    assert_eq!(channels, [Some((1, 8)), None, Some((2, 0)), Some((1, 8)), None]);
    assert_eq!(tolerated, []);
}

#[test]
fn bodies_and_interleaved_data_are_not_copied() {
    let stream = [RTCP, b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 5\r\n\r\nv=0\r\n"].concat();
    let mut src = BytesMut::from(stream.as_slice());
    let within = src.as_ptr_range();
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    let mut seen = 0;
    while let Ok(Some(frame)) = decoder.decode(&mut src) {
        let data = match frame {
            Frame::Interleaved { data, .. } => data,
            Frame::Response(Response { body, .. }) | Frame::Request(Request { body, .. }) => body,
        };
        assert!(within.contains(&data.as_ptr()));
        seen += data.len();
    }
    assert_eq!(seen, 8 + 5);
}

#[test]
fn a_client_finds_its_way_after_stray_bytes() {
    let junk = b"\x80\x60$\x07\xff\xffRTS PLAYER \r\n\x00$\x01\0";
    let (frames, tolerated) = client(&[RTCP, junk, RTCP, OK].concat());
    assert_eq!((frames.len(), statuses(&frames)), (3, vec![200]));
    let count = u32::try_from(junk.len()).unwrap();
    assert_eq!(tolerated, [Tolerated::StrayBytes { count }]);
}

#[test]
fn a_client_gives_up_after_too_many_stray_bytes() {
    let limits = Limits { stray_bytes: 10, ..Limits::default() };
    let mut decoder = Decoder::new(limits, Role::Client);
    let mut src = BytesMut::from(OK);
    src.extend_from_slice(b"0123456789");
    assert!(matches!(decoder.decode(&mut src), Ok(Some(_))));
    assert_eq!(decoder.decode(&mut src), Ok(None));
    src.extend_from_slice(b"x");
    let error = DecodeError::new(OK.len() as u64 + 10, DecodeErrorKind::StrayBytes { limit: 10 });
    assert_eq!(decoder.decode(&mut src), Err(error));
    assert_eq!(decoder.decode(&mut src), Err(error));
    assert_eq!(error.to_string(), "more than 10 bytes that belong to no message (byte 38)");
}

#[test]
fn stray_bytes_count_together_until_two_frames_follow_each_other() {
    let limits = Limits { stray_bytes: 10, ..Limits::default() };
    let run = |separator: &[u8]| {
        let mut decoder = Decoder::new(limits, Role::Client);
        let mut src =
            BytesMut::from([OK, b"0123456", separator, b"0123456", OK].concat().as_slice());
        let mut frames = 0;
        while decoder.decode(&mut src).ok()?.is_some() {
            frames += 1;
        }
        Some(frames)
    };
    assert_eq!(run(OK), None);
    assert_eq!(run(&[OK, OK].concat()), Some(4));
}

#[test]
fn a_web_server_is_told_from_a_camera() {
    let (read, tolerated) = response(b"HTTP/1.1 400 Bad Request\r\nCSeq: 1\r\n\r\n");
    assert_eq!((read.status.0, tolerated), (400, vec![Tolerated::HttpResponse]));
}

#[test]
fn a_client_gets_requests_too() {
    let stream = b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n\
        ANNOUNCE rtsp://h/a RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 3\r\n\r\nv=0";
    let (frames, _) = client(&[stream.as_slice(), OK].concat());
    let methods: Vec<_> = frames
        .iter()
        .filter_map(|frame| match frame {
            Frame::Request(request) => Some((request.method.clone(), request.body.len())),
            _ => None,
        })
        .collect();
    assert_eq!(methods, [(Method::Options, 0), (Method::Announce, 3)]);
}

#[test]
fn a_server_reads_pipelined_requests_and_receiver_reports() {
    let stream = b"\r\n\n OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n\
        \r\nSETUP rtsp://h/a/track1 RTSP/1.0\nCSeq: 2\n\n$\x01\0\x02ab\
        GET_PARAMETER /a RTSP/1.0\r\nCSeq: 3\r\nContent-Length: 3\r\n\r\nx\r\nTEARDOWN /a RTSP/1.0\r\n\r\n";
    let (frames, error, tolerated) = decode_in_pieces(stream, Role::Server, stream.len());
    assert_eq!((frames.len(), error), (5, None));
    assert_eq!(tolerated, [Tolerated::BlankLines, Tolerated::BareLineFeeds]);
    assert!(matches!(&frames[3], Frame::Request(r) if r.body == "x\r\n"));
    assert!(matches!(&frames[4], Frame::Request(r) if r.cseq().is_none()));
}

#[test]
fn a_server_refuses_what_is_not_rtsp_where_it_begins() {
    let after = |start: &[u8]| server_error(&[b"OPTIONS * RTSP/1.0\r\n\r\n", start].concat());
    let at = |pos: u64, kind| DecodeError::new(22 + pos, kind);
    assert_eq!(after(&[0x16, 0x03, 0x01]), at(0, DecodeErrorKind::NotRtsp));
    assert_eq!(after(b"\r\n\x80"), at(2, DecodeErrorKind::NotRtsp));
    assert_eq!(after(b"GET / HTTP/1.1\r\n"), at(0, DecodeErrorKind::BadStartLine));
    assert_eq!(after(b"OPTIONS *\r\n"), at(0, DecodeErrorKind::BadStartLine));
    let line = "OPTIONS * RTSP/1.0\r\n";
    for bad in ["no header\r\n", "a b: c\r\n", ": c\r\n", "a: b\0c\r\n", " folded: x\r\n"] {
        let error = after(format!("{line}{bad}\r\n").as_bytes());
        assert_eq!(error, at(20, DecodeErrorKind::BadHeader), "{bad}");
    }
}

#[test]
fn every_limit_is_kept() {
    let limits = Limits { header_bytes: 64, headers: 2, body_bytes: 8, stray_bytes: 4 };
    let error = |stream: &[u8], role| {
        let mut decoder = Decoder::new(limits, role);
        let mut src = BytesMut::from(stream);
        loop {
            match decoder.decode(&mut src) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some((error.pos, error.kind)),
            }
        }
    };
    let start = b"OPTIONS * RTSP/1.0\r\n".as_slice();
    let request = |rest: &[u8]| [start, rest].concat();
    for role in [Role::Server, Role::Client] {
        let long = request(&[b"a:".as_slice(), &[b'b'; 42]].concat());
        assert_eq!(error(&long, role), Some((64, DecodeErrorKind::HeadTooLarge { limit: 64 })));
        let fits = request(&[b"a:".as_slice(), &[b'b'; 38], b"\r\n\r\n"].concat());
        assert_eq!((fits.len(), error(&fits, role)), (64, None));
        let many = request(b"a:b\r\nc:d\r\ne:f\r\n\r\n");
        assert_eq!(error(&many, role), Some((30, DecodeErrorKind::TooManyHeaders { limit: 2 })));
        let body = request(b"Content-Length: 9\r\n\r\n");
        let kind = DecodeErrorKind::BodyTooLarge { limit: 8 };
        assert_eq!(error(&body, role), Some((body.len() as u64, kind)));
        assert_eq!(kind.status(), StatusCode::REQUEST_ENTITY_TOO_LARGE);
        let huge = request(b"Content-Length: 99999999999999999999\r\n\r\n");
        assert_eq!(error(&huge, role), Some((huge.len() as u64, kind)));
    }
    let untold = b"RTSP/1.0 200 OK\r\nContent-Type: application/sdp\r\n\r\nv=0\r\ns=1\r\n";
    let head = untold.len() as u64 - 10;
    let kind = DecodeErrorKind::BodyTooLarge { limit: 8 };
    assert_eq!(error(untold, Role::Client), Some((head + 8, kind)));
}

#[test]
fn what_was_looked_at_is_not_looked_at_again() {
    let mut decoder = Decoder::new(Limits::default(), Role::Server);
    let mut src = BytesMut::new();
    let head = [b"OPTIONS * RTSP/1.0\r\nA: ".as_slice(), &[b'b'; 5000]].concat();
    for (count, byte) in (1..).zip(&head) {
        src.extend_from_slice(&[*byte]);
        assert_eq!(decoder.decode(&mut src), Ok(None));
        assert!(matches!(decoder.state, State::Head(scan) if scan.looked == count));
    }
}

#[test]
fn what_was_made_up_for_is_told_once() {
    let mut decoder = Decoder::new(Limits::default(), Role::Client);
    let mut src =
        BytesMut::from("\r\nRTSP/1.0 200\r\nCSeq: 1\r\n\r\n\r\nRTSP/1.0 200\r\nCSeq: 1\r\n\r\n");
    assert!(matches!(decoder.decode(&mut src), Ok(Some(_))));
    assert!(matches!(decoder.decode(&mut src), Ok(Some(_))));
    assert_eq!(decoder.take_tolerated(), [Tolerated::BlankLines, Tolerated::NoReason]);
    assert_eq!(decoder.take_tolerated(), []);
}
