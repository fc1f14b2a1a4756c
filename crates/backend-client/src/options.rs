use std::time::Duration;

use rtsp_proto::Limits;
use rtsp_proto::auth::Credentials;
use rtsp_proto::url::RtspUrl;
use sdp::{Media, MediaKind};

/// What one backend is pulled with. Every field is public; [`Options::new`] gives the defaults.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Where the source is. Its credentials are never sent on a request line.
    pub url: RtspUrl,
    /// Goes before the credentials in the URL.
    pub credentials: Option<Credentials>,
    /// How media is asked for.
    pub transport: TransportChoice,
    /// The port of the HTTP tunnel, for [`TransportChoice::Http`]; `None` is the URL's own.
    pub http_port: Option<u16>,
    /// How long the video tracks (all tracks, where there is no video) may be silent while
    /// playing before the session is given up; `None` never gives it up. Default 10 s.
    pub max_packet_gap: Option<Duration>,
    /// The deadline of every request. Default 10 s.
    pub request_timeout: Duration,
    /// The deadline of a connection attempt. Default 5 s.
    pub connect_timeout: Duration,
    /// With [`TransportChoice::Auto`]: how long after PLAY UDP may bring nothing before TCP is
    /// tried instead. Default 3 s.
    pub no_packets_after_play: Duration,
    /// The first wait after a failure, and the least time between the beginnings of two attempts.
    /// Default 1 s.
    pub retry_min: Duration,
    /// The ceiling of the waits, which double with each failure. Default 30 s.
    pub retry_max: Duration,
    /// While readers are held ([`crate::BackendClient::set_held`]): the time between the beginnings
    /// of two attempts that find nobody, instead of the wait that doubles. Never below
    /// `retry_min`. Default 1 s.
    pub retry_held: Duration,
    /// The first attempt begins at a random point of this time, so that many streams that start
    /// together do not all connect at once; a reader who asks ends the wait. Default 0: at once.
    pub start_spread: Duration,
    /// How long media goes on after the demand for it has ended, before PAUSE or TEARDOWN.
    /// Default 0: not at all.
    pub linger: Duration,
    /// What becomes of a connection that nobody needs.
    pub idle: IdlePolicy,
    /// The wait between attempts once the backend has refused our credentials twice: cameras lock
    /// accounts. Nothing shortens it. Default 5 min.
    pub retry_unauthorized: Duration,
    /// The `User-Agent` of every request; empty sends none.
    pub user_agent: String,
    /// The method that keep-alives begin with; refusals move on from it.
    pub keep_alive: KeepAliveMethod,
    /// Bounds on what the backend may send.
    pub limits: Limits,
    /// Which media sections are pulled.
    pub allowed: AllowedMedia,
    /// Which of those are set up.
    pub tracks: TrackChoice,
    /// Where else the same stream is to be had, in the order in which that is tried once `url`
    /// fails; at most [`MAX_ALTERNATES`] are looked at. A session that brought media and was lost
    /// is followed by an attempt at `url` again.
    pub alternates: Vec<Source>,
    /// Whether our credentials are shown to other hosts that the backend redirects to. Default
    /// false: whoever can answer for the backend could collect them.
    pub credentials_elsewhere: bool,
    /// Whether every request and response is also given as [`crate::Event::Dialogue`].
    pub dialogue: bool,
}

impl Options {
    /// The defaults for a source.
    pub fn new(url: RtspUrl) -> Self {
        Self {
            url,
            credentials: None,
            transport: TransportChoice::default(),
            http_port: None,
            max_packet_gap: Some(Duration::from_secs(10)),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            no_packets_after_play: Duration::from_secs(3),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            retry_held: Duration::from_secs(1),
            start_spread: Duration::ZERO,
            linger: Duration::ZERO,
            idle: IdlePolicy::default(),
            retry_unauthorized: Duration::from_secs(300),
            user_agent: String::new(),
            keep_alive: KeepAliveMethod::default(),
            limits: Limits::default(),
            allowed: AllowedMedia::default(),
            tracks: TrackChoice::default(),
            alternates: Vec::new(),
            credentials_elsewhere: false,
            dialogue: false,
        }
    }

    /// The same for the first source alone, to be tried beside a client that plays another: a
    /// second client with these says by [`crate::Event::Described`] that the first source is well
    /// again, and can play until the stream has changed over to it.
    #[must_use]
    pub fn first_only(&self) -> Self {
        Self { alternates: Vec::new(), start_spread: Duration::ZERO, ..self.clone() }
    }

    /// With no time so long that adding it to an instant could fail.
    pub(crate) fn bounded(mut self) -> Self {
        for time in [
            &mut self.request_timeout,
            &mut self.connect_timeout,
            &mut self.no_packets_after_play,
            &mut self.retry_min,
            &mut self.retry_max,
            &mut self.retry_held,
            &mut self.start_spread,
            &mut self.linger,
            &mut self.retry_unauthorized,
        ] {
            *time = (*time).min(LONGEST);
        }
        self.alternates.truncate(MAX_ALTERNATES);
        // No limit and one of years are the same.
        self.max_packet_gap = self.max_packet_gap.filter(|gap| *gap < LONGEST);
        self
    }

    /// The same for the source with this number: 0 is `url`, others are the alternates.
    pub(crate) fn source(&self, number: usize) -> (&RtspUrl, Option<&Credentials>) {
        match number.checked_sub(1).and_then(|place| self.alternates.get(place)) {
            Some(source) => {
                (&source.url, source.credentials.as_ref().or(source.url.credentials.as_ref()))
            }
            None => (&self.url, self.credentials.as_ref().or(self.url.credentials.as_ref())),
        }
    }

    /// Whether a media section is pulled: carried in RTP, not encrypted (SRTP is not understood),
    /// not a back-channel, and of an allowed kind.
    pub fn allows(&self, media: &Media) -> bool {
        media.is_rtp()
            && !media.is_encrypted()
            && !media.is_back_channel()
            && self.allowed.contains(&media.kind)
    }
}

/// How media is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransportChoice {
    /// UDP; TCP once the backend refused UDP or nothing came by it.
    #[default]
    Auto,
    /// UDP only.
    Udp,
    /// Interleaved on the RTSP connection only.
    Tcp,
    /// To a group only: what the backend sends there anyway costs it nothing more for us.
    Multicast,
    /// Interleaved, RTSP and all, in a tunnel over HTTP: over HTTPS where the URL is `rtsps`.
    Http,
}

/// Another place where a stream is to be had.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it is.
    pub url: RtspUrl,
    /// Goes before the credentials in the URL.
    pub credentials: Option<Credentials>,
}

/// What becomes of a connection that nobody needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdlePolicy {
    /// It is kept alive, so that the state of a backend that nobody watches is known.
    #[default]
    KeepAlive,
    /// It is closed once the backend is described, and after the last reader; the next reader
    /// begins with a description. For backends that allow few connections.
    Close,
}

/// Which tracks are set up, of those that are pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrackChoice {
    /// Every one, from the first reader on.
    #[default]
    All,
    /// Those named by [`crate::BackendClient::want_tracks`]; one that is wanted later is added.
    Requested,
}

/// Which media sections are pulled, of those that can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AllowedMedia {
    /// Every one.
    #[default]
    All,
    /// Those of these kinds.
    Kinds(Vec<MediaKind>),
}

impl AllowedMedia {
    /// Whether sections of `kind` are pulled.
    pub fn contains(&self, kind: &MediaKind) -> bool {
        match self {
            Self::All => true,
            Self::Kinds(kinds) => kinds.contains(kind),
        }
    }
}

/// What a keep-alive is sent as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAliveMethod {
    /// OPTIONS: every backend knows it, and some fail over the others.
    #[default]
    Options,
    /// GET_PARAMETER without a body.
    GetParameter,
    /// SET_PARAMETER without a body.
    SetParameter,
}

/// How many alternates are looked at.
pub const MAX_ALTERNATES: usize = 15;
/// About a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
