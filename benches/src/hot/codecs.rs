//! A look at each packet of a frame, format by format.

use std::hint::black_box;

use codec_framers::{Glancer, UnitTracker};
use rtp_rtcp::{ExtSeq, RtpHeader, RtpTime, Seq, Ssrc};
use sdp::Presentation;

use super::{Path, Work, work};
use crate::packets::PAYLOAD;

pub(super) fn paths() -> Vec<Path> {
    vec![
        Path::new("codec-framers/H264", "packet", || glance(&H264)),
        Path::new("codec-framers/H265", "packet", || glance(&H265)),
        Path::new("codec-framers/H266", "packet", || glance(&H266)),
        Path::new("codec-framers/AV1", "packet", || glance(&AV1)),
        Path::new("codec-framers/VP8", "packet", || glance(&VP8)),
        Path::new("codec-framers/VP9", "packet", || glance(&VP9)),
        Path::new("codec-framers/JPEG", "packet", || glance(&JPEG)),
        Path::new("codec-framers/MP4V-ES", "packet", || glance(&MP4V)),
        Path::new("codec-framers/MPV", "packet", || glance(&MPV)),
        Path::new("codec-framers/H263-1998", "packet", || glance(&H263)),
        Path::new("codec-framers/audio", "packet", || glance(&AUDIO)),
    ]
}

/// Packets of one frame.
const PACKETS: u16 = 14;

/// How payloads of a key frame begin; the rest of each is the same byte again and again.
struct Shape {
    kind: &'static str,
    rtpmap: &'static str,
    first: &'static [u8],
    within: &'static [u8],
    last: &'static [u8],
}

const fn video(
    rtpmap: &'static str,
    first: &'static [u8],
    within: &'static [u8],
    last: &'static [u8],
) -> Shape {
    Shape { kind: "video", rtpmap, first, within, last }
}

/// Fragments (FU-A) of an IDR slice, RFC 6184 section 5.8.
const H264: Shape = video("H264/90000", &[0x7c, 0x85], &[0x7c, 0x05], &[0x7c, 0x45]);
/// Fragments of an IDR slice, RFC 7798 section 4.4.3.
const H265: Shape =
    video("H265/90000", &[0x62, 0x01, 0x93, 0x80], &[0x62, 0x01, 0x13], &[0x62, 0x01, 0x53]);
/// Fragments of an IDR slice, RFC 9328 section 4.3.3.
const H266: Shape =
    video("H266/90000", &[0x00, 0xe9, 0x87, 0x80], &[0x00, 0xe9, 0x07], &[0x00, 0xe9, 0x67]);
/// A sequence that begins, with one unit in fragments.
const AV1: Shape = video("AV1/90000", &[0x58, 0x30], &[0xd0], &[0x90]);
/// The first partition of a key frame, RFC 7741 section 4.
const VP8: Shape = video("VP8/90000", &[0x10, 0x10], &[0x00], &[0x00]);
/// A frame that refers to no other, RFC 9628 section 4.2.
const VP9: Shape = video("VP9/90000", &[0x08, 0x82, 0x49, 0x83, 0x42], &[0x00], &[0x04]);
/// RFC 2435 section 3.1; every frame stands alone.
const JPEG: Shape = video(
    "JPEG/90000",
    &[0, 0, 0, 0, 1, 80, 80, 60],
    &[0, 0, 5, 120, 1, 80, 80, 60],
    &[0, 0, 9, 120, 1, 80, 80, 60],
);
/// An intra-coded plane after its start code.
const MP4V: Shape = video("MP4V-ES/90000", &[0, 0, 1, 0xb6, 0x10], &[0x88], &[0x88]);
/// An intra picture, RFC 2250 section 3.4.
const MPV: Shape =
    video("MPV/90000", &[0, 0, 0x39, 0, 0, 0, 1, 0xb3], &[0, 0, 0x09, 0], &[0, 0, 0x09, 0]);
/// An intra picture, RFC 4629 section 5.
const H263: Shape =
    video("H263-1998/90000", &[0x04, 0x00, 0x80, 0x02, 0x08], &[0x00, 0x00], &[0x00, 0x00]);
/// Not looked into.
const AUDIO: Shape =
    Shape { kind: "audio", rtpmap: "opus/48000/2", first: &[0x78], within: &[0x78], last: &[0x78] };

impl Shape {
    fn glancer(&self) -> Glancer {
        let Self { kind, rtpmap, .. } = self;
        let body = format!("v=0\r\nm={kind} 0 RTP/AVP 96\r\na=rtpmap:96 {rtpmap}\r\n");
        let (presentation, _) = Presentation::parse(body.as_bytes()).expect("a description");
        let media = presentation.media.first().expect("a section");
        Glancer::new(&media.kind, media.main_format())
    }

    fn payloads(&self) -> Vec<Vec<u8>> {
        let payloads = (0..PACKETS).map(|index| {
            let begin = match index {
                0 => self.first,
                last if last + 1 == PACKETS => self.last,
                _ => self.within,
            };
            let mut payload = begin.to_vec();
            payload.resize(PAYLOAD, 0x88);
            payload
        });
        payloads.collect()
    }
}

fn header(frame: u32, index: u16) -> RtpHeader {
    RtpHeader {
        marker: index + 1 == PACKETS,
        payload_type: 96,
        seq: Seq((frame as u16).wrapping_mul(PACKETS).wrapping_add(index)),
        timestamp: RtpTime(frame.wrapping_mul(3600)),
        ssrc: Ssrc(1),
    }
}

fn glance(shape: &Shape) -> Box<dyn Work> {
    let (mut glancer, payloads) = (shape.glancer(), shape.payloads());
    let (mut units, mut frame) = (UnitTracker::new(), 0_u32);
    work(
        || (),
        move |()| {
            frame += 1;
            for (payload, index) in payloads.iter().zip(0..) {
                let header = header(frame, index);
                let glance = glancer.look(&header, black_box(payload));
                let seq = ExtSeq(u64::from(frame) * u64::from(PACKETS) + u64::from(index));
                black_box(units.on_packet(seq, header.timestamp, glance));
            }
            payloads.len() as u64
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_is_taken_for_the_key_frame_that_it_is() {
        for shape in [&H264, &H265, &H266, &AV1, &VP8, &VP9, &JPEG, &MP4V, &MPV, &H263] {
            let (mut glancer, mut units) = (shape.glancer(), UnitTracker::new());
            assert!(glancer.knows_keys(), "{}", shape.rtpmap);
            for frame in 1..4 {
                let keys = shape.payloads().into_iter().zip(0..).filter_map(|(payload, index)| {
                    let header = header(frame, index);
                    let glance = glancer.look(&header, &payload);
                    let seq = ExtSeq(u64::from(frame) * u64::from(PACKETS) + u64::from(index));
                    units.on_packet(seq, header.timestamp, glance)
                });
                let first = ExtSeq(u64::from(frame) * u64::from(PACKETS));
                assert_eq!(keys.collect::<Vec<_>>(), [first], "{}", shape.rtpmap);
            }
        }
        assert!(!AUDIO.glancer().knows_keys());
    }
}
