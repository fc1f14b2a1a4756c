//! Basic and digest authentication (RFC 7617, RFC 7616 and the older RFC 2617, RFC 2069), both
//! sides.

mod challenge;
mod client;
mod digest;
mod server;

use std::fmt;

pub use self::challenge::{Challenge, DigestChallenge, MAX_CHALLENGES, parse_challenges};
pub use self::client::{ChallengeVerdict, ClientAuth, MAX_STALE};
pub use self::digest::Algorithm;
pub use self::server::{AuthVerdict, ServerAuth};
pub use crate::secret::Secret;

/// A user and his password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password; never shown.
    pub password: Secret,
}

impl Credentials {
    /// A user and his password.
    pub fn new(user: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self { user: user.into(), password: password.into() }
    }
}

/// Only the user's name.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.user)
    }
}
