//! What goes between a server and its shell.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use bytes::Bytes;
use rtp_rtcp::{RtpTime, Seq, Ssrc};
use rtsp_proto::StatusCode;
use smallvec::SmallVec;

use crate::ids::{AskId, ConnId, SessionId};

/// What the shell is to do. Drained with [`Server::poll_output`](crate::Server::poll_output) after
/// every call into the server, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Queue these bytes on the connection, whole, never inside another frame.
    Send {
        /// The connection.
        conn: ConnId,
        /// One RTSP message.
        bytes: Bytes,
        /// What follows once they are queued.
        then: AfterSend,
    },
    /// Find out and call [`Server::answer`](crate::Server::answer), before the deadline.
    Ask {
        /// To be given back with the answer.
        id: AskId,
        /// The question.
        ask: Ask,
    },
    /// An answer to this question is no longer wanted: undo what was begun for it. Each question
    /// ends exactly once, by an answer taken or by this.
    Withdrawn {
        /// The question.
        id: AskId,
    },
    /// RTCP that a reader sent interleaved, as it came: nothing in it has been checked.
    Rtcp {
        /// The reader's session.
        session: SessionId,
        /// Its track.
        track: usize,
        /// The compound packet.
        data: Bytes,
    },
    /// The session is over: leave the audience, tell the stream. Comes exactly once for every
    /// session named in a question, also if its first SETUP came to nothing.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Why.
        reason: EndReason,
    },
    /// A TEARDOWN took some tracks out of a session that goes on with these.
    TracksChanged {
        /// The session.
        session: SessionId,
        /// The tracks that are left, in order of their numbers.
        tracks: SmallVec<[usize; 4]>,
    },
    /// Another session, of this server or another, set up a port that one on this connection gets
    /// its media on: its reader's host may have been restarted. Find out whether anybody is there;
    /// if not, [`Server::closed`](crate::Server::closed) ends what was contested.
    PortsContested {
        /// The connection.
        conn: ConnId,
    },
    /// The connection can take input again after [`Intake::Held`]: call
    /// [`Server::handle`](crate::Server::handle) with what its buffer holds.
    Resume {
        /// The connection.
        conn: ConnId,
    },
    /// Close the connection after what is queued. The server has forgotten it already.
    CloseConn {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: CloseReason,
    },
    /// Something an operator may care about.
    Event(Event),
    /// A message as it went over the wire, secrets blanked. Only with
    /// [`ServerOptions::dialogue`](crate::ServerOptions::dialogue).
    Dialogue {
        /// The connection.
        conn: ConnId,
        /// Whether we sent it.
        sent: bool,
        /// The text.
        text: String,
    },
}

/// What follows a message once it is queued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterSend {
    /// Nothing.
    Nothing,
    /// This was the answer to PLAY: join the audience now. No media goes out before it.
    StartMedia(SessionId),
}

/// A question to the shell, which knows the streams.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// What is the stream's description?
    Describe {
        /// Who asks.
        conn: ConnId,
        /// The stream's name, percent-decoded, without slashes at its ends.
        stream: String,
        /// The URL's query, as written.
        query: Option<String>,
    },
    /// Can this track be had over this transport?
    Setup {
        /// Who asks.
        conn: ConnId,
        /// The session it will belong to; may be new.
        session: SessionId,
        /// The stream's name.
        stream: String,
        /// Index of the media in the backend's description, from 0. May well not exist.
        track: usize,
        /// The first acceptable of the transports offered.
        transport: Chosen,
        /// The URL's query, as written.
        query: Option<String>,
    },
    /// Start; what the answer says about sequence numbers goes to the reader.
    Play {
        /// The connection on which PLAY came; for interleaved tracks, theirs.
        conn: ConnId,
        /// The session.
        session: SessionId,
        /// The stream's name.
        stream: String,
        /// Every track of the session, in order of their numbers.
        tracks: SmallVec<[usize; 4]>,
        /// The query of PLAY's URL or, if it has none, of the session's first SETUP.
        query: Option<String>,
    },
    /// Stop sending; the reader may go on later. Nothing may be sent once this is answered.
    Pause {
        /// The session.
        session: SessionId,
    },
}

/// The transport that was chosen for one track of one reader.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Chosen {
    /// To the IP address of the reader's connection, whatever else the reader may have named.
    Udp {
        /// The reader's ports for RTP and RTCP; neither is 0.
        client_ports: (u16, u16),
    },
    /// Interleaved on the reader's connection.
    Tcp {
        /// The channels for RTP and RTCP; used by nothing else on this connection.
        channels: (u8, u8),
    },
}

impl Chosen {
    /// Whether media is interleaved on the reader's connection.
    pub fn is_interleaved(self) -> bool {
        matches!(self, Self::Tcp { .. })
    }
}

/// What the shell found out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Ask::Describe`].
    Described {
        /// The description, as readers are to see it.
        sdp: Bytes,
    },
    /// To [`Ask::Setup`].
    SetUp {
        /// Our ports for RTP and RTCP, with UDP.
        server_ports: Option<(u16, u16)>,
        /// The address media will come from, if it is to be announced.
        source: Option<IpAddr>,
        /// The SSRC media will carry, if it is known.
        ssrc: Option<Ssrc>,
    },
    /// To [`Ask::Play`].
    Playing {
        /// A line of `RTP-Info` for each track; tracks that are not the session's are left out.
        tracks: Vec<PlayInfo>,
    },
    /// To [`Ask::Pause`].
    Paused,
    /// To any question: no.
    Refused {
        /// The status for the reader; a success is sent as 500.
        status: StatusCode,
        /// For `Retry-After`; with 503 there always is one.
        retry_after: Option<Duration>,
        /// The reason phrase; empty uses the usual one.
        reason: String,
    },
}

/// What `RTP-Info` says about one track (RFC 2326 section 12.33).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlayInfo {
    /// Index of the media in the backend's description.
    pub track: usize,
    /// No packet of the track will have a lower sequence number.
    pub seq: Seq,
    /// The timestamp of one instant that is the same for all tracks.
    pub rtptime: RtpTime,
}

/// Whether an answer reached its reader.
#[must_use = "an answer that came too late leaves something to undo"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It was sent.
    Used,
    /// The question had been withdrawn, or answered before.
    TooLate,
}

/// Whether a connection can take more input.
#[must_use = "input that is held has to be offered again"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intake {
    /// Everything that was whole is taken; what is left in the buffer is the start of a message.
    Ready,
    /// There may be more whole messages in the buffer: drain the outputs, serve others, call again.
    Again,
    /// An answer is outstanding; what is left in the buffer waits for
    /// [`Output::Resume`]. Read no more once the buffer holds
    /// [`HELD_INPUT_BYTES`](crate::HELD_INPUT_BYTES).
    Held,
    /// The connection is not, or no longer, known: throw its input away.
    Closed,
}

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum EndReason {
    /// The reader sent TEARDOWN.
    Teardown,
    /// Its interleaved connection was closed.
    ConnectionClosed,
    /// No sign of life for [`ServerOptions::reclaim_after`](crate::ServerOptions::reclaim_after).
    TimedOut,
    /// None of its SETUPs succeeded.
    NeverSetUp,
    /// A port it got media on was set up by another session after it, and its connection is closed,
    /// or is that session's too, or too many claim the port. The other one's reader must hear
    /// nothing of it: no RTCP BYE.
    PortsTaken,
    /// The stream has no source any more.
    StreamLost,
    /// The reader could not keep up.
    TooSlow,
    /// An operator wanted it.
    Operator,
    /// The program ends.
    Shutdown,
}

/// Why a connection is closed by us.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// What it sent is not RTSP, or exceeds [`rtsp_proto::Limits`].
    BadInput,
    /// No request within [`ServerOptions::first_request`](crate::ServerOptions::first_request).
    NoRequest,
    /// No session and no request for
    /// [`ServerOptions::idle_connection`](crate::ServerOptions::idle_connection).
    Idle,
    /// Too many wrong credentials.
    Unauthorized,
    /// We ended the last of its sessions.
    SessionEnded(EndReason),
    /// The program ends.
    Shutdown,
}

/// Why a connection was not accepted. The shell closes it without a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// [`ServerOptions::connections`](crate::ServerOptions::connections) is reached.
    #[error("too many connections ({limit})")]
    TooManyConnections {
        /// The limit.
        limit: usize,
    },
    /// [`ServerOptions::connections_per_address`](crate::ServerOptions::connections_per_address)
    /// is reached.
    #[error("too many connections from one address ({limit})")]
    TooManyFromAddress {
        /// The limit.
        limit: usize,
    },
    /// The program ends.
    #[error("shutting down")]
    ShuttingDown,
}

/// Something an operator may care about.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Wrong credentials.
    WrongCredentials {
        /// The connection.
        conn: ConnId,
        /// Who sent them.
        peer: SocketAddr,
        /// How many this connection has shown by now.
        failures: u32,
    },
    /// A reader was refused because a limit is reached.
    LimitReached {
        /// The connection.
        conn: ConnId,
        /// The limit's name in [`ServerOptions`](crate::ServerOptions).
        limit: &'static str,
    },
    /// The shell did not answer in time.
    NoAnswer {
        /// The connection.
        conn: ConnId,
        /// The question.
        id: AskId,
    },
    /// Input that ended a connection.
    BadInput {
        /// The connection.
        conn: ConnId,
        /// Who sent it.
        peer: SocketAddr,
        /// What was wrong, and where in the stream.
        why: String,
    },
    /// Input that was not right but could be understood.
    Tolerated {
        /// The connection.
        conn: ConnId,
        /// What it was.
        what: String,
    },
}

/// Counters since the server was made, and what it holds now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ServerStats {
    /// Connections now.
    pub connections: usize,
    /// Sessions now.
    pub sessions: usize,
    /// Requests taken.
    pub requests: u64,
    /// Requests answered with a status of 400 or above, 401 excepted.
    pub refused: u64,
    /// Wrong credentials shown.
    pub wrong_credentials: u64,
    /// Questions that got no answer in time.
    pub unanswered: u64,
    /// Sessions ended for want of a sign of life.
    pub reclaimed: u64,
    /// Interleaved frames on channels on which nothing is expected.
    pub stray_frames: u64,
}

/// How much input the shell should keep for a connection whose input is held: after that it stops
/// reading, and TCP makes the reader wait.
pub const HELD_INPUT_BYTES: usize = 64 * 1024;
