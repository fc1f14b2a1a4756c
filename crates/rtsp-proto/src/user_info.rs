//! Where the user information of a URL ends.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use crate::UrlError;

/// What follows the scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    pub(crate) user_info: Option<&'a str>,
    /// Without brackets.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    /// From the first `/` or `?`.
    pub(crate) rest: &'a str,
}

impl<'a> Authority<'a> {
    /// The user information ends at the last `@` after which the rest parses as
    /// `host[:port][/...]`: people do not encode `@`, `/` and `#` in passwords.
    pub(crate) fn parse(text: &'a str) -> Result<Self, UrlError> {
        for (at, _) in text.rmatch_indices('@') {
            let (user_info, rest) = (text.get(..at), text.get(at + 1..).unwrap_or_default());
            if let Ok(authority) = Self::without_user_info(rest) {
                return Ok(Self { user_info, ..authority });
            }
        }
        // Without a place for it: the error is about what stands where a host belongs.
        let end = text.find(['/', '?']).unwrap_or(text.len());
        let start = text.get(..end).and_then(|text| text.rfind('@')).map_or(0, |at| at + 1);
        Self::without_user_info(text.get(start..).unwrap_or_default())
    }

    fn without_user_info(text: &'a str) -> Result<Self, UrlError> {
        let (host, rest) = match text.strip_prefix('[') {
            Some(bracketed) => {
                let ends = |c: char| !c.is_ascii_alphanumeric() && !":.%-_".contains(c);
                let (address, rest) =
                    bracketed.split_at(bracketed.find(ends).unwrap_or(bracketed.len()));
                let rest = rest.strip_prefix(']').ok_or(UrlError::BadHost)?;
                let bare = address.split_once('%').map_or(address, |(bare, _zone)| bare);
                bare.parse::<Ipv6Addr>().map_err(|_| UrlError::BadHost)?;
                (address, rest)
            }
            None => {
                let ends = |c: char| !c.is_ascii_alphanumeric() && !".-_".contains(c);
                let (host, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
                if host.is_empty() && (rest.is_empty() || rest.starts_with([':', '/', '?'])) {
                    return Err(UrlError::NoHost);
                }
                if !host.bytes().any(|b| b.is_ascii_alphanumeric()) {
                    return Err(UrlError::BadHost);
                }
                (host, rest)
            }
        };
        let (port, rest) = match rest.strip_prefix(':') {
            Some(rest) => {
                let ends = |c: char| !c.is_ascii_digit();
                let (port, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
                if !rest.is_empty() && !rest.starts_with(['/', '?']) {
                    return Err(UrlError::BadPort);
                }
                (parse_port(port)?, rest)
            }
            None => (None, rest),
        };
        if !rest.is_empty() && !rest.starts_with(['/', '?']) {
            return Err(UrlError::BadHost);
        }
        Ok(Self { user_info: None, host, port, rest })
    }
}

/// Nothing at all is the usual port.
fn parse_port(text: &str) -> Result<Option<u16>, UrlError> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().ok().filter(|port| *port != 0).map(Some).ok_or(UrlError::BadPort)
}

/// Percent-decodes; text that gives no UTF-8 is meant as it stands, and so is a `%` without two
/// digits.
pub(crate) fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let decoded = match after {
            [high, low, after @ ..] if *first == b'%' => {
                hex_value(*high).zip(hex_value(*low)).map(|(high, low)| (high << 4 | low, after))
            }
            _ => None,
        };
        let (byte, after) = decoded.unwrap_or((*first, after));
        out.push(byte);
        rest = after;
    }
    String::from_utf8(out).map_or(Cow::Borrowed(text), Cow::Owned)
}

pub(crate) fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_escapes_are_decoded() {
        assert_eq!(percent_decode("p%40ss%2f"), "p@ss/");
        assert_eq!(percent_decode("100%"), "100%");
        assert_eq!(percent_decode("%4"), "%4");
        assert_eq!(percent_decode("%zz%41"), "%zzA");
        assert_eq!(percent_decode("%C3%A4"), "\u{e4}");
        assert_eq!(percent_decode("%E4"), "%E4");
    }
}
