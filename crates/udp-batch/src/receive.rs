//! As many datagrams as one system call brings. The first message, which mostly is the only one,
//! stays where it is received; others are copied once.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bytes::{Bytes, BytesMut};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{
    IpRecvTos, Ipv4PacketInfo, Ipv6RecvPacketInfo, Ipv6RecvTClass, ReceiveTimestampns,
};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};

/// Room for one message, which the kernel may have joined from many datagrams.
const MESSAGE: usize = 64 * 1024;
/// [`Receiver::MAX_MESSAGES`].
const MESSAGES: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };
/// What is received into at one time; a datagram that is kept keeps such a block.
const BLOCK: usize = 256 * 1024;

/// What a socket was told and the kernel granted, for [`Receiver::receive`].
#[derive(Debug)]
pub struct SocketState(UdpSocketState);

impl SocketState {
    /// Makes a socket non-blocking and has the kernel join datagrams of one source that come
    /// together, where it can (`UDP_GRO`). Datagrams that the socket sends are not fragmented from
    /// then on.
    ///
    /// # Errors
    /// What the kernel says of the socket's options; that it joins nothing is no error.
    pub fn new(socket: impl AsFd) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        quiet(&socket);
        Ok(Self(state))
    }
}

/// Turns off what `quinn-udp` has the kernel tell of each message and nobody here asks for: when it
/// came, where, and its traffic class. An option that a socket's family does not have is no error.
fn quiet(socket: &impl AsFd) {
    let _unless_ipv6 = setsockopt(socket, Ipv4PacketInfo, &false);
    let _unless_ipv6 = setsockopt(socket, IpRecvTos, &false);
    let _unless_ipv4 = setsockopt(socket, Ipv6RecvPacketInfo, &false);
    let _unless_ipv4 = setsockopt(socket, Ipv6RecvTClass, &false);
    let _as_it_was = setsockopt(socket, ReceiveTimestampns, &false);
}

/// What any number of sockets receive into, one after the other.
///
/// It holds 1.2 MiB. A datagram that is kept keeps the block of 256 KiB it came in, which as many
/// share as fit.
#[derive(Debug)]
pub struct Receiver {
    /// The first message stays where it is received. Of 16 messages that are mostly small, each
    /// would keep room for the largest: so the others are received here and copied.
    room: BytesMut,
    scratch: Vec<u8>,
    meta: [RecvMeta; MESSAGES],
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Messages that one call takes at most, each a datagram or, joined by the kernel, many.
    pub const MAX_MESSAGES: usize = MESSAGES;

    /// Makes room for one call.
    #[must_use]
    pub fn new() -> Self {
        Self {
            room: BytesMut::new(),
            scratch: vec![0; MESSAGE * (MESSAGES - 1)],
            meta: [RecvMeta::default(); MESSAGES],
        }
    }

    /// Takes what one system call brings, gives each datagram with its sender in the order they
    /// came, and says whether there may be more.
    ///
    /// `false`: with room left the queue was empty. To be told so by another call is not needed:
    /// whoever keeps a socket's readiness takes this for `WouldBlock`. Empty datagrams are left out.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is nothing, and what else the kernel
    /// says of the socket.
    pub fn receive(
        &mut self,
        socket: impl AsFd,
        state: &SocketState,
        mut each: impl FnMut(SocketAddr, Bytes),
    ) -> io::Result<bool> {
        self.make_room(MESSAGE);
        let first = self.room.get_mut(..MESSAGE).unwrap_or_default();
        let mut chunks = std::iter::once(first).chain(self.scratch.chunks_mut(MESSAGE));
        let mut slices: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let messages = state.0.recv(UdpSockRef::from(&socket), &mut slices, &mut self.meta)?;
        for number in 0..messages {
            let Some(&RecvMeta { addr, len, stride, .. }) = self.meta.get(number) else { break };
            let len = len.min(MESSAGE);
            if let Some(before) = number.checked_sub(1) {
                self.make_room(len);
                let from = before * MESSAGE;
                let message = self.scratch.get(from..from + len).unwrap_or_default();
                if let Some(room) = self.room.get_mut(..len) {
                    room.copy_from_slice(message);
                }
            }
            let mut rest = self.room.split_to(len).freeze();
            while rest.len() > stride.max(1) {
                each(addr, rest.split_to(stride.max(1)));
            }
            if !rest.is_empty() {
                each(addr, rest);
            }
        }
        Ok(messages == MESSAGES)
    }

    /// Makes the room at least so large. Where nothing of its block is kept any more that is the
    /// same block again.
    fn make_room(&mut self, bytes: usize) {
        if self.room.len() < bytes {
            self.room.clear();
            self.room.reserve(BLOCK);
            self.room.resize(BLOCK, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::setsockopt;
    use nix::sys::socket::sockopt::{RcvBufForce, UdpGsoSegment};

    /// Whatever is sent in one go comes out in the same pieces and in order, from one call or more.
    #[test]
    fn datagrams_come_as_they_were_sent_however_the_kernel_brings_them() -> io::Result<()> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        // Where the process may not have so much, there is room for one round all the same.
        let _as_it_was = setsockopt(&socket, RcvBufForce, &(4 << 20));
        let state = SocketState::new(&socket)?;
        let from = std::net::UdpSocket::bind("127.0.0.1:0")?;
        from.connect(socket.local_addr()?)?;
        let datagram = |number: usize, size: usize| vec![number as u8; size];
        let (mut receiver, mut kept) = (Receiver::new(), Vec::new());
        for round in 0..30 {
            let mut sent = Vec::new();
            for number in 0..20 {
                let one = datagram(number, 1 + (round * 97 + number * 331) % 9000);
                from.send(&one)?;
                sent.push(one);
            }
            // Joined ones, where the kernel can: the last shorter.
            let joined = [datagram(50, 1400), datagram(51, 1400), datagram(52, 77)];
            if setsockopt(&from, UdpGsoSegment, &1400).is_ok() {
                from.send(&joined.concat())?;
                setsockopt(&from, UdpGsoSegment, &0)?;
                sent.extend(joined);
            }
            let mut got = Vec::new();
            while got.len() < sent.len() {
                // Over loopback all is there: to be told that there is nothing would be a loss.
                let may_be_more = receiver.receive(&socket, &state, |_, data| got.push(data))?;
                assert!(may_be_more || got.len() == sent.len(), "round {round}");
            }
            assert!(got == sent, "round {round}");
            // What is kept must not change when more is received.
            kept.push((got.swap_remove(3), sent.swap_remove(3)));
        }
        assert!(kept.iter().all(|(got, sent)| got == sent));
        Ok(())
    }

    #[test]
    fn whoever_finds_nothing_is_told_to_wait() -> io::Result<()> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let state = SocketState::new(&socket)?;
        let received = Receiver::new().receive(&socket, &state, |from, _| panic!("{from}"));
        assert!(matches!(received, Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        Ok(())
    }
}
