//! The grammars that header values are made of. They read on after whatever they do not
//! understand.

use nom::branch::alt;
use nom::bytes::complete::{is_not, take_till, take_till1};
use nom::character::complete::{anychar, char, multispace0};
use nom::combinator::{opt, recognize};
use nom::multi::many0_count;
use nom::sequence::{pair, preceded};
use nom::{IResult, Parser};

/// `name` or `name=value`, without the blanks and quotes around them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Param<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Option<&'a str>,
}

/// Parameters with semicolons between them; empty ones are passed over.
pub(crate) fn params(text: &str) -> impl Iterator<Item = Param<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (after, param) = param(rest).ok()?;
            rest = after;
            if !param.name.is_empty() {
                return Some(param);
            }
        }
        None
    })
}

/// The items of a list with commas between them; a comma in quotes is none. No item is empty.
pub(crate) fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (after, item) = item(rest).ok()?;
            rest = after;
            if !item.trim().is_empty() {
                return Some(item.trim());
            }
        }
        None
    })
}

/// What challenges and credentials consist of (RFC 7235 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthPart<'a> {
    Scheme(&'a str),
    /// The value as between its quotes, escapes included.
    Param {
        name: &'a str,
        value: &'a str,
    },
}

/// The parts of a challenge or of credentials, commas or not. A bare word is a scheme where one
/// may stand, or if it is one we know: some write `realm=IP Camera`.
pub(crate) fn auth_parts(text: &str) -> impl Iterator<Item = AuthPart<'_>> {
    let mut rest = text;
    let mut scheme_may_stand = true;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let blank = rest.len() - rest.trim_start().len();
            rest = rest.get(blank..)?;
            if let Some(after) = rest.strip_prefix(',') {
                rest = after;
                scheme_may_stand = true;
                continue;
            }
            let Ok((after, (word, value))) = auth_part(rest) else {
                rest = rest.get(rest.chars().next().map_or(0, char::len_utf8)..)?;
                continue;
            };
            rest = after;
            let may_stand = std::mem::replace(&mut scheme_may_stand, false);
            if let Some(value) = value {
                return Some(AuthPart::Param { name: word, value });
            }
            let known = ["Basic", "Digest"].iter().any(|known| word.eq_ignore_ascii_case(known));
            if may_stand || known {
                return Some(AuthPart::Scheme(word));
            }
        }
        None
    })
}

fn param(input: &str) -> IResult<&str, Param<'_>> {
    let value = preceded((char('='), multispace0), alt((quoted, take_till(|c| c == ';'))));
    let (rest, (name, value)) = (take_till(|c| c == '=' || c == ';'), opt(value)).parse(input)?;
    let (rest, _) = pair(take_till(|c| c == ';'), opt(char(';'))).parse(rest)?;
    Ok((rest, Param { name: name.trim(), value: value.map(str::trim) }))
}

fn item(input: &str) -> IResult<&str, &str> {
    let mut text = recognize(many0_count(alt((recognize(quoted), is_not("\",")))));
    let (rest, item) = text.parse(input)?;
    let (rest, _) = opt(char(',')).parse(rest)?;
    Ok((rest, item))
}

fn auth_part(input: &str) -> IResult<&str, (&str, Option<&str>)> {
    let bare = take_till(|c: char| c == ',' || c.is_whitespace());
    let value = preceded((multispace0, char('='), multispace0), alt((quoted, bare)));
    let word = take_till1(|c: char| c.is_whitespace() || ",=\"".contains(c));
    (word, opt(value)).parse(input)
}

/// What stands between quotes, escapes included. The second quote may be missing.
fn quoted(input: &str) -> IResult<&str, &str> {
    let escaped = recognize(pair(char('\\'), opt(anychar)));
    let inside = recognize(many0_count(alt((is_not("\"\\"), escaped))));
    let (rest, (_, inside, _)) = (char('"'), inside, opt(char('"'))).parse(input)?;
    Ok((rest, inside))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(name: &str) -> Param<'_> {
        Param { name, value: None }
    }

    fn valued<'a>(name: &'a str, value: &'a str) -> Param<'a> {
        Param { name, value: Some(value) }
    }

    #[test]
    fn blanks_and_quotes_around_parameters_do_not_count() {
        let read: Vec<_> = params(" RTP/AVP ;; ssrc= 123 ; mode = \"a;b\" x;empty=;last").collect();
        let expected = [
            named("RTP/AVP"),
            valued("ssrc", "123"),
            valued("mode", "a;b"),
            valued("empty", ""),
            named("last"),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_comma_in_quotes_does_not_end_an_item() {
        let read: Vec<_> = items("a;mode=\"X,Y\", b ,,\"open, c").collect();
        assert_eq!(read, ["a;mode=\"X,Y\"", "b", "\"open, c"]);
    }

    #[test]
    fn a_word_is_a_scheme_only_where_one_may_stand() {
        let read: Vec<_> =
            auth_parts("Digest realm=IP Camera, nonce = \"a\\\"b\" Basic realm=x, Other").collect();
        let param = |name, value| AuthPart::Param { name, value };
        let expected = [
            AuthPart::Scheme("Digest"),
            param("realm", "IP"),
            param("nonce", "a\\\"b"),
            AuthPart::Scheme("Basic"),
            param("realm", "x"),
            AuthPart::Scheme("Other"),
        ];
        assert_eq!(read, expected);
    }

    proptest! {
        #[test]
        fn arbitrary_text_ends(text in "[a=;,\" \\\\\u{e4}]{0,24}") {
            prop_assert!(params(&text).count() <= text.len());
            prop_assert!(items(&text).count() <= text.len());
            prop_assert!(auth_parts(&text).count() <= text.len());
        }
    }
}
