//! What a camera is asked to be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a camera is set up. `CameraOptions::default()` is one stream of the clip on a free port of
/// 127.0.0.1, frames spread over their interval, no authentication.
#[derive(Clone, Debug)]
pub struct CameraOptions {
    /// Where to listen for RTSP, IPv4 or IPv6. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// How many streams there are: `/cam`, `/cam1`, `/cam2` and so on. At least 1.
    pub streams: usize,
    /// What the streams show.
    pub source: Source,
    /// Pictures to show in place of the built-in clip's: the video track of an MP4 file, H.264 or
    /// H.265, at a constant rate of whole frames per second, beginning with a key frame. It must
    /// last 16 s, or several times that, where there is sound too. Frames are sent in decoding
    /// order with the timestamps at which they are shown, each once an encoder would have it.
    pub pictures: Option<PathBuf>,
    /// Packets to send in place of pictures and sound, over and over, each when its timestamp says:
    /// a file of one track's RTP packets, each behind its length in 16 bits (RFC 4571), and beside
    /// it, with the ending `.sdp`, their description. Only sequence numbers, timestamps and SSRC
    /// are the session's own. The track goes by the name of video in faults.
    pub replay: Option<PathBuf>,
    /// Whether the clip's sound is offered too. Synthetic sources have none.
    pub audio: bool,
    /// How the packets of a frame are laid out in time.
    pub pace: Pace,
    /// Whether a track's packets over UDP that are due at the same moment leave in segmented
    /// messages (`UDP_SEGMENT`), where they are of one size: on loopback a receiver with `UDP_GRO`
    /// gets them joined, as behind a network card that joins what it receives, any other the same
    /// datagrams as ever. Where the kernel refuses such messages they leave one by one.
    pub segmented: bool,
    /// Where a session that starts to play finds itself.
    pub start: Start,
    /// How long the content has been running already when it begins: the clip then starts this far
    /// on, and RTP time is what it is after so long.
    pub age: Duration,
    /// Whether the streams' key frames are spread over the key frame interval; if not, all streams
    /// show the same frame at the same time.
    pub stagger: bool,
    /// The most payload bytes in one RTP packet, from 64 to 65,000; larger NAL units go in fragments.
    pub payload_limit: usize,
    /// Whether each key frame is preceded by its parameter sets (the description always has them).
    pub in_band_parameter_sets: bool,
    /// Credentials asked for, if any.
    pub auth: Option<Auth>,
    /// Whether every connection is TLS, and with what certificate.
    pub tls: Option<TlsIdentity>,
    /// Whether RTSP over HTTP is understood beside plain RTSP.
    pub tunnel: bool,
    /// The group that media goes to for who asks for multicast; else such requests are refused.
    pub multicast: Option<Multicast>,
    /// The session timeout that is announced, in whole seconds.
    pub timeout: Duration,
    /// Whether a session without requests or RTCP for `timeout` is ended.
    pub enforce_timeout: bool,
    /// How often each track sends a sender report.
    pub report_interval: Duration,
    /// How many connections may be open at once; further ones are closed at once.
    pub max_connections: usize,
}

impl Default for CameraOptions {
    fn default() -> Self {
        Self {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            streams: 1,
            source: Source::Clip,
            pictures: None,
            replay: None,
            audio: true,
            pace: Pace::Spread,
            segmented: false,
            start: Start::Now,
            age: Duration::ZERO,
            stagger: false,
            payload_limit: 1400,
            in_band_parameter_sets: true,
            auth: None,
            tls: None,
            tunnel: false,
            multicast: None,
            timeout: Duration::from_secs(60),
            enforce_timeout: false,
            report_interval: Duration::from_secs(5),
            max_connections: 512,
        }
    }
}

/// What a stream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The built-in clip, looped: H.264 320x180 at 25 frames per second, a key frame every 2 s,
    /// and AAC-LC 48 kHz mono.
    Clip,
    /// H.264 of any rate that no decoder should be given: the parameter sets of the clip and NAL
    /// units of the right types, filled with text. Each packet carries a [`Stamp`](crate::Stamp).
    Synthetic(Synthetic),
}

/// The measures of a synthetic stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synthetic {
    /// Bits per second of NAL units, key frames included.
    pub bitrate: u64,
    /// Frames per second, at least 1.
    pub fps: u32,
    /// Frames from one key frame to the next, at least 1.
    pub gop: u32,
    /// Size of a key frame in bytes; the other frames share what the bit rate leaves.
    pub key_frame_bytes: usize,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self { bitrate: 4_000_000, fps: 25, gop: 50, key_frame_bytes: 60_000 }
    }
}

/// Who the camera says it is.
#[derive(Clone)]
pub struct TlsIdentity {
    /// Its certificate and those above it, as PEM.
    pub certificates: Vec<u8>,
    /// The certificate's private key, as PEM.
    pub key: Vec<u8>,
}

impl fmt::Debug for TlsIdentity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

/// A multicast group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// Its address, of the family that the camera is bound to.
    pub group: IpAddr,
    /// The even port of the first stream's first track; RTCP, the next track and the next stream
    /// follow.
    pub port: u16,
    /// How many networks packets may cross.
    pub ttl: u8,
    /// Whether the description names the camera as the only sender (RFC 4570).
    pub source_specific: bool,
}

/// How the packets of a frame are laid out in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// All at once.
    Burst,
    /// One after the other, as a line of so many Mbit/s would carry them.
    Line(f64),
    /// Evenly over the frame interval.
    Spread,
}

/// Where a session that starts to play finds itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the next frame, as it comes.
    Now,
    /// Sound at once, picture from the next key frame on.
    KeyFrame,
    /// At the first frame of the clip: the session's content begins when it first plays. Sessions
    /// then no longer show the same frame at the same time; every one of them begins with the
    /// same frames.
    Beginning,
}

/// Credentials asked for, and how.
#[derive(Clone, Debug)]
pub struct Auth {
    /// The only user there is.
    pub user: String,
    /// That user's password.
    pub password: String,
    /// The realm of the challenge.
    pub realm: String,
    /// The schemes offered, one `WWW-Authenticate` header each, in this order.
    pub schemes: Vec<AuthScheme>,
    /// Whether the digest challenges ask for `qop="auth"`.
    pub qop: bool,
    /// After how many requests a nonce is refused as stale, if ever.
    pub nonce_uses: Option<u32>,
}

impl Auth {
    /// Asks for `user` and `password` by one `scheme`, as most cameras do (no `qop`, a nonce that
    /// lasts as long as the connection).
    pub fn new(scheme: AuthScheme, user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            realm: "test-camera".to_owned(),
            schemes: vec![scheme],
            qop: false,
            nonce_uses: None,
        }
    }
}

/// A way to ask for credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// RFC 7617.
    Basic,
    /// RFC 2617, without an `algorithm` parameter.
    DigestMd5,
    /// RFC 7616 with `algorithm=SHA-256`.
    DigestSha256,
}
