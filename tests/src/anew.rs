//! Streams whose packets are made anew, and what is compared of them.

use std::collections::HashMap;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::frames::{Sums, contiguous_run, parse_framemd5};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::raw::RawReader;
use crate::reader::{Over, gst_lines, gst_sums};
use crate::tally::Packet;
use crate::wait;

/// What is asked for, in bytes of UDP payload, and what must not be exceeded.
pub const LARGEST: usize = 700;
/// How long one pass over a clip may take, on a machine that is busy with other things too.
const PASS: Duration = Duration::from_secs(60);
/// How readers and the proxy itself get their media while frames are compared, and while packets
/// are looked at.
const COMPARED: [(Over, &str); 2] = [(Over::Tcp, "tcp"), (Over::Udp, "udp")];
const LOOKED_AT: [(Over, &str); 2] = [(Over::Tcp, "udp"), (Over::Udp, "tcp")];

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// What the reader puts together, undecoded.
    Frames,
    /// Decoded pictures: parameter sets may stand before key frames where they did not.
    Pictures,
    /// Decoded samples: packets may be cut elsewhere.
    Samples,
}

/// ffmpeg's checksums of the first seconds, by stream: video before audio.
#[must_use]
pub fn ffmpeg(url: &str, over: Over, what: What, seconds: f64) -> HashMap<usize, Sums> {
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
    command.args(["-t", &seconds.to_string(), "-f", "framemd5", "-"]);
    let mut process = Process::start("ffmpeg", &mut command);
    process.wait(PASS);
    parse_framemd5(&process.stdout().all().join("\n"))
}

/// GStreamer's checksums of so many frames of the track of this media, as for [`gst_sums`], or of as
/// many as come.
#[must_use]
pub fn gstreamer(url: &str, over: Over, media: &str, depayloader: &str, wanted: usize) -> Sums {
    let mut process = gst_sums(url, over, media, depayloader);
    let done = || gst_lines(&process).len() >= wanted;
    if !wait::until(PASS, done) && gst_lines(&process).is_empty() {
        let running = process.is_running();
        let said = process.stderr().all().join("\n");
        panic!("GStreamer gets nothing of {url} over {over:?}; running: {running}\n{said}");
    }
    gst_lines(&process)
}

/// A proxy whose stream `cam` makes packets of at most [`LARGEST`] bytes.
#[must_use]
pub fn proxy(source: &str, transport: &str) -> Proxy {
    let proxy = Proxy::configured(&format!(
        "[streams.cam]\nsource = \"{source}\"\ntransport = \"{transport}\"\n\
         packets = \"reframe\"\nmax_udp_payload = {LARGEST}\n"
    ));
    proxy.wait_described("cam");
    proxy
}

/// How many packets were relayed and how many were made, as the log says.
///
/// # Panics
/// If it does not say so.
#[must_use]
pub fn packets(proxy: &Proxy) -> (u64, u64) {
    proxy.process.signal(Signal::SIGUSR1);
    let line = proxy.wait_for_log(Duration::from_secs(10), &["status", "cam", "relayed"]);
    let number = |name: &str| {
        let at = line.find(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name}: {line}"));
        let rest = line[at..].split_once('=').map_or("", |(_, rest)| rest);
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{name} is no number: {line}"))
    };
    (number("relayed"), number("made"))
}

/// Gets the same from the backend itself and through proxies over TCP and UDP, all at once, while
/// other proxies' packets are looked at; gives what came directly and, by transport, through.
///
/// # Panics
/// If a packet is larger than asked for or is the backend's own.
pub fn compare<T: Send>(source: &str, get: impl Fn(&str, Over) -> T + Sync) -> (T, Vec<(Over, T)>) {
    let get = &get;
    thread::scope(|scope| {
        let direct = scope.spawn(|| get(source, Over::Tcp));
        // A proxy each: a backend's clip begins anew with each session.
        let through = COMPARED.map(|(over, transport)| {
            scope.spawn(move || {
                let proxy = proxy(source, transport);
                let got = get(&proxy.url("cam"), over);
                let (relayed, made) = packets(&proxy);
                assert_eq!(relayed, 0, "{source}");
                assert!(made > 0, "{source}");
                (over, got)
            })
        });
        let sizes = scope.spawn(|| {
            for (over, transport) in LOOKED_AT {
                let _checked = media(&proxy(source, transport), over, Duration::from_secs(1));
            }
        });
        let done = "a thread of this test panicked";
        let through = through.map(|thread| thread.join().expect(done)).into();
        sizes.join().expect(done);
        (direct.join().expect(done), through)
    })
}

/// Compares the first frames of one stream.
///
/// # Panics
/// If there are fewer, or if they are not those of the backend from its first frame on; a stream
/// whose frames all stand for themselves may begin with one of the next two.
pub fn assert_same(what: &str, direct: &[String], proxied: &[String], wanted: usize, first: usize) {
    assert!(proxied.len() >= wanted, "{what}: only {} frames", proxied.len());
    let start = contiguous_run(&proxied[..wanted], direct);
    assert!(start.as_ref().is_ok_and(|start| *start <= first), "{what}: {start:?}");
}

/// The packets of the first track of `cam`, for so long; each is checked for its size.
///
/// # Panics
/// If one is too large, or none comes.
#[must_use]
pub fn media(proxy: &Proxy, over: Over, time: Duration) -> Vec<Packet> {
    let packets = media_of(&proxy.url("cam"), over, time);
    for packet in &packets {
        assert!(packet.data.len() <= LARGEST, "{} bytes over {over:?}", packet.data.len());
    }
    packets
}

/// The packets of the first track of a stream, for so long after the first of them.
///
/// # Panics
/// If none comes.
#[must_use]
pub fn media_of(url: &str, over: Over, time: Duration) -> Vec<Packet> {
    let mut reader = RawReader::play_tracks(url, over, &[1]);
    // The backend may have to be asked for it first.
    let first = reader.next_media(1, Duration::from_secs(15));
    let mut packets = Vec::from([first.unwrap_or_else(|| panic!("nothing over {over:?}"))]);
    let end = wait::now() + time;
    while let Some(packet) = {
        let left = end.saturating_duration_since(wait::now());
        reader.next_media(1, left)
    } {
        packets.push(packet);
    }
    packets
}
