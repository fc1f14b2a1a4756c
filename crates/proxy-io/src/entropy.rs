//! Randomness from the system, where the cores take a seed.

/// A seed for one core.
pub(crate) fn seed() -> u64 {
    u64::from_le_bytes(bytes())
}

/// Random bytes.
///
/// # Panics
/// If the system has none to give, without which no secret can be made.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    #[expect(clippy::expect_used, reason = "a host without randomness cannot keep secrets")]
    getrandom::fill(&mut out).expect("the system's source of randomness");
    out
}
