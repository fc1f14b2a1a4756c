use md5::Md5;
use sha2::{Digest, Sha256, Sha512_256};

use super::Secret;
use crate::Method;
use crate::text::hex;

/// A digest algorithm (RFC 7616 section 3.4). A later one is the stronger one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// `MD5`, also where none is named.
    Md5,
    /// `MD5-sess`.
    Md5Sess,
    /// `SHA-256`.
    Sha256,
    /// `SHA-256-sess`.
    Sha256Sess,
    /// `SHA-512-256`.
    Sha512_256,
    /// `SHA-512-256-sess`.
    Sha512_256Sess,
}

impl Algorithm {
    const ALL: [Self; 6] = [
        Self::Md5,
        Self::Md5Sess,
        Self::Sha256,
        Self::Sha256Sess,
        Self::Sha512_256,
        Self::Sha512_256Sess,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Md5Sess => "MD5-sess",
            Self::Sha256 => "SHA-256",
            Self::Sha256Sess => "SHA-256-sess",
            Self::Sha512_256 => "SHA-512-256",
            Self::Sha512_256Sess => "SHA-512-256-sess",
        }
    }

    /// The algorithm with this name, in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(name))
    }

    fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess | Self::Sha512_256Sess)
    }

    /// The hash of the parts with colons between them, in hexadecimal digits.
    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Md5 | Self::Md5Sess => hex(&Md5::digest(text)),
            Self::Sha256 | Self::Sha256Sess => hex(&Sha256::digest(text)),
            Self::Sha512_256 | Self::Sha512_256Sess => hex(&Sha512_256::digest(text)),
        }
    }
}

/// What proof of knowing a password is made from (RFC 7616 section 3.4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proof<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) user: &'a str,
    pub(crate) realm: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a str,
    pub(crate) cnonce: &'a str,
    /// The nonce count, where `qop=auth`; without it proof is given as in RFC 2069.
    pub(crate) nc: Option<&'a str>,
}

impl Proof<'_> {
    pub(crate) fn needs_cnonce(&self) -> bool {
        self.nc.is_some() || self.algorithm.is_session()
    }

    /// The `response` parameter.
    pub(crate) fn response(&self, password: &Secret) -> String {
        let hash = |parts: &[&str]| self.algorithm.hash(parts);
        let mut a1 = hash(&[self.user, self.realm, password.expose()]);
        if self.algorithm.is_session() {
            a1 = hash(&[&a1, self.nonce, self.cnonce]);
        }
        let a2 = hash(&[self.method.as_str(), self.uri]);
        match self.nc {
            Some(nc) => hash(&[&a1, self.nonce, nc, self.cnonce, "auth", &a2]),
            None => hash(&[&a1, self.nonce, &a2]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7616 section 3.9.1, whose method is GET.
    fn example(algorithm: Algorithm, method: &Method) -> Proof<'_> {
        Proof {
            algorithm,
            user: "Mufasa",
            realm: "http-auth@example.org",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            method,
            uri: "/dir/index.html",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nc: Some("00000001"),
        }
    }

    #[test]
    fn the_examples_of_the_rfc_come_out() {
        let (get, password) = (Method::Other("GET".into()), Secret::new("Circle of Life"));
        assert_eq!(
            example(Algorithm::Md5, &get).response(&password),
            "8ca523f5e9506fed4657c9700eebdbec",
        );
        assert_eq!(
            example(Algorithm::Sha256, &get).response(&password),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        );
    }

    #[test]
    fn the_older_form_has_neither_count_nor_client_nonce() {
        // RFC 2617 section 3.5's example, without qop.
        let proof = Proof {
            algorithm: Algorithm::Md5,
            user: "Mufasa",
            realm: "testrealm@host.com",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            method: &Method::Other("GET".into()),
            uri: "/dir/index.html",
            cnonce: "",
            nc: None,
        };
        let response = proof.response(&Secret::new("Circle Of Life"));
        assert_eq!(response, "670fd8c2df070c60b045671b8b24ff02");
    }

    #[test]
    fn session_algorithms_differ_from_the_plain_ones() {
        let (get, password) = (Method::Other("GET".into()), Secret::new("x"));
        let all = Algorithm::ALL.map(|algorithm| example(algorithm, &get).response(&password));
        for (n, one) in all.iter().enumerate() {
            assert!(all.iter().skip(n + 1).all(|other| other != one));
        }
    }

    #[test]
    fn names_are_read_in_any_case() {
        for algorithm in Algorithm::ALL {
            let name = algorithm.as_str().to_ascii_lowercase();
            assert_eq!(Algorithm::parse(&name), Some(algorithm));
        }
        assert_eq!(Algorithm::parse("SHA-1"), None);
    }
}
