//! What readers ask of a stream, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fan_out::{Start, TrackId, TrackMask};
use rtp_rtcp::{RtpTime, Seq, Ssrc};
use rtsp_proto::StatusCode;

use crate::description::Description;

/// A reader's session, named by the shell; unique for the life of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReaderId(pub u64);

/// One question, named by the shell, so that it knows whom the reply is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(pub u64);

/// What a reader asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The description; answered once the backend has been described.
    Describe,
    /// One track, by its place in the backend's description; answered after the backend's own
    /// SETUP of it.
    SetUp {
        /// The track.
        track: TrackId,
    },
    /// Media of these tracks; answered after the backend's own PLAY. Refused for a reader that
    /// has set up nothing.
    Play {
        /// The tracks that this reader has set up.
        tracks: TrackMask,
        /// Where it will begin.
        start: Start,
        /// How it gets its packets.
        delivery: Delivery,
    },
}

/// How a reader gets its packets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Delivery {
    /// Over TCP, of any size.
    #[default]
    Tcp,
    /// Over UDP and IPv4, or from an address of IPv6 that stands for one of IPv4.
    UdpV4,
    /// Over UDP and IPv6.
    UdpV6,
}

impl Delivery {
    /// The largest UDP payload, in bytes, that crosses an Ethernet in one piece; `None` over TCP.
    pub(crate) const fn largest(self) -> Option<usize> {
        match self {
            Self::Tcp => None,
            Self::UdpV4 => Some(1_500 - 20 - 8),
            Self::UdpV6 => Some(1_500 - 40 - 8),
        }
    }
}

/// What a stream answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The description.
    Described(Arc<Description>),
    /// The track is there.
    SetUp {
        /// The SSRC of the track's packets.
        ssrc: Ssrc,
    },
    /// Media flows.
    Playing(Welcome),
    /// No.
    Refused(Refusal),
}

/// Why a reader did not get what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status for the reader.
    pub status: StatusCode,
    /// When it may be worth asking again.
    pub retry_after: Option<Duration>,
    /// One line for the log.
    pub why: String,
}

/// What a reader needs to know before its first packet.
#[derive(Clone, Debug)]
pub struct Welcome {
    /// One per track that was asked for and exists.
    pub tracks: Vec<TrackWelcome>,
}

/// A track as a joining reader finds it.
#[derive(Clone, Debug)]
pub struct TrackWelcome {
    /// The track.
    pub track: TrackId,
    /// Its SSRC.
    pub ssrc: Ssrc,
    /// No packet with an earlier number will reach this reader.
    pub next_seq: Seq,
    /// The timestamp that stands for one instant on all tracks, before which no packet lies that
    /// this reader gets.
    pub rtptime: RtpTime,
    /// While the backend is away: the timestamp of the present, as which the reader is to see what
    /// it begins with.
    pub live: Option<RtpTime>,
    /// A compound sender report made for this reader, to be sent before the track's first packet.
    pub report: Bytes,
}
