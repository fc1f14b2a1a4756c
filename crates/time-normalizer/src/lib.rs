//! One outgoing timeline per stream, fitted to each backend session, and what the time is on it.
//!
//! A [`Timeline`] exists before the first packet of its stream and outlives every backend session.
//! It answers three questions that are kept apart:
//!
//! * **Which timestamp does a packet leave with?** Its own plus one constant per track and session
//!   ([`Timeline::stamp`]). The spacing of frames is the source's; the constant changes in the
//!   cases of [`RefitCause`] and in no other.
//! * **How fast does the source's clock run?** Estimated from the packets that were least late,
//!   and followed by at most half a thousandth, on the monotonic clock.
//! * **What instant does a timestamp stand for?** [`Timeline::presentation`] and, for sender
//!   reports, [`Timeline::report`]. Before the source's first report that comes from arrivals.
//!   A track's first report sets its distance to the other tracks at once; whatever is learnt
//!   later moves the times by at most a millisecond per second, all tracks together.
//!
//! What the sources say about their own time is believed as far as it fits the stream: see [`Lie`].
//!
//! Three days of a source whose crystal is 300 ppm off, with 30 ms of jitter and a report every
//! five seconds (left to itself, it would be off by 78 s); `examples/three_days.rs` draws it:
//!
#![doc = include_str!("../docs/three-days.svg")]
//!
//! Everything is integer arithmetic: nanoseconds in 64 bits, products in 128.

mod drift;
mod event;
mod fit;
mod line;
mod ntp;
mod options;
mod report;
mod servo;
mod source;
mod timeline;
mod track;
mod wall;

pub use event::{Lie, LieCounts, RefitCause, Shift, TimeEvent};
pub use options::{MAX_TIMESTAMP_STEP, NtpSource, TimelineOptions, TimelineStats};
pub use report::{ReportPair, Verdict};
pub use timeline::{MAX_EVENTS, NO_REPORTS_AFTER, Timeline, TrackIndex};
