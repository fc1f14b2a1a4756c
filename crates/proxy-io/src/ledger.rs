//! What all logs hold together, and how much they may.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use fan_out::Meter;

/// The memory of the logs of all shards, without a lock: each shard writes its own account.
#[derive(Clone, Debug)]
pub(crate) struct Ledger(Arc<Accounts>);

#[derive(Debug)]
struct Accounts {
    budget: usize,
    shards: Box<[Account]>,
}

#[derive(Debug, Default)]
struct Account {
    /// What the batches take that were made by streams of this shard.
    logs: Arc<Meter>,
    /// The span of the longest log of those streams when it was last looked at, in milliseconds.
    longest: AtomicU64,
    readers: AtomicUsize,
}

/// How far the logs are from what they may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Standing {
    /// There is room.
    Within,
    /// They come near, so many bytes are to go: the longest log of all is to be cut.
    Near(usize),
    /// They come nearer than there is time for to ask another shard: whoever sees it cuts its own.
    Over(usize),
}

impl Ledger {
    /// An account per shard, and how many bytes the logs of all together may hold.
    pub(crate) fn new(shards: usize, budget: usize) -> Self {
        Self(Arc::new(Accounts {
            budget,
            shards: (0..shards).map(|_| Account::default()).collect(),
        }))
    }

    /// What the logs may hold.
    pub(crate) fn budget(&self) -> usize {
        self.0.budget
    }

    /// What they hold, a batch in several logs counted once.
    pub(crate) fn bytes(&self) -> usize {
        self.0.shards.iter().map(|account| account.logs.bytes()).sum()
    }

    /// What counts the batches of a shard's streams.
    pub(crate) fn meter(&self, shard: usize) -> Arc<Meter> {
        self.0.shards.get(shard).map(|account| Arc::clone(&account.logs)).unwrap_or_default()
    }

    /// How far they are from the budget, and how much is to go to make room for a while.
    pub(crate) fn standing(&self) -> Standing {
        let (budget, bytes) = (self.0.budget, self.bytes());
        let excess = bytes.saturating_sub(budget - budget / ROOM_MADE);
        if bytes > budget - budget / LAST_ROOM {
            Standing::Over(excess)
        } else if bytes > budget - budget / NEAR {
            Standing::Near(excess)
        } else {
            Standing::Within
        }
    }

    /// A shard says how long its longest log is.
    pub(crate) fn note_longest(&self, shard: usize, span: Duration) {
        if let Some(account) = self.0.shards.get(shard) {
            let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            account.longest.store(span, Ordering::Relaxed);
        }
    }

    /// The shard whose longest log was the longest when last looked at.
    pub(crate) fn longest(&self) -> Option<usize> {
        let spans = self.0.shards.iter().map(|account| account.longest.load(Ordering::Relaxed));
        let (shard, span) = spans.enumerate().max_by_key(|(_, span)| *span)?;
        (span > 0).then_some(shard)
    }

    /// A reader has joined on a shard.
    pub(crate) fn joined(&self, shard: usize) {
        if let Some(account) = self.0.shards.get(shard) {
            account.readers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A reader has left a shard.
    pub(crate) fn left(&self, shard: usize) {
        if let Some(account) = self.0.shards.get(shard) {
            account.readers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Readers that get media, on all shards.
    pub(crate) fn readers(&self) -> usize {
        self.0.shards.iter().map(|account| account.readers.load(Ordering::Relaxed)).sum()
    }
}

/// Shares of the budget: what is made free at one time, where that begins, and what is left when
/// no shard waits for another any more. The last is room for what is on its way.
const ROOM_MADE: usize = 8;
const NEAR: usize = 12;
const LAST_ROOM: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_log_is_found_on_whatever_shard_it_is() {
        let ledger = Ledger::new(3, 1 << 20);
        assert_eq!(ledger.longest(), None);
        ledger.note_longest(1, Duration::from_secs(4));
        ledger.note_longest(2, Duration::from_secs(9));
        assert_eq!(ledger.longest(), Some(2));
        ledger.note_longest(2, Duration::ZERO);
        assert_eq!(ledger.longest(), Some(1));
    }

    #[test]
    fn readers_of_all_shards_are_added_up() {
        let ledger = Ledger::new(2, 1 << 20);
        ledger.joined(0);
        ledger.joined(1);
        ledger.joined(1);
        ledger.left(1);
        assert_eq!(ledger.readers(), 2);
    }

    #[test]
    fn what_is_to_go_makes_room_for_a_while() {
        use fan_out::{TrackId, WireBatchBuilder};
        use rtp_rtcp::{ExtSeq, RtpTime, Ssrc};

        let ledger = Ledger::new(2, 64 << 10);
        let mut held = Vec::new();
        let mut seen = Vec::new();
        for number in 0..64 {
            let mut builder = WireBatchBuilder::metered(TrackId(0), ledger.meter(number % 2));
            let packet = [&[0x80][..], &[0; 1011]].concat();
            let pushed = builder.push(&packet, ExtSeq(number as u64), RtpTime(0), Ssrc(0));
            assert_eq!(pushed, fan_out::Push::Added);
            held.extend(builder.finish(crate::clock::mono()));
            seen.push((ledger.bytes(), ledger.standing()));
        }
        for (bytes, standing) in seen {
            match standing {
                Standing::Within => assert!(bytes <= 61 << 10),
                Standing::Near(excess) | Standing::Over(excess) => {
                    assert!(bytes > 58 << 10);
                    assert_eq!(bytes - excess, 56 << 10);
                }
            }
        }
        drop(held);
        assert_eq!(ledger.bytes(), 0);
    }
}
