//! The RTSP client side of a proxied stream as a state machine without I/O.
//!
//! A [`BackendClient`] pulls one source: it describes it, keeps the connection alive while nobody
//! watches, sets its tracks up and plays it on demand, and begins again after whatever goes wrong,
//! politely. It holds no socket and reads no clock: a shell hands it what arrived
//! ([`BackendClient::handle`]), calls [`BackendClient::handle_timeout`] when
//! [`BackendClient::poll_timeout`] is due, and carries out what [`BackendClient::poll_output`]
//! gives, all of it, after every call.
//!
//! What a shell owes:
//! - after [`Output::Connect`] it reports [`Input::Connected`] or [`Input::ConnectFailed`];
//! - after [`Output::Close`] it drops the connection, or the attempt to get one, and reports
//!   nothing more of it;
//! - after [`Output::BindUdp`] it reports [`Input::UdpBound`] or [`Input::UdpBindFailed`];
//! - with a tunnel over HTTP: after [`Output::ConnectPost`] it reports [`Input::PostConnected`] or
//!   [`Input::PostFailed`], and drops that connection after [`Output::ClosePost`];
//! - after [`Output::JoinMulticast`] it reports as after `BindUdp`;
//! - after [`Output::CloseUdp`] it drops every UDP socket it bound for this client;
//! - UDP sockets are not connected in the kernel's sense: [`Output::ConnectUdp`] only names the
//!   addresses that [`Output::SendDatagram`] goes to.
//!
//! Tracks are numbered as the media sections of the backend's description are, from 0.

mod backoff;
mod client;
mod description;
mod exchange;
mod io;
mod keepalive;
mod options;
mod phase;
mod quirk;
mod rng;
mod session;
mod state;

pub use client::{BackendClient, Stats};
pub use io::{Demand, Event, Input, LostReason, Output};
pub use options::{
    AllowedMedia, IdlePolicy, KeepAliveMethod, MAX_ALTERNATES, Options, Source, TrackChoice,
    TransportChoice,
};
pub use phase::Phase;
pub use quirk::Quirk;
