//! Audio, text and messages: units to packets and back, whatever is lost on the way.

use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyPacketizer, Depacketizer, Limits, Packet, Packetizer,
};
use proptest::prelude::*;
use rtp_rtcp::RtpTime;
use sdp::{Format, MediaKind};

use crate::common::{assert_loss_is_survived, assert_round_trip, format};

/// A format, ticks of each unit, whether each ends in a packet of its own, and a unit out of
/// arbitrary bytes.
struct Framed {
    media: &'static str,
    map: &'static str,
    fmtp: &'static str,
    ticks: Option<u32>,
    unit: fn(Vec<u8>) -> Vec<Vec<u8>>,
}

impl Framed {
    const fn audio(
        map: &'static str,
        fmtp: &'static str,
        ticks: u32,
        unit: fn(Vec<u8>) -> Vec<Vec<u8>>,
    ) -> Self {
        Self { media: "audio", map, fmtp, ticks: Some(ticks), unit }
    }

    fn format(&self) -> (MediaKind, Format) {
        format(self.media, self.map, self.fmtp)
    }
}

const HBR: &str = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210";
const ALL_FIELDS: &str = "mode=generic;sizelength=16;indexlength=3;indexdeltalength=5;\
    ctsdeltalength=9;dtsdeltalength=7;randomaccessindication=1;streamstateindication=4;\
    auxiliarydatasizelength=11;constantduration=700";
const LATM: &str = "cpresent=0;config=400024203fc0";

static FORMATS: [Framed; 20] = [
    Framed::audio("mpeg4-generic/44100/2", HBR, 1024, one),
    Framed::audio("mpeg4-generic/44100/2", ALL_FIELDS, 700, one),
    Framed::audio("MP4A-LATM/44100/2", LATM, 1024, latm),
    Framed::audio("MPA/90000", "", 2351, mp3),
    Framed::audio("mpa-robust/90000", "", 2351, mp3),
    Framed::audio("ac3/48000/2", "", 1536, ac3),
    Framed::audio("eac3/48000/2", "", 1536, eac3),
    Framed {
        media: "application",
        map: "vnd.onvif.metadata/90000",
        fmtp: "",
        ticks: None,
        unit: xml,
    },
    Framed { media: "application", map: "smpte336m/90000", fmtp: "", ticks: None, unit: klv },
    Framed::audio("mpeg4-generic/44100/2", "mode=AAC-lbr;config=1210", 1024, short),
    Framed::audio(
        "mpeg4-generic/8000",
        "mode=CELP-cbr;constantsize=40;constantduration=240",
        240,
        forty,
    ),
    Framed::audio("opus/48000/2", "", 960, opus),
    Framed::audio("AMR/8000", "", 160, amr),
    Framed::audio("AMR/8000", "octet-align=1", 160, amr),
    Framed::audio("AMR/8000", "octet-align=1;interleaving=30", 160, amr),
    Framed::audio("AMR/8000/2", "octet-align=1;robust-sorting=1", 160, amr_stereo),
    Framed::audio("AMR-WB/16000/2", "", 320, amr_wide_stereo),
    Framed::audio("AMR-WB/16000", "crc=1", 320, amr_wide_checked),
    Framed::audio("QCELP/8000", "", 160, qcelp),
    Framed::audio("DVI4/8000", "", 80, forty_four),
];

fn one(body: Vec<u8>) -> Vec<Vec<u8>> {
    vec![body]
}

fn sized(head: &[u8], mut body: Vec<u8>, length: usize) -> Vec<u8> {
    body.splice(0..0, head.iter().copied());
    body.resize(length, 0x55);
    body
}

fn latm(body: Vec<u8>) -> Vec<Vec<u8>> {
    let mut unit = vec![255; body.len() / 255];
    unit.push((body.len() % 255) as u8);
    one([unit, body].concat())
}

fn mp3(body: Vec<u8>) -> Vec<Vec<u8>> {
    one(sized(&[0xff, 0xfb, 0x90, 0x64], body, 417))
}

fn ac3(body: Vec<u8>) -> Vec<Vec<u8>> {
    one(sized(&[0x0b, 0x77, 1, 2, 0x14, 0x40], body, 768))
}

/// Three frames of two blocks, one of them with a dependent substream.
fn eac3(body: Vec<u8>) -> Vec<Vec<u8>> {
    let lead = |blocks: u8| sized(&[0x0b, 0x77, 0, 0x3f, blocks, 0x80], body.clone(), 128);
    let dependent = sized(&[0x0b, 0x77, 0x40, 0x7f, 0x10, 0x80], body.clone(), 256);
    one([lead(0x10), dependent, lead(0x10), lead(0x10)].concat())
}

fn xml(body: Vec<u8>) -> Vec<Vec<u8>> {
    one([b"<?xml version='1.0'?>", &body[..]].concat())
}

fn klv(body: Vec<u8>) -> Vec<Vec<u8>> {
    one([&[6, 0x0e, 0x2b, 0x34], &body[..]].concat())
}

fn short(mut body: Vec<u8>) -> Vec<Vec<u8>> {
    body.truncate(50);
    one(body)
}

fn forty(body: Vec<u8>) -> Vec<Vec<u8>> {
    one(sized(&[], body, 40))
}

fn forty_four(body: Vec<u8>) -> Vec<Vec<u8>> {
    one(sized(&[1, 2, 40, 0], body, 44))
}

fn opus(mut body: Vec<u8>) -> Vec<Vec<u8>> {
    body.truncate(50);
    one([&[0x08], &body[..]].concat())
}

/// A frame as files have it, of a type that the first byte chooses.
fn speech(body: &[u8], lengths: &[(u8, usize)], checksum: bool) -> Vec<u8> {
    let (kind, bits) = lengths[usize::from(body[0]) % lengths.len()];
    let mut frame = vec![kind << 3 | body[0] >> 5 & 4];
    frame.extend((0..bits.div_ceil(8)).map(|at| body[at % body.len()]));
    if let Some(last) = frame.last_mut()
        && bits % 8 != 0
    {
        *last &= 0xff << (8 - bits % 8);
    }
    if checksum && bits > 0 {
        frame.push(0xc7);
    }
    frame
}

const NARROW: [(u8, usize); 5] = [(0, 95), (5, 159), (7, 244), (8, 39), (15, 0)];
const WIDE: [(u8, usize); 5] = [(0, 132), (8, 477), (9, 40), (14, 0), (15, 0)];

fn amr(body: Vec<u8>) -> Vec<Vec<u8>> {
    one(speech(&body, &NARROW, false))
}

fn amr_stereo(mut body: Vec<u8>) -> Vec<Vec<u8>> {
    let left = speech(&body, &NARROW, false);
    body.reverse();
    vec![left, speech(&body, &NARROW, false)]
}

fn amr_wide_stereo(mut body: Vec<u8>) -> Vec<Vec<u8>> {
    // Two frames of the longest type need more than the smallest limit.
    body[0] |= 3;
    let left = speech(&body, &WIDE[2..], false);
    body.reverse();
    vec![left, speech(&body, &WIDE[2..], false)]
}

fn amr_wide_checked(body: Vec<u8>) -> Vec<Vec<u8>> {
    one(speech(&body, &WIDE, true))
}

fn qcelp(body: Vec<u8>) -> Vec<Vec<u8>> {
    let (rate, length) = [(0, 1), (1, 4), (2, 8), (3, 17), (4, 35), (14, 1)][body.len() % 6];
    one(sized(&[rate], body, length))
}

/// Bytes to make units of, whichever the format is.
fn bodies() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // Made of a seed, for there are many and none of their bytes matters much.
    let body = (1_usize..2000, any::<u32>()).prop_map(|(length, seed)| {
        let step = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 24) as u8)
        };
        std::iter::repeat_n((), length).scan(seed, |state, ()| step(state)).collect::<Vec<u8>>()
    });
    proptest::collection::vec(body, 1..6)
}

fn units(&Framed { ticks, unit, .. }: &Framed, bodies: &[Vec<u8>]) -> Vec<AccessUnit> {
    let units = (1..).zip(bodies).map(|(at, body)| {
        let mut made = AccessUnit::new(RtpTime(at * ticks.unwrap_or(3000)));
        made.key = true;
        made.duration = ticks;
        unit(body.clone()).into_iter().for_each(|element| made.push_element(element.into()));
        made
    });
    units.collect()
}

proptest! {
    #![proptest_config(crate::common::cases(40))]

    #[test]
    fn units_survive_any_limit(bodies in bodies(), limit in 64_usize..1500) {
        for format in &FORMATS {
            assert_round_trip(&format.format(), &units(format, &bodies), limit);
        }
    }

    #[test]
    fn loss_breaks_only_what_it_hits(bodies in bodies(), limit in 64_usize..900, kept: u64) {
        for format in &FORMATS {
            assert_loss_is_survived(&format.format(), &units(format, &bodies), limit, |at| {
                kept >> (at % 64) & 1 == 1
            });
        }
    }

    #[test]
    fn text_comes_out_as_it_was_cut_or_not(text in "\\PC{0,200}", limit in 64_usize..400) {
        let format = format("text", "t140/1000", "");
        let unit = AccessUnit::of(RtpTime(1), true, text.clone());
        let packets = crate::common::packetize(&format, &[unit], limit);
        let (units, refused) = crate::common::depacketize(&format, &packets);
        prop_assert_eq!(refused, 0);
        prop_assert!(packets.iter().all(|packet| packet.payload.len() <= limit));
        prop_assert!(units.iter().all(|unit| String::from_utf8(unit.data().to_vec()).is_ok()));
        let got: Vec<u8> = units.iter().flat_map(|unit| unit.data().to_vec()).collect();
        prop_assert_eq!(got, text.into_bytes());
    }

    #[test]
    fn samples_are_cut_where_one_of_all_channels_ends(
        (map, fmtp, bytes, ticks) in proptest::sample::select(&SAMPLES[..]),
        blocks in 1_usize..600,
        limit in 64_usize..1500,
        marker: bool,
    ) {
        let format = format("audio", map, fmtp);
        let sent: Vec<u8> = (0..blocks * bytes).map(|at| (at * 7) as u8).collect();
        let mut unit = AccessUnit::of(RtpTime(u32::MAX - 50), true, sent.clone());
        unit.marker = marker;
        let packets = crate::common::packetize(&format, &[unit], limit);
        let (units, refused) = crate::common::depacketize(&format, &packets);
        prop_assert_eq!((refused, units.len()), (0, packets.len()));
        let mut time = RtpTime(u32::MAX - 50);
        for (at, unit) in units.iter().enumerate() {
            prop_assert!(unit.len() <= limit && unit.len() % bytes == 0 && unit.complete);
            prop_assert_eq!(unit.timestamp, time);
            prop_assert_eq!(unit.marker, marker && at == 0);
            let lasts = (unit.len() / bytes * ticks) as u32;
            prop_assert_eq!(unit.duration, Some(lasts));
            time = time.plus(lasts);
        }
        let got: Vec<u8> = units.iter().flat_map(|unit| unit.data().to_vec()).collect();
        prop_assert_eq!(got, sent);
    }
}

/// Encoding, parameters, bytes that go together, and their ticks.
const SAMPLES: [(&str, &str, usize, usize); 15] = [
    ("PCMU/8000", "", 1, 1),
    ("PCMA/8000/2", "", 2, 1),
    ("L8/8000/3", "", 3, 1),
    ("L16/44100/2", "", 4, 1),
    ("L16/48000/6", "", 12, 1),
    ("L20/48000", "", 5, 2),
    ("L20/48000/2", "", 5, 1),
    ("L24/48000/2", "", 6, 1),
    ("G722/8000", "", 1, 1),
    ("G726-40/8000", "", 5, 8),
    ("G726-24/8000", "", 3, 8),
    ("G729/8000", "", 10, 80),
    ("GSM/8000", "", 33, 160),
    ("iLBC/8000", "mode=20", 38, 160),
    ("iLBC/8000", "", 50, 240),
];

/// All formats that the arbitrary packets below are given to.
fn all_formats() -> impl Iterator<Item = (MediaKind, Format)> {
    let framed = FORMATS.iter().map(Framed::format);
    let samples = SAMPLES.iter().map(|(map, fmtp, ..)| format("audio", map, fmtp));
    let others = OTHERS.iter().map(|(media, map, fmtp)| format(media, map, fmtp));
    framed.chain(samples).chain(others)
}

const OTHERS: [(&str, &str, &str); 8] = [
    ("audio", "MP4A-LATM/44100", ""),
    ("audio", "mpeg4-generic/44100", ""),
    ("audio", "mpeg4-generic/44100", "mode=AAC-hbr;indexlength=0;sizelength=3;indexdeltalength=7"),
    ("video", "mpeg4-generic/90000", "mode=generic;sizelength=9;randomaccessindication=1"),
    ("audio", "mpa-robust/90000", ""),
    ("audio", "G723/8000", ""),
    ("audio", "speex/16000", ""),
    ("text", "t140/1000", ""),
];

fn packet() -> impl Strategy<Value = Packet> {
    let heads: [&[u8]; 14] = [
        &[0, 16, 0, 0x18],
        &[0, 48, 0, 0x10, 0, 0x12, 0, 0x13],
        &[0, 0, 0, 0, 0xff, 0xfb, 0x10, 0x64],
        &[0, 0, 0, 0, 0xff, 0xff, 0x14],
        &[0, 0, 0, 20],
        &[1, 3, 0x0b, 0x77, 0, 2, 0x30, 0x80],
        &[0, 1, 0x0b, 0x77, 0, 2, 0x30, 0x80],
        &[3, 2],
        &[0xf0, 0x11, 0xbc, 0x3c],
        &[0x08, 0, 1],
        &[0x10, 0xff, 0xfb, 0x10, 0x64],
        &[0x40, 0x10, 0x00, 0x1b, 0x10, 0x64],
        &[0x90, 0x10],
        &[0x83, 0xc7, 3],
    ];
    let byte = prop_oneof![3 => 0_u8..5, 1 => Just(0xff_u8), 3 => any::<u8>()];
    let body = proptest::collection::vec(byte, 0..80);
    let head = proptest::option::of(proptest::sample::select(heads.to_vec()));
    let lost = prop_oneof![6 => Just(0), 1 => 1_u32..4, 1 => Just(u32::MAX)];
    let time = prop_oneof![4 => 0_u32..4, 1 => any::<u32>()];
    (head, body, time, any::<bool>(), lost).prop_map(|(head, body, timestamp, marker, lost)| {
        let payload = [head.unwrap_or_default(), &body].concat();
        Packet { payload: payload.into(), timestamp: RtpTime(timestamp), marker, lost }
    })
}

proptest! {
    #![proptest_config(crate::common::cases(60))]

    #[test]
    fn arbitrary_packets_never_panic_and_units_never_mix_instants(
        packets in proptest::collection::vec(packet(), 0..24),
        limit in 0_usize..300,
        max_unit in prop_oneof![Just(100_usize), Just(1 << 20)],
    ) {
        for (kind, format) in all_formats() {
        let mut depacketizer = AnyDepacketizer::for_format(&kind, &format, Limits { max_unit });
        let mut packetizer = AnyPacketizer::for_format(&kind, &format);
        let mut take = |unit: AccessUnit| {
            assert!(unit.len() <= max_unit);
            let mut times: Vec<_> = unit.data().as_slices().iter().filter_map(|slice| {
                let range = slice.as_ptr_range();
                let from = packets.iter().find(|packet| {
                    let payload = packet.payload.as_ptr_range();
                    payload.start <= range.start && range.end <= payload.end
                });
                from.map(|packet| packet.timestamp)
            }).collect();
            times.dedup();
            // A frame of MP3 may begin behind others, in a packet of their time.
            assert!(times.len() <= 1 || format.is("MPA"), "{times:?}");
            let _ = packetizer.packetize(&unit, limit, &mut |payload| {
                assert_eq!(payload.len(), payload.to_vec().len());
            });
        };
        for packet in &packets {
            let _ = depacketizer.push(packet.clone());
            std::iter::from_fn(|| depacketizer.poll()).for_each(&mut take);
        }
        depacketizer.flush();
        std::iter::from_fn(|| depacketizer.poll()).for_each(&mut take);
        }
    }
}
