//! Which streams there are, and on which shard each one lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fan_out::FanOutLimits;
use parking_lot::RwLock;

use crate::options::{OnDemand, Opening, StreamSetup};

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
    /// Keeps a stream that was opened on demand from being closed.
    pub(crate) lease: Lease,
}

impl StreamEntry {
    /// Streams are dealt out to the shards in turn.
    pub(crate) fn new(id: StreamId, shards: usize, setup: &StreamSetup) -> Self {
        Self {
            id,
            name: Arc::from(setup.name.as_str()),
            home: id.0.checked_rem(shards).unwrap_or(0),
            start: setup.start,
            fan_out: Arc::new(setup.fan_out.clone()),
            lease: Lease::default(),
        }
    }
}

/// The right to a stream, while it is kept: readers' sessions and questions have it.
#[derive(Clone, Default, Debug)]
pub(crate) struct Lease(Arc<()>);

impl Lease {
    /// Whether anybody has it but the registry and the stream's home.
    pub(crate) fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > KEEPERS
    }
}

/// The registry and the stream's home.
const KEEPERS: usize = 2;

/// Between two words about readers that were refused for want of room.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// The names. Asked at DESCRIBE, SETUP and when a connection is placed; never for a packet.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    shards: usize,
    on_demand: OnDemand,
    names: Arc<RwLock<Names>>,
}

#[derive(Default, Debug)]
struct Names {
    streams: HashMap<Arc<str>, StreamEntry>,
    /// Streams that were opened on demand and whose end is not over: what a home that has not taken
    /// it yet begins with.
    dynamic: HashMap<StreamId, Option<Box<(StreamEntry, Opening)>>>,
    /// Those that are not opened before then: their backends have locked us out.
    resting: HashMap<Arc<str>, Instant>,
    next: usize,
    told: Option<Instant>,
}

/// What there is under a name.
#[derive(Debug)]
#[must_use]
pub(crate) enum Sought {
    /// A stream.
    There(StreamEntry),
    /// One that is opened herewith: its home is to be told.
    Opened(StreamEntry),
    /// Nothing.
    Unknown,
    /// Not now: its backend is to be left in peace for so long.
    Resting(Duration),
    /// Not now: as many streams are open as may be; and whether the log is to say so.
    Full { tells: bool },
}

impl Registry {
    /// A registry without streams, for so many shards.
    pub(crate) fn new(shards: usize, on_demand: OnDemand) -> Self {
        Self { shards, on_demand, names: Arc::default() }
    }

    /// Adds a stream that is always there.
    pub(crate) fn add(&self, setup: &StreamSetup) -> StreamEntry {
        let mut names = self.names.write();
        let entry = StreamEntry::new(names.number(), self.shards, setup);
        names.streams.insert(Arc::clone(&entry.name), entry.clone());
        entry
    }

    /// The stream of that name, if it is there now.
    pub(crate) fn find(&self, name: &str) -> Option<StreamEntry> {
        self.names.read().streams.get(name).cloned()
    }

    /// The stream of that name, opened if need be.
    pub(crate) fn seek(&self, now: Instant, name: &str) -> Sought {
        if let Some(entry) = self.find(name) {
            return Sought::There(entry);
        }
        let Some(opening) = self.on_demand.find(name) else { return Sought::Unknown };
        let mut names = self.names.write();
        // Another shard may have been first.
        if let Some(entry) = names.streams.get(name) {
            return Sought::There(entry.clone());
        }
        names.resting.retain(|_, until| *until > now);
        if let Some(until) = names.resting.get(name) {
            return Sought::Resting(until.saturating_duration_since(now));
        }
        if names.dynamic.len() + names.resting.len() >= self.on_demand.max() {
            let since = |at: Instant| now.saturating_duration_since(at);
            let tells = names.told.is_none_or(|at| since(at) >= TELL_AGAIN);
            if tells {
                names.told = Some(now);
            }
            return Sought::Full { tells };
        }
        let entry = StreamEntry::new(names.number(), self.shards, &opening.setup);
        names.streams.insert(Arc::clone(&entry.name), entry.clone());
        names.dynamic.insert(entry.id, Some(Box::new((entry.clone(), opening))));
        Sought::Opened(entry)
    }

    /// What a stream that was opened begins with; given out once, to its home.
    pub(crate) fn take(&self, id: StreamId) -> Option<(StreamEntry, Opening)> {
        self.names.write().dynamic.get_mut(&id)?.take().map(|opened| *opened)
    }

    /// Forgets the name of a stream that was opened on demand, unless somebody has come to want it
    /// in the meantime. It counts until it is [over](Self::over).
    pub(crate) fn close(&self, entry: &StreamEntry, rest: Option<Instant>) -> bool {
        let mut names = self.names.write();
        if entry.lease.is_held() {
            return false;
        }
        if names.streams.get(&entry.name).is_some_and(|known| known.id == entry.id) {
            names.streams.remove(&entry.name);
        }
        if let Some(until) = rest {
            names.resting.insert(Arc::clone(&entry.name), until);
            names.dynamic.remove(&entry.id);
        }
        true
    }

    /// Nothing is left of a stream that was closed.
    pub(crate) fn over(&self, id: StreamId) {
        self.names.write().dynamic.remove(&id);
    }

    /// How many streams there are.
    pub(crate) fn len(&self) -> usize {
        self.names.read().streams.len()
    }
}

impl Names {
    fn number(&mut self) -> StreamId {
        let id = StreamId(self.next);
        self.next += 1;
        id
    }
}

#[cfg(test)]
mod tests;
