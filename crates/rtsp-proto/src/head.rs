//! The lines of a message before its body.

use bytes::Bytes;

use crate::decode::{Frame, Role};
use crate::start_line::StartLine;
use crate::text::is_token;
use crate::tolerated::Tolerations;
use crate::{DecodeErrorKind, Headers, Limits, Request, Response, Tolerated};

/// A message whose body is still to come.
#[derive(Debug)]
pub(crate) enum Head {
    Request(Request),
    Response(Response),
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    Known(usize),
    /// As long as it looks like a description.
    Untold,
}

impl Head {
    /// Reads all lines, the empty one at the end included. An error comes with its place.
    pub(crate) fn parse(
        bytes: &[u8],
        role: Role,
        limits: &Limits,
        tolerated: &mut Tolerations,
    ) -> Result<Self, (usize, DecodeErrorKind)> {
        let mut lines = Lines { bytes, at: 0, bare_line_feeds: false };
        let (at, first) = lines.next().unwrap_or_default();
        let start = StartLine::parse(first, role).ok_or((at, DecodeErrorKind::BadStartLine))?;
        for oddity in start.oddities {
            tolerated.note(oddity);
        }
        let mut reader = HeaderReader { role, limits, tolerated, headers: Headers::new() };
        for (at, line) in lines.by_ref() {
            reader.line(line).map_err(|kind| (at, kind))?;
        }
        let mut head = start.head;
        *head.headers_mut() = reader.headers;
        if lines.bare_line_feeds {
            tolerated.note(Tolerated::BareLineFeeds);
        }
        Ok(head)
    }

    pub(crate) fn headers(&self) -> &Headers {
        match self {
            Self::Request(request) => &request.headers,
            Self::Response(response) => &response.headers,
        }
    }

    fn headers_mut(&mut self) -> &mut Headers {
        match self {
            Self::Request(request) => &mut request.headers,
            Self::Response(response) => &mut response.headers,
        }
    }

    /// The whole message.
    pub(crate) fn with_body(self, body: Bytes) -> Frame {
        match self {
            Self::Request(request) => Frame::Request(Request { body, ..request }),
            Self::Response(response) => Frame::Response(Response { body, ..response }),
        }
    }

    /// How long the body is (RFC 2326 section 4.4).
    pub(crate) fn body_length(
        &self,
        role: Role,
        tolerated: &mut Tolerations,
    ) -> Result<BodyLength, DecodeErrorKind> {
        let mut length = None;
        for value in self.headers().get_all("Content-Length") {
            let value = value.trim();
            let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
            // A number past all limits is still a number.
            let read = digits.then(|| value.parse().unwrap_or(usize::MAX));
            let lenient = match (role, length, read) {
                (_, None, Some(_)) => None,
                (_, Some(last), Some(read)) if last == read => None,
                (Role::Server, ..) => return Err(DecodeErrorKind::BadContentLength),
                (Role::Client, _, None) => Some(Tolerated::BadContentLength),
                (Role::Client, Some(_), Some(_)) => Some(Tolerated::SeveralContentLengths),
            };
            if let Some(lenient) = lenient {
                tolerated.note(lenient);
            }
            length = read.or(length);
        }
        Ok(match length {
            Some(length) => BodyLength::Known(length),
            None if role == Role::Client && self.is_description() => {
                tolerated.note(Tolerated::NoContentLength);
                BodyLength::Untold
            }
            None => BodyLength::Known(0),
        })
    }

    pub(crate) fn is_response_without_cseq(&self) -> bool {
        matches!(self, Self::Response(response) if response.cseq().is_none())
    }

    /// Whether its body ought to end with a line: a description, by its type or its first line.
    pub(crate) fn is_cut(&self, body: &[u8]) -> bool {
        let looks = body.trim_ascii_start().starts_with(b"v=0");
        matches!(self, Self::Response(response) if response.status.is_success())
            && (looks || (self.is_description() && !body.is_empty()))
            && !body.ends_with(b"\n")
    }

    fn is_description(&self) -> bool {
        let Self::Response(response) = self else { return false };
        let kind = response.headers.get("Content-Type").unwrap_or_default();
        response.status.is_success()
            && kind.get(..15).is_some_and(|kind| kind.eq_ignore_ascii_case("application/sdp"))
    }
}

/// The lines up to the empty one, without their ends, and where they begin.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    bare_line_feeds: bool,
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..)?;
        let end = rest.iter().position(|b| *b == b'\n')?;
        let (line, at) = (rest.get(..end)?, self.at);
        self.at += end + 1;
        let bare = line.strip_suffix(b"\r");
        self.bare_line_feeds |= bare.is_none();
        let line = bare.unwrap_or(line);
        (!line.is_empty()).then_some((at, line))
    }
}

struct HeaderReader<'a> {
    role: Role,
    limits: &'a Limits,
    tolerated: &'a mut Tolerations,
    headers: Headers,
}

impl HeaderReader<'_> {
    fn line(&mut self, line: &[u8]) -> Result<(), DecodeErrorKind> {
        let text = String::from_utf8_lossy(line);
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.tolerated.note(Tolerated::NotText);
        }
        let control = |c: char| c.is_control() && c != '\t';
        if text.contains(control) {
            self.lenient(Tolerated::NotText)?;
        }
        let text = text.replace(control, " ");
        if text.starts_with([' ', '\t']) {
            if self.headers.continue_last(text.trim()) {
                self.tolerated.note(Tolerated::FoldedHeader);
                return Ok(());
            }
            self.lenient(Tolerated::OddSpaces)?;
        }
        let (name, value) = text.split_once(':').unwrap_or_default();
        if name.ends_with([' ', '\t']) {
            self.tolerated.note(Tolerated::OddSpaces);
        }
        let name = name.trim();
        if name.is_empty() || self.role == Role::Server && !is_token(name) {
            return self.lenient(Tolerated::NoHeader);
        }
        if self.headers.len() >= self.limits.headers {
            return Err(DecodeErrorKind::TooManyHeaders { limit: self.limits.headers });
        }
        self.headers.push(name, value.trim());
        Ok(())
    }

    /// What only a client puts up with.
    fn lenient(&mut self, what: Tolerated) -> Result<(), DecodeErrorKind> {
        match self.role {
            Role::Server => Err(DecodeErrorKind::BadHeader),
            Role::Client => {
                self.tolerated.note(what);
                Ok(())
            }
        }
    }
}
