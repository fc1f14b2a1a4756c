//! Which shard a reader's reports belong to: read for every report, written when readers come
//! and go.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::RwLock;

/// From a reader's RTCP address to its shard.
#[derive(Clone, Default, Debug)]
pub(crate) struct RtcpRoutes {
    routes: Arc<RwLock<HashMap<SocketAddr, usize>>>,
}

impl RtcpRoutes {
    /// Returns the shard whose reader had the address.
    pub(crate) fn insert(&self, from: SocketAddr, shard: usize) -> Option<usize> {
        self.routes.write().insert(from, shard)
    }

    /// Forgets an address, unless another shard has a reader there by now.
    pub(crate) fn remove(&self, from: SocketAddr, shard: usize) {
        let mut routes = self.routes.write();
        if routes.get(&from) == Some(&shard) {
            routes.remove(&from);
        }
    }

    pub(crate) fn find(&self, from: SocketAddr) -> Option<usize> {
        self.routes.read().get(&from).copied()
    }
}

/// A reader's address for the log.
pub(crate) fn display(peer: Option<SocketAddr>) -> impl fmt::Display {
    match peer {
        Some(peer) => peer.to_string(),
        None => "unknown".to_owned(),
    }
}
