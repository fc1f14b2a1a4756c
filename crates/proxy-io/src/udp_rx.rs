//! Datagrams from a backend: as many as one system call brings, copied once into an arena.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use quinn_udp::{BATCH_SIZE, RecvMeta, UdpSockRef, UdpSocketState};

/// Room for one message, which the kernel may have joined from many datagrams.
const MESSAGE: usize = 64 * 1024;
/// Messages that one call takes at most.
const MESSAGES: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };
/// What the arena grows by; a packet that is kept keeps its block of that size.
const ARENA: usize = 256 * 1024;

/// What all sockets of a shard receive into.
#[derive(Debug)]
pub(crate) struct Receiver {
    scratch: Vec<u8>,
    meta: [RecvMeta; MESSAGES],
    arena: BytesMut,
}

impl Receiver {
    pub(crate) fn new() -> Self {
        Self {
            scratch: vec![0; MESSAGE * MESSAGES],
            meta: [RecvMeta::default(); MESSAGES],
            arena: BytesMut::new(),
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
        let mut chunks = self.scratch.chunks_mut(MESSAGE);
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
        for (meta, slice) in self.meta.iter().zip(&slices).take(messages) {
            let received = slice.get(..meta.len).unwrap_or_default();
            for datagram in received.chunks(meta.stride.max(1)) {
                if self.arena.capacity() < datagram.len() {
                    self.arena.reserve(ARENA);
                }
                self.arena.extend_from_slice(datagram);
                each(meta.addr, self.arena.split().freeze());
            }
        }
        Ok(may_be_more)
    }
}
