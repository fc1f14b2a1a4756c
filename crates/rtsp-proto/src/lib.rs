//! RTSP/1.0 messages (RFC 2326), their headers, interleaved framing, URLs and digest
//! authentication, and the HTTP tunnel, without I/O.
//!
//! [`Decoder`] takes a byte stream however it is cut and gives [`Frame`]s; [`Request`] and
//! [`Response`] encode themselves. What a peer does wrong is made up for where that is safe, and
//! told as [`Tolerated`]. Everything a peer can make the decoder hold is bounded by [`Limits`].

pub mod auth;
mod decode;
mod error;
mod head;
mod headers;
mod limits;
mod message;
mod method;
mod params;
pub mod range;
mod redact;
mod resync;
pub mod rtp_info;
mod secret;
pub mod session;
mod start_line;
mod status;
mod text;
mod tolerated;
pub mod transport;
pub mod tunnel;
pub mod url;
mod user_info;
mod version;

pub use auth::Credentials;
pub use decode::{Decoder, Frame, Role};
pub use error::{DecodeError, DecodeErrorKind};
pub use headers::Headers;
pub use limits::Limits;
pub use message::{Request, Response};
pub use method::Method;
pub use redact::redact;
pub use secret::Secret;
pub use status::StatusCode;
pub use tolerated::Tolerated;
pub use url::{RtspUrl, UrlError};
pub use version::Version;
