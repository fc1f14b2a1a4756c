//! Readers outlive the backend: what becomes of them while it is away.

use std::time::{Duration, Instant};

use backend_client::Demand;
use bytes::Bytes;
use codec_framers::Glancer;
use rtp_rtcp::Now;
use rtsp_proto::StatusCode;
use sdp::{Media, Presentation};

use crate::asks::Ask;
use crate::backend::RETRY_AFTER;
use crate::description::Description;
use crate::options::{OnBackendLoss, Packets};
use crate::output::{Output, StreamEvent};
use crate::stream::Stream;
use crate::way::{Exit, Leaving};

/// The time between the loss of a backend and the media that it, or another, sends again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    since: Instant,
    /// Readers are let go then.
    until: Instant,
    /// Whether media flowed before, so that readers who come are taken in.
    was_playing: bool,
    /// When the last picture is shown again.
    picture_at: Option<Instant>,
}

impl Outage {
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.picture_at.map_or(self.until, |at| at.min(self.until))
    }
}

impl Stream {
    /// Whether readers get what there is without the backend having agreed.
    pub(crate) fn takes_in(&self) -> bool {
        self.outage.is_some_and(|outage| outage.was_playing)
    }

    /// Whether readers are sent reports: they play, or wait for a backend that was lost.
    pub(crate) fn is_reporting(&self) -> bool {
        self.is_playing || (self.outage.is_some() && self.demand == Demand::Playing)
    }

    /// The backend's session is over. Keeps its readers, if that is wanted and there are any.
    pub(crate) fn hold(&mut self, now: Now) {
        let is_held = |tracks: fan_out::TrackMask| !tracks.is_empty();
        let readers = self.readers.values().filter(|reader| is_held(reader.tracks)).count();
        if self.options.on_backend_loss != OnBackendLoss::Hold || readers == 0 {
            return;
        }
        let picture_at = self.options.hold_picture.then(|| now.mono + PICTURE_EVERY);
        match &mut self.outage {
            // An attempt has failed, or a session that brought nothing to show.
            Some(outage) => outage.was_playing |= self.is_playing,
            outage @ None => {
                *outage = Some(Outage {
                    since: now.mono,
                    until: now.mono + self.options.hold_for,
                    was_playing: self.is_playing,
                    picture_at,
                });
                let at_most = self.options.hold_for;
                self.out.push_back(Output::Event(StreamEvent::Held { readers, at_most }));
            }
        }
        self.is_playing = false;
        self.receiver_reports.clear();
        for track in self.tracks.iter_mut().flatten() {
            track.part();
        }
    }

    /// Media is there again on a track: if that is what readers wait for, all is well.
    fn go_on(&mut self, now: Now, index: usize) {
        self.on_first_media();
        let is_keyed = |track: &crate::track::Track| track.knows_keys();
        let is_video = self.tracks.get(index).and_then(Option::as_ref).is_some_and(is_keyed);
        if !is_video && self.tracks.iter().flatten().any(is_keyed) {
            return;
        }
        if let Some(outage) = self.outage.take() {
            let after = now.mono.saturating_duration_since(outage.since);
            self.out.push_back(Output::Event(StreamEvent::Resumed { after }));
        }
    }

    /// Nobody waits for the backend any more, or it is all that they wait for.
    pub(crate) fn end_outage(&mut self, now: Now) {
        self.outage = None;
        self.client.set_held(now, false);
        for track in self.tracks.iter_mut().flatten() {
            track.rejoin();
        }
    }

    /// Ends all readers with a goodbye and a closed connection, so that they come again.
    pub(crate) fn let_go(&mut self, now: Now, why: &str) {
        let is_of_reader = |w: &crate::readers::Waiting| !matches!(w.ask, Ask::Describe);
        self.refuse_waiting(is_of_reader, StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, why);
        if !self.readers.is_empty() {
            self.readers.clear();
            self.out.push_back(Output::EndReaders { why: why.to_owned() });
        }
        self.end_outage(now);
        self.update_demand(now);
    }

    pub(crate) fn outage_timeout(&mut self, now: Now) {
        let Some(outage) = self.outage else { return };
        if outage.until <= now.mono {
            if self.demand < Demand::Playing && self.is_available {
                self.end_outage(now);
            } else {
                let held = self.options.hold_for.as_secs_f32();
                self.let_go(now, &format!("the backend has not come back for {held} s"));
            }
            return;
        }
        if outage.picture_at.is_some_and(|at| at <= now.mono) {
            if self.demand == Demand::Playing {
                self.show_pictures(now);
            }
            if let Some(outage) = &mut self.outage {
                outage.picture_at = Some(now.mono + PICTURE_EVERY);
            }
        }
    }

    /// Shows the last key frame of each track again, as a picture of this moment.
    fn show_pictures(&mut self, now: Now) {
        for index in 0..self.tracks.len() {
            let Some(Some(track)) = self.tracks.get_mut(index) else { continue };
            let clock = track.index;
            let Some(picture) = track.picture.take().filter(|_| track.gate.is_some()) else {
                continue;
            };
            let timestamp = self.timeline.at(now, clock);
            let mut exit = Exit::new(self, now, index);
            let mut first = None;
            for packet in picture.packets() {
                let seq = exit.next_number(0);
                let payload = packet.len().saturating_sub(RTP_HEADER);
                if exit.send(&Leaving { bytes: packet, payload, seq, timestamp, relayed: false }) {
                    first.get_or_insert(seq);
                }
            }
            if let Some(first) = first {
                exit.key(first, timestamp);
            }
            if let Some(Some(track)) = self.tracks.get_mut(index) {
                track.picture = Some(picture);
            }
            self.flush(now);
        }
    }

    /// Why readers cannot go on with what is described now, if they cannot.
    pub(crate) fn cannot_go_on(&self, told: &Presentation, new: &Description) -> Option<String> {
        let (Some(old_told), Some(old)) = (&self.told, &self.description) else { return None };
        if old.tracks.len() != new.tracks.len() {
            return Some("the backend offers other tracks than before".to_owned());
        }
        for (old, new) in old.tracks.iter().zip(&new.tracks) {
            let number = u16::from(new.track.0) + 1;
            if old.track != new.track || old.kind != new.kind {
                return Some("the backend offers other tracks than before".to_owned());
            }
            let index = usize::from(new.track.0);
            let media = (old_told.media.get(index), told.media.get(index));
            let is_same = match media {
                (Some(old), Some(new)) => is_same_format(old, new),
                _ => false,
            };
            if !is_same || old.clock_rate != new.clock_rate {
                let (old, new) = (&old.encoding, &new.encoding);
                return Some(format!("track {number} is not the {old} that it was, but {new}"));
            }
        }
        None
    }

    /// Shows a track's gate what is described now.
    pub(crate) fn set_gate(&mut self, index: usize, media: &Media) {
        let old = self.told.as_ref().and_then(|told| told.media.get(index));
        let glancer = Glancer::new(&media.kind, media.main_format());
        let known = old.map(|old| Glancer::new(&old.kind, old.main_format()));
        let is_known = known.is_some_and(|known| known.announced() == glancer.announced());
        // What is put together here has its parameter sets in band.
        let sets = match self.options.packets {
            Packets::Auto | Packets::Relay if !is_known => {
                glancer.announced().payloads().cloned().collect()
            }
            _ => Vec::new(),
        };
        if let Some(Some(track)) = self.tracks.get_mut(index)
            && let Some(gate) = &mut track.gate
        {
            gate.set_format(glancer, sets);
        }
    }

    /// Readers go on with what a track's gate has kept.
    pub(crate) fn open_gate(&mut self, now: Now, index: usize) {
        let Some(Some(track)) = self.tracks.get_mut(index) else { return };
        let Some(gate) = track.gate.take() else { return };
        let Some(mut way) = track.take_way() else { return };
        let opened = gate.open();
        let mut exit = Exit::new(self, now, index);
        if let Some((_, first)) = opened.packets.first() {
            let header = first.header();
            let (ssrc, timestamp) = (header.ssrc, header.timestamp);
            for set in &opened.sets {
                let bytes = packet_of(header.payload_type, set);
                let (seq, payload) = (exit.next_number(0), set.len());
                let timestamp = exit.stamp(ssrc, timestamp);
                // One too large for a packet was too large for the description.
                let _sent =
                    exit.send(&Leaving { bytes: &bytes, payload, seq, timestamp, relayed: false });
            }
        }
        for (seq, packet) in opened.packets {
            way.take(seq, packet, &mut exit);
        }
        if let Some(Some(track)) = self.tracks.get_mut(index) {
            track.put_way_back(way);
        }
        self.go_on(now, index);
    }
}

/// An RTP packet (RFC 3550 section 5.1); number, time and source are filled in as it leaves.
fn packet_of(payload_type: u8, payload: &Bytes) -> Vec<u8> {
    let mut packet = vec![0; RTP_HEADER];
    if let [version, second, ..] = &mut packet[..] {
        (*version, *second) = (0x80, payload_type & 0x7f);
    }
    packet.extend_from_slice(payload);
    packet
}

/// Whether a decoder that was told of one format can go on with the other, given parameter sets in
/// band where there are any.
fn is_same_format(old: &Media, new: &Media) -> bool {
    let (old, new) = (old.main_format(), new.main_format());
    let is_same = old.payload_type == new.payload_type
        && old.encoding.eq_ignore_ascii_case(&new.encoding)
        && old.channels.unwrap_or(1) == new.channels.unwrap_or(1);
    let is_in_band = ["H264", "H265", "HEVC", "H266", "VVC"]
        .iter()
        .any(|name| new.encoding.eq_ignore_ascii_case(name));
    is_same && (is_in_band || parameters(old) == parameters(new))
}

fn parameters(format: &sdp::Format) -> Vec<(String, &str)> {
    let all = format.fmtp.iter().flat_map(|fmtp| fmtp.iter());
    let mut all: Vec<_> = all.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    all.sort();
    all
}

/// Between two looks at the last picture, for players that give up without one (VLC: 10 s).
const PICTURE_EVERY: Duration = Duration::from_secs(5);
/// The fixed header (RFC 3550 section 5.1).
const RTP_HEADER: usize = 12;
