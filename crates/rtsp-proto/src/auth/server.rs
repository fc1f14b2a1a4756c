use std::sync::OnceLock;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use smallvec::SmallVec;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::challenge::Scheme;
use super::digest::Proof;
use super::{Algorithm, Secret};
use crate::Method;
use crate::text::hex;
use crate::user_info::hex_value;

/// Asks clients for proof that they know a password. Keeps nothing about them: nonces prove
/// themselves.
#[derive(Debug)]
pub struct ServerAuth {
    /// Holds no character that would need escaping.
    realm: String,
    users: Vec<(String, Secret)>,
    /// Seals nonces.
    key: Secret,
    lifetime: Duration,
    /// What times in nonces count from.
    epoch: OnceLock<Instant>,
}

/// What a request's `Authorization` is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum AuthVerdict {
    /// It is right.
    Ok {
        /// Who asks.
        user: String,
    },
    /// There is none: answer 401 with [`ServerAuth::challenges`].
    Missing,
    /// It is right but for its nonce, which is too old or not ours: answer 401 with
    /// [`ServerAuth::stale_challenges`].
    Stale,
    /// It is wrong: answer 401 with [`ServerAuth::challenges`].
    Wrong,
}

impl ServerAuth {
    /// `seed` must be unpredictable: nonces are sealed with it. Quotes and backslashes are left
    /// out of the realm, since clients differ about them.
    pub fn new(realm: impl Into<String>, users: Vec<(String, Secret)>, seed: u64) -> Self {
        let mut realm: String = realm.into();
        realm.retain(|c| !c.is_control() && !"\"\\".contains(c));
        let key = Secret::new(hex(&seed.to_be_bytes()));
        Self { realm, users, key, lifetime: NONCE_LIFETIME, epoch: OnceLock::new() }
    }

    /// How long a nonce may be used. Default 10 min.
    #[must_use]
    pub fn with_nonce_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The values of the `WWW-Authenticate` headers of a 401, one header each: SHA-256, then MD5,
    /// which older players know alone and find as the last.
    pub fn challenges(&self, now: Instant) -> SmallVec<[String; 2]> {
        self.challenge(now, "")
    }

    /// The same after [`AuthVerdict::Stale`]: the client need not ask its user again.
    pub fn stale_challenges(&self, now: Instant) -> SmallVec<[String; 2]> {
        self.challenge(now, ", stale=true")
    }

    /// What the request's `Authorization` is worth. `uri` is what stands on the request line; the
    /// one in the header may name the presentation that it is a track of, as many players do.
    pub fn check(
        &self,
        now: Instant,
        method: &Method,
        uri: &str,
        authorization: Option<&str>,
    ) -> AuthVerdict {
        let Some(text) = authorization else { return AuthVerdict::Missing };
        let Some(answer) = Answer::parse(text) else { return AuthVerdict::Wrong };
        if !covers(answer.uri, uri) {
            return AuthVerdict::Wrong;
        }
        let proof = Proof {
            algorithm: answer.algorithm,
            user: &answer.user,
            realm: &self.realm,
            nonce: answer.nonce,
            method,
            uri: answer.uri,
            cnonce: answer.cnonce,
            nc: answer.nc,
        };
        // An unknown user costs as much time as a wrong password.
        let mut known = subtle::Choice::from(0);
        let mut place = 0u64;
        for (index, (name, _)) in (0u64..).zip(&self.users) {
            let same = name.as_bytes().ct_eq(answer.user.as_bytes());
            place.conditional_assign(&index, same);
            known |= same;
        }
        let nobody = Secret::default();
        let password = usize::try_from(place).ok().and_then(|place| self.users.get(place));
        let expected = proof.response(password.map_or(&nobody, |(_, password)| password));
        let given = answer.response.to_ascii_lowercase();
        if !bool::from(known & expected.as_bytes().ct_eq(given.as_bytes())) {
            return AuthVerdict::Wrong;
        }
        if !self.is_fresh(now, answer.nonce) {
            return AuthVerdict::Stale;
        }
        AuthVerdict::Ok { user: answer.user }
    }

    /// The order is the one that strict parsers expect.
    fn challenge(&self, now: Instant, stale: &str) -> SmallVec<[String; 2]> {
        let (realm, nonce) = (&self.realm, self.nonce(self.age(now)));
        let start = format!("Digest realm=\"{realm}\", nonce=\"{nonce}\"{stale}");
        SmallVec::from_buf([format!("{start}, algorithm=SHA-256, qop=\"auth\""), start])
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(*self.epoch.get_or_init(|| now))
    }

    /// The time of its making and a seal on it.
    fn nonce(&self, made: Duration) -> String {
        let made = u64::try_from(made.as_millis()).unwrap_or(u64::MAX).to_be_bytes();
        let seal = hmac(self.key.expose().as_bytes(), &[&made, self.realm.as_bytes()]);
        let (seal, _) = seal.split_at(SEAL_BYTES);
        hex(&[made.as_slice(), seal].concat())
    }

    fn is_fresh(&self, now: Instant, nonce: &str) -> bool {
        let Some(digits) = nonce.as_bytes().first_chunk::<16>() else { return false };
        let mut made = 0u64;
        for digit in digits {
            let Some(value) = hex_value(*digit) else { return false };
            made = made << 4 | u64::from(value);
        }
        let made = Duration::from_millis(made);
        let ours = self.nonce(made).as_bytes().ct_eq(nonce.as_bytes());
        let age = self.age(now).checked_sub(made);
        bool::from(ours) && age.is_some_and(|age| age <= self.lifetime)
    }
}

/// What digest credentials say (RFC 7616 section 3.4).
struct Answer<'a> {
    algorithm: Algorithm,
    user: String,
    nonce: &'a str,
    uri: &'a str,
    response: &'a str,
    cnonce: &'a str,
    nc: Option<&'a str>,
}

impl<'a> Answer<'a> {
    /// Reads quoted and unquoted parameters alike.
    fn parse(text: &'a str) -> Option<Self> {
        let scheme = Scheme::parse(text).filter(|scheme| scheme.is("Digest"))?;
        let algorithm = match scheme.get("algorithm") {
            Some(name) => Algorithm::parse(name)?,
            None => Algorithm::Md5,
        };
        if !matches!(algorithm, Algorithm::Md5 | Algorithm::Sha256) {
            return None;
        }
        let nc = match scheme.get("qop") {
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some(scheme.get("nc")?),
            Some(_) => return None,
            None => None,
        };
        Some(Self {
            algorithm,
            user: unescape(scheme.get("username")?),
            nonce: scheme.get("nonce")?,
            uri: scheme.get("uri")?,
            response: scheme.get("response")?,
            cnonce: scheme.get("cnonce").unwrap_or_default(),
            nc,
        })
    }
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    out
}

/// Whether proof for one URI is good for another: it is the same one, or the other's path begins
/// with its path. Hosts and queries do not count.
fn covers(proven: &str, wanted: &str) -> bool {
    if proven == wanted {
        return true;
    }
    let (proven, wanted) = (path(proven), path(wanted));
    let below = wanted.strip_prefix(proven);
    !proven.is_empty() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Without host, query and the slash at the end.
fn path(uri: &str) -> &str {
    let rest = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => uri,
    };
    let path = rest.split_once('?').map_or(rest, |(path, _)| path);
    path.trim_end_matches('/')
}

/// RFC 2104, with keys up to the block size.
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let pad = |with: u8| {
        let mut block = [with; 64];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let mut inner = Sha256::new();
    inner.update(pad(0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new();
    outer.update(pad(0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

const NONCE_LIFETIME: Duration = Duration::from_secs(600);
const SEAL_BYTES: usize = 16;

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
