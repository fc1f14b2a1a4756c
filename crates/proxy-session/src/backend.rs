//! What the backend says, and what that means for readers.

use std::sync::Arc;
use std::time::Duration;

use backend_client::{Demand, Event, LostReason, Phase};
use codec_framers::Glancer;
use fan_out::{MAX_TRACKS, TrackId};
use rtp_rtcp::{ClockRate, KeyFrameFeedback, Now, Ssrc};
use rtsp_proto::StatusCode;
use sdp::Presentation;
use time_normalizer::{Timeline, TrackIndex};

use crate::asks::Ask;
use crate::description::Description;
use crate::options::Packets;
use crate::output::{Output, StreamEvent};
use crate::parameters::{reframed, splittable, with_parameters};
use crate::stream::Stream;
use crate::track::Track;
use crate::way::{Reframe, Reframing, Relay, Way, is_repair};

impl Stream {
    /// The backend's departures from the protocol that were made up for, by name, and how often,
    /// since the start.
    pub fn quirks(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.client.quirks()
    }

    pub(crate) fn drain_client(&mut self, now: Now, udp: bool) {
        while let Some(output) = self.client.poll_output() {
            match output {
                backend_client::Output::Event(event) => self.on_event(now, event, udp),
                other => self.out.push_back(Output::Backend(other)),
            }
        }
        self.note_source(now);
        let phase = self.client.state();
        let is_another = phase == Phase::SettingUp && self.set_up.is_over();
        if is_another || !has_session(phase) {
            self.set_up.clear();
        }
    }

    fn on_event(&mut self, now: Now, event: Event, udp: bool) {
        match event {
            Event::Packet { track, data } => self.on_packet(now, track, data, udp),
            Event::Rtcp { track, data } => self.on_rtcp(now, track, &data),
            Event::Described { presentation, tolerated } => {
                self.on_described(now, &presentation, tolerated);
            }
            Event::TrackReady { track } => self.on_track_ready(now, track),
            Event::TrackRefused { track, status } => {
                if let Some(track) = track_id(track) {
                    self.set_up.on_refused(track, status);
                    let number = u16::from(track.0) + 1;
                    let why = format!("the backend refuses track {number}: {status}");
                    self.out.push_back(Output::Event(StreamEvent::Warning(why)));
                    self.answer_waiting(now);
                }
            }
            Event::Ready => {
                self.set_up.on_complete();
                if self.outage.is_some() && self.demand < Demand::Playing {
                    // All that those who are there want.
                    self.end_outage(now);
                }
            }
            Event::Playing { .. } if self.demand == Demand::Playing => self.on_playing(now),
            Event::Paused => self.out.push_back(Output::Event(StreamEvent::Paused)),
            Event::TrackEnded { track } => {
                if let Some(track) = track_id(track) {
                    self.end_track(now, track);
                    self.out.push_back(Output::Event(StreamEvent::TrackEnded { track }));
                }
            }
            Event::Refused { status, what } => {
                let why = format!("the backend refused {what}: {status}");
                self.refuse_all_waiting(status_for_readers(status), RETRY_AFTER, &why);
                self.update_demand(now);
            }
            Event::Lost { reason, retry_in, .. } => self.on_lost(now, &reason, retry_in),
            Event::Warning(text) => self.out.push_back(Output::Event(StreamEvent::Warning(text))),
            Event::Tolerated { quirk, detail } => {
                let event = StreamEvent::Tolerated { quirk: quirk.name(), detail };
                self.out.push_back(Output::Event(event));
            }
            Event::Dialogue { sent, text } => {
                self.out.push_back(Output::Event(StreamEvent::Dialogue { sent, text }));
            }
            _ => {}
        }
    }

    /// The description that readers get of what is to be told.
    fn describe(&self, told: &Presentation) -> Description {
        let backend = &self.options.backend;
        // What is encrypted can be relayed to nobody before its keys are understood.
        // What repairs by number repairs nothing where all packets have other numbers.
        let is_made = self.options.packets == Packets::Reframe;
        let allowed = |_: usize, media: &sdp::Media| {
            let is_of_use = !is_made || !is_repair(&media.main_format().encoding);
            backend.allows(media) && !media.is_encrypted() && is_of_use
        };
        Description::new(told, &self.name, &allowed, self.origin, self.versions)
    }

    /// The way through for a track, and whether its key frames can be told apart.
    fn way(&self, media: &sdp::Media, told: &sdp::Media) -> (Box<dyn Way>, bool) {
        let glancer = Glancer::new(&media.kind, media.main_format());
        let knows_keys = glancer.knows_keys();
        let way: Box<dyn Way> = match self.options.packets {
            Packets::Auto | Packets::Relay => Box::new(Relay::new(glancer)),
            Packets::Reframe => {
                let chosen = Reframing {
                    datagram: self.options.max_udp_payload,
                    max_unit: self.options.max_unit,
                    on_loss: self.options.on_loss,
                };
                Box::new(Reframe::new(media, told, knows_keys, chosen))
            }
        };
        (way, knows_keys)
    }

    /// The parameters of a track's format have changed within the stream: who asks from now on is
    /// told so. The tracks themselves are the same.
    pub(crate) fn on_parameters(&mut self, index: usize, parameters: &[(&str, String)]) {
        let Some(told) = &self.told else { return };
        let told = with_parameters(told, index, parameters);
        self.versions += 1;
        self.description = Some(Arc::new(self.describe(&told)));
        self.told = Some(told);
    }

    fn on_described(&mut self, now: Now, presentation: &Presentation, tolerated: Vec<String>) {
        self.flush(now);
        self.versions += 1;
        self.set_up.clear();
        let told = match self.options.packets {
            Packets::Auto => splittable(presentation),
            Packets::Relay => presentation.clone(),
            Packets::Reframe => reframed(presentation),
        };
        let shows_picture = self.options.hold_picture;
        let description = Arc::new(self.describe(&told));
        if self.readers.values().any(|reader| !reader.tracks.is_empty()) {
            if let Some(why) = self.cannot_go_on(&told, &description) {
                self.let_go(now, &why);
            } else if self.is_playing {
                // Another session than the one that readers have got media of.
                self.hold(now);
            }
        }
        for (index, slot) in self.tracks.iter_mut().enumerate() {
            if track_id(index).is_none_or(|track| description.track(track).is_none()) {
                *slot = None;
            }
        }
        for info in &description.tracks {
            let index = usize::from(info.track.0);
            if self.tracks.len() <= index {
                self.tracks.resize_with(index + 1, || None);
            }
            let Some(media) = presentation.media.get(index) else { continue };
            let way = self.way(media, told.media.get(index).unwrap_or(media));
            let cutting = self.cutting(media, told.media.get(index).unwrap_or(media));
            let feedback = key_frame_feedback(media);
            match self.tracks.get_mut(index) {
                Some(Some(track)) if track.rate == info.clock_rate => track.set_format(way),
                _ => {
                    let ssrc = Ssrc(self.rng.next() as u32);
                    let first = self.rng.next() as u16;
                    let clock = self.clock(now, info.track, info.clock_rate);
                    let track =
                        Track::new(now, info.track, ssrc, first, info.clock_rate, clock, way);
                    if let Some(slot) = self.tracks.get_mut(index) {
                        *slot = Some(track);
                    }
                }
            }
            if let Some(Some(track)) = self.tracks.get_mut(index) {
                track.set_feedback(feedback);
                track.set_cutting(cutting);
                track.picture = shows_picture.then(Box::default).filter(|_| track.knows_keys());
            }
            self.set_gate(index, media);
        }
        self.watch_sizes();
        let event = StreamEvent::Described { summary: description.summary(), tolerated };
        self.out.push_back(Output::Event(event));
        self.out.push_back(Output::Described(Arc::clone(&description)));
        self.description = Some(description);
        self.told = Some(told);
        self.is_available = true;
        self.answer_waiting(now);
    }

    /// The timeline's track for a media section with this clock: the one it had before, so that a
    /// backend which changes its mind costs nothing.
    fn clock(&mut self, now: Now, track: TrackId, rate: ClockRate) -> TrackIndex {
        let known = self.clocks.iter().find(|clock| (clock.0, clock.1) == (track, rate));
        if let Some(&(.., index)) = known {
            return index;
        }
        if self.clocks.len() >= MAX_CLOCKS {
            self.timeline = Timeline::with_options(now, self.rng.next(), self.options.time);
            self.clocks.clear();
            for track in self.tracks.iter_mut().flatten() {
                track.index = self.timeline.add_track(track.rate);
                self.clocks.push((track.id, track.rate, track.index));
            }
        }
        let index = self.timeline.add_track(rate);
        self.clocks.push((track, rate, index));
        index
    }

    /// A track of a new session: what it sends from now on has nothing to do with what it sent.
    fn on_track_ready(&mut self, now: Now, track: usize) {
        let Some(id) = track_id(track) else { return };
        let is_addition = self.set_up.is_addition(id);
        self.set_up.on_ready(id);
        if is_addition && self.is_playing {
            if let Some(Some(track)) = self.tracks.get_mut(track) {
                track.restart();
            }
        } else if self.demand == Demand::Playing {
            self.timeline.restart();
            if let Some(Some(track)) = self.tracks.get_mut(track) {
                track.restart();
            }
        }
        self.answer_waiting(now);
    }

    pub(crate) fn on_playing(&mut self, now: Now) {
        self.is_playing = true;
        self.client.set_held(now, false);
        for track in self.tracks.iter_mut().flatten().filter(|track| track.gate.is_some()) {
            track.wish_for_key();
        }
        self.out.push_back(Output::Event(StreamEvent::Playing));
        self.answer_waiting(now);
    }

    fn on_lost(&mut self, now: Now, reason: &LostReason, retry_in: Duration) {
        self.flush(now);
        self.set_up.clear();
        self.is_available = false;
        let why = reason.to_string();
        let event = StreamEvent::Lost { why: why.clone(), retry_in };
        self.out.push_back(Output::Event(event));
        let retry_after = retry_in.max(Duration::from_secs(1));
        // Who refuses has nothing to come back to, unless it has sent something before.
        let is_refused = matches!(
            reason,
            LostReason::Refused { .. }
                | LostReason::CredentialsRejected
                | LostReason::CredentialsNeeded
                | LostReason::AuthenticationUnknown
        );
        if !is_refused || self.is_playing || self.outage.is_some() {
            self.hold(now);
        }
        if self.takes_in() {
            self.answer_waiting(now);
        }
        self.refuse_all_waiting(status_of_loss(reason), retry_after, &why);
        if self.outage.is_some() {
            self.client.set_held(now, true);
        } else if !self.readers.is_empty() {
            self.readers.clear();
            self.out.push_back(Output::EndReaders { why });
        }
        self.update_demand(now);
    }

    /// What the backend has said to SETUP of a track, as a reader may be told.
    pub(crate) fn set_up_answer(&self, track: TrackId) -> Option<Result<(), StatusCode>> {
        let answer = self.set_up.answer(track)?;
        Some(answer.map_err(status_for_readers))
    }

    /// Whether nothing is to be expected of a track that a reader asks for.
    pub(crate) fn is_unknown(&self, ask: Ask) -> bool {
        match (ask, &self.description) {
            (Ask::SetUp { track }, Some(description)) if self.is_available || self.takes_in() => {
                description.track(track).is_none()
            }
            _ => false,
        }
    }
}

fn track_id(index: usize) -> Option<TrackId> {
    u8::try_from(index).ok().map(TrackId)
}

/// How the backend lets itself be asked for key frames, by what it says of its main format.
fn key_frame_feedback(media: &sdp::Media) -> Option<KeyFrameFeedback> {
    let offers = media.attributes().filter(|(name, _)| name.eq_ignore_ascii_case("rtcp-fb"));
    let payload_type = media.main_format().payload_type;
    KeyFrameFeedback::offered(offers.filter_map(|(_, value)| value), payload_type)
}

/// Whether the backend has a session of ours, or is about to.
fn has_session(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::SettingUp | Phase::Ready | Phase::Starting | Phase::Playing | Phase::Pausing
    )
}

/// What a reader is told for a backend's refusal. A backend's 401 must not make a reader ask its
/// user for a password that the proxy lacks.
fn status_for_readers(backend: StatusCode) -> StatusCode {
    match backend.0 {
        401 | 403 | 407 | 461 => StatusCode::BAD_GATEWAY,
        404 | 410 => StatusCode::NOT_FOUND,
        453 => StatusCode::NOT_ENOUGH_BANDWIDTH,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The same for an attempt that failed, or a session that ended.
fn status_of_loss(reason: &LostReason) -> StatusCode {
    match reason {
        LostReason::Refused { status, .. } => status_for_readers(*status),
        LostReason::CredentialsRejected
        | LostReason::CredentialsNeeded
        | LostReason::AuthenticationUnknown
        | LostReason::BadDescription { .. }
        | LostReason::NothingToPlay
        | LostReason::BadRedirect { .. } => StatusCode::BAD_GATEWAY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// What a reader is told to wait after a refusal whose end is not known.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Tracks and clock rates that a timeline keeps before it is made anew.
const MAX_CLOCKS: usize = 4 * MAX_TRACKS;
