//! Packets that ffmpeg and GStreamer made, beside what they made them of
//! (`tests/fixtures/record.py`).

use codec_framers::{AccessUnit, Packet, Slices};

use crate::common::{depacketize, fixture, ogg_beyond, packetize, recorded, video};

/// How the reference is made of units.
#[derive(Clone, Copy)]
enum Reference {
    /// NAL units behind start codes.
    ByteStream,
    /// All units, one behind the other.
    Concatenated,
    /// The same, but it ends later or begins earlier.
    Part,
    /// Frames behind headers of twelve bytes, and one of 32 before all.
    Ivf,
    /// Packets of an Ogg stream, of which the sender keeps the last two.
    Ogg,
    /// JFIF images, with other headers.
    Images,
}

use Reference::{ByteStream, Concatenated, Images, Ivf, Ogg, Part};

/// Name, encoding and parameters, kind of reference, a letter for each unit: key or not.
const FIXTURES: [(&str, &str, &str, Reference, &str); 26] = [
    ("h264-ffmpeg", "H264", "packetization-mode=1", ByteStream, "K..K.."),
    ("h264-gst", "H264", "packetization-mode=1", ByteStream, "KKK"),
    ("h265-ffmpeg", "H265", "", ByteStream, "K..K.."),
    ("h265-gst", "H265", "", ByteStream, "KK."),
    ("mpeg4-ffmpeg", "MP4V-ES", "", Concatenated, "K..K.."),
    ("mpeg4-gst", "MP4V-ES", "", Concatenated, "KKK"),
    ("mpeg1-ffmpeg", "MPV", "", Concatenated, "K..K."),
    ("mpeg2-ffmpeg", "MPV", "", Concatenated, "K..K.."),
    ("mpeg2-gst", "MPV", "", Concatenated, "K.."),
    ("jpeg-ffmpeg", "JPEG", "", Images, "KKKKKK"),
    ("jpeg-gst", "JPEG", "", Images, "KKK"),
    ("vp8-ffmpeg", "VP8", "", Ivf, "K..K.."),
    ("vp8-gst", "VP8", "", Concatenated, "K.K"),
    ("vp9-ffmpeg", "VP9", "", Ivf, "K..K.."),
    ("vp9-gst", "VP9", "", Concatenated, "K.K"),
    ("h263-ffmpeg", "H263-1998", "", Concatenated, "K..K.."),
    ("h263-rfc2190-ffmpeg", "H263", "", Concatenated, "K..K.."),
    ("h263-rfc2190-gst", "H263", "", Concatenated, "K.K"),
    ("h263p-ffmpeg", "H263-1998", "", Concatenated, "K..K.."),
    ("h263p-gst", "H263-1998", "", Concatenated, "K.K"),
    ("h261-ffmpeg", "H261", "", Concatenated, "KKKKKK"),
    ("mp2t-gst", "MP2T", "", Part, "KKKKKKKKKKKKKKKKKKKKKKK"),
    ("raw-gst", "RAW", "sampling=YCbCr-4:2:2;width=64;height=48;depth=8", Concatenated, "KKK"),
    ("jpeg2000-gst", "JPEG2000", "", Concatenated, "KKK"),
    ("theora-gst", "THEORA", "", Part, "KKK"),
    ("theora-ffmpeg", "THEORA", "", Ogg, "K.K"),
];

#[test]
fn units_are_what_the_sender_had() {
    for (name, encoding, fmtp, reference, keys) in FIXTURES {
        let (units, refused) = depacketize(&video(encoding, fmtp), &recorded(name));
        assert_eq!(refused, 0, "{name}");
        let found: String = units.iter().map(|unit| if unit.key { 'K' } else { '.' }).collect();
        assert_eq!(found, keys, "{name}");
        assert!(units.iter().all(|unit| unit.complete && unit.lost == 0), "{name}");
        assert_reference(name, reference, &units);
    }
}

fn assert_reference(name: &str, reference: Reference, units: &[AccessUnit]) {
    let file = fixture(&format!("{name}.ref"));
    let all: Vec<u8> = units.iter().flat_map(|unit| unit.data().to_vec()).collect();
    match reference {
        ByteStream => {
            let sent: Vec<_> = nal_units(&file);
            let found: Vec<_> =
                units.iter().flat_map(|unit| unit.elements().map(Slices::to_vec)).collect();
            assert_eq!(found.len(), sent.len(), "{name}");
            // Some senders leave the first zero of the next start code behind a unit.
            for (found, sent) in found.iter().zip(&sent) {
                let rest = found.strip_prefix(sent.as_slice());
                assert!(rest.is_some_and(|rest| rest.iter().all(|&byte| byte == 0)), "{name}");
            }
        }
        Concatenated => assert!(all == file, "{name}"),
        Part => {
            assert!(file.windows(all.len()).any(|part| part == all), "{name}");
        }
        Ivf => {
            let mut rest = &file[32..];
            for unit in units {
                let size = u32::from_le_bytes(rest[..4].try_into().expect("four bytes")) as usize;
                assert!(unit.data().to_vec() == rest[12..12 + size], "{name}");
                rest = &rest[12 + size..];
            }
            assert!(rest.is_empty(), "{name}");
        }
        Ogg => assert_eq!(ogg_beyond(&file, units), Some(2), "{name}"),
        Images => {
            let (found, sent) = (scans(&all), scans(&file));
            assert_eq!(found.len(), units.len(), "{name}");
            assert!(found == sent, "{name}");
        }
    }
}

#[test]
fn frames_of_dv_are_what_the_encoder_made() {
    let format = video("DV", "encode=SD-VCR/625-50;audio=none");
    let packets = recorded("../../../../tests/media/replay/dv");
    let (units, refused) = depacketize(&format, &packets);
    assert_eq!(refused, 0);
    assert!(units.iter().all(|unit| unit.complete && unit.lost == 0));
    let found: Vec<_> =
        units.iter().map(|unit| format!("{:08x}", adler32(&unit.data().to_vec()))).collect();
    let sums = String::from_utf8(fixture("dv-gst.ref")).expect("text");
    assert_eq!(found, sums.lines().collect::<Vec<_>>());
    let times = units.windows(2).map(|pair| pair[1].timestamp.ahead_of(pair[0].timestamp));
    assert_eq!(times.collect::<Vec<_>>(), [3600, 3600]);
    let (again, refused) = depacketize(&format, &packetize(&format, &units, 1000));
    assert!(refused == 0 && again == units);
}

/// The checksum of RFC 1950 section 8.2.
fn adler32(bytes: &[u8]) -> u32 {
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), &byte| {
        let low = (low + u32::from(byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}

#[test]
fn units_survive_being_packetized_anew() {
    for (name, encoding, fmtp, _, _) in FIXTURES {
        // Transport packets are cut into units otherwise, and Theora by payloads.
        if ["MP2T", "THEORA"].contains(&encoding) {
            continue;
        }
        let format = video(encoding, fmtp);
        let (units, _) = depacketize(&format, &recorded(name));
        for limit in [200, 333, 1400] {
            let packets = packetize(&format, &units, limit);
            assert!(packets.iter().all(|packet| packet.payload.len() <= limit), "{name}");
            let (again, refused) = depacketize(&format, &packets);
            assert_eq!(refused, 0, "{name}");
            let times = |units: &[AccessUnit]| -> Vec<_> {
                units.iter().map(|unit| (unit.timestamp, unit.key, unit.complete)).collect()
            };
            assert_eq!(times(&again), times(&units), "{name} at {limit}");
            assert!(again == units, "{name} at {limit}");
        }
    }
}

#[test]
fn after_each_single_loss_all_other_units_are_whole() {
    for (name, encoding, fmtp, _, _) in FIXTURES {
        // Each packet is a unit, and several have one timestamp.
        if encoding == "MP2T" {
            continue;
        }
        let format = video(encoding, fmtp);
        let packets = recorded(name);
        let (units, _) = depacketize(&format, &packets);
        for missing in 0..packets.len() {
            let mut arrived: Vec<Packet> = packets.clone();
            arrived.remove(missing);
            if let Some(next) = arrived.get_mut(missing) {
                next.lost = 1;
            }
            let (found, _) = depacketize(&format, &arrived);
            let lost = packets[missing].timestamp;
            // A loss may reach into the unit before it, whose end it could have been, and into
            // the next, whose beginning.
            let near = |at: usize| units.get(at).is_some_and(|unit| unit.timestamp == lost);
            let far = units.iter().enumerate().filter(|&(at, _)| {
                !near(at) && !near(at + 1) && !at.checked_sub(1).is_some_and(near)
            });
            for (_, unit) in far {
                let same = found.iter().find(|found| found.data() == unit.data());
                let whole = same.is_some_and(|same| same.complete && same.key == unit.key);
                assert!(whole, "{name} without {missing}");
            }
        }
    }
}

fn nal_units(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut starts: Vec<usize> = stream
        .windows(3)
        .enumerate()
        .filter(|(_, three)| *three == [0, 0, 1])
        .map(|(at, _)| at + 3)
        .collect();
    starts.push(stream.len() + 3);
    let units = starts.windows(2).map(|pair| &stream[pair[0]..pair[1] - 3]);
    units
        .map(|unit| {
            let end = unit.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            unit[..end].to_vec()
        })
        .collect()
}

/// The scans of all images in a file.
fn scans(images: &[u8]) -> Vec<&[u8]> {
    let find = |from: usize, marker: [u8; 2]| {
        images[from..].windows(2).position(|two| two == marker).map(|at| from + at)
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(scan) = find(at, [0xff, 0xda]) {
        let start = scan + 2 + 12;
        let end = find(start, [0xff, 0xd9]).expect("an end");
        found.push(&images[start..end]);
        at = end;
    }
    found
}
