//! From the backend's packets to batches for readers.

use std::sync::Arc;

use backend_client::Demand;
use bytes::Bytes;
use fan_out::{Rendition, TrackId, WireBatch};
use rtp_rtcp::{Now, RtcpPacket, RtpError, RtpPacket};

use crate::output::{Output, StreamEvent};
use crate::stream::Stream;
use crate::way::Exit;

/// Batches that wait for the reader that started the backend: its first picture may be among
/// them, since media can overtake the answer to PLAY.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) batches: Vec<Arc<WireBatch>>,
    pub(crate) bytes: usize,
    /// They wait no longer than that.
    pub(crate) until: std::time::Instant,
    /// When the first packet came.
    pub(crate) first: Option<Now>,
}

impl Stream {
    pub(crate) fn on_packet(&mut self, now: Now, track: usize, data: Bytes, udp: bool) {
        if self.demand != Demand::Playing {
            return;
        }
        let limits = self.options.reorder;
        let bytes = data.len();
        let parsed = RtpPacket::parse(data);
        let Some(Some(target)) = self.tracks.get_mut(track) else { return };
        let packet = match parsed {
            Ok(packet) => packet,
            Err(RtpError::TooLong { .. }) => return self.on_too_large(track, bytes),
            Err(error) => {
                if target.is_first_malformed() {
                    let event = StreamEvent::Malformed { track: target.id, why: error.to_string() };
                    self.out.push_back(Output::Event(event));
                }
                return;
            }
        };
        self.receiver_reports.on_packet(now.mono);
        if target.push(now.mono, packet, udp.then_some(limits), &mut self.timeline) {
            self.relay_track(now, track);
        }
    }

    /// Moves everything that is in order into batches.
    pub(crate) fn relay_track(&mut self, now: Now, index: usize) {
        while let Some(Some(track)) = self.tracks.get_mut(index) {
            let Some((seq, packet)) = track.pull(now.mono) else { return };
            if let Some(gate) = &mut track.gate {
                if gate.take(now.mono, seq, packet) {
                    self.open_gate(now, index);
                }
                continue;
            }
            let Some(mut way) = track.take_way() else { return };
            if let Some(held) = &mut self.held {
                held.first.get_or_insert(now);
            }
            way.take(seq, packet, &mut Exit::new(self, now, index));
            if let Some(Some(track)) = self.tracks.get_mut(index) {
                track.put_way_back(way);
            }
        }
    }

    /// What a track's way through has waited for long enough leaves.
    pub(crate) fn way_timeout(&mut self, now: Now, index: usize) {
        let Some(Some(track)) = self.tracks.get_mut(index) else { return };
        let Some(mut way) = track.take_way() else { return };
        way.handle_timeout(&mut Exit::new(self, now, index));
        if let Some(Some(track)) = self.tracks.get_mut(index) {
            track.put_way_back(way);
        }
    }

    pub(crate) fn on_too_large(&mut self, index: usize, bytes: usize) {
        if let Some(Some(track)) = self.tracks.get_mut(index)
            && track.is_first_too_large()
        {
            let event = StreamEvent::TooLarge { track: track.id, bytes };
            self.out.push_back(Output::Event(event));
        }
    }

    /// Publishes what has been gathered since the last call.
    pub fn flush(&mut self, now: Now) {
        self.close_batch(now);
        self.tell_of_time();
        self.request_keys(now);
    }

    /// What is sent from here on goes into a batch of this track.
    pub(crate) fn begin_batch(&mut self, now: Now, index: usize, track: TrackId) {
        self.close_batch(now);
        self.builder.begin(track);
        let rendition = self.rendition_of(index);
        self.builder.set_rendition(rendition);
        self.builder.set_form(self.form_of(rendition));
        self.building = Some(index);
    }

    pub(crate) fn close_batch(&mut self, now: Now) {
        self.building = None;
        self.key_unit = None;
        if let Some(batch) = self.builder.finish(now.mono) {
            self.publish_media(now, batch);
        }
    }

    /// A batch of media, behind a report where what the last one said has changed.
    pub(crate) fn publish_media(&mut self, now: Now, batch: Arc<WireBatch>) {
        for report in self.correction(now, &batch) {
            self.publish(report);
        }
        self.publish(batch);
    }

    /// A reader has joined an audience: what was kept for the first one flows.
    pub fn joined(&mut self) {
        if let Some(held) = self.held.take() {
            self.out.extend(held.batches.into_iter().map(Output::Publish));
        }
    }

    /// A batch for the readers, or for the first one as soon as it has joined.
    pub(crate) fn publish(&mut self, batch: Arc<WireBatch>) {
        if batch.rendition() == Rendition::Shared {
            self.hand_out(batch);
        } else {
            self.publish_apart(batch);
        }
    }

    pub(crate) fn hand_out(&mut self, batch: Arc<WireBatch>) {
        match &mut self.held {
            Some(held) if held.bytes < MAX_HELD_BYTES => {
                held.bytes += batch.bytes_held();
                held.batches.push(batch);
            }
            _ => {
                self.joined();
                self.out.push_back(Output::Publish(batch));
            }
        }
    }

    pub(crate) fn on_rtcp(&mut self, now: Now, track: usize, data: &[u8]) {
        let Some(Some(track)) = self.tracks.get_mut(track) else { return };
        let packets = match rtp_rtcp::parse_compound(data) {
            Ok(packets) => packets,
            Err(error) => {
                if track.is_first_bad_report() {
                    let event = StreamEvent::BadReport { track: track.id, why: error.to_string() };
                    self.out.push_back(Output::Event(event));
                }
                return;
            }
        };
        for packet in packets {
            if let RtcpPacket::SenderReport { ssrc, info, .. } = packet {
                // What is wrong with it comes as an event.
                let _verdict = self.timeline.on_sender_report(now, track.index, ssrc, &info);
                // Before the first packet it is taken to be its source's.
                if track.reception().ssrc().is_none_or(|source| source == ssrc) {
                    track.reception().on_sender_report(now.mono, &info);
                }
            }
        }
    }
}

/// Bytes kept for the reader that starts the backend until it has joined.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;
