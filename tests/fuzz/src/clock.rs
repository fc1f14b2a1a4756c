//! One instant to count from.

use std::sync::OnceLock;
use std::time::Instant;

/// The same instant for as long as the program runs.
#[expect(clippy::disallowed_methods, reason = "instants can only be counted from a real one")]
pub(crate) fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}
