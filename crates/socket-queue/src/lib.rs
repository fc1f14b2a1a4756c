//! What is asked of sockets that no maintained crate offers behind a safe function, and nothing
//! else.
//!
//! Lag that hides in the kernel is seen by nobody: [`unacknowledged`] shows it, by an `ioctl`
//! (Linux: `SIOCOUTQ`, tcp(7)). Groups of IPv6 with one sender are joined by [`join_source_v6`], a
//! `setsockopt` (`MCAST_JOIN_SOURCE_GROUP`, RFC 3678 section 5.1).

mod source;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

pub use source::join_source_v6;

/// Bytes that were written to the socket and that its peer has not acknowledged yet, sent or not.
///
/// # Errors
/// What the system says: the socket is not connected, or its kind has no such queue.
#[expect(unsafe_code, reason = "ioctl has no safe form in any crate of ours")]
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is borrowed, so it is open, and TIOCOUTQ (the same number as SIOCOUTQ)
    // writes one `int` to the address given, which is that of a live local variable.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    match result {
        0 => Ok(u32::try_from(bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn what_a_peer_does_not_read_is_counted_once_its_window_is_full() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut sender = TcpStream::connect(listener.local_addr()?)?;
        let (_peer, _) = listener.accept()?;
        assert_eq!(unacknowledged(sender.as_fd())?, 0);
        sender.set_nonblocking(true)?;
        let block = [0; 64 * 1024];
        while sender.write(&block).is_ok() {}
        assert!(unacknowledged(sender.as_fd())? > 0);
        Ok(())
    }

    #[test]
    fn a_file_has_no_such_queue() -> io::Result<()> {
        let file = std::fs::File::open("/proc/self/exe")?;
        assert!(unacknowledged(file.as_fd()).is_err());
        Ok(())
    }
}
