//! RTSP byte streams, header values and URLs.

use bytes::BytesMut;
use rtsp_proto::auth::{self, AuthVerdict, ServerAuth};
use rtsp_proto::range::Range;
use rtsp_proto::rtp_info::RtpInfo;
use rtsp_proto::session::SessionHeader;
use rtsp_proto::transport::parse_transports;
use rtsp_proto::{
    Credentials, DecodeError, Decoder, Frame, Headers, Limits, Method, Request, Role, RtspUrl,
    Secret, redact,
};

use crate::clock::origin;

/// So small that inputs reach them.
const FEW: Limits = Limits { header_bytes: 96, headers: 4, body_bytes: 24, stray_bytes: 40 };

/// What a reader sends us.
pub(crate) fn requests(input: &[u8]) {
    stream(input, Role::Server);
}

/// What a backend sends us.
pub(crate) fn responses(input: &[u8]) {
    stream(input, Role::Client);
}

/// The first byte says how the rest is cut, and which limits there are.
fn stream(input: &[u8], role: Role) {
    let Some((&how, stream)) = input.split_first() else { return };
    let limits = if how & 0x80 == 0 { Limits::default() } else { FEW };
    let whole = decode(stream, usize::MAX, limits, role);
    let pieces = decode(stream, usize::from(how & 0x3f).max(1), limits, role);
    assert_eq!(pieces, whole, "cuts matter");
    for frame in &whole.0 {
        let encoded = match frame {
            Frame::Request(request) => {
                let uri = &request.uri;
                let verdict = users().check(origin(), &request.method, uri, Some(uri));
                assert!(!matches!(verdict, AuthVerdict::Ok { .. }));
                read_headers(&request.headers);
                request.encode()
            }
            Frame::Response(response) => {
                read_headers(&response.headers);
                response.encode()
            }
            Frame::Interleaved { data, .. } => {
                assert!(data.len() <= usize::from(u16::MAX));
                continue;
            }
        };
        let _ = redact(&encoded);
        // One frame and nothing else; a body without a length is ended by its peer.
        let mut decoder = Decoder::new(generous(), role);
        let mut src = BytesMut::from(&encoded[..]);
        let again =
            decoder.decode(&mut src).map(|frame| frame.or_else(|| decoder.finish(&mut src)));
        assert!(
            matches!(again, Ok(Some(_))) && src.is_empty(),
            "{frame:?} as {:?} is {again:?} and {src:?}",
            encoded.escape_ascii().to_string()
        );
    }
    // While an answer is awaited it is looked for in the midst of packets.
    let mut decoder = Decoder::new(limits, role);
    let mut src = BytesMut::new();
    for (index, piece) in stream.chunks(usize::from(how & 0x3f).max(1)).enumerate() {
        decoder.expect_response(!index.is_multiple_of(3));
        src.extend_from_slice(piece);
        while let Ok(Some(_)) = decoder.decode(&mut src) {}
    }
    let _ = (decoder.awaits_silence(), decoder.take_tolerated());
    assert_eq!(decoder.position() + src.len() as u64, stream.len() as u64, "bytes are lost");
    let _ = decoder.finish(&mut src);
}

/// What is encoded may be longer than what was read: blanks and names are written in full.
fn generous() -> Limits {
    let Limits { header_bytes, headers, body_bytes, stray_bytes } = Limits::default();
    Limits { header_bytes: 2 * header_bytes, headers: headers + 2, body_bytes, stray_bytes }
}

type Decoded = (Vec<Frame>, Option<DecodeError>, usize);

/// All frames of a stream that comes in such pieces, why it ended, and what is left.
fn decode(stream: &[u8], cut: usize, limits: Limits, role: Role) -> Decoded {
    let mut decoder = Decoder::new(limits, role);
    let (mut src, mut frames) = (BytesMut::new(), Vec::new());
    for piece in stream.chunks(cut) {
        src.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut src) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                // What is left then depends on how much had come.
                Err(error) => return (frames, Some(error), 0),
            }
        }
        let bound = limits.header_bytes + limits.body_bytes + usize::from(u16::MAX) + 4;
        assert!(src.len() <= bound + piece.len(), "{} bytes are held", src.len());
    }
    (frames, None, src.len())
}

fn read_headers(headers: &Headers) {
    for (_, value) in headers.iter() {
        read_value(value);
    }
}

/// A header's value.
pub(crate) fn headers(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    read_value(&text);
    let verdict = users().check(origin(), &Method::Describe, "rtsp://h/a", Some(&text));
    assert!(!matches!(verdict, AuthVerdict::Ok { .. }), "let in by {text:?}");
    let challenges = auth::parse_challenges(text.lines());
    let mut client = auth::ClientAuth::new(Credentials::new("user", "password"), 7);
    let _ = client.on_challenge(&challenges);
    // What a challenge holds brings no header into the request.
    if let Some(answer) = client.authorize(&Method::Describe, "rtsp://192.0.2.7/a b\"") {
        let mut request = Request::new(Method::Describe, "rtsp://192.0.2.7/a");
        request.headers.push("Authorization", answer);
        let (again, error, _) = decode(&request.encode(), usize::MAX, generous(), Role::Client);
        let one = matches!(&again[..], [Frame::Request(request)] if request.headers.len() == 1);
        assert!(one, "{text:?} gives {again:?}, {error:?}");
    }
    let _ = redact(input);
}

/// Reads it as each header there is; what is written of it is read as the same.
fn read_value(text: &str) {
    for transport in parse_transports(text) {
        let written = transport.to_string();
        assert!(!written.contains(['\r', '\n']), "{written:?}");
        // Texts lose what has no place in them, once.
        let [again] = &parse_transports(&written)[..] else { panic!("{text:?}: {written:?}") };
        let written = again.to_string();
        let [last] = &parse_transports(&written)[..] else { panic!("{text:?}: {written:?}") };
        assert_eq!(last, again, "{text:?}: {written:?}");
    }
    if let Some(session) = SessionHeader::parse(text) {
        let again = SessionHeader::parse(&session.to_string());
        assert_eq!(again.as_ref(), Some(&session), "{text:?}");
    }
    if let Some(range) = Range::parse(text) {
        let written = range.to_string();
        let again = Range::parse(&written).map(|range| range.to_string());
        assert_eq!(again, Some(written), "{text:?}");
    }
    for info in RtpInfo::parse(text) {
        let _ = RtpInfo::write(&[info.clone(), info]);
    }
}

/// A URL as an operator writes it.
pub(crate) fn url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(url) = RtspUrl::parse(text) else { return };
    let request = url.to_request();
    assert!(request.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?} as {request:?}");
    let again = RtspUrl::parse(&request);
    let again = again.unwrap_or_else(|error| panic!("{text:?} as {request:?}: {error}"));
    assert_eq!(again.to_request(), request, "{text:?}");
    assert_eq!((&again.host, again.port), (&url.host, url.port), "{text:?}");
    assert_eq!((again.path(), again.query()), (url.path(), url.query()), "{text:?}");
    assert_eq!(again.credentials, None, "{text:?} tells a password in {request:?}");
}

fn users() -> ServerAuth {
    ServerAuth::new("realm", vec![("user".to_owned(), Secret::new("password"))], 7)
}

/// Streams of both directions.
pub(crate) fn streams() -> Vec<Vec<u8>> {
    const TEXTS: &[&[u8]] = &[
        b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"DESCRIBE rtsp://192.0.2.7/a RTSP/1.0\r\nCSeq: 2\r\nAccept: application/sdp\r\n\
          Authorization: Digest username=\"user\", realm=\"realm\", nonce=\"0\", uri=\"rtsp://192.0.2.7/a\", response=\"00\"\r\n\r\n",
        b"SETUP rtsp://192.0.2.7/a/track1 RTSP/1.0\r\nCSeq: 3\r\n\
          Transport: RTP/AVP;unicast;client_port=5000-5001,RTP/AVP/TCP;interleaved=0-1\r\n\r\n",
        b"PLAY rtsp://192.0.2.7/a RTSP/1.0\nCSeq:4\nSession: 12;timeout=60\nRange: npt=0.000-\n\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 4\r\nSession: 12\r\nRTP-Info: url=rtsp://192.0.2.7/a/track1;seq=1;rtptime=2,url=b;seq=3\r\n\r\n$\0\0\x04abcd",
        b"RTSP/1.0 401 Unauthorized\r\nCSeq: 2\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n$\0\0\x04abcd",
        b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=video 0 RTP/AVP 96\r\n\r\n",
        b"$\0\0\x10\x80\x60\0\x01\0\0\0\x01\0\0\0\x01abcd$\x01\0\x08\x80\xc9\0\x01\0\0\0\x01xyzRTSP/1.0 200 OK\r\n\r\n",
        b"SET_PARAMETER rtsp://192.0.2.7/a RTSP/1.0\r\nCSeq: 6\r\nContent-Length: 3\r\n folded\r\n\r\na:b\r\n\r\n",
    ];
    let mut streams: Vec<_> = [0, 1, 0x87]
        .iter()
        .flat_map(|how| TEXTS.iter().map(|text| [&[*how][..], *text].concat()))
        .collect();
    streams.push([&[7][..], &TEXTS.concat()].concat());
    streams
}

/// Values of headers.
pub(crate) fn values() -> Vec<Vec<u8>> {
    const TEXTS: &[&str] = &[
        "RTP/AVP;unicast;client_port=5000-5001;server_port=6000-6001;ssrc=0badcafe;mode=\"PLAY\"",
        "RTP/AVP/TCP;interleaved=0-1, RTP/SAVPF/UDP;multicast;port=5000;ttl=9;destination=224.2.0.1",
        "12345678;timeout=60",
        "npt=now-",
        "npt=10:07:00-10:07:33.5",
        "clock=20200101T000000Z-",
        "url=rtsp://192.0.2.7/a/track1;seq=1;rtptime=2,url=b;seq=3",
        "Digest realm=\"r\", nonce=\"n\", opaque=\"o\", qop=\"auth,auth-int\", algorithm=MD5, stale=true",
        "Basic realm=\"r\", Digest realm=\"q\\\"uoted\", nonce=\"n\"",
        "Digest username=\"user\", realm=\"realm\", nonce=\"n\", uri=\"rtsp://h/a\", response=\"00\", cnonce=\"c\", nc=00000001, qop=auth",
        "Basic dXNlcjpwYXNzd29yZA==",
    ];
    TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// URLs.
pub(crate) fn urls() -> Vec<Vec<u8>> {
    const TEXTS: &[&str] = &[
        "rtsp://192.0.2.7/a",
        "rtsp://user:pass@[2001:db8::1]:8554/a/b?c=d&e",
        "rtsps://us%20er:p@ss/w#rd@example.org",
        "RTSP://example.org:554?query",
        " rtsp://h\u{f6}st/\u{fc} b%zz ",
    ];
    TEXTS.iter().map(|text| text.as_bytes().to_vec()).collect()
}
