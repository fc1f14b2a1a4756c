//! The only place where this crate reads clocks.

use std::time::{Duration, Instant, SystemTime};

/// The monotonic time.
#[expect(clippy::disallowed_methods, reason = "the camera is a shell; this is its clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The host's wall clock.
#[expect(clippy::disallowed_methods, reason = "the camera is a shell; this is its clock")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// A moment read from both clocks, from which wall clock times are told without further steps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    pub(crate) mono: Instant,
    pub(crate) wall: SystemTime,
}

impl Epoch {
    pub(crate) fn now() -> Self {
        Self { mono: now(), wall: wall() }
    }

    /// The wall clock time at `instant`.
    pub(crate) fn wall_at(&self, instant: Instant) -> SystemTime {
        match instant.checked_duration_since(self.mono) {
            Some(after) => self.wall + after,
            None => self.wall - self.mono.duration_since(instant),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        now().duration_since(self.mono)
    }
}
