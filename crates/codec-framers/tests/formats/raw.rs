//! Uncompressed video, whose frames always have one size.

use codec_framers::{AccessUnit, Packet};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;

use crate::common::{
    assert_loss_is_survived, assert_round_trip, depacketize, hex, packetize, video,
};

const FORMATS: [(&str, usize); 4] = [
    ("sampling=RGB;width=30;height=9;depth=8", 30 * 9 * 3),
    ("sampling=YCbCr-4:2:2;width=31;height=5;depth=10", 16 * 5 * 5),
    ("sampling=YCbCr-4:2:0;width=32;height=16;depth=8", 8 * 16 * 6),
    ("sampling=RGBA;width=8;height=4;depth=16", 8 * 4 * 8),
];

fn units() -> impl Strategy<Value = (usize, Vec<AccessUnit>)> {
    (0..FORMATS.len(), 1_u32..4, any::<u8>()).prop_map(|(format, count, seed)| {
        let size = FORMATS[format].1;
        let units = (1..=count).map(|at| {
            let bytes: Vec<_> = (0..size).map(|n| (n * 7) as u8 ^ seed ^ at as u8).collect();
            AccessUnit::of(RtpTime(at * 3000), true, bytes)
        });
        (format, units.collect())
    })
}

proptest! {
    #![proptest_config(crate::common::cases(100))]

    #[test]
    fn frames_survive_any_limit((format, units) in units(), limit in 64_usize..1500) {
        assert_round_trip(&video("raw", FORMATS[format].0), &units, limit);
    }

    #[test]
    fn loss_breaks_only_what_it_hits((format, units) in units(), limit in 64_usize..400, kept: u64) {
        let format = video("raw", FORMATS[format].0);
        assert_loss_is_survived(&format, &units, limit, |at| kept >> (at % 64) & 1 == 1);
    }
}

#[test]
fn zeros_stand_where_pixels_are_missing() {
    let format = video("raw", "sampling=RGB;width=2;height=2;depth=8");
    let frame = AccessUnit::of(RtpTime(1), true, (1..=12).collect::<Vec<u8>>());
    let whole = packetize(&format, std::slice::from_ref(&frame), 64);
    assert_eq!(
        whole[0].payload[..],
        hex("0000 0006 0000 8000 0006 0001 0000 010203040506 0708090a0b0c")
    );
    let half = |line: &str, marker| Packet {
        payload: hex(&format!("0000 0003 {line} 0001 040506")).into(),
        marker,
        ..Packet::default()
    };
    let (units, refused) = depacketize(&format, &[half("0000", false), half("0001", true)]);
    assert_eq!(refused, 0);
    assert!(!units[0].complete && units[0].len() == 12);
    assert_eq!(units[0].data().to_vec(), hex("000000 040506 000000 040506"));
    // Outside the frame, and before what came already.
    let (units, refused) =
        depacketize(&format, &[half("0002", true), half("0001", false), half("0000", true)]);
    assert_eq!((units.len(), refused), (1, 2));
}
