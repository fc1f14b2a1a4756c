//! Packets made anew in formats that no RTSP server at hand can serve: the test camera sends
//! packets that ffmpeg or GStreamer made, or that are written as the RFCs say.

use std::path::PathBuf;
use std::time::Duration;

use integration_tests::anew::{self, What, assert_same};
use integration_tests::camera;
use integration_tests::frames::Sums;
use integration_tests::proxy::Proxy;
use integration_tests::reader::Over;
use integration_tests::rtp;
use test_camera::{Camera, CameraOptions, Start};

/// How much of a recording ffmpeg is asked for, in seconds: all, and again.
const TWICE: f64 = 3.0;
/// Pictures that have to be the same: the recordings have 25 of them.
const PICTURES: usize = 50;

fn recording(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/media/replay")).join(format!("{name}.rtp"))
}

/// A camera that sends a recording, to each session from its beginning.
fn camera_of(name: &str) -> Camera {
    camera::start(CameraOptions {
        replay: Some(recording(name)),
        start: Start::Beginning,
        ..CameraOptions::default()
    })
}

/// Compares what ffmpeg gets from the proxy with what it gets directly; `first` says with which
/// frame the proxy may begin at the latest.
fn same(name: &str, what: What, wanted: usize, first: usize) {
    let camera = camera_of(name);
    let get = |url: &str, over| anew::ffmpeg(url, over, what, TWICE);
    let (direct, through) = anew::compare(&camera.url(0), get);
    for (over, proxied) in through {
        let sums = proxied.get(&0).map(Vec::as_slice).unwrap_or_default();
        assert_same(&format!("{name} over {over:?}"), &direct[&0], sums, wanted, first);
    }
}

/// Compares what GStreamer gets from the proxy with what it gets directly.
fn same_in_gstreamer(name: &str, depayloader: &str, wanted: usize) {
    let camera = camera_of(name);
    let get = |url: &str, over| anew::gstreamer(url, over, "media", depayloader, wanted);
    let (direct, through) = anew::compare(&camera.url(0), get);
    for (over, proxied) in through {
        assert_same(&format!("{name} over {over:?}"), &direct, &proxied, wanted, 2);
    }
}

/// The recorded packets, whole.
fn recorded_packets(name: &str) -> Vec<Vec<u8>> {
    let file = std::fs::read(recording(name)).expect("a recording");
    let (mut rest, mut packets) = (&file[..], Vec::new());
    while let Some((&[high, low], after)) = rest.split_first_chunk() {
        let (packet, after) = after.split_at(usize::from(u16::from_be_bytes([high, low])));
        rest = after;
        packets.push(packet.to_vec());
    }
    packets
}

/// One packet: timestamp, marker, payload.
type Payload = (u32, bool, Vec<u8>);

fn parts(packet: &[u8]) -> Payload {
    let header = rtp::header(packet).expect("an RTP packet");
    (header.timestamp, header.marker, rtp::payload(packet).to_vec())
}

/// Compares what a reader of our own puts together with what was recorded.
fn same_in_our_reader(name: &str, join: impl Fn(&[Payload]) -> Sums + Sync, wanted: usize) {
    let camera = camera_of(name);
    let recorded: Vec<_> = recorded_packets(name).iter().map(|packet| parts(packet)).collect();
    let once = join(&recorded);
    let often: Sums = once.iter().cycle().take(once.len() * 9).cloned().collect();
    let get = |url: &str, over| {
        if url.starts_with(&camera.url(0)) {
            return Sums::new();
        }
        let packets = anew::media_of(url, over, Duration::from_secs(3));
        join(&packets.iter().map(|packet| parts(&packet.data)).collect::<Vec<_>>())
    };
    for (over, proxied) in anew::compare(&camera.url(0), get).1 {
        assert_same(&format!("{name} over {over:?}"), &often, &proxied, wanted, 2);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What ends with a marker.
fn messages(packets: &[Payload]) -> Sums {
    let (mut all, mut open) = (Sums::new(), Vec::new());
    for (_, marker, payload) in packets {
        open.extend_from_slice(payload);
        if *marker {
            all.push(hex(&std::mem::take(&mut open)));
        }
    }
    all
}

/// Temporal units of AV1, each with its OBUs apart.
fn temporal_units(packets: &[Payload]) -> Sums {
    let (mut all, mut obus) = (Sums::new(), Vec::<Vec<u8>>::new());
    for (_, marker, payload) in packets {
        let (head, mut rest) = payload.split_first().expect("an aggregation header");
        let count = usize::from(head >> 4 & 3);
        let mut element = 0;
        while !rest.is_empty() {
            element += 1;
            let mut length = rest.len();
            if count == 0 || element < count {
                let mut shift = 0;
                length = 0;
                loop {
                    let byte = rest[0];
                    rest = &rest[1..];
                    length |= usize::from(byte & 127) << shift;
                    shift += 7;
                    if byte < 128 {
                        break;
                    }
                }
            }
            let (piece, after) = rest.split_at(length);
            rest = after;
            if element == 1 && head & 0x80 != 0 {
                obus.last_mut().expect("what is continued").extend_from_slice(piece);
            } else {
                obus.push(piece.to_vec());
            }
        }
        if *marker {
            let obus: Vec<_> = std::mem::take(&mut obus).iter().map(|obu| hex(obu)).collect();
            all.push(obus.join(" "));
        }
    }
    all
}

/// Frames of E-AC-3 behind the two bytes of RFC 4598.
fn e_ac_3_frames(packets: &[Payload]) -> Sums {
    let (mut all, mut open, mut missing) = (Sums::new(), Vec::new(), 0);
    for (_, marker, payload) in packets {
        let (head, body) = payload.split_first_chunk::<2>().expect("a header of two bytes");
        if head[0] & 1 == 0 {
            all.push(hex(body));
            continue;
        }
        if missing == 0 {
            open.clear();
            missing = head[1];
        }
        open.extend_from_slice(body);
        missing -= 1;
        assert_eq!(*marker, missing == 0, "the last fragment has the marker");
        if *marker {
            all.push(hex(&open));
        }
    }
    all
}

/// Frames of QCELP, one or several to a packet behind the byte of RFC 2658.
fn qcelp_frames(packets: &[Payload]) -> Sums {
    let mut all = Sums::new();
    for (_, _, payload) in packets {
        assert_eq!(payload[0], 0, "not interleaved");
        let mut rest = &payload[1..];
        while let Some(kind) = rest.first() {
            let size = [1, 4, 8, 17, 35][usize::from(*kind)];
            all.push(hex(&rest[..size]));
            rest = &rest[size..];
        }
    }
    all
}

#[test]
fn mpeg_2_video_is_made_anew_with_the_same_pictures() {
    same("mpv", What::Pictures, PICTURES, 0);
    same_in_gstreamer(
        "mpv",
        "rtpmpvdepay ! mpegvideoparse ! avdec_mpeg2video ! video/x-raw",
        PICTURES,
    );
}

#[test]
fn h263_is_made_anew_with_the_same_pictures() {
    same("h263", What::Pictures, PICTURES, 0);
    same("h263-1998", What::Pictures, PICTURES, 0);
    same("h263-2000", What::Pictures, PICTURES, 0);
}

#[test]
fn gstreamer_gets_every_h263_picture() {
    same_in_gstreamer("h263", "rtph263depay", PICTURES);
    // Decoded: how many zeros stand behind a picture here depends on where packets are cut.
    let plus = "rtph263pdepay ! avdec_h263 ! video/x-raw";
    same_in_gstreamer("h263-1998", plus, PICTURES);
    same_in_gstreamer("h263-2000", plus, PICTURES);
}

#[test]
fn h261_is_made_anew_with_the_same_pictures() {
    // GStreamer leaves out some of these that come from the camera itself.
    same("h261", What::Pictures, PICTURES, 0);
}

#[test]
fn jpeg_2000_is_made_anew_with_the_same_pictures() {
    same_in_gstreamer("jpeg2000", "rtpj2kdepay", PICTURES);
}

#[test]
fn dv_is_made_anew_with_the_same_pictures() {
    same_in_gstreamer("dv", "rtpdvdepay", PICTURES);
}

#[test]
fn raw_video_is_made_anew_with_the_same_pictures() {
    same("raw", What::Frames, PICTURES, 2);
    same_in_gstreamer("raw", "rtpvrawdepay", PICTURES);
}

#[test]
fn av1_is_made_anew_with_the_same_temporal_units() {
    same_in_our_reader("av1", temporal_units, PICTURES);
}

#[test]
fn mpa_robust_is_made_anew_with_the_same_frames() {
    // GStreamer gets next to nothing of this from the camera itself.
    same("mpa-robust", What::Frames, 80, 2);
}

#[test]
fn e_ac_3_is_made_anew_with_the_same_frames() {
    same_in_our_reader("eac3", e_ac_3_frames, 70);
}

#[test]
fn onvif_metadata_is_made_anew_with_the_same_documents() {
    same_in_our_reader("metadata", messages, 20);
}

#[test]
fn klv_is_made_anew_with_the_same_units() {
    same_in_our_reader("klv", messages, 20);
    same_in_gstreamer("klv", "rtpklvdepay", 20);
}

#[test]
fn text_is_made_anew_with_the_same_words() {
    let words = |packets: &[Payload]| packets.iter().map(|(_, _, text)| hex(text)).collect();
    same_in_our_reader("t140", words, 6);
}

#[test]
fn amr_is_made_anew_with_the_same_frames() {
    same("amr", What::Frames, 100, 2);
    same("amr-wb", What::Frames, 100, 2);
    same_in_gstreamer("amr", "rtpamrdepay", 100);
    same_in_gstreamer("amr-wb", "rtpamrdepay", 100);
}

#[test]
fn qcelp_is_made_anew_with_the_same_frames() {
    same_in_our_reader("qcelp", qcelp_frames, 100);
}

#[test]
fn speech_of_g_723_g_726_and_gsm_is_the_same() {
    same("g723", What::Frames, 70, 2);
    same_in_gstreamer("g723", "rtpg723depay", 70);
    same("gsm", What::Frames, 100, 2);
    same_in_gstreamer("gsm", "rtpgsmdepay", 100);
    same("g726-32", What::Samples, 30, 2);
}

#[test]
fn samples_of_8_bits_are_the_same() {
    // ffmpeg does not know them.
    let samples = "rtpL8depay ! audiobuffersplit output-buffer-duration=1/50";
    same_in_gstreamer("l8", samples, 80);
}

/// What of a packet no session has of its own: all but number, timestamp and source.
fn constant(packet: &[u8]) -> String {
    format!("{} {}", hex(&packet[..2]), hex(&packet[12..]))
}

#[test]
fn further_payload_types_of_a_track_are_relayed_untouched() {
    let camera = camera_of("several");
    // Comfort noise, telephone events, redundancy, RTX and FEC beside audio that has CSRCs, a
    // header extension and padding.
    let once: Sums = recorded_packets("several").iter().map(|packet| constant(packet)).collect();
    let often: Sums = once.iter().cycle().take(once.len() * 9).cloned().collect();
    for (over, transport) in [(Over::Tcp, "udp"), (Over::Udp, "tcp")] {
        let proxy = Proxy::configured(&format!(
            "[streams.cam]\nsource = \"{}\"\ntransport = \"{transport}\"\npackets = \"relay\"\n",
            camera.url(0)
        ));
        proxy.wait_described("cam");
        let packets = anew::media_of(&proxy.url("cam"), over, Duration::from_secs(2));
        let relayed: Sums = packets.iter().map(|packet| constant(&packet.data)).collect();
        assert_same(&format!("{over:?}"), &often, &relayed, 80, 2);
        // Times and numbers go on as they were: 20 ms from each packet to the next.
        for two in packets.windows(2) {
            let (a, b) = (two[0].header(), two[1].header());
            assert_eq!(
                (b.seq.wrapping_sub(a.seq), b.timestamp.wrapping_sub(a.timestamp)),
                (1, 160)
            );
        }
    }
}

#[test]
fn what_repairs_packets_by_number_is_left_out_of_packets_made_anew() {
    let camera = camera_of("several");
    let wanted = |packet: &&Vec<u8>| !matches!(packet[1] & 0x7f, 103 | 104);
    let body = |packet: &[u8]| format!("{} {}", packet[1] & 0x7f, hex(rtp::payload(packet)));
    let audio = |packet: &Vec<u8>| match packet[1] & 0x7f {
        // Its extension is left behind: a word of profile and length, and one of content.
        0 => format!("0 {}", hex(&rtp::payload(packet)[8..])),
        _ => body(packet),
    };
    let once: Sums = recorded_packets("several").iter().filter(wanted).map(audio).collect();
    let often: Sums = once.iter().cycle().take(once.len() * 9).cloned().collect();
    let proxy = anew::proxy(&camera.url(0), "udp");
    let packets = anew::media(&proxy, Over::Udp, Duration::from_secs(2));
    let made: Sums = packets.iter().map(|packet| body(&packet.data)).collect();
    assert_same("PCMU and others", &often, &made, 50, 2);
}
