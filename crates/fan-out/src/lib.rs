//! One log of wire images per stream, read by any number of cursors.
//!
//! * [`WireBatch`]: one contiguous image of one track's packets, made once by a
//!   [`WireBatchBuilder`] in the [`Form`] its readers take, and shared by all of them.
//! * [`Audience`]: a bounded log of batches and its readers on one shard. A reader is a cursor of
//!   O(1) memory; it has no queue, and no reader's slowness costs another anything.
//! * [`Egress`]: what one TCP connection's socket gets besides the log: the rest of a cut frame,
//!   then RTSP answers.
//!
//! Nothing here knows a socket, a clock or a thread. TCP readers are served some at a time with
//! [`Audience::tcp_next`] and [`Audience::tcp_sent`] where they get the same, one at a time with
//! [`Audience::slices`] and [`Audience::consume`] where they do not, UDP readers in groups with
//! [`Audience::udp_next`] and [`Audience::udp_sent`]; all may stop at any time and go on at the
//! same place later.
//!
//! # Beginning at once
//!
//! A reader with [`Start::Instant`] is brought to live from the newest key unit in the log: its
//! video comes with timestamps `L - (L - ts) / 40`, where L is the live point, and with the log's
//! own from there on. L is so far behind the newest timestamp that nothing published later is
//! before it, B-frames or not. The copies that this takes live in a scratch while they are
//! written. Over UDP it is paced: [`Audience::udp_next`] has nothing then although it will have,
//! and [`Audience::poll_timeout`] says when.
//!
//! # The contract of lent bytes
//!
//! Between [`Audience::slices`] and its [`Audience::consume`], between [`Audience::tcp_next`] and
//! its [`Audience::tcp_sent`], and between [`Audience::udp_next`] and its [`Audience::udp_sent`],
//! nothing else is called on the audience: these are writes of the same bytes.

mod audience;
mod batch;
mod blocked;
mod builder;
mod burst;
mod egress;
mod event;
mod form;
mod group;
mod join;
mod knocks;
mod lag;
mod limits;
mod live_point;
mod log;
mod meter;
mod pieces;
mod reader;
mod rows;
mod seats;
mod sending;
mod tcp;
mod tcp_run;
mod track;
mod udp;

pub use audience::{Audience, ReaderKey};
pub use batch::{
    EntryKind, FRAME_HEADER_BYTES, MAX_BATCH_BYTES, MAX_DATAGRAM_BYTES, MAX_SEGMENTS, Rendition,
    Run, WireBatch,
};
pub use builder::{Push, WireBatchBuilder};
pub use egress::{Admit, Egress, MAX_SLICES};
pub use event::{AudienceEvent, CutReason, DropCause, Lag, ReaderStats};
pub use form::Form;
pub use join::{AudienceFull, Join, MAX_GROUPS, Start, TcpChannels, Transport, UdpTracks};
pub use limits::FanOutLimits;
pub use meter::Meter;
pub use tcp::MAX_SCRATCH_BYTES;
pub use tcp_run::{ALIKE_BYTES, FEW_ALIKE, MAX_ALIKE, TcpNext, TcpPlace, TcpSend};
pub use track::{MAX_TRACKS, TrackId, TrackMask};
pub use udp::{MAX_DESTINATIONS, UdpSend};
