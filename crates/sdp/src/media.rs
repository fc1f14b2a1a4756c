//! One media section.

use std::fmt;
use std::sync::LazyLock;

use smallvec::SmallVec;

use crate::direction::Direction;
use crate::format::Format;
use crate::line::{Line, find_attribute};

/// An `m=` line and what follows it.
///
/// The public fields and the accessors are views; what is written is the `m=` line as it was
/// read, followed by [`lines`](Self::lines).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// What is sent.
    pub kind: MediaKind,
    /// The port as written; cameras that speak RTSP write 0, or mean nothing by it.
    pub port: u16,
    /// The transport protocol as written, such as `RTP/AVP`; empty where the line has none.
    pub proto: Box<str>,
    /// The payload types in the order of the `m=` line: the first is the one that is sent by
    /// default. Empty only where there is none at all.
    pub formats: SmallVec<[Format; 2]>,
    /// `i=`, `c=`, `b=`, `k=`, `a=` and whatever else, in order.
    pub lines: Vec<Line>,
    /// The value of the `m=` line.
    pub(crate) head: Box<str>,
    /// The direction in effect: the section's own or the session's.
    pub(crate) direction: Direction,
    /// Decided over all sections, see [`Self::is_back_channel`].
    pub(crate) back_channel: bool,
}

impl Media {
    /// The control URL as written, `None` where it is missing or empty.
    pub fn control(&self) -> Option<&str> {
        self.attribute("control").filter(|control| !control.is_empty())
    }

    /// The value of the first attribute of this name in any case; `Some("")` for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find_attribute(&self.lines, name)
    }

    /// Whether there is an attribute of this name.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    /// All attributes in order; the value is `None` for a flag.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.lines.iter().filter_map(Line::attribute)
    }

    /// The direction in effect: the section's own, else the session's.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Whether the camera expects to receive here: an ONVIF audio back channel
    /// (ONVIF Streaming Specification, section 5.3).
    ///
    /// `a=sendonly` means that only beside sections that are to be received. Servers that speak
    /// of themselves write `a=sendonly` for all that they send; there it is no back channel.
    pub fn is_back_channel(&self) -> bool {
        self.back_channel
    }

    /// The first payload type: what is sent by default. Where the section lists none, a
    /// [`Format`] of which nothing is known.
    pub fn main_format(&self) -> &Format {
        self.formats.first().unwrap_or(&NOTHING_KNOWN)
    }

    /// The bandwidth (`b=AS`) in kbit/s.
    pub fn bandwidth_as(&self) -> Option<u32> {
        self.lines
            .iter()
            .filter(|line| line.letter() == Some('b'))
            .filter_map(|line| line.value().split_once(':'))
            .find(|(kind, _)| kind.trim().eq_ignore_ascii_case("AS"))
            .and_then(|(_, value)| value.trim().parse().ok())
    }

    /// Whether RTP is sent: `RTP/AVP`, `AVPF`, `SAVP`, `SAVPF`, with or without a lower
    /// transport before or behind it.
    pub fn is_rtp(&self) -> bool {
        self.profile().is_some()
    }

    /// Whether the profile is one of SRTP's (`SAVP`, `SAVPF`).
    pub fn is_encrypted(&self) -> bool {
        self.profile().is_some_and(|(encrypted, _)| encrypted)
    }

    /// `(encrypted, with feedback)`, `None` if this is not RTP.
    pub(crate) fn profile(&self) -> Option<(bool, bool)> {
        let mut parts = self.proto.split('/');
        parts.find(|part| part.eq_ignore_ascii_case("RTP"))?;
        let profile = parts.next()?.to_ascii_uppercase();
        match profile.as_str() {
            "AVP" => Some((false, false)),
            "AVPF" => Some((false, true)),
            "SAVP" => Some((true, false)),
            "SAVPF" => Some((true, true)),
            _ => None,
        }
    }
}

/// The first word of an `m=` line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `video`
    Video,
    /// `audio`
    Audio,
    /// `application`, such as ONVIF metadata
    Application,
    /// `text`
    Text,
    /// `message`
    Message,
    /// Any other word, as written.
    Other(Box<str>),
}

impl MediaKind {
    pub(crate) fn read(word: &str) -> Self {
        match word.to_ascii_lowercase().as_str() {
            "video" => Self::Video,
            "audio" => Self::Audio,
            "application" => Self::Application,
            "text" => Self::Text,
            "message" => Self::Message,
            _ => Self::Other(word.into()),
        }
    }

    /// The word in the `m=` line.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Application => "application",
            Self::Text => "text",
            Self::Message => "message",
            Self::Other(word) => word,
        }
    }
}

impl fmt::Display for MediaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

static NOTHING_KNOWN: LazyLock<Format> = LazyLock::new(|| Format::unknown(u8::MAX, 90_000));
