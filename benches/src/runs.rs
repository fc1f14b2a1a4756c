//! UDP messages as their sender handed them to the kernel.
//!
//! On loopback a segmented message (GSO) reaches a socket that takes joined ones (GRO) in one
//! piece: so it can be seen what the sender put into one call, and when.

use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};

/// One message as it came.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its datagrams, one after the other.
    pub bytes: &'a [u8],
    /// The size of each, the last one possibly shorter.
    pub segment: usize,
    /// When the kernel had it, by the wall clock since 1970; none where the kernel does not say.
    pub at: Option<Duration>,
}

impl<'a> Message<'a> {
    /// The datagrams.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.bytes.chunks(self.segment.max(1))
    }
}

/// What datagrams are received into; one serves any number of sockets.
#[derive(Debug)]
pub struct Scratch {
    bytes: Vec<u8>,
    size: usize,
    meta: [RecvMeta; BATCH_SIZE],
}

impl Scratch {
    /// Room for messages of at most `size` bytes: [`Scratch::JOINED`] for those that may be joined.
    #[must_use]
    pub fn new(size: usize) -> Self {
        let size = size.max(1);
        let meta = [RecvMeta::default(); BATCH_SIZE];
        Self { bytes: vec![0; size * BATCH_SIZE], size, meta }
    }

    /// The largest message that the kernel hands over.
    pub const JOINED: usize = 65_536;
}

/// A non-blocking UDP socket that knows when its messages came.
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Receiver {
    /// Gets messages as they were sent, several datagrams in one piece.
    ///
    /// # Errors
    /// The socket's options cannot be set.
    pub fn of_messages(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        Ok(Self { socket, state })
    }

    /// Gets datagrams, as players do: it is the sender who pays for taking messages apart.
    ///
    /// # Errors
    /// The socket's options cannot be set.
    pub fn of_datagrams(socket: UdpSocket) -> io::Result<Self> {
        let this = Self::of_messages(socket)?;
        setsockopt(&this.socket, sockopt::UdpGroSegment, &false)?;
        Ok(this)
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Takes what one system call brings and says how many messages it was.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing, and what the kernel says.
    pub fn take(
        &self,
        scratch: &mut Scratch,
        mut each: impl FnMut(Message<'_>),
    ) -> io::Result<usize> {
        let Scratch { bytes, size, meta } = scratch;
        let mut chunks = bytes.chunks_mut(*size);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let count = self.state.recv(UdpSockRef::from(&self.socket), &mut slices, meta)?;
        for (meta, slice) in meta.iter().zip(&slices).take(count) {
            let bytes = slice.get(..meta.len).unwrap_or_default();
            each(Message { bytes, segment: meta.stride, at: meta.timestamp });
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};
    use std::io::IoSlice;
    use std::net::SocketAddr;
    use std::os::fd::AsRawFd;

    fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").expect("a port of loopback")
    }

    fn send(from: &UdpSocket, to: &UdpSocket, bytes: &[u8], segment: u16) -> bool {
        let Ok(SocketAddr::V4(to)) = to.local_addr() else { return false };
        let iov = [IoSlice::new(bytes)];
        let control = [ControlMessage::UdpGsoSegments(&segment)];
        let to = SockaddrIn::from(to);
        sendmsg(from.as_raw_fd(), &iov, &control, MsgFlags::empty(), Some(&to)).is_ok()
    }

    fn taken(receiver: &Receiver) -> Vec<(usize, usize)> {
        let mut scratch = Scratch::new(Scratch::JOINED);
        let mut out = Vec::new();
        while receiver
            .take(&mut scratch, |message| out.push((message.bytes.len(), message.segment)))
            .is_ok()
        {}
        out
    }

    #[test]
    fn messages_come_as_they_were_sent_and_datagrams_one_by_one() {
        let from = socket();
        let whole = Receiver::of_messages(socket()).expect("options");
        let single = Receiver::of_datagrams(socket()).expect("options");
        for to in [&whole, &single] {
            assert!(send(&from, to.socket(), &[7; 1000], 400), "the kernel takes segments");
            assert!(send(&from, to.socket(), &[7; 800], 400));
        }
        assert_eq!(taken(&whole), [(1000, 400), (800, 400)]);
        let sizes: Vec<_> = taken(&single).into_iter().map(|(length, _)| length).collect();
        assert_eq!(sizes, [400, 400, 200, 400, 400]);
    }

    #[test]
    fn a_message_says_when_it_came() {
        let (from, to) = (socket(), Receiver::of_messages(socket()).expect("options"));
        let before = crate::clock::wall();
        assert!(send(&from, to.socket(), &[1; 10], 10));
        let mut at = None;
        to.take(&mut Scratch::new(100), |message| at = message.at).expect("it is there");
        let at = at.expect("a time");
        // The kernel's and our reading of one clock.
        assert!(at + Duration::from_millis(1) >= before && at <= crate::clock::wall());
    }
}
