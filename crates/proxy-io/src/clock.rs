//! The only place where the shards read clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rtp_rtcp::{Now, NtpTime};

/// Both clocks, as every core takes them.
#[expect(clippy::disallowed_methods, reason = "the one place where the shell reads its clocks")]
pub(crate) fn now() -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { mono: Instant::now(), wall: NtpTime::from_unix(unix) }
}

/// The monotonic clock alone, for budgets.
#[expect(clippy::disallowed_methods, reason = "the one place where the shell reads its clocks")]
pub(crate) fn mono() -> Instant {
    Instant::now()
}

/// The CPU time this thread has used, if the system says.
pub(crate) fn thread_cpu() -> Option<std::time::Duration> {
    let used = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).ok()?;
    Some(used.into())
}
