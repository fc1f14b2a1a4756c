use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::digest::Proof;
use super::{Challenge, Credentials, DigestChallenge};
use crate::Method;
use crate::params::{AuthPart, auth_parts};
use crate::text::hex;

/// Answers a server's challenges.
#[derive(Debug)]
pub struct ClientAuth {
    credentials: Credentials,
    seed: u64,
    /// How many nonces were answered: makes client nonces differ.
    nonces: u64,
    answering: Answering,
    /// Challenges in a row that came in spite of credentials.
    refusals: u8,
}

/// What is put into requests.
#[derive(Debug)]
enum Answering {
    /// Nothing was asked for.
    Nothing,
    Basic {
        shown: bool,
    },
    Digest {
        challenge: DigestChallenge,
        cnonce: String,
        count: u32,
    },
}

/// What to do about a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum ChallengeVerdict {
    /// Send the request again, with [`ClientAuth::authorize`].
    Retry,
    /// The server does not accept the credentials.
    Rejected,
    /// It wants something that is not known here.
    Unsupported,
}

impl ClientAuth {
    /// Nothing is shown before it is asked for. `seed` makes client nonces differ.
    pub fn new(credentials: Credentials, seed: u64) -> Self {
        Self { credentials, seed, nonces: 0, answering: Answering::Nothing, refusals: 0 }
    }

    /// A request was answered 401 with these: the strongest that is known is answered from now on,
    /// digest before basic.
    ///
    /// Credentials that were shown and refused are shown once more if the nonce is another one,
    /// and [`MAX_STALE`] times if it is called stale; not oftener without
    /// [`ClientAuth::on_accepted`] between, because backends lock accounts.
    pub fn on_challenge(&mut self, challenges: &[Challenge]) -> ChallengeVerdict {
        let Some(strongest) = strongest(challenges) else { return ChallengeVerdict::Unsupported };
        if self.was_shown() {
            self.refusals = self.refusals.saturating_add(1);
            let stale = matches!(strongest, Challenge::Digest(digest) if digest.stale);
            let allowed = if stale { MAX_STALE } else { 1 };
            if self.refusals > allowed || !(stale || self.is_news(strongest)) {
                return ChallengeVerdict::Rejected;
            }
        }
        self.answering = match strongest {
            Challenge::Digest(challenge) => {
                self.nonces += 1;
                let cnonce = cnonce(self.seed, self.nonces);
                Answering::Digest { challenge: challenge.clone(), cnonce, count: 0 }
            }
            _ => Answering::Basic { shown: false },
        };
        ChallengeVerdict::Retry
    }

    /// A request with [`ClientAuth::authorize`] was answered other than 401: the credentials are
    /// right, and a later refusal means the nonce.
    pub fn on_accepted(&mut self) {
        self.refusals = 0;
    }

    /// The value of an `Authentication-Info` header (RFC 7616 section 3.5): a nonce for the next
    /// request saves being refused with the one before.
    pub fn on_info(&mut self, value: &str) {
        let next = auth_parts(value).find_map(|part| match part {
            AuthPart::Param { name, value } if name.eq_ignore_ascii_case("nextnonce") => {
                Some(value)
            }
            _ => None,
        });
        if let (Answering::Digest { challenge, count, .. }, Some(next)) =
            (&mut self.answering, next)
            && !next.is_empty()
            && challenge.nonce != next
        {
            next.clone_into(&mut challenge.nonce);
            *count = 0;
        }
    }

    /// The value of the `Authorization` header of the next request; `None` while nothing was asked
    /// for. `uri` is what stands on the request line.
    pub fn authorize(&mut self, method: &Method, uri: &str) -> Option<String> {
        let Credentials { user, password } = &self.credentials;
        match &mut self.answering {
            Answering::Nothing => None,
            Answering::Basic { shown } => {
                *shown = true;
                let pair = format!("{user}:{}", password.expose());
                Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
            Answering::Digest { challenge, cnonce, count } => {
                *count = count.saturating_add(1);
                let nc = format!("{count:08x}");
                let proof = Proof {
                    algorithm: challenge.algorithm,
                    user,
                    realm: &challenge.realm,
                    nonce: &challenge.nonce,
                    method,
                    uri,
                    cnonce,
                    nc: challenge.qop_auth.then_some(&nc),
                };
                Some(write_digest(challenge, &proof, &proof.response(password)))
            }
        }
    }

    fn was_shown(&self) -> bool {
        match &self.answering {
            Answering::Nothing => false,
            Answering::Basic { shown } => *shown,
            Answering::Digest { count, .. } => *count > 0,
        }
    }

    /// Whether the challenge is another one than was answered last.
    fn is_news(&self, challenge: &Challenge) -> bool {
        match (&self.answering, challenge) {
            (Answering::Digest { challenge: last, .. }, Challenge::Digest(new)) => {
                (&last.nonce, &last.realm, last.algorithm)
                    != (&new.nonce, &new.realm, new.algorithm)
            }
            (Answering::Basic { .. }, Challenge::Basic { .. }) => false,
            _ => true,
        }
    }
}

fn strongest(challenges: &[Challenge]) -> Option<&Challenge> {
    let strength = |challenge: &Challenge| match challenge {
        Challenge::Digest(digest) => Some(Some(digest.algorithm)),
        Challenge::Basic { .. } => Some(None),
        Challenge::Unknown { .. } => None,
    };
    // The first of several that are equally strong.
    challenges.iter().rev().filter(|c| strength(c).is_some()).max_by_key(|c| strength(c))
}

/// Some parse this strictly: the order is the usual one, and nothing is named that was not asked.
fn write_digest(challenge: &DigestChallenge, proof: &Proof<'_>, response: &str) -> String {
    let user = proof.user.replace('\\', "\\\\").replace('"', "\\\"");
    let mut out = format!(
        "Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\"",
        proof.realm, proof.nonce, proof.uri,
    );
    if let Some(opaque) = &challenge.opaque {
        out.push_str(&format!(", opaque=\"{opaque}\""));
    }
    if challenge.algorithm_named {
        out.push_str(&format!(", algorithm={}", challenge.algorithm.as_str()));
    }
    if let Some(nc) = proof.nc {
        out.push_str(&format!(", qop=auth, nc={nc}, cnonce=\"{}\"", proof.cnonce));
    } else if proof.needs_cnonce() {
        out.push_str(&format!(", cnonce=\"{}\"", proof.cnonce));
    }
    out
}

fn cnonce(seed: u64, number: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(b"client nonce");
    hash.update(seed.to_be_bytes());
    hash.update(number.to_be_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let (half, _) = hash.split_at(8);
    hex(half)
}

/// How often in a row a nonce may be called stale before that is taken for a refusal.
pub const MAX_STALE: u8 = 3;

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
