use crate::StatusCode;

/// The byte stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} (byte {pos})")]
#[non_exhaustive]
pub struct DecodeError {
    /// Where, in bytes from the start of the connection.
    pub pos: u64,
    /// What.
    pub kind: DecodeErrorKind,
}

/// What is wrong with a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A line that begins neither a request nor a response.
    #[error("not RTSP")]
    NotRtsp,
    /// A start line that is neither a request line nor a status line.
    #[error("malformed start line")]
    BadStartLine,
    /// A line among the headers that is none.
    #[error("malformed header")]
    BadHeader,
    /// A `Content-Length` that is no number, or several that differ.
    #[error("malformed Content-Length")]
    BadContentLength,
    /// [`crate::Limits::header_bytes`] exceeded.
    #[error("headers of more than {limit} bytes")]
    HeadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// [`crate::Limits::headers`] exceeded.
    #[error("more than {limit} headers")]
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// [`crate::Limits::body_bytes`] exceeded.
    #[error("a body of more than {limit} bytes")]
    BodyTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// [`crate::Limits::stray_bytes`] exceeded.
    #[error("more than {limit} bytes that belong to no message")]
    StrayBytes {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl DecodeErrorKind {
    /// What a server answers before it closes.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BodyTooLarge { .. } => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

impl DecodeError {
    pub(crate) fn new(pos: u64, kind: DecodeErrorKind) -> Self {
        Self { pos, kind }
    }
}
