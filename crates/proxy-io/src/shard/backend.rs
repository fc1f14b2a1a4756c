//! The sockets of a backend. What goes over them is decided by the backend client.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use backend_client::{Input, Output};
use bytes::{Buf, Bytes, BytesMut};
use quinn_udp::{UdpSockRef, UdpSocketState};
use rtp_rtcp::Now;
use tokio::io::Interest;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{Shard, Shared};
use crate::clock;
use crate::registry::StreamId;
use crate::sockopt;

/// Bytes of requests that may wait for a backend that does not read. A client has one request
/// under way; this is room for its largest.
const MAX_UNSENT: usize = 64 * 1024;
/// What one read from a backend asks for.
const READ: usize = 64 * 1024;
/// What one wake-up takes from one backend before others get their turn.
const READ_STEP: usize = 512 * 1024;
/// System calls on one UDP socket before others get their turn.
const UDP_STEP: usize = 16;

/// One backend's sockets.
#[derive(Default)]
pub(super) struct BackendIo {
    connecting: Option<Task>,
    tcp: Option<Rc<Connection>>,
    udp: HashMap<usize, TrackSockets>,
}

/// A task that ends when its owner is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Connection {
    stream: TcpStream,
    unsent: RefCell<BytesMut>,
    wake: Notify,
    closing: Cell<bool>,
}

struct TrackSockets {
    rtp: Rc<UdpSocket>,
    rtcp: Rc<UdpSocket>,
    peers: Option<(SocketAddr, SocketAddr)>,
    _tasks: [Task; 2],
}

impl Shard {
    pub(super) fn on_backend_output(&mut self, now: Now, id: StreamId, output: Output) {
        match output {
            Output::Connect { host, port, tls, deadline } => {
                self.connect(id, host, port, tls, deadline);
            }
            Output::Send(bytes) => self.send_to_backend(now, id, &bytes),
            Output::Close => {
                if let Some(home) = self.homes.get_mut(&id) {
                    home.io.connecting = None;
                    if let Some(tcp) = home.io.tcp.take() {
                        // A TEARDOWN may be among it; what the socket does not take at once is lost.
                        let _written = tcp.stream.try_write(&tcp.unsent.borrow());
                        tcp.closing.set(true);
                        tcp.wake.notify_one();
                    }
                }
            }
            Output::BindUdp { track } => match self.bind_udp(id, track) {
                Ok(rtp_port) => {
                    self.backend_input(now, id, Input::UdpBound { track, rtp_port });
                }
                Err(error) => {
                    let why = error.to_string();
                    self.backend_input(now, id, Input::UdpBindFailed { track, why });
                }
            },
            Output::ConnectUdp { track, rtp, rtcp } => {
                if let Some(sockets) = self.track_sockets(id, track) {
                    sockets.peers = Some((rtp, rtcp));
                }
            }
            Output::SendDatagram { track, rtcp, data } => {
                if let Some(sockets) = self.track_sockets(id, track)
                    && let Some((rtp_peer, rtcp_peer)) = sockets.peers
                {
                    let (socket, to) =
                        if rtcp { (&sockets.rtcp, rtcp_peer) } else { (&sockets.rtp, rtp_peer) };
                    // Reports and hole punching: one that is lost is followed by others.
                    if let Err(error) = socket.try_send_to(&data, to) {
                        tracing::debug!(%to, %error, "datagram to backend not sent");
                    }
                }
            }
            Output::JoinMulticast { track, .. } => {
                let why = "multicast backends are not supported".to_owned();
                self.backend_input(now, id, Input::UdpBindFailed { track, why });
            }
            Output::ConnectPost { .. } => {
                let why = "backends behind an HTTP tunnel are not supported".to_owned();
                self.backend_input(now, id, Input::PostFailed { why });
            }
            Output::SendPost(_) | Output::ClosePost => {}
            Output::CloseUdp => {
                if let Some(home) = self.homes.get_mut(&id) {
                    home.io.udp.clear();
                }
            }
            Output::Event(_) => {}
        }
    }

    fn track_sockets(&mut self, id: StreamId, track: usize) -> Option<&mut TrackSockets> {
        self.homes.get_mut(&id)?.io.udp.get_mut(&track)
    }

    fn connect(&mut self, id: StreamId, host: String, port: u16, tls: bool, deadline: Duration) {
        let Some(shard) = self.shared() else { return };
        let task = tokio::task::spawn_local(async move {
            let attempt = async {
                if tls {
                    return Err(io::Error::other("rtsps backends are not supported"));
                }
                dial(&host, port).await
            };
            let result = match tokio::time::timeout(deadline, attempt).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
            };
            let now = clock::now();
            let mut this = shard.borrow_mut();
            match result {
                Ok((stream, local, peer)) => {
                    let tcp = Rc::new(Connection {
                        stream,
                        unsent: RefCell::new(BytesMut::new()),
                        wake: Notify::new(),
                        closing: Cell::new(false),
                    });
                    if let Some(home) = this.homes.get_mut(&id) {
                        home.io.tcp = Some(Rc::clone(&tcp));
                        tokio::task::spawn_local(run_connection(Rc::clone(&shard), id, tcp));
                        this.backend_input(now, id, Input::Connected { local, peer });
                    }
                }
                Err(error) => {
                    let why = error.to_string();
                    this.backend_input(now, id, Input::ConnectFailed { why });
                }
            }
            this.drive_home(now, id);
            this.settle(now);
        });
        if let Some(home) = self.homes.get_mut(&id) {
            home.io.connecting = Some(Task(task.abort_handle()));
        }
    }

    fn send_to_backend(&mut self, now: Now, id: StreamId, bytes: &Bytes) {
        let Some(tcp) = self.homes.get(&id).and_then(|home| home.io.tcp.clone()) else { return };
        let mut unsent = tcp.unsent.borrow_mut();
        if unsent.len() + bytes.len() > MAX_UNSENT {
            drop(unsent);
            let why = Some("it does not read what it is sent".to_owned());
            self.backend_input(now, id, Input::Closed { why });
            return;
        }
        let written = match unsent.is_empty() {
            // An error shows again where the connection is read.
            true => tcp.stream.try_write(bytes).unwrap_or(0),
            false => 0,
        };
        let rest = bytes.get(written..).unwrap_or_default();
        if !rest.is_empty() {
            unsent.extend_from_slice(rest);
            tcp.wake.notify_one();
        }
    }

    fn bind_udp(&mut self, id: StreamId, track: usize) -> io::Result<u16> {
        let missing = || io::Error::from(io::ErrorKind::NotConnected);
        let shard = self.shared().ok_or_else(missing)?;
        let home = self.homes.get_mut(&id).ok_or_else(missing)?;
        let ip = match &home.io.tcp {
            Some(tcp) => tcp.stream.local_addr()?.ip(),
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let (rtp, rtcp) = sockopt::udp_pair(ip, 0, false)?;
        let port = rtp.local_addr()?.port();
        let granted = sockopt::receive_buffer(&rtp, sockopt::UDP_RECEIVE_BUFFER)?;
        crate::advice::receive_buffer(granted, sockopt::UDP_RECEIVE_BUFFER);
        let open = |socket: std::net::UdpSocket, rtcp: bool| -> io::Result<_> {
            let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
            let socket = Rc::new(UdpSocket::from_std(socket)?);
            let task = tokio::task::spawn_local(run_datagrams(
                Rc::clone(&shard),
                id,
                track,
                rtcp,
                Rc::clone(&socket),
                state,
            ));
            Ok((socket, Task(task.abort_handle())))
        };
        let (rtp, rtp_task) = open(rtp, false)?;
        let (rtcp, rtcp_task) = open(rtcp, true)?;
        let sockets = TrackSockets { rtp, rtcp, peers: None, _tasks: [rtp_task, rtcp_task] };
        home.io.udp.insert(track, sockets);
        Ok(port)
    }
}

async fn dial(host: &str, port: u16) -> io::Result<(TcpStream, SocketAddr, SocketAddr)> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    // Looked up anew each time, on a thread of its own.
    for address in tokio::net::lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                sockopt::backend_connection(&stream)?;
                let local = stream.local_addr()?;
                stream.writable().await?;
                return Ok((stream, local, address));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn run_connection(shard: Shared, id: StreamId, tcp: Rc<Connection>) {
    let mut buf = BytesMut::new();
    loop {
        let unsent = !tcp.unsent.borrow().is_empty();
        tokio::select! {
            ready = tcp.stream.readable() => if ready.is_err() { break },
            ready = tcp.stream.writable(), if unsent => {
                if ready.is_err() {
                    break;
                }
                let mut unsent = tcp.unsent.borrow_mut();
                if let Ok(written) = tcp.stream.try_write(&unsent) {
                    unsent.advance(written);
                }
                continue;
            }
            () = tcp.wake.notified() => {
                if tcp.closing.get() {
                    return;
                }
                continue;
            }
        }
        if tcp.closing.get() {
            return;
        }
        match read(&shard, id, &tcp, &mut buf) {
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
    tcp: &Rc<Connection>,
    buf: &mut BytesMut,
) -> Result<bool, ()> {
    let now = clock::now();
    let mut this = shard.borrow_mut();
    let mut taken = 0;
    let ended = loop {
        if taken >= READ_STEP || tcp.closing.get() {
            break None;
        }
        match receive(&tcp.stream, buf) {
            Ok((0, _)) => break Some(None),
            Ok((n, is_all)) => {
                taken += n;
                this.backend_input(now, id, Input::Stream(buf));
                if is_all {
                    break None;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break None,
            Err(error) => break Some(Some(error.to_string())),
        }
    };
    // An old connection must not end its successor.
    let current = |this: &Shard| {
        this.homes.get(&id).and_then(|h| h.io.tcp.as_ref()).is_some_and(|t| Rc::ptr_eq(t, tcp))
    };
    let over = ended.is_some();
    if let Some(why) = ended
        && current(&this)
    {
        this.backend_input(now, id, Input::Closed { why });
    }
    this.drive_home(now, id);
    this.settle(now);
    if over { Err(()) } else { Ok(taken < READ_STEP) }
}

/// Reads once; says how much, and whether that was all there was.
fn receive(stream: &TcpStream, buf: &mut BytesMut) -> io::Result<(usize, bool)> {
    buf.reserve(READ);
    let room = buf.capacity() - buf.len();
    let n = stream.try_read_buf(buf)?;
    let is_all = n < room;
    if is_all {
        // The runtime learns so without another call. It hears of what comes next only after this
        // task has paused, so nothing is forgotten; the end of the stream it never forgets.
        let _nothing: io::Result<()> =
            stream.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
    }
    Ok((n, is_all))
}

async fn run_datagrams(
    shard: Shared,
    id: StreamId,
    track: usize,
    rtcp: bool,
    socket: Rc<UdpSocket>,
    state: UdpSocketState,
) {
    let mut datagrams = Vec::new();
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        let more = {
            let now = clock::now();
            let mut this = shard.borrow_mut();
            let mut calls = 0;
            let more = loop {
                let received = this
                    .receiver
                    .receive(&socket, &state, |from, data| datagrams.push((from, data)));
                for (from, data) in datagrams.drain(..) {
                    this.backend_input(now, id, Input::Datagram { track, rtcp, from, data });
                }
                calls += 1;
                match received {
                    Ok(true) if calls < UDP_STEP => {}
                    Ok(true) => break true,
                    Ok(false) | Err(_) => break false,
                }
            };
            this.drive_home(now, id);
            this.settle(now);
            more
        };
        if more {
            tokio::task::yield_now().await;
        }
    }
}
