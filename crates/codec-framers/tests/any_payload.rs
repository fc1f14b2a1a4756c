//! Whatever comes in, nothing panics and nothing grows.

use codec_framers::{Glance, Glancer, MAX_PARAMETER_SET_BYTES, MAX_PARAMETER_SETS, UnitTracker};
use proptest::prelude::*;
use rtp_rtcp::{ExtSeq, RtpHeader, RtpTime, Seq, Ssrc};
use sdp::Presentation;

const ENCODINGS: [&str; 15] = [
    "H264",
    "H265",
    "H266",
    "MP4V-ES",
    "MPV",
    "AV1",
    "VP8",
    "VP9",
    "H263",
    "H263-1998",
    "H263-2000",
    "JPEG",
    "jpeg2000",
    "H261",
    "x-unheard-of",
];

fn glancer(encoding: &str, fmtp: &str) -> Glancer {
    let body =
        format!("v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 {encoding}/90000\na=fmtp:96 {fmtp}\n");
    let (presentation, _) = Presentation::parse(body.as_bytes()).expect("a description");
    Glancer::new(&presentation.media[0].kind, presentation.media[0].main_format())
}

fn header(payload_type: u8, marker: bool) -> RtpHeader {
    RtpHeader { marker, payload_type, seq: Seq(0), timestamp: RtpTime(0), ssrc: Ssrc(0) }
}

/// Bytes in which start codes, lengths and flags are likelier than by chance.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => 0_u8..4, 1 => 0x60_u8..0x80, 1 => Just(0xff_u8), 3 => any::<u8>()];
    proptest::collection::vec(byte, 0..48)
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic_and_keep_the_bounds(
        encoding in proptest::sample::select(&ENCODINGS[..]),
        fmtp in "(sprop-(vps|sps|pps|parameter-sets|max-don-diff)|config)=[0-9A-Za-z+/=,]{0,40}",
        payloads in proptest::collection::vec((payload(), any::<bool>(), 0_u32..4), 0..24),
    ) {
        let mut glancer = glancer(encoding, &fmtp);
        let mut tracker = UnitTracker::new();
        let mut newest = None;
        for (at, (payload, marker, timestamp)) in payloads.iter().enumerate() {
            let glance = glancer.look(&header(96, *marker), payload);
            prop_assert!(glancer.knows_keys() || glance.random_access);
            let seq = ExtSeq(at as u64);
            if let Some(first) = tracker.on_packet(seq, RtpTime(*timestamp), glance) {
                prop_assert!(glance.random_access);
                prop_assert!(first <= seq);
                prop_assert!(newest < Some(first), "each unit once, in order");
                newest = Some(first);
            }
        }
        let sets = glancer.parameter_sets();
        prop_assert!(sets.iter().count() <= MAX_PARAMETER_SETS);
        prop_assert!(sets.payloads().all(|set| set.len() <= MAX_PARAMETER_SET_BYTES));
    }

    /// What a reader is sent later must tell a decoder what it told us.
    #[test]
    fn kept_payloads_are_parameter_sets_themselves(
        encoding in proptest::sample::select(&["H264", "H265", "H266", "MP4V-ES", "AV1"][..]),
        numbers in proptest::sample::select(&["x=1", "sprop-max-don-diff=3"][..]),
        payloads in proptest::collection::vec(payload(), 0..24),
    ) {
        let mut first = glancer(encoding, numbers);
        for payload in &payloads {
            first.look(&header(96, false), payload);
        }
        let sets = first.parameter_sets();
        let mut second = glancer(encoding, numbers);
        for payload in sets.payloads() {
            let glance = second.look(&header(96, false), payload);
            prop_assert!(glance.parameter_sets && !glance.picture, "{payload:?}");
        }
        prop_assert_eq!(second.parameter_sets(), sets);
    }
}

#[test]
fn formats_without_key_frames_may_be_joined_at_any_packet() {
    let body = b"v=0\nm=audio 0 RTP/AVP 0\nm=video 0 RTP/AVP 31\nm=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000\n";
    let (presentation, _) = Presentation::parse(body).unwrap();
    for media in &presentation.media {
        let mut glancer = Glancer::new(&media.kind, media.main_format());
        assert!(!glancer.knows_keys());
        let glance = glancer.look(&header(media.main_format().payload_type, false), &[1, 2, 3]);
        assert!(glance.random_access);
        assert_eq!(glance.unit_end, media.kind == sdp::MediaKind::Audio);
        assert!(glancer.parameter_sets().is_empty() && !glancer.parameter_sets_are_stale());
    }
}

#[test]
fn the_marker_ends_a_unit() {
    let mut glancer = glancer("H264", "");
    assert!(!glancer.look(&header(96, false), &[0x65, 0x88]).unit_end);
    assert!(glancer.look(&header(96, true), &[0x65, 0x88]).unit_end);
}

#[test]
fn other_payload_types_are_foreign_once_the_announced_one_was_seen() {
    let idr = [0x65, 0x88];
    let mut glancer = glancer("H264", "");
    assert!(
        glancer.look(&header(97, false), &idr).random_access,
        "a camera that says one thing and sends another"
    );
    assert!(glancer.look(&header(96, false), &idr).random_access);
    let foreign: Glance = glancer.look(&header(97, false), &idr);
    assert!(foreign.foreign && !foreign.random_access && !foreign.picture);
}

#[test]
fn parameter_sets_are_stale_once_the_stream_shows_others() {
    let mut glancer = glancer("H264", "sprop-parameter-sets=Z01AH5U=,aO48gA==");
    assert_eq!(glancer.announced().iter().count(), 2);
    glancer.look(&header(96, false), &[0x67, 0x4d, 0x40, 0x1f, 0x95]);
    assert!(!glancer.parameter_sets_are_stale(), "the same as announced");
    glancer.look(&header(96, false), &[0x67, 0x4d, 0x40, 0x28, 0x95]);
    assert!(glancer.parameter_sets_are_stale());
    let sets = glancer.parameter_sets();
    let payloads: Vec<&[u8]> = sets.payloads().map(|payload| &payload[..]).collect();
    assert_eq!(payloads, [&[0x67, 0x4d, 0x40, 0x28, 0x95][..], &[0x68, 0xee, 0x3c, 0x80]]);
    assert_ne!(&sets, glancer.announced());
}
