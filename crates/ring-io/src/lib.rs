//! The same bytes to many sockets in one system call, by Linux's `io_uring(7)`.
//!
//! A [`Ring`] is asked to send and answers when all of it has been tried: nothing is under way
//! between two calls, so that what it sends from is borrowed for a call and no longer. No socket is
//! waited for. Many containers and hardened hosts refuse rings: [`Ring::new`] says so, and who asks
//! has `send(2)` to go on with.

mod drive;

use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, squeue, types};

use crate::drive::{Kernel, Stopped, drive};

/// What a socket is asked: not to wait, and to let an error be an error and not a signal.
const FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// A ring of the kernel's, for the thread that made it.
pub struct Ring {
    /// Gone once the kernel has refused to go on.
    ring: Option<IoUring>,
    /// The kernel takes submissions from one thread alone.
    _own_thread: PhantomData<*const ()>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("works", &self.ring.is_some()).finish()
    }
}

impl Ring {
    /// A ring for so many sockets per system call, rounded up to a power of two by the kernel,
    /// which may cut it down to what it allows.
    ///
    /// # Errors
    /// What the kernel says: it is older than Linux 6.1, or forbids rings to this process
    /// (seccomp, `kernel.io_uring_disabled`), or grants no memory.
    pub fn new(sockets: u32) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_clamp()
            .setup_submit_all()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(sockets)?;
        Ok(Self { ring: Some(ring), _own_thread: PhantomData })
    }

    /// Offers the bytes of all `slices` to each of `sockets`, once, in their order, and says in
    /// `results` how many each one took. A full socket is [`WouldBlock`](io::ErrorKind), whatever
    /// its own mode.
    ///
    /// # Errors
    /// The ring is of no use any more, and will not be from now on. `results` are complete
    /// nevertheless: sockets that nothing was offered to have
    /// [`Interrupted`](io::ErrorKind::Interrupted).
    pub fn send_all(
        &mut self,
        sockets: &[BorrowedFd<'_>],
        slices: &[IoSlice<'_>],
        results: &mut Vec<io::Result<usize>>,
    ) -> io::Result<()> {
        results.clear();
        results.extend(sockets.iter().map(|_| Err(io::ErrorKind::Interrupted.into())));
        let Some(ring) = &mut self.ring else { return Err(io::ErrorKind::Unsupported.into()) };
        let most = ring.params().sq_entries().max(1) as usize;
        for (sockets, results) in sockets.chunks(most).zip(results.chunks_mut(most)) {
            if let Err(error) = send_some(ring, sockets, slices, results) {
                // With it goes what it was given and has not taken.
                self.ring = None;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Sends to as many sockets as there is room for. After an error entries are left in the queue
/// that must never be submitted: the ring has to go.
#[expect(unsafe_code, reason = "what is submitted has to outlive what the kernel does with it")]
fn send_some(
    ring: &mut IoUring,
    sockets: &[BorrowedFd<'_>],
    slices: &[IoSlice<'_>],
    results: &mut [io::Result<usize>],
) -> io::Result<()> {
    // SAFETY: all fields of a `msghdr` are integers and pointers, for which zeros are values.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // An `IoSlice` is an `iovec` (its documentation promises that), and sending writes to neither.
    message.msg_iov = slices.as_ptr().cast::<libc::iovec>().cast_mut();
    message.msg_iovlen = slices.len() as _;
    let entry = |socket: &BorrowedFd<'_>| -> squeue::Entry {
        let fd = types::Fd(socket.as_raw_fd());
        match slices {
            [slice] => {
                // Of a longer one it sends the beginning.
                let length = u32::try_from(slice.len()).unwrap_or(u32::MAX);
                opcode::Send::new(fd, slice.as_ptr(), length).flags(FLAGS).build()
            }
            _ => opcode::SendMsg::new(fd, &raw const message).flags(FLAGS.cast_unsigned()).build(),
        }
    };
    let mut offered = 0;
    let mut queue = ring.submission();
    for (socket, number) in sockets.iter().zip(0_u64..) {
        let entry = entry(socket).user_data(number);
        // SAFETY: the entry names a socket that is open and bytes that are there for as long as
        // this function's arguments and `message` are, which is until it returns. By then, says
        // `drive`, the kernel has completed what it took; what it did not take it never will, for
        // the caller drops the ring.
        if unsafe { queue.push(&entry) }.is_err() {
            break;
        }
        offered += 1;
    }
    drop(queue);
    let done = |number: u64, result: i32| {
        let place = usize::try_from(number).ok().and_then(|number| results.get_mut(number));
        if let Some(place) = place {
            *place = match usize::try_from(result) {
                Ok(sent) => Ok(sent),
                Err(_) => Err(io::Error::from_raw_os_error(result.wrapping_neg())),
            };
        }
    };
    match drive(ring, offered, done) {
        Ok(()) => Ok(()),
        Err(Stopped::Idle(error)) => Err(error),
        // The bytes must stay while the kernel may read them, and they are not ours to keep. It
        // never comes to this: a send that must not wait is over when it has been submitted.
        Err(Stopped::UnderWay) => std::process::abort(),
    }
}

impl Kernel for IoUring {
    fn enter(&mut self, completions: usize) -> io::Result<usize> {
        self.submit_and_wait(completions)
    }

    fn not_taken(&mut self) -> usize {
        self.submission().len()
    }

    fn completed(&mut self, mut each: impl FnMut(u64, i32)) {
        for entry in self.completion() {
            each(entry.user_data(), entry.result());
        }
    }
}

#[cfg(test)]
mod tests;
