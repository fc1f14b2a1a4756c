//! Every codec and transport, between real programs: what a reader gets through the proxy is, frame
//! by frame, what it gets from the backend itself.

use std::time::Duration;

use integration_tests::backend::GstServer;
use integration_tests::camera;
use integration_tests::frames::{Sums, contiguous_run, parse_framemd5};
use integration_tests::media::{self, Clip, FPS, SECONDS};
use integration_tests::proxy::Proxy;
use integration_tests::reader::{Over, ffmpeg_sums, gst_lines, gst_sums};
use integration_tests::wait;
use test_camera::{CameraOptions, Start};

/// How long one pass over a clip may take.
const PASS: Duration = Duration::from_secs(30);
/// Frames of video that have to be the same: the clip less one second.
const VIDEO_FRAMES: usize = (SECONDS - 1) * FPS;

fn ffmpeg(url: &str, over: Over) -> std::collections::HashMap<usize, Sums> {
    let mut process = ffmpeg_sums(url, over, SECONDS as f64 + 2.0);
    process.wait(PASS);
    parse_framemd5(&process.stdout().all().join("\n"))
}

/// The sums that GStreamer writes, and what it says meanwhile.
fn gstreamer(
    url: &str,
    over: Over,
    media: &str,
    depayloader: &str,
    wanted: usize,
) -> (Sums, String) {
    let process = gst_sums(url, over, media, depayloader);
    wait::until(PASS, || gst_lines(&process).len() >= wanted);
    (gst_lines(&process), process.stderr().all().join("\n"))
}

/// Compares what ffmpeg gets from the proxy with what it gets directly.
fn same_frames(clip: Clip, backend_tcp: bool) {
    let server = GstServer::start(&[clip]);
    let direct = ffmpeg(&server.url(clip), Over::Tcp);
    let source = format!("cam={}", server.url(clip));
    let mut arguments = vec![source.as_str()];
    if backend_tcp {
        arguments.insert(0, "-t");
    }
    for over in [Over::Tcp, Over::Udp] {
        // A proxy each: the backend's clip begins anew with each session.
        let proxy = Proxy::start(&arguments);
        proxy.wait_described("cam");
        let proxied = ffmpeg(&proxy.url("cam"), over);
        let what = format!("{} over {over:?}, backend TCP: {backend_tcp}", clip.name);
        let (video, audio) = clip.tracks;
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
}

#[test]
fn h264_and_aac_pass_unchanged() {
    same_frames(media::H264_AAC, false);
    same_frames(media::H264_AAC, true);
}

#[test]
fn h265_passes_unchanged() {
    same_frames(media::H265, false);
    same_frames(media::H265, true);
}

#[test]
fn g711_passes_unchanged() {
    same_frames(media::PCMU, false);
    same_frames(media::PCMU, true);
}

#[test]
fn opus_passes_unchanged() {
    same_frames(media::OPUS, false);
    same_frames(media::OPUS, true);
}

#[test]
fn motion_jpeg_passes_unchanged() {
    same_frames(media::MJPEG, false);
    same_frames(media::MJPEG, true);
}

#[test]
fn the_test_cameras_frames_pass_unchanged() {
    // Each session of this camera begins with the clip's first frame.
    let options = CameraOptions { start: Start::Beginning, ..CameraOptions::default() };
    let camera = camera::start(options);
    let direct = ffmpeg(&camera.url(0), Over::Tcp);
    for over in [Over::Tcp, Over::Udp] {
        let proxy = Proxy::of_camera(&camera.url(0), &[]);
        proxy.wait_described("cam");
        let proxied = ffmpeg(&proxy.url("cam"), over);
        let video = &proxied[&0];
        assert!(video.len() >= VIDEO_FRAMES, "{over:?}: only {} frames", video.len());
        assert_eq!(contiguous_run(&video[..VIDEO_FRAMES], &direct[&0]), Ok(0), "{over:?}: video");
        let audio = contiguous_run(&proxied[&1][..200], &direct[&1]);
        assert!(audio.as_ref().is_ok_and(|start| *start <= 2), "{over:?}: audio {audio:?}");
    }
}

/// Compares what GStreamer gets from the proxy with what it gets directly.
fn same_frames_in_gstreamer(clip: Clip, depayloader: &str, wanted: usize) {
    let server = GstServer::start(&[clip]);
    let media = if clip.tracks.0 { "video" } else { "audio" };
    let get = |url: &str, over| gstreamer(url, over, media, depayloader, wanted);
    let (direct, _) = get(&server.url(clip), Over::Tcp);
    for over in [Over::Tcp, Over::Udp] {
        let proxy = Proxy::start(&[format!("cam={}", server.url(clip))]);
        proxy.wait_described("cam");
        let (proxied, said) = get(&proxy.url("cam"), over);
        let what = format!("{} over {over:?}", clip.name);
        assert!(
            proxied.len() >= wanted,
            "{what}: only {} frames\nGStreamer said:\n{said}\nthe proxy:\n{}",
            proxied.len(),
            proxy.log()
        );
        assert_eq!(contiguous_run(&proxied[..wanted], &direct), Ok(0), "{what}");
    }
}

#[test]
fn gstreamer_gets_every_h264_frame() {
    let depayloader =
        "rtph264depay ! h264parse ! video/x-h264,stream-format=byte-stream,alignment=au";
    same_frames_in_gstreamer(media::H264_AAC, depayloader, VIDEO_FRAMES);
}

#[test]
fn gstreamer_gets_every_h265_frame() {
    let depayloader =
        "rtph265depay ! h265parse ! video/x-h265,stream-format=byte-stream,alignment=au";
    same_frames_in_gstreamer(media::H265, depayloader, VIDEO_FRAMES);
}

#[test]
fn gstreamer_gets_every_packet_of_g711() {
    same_frames_in_gstreamer(media::PCMU, "rtppcmudepay", 30);
}

#[test]
fn gstreamer_gets_every_opus_packet() {
    same_frames_in_gstreamer(media::OPUS, "rtpopusdepay", 200);
}

#[test]
fn gstreamer_gets_every_jpeg() {
    same_frames_in_gstreamer(media::MJPEG, "rtpjpegdepay", VIDEO_FRAMES);
}
