//! The destinations of one track in one socket group.

use rtp_rtcp::ExtSeq;

use crate::ReaderKey;
use crate::batch::EntryKind;

/// Destinations as the socket calls want them: side by side. Those of the first `live` readers
/// get media; the others wait for a key unit and get reports only.
#[derive(Debug)]
pub(crate) struct Seats<A> {
    rtp: Vec<A>,
    rtcp: Vec<A>,
    who: Vec<Who>,
    live: usize,
}

/// Whose destination it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) key: ReaderKey,
    /// The last number it was sent when it last began to wait, or the one it begins after; `None`
    /// if there is none.
    pub(crate) last: Option<ExtSeq>,
}

/// One reader's destinations on the way from one list to another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat<A> {
    pub(crate) rtp: A,
    pub(crate) rtcp: A,
    pub(crate) who: Who,
}

impl<A: Copy> Seats<A> {
    pub(crate) const fn new() -> Self {
        Self { rtp: Vec::new(), rtcp: Vec::new(), who: Vec::new(), live: 0 }
    }

    /// How many destinations an entry of `kind` has.
    pub(crate) fn count(&self, kind: EntryKind) -> usize {
        match kind {
            EntryKind::Media => self.live,
            EntryKind::Report => self.who.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.who.is_empty()
    }

    pub(crate) fn has_waiting(&self) -> bool {
        self.live < self.who.len()
    }

    /// Whether a reader is here that waits for a key unit.
    pub(crate) fn waits(&self, key: ReaderKey) -> bool {
        self.who.get(self.live..).is_some_and(|all| all.iter().any(|who| who.key == key))
    }

    pub(crate) fn who(&self) -> &[Who] {
        &self.who
    }

    /// Where an entry of `kind` goes.
    pub(crate) fn addresses(&self, kind: EntryKind) -> &[A] {
        match kind {
            EntryKind::Media => &self.rtp,
            EntryKind::Report => &self.rtcp,
        }
    }

    /// Adds a reader that gets media. Not in the middle of an entry: the readers behind move up.
    pub(crate) fn push_live(&mut self, seat: Seat<A>) {
        self.rtp.insert(self.live, seat.rtp);
        self.rtcp.insert(self.live, seat.rtcp);
        self.who.insert(self.live, seat.who);
        self.live += 1;
    }

    /// Adds a reader that waits for a key unit.
    pub(crate) fn push_waiting(&mut self, seat: Seat<A>) {
        self.rtp.push(seat.rtp);
        self.rtcp.push(seat.rtcp);
        self.who.push(seat.who);
    }

    /// Removes a reader, keeping the others' order; returns its index.
    pub(crate) fn remove(&mut self, key: ReaderKey) -> Option<usize> {
        let index = self.who.iter().position(|who| who.key == key)?;
        self.rtp.remove(index);
        self.rtcp.remove(index);
        self.who.remove(index);
        if index < self.live {
            self.live -= 1;
        }
        Some(index)
    }

    /// Takes those out that wait.
    pub(crate) fn take_waiting(&mut self) -> impl Iterator<Item = Seat<A>> + use<A> {
        self.take_after(self.live)
    }

    /// Takes all out but the first `count`.
    pub(crate) fn take_after(&mut self, count: usize) -> impl Iterator<Item = Seat<A>> + use<A> {
        let count = count.min(self.who.len());
        self.live = self.live.min(count);
        let (rtp, rtcp) = (self.rtp.split_off(count), self.rtcp.split_off(count));
        let who = self.who.split_off(count);
        rtp.into_iter().zip(rtcp).zip(who).map(|((rtp, rtcp), who)| Seat { rtp, rtcp, who })
    }

    /// From here on all wait for a key unit. The last number they may have been sent is `last`;
    /// `None` if nothing has been sent since they waited before.
    pub(crate) fn hold_all(&mut self, last: Option<ExtSeq>) {
        for who in self.who.iter_mut().take(self.live) {
            who.last = last.or(who.last);
        }
        self.live = 0;
    }
}
