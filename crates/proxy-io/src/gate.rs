//! How many connection attempts one host is exposed to at a time, by all shards together.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::accounts::Accounts;

/// Connections to one host that may be under way at one time, all streams together: a recorder
/// with many channels has a short queue for connections, and drops what does not fit in it.
pub(crate) const ATTEMPTS_PER_HOST: usize = 16;

/// The queues before all hosts that anyone is dialling.
#[derive(Clone, Default, Debug)]
pub(crate) struct Gate {
    hosts: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
    /// What they think of our credentials.
    pub(crate) accounts: Accounts,
}

/// The right to dial, while it is kept.
#[derive(Debug)]
pub(crate) struct Turn(
    #[expect(dead_code, reason = "given back when dropped")] OwnedSemaphorePermit,
);

/// The answer to who wants to dial.
#[must_use]
pub(crate) enum Entry {
    /// At once.
    Now(Turn),
    /// After others.
    Later(Wait),
}

/// A place in the queue, which is lost when this is dropped.
pub(crate) struct Wait(Arc<Semaphore>);

impl Wait {
    /// Waits for its turn; `None` never comes, for nobody closes the gate.
    pub(crate) async fn turn(self) -> Option<Turn> {
        self.0.acquire_owned().await.ok().map(Turn)
    }
}

impl Gate {
    /// Asks to dial a host.
    pub(crate) fn enter(&self, host: &str) -> Entry {
        let queue = self.queue(host.to_ascii_lowercase());
        match Arc::clone(&queue).try_acquire_owned() {
            Ok(permit) => Entry::Now(Turn(permit)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => Entry::Later(Wait(queue)),
        }
    }

    fn queue(&self, host: String) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        if let Some(queue) = hosts.get(&host).and_then(Weak::upgrade) {
            return queue;
        }
        // Those that nobody waits for or dials any more.
        hosts.retain(|_, queue| queue.strong_count() > 0);
        let queue = Arc::new(Semaphore::new(ATTEMPTS_PER_HOST));
        hosts.insert(host, Arc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(gate: &Gate, host: &str) -> Option<Turn> {
        match gate.enter(host) {
            Entry::Now(turn) => Some(turn),
            Entry::Later(_) => None,
        }
    }

    #[test]
    fn each_host_has_so_many_turns_and_those_given_back_are_given_out_again() {
        let gate = Gate::default();
        let mut turns: Vec<Turn> =
            (0..ATTEMPTS_PER_HOST).map(|_| now(&gate, "nvr").expect("a turn")).collect();
        assert!(now(&gate, "NVR").is_none());
        assert!(now(&gate, "other").is_some());
        turns.pop();
        assert!(now(&gate, "nvr").is_some());
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_turn_and_who_gives_up_leaves_nothing_behind() {
        let gate = Gate::default();
        let mut turns: Vec<Turn> = std::iter::from_fn(|| now(&gate, "nvr")).collect();
        assert_eq!(turns.len(), ATTEMPTS_PER_HOST);
        let (Entry::Later(first), Entry::Later(second)) = (gate.enter("nvr"), gate.enter("nvr"))
        else {
            panic!("all turns are taken")
        };
        drop(first);
        turns.pop();
        assert!(second.turn().await.is_some());
        drop(turns);
        let _other = gate.enter("other");
        assert_eq!(gate.hosts.lock().len(), 1, "the queue of the first host is forgotten");
    }
}
