//! Serving UDP readers: the same bytes to many destinations.

use std::time::{Duration, Instant};

use slab::Slab;

use crate::ReaderKey;
use crate::audience::{Audience, Reader, Slot};
use crate::batch::Run;
use crate::event::{AudienceEvent, CutReason, DropCause, Events, Lag, ReaderStats};
use crate::limits::FanOutLimits;
use crate::log::Log;
use crate::seats::Who;
use crate::track::TrackMask;

/// The most destinations one [`UdpSend`] has.
pub const MAX_DESTINATIONS: usize = 64;

/// The next datagrams of a socket group.
#[derive(Clone, Copy, Debug)]
pub struct UdpSend<'a, A> {
    /// One datagram, or several of equal size one after the other, the last possibly shorter.
    pub payload: &'a [u8],
    /// The size of each datagram; `None` if the payload is one.
    pub segment: Option<usize>,
    /// Whether it leaves from the RTCP socket of the pair.
    pub rtcp: bool,
    /// Where it goes, at most [`MAX_DESTINATIONS`].
    pub to: &'a [A],
}

impl<A: Copy> Audience<A> {
    /// The next datagrams for one socket group; `None` if there is nothing to send now. There may
    /// be something later although nothing is published: [`Audience::poll_timeout`] says when.
    ///
    /// Call [`Audience::udp_sent`] with what became of them and then this again. If the socket
    /// is full, call [`Audience::udp_blocked`], wait for it, and call this again: the same is
    /// offered, but for what the full socket has kept for longer than
    /// [`FanOutLimits::udp_max_age`] by then, which is dropped and counted. The caller may stop
    /// between two calls at any time: what is late for that reason is sent late, and dropped
    /// only beyond [`FanOutLimits::lag_max_age`], up to the newest key unit.
    pub fn udp_next(&mut self, now: Instant, group: usize) -> Option<UdpSend<'_, A>> {
        let (found, mut shared) = self.group(group);
        let found = found?;
        found.offered = found.offer(now, &mut shared);
        if found.offered.is_none() {
            // Nothing waits for the socket, full or not.
            found.taken(now, shared.limits);
            self.tidy_scratch();
        }
        let log = self.datagrams.as_deref().unwrap_or(&self.log);
        self.groups.get(group)?.lend(log, &self.scratch)
    }

    /// What became of the last offer: the first `sent` destinations took it; with `next_failed`
    /// the one after them refused it, which is counted, and it is skipped.
    pub fn udp_sent(&mut self, now: Instant, group: usize, sent: usize, next_failed: bool) {
        let (found, mut shared) = self.group(group);
        if let Some(found) = found {
            found.sent(now, &mut shared, sent, next_failed);
        }
    }

    /// The socket took nothing of the last offer because it is full.
    pub fn udp_blocked(&mut self, now: Instant, group: usize) {
        if let Some(group) = self.groups.get_mut(group) {
            group.blocked(now);
        }
    }

    /// Limits GSO sends of one socket group to `segments` from the next run on; 1 turns GSO off
    /// for a socket that refuses it, `None` brings [`FanOutLimits::max_segments`] back.
    pub fn limit_segments(&mut self, group: usize, segments: Option<usize>) {
        if let Some(group) = self.groups.get_mut(group) {
            group.max_segments = segments.map(|segments| segments.max(1));
        }
    }
}

/// What the groups of an audience share.
pub(crate) struct Shared<'a> {
    pub(crate) number: usize,
    pub(crate) log: &'a Log,
    pub(crate) limits: &'a FanOutLimits,
    pub(crate) video: TrackMask,
    pub(crate) slots: &'a mut Slab<Slot>,
    pub(crate) stats: &'a mut [ReaderStats],
    pub(crate) events: &'a mut Events,
    /// Where what the log does not hold as it is to be sent is made.
    pub(crate) scratch: &'a mut Vec<u8>,
}

impl Shared<'_> {
    /// Counts a run that `sent` destinations took and `failed` refused, from index `done` on;
    /// `unsendable` packets before it no datagram can carry.
    pub(crate) fn count(
        &mut self,
        who: &[Who],
        (sent, failed): (usize, usize),
        run: &Run,
        unsendable: usize,
    ) {
        let (packets, octets) = (run.packets.len() as u64, run.bytes.len() as u64);
        for (index, who) in who.iter().take(sent + failed).enumerate() {
            let Some(stats) = self.stats.get_mut(who.key.index as usize) else { continue };
            stats.dropped += unsendable as u64;
            if index < sent {
                stats.packets += packets;
                stats.octets += octets;
            } else {
                stats.send_errors += packets;
            }
        }
    }

    /// Counts packets that a reader will not get any more, the oldest of them late by `behind`.
    pub(crate) fn lose(
        &mut self,
        key: ReaderKey,
        packets: u64,
        cause: DropCause,
        behind: Duration,
    ) {
        if packets > 0 {
            if let Some(stats) = self.stats.get_mut(key.index as usize) {
                stats.dropped += packets;
            }
            let group = self.number;
            self.events.push(AudienceEvent::UdpDropped { group, cause, behind, packets });
        }
    }

    /// Cuts a reader, once.
    pub(crate) fn cut(&mut self, key: ReaderKey, reason: CutReason) {
        if let Some(slot) = self.slots.get_mut(key.index as usize)
            && slot.generation == key.generation
            && let Reader::Udp { is_cut, .. } = &mut slot.reader
            && !std::mem::replace(is_cut, true)
        {
            let behind = Lag::default();
            self.events.push(AudienceEvent::Cut { reader: key, reason, behind });
        }
    }
}
