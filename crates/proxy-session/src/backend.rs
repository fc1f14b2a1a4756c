//! What the backend says, and what that means for readers.

use std::sync::Arc;
use std::time::Duration;

use backend_client::{Demand, Event};
use bytes::Bytes;
use codec_framers::Glancer;
use fan_out::{Push, TrackId, TrackMask, WireBatchBuilder};
use rtp_rtcp::{ExtSeq, Now, RtpPacket, Ssrc};
use rtsp_proto::StatusCode;
use sdp::Presentation;

use crate::description::Description;
use crate::output::{Output, StreamEvent};
use crate::reports::RECEIVER_REPORTS;
use crate::stream::{RETRY_AFTER, Stream};
use crate::track::Track;

impl Stream {
    pub(crate) fn drain_client(&mut self, now: Now, udp: bool) {
        while let Some(output) = self.client.poll_output() {
            match output {
                backend_client::Output::Event(event) => self.on_event(now, event, udp),
                other => self.out.push_back(Output::Backend(other)),
            }
        }
    }

    fn on_event(&mut self, now: Now, event: Event, udp: bool) {
        match event {
            Event::Packet { track, data } => self.on_packet(now, track, data, udp),
            Event::Rtcp { track, data } => self.on_rtcp(now, track, &data),
            Event::Described { presentation, tolerated } => {
                self.on_described(now, &presentation, tolerated);
            }
            Event::TrackReady { track } => {
                if let Ok(track) = u8::try_from(track) {
                    self.ready.insert(TrackId(track));
                }
                self.answer_waiting(now);
            }
            Event::Playing { .. } if self.demand == Demand::Playing => {
                self.playing = true;
                self.next_receiver_report = Some(now.mono + RECEIVER_REPORTS);
                self.out.push_back(Output::Event(StreamEvent::Playing));
                self.answer_waiting(now);
            }
            Event::Paused => {
                self.out.push_back(Output::Event(StreamEvent::Paused));
            }
            Event::TrackEnded { track } => {
                if let Ok(track) = u8::try_from(track) {
                    let event = StreamEvent::TrackEnded { track: TrackId(track) };
                    self.out.push_back(Output::Event(event));
                }
            }
            Event::Refused { status, what } => {
                let why = format!("the backend refused {what}: {status}");
                self.refuse_all_waiting(status_for_readers(status), Some(RETRY_AFTER), &why);
                self.update_demand(now);
            }
            Event::Lost { reason, retry_in, .. } => {
                let why = reason.to_string();
                self.on_lost(now, why, retry_in);
            }
            Event::Warning(text) => self.out.push_back(Output::Event(StreamEvent::Warning(text))),
            Event::Dialogue { sent, text } => {
                self.out.push_back(Output::Event(StreamEvent::Dialogue { sent, text }));
            }
            _ => {}
        }
    }

    fn on_described(&mut self, now: Now, presentation: &Presentation, tolerated: Vec<String>) {
        self.versions += 1;
        let allowed = |_: usize, media: &sdp::Media| media.is_rtp() && !media.is_back_channel();
        let description = Arc::new(Description::new(
            presentation,
            &self.name,
            &allowed,
            self.origin,
            self.versions,
        ));
        for info in &description.tracks {
            let index = usize::from(info.track.0);
            if self.tracks.len() <= index {
                self.tracks.resize_with(index + 1, || None);
            }
            let Some(format) = presentation.media.get(index).map(|media| media.main_format())
            else {
                continue;
            };
            let glancer = Glancer::new(&info.kind, format);
            let Some(slot) = self.tracks.get_mut(index) else { continue };
            match slot {
                Some(track) if track.rate == info.clock_rate => {
                    track.set_format(info.clock_rate, glancer);
                }
                _ => {
                    let ssrc = Ssrc(self.rng.next() as u32);
                    let first = self.rng.next() as u16;
                    let timeline = self.timeline.add_track(info.clock_rate);
                    let track = Track::new(
                        now,
                        info.track,
                        ssrc,
                        first,
                        info.clock_rate,
                        timeline,
                        glancer,
                    );
                    *slot = Some(track);
                }
            }
        }
        let event = StreamEvent::Described { summary: description.summary(), tolerated };
        self.out.push_back(Output::Event(event));
        self.out.push_back(Output::Described(Arc::clone(&description)));
        self.description = Some(description);
        self.answer_waiting(now);
    }

    fn on_lost(&mut self, now: Now, why: String, retry_in: Duration) {
        self.flush(now);
        self.ready = TrackMask::EMPTY;
        let event = StreamEvent::Lost { why: why.clone(), retry_in };
        self.out.push_back(Output::Event(event));
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let retry = Some(retry_in.max(Duration::from_secs(1)));
        self.refuse_all_waiting(status, retry, &why);
        if !self.readers.is_empty() {
            self.readers.clear();
            self.out.push_back(Output::EndReaders { why });
        }
        self.update_demand(now);
    }

    fn on_packet(&mut self, now: Now, track: usize, data: Bytes, udp: bool) {
        if self.demand != Demand::Playing {
            return;
        }
        let Ok(packet) = RtpPacket::parse(data) else { return };
        let limits = self.options.reorder;
        let Some(Some(target)) = self.tracks.get_mut(track) else { return };
        if target.push(now.mono, packet, udp.then_some(limits)) {
            self.relay_track(now, track);
        }
    }

    /// Moves everything that is in order into batches.
    pub(crate) fn relay_track(&mut self, now: Now, index: usize) {
        while let Some(Some(track)) = self.tracks.get_mut(index) {
            let Some((seq, packet)) = track.pull(now.mono) else { return };
            let (id, unit) = (track.id, (index, packet.header().timestamp));
            // A batch names one key unit: what follows that unit goes into the next.
            let after_key = self.key_unit.is_some_and(|key| key != unit);
            if self.building != Some(index) || after_key {
                self.flush(now);
                self.builder = WireBatchBuilder::new(id);
                self.building = Some(index);
            }
            let mut pushed = self.relay_packet(now, index, seq, &packet);
            if pushed == Push::Full {
                if let Some(batch) = self.builder.finish(now.mono) {
                    self.publish(batch);
                }
                pushed = self.relay_packet(now, index, seq, &packet);
            }
            let Some(Some(track)) = self.tracks.get(index) else { return };
            if pushed != Push::Added && track.too_large == 1 {
                let event = StreamEvent::TooLarge { track: track.id, bytes: packet.bytes().len() };
                self.out.push_back(Output::Event(event));
            }
        }
    }

    fn relay_packet(&mut self, now: Now, index: usize, seq: ExtSeq, packet: &RtpPacket) -> Push {
        let Some(Some(track)) = self.tracks.get_mut(index) else { return Push::NotRtp };
        let (pushed, key) = track.relay(now, &mut self.timeline, &mut self.builder, seq, packet);
        if let Some(begin) = key {
            self.builder.note_key(begin);
            self.key_unit = Some((index, packet.header().timestamp));
        }
        pushed
    }

    fn on_rtcp(&mut self, now: Now, track: usize, data: &[u8]) {
        let Some(Some(track)) = self.tracks.get_mut(track) else { return };
        let Ok(packets) = rtp_rtcp::parse_compound(data) else { return };
        for packet in packets {
            if let rtp_rtcp::RtcpPacket::SenderReport { ssrc, info, .. } = packet
                && track.reception().ssrc() == Some(ssrc)
            {
                track.reception().on_sender_report(now.mono, &info);
            }
        }
    }
}

/// What a reader is told for a backend's refusal. A backend's 401 must not make a reader ask its
/// user for a password that the proxy lacks.
fn status_for_readers(backend: StatusCode) -> StatusCode {
    match backend.0 {
        401 | 403 | 407 => StatusCode(502),
        404 | 410 => StatusCode::NOT_FOUND,
        453 => StatusCode(453),
        461 => StatusCode(502),
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}
