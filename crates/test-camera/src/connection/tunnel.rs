//! RTSP over HTTP: a GET whose answer never ends, and POSTs that carry the requests in base64.

use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use super::Connection;
use crate::auth::Challenger;
use crate::link::{Link, Taken};
use crate::log::{LogEvent, LoggedRequest};
use crate::shared::Shared;

/// A tunnel, from its GET on.
#[derive(Debug)]
pub(crate) struct Tunnel {
    link: Arc<Link>,
    dialogue: Mutex<Dialogue>,
}

/// What came by POSTs and was not taken yet: a message may begin in one and end in another.
#[derive(Debug)]
struct Dialogue {
    challenger: Challenger,
    /// As it came, less than four characters.
    encoded: Vec<u8>,
    bytes: Vec<u8>,
}

/// The head of an HTTP request.
struct Head {
    method: String,
    uri: String,
    cookie: Option<String>,
    length: Option<usize>,
    user_agent: Option<String>,
}

/// Whether bytes may be the beginning of an HTTP request that opens a tunnel, or are.
pub(super) fn is_http(bytes: &[u8]) -> Option<bool> {
    const METHODS: [&[u8]; 2] = [b"GET ", b"POST "];
    if METHODS.iter().any(|method| bytes.starts_with(method)) {
        return Some(true);
    }
    let may_be = METHODS.iter().any(|method| method.starts_with(bytes));
    if may_be { None } else { Some(false) }
}

/// Serves an HTTP connection whose first bytes have been read already; says why it ended.
pub(super) fn serve(shared: &Arc<Shared>, link: &Arc<Link>, mut buffer: Vec<u8>) -> String {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if buffer.len() > MAX_HEAD {
            return "an HTTP head too long".to_owned();
        }
        if let Err(reason) = more(link, &mut buffer) {
            return reason;
        }
    };
    let body = buffer.split_off(end);
    let Some(head) = head(&buffer) else { return "no HTTP request".to_owned() };
    shared.log.add(link.id, LogEvent::Request(logged(&head)));
    let Some(cookie) = head.cookie.clone() else {
        let _ = link.send(b"HTTP/1.0 400 Bad Request\r\n\r\n");
        return "HTTP without a session cookie".to_owned();
    };
    match head.method.as_str() {
        "GET" => get(shared, link, &cookie),
        _ => post(shared, link, &cookie, body, head.length.unwrap_or(usize::MAX)),
    }
}

fn get(shared: &Arc<Shared>, link: &Arc<Link>, cookie: &str) -> String {
    let tunnel = Tunnel {
        link: Arc::clone(link),
        dialogue: Mutex::new(Dialogue {
            challenger: Challenger::new(&shared.random),
            encoded: Vec::new(),
            bytes: Vec::new(),
        }),
    };
    shared.tunnels.lock().insert(cookie.to_owned(), Arc::new(tunnel));
    let answer = "HTTP/1.0 200 OK\r\nServer: test-camera\r\nConnection: close\r\n\
                  Cache-Control: no-store\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n";
    let mut reason = "closed before the answer".to_owned();
    if link.send(answer.as_bytes()) != Taken::Closed {
        let mut ignored = Vec::new();
        reason = loop {
            match more(link, &mut ignored) {
                Ok(()) => ignored.clear(),
                Err(reason) => break reason,
            }
        };
    }
    shared.tunnels.lock().remove(cookie);
    reason
}

fn post(
    shared: &Arc<Shared>,
    link: &Arc<Link>,
    cookie: &str,
    mut body: Vec<u8>,
    length: usize,
) -> String {
    let Some(tunnel) = shared.tunnels.lock().get(cookie).cloned() else {
        let _ = link.send(b"HTTP/1.0 404 Not Found\r\n\r\n");
        return "a POST without its GET".to_owned();
    };
    let mut left = length;
    loop {
        body.truncate(left);
        left -= body.len();
        if let Err(reason) = tunnel.take(shared, &body) {
            tunnel.link.close();
            return reason;
        }
        body.clear();
        if left == 0 {
            return "the POST's length is used up".to_owned();
        }
        if let Err(reason) = more(link, &mut body) {
            return reason;
        }
    }
}

impl Tunnel {
    fn take(&self, shared: &Arc<Shared>, encoded: &[u8]) -> Result<(), String> {
        let mut dialogue = self.dialogue.lock();
        let Dialogue { challenger, encoded: waiting, bytes } = &mut *dialogue;
        waiting.extend(encoded.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let whole = waiting.len() / 4 * 4;
        // Each message may be padded by itself.
        for quad in waiting.get(..whole).unwrap_or_default().chunks(4) {
            let decoded = STANDARD.decode(quad).map_err(|_| "no base64".to_owned())?;
            bytes.extend_from_slice(&decoded);
        }
        waiting.drain(..whole);
        Connection { shared, link: &self.link, challenger }.take(bytes)
    }
}

/// Reads once; an error says why there is no more.
fn more(link: &Link, to: &mut Vec<u8>) -> Result<(), String> {
    let mut chunk = [0; 8192];
    match link.read(&mut chunk) {
        Ok(0) => Err("closed by its peer, or by command".to_owned()),
        Ok(length) => {
            to.extend_from_slice(chunk.get(..length).unwrap_or_default());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn head(bytes: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, uri) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut head = Head { method, uri, cookie: None, length: None, user_agent: None };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "x-sessioncookie" => head.cookie = Some(value.to_owned()),
            "content-length" => head.length = value.parse().ok(),
            "user-agent" => head.user_agent = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(head)
}

fn logged(head: &Head) -> LoggedRequest {
    LoggedRequest {
        method: head.method.clone(),
        uri: head.uri.clone(),
        stream: None,
        cseq: None,
        session: None,
        transport: None,
        authorization: None,
        user_agent: head.user_agent.clone(),
    }
}

const MAX_HEAD: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_told_from_rtsp_by_its_first_bytes() {
        for (bytes, expected) in [
            (&b"GET /cam HTTP/1.0"[..], Some(true)),
            (b"POST /cam", Some(true)),
            (b"P", None),
            (b"", None),
            (b"PLAY rtsp://", Some(false)),
            (b"GET_PARAMETER rtsp://", Some(false)),
            (b"$\0\0\0", Some(false)),
        ] {
            assert_eq!(is_http(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn heads_are_read() {
        let head = head(b"POST /cam HTTP/1.0\r\nX-SessionCookie: ab\r\nContent-Length: 7\r\n\r\n");
        let head = head.expect("a head");
        assert_eq!((head.method.as_str(), head.uri.as_str()), ("POST", "/cam"));
        assert_eq!((head.cookie.as_deref(), head.length), (Some("ab"), Some(7)));
    }
}
