//! An RTSP camera made for tests: a looping clip, any number of streams, faults on command.
mod camera;
mod clock;
mod fault;
mod log;
mod options;

pub use camera::Camera;
pub use fault::{Fault, FaultError, Method, Target, Track};
pub use log::{LogEntry, LogEvent, LoggedRequest};
pub use options::{Auth, AuthScheme, CameraOptions, Pace, Source, Start, Synthetic};
/// Placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp;
