//! Packets of audio that ffmpeg and GStreamer made, beside what they made them of
//! (`tests/fixtures/record.py`), and the examples of the RFCs.

use codec_framers::mpa_robust::{AduToFrame, FrameToAdu};
use codec_framers::{AccessUnit, Packet, Slices};
use rtp_rtcp::RtpTime;
use sdp::{Format, MediaKind};

use crate::common::{depacketize, fixture, format, hex, ogg_beyond, packetize, recorded};

/// Name, encoding, parameters, how many units, and ticks of all but the last one, if they are
/// told and the same.
const FIXTURES: [(&str, &str, &str, usize, Option<u32>); 25] = [
    ("pcmu-gst", "PCMU/8000", "", 15, None),
    ("pcma-ffmpeg", "PCMA/8000", "", 7, None),
    ("l16-gst", "L16/44100/2", "", 55, None),
    ("l24-gst", "L24/44100/2", "", 80, None),
    ("g722-gst", "G722/8000", "", 16, Some(160)),
    ("g726-gst", "G726-32/8000", "", 8, None),
    ("gsm-gst", "GSM/8000", "", 32, Some(160)),
    ("speex-gst", "SPEEX/16000", "", 16, None),
    ("opus-gst", "OPUS/48000/2", "", 6, Some(960)),
    ("opus-ffmpeg", "opus/48000/2", "", 16, Some(960)),
    ("aac-gst", "MPEG4-GENERIC/44100/2", HBR, 6, Some(1024)),
    ("aac-ffmpeg", "MPEG4-GENERIC/44100/1", HBR, 11, Some(1024)),
    ("latm-gst", "MP4A-LATM/44100/2", LATM, 6, Some(1024)),
    ("latm-ffmpeg", "MP4A-LATM/44100/1", LATM, 14, Some(1024)),
    ("mp3-gst", "MPA/90000", "", 6, Some(2351)),
    ("mp3-ffmpeg", "MPA/90000", "", 12, Some(2351)),
    ("mp2-gst", "MPA/90000", "", 5, Some(2160)),
    ("ac3-gst", "AC3/48000/2", "", 4, Some(1536)),
    ("vorbis-gst", "VORBIS/44100/2", "", 6, None),
    ("vorbis-ffmpeg", "VORBIS/44100/1", "", 2, None),
    ("g723-gst", "G723/8000", "", 10, Some(240)),
    ("ilbc-gst", "iLBC/8000", "mode=20", 12, Some(160)),
    ("ilbc-ffmpeg", "iLBC/8000", "mode=30", 4, Some(720)),
    ("amr-gst", "AMR/8000", "octet-align=1", 32, Some(160)),
    ("amrwb-gst", "AMR-WB/16000", "octet-align=1", 16, Some(320)),
];

const HBR: &str =
    "streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210";
const LATM: &str = "cpresent=0;object=2;config=400024203fc0";

fn audio(map: &str, fmtp: &str) -> (MediaKind, Format) {
    format("audio", map, fmtp)
}

#[test]
fn units_are_what_the_sender_had() {
    for (name, map, fmtp, count, ticks) in FIXTURES {
        let (units, refused) = depacketize(&audio(map, fmtp), &recorded(name));
        assert_eq!((refused, units.len()), (0, count), "{name}");
        assert!(units.iter().all(|unit| unit.key && unit.complete && unit.lost == 0), "{name}");
        let body = |unit: &AccessUnit| {
            let bytes = unit.data().to_vec();
            let head = match name.starts_with("latm") {
                true => 1 + bytes.iter().take_while(|&&byte| byte == 255).count(),
                false => 0,
            };
            bytes[head..].to_vec()
        };
        let all: Vec<u8> = units.iter().flat_map(body).collect();
        let file = fixture(&format!("{name}.ref"));
        // Containers put their headers between.
        let whole = match name {
            "opus-ffmpeg" => units.iter().all(|unit| {
                let unit = body(unit);
                file.windows(unit.len()).any(|part| part == unit)
            }),
            // The last ones wait for a full payload.
            "vorbis-gst" => ogg_beyond(&file, &units) == Some(2),
            "vorbis-ffmpeg" => ogg_beyond(&file, &units) == Some(1),
            // Nothing is left out, but what marks the file.
            "g723-gst" | "ilbc-gst" | "ilbc-ffmpeg" => {
                let magic: &[u8] = if name.starts_with("ilbc") { &file[..9] } else { b"" };
                file.strip_prefix(magic) == Some(&all[..])
            }
            _ => file.windows(all.len()).any(|part| part == all),
        };
        assert!(whole, "{name}");
        // The first time of an encoder may lie within its pre-roll.
        for pair in units[1..].windows(2) {
            let gone = pair[1].timestamp.ahead_of(pair[0].timestamp);
            if let Some(ticks) = ticks {
                assert_eq!(pair[0].duration, Some(ticks), "{name}");
            }
            // The times of packets are rounded.
            let lasts = pair[0].duration.unwrap_or(gone as u32) as i32;
            assert!((gone - lasts).abs() <= 1, "{name}: {gone}, {lasts}");
        }
    }
}

#[test]
fn units_survive_being_packetized_anew() {
    for (name, map, fmtp, _, _) in FIXTURES {
        let format = audio(map, fmtp);
        let (units, _) = depacketize(&format, &recorded(name));
        for limit in [400, 1400] {
            let packets = packetize(&format, &units, limit);
            assert!(packets.iter().all(|packet| packet.payload.len() <= limit), "{name}");
            let (again, refused) = depacketize(&format, &packets);
            assert_eq!(refused, 0, "{name}");
            assert!(again == units, "{name} at {limit}");
        }
    }
}

#[test]
fn after_each_single_loss_all_other_units_are_whole() {
    for (name, map, fmtp, _, _) in FIXTURES {
        let format = audio(map, fmtp);
        let packets = recorded(name);
        let (units, _) = depacketize(&format, &packets);
        for missing in 0..packets.len() {
            let mut arrived: Vec<Packet> = packets.clone();
            arrived.remove(missing);
            if let Some(next) = arrived.get_mut(missing) {
                next.lost = 1;
            }
            let (found, _) = depacketize(&format, &arrived);
            assert!(
                found.iter().filter(|unit| unit.complete).all(|unit| {
                    units
                        .iter()
                        .any(|sent| sent.timestamp == unit.timestamp && sent.data() == unit.data())
                }),
                "{name} without {missing}"
            );
            let hit = |unit: &AccessUnit| {
                !found.iter().any(|found| found.complete && found.data() == unit.data())
            };
            let hit = units.iter().filter(|unit| hit(unit)).count();
            // A packet of several AAC or MP3 frames takes all of them away.
            assert!(hit <= 4, "{name} without {missing}: {hit}");
        }
    }
}

fn packet(timestamp: u32, marker: bool, payload: &str) -> Packet {
    Packet { payload: hex(payload).into(), timestamp: RtpTime(timestamp), marker, lost: 0 }
}

/// Time and bytes of each unit.
fn units(format: &(MediaKind, Format), packets: &[Packet]) -> Vec<(u32, Vec<u8>)> {
    let (units, refused) = depacketize(format, packets);
    assert_eq!(refused, 0);
    units.iter().map(|unit| (unit.timestamp.0, unit.data().to_vec())).collect()
}

#[test]
fn interleaved_access_units_come_in_the_order_of_their_times() {
    // RFC 3640 section 3.2.3.2: three units in a packet, the next three of a pattern apart.
    let format = audio("mpeg4-generic/44100/2", HBR);
    // Each of one byte; AU-Index 0, then AU-Index-delta 2.
    let group = |first: u32| {
        let n = |at: u32| first + at;
        let payload = format!("0030 0008 000a 000a {:02x}{:02x}{:02x}", n(0), n(3), n(6));
        packet(first * 1024, true, &payload)
    };
    let packets = [0, 1, 2, 9, 10, 11].map(group);
    let expected: Vec<_> = (0..18).map(|at| (at * 1024, vec![at as u8])).collect();
    assert_eq!(units(&format, &packets), expected);
    // The packet of 1, 4 and 7 is lost: the others leave in order, told that one is missing.
    let mut packets = packets.to_vec();
    packets.remove(1);
    packets[1].lost = 1;
    let (found, _) = depacketize(&format, &packets);
    let found: Vec<_> = found.iter().map(|unit| (unit.timestamp.0 / 1024, unit.lost)).collect();
    let expected: Vec<_> = (0..18).filter(|at| ![1, 4, 7].contains(at)).collect();
    assert_eq!(found.iter().map(|unit| unit.0).collect::<Vec<_>>(), expected);
    assert_eq!(found[1], (2, 1));
}

#[test]
fn several_access_units_follow_each_other_and_fragments_go_together() {
    let format = audio("mpeg4-generic/44100/2", HBR);
    let packets = [
        packet(5000, true, "0020 0010 0018 a1a2 b1b2b3"),
        packet(7048, false, "0010 0028 c1c2"),
        packet(7048, true, "0010 0028 c3c4c5"),
        // A sender that never marks.
        packet(8072, false, "0010 0010 d1d2"),
    ];
    let expected = [
        (5000, hex("a1a2")),
        (6024, hex("b1b2b3")),
        (7048, hex("c1c2c3c4c5")),
        (8072, hex("d1d2")),
    ];
    assert_eq!(units(&format, &packets), expected);
    // So it is where the description says no more than how headers are read.
    let bare = audio("mpeg4-generic/44100", "sizelength=13;indexlength=3;indexdeltalength=3");
    assert_eq!(units(&bare, &packets), expected);
    // Without its first fragment a unit is none.
    let mut rest = packets[2..].to_vec();
    rest[0].lost = 1;
    let (found, refused) = depacketize(&format, &rest);
    assert_eq!((found.len(), refused), (1, 1));
    assert!(found[0].complete && found[0].lost > 0);
}

#[test]
fn units_of_constant_size_need_no_headers_and_auxiliary_data_is_passed_over() {
    // RFC 3640 section 3.3.3: CELP of a constant rate.
    let celp = "mode=CELP-cbr;constantsize=3;constantduration=240";
    let format_ = audio("mpeg4-generic/16000/1", celp);
    let found = units(&format_, &[packet(0, true, "010203 040506")]);
    assert_eq!(found, [(0, hex("010203")), (240, hex("040506"))]);
    let auxiliary = "mode=generic;sizelength=6;indexlength=2;auxiliarydatasizelength=8;\
        ctsdeltalength=7;constantduration=100";
    let format_ = audio("mpeg4-generic/16000", auxiliary);
    // A header of nine bits, then one of 14, its time nine ticks after the packet's; then ten bits
    // of auxiliary data.
    // 000010 00 0 | 000001 1 0001001 -> 23 bits (no index delta).
    let found = units(&format_, &[packet(1000, true, "0017 0803 12 0affc0 b1b2 c1")]);
    assert_eq!(found, [(1000, hex("b1b2")), (1009, hex("c1"))]);
}

#[test]
fn speech_is_packed_as_the_rfc_shows_it() {
    // RFC 4867 section 4.3.5.1: one frame of AMR 7.4, whose 148 bits are ones here: CMR 15, F 0,
    // FT 4, Q 1, the bits, and two bits to fill up.
    let format_ = audio("AMR/8000", "");
    let payload = format!("f27f {} fc", "ff".repeat(17));
    let (found, refused) = depacketize(&format_, &[packet(160, false, &payload)]);
    assert_eq!(refused, 0);
    assert_eq!(found[0].data().to_vec(), hex(&format!("24 {} f0", "ff".repeat(18))));
    assert_eq!(packetize(&format_, &found, 1400)[0].payload[..], hex(&payload));
    // Octet-aligned of two channels and two frame-blocks (section 4.4.5.2 in small).
    let format_ = audio("AMR-WB/16000/2", "octet-align=1");
    let payload = format!("f0 cc cc cc 4c {}", "a1a2a3a4a5 b1b2b3b4b5 c1c2c3c4c5 d1d2d3d4d5");
    let (found, refused) = depacketize(&format_, &[packet(0, true, &payload)]);
    assert_eq!(refused, 0);
    let found: Vec<_> = found
        .iter()
        .map(|unit| {
            let elements = unit.elements().map(Slices::to_vec).collect::<Vec<_>>();
            (unit.timestamp.0, unit.marker, elements)
        })
        .collect();
    let element = |bytes: &str| hex(&format!("4c {bytes}"));
    assert_eq!(
        found,
        [
            (0, true, vec![element("a1a2a3a4a5"), element("b1b2b3b4b5")]),
            (320, false, vec![element("c1c2c3c4c5"), element("d1d2d3d4d5")]),
        ]
    );
}

#[test]
fn interleaved_sorted_and_checked_speech_comes_as_it_was() {
    // Comfort noise frames of five bytes; interleaved two by two.
    let format_ = audio("AMR/8000", "interleaving=4;crc=1;robust-sorting=1");
    let packets = [
        packet(0, false, "f0 10 c4 44 71 72 a1 c1 a2 c2 a3 c3 a4 c4 a5 c5"),
        packet(160, false, "f0 11 c4 44 73 74 b1 d1 b2 d2 b3 d3 b4 d4 b5 d5"),
    ];
    let expected = [
        (0, hex("44 a1a2a3a4a5 71")),
        (160, hex("44 b1b2b3b4b5 73")),
        (320, hex("44 c1c2c3c4c5 72")),
        (480, hex("44 d1d2d3d4d5 74")),
    ];
    assert_eq!(units(&format_, &packets), expected);
    let (found, _) = depacketize(&format_, &packets);
    let again = packetize(&format_, &found[..1], 1400);
    assert_eq!(again[0].payload[..], hex("f0 00 44 71 a1a2a3a4a5"));
}

#[test]
fn bundles_of_purevoice_come_in_order() {
    let format_ = audio("QCELP/8000", "");
    let packets = [packet(0, false, "08 01a1a2a3 00"), packet(160, false, "09 01b1b2b3 0e")];
    let expected =
        [(0, hex("01a1a2a3")), (160, hex("01b1b2b3")), (320, hex("00")), (480, hex("0e"))];
    assert_eq!(units(&format_, &packets), expected);
}

#[test]
fn an_opus_packet_that_does_not_fit_goes_frame_by_frame() {
    let format_ = audio("opus/48000/2", "");
    let frames: Vec<Vec<u8>> = vec![vec![1; 40], vec![2; 50], vec![3; 30]];
    // 20 ms each; code 3, of variable lengths, with three bytes of padding.
    let packet_ = [&[0x0b, 0xc3, 3, 40, 50], &frames.concat()[..], &[0; 3]].concat();
    let sent = Packet { payload: packet_.into(), marker: true, ..Packet::default() };
    let (found, refused) = depacketize(&format_, std::slice::from_ref(&sent));
    assert_eq!((refused, found[0].duration), (0, Some(2880)));
    assert_eq!(packetize(&format_, &found, 1400)[0].payload, sent.payload);
    let small = packetize(&format_, &found, 64);
    let expected: Vec<_> = (0..)
        .zip(&frames)
        .map(|(at, frame)| (at * 960, at == 0, [&[0x08], &frame[..]].concat()))
        .collect();
    let small: Vec<_> = small
        .iter()
        .map(|packet| (packet.timestamp.0, packet.marker, packet.payload.to_vec()))
        .collect();
    assert_eq!(small, expected);
    // Two frames of the same length; of half the bytes each.
    let equal = AccessUnit::of(RtpTime(0), true, [&[0x09][..], &[7; 100]].concat());
    let lengths: Vec<_> =
        packetize(&format_, &[equal], 64).iter().map(|packet| packet.payload.len()).collect();
    assert_eq!(lengths, [51, 51]);
    let broken = [packet(0, false, "0b"), packet(0, false, "0b00"), packet(0, false, "1b05 00")];
    assert_eq!(depacketize(&format_, &broken).1, 3);
}

#[test]
fn adpcm_goes_on_with_the_state_where_it_was_cut() {
    let format_ = audio("DVI4/8000", "");
    let code = |at: usize| [0x19, 0x3b, 0x80, 0xa2, 0x5c][at % 5] ^ (at * 3) as u8 & 0x88;
    let codes: Vec<u8> = (0..300).map(code).collect();
    let unit = AccessUnit::of(RtpTime(0), true, [&hex("01001400"), &codes[..]].concat());
    let whole = packetize(&format_, std::slice::from_ref(&unit), 1400);
    assert_eq!(whole[0].payload.to_vec(), unit.data().to_vec());
    let cut = packetize(&format_, &[unit], 104);
    let heads: Vec<_> =
        cut.iter().map(|packet| (packet.timestamp.0, packet.payload[..4].to_vec())).collect();
    // The states are those of another decoder.
    assert_eq!(heads, [(0, hex("01001400")), (200, hex("02080600")), (400, hex("025c0600"))]);
    let parts: Vec<u8> = cut.iter().flat_map(|packet| packet.payload[4..].to_vec()).collect();
    assert_eq!(parts, codes);
}

#[test]
fn interleaved_adu_frames_get_their_headers_and_their_order_back() {
    // RFC 5219 section 7: a cycle of eight, sent as 1, 3, 5, 7, 0, 2, 4, 6.
    let format_ = audio("mpa-robust/90000", "");
    let time = |at: u32| (f64::from(at) * 1152.0 / 44_100.0 * 90_000.0).round() as u32;
    let pair = |cycle: u8, first: u32, second: u32| {
        let frame = |index: u32| {
            format!("06 {index:02x} {:02x} 90 64 {index:02x} {cycle:02x}", cycle << 5 | 0x1b)
        };
        let payload = format!("{}{}", frame(first), frame(second));
        packet(8 * u32::from(cycle) * 2351 + time(first), false, &payload)
    };
    let cycle = |number: u8| {
        [(1, 3), (5, 7), (0, 2), (4, 6)].map(|(first, second)| pair(number, first, second))
    };
    let found = units(&format_, &[cycle(0), cycle(1)].concat());
    let expected: Vec<_> = (0..16_u32)
        .map(|at| {
            let bytes = hex(&format!("fffb9064 {:02x} {:02x}", at % 8, at / 8));
            (bytes, at / 8 * 8 * 2351 + time(at % 8))
        })
        .collect();
    assert_eq!(found.len(), 16);
    for ((time, bytes), (expected, at)) in found.iter().zip(&expected) {
        assert_eq!(bytes, expected);
        assert!(time.abs_diff(*at) <= 1, "{time} {at}");
    }
}

#[test]
fn adu_frames_of_a_real_stream_become_frames_that_say_the_same() {
    let (frames, _) = depacketize(&audio("MPA/90000", ""), &recorded("mp3-ffmpeg"));
    let mut forth = FrameToAdu::new();
    let adus: Vec<_> = frames.iter().filter_map(|frame| forth.convert(frame).ok()).collect();
    // The encoder begins with nothing to refer to.
    assert_eq!(adus.len(), frames.len());
    assert!(adus.iter().zip(&frames).any(|(adu, frame)| adu.len() > frame.len()));
    let robust = audio("mpa-robust/90000", "");
    for limit in [64, 1400] {
        let (again, refused) = depacketize(&robust, &packetize(&robust, &adus, limit));
        assert_eq!(refused, 0);
        assert_eq!(again, adus);
    }
    let mut back = AduToFrame::new();
    adus.iter().for_each(|adu| back.push(adu).expect("an ADU frame"));
    back.flush();
    let found: Vec<_> = std::iter::from_fn(|| back.poll()).collect();
    assert_eq!(found.len(), frames.len());
    let mut forth = FrameToAdu::new();
    let again: Vec<_> = found.iter().map(|frame| forth.convert(frame)).collect();
    assert!(again.iter().zip(&adus).all(|(again, adu)| again.as_ref() == Ok(adu)));
}

#[test]
fn enhanced_ac3_is_told_apart_by_its_blocks() {
    let file = fixture("eac3.ref");
    // 48 kbit/s: 192 bytes for 1536 samples.
    let frames: Vec<_> = file.chunks(192).collect();
    let format_ = audio("eac3/48000", "");
    let payload = [&[0, frames.len() as u8], file.as_slice()].concat();
    let sent = Packet { payload: payload.into(), marker: true, ..Packet::default() };
    let found = units(&format_, &[sent]);
    let expected: Vec<_> =
        (0..).map(|at| at * 1536).zip(frames.iter().map(|f| f.to_vec())).collect();
    assert!(frames.len() > 2);
    assert_eq!(found, expected);
}

#[test]
fn a_configuration_in_the_stream_tells_how_long_units_are() {
    // Two frames of AAC-LC at 44.1 kHz in a unit, with the configuration and without.
    let packets = [
        packet(0, true, "208012101fe0 0102"),
        packet(2048, false, "c001"),
        packet(2048, true, "0203"),
    ];
    let (found, refused) = depacketize(&audio("MP4A-LATM/44100/2", ""), &packets);
    assert_eq!(refused, 0);
    let found: Vec<_> =
        found.iter().map(|unit| (unit.len(), unit.key, unit.duration, unit.complete)).collect();
    assert_eq!(found, [(8, true, Some(2048), true), (4, false, Some(2048), true)]);
}

#[test]
fn frames_of_telephony_may_differ_in_length() {
    let lengths = |map: &str, payload: &str| {
        let packets = [packet(0, false, payload)];
        let (found, refused) = depacketize(&audio(map, ""), &packets);
        let found: Vec<_> =
            found.iter().map(|unit| (unit.len(), unit.duration, unit.complete)).collect();
        (found, refused)
    };
    let g723 = format!("00 {} 01 {} 02 {}", "11".repeat(23), "22".repeat(19), "33".repeat(3));
    assert_eq!(lengths("G723/8000", &g723), (vec![(48, Some(720), true)], 0));
    // The fourth kind is none.
    assert_eq!(lengths("G723/8000", &format!("{g723} 03")), (vec![(48, Some(720), false)], 1));
    let g729 = "44".repeat(20);
    assert_eq!(lengths("G729/8000", &format!("{g729} 5555")), (vec![(22, Some(240), true)], 0));
    assert_eq!(lengths("G729/8000", "5555"), (vec![(2, Some(80), true)], 0));
    assert_eq!(lengths("G729/8000", &format!("{g729} 55")), (vec![(20, Some(160), false)], 1));
    // 20 bits of one channel, an odd number of times.
    assert_eq!(lengths("L20/48000", "1234512345 123450"), (vec![(8, Some(3), true)], 0));
    assert_eq!(lengths("L16/44100/2", "112233445566"), (vec![(4, Some(1), false)], 1));
    assert_eq!(lengths("GSM/8000", "d1"), (vec![], 1));
}

/// Divides bits by x^8 + x^4 + x^3 + x^2 + 1 as on paper (RFC 4867 section 4.4.2.1).
fn remainder(bits: &[u8]) -> u8 {
    let mut bits = [bits, &[0; 8]].concat();
    for at in 0..bits.len() - 8 {
        if bits[at] == 1 {
            for (bit, of) in bits[at..].iter_mut().zip([1, 0, 0, 0, 1, 1, 1, 0, 1]) {
                *bit ^= of;
            }
        }
    }
    bits[bits.len() - 8..].iter().fold(0, |byte, bit| byte << 1 | bit)
}

#[test]
fn speech_with_a_wrong_checksum_is_left_out_once_others_were_right() {
    let format_ = audio("AMR/8000", "octet-align=1;crc=1");
    // AMR 4.75: 95 bits, of which 42 are covered; two frames to a packet.
    let frame =
        |seed: u8| -> Vec<u8> { (0..12).map(|at| seed.wrapping_mul(37) ^ (at * 11)).collect() };
    let sum = |frame: &[u8]| {
        let bits: Vec<u8> =
            frame.iter().flat_map(|b| (0..8).rev().map(move |at| b >> at & 1)).collect();
        remainder(&bits[..42])
    };
    let packet = |at: u8, wrong: u8| {
        let (one, two) = (frame(2 * at), frame(2 * at + 1));
        let head = [0xf0, 0x84, 0x04, sum(&one), sum(&two) ^ wrong];
        let timestamp = RtpTime(u32::from(at) * 320);
        let payload = [&head[..], &one, &two].concat().into();
        Packet { payload, timestamp, marker: false, lost: 0 }
    };
    let given = |packets: &[Packet]| {
        let (units, refused) = depacketize(&format_, packets);
        let told: Vec<_> = units.iter().map(|unit| (unit.timestamp.0 / 160, unit.lost)).collect();
        (told, refused)
    };
    let packets: Vec<_> = (0..5).map(|at| packet(at, u8::from(at == 3))).collect();
    let wanted = [0, 1, 2, 3, 4, 5, 6, 8, 9].map(|at| (at, u32::from(at == 8)));
    assert_eq!(given(&packets), (wanted.to_vec(), 1));
    // Where none was ever right, the sender means something else by them.
    let packets: Vec<_> = (0..5).map(|at| packet(at, 0x55)).collect();
    assert_eq!(given(&packets), ((0..10).map(|at| (at, 0)).collect(), 0));
}
