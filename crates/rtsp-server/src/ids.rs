//! What connections, sessions and questions are called.

use core::fmt;

use sha2::{Digest, Sha256};

/// A connection of one [`Server`](crate::Server). Never used twice within a server's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub(crate) u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A question put to the shell. Never used twice within a server's life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AskId(pub(crate) u64);

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A session's identifier (RFC 2326 section 3.4): 32 hexadecimal digits on the wire.
///
/// The first two digits are the shard's tag, the other 120 bits come from a generator that cannot
/// be run backwards or ahead without its seed. Knowing an id is not enough to use the session: it
/// is bound to its reader's IP address and user as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// The tag of the shard whose server made this id.
    pub fn shard_tag(self) -> u8 {
        let [tag, ..] = self.0.to_be_bytes();
        tag
    }

    /// Reads the identifier as a reader sends it back, without parameters; `None` if it cannot be
    /// one of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let ours = text.len() == DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        ours.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }

    /// The first eight digits: enough to tell sessions apart in a log, too little to use one.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 96)
    }

    fn new(shard_tag: u8, mut random: [u8; 16]) -> Self {
        let [first, ..] = &mut random;
        *first = shard_tag;
        Self(u128::from_be_bytes(random))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever reads a log must not be able to take a session over.
        write!(f, "SessionId({}..)", self.short())
    }
}

/// Numbers that cannot be foretold from those already seen: SHA-256 over the seed and a counter.
pub(crate) struct IdSource {
    seed: [u8; 32],
    drawn: u64,
}

impl IdSource {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    /// The next 32 bytes.
    pub(crate) fn draw(&mut self) -> [u8; 32] {
        self.drawn = self.drawn.wrapping_add(1);
        let hash = Sha256::new()
            .chain_update(b"rtsp-server ids")
            .chain_update(self.seed)
            .chain_update(self.drawn.to_be_bytes());
        hash.finalize().into()
    }

    pub(crate) fn session(&mut self, shard_tag: u8) -> SessionId {
        let drawn = self.draw();
        let mut random = [0; 16];
        random.iter_mut().zip(drawn).for_each(|(to, from)| *to = from);
        SessionId::new(shard_tag, random)
    }

    pub(crate) fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.draw();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for IdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdSource").field("drawn", &self.drawn).finish_non_exhaustive()
    }
}

/// Hexadecimal digits of an identifier.
const DIGITS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_from_its_digits_and_nothing_else_is_one() {
        let id = IdSource::new([7; 32]).session(0xa5);
        assert_eq!(SessionId::parse(&id.to_string()), Some(id));
        assert_eq!(id.shard_tag(), 0xa5);
        for wrong in ["", "12345678", &format!("+{}", &id.to_string()[1..]), &format!("{id}0")] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn ids_differ_from_draw_to_draw_and_from_seed_to_seed() {
        let mut one = IdSource::new([1; 32]);
        let mut other = IdSource::new([2; 32]);
        let ids = [one.session(0), one.session(0), other.session(0), other.session(0)];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn a_debug_line_does_not_give_the_session_away() {
        let id = IdSource::new([7; 32]).session(1);
        assert!(!format!("{id:?}").contains(&id.to_string()));
    }
}
