//! Sockets whose losses are known, and what the kernel knows of processes.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

/// A pair of UDP ports for one track.
#[derive(Debug)]
pub struct Pair {
    /// For RTP, on the even port.
    pub rtp: UdpSocket,
    /// For RTCP, on the port after it.
    pub rtcp: UdpSocket,
    /// The even port.
    pub port: u16,
    /// The receive buffer that the kernel gave for RTP, in bytes.
    pub buffer: usize,
}

/// The receive buffer that readers ask for.
const RECEIVE_BUFFER: usize = 1 << 20;
const ATTEMPTS: usize = 200;

impl Pair {
    /// Two ports that follow each other, with room for what a busy test leaves waiting.
    ///
    /// # Panics
    /// If the host has none.
    #[must_use]
    pub fn bind(ip: IpAddr) -> Self {
        Self::bind_beside(SocketAddr::new(ip, 0))
    }

    /// The same on the address of another socket, and on its link where it is one of that link
    /// alone.
    ///
    /// # Panics
    /// If the host has none.
    #[must_use]
    pub fn bind_beside(local: SocketAddr) -> Self {
        let mut pair = Self::plain_beside(local);
        // Beyond rmem_max only where the process may; what came of it is asked for.
        if setsockopt(&pair.rtp, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            let _smaller = SockRef::from(&pair.rtp).set_recv_buffer_size(RECEIVE_BUFFER);
        }
        pair.buffer = SockRef::from(&pair.rtp).recv_buffer_size().unwrap_or_default();
        pair
    }

    /// The same with the receive buffers that the kernel gives to who asks for none.
    ///
    /// # Panics
    /// If the host has no such ports.
    #[must_use]
    pub fn plain(ip: IpAddr) -> Self {
        Self::plain_beside(SocketAddr::new(ip, 0))
    }

    /// The same on the address of another socket.
    ///
    /// # Panics
    /// If the host has no such ports.
    #[must_use]
    pub fn plain_beside(mut local: SocketAddr) -> Self {
        for _ in 0..ATTEMPTS {
            local.set_port(0);
            let first = UdpSocket::bind(local).expect("a UDP port");
            let port = first.local_addr().expect("bound").port();
            local.set_port(port ^ 1);
            let Ok(second) = UdpSocket::bind(local) else { continue };
            let (rtp, rtcp) =
                if port.is_multiple_of(2) { (first, second) } else { (second, first) };
            for socket in [&rtp, &rtcp] {
                socket.set_nonblocking(true).expect("a bound socket");
            }
            let buffer = SockRef::from(&rtp).recv_buffer_size().unwrap_or_default();
            return Self { rtp, rtcp, port: port & !1, buffer };
        }
        panic!("no pair of free UDP ports");
    }

    /// How many datagrams for RTP the kernel dropped for want of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        ["/proc/net/udp", "/proc/net/udp6"].iter().filter_map(|table| self.dropped_in(table)).sum()
    }

    fn dropped_in(&self, table: &str) -> Option<u64> {
        let text = std::fs::read_to_string(table).ok()?;
        let place = format!(":{:04X}", self.port);
        let line = text.lines().find(|line| {
            line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&place))
        })?;
        line.split_whitespace().next_back()?.parse().ok()
    }
}

/// The processor time that a process has used, in seconds.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    // What follows the name, which may hold anything; utime and stime are fields 14 and 15.
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// The memory that a process has to itself, in bytes: what it has written to, files aside.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn private_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.expect("a number of kilobytes") << 10
}

/// How many file descriptors a process has open.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn open_files(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).expect("a process").count()
}

/// `USER_HZ`, which is the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;
