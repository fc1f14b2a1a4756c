//! The same bytes to many addresses in one system call: `sendmmsg` of GSO messages.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, sendmmsg,
};

/// What became of one call of [`BatchSender::send`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum SendOutcome {
    /// The first so many destinations took it. Fewer than were offered: call again for the rest,
    /// an error then belongs to the first of them.
    Took(usize),
    /// The socket is full (`EAGAIN`), or a signal came first: offer the same again when it is
    /// writable.
    Blocked,
    /// The device is (`ENOBUFS`), which leaves the socket writable: offer the same again later.
    Busy,
    /// The first destination refused, for this reason; the others have not been tried.
    Refused(Errno),
    /// The way to the first destination takes no segmented messages, or none of this size: its
    /// path MTU is smaller (`EMSGSIZE`, in older kernels `EINVAL`), or its device or the kernel
    /// does not segment (`EIO`, `EOPNOTSUPP`). Offer it single datagrams, which the kernel sends in
    /// fragments where it has to. Nothing has been sent, and it says nothing of the others.
    NoSegments,
}

/// Sends the same bytes to many addresses, from sockets of either family.
///
/// It keeps the headers of [`BatchSender::MAX_MESSAGES`] messages of each kind, made once, some
/// tens of KiB: sending allocates nothing.
pub struct BatchSender {
    v4: Headers<SockaddrIn>,
    v6: Headers<SockaddrIn6>,
}

impl std::fmt::Debug for BatchSender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchSender").finish_non_exhaustive()
    }
}

/// `nix`'s headers never clear a control message once set, so a message with one and a message
/// without must not share headers: a later packet would be cut into segments of the earlier size.
struct Headers<S> {
    plain: MultiHeaders<S>,
    segmented: MultiHeaders<S>,
    addresses: Vec<Option<S>>,
}

impl Default for BatchSender {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchSender {
    /// Destinations that one call reaches at most.
    pub const MAX_MESSAGES: usize = 64;

    /// Makes room for the headers.
    #[must_use]
    pub fn new() -> Self {
        Self { v4: Headers::new(), v6: Headers::new() }
    }

    /// Sends `payload` to the first [`MAX_MESSAGES`](Self::MAX_MESSAGES) of `to`, which are all of
    /// the socket's own family, by one system call that does not wait.
    ///
    /// With a `segment` each destination gets datagrams of so many bytes, the last one possibly
    /// shorter; without, a single one. The kernel takes at most 64 KiB and 64 segments (128 since
    /// Linux 6.9) in one message, and segments that fit into the device's MTU.
    pub fn send(
        &mut self,
        socket: impl AsFd,
        payload: &[u8],
        segment: Option<u16>,
        to: &[SocketAddr],
    ) -> SendOutcome {
        let fd = socket.as_fd().as_raw_fd();
        match to.first() {
            None => SendOutcome::Took(0),
            Some(SocketAddr::V4(_)) => {
                let v4 = to.iter().map_while(|a| match a {
                    SocketAddr::V4(a) => Some(SockaddrIn::from(*a)),
                    SocketAddr::V6(_) => None,
                });
                self.v4.send(fd, payload, segment, v4)
            }
            Some(SocketAddr::V6(_)) => {
                let v6 = to.iter().map_while(|a| match a {
                    SocketAddr::V6(a) => Some(SockaddrIn6::from(*a)),
                    SocketAddr::V4(_) => None,
                });
                self.v6.send(fd, payload, segment, v6)
            }
        }
    }
}

impl<S: SockaddrLike + Copy> Headers<S> {
    fn new() -> Self {
        Self {
            plain: MultiHeaders::preallocate(BatchSender::MAX_MESSAGES, None),
            segmented: MultiHeaders::preallocate(BatchSender::MAX_MESSAGES, Some(cmsg_space!(u16))),
            addresses: Vec::with_capacity(BatchSender::MAX_MESSAGES),
        }
    }

    fn send(
        &mut self,
        fd: RawFd,
        payload: &[u8],
        segment: Option<u16>,
        to: impl Iterator<Item = S>,
    ) -> SendOutcome {
        self.addresses.clear();
        self.addresses.extend(to.take(BatchSender::MAX_MESSAGES).map(Some));
        let iov = [IoSlice::new(payload)];
        let slices = std::iter::repeat_n(&iov, self.addresses.len());
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let result = match segment {
            Some(size) => {
                let control = [ControlMessage::UdpGsoSegments(&size)];
                sendmmsg(fd, &mut self.segmented, slices, &self.addresses, control, flags)
                    .map(Iterator::count)
            }
            None => {
                let none: [ControlMessage<'_>; 0] = [];
                sendmmsg(fd, &mut self.plain, slices, &self.addresses, none, flags)
                    .map(Iterator::count)
            }
        };
        match result {
            Ok(sent) => SendOutcome::Took(sent),
            Err(Errno::EAGAIN | Errno::EINTR) => SendOutcome::Blocked,
            Err(Errno::ENOBUFS) => SendOutcome::Busy,
            Err(Errno::EMSGSIZE | Errno::EINVAL | Errno::EIO | Errno::EOPNOTSUPP)
                if segment.is_some() =>
            {
                SendOutcome::NoSegments
            }
            Err(errno) => SendOutcome::Refused(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::net::UdpSocket;
    use std::time::Duration;

    fn receiver() -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(socket)
    }

    fn sizes(socket: &UdpSocket, count: usize) -> io::Result<Vec<usize>> {
        let mut buf = [0; 65_536];
        (0..count).map(|_| socket.recv(&mut buf)).collect()
    }

    #[test]
    fn segmented_and_whole_messages_in_any_order_arrive_with_their_own_sizes() -> io::Result<()> {
        let to = [receiver()?, receiver()?];
        let addresses: Vec<_> = to.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
        let from = UdpSocket::bind("127.0.0.1:0")?;
        let mut sender = BatchSender::new();
        let payload = vec![7_u8; 1200];
        for segment in [None, Some(400), None, Some(500), None] {
            let outcome = sender.send(&from, &payload, segment, &addresses);
            if outcome == SendOutcome::NoSegments {
                continue;
            }
            assert_eq!(outcome, SendOutcome::Took(2));
            let expected = match segment {
                None => vec![1200],
                Some(400) => vec![400, 400, 400],
                Some(_) => vec![500, 500, 200],
            };
            for socket in &to {
                assert_eq!(sizes(socket, expected.len())?, expected);
            }
        }
        Ok(())
    }

    #[test]
    fn a_destination_that_cannot_be_reached_is_named_by_its_place() -> io::Result<()> {
        let good = receiver()?;
        // The broadcast address is refused without SO_BROADCAST.
        let to =
            [good.local_addr()?, SocketAddr::from(([255, 255, 255, 255], 9)), good.local_addr()?];
        let from = UdpSocket::bind("127.0.0.1:0")?;
        let mut sender = BatchSender::new();
        assert_eq!(sender.send(&from, b"x", None, &to), SendOutcome::Took(1));
        let rest = sender.send(&from, b"x", None, &to[1..]);
        assert!(matches!(rest, SendOutcome::Refused(_)));
        assert_eq!(sender.send(&from, b"x", None, &to[2..]), SendOutcome::Took(1));
        Ok(())
    }
}
