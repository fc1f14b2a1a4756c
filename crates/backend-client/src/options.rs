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
            max_packet_gap: Some(Duration::from_secs(10)),
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            no_packets_after_play: Duration::from_secs(3),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            retry_unauthorized: Duration::from_secs(300),
            user_agent: String::new(),
            keep_alive: KeepAliveMethod::default(),
            limits: Limits::default(),
            allowed: AllowedMedia::default(),
            dialogue: false,
        }
    }

    /// With no time so long that adding it to an instant could fail.
    pub(crate) fn bounded(mut self) -> Self {
        for time in [
            &mut self.request_timeout,
            &mut self.connect_timeout,
            &mut self.no_packets_after_play,
            &mut self.retry_min,
            &mut self.retry_max,
            &mut self.retry_unauthorized,
        ] {
            *time = (*time).min(LONGEST);
        }
        // No limit and one of years are the same.
        self.max_packet_gap = self.max_packet_gap.filter(|gap| *gap < LONGEST);
        self
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

/// About a year.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
