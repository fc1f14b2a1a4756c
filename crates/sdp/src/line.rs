//! One line of a description, understood or not.

use std::fmt;

/// A line as it was read, without its line end.
///
/// It never holds a carriage return or a line feed, so that a line cannot become two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The type letter; `None` for a line that has none and is kept only to be written back.
    letter: Option<char>,
    value: Box<str>,
}

impl Line {
    /// The line `letter=value`. Control characters of `value` are left out.
    pub fn new(letter: char, value: &str) -> Self {
        Self { letter: Some(letter), value: printable(value) }
    }

    /// The line `a=name:value`.
    pub(crate) fn attribute_of(name: &str, value: &str) -> Self {
        Self::new('a', &format!("{name}:{value}"))
    }

    /// Reads one line: `None` if it is blank.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let mut rest = text.chars();
        match (rest.next(), rest.next()) {
            (None, _) => None,
            (Some(letter @ 'a'..='z'), Some('=')) => {
                Some(Self { letter: Some(letter), value: printable(rest.as_str()) })
            }
            _ => Some(Self { letter: None, value: printable(text.trim_end()) }),
        }
    }

    /// The type letter, `None` for a line that is not of the form `letter=value`.
    pub fn letter(&self) -> Option<char> {
        self.letter
    }

    /// What follows the `=`; of a line without type letter, all of it.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Name and value of an `a=` line; the value is `None` for a flag such as `a=recvonly`.
    pub fn attribute(&self) -> Option<(&str, Option<&str>)> {
        if self.letter != Some('a') {
            return None;
        }
        Some(match self.value.split_once(':') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (self.value.trim(), None),
        })
    }

    /// Whether this is the attribute `name` (case is not looked at).
    pub(crate) fn is_attribute(&self, name: &str) -> bool {
        self.attribute().is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.letter {
            Some(letter) => write!(f, "{letter}={}", self.value),
            None => f.write_str(&self.value),
        }
    }
}

/// The value of the first attribute `name`; `Some("")` for a flag.
pub(crate) fn find_attribute<'a>(lines: &'a [Line], name: &str) -> Option<&'a str> {
    lines
        .iter()
        .filter_map(Line::attribute)
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.unwrap_or(""))
}

/// The value of the first line with this letter.
pub(crate) fn find_value(lines: &[Line], letter: char) -> Option<&str> {
    lines.iter().find(|line| line.letter == Some(letter)).map(Line::value)
}

fn printable(text: &str) -> Box<str> {
    if text.chars().any(is_unprintable) {
        text.chars().filter(|&c| !is_unprintable(c)).collect()
    } else {
        text.into()
    }
}

/// Characters that no line may hold: they would end it early for a reader written in C, or,
/// as byte order marks, hide its first letter.
pub(crate) fn is_unprintable(c: char) -> bool {
    (c.is_ascii_control() && c != '\t') || c == '\u{feff}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_keeps_its_blanks_and_colons() {
        let line = Line::read("a=x-dimensions: 704, 576 ").unwrap();
        assert_eq!(line.attribute(), Some(("x-dimensions", Some("704, 576"))));
        assert_eq!(line.to_string(), "a=x-dimensions: 704, 576 ");
        assert_eq!(Line::read("s= ").unwrap().value(), " ");
    }

    #[test]
    fn a_line_without_letter_is_kept_as_it_is() {
        for text in ["hello", "A=upper", "=x", "a", "control:*"] {
            let line = Line::read(text).unwrap();
            assert_eq!((line.letter(), line.value()), (None, text));
            assert_eq!(line.attribute(), None);
        }
        assert_eq!(Line::read(" \t "), None);
    }

    #[test]
    fn a_value_cannot_smuggle_in_a_line() {
        assert_eq!(
            Line::new('s', "x\r\nm=audio 0 RTP/AVP 0").to_string(),
            "s=xm=audio 0 RTP/AVP 0"
        );
    }
}
