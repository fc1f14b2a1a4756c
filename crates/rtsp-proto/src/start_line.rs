use std::borrow::Cow;

use smallvec::SmallVec;

use crate::decode::Role;
use crate::head::Head;
use crate::{Method, Request, Response, StatusCode, Tolerated, Version};

/// The first line of a message: a request line (RFC 2326 section 6.1) or a status line (section
/// 7.1).
#[derive(Debug)]
pub(crate) struct StartLine {
    /// Without headers.
    pub(crate) head: Head,
    pub(crate) oddities: SmallVec<[Tolerated; 4]>,
}

impl StartLine {
    pub(crate) fn parse(line: &[u8], role: Role) -> Option<Self> {
        let text = String::from_utf8_lossy(line);
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return None;
        }
        let mut oddities = SmallVec::new();
        if matches!(text, Cow::Owned(_)) {
            oddities.push(Tolerated::NotText);
        }
        let trimmed = text.trim_start();
        if trimmed.len() != text.len() {
            oddities.push(Tolerated::OddSpaces);
        }
        let head = match parse_protocol(trimmed, role) {
            Some((oddity, rest)) => {
                oddities.extend(oddity);
                Head::Response(parse_status(rest, &mut oddities)?)
            }
            None => Head::Request(parse_request(trimmed, &mut oddities)?),
        };
        oddities.dedup();
        Some(Self { head, oddities })
    }
}

/// The version of a status line, and what follows it.
fn parse_protocol(text: &str, role: Role) -> Option<(Option<Tolerated>, &str)> {
    let end = text.find(BLANKS).unwrap_or(text.len());
    let (protocol, rest) = text.split_at(end);
    let (name, _) = protocol.split_once('/')?;
    if name.eq_ignore_ascii_case("RTSP") {
        let usual = Version::parse(protocol) == Some(Version::RTSP_1_0);
        Some(((!usual).then_some(Tolerated::OddVersion), rest))
    } else if name.eq_ignore_ascii_case("HTTP") && role == Role::Client {
        Some((Some(Tolerated::HttpResponse), rest))
    } else {
        None
    }
}

/// ` 200 OK`.
fn parse_status(text: &str, oddities: &mut SmallVec<[Tolerated; 4]>) -> Option<Response> {
    let code = text.trim_start();
    if text.len() != code.len() + 1 {
        oddities.push(Tolerated::OddSpaces);
    }
    let (digits, reason) = code.split_at_checked(3)?;
    if !digits.bytes().all(|b| b.is_ascii_digit())
        || !reason.is_empty() && !reason.starts_with(BLANKS)
    {
        return None;
    }
    let status = digits.parse().ok().filter(|status| *status >= 100).map(StatusCode)?;
    let mut response = Response::new(status);
    reason.trim().clone_into(&mut response.reason);
    if response.reason.is_empty() {
        oddities.push(Tolerated::NoReason);
    }
    Some(response)
}

/// `OPTIONS * RTSP/1.0`. The URI is all that stands between: some leave blanks in it.
fn parse_request(text: &str, oddities: &mut SmallVec<[Tolerated; 4]>) -> Option<Request> {
    let trimmed = text.trim_end();
    let (method, rest) = trimmed.split_once(BLANKS)?;
    let (written, version) = rest.rsplit_once(BLANKS)?;
    let uri = written.trim();
    if uri.is_empty() {
        return None;
    }
    if trimmed.len() != text.len() || uri.len() != written.len() || uri.contains(BLANKS) {
        oddities.push(Tolerated::OddSpaces);
    }
    let (method, version) = (Method::parse(method)?, Version::parse(version)?);
    Some(Request { version, ..Request::new(method, uri) })
}

const BLANKS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    fn response(line: &str) -> Option<(u16, String, Vec<Tolerated>)> {
        let start = StartLine::parse(line.as_bytes(), Role::Client)?;
        let Head::Response(response) = start.head else { return None };
        Some((response.status.0, response.reason, start.oddities.into_vec()))
    }

    fn request(line: &str) -> Option<(String, String, Vec<Tolerated>)> {
        let start = StartLine::parse(line.as_bytes(), Role::Server)?;
        let Head::Request(request) = start.head else { return None };
        Some((request.method.to_string(), request.uri, start.oddities.into_vec()))
    }

    #[test]
    fn status_lines_come_in_many_ways() {
        use Tolerated::{HttpResponse, NoReason, OddSpaces, OddVersion};
        let cases = [
            ("RTSP/1.0 200 OK", 200, "OK", vec![]),
            ("RTSP/1.0 401 Not you, sorry ", 401, "Not you, sorry", vec![]),
            ("RTSP/1.0 200", 200, "", vec![NoReason]),
            ("RTSP/1.0 200 ", 200, "", vec![NoReason]),
            ("RTSP/1.0  454  Gone", 454, "Gone", vec![OddSpaces]),
            ("rtsp/1.0 200 OK", 200, "OK", vec![]),
            ("RTSP/2.0 200 OK", 200, "OK", vec![OddVersion]),
            ("RTSP/1 200 OK", 200, "OK", vec![OddVersion]),
            ("HTTP/1.1 400 Bad Request", 400, "Bad Request", vec![HttpResponse]),
        ];
        for (line, status, reason, oddities) in cases {
            assert_eq!(response(line), Some((status, reason.to_owned(), oddities)), "{line}");
        }
    }

    #[test]
    fn request_lines_come_in_many_ways() {
        let cases = [
            ("OPTIONS * RTSP/1.0", "OPTIONS", "*", vec![]),
            ("PLAY rtsp://h/a RTSP/2.0", "PLAY", "rtsp://h/a", vec![]),
            ("SETUP  /a b  RTSP/1.0 ", "SETUP", "/a b", vec![Tolerated::OddSpaces]),
        ];
        for (line, method, uri, oddities) in cases {
            assert_eq!(request(line), Some((method.into(), uri.into(), oddities)), "{line}");
        }
    }

    #[test]
    fn other_lines_begin_nothing() {
        for line in [
            "",
            "RTSP/1.0",
            "RTSP/1.0 20",
            "RTSP/1.0 2000 OK",
            "RTSP/1.0 099 OK",
            "RTSP/1.0 +20 OK",
            "RTSP/1.0 20\u{e4} OK",
            "OPTIONS *",
            "OPTIONS RTSP/1.0",
            "OPTIONS * HTTP/1.1",
            "OPT=IONS * RTSP/1.0",
            "OPTIONS *\r RTSP/1.0",
            "OPTIONS * RTSP/+1.0",
        ] {
            assert!(StartLine::parse(line.as_bytes(), Role::Client).is_none(), "{line}");
        }
        assert!(StartLine::parse(b"HTTP/1.1 400 Bad Request", Role::Server).is_none());
    }

    #[test]
    fn text_that_is_not_utf_8_is_replaced() {
        let start = StartLine::parse(b"RTSP/1.0 200 D\xe9j\xe0", Role::Client).unwrap();
        assert_eq!(start.oddities.as_slice(), [Tolerated::NotText]);
    }
}
