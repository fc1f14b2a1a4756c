//! What RTP payloads tell about key frames, parameter sets and access units.
//!
//! A relay does not take payloads apart, but it has to know where a reader may begin. A
//! [`Glancer`] looks at each payload of a track and tells that much; a [`UnitTracker`] puts the
//! glances of one unit together and names the packet at which a key unit begins, parameter sets
//! and delimiters before the picture included. Parameter sets seen on the way are kept
//! ([`ParameterSets`]), for readers whose description is older than the stream.
//!
//! Nothing here checks whether a payload is decodable, and none of it is trusted: whatever the
//! bytes are, the answer is at worst "no key frame".

mod av1;
mod bits;
mod glance;
mod glancer;
mod h263;
mod h264;
mod h265;
mod h266;
mod jpeg;
mod mpeg4;
mod mpv;
mod nal;
mod params;
mod unit;
mod vp8;
mod vp9;

pub use crate::glance::Glance;
pub use crate::glancer::Glancer;
pub use crate::params::{
    MAX_PARAMETER_SET_BYTES, MAX_PARAMETER_SETS, ParameterSet, ParameterSetKind, ParameterSets,
};
pub use crate::unit::{MAX_HEADER_PACKETS, UnitStart, UnitTracker};

#[cfg(test)]
mod testing;
