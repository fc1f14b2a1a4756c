//! H.264 (RFC 6184).
//!
//! A unit's elements are NAL units without start codes. [`Depacketizer`] reads single NAL units,
//! aggregates (STAP-A, STAP-B, MTAP16, MTAP24) and fragments (FU-A, FU-B); of interleaved streams
//! (packetization mode 2) it gives NAL units in decoding order. [`Packetizer`] writes single NAL
//! units, STAP-A and FU-A. [`Framer`] puts parameter sets before key pictures that lack them.

mod depacketize;
pub(crate) mod glance;
mod kind;
mod packetize;
mod sps;

pub use self::depacketize::Depacketizer;
pub use self::packetize::{PacketizationMode, Packetizer};

use self::glance::H264;
use crate::nal::frame::set_framer;

set_framer!(H264, H264::new);
