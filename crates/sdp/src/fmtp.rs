//! The parameters of a format (`a=fmtp`).

use nom::bytes::complete::{take_till, take_till1};
use nom::character::complete::{char, multispace0};
use nom::combinator::opt;
use nom::sequence::preceded;
use nom::{IResult, Parser};

/// The parameters of one payload type, as they were written.
///
/// Several `a=fmtp` lines of one payload type are read as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fmtp {
    raw: Box<str>,
}

impl Fmtp {
    pub(crate) fn new(raw: &str) -> Self {
        Self { raw: raw.trim().into() }
    }

    /// Adds the parameters of a further line.
    pub(crate) fn extend(&mut self, raw: &str) {
        let glue = if self.raw.is_empty() || self.raw.ends_with(';') { "" } else { ";" };
        self.raw = format!("{}{glue}{}", self.raw, raw.trim()).into();
    }

    /// The value of a parameter, its name in any case; `Some("")` where it has none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All parameters in order, blanks and quotes around the values removed; the value of a
    /// bare word is empty.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters().map(|(name, value)| (name, value.unwrap_or("")))
    }

    /// All parameters in order; the value is `None` where there is no equals sign.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let mut rest: &str = &self.raw;
        std::iter::from_fn(move || {
            let (left, found) = parameter(rest).ok()?;
            rest = left;
            Some(found)
        })
    }

    /// All of it, without the payload type.
    pub fn raw(&self) -> &str {
        &self.raw
    }
}

/// One `name[=value]` and the separators before it.
fn parameter(input: &str) -> IResult<&str, (&str, Option<&str>)> {
    let (input, _) = separators(input)?;
    let (input, name) = take_till1(|c| c == '=' || c == ';').parse(input)?;
    // The value runs to the next semicolon: base64 has equals signs and commas of its own.
    let (input, value) = opt(preceded(char('='), take_till(|c| c == ';'))).parse(input)?;
    let value = value.map(|value| {
        let value = value.trim();
        value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
    });
    Ok((input, (name.trim(), value)))
}

/// Semicolons, blanks, and equals signs that no name precedes.
fn separators(input: &str) -> IResult<&str, ()> {
    let (input, _) = multispace0(input)?;
    let trimmed = input.trim_start_matches(|c: char| c == ';' || c == '=' || c.is_whitespace());
    Ok((trimmed, ()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_values_keep_their_equals_signs() {
        let fmtp = Fmtp::new(
            "packetization-mode=1; Profile-Level-ID=640033;sprop-parameter-sets=Z2QAM6wV==,aO48sA==; ",
        );
        assert_eq!(fmtp.get("profile-level-id"), Some("640033"));
        assert_eq!(fmtp.get("sprop-parameter-sets"), Some("Z2QAM6wV==,aO48sA=="));
        assert_eq!(fmtp.iter().count(), 3);
    }

    #[test]
    fn empty_and_bare_parameters_are_there_without_a_value() {
        let fmtp = Fmtp::new("config=;mode;;=stray; annexb=\"no\"");
        let all: Vec<_> = fmtp.iter().collect();
        assert_eq!(all, [("config", ""), ("mode", ""), ("stray", ""), ("annexb", "no")]);
        assert_eq!(Fmtp::new("").iter().count(), 0);
    }

    #[test]
    fn a_second_line_adds_to_the_first() {
        let mut fmtp = Fmtp::new("a=1");
        fmtp.extend("b=2;");
        fmtp.extend("c=3");
        assert_eq!(fmtp.raw(), "a=1;b=2;c=3");
    }
}
