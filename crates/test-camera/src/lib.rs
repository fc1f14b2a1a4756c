//! An RTSP camera made for tests: a looping clip, any number of streams, faults on command.
//!
//! A real RTSP 1.0 server (RFC 2326) on plain threads, with real sockets, that shares no code with
//! what it serves to test: OPTIONS, DESCRIBE, SETUP over UDP and interleaved TCP, PLAY, PAUSE,
//! TEARDOWN, GET_PARAMETER, RTCP, basic and digest authentication; if asked, over TLS, in a tunnel
//! over HTTP, and to a multicast group.
//!
//! ```
//! use test_camera::{Camera, CameraOptions, Fault, Method, Target};
//!
//! let camera = Camera::start(CameraOptions::default())?;
//! let url = camera.url(0); // "rtsp://127.0.0.1:PORT/cam"
//! # assert!(url.ends_with("/cam"));
//! camera.fault(Fault::Refuse { method: Method::Describe, status: 404, once: true });
//! camera.fault("stop-sending cam".parse()?);
//! camera.fault(Fault::Resume(Target::All));
//! let described = camera.log().iter().any(|entry| entry.is_request(Method::Describe));
//! # assert!(!described);
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! # What it shows
//!
//! A clip of 16 s that loops without a step in time, whose frames carry their number and whose
//! sound tells the time by its pitch ([`frame_number`], [`tone_time`]); or, for load, filler of any
//! rate whose packets carry a [`Stamp`]. All streams run from one content clock that starts with
//! the camera, so two streams show the same frame at the same time, and what a sender report says
//! of it is true ([`Camera::content_epoch`]).
//!
//! Each track of each session has an SSRC, a first sequence number and a first timestamp of its
//! own, chosen at random by SETUP. Over PAUSE and PLAY sequence numbers go on without a gap and
//! timestamps with the true gap.

mod auth;
mod camera;
mod clock;
mod connection;
mod fault;
mod faults;
mod link;
mod log;
mod marks;
mod media;
mod multicast;
mod options;
mod pacer;
mod random;
mod rtcp;
mod rtsp;
mod sdp;
mod segments;
mod session;
mod shared;
mod tls;

pub use camera::Camera;
pub use fault::{Clock, Fault, FaultError, Method, Target, Track};
pub use log::{LogEntry, LogEvent, LoggedRequest};
pub use marks::{ToneTime, frame_number, tone_time};
pub use media::Stamp;
pub use options::{
    Auth, AuthScheme, CameraOptions, Multicast, Pace, Source, Start, Synthetic, TlsIdentity,
};
