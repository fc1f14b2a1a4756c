//! A timer that is moved often and rings seldom.

use std::cell::Cell;
use std::time::Instant;

use tokio::sync::Notify;

/// Wakes its task at the earliest instant wanted. Moving it to a later one costs nothing: it then
/// rings once for nothing, and the task says anew when it wants to be woken.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    at: Cell<Option<Instant>>,
    earlier: Notify,
}

impl Alarm {
    /// Wants to ring by `due`.
    pub(crate) fn want(&self, due: Option<Instant>) {
        let Some(due) = due else { return };
        if self.at.get().is_none_or(|at| due < at) {
            self.at.set(Some(due));
            self.earlier.notify_one();
        }
    }

    /// Waits until the instant wanted.
    pub(crate) async fn ring(&self) {
        loop {
            match self.at.get() {
                None => self.earlier.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {
                            self.at.set(None);
                            return;
                        }
                        () = self.earlier.notified() => {}
                    }
                }
            }
        }
    }
}
