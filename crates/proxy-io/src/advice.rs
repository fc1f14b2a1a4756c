//! What an operator can mend on the host, said once per process.

use std::sync::Once;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Says so if the kernel granted less than a backend's bursts need.
pub(crate) fn receive_buffer(granted: usize, wanted: usize) {
    static ONCE: Once = Once::new();
    let what = "media from backends over UDP may be lost when it comes in bursts";
    buffer(&ONCE, "net.core.rmem_max", what, granted, wanted);
}

/// Says so if the kernel granted less than bursts to many readers need.
pub(crate) fn send_buffer(granted: usize, wanted: usize) {
    static ONCE: Once = Once::new();
    let what = "media to many readers over UDP may be late or lost when it comes in bursts";
    buffer(&ONCE, "net.core.wmem_max", what, granted, wanted);
}

fn buffer(once: &Once, sysctl: &str, what: &str, granted: usize, wanted: usize) {
    if granted < wanted {
        once.call_once(|| {
            tracing::warn!(
                granted,
                wanted,
                "the kernel limits socket buffers, and {what}: sysctl -w {sysctl}={wanted}"
            );
        });
    }
}

/// Takes as many file descriptors as the host grants without asking: a reader costs one.
pub(crate) fn file_descriptors(connections: usize) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let granted = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    };
    if granted < connections as u64 {
        tracing::debug!(
            granted,
            connections,
            "fewer open files are allowed than connections: ulimit -n"
        );
    }
}
