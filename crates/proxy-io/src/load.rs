//! How busy each shard is, for placing connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A home shard that was busy for a larger share of the last second takes no further readers.
const HOME_FULL_PERMILLE: u32 = 600;

/// The busy share of every shard over its last second, in thousandths.
#[derive(Clone, Debug)]
pub(crate) struct Loads(Arc<[AtomicU32]>);

impl Loads {
    pub(crate) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AtomicU32::new(0)).collect())
    }

    /// A shard says how busy it was.
    pub(crate) fn report(&self, shard: usize, permille: u32) {
        if let Some(load) = self.0.get(shard) {
            load.store(permille, Ordering::Relaxed);
        }
    }

    /// Where a connection goes that wants a stream of the shard `home`, or of none.
    pub(crate) fn place(&self, home: Option<usize>) -> usize {
        let busy = |shard: usize| self.0.get(shard).map(|l| l.load(Ordering::Relaxed));
        match home {
            Some(home) if busy(home).is_some_and(|b| b < HOME_FULL_PERMILLE) => home,
            _ => (0..self.0.len()).min_by_key(|shard| busy(*shard)).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_goes_to_the_home_of_its_stream_until_that_is_full() {
        let loads = Loads::new(2);
        loads.report(0, 599);
        assert_eq!(loads.place(Some(0)), 0);
        loads.report(0, 600);
        assert_eq!(loads.place(Some(0)), 1);
    }

    #[test]
    fn a_connection_without_a_stream_goes_to_the_least_busy() {
        let loads = Loads::new(3);
        loads.report(0, 10);
        loads.report(1, 5);
        loads.report(2, 20);
        assert_eq!(loads.place(None), 1);
    }
}
