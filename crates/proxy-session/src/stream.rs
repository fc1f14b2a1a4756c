//! The stream: one backend, its tracks, and the readers' wishes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use backend_client::{BackendClient, Demand, Input, TrackChoice};
use fan_out::{Meter, TrackId, TrackMask, WireBatchBuilder};
use rtp_rtcp::{ClockRate, Now, ReceiverSchedule, RtpTime, Ssrc};
use rtsp_proto::StatusCode;
use rtsp_proto::auth::Credentials;
use sdp::Presentation;
use time_normalizer::{Timeline, TrackIndex};

use crate::asks::ReaderId;
use crate::backend::RETRY_AFTER;
use crate::description::Description;
use crate::first_source::FirstSource;
use crate::options::StreamOptions;
use crate::outage::Outage;
use crate::output::Output;
use crate::readers::{Interest, Waiting};
use crate::relay::Held;
use crate::renditions::Datagrams;
use crate::rng::Rng;
use crate::set_up::SetUp;
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
    /// What that was made of: the backend's description, with the formats that readers get.
    pub(crate) told: Option<Presentation>,
    /// By place in the backend's description; a track keeps its numbers over new descriptions.
    pub(crate) tracks: Vec<Option<Track>>,
    /// The timeline's tracks, by media section and clock.
    pub(crate) clocks: Vec<(TrackId, ClockRate, TrackIndex)>,
    pub(crate) rng: Rng,
    pub(crate) readers: HashMap<ReaderId, Interest>,
    /// What goes to readers over UDP, where that is limited and there are any.
    pub(crate) datagrams: Datagrams,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) demand: Demand,
    pub(crate) set_up: SetUp,
    /// Whether the description is that of the present attempt, rather than of one that failed
    /// since.
    pub(crate) is_available: bool,
    /// Whether the backend has agreed to PLAY since somebody last began to want media.
    pub(crate) is_playing: bool,
    pub(crate) first_source: FirstSource,
    /// From when a backend with readers is lost until media flows again.
    pub(crate) outage: Option<Outage>,
    /// The tracks that the backend was asked for, where that is chosen by readers.
    pub(crate) wanted: TrackMask,
    pub(crate) is_shut_down: bool,
    pub(crate) builder: WireBatchBuilder,
    pub(crate) building: Option<usize>,
    /// Track and timestamp of the key unit that the batch under construction names.
    pub(crate) key_unit: Option<(usize, RtpTime)>,
    pub(crate) receiver_reports: ReceiverSchedule,
    /// What the backend sent before the reader that started it had joined.
    pub(crate) held: Option<Held>,
    pub(crate) receiver_ssrc: Ssrc,
    pub(crate) out: VecDeque<Output>,
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
            timeline: Timeline::with_options(now, rng.next(), options.time),
            // Random, not the host's name (RFC 7022).
            cname: format!("{:016x}", rng.next()),
            // Fits the signed 64-bit numbers that some players parse `o=` with.
            origin: rng.next() >> 1,
            versions: 0,
            description: None,
            told: None,
            tracks: Vec::new(),
            clocks: Vec::new(),
            receiver_ssrc: Ssrc(rng.next() as u32),
            receiver_reports: ReceiverSchedule::new(rng.next()),
            rng,
            readers: HashMap::new(),
            datagrams: Datagrams::default(),
            waiting: Vec::new(),
            demand: Demand::Idle,
            set_up: SetUp::new(options.backend.tracks == TrackChoice::Requested),
            first_source: FirstSource::new(),
            outage: None,
            wanted: TrackMask::EMPTY,
            is_available: false,
            is_playing: false,
            is_shut_down: false,
            builder: WireBatchBuilder::new(TrackId(0)),
            building: None,
            key_unit: None,
            held: None,
            out: VecDeque::new(),
            options,
        };
        this.client.set_goodbye(this.goodbye());
        this.update_demand(now);
        this.drain_client(now, false);
        this
    }

    /// Counts the batches made from here on in `meter`, for as long as anybody holds them.
    pub fn count_in(&mut self, meter: Arc<Meter>) {
        self.builder = WireBatchBuilder::metered(TrackId(0), meter);
        self.building = None;
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

    /// Ends the backend session, with TEARDOWN where there is one.
    pub fn shutdown(&mut self, now: Now) {
        self.is_shut_down = true;
        self.outage = None;
        let why = "the proxy is shutting down";
        self.refuse_all_waiting(StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, why);
        self.client.shutdown(now);
        self.drain_client(now, false);
    }

    /// Whether everything for the backend has been said after [`Self::shutdown`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.client.is_finished()
    }

    /// What the backend is shown, and how often it has rejected it.
    #[must_use]
    pub fn credentials(&self) -> Option<(&Credentials, u64)> {
        Some((self.client.credentials()?, self.client.stats().rejected))
    }

    /// Until when the backend, which has refused our credentials, is not asked again.
    #[must_use]
    pub fn locked_until(&self) -> Option<Instant> {
        self.client.locked_until()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.client.handle_timeout(now);
        self.drain_client(now, false);
        for index in 0..self.tracks.len() {
            self.relay_track(now, index);
            self.way_timeout(now, index);
        }
        self.flush(now);
        if self.held.as_ref().is_some_and(|held| held.until <= now.mono) {
            self.joined();
        }
        self.timeline.handle_timeout(now);
        self.outage_timeout(now);
        self.look_for_first_source(now);
        self.say_goodbyes(now);
        self.send_reports(now);
        self.send_receiver_reports(now);
        if self.waiting.iter().any(|w| w.until <= now.mono) {
            let is_late = |w: &Waiting| w.until <= now.mono;
            let why = "the backend did not answer in time";
            self.refuse_waiting(is_late, StatusCode::SERVICE_UNAVAILABLE, RETRY_AFTER, why);
        }
        self.update_demand(now);
        self.drain_client(now, false);
        self.tell_of_time();
    }

    /// When [`Self::handle_timeout`] is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_reporting = self.is_reporting();
        let reports = self.tracks.iter().flatten().filter_map(|t| {
            let report = t.schedule.poll_timeout().filter(|_| is_reporting && !t.has_ended);
            let request = t.poll_key_request().filter(|_| self.is_playing && !t.has_ended);
            [report, request, t.goodbye_at, t.poll_timeout()].into_iter().flatten().min()
        });
        reports
            .chain(self.client.poll_timeout())
            .chain(self.waiting.iter().map(|w| w.until).min())
            .chain(self.receiver_reports.poll_timeout())
            .chain(self.timeline.poll_timeout())
            .chain(self.held.as_ref().map(|held| held.until))
            .chain(self.outage.map(|outage| outage.poll_timeout()))
            .chain(self.first_source.poll_timeout())
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
        let state = match (self.is_available, self.demand, self.is_playing) {
            _ if self.outage.is_some() => StreamState::Held,
            (false, _, _) => StreamState::Connecting,
            (true, Demand::Idle, _) => StreamState::Idle,
            (true, Demand::Ready, _) => StreamState::Ready,
            (true, Demand::Playing, true) => StreamState::Playing,
            (true, Demand::Playing, false) => StreamState::Starting,
        };
        let tracks: Vec<TrackStatus> = self
            .tracks
            .iter()
            .flatten()
            .map(|t| {
                let (packets, lost) = t.packets_and_lost();
                let held_back = t.way_status();
                TrackStatus {
                    track: t.id,
                    packets,
                    lost,
                    too_large: t.too_large,
                    malformed: t.malformed + held_back.unreadable,
                    bad_reports: t.bad_reports,
                    relayed: t.relayed,
                    made: t.made,
                    relayed_udp: t.datagram_counts().relayed,
                    made_udp: t.datagram_counts().made,
                    dropped_udp: t.datagram_counts().dropped,
                    units_too_large: held_back.units_too_large
                        + t.datagram_counts().units_too_large,
                    units_dropped: held_back.units_dropped,
                }
            })
            .collect();
        StreamStatus {
            state,
            codecs: self.description.as_ref().map(|d| d.summary()).unwrap_or_default(),
            readers: self.readers.len(),
            playing: self.readers.values().filter(|i| i.wants).count(),
            octets: self.tracks.iter().flatten().map(|t| t.received_octets).sum(),
            tracks,
        }
    }

    pub(crate) fn track(&self, track: TrackId) -> Option<&Track> {
        self.tracks.get(usize::from(track.0))?.as_ref()
    }
}
