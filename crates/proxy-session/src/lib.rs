//! One proxied stream, without I/O: it pulls a backend when readers want it, passes its packets on
//! or makes them anew ([`Packets`]), into wire batches with numbers and times that go on across backend sessions, and answers what
//! readers ask of it.
//!
//! A [`Stream`] knows readers by a number only. It publishes batches and hears demands; who sits
//! on which socket is the audience's business (crate `fan-out`), how requests look on the wire is
//! the server's (crate `rtsp-server`).
//!
//! What is absent: sockets, tasks, clocks and anything about a reader's transport.

mod asks;
mod backend;
mod description;
mod first_source;
mod fork;
mod gate;
mod options;
mod outage;
mod output;
mod parameters;
mod picture;
mod readers;
mod relay;
mod renditions;
mod reports;
mod rng;
mod set_up;
mod status;
mod stream;
mod track;
mod way;

pub use asks::{Ask, Delivery, ReaderId, Refusal, Reply, Ticket, TrackWelcome, Welcome};
pub use description::{Description, TrackInfo};
pub use options::{OnBackendLoss, OnLoss, Packets, StreamOptions};
pub use output::{Output, StreamEvent};
pub use status::{StreamState, StreamStatus, TrackStatus};
pub use stream::Stream;
