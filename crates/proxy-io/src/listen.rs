//! Accepting connections: a thread of its own reads each one's first line, so that idle
//! connections never reach a shard, and hands it to the shard that pulls the stream it names.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::bus::{Bus, ConnectionPlace, Message, NewConnection};
use crate::load::Loads;
use crate::registry::Registry;
use crate::sockopt;

/// What an acceptor needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Acceptor {
    pub(crate) bus: Bus,
    pub(crate) registry: Registry,
    pub(crate) loads: Loads,
    /// Connections with a first request, over all shards.
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) max_connections: usize,
    pub(crate) max_pending: usize,
    pub(crate) first_request: Duration,
    /// Longest first line that is waited for.
    pub(crate) first_line: usize,
}

impl Acceptor {
    /// Accepts until the process ends.
    pub(crate) async fn run(self, listeners: Vec<TcpListener>) -> io::Result<()> {
        let this = Rc::new(self);
        let pending = Arc::new(Semaphore::new(this.max_pending));
        let mut tasks = Vec::new();
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (this, pending) = (Rc::clone(&this), Arc::clone(&pending));
            tasks.push(tokio::task::spawn_local(this.accept(listener, pending)));
        }
        for task in tasks {
            // Ends only with the runtime.
            let _ended = task.await;
        }
        Ok(())
    }

    async fn accept(self: Rc<Self>, listener: tokio::net::TcpListener, pending: Arc<Semaphore>) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, mostly: connections that end give some back.
                    tracing::warn!(%error, "cannot accept a connection; trying again in 100 ms");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&pending).try_acquire_owned() else {
                tracing::warn!(%peer, limit = self.max_pending, "connection refused: too many connections without a request (pending_connections)");
                continue;
            };
            let this = Rc::clone(&self);
            tokio::task::spawn_local(async move {
                this.place(stream, peer).await;
                drop(permit);
            });
        }
    }

    async fn place(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let read = self.first_line(&stream);
        let received = match tokio::time::timeout(self.first_request, read).await {
            Ok(Ok(Some(received))) => received,
            Ok(Ok(None) | Err(_)) => return,
            Err(_) => {
                tracing::debug!(%peer, "connection closed: no request");
                return;
            }
        };
        let Some(place) = ConnectionPlace::take(&self.connections, self.max_connections) else {
            tracing::warn!(%peer, limit = self.max_connections, "connection refused: too many connections (connections)");
            return;
        };
        let shard = self.shard_for(&received);
        let Ok(stream) = stream.into_std() else { return };
        let connection = NewConnection { stream, peer, local, received, place };
        self.bus.send(shard, Message::Connection(Box::new(connection))).await;
    }

    /// Everything up to at least the end of the first line; `None` at the end of the stream.
    async fn first_line(&self, stream: &TcpStream) -> io::Result<Option<BytesMut>> {
        let mut received = BytesMut::with_capacity(1024);
        loop {
            stream.readable().await?;
            match stream.try_read_buf(&mut received) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            let line = received.iter().skip_while(|b| b.is_ascii_whitespace()).any(|b| *b == b'\n');
            if line || received.len() >= self.first_line {
                return Ok(Some(received));
            }
        }
    }

    /// The stream's home while it has room, else the shard with the least to do.
    fn shard_for(&self, received: &[u8]) -> usize {
        let home = std::str::from_utf8(received)
            .ok()
            .and_then(|text| text.split_ascii_whitespace().nth(1))
            .and_then(rtsp_server::stream_of)
            .and_then(|target| {
                self.registry
                    .find(&target.path)
                    .or_else(|| self.registry.find(target.split_track()?.0))
            })
            .map(|entry| entry.home);
        self.loads.place(home)
    }
}

/// A pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the listening sockets: every address given, or both families.
///
/// # Errors
/// The address that cannot be had. Without addresses given, a host without one of the families
/// is served on the other, and the log says so.
pub(crate) fn bind(
    addresses: &[std::net::IpAddr],
    port: u16,
) -> Result<Vec<TcpListener>, (SocketAddr, io::Error)> {
    use std::net::{Ipv4Addr, Ipv6Addr};
    if !addresses.is_empty() {
        let mut port = port;
        let mut bound = Vec::new();
        for ip in addresses {
            let address = SocketAddr::new(*ip, port);
            let listener = sockopt::listener(address).map_err(|error| (address, error))?;
            if port == 0 {
                port = listener.local_addr().map_err(|error| (address, error))?.port();
            }
            bound.push(listener);
        }
        return Ok(bound);
    }
    let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    let first = match sockopt::listener(v4) {
        Ok(listener) => Some(listener),
        Err(error) if family_missing(&error) => {
            tracing::warn!("this host has no IPv4: serving IPv6 only");
            None
        }
        Err(error) => return Err((v4, error)),
    };
    let port = match &first {
        Some(listener) => listener.local_addr().map_err(|error| (v4, error))?.port(),
        None => port,
    };
    let v6 = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    match sockopt::listener(v6) {
        Ok(listener) => Ok(first.into_iter().chain([listener]).collect()),
        Err(error) if family_missing(&error) && first.is_some() => {
            tracing::warn!("this host has no IPv6: serving IPv4 only");
            Ok(first.into_iter().collect())
        }
        Err(error) => Err((v6, error)),
    }
}

/// Whether the kernel lacks the address family altogether, which is not a conflict.
pub(crate) fn family_missing(error: &io::Error) -> bool {
    use nix::errno::Errno;
    let missing = [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL, Errno::EPFNOSUPPORT];
    error.raw_os_error().is_some_and(|raw| missing.contains(&Errno::from_raw(raw)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn both_families_get_the_same_port() {
        let listeners = bind(&[], 0).expect("a free port");
        let ports: Vec<_> =
            listeners.iter().map(|l| l.local_addr().expect("bound").port()).collect();
        assert!(ports.windows(2).all(|w| w[0] == w[1]));
    }

    #[test]
    fn a_port_in_use_is_an_error_that_names_the_address() {
        let held = bind(&["127.0.0.1".parse().expect("address")], 0).expect("a free port");
        let port = held[0].local_addr().expect("bound").port();
        let (address, _) = bind(&["127.0.0.1".parse().expect("address")], port).unwrap_err();
        assert_eq!(address.port(), port);
    }

    #[test]
    fn places_are_given_back() {
        let count = Arc::new(AtomicUsize::new(0));
        let first = ConnectionPlace::take(&count, 1);
        assert!(first.is_some());
        assert!(ConnectionPlace::take(&count, 1).is_none());
        drop(first);
        assert_eq!(count.load(Ordering::Relaxed), 0);
    }
}
