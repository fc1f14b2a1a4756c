//! Asking for credentials: basic (RFC 7617) and digest (RFC 2617, RFC 7616).

use base64::Engine as _;
use md5::{Digest as _, Md5};
use sha2::Sha256;

use crate::options::{Auth, AuthScheme};
use crate::random::Random;
use crate::rtsp::{Answer, Request};

/// The state of one connection's authentication.
#[derive(Debug)]
pub(crate) struct Challenger {
    nonce: String,
    uses: u32,
}

/// What a request's credentials are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Welcome,
    /// Right, but for a nonce that is no longer taken.
    Stale,
    Wrong,
}

impl Challenger {
    pub(crate) fn new(random: &Random) -> Self {
        Self { nonce: format!("{:016x}{:016x}", random.u64(), random.u64()), uses: 0 }
    }

    pub(crate) fn check(&mut self, auth: &Auth, request: &Request) -> Verdict {
        let Some((scheme, rest)) =
            request.header("Authorization").and_then(|value| value.split_once(' '))
        else {
            return Verdict::Wrong;
        };
        if scheme.eq_ignore_ascii_case("Basic") && auth.schemes.contains(&AuthScheme::Basic) {
            let wanted = format!("{}:{}", auth.user, auth.password);
            let given = base64::engine::general_purpose::STANDARD.decode(rest.trim());
            let right = given.is_ok_and(|given| given == wanted.as_bytes());
            return if right { Verdict::Welcome } else { Verdict::Wrong };
        }
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Verdict::Wrong;
        }
        let parameters = parameters(rest);
        let get = |name: &str| {
            let found = parameters.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let (hash, scheme): (fn(&str) -> String, _) = match get("algorithm") {
            None => (md5_hex, AuthScheme::DigestMd5),
            Some(name) if name.eq_ignore_ascii_case("MD5") => (md5_hex, AuthScheme::DigestMd5),
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => {
                (sha256_hex, AuthScheme::DigestSha256)
            }
            Some(_) => return Verdict::Wrong,
        };
        let (Some(uri), Some(nonce), Some(response)) = (get("uri"), get("nonce"), get("response"))
        else {
            return Verdict::Wrong;
        };
        if !auth.schemes.contains(&scheme)
            || get("username") != Some(&auth.user)
            || get("realm") != Some(&auth.realm)
            || uri.trim_end_matches('/') != request.uri.trim_end_matches('/')
        {
            return Verdict::Wrong;
        }
        let ha1 = hash(&format!("{}:{}:{}", auth.user, auth.realm, auth.password));
        let ha2 = hash(&format!("{}:{uri}", request.method));
        let expected = match (get("qop"), get("nc"), get("cnonce")) {
            (Some("auth"), Some(nc), Some(cnonce)) => {
                hash(&format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"))
            }
            (None, ..) if !auth.qop => hash(&format!("{ha1}:{nonce}:{ha2}")),
            _ => return Verdict::Wrong,
        };
        if !response.eq_ignore_ascii_case(&expected) {
            return Verdict::Wrong;
        }
        if nonce != self.nonce {
            return Verdict::Stale;
        }
        self.uses += 1;
        if auth.nonce_uses.is_some_and(|uses| self.uses > uses) {
            return Verdict::Stale;
        }
        Verdict::Welcome
    }

    /// The answer to a request without the right credentials.
    pub(crate) fn challenge(&mut self, auth: &Auth, verdict: Verdict, random: &Random) -> Answer {
        if verdict == Verdict::Stale {
            *self = Self::new(random);
        }
        auth.schemes.iter().fold(Answer::new(401), |answer, scheme| {
            let realm = &auth.realm;
            let mut digest = format!("Digest realm=\"{realm}\", nonce=\"{}\"", self.nonce);
            if auth.qop {
                digest.push_str(", qop=\"auth\"");
            }
            if verdict == Verdict::Stale {
                digest.push_str(", stale=TRUE");
            }
            let value = match scheme {
                AuthScheme::Basic => format!("Basic realm=\"{realm}\""),
                AuthScheme::DigestMd5 => digest,
                AuthScheme::DigestSha256 => format!("{digest}, algorithm=SHA-256"),
            };
            answer.header("WWW-Authenticate", &value)
        })
    }
}

/// `name=value` and `name="value"`, separated by commas.
fn parameters(mut text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    while let Some((name, rest)) = text.split_once('=') {
        let rest = rest.trim_start();
        let mut value = String::new();
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let mut chars = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((index, c)) = chars.next() {
                match c {
                    '"' => {
                        end = index + 1;
                        break;
                    }
                    '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                    c => value.push(c),
                }
            }
            quoted.get(end..).unwrap_or_default()
        } else {
            let (token, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
            value.push_str(token.trim());
            after
        };
        let name = name.trim_matches(|c: char| c.is_whitespace() || c == ',');
        found.push((name.to_owned(), value));
        text = after;
    }
    found
}

fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text))
}

fn sha256_hex(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtsp::{Incoming, next};

    fn request(authorization: &str) -> Request {
        let text = format!(
            "DESCRIBE rtsp://h/cam RTSP/1.0\r\nCSeq: 1\r\nAuthorization: {authorization}\r\n\r\n"
        );
        match next(text.as_bytes()) {
            Ok(Some((Incoming::Request(request), _))) => request,
            other => panic!("{other:?}"),
        }
    }

    fn auth(scheme: AuthScheme) -> Auth {
        let mut auth = Auth::new(scheme, "Mufasa", "Circle of Life");
        auth.realm = "http-auth@example.org".to_owned();
        auth
    }

    #[test]
    fn hashes_are_those_of_the_rfcs() {
        // RFC 1321 A.5 and FIPS 180-2 B.1.
        assert_eq!(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            sha256_hex("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn basic_credentials_are_compared_whole() {
        let mut challenger = Challenger::new(&Random::new());
        let auth = Auth::new(AuthScheme::Basic, "Aladdin", "open sesame");
        let check =
            |challenger: &mut Challenger, text: &str| challenger.check(&auth, &request(text));
        let right = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(check(&mut challenger, right), Verdict::Welcome);
        assert_eq!(check(&mut challenger, "Basic QWxhZGRpbjpvcGVu"), Verdict::Wrong);
        assert_eq!(check(&mut challenger, "Basic"), Verdict::Wrong);
        assert_eq!(check(&mut challenger, "Basic ***"), Verdict::Wrong);
        let digest_only = Auth::new(AuthScheme::DigestMd5, "Aladdin", "open sesame");
        assert_eq!(challenger.check(&digest_only, &request(right)), Verdict::Wrong);
    }

    /// A client's answer to the challenge.
    fn respond(hash: fn(&str) -> String, nonce: &str, qop: bool, algorithm: &str) -> String {
        let ha1 = hash("Mufasa:http-auth@example.org:Circle of Life");
        let ha2 = hash("DESCRIBE:rtsp://h/cam");
        let (text, extra) = if qop {
            (
                format!("{ha1}:{nonce}:00000001:0a4f113b:auth:{ha2}"),
                ", qop=auth, nc=00000001, cnonce=\"0a4f113b\"",
            )
        } else {
            (format!("{ha1}:{nonce}:{ha2}"), "")
        };
        format!(
            "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"rtsp://h/cam\", \
             nonce=\"{nonce}\", response=\"{}\"{extra}{algorithm}",
            hash(&text)
        )
    }

    #[test]
    fn digests_are_taken_with_and_without_qop() {
        let mut challenger = Challenger::new(&Random::new());
        let nonce = challenger.nonce.clone();
        for qop in [false, true] {
            let md5 = respond(md5_hex, &nonce, qop, "");
            let sha = respond(sha256_hex, &nonce, qop, ", algorithm=SHA-256");
            let md5_auth = auth(AuthScheme::DigestMd5);
            let sha_auth = auth(AuthScheme::DigestSha256);
            assert_eq!(challenger.check(&md5_auth, &request(&md5)), Verdict::Welcome);
            assert_eq!(challenger.check(&sha_auth, &request(&sha)), Verdict::Welcome);
            // A scheme that was not offered, and a wrong password.
            assert_eq!(challenger.check(&sha_auth, &request(&md5)), Verdict::Wrong);
            let wrong = Auth { password: "x".to_owned(), ..md5_auth };
            assert_eq!(challenger.check(&wrong, &request(&md5)), Verdict::Wrong);
        }
        let strict = Auth { qop: true, ..auth(AuthScheme::DigestMd5) };
        let plain = respond(md5_hex, &nonce, false, "");
        assert_eq!(challenger.check(&strict, &request(&plain)), Verdict::Wrong);
    }

    #[test]
    fn a_used_up_nonce_is_stale_and_replaced() {
        let random = Random::new();
        let mut challenger = Challenger::new(&random);
        let auth = Auth { nonce_uses: Some(1), ..auth(AuthScheme::DigestMd5) };
        let old = respond(md5_hex, &challenger.nonce, false, "");
        assert_eq!(challenger.check(&auth, &request(&old)), Verdict::Welcome);
        let verdict = challenger.check(&auth, &request(&old));
        assert_eq!(verdict, Verdict::Stale);
        let answer = challenger.challenge(&auth, verdict, &random).to_bytes(None);
        assert!(String::from_utf8(answer).unwrap().contains("stale=TRUE"));
        assert_eq!(challenger.check(&auth, &request(&old)), Verdict::Stale);
        let new = respond(md5_hex, &challenger.nonce, false, "");
        assert_eq!(challenger.check(&auth, &request(&new)), Verdict::Welcome);
    }

    #[test]
    fn hostile_parameters_are_read_without_harm() {
        for text in ["=", "a", "a=\"", "a=\"\\", ",=,=,", "é=é", "a=\"b\"c=d", ""] {
            parameters(text);
        }
        assert_eq!(
            parameters("a=\"x, y\", b = z,c=\"\\\"\""),
            [("a", "x, y"), ("b", "z"), ("c", "\"")].map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
    }
}
