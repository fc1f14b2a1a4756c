use super::Algorithm;
use crate::params::{AuthPart, auth_parts};

/// What a server wants to be shown (RFC 7235 section 4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Challenge {
    /// The password itself.
    Basic {
        /// For people.
        realm: String,
    },
    /// Proof of knowing the password.
    Digest(DigestChallenge),
    /// A scheme, an algorithm or a quality of protection that is not known here.
    Unknown {
        /// The scheme, as written.
        scheme: String,
    },
}

/// A digest challenge (RFC 7616 section 3.3). Texts are as between the quotes, escapes included:
/// that is what goes into the hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestChallenge {
    /// Which passwords are meant.
    pub realm: String,
    /// What proof is given of.
    pub nonce: String,
    /// Given back as it is.
    pub opaque: Option<String>,
    /// How proof is given.
    pub algorithm: Algorithm,
    /// Whether the algorithm was named: only then is it named in the answer.
    pub algorithm_named: bool,
    /// Whether `qop` offers `auth`; without `qop` proof is given as in RFC 2069.
    pub qop_auth: bool,
    /// The last answer was right but for its nonce.
    pub stale: bool,
}

/// Reads the values of all `WWW-Authenticate` headers of a response: in any order, with any
/// quoting, several in one header, at most [`MAX_CHALLENGES`].
pub fn parse_challenges<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Challenge> {
    let mut read: Vec<Scheme<'a>> = Vec::new();
    for value in values {
        let mut begun = false;
        for part in auth_parts(value) {
            match part {
                AuthPart::Scheme(scheme) => {
                    if read.len() == MAX_CHALLENGES {
                        break;
                    }
                    read.push(Scheme { scheme, params: Vec::new() });
                    begun = true;
                }
                AuthPart::Param { name, value } => {
                    if let (true, Some(last)) = (begun, read.last_mut())
                        && last.params.len() < MAX_PARAMS
                    {
                        last.params.push((name, value));
                    }
                }
            }
        }
    }
    read.iter().map(Scheme::challenge).collect()
}

/// A scheme and its parameters; of several with one name, the first counts.
pub(crate) struct Scheme<'a> {
    pub(crate) scheme: &'a str,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Scheme<'a> {
    /// Credentials are written like one challenge.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = auth_parts(text);
        let AuthPart::Scheme(scheme) = parts.next()? else { return None };
        let params = parts.filter_map(|part| match part {
            AuthPart::Param { name, value } => Some((name, value)),
            AuthPart::Scheme(_) => None,
        });
        Some(Self { scheme, params: params.take(MAX_PARAMS).collect() })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.params.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    pub(crate) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    fn challenge(&self) -> Challenge {
        let text = |name: &str| self.get(name).unwrap_or_default().to_owned();
        if self.is("Basic") {
            return Challenge::Basic { realm: text("realm") };
        }
        let digest = if self.is("Digest") { self.digest() } else { None };
        digest.map_or_else(
            || Challenge::Unknown { scheme: self.scheme.to_owned() },
            Challenge::Digest,
        )
    }

    fn digest(&self) -> Option<DigestChallenge> {
        let algorithm = self.get("algorithm").filter(|name| !name.is_empty());
        let qop = self.get("qop").map(str::trim).filter(|qop| !qop.is_empty());
        let has_auth =
            |qop: &str| qop.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth"));
        if qop.is_some_and(|qop| !has_auth(qop)) {
            return None;
        }
        Some(DigestChallenge {
            realm: self.get("realm").unwrap_or_default().to_owned(),
            nonce: self.get("nonce")?.to_owned(),
            opaque: self.get("opaque").map(str::to_owned),
            algorithm: algorithm.map_or(Some(Algorithm::Md5), Algorithm::parse)?,
            algorithm_named: algorithm.is_some(),
            qop_auth: qop.is_some(),
            stale: self.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }
}

/// How many challenges are read from one response.
pub const MAX_CHALLENGES: usize = 16;
/// Of one challenge or one set of credentials.
const MAX_PARAMS: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(realm: &str, nonce: &str) -> DigestChallenge {
        DigestChallenge {
            realm: realm.to_owned(),
            nonce: nonce.to_owned(),
            opaque: None,
            algorithm: Algorithm::Md5,
            algorithm_named: false,
            qop_auth: false,
            stale: false,
        }
    }

    #[test]
    fn what_old_cameras_ask_is_enough() {
        let read = parse_challenges(["Digest realm=\"Surveillance Server\", nonce=\"98481030\""]);
        assert_eq!(read, [Challenge::Digest(digest("Surveillance Server", "98481030"))]);
    }

    #[test]
    fn parameters_come_in_any_order_and_quoting() {
        let read = parse_challenges([
            "DIGEST stale=TRUE,algorithm=\"sha-256\" , opaque = \"\",qop=\"auth-int, auth\"\tNonce=a==,realm=\"x\\\"y\"",
        ]);
        let expected = DigestChallenge {
            opaque: Some(String::new()),
            algorithm: Algorithm::Sha256,
            algorithm_named: true,
            qop_auth: true,
            stale: true,
            ..digest("x\\\"y", "a==")
        };
        assert_eq!(read, [Challenge::Digest(expected)]);
    }

    #[test]
    fn several_challenges_come_in_one_header_or_in_many() {
        let one = "Basic realm=\"a\", Digest realm=\"b\", nonce=\"c\", Negotiate YWI=, NTLM";
        let many = ["Basic realm=\"a\"", "Digest realm=\"b\", nonce=\"c\"", "Negotiate", "NTLM"];
        let unknown = |scheme: &str| Challenge::Unknown { scheme: scheme.to_owned() };
        let expected = [
            Challenge::Basic { realm: "a".to_owned() },
            Challenge::Digest(digest("b", "c")),
            unknown("Negotiate"),
            unknown("NTLM"),
        ];
        assert_eq!(parse_challenges([one]), expected);
        assert_eq!(parse_challenges(many), expected);
    }

    #[test]
    fn what_cannot_be_answered_is_unknown() {
        for text in [
            "Digest realm=\"a\"",
            "Digest realm=\"a\", nonce=\"b\", algorithm=SHA-1",
            "Digest realm=\"a\", nonce=\"b\", qop=\"auth-int\"",
        ] {
            let unknown = Challenge::Unknown { scheme: "Digest".to_owned() };
            assert_eq!(parse_challenges([text]), [unknown], "{text}");
        }
        assert_eq!(parse_challenges(["realm=\"a\", nonce=\"b\""]), []);
        assert_eq!(parse_challenges(["x,".repeat(100).as_str()]).len(), MAX_CHALLENGES);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_no_harm(text in "(Digest )?[a-e=,\" \\\\\u{e4}]{0,40}") {
            prop_assert!(parse_challenges([text.as_str()]).len() <= MAX_CHALLENGES);
            let _ = Scheme::parse(&text);
        }
    }
}
