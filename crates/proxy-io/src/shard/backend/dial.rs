//! From a host's name to a connection.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::line::Line;
use crate::clock;
use crate::reach::{Reach, TlsOptions};
use crate::sockopt;
use crate::tls::Tls;

/// Addresses of one name that are tried in one attempt.
const MAX_ADDRESSES: usize = 8;

/// Where a connection is to lead.
pub(super) struct Goal {
    /// For the log.
    pub(super) stream: Arc<str>,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    /// The address, where it must be this one; the name is then not looked up.
    pub(super) address: Option<SocketAddr>,
    pub(super) reach: Arc<Reach>,
    /// The host in the stream's URL, which `tls_name` is about.
    pub(super) own_host: Arc<str>,
}

/// A connection, our end of it, and the other.
pub(super) type Dialled = (Line, SocketAddr, SocketAddr);

/// Looks up the name and tries its addresses in order, within the time allowed.
pub(super) async fn dial(goal: &Goal, deadline: Duration) -> io::Result<Dialled> {
    let until = clock::mono() + deadline;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    let addresses = match goal.address {
        Some(address) => vec![address],
        // Looked up anew each time, on a thread of its own.
        None => tokio::time::timeout(deadline, look_up(goal)).await.map_err(|_| late())??,
    };
    let mut failures = Vec::new();
    for (tried, address) in addresses.iter().enumerate() {
        // One that does not answer must leave time for the others.
        let left = u32::try_from(addresses.len() - tried).unwrap_or(1);
        let share = until.saturating_duration_since(clock::mono()) / left;
        let connected = Cell::new(false);
        let result = match tokio::time::timeout(share, attempt(goal, *address, &connected)).await {
            Ok(result) => result,
            Err(_) if connected.get() => {
                let why = "it accepts connections but does not answer in TLS: is it rtsp:// \
                           instead of rtsps://, or another port?";
                Err(io::Error::new(io::ErrorKind::TimedOut, why))
            }
            Err(_) => Err(late()),
        };
        match result {
            Ok(dialled) => return Ok(dialled),
            Err(error) => failures.push((*address, error)),
        }
    }
    Err(all_of(failures))
}

async fn look_up(goal: &Goal) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((goal.host.as_str(), goal.port)).await;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.map_err(|error| named(&goal.host, &error))? {
        if addresses.len() < MAX_ADDRESSES && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

fn named(host: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the name {host} cannot be looked up: {error}"))
}

/// One error for several addresses.
fn all_of(mut failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
    if failures.len() == 1
        && let Some((_, only)) = failures.pop()
    {
        return only;
    }
    let kind = failures.last().map_or(io::ErrorKind::NotFound, |(_, error)| error.kind());
    let each: Vec<String> =
        failures.iter().map(|(address, error)| format!("{address}: {error}")).collect();
    io::Error::new(kind, each.join("; "))
}

async fn attempt(goal: &Goal, address: SocketAddr, connected: &Cell<bool>) -> io::Result<Dialled> {
    let tcp = TcpStream::connect(address).await?;
    connected.set(true);
    sockopt::backend_connection(&tcp)?;
    let local = tcp.local_addr()?;
    tcp.writable().await?;
    let tls = match goal.tls {
        true => Some(secure(goal, &tcp).await?),
        false => None,
    };
    Ok((Line::new(tcp, tls), local, address))
}

async fn secure(goal: &Goal, tcp: &TcpStream) -> io::Result<Tls> {
    let host = goal.host.clone();
    let mut options: TlsOptions = goal.reach.tls.clone();
    if !host.eq_ignore_ascii_case(&goal.own_host) {
        options.name = None;
    }
    let made = match Tls::is_slow(&options) {
        true => {
            let making = tokio::task::spawn_blocking(move || Tls::new(&options, &host));
            making.await.map_err(io::Error::other)?
        }
        false => Tls::new(&options, &host),
    };
    let mut tls = made.map_err(io::Error::other)?;
    if let Some(fingerprint) = tls.handshake(tcp).await? {
        tracing::warn!(
            stream = %goal.stream,
            host = %goal.host,
            sha256 = %fingerprint,
            "the backend's certificate is not verified, because of `tls = \"insecure\"`: anybody could answer in its place; `tls_pin` with this SHA-256 would be better"
        );
    }
    Ok(tls)
}
