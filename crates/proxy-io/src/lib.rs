//! Sockets, shards and clocks around the proxy's cores.
//!
//! [`Proxy::start`] binds, starts the threads and returns; everything else is decided by the
//! cores. A shard is one thread with a runtime and state of its own: no packet ever waits for a
//! lock. An acceptor thread reads each connection's first line and hands it to a shard.

mod advice;
mod alarm;
mod bus;
mod clock;
mod entropy;
mod host;
mod ledger;
mod listen;
mod load;
mod options;
mod proxy;
mod registry;
mod rtcp_routes;
mod shard;
mod sockopt;
mod status;
mod udp_rx;
mod udp_tx;

pub use options::{ProxyOptions, StreamSetup};
pub use proxy::{Proxy, StartError};
pub use status::{ReaderStatus, TrackReception};
