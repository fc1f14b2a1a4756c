//! The test camera's request log, as the tests ask of it.

use std::net::SocketAddr;
use std::time::Duration;

use test_camera::{Camera, CameraOptions, LogEntry, LogEvent, Method};

/// A camera.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn start(options: CameraOptions) -> Camera {
    Camera::start(options).expect("a test camera")
}

/// A camera on a port of loopback that was chosen before.
///
/// # Panics
/// If it cannot be started.
#[must_use]
pub fn start_on(port: u16, options: CameraOptions) -> Camera {
    let bind = SocketAddr::from(([127, 0, 0, 1], port));
    start(CameraOptions { bind, ..options })
}

/// How many requests of this method came.
#[must_use]
pub fn count(camera: &Camera, method: Method) -> usize {
    count_in(&camera.log(), method)
}

/// The same of a log.
#[must_use]
pub fn count_in(log: &[LogEntry], method: Method) -> usize {
    log.iter().filter(|entry| entry.is_request(method)).count()
}

/// Waits until that many requests of this method have come.
///
/// # Panics
/// If they do not come, with the log.
pub fn wait_count(camera: &Camera, method: Method, wanted: usize, bound: Duration) {
    let came = camera.wait_for(|log| count_in(log, method) >= wanted, bound);
    assert!(came, "{wanted} {} expected within {bound:?}:\n{}", method.name(), text(camera));
}

/// The methods of all requests in order.
#[must_use]
pub fn methods(camera: &Camera) -> Vec<String> {
    camera.log().iter().filter_map(|entry| Some(entry.request()?.method.clone())).collect()
}

/// When the requests of any of these methods came, since the camera's start.
#[must_use]
pub fn times(camera: &Camera, methods: &[Method]) -> Vec<Duration> {
    let log = camera.log();
    let wanted = |entry: &&LogEntry| methods.iter().any(|method| entry.is_request(*method));
    log.iter().filter(wanted).map(|entry| entry.at).collect()
}

/// Whether a session has been given up for want of a sign of life.
#[must_use]
pub fn has_expired(camera: &Camera) -> bool {
    camera.log().iter().any(|entry| matches!(entry.event, LogEvent::Expired { .. }))
}

/// The log as text, for messages.
#[must_use]
pub fn text(camera: &Camera) -> String {
    camera.log().iter().map(|entry| format!("{entry}\n")).collect()
}
