//! Theora and Vorbis: several of the codec's packets in one payload, or one in several.

use codec_framers::{AccessUnit, Packet, Slices};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;
use sdp::{Format, MediaKind};

use crate::common::{
    assert_loss_is_survived, assert_round_trip, depacketize, format, hex, packetize, video,
};

const CONFIGURATION: &str = "configuration=AAAAAavN7wA=";

fn formats() -> [(MediaKind, Format); 2] {
    [video("theora", CONFIGURATION), format("audio", "vorbis/48000/2", CONFIGURATION)]
}

fn units() -> impl Strategy<Value = Vec<AccessUnit>> {
    let unit = (any::<bool>(), proptest::collection::vec(any::<u8>(), 0..900));
    proptest::collection::vec(unit, 1..6).prop_map(|units| {
        let units = (1..).zip(units).map(|(at, (key, body))| {
            let first: u8 = if key { 0x00 } else { 0x40 };
            AccessUnit::of(RtpTime(at * 3000), key, [&[first], &body[..]].concat())
        });
        units.collect()
    })
}

proptest! {
    #![proptest_config(crate::common::cases(100))]

    #[test]
    fn units_survive_any_limit(mut units in units(), limit in 64_usize..1500) {
        let [theora, vorbis] = formats();
        assert_round_trip(&theora, &units, limit);
        units.iter_mut().for_each(|unit| unit.key = true);
        assert_round_trip(&vorbis, &units, limit);
    }

    #[test]
    fn loss_breaks_only_what_it_hits(units in units(), limit in 64_usize..400, kept: u64) {
        let [theora, _] = formats();
        assert_loss_is_survived(&theora, &units, limit, |at| kept >> (at % 64) & 1 == 1);
    }
}

#[test]
fn several_packets_of_a_payload_are_elements_and_go_together_again() {
    let [theora, _] = formats();
    let payload = hex("abcdef 02 0002 0001 0003 400203");
    let packet = Packet { payload: payload.into(), timestamp: RtpTime(9), ..Packet::default() };
    let (units, _) = depacketize(&theora, std::slice::from_ref(&packet));
    let elements: Vec<_> = units[0].elements().map(Slices::to_vec).collect();
    assert_eq!(elements, [hex("0001"), hex("400203")]);
    assert!(units[0].key);
    let again = packetize(&theora, &units, 1400);
    assert_eq!(again[0].payload, packet.payload, "with the number of the configuration");
}

#[test]
fn what_is_cut_short_or_no_data_gives_nothing() {
    let [theora, _] = formats();
    let packets = ["abcdef", "abcdef 01 0009 00", "abcdef 11 0001 00", "abcdef c0 0001 00"];
    let packets =
        packets.map(|payload| Packet { payload: hex(payload).into(), ..Packet::default() });
    let (units, refused) = depacketize(&theora, &packets);
    assert_eq!((units.len(), refused), (0, 4));
}
