//! Sockets, shards and clocks around the proxy's cores.
//!
//! [`Proxy::start`] binds, starts the threads and returns; everything else is decided by the
//! cores. A shard is one thread with a runtime and state of its own: no packet ever waits for a
//! lock. An acceptor thread reads each connection's first line and hands it to a shard.

mod accounts;
mod advice;
mod alarm;
mod bus;
mod clock;
mod entropy;
mod gate;
mod host;
mod ledger;
mod listen;
mod load;
mod multicast;
mod options;
mod proxy;
mod reach;
mod registry;
mod rtcp_routes;
mod shard;
mod sockopt;
mod status;
mod tls;

pub use options::{OnDemand, Opening, ProxyOptions, StreamSetup};
pub use proxy::{Proxy, StartError};
pub use reach::{
    Authorities, AuthoritiesError, Fingerprint, Interface, NotAFingerprint, Reach, TlsOptions,
    Trust,
};
pub use status::{ReaderStatus, TrackReception};
