//! The client itself: what goes in, what comes out, and when.

mod advance;
mod answers;
mod ending;
mod media;
mod multicast;
mod promises;
mod reading;
mod requests;
mod setup;
mod tunnel;
mod wanted;
mod wishes;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtp_rtcp::Now;
use rtsp_proto::auth::{ClientAuth, Credentials};
use rtsp_proto::transport::Lower;
use rtsp_proto::url::{RtspUrl, Scheme};
use rtsp_proto::{Decoder, redact};
use smallvec::SmallVec;

use crate::backoff::Backoff;
use crate::exchange::Exchanges;
use crate::keepalive::KeepAlive;
use crate::quirk::QuirkCounts;
use crate::rng::Rng;
use crate::session::{Orphan, Session};
use crate::state::{Doing, State};
use crate::{Demand, Event, Input, LostReason, Options, Output, Phase, Quirk, TransportChoice};

/// One backend, pulled. See the [crate] for what a shell owes it.
#[derive(Debug)]
pub struct BackendClient {
    options: Options,
    rng: Rng,
    state: State,
    demand: Demand,
    link: Link,
    exchanges: Exchanges,
    backoff: Backoff,
    keepalive: KeepAlive,
    /// Where the attempt goes: the source, or where it redirected us.
    target: RtspUrl,
    /// How often it did, since media came for a while or the attempt began.
    redirects: u8,
    auth: Option<ClientAuth>,
    /// The same for the web server of a tunnel.
    tunnel_auth: Option<ClientAuth>,
    /// How media is asked for; once it is TCP for a reason it stays so.
    lower: Lower,
    /// UDP brought something once: silence is not UDP's fault any more.
    udp_proven: bool,
    /// The shell holds UDP sockets for us.
    udp_bound: bool,
    pause: Pause,
    /// The latest instant that was told.
    latest: Instant,
    /// The latest response.
    heard_at: Instant,
    /// Readers wait for the backend to come back.
    held: bool,
    /// The connection that was just closed had said nothing.
    unheard: bool,
    /// Until when media goes on without demand.
    lingers: Option<Instant>,
    /// The tracks that readers want, if that matters.
    wanted: Vec<usize>,
    /// The backend does not let a session grow.
    no_late_setup: bool,
    /// Sessions in a row that ended when they would without keep-alives.
    ended_on_time: u8,
    /// A session that lost its connection.
    orphan: Option<Orphan>,
    /// When the latest session ended, and how much media came since.
    rested_at: Instant,
    strays: u32,
    /// A session was forgotten at PLAY, and set up anew, since media last came.
    play_retried: bool,
    quirks: QuirkCounts,
    stats: Stats,
    outputs: VecDeque<Output>,
    /// Said on the tracks before TEARDOWN.
    goodbye: Option<Bytes>,
    shut_down: bool,
}

/// The connection.
#[derive(Debug)]
enum Link {
    Closed,
    /// The shell opens it; by then it must have said how that went.
    Opening {
        since: Instant,
        until: Instant,
    },
    Open(Box<OpenLink>),
}

#[derive(Debug)]
struct OpenLink {
    decoder: Decoder,
    peer: IpAddr,
    /// Requests the backend has made within what was read at once.
    requests: usize,
    /// The beginning of a message that may have to do without its end.
    held: BytesMut,
    /// When it will have to.
    silent_at: Option<Instant>,
    /// A session has ended on it: some backends close it then.
    used: bool,
    /// A response came over it.
    answered: bool,
    /// The sources of media that came before anything was set up.
    stale: SmallVec<[u32; 2]>,
    /// RTSP goes through HTTP.
    tunnel: Option<Box<tunnel::Tunnel>>,
    /// By then the tunnel must stand.
    opened_by: Option<Instant>,
}

/// Whether PAUSE can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    Untold,
    /// `Public` lists it, or it worked.
    Offered,
    /// `Public` lacks it.
    Unlisted,
    /// It was refused or not obeyed: never again.
    Broken,
}

/// What became of what arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Attempts begun.
    pub attempts: u64,
    /// RTP packets given as events.
    pub packets: u64,
    /// Octets of them.
    pub octets: u64,
    /// Packets dropped because nobody wanted them then: before PLAY, after PAUSE.
    pub unwanted: u64,
    /// Datagrams dropped because another host sent them.
    pub foreign: u64,
    /// Interleaved frames dropped because no track has their channel.
    pub unknown_channel: u64,
    /// Packets dropped because they are neither RTP nor RTCP.
    pub malformed: u64,
    /// Times that our credentials were rejected.
    pub rejected: u64,
}

impl BackendClient {
    /// Begins the first attempt. The seed decides jitter and client nonces: a secret one where
    /// digest authentication matters.
    pub fn new(now: Now, options: Options, seed: u64) -> Self {
        let options = options.bounded();
        let mut client = Self {
            rng: Rng::new(seed),
            state: State::Finished,
            demand: Demand::Idle,
            link: Link::Closed,
            exchanges: Exchanges::default(),
            backoff: Backoff::new(now.mono, 1 + options.alternates.len()),
            keepalive: KeepAlive::new(now.mono, options.keep_alive),
            target: options.url.clone(),
            redirects: 0,
            auth: None,
            tunnel_auth: None,
            latest: now.mono,
            lower: match options.transport {
                TransportChoice::Auto | TransportChoice::Udp | TransportChoice::Multicast => {
                    Lower::Udp
                }
                TransportChoice::Tcp | TransportChoice::Http => Lower::Tcp,
            },
            udp_proven: false,
            udp_bound: false,
            pause: Pause::Untold,
            heard_at: now.mono,
            held: false,
            unheard: false,
            lingers: None,
            wanted: Vec::new(),
            no_late_setup: false,
            ended_on_time: 0,
            orphan: None,
            rested_at: now.mono,
            strays: 0,
            play_retried: false,
            quirks: QuirkCounts::default(),
            stats: Stats::default(),
            outputs: VecDeque::new(),
            goodbye: None,
            shut_down: false,
            options,
        };
        client.tell_odd_urls();
        if client.options.start_spread.is_zero() {
            client.begin_attempt(now.mono);
        } else {
            let spread = client.options.start_spread;
            let retry = client.backoff.start(now.mono, spread, &mut client.rng);
            client.state = State::Waiting(retry);
        }
        client
    }

    /// Whether it is shut down and over.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Takes what the shell has to tell.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        let now = now.mono;
        self.latest = now;
        match input {
            Input::Queued => self.await_turn(now, MAX_QUEUED),
            Input::Dialling if matches!(self.link, Link::Opening { .. }) => {
                self.backoff.begin(now);
                self.await_turn(now, self.allowance());
            }
            Input::Dialling => {}
            Input::Locked { until } => {
                if matches!(self.link, Link::Opening { .. }) {
                    self.link = Link::Closed;
                    self.backoff.lock(until);
                    self.lose(now, LostReason::CredentialsRejected);
                }
            }
            Input::Connected { local: _, peer } => self.on_connected(now, peer.ip()),
            Input::ConnectFailed { why } => {
                if matches!(self.link, Link::Opening { .. }) {
                    self.link = Link::Closed;
                    self.lose(now, LostReason::NoConnection { why });
                }
            }
            Input::Stream(bytes) => self.on_stream(now, bytes),
            Input::Closed { why } => self.on_closed(now, why),
            Input::PostConnected => self.on_post_connected(),
            Input::PostFailed { why } => self.on_post_failed(now, why),
            // An answer to the POST says nothing that the GET does not.
            Input::PostStream(bytes) => bytes.clear(),
            Input::PostClosed => self.on_post_closed(),
            Input::UdpBound { track, rtp_port } => self.on_udp_bound(now, track, rtp_port),
            Input::UdpBindFailed { track, why } => self.on_udp_bind_failed(now, track, why),
            Input::Datagram { track, rtcp, from, data } => {
                self.on_datagram(now, track, rtcp, from, data);
            }
        }
        self.advance(now);
    }

    /// Does what has become due. Calling it early does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        self.latest = now;
        if let Link::Opening { until, .. } = self.link
            && until <= now
        {
            let why = "no connection within the time allowed".to_owned();
            self.lose(now, LostReason::NoConnection { why });
        }
        if let Link::Open(link) = &self.link
            && link.silent_at.is_some_and(|at| at <= now)
        {
            self.read_unfinished(now);
        }
        self.check_tunnel(now);
        if self.exchanges.overdue(now) && matches!(self.state, State::Describing) {
            // With a Content-Length too large, all of the answer may be there.
            self.read_unfinished(now);
        }
        if self.exchanges.overdue(now) {
            self.on_unanswered(now);
        }
        match &self.state {
            State::Waiting(retry) if retry.at <= now => self.begin_attempt(now),
            State::SettingUp(..) | State::Adding(..)
                if self.binding_until().is_some_and(|until| until <= now) =>
            {
                let why = "no ports were bound within the time allowed".to_owned();
                self.lose(now, LostReason::Local { why });
            }
            State::Playing(..) | State::Adding(..) => self.watch(now),
            _ => {}
        }
        self.advance(now);
    }

    /// When [`Self::handle_timeout`] is to be called next. `None` when finished, and with
    /// [`crate::IdlePolicy::Close`] while the connection is closed because nobody needs it.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Opening { until, .. } => Some(until),
            Link::Open(ref link) => {
                let post = link.tunnel.as_ref().and_then(|tunnel| tunnel.deadline());
                [link.silent_at, link.opened_by, post].into_iter().flatten().min()
            }
            Link::Closed => None,
        };
        let keepalive = self.exchanges.is_idle().then(|| self.keepalive.at());
        let state = match &self.state {
            State::Waiting(retry) => Some(retry.at),
            State::Described(_) if !self.is_open() && self.is_retired() => None,
            State::Described(_) | State::Ready(..) => keepalive,
            State::SettingUp(..) => self.binding_until(),
            State::Playing(session, play) | State::Adding(session, play, _) => {
                let silence = self.silence_told_at().map(|(_, at)| at);
                // What is under way comes first, and has a deadline of its own.
                let free = matches!(self.state, State::Playing(..)) && self.exchanges.is_idle();
                let keepalive = keepalive.filter(|_| free);
                let lingers = self.lingers.filter(|_| free && self.demand < Demand::Playing);
                let bound = self.binding_until();
                [keepalive, play.prove_by, self.silent_at(session, play), silence, lingers, bound]
                    .into_iter()
                    .flatten()
                    .min()
            }
            _ => None,
        };
        [link, self.exchanges.deadline(), state].into_iter().flatten().min()
    }

    /// What the shell is to do next; to be called until it gives nothing, after every other call.
    #[must_use]
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Where it stands.
    pub fn state(&self) -> Phase {
        self.state.phase()
    }

    /// How media comes or would be asked for now.
    pub fn lower(&self) -> Lower {
        match self.state.session() {
            Some(session) if !session.tracks.is_empty() && !session.has_udp() => Lower::Tcp,
            _ => self.lower,
        }
    }

    /// Failures in a row, each of which made the wait longer.
    pub fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    /// Until when nothing is sent to the backend because it rejected our credentials twice.
    pub fn locked_until(&self) -> Option<Instant> {
        self.backoff.locked_until()
    }

    /// What may be shown to the target: our credentials are for the source's host alone, unless
    /// it is said otherwise.
    pub fn credentials(&self) -> Option<&Credentials> {
        let (url, known) = self.options.source(self.backoff.source());
        let same_host = self.target.host.eq_ignore_ascii_case(&url.host);
        known.filter(|_| same_host || self.options.credentials_elsewhere)
    }

    /// What became of what arrived.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How often a departure from the protocol was made up for.
    pub fn quirk_count(&self, quirk: Quirk) -> u64 {
        self.quirks.of(quirk)
    }

    /// All departures from the protocol that were made up for, by their names, and how often: quirks
    /// and what was repaired in messages and descriptions.
    pub fn quirks(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.quirks.seen()
    }

    /// Begins an attempt from the source's own URL.
    fn begin_attempt(&mut self, now: Instant) {
        self.stats.attempts += 1;
        let (url, _) = self.options.source(self.backoff.source());
        self.target = url.clone();
        self.redirects = 0;
        self.connect(now);
    }

    /// Opens a connection to the target, to describe it.
    fn connect(&mut self, now: Instant) {
        self.backoff.begin(now);
        self.exchanges.restart();
        self.auth = self.client_auth();
        self.tunnel_auth = None;
        if self.pause != Pause::Broken {
            self.pause = Pause::Untold;
        }
        let deadline = self.patience();
        self.link = Link::Opening { since: now, until: now + self.allowance() };
        self.state = State::Describing;
        self.outputs.push_back(Output::Connect {
            host: self.target.host.clone(),
            port: self.port(),
            tls: is_tls(&self.target),
            deadline,
        });
    }

    /// How long a connection attempt may take.
    fn patience(&self) -> Duration {
        let usual = self.options.connect_timeout;
        match (self.held, is_tls(&self.target)) {
            (false, _) => usual,
            (true, false) => usual.min(HELD_CONNECT),
            (true, true) => usual.min(HELD_HANDSHAKE),
        }
    }

    /// Passwords may hold what also ends a host: the operator is told how that was read.
    fn tell_odd_urls(&mut self) {
        for number in 0..=self.options.alternates.len() {
            let (url, _) = self.options.source(number);
            if url.odd_user_info {
                let host = url.authority();
                self.event(Event::Warning(format!(
                    "in the URL of source {} all up to the last @ before {host} is read as user \
                     name and password, though it holds / or #",
                    number + 1
                )));
            }
        }
    }

    fn client_auth(&mut self) -> Option<ClientAuth> {
        let known = self.credentials().cloned();
        known.map(|known| ClientAuth::new(known, self.rng.bits()))
    }

    /// When the shell must have said how an attempt went: while readers are held not a moment later
    /// than it was given.
    fn allowance(&self) -> Duration {
        self.patience() + if self.held { Duration::ZERO } else { CONNECT_GRACE }
    }

    fn await_turn(&mut self, now: Instant, patience: Duration) {
        if let Link::Opening { since, until } = &mut self.link {
            (*since, *until) = (now, now + patience);
        }
    }

    /// By when the shell must have bound ports, or joined a group.
    fn binding_until(&self) -> Option<Instant> {
        match self.state.step()?.1.doing {
            Doing::Binding { until } | Doing::Joining { until } => Some(until),
            _ => None,
        }
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn tolerate(&mut self, quirk: Quirk, detail: impl FnOnce() -> String) {
        if self.quirks.count(quirk) {
            self.event(Event::Tolerated { quirk, detail: detail() });
        }
    }

    fn dialogue(&mut self, sent: bool, message: impl FnOnce() -> Bytes) {
        if self.options.dialogue {
            let text = redact(&message());
            self.event(Event::Dialogue { sent, text });
        }
    }

    fn is_open(&self) -> bool {
        match &self.link {
            Link::Open(link) => link.tunnel.as_ref().is_none_or(|tunnel| tunnel.is_open()),
            _ => false,
        }
    }

    /// When silence has lasted too long.
    fn silent_at(&self, session: &Session, play: &crate::state::Play) -> Option<Instant> {
        let gap = self.options.max_packet_gap.filter(|_| session.is_watched())?;
        let latest = session.last_counted.map_or(play.since, |at| at.max(play.since));
        Some(latest + gap)
    }
}

fn is_tls(url: &RtspUrl) -> bool {
    matches!(url.scheme, Scheme::Rtsps)
}

/// How long a TEARDOWN may take at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long an attempt may wait for its turn.
const MAX_QUEUED: Duration = Duration::from_secs(60);
/// How long a connection attempt may take while readers are held.
const HELD_CONNECT: Duration = Duration::from_secs(1);
/// The same where TLS is part of it: a camera takes its time over a handshake.
const HELD_HANDSHAKE: Duration = Duration::from_secs(3);
/// The shell keeps the deadline of a connection attempt itself, and knows better why it failed.
const CONNECT_GRACE: Duration = Duration::from_secs(1);
