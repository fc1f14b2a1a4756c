//! The `Session` header (RFC 2326 section 12.37).

use std::fmt;

use crate::params::params;
use crate::text::leading_u32;

/// A session, and how long it lasts without a sign of life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionHeader {
    /// The session's name: opaque, never empty.
    pub id: String,
    /// In seconds; 60 is meant where it is missing.
    pub timeout: Option<u32>,
}

impl SessionHeader {
    /// A session with the usual timeout.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), timeout: None }
    }

    /// Reads a header's value; blanks may stand anywhere, other parameters are passed over. `None`
    /// without a name.
    pub fn parse(value: &str) -> Option<Self> {
        // A name may hold `=`, as base64 does.
        let (id, rest) = value.split_once(';').unwrap_or((value, ""));
        let id = id.trim();
        let misplaced = || id.to_ascii_lowercase().starts_with("timeout=");
        if id.is_empty() || misplaced() {
            return None;
        }
        let timeout = params(rest)
            .filter(|param| param.name.eq_ignore_ascii_case("timeout"))
            .find_map(|param| leading_u32(param.value?));
        Some(Self { id: id.to_owned(), timeout })
    }
}

impl fmt::Display for SessionHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        self.timeout.map_or(Ok(()), |timeout| write!(f, ";timeout={timeout}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<(String, Option<u32>)> {
        SessionHeader::parse(value).map(|session| (session.id, session.timeout))
    }

    #[test]
    fn cameras_write_it_in_many_ways() {
        let with = |id: &str, timeout| Some((id.to_owned(), timeout));
        assert_eq!(read("1642021126;timeout=60"), with("1642021126", Some(60)));
        assert_eq!(read("9a90de54; timeout=60"), with("9a90de54", Some(60)));
        assert_eq!(read("       708345999;timeout=60"), with("708345999", Some(60)));
        assert_eq!(read("l0TtlUFSR"), with("l0TtlUFSR", None));
        assert_eq!(read("a ; x=y; Timeout = 30 ;z"), with("a", Some(30)));
        assert_eq!(read("a;timeout=\"90\""), with("a", Some(90)));
        assert_eq!(read("a;timeout=60.5"), with("a", Some(60)));
        assert_eq!(read("a;timeout=-1"), with("a", None));
        assert_eq!(read("a;timeout=99999999999"), with("a", None));
        assert_eq!(read("a;timeout"), with("a", None));
        assert_eq!(read("YWI=;timeout=5"), with("YWI=", Some(5)));
    }

    #[test]
    fn a_session_has_a_name() {
        assert_eq!(read(""), None);
        assert_eq!(read(" ; "), None);
        assert_eq!(read("timeout=60"), None);
    }

    #[test]
    fn what_is_written_is_read() {
        let session = SessionHeader { id: "ABC".into(), timeout: Some(60) };
        assert_eq!(session.to_string(), "ABC;timeout=60");
        assert_eq!(SessionHeader::parse(&session.to_string()), Some(session));
        assert_eq!(SessionHeader::new("ABC").to_string(), "ABC");
    }
}
