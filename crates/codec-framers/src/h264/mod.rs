//! H.264 (RFC 6184).
//!
//! A unit's elements are NAL units without start codes. [`Depacketizer`] reads single NAL units,
//! aggregates (STAP-A, STAP-B, MTAP16, MTAP24) and fragments (FU-A, FU-B); of interleaved streams
//! (packetization mode 2) it gives NAL units in decoding order. [`Packetizer`] writes single NAL
//! units, STAP-A and FU-A. [`Framer`] puts parameter sets before key pictures that lack them.
//! [`ContiguousDepacketizer`] gives units in one piece of memory, for who needs them so.
//!
//! From packets to what a decoder takes:
//!
//! ```
//! use codec_framers::{Depacketizer as _, Framer as _, Limits, Packet, h264};
//! use sdp::Presentation;
//!
//! let description = b"v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n\
//!     a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z01AHw==,aO4=\n";
//! let (presentation, _) = Presentation::parse(description)?;
//! let format = presentation.media[0].main_format();
//! let mut depacketizer = h264::Depacketizer::new(format, Limits::default());
//! let mut framer = h264::Framer::new(format);
//!
//! // `Packet::from_rtp` makes one of what came from a socket. This is an IDR picture in two
//! // fragments.
//! let fragments: [&[u8]; 2] = [&[0x7c, 0x85, 0x88], &[0x7c, 0x45, 0x84]];
//! for (payload, marker) in fragments.into_iter().zip([false, true]) {
//!     let payload = payload.to_vec().into();
//!     depacketizer.push(Packet { payload, marker, ..Packet::default() })?;
//! }
//! let unit = depacketizer.poll().and_then(|unit| framer.frame(unit)).expect("a picture");
//! assert!(unit.key && unit.complete);
//! // The parameter sets of the description stand before it now.
//! let stream = unit.to_annex_b();
//! assert_eq!(stream[..9], [0, 0, 0, 1, 0x67, 0x4d, 0x40, 0x1f, 0]);
//! assert!(stream.ends_with(&[0, 0, 1, 0x65, 0x88, 0x84]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The example `h264_file` writes a playable file from a socket or a capture in this way.

mod depacketize;
pub(crate) mod glance;
mod kind;
mod packetize;
mod sps;

pub use self::depacketize::{ContiguousDepacketizer, Depacketizer};
pub use self::packetize::{PacketizationMode, Packetizer};

use self::glance::H264;
use crate::nal::frame::set_framer;

set_framer!(H264, H264::new);
