//! Randomness that need not be secret: sequence numbers, session names, nonces.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use parking_lot::Mutex;

/// SplitMix64, seeded from the standard library's hasher keys.
#[derive(Debug)]
pub(crate) struct Random(Mutex<u64>);

impl Random {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(RandomState::new().build_hasher().finish()))
    }

    pub(crate) fn u64(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    pub(crate) fn u32(&self) -> u32 {
        self.u64() as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    pub(crate) fn u16(&self) -> u16 {
        self.u64() as u16
    }
}
