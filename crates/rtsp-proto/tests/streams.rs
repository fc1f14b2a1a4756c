//! Properties of whole byte streams.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use rtsp_proto::{
    DecodeError, Decoder, Frame, Headers, Limits, Method, Request, Response, Role, StatusCode,
};

const LIMITS: Limits = Limits { header_bytes: 96, headers: 4, body_bytes: 24, stray_bytes: 40 };

/// All frames of a stream that comes in the given pieces, and why it ended.
fn decode(
    stream: &[u8],
    cuts: &[usize],
    limits: Limits,
    role: Role,
) -> (Vec<Frame>, Option<DecodeError>, u64) {
    let mut decoder = Decoder::new(limits, role);
    let (mut src, mut frames, mut rest) = (BytesMut::new(), Vec::new(), stream);
    let mut cuts = cuts.iter().copied().map(|cut| cut.max(1)).chain([usize::MAX]);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(cuts.next().unwrap_or(usize::MAX).min(rest.len()));
        src.extend_from_slice(piece);
        rest = after;
        loop {
            match decoder.decode(&mut src) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error), 0),
            }
        }
    }
    assert_eq!(decoder.position() + src.len() as u64, stream.len() as u64);
    (frames, None, decoder.position())
}

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        match frame {
            Frame::Request(request) => out.extend_from_slice(&request.encode()),
            Frame::Response(response) => out.extend_from_slice(&response.encode()),
            Frame::Interleaved { channel, data } => {
                let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&[b'$', *channel]);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(data);
            }
        }
    }
    out
}

/// `Content-Length` is the encoder's business.
fn without_length(mut frame: Frame) -> Frame {
    match &mut frame {
        Frame::Request(Request { headers, .. }) | Frame::Response(Response { headers, .. }) => {
            headers.remove("Content-Length");
        }
        Frame::Interleaved { .. } => {}
    }
    frame
}

fn headers() -> impl Strategy<Value = Headers> {
    let header = ("[A-Za-z-]{1,12}", "([!-~]([ -~]{0,20}[!-~])?)?");
    vec(header, 0..6).prop_map(|pairs| {
        let mut headers = Headers::new();
        headers.push("CSeq", "1");
        for (name, value) in pairs {
            if !name.to_ascii_lowercase().starts_with("content-") {
                headers.push(&name, value);
            }
        }
        headers
    })
}

fn body() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn frame() -> impl Strategy<Value = Frame> {
    let methods = [
        Method::Options,
        Method::Describe,
        Method::SetParameter,
        Method::Announce,
        Method::Redirect,
    ];
    let method = proptest::sample::select(methods.to_vec());
    let request = (method, "(\\*|rtsp://[!-~]{1,20})", headers(), body());
    let response = (100u16..1000, "[!-~]{1,9}( [!-~]{1,9})?", headers(), body());
    prop_oneof![
        request.prop_map(|(method, uri, headers, body)| {
            Frame::Request(Request { headers, body, ..Request::new(method, uri) })
        }),
        response.prop_map(|(status, reason, headers, body)| {
            Frame::Response(Response { reason, headers, body, ..Response::new(StatusCode(status)) })
        }),
        (any::<u8>(), body()).prop_map(|(channel, data)| Frame::Interleaved { channel, data }),
    ]
}

/// Streams that come near to being right.
fn near_stream() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"RTSP/1.0 200 OK",
        b"RTSP/1.0 200",
        b"RTSP/",
        b"OPTIONS * RTSP/1.0",
        b"PLAY ",
        b"PLAY",
        b"\r\n",
        b"\r\n",
        b"\n",
        b"\r\n\r\n",
        b" ",
        b": ",
        b"CSeq: 1\r\n",
        b"Content-Length: 5\r\n",
        b"content-length:3\n",
        b"Content-Length: 25\r\n\r\n",
        b"Content-Type: application/sdp\r\n",
        b"v=0\r\n",
        b"$",
        b"$\x00\x00\x04",
        b"$\x01\x00\x09\x80\xc9",
        b"\x80",
        b"\x00",
        b"xyz",
    ];
    let known = proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec);
    let any = vec(any::<u8>(), 0..6);
    vec(prop_oneof![9 => known, 1 => any], 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(frames in vec(frame(), 0..6), cuts in vec(1usize..60, 0..12)) {
        let stream = encode(&frames);
        for role in [Role::Client, Role::Server] {
            let (read, error, position) = decode(&stream, &cuts, Limits::default(), role);
            prop_assert_eq!(error, None);
            prop_assert_eq!(position, stream.len() as u64);
            let read: Vec<_> = read.into_iter().map(without_length).collect();
            prop_assert_eq!(&read, &frames);
        }
    }

    #[test]
    fn cuts_do_not_matter(stream in near_stream(), cuts in vec(1usize..20, 0..40)) {
        for role in [Role::Client, Role::Server] {
            let whole = decode(&stream, &[], LIMITS, role);
            let ones = vec![1; stream.len()];
            prop_assert_eq!(&decode(&stream, &cuts, LIMITS, role), &whole);
            prop_assert_eq!(&decode(&stream, &ones, LIMITS, role), &whole);
        }
    }

    #[test]
    fn arbitrary_bytes_are_frames_or_an_error(
        stream in vec(any::<u8>(), 0..200),
        cuts in vec(1usize..20, 0..20),
    ) {
        for role in [Role::Client, Role::Server] {
            let whole = decode(&stream, &[], LIMITS, role);
            prop_assert_eq!(&decode(&stream, &cuts, LIMITS, role), &whole);
        }
    }

    #[test]
    fn a_client_keeps_frames_behind_few_stray_bytes(
        frames in vec(frame(), 2..4),
        stray in "[a-z \r\n]{1,30}",
    ) {
        let mut stream = encode(&frames);
        stream.extend_from_slice(stray.as_bytes());
        stream.extend_from_slice(b"RTSP/1.0 299 Here\r\n\r\n");
        let (read, error, _) = decode(&stream, &[], Limits::default(), Role::Client);
        prop_assert_eq!(error, None);
        let found =
            matches!(read.last(), Some(Frame::Response(last)) if last.status == StatusCode(299));
        prop_assert!(found);
        prop_assert_eq!(read.len(), frames.len() + 1);
    }

    #[test]
    fn a_header_cannot_bring_in_another(value in "[a-z\r\n: \0]{0,20}", uri in "[a-z \r\n]{1,9}") {
        let mut request = Request::new(Method::Options, format!("/{uri}"));
        request.headers.push("X", value.clone());
        let mut response = Response::new(StatusCode::OK);
        response.reason = value.clone();
        response.headers.push("X", value);
        let stream = [request.encode(), response.encode()].concat();
        let (read, error, _) = decode(&stream, &[], Limits::default(), Role::Server);
        prop_assert_eq!(error, None);
        prop_assert_eq!(read.len(), 2);
        for frame in read {
            if let Frame::Request(Request { headers, .. }) | Frame::Response(Response { headers, .. }) = frame {
                prop_assert_eq!(headers.len(), 1);
            }
        }
    }
}
