//! RTSP on the wire (RFC 2326): requests in, answers out.

use std::fmt::Write as _;

/// What a client can send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    Request(Request),
    /// An interleaved packet (section 10.12).
    Packet {
        channel: u8,
        data: &'a [u8],
    },
}

/// A request without its body, which nothing here needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) uri: String,
    headers: Vec<(String, String)>,
}

/// The bytes are not RTSP, or more than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Request {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn cseq(&self) -> Option<u32> {
        self.header("CSeq")?.parse().ok()
    }

    /// The session's name, without parameters.
    pub(crate) fn session(&self) -> Option<&str> {
        self.header("Session")?.split(';').next().map(str::trim)
    }
}

/// Takes the first message from `buffer`: the message and how many bytes it was, or `None` when
/// there is not yet a whole one.
pub(crate) fn next(buffer: &[u8]) -> Result<Option<(Incoming<'_>, usize)>, Malformed> {
    let blank = blank(buffer);
    let message = buffer.get(blank..).unwrap_or_default();
    if let Some(&[b'$', channel, high, low]) = message.first_chunk() {
        let end = 4 + usize::from(u16::from_be_bytes([high, low]));
        let packet = message.get(4..end);
        return Ok(packet.map(|data| (Incoming::Packet { channel, data }, blank + end)));
    }
    if message.first() == Some(&b'$') {
        return Ok(None);
    }
    let Some(head_length) = head_length(message) else {
        return if message.len() > MAX_HEAD {
            Err(Malformed("headers too long"))
        } else {
            Ok(None)
        };
    };
    let head = message.get(..head_length).unwrap_or_default();
    let head = std::str::from_utf8(head).map_err(|_| Malformed("not UTF-8"))?;
    let mut lines = head.split('\n').map(|line| line.trim_end_matches('\r'));
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(uri), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Malformed("no request line"));
    };
    let token = |method: &str| !method.is_empty() && method.bytes().all(|b| b.is_ascii_graphic());
    if !version.starts_with("RTSP/") || !token(method) {
        return Err(Malformed("no RTSP request"));
    }
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in lines.filter(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            let Some((_, value)) = headers.last_mut() else {
                return Err(Malformed("a header begins with its continuation"));
            };
            value.push(' ');
            value.push_str(line.trim());
            continue;
        }
        let (name, value) = line.split_once(':').ok_or(Malformed("a header without a colon"))?;
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
        if headers.len() > MAX_HEADERS {
            return Err(Malformed("too many headers"));
        }
    }
    let request = Request { method: method.to_owned(), uri: uri.to_owned(), headers };
    let body = match request.header("Content-Length") {
        None => 0,
        Some(length) => length.parse().map_err(|_| Malformed("no number in Content-Length"))?,
    };
    if body > MAX_BODY {
        return Err(Malformed("body too long"));
    }
    let end = head_length + body;
    if message.len() < end {
        return Ok(None);
    }
    Ok(Some((Incoming::Request(request), blank + end)))
}

/// How many bytes of empty lines precede the first message; they are passed over.
pub(crate) fn blank(buffer: &[u8]) -> usize {
    buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// The length of the request line and headers with the empty line behind them.
fn head_length(message: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (index, _) in message.iter().enumerate().take(MAX_HEAD).filter(|&(_, &b)| b == b'\n') {
        if matches!(message.get(line_start..index), Some([] | [b'\r'])) {
            return Some(index + 1);
        }
        line_start = index + 1;
    }
    None
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: String,
    body: String,
}

impl Answer {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, headers: String::new(), body: String::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.headers, "{name}: {value}\r\n");
        self
    }

    pub(crate) fn body(mut self, content_type: &str, body: String) -> Self {
        self = self
            .header("Content-Type", content_type)
            .header("Content-Length", &body.len().to_string());
        self.body = body;
        self
    }

    pub(crate) fn to_bytes(&self, cseq: Option<&str>) -> Vec<u8> {
        let mut text = format!("RTSP/1.0 {} {}\r\n", self.status, reason(self.status));
        if let Some(cseq) = cseq {
            let _ = write!(text, "CSeq: {cseq}\r\n");
        }
        let _ = write!(text, "Server: test-camera\r\n{}\r\n{}", self.headers, self.body);
        text.into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "RTSP Version Not Supported",
        _ => "Unspecified",
    }
}

/// The path of a URI without leading and trailing slashes and without the query.
pub(crate) fn path(uri: &str) -> &str {
    let after = match uri.split_once("://") {
        Some((_, after)) => after.split_once('/').map_or("", |(_, path)| path),
        None => uri,
    };
    after.split(['?', '#']).next().unwrap_or_default().trim_matches('/')
}

/// A URI without query and trailing slashes.
pub(crate) fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/')
}

/// A transport that a client proposes (section 12.39), as far as the camera can offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proposal {
    Udp {
        rtp: u16,
        rtcp: u16,
    },
    Interleaved(Option<(u8, u8)>),
    /// To the group that the camera chooses.
    Group,
}

/// The proposals of a Transport header that are understood, in the client's order.
pub(crate) fn proposals(transport: &str) -> impl Iterator<Item = Proposal> + '_ {
    transport.split(',').filter_map(|spec| {
        let mut parameters = spec.split(';').map(str::trim);
        let protocol = parameters.next()?.to_ascii_uppercase();
        let parameters: Vec<&str> = parameters.collect();
        if parameters.iter().any(|parameter| parameter.eq_ignore_ascii_case("multicast")) {
            return protocol
                .strip_prefix("RTP/AVP")
                .filter(|rest| *rest != "/TCP")
                .map(|_| Proposal::Group);
        }
        let pair = |name: &str| {
            let value = parameters.iter().find_map(|parameter| {
                let (other, value) = parameter.split_once('=')?;
                other.trim().eq_ignore_ascii_case(name).then_some(value.trim())
            })?;
            let (first, second) = value.split_once('-').unwrap_or((value, ""));
            Some((first.trim().parse::<u16>().ok()?, second.trim().parse::<u16>().ok()))
        };
        match protocol.as_str() {
            "RTP/AVP" | "RTP/AVP/UDP" => {
                let (rtp, rtcp) = pair("client_port")?;
                let rtcp = rtcp.or_else(|| rtp.checked_add(1))?;
                (rtp > 0 && rtcp > 0).then_some(Proposal::Udp { rtp, rtcp })
            }
            "RTP/AVP/TCP" => Some(Proposal::Interleaved(match pair("interleaved") {
                None => None,
                Some((rtp, rtcp)) => {
                    let rtp = u8::try_from(rtp).ok()?;
                    let rtcp = match rtcp {
                        Some(rtcp) => u8::try_from(rtcp).ok()?,
                        None => rtp.checked_add(1)?,
                    };
                    Some((rtp, rtcp))
                }
            })),
            _ => None,
        }
    })
}

const MAX_HEAD: usize = 16 << 10;
const MAX_HEADERS: usize = 100;
const MAX_BODY: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: &[u8] = b"\r\nSETUP rtsp://h/cam/trackID=1 RTSP/1.0\r\nCSeq: 3\r\n\
        Transport: RTP/AVP;unicast;\r\n client_port=5000-5001\r\nSession: ab;timeout=3\r\n\r\n\
        $\x01\x00\x03abcSET_PARAMETER * RTSP/1.0\nCSeq:4\nContent-Length: 5\n\nhello";

    fn all(mut buffer: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        while let Some((incoming, length)) = next(buffer).unwrap() {
            found.push(format!("{incoming:?}"));
            buffer = &buffer[length..];
        }
        assert!(buffer.is_empty());
        found
    }

    #[test]
    fn messages_are_the_same_however_they_arrive() {
        let whole = all(REQUESTS);
        assert_eq!(whole.len(), 3);
        assert!(whole[0].contains("client_port=5000-5001"));
        // Byte by byte: a message appears when its last byte is there, not before.
        let (mut start, mut found) = (0, Vec::new());
        for end in 0..=REQUESTS.len() {
            if let Some((incoming, length)) = next(&REQUESTS[start..end]).unwrap() {
                assert_eq!(start + length, end);
                found.push(format!("{incoming:?}"));
                start = end;
            }
        }
        assert_eq!(found, whole);
    }

    #[test]
    fn a_request_tells_its_headers() {
        let Some((Incoming::Request(request), _)) = next(REQUESTS).unwrap() else { panic!() };
        assert_eq!(request.cseq(), Some(3));
        assert_eq!(request.session(), Some("ab"));
        assert_eq!(request.header("TRANSPORT"), Some("RTP/AVP;unicast; client_port=5000-5001"));
    }

    #[test]
    fn what_is_no_request_is_refused_and_nothing_grows_without_end() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"OPTIONS *\r\n\r\n",
            b"RTSP/1.0 200 OK\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nno colon\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\n folded\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nContent-Length: -1\r\n\r\n",
            b"OPTIONS * RTSP/1.0\r\nContent-Length: 99999999\r\n\r\n",
            b"\xFF\xFE * RTSP/1.0\r\n\r\n",
        ] {
            assert!(next(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert!(next(&vec![b'a'; MAX_HEAD + 1]).is_err());
        assert_eq!(next(b"$\x00\xFF\xFF.."), Ok(None));
        assert_eq!(next(b"$"), Ok(None));
        assert_eq!(next(b"\r\n\r\n"), Ok(None));
    }

    #[test]
    fn transports_are_read_in_the_order_proposed() {
        let read = |text| proposals(text).collect::<Vec<_>>();
        assert_eq!(
            read("RTP/AVP;unicast;client_port=5000-5001"),
            [Proposal::Udp { rtp: 5000, rtcp: 5001 }]
        );
        assert_eq!(
            read("RTP/AVP/UDP;multicast;client_port=1-2, RTP/AVP/TCP;unicast;interleaved=2-3"),
            [Proposal::Group, Proposal::Interleaved(Some((2, 3)))]
        );
        assert_eq!(
            read("RTP/AVP/TCP;unicast,RTP/AVP;unicast;client_port=7000"),
            [Proposal::Interleaved(None), Proposal::Udp { rtp: 7000, rtcp: 7001 }]
        );
        assert_eq!(read("RTP/AVP/TCP;interleaved=300-301"), []);
        assert_eq!(read("RTP/AVP;unicast;client_port=65535"), []);
        assert_eq!(read(";;,,=,"), []);
    }

    #[test]
    fn paths_are_told_from_uris() {
        assert_eq!(path("rtsp://h:554/cam1/?a=b"), "cam1");
        assert_eq!(path("rtsp://h:554"), "");
        assert_eq!(path("*"), "*");
        assert_eq!(path("rtsp://[::1]:5/cam/trackID=1"), "cam/trackID=1");
        assert_eq!(without_query("rtsp://h/cam/?x"), "rtsp://h/cam");
    }
}
