//! The cheapest ways to send the same bytes to many sockets.

use std::io::{self, IoSlice, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, bail};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};

/// Messages of one call.
const MESSAGES: usize = 64;

/// Datagrams to many addresses.
///
/// Headers never lose a control message once they have one: messages with and without have their
/// own.
pub(crate) struct UdpSender {
    socket: UdpSocket,
    plain: MultiHeaders<SockaddrIn>,
    segmented: MultiHeaders<SockaddrIn>,
}

impl UdpSender {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            socket: UdpSocket::bind("127.0.0.1:0")?,
            plain: MultiHeaders::preallocate(MESSAGES, None),
            segmented: MultiHeaders::preallocate(MESSAGES, Some(cmsg_space!(u16))),
        })
    }

    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.socket.local_addr()?.port())
    }

    /// Sends `bytes`, cut into datagrams of `segment` bytes, to all of `to`, as many per system
    /// call as it takes.
    pub(crate) fn send(
        &mut self,
        bytes: &[u8],
        segment: u16,
        to: &[Option<SockaddrIn>],
    ) -> Result<()> {
        let fd = self.socket.as_raw_fd();
        let iov = [IoSlice::new(bytes)];
        let mut rest = to;
        while !rest.is_empty() {
            let (some, _) = rest.split_at(rest.len().min(MESSAGES));
            let slices = std::iter::repeat_n(&iov, some.len());
            let flags = MsgFlags::MSG_NOSIGNAL;
            let sent = if bytes.len() > usize::from(segment) {
                let control = [ControlMessage::UdpGsoSegments(&segment)];
                sendmmsg(fd, &mut self.segmented, slices, some, control, flags).map(Iterator::count)
            } else {
                let none: [ControlMessage<'_>; 0] = [];
                sendmmsg(fd, &mut self.plain, slices, some, none, flags).map(Iterator::count)
            };
            match sent {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::EINTR) => {}
                Err(error) => bail!("sendmmsg: {error}"),
            }
        }
        Ok(())
    }

    /// A system call for each datagram and address.
    pub(crate) fn send_singly(&self, datagrams: &[&[u8]], to: &[Option<SockaddrIn>]) -> Result<()> {
        for address in to.iter().flatten() {
            let address = std::net::SocketAddrV4::new(address.ip(), address.port());
            for datagram in datagrams {
                self.socket.send_to(datagram, address).context("sendto")?;
            }
        }
        Ok(())
    }
}

/// A connection that packets are interleaved in.
#[derive(Debug)]
pub(crate) struct TcpSender {
    stream: TcpStream,
    /// What the socket did not take.
    rest: Vec<u8>,
}

impl TcpSender {
    /// Writes to a non-blocking stream.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, rest: Vec::new() }
    }

    /// Sends whole frames in one write where the socket takes them; `false` once the connection
    /// is gone.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() && !self.write(&rest) {
            return false;
        }
        if self.rest.is_empty() {
            return self.write(bytes);
        }
        // Readers here take all they are sent; one that does not is let go.
        self.rest.extend_from_slice(bytes);
        self.rest.len() < MAX_REST
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let written = match self.stream.write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return false,
        };
        self.rest.extend_from_slice(bytes.get(written..).unwrap_or_default());
        true
    }
}

/// Bytes that may wait for one connection.
const MAX_REST: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::net::{SocketAddr, TcpListener};

    #[test]
    fn every_address_gets_every_datagram_with_its_own_size() -> Result<()> {
        let sockets: Vec<UdpSocket> =
            (0..70).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<io::Result<_>>()?;
        let mut to = Vec::new();
        for socket in &sockets {
            let SocketAddr::V4(address) = socket.local_addr()? else { bail!("not IPv4") };
            to.push(Some(SockaddrIn::from(address)));
        }
        let mut sender = UdpSender::new()?;
        sender.send(&[1; 1000], 400, &to)?;
        sender.send(&[2; 500], 500, &to)?;
        sender.send_singly(&[&[3; 30], &[4; 40]], &to)?;
        for socket in &sockets {
            let mut buf = [0; 2000];
            let sizes: Vec<_> = (0..6).map(|_| socket.recv(&mut buf)).collect::<io::Result<_>>()?;
            assert_eq!(sizes, [400, 400, 200, 500, 30, 40]);
        }
        Ok(())
    }

    #[test]
    fn what_a_socket_does_not_take_at_once_comes_later_and_whole() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut reader = TcpStream::connect(listener.local_addr()?)?;
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        let mut sender = TcpSender::new(stream);
        let mut number = 0_u8;
        while sender.rest.is_empty() {
            assert!(sender.send(&vec![number; 100_000]));
            number += 1;
        }
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).map(|_| all)
        });
        while !sender.rest.is_empty() {
            assert!(sender.send(&[]));
        }
        drop(sender);
        let all = thread.join().expect("no panic")?;
        let expected: Vec<u8> = (0..number).flat_map(|n| vec![n; 100_000]).collect();
        assert!(all == expected);
        Ok(())
    }
}
