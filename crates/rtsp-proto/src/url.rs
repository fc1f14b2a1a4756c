//! `rtsp` and `rtsps` URLs as people write them.

use std::fmt;

use crate::auth::Credentials;
use crate::user_info::{Authority, percent_decode};

/// Where a stream is. `Debug` and `Display` show neither user nor password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RtspUrl {
    /// Whether TLS goes below.
    pub scheme: Scheme,
    /// The user information, percent-decoded.
    pub credentials: Option<Credentials>,
    /// A name, or an address literal without brackets.
    pub host: String,
    /// 554, or 322 for `rtsps`, where none is written.
    pub port: u16,
    /// From the first `/` or `?` behind the host, as written but for blanks and letters beyond
    /// ASCII, which are percent-encoded, and each `@` where there are such; may be empty.
    pub path_and_query: String,
    /// The user information holds `/` or `#` unencoded: the operator is told how the URL was read.
    pub odd_user_info: bool,
}

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP.
    Rtsp,
    /// TLS over TCP.
    Rtsps,
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, UrlError> {
        let known = [Self::Rtsp, Self::Rtsps];
        if let Some(scheme) = known.into_iter().find(|s| s.as_str().eq_ignore_ascii_case(text)) {
            return Ok(scheme);
        }
        // Anything else may be part of a password.
        let is_scheme = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        Err(if is_scheme {
            UrlError::UnsupportedScheme(text.to_owned())
        } else {
            UrlError::NoScheme
        })
    }

    /// As written before `://`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rtsp => "rtsp",
            Self::Rtsps => "rtsps",
        }
    }

    /// 554, or 322 over TLS.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Rtsp => 554,
            Self::Rtsps => 322,
        }
    }
}

/// Why a text is no URL. The text itself is never shown: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// There is no `://`.
    #[error("a URL begins with rtsp:// or rtsps://")]
    NoScheme,
    /// Neither `rtsp` nor `rtsps`.
    #[error("the scheme {0:?} is not supported: a URL begins with rtsp:// or rtsps://")]
    UnsupportedScheme(String),
    /// Nothing where the host belongs.
    #[error("the URL has no host")]
    NoHost,
    /// What stands where the host belongs can be none.
    #[error("the URL's host is neither a name nor an address (IPv6 goes in brackets)")]
    BadHost,
    /// No number from 1 to 65535.
    #[error("the URL's port is not a number from 1 to 65535")]
    BadPort,
    /// A line break or another control character.
    #[error("the URL holds a control character")]
    ControlCharacter,
}

impl RtspUrl {
    /// Reads a URL. The user information ends at the last `@` after which the rest parses as
    /// `host[:port][/...]`, so that passwords need not be percent-encoded; it is percent-decoded
    /// where that gives UTF-8.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.contains(char::is_control) {
            return Err(UrlError::ControlCharacter);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let scheme = Scheme::parse(scheme)?;
        let Authority { user_info, host, port, rest } = Authority::parse(rest)?;
        Ok(Self {
            scheme,
            credentials: user_info.and_then(parse_user_info),
            host: host.to_owned(),
            port: port.unwrap_or_else(|| scheme.default_port()),
            path_and_query: encode(rest),
            odd_user_info: user_info.is_some_and(|text| text.contains(['/', '#'])),
        })
    }

    /// As a request line may hold it: without credentials.
    pub fn to_request(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority(), self.path_and_query)
    }

    /// The same place at another port.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Host and port as in a URL: an IPv6 address in brackets, the usual port left out.
    pub fn authority(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.path_and_query.split_once('?').map_or(&self.path_and_query, |(path, _)| path)
    }

    /// The query without its `?`.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query.split_once('?').map(|(_, query)| query)
    }
}

impl std::str::FromStr for RtspUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text)
    }
}

impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::redact::redact_text(&self.to_request()))
    }
}

impl fmt::Debug for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RtspUrl({self})")
    }
}

fn parse_user_info(text: &str) -> Option<Credentials> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let credentials = Credentials::new(percent_decode(user), percent_decode(password).into_owned());
    (!credentials.user.is_empty() || !credentials.password.is_empty()).then_some(credentials)
}

fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    // What is no host behind an `@` may read as one once it is encoded: as an address with a zone.
    let is_as_written = path.bytes().all(|byte| byte.is_ascii_graphic());
    for byte in path.bytes() {
        if byte.is_ascii_graphic() && (is_as_written || byte != b'@') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
