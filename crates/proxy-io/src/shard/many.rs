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

    /// Whether many are, as far as is known.
    pub(super) fn is_at_once(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn few_sockets_and_those_who_do_not_want_it_are_asked_one_by_one() {
        assert!(!Many::new(false).is_for(MAX_ALIKE));
        let mut many = Many::new(true);
        assert!(!many.is_for(LEAST - 1));
        assert!(matches!(many.way, Way::NotTried), "no ring is made for nothing");
    }

    #[test]
    fn a_ring_that_is_refused_is_asked_for_once() {
        let mut many = Many {
            way: Way::without(&io::ErrorKind::PermissionDenied.into()),
            results: Vec::new(),
        };
        assert!(!many.is_for(MAX_ALIKE));
        assert!(matches!(many.way, Way::None));
        let (near, _far) = UnixStream::pair().expect("a pair of sockets");
        // Whoever asks nevertheless hears nothing of any socket, and writes to each.
        assert_eq!(many.send(&[near.as_fd(); LEAST], &[IoSlice::new(b"x")]).len(), 0);
    }

    #[test]
    fn each_socket_gets_all_slices_and_a_full_one_says_so() -> io::Result<()> {
        let mut many = Many::new(true);
        if !many.is_for(LEAST) {
            eprintln!("skipped: the kernel allows no io_uring here");
            return Ok(());
        }
        let pairs: Vec<_> = (0..LEAST).map(|_| UnixStream::pair()).collect::<io::Result<_>>()?;
        let full = &pairs[3].0;
        full.set_nonblocking(true)?;
        while io::Write::write(&mut &*full, &[0; 4096]).is_ok() {}
        let sockets: Vec<_> = pairs.iter().map(|(near, _)| near.as_fd()).collect();
        let slices = [IoSlice::new(b"one "), IoSlice::new(b"after the other")];
        let results: Vec<_> = many.send(&sockets, &slices).collect();
        assert_eq!(results.len(), LEAST);
        for (index, (result, (_, far))) in results.into_iter().zip(&pairs).enumerate() {
            if index == 3 {
                assert_eq!(result.map_err(|error| error.kind()), Err(io::ErrorKind::WouldBlock));
                continue;
            }
            assert_eq!(result?, 19);
            let mut got = [0; 19];
            (&*far).read_exact(&mut got)?;
            assert_eq!(&got, b"one after the other");
        }
        Ok(())
    }
}
