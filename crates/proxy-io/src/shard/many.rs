//! One system call for many TCP readers, where the kernel allows it.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Once;

use fan_out::MAX_ALIKE;
use ring_io::Ring;

/// With fewer sockets a call for each costs no more.
const LEAST: usize = 8;

/// A shard's way to offer the same to many sockets at once.
pub(super) struct Many {
    way: Way,
    results: Vec<io::Result<usize>>,
}

enum Way {
    /// Nobody had so many readers yet.
    NotTried,
    Ring(Box<Ring>),
    /// Refused, or not wanted.
    None,
}

impl Many {
    pub(super) fn new(wanted: bool) -> Self {
        let way = if wanted { Way::NotTried } else { Way::None };
        Self { way, results: Vec::new() }
    }

    /// Whether so many are better offered something at once than one by one.
    pub(super) fn is_for(&mut self, sockets: usize) -> bool {
        if sockets < LEAST {
            return false;
        }
        if let Way::NotTried = self.way {
            self.way = match Ring::new(u32::try_from(MAX_ALIKE).unwrap_or(u32::MAX)) {
                Ok(ring) => Way::Ring(Box::new(ring)),
                Err(error) => Way::without(&error),
            };
        }
        matches!(self.way, Way::Ring(_))
    }

    /// Offers all slices to each socket, and says what each one took. Those that could not be
    /// offered anything were [interrupted](io::ErrorKind::Interrupted).
    pub(super) fn send(
        &mut self,
        sockets: &[BorrowedFd<'_>],
        slices: &[IoSlice<'_>],
    ) -> std::vec::Drain<'_, io::Result<usize>> {
        let Self { way, results } = self;
        match way {
            Way::Ring(ring) => {
                if let Err(error) = ring.send_all(sockets, slices, results) {
                    *way = Way::without(&error);
                }
            }
            Way::NotTried | Way::None => results.clear(),
        }
        results.drain(..)
    }
}

impl Way {
    /// Each shard finds out, the log is told once.
    fn without(why: &io::Error) -> Self {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            tracing::debug!(%why, "io_uring is not available: readers are written to one by one");
        });
        Self::None
    }
}
