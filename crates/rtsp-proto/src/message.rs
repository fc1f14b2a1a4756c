use bytes::Bytes;

use crate::text::{leading_u32, push_in_line, push_uri};
use crate::{Headers, Method, StatusCode, Version};

/// A request (RFC 2326 section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub method: Method,
    /// Of what: a URL as written on the request line, or `*`.
    pub uri: String,
    /// The version on the request line.
    pub version: Version,
    /// The headers; [`Request::encode`] sees to `Content-Length` itself.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: Method, uri: impl Into<String>) -> Self {
        Self {
            method,
            uri: uri.into(),
            version: Version::RTSP_1_0,
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// The sequence number (section 12.17): the digits the header begins with, up to 32 bits.
    pub fn cseq(&self) -> Option<u32> {
        cseq(&self.headers)
    }

    /// The message as it is sent. `Content-Length` is that of the body and missing where there is
    /// none; line breaks in headers become blanks.
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(USUAL_HEAD_BYTES + self.body.len());
        push_in_line(&mut out, self.method.as_str());
        out.push(b' ');
        push_uri(&mut out, &self.uri);
        out.extend_from_slice(format!(" {}\r\n", self.version).as_bytes());
        finish(out, &self.headers, &self.body)
    }
}

/// A response (RFC 2326 section 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: StatusCode,
    /// The same in words, for people.
    pub reason: String,
    /// The headers; [`Response::encode`] sees to `Content-Length` itself.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A response with the usual reason phrase, without headers and body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            reason: status.reason().to_owned(),
            headers: Headers::new(),
            body: Bytes::new(),
        }
    }

    /// The sequence number of the request it answers; see [`Request::cseq`].
    pub fn cseq(&self) -> Option<u32> {
        cseq(&self.headers)
    }

    /// The message as it is sent; see [`Request::encode`].
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(USUAL_HEAD_BYTES + self.body.len());
        out.extend_from_slice(format!("{} {} ", Version::RTSP_1_0, self.status.0).as_bytes());
        push_in_line(&mut out, &self.reason);
        out.extend_from_slice(b"\r\n");
        finish(out, &self.headers, &self.body)
    }
}

fn finish(mut out: Vec<u8>, headers: &Headers, body: &[u8]) -> Bytes {
    for (name, value) in headers.iter() {
        if !name.eq_ignore_ascii_case("Content-Length") {
            push_header(&mut out, name, value);
        }
    }
    if !body.is_empty() {
        push_header(&mut out, "Content-Length", &body.len().to_string());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out.into()
}

fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    push_in_line(out, name);
    out.extend_from_slice(b": ");
    push_in_line(out, value);
    out.extend_from_slice(b"\r\n");
}

fn cseq(headers: &Headers) -> Option<u32> {
    leading_u32(headers.get("CSeq")?)
}

const USUAL_HEAD_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_written_in_the_order_of_their_headers() {
        let mut request = Request::new(Method::SetParameter, "rtsp://cam/a b");
        request.headers.push("CSeq", "7");
        request.headers.push("Content-Length", "99");
        request.headers.push("User-Agent", "x");
        request.body = Bytes::from_static(b"a: b\r\n");
        let expected = "SET_PARAMETER rtsp://cam/a%20b RTSP/1.0\r\nCSeq: 7\r\nUser-Agent: x\r\n\
                        Content-Length: 6\r\n\r\na: b\r\n";
        assert_eq!(request.encode(), expected);
    }

    #[test]
    fn a_message_without_body_has_no_length() {
        let mut response = Response::new(StatusCode::SESSION_NOT_FOUND);
        response.headers.push("CSeq", "4294967295");
        assert_eq!(response.cseq(), Some(u32::MAX));
        let expected = "RTSP/1.0 454 Session Not Found\r\nCSeq: 4294967295\r\n\r\n";
        assert_eq!(response.encode(), expected);
    }
}
