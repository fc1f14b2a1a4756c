//! What was wrong, and whether it could be lived with.

use thiserror::Error;

use crate::limits::{MAX_FORMATS, MAX_LINES, MAX_MEDIA, MAX_SDP_BYTES, MAX_TOLERATED};

/// Why a body is not a usable description.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SdpError {
    /// Our own limit.
    #[error("the description has {bytes} bytes, more than the {MAX_SDP_BYTES} that are read")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// No line has the form `letter=value`.
    #[error("this is not a session description")]
    NotSdp,
    /// It describes nothing that could be played.
    #[error("the description has no media section")]
    NoMedia,
}

/// One deviation that was repaired or set aside. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Tolerated {
    /// Bytes that are not UTF-8 were replaced.
    #[error("bytes that are not UTF-8 were replaced")]
    NotUtf8,
    /// NUL bytes and their like were left out.
    #[error("control characters were left out")]
    ControlCharacters,
    /// There is no `v=` line.
    #[error("the v= line is missing")]
    MissingVersion,
    /// The line has no type letter; it is kept, but not passed on.
    #[error("line {line}: not of the form letter=value, not passed on")]
    StrayLine {
        /// Where.
        line: usize,
    },
    /// The `o=` line has too few fields.
    #[error("line {line}: the origin is incomplete")]
    Origin {
        /// Where.
        line: usize,
    },
    /// A `c=` line without address.
    #[error("line {line}: the connection data are incomplete")]
    Connection {
        /// Where.
        line: usize,
    },
    /// The section is kept for its place in the order, but cannot be played.
    #[error("line {line}: the media line cannot be understood, its section is set aside")]
    MediaLine {
        /// Where.
        line: usize,
    },
    /// The port is missing or no port number.
    #[error("line {line}: the media line has no valid port")]
    MediaPort {
        /// Where.
        line: usize,
    },
    /// What is not a payload type from 0 to 127 in a list of them.
    #[error("line {line}: {text:?} is not a payload type")]
    PayloadType {
        /// Where.
        line: usize,
        /// What stood there, cut short.
        text: Box<str>,
    },
    /// No payload type is listed; those of the `a=rtpmap` lines are taken.
    #[error("line {line}: no payload type is listed")]
    MissingPayloadTypes {
        /// Where.
        line: usize,
    },
    /// The `a=rtpmap` line cannot be understood and is not used.
    #[error("line {line}: the rtpmap cannot be understood")]
    Rtpmap {
        /// Where.
        line: usize,
    },
    /// The clock rate is missing or zero; that of the medium is assumed.
    #[error("line {line}: the rtpmap has no clock rate, {assumed} Hz is assumed")]
    ClockRate {
        /// Where.
        line: usize,
        /// In hertz.
        assumed: u32,
    },
    /// Neither an `a=rtpmap` nor RFC 3551 says what the payload type is.
    #[error("line {line}: nothing says what payload type {payload_type} is")]
    UnknownPayloadType {
        /// Where the payload type is listed.
        line: usize,
        /// The payload type.
        payload_type: u8,
    },
    /// The attribute names another payload type than the only one of its section, and is taken
    /// for it all the same.
    #[error("line {line}: says payload type {said}, taken for {payload_type}")]
    OtherPayloadType {
        /// Where.
        line: usize,
        /// The one written there.
        said: u8,
        /// The one it is taken for.
        payload_type: u8,
    },
    /// The `a=fmtp` line does not begin with a payload type.
    #[error("line {line}: the fmtp cannot be understood")]
    Fmtp {
        /// Where.
        line: usize,
    },
    /// A format parameter without value.
    #[error("line {line}: the format parameter {name:?} has no value")]
    EmptyParameter {
        /// Where.
        line: usize,
        /// Its name, cut short.
        name: Box<str>,
    },
    /// One of several media sections does not say how it is controlled.
    #[error("line {line}: the media section has no control attribute")]
    MissingControl {
        /// Where the section begins.
        line: usize,
    },
    /// Payload types beyond our limit.
    #[error("line {line}: more than {MAX_FORMATS} payload types, the rest is not looked at")]
    TooManyFormats {
        /// Where.
        line: usize,
    },
    /// Media sections beyond our limit.
    #[error("line {line}: more than {MAX_MEDIA} media sections, the rest is left out")]
    TooManyMedia {
        /// Where the first one too many begins.
        line: usize,
    },
    /// Lines beyond our limit.
    #[error("line {line}: more than {MAX_LINES} lines, the rest is left out")]
    TooManyLines {
        /// The first one too many.
        line: usize,
    },
    /// The list of repairs itself is bounded.
    #[error("{count} more deviations like these")]
    More {
        /// How many are not listed.
        count: usize,
    },
}

impl Tolerated {
    /// A name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotUtf8 => "not-utf8",
            Self::ControlCharacters => "control-characters",
            Self::MissingVersion => "missing-version",
            Self::StrayLine { .. } => "stray-line",
            Self::Origin { .. } => "origin",
            Self::Connection { .. } => "connection",
            Self::MediaLine { .. } => "media-line",
            Self::MediaPort { .. } => "media-port",
            Self::PayloadType { .. } => "payload-type",
            Self::MissingPayloadTypes { .. } => "missing-payload-types",
            Self::Rtpmap { .. } => "rtpmap",
            Self::ClockRate { .. } => "clock-rate",
            Self::UnknownPayloadType { .. } => "unknown-payload-type",
            Self::OtherPayloadType { .. } => "other-payload-type",
            Self::Fmtp { .. } => "fmtp",
            Self::EmptyParameter { .. } => "empty-parameter",
            Self::MissingControl { .. } => "missing-control",
            Self::TooManyFormats { .. } => "too-many-formats",
            Self::TooManyMedia { .. } => "too-many-media",
            Self::TooManyLines { .. } => "too-many-lines",
            Self::More { .. } => "more",
        }
    }
}

/// The list of repairs while it grows.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    listed: Vec<Tolerated>,
    unlisted: usize,
}

impl Repairs {
    pub(crate) fn note(&mut self, repair: Tolerated) {
        if self.listed.len() < MAX_TOLERATED {
            self.listed.push(repair);
        } else {
            self.unlisted += 1;
        }
    }

    pub(crate) fn finish(mut self) -> Vec<Tolerated> {
        if self.unlisted > 0 {
            self.listed.push(Tolerated::More { count: self.unlisted });
        }
        self.listed
    }
}

/// Enough of a peer's text to recognise it in a log.
pub(crate) fn excerpt(text: &str) -> Box<str> {
    text.chars().take(24).collect()
}
