//! The part of a description before its first media section.

use crate::direction::Direction;
use crate::line::{Line, find_attribute, find_value};

/// All lines before the first `m=`, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionSection {
    /// What was read and what is written: the accessors are views of these.
    pub lines: Vec<Line>,
}

impl SessionSection {
    /// The name (`s=`), without blanks around it; `None` where it is missing or blank.
    pub fn name(&self) -> Option<&str> {
        find_value(&self.lines, 's').map(str::trim).filter(|name| !name.is_empty())
    }

    /// The origin (`o=`), `None` where it is missing or has too few fields.
    pub fn origin(&self) -> Option<Origin<'_>> {
        Origin::read(find_value(&self.lines, 'o')?)
    }

    /// The URL of aggregate control as written, `None` where it is missing or empty.
    pub fn control(&self) -> Option<&str> {
        self.attribute("control").filter(|control| !control.is_empty())
    }

    /// The range (`a=range`), such as `npt=now-`.
    pub fn range(&self) -> Option<&str> {
        self.attribute("range").filter(|range| !range.is_empty())
    }

    /// The value of the first attribute of this name in any case; `Some("")` for a flag.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find_attribute(&self.lines, name)
    }

    /// All attributes in order; the value is `None` for a flag.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.lines.iter().filter_map(Line::attribute)
    }

    /// The direction that media sections without one of their own have.
    pub fn direction(&self) -> Option<Direction> {
        Direction::among(&self.lines)
    }
}

/// RFC 8866 section 5.2, as text: cameras write negative and overlong numbers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The user name, usually `-`; with the blanks that some cameras put into it.
    pub username: &'a str,
    /// The session's identity.
    pub session_id: &'a str,
    /// Grows with each change.
    pub version: &'a str,
    /// `IP4` or `IP6`.
    pub address_type: &'a str,
    /// The address as written, which may be anything.
    pub address: &'a str,
}

impl<'a> Origin<'a> {
    /// Reads the value of an `o=` line from its end, so that a blank in the user name does no
    /// harm.
    pub(crate) fn read(value: &'a str) -> Option<Self> {
        let mut fields = value.trim().rsplitn(6, char::is_whitespace);
        let mut next = || fields.next().filter(|field| !field.is_empty());
        let address = next()?;
        let address_type = next()?;
        let _network = next()?;
        let version = next()?;
        let session_id = next()?;
        let username = next()?.trim();
        Some(Self { username, session_id, version, address_type, address })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_may_have_negative_numbers_and_a_blank_in_its_name() {
        let origin = Origin::read("RTSP Session -2208988800 -1 IN IP4 0.0.0.0").unwrap();
        assert_eq!(origin.username, "RTSP Session");
        assert_eq!((origin.session_id, origin.version), ("-2208988800", "-1"));
        assert_eq!((origin.address_type, origin.address), ("IP4", "0.0.0.0"));
        assert_eq!(Origin::read("- 1 1 IN IP4"), None);
        assert_eq!(Origin::read(""), None);
    }
}
