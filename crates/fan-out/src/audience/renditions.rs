//! A log of their own for readers over UDP, where packets are too large for these.

use std::sync::Arc;
use std::time::Instant;

use super::Audience;
use crate::batch::{Rendition, WireBatch};
use crate::log::{Entry, Log};

/// Readers over TCP, or over UDP.
///
/// While they share a log, it is the first side's, and the second has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Original,
    Datagrams,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [Self::Original, Self::Datagrams];
}

impl<A: Copy> Audience<A> {
    /// Appends a batch where readers over TCP and over UDP do not share a log, or not any more.
    #[cold]
    pub(super) fn publish_apart(&mut self, now: Instant, batch: Arc<WireBatch>) {
        let Self { log, datagrams, .. } = self;
        let datagrams = datagrams.get_or_insert_with(|| Box::new(log.fork()));
        match batch.rendition() {
            Rendition::Shared => {
                log.append(now, Arc::clone(&batch));
                datagrams.append(now, batch);
            }
            Rendition::Original => {
                log.append(now, batch);
            }
            Rendition::Datagrams => {
                datagrams.append(now, batch);
            }
        }
    }

    /// Gives readers over UDP a log of their own, that begins with these batches, whoever they are
    /// for. Readers over UDP that are there already go on with what is published next.
    pub fn part(&mut self, now: Instant, batches: impl IntoIterator<Item = Arc<WireBatch>>) {
        let mut log = Log::new();
        for batch in batches {
            log.append(now, batch);
        }
        self.datagrams = Some(Box::new(log));
        self.clear_groups();
        self.evict(now);
    }

    /// Nothing is made for readers over UDP any more, of whom there is none left: those who come
    /// share the log of the others.
    pub fn unite(&mut self) {
        if self.datagrams.take().is_some() {
            self.clear_groups();
        }
    }

    /// What [`Audience::part`] of another audience of the stream has to be given after it was given
    /// [`Audience::log_from_keys`]; `None` while all share that.
    pub fn datagrams_from_keys(&self) -> Option<impl Iterator<Item = &Arc<WireBatch>>> {
        Some(self.datagrams.as_ref()?.since_keys(self.video))
    }

    /// The log holds nothing any more for readers over UDP.
    pub(super) fn clear_datagrams(&mut self) {
        if let Some(log) = &mut self.datagrams {
            log.clear();
        }
        self.clear_groups();
    }

    fn clear_groups(&mut self) {
        let log = self.datagrams.as_deref().unwrap_or(&self.log);
        for group in &mut self.groups {
            group.clear(log, self.video);
        }
    }

    pub(super) fn log_of(&self, side: Side) -> Option<&Log> {
        match side {
            Side::Original => Some(&self.log),
            Side::Datagrams => self.datagrams.as_deref(),
        }
    }

    pub(super) fn front_of(&self, side: Side) -> Option<&Entry> {
        self.log_of(side)?.front()
    }

    /// Whether readers over UDP read the log of this side.
    pub(super) fn serves_udp(&self, side: Side) -> bool {
        (side == Side::Datagrams) == self.datagrams.is_some()
    }
}
