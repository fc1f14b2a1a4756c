//! What a reader asks for when it joins.

use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::track::{TrackId, TrackMask};

/// Where a new reader begins.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub enum Start {
    /// With the next packet of every track, whatever it is.
    Live,
    /// With the next key unit on tracks that have key frames, from the unit's first packet; with
    /// the next packet on the others.
    #[default]
    KeyFrame,
    /// With the newest key unit that is there and not too young (as
    /// [`FanOutLimits::instant_min_age`](crate::FanOutLimits::instant_min_age) says), or else the
    /// oldest, at once: everything of that track from there up to now comes
    /// as fast as the reader takes it, over UDP as
    /// [`FanOutLimits::instant_rate`](crate::FanOutLimits::instant_rate) allows, its times
    /// compressed so that the last of it is shown now; with the next packet on the other tracks.
    ///
    /// As `KeyFrame` where there is no such unit, or more of it than
    /// [`FanOutLimits::instant_max_bytes`](crate::FanOutLimits::instant_max_bytes) and
    /// [`FanOutLimits::instant_max_age`](crate::FanOutLimits::instant_max_age) allow.
    Instant,
}

/// Track, RTP channel, RTCP channel.
pub type TcpChannels = SmallVec<[(TrackId, u8, u8); 4]>;
/// Track, where its RTP goes, where its RTCP goes.
pub type UdpTracks<A> = SmallVec<[(TrackId, A, A); 2]>;

/// How a reader is reached.
#[derive(Clone, Debug)]
pub enum Transport<A> {
    /// Interleaved in its RTSP connection.
    Tcp {
        /// The channels it asked for.
        channels: TcpChannels,
    },
    /// As datagrams.
    Udp {
        /// The socket group, below [`MAX_GROUPS`]: readers of one group are served through one
        /// pair of sockets, for instance 0 for IPv4 and 1 for IPv6.
        group: usize,
        /// Its addresses.
        tracks: UdpTracks<A>,
    },
}

impl<A> Transport<A> {
    /// The tracks it can carry.
    pub(crate) fn tracks(&self) -> TrackMask {
        match self {
            Self::Tcp { channels } => channels.iter().map(|&(track, ..)| track).collect(),
            Self::Udp { tracks, .. } => tracks.iter().map(|&(track, ..)| track).collect(),
        }
    }
}

/// Socket groups an audience may have.
pub const MAX_GROUPS: usize = 256;

/// A new reader.
#[derive(Clone, Debug)]
pub struct Join<A> {
    /// How it is reached. Tracks without channels or addresses here are not served.
    pub transport: Transport<A>,
    /// The tracks it plays.
    pub tracks: TrackMask,
    /// Where it begins.
    pub start: Start,
    /// RTCP compounds of its own, a sender report per track, sent before anything else.
    pub prologue: Vec<(TrackId, Bytes)>,
}

/// The audience takes no more readers, or no such socket group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AudienceFull;

impl fmt::Display for AudienceFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream has as many readers as it may have")
    }
}

impl std::error::Error for AudienceFull {}
