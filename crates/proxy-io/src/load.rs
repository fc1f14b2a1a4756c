//! How busy each shard is, for placing connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A home shard that was busy for a larger share of the last second takes no further readers.
const HOME_FULL_PERMILLE: u32 = 600;
/// What a connection is taken to add to a shard's load until that is measured: more than most do,
/// so that a thousand that come within a second do not all go where it was quiet before.
const NEWCOMER_PERMILLE: u32 = 1;

/// The busy share of every shard over its last second, in thousandths, and what was placed since.
#[derive(Clone, Debug)]
pub(crate) struct Loads(Arc<[Load]>);

#[derive(Debug, Default)]
struct Load {
    busy: AtomicU32,
    /// Connections placed since the last report, and in the second before it: those had no whole
    /// second to show what they cost.
    new: AtomicU32,
    recent: AtomicU32,
}

impl Load {
    /// The share that it is taken to be busy from now on.
    fn expected(&self) -> u32 {
        let new = self.new.load(Ordering::Relaxed) + self.recent.load(Ordering::Relaxed);
        self.busy.load(Ordering::Relaxed).saturating_add(new.saturating_mul(NEWCOMER_PERMILLE))
    }
}

impl Loads {
    pub(crate) fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| Load::default()).collect())
    }

    /// A shard says how busy it was.
    pub(crate) fn report(&self, shard: usize, permille: u32) {
        if let Some(load) = self.0.get(shard) {
            load.busy.store(permille, Ordering::Relaxed);
            load.recent.store(load.new.swap(0, Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Where a connection goes that wants a stream of the shard `home`, or of none.
    pub(crate) fn place(&self, home: Option<usize>) -> usize {
        let expected = |shard: usize| self.0.get(shard).map(Load::expected);
        let chosen = match home {
            Some(home) if expected(home).is_some_and(|load| load < HOME_FULL_PERMILLE) => home,
            _ => (0..self.0.len()).min_by_key(|shard| expected(*shard)).unwrap_or(0),
        };
        if let Some(load) = self.0.get(chosen) {
            load.new.fetch_add(1, Ordering::Relaxed);
        }
        chosen
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

    #[test]
    fn a_thousand_readers_of_one_stream_within_a_second_are_shared_out() {
        let loads = Loads::new(2);
        let homes = (0..1000).filter(|_| loads.place(Some(0)) == 0).count();
        assert!((400..=700).contains(&homes), "{homes} of 1000 at home");
        // Two seconds later the home has room again for those that come now.
        for _ in 0..2 {
            loads.report(0, 300);
        }
        assert_eq!(loads.place(Some(0)), 0);
    }

    #[test]
    fn few_readers_stay_where_their_stream_is() {
        let loads = Loads::new(4);
        assert!((0..100).all(|_| loads.place(Some(2)) == 2));
    }
}
