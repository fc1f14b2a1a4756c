//! Packets made anew, between real programs: frames are those of the backend, and packets are of
//! the size asked for.

use std::time::Duration;

use integration_tests::anew::{self, What, assert_same, packets, proxy};
use integration_tests::backend::GstServer;
use integration_tests::camera;
use integration_tests::media::{self, Clip, FPS, SECONDS};
use integration_tests::proxy::Proxy;
use integration_tests::reader::Over;
use test_camera::{CameraOptions, Start};

/// Frames of video that have to be the same: the clip less one second.
const VIDEO_FRAMES: usize = (SECONDS - 1) * FPS;
/// How much of a clip ffmpeg is asked for, in seconds: all.
const WHOLE: f64 = SECONDS as f64 + 2.0;

/// Compares what ffmpeg gets from the proxy with what it gets directly.
fn same(clip: Clip, what: What) {
    let server = GstServer::start(&[clip]);
    let get = |url: &str, over| anew::ffmpeg(url, over, what, WHOLE);
    let (direct, through) = anew::compare(&server.url(clip), get);
    let (video, audio) = clip.tracks;
    for (over, proxied) in through {
        let what = format!("{} over {over:?}", clip.name);
        let sums = |stream| proxied.get(&stream).map(Vec::as_slice).unwrap_or_default();
        if video {
            assert_same(&what, &direct[&0], sums(0), VIDEO_FRAMES, 0);
        }
        if audio {
            let stream = usize::from(video);
            let wanted = direct[&stream].len() * (SECONDS - 1) / SECONDS - 3;
            assert_same(&what, &direct[&stream], sums(stream), wanted, 2);
        }
    }
}

/// Compares what GStreamer gets from the proxy with what it gets directly.
fn same_in_gstreamer(clip: Clip, media: &str, depayloader: &str, wanted: usize) {
    let server = GstServer::start(&[clip]);
    let get = |url: &str, over| anew::gstreamer(url, over, media, depayloader, wanted);
    let (direct, through) = anew::compare(&server.url(clip), get);
    for (over, proxied) in through {
        let what = format!("{} over {over:?}", clip.name);
        assert_same(&what, &direct, &proxied, wanted, 2);
    }
}

/// The payloads of the first track's packets, for so many seconds.
fn payloads(proxy: &Proxy, over: Over, seconds: u64) -> Vec<Vec<u8>> {
    let packets = anew::media(proxy, over, Duration::from_secs(seconds));
    packets.iter().map(|packet| packet.payload().to_vec()).collect()
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
    let get = |url: &str, over| anew::ffmpeg(url, over, What::Pictures, WHOLE);
    let (direct, through) = anew::compare(&camera.url(0), get);
    for (over, proxied) in through {
        let what = format!("{over:?}");
        assert_same(&what, &direct[&0], &proxied[&0], VIDEO_FRAMES, 0);
        assert_same(&what, &direct[&1], &proxied[&1], 200, 2);
    }
    let payloads = payloads(&proxy(&camera.url(0), "udp"), Over::Tcp, 2);
    assert!(payloads.iter().any(|payload| payload[0] & 0x1f == 28));
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
    same_in_gstreamer(media::VP9, "media", "rtpvp9depay", VIDEO_FRAMES);
}

#[test]
fn motion_jpeg_is_made_anew_with_the_same_pictures() {
    // Whether an image ends by a marker is left to the packets that it comes in.
    same(media::MJPEG, What::Pictures);
}

#[test]
fn gstreamer_gets_every_h264_frame() {
    // Decoded: parameter sets may stand before key frames where they did not.
    let depayloader = "rtph264depay ! h264parse ! avdec_h264 ! video/x-raw";
    same_in_gstreamer(media::H264_AAC, "video", depayloader, VIDEO_FRAMES);
}

#[test]
fn gstreamer_gets_every_aac_frame() {
    let depayloader = "rtpmp4gdepay";
    same_in_gstreamer(media::H264_AAC, "audio", depayloader, 200);
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
    same_in_gstreamer(media::THEORA, "media", "rtptheoradepay", VIDEO_FRAMES);
}
