//! RTSP over HTTP, the client's side: a GET whose response never ends brings what the server
//! sends, the body of a POST on another connection takes what the client sends, in base64. Both
//! carry one `x-sessioncookie`.
//!
//! There is no standard; this is what QuickTime began and every server that offers it expects.
//! What comes over the GET's connection behind the response head is RTSP as on any connection.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::auth::{ChallengeVerdict, ClientAuth, parse_challenges};
use crate::text::hex;
use crate::{Headers, Method, RtspUrl, StatusCode};

/// One tunnel, from its GET on.
#[derive(Debug)]
pub struct TunnelClient {
    host: String,
    path: String,
    user_agent: String,
    cookie: String,
    /// What is left of the POST's body.
    left: usize,
}

/// What the answer to a GET or a POST says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum TunnelAnswer {
    /// It is not whole yet: what was not taken must come again, with more behind it.
    More,
    /// The tunnel stands; what follows is RTSP.
    Open,
    /// Credentials are wanted, and now known how to be shown: another connection, another GET.
    Again,
    /// The server does not accept our credentials.
    Rejected,
    /// It wants a kind of authentication that is not known here, or that we have nothing for.
    Unauthorized,
    /// It sends us elsewhere: the value of `Location`.
    Elsewhere(String),
    /// It refuses.
    Refused(StatusCode),
    /// What came is no HTTP response.
    NotHttp,
}

impl TunnelClient {
    /// A tunnel to where the URL says, its credentials left out. `seed` makes the cookie: no two
    /// tunnels may have the same, and nobody should guess it.
    pub fn new(url: &RtspUrl, user_agent: &str, seed: u64) -> Self {
        let path = match url.path_and_query.as_str() {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        let mut hash = Sha256::new();
        hash.update(b"tunnel");
        hash.update(seed.to_be_bytes());
        let hash: [u8; 32] = hash.finalize().into();
        let cookie = hex(hash.first_chunk::<COOKIE_BYTES>().map_or(&[], |bytes| bytes.as_slice()));
        let host = url.authority();
        Self { host, path, user_agent: user_agent.to_owned(), cookie, left: 0 }
    }

    /// The GET that the first connection begins with.
    pub fn get(&mut self, auth: Option<&mut ClientAuth>) -> Bytes {
        let more = [("Accept", "application/x-rtsp-tunnelled")];
        self.request("GET", &more, auth)
    }

    /// The head of the POST that the second connection begins with. Its body then has room for
    /// `needed` bytes of messages, and usually more.
    pub fn post(&mut self, auth: Option<&mut ClientAuth>, needed: usize) -> Bytes {
        self.left = POST_LENGTH.max(encoded_length(needed));
        let length = self.left.to_string();
        let more = [
            ("Content-Type", "application/x-rtsp-tunnelled"),
            ("Content-Length", length.as_str()),
            ("Expires", "Sun, 9 Jan 1972 00:00:00 GMT"),
        ];
        self.request("POST", &more, auth)
    }

    /// A message as the POST's body takes it; `None` if too little of the body is left, and
    /// another POST on another connection has to come first.
    pub fn encode(&mut self, message: &[u8]) -> Option<Bytes> {
        self.left = self.left.checked_sub(encoded_length(message.len()))?;
        Some(BASE64_STANDARD.encode(message).into())
    }

    /// Reads the response to the GET from the front of `src`, and takes it out. An answer to the
    /// POST can be read by it too: there usually is none.
    pub fn on_answer(&mut self, src: &mut BytesMut, auth: Option<&mut ClientAuth>) -> TunnelAnswer {
        let blank = src.windows(4).position(|part| part == b"\r\n\r\n").map(|at| at + 4);
        let bare = src.windows(2).position(|part| part == b"\n\n").map(|at| at + 2);
        let end = [blank, bare].into_iter().flatten().min();
        let Some(end) = end.filter(|end| *end <= MAX_HEAD) else {
            let begun = src.get(..HTTP.len()).unwrap_or(src);
            let http = HTTP.get(..begun.len()).is_some_and(|h| h.eq_ignore_ascii_case(begun));
            return if http && src.len() < MAX_HEAD {
                TunnelAnswer::More
            } else {
                TunnelAnswer::NotHttp
            };
        };
        let head = String::from_utf8_lossy(src.get(..end).unwrap_or_default()).into_owned();
        let Some((status, headers)) = parse_head(&head) else { return TunnelAnswer::NotHttp };
        src.advance(end);
        if status.is_success() {
            if let Some(auth) = auth {
                auth.on_accepted();
            }
            return TunnelAnswer::Open;
        }
        if status.is_redirect()
            && let Some(location) = headers.get("Location")
        {
            return TunnelAnswer::Elsewhere(location.to_owned());
        }
        if status != StatusCode::UNAUTHORIZED {
            return TunnelAnswer::Refused(status);
        }
        let challenges = parse_challenges(headers.get_all("WWW-Authenticate"));
        match auth.map(|auth| auth.on_challenge(&challenges)) {
            Some(ChallengeVerdict::Retry) => TunnelAnswer::Again,
            Some(ChallengeVerdict::Rejected) => TunnelAnswer::Rejected,
            Some(ChallengeVerdict::Unsupported) | None => TunnelAnswer::Unauthorized,
        }
    }

    /// HTTP/1.0, so that no server answers in chunks.
    fn request(&self, method: &str, more: &[(&str, &str)], auth: Option<&mut ClientAuth>) -> Bytes {
        let mut out = format!("{method} {} HTTP/1.0\r\nHost: {}\r\n", self.path, self.host);
        if !self.user_agent.is_empty() {
            out.push_str(&format!("User-Agent: {}\r\n", self.user_agent));
        }
        out.push_str(&format!("x-sessioncookie: {}\r\n", self.cookie));
        for (name, value) in more {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str("Pragma: no-cache\r\nCache-Control: no-cache\r\n");
        let method = Method::Other(method.into());
        if let Some(value) = auth.and_then(|auth| auth.authorize(&method, &self.path)) {
            out.push_str(&format!("Authorization: {value}\r\n"));
        }
        out.push_str("\r\n");
        out.into()
    }
}

/// Status and headers of an HTTP response.
fn parse_head(head: &str) -> Option<(StatusCode, Headers)> {
    let mut lines = head.lines();
    let mut first = lines.next()?.split_ascii_whitespace();
    let protocol = first.next()?;
    let known = protocol.get(..HTTP.len()).is_some_and(|p| p.as_bytes().eq_ignore_ascii_case(HTTP));
    let status = first.next().filter(|_| known)?.parse().ok()?;
    let mut headers = Headers::new();
    for line in lines.take(MAX_HEADERS) {
        if let Some((name, value)) = line.split_once(':') {
            headers.push(name.trim(), value.trim());
        }
    }
    (100..1000).contains(&status).then_some((StatusCode(status), headers))
}

/// How long a message is in base64.
fn encoded_length(length: usize) -> usize {
    length.div_ceil(3).saturating_mul(4)
}

/// What clients have always said, and some servers and proxies count on.
const POST_LENGTH: usize = 32_767;
/// The cookie has two digits for each.
const COOKIE_BYTES: usize = 11;
/// How long a response head may be.
const MAX_HEAD: usize = 16 * 1024;
/// How many headers of it are read.
const MAX_HEADERS: usize = 64;
const HTTP: &[u8] = b"HTTP/";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Credentials;

    fn tunnel() -> TunnelClient {
        let url = RtspUrl::parse("rtsp://u:secret@cam:8080/live?x=1").expect("a URL");
        TunnelClient::new(&url, "test", 7)
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).expect("text")
    }

    #[test]
    fn both_requests_carry_one_cookie_and_no_credentials() {
        let mut tunnel = tunnel();
        let get = tunnel.get(None);
        let post = tunnel.post(None, 10);
        assert!(text(&get).starts_with("GET /live?x=1 HTTP/1.0\r\nHost: cam:8080\r\n"));
        assert!(text(&get).contains("Accept: application/x-rtsp-tunnelled\r\n"));
        assert!(text(&post).starts_with("POST /live?x=1 HTTP/1.0\r\n"));
        assert!(text(&post).contains("Content-Length: 32767\r\n"));
        let cookie = |bytes| {
            let line = text(bytes).lines().find(|line| line.starts_with("x-sessioncookie: "));
            line.expect("a cookie").to_owned()
        };
        assert_eq!(cookie(&get), cookie(&post));
        assert!(cookie(&get).len() > 30);
        for request in [&get, &post] {
            assert!(text(request).ends_with("\r\n\r\n") && !text(request).contains("secret"));
        }
    }

    #[test]
    fn tunnels_differ_by_their_seed() {
        let url = RtspUrl::parse("rtsp://cam").expect("a URL");
        let get = |seed| TunnelClient::new(&url, "", seed).get(None);
        assert_ne!(get(1), get(2));
        assert_eq!(get(1), get(1));
        assert!(text(&get(1)).starts_with("GET / HTTP/1.0\r\nHost: cam\r\nx-sessioncookie"));
    }

    #[test]
    fn a_body_is_never_longer_than_was_said() {
        let mut tunnel = tunnel();
        assert_eq!(tunnel.encode(b"x"), None, "before there is a POST");
        let _ = tunnel.post(None, 0);
        let message = vec![7; 1000];
        let mut sent = 0;
        while let Some(encoded) = tunnel.encode(&message) {
            assert_eq!(BASE64_STANDARD.decode(&encoded).as_deref(), Ok(message.as_slice()));
            sent += encoded.len();
        }
        assert!(sent <= 32_767 && sent + 1336 > 32_767, "{sent}");
        let long = vec![7; 100_000];
        assert!(text(&tunnel.post(None, long.len())).contains("Content-Length: 133336\r\n"));
        assert!(tunnel.encode(&long).is_some());
        assert_eq!(tunnel.encode(b"x"), None);
    }

    #[test]
    fn what_follows_the_answer_is_left() {
        let answer = "HTTP/1.0 200 OK\r\nContent-Type: application/x-rtsp-tunnelled\r\n\r\n$rest";
        let mut src = BytesMut::new();
        let mut tunnel = tunnel();
        for byte in answer.bytes().take(answer.len() - 6) {
            src.extend_from_slice(&[byte]);
            assert_eq!(tunnel.on_answer(&mut src, None), TunnelAnswer::More);
        }
        src.extend_from_slice(b"\n$rest");
        assert_eq!(tunnel.on_answer(&mut src, None), TunnelAnswer::Open);
        assert_eq!(src, "$rest");
    }

    #[test]
    fn answers_say_what_to_do() {
        let basic = "WWW-Authenticate: Basic realm=\"r\"\n";
        for (answer, expected) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", TunnelAnswer::Refused(StatusCode(404))),
            (
                "HTTP/1.1 302 Found\nLocation: rtsp://b/\n\n",
                TunnelAnswer::Elsewhere("rtsp://b/".into()),
            ),
            ("HTTP/1.1 302 Found\r\n\r\n", TunnelAnswer::Refused(StatusCode(302))),
            (&format!("HTTP/1.1 401 No\n{basic}\n"), TunnelAnswer::Unauthorized),
            ("RTSP/1.0 400 Bad\r\n\r\n", TunnelAnswer::NotHttp),
            ("SSH-2.0-x\r\n", TunnelAnswer::NotHttp),
            ("HTTP/1.1 abc\r\n\r\n", TunnelAnswer::NotHttp),
        ] {
            let mut src = BytesMut::from(answer);
            assert_eq!(tunnel().on_answer(&mut src, None), expected, "{answer}");
        }
    }

    #[test]
    fn a_challenge_is_answered_once_with_the_proof_for_each_request() {
        let mut auth = ClientAuth::new(Credentials::new("u", "p"), 1);
        let mut tunnel = tunnel();
        let challenge =
            "HTTP/1.0 401 No\r\nWWW-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n\r\n";
        let mut src = BytesMut::from(challenge);
        assert_eq!(tunnel.on_answer(&mut src, Some(&mut auth)), TunnelAnswer::Again);
        let get = tunnel.get(Some(&mut auth));
        let post = tunnel.post(Some(&mut auth), 0);
        let proof = |bytes| text(bytes).split_once("response=\"").expect("a proof").1.to_owned();
        assert!(text(&get).contains("uri=\"/live?x=1\""));
        assert_ne!(proof(&get), proof(&post));
        let mut src = BytesMut::from(challenge);
        assert_eq!(tunnel.on_answer(&mut src, Some(&mut auth)), TunnelAnswer::Rejected);
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        let mut src = BytesMut::from("HTTP/1.0 200 OK\r\n");
        while src.len() < MAX_HEAD {
            assert_eq!(tunnel().on_answer(&mut src, None), TunnelAnswer::More);
            src.extend_from_slice(&[b'x'; 1000]);
        }
        assert_eq!(tunnel().on_answer(&mut src, None), TunnelAnswer::NotHttp);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(
            begin in "(HTTP/1.0 [0-9]{3} OK\r\n)?",
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut src = BytesMut::from([begin.as_bytes(), &bytes].concat().as_slice());
            let _ = tunnel().on_answer(&mut src, None);
        }
    }
}
