//! Streams that readers of this shard watch: an audience each, fed by the stream's home.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fan_out::{
    Audience, AudienceEvent, DropCause, EntryKind, ReaderKey, TrackId, TrackMask, WireBatch,
};
use proxy_session::Description;
use rtp_rtcp::{ClockRate, Now, ReaderReportLimits, ReaderReports};
use rtsp_server::{EndReason, SessionId};
use smallvec::SmallVec;
use udp_batch::Errno;

use super::Shard;
use super::conn::ConnIo;
use super::pump::Round;
use super::reports::RefusedReports;
use super::telling::{Telling, Untold};
use crate::bus::ToStream;
use crate::registry::{StreamEntry, StreamId};
use crate::rtcp_routes;

/// One stream's readers on this shard.
pub(super) struct Watch {
    id: StreamId,
    pub(super) name: Arc<str>,
    /// The CNAME of the stream's reports.
    pub(super) cname: Arc<str>,
    pub(super) audience: Audience<SocketAddr>,
    /// What its readers on this shard report.
    pub(super) reports: ReaderReports<SessionId>,
    pub(super) refused: RefusedReports,
    /// Ticks per second of its tracks.
    pub(super) rates: Vec<(TrackId, ClockRate)>,
    /// Sessions that have set up a track.
    sessions: usize,
    pub(super) round: Round,
    /// Whose readers come first in the next turn: those of a socket group, or, after the last one,
    /// those with connections.
    pub(super) first_side: usize,
    /// Of what readers over UDP lose, by its cause.
    dropped: SmallVec<[(DropCause, Telling); 3]>,
    /// Of datagrams that the kernel refused.
    refusals: Telling,
    /// Socket groups whose readers get its datagrams one at a time, all readers after each other:
    /// they are too large to be segments, and the stream's others will be.
    pub(super) by_one: SmallVec<[usize; 2]>,
    /// Datagrams that readers over UDP did not get since this shard has readers.
    not_sent: NotSent,
    /// Readers whose lag counts what the kernel holds.
    looked_at: Vec<ReaderKey>,
    looked: Option<Instant>,
    /// By the reader's place in the audience.
    pub(super) seats: Vec<Option<Seat>>,
    /// The connections of interleaved readers, by the same; side by side, as each batch is written
    /// to all of them.
    pub(super) lines: Vec<Option<Rc<ConnIo>>>,
}

/// Datagrams over all readers.
#[derive(Clone, Copy, Default, Debug)]
struct NotSent {
    /// For want of time or room.
    dropped: u64,
    /// By the kernel.
    refused: u64,
}

/// Whose place in the audience it is.
pub(super) struct Seat {
    pub(super) session: SessionId,
    /// Of its lag.
    telling: Telling,
}

/// Between two looks at what the kernel holds for readers that are behind.
const LOOK: Duration = Duration::from_millis(400);

impl Watch {
    pub(super) fn seat(&mut self, key: ReaderKey, session: SessionId, io: Option<Rc<ConnIo>>) {
        let index = key.index();
        if let Some(io) = &io {
            io.seats.borrow_mut().push((self.id, key));
        }
        if self.seats.len() <= index {
            self.seats.resize_with(index + 1, || None);
            self.lines.resize_with(index + 1, || None);
        }
        if let (Some(seat), Some(line)) = (self.seats.get_mut(index), self.lines.get_mut(index)) {
            *seat = Some(Seat { session, telling: Telling::default() });
            *line = io;
        }
    }

    pub(super) fn unseat(&mut self, key: ReaderKey) {
        let _stats = self.audience.leave(key);
        self.seats.get_mut(key.index()).and_then(Option::take);
        if let Some(io) = self.lines.get_mut(key.index()).and_then(Option::take) {
            io.seats.borrow_mut().retain(|place| *place != (self.id, key));
        }
    }

    /// Counts what the kernel holds for readers that are behind as their lag too.
    fn look_into_kernel(&mut self, now: Now) {
        let behind: Vec<ReaderKey> = self.audience.lagging(now.mono).map(|(key, _)| key).collect();
        for key in self.looked_at.drain(..).filter(|key| !behind.contains(key)) {
            self.audience.note_kernel_bytes(key, 0);
        }
        for key in &behind {
            let Some(io) = self.line(*key) else { continue };
            let held = socket_queue::unacknowledged(io.stream.as_fd()).unwrap_or(0);
            self.audience.note_kernel_bytes(*key, held);
        }
        self.looked_at = behind;
    }

    /// Readers over UDP lost something.
    fn tell_dropped(&mut self, now: Now, event: &AudienceEvent) {
        let stream = &self.name;
        let AudienceEvent::UdpDropped { cause, packets, .. } = event else {
            return tracing::debug!(%stream, "{event}");
        };
        if *cause == DropCause::TooLarge {
            // It is told once, and counted by the stream.
            return tracing::warn!(%stream, "{event}");
        }
        self.not_sent.dropped += packets;
        let place = self.dropped.iter().position(|(of, _)| of == cause).unwrap_or_else(|| {
            self.dropped.push((*cause, Telling::default()));
            self.dropped.len() - 1
        });
        let tells = self.dropped.get_mut(place).and_then(|(_, it)| it.tells(now.mono, *packets));
        match tells {
            None => tracing::debug!(%stream, "{event}"),
            Some(Untold { times: 0, .. }) => tracing::warn!(%stream, "{event}"),
            Some(Untold { times, packets }) => {
                tracing::warn!(%stream, more = times, packets, "again: {event}");
            }
        }
    }

    fn log_not_sent(&self) {
        let NotSent { dropped, refused } = self.not_sent;
        if dropped + refused > 0 {
            tracing::info!(stream = %self.name, dropped, refused, "datagrams that readers over UDP did not get");
        }
    }

    /// No runs of several datagrams to this group any more.
    pub(super) fn send_by_one(&mut self, group: usize) {
        if !self.by_one.contains(&group) {
            self.by_one.push(group);
            self.audience.limit_segments(group, Some(1));
        }
    }

    /// The kernel refused so many datagrams to a reader.
    pub(super) fn tell_refused(
        &mut self,
        now: Now,
        to: Option<SocketAddr>,
        errno: Errno,
        datagrams: u64,
    ) {
        let (stream, to) = (&self.name, rtcp_routes::display(to));
        self.not_sent.refused += datagrams;
        match self.refusals.tells(now.mono, datagrams) {
            None => tracing::debug!(%stream, %to, %errno, "datagrams to a reader were refused"),
            Some(Untold { times, packets }) => {
                tracing::warn!(%stream, %to, %errno, datagrams, more = times, packets, "datagrams to a reader were refused");
            }
        }
    }

    /// The connection of an interleaved reader.
    fn line(&self, key: ReaderKey) -> Option<&ConnIo> {
        self.lines.get(key.index())?.as_deref()
    }

    pub(super) fn seated(&self, key: ReaderKey) -> Option<&Seat> {
        self.seats.get(key.index())?.as_ref()
    }
}

impl Shard {
    /// One more session of this stream on this shard.
    pub(super) fn watch(&mut self, entry: &StreamEntry) {
        if let Some(watch) = self.watches.get_mut(&entry.id) {
            watch.sessions += 1;
            return;
        }
        self.open_watch(entry, 1);
        self.tell_home(entry.home, entry.id, ToStream::Subscribe { shard: self.me });
    }

    /// This shard's log of a stream that it pulls, for others to begin with: it is there while
    /// any shard has readers.
    pub(super) fn watch_home(&mut self, entry: &StreamEntry) {
        if !self.watches.contains_key(&entry.id) {
            self.open_watch(entry, 0);
        }
    }

    /// No other shard has readers of the stream any more.
    pub(super) fn unwatch_home(&mut self, id: StreamId) {
        if self.watches.get(&id).is_none_or(|watch| watch.sessions > 0) {
            return;
        }
        self.close_watch(id);
        if let Some(home) = self.homes.get_mut(&id) {
            home.subscribers.clear();
        }
    }

    fn open_watch(&mut self, entry: &StreamEntry, sessions: usize) {
        let watch = Watch {
            id: entry.id,
            name: Arc::clone(&entry.name),
            cname: Arc::from(""),
            audience: Audience::new(entry.fan_out.as_ref().clone(), TrackMask::EMPTY),
            reports: ReaderReports::new(ReaderReportLimits {
                readers: entry.fan_out.readers,
                ..ReaderReportLimits::default()
            }),
            refused: RefusedReports::default(),
            rates: Vec::new(),
            sessions,
            round: Round::Done,
            dropped: SmallVec::new(),
            refusals: Telling::default(),
            first_side: 0,
            by_one: SmallVec::new(),
            not_sent: NotSent::default(),
            looked_at: Vec::new(),
            looked: None,
            seats: Vec::new(),
            lines: Vec::new(),
        };
        self.watches.insert(entry.id, watch);
    }

    /// One session less; without any the shard forgets the stream.
    pub(super) fn unwatch(&mut self, _now: Now, entry: &StreamEntry) {
        let Some(watch) = self.watches.get_mut(&entry.id) else { return };
        watch.sessions = watch.sessions.saturating_sub(1);
        if watch.sessions > 0 {
            return;
        }
        if let Some(home) = self.homes.get(&entry.id) {
            // Other shards may come and begin with its log while one of them has readers.
            if home.subscribers.iter().all(|shard| *shard == self.me) {
                self.unwatch_home(entry.id);
            }
        } else {
            self.close_watch(entry.id);
            self.tell_home(entry.home, entry.id, ToStream::Unsubscribe { shard: self.me });
        }
    }

    pub(super) fn publish(&mut self, now: Now, id: StreamId, batch: Arc<WireBatch>) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        if batch.kind() == EntryKind::Report {
            watch.reports.on_sent_compound(now.mono, batch.packet(0));
        }
        watch.audience.publish(now.mono, batch);
        self.mark(id);
    }

    /// The log begins as that of the stream's home.
    pub(super) fn begin(&mut self, now: Now, id: StreamId, batches: &[Arc<WireBatch>]) {
        let Some(watch) = self.watches.get_mut(&id) else { return };
        for batch in batches {
            watch.audience.publish(now.mono, Arc::clone(batch));
        }
        self.mark(id);
    }

    /// Readers over UDP get packets of their own.
    pub(super) fn part(&mut self, now: Now, id: StreamId, batches: &[Arc<WireBatch>]) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.audience.part(now.mono, batches.iter().cloned());
        }
    }

    /// All readers get the same packets again.
    pub(super) fn unite(&mut self, id: StreamId) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.audience.unite();
        }
    }

    pub(super) fn clear(&mut self, id: StreamId) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.audience.clear();
        }
    }

    pub(super) fn described(&mut self, id: StreamId, description: &Description, cname: Arc<str>) {
        if let Some(watch) = self.watches.get_mut(&id) {
            watch.cname = cname;
            let rates = description.tracks.iter().map(|track| (track.track, track.clock_rate));
            watch.rates = rates.collect();
            watch.audience.set_tracks(description.keyed());
        }
    }

    pub(super) fn watch_timeouts(&mut self, now: Now) {
        let mut due = Vec::new();
        for (id, watch) in &mut self.watches {
            if watch.audience.poll_timeout().is_some_and(|at| at <= now.mono) {
                if watch.looked.is_none_or(|at| now.mono.saturating_duration_since(at) >= LOOK) {
                    watch.looked = Some(now.mono);
                    watch.look_into_kernel(now);
                }
                watch.audience.handle_timeout(now.mono);
                due.push(*id);
            }
            watch.reports.handle_timeout(now.mono);
            self.alarm.want(watch.audience.poll_timeout());
            self.alarm.want(watch.reports.poll_timeout());
        }
        for id in due {
            self.watch_events(now, id);
            self.mark(id);
        }
    }

    /// Says what readers of a stream suffered, and ends those that were cut.
    pub(super) fn watch_events(&mut self, now: Now, id: StreamId) {
        while let Some(watch) = self.watches.get_mut(&id) {
            let Some(event) = watch.audience.poll_event() else { return };
            let stream = Arc::clone(&watch.name);
            let seat = event.reader().and_then(|key| watch.seats.get_mut(key.index())?.as_mut());
            let Some(seat) = seat else {
                watch.tell_dropped(now, &event);
                continue;
            };
            let is_slow =
                !matches!(event, AudienceEvent::NoBurst { .. } | AudienceEvent::Busy { .. });
            let session = seat.session;
            let tells = if is_slow { seat.telling.tells(now.mono, event.dropped()) } else { None };
            let peer = self.sessions.get(&session).map(|s| s.peer);
            let peer = rtcp_routes::display(peer);
            match (event, tells) {
                (AudienceEvent::Cut { .. }, _) => {
                    tracing::warn!(%stream, %peer, why = %event, "slow reader cut off");
                    self.server.end_session(now.mono, session, EndReason::TooSlow);
                    self.pump.unsettle();
                }
                (AudienceEvent::NoBurst { .. } | AudienceEvent::Busy { .. }, _) => {
                    tracing::debug!(%stream, %peer, "reader does not begin at once: {event}");
                }
                (_, None) => tracing::debug!(%stream, %peer, "slow reader: {event}"),
                (_, Some(Untold { times: 0, .. })) => {
                    tracing::warn!(%stream, %peer, "slow reader: {event}");
                }
                (_, Some(Untold { times, packets })) => {
                    tracing::warn!(%stream, %peer, more = times, packets, "slow reader, again: {event}");
                }
            }
        }
    }

    /// What readers over UDP did not get, told or not.
    pub(super) fn log_not_sent(&self) {
        self.watches.values().for_each(Watch::log_not_sent);
    }

    fn close_watch(&mut self, id: StreamId) {
        if let Some(watch) = self.watches.remove(&id) {
            watch.log_not_sent();
        }
    }

    pub(super) fn log_lagging(&self, now: Now) {
        for watch in self.watches.values() {
            for (key, lag) in watch.audience.lagging(now.mono) {
                let Some(seat) = watch.seated(key) else { continue };
                let peer = rtcp_routes::display(self.sessions.get(&seat.session).map(|s| s.peer));
                let behind = format!("{:.1} s", lag.age.as_secs_f64());
                tracing::info!(stream = %watch.name, %peer, %behind, bytes = lag.bytes, "lagging reader");
            }
        }
    }
}
