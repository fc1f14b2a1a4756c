//! Session descriptions as cameras write them: parsed with repair, edited, written back.
//!
//! Cameras break RFC 8866 in every way that some player forgives. [`Presentation::parse`]
//! therefore refuses only what holds no media at all; everything else is repaired or set aside,
//! and each repair is returned as a [`Tolerated`] for the operator to read. Lines that mean
//! nothing to this crate stay where they were, so that [`Presentation::write`] gives back what
//! was read.
//!
//! ```
//! # fn main() -> Result<(), sdp::SdpError> {
//! let body = b"v=0\no=- 1 1 IN IP4 0.0.0.0\ns=cam\nt=0 0\n\
//!              m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=control:trackID=1\n";
//! let (presentation, tolerated) = sdp::Presentation::parse(body)?;
//! assert!(tolerated.is_empty());
//! assert!(presentation.media[0].main_format().is("h264"));
//! assert_eq!(presentation.media[0].control(), Some("trackID=1"));
//! # Ok(())
//! # }
//! ```
//!
//! What is absent: sockets, URLs as a type (they are strings here, resolved as cameras mean
//! them), and any knowledge of what the payloads contain.

mod control;
mod direction;
mod fmtp;
mod format;
mod limits;
mod line;
mod media;
mod parse;
mod presentation;
mod reader;
mod session;
mod statics;
mod tolerated;

pub use crate::control::{ControlUrls, parse_track_control, resolve_control, track_control};
pub use crate::direction::Direction;
pub use crate::fmtp::Fmtp;
pub use crate::format::Format;
pub use crate::limits::{MAX_FORMATS, MAX_LINES, MAX_MEDIA, MAX_SDP_BYTES, MAX_TOLERATED};
pub use crate::line::Line;
pub use crate::media::{Media, MediaKind};
pub use crate::presentation::Presentation;
pub use crate::reader::ReaderView;
pub use crate::session::{Origin, SessionSection};
pub use crate::tolerated::{SdpError, Tolerated};
