use proptest::prelude::*;
use rtp_rtcp::RtpTime;

use super::jfif::{END, Image, Quantization};
use super::{Depacketizer, Packetizer};
use crate::access_unit::AccessUnit;
use crate::depacketizer::{Depacketizer as _, Limits};
use crate::packet::Packet;
use crate::packetizer::{PacketizeError, Packetizer as _, Payload};
use crate::testing::hex;

fn quantization() -> impl Strategy<Value = Quantization> {
    prop_oneof![
        (1_u8..=99).prop_map(Quantization::of_quality),
        (0_u8..4, proptest::collection::vec(1_u8.., 256)).prop_map(|(precision, bytes)| {
            let length = 128 + 64 * precision.count_ones() as usize;
            Quantization { precision, values: bytes[..length].into() }
        }),
    ]
}

prop_compose! {
    fn image()(
        width in (1_u16..256).prop_map(|blocks| blocks * 8),
        height in (1_u16..256).prop_map(|blocks| blocks * 8),
        halved_lines: bool,
        restart_interval in prop_oneof![Just(0), 1_u16..],
        quantization in quantization(),
    ) -> Image {
        Image { width, height, halved_lines, restart_interval, quantization }
    }
}

fn packets(units: &[AccessUnit], limit: usize) -> Vec<Packet> {
    let mut packetizer = Packetizer::default();
    let mut packets = Vec::new();
    let mut emit = |payload: &Payload<'_>| {
        let Payload { timestamp, marker, .. } = *payload;
        packets.push(Packet { payload: payload.to_vec().into(), timestamp, marker, lost: 0 });
    };
    for unit in units {
        packetizer.packetize(unit, limit, &mut emit).unwrap();
    }
    packets
}

fn units(packets: &[Packet]) -> Vec<AccessUnit> {
    let mut depacketizer = Depacketizer::new(Limits::default());
    packets.iter().for_each(|packet| depacketizer.push(packet.clone()).unwrap());
    std::iter::from_fn(|| depacketizer.poll()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn images_survive_any_limit(
        images in proptest::collection::vec((image(), proptest::collection::vec(1_u8..0xff, 1..3000)), 1..4),
        limit in 290_usize..1500,
    ) {
        let sent: Vec<_> = (1..)
            .zip(images)
            .map(|(at, (image, scan))| {
                AccessUnit::of(RtpTime(at), true, [&image.write(), &scan, END].concat())
            })
            .collect();
        let packets = packets(&sent, limit);
        prop_assert!(packets.iter().all(|packet| packet.payload.len() <= limit));
        prop_assert_eq!(units(&packets), sent);
    }

    #[test]
    fn arbitrary_bytes_are_no_images(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&hex("ffd8 ffdb0043")[..], &bytes].concat();
        let unit = AccessUnit::of(RtpTime(1), true, bytes);
        let _ = Packetizer::default().packetize(&unit, 1400, &mut |_| {});
    }
}

fn first(q: u8, more: &[u8]) -> Packet {
    let payload = [&hex("00 000000 01")[..], &[q], &hex("08 06"), more].concat();
    Packet { payload: payload.into(), marker: true, ..Packet::default() }
}

#[test]
fn tables_below_255_are_sent_once() {
    let tables = [&[0, 0, 0, 128][..], &[7; 128], &[1, 2]].concat();
    let mut depacketizer = Depacketizer::new(Limits::default());
    assert!(depacketizer.push(first(200, &[0, 0, 0, 0, 1])).is_err(), "not sent yet");
    let mut units = Vec::new();
    for packet in [first(200, &tables), first(200, &[0, 0, 0, 0, 1, 2])] {
        depacketizer.push(packet).unwrap();
        units.push(depacketizer.poll().unwrap());
    }
    assert_eq!(units[0], units[1]);
    assert!(units[0].complete && units[0].data().ends_with(&[1, 2, 0xff, 0xd9]));
}

#[test]
fn what_follows_a_hole_is_left_out_and_the_end_is_put_there() {
    let image = Image {
        width: 64,
        height: 48,
        quantization: Quantization::of_quality(30),
        ..Image::default()
    };
    let unit =
        |at| AccessUnit::of(RtpTime(at), true, [&image.write(), &[9; 200][..], END].concat());
    let mut all = packets(&[unit(1), unit(2), unit(3)], 64);
    all.remove(1);
    all[1].lost = 1;
    let out = units(&all);
    assert_eq!(out.iter().map(|unit| unit.complete).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(out[0].data().to_vec(), [&image.write(), &[9; 56][..], END].concat());
    // Without its first packet there is nothing to show.
    let mut depacketizer = Depacketizer::new(Limits::default());
    assert!(depacketizer.push(all[1].clone()).is_err());
    assert!(depacketizer.poll().is_none());
}

#[test]
fn images_that_payloads_cannot_express_are_refused() {
    let image = Image { width: 64, height: 48, ..Image::default() };
    let without_tables = image.write();
    let whole = Image { quantization: Quantization::of_quality(60), ..image }.write();
    let refused = |bytes: &[u8]| {
        let unit = AccessUnit::of(RtpTime(1), true, bytes.to_vec());
        Packetizer::default().packetize(&unit, 1400, &mut |_| {}).unwrap_err()
    };
    let with = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|bytes| bytes == from).unwrap();
        [&whole[..at], to, &whole[at + from.len()..], &[1, 2][..]].concat()
    };
    for changed in [
        with(&[0xff, 0xc0], &[0xff, 0xc2]),
        with(&[3, 1, 0x21], &[3, 1, 0x11]),
        with(&hex("ffc4 001f 00"), &hex("ffc4 001f 02")),
        with(&hex("0030 0040"), &hex("0030 0000")),
        [&without_tables[..], &[1]].concat(),
    ] {
        assert!(matches!(refused(&changed), PacketizeError::Unsupported(_)));
    }
    assert!(matches!(refused(&whole), PacketizeError::Malformed(_)), "no scan");
}

#[test]
fn the_description_says_the_size_of_large_images() {
    let quantization = Quantization::of_quality(30);
    let image = Image { width: 4000, height: 3000, quantization, ..Image::default() };
    let unit = AccessUnit::of(RtpTime(1), true, [&image.write(), &[9; 20][..], END].concat());
    let packets = packets(std::slice::from_ref(&unit), 1400);
    let given = |mut depacketizer: Depacketizer| {
        let took = depacketizer.push(packets[0].clone());
        (took.is_ok(), depacketizer.poll())
    };
    assert_eq!(given(Depacketizer::new(Limits::default())), (false, None));
    let knowing = Depacketizer::with_dimensions(4000, 3000, Limits::default());
    assert_eq!(given(knowing), (true, Some(unit)));
}
