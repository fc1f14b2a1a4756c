//! Packets of NAL units that are cut one by one.

use codec_framers::{AccessUnit, CannotSplit, MIN_LIMIT, NalSplitter, Packet};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;

use crate::common::{depacketize, packetize, video};

/// Formats, with the heads of NAL units of a picture and of others.
const FORMATS: [(&str, &str, [&[u8]; 2]); 3] = [
    ("H264", "packetization-mode=1", [&[0x65, 0x88], &[0x06, 0x05]]),
    ("H265", "", [&[0x26, 1, 0xaf], &[0x4e, 1, 5]]),
    ("H266", "", [&[0, 0x39, 0xc0], &[0, 0xb9, 5]]),
];

fn splitter(format: usize) -> NalSplitter {
    let (encoding, fmtp, _) = FORMATS[format];
    NalSplitter::for_format(&video(encoding, fmtp).1).expect("a splitter")
}

/// The payloads that one becomes, with their markers.
fn pieces(
    splitter: NalSplitter,
    payload: &[u8],
    marker: bool,
    limit: usize,
) -> Result<Vec<(Vec<u8>, bool)>, CannotSplit> {
    let mut pieces = Vec::new();
    splitter.split(payload, (RtpTime(5), marker), limit, &mut |payload| {
        assert_eq!(payload.timestamp, RtpTime(5));
        pieces.push((payload.to_vec(), payload.marker));
    })?;
    Ok(pieces)
}

#[test]
fn a_nal_unit_becomes_fragments_and_a_fragment_smaller_ones() {
    let nal: Vec<u8> = [0x65].into_iter().chain(1..=200).collect();
    let cut = pieces(splitter(0), &nal, true, 102).expect("a NAL unit");
    let whole = |from: u8, to: u8, own: [u8; 2]| own.into_iter().chain(from..=to).collect();
    let wanted: [(Vec<u8>, bool); 2] =
        [(whole(1, 100, [0x7c, 0x85]), false), (whole(101, 200, [0x7c, 0x45]), true)];
    assert_eq!(cut, wanted);
    // One in the middle has neither start nor end, whatever is cut off it.
    let middle: Vec<u8> = whole(1, 200, [0x7c, 0x05]);
    let kinds: Vec<u8> = pieces(splitter(0), &middle, false, 80)
        .expect("a fragment")
        .iter()
        .map(|p| p.0[1])
        .collect();
    assert_eq!(kinds, [0x05; 3]);
    // The last fragment of a picture's last slice (RFC 9328 section 4.3.3).
    let last: Vec<u8> = [0, 0xe9, 0x67].into_iter().chain(0..200).collect();
    let cut = pieces(splitter(2), &last, true, 103).expect("a fragment");
    assert_eq!(cut.iter().map(|p| (p.0[2], p.1)).collect::<Vec<_>>(), [(7, false), (0x67, true)]);
}

#[test]
fn what_is_aggregated_goes_each_by_itself() {
    let large: Vec<u8> = [0x41].into_iter().chain(0..100).collect();
    let mut aggregate = vec![0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3, 0, 101];
    aggregate.extend_from_slice(&large);
    let cut = pieces(splitter(0), &aggregate, true, MIN_LIMIT).expect("an aggregate");
    assert_eq!(cut[..2], [(vec![0x67, 1, 2], false), (vec![0x68, 3], false)]);
    assert_eq!(
        cut[2..].iter().map(|p| (p.0[1], p.1)).collect::<Vec<_>>(),
        [(0x81, false), (0x41, true)]
    );
}

#[test]
fn what_cannot_be_cut_is_refused_whole() {
    for (format, payload) in [
        // STAP-B, FU-B, a number that nobody has, nothing, an aggregate of nothing, one in one.
        (0, &[0x79, 0, 0, 0, 1, 0x67][..]),
        (0, &[0x7d, 0x85, 0, 0, 1]),
        (0, &[0x1f, 1]),
        (0, &[]),
        (0, &[0x78]),
        (0, &[0x78, 0, 2, 0x67, 1, 0, 2, 0x78, 0]),
        // PACI.
        (1, &[0x64, 1, 0, 0]),
    ] {
        assert_eq!(pieces(splitter(format), payload, true, 100), Err(CannotSplit), "{payload:?}");
    }
    assert!(NalSplitter::for_format(&video("VP8", "").1).is_none());
    assert!(NalSplitter::for_format(&video("H264", "packetization-mode=2").1).is_none());
    assert!(NalSplitter::for_format(&video("H265", "sprop-max-don-diff=2").1).is_none());
    assert!(NalSplitter::for_format(&video("H265", "sprop-max-don-diff=0").1).is_some());
}

fn units(format: usize) -> impl Strategy<Value = Vec<AccessUnit>> {
    let nal = (any::<bool>(), proptest::collection::vec(1_u8.., 1..6_000));
    let unit = proptest::collection::vec(nal, 1..4);
    proptest::collection::vec(unit, 1..4).prop_map(move |units| {
        let [picture, other] = FORMATS[format].2;
        let unit = |(at, nals): (u32, Vec<(bool, Vec<u8>)>)| {
            let mut unit = AccessUnit::new(RtpTime(at * 3000));
            unit.key = true;
            for (is_other, bytes) in nals {
                if is_other {
                    unit.push_element([other, &bytes[..]].concat().into());
                }
            }
            unit.push_element([picture, &[0x80; 900]].concat().into());
            unit
        };
        (1..).zip(units).map(unit).collect()
    })
}

proptest! {
    #[test]
    fn units_in_packets_that_were_cut_are_the_same(
        (format, units) in (0..FORMATS.len()).prop_flat_map(|f| (Just(f), units(f))),
        large in 500_usize..9_000,
        limit in MIN_LIMIT..1_400,
    ) {
        let (encoding, fmtp, _) = FORMATS[format];
        let format_of = video(encoding, fmtp);
        let mut cut = Vec::new();
        for packet in packetize(&format_of, &units, large) {
            if packet.payload.len() <= limit {
                cut.push(packet);
                continue;
            }
            let pieces = pieces(splitter(format), &packet.payload, packet.marker, limit);
            for (payload, marker) in pieces.expect("a packet of its format") {
                prop_assert!(payload.len() <= limit);
                cut.push(Packet { payload: payload.into(), marker, ..packet.clone() });
            }
        }
        let (out, refused) = depacketize(&format_of, &cut);
        prop_assert_eq!(refused, 0);
        prop_assert_eq!(out, units);
    }

    #[test]
    fn any_bytes_are_cut_to_the_limit_or_refused(
        format in 0..FORMATS.len(),
        payload in proptest::collection::vec(any::<u8>(), 0..3_000),
        limit in 0_usize..2_000,
    ) {
        if let Ok(pieces) = pieces(splitter(format), &payload, true, limit) {
            prop_assert!(pieces.iter().all(|(piece, _)| piece.len() <= limit.max(MIN_LIMIT)));
            prop_assert_eq!(pieces.iter().filter(|(_, marker)| *marker).count(), 1);
        }
    }
}
