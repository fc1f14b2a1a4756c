//! Datagrams from a backend: as many as one system call brings. The first message, which mostly
//! is the only one, stays where it is received; others are copied once.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};

/// Room for one message, which the kernel may have joined from many datagrams.
const MESSAGE: usize = 64 * 1024;
/// Messages that one call takes at most.
const MESSAGES: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };
/// What is received into at one time; a packet that is kept keeps such a block.
const BLOCK: usize = 256 * 1024;

/// What all sockets of a shard receive into.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// The first message stays where it is received. Of 16 messages that are mostly small, each
    /// would keep room for the largest: so the others are received here and copied.
    room: BytesMut,
    scratch: Vec<u8>,
    meta: [RecvMeta; MESSAGES],
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            room: BytesMut::new(),
            scratch: vec![0; MESSAGE * (MESSAGES - 1)],
            meta: [RecvMeta::default(); MESSAGES],
        }
    }

    /// Takes what one system call brings, and says whether there may be more; `WouldBlock` when
    /// there is nothing.
    pub(crate) fn receive(
        &mut self,
        socket: &tokio::net::UdpSocket,
        state: &UdpSocketState,
        mut each: impl FnMut(SocketAddr, Bytes),
    ) -> io::Result<bool> {
        self.make_room(MESSAGE);
        let first = self.room.get_mut(..MESSAGE).unwrap_or_default();
        let mut chunks = std::iter::once(first).chain(self.scratch.chunks_mut(MESSAGE));
        let mut slices: [IoSliceMut<'_>; MESSAGES] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let meta = &mut self.meta;
        let mut messages = 0;
        let tried = socket.try_io(tokio::io::Interest::READABLE, || {
            messages = state.recv(UdpSockRef::from(socket), &mut slices, meta)?;
            // With room left the queue is empty: to be told so by another call is not needed.
            if messages < MESSAGES { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        let may_be_more = match tried {
            Ok(()) => true,
            Err(error) if messages == 0 => return Err(error),
            Err(_) => false,
        };
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
        Ok(may_be_more)
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
    use nix::sys::socket::sockopt::UdpGsoSegment;

    /// Whatever is sent in one go comes out in the same pieces and in order, from one call or more.
    #[tokio::test]
    async fn datagrams_come_as_they_were_sent_however_the_kernel_brings_them() -> io::Result<()> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        crate::sockopt::receive_buffer(&socket, 4 << 20)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = tokio::net::UdpSocket::from_std(socket)?;
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
                socket.readable().await?;
                match receiver.receive(&socket, &state, |_, data| got.push(data)) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                    Ok(_) | Err(_) => {}
                }
            }
            assert!(got == sent, "round {round}");
            // What is kept must not change when more is received.
            kept.push((got.swap_remove(3), sent.swap_remove(3)));
        }
        assert!(kept.iter().all(|(got, sent)| got == sent));
        Ok(())
    }
}
