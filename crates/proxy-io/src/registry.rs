//! Which streams there are, and on which shard each one lives.

use std::collections::HashMap;
use std::sync::Arc;

use fan_out::FanOutLimits;
use parking_lot::RwLock;

/// A stream's number in this process; never used again for another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct StreamId(pub(crate) usize);

/// A stream as every shard may know it.
#[derive(Clone, Debug)]
pub(crate) struct StreamEntry {
    pub(crate) id: StreamId,
    pub(crate) name: Arc<str>,
    /// The shard that pulls it.
    pub(crate) home: usize,
    /// Where readers begin.
    pub(crate) start: fan_out::Start,
    /// Bounds of its log and of lag.
    pub(crate) fan_out: Arc<FanOutLimits>,
}

/// The names. Asked at DESCRIBE, SETUP and when a connection is placed; never for a packet.
#[derive(Clone, Default, Debug)]
pub(crate) struct Registry {
    names: Arc<RwLock<HashMap<Arc<str>, StreamEntry>>>,
}

impl Registry {
    /// Adds a stream.
    pub(crate) fn insert(&self, entry: StreamEntry) {
        self.names.write().insert(Arc::clone(&entry.name), entry);
    }

    /// The stream of that name.
    pub(crate) fn find(&self, name: &str) -> Option<StreamEntry> {
        self.names.read().get(name).cloned()
    }
}
