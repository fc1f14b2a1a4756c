//! One outgoing timeline per stream, fitted to each backend session.
//!
//! A [`Timeline`] exists before the first packet of its stream and outlives every backend session.
//! What a source calls its timestamps is moved onto it by one constant per track and session, so
//! the spacing of frames is the source's own, and a change of sessions shows as the time that it
//! took and nothing else.

mod follow;
mod timeline;
mod track;

pub use timeline::{MAX_TIMESTAMP_STEP, Timeline, TrackIndex};
