//! Packets of their own for readers over UDP, while some are too large for these.

use std::sync::Arc;

use fan_out::{EntryKind, Form, MAX_DATAGRAM_BYTES, Rendition, WireBatch};
use rtp_rtcp::{ExtSeq, Now};
use sdp::Media;

use crate::asks::{Ask, Delivery};
use crate::fork::{Cutting, Fork, Untold};
use crate::options::Packets;
use crate::output::{Output, StreamEvent};
use crate::stream::Stream;
use crate::track::Track;

/// What readers over UDP take.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Datagrams {
    /// The largest datagram that goes to them as it came; `None` without such readers.
    limit: Option<usize>,
    /// Whether all who want media, or last did, are over TCP.
    are_unwanted: bool,
    /// Whether it was told that some go out whole above that.
    warned: bool,
    /// Whether it was told that access units are too large to be made anew.
    warned_of_units: bool,
}

impl Track {
    /// The packets of a reader who gets others than those over TCP.
    pub(crate) fn fork_for(&self, delivery: Delivery) -> Option<&Fork> {
        self.fork.as_deref().filter(|_| delivery != Delivery::Tcp)
    }
}

impl Stream {
    /// What a track's packets can be cut by for readers over UDP, if that may be wanted.
    pub(crate) fn cutting(&self, media: &Media, told: &Media) -> Option<Cutting> {
        let options = &self.options;
        let cutting = || Cutting::new(media, told, options.max_udp_payload, options.max_unit);
        self.is_watching_sizes().then(cutting).filter(|cutting| {
            // Such as nobody can cut are looked at for their size alone.
            cutting.can_cut() || cutting.is_repair()
        })
    }

    pub(crate) fn rendition_of(&self, index: usize) -> Rendition {
        match self.tracks.get(index) {
            Some(Some(track)) if track.fork.is_some() => Rendition::Original,
            _ => Rendition::Shared,
        }
    }

    /// The form that those who are there take a batch in.
    pub(crate) fn form_of(&self, rendition: Rendition) -> Form {
        match rendition {
            Rendition::Original => Form::Interleaved,
            Rendition::Shared if self.datagrams.are_unwanted => Form::Interleaved,
            Rendition::Shared | Rendition::Datagrams => Form::Plain,
        }
    }

    /// Sees to it that packets are looked at which are too large for who is there.
    pub(crate) fn watch_sizes(&mut self) {
        let is_watching = self.is_watching_sizes();
        let largest = self.options.max_udp_payload;
        let limit = self.datagrams.limit;
        for track in self.tracks.iter_mut().flatten() {
            track.watch_above = match limit {
                _ if !is_watching || track.fork.is_some() => usize::MAX,
                Some(_) if track.cutting.is_none() && track.largest > 0 => MAX_DATAGRAM_BYTES,
                Some(limit) => limit,
                // For who may come.
                None => least_limit(largest).max(track.largest),
            };
        }
    }

    /// A packet leaves that is larger than was looked for.
    #[cold]
    pub(crate) fn on_large(&mut self, now: Now, index: usize, bytes: usize, seq: ExtSeq) {
        let Some(Some(track)) = self.tracks.get_mut(index) else { return };
        track.largest = track.largest.max(bytes);
        let can_cut = track.cutting.is_some();
        match self.datagrams.limit {
            Some(limit) if bytes > limit && can_cut => {
                // What is in the batch under construction is for all.
                self.close_batch(now);
                self.fork_track(index, seq, limit);
                self.fork_repairs(limit);
            }
            Some(limit) if bytes > limit => {
                if bytes > MAX_DATAGRAM_BYTES
                    && let Some(Some(track)) = self.tracks.get_mut(index)
                {
                    track.forked.dropped += 1;
                }
                self.warn_of_whole(index, bytes);
            }
            _ => {}
        }
        self.watch_sizes();
    }

    /// A batch of a track, or a report of it, that is not for all readers.
    pub(crate) fn publish_apart(&mut self, batch: Arc<WireBatch>) {
        let index = batch.track().index();
        self.hand_out(Arc::clone(&batch));
        if batch.rendition() != Rendition::Original || batch.kind() != EntryKind::Media {
            return;
        }
        for made in self.fork_batch(index, &batch) {
            self.hand_out(made);
        }
    }

    /// What readers over UDP get for a batch.
    fn fork_batch(&mut self, index: usize, batch: &Arc<WireBatch>) -> Vec<Arc<WireBatch>> {
        let Some(Some(track)) = self.tracks.get_mut(index) else { return Vec::new() };
        let Some(fork) = &mut track.fork else { return Vec::new() };
        let (made, Untold { uncut, too_large }) = fork.take(batch);
        if let Some(bytes) = uncut {
            self.warn_of_whole(index, bytes);
        }
        if let Some(bound) = too_large
            && !std::mem::replace(&mut self.datagrams.warned_of_units, true)
        {
            let text = format!(
                "track {}: an access unit of more than max_unit = {bound} bytes is dropped for \
                 readers over UDP, as all such will be; readers over TCP get it",
                index + 1
            );
            self.out.push_back(Output::Event(StreamEvent::Warning(text)));
        }
        made
    }

    fn fork_track(&mut self, index: usize, from: ExtSeq, limit: usize) {
        let Some(Some(track)) = self.tracks.get_mut(index) else { return };
        let Some(cutting) = track.cutting.as_ref().filter(|_| track.fork.is_none()) else { return };
        let builder = self.builder.another(track.id);
        let fork = Fork::new(builder, (track.ssrc, from), track.sent_counts(), cutting, limit);
        track.fork = Some(Box::new(fork));
    }

    /// Packets that repair others by their numbers have nothing to say where these are others.
    fn fork_repairs(&mut self, limit: usize) {
        for index in 0..self.tracks.len() {
            let Some(Some(track)) = self.tracks.get(index) else { continue };
            if track.cutting.as_ref().is_some_and(|cutting| cutting.is_repair()) {
                let from = track.next_number();
                self.fork_track(index, from, limit);
            }
        }
    }

    /// Whether [`Stream::fork`] is to be called before this is asked, with what has been published.
    #[must_use]
    pub fn wants_history(&self, ask: Ask) -> bool {
        matches!(ask, Ask::Play { delivery, .. } if self.must_part(delivery))
    }

    /// Whether a reader that is the first over UDP finds packets that are too large for it.
    fn must_part(&self, delivery: Delivery) -> bool {
        let Some(limit) = self.limit_of(delivery) else { return false };
        let is_large = |track: &Track| track.cutting.is_some() && track.largest > limit;
        self.is_watching_sizes()
            && self.datagrams.limit.is_none()
            && self.tracks.iter().flatten().any(is_large)
    }

    /// Makes packets for a reader over UDP who is about to ask this, from what is published from now
    /// on and, so that it can begin at once, from what was: `history`, in its order.
    pub fn fork(&mut self, now: Now, ask: Ask, history: &[Arc<WireBatch>]) {
        let Ask::Play { delivery, .. } = ask else { return };
        let Some(limit) = self.limit_of(delivery).filter(|_| self.must_part(delivery)) else {
            return;
        };
        self.flush(now);
        // What nobody has been given yet comes after that.
        let held = self.held.as_mut().map(|held| std::mem::take(&mut held.batches));
        let held = held.unwrap_or_default();
        for index in 0..self.tracks.len() {
            let Some(Some(track)) = self.tracks.get(index) else { continue };
            let is_large = track.largest > limit;
            let is_repair = track.cutting.as_ref().is_some_and(|cutting| cutting.is_repair());
            if is_large || is_repair {
                let of_track = |batch: &&Arc<WireBatch>| batch.track() == track.id;
                let first = history.iter().chain(&held).filter(of_track);
                let from = first.filter_map(|batch| batch.first_ext_seq()).next();
                let from = from.unwrap_or_else(|| track.next_number());
                self.fork_track(index, from, limit);
            }
        }
        let mut all = Vec::new();
        for batch in history {
            let index = batch.track().index();
            if self.rendition_of(index) == Rendition::Shared {
                all.push(Arc::clone(batch));
            } else if batch.kind() == EntryKind::Media {
                all.extend(self.fork_batch(index, batch));
            }
        }
        self.out.push_back(Output::Part(all.into()));
        if let Some(held) = &mut self.held {
            held.bytes = 0;
        }
        for mut batch in held {
            let rendition = self.rendition_of(batch.track().index());
            if let Some(batch) = Arc::get_mut(&mut batch) {
                batch.set_rendition(rendition);
            }
            self.publish(batch);
        }
        self.datagrams.limit = Some(limit);
        self.watch_sizes();
    }

    /// Who is there has changed, and what they take with them.
    pub(crate) fn settle_renditions(&mut self) {
        let there = self.readers.values().filter(|interest| interest.wants);
        let mut deliveries = there.map(|interest| interest.delivery).peekable();
        // With nobody there it stays as it was: whoever comes may be as those who left.
        if deliveries.peek().is_some() {
            self.datagrams.are_unwanted = deliveries.all(|delivery| delivery == Delivery::Tcp);
        }
        if !self.is_watching_sizes() {
            return;
        }
        let there = self.readers.values().filter(|interest| interest.wants);
        let limit = there.filter_map(|interest| self.limit_of(interest.delivery)).min();
        if limit == self.datagrams.limit {
            return;
        }
        self.datagrams.limit = limit;
        match limit {
            None => self.unite(),
            Some(limit) => {
                let forks =
                    self.tracks.iter_mut().flatten().filter_map(|track| track.fork.as_mut());
                forks.for_each(|fork| fork.set_limit(limit));
                self.watch_sizes();
            }
        }
    }

    /// Nothing is made for readers over UDP alone any more.
    pub(crate) fn unite(&mut self) {
        let mut was_apart = false;
        for track in self.tracks.iter_mut().flatten() {
            track.forked = track.datagram_counts();
            was_apart |= track.fork.take().is_some();
        }
        if was_apart {
            // What is in the batch under construction is for readers over TCP.
            self.building = None;
            self.out.push_back(Output::Unite);
        }
        self.watch_sizes();
    }

    fn is_watching_sizes(&self) -> bool {
        self.options.packets == Packets::Auto
    }

    /// The largest datagram that goes to such a reader as it came.
    fn limit_of(&self, delivery: Delivery) -> Option<usize> {
        Some(delivery.largest()?.min(self.options.max_udp_payload))
    }

    /// Tells once that packets go to readers over UDP larger than they should be, or not at all.
    fn warn_of_whole(&mut self, index: usize, bytes: usize) {
        if std::mem::replace(&mut self.datagrams.warned, true) {
            return;
        }
        let largest = self.options.max_udp_payload;
        let what = if bytes > MAX_DATAGRAM_BYTES {
            "is dropped for readers over UDP"
        } else {
            "goes to readers over UDP whole, in fragments of IP"
        };
        let text = format!(
            "track {}: a packet of {bytes} bytes, above max_udp_payload = {largest}, cannot be cut \
             and {what}, as all such will; readers over TCP get it",
            index + 1
        );
        self.out.push_back(Output::Event(StreamEvent::Warning(text)));
    }
}

/// What fits all readers over UDP.
fn least_limit(max_udp_payload: usize) -> usize {
    let least = [Delivery::UdpV4, Delivery::UdpV6].into_iter().filter_map(Delivery::largest).min();
    least.map_or(max_udp_payload, |least| least.min(max_udp_payload))
}
