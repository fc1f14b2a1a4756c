use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rtsp_proto::StatusCode;
use sdp::Presentation;

use crate::Quirk;

/// What those who read the stream want of its backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Nobody is there: it stays described and is kept alive, no media flows.
    #[default]
    Idle,
    /// Its tracks are to be set up. A backend that was playing is paused.
    Ready,
    /// Media is to flow.
    Playing,
}

/// What the shell tells the core.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection asked for waits for its turn: others to the same host come first.
    Queued,
    /// Its turn has come. Only after `Queued`: the time allowed counts from here.
    Dialling,
    /// Instead of a connection: the same credentials were rejected as those of other streams. It is
    /// as if it had happened here, and they are kept back until then.
    Locked {
        /// The instant of the next attempt.
        until: Instant,
    },
    /// The connection asked for stands.
    Connected {
        /// Our end.
        local: SocketAddr,
        /// The backend's end: datagrams are taken from this address only.
        peer: SocketAddr,
    },
    /// The connection asked for cannot be had.
    ConnectFailed {
        /// For the operator.
        why: String,
    },
    /// Bytes from the connection; all that can be decoded is taken out, the rest stays in.
    Stream(&'a mut BytesMut),
    /// The backend closed the connection, or it broke.
    Closed {
        /// What broke, if it did.
        why: Option<String>,
    },
    /// The second connection asked for stands ([`Output::ConnectPost`]).
    PostConnected,
    /// It cannot be had.
    PostFailed {
        /// For the operator.
        why: String,
    },
    /// Bytes from it; all are taken.
    PostStream(&'a mut BytesMut),
    /// The backend closed it, or it broke.
    PostClosed,
    /// A pair of UDP ports is bound for the track, or a group is joined for it.
    UdpBound {
        /// The track it was asked for.
        track: usize,
        /// The even port; RTCP has the next one.
        rtp_port: u16,
    },
    /// No pair of UDP ports can be had, or the group cannot be joined.
    UdpBindFailed {
        /// The track it was asked for.
        track: usize,
        /// For the operator.
        why: String,
    },
    /// A datagram on one of the ports bound.
    Datagram {
        /// The track whose port it came to.
        track: usize,
        /// Whether it came to the RTCP port.
        rtcp: bool,
        /// Who sent it.
        from: SocketAddr,
        /// Its payload.
        data: Bytes,
    },
}

/// What the core asks of the shell, in order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Open a connection. There is none, nor one under way.
    Connect {
        /// A name, or an address literal without brackets.
        host: String,
        /// The TCP port.
        port: u16,
        /// Whether TLS goes over it.
        tls: bool,
        /// How long it may take.
        deadline: Duration,
    },
    /// Write to the connection.
    Send(Bytes),
    /// Drop the connection, or the attempt to get one, once what was sent has been written as far
    /// as that is possible without waiting.
    Close,
    /// Open a second connection beside the first, to the same address: requests go over it in the
    /// body of a POST. There is none, nor one under way. Only with
    /// [`crate::TransportChoice::Http`].
    ConnectPost {
        /// Where the first connection leads.
        host: String,
        /// The TCP port.
        port: u16,
        /// Whether TLS goes over it.
        tls: bool,
        /// How long it may take.
        deadline: Duration,
    },
    /// Write to the second connection.
    SendPost(Bytes),
    /// Drop the second connection, as [`Output::Close`] drops the first.
    ClosePost,
    /// Bind these ports on a group's terms and join it: answered with [`Input::UdpBound`] or
    /// [`Input::UdpBindFailed`]. Only with [`crate::TransportChoice::Multicast`].
    JoinMulticast {
        /// For which track.
        track: usize,
        /// The group.
        group: IpAddr,
        /// Its port for RTP.
        rtp_port: u16,
        /// Its port for RTCP.
        rtcp_port: u16,
        /// The one sender to take packets from (source-specific multicast, RFC 4607).
        source: Option<IpAddr>,
        /// How far our reports to the group may go.
        ttl: u8,
    },
    /// Bind an even port for RTP and the next one for RTCP.
    BindUdp {
        /// For which track.
        track: usize,
    },
    /// The track's datagrams go there from now on. May come again when the backend is seen to
    /// send from elsewhere.
    ConnectUdp {
        /// Which track.
        track: usize,
        /// The backend's RTP address.
        rtp: SocketAddr,
        /// The backend's RTCP address.
        rtcp: SocketAddr,
    },
    /// Send a datagram from one of the track's ports to the address last named for it.
    SendDatagram {
        /// Which track.
        track: usize,
        /// From the RTCP port to the RTCP address.
        rtcp: bool,
        /// The payload.
        data: Bytes,
    },
    /// Drop every UDP socket.
    CloseUdp,
    /// Something happened.
    Event(Event),
}

/// What happened, for whoever owns the client.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// DESCRIBE was answered. Comes again with each new attempt, after `Lost` or without one (a
    /// redirect, an idle connection opened again): what was set up before is gone.
    Described {
        /// The description, back-channels and sections that are not pulled included.
        presentation: Arc<Presentation>,
        /// What had to be repaired in it, each kind only the first time; all are counted
        /// ([`crate::BackendClient::quirks`]).
        tolerated: Vec<String>,
    },
    /// The backend answered SETUP of a track.
    TrackReady {
        /// Which track.
        track: usize,
    },
    /// The backend refused SETUP of one track; the others go on.
    TrackRefused {
        /// Which track.
        track: usize,
        /// How.
        status: StatusCode,
    },
    /// All tracks that can be had are set up. `TrackReady` to `Playing` may come once more without
    /// a `Lost` between them: after a change of transport, or a session the backend forgot.
    Ready,
    /// The backend answered PLAY. Media that overtook the answer has been given already.
    Playing {},
    /// No media flows any more because there was no demand for it.
    Paused,
    /// An RTP packet, in the order of arrival.
    Packet {
        /// Which track.
        track: usize,
        /// All of it; at least the 12 bytes of a version 2 header.
        data: Bytes,
    },
    /// An RTCP compound packet, in the order of arrival.
    Rtcp {
        /// Which track.
        track: usize,
        /// All of it.
        data: Bytes,
    },
    /// The backend said BYE on one track.
    TrackEnded {
        /// Which track.
        track: usize,
    },
    /// The backend refused SETUP or PLAY as a whole; `Lost` follows.
    Refused {
        /// How.
        status: StatusCode,
        /// Which request.
        what: &'static str,
    },
    /// The attempt or the session is over; nothing of it remains. The next attempt comes by
    /// itself.
    Lost {
        /// Why.
        reason: LostReason,
        /// When the next attempt begins, from now.
        retry_in: Duration,
        /// Whether there was a session with the backend.
        had_session: bool,
    },
    /// For the operator: something that can be put right.
    Warning(String),
    /// The backend departed from the protocol, and how was made up for. Once per client and kind.
    Tolerated {
        /// The kind; counted in [`crate::BackendClient::quirk_count`].
        quirk: Quirk,
        /// What was seen.
        detail: String,
    },
    /// A message as it went over the wire, secrets blanked; only with [`crate::Options::dialogue`].
    Dialogue {
        /// Sent by us.
        sent: bool,
        /// The message.
        text: String,
    },
}

/// Why an attempt or a session ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// No connection could be had.
    #[error("cannot connect: {why}")]
    NoConnection {
        /// The shell's words.
        why: String,
    },
    /// The connection was closed or broke.
    #[error("the backend closed the connection{}", .why.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    Closed {
        /// The shell's words.
        why: Option<String>,
    },
    /// A request met its deadline.
    #[error("no answer to {what}")]
    NoAnswer {
        /// The request's method.
        what: &'static str,
    },
    /// A request was refused.
    #[error("{what} was answered {} {}", .status.0, .status.reason())]
    Refused {
        /// The request's method.
        what: &'static str,
        /// How.
        status: StatusCode,
    },
    /// The backend does not accept the credentials we have.
    #[error("the backend rejects the user name or password")]
    CredentialsRejected,
    /// The backend wants credentials and we have none for it.
    #[error("the backend wants a user name and password")]
    CredentialsNeeded,
    /// The backend wants a kind of authentication we do not know.
    #[error("the backend wants an unknown kind of authentication")]
    AuthenticationUnknown,
    /// The description cannot be read.
    #[error("the description cannot be used: {why}")]
    BadDescription {
        /// What is wrong.
        why: String,
    },
    /// The description holds no track that may be pulled.
    #[error("the description offers nothing to play")]
    NothingToPlay,
    /// A redirect leads nowhere, or there were too many.
    #[error("redirect not followed: {why}")]
    BadRedirect {
        /// What is wrong.
        why: String,
    },
    /// What came over the connection is not RTSP.
    #[error("protocol error: {why}")]
    Protocol {
        /// What is wrong, and where.
        why: String,
    },
    /// Nothing came for too long while playing.
    #[error("no packets for {} s", .gap.as_secs_f32())]
    Silent {
        /// How long is too long.
        gap: Duration,
    },
    /// The backend said BYE on all tracks.
    #[error("the backend ended all tracks")]
    Bye,
    /// Something on our side.
    #[error("cannot receive: {why}")]
    Local {
        /// The shell's words.
        why: String,
    },
}
