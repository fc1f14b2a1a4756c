//! Parameter sets: what a decoder must have before the first picture.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use smallvec::SmallVec;

/// The longest parameter set that is kept, in bytes.
pub const MAX_PARAMETER_SET_BYTES: usize = 8 * 1024;

/// Parameter sets kept per track.
pub const MAX_PARAMETER_SETS: usize = 32;

/// What kind of parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ParameterSetKind {
    /// Video parameter set (H.265, H.266).
    Vps,
    /// Sequence parameter set (H.264, H.265, H.266).
    Sps,
    /// Picture parameter set (H.264, H.265, H.266).
    Pps,
    /// The headers before the first picture (MPEG-4 Visual), or the sequence header (AV1).
    Configuration,
}

/// One parameter set, as the payload of an RTP packet of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSet {
    /// What it is.
    pub kind: ParameterSetKind,
    /// Its number within its kind; 0 where there are no numbers.
    pub id: u32,
    /// The payload that carries it and nothing else.
    pub payload: Bytes,
}

/// The parameter sets of one track, in the order in which a decoder needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets {
    sets: SmallVec<[ParameterSet; 4]>,
}

impl ParameterSets {
    /// All of them, VPS before SPS before PPS.
    pub fn iter(&self) -> impl Iterator<Item = &ParameterSet> {
        self.sets.iter()
    }

    /// The payloads to send, one packet each, before a picture that needs them.
    pub fn payloads(&self) -> impl Iterator<Item = &Bytes> {
        self.sets.iter().map(|set| &set.payload)
    }

    /// One of them.
    pub fn find(&self, kind: ParameterSetKind, id: u32) -> Option<&ParameterSet> {
        self.sets.iter().find(|set| (set.kind, set.id) == (kind, id))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }

    /// Keeps a set whose payload is the concatenation of `parts`, in place of the one of the
    /// same kind and number. What is too long or one too many is passed over. Allocates only if
    /// something changed.
    pub(crate) fn keep(&mut self, kind: ParameterSetKind, id: u32, parts: &[&[u8]]) {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        if bytes > MAX_PARAMETER_SET_BYTES {
            return;
        }
        let payload = || -> Bytes { parts.concat().into() };
        match self.sets.binary_search_by_key(&(kind, id), |set| (set.kind, set.id)) {
            Ok(at) => {
                if let Some(set) = self.sets.get_mut(at)
                    && !is_concat(&set.payload, parts)
                {
                    set.payload = payload();
                }
            }
            Err(at) if self.sets.len() < MAX_PARAMETER_SETS => {
                self.sets.insert(at, ParameterSet { kind, id, payload: payload() });
            }
            Err(_) => {}
        }
    }
}

fn is_concat(whole: &[u8], parts: &[&[u8]]) -> bool {
    let mut rest = whole;
    for part in parts {
        let Some(left) = rest.strip_prefix(*part) else { return false };
        rest = left;
    }
    rest.is_empty()
}

/// Decodes a comma-separated list of base64 (`sprop-*`), with or without padding; what cannot be
/// decoded is passed over.
pub(crate) fn base64_list(list: &str) -> impl Iterator<Item = Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    list.split(',').filter_map(|item| LENIENT.decode(item.trim()).ok())
}

/// One item of such a list.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Bytes as hexadecimal digits.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes hexadecimal digits; `None` for anything else.
pub(crate) fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.trim().as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|&[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ParameterSetKind::{Pps, Sps, Vps};

    #[test]
    fn sets_stay_in_the_order_of_need_and_are_replaced_by_number() {
        let mut sets = ParameterSets::default();
        sets.keep(Pps, 1, &[b"pps1"]);
        sets.keep(Sps, 0, &[b"sps"]);
        sets.keep(Pps, 0, &[b"pp", b"s0"]);
        sets.keep(Vps, 0, &[b"vps"]);
        sets.keep(Sps, 0, &[b"new"]);
        let payloads: Vec<_> = sets.payloads().map(|p| &p[..]).collect();
        assert_eq!(payloads, [&b"vps"[..], b"new", b"pps0", b"pps1"]);
    }

    #[test]
    fn an_unchanged_set_is_not_copied_again() {
        let mut sets = ParameterSets::default();
        sets.keep(Sps, 0, &[b"same"]);
        let before = sets.payloads().next().unwrap().as_ptr();
        sets.keep(Sps, 0, &[b"sa", b"me"]);
        assert_eq!(sets.payloads().next().unwrap().as_ptr(), before);
        sets.keep(Sps, 0, &[b"sa", b"m"]);
        assert_eq!(sets.payloads().next().unwrap(), "sam");
    }

    #[test]
    fn neither_number_nor_length_is_without_bound() {
        let mut sets = ParameterSets::default();
        sets.keep(Sps, 0, &[&vec![0; MAX_PARAMETER_SET_BYTES + 1]]);
        assert!(sets.is_empty());
        for id in 0..100 {
            sets.keep(Pps, id, &[b"x"]);
        }
        assert_eq!(sets.iter().count(), MAX_PARAMETER_SETS);
    }

    #[test]
    fn lists_are_decoded_with_and_without_padding() {
        let lists: Vec<_> = base64_list("aO48gA==, aO48gA ,!,aO4").collect();
        assert_eq!(
            lists,
            [&[0x68, 0xee, 0x3c, 0x80][..], &[0x68, 0xee, 0x3c, 0x80], &[0x68, 0xee]]
        );
        assert_eq!(hex("000001b0"), Some(vec![0, 0, 1, 0xb0]));
        assert_eq!((hex("0"), hex("zz")), (None, None));
    }
}
