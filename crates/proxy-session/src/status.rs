//! What an operator sees of a stream.

use fan_out::TrackId;

/// How a stream is at one moment.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// What the stream is doing.
    pub state: StreamState,
    /// Codecs of the tracks, as `video H264, audio PCMU`; empty before the first description.
    pub codecs: String,
    /// Readers that have set up at least one track.
    pub readers: usize,
    /// Readers that are playing.
    pub playing: usize,
    /// Bytes of media received from the backend since the start.
    pub octets: u64,
    /// Per track.
    pub tracks: Vec<TrackStatus>,
}

/// The counters of one track, since the start of the stream.
#[derive(Clone, Copy, Debug)]
pub struct TrackStatus {
    /// The track.
    pub track: TrackId,
    /// Packets received in this backend session.
    pub packets: u64,
    /// Packets that never came in this backend session.
    pub lost: u64,
    /// Packets too large to be relayed, since the start.
    pub too_large: u64,
    /// Packets that could not be read as RTP, or where they are taken apart, as their format
    /// demands, since the start.
    pub malformed: u64,
    /// RTCP packets that were refused, since the start.
    pub bad_reports: u64,
    /// Packets that went to readers as the backend made them, since the start.
    pub relayed: u64,
    /// Packets that were made here, since the start.
    pub made: u64,
    /// Packets that went to readers over UDP alone, because these get others than those over TCP,
    /// as the backend made them, since the start.
    pub relayed_udp: u64,
    /// The same, made here.
    pub made_udp: u64,
    /// Packets that were too large for any datagram, and could not be cut.
    pub dropped_udp: u64,
    /// Access units above [`StreamOptions::max_unit`](crate::StreamOptions::max_unit), since the
    /// description.
    pub units_too_large: u64,
    /// Access units that [`StreamOptions::on_loss`](crate::StreamOptions::on_loss) let not pass,
    /// since the description.
    pub units_dropped: u64,
}

/// What a stream is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamState {
    /// The backend has not answered yet, or no longer does; attempts go on.
    Connecting,
    /// The same, and readers wait for it to come back.
    Held,
    /// Described; nobody is watching.
    Idle,
    /// Readers are there, and none plays: they have yet to, or have paused.
    Ready,
    /// Readers play; the backend is being set up or asked to play.
    Starting,
    /// Media is wanted, and the backend has agreed to send it.
    Playing,
}

impl StreamState {
    /// One word for a log line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Held => "held",
            Self::Idle => "idle",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Playing => "playing",
        }
    }
}
