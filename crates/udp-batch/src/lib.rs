//! Many datagrams in one system call.
//!
//! [`BatchSender`] gives the same bytes to many addresses: `sendmmsg(2)`, each message cut into
//! datagrams by the kernel or the device where that is wanted (`UDP_SEGMENT`, udp(7), "GSO").
//! [`Receiver`] takes what a socket has: `recvmmsg(2)`, of messages that the kernel may have joined
//! of many datagrams (`UDP_GRO`), and gives them out one by one as slices of what was received.
//!
//! Both take any socket that is [`AsFd`](std::os::fd::AsFd), wait for nothing and keep no socket:
//! who waits for readiness, and how, is the caller's choice. One of each serves any number of
//! sockets. Linux.
//!
//! ```
//! use std::net::UdpSocket;
//! use udp_batch::{BatchSender, Receiver, SendOutcome, SocketState};
//!
//! # fn main() -> std::io::Result<()> {
//! let readers = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
//! let addresses = [readers[0].local_addr()?, readers[1].local_addr()?];
//! let state = SocketState::new(&readers[0])?;
//!
//! // 1,000 bytes in datagrams of 400, to both.
//! let socket = UdpSocket::bind("127.0.0.1:0")?;
//! let outcome = BatchSender::new().send(&socket, &[7; 1000], Some(400), &addresses);
//! assert_eq!(outcome, SendOutcome::Took(2));
//!
//! let mut sizes = Vec::new();
//! Receiver::new().receive(&readers[0], &state, |_, datagram| sizes.push(datagram.len()))?;
//! assert_eq!(sizes, [400, 400, 200]);
//! # Ok(())
//! # }
//! ```

mod receive;
mod send;

pub use nix::errno::Errno;
pub use receive::{Receiver, SocketState};
pub use send::{BatchSender, SendOutcome};
