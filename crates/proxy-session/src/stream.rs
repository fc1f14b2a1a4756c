//! The stream: one backend, its tracks, and the readers' wishes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_client::{BackendClient, Demand, Input};
use fan_out::{TrackId, TrackMask, WireBatch, WireBatchBuilder};
use rtp_rtcp::{Now, RtpTime, Ssrc};
use rtsp_proto::StatusCode;
use time_normalizer::Timeline;

use crate::asks::{Ask, ReaderId, Ticket};
use crate::description::Description;
use crate::options::StreamOptions;
use crate::output::Output;
use crate::rng::Rng;
use crate::status::{StreamState, StreamStatus, TrackStatus};
use crate::track::Track;

/// One proxied stream. See the crate's documentation.
#[derive(Debug)]
pub struct Stream {
    pub(crate) name: Arc<str>,
    pub(crate) options: StreamOptions,
    pub(crate) client: BackendClient,
    pub(crate) timeline: Timeline,
    pub(crate) cname: String,
    pub(crate) origin: u64,
    pub(crate) versions: u64,
    pub(crate) description: Option<Arc<Description>>,
    /// By place in the backend's description; a track keeps its numbers over new descriptions.
    pub(crate) tracks: Vec<Option<Track>>,
    pub(crate) rng: Rng,
    pub(crate) readers: HashMap<ReaderId, Interest>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) demand: Demand,
    /// Tracks whose SETUP the backend has answered.
    pub(crate) ready: TrackMask,
    pub(crate) playing: bool,
    pub(crate) builder: WireBatchBuilder,
    pub(crate) building: Option<usize>,
    /// Track and timestamp of the key unit that the batch under construction names.
    pub(crate) key_unit: Option<(usize, RtpTime)>,
    pub(crate) next_receiver_report: Option<Instant>,
    /// What the backend sent before the reader that started it had joined.
    pub(crate) held: Option<Held>,
    pub(crate) receiver_ssrc: Ssrc,
    pub(crate) out: VecDeque<Output>,
}

/// Batches that wait for the reader that started the backend: its first picture may be among
/// them, since media can overtake the answer to PLAY.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) batches: Vec<Arc<WireBatch>>,
    pub(crate) bytes: usize,
    /// They wait no longer than that.
    pub(crate) until: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Interest {
    pub(crate) playing: bool,
}

#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) reader: ReaderId,
    pub(crate) ask: Ask,
    pub(crate) until: Instant,
}

impl Stream {
    /// A stream that begins to describe its backend at once.
    #[must_use]
    pub fn new(now: Now, name: &str, options: StreamOptions, seed: u64) -> Self {
        let mut rng = Rng(seed);
        let client = BackendClient::new(now, options.backend.clone(), rng.next());
        let mut this = Self {
            name: Arc::from(name),
            client,
            timeline: Timeline::new(now, rng.next()),
            // Random, not the host's name (RFC 7022).
            cname: format!("{:016x}", rng.next()),
            // Fits the signed 64-bit numbers that some players parse `o=` with.
            origin: rng.next() >> 1,
            versions: 0,
            description: None,
            tracks: Vec::new(),
            receiver_ssrc: Ssrc(rng.next() as u32),
            rng,
            readers: HashMap::new(),
            waiting: Vec::new(),
            demand: Demand::Idle,
            ready: TrackMask::EMPTY,
            playing: false,
            builder: WireBatchBuilder::new(TrackId(0)),
            building: None,
            key_unit: None,
            next_receiver_report: None,
            held: None,
            out: VecDeque::new(),
            options,
        };
        this.drain_client(now, false);
        this
    }

    /// The stream's name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The CNAME of the stream's sender reports (RFC 3550 section 6.5.1).
    #[must_use]
    pub fn cname(&self) -> &str {
        &self.cname
    }

    /// The description that readers get now.
    #[must_use]
    pub fn description(&self) -> Option<&Arc<Description>> {
        self.description.as_ref()
    }

    /// Takes what came from the backend's sockets. What one wake-up brought is passed in by any
    /// number of calls, followed by one [`Self::flush`].
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        let udp = matches!(input, Input::Datagram { .. });
        self.client.handle(now, input);
        self.drain_client(now, udp);
    }

    /// Publishes what has been gathered since the last call.
    pub fn flush(&mut self, now: Now) {
        self.building = None;
        self.key_unit = None;
        if let Some(batch) = self.builder.finish(now.mono) {
            self.publish(batch);
        }
    }

    /// A reader has joined an audience: what was kept for the first one flows.
    pub fn joined(&mut self) {
        if let Some(held) = self.held.take() {
            self.out.extend(held.batches.into_iter().map(Output::Publish));
        }
    }

    /// Answers a reader's question, now or when the backend has answered.
    pub fn ask(&mut self, now: Now, ticket: Ticket, reader: ReaderId, ask: Ask) {
        match ask {
            Ask::Describe => {}
            Ask::SetUp { track } => {
                if self.description.as_ref().is_some_and(|d| d.track(track).is_none()) {
                    let why = format!("the stream has no track {}", u16::from(track.0) + 1);
                    return self.refuse(ticket, StatusCode::NOT_FOUND, None, why);
                }
                let full = self.readers.len() >= self.options.max_readers;
                if full && !self.readers.contains_key(&reader) {
                    let why = "the stream has as many readers as it may have (max_readers)";
                    let status = StatusCode::NOT_ENOUGH_BANDWIDTH;
                    return self.refuse(ticket, status, Some(RETRY_AFTER), why.to_owned());
                }
                self.readers.entry(reader).or_insert(Interest { playing: false });
            }
            Ask::Play { .. } => {
                self.readers.insert(reader, Interest { playing: true });
            }
        }
        self.update_demand(now);
        if let Some(reply) = self.answer_now(now, ask) {
            self.out.push_back(Output::Reply { to: ticket, reply });
        } else if self.waiting.len() >= self.options.max_waiting {
            let why = "too many readers wait for this backend".to_owned();
            self.refuse(ticket, StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(1)), why);
        } else {
            let until = now.mono + self.options.answer_deadline;
            self.waiting.push(Waiting { ticket, reader, ask, until });
            if self.description.is_none() {
                self.client.retry_now(now);
            }
        }
        self.drain_client(now, false);
    }

    /// A reader wants no media for the moment, but keeps its session.
    pub fn pause(&mut self, now: Now, reader: ReaderId) {
        if let Some(interest) = self.readers.get_mut(&reader) {
            interest.playing = false;
        }
        self.update_demand(now);
        self.drain_client(now, false);
    }

    /// A reader is gone, with whatever it was waiting for.
    pub fn leave(&mut self, now: Now, reader: ReaderId) {
        self.waiting.retain(|w| w.reader != reader || w.ask == Ask::Describe);
        if self.readers.remove(&reader).is_some() {
            self.update_demand(now);
            self.drain_client(now, false);
        }
    }

    /// Ends the backend session, with TEARDOWN where there is one.
    pub fn shutdown(&mut self, now: Now) {
        self.client.shutdown(now);
        self.drain_client(now, false);
    }

    /// Whether everything for the backend has been said after [`Self::shutdown`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.client.is_finished()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.client.handle_timeout(now);
        self.drain_client(now, false);
        for index in 0..self.tracks.len() {
            self.relay_track(now, index);
        }
        self.flush(now);
        if self.held.as_ref().is_some_and(|held| held.until <= now.mono) {
            self.joined();
        }
        self.send_reports(now);
        self.send_receiver_reports(now);
        let (due, rest): (Vec<_>, Vec<_>) =
            self.waiting.drain(..).partition(|w| w.until <= now.mono);
        self.waiting = rest;
        for late in due {
            let why = "the backend did not answer in time".to_owned();
            self.drop_refused(late.reader, late.ask);
            self.refuse(late.ticket, StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_AFTER), why);
        }
        self.update_demand(now);
        self.drain_client(now, false);
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let reports = self.tracks.iter().flatten().filter_map(|t| {
            let report = if self.playing { t.schedule.poll_timeout() } else { None };
            [report, t.poll_timeout()].into_iter().flatten().min()
        });
        reports
            .chain(self.client.poll_timeout())
            .chain(self.waiting.iter().map(|w| w.until).min())
            .chain(self.next_receiver_report)
            .chain(self.held.as_ref().map(|held| held.until))
            .min()
    }

    /// The next thing for the shell to do.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// How the stream is.
    #[must_use]
    pub fn status(&self) -> StreamStatus {
        let state = match (&self.description, self.demand, self.playing) {
            (None, _, _) => StreamState::Connecting,
            (Some(_), Demand::Idle, _) => StreamState::Idle,
            (Some(_), Demand::Playing, true) => StreamState::Playing,
            (Some(_), _, _) => StreamState::Starting,
        };
        let tracks: Vec<TrackStatus> = self
            .tracks
            .iter()
            .flatten()
            .map(|t| {
                let (packets, lost) = t.packets_and_lost();
                TrackStatus { track: t.id, packets, lost, too_large: t.too_large }
            })
            .collect();
        StreamStatus {
            state,
            codecs: self.description.as_ref().map(|d| d.summary()).unwrap_or_default(),
            readers: self.readers.len(),
            playing: self.readers.values().filter(|i| i.playing).count(),
            octets: self.tracks.iter().flatten().map(|t| t.received_octets).sum(),
            tracks,
        }
    }

    pub(crate) fn track(&self, track: TrackId) -> Option<&Track> {
        self.tracks.get(usize::from(track.0))?.as_ref()
    }
}

/// What a reader is told to wait after a refusal whose end is not known.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(5);
