//! Where the programs are that the tests run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The Python that Debian's bindings belong to.
const PYTHON: &str = "/usr/bin/python3";

/// A Python program of these tests, which lies in `media`.
#[must_use]
pub fn python(name: &str) -> Command {
    let mut command = Command::new(PYTHON);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("media").join(name));
    command
}

/// GStreamer that plays a URL, as `media/gst_launch.py` says. What plays follows in the arguments:
/// it begins with an element named `video`, `audio`, or `media` for a stream of one track.
#[must_use]
pub fn gst_play(options: &[&str], url: &str, protocols: &str, latency_ms: u32) -> Command {
    let mut command = python("gst_launch.py");
    command.args(options).args(["rtspsrc", "name=source", &format!("location={url}")]);
    command.args([format!("protocols={protocols}"), format!("latency={latency_ms}")]);
    command
}

/// The proxy's program: `PROXY_SERVER_BIN`, or the one beside the tests.
///
/// # Panics
/// If there is none: `cargo xtask test` builds it.
#[must_use]
pub fn proxy_server() -> PathBuf {
    built("PROXY_SERVER_BIN", "proxy-server")
}

/// The test camera's program.
///
/// # Panics
/// If there is none: `cargo xtask test` builds it.
#[must_use]
pub fn test_camera() -> PathBuf {
    built("TEST_CAMERA_BIN", "test-camera")
}

fn built(variable: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return path.into();
    }
    let beside = std::env::current_exe().ok().and_then(|exe| {
        let profile = exe.parent()?.parent()?;
        let target = profile.parent()?;
        [target.join("release").join(name), profile.join(name)].into_iter().find(|p| p.is_file())
    });
    match beside {
        Some(path) => path,
        None => panic!("{name} has not been built: run `cargo xtask test`"),
    }
}

/// Whether a program answers at all.
#[must_use]
pub fn has(program: &str) -> bool {
    Command::new(program)
        .arg("-version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
}
