//! A connection to a backend, with or without TLS: what is read, what is written.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use backend_client::Input;
use bytes::{Buf, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::clock;
use crate::registry::StreamId;
use crate::shard::{Shard, Shared};
use crate::tls::Tls;

/// Bytes of requests that may wait for a backend that does not read. A client has one request
/// under way; this is room for its largest.
const MAX_UNSENT: usize = 64 * 1024;
/// What one read from a backend asks for.
const READ: usize = 64 * 1024;
/// What one wake-up takes from one backend before others get their turn.
const READ_STEP: usize = 512 * 1024;

/// Which of a backend's connections it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The only one, or the one that all comes by.
    Main,
    /// The one that requests go by, with a tunnel over HTTP.
    Post,
}

/// A connection that stands.
pub(super) struct Line {
    tcp: TcpStream,
    tls: Option<RefCell<Box<Tls>>>,
    unsent: RefCell<BytesMut>,
    wake: Notify,
    closing: Cell<bool>,
}

/// The backend does not read what it is sent.
pub(super) struct Unread;

impl Line {
    pub(super) fn new(tcp: TcpStream, tls: Option<Tls>) -> Self {
        Self {
            tcp,
            tls: tls.map(|tls| RefCell::new(Box::new(tls))),
            unsent: RefCell::new(BytesMut::new()),
            wake: Notify::new(),
            closing: Cell::new(false),
        }
    }

    pub(super) fn local_ip(&self) -> io::Result<IpAddr> {
        self.tcp.local_addr().map(|local| local.ip())
    }

    pub(super) fn peer(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }

    /// Sends what the socket takes; the rest goes later.
    pub(super) fn send(&self, bytes: &[u8]) -> Result<(), Unread> {
        let mut unsent = self.unsent.borrow_mut();
        if unsent.len() + bytes.len() > MAX_UNSENT {
            return Err(Unread);
        }
        match &self.tls {
            Some(tls) => {
                let waits = !unsent.is_empty();
                tls.borrow_mut().send(bytes, &mut unsent);
                if !waits {
                    self.flush(&mut unsent);
                }
            }
            None => {
                let written = match unsent.is_empty() {
                    // An error shows again where the connection is read.
                    true => self.tcp.try_write(bytes).unwrap_or(0),
                    false => 0,
                };
                unsent.extend_from_slice(bytes.get(written..).unwrap_or_default());
            }
        }
        if !unsent.is_empty() {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Ends the connection. A TEARDOWN may be among what was not sent yet; what the socket does
    /// not take at once is lost.
    pub(super) fn close(&self) {
        let mut unsent = self.unsent.borrow_mut();
        if let Some(tls) = &self.tls {
            tls.borrow_mut().close(&mut unsent);
        }
        self.flush(&mut unsent);
        self.closing.set(true);
        self.wake.notify_one();
    }

    fn flush(&self, unsent: &mut BytesMut) {
        if let Ok(written) = self.tcp.try_write(unsent) {
            unsent.advance(written);
        }
    }

    /// Reads once; says how many bytes of the connection that were, 0 at its end, and whether
    /// that was all there was. With TLS they may be none of what it carries.
    fn receive(&self, buf: &mut BytesMut) -> io::Result<(usize, bool)> {
        let (read, is_all) = match &self.tls {
            Some(tls) => {
                let mut tls = tls.borrow_mut();
                let received = tls.receive(&self.tcp, buf)?;
                let mut unsent = self.unsent.borrow_mut();
                let before = unsent.len();
                tls.take_outgoing(&mut bytes::BufMut::writer(&mut *unsent));
                if unsent.len() > before {
                    self.wake.notify_one();
                }
                received
            }
            None => {
                buf.reserve(READ);
                let room = buf.capacity() - buf.len();
                let read = self.tcp.try_read_buf(buf)?;
                (read, read < room)
            }
        };
        if is_all {
            // The runtime learns so without another call. It hears of what comes next only after
            // this task has paused, so nothing is forgotten; the end of the stream it never
            // forgets.
            let _nothing: io::Result<()> =
                self.tcp.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
        }
        Ok((read, is_all))
    }
}

/// Serves a connection until it is over.
pub(super) async fn run(shard: Shared, id: StreamId, role: Role, line: Rc<Line>) {
    let mut buf = BytesMut::new();
    loop {
        let unsent = !line.unsent.borrow().is_empty();
        tokio::select! {
            ready = line.tcp.readable() => if ready.is_err() { break },
            ready = line.tcp.writable(), if unsent => {
                if ready.is_err() {
                    break;
                }
                line.flush(&mut line.unsent.borrow_mut());
                continue;
            }
            () = line.wake.notified() => {
                if line.closing.get() {
                    return;
                }
                continue;
            }
        }
        if line.closing.get() {
            return;
        }
        match read(&shard, id, role, &line, &mut buf) {
            Ok(true) => {}
            // Other tasks first: this backend has more than one step's worth.
            Ok(false) => tokio::task::yield_now().await,
            Err(()) => return,
        }
    }
}

/// Reads what is there; `Ok(false)` when there may be more, an error when the connection is over.
fn read(
    shard: &Shared,
    id: StreamId,
    role: Role,
    line: &Rc<Line>,
    buf: &mut BytesMut,
) -> Result<bool, ()> {
    let now = clock::now();
    let mut this = shard.borrow_mut();
    let mut taken = 0;
    let ended = loop {
        if taken >= READ_STEP || line.closing.get() {
            break None;
        }
        let before = buf.len();
        let received = line.receive(buf);
        if buf.len() > before {
            let input = match role {
                Role::Main => Input::Stream(buf),
                Role::Post => Input::PostStream(buf),
            };
            this.backend_input(now, id, input);
        }
        match received {
            Ok((0, _)) => break Some(None),
            Ok((_, true)) => break None,
            Ok((n, false)) => taken += n,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
            Err(error) => break Some(Some(error.to_string())),
        }
    };
    let over = ended.is_some();
    // An old connection must not end its successor.
    if let Some(why) = ended
        && is_current(&this, id, role, line)
    {
        let input = match role {
            Role::Main => Input::Closed { why },
            Role::Post => Input::PostClosed,
        };
        this.backend_input(now, id, input);
    }
    this.drive_home(now, id);
    this.settle(now);
    if over { Err(()) } else { Ok(taken < READ_STEP) }
}

fn is_current(shard: &Shard, id: StreamId, role: Role, line: &Rc<Line>) -> bool {
    let current = shard.homes.get(&id).and_then(|home| home.io.line(role));
    current.is_some_and(|current| Rc::ptr_eq(current, line))
}
