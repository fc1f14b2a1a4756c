//! The cheapest ways to send the same bytes to many sockets.

use std::io::{self, IoSlice, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, bail};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, sendmmsg};
use ring_io::Ring;

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

/// The same bytes to many connections: by one system call, where the kernel allows that and it is
/// cheaper than one for each.
#[derive(Debug)]
pub(crate) struct TcpSenders {
    ring: Option<Ring>,
    results: Vec<io::Result<usize>>,
}

/// Connections of one call.
const CONNECTIONS: u32 = 512;
/// With fewer a call for each costs no more.
const MANY: usize = 8;

impl TcpSenders {
    pub(crate) fn new() -> Self {
        Self { ring: Ring::new(CONNECTIONS).ok(), results: Vec::new() }
    }

    /// Sends whole frames; lets go of those that are gone.
    pub(crate) fn send(&mut self, bytes: &[u8], to: &mut Vec<TcpSender>) {
        self.results.clear();
        if to.len() >= MANY
            && let Some(ring) = &mut self.ring
            && to.iter().all(|reader| reader.rest.is_empty())
        {
            let sockets: Vec<_> = to.iter().map(|reader| reader.stream.as_fd()).collect();
            if ring.send_all(&sockets, &[IoSlice::new(bytes)], &mut self.results).is_err() {
                self.ring = None;
            }
        }
        let mut results = self.results.drain(..);
        to.retain_mut(|reader| match results.next() {
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => reader.send(bytes),
            Some(sent) => reader.note(sent, bytes),
            None => reader.send(bytes),
        });
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
        let written = self.stream.write(bytes);
        self.note(written, bytes)
    }

    /// Keeps what the socket did not take.
    fn note(&mut self, written: io::Result<usize>, bytes: &[u8]) -> bool {
        let written = match written {
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
    fn every_connection_gets_the_bytes_in_order_and_one_that_is_gone_is_let_go() -> Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        for ring in [Ring::new(CONNECTIONS).ok(), None] {
            let mut all = TcpSenders { ring, results: Vec::new() };
            let (mut readers, mut to) = (Vec::new(), Vec::new());
            for _ in 0..MANY + 1 {
                readers.push(TcpStream::connect(listener.local_addr()?)?);
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                to.push(TcpSender::new(stream));
            }
            to[2].stream.shutdown(std::net::Shutdown::Write)?;
            let blocks: Vec<Vec<u8>> = (0..60).map(|n| vec![n; 100_000]).collect();
            for block in &blocks {
                all.send(block, &mut to);
            }
            assert_eq!(to.len(), MANY);
            readers.remove(2);
            let threads: Vec<_> = readers
                .into_iter()
                .map(|mut reader| {
                    std::thread::spawn(move || {
                        let mut bytes = Vec::new();
                        reader.read_to_end(&mut bytes).map(|_| bytes)
                    })
                })
                .collect();
            while to.iter().any(|reader| !reader.rest.is_empty()) {
                all.send(&[], &mut to);
            }
            drop(to);
            for thread in threads {
                let got = thread.join().expect("no panic")?;
                assert!(got == blocks.concat());
            }
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
