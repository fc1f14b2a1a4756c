//! Names that stand for many streams: patterns, and what they make of a source.

use std::cmp::Ordering;

use rtsp_proto::url::RtspUrl;

use crate::check::check_stream_name;

/// Wildcards in one pattern: `{1}` to `{9}`.
const MAX_WILDCARDS: usize = 9;

/// A stream's name in which a segment may be `*`, any one segment, and one may be `**`, any one or
/// more in a row.
///
/// Patterns are ordered: of two that fit a name the greater is the more specific one. They are
/// compared segment by segment from the left: a name goes before `*`, `*` before `**`, and what
/// goes on before what has ended. Two that compare as equal never fit the same name.
///
/// ```
/// use proxy_config::Pattern;
///
/// let pattern = Pattern::parse("nvr/*/**")?;
/// assert_eq!(pattern.captures("nvr/2/main/low").as_deref(), Some(&["2", "main/low"][..]));
/// assert_eq!(pattern.captures("nvr/2"), None);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    /// `**`
    Several,
    /// `*`
    One,
    Exactly(String),
}

impl Part {
    fn rank(&self) -> u8 {
        match self {
            Self::Several => 0,
            Self::One => 1,
            Self::Exactly(_) => 2,
        }
    }
}

impl Pattern {
    /// Whether a name in the configuration is meant as a pattern.
    #[must_use]
    pub fn is_meant(name: &str) -> bool {
        name.contains('*')
    }

    /// Reads a pattern.
    ///
    /// # Errors
    /// What would be right, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("`{text}` cannot be a pattern: {what}"));
        let parts: Vec<Part> = text
            .split('/')
            .map(|part| match part {
                "*" => Part::One,
                "**" => Part::Several,
                name => Part::Exactly(name.to_owned()),
            })
            .collect();
        if parts.iter().any(|part| matches!(part, Part::Exactly(name) if name.contains('*'))) {
            return wrong("`*` and `**` stand for whole segments, between slashes");
        }
        if parts.iter().filter(|part| matches!(part, Part::Several)).count() > 1 {
            return wrong("`**` may stand in it once");
        }
        match parts.iter().filter(|part| !matches!(part, Part::Exactly(_))).count() {
            0 => return wrong("there is no `*` in it"),
            1..=MAX_WILDCARDS => {}
            _ => return wrong("it has more than 9 wildcards"),
        }
        // The rest of it, as part of a name that it fits.
        check_stream_name(&text.replace('*', "x"))
            .map_err(|what| what.replace(&text.replace('*', "x"), text))?;
        Ok(Self { text: text.to_owned(), parts })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// How many wildcards it has, 1 to 9.
    #[must_use]
    pub fn wildcards(&self) -> usize {
        self.parts.iter().filter(|part| !matches!(part, Part::Exactly(_))).count()
    }

    /// What each wildcard matches in `name`, in order; `None` if the pattern does not fit, or if it
    /// can be no stream's name. What is matched holds `A-Z a-z 0-9 . _ ~ -`, `/` for `**`, and
    /// never `..`.
    #[must_use]
    pub fn captures<'n>(&self, name: &'n str) -> Option<Vec<&'n str>> {
        if name.contains("..") || check_stream_name(name).is_err() {
            return None;
        }
        let count = name.split('/').count();
        let has_several = self.parts.iter().any(|part| matches!(part, Part::Several));
        // How many segments `**` stands for.
        let span = (count + 1).checked_sub(self.parts.len()).filter(|span| *span > 0)?;
        if span > 1 && !has_several {
            return None;
        }
        let mut captures = Vec::with_capacity(self.wildcards());
        let mut rest = name;
        for part in &self.parts {
            let segments = if matches!(part, Part::Several) { span } else { 1 };
            let end = rest.match_indices('/').nth(segments - 1).map_or(rest.len(), |(at, _)| at);
            let (matched, after) = rest.split_at_checked(end)?;
            rest = after.strip_prefix('/').unwrap_or(after);
            match part {
                Part::Exactly(name) if name == matched => {}
                Part::Exactly(_) => return None,
                Part::One | Part::Several => captures.push(matched),
            }
        }
        Some(captures)
    }

    /// Checks the source of a pattern's streams, in which `{1}` stands for what the first wildcard
    /// matches, and so on.
    ///
    /// # Errors
    /// What would be right, in words: `{n}` belongs in path and query alone, and has to be one of
    /// the pattern's wildcards.
    pub fn check_source(&self, url: &RtspUrl) -> Result<(), String> {
        let has_wildcard = |text: &str| tokens(text).is_ok_and(|tokens| tokens.len() > 1);
        let secrets = url.credentials.iter().flat_map(|c| [c.user.as_str(), c.password.expose()]);
        if secrets.chain([url.host.as_str()]).any(has_wildcard) {
            return Err(PLACES.to_owned());
        }
        let tokens = tokens(&url.path_and_query)?;
        let used = || tokens.iter().filter_map(Token::number);
        if let Some(number) = used().find(|number| !(1..=self.wildcards()).contains(number)) {
            return Err(format!(
                "there is no {{{number}}}: `{}` has {}",
                self.text,
                match self.wildcards() {
                    1 => "one wildcard, {1}".to_owned(),
                    n => format!("the wildcards {{1}} to {{{n}}}"),
                }
            ));
        }
        if used().next().is_none() {
            return Err(format!(
                "the source of `{}` needs {{1}}, which stands for what its first wildcard matches",
                self.text
            ));
        }
        if url.path_and_query.contains("..") {
            return Err("`..` cannot stand in the source of a pattern".to_owned());
        }
        match PROBES.iter().all(|probe| fill(url, |_| Some(probe)).is_some()) {
            true => Ok(()),
            false => Err(PLACES.to_owned()),
        }
    }

    /// The source of the stream with this name: `url` with what the wildcards match in place of
    /// `{1}` and so on. Only path and query differ from it. `None` if the pattern does not fit, or
    /// if what comes of it would be another place or holds `..`.
    #[must_use]
    pub fn fill(&self, url: &RtspUrl, name: &str) -> Option<RtspUrl> {
        let captures = self.captures(name)?;
        fill(url, |number| captures.get(number.checked_sub(1)?).copied())
    }
}

/// What is wrong with a text that is no URL, where that is a wildcard in the wrong place.
pub(crate) fn misplaced(text: &str) -> Option<&'static str> {
    let tokens = tokens(text).ok().filter(|tokens| tokens.len() > 1)?;
    let is_url =
        |probe| RtspUrl::parse(&join(&tokens, |_| Some(probe)).unwrap_or_default()).is_ok();
    PROBES.iter().any(|probe| is_url(probe)).then_some(PLACES)
}

/// What wildcards may match, to see where it would lead.
const PROBES: &[&str] = &["a", "1"];

const PLACES: &str = "{1} and the like may stand in path and query alone: no reader chooses host, \
                      port, user or password";

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Pattern {}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pattern {
    fn cmp(&self, other: &Self) -> Ordering {
        self.parts.iter().map(Part::rank).cmp(other.parts.iter().map(Part::rank))
    }
}

fn fill<'v>(url: &RtspUrl, value: impl Fn(usize) -> Option<&'v str>) -> Option<RtspUrl> {
    let path = join(&tokens(&url.path_and_query).ok()?, value)?;
    if path.contains("..") {
        return None;
    }
    let mut filled = url.clone();
    filled.path_and_query = path;
    // The backend reads it as we do.
    let read = RtspUrl::parse(&filled.to_request()).ok()?;
    let is_same = (read.scheme, &read.host, read.port) == (url.scheme, &url.host, url.port)
        && read.credentials.is_none()
        && read.path_and_query == filled.path_and_query;
    is_same.then_some(filled)
}

/// A piece of a source.
enum Token<'t> {
    Text(&'t str),
    /// `{1}` to `{9}`; or a number that no pattern has.
    Wildcard(usize),
}

impl Token<'_> {
    fn number(&self) -> Option<usize> {
        match self {
            Self::Text(_) => None,
            Self::Wildcard(number) => Some(*number),
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        tokens.push(Token::Text(before));
        let (number, after) = after
            .split_once('}')
            .filter(|(inner, _)| inner.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(BRACE)?;
        tokens.push(Token::Wildcard(number.parse().map_err(|_| BRACE)?));
        rest = after;
    }
    tokens.push(Token::Text(rest));
    if tokens.iter().any(|token| matches!(token, Token::Text(text) if text.contains('}'))) {
        return Err(BRACE.to_owned());
    }
    Ok(tokens)
}

const BRACE: &str =
    "braces stand around a wildcard's number, as in {1}; a brace itself is written %7B or %7D";

fn join<'v>(tokens: &[Token<'_>], value: impl Fn(usize) -> Option<&'v str>) -> Option<String> {
    let mut out = String::new();
    for token in tokens {
        match *token {
            Token::Text(text) => out.push_str(text),
            Token::Wildcard(number) => out.push_str(value(number)?),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests;
