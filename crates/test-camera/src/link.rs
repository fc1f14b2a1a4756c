//! A connection: answers and interleaved packets, neither cut into the other, with or without TLS.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection};
use socket2::SockRef;

/// A connection as its senders see it: the thread of its requests and the pacer.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    stream: TcpStream,
    /// Locked before `tls`: what is encrypted first is sent first.
    outbox: Mutex<Outbox>,
    tls: Option<Mutex<ServerConnection>>,
}

/// What the socket did not take yet.
#[derive(Debug, Default)]
struct Outbox {
    bytes: Vec<u8>,
    /// How many of them were sent since.
    sent: usize,
    closed: bool,
}

/// What became of bytes.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The kernel has all that was ever given.
    All,
    /// Some wait here.
    Waiting,
    /// There was no room: these bytes were thrown away whole.
    Dropped,
    /// The connection is gone.
    Closed,
}

impl Link {
    pub(crate) fn new(
        id: u64,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        // Accepted sockets inherit the listener's.
        stream.set_read_timeout(None)?;
        let local = stream.local_addr()?;
        let tls = tls.map(|config| ServerConnection::new(Arc::clone(config))).transpose();
        let tls = tls.map_err(io::Error::other)?.map(Mutex::new);
        Ok(Self { id, peer, local, stream, outbox: Mutex::default(), tls })
    }

    /// Waits for bytes from the other side; none at the end.
    pub(crate) fn read(&self, to: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return (&self.stream).read(to) };
        let mut raw = [0; 8192];
        loop {
            match tls.lock().reader().read(to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            // Nobody else reads: without the lock, so that others can send.
            let read = (&self.stream).read(&mut raw)?;
            let mut rest = raw.get(..read).unwrap_or_default();
            let mut outbox = self.outbox.lock();
            let mut tls = tls.lock();
            if read == 0 {
                return Ok(0);
            }
            let mut result = Ok(());
            while !rest.is_empty() && result.is_ok() {
                tls.read_tls(&mut rest)?;
                result = tls.process_new_packets().map(drop);
            }
            // Its part of the handshake, or an alert.
            while tls.wants_write() {
                tls.write_tls(&mut outbox.bytes)?;
            }
            drop(tls);
            let _ = self.flush_locked(&mut outbox);
            result.map_err(io::Error::other)?;
        }
    }

    /// Sends whole messages or frames. It never waits: what the socket does not take is kept for
    /// [`Link::flush`] and for the next call.
    pub(crate) fn send(&self, bytes: &[u8]) -> Taken {
        let mut outbox = self.outbox.lock();
        let taken = self.flush_locked(&mut outbox);
        let direct = match taken {
            Taken::All if self.tls.is_some() => 0,
            Taken::All => match self.write(bytes) {
                Ok(sent) => sent,
                Err(_) => {
                    outbox.closed = true;
                    return Taken::Closed;
                }
            },
            Taken::Waiting if outbox.bytes.len() - outbox.sent + bytes.len() > MAX_WAITING => {
                return Taken::Dropped;
            }
            Taken::Waiting => 0,
            Taken::Dropped | Taken::Closed => return taken,
        };
        let rest = bytes.get(direct..).unwrap_or_default();
        match &self.tls {
            None => outbox.bytes.extend_from_slice(rest),
            Some(tls) => {
                if Self::encrypt(&mut tls.lock(), rest, &mut outbox.bytes).is_err() {
                    outbox.closed = true;
                }
                return self.flush_locked(&mut outbox);
            }
        }
        if outbox.sent < outbox.bytes.len() { Taken::Waiting } else { Taken::All }
    }

    fn encrypt(tls: &mut ServerConnection, mut bytes: &[u8], to: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() {
            let taken = tls.writer().write(bytes)?;
            bytes = bytes.get(taken..).unwrap_or_default();
            while tls.wants_write() {
                tls.write_tls(to)?;
            }
        }
        Ok(())
    }

    /// Tries again to send what waits.
    pub(crate) fn flush(&self) -> Taken {
        self.flush_locked(&mut self.outbox.lock())
    }

    /// Ends the connection; the thread that reads it wakes up.
    pub(crate) fn close(&self) {
        self.outbox.lock().closed = true;
        // An error says that it is closed already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn flush_locked(&self, outbox: &mut Outbox) -> Taken {
        if outbox.closed {
            return Taken::Closed;
        }
        while let Some(rest) = outbox.bytes.get(outbox.sent..).filter(|rest| !rest.is_empty()) {
            match self.write(rest) {
                Ok(0) => {
                    // Keeps the buffer from growing while the reader takes little by little.
                    if outbox.sent >= MAX_WAITING {
                        outbox.bytes.drain(..outbox.sent);
                        outbox.sent = 0;
                    }
                    return Taken::Waiting;
                }
                Ok(sent) => outbox.sent += sent,
                Err(_) => {
                    outbox.closed = true;
                    return Taken::Closed;
                }
            }
        }
        outbox.bytes.clear();
        outbox.bytes.shrink_to(KEPT_CAPACITY);
        outbox.sent = 0;
        Taken::All
    }

    /// What the socket takes at once, which may be nothing.
    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            // The flag and not a non-blocking socket, for the reading side blocks.
            match SockRef::from(&self.stream).send_with_flags(bytes, MSG_DONTWAIT) {
                Ok(sent) => return Ok(sent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The most bytes that wait for one connection, about.
const MAX_WAITING: usize = 1 << 20;
const KEPT_CAPACITY: usize = 16 << 10;
#[cfg(any(target_os = "linux", target_os = "android"))]
const MSG_DONTWAIT: i32 = 0x40;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MSG_DONTWAIT: i32 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_reader_that_stops_costs_bounded_memory_and_sees_whole_messages_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, peer) = listener.accept().unwrap();
        let link = Link::new(1, stream, peer, None).unwrap();

        let mut accepted = 0_u32;
        let mut message = vec![0; 10_000];
        loop {
            message[..4].copy_from_slice(&accepted.to_be_bytes());
            match link.send(&message) {
                Taken::Dropped => break,
                Taken::Closed => panic!("closed"),
                Taken::All | Taken::Waiting => accepted += 1,
            }
        }
        assert!(link.outbox.lock().bytes.len() <= 2 * MAX_WAITING);

        let received = std::thread::spawn(move || {
            let mut count = 0_u32;
            let mut message = vec![0; 10_000];
            while reader.read_exact(&mut message).is_ok() {
                assert_eq!(message[..4], count.to_be_bytes());
                count += 1;
            }
            count
        });
        while link.flush() == Taken::Waiting {
            std::thread::yield_now();
        }
        link.close();
        assert_eq!(link.send(b"x"), Taken::Closed);
        assert_eq!(received.join().unwrap(), accepted);
    }
}
