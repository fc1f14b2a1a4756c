//! Packets made anew, between real programs: frames are those of the backend, and packets are of
//! the size asked for.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use integration_tests::backend::GstServer;
use integration_tests::camera;
use integration_tests::frames::{Sums, contiguous_run, parse_framemd5};
use integration_tests::media::{self, Clip, FPS, SECONDS};
use integration_tests::process::Process;
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::{Over, gst_lines, gst_sums};
use integration_tests::{rtp, wait};
use nix::sys::signal::Signal;
use test_camera::{CameraOptions, Start};

/// How long one pass over a clip may take.
const PASS: Duration = Duration::from_secs(30);
/// Frames of video that have to be the same: the clip less one second.
const VIDEO_FRAMES: usize = (SECONDS - 1) * FPS;
/// What is asked for, and what must not be exceeded.
const LARGEST: usize = 700;

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// What the reader puts together, undecoded.
    Frames,
    /// Decoded pictures: parameter sets may stand before key frames where they did not.
    Pictures,
    /// Decoded samples: packets may be cut elsewhere.
    Samples,
}

/// ffmpeg's checksums, by stream.
fn ffmpeg(url: &str, over: Over, what: What) -> HashMap<usize, Sums> {
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-loglevel", "error", "-rtsp_transport", over.as_str()])
        .args(["-i", url, "-map", "0:v?", "-map", "0:a?", "-c", "copy"]);
    match what {
        What::Frames => {}
        What::Pictures => {
            command.args(["-c:v", "rawvideo", "-fps_mode:v", "passthrough"]);
        }
        What::Samples => {
            command.args(["-c:a", "pcm_s16le", "-af", "asetnsamples=n=441:p=0"]);
        }
    }
    let seconds = (SECONDS as f64 + 2.0).to_string();
    command.args(["-t", &seconds, "-f", "framemd5", "-"]);
    let mut process = Process::start("ffmpeg", &mut command);
    process.wait(PASS);
    parse_framemd5(&process.stdout().all().join("\n"))
}

/// A proxy that makes packets anew.
fn proxy(source: &str, transport: &str) -> Proxy {
    let proxy = Proxy::configured(&format!(
        "[streams.cam]\nsource = \"{source}\"\ntransport = \"{transport}\"\n\
         packets = \"reframe\"\nmax_udp_payload = {LARGEST}\n"
    ));
    proxy.wait_described("cam");
    proxy
}

/// How many packets were relayed and how many were made, as the log says.
fn packets(proxy: &Proxy) -> (u64, u64) {
    proxy.process.signal(Signal::SIGUSR1);
    let line = proxy.wait_for_log(Duration::from_secs(5), &["status", "cam", "relayed"]);
    let number = |name: &str| {
        let at = line.find(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name}: {line}"));
        let rest = line[at..].split_once('=').map_or("", |(_, rest)| rest);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{name} is no number: {line}"))
    };
    (number("relayed"), number("made"))
}

/// Compares what ffmpeg gets from the proxy with what it gets directly.
fn same(clip: Clip, what: What) {
    let server = GstServer::start(&[clip]);
    let direct = ffmpeg(&server.url(clip), Over::Tcp, what);
    for (over, transport) in [(Over::Tcp, "tcp"), (Over::Udp, "udp")] {
        // A proxy each: the backend's clip begins anew with each session.
        let proxy = proxy(&server.url(clip), transport);
        let proxied = ffmpeg(&proxy.url("cam"), over, what);
        compare(&format!("{} over {over:?}", clip.name), clip.tracks, &direct, &proxied);
        let (relayed, made) = packets(&proxy);
        assert_eq!(relayed, 0, "{}", clip.name);
        assert!(made > 0, "{}", clip.name);
    }
    assert_sizes(clip, &server);
}

/// Looks at the packets themselves.
fn assert_sizes(clip: Clip, server: &GstServer) {
    for (over, transport) in [(Over::Tcp, "udp"), (Over::Udp, "tcp")] {
        payloads(&proxy(&server.url(clip), transport), over, 1);
    }
}

/// Compares what GStreamer gets from the proxy with what it gets directly.
fn same_in_gstreamer(clip: Clip, depayloader: &str, wanted: usize) {
    let get = |url: &str, over| {
        let process = gst_sums(url, over, depayloader);
        wait::until(PASS, || gst_lines(&process).len() >= wanted);
        gst_lines(&process)
    };
    let server = GstServer::start(&[clip]);
    let direct = get(&server.url(clip), Over::Tcp);
    for (over, transport) in [(Over::Tcp, "tcp"), (Over::Udp, "udp")] {
        let proxy = proxy(&server.url(clip), transport);
        let proxied = get(&proxy.url("cam"), over);
        let what = format!("{} over {over:?}", clip.name);
        assert!(proxied.len() >= wanted, "{what}: only {} frames", proxied.len());
        let start = contiguous_run(&proxied[..wanted], &direct);
        assert!(start.as_ref().is_ok_and(|start| *start <= 2), "{what}: {start:?}");
        assert_eq!(packets(&proxy).0, 0, "{what}");
    }
    assert_sizes(clip, &server);
}

fn compare(
    what: &str,
    (video, audio): (bool, bool),
    direct: &HashMap<usize, Sums>,
    proxied: &HashMap<usize, Sums>,
) {
    let audio_stream = usize::from(video);
    if video {
        let sums = proxied.get(&0).unwrap_or_else(|| panic!("{what}: no video"));
        assert!(sums.len() >= VIDEO_FRAMES, "{what}: only {} frames", sums.len());
        assert_eq!(contiguous_run(&sums[..VIDEO_FRAMES], &direct[&0]), Ok(0), "{what}: video");
    }
    if audio {
        let sums = proxied.get(&audio_stream).unwrap_or_else(|| panic!("{what}: no audio"));
        let wanted = direct[&audio_stream].len() * (SECONDS - 1) / SECONDS;
        assert!(sums.len() > wanted - 3, "{what}: only {} audio frames", sums.len());
        let start = contiguous_run(&sums[..wanted - 3], &direct[&audio_stream])
            .unwrap_or_else(|why| panic!("{what}: audio: {why}"));
        assert!(start <= 2, "{what}: audio begins with unit {start}");
    }
}

/// The payloads of a track's packets, for so many seconds; each is checked for its size.
fn payloads(proxy: &Proxy, over: Over, seconds: u64) -> Vec<Vec<u8>> {
    let mut reader = RawReader::play_tracks(&proxy.url("cam"), over, &[1]);
    let end = wait::now() + Duration::from_secs(seconds);
    let mut payloads = Vec::new();
    while let Some(packet) = {
        let left = end.saturating_duration_since(wait::now());
        reader.next_media(1, left)
    } {
        assert!(packet.data.len() <= LARGEST, "{} bytes over {over:?}", packet.data.len());
        payloads.push(rtp::payload(&packet.data).to_vec());
    }
    assert!(!payloads.is_empty(), "nothing over {over:?}");
    payloads
}

#[test]
fn h264_and_aac_are_made_anew_with_the_same_frames() {
    same(media::H264_AAC, What::Pictures);
}

#[test]
fn h264_in_whole_nal_units_is_cut_into_fu_a() {
    same(media::H264_WHOLE, What::Pictures);
    let server = GstServer::start(&[media::H264_WHOLE]);
    for (over, transport) in [(Over::Tcp, "udp"), (Over::Udp, "tcp")] {
        let proxy = proxy(&server.url(media::H264_WHOLE), transport);
        let payloads = payloads(&proxy, over, 3);
        let count = |kind| payloads.iter().filter(|payload| payload[0] & 0x1f == kind).count();
        assert!(count(28) > payloads.len() / 2, "{} FU-A of {}", count(28), payloads.len());
        // All others fit as they are, or fit together.
        assert_eq!(payloads.iter().filter(|p| (25..28).contains(&(p[0] & 0x1f))).count(), 0);
        assert_eq!(packets(&proxy).0, 0);
    }
}

#[test]
fn the_test_cameras_frames_are_the_same() {
    // Each session of this camera begins with the clip's first frame.
    let options = CameraOptions { start: Start::Beginning, ..CameraOptions::default() };
    let camera = camera::start(options);
    let direct = ffmpeg(&camera.url(0), Over::Tcp, What::Pictures);
    for (over, transport) in [(Over::Tcp, "udp"), (Over::Udp, "tcp")] {
        let proxy = proxy(&camera.url(0), transport);
        let proxied = ffmpeg(&proxy.url("cam"), over, What::Pictures);
        let video = &proxied[&0];
        assert!(video.len() >= VIDEO_FRAMES, "{over:?}: only {} frames", video.len());
        assert_eq!(contiguous_run(&video[..VIDEO_FRAMES], &direct[&0]), Ok(0), "{over:?}");
        let audio = contiguous_run(&proxied[&1][..200], &direct[&1]);
        assert!(audio.as_ref().is_ok_and(|start| *start <= 2), "{over:?}: audio {audio:?}");
        assert!(payloads(&proxy, over, 2).iter().any(|payload| payload[0] & 0x1f == 28));
        assert_eq!(packets(&proxy).0, 0, "{over:?}");
    }
}

#[test]
fn h265_is_made_anew_with_the_same_frames() {
    same(media::H265, What::Pictures);
}

#[test]
fn mpeg_4_is_made_anew_with_the_same_frames() {
    same(media::MPEG4, What::Pictures);
}

#[test]
fn vp8_is_made_anew_with_the_same_frames() {
    same(media::VP8, What::Frames);
}

#[test]
fn vp9_is_made_anew_with_the_same_frames() {
    // ffmpeg gets no frame of this from the backend itself.
    same_in_gstreamer(media::VP9, "rtpvp9depay", VIDEO_FRAMES);
}

#[test]
fn motion_jpeg_is_made_anew_with_the_same_pictures() {
    // Whether an image ends by a marker is left to the packets that it comes in.
    same(media::MJPEG, What::Pictures);
}

#[test]
fn gstreamer_gets_every_h264_frame() {
    // Decoded: parameter sets may stand before key frames where they did not.
    let depayloader =
        "application/x-rtp,media=video ! rtph264depay ! h264parse ! avdec_h264 ! video/x-raw";
    same_in_gstreamer(media::H264_AAC, depayloader, VIDEO_FRAMES);
}

#[test]
fn gstreamer_gets_every_aac_frame() {
    let depayloader = "application/x-rtp,media=audio ! rtpmp4gdepay";
    same_in_gstreamer(media::H264_AAC, depayloader, 200);
}

#[test]
fn mp3_is_made_anew_with_the_same_frames() {
    same(media::MP3, What::Frames);
}

#[test]
fn ac_3_is_made_anew_with_the_same_frames() {
    same(media::AC3, What::Frames);
}

#[test]
fn opus_is_made_anew_with_the_same_frames() {
    same(media::OPUS, What::Frames);
}

#[test]
fn aac_as_latm_is_made_anew_with_the_same_frames() {
    same(media::AAC_LATM, What::Frames);
}

#[test]
fn g711_is_made_anew_with_the_same_samples() {
    same(media::PCMU, What::Samples);
}

#[test]
fn samples_of_16_bits_are_the_same() {
    same(media::L16, What::Samples);
}

#[test]
fn transport_streams_are_made_anew_with_the_same_frames() {
    same(media::MP2T, What::Frames);
}

#[test]
fn a_law_is_made_anew_with_the_same_samples() {
    same(media::PCMA, What::Samples);
}

#[test]
fn samples_of_24_bits_are_the_same() {
    same(media::L24, What::Samples);
}

#[test]
fn g722_is_made_anew_with_the_same_samples() {
    same(media::G722, What::Samples);
}

#[test]
fn vorbis_is_made_anew_with_the_same_frames() {
    same(media::VORBIS, What::Frames);
}

#[test]
fn theora_is_made_anew_with_the_same_frames() {
    // ffmpeg gets no frame of this from the backend itself.
    same_in_gstreamer(media::THEORA, "rtptheoradepay", VIDEO_FRAMES);
}
