//! Socket options, and a word to the operator where the kernel grants less than asked for.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, SndBufForce};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Unsent bytes that the kernel may hold for a TCP reader. Without a bound it swallows megabytes
/// (8 to 12 s of video) before a write says "full", and lag is where nobody sees it.
pub(crate) const TCP_UNSENT: u32 = 128 * 1024;
/// A peer that acknowledges nothing for this long is gone; a stopped reader's closed window
/// counts against it too.
pub(crate) const TCP_USER_TIMEOUT: Duration = Duration::from_secs(65);
/// A reader's connection on which nothing came for this long is asked whether anybody is there: one
/// whose media goes over UDP says nothing for as long as it likes. A host that was restarted says
/// no at once; one that is gone never says it, and the connection ends with [`TCP_USER_TIMEOUT`],
/// as the session does.
const READER_SILENT: Duration = Duration::from_secs(20);
/// Between two such questions while there is no answer.
const READER_ASKED: Duration = Duration::from_secs(5);
/// The same, both, where another reader has set up the ports that this one gets its media on.
const CONTESTED_SILENT: Duration = Duration::from_secs(2);
/// So long nobody may have answered there. Longer than [`READER_SILENT`] by some questions.
const CONTESTED_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// Wanted for sockets that media comes in by.
pub(crate) const UDP_RECEIVE_BUFFER: usize = 2 * 1024 * 1024;
/// Wanted for sockets that media goes out by.
pub(crate) const UDP_SEND_BUFFER: usize = 2 * 1024 * 1024;

/// Prepares a reader's connection.
pub(crate) fn reader_connection(stream: &tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let sock = SockRef::from(stream);
    sock.set_tcp_notsent_lowat(TCP_UNSENT)?;
    sock.set_tcp_keepalive(&asked(READER_SILENT, READER_ASKED))?;
    sock.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))
}

/// A reader's connection carries media from now on: it has the time that a reader may take nothing,
/// whatever was asked of it before.
pub(crate) fn media_connection(stream: &tokio::net::TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))
}

/// Asks now, and from now on sooner, whether anybody is there. One that is `for_media` keeps the
/// time that a reader may take nothing.
pub(crate) fn contested_connection(
    stream: &tokio::net::TcpStream,
    for_media: bool,
) -> io::Result<()> {
    let sock = SockRef::from(stream);
    if !for_media {
        sock.set_tcp_user_timeout(Some(CONTESTED_TIMEOUT))?;
    }
    sock.set_tcp_keepalive(&asked(CONTESTED_SILENT, CONTESTED_SILENT))
}

/// Questions whether a peer is there. How many are not answered is not asked where there is a user
/// timeout: the time counts.
fn asked(silent: Duration, again: Duration) -> TcpKeepalive {
    TcpKeepalive::new().with_time(silent).with_interval(again)
}

/// Prepares a connection to a backend: a camera that vanishes without a word is noticed even
/// while nothing is sent to it.
pub(crate) fn backend_connection(stream: &tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let sock = SockRef::from(stream);
    sock.set_tcp_keepalive(&asked(Duration::from_secs(10), Duration::from_secs(5)).with_retries(3))
}

/// A listening socket for one address family alone.
pub(crate) fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A UDP socket; `shared` ones may be bound once per shard.
pub(crate) fn udp(address: SocketAddr, shared: bool) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Asks for a receive buffer; returns what the kernel granted.
pub(crate) fn receive_buffer(socket: &std::net::UdpSocket, wanted: usize) -> io::Result<usize> {
    let sock = SockRef::from(socket);
    // Beyond net.core.rmem_max only for who may administer the network.
    if setsockopt(socket, RcvBufForce, &wanted).is_err() {
        sock.set_recv_buffer_size(wanted)?;
    }
    // Linux counts its own bookkeeping and answers with twice the figure.
    Ok(sock.recv_buffer_size()? / 2)
}

/// Asks for a send buffer; returns what the kernel granted.
pub(crate) fn send_buffer(socket: &std::net::UdpSocket, wanted: usize) -> io::Result<usize> {
    let sock = SockRef::from(socket);
    if setsockopt(socket, SndBufForce, &wanted).is_err() {
        sock.set_send_buffer_size(wanted)?;
    }
    Ok(sock.send_buffer_size()? / 2)
}

/// Two sockets on neighbouring ports, the even one first (RFC 3550 section 11).
///
/// With `port` 0 the kernel chooses; other ports are taken as given, rounded down to even.
pub(crate) fn udp_pair(
    ip: IpAddr,
    port: u16,
    shared: bool,
) -> io::Result<(std::net::UdpSocket, std::net::UdpSocket)> {
    if port != 0 {
        let even = port & !1;
        let rtp = udp(SocketAddr::new(ip, even), shared)?;
        return Ok((rtp, udp(SocketAddr::new(ip, even | 1), shared)?));
    }
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PAIR_ATTEMPTS {
        let first = udp(SocketAddr::new(ip, 0), shared)?;
        let port = first.local_addr()?.port();
        let other = SocketAddr::new(ip, port ^ 1);
        match udp(other, shared) {
            Ok(second) if port & 1 == 0 => return Ok((first, second)),
            Ok(second) => return Ok((second, first)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Two sockets on neighbouring ports of a range, the even one first. Pairs are taken in turns, so
/// that what is on its way to a closed one finds nobody.
pub(crate) fn udp_pair_within(
    ip: IpAddr,
    range: &RangeInclusive<u16>,
) -> io::Result<(std::net::UdpSocket, std::net::UdpSocket)> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let evens = || range.clone().filter(|port| port % 2 == 0 && range.contains(&(port | 1)));
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % evens().count().max(1);
    for port in evens().skip(turn).chain(evens().take(turn)) {
        if let Ok(pair) = udp_pair(ip, port, false) {
            return Ok(pair);
        }
    }
    let why = format!("no pair of ports from {} to {} is free", range.start(), range.end());
    Err(io::Error::new(io::ErrorKind::AddrInUse, why))
}

/// Ephemeral ports tried before the host is said to have no free pair.
const PAIR_ATTEMPTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_pair_has_an_even_port_and_the_next_one() -> io::Result<()> {
        let (rtp, rtcp) = udp_pair(Ipv4Addr::LOCALHOST.into(), 0, false)?;
        let port = rtp.local_addr()?.port();
        assert_eq!(port % 2, 0);
        assert_eq!(rtcp.local_addr()?.port(), port + 1);
        Ok(())
    }

    #[test]
    fn pairs_of_a_range_are_taken_until_none_is_left() -> io::Result<()> {
        let ip = Ipv4Addr::LOCALHOST.into();
        // Five ports, of which the first and the last have no neighbour that would do.
        let range = 46_101..=46_106;
        let mut pairs = Vec::new();
        while let Ok(pair) = udp_pair_within(ip, &range) {
            pairs.push(pair);
        }
        let mut ports: Vec<u16> =
            pairs.iter().filter_map(|(rtp, _)| Some(rtp.local_addr().ok()?.port())).collect();
        ports.sort_unstable();
        assert_eq!(ports, [46_102, 46_104]);
        pairs.pop();
        assert!(udp_pair_within(ip, &range).is_ok());
        Ok(())
    }

    #[test]
    fn what_the_kernel_granted_is_told_in_the_terms_it_was_asked_for() -> io::Result<()> {
        let socket = udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false)?;
        for wanted in [32 << 10, 128 << 10] {
            assert_eq!(receive_buffer(&socket, wanted)?, wanted);
            assert_eq!(send_buffer(&socket, wanted)?, wanted);
        }
        // More than any kernel has: whoever asks learns what there is.
        assert!(receive_buffer(&socket, 1 << 30)? >= 128 << 10);
        Ok(())
    }

    #[test]
    fn shared_sockets_can_be_bound_once_per_shard() -> io::Result<()> {
        let (rtp, _rtcp) = udp_pair(Ipv4Addr::LOCALHOST.into(), 0, true)?;
        let (again, _) = udp_pair(Ipv4Addr::LOCALHOST.into(), rtp.local_addr()?.port(), true)?;
        assert_eq!(again.local_addr()?, rtp.local_addr()?);
        Ok(())
    }
}
