//! The UDP sockets that readers get their media from: a pair per address that is listened on,
//! bound once per shard to the same ports. A reader is served from the address it connected to.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use udp_batch::{BatchSender, SendOutcome};

use super::segmenting::Segmenting;
use super::{Shard, Shared};
use crate::bus::Message;
use crate::clock;
use crate::registry::StreamId;
use crate::sockopt;

/// The sockets of one shard before they belong to its runtime.
#[derive(Debug)]
pub(crate) struct ReaderPorts {
    pairs: Vec<(IpAddr, std::net::UdpSocket, std::net::UdpSocket)>,
}

impl ReaderPorts {
    /// Binds the pairs of all shards to the same ports.
    ///
    /// # Errors
    /// A configured port that is in use; a family that the host lacks is left out.
    pub(crate) fn bind(
        shards: usize,
        bind: &[IpAddr],
        port: u16,
    ) -> Result<Vec<Self>, (SocketAddr, io::Error)> {
        const ALL: [IpAddr; 2] =
            [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let addresses = if bind.is_empty() { &ALL[..] } else { bind };
        let mut all: Vec<Self> = (0..shards).map(|_| Self { pairs: Vec::new() }).collect();
        for ip in addresses.iter().copied() {
            let mut chosen = port;
            for ports in &mut all {
                let address = SocketAddr::new(ip, chosen);
                let at = |error| (address, error);
                let (rtp, rtcp) = match sockopt::udp_pair(ip, chosen, true) {
                    Ok(pair) => pair,
                    // A host may lack one of the families, as the listening sockets allow.
                    Err(error) if bind.is_empty() && crate::listen::family_missing(&error) => break,
                    Err(error) => return Err(at(error)),
                };
                chosen = rtp.local_addr().map_err(at)?.port();
                let granted = sockopt::send_buffer(&rtp, sockopt::UDP_SEND_BUFFER).map_err(at)?;
                crate::advice::send_buffer(granted, sockopt::UDP_SEND_BUFFER);
                ports.pairs.push((ip, rtp, rtcp));
            }
        }
        Ok(all)
    }
}

/// The sockets of one shard.
pub(super) struct ReaderSockets {
    groups: Vec<Group>,
    sender: BatchSender,
}

/// A socket that is written to without being asked whether it takes something. Readiness to be
/// written to would be told for every datagram that leaves, and cost a call of `epoll_wait` each
/// time; who finds it full waits by [`writable`].
type Socket = AsyncFd<std::net::UdpSocket>;

/// Asks for the readiness of a socket.
#[expect(
    deprecated,
    reason = "unsound only if the descriptor may change, which a `UdpSocket`'s cannot; what replaces it is unsafe"
)]
fn register(socket: std::net::UdpSocket, interest: Interest) -> io::Result<Socket> {
    AsyncFd::with_interest(socket, interest)
}

struct Group {
    /// What the sockets are bound to.
    address: IpAddr,
    rtp: Rc<Socket>,
    rtcp: Rc<Socket>,
    ports: (u16, u16),
    segmenting: Segmenting,
    /// Of the run that is sent singly, where a socket was full in the middle of it.
    partly: Option<Partly>,
    /// A larger segment would not fit into an Ethernet frame: the kernel sends such a datagram in
    /// fragments, but refuses to segment into them.
    max_segment: u16,
    /// Streams that wait for a socket to take more.
    waiting: HashSet<StreamId>,
    /// Which one they wait for.
    full_rtcp: bool,
    /// It is the device that takes no more.
    is_busy: bool,
    full: Rc<Notify>,
}

impl ReaderSockets {
    pub(super) fn new(ports: ReaderPorts) -> io::Result<Self> {
        let mut groups = Vec::new();
        for (address, rtp, rtcp) in ports.pairs {
            let ports = (rtp.local_addr()?.port(), rtcp.local_addr()?.port());
            groups.push(Group {
                address,
                rtp: Rc::new(register(rtp, Interest::READABLE)?),
                rtcp: Rc::new(register(rtcp, Interest::READABLE)?),
                ports,
                segmenting: Segmenting::default(),
                partly: None,
                max_segment: if address.is_ipv4() { MAX_SEGMENT_V4 } else { MAX_SEGMENT_V6 },
                waiting: HashSet::new(),
                full_rtcp: false,
                is_busy: false,
                full: Rc::new(Notify::new()),
            });
        }
        Ok(Self { groups, sender: BatchSender::new() })
    }

    pub(super) fn groups(&self) -> usize {
        self.groups.len()
    }

    /// The group that serves readers who connected to our address `local`.
    pub(super) fn group(&self, local: IpAddr) -> Option<usize> {
        self.groups.iter().position(|group| {
            group.address == local
                || (group.address.is_unspecified() && group.address.is_ipv4() == local.is_ipv4())
        })
    }

    /// Our ports for readers who connected to our address `local`.
    pub(super) fn ports(&self, local: IpAddr) -> Option<(u16, u16)> {
        Some(self.groups.get(self.group(local)?)?.ports)
    }

    /// Sends one run to many readers. [`SendOutcome::NoSegments`] is dealt with here.
    pub(super) fn send(
        &mut self,
        now: Instant,
        group: usize,
        payload: &[u8],
        segment: Option<usize>,
        rtcp: bool,
        to: &[SocketAddr],
    ) -> SendOutcome {
        let Self { groups, sender } = self;
        let Some(group) = groups.get_mut(group) else { return SendOutcome::Took(to.len()) };
        let Group { segmenting, partly, max_segment, .. } = group;
        let fd = if rtcp { group.rtcp.as_fd() } else { group.rtp.as_fd() };
        let Some(size) = segment.and_then(|size| u16::try_from(size).ok()) else {
            return sender.send(fd, payload, None, to);
        };
        let singly = usize::from(size);
        if size > *max_segment || !segmenting.is_on(now) {
            return send_singly(sender, fd, payload, singly, to, partly);
        }
        match sender.send(fd, payload, Some(size), to) {
            SendOutcome::NoSegments => {
                if segmenting.refused(now) {
                    let address = group.address;
                    tracing::info!(%address, "no reader's way takes segmented UDP messages (GSO): datagrams are sent singly");
                }
                // Only the way to the first is known to refuse.
                let first = to.get(..1).unwrap_or_default();
                send_singly(sender, fd, payload, singly, first, partly)
            }
            outcome => {
                if let SendOutcome::Took(_) = outcome {
                    segmenting.took();
                }
                outcome
            }
        }
    }

    /// Whether runs of several datagrams are to be offered to this group.
    pub(super) fn takes_segments(&mut self, now: Instant, group: usize) -> bool {
        self.groups.get_mut(group).is_some_and(|group| group.segmenting.is_on(now))
    }

    /// Whether datagrams of this size may be segments at all.
    pub(super) fn may_be_segments(&self, group: usize, size: usize) -> bool {
        self.groups.get(group).is_some_and(|group| size <= usize::from(group.max_segment))
    }

    /// A stream waits until the socket takes more, or the device behind it.
    pub(super) fn wait(&mut self, group: usize, id: StreamId, rtcp: bool, is_busy: bool) {
        if let Some(group) = self.groups.get_mut(group) {
            (group.full_rtcp, group.is_busy) = (rtcp, is_busy);
            group.waiting.insert(id);
            group.full.notify_one();
        }
    }

    /// A report for one reader; one that cannot be sent is not repeated.
    pub(super) fn send_rtcp(&self, local: IpAddr, to: SocketAddr, data: &Bytes) {
        let group = self.group(local).and_then(|g| self.groups.get(g));
        if let Some(group) = group
            && let Err(error) = group.rtcp.get_ref().send_to(data, to)
        {
            tracing::debug!(%to, %error, "report not sent");
        }
    }
}

/// Without segmentation: every datagram of the run to the first destination, then the next. This is
/// the way for a run that was already on its way when segmentation was refused, for a destination
/// that alone refuses it, and for datagrams too large to be segments; where all refuse it, runs of
/// one datagram are offered.
fn send_singly(
    sender: &mut BatchSender,
    fd: BorrowedFd<'_>,
    payload: &[u8],
    size: usize,
    to: &[SocketAddr],
    partly: &mut Option<Partly>,
) -> SendOutcome {
    let mut before = partly.take();
    for (index, address) in to.iter().enumerate() {
        // Only the first can have had a part of it.
        let had = before.take().map_or(0, |partly| partly.of(*address, payload));
        for (number, datagram) in payload.chunks(size.max(1)).enumerate().skip(had) {
            match sender.send(fd, datagram, None, std::slice::from_ref(address)) {
                SendOutcome::Took(_) => {}
                SendOutcome::Blocked | SendOutcome::Busy if number > 0 && index > 0 => {
                    *partly = Some(Partly::new(*address, payload, number));
                    return SendOutcome::Took(index);
                }
                full @ (SendOutcome::Blocked | SendOutcome::Busy) if number > 0 => {
                    *partly = Some(Partly::new(*address, payload, number));
                    return full;
                }
                // It had the beginning: better it lacks the rest than that it gets that again.
                _ if number > 0 => return SendOutcome::Took(index + 1),
                // The next call begins with this destination and finds the same.
                _ if index > 0 => return SendOutcome::Took(index),
                other => return other,
            }
        }
    }
    SendOutcome::Took(to.len())
}

/// How far a run got to one destination, which is offered the same again. Unless it got too old
/// meanwhile, or the reader left: so it is remembered what it was.
#[derive(Debug)]
struct Partly {
    to: SocketAddr,
    bytes: usize,
    /// The beginning, which for RTP is its header.
    head: [u8; 12],
    /// Datagrams that have been sent.
    had: usize,
}

impl Partly {
    fn new(to: SocketAddr, payload: &[u8], had: usize) -> Self {
        Self { to, bytes: payload.len(), head: head(payload), had }
    }

    /// Datagrams of this run that this destination has had.
    fn of(&self, to: SocketAddr, payload: &[u8]) -> usize {
        let is_it = (self.to, self.bytes, self.head) == (to, payload.len(), head(payload));
        if is_it { self.had } else { 0 }
    }
}

fn head(payload: &[u8]) -> [u8; 12] {
    payload.first_chunk().copied().unwrap_or_default()
}

/// Starts the tasks that wait on the sockets.
pub(super) fn spawn(shard: &Shared) {
    let this = shard.borrow();
    for (index, group) in this.sockets.groups.iter().enumerate() {
        for socket in [&group.rtp, &group.rtcp] {
            tokio::task::spawn_local(receive(Rc::clone(shard), Rc::clone(socket)));
        }
        let sockets = [Rc::clone(&group.rtp), Rc::clone(&group.rtcp)];
        let full = Rc::clone(&group.full);
        tokio::task::spawn_local(write_again(Rc::clone(shard), index, sockets, full));
    }
}

/// Readers' reports and hole-punching packets: signs of life of their address.
async fn receive(shard: Shared, socket: Rc<Socket>) {
    // What is longer is cut off, and then no RTCP any more: that is made of words of four bytes.
    let mut buf = [0; MAX_REPORT + 1];
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        let now = clock::now();
        {
            let mut this = shard.borrow_mut();
            for _ in 0..RECEIVE_STEP {
                let received = ready.try_io(|socket| socket.get_ref().recv_from(&mut buf));
                let Ok(Ok((length, from))) = received else { break };
                this.on_reader_datagram(now, from, buf.get(..length).unwrap_or_default());
            }
            this.settle(now);
        }
        tokio::task::yield_now().await;
    }
}

/// Waits until a full socket takes more.
async fn write_again(shard: Shared, group: usize, [rtp, rtcp]: [Rc<Socket>; 2], full: Rc<Notify>) {
    loop {
        full.notified().await;
        let (which, is_busy) = match shard.borrow().sockets.groups.get(group) {
            Some(group) => (group.full_rtcp, group.is_busy),
            None => return,
        };
        let socket = if which { &rtcp } else { &rtp };
        // A full device, unlike a full socket, never says when it has room again.
        let told = match is_busy {
            true => None,
            false => tokio::time::timeout(TRY_AGAIN, writable(socket)).await.ok(),
        };
        if is_busy || matches!(told, Some(Err(_))) {
            tokio::time::sleep(TRY_AGAIN).await;
        }
        let now = clock::now();
        let mut this = shard.borrow_mut();
        let waiting = match this.sockets.groups.get_mut(group) {
            Some(group) => std::mem::take(&mut group.waiting),
            None => return,
        };
        for id in waiting {
            this.mark(id);
        }
        this.settle(now);
    }
}

/// Waits until a socket that was full takes more.
async fn writable(socket: &Socket) -> io::Result<()> {
    // Another descriptor: the first one is registered already, for what it brings.
    let socket = register(socket.get_ref().try_clone()?, Interest::WRITABLE)?;
    socket.writable().await.map(drop)
}

/// 1500 bytes without the headers of IPv4 and UDP.
const MAX_SEGMENT_V4: u16 = 1472;
/// 1500 bytes without the headers of IPv6 and UDP.
const MAX_SEGMENT_V6: u16 = 1452;
/// How long a full socket is waited for before it is tried again, and a full device in any case.
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// Bytes that a reader's RTCP packet may have.
const MAX_REPORT: usize = 2048;
/// Datagrams from readers in one step.
const RECEIVE_STEP: usize = 64;

impl Shard {
    /// All shards share the ports, so a report may come to one that does not know its reader.
    fn on_reader_datagram(&mut self, now: rtp_rtcp::Now, from: SocketAddr, data: &[u8]) {
        let Some(route) = self.routes.find(from) else {
            // From a port nobody named, as behind NAT: it speaks for its address alone, and what it
            // says of reception may be anybody's.
            self.server.on_rtcp_from(now.mono, from);
            for shard in (0..self.bus.len()).filter(|shard| *shard != self.me) {
                let _full = self.bus.try_send(shard, Message::Rtcp { from, report: None });
            }
            return;
        };
        for shard in route.shards {
            let says = shard == route.shard && !data.is_empty();
            if shard == self.me {
                self.server.on_rtcp_from(now.mono, from);
                if says {
                    self.on_reader_rtcp(now, route.session, data);
                }
            } else {
                // A report that is lost here is followed by the next.
                let report = says.then(|| (route.session, Bytes::copy_from_slice(data)));
                let _full = self.bus.try_send(shard, Message::Rtcp { from, report });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &std::net::UdpSocket, datagrams: usize) -> io::Result<Vec<u8>> {
        let mut buf = [0; 100];
        (0..datagrams).map(|_| socket.recv(&mut buf).map(|_| buf[0])).collect()
    }

    #[test]
    fn a_run_that_was_sent_in_part_goes_on_where_it_stopped() -> io::Result<()> {
        let readers = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0"));
        let [first, second] = readers;
        let (first, second) = (first?, second?);
        let to = [first.local_addr()?, second.local_addr()?];
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        let run: Vec<u8> = (0..5_u8).flat_map(|number| [number; 20]).collect();
        let send = |partly: &mut Option<Partly>| {
            let all = send_singly(&mut BatchSender::new(), socket.as_fd(), &run, 20, &to, partly);
            assert_eq!(all, SendOutcome::Took(2));
        };
        // The first has had three of it, and the second none.
        let mut partly = Some(Partly::new(to[0], &run, 3));
        send(&mut partly);
        assert!(partly.is_none());
        assert_eq!(
            (received(&first, 2)?, received(&second, 5)?),
            (vec![3, 4], vec![0, 1, 2, 3, 4])
        );
        // It was another run, or another reader.
        for other in [Partly::new(to[0], &run[20..], 3), Partly::new(to[1], &run, 3)] {
            send(&mut Some(other));
            assert_eq!(received(&first, 5)?, [0, 1, 2, 3, 4]);
            assert_eq!(received(&second, 5)?, [0, 1, 2, 3, 4]);
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_socket_is_waited_for_while_it_is_registered_for_what_it_brings() -> io::Result<()> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let socket = register(socket, Interest::READABLE)?;
        for round in 0..3 {
            writable(&socket).await?;
            socket.get_ref().send_to(&[round], address)?;
            // What was registered first is still told.
            let mut buf = [0; 8];
            loop {
                let mut ready = socket.readable().await?;
                if let Ok(received) = ready.try_io(|socket| socket.get_ref().recv(&mut buf)) {
                    assert_eq!((received?, buf[0]), (1, round));
                    break;
                }
            }
        }
        Ok(())
    }
}
