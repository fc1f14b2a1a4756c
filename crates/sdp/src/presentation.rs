//! A whole description.

use std::fmt::Write as _;

use crate::media::Media;
use crate::parse;
use crate::session::SessionSection;
use crate::tolerated::{SdpError, Tolerated};

/// A description: the session's lines and its media sections, in order, nothing left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presentation {
    /// What holds for all media.
    pub session: SessionSection,
    /// The media sections; their place here is their number everywhere else.
    pub media: Vec<Media>,
}

impl Presentation {
    /// Reads a description with the repairs that were needed.
    ///
    /// # Errors
    ///
    /// [`SdpError`] if the body is too large, is no description, or has no media section that
    /// could be understood.
    pub fn parse(body: &[u8]) -> Result<(Self, Vec<Tolerated>), SdpError> {
        parse::parse(body)
    }

    /// The description as text with CRLF line ends; reading it again gives the same value.
    pub fn write(&self) -> String {
        let mut out = String::new();
        for line in &self.session.lines {
            // Writing to a String never fails.
            let _ = write!(out, "{line}\r\n");
        }
        for media in &self.media {
            let _ = write!(out, "m={}\r\n", media.head);
            for line in &media.lines {
                let _ = write!(out, "{line}\r\n");
            }
        }
        out
    }
}
