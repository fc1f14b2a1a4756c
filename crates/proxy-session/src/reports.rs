//! Sender reports to readers, receiver reports to the backend.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fan_out::{Rendition, TrackId, WireBatch};
use rtp_rtcp::{Now, RtcpWriter, SenderInfo};

use crate::fork::Fork;

use crate::options::OnBackendLoss;
use crate::output::{Output, StreamEvent};
use crate::stream::Stream;
use crate::track::Track;

impl Stream {
    /// A compound sender report for `now`.
    pub(crate) fn report(&self, now: Now, track: &Track, fork: Option<&Fork>) -> Bytes {
        RtcpWriter::new()
            .sender_report(track.ssrc, &self.sender_info(now, track, fork), &[])
            .cname(track.ssrc, &self.cname)
            .finish()
    }

    pub(crate) fn send_reports(&mut self, now: Now) {
        if !self.is_reporting() {
            return;
        }
        for index in 0..self.tracks.len() {
            let Some(Some(track)) = self.tracks.get_mut(index) else { continue };
            if track.has_ended || !track.schedule.due(now.mono) {
                continue;
            }
            let batches = self.report_to_all(now, index);
            self.out.extend(batches.into_iter().map(Output::Publish));
        }
    }

    /// What a report says of what was sent: of the track's packets, or of those that readers over
    /// UDP get in their place.
    fn sender_info(&self, now: Now, track: &Track, fork: Option<&Fork>) -> SenderInfo {
        let info = track.sender_info(now, &self.timeline);
        fork.map_or(info, |fork| fork.sender_info(info))
    }

    /// A report of a track for all of its readers: one, or one for those over UDP too.
    fn report_to_all(&mut self, now: Now, index: usize) -> Vec<Arc<WireBatch>> {
        let Some(Some(track)) = self.tracks.get(index) else { return Vec::new() };
        let batches = for_all(now, track, |fork| self.report(now, track, fork));
        let told = self.timeline.report(now, track.index);
        if let Some(Some(track)) = self.tracks.get_mut(index) {
            track.told = Some(told);
        }
        batches
    }

    /// The report that has to come before these packets of a track, if what readers were told of its
    /// times is not true any more: they would be shown beside another moment of the other tracks.
    pub(crate) fn correction(&mut self, now: Now, batch: &WireBatch) -> Vec<Arc<WireBatch>> {
        let index = batch.track().index();
        if !self.must_correct(now, index) {
            return Vec::new();
        }
        // They are counted already, and go out after it.
        let Some(Some(track)) = self.tracks.get_mut(index) else { return Vec::new() };
        let counted = (track.sent_packets, track.sent_octets);
        track.sent_packets = counted.0.wrapping_sub(batch.packets().len() as u32);
        track.sent_octets = counted.1.wrapping_sub(batch.octets() as u32);
        let reports = self.report_to_all(now, index);
        if let Some(Some(track)) = self.tracks.get_mut(index) {
            (track.sent_packets, track.sent_octets) = counted;
        }
        reports
    }

    fn must_correct(&mut self, now: Now, index: usize) -> bool {
        let Some(Some(track)) = self.tracks.get_mut(index) else { return false };
        // A backend that moves all the time is told of with the reports that are due.
        let is_early = |at| now.mono.saturating_duration_since(at) < SELDOM;
        if track.corrected_at.is_some_and(is_early) || !self.timeline.take_moved(track.index) {
            return false;
        }
        let Some(told) = track.told else { return false };
        let holds = self.timeline.presentation(now, track.index, told.rtp);
        let off = holds.since(told.ntp).or_else(|| told.ntp.since(holds)).unwrap_or_default();
        if off < WORTH_TELLING {
            return false;
        }
        track.corrected_at = Some(now.mono);
        true
    }

    /// The backend has said goodbye for one track: readers hear it, and no more of that track unless
    /// it comes back.
    pub(crate) fn end_track(&mut self, now: Now, track: TrackId) {
        self.flush(now);
        let Some(Some(track)) = self.tracks.get_mut(track.index()) else { return };
        if std::mem::replace(&mut track.has_ended, true) || !self.is_playing {
            return;
        }
        if self.options.on_backend_loss == OnBackendLoss::Hold {
            // Where all tracks end, readers shall not hear of it.
            track.goodbye_at = Some(now.mono + GOODBYE_DELAY);
        } else {
            let track = track.id;
            self.say_goodbye(now, track);
        }
    }

    /// Says the goodbyes that are due, for tracks that have not come back.
    pub(crate) fn say_goodbyes(&mut self, now: Now) {
        for index in 0..self.tracks.len() {
            let Some(Some(track)) = self.tracks.get_mut(index) else { continue };
            if track.goodbye_at.is_none_or(|at| now.mono < at) {
                continue;
            }
            track.goodbye_at = None;
            if track.has_ended && self.is_playing {
                let track = track.id;
                self.say_goodbye(now, track);
            }
        }
    }

    fn say_goodbye(&mut self, now: Now, track: TrackId) {
        let Some(track) = self.track(track) else { return };
        let ssrc = track.ssrc;
        let batches = for_all(now, track, |fork| {
            RtcpWriter::new()
                .sender_report(ssrc, &self.sender_info(now, track, fork), &[])
                .cname(ssrc, &self.cname)
                .bye(&[ssrc], None)
                .finish()
        });
        self.out.extend(batches.into_iter().map(Output::Publish));
    }

    /// What the timeline has to say, for the log.
    pub(crate) fn tell_of_time(&mut self) {
        while let Some(event) = self.timeline.poll_event() {
            let of = |index| self.clocks.iter().find(|clock| clock.2 == index).map(|clock| clock.0);
            let track = event.track().and_then(of);
            self.out.push_back(Output::Event(StreamEvent::Time { track, event }));
        }
    }

    /// Asks the backend for the key frames that readers wait for, where it offers a way.
    pub(crate) fn request_keys(&mut self, now: Now) {
        if !self.is_playing {
            return;
        }
        let mut is_asked = false;
        for (index, slot) in self.tracks.iter_mut().enumerate() {
            let Some(track) = slot else { continue };
            if let Some(request) = track.key_request(now.mono, self.receiver_ssrc, &self.cname) {
                self.client.send_rtcp(index, request);
                is_asked = true;
            }
        }
        if is_asked {
            self.drain_client(now, false);
        }
    }

    /// What the backend is told before TEARDOWN.
    pub(crate) fn goodbye(&self) -> Bytes {
        RtcpWriter::new()
            .receiver_report(self.receiver_ssrc, &[])
            .cname(self.receiver_ssrc, &self.cname)
            .bye(&[self.receiver_ssrc], None)
            .finish()
    }

    /// What was received, told to the backend.
    pub(crate) fn send_receiver_reports(&mut self, now: Now) {
        if !self.receiver_reports.due(now.mono) {
            return;
        }
        for (index, slot) in self.tracks.iter_mut().enumerate() {
            let Some(track) = slot else { continue };
            let Some(block) = track.reception().report_block(now.mono) else { continue };
            let report = RtcpWriter::new()
                .receiver_report(self.receiver_ssrc, &[block])
                .cname(self.receiver_ssrc, &self.cname)
                .finish();
            self.client.send_rtcp(index, report);
        }
        self.drain_client(now, false);
    }
}

/// The compound that `of` makes, as an entry for all readers of a track; or for those over TCP, and
/// another one for those over UDP where these get packets of their own.
fn for_all(now: Now, track: &Track, of: impl Fn(Option<&Fork>) -> Bytes) -> Vec<Arc<WireBatch>> {
    let report = |rendition, fork| WireBatch::report_for(rendition, track.id, &of(fork), now.mono);
    match track.fork.as_deref() {
        None => vec![report(Rendition::Shared, None)],
        fork => vec![report(Rendition::Original, None), report(Rendition::Datagrams, fork)],
    }
}

/// Between the end of one track and the word of it to readers.
const GOODBYE_DELAY: Duration = Duration::from_millis(500);

/// How far a track's times have to be moved for readers to be told at once.
const WORTH_TELLING: Duration = Duration::from_millis(1);
/// How far such reports are apart at least.
const SELDOM: Duration = Duration::from_millis(200);
