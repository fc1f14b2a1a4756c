//! What an operator can mend on the host, said once per process.

use std::sync::Once;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Says so if the kernel granted less than a backend's bursts need.
pub(crate) fn receive_buffer(granted: usize, wanted: usize) {
    static ONCE: Once = Once::new();
    if granted < wanted {
        ONCE.call_once(|| {
            tracing::warn!(
                granted,
                wanted,
                "the kernel limits UDP receive buffers, bursts may be lost: sysctl -w net.core.rmem_max={wanted}"
            );
        });
    }
}

/// Says so if the kernel granted less than bursts to many readers need.
pub(crate) fn send_buffer(granted: usize, wanted: usize) {
    static ONCE: Once = Once::new();
    if granted < wanted {
        ONCE.call_once(|| {
            tracing::warn!(
                granted,
                wanted,
                "the kernel limits UDP send buffers: sysctl -w net.core.wmem_max={wanted}"
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
