//! The proxy as a whole: threads that are started and ended together.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::LocalOptions;

use crate::advice;
use crate::bus::{Bus, Message};
use crate::clock;
use crate::entropy;
use crate::gate::Gate;
use crate::host;
use crate::ledger::Ledger;
use crate::listen::{self, Acceptor};
use crate::load::Loads;
use crate::options::ProxyOptions;
use crate::registry::Registry;
use crate::rtcp_routes::RtcpRoutes;
use crate::shard::{self, ReaderPorts, Seat};
use crate::status::ReaderStatus;

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    bus: Bus,
    addresses: Vec<SocketAddr>,
    shards: Vec<JoinHandle<()>>,
    ledger: Ledger,
    registry: Registry,
}

/// Why a proxy could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The UDP ports for readers could not be bound.
    #[error("cannot bind the UDP port {address} for readers")]
    BindUdp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A thread or its runtime could not be made.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

impl Proxy {
    /// Binds the ports and starts the threads.
    ///
    /// # Errors
    /// An address that cannot be bound, or a thread that cannot be started.
    pub fn start(options: ProxyOptions) -> Result<Self, StartError> {
        advice::file_descriptors(options.server.connections);
        let listeners = listen::bind(&options.bind, options.rtsp_port)
            .map_err(|(address, source)| StartError::Bind { address, source })?;
        let addresses = listeners.iter().filter_map(|l| l.local_addr().ok()).collect();
        let count = match options.workers {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            n => n,
        };
        let ports = ReaderPorts::bind(count, &options.bind, options.rtp_port)
            .map_err(|(address, source)| StartError::BindUdp { address, source })?;
        let (bus, inboxes) = Bus::new(count);
        let registry = Registry::new(count, options.on_demand.clone());
        let loads = Loads::new(count);
        let routes = RtcpRoutes::default();
        let gate = Gate::default();
        let ledger = Ledger::new(count, budget(options.log_budget));
        let mut homes: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for setup in &options.streams {
            let entry = registry.add(setup);
            if let Some(homes) = homes.get_mut(entry.home) {
                homes.push((entry, setup.clone()));
            }
        }
        let acceptor = Acceptor {
            bus: bus.clone(),
            registry: registry.clone(),
            loads: loads.clone(),
            connections: Arc::new(AtomicUsize::new(0)),
            max_connections: options.server.connections,
            max_pending: options.pending_connections,
            first_request: options.server.first_request,
            first_line: options.server.limits.header_bytes,
        };
        let options = Arc::new(options);
        let mut shards = Vec::new();
        for (me, ((inbox, ports), homes)) in inboxes.into_iter().zip(ports).zip(homes).enumerate() {
            let seat = Seat {
                me,
                bus: bus.clone(),
                inbox,
                registry: registry.clone(),
                loads: loads.clone(),
                ledger: ledger.clone(),
                routes: routes.clone(),
                gate: gate.clone(),
                options: Arc::clone(&options),
                ports,
                homes,
                seed: entropy::bytes(),
            };
            shards.push(spawn(&format!("shard-{me}"), move || shard::run(seat))?);
        }
        // The acceptor holds nothing that would have to be put in order: it ends with the process.
        drop(spawn("acceptor", move || acceptor.run(listeners))?);
        Ok(Self { bus, addresses, shards, ledger, registry })
    }

    /// The addresses that readers connect to.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Logs the memory of all logs, a line per stream and one per reader: how it lags, and how it
    /// receives by its own reports.
    pub fn log_status(&self) {
        let (bytes, budget) = (self.ledger.bytes(), self.ledger.budget());
        let (streams, readers) = (self.registry.len(), self.ledger.readers());
        tracing::info!(bytes, streams, readers, budget, "log memory");
        for shard in 0..self.bus.len() {
            // A shard that is too far behind to say how it is has said so in the log.
            let _full = self.bus.try_send(shard, Message::Status);
        }
        let readers = self.readers();
        for status in readers.iter().take(MAX_READER_LINES) {
            let ReaderStatus { stream, peer, .. } = status;
            let tool = status.tool.as_deref().unwrap_or("unknown");
            tracing::info!(%stream, %peer, tool, "reader: {status}");
        }
        if readers.len() > MAX_READER_LINES {
            tracing::info!(readers = readers.len() - MAX_READER_LINES, "further readers");
        }
    }

    /// The readers that are playing, in no order. A shard that has not answered within a second
    /// is left out.
    #[must_use]
    pub fn readers(&self) -> Vec<ReaderStatus> {
        let count = self.bus.len();
        let (to, statuses) = std::sync::mpsc::sync_channel(count);
        for shard in 0..count {
            let _full = self.bus.try_send(shard, Message::Readers(to.clone()));
        }
        drop(to);
        let deadline = clock::mono() + ANSWER;
        let next = || {
            let left = deadline.saturating_duration_since(clock::mono());
            statuses.recv_timeout(left).ok()
        };
        std::iter::from_fn(next).flatten().collect()
    }

    /// Says goodbye to readers and backends, and waits for at most 2 s until that is done.
    pub fn shutdown(self) {
        let deadline = clock::mono() + SHUTDOWN;
        for shard in 0..self.bus.len() {
            while self.bus.try_send(shard, Message::Shutdown).is_err() && clock::mono() < deadline {
                std::thread::park_timeout(LOOK_AGAIN);
            }
        }
        // A shard that hangs is left behind: the process ends either way.
        while self.shards.iter().any(|shard| !shard.is_finished()) && clock::mono() < deadline {
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }
}

/// What the logs may hold where nobody said, or nobody knows what there is.
fn budget(chosen: usize) -> usize {
    if chosen > 0 {
        return chosen;
    }
    let quarter = host::memory().map(|bytes| usize::try_from(bytes / 4).unwrap_or(usize::MAX));
    quarter.unwrap_or(UNKNOWN_MEMORY).max(LEAST_BUDGET)
}

/// The budget of the logs on a host that does not tell its memory.
const UNKNOWN_MEMORY: usize = 256 << 20;
/// The least budget of the logs, as for what is chosen.
const LEAST_BUDGET: usize = 4 << 20;
/// How long the end may take altogether.
const SHUTDOWN: Duration = Duration::from_millis(1900);
/// Lines about readers in one status report.
const MAX_READER_LINES: usize = 200;
/// How long a shard may take to say how its readers are.
const ANSWER: Duration = Duration::from_secs(1);
/// Between two looks at threads that are to end.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Names of one shard's backends that are looked up at one time; each takes a thread.
const MAX_LOOKUPS: usize = 32;

/// Runs a future on a thread and a runtime of its own.
fn spawn<F, T>(name: &str, main: F) -> Result<JoinHandle<()>, StartError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Future<Output = io::Result<()>>,
{
    let label = name.to_owned();
    // The runtime never leaves its thread, so that its tasks share things without locks.
    let (tell, built) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .max_blocking_threads(MAX_LOOKUPS)
                .build_local(LocalOptions::default());
            let (runtime, result) = match runtime {
                Ok(runtime) => (Some(runtime), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // Who started it waits for this.
            let _gone = tell.send(result);
            let Some(runtime) = runtime else { return };
            if let Err(error) = runtime.block_on(async { main().await }) {
                tracing::error!(thread = label, %error, "a thread ended");
            }
            // A name that is being looked up must not hold up the end.
            runtime.shutdown_background();
        })
        .map_err(StartError::Thread)?;
    let ended = |_| Err(io::Error::other("it ended before it began"));
    built.recv().unwrap_or_else(ended).map_err(StartError::Thread)?;
    Ok(thread)
}
