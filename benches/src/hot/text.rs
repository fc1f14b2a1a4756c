//! What is read as text, and the frames between it.

use std::hint::black_box;

use bytes::BytesMut;
use rtsp_proto::{Decoder, Limits, Role};
use sdp::{Presentation, ReaderView};

use super::{Path, Work, work};
use crate::packets::{Frames, OTHER_FRAME, SDP, interleaved};

pub(super) fn paths() -> Vec<Path> {
    vec![
        Path::new("rtsp-proto/decode requests", "request", requests),
        Path::new("rtsp-proto/decode interleaved packets", "packet", packets),
        Path::new("sdp/parse", "description", parse),
        Path::new("sdp/write for readers", "description", for_readers),
    ]
}

const REQUEST: &str = "SETUP rtsp://192.0.2.7:8554/cam/track1 RTSP/1.0\r\n\
CSeq: 3\r\n\
User-Agent: Lavf61.7.100\r\n\
Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\
Session: 0123456789abcdef0123456789abcdef\r\n\r\n";
/// Requests that arrive together.
const REQUESTS: usize = 8;

fn requests() -> Box<dyn Work> {
    decode(Role::Server, REQUEST.repeat(REQUESTS).into_bytes())
}

fn packets() -> Box<dyn Work> {
    decode(Role::Client, interleaved(&Frames::new().frame(OTHER_FRAME, false)))
}

fn decode(role: Role, bytes: Vec<u8>) -> Box<dyn Work> {
    let limits = Limits::default();
    work(
        move || (Decoder::new(limits, role), BytesMut::from(bytes.as_slice())),
        |(decoder, bytes)| {
            let mut seen = 0;
            while let Ok(Some(frame)) = decoder.decode(bytes) {
                black_box(frame);
                seen += 1;
            }
            seen
        },
    )
}

fn parse() -> Box<dyn Work> {
    work(|| (), |()| u64::from(black_box(Presentation::parse(black_box(SDP.as_bytes()))).is_ok()))
}

fn for_readers() -> Box<dyn Work> {
    let (presentation, _) = Presentation::parse(SDP.as_bytes()).expect("a description");
    work(
        || (),
        move |()| {
            let view = ReaderView {
                origin_session_id: 7,
                origin_version: 1,
                name: Some("cam"),
                allowed: &|_, _| true,
                live: true,
            };
            u64::from(black_box(presentation.for_readers(&view).write()).len() > 100)
        },
    )
}
