use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::Output;
use smallvec::SmallVec;

use crate::description::{Description, Offer, Weight};

/// A session at the backend, perhaps only begun.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) description: Arc<Description>,
    /// `None` before the first SETUP is answered, and with backends that give none.
    pub(crate) id: Option<String>,
    /// How long the backend keeps it without a sign of life.
    pub(crate) timeout: Duration,
    /// The tracks set up, in the order they were.
    pub(crate) tracks: Vec<Track>,
    /// The latest packet on any track since PLAY was sent.
    pub(crate) last_packet: Option<Instant>,
    /// The latest packet, since PLAY was sent, on a track whose silence matters.
    pub(crate) last_counted: Option<Instant>,
    /// A keep-alive was answered with 454, not yet confirmed by another.
    pub(crate) denied: bool,
    /// The tracks whose SETUP was refused.
    pub(crate) refused: SmallVec<[usize; 2]>,
    /// Tracks were set up while it played, and PLAY has not confirmed them yet.
    pub(crate) grown: bool,
}

/// A track that is set up.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) offer: Offer,
    pub(crate) path: Path,
    /// The source of its latest packet.
    pub(crate) ssrc: Option<u32>,
    /// BYE came.
    pub(crate) ended: bool,
    /// RTCP of ours went there.
    pub(crate) spoken: bool,
    /// Its latest packet since PLAY was sent.
    pub(crate) last_packet: Option<Instant>,
    /// Its silence beside flowing video was told.
    pub(crate) silence_told: bool,
    /// What SETUP and PLAY promised of its next packet.
    pub(crate) promised_ssrc: Option<u32>,
    pub(crate) promised_seq: Option<u16>,
}

/// A session that the backend may still hold, and send datagrams for, though its connection is
/// gone.
#[derive(Debug)]
pub(crate) struct Orphan {
    pub(crate) id: String,
    pub(crate) aggregate: String,
    /// Where it is: host and port.
    pub(crate) place: String,
    /// The backend has forgotten it by then.
    pub(crate) until: Instant,
}

impl Track {
    pub(crate) fn new(offer: Offer, path: Path) -> Self {
        Self {
            offer,
            path,
            ssrc: None,
            ended: false,
            spoken: false,
            last_packet: None,
            silence_told: false,
            promised_ssrc: None,
            promised_seq: None,
        }
    }

    /// Brings RTCP to the backend, if it can be told where.
    pub(crate) fn rtcp_output(&self, data: Bytes) -> Option<Output> {
        match &self.path {
            Path::Interleaved { rtcp, .. } => {
                let [high, low] = u16::try_from(data.len()).ok()?.to_be_bytes();
                let mut frame = Vec::with_capacity(4 + data.len());
                frame.extend_from_slice(&[b'$', *rtcp, high, low]);
                frame.extend_from_slice(&data);
                Some(Output::Send(frame.into()))
            }
            Path::Udp(udp) => {
                udp.remote?;
                Some(Output::SendDatagram { track: self.offer.index, rtcp: true, data })
            }
        }
    }
}

/// How a track's media comes.
#[derive(Debug)]
pub(crate) enum Path {
    Interleaved { rtp: u8, rtcp: u8 },
    Udp(UdpPath),
}

/// Where a track's datagrams come from.
#[derive(Debug)]
pub(crate) struct UdpPath {
    /// The addresses that media is taken from: the connection's, and the one named by `source`.
    pub(crate) hosts: [IpAddr; 2],
    /// The backend's ports, once known.
    pub(crate) remote: Option<Remote>,
    /// They were corrected by what arrived, or are not to be.
    pub(crate) learnt: bool,
    /// They are a group's.
    pub(crate) group: bool,
}

/// The backend's addresses for a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: SocketAddr,
}

impl Session {
    pub(crate) fn new(description: Arc<Description>, timeout: Duration) -> Self {
        Self {
            description,
            id: None,
            timeout,
            tracks: Vec::new(),
            last_packet: None,
            last_counted: None,
            denied: false,
            refused: SmallVec::new(),
            grown: false,
        }
    }

    /// Whether the backend holds anything for us.
    pub(crate) fn is_begun(&self) -> bool {
        self.id.is_some() || !self.tracks.is_empty()
    }

    pub(crate) fn track(&self, index: usize) -> Option<&Track> {
        self.tracks.iter().find(|track| track.offer.index == index)
    }

    /// Whether SETUP of the track was answered, one way or another.
    pub(crate) fn knows(&self, index: usize) -> bool {
        self.track(index).is_some() || self.refused.contains(&index)
    }

    pub(crate) fn track_mut(&mut self, index: usize) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.offer.index == index)
    }

    /// The track of an interleaved channel, and whether it is the channel of its RTCP.
    pub(crate) fn track_of_channel(&mut self, channel: u8) -> Option<(&mut Track, bool)> {
        self.tracks.iter_mut().find_map(|track| match track.path {
            Path::Interleaved { rtp, .. } if rtp == channel => Some((track, false)),
            Path::Interleaved { rtcp, .. } if rtcp == channel => Some((track, true)),
            _ => None,
        })
    }

    pub(crate) fn has_udp(&self) -> bool {
        self.tracks.iter().any(|track| matches!(track.path, Path::Udp(_)))
    }

    /// Whether packets of a track with this weight say that the backend is alive.
    pub(crate) fn counts(&self, weight: Weight) -> bool {
        match weight {
            Weight::Video => true,
            Weight::Other => !self.has(Weight::Video),
            Weight::Sparse => false,
        }
    }

    /// Whether there is a track whose silence matters.
    pub(crate) fn is_watched(&self) -> bool {
        self.tracks.iter().any(|track| track.offer.weight != Weight::Sparse)
    }

    /// Tracks whose silence is told, not acted on: sound beside video.
    pub(crate) fn beside_video(&self) -> impl Iterator<Item = &Track> {
        let video = self.has(Weight::Video);
        self.tracks.iter().filter(move |track| {
            video && track.offer.weight == Weight::Other && !track.silence_told && !track.ended
        })
    }

    /// Whether BYE came on every track that matters.
    pub(crate) fn is_ended(&self) -> bool {
        let watched = self.is_watched();
        self.tracks
            .iter()
            .filter(|track| !watched || track.offer.weight != Weight::Sparse)
            .all(|track| track.ended)
    }

    fn has(&self, weight: Weight) -> bool {
        self.tracks.iter().any(|track| track.offer.weight == weight)
    }
}
