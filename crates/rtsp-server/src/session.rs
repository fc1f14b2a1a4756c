//! One reader's session.

use core::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

use crate::api::Chosen;
use crate::ids::{ConnId, SessionId};
use crate::ports::Host;

/// Where a session stands (RFC 2326 appendix A.2).
///
/// ```text
///            SETUP              PLAY
///   (Init) --------> Ready ------------> Playing
///                      ^                    |
///                      +--------------------+
///                              PAUSE
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SessionState {
    /// Its first SETUP has not been answered yet.
    Init,
    /// Tracks are set up, nothing is sent.
    Ready,
    /// Media is sent.
    Playing,
}

/// One track that a reader has set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionTrack {
    /// Index of the media in the backend's description.
    pub index: usize,
    /// How it travels.
    pub transport: Chosen,
    /// The URL of its SETUP: players look for this very text in `RTP-Info`.
    pub(crate) uri: String,
}

/// What can be seen of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionView<'a> {
    /// Its id.
    pub id: SessionId,
    /// The connection that used it last, unless that is closed.
    pub conn: Option<ConnId>,
    /// The stream's name.
    pub stream: &'a str,
    /// The reader's end of that connection. Media over UDP goes to this IP address only.
    pub peer: SocketAddr,
    /// Our end of that connection.
    pub local: SocketAddr,
    /// Who the reader is, where users are configured.
    pub user: Option<&'a str>,
    /// Its tracks, in order of their indices.
    pub tracks: &'a [SessionTrack],
    /// Where it stands.
    pub state: SessionState,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) conn: Option<ConnId>,
    pub(crate) stream: String,
    /// Of the first SETUP.
    pub(crate) query: Option<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) user: Option<String>,
    /// In order of their indices.
    pub(crate) tracks: SmallVec<[SessionTrack; 2]>,
    pub(crate) playing: bool,
    /// The connection on which a question about this session is outstanding.
    pub(crate) busy: Option<ConnId>,
    pub(crate) alive: Instant,
}

impl Session {
    pub(crate) fn host(&self) -> Host {
        Host::of(self.peer)
    }

    pub(crate) fn state(&self) -> SessionState {
        match (self.tracks.is_empty(), self.playing) {
            (true, _) => SessionState::Init,
            (false, false) => SessionState::Ready,
            (false, true) => SessionState::Playing,
        }
    }

    pub(crate) fn view(&self) -> SessionView<'_> {
        SessionView {
            id: self.id,
            conn: self.conn,
            stream: &self.stream,
            peer: self.peer,
            local: self.local,
            user: self.user.as_deref(),
            tracks: &self.tracks,
            state: self.state(),
        }
    }

    /// Whether its media is interleaved, which binds it to its connection. While nothing is set up
    /// yet it is bound as well.
    pub(crate) fn is_bound(&self) -> bool {
        self.tracks.first().is_none_or(|track| track.transport.is_interleaved())
    }

    pub(crate) fn track(&self, index: usize) -> Option<&SessionTrack> {
        self.tracks.iter().find(|track| track.index == index)
    }

    /// Adds a track, or gives it a new transport.
    pub(crate) fn put(&mut self, track: SessionTrack) {
        self.tracks.retain(|old| old.index != track.index);
        let at = self.tracks.partition_point(|old| old.index < track.index);
        self.tracks.insert(at, track);
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.tracks.retain(|track| track.index != index);
    }

    pub(crate) fn indices(&self) -> SmallVec<[usize; 4]> {
        self.tracks.iter().map(|track| track.index).collect()
    }

    /// The ports from which this reader's reports should come.
    pub(crate) fn udp_ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.tracks.iter().flat_map(|track| udp_ports(track.transport))
    }

    pub(crate) fn channels(&self) -> impl Iterator<Item = (usize, (u8, u8))> + '_ {
        self.tracks.iter().filter_map(|track| match track.transport {
            Chosen::Tcp { channels } => Some((track.index, channels)),
            Chosen::Udp { .. } => None,
        })
    }
}

/// The reader's ports of one track, over UDP.
pub(crate) fn udp_ports(transport: Chosen) -> impl Iterator<Item = u16> {
    let ports = match transport {
        Chosen::Udp { client_ports: (rtp, rtcp) } => [Some(rtp), Some(rtcp)],
        Chosen::Tcp { .. } => [None, None],
    };
    ports.into_iter().flatten()
}
