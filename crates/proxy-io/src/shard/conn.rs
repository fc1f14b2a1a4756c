//! Readers' connections.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use fan_out::{Admit, Egress, ReaderKey};
use rtp_rtcp::Now;
use rtsp_server::{ConnId, HELD_INPUT_BYTES, Intake};
use smallvec::SmallVec;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Shard, Shared};
use crate::bus::{ConnectionPlace, NewConnection};
use crate::clock;
use crate::registry::StreamId;
use crate::sockopt;

/// What one read from a reader takes.
const READ: usize = 16 * 1024;
/// How long what is queued may take when a connection is to be closed.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes read and thrown away of a connection that is being closed.
const MAX_DRAINED: usize = 1024 * 1024;

/// A connection as the shard's state holds it.
pub(super) struct Conn {
    pub(super) io: Rc<ConnIo>,
    pub(super) peer: SocketAddr,
    /// Our end.
    pub(super) local: SocketAddr,
    input: BytesMut,
    held: bool,
    _place: ConnectionPlace,
}

/// What a connection's task and the fan-out share.
///
/// What a write touches that the socket takes as a whole is in the first cache line: with many
/// readers all of it has left the cache by the time its turn comes.
#[repr(C, align(64))]
pub(super) struct ConnIo {
    pub(super) stream: TcpStream,
    /// When bytes were last taken for a session's media, as the server was told.
    pub(super) progress: Cell<Option<Instant>>,
    /// The socket took less than it was given: its task waits until it is writable.
    pub(super) blocked: Cell<bool>,
    /// Whether the egress may have something pending, or the socket be full.
    in_doubt: Cell<bool>,
    /// Why the socket is of no use any more.
    broken: Cell<bool>,
    pub(super) egress: RefCell<Egress>,
    pub(super) id: ConnId,
    /// Closed once what is queued is written, at the latest then.
    closing: Cell<Option<Instant>>,
    /// The places in audiences that are served on this connection.
    pub(super) seats: RefCell<SmallVec<[(StreamId, ReaderKey); 1]>>,
    wake: Notify,
}

impl ConnIo {
    /// Writes what is queued besides media. `false`: the socket is full or broken.
    pub(super) fn flush(&self) -> bool {
        let mut egress = self.egress.borrow_mut();
        while egress.has_pending() {
            let mut slices: SmallVec<[IoSlice<'_>; 16]> = SmallVec::new();
            egress.pending_slices(&mut slices);
            match self.write(&slices) {
                Written::Bytes(n) => {
                    drop(slices);
                    egress.consume_pending(n);
                }
                Written::Full | Written::Broken => return false,
            }
        }
        true
    }

    /// Whether the shared bytes of a stream may be written next, as far as is known.
    pub(super) fn is_ready(&self) -> bool {
        if self.in_doubt.get() {
            self.in_doubt.set(self.blocked.get() || self.egress.borrow().has_pending());
        }
        !self.in_doubt.get()
    }

    /// Tries the socket at once.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> Written {
        if self.blocked.get() {
            return Written::Full;
        }
        // Not by way of the runtime, whose word on the socket lies in memory that nothing else
        // here touches: while the socket takes all, nobody needs that word.
        let tried = send(&SockRef::from(&self.stream), slices);
        self.written(tried, slices)
    }

    /// What a try means, made past the runtime with these slices.
    pub(super) fn written(&self, tried: io::Result<usize>, slices: &[IoSlice<'_>]) -> Written {
        let tried = match tried {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                let sock = SockRef::from(&self.stream);
                self.stream.try_io(Interest::WRITABLE, || send(&sock, slices))
            }
            tried => tried,
        };
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        if !matches!(tried, Ok(n) if n == offered) {
            self.in_doubt.set(true);
        }
        match tried {
            Ok(n) => Written::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked.set(true);
                self.wake.notify_one();
                Written::Full
            }
            Err(error) => {
                tracing::debug!(conn = %self.id, %error, "connection broke while writing");
                self.broken.set(true);
                self.wake.notify_one();
                Written::Broken
            }
        }
    }

    fn close_soon(&self, by: Instant) {
        if self.closing.get().is_none() {
            self.closing.set(Some(by));
        }
        self.wake.notify_one();
    }
}

/// Calls that lead straight to the socket, past the file layer.
fn send(sock: &SockRef<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [slice] => sock.send_with_flags(slice, MSG_NOSIGNAL),
        _ => sock.send_vectored_with_flags(slices, MSG_NOSIGNAL),
    }
}

/// A reader that is gone is an error here and not a signal for the process.
const MSG_NOSIGNAL: i32 = nix::sys::socket::MsgFlags::MSG_NOSIGNAL.bits();

/// What came of a write.
#[must_use]
pub(super) enum Written {
    Bytes(usize),
    Full,
    Broken,
}

impl Shard {
    pub(super) fn on_connection(&mut self, now: Now, new: NewConnection) {
        let NewConnection { stream, peer, local, received, place } = new;
        let prepared = TcpStream::from_std(stream).and_then(|stream| {
            sockopt::reader_connection(&stream)?;
            Ok(stream)
        });
        let stream = match prepared {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%peer, %error, "connection lost before it began");
                return;
            }
        };
        let id = match self.server.accept(now.mono, peer, local) {
            Ok(id) => id,
            Err(refused) => {
                tracing::warn!(%peer, why = %refused, "connection refused");
                return;
            }
        };
        tracing::debug!(conn = %id, %peer, "connection accepted");
        let io = Rc::new(ConnIo {
            id,
            stream,
            egress: RefCell::new(Egress::new(self.options.control_bytes)),
            // A fresh socket says "full" until its readiness has been seen once.
            blocked: Cell::new(true),
            in_doubt: Cell::new(true),
            broken: Cell::new(false),
            closing: Cell::new(None),
            progress: Cell::new(None),
            seats: RefCell::new(SmallVec::new()),
            wake: Notify::new(),
        });
        let conn =
            Conn { io: Rc::clone(&io), peer, local, input: received, held: false, _place: place };
        self.conns.insert(id, conn);
        if let Some(shard) = self.shared() {
            tokio::task::spawn_local(run(shard, io));
        }
    }

    /// Queues a message on a connection, between frames of media.
    pub(super) fn send_on(&mut self, id: ConnId, bytes: Bytes) {
        let Some(conn) = self.conns.get(&id) else { return };
        let admit = conn.io.egress.borrow_mut().push_control(bytes);
        conn.io.in_doubt.set(true);
        match admit {
            Admit::Queued => {
                conn.io.flush();
            }
            Admit::Overflowed => {
                tracing::warn!(conn = %id, peer = %conn.peer, "connection closed: it asks, but does not read the answers");
                conn.io.broken.set(true);
                conn.io.wake.notify_one();
            }
        }
    }

    pub(super) fn close_conn(&mut self, now: Now, id: ConnId) {
        if let Some(conn) = self.conns.get(&id) {
            conn.io.close_soon(now.mono + LINGER);
        }
    }

    /// Gives the server what the connection's buffer holds.
    pub(super) fn offer_input(&mut self, now: Now, id: ConnId) -> bool {
        let Some(conn) = self.conns.get_mut(&id) else { return false };
        if std::mem::take(&mut conn.held) {
            // Its task may have stopped reading.
            conn.io.wake.notify_one();
        }
        let mut again = false;
        match self.server.handle(now.mono, id, &mut conn.input) {
            Intake::Ready => {}
            Intake::Again => again = true,
            Intake::Held => conn.held = true,
            Intake::Closed => conn.input.clear(),
        }
        if conn.input.is_empty() {
            // An idle reader costs no buffer.
            conn.input = BytesMut::new();
        }
        again
    }

    /// Reads once; `false` at the end of the stream.
    fn read_conn(&mut self, id: ConnId, io: &ConnIo, scratch: &mut [u8]) -> io::Result<bool> {
        match io.stream.try_read(scratch) {
            Ok(0) => Ok(false),
            Ok(n) => {
                if let Some(conn) = self.conns.get_mut(&id) {
                    conn.input.extend_from_slice(scratch.get(..n).unwrap_or_default());
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn takes_input(&self, id: ConnId) -> bool {
        self.conns.get(&id).is_some_and(|c| !c.held || c.input.len() < HELD_INPUT_BYTES)
    }
}

async fn run(shard: Shared, io: Rc<ConnIo>) {
    let id = io.id;
    if io.stream.writable().await.is_ok() {
        io.blocked.set(false);
        serve(&shard, &io).await;
    }
    let now = clock::now();
    let mut this = shard.borrow_mut();
    this.server.closed(now.mono, id);
    this.settle(now);
    this.conns.remove(&id);
    tracing::debug!(conn = %id, "connection closed");
}

async fn serve(shard: &Shared, io: &Rc<ConnIo>) {
    let id = io.id;
    step(shard, io).await;
    loop {
        let closing = io.closing.get();
        if io.broken.get() {
            return;
        }
        if let Some(by) = closing
            && !io.egress.borrow().has_pending()
        {
            if !shard.borrow().stopping {
                drain(io, by).await;
            }
            return;
        }
        let reads = closing.is_none() && shard.borrow().takes_input(id);
        let by = closing.map(tokio::time::Instant::from_std);
        tokio::select! {
            ready = io.stream.readable(), if reads => {
                if ready.is_err() {
                    return;
                }
                let alive = {
                    let mut scratch = [0; READ];
                    shard.borrow_mut().read_conn(id, io, &mut scratch)
                };
                if !alive.unwrap_or(false) {
                    return;
                }
                step(shard, io).await;
            }
            ready = io.stream.writable(), if io.blocked.get() => {
                if ready.is_err() {
                    return;
                }
                io.blocked.set(false);
                let now = clock::now();
                let mut this = shard.borrow_mut();
                if io.flush() {
                    this.pump_conn(now, io);
                }
                this.settle(now);
            }
            () = io.wake.notified() => {}
            () = tokio::time::sleep_until(by.unwrap_or_else(tokio::time::Instant::now)), if by.is_some() => return,
        }
    }
}

/// Waits for the reader to close its end too: what it sent and nobody read would make the kernel
/// take back the last answer.
async fn drain(io: &ConnIo, by: Instant) {
    if SockRef::from(&io.stream).shutdown(Shutdown::Write).is_err() {
        return;
    }
    let mut left = MAX_DRAINED;
    let end = async {
        while left > 0 && io.stream.readable().await.is_ok() {
            let mut scratch = [0; READ];
            match io.stream.try_read(&mut scratch) {
                Ok(0) => return,
                Ok(n) => left = left.saturating_sub(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // Whoever keeps its end open has had time enough.
    let _late = tokio::time::timeout_at(by.into(), end).await;
}

/// Takes all whole messages that are there, others' turns between them.
async fn step(shard: &Shared, io: &Rc<ConnIo>) {
    loop {
        let again = {
            let now = clock::now();
            let mut this = shard.borrow_mut();
            let again = this.offer_input(now, io.id);
            this.settle(now);
            again
        };
        if !again {
            return;
        }
        tokio::task::yield_now().await;
    }
}
