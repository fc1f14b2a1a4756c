//! What one payload of MPEG video tells.

use crate::glance::Glance;
use crate::nal::skip;

/// A decoder starts at a sequence header; an intra picture alone will do only in streams that
/// never show one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mpv {
    has_sequence_headers: bool,
}

impl Mpv {
    pub(crate) fn look(&mut self, payload: &[u8]) -> Glance {
        const EXTENDED: u8 = 0x04;
        const SEQUENCE_HEADER: u8 = 0x20;
        const INTRA: u8 = 1;
        let Some(&[first, _, flags, _]) = payload.first_chunk() else { return Glance::default() };
        let body = skip(payload, if first & EXTENDED == 0 { 4 } else { 8 });

        // GStreamer leaves the header all zeros: then the stream itself tells.
        let sequence = flags & SEQUENCE_HEADER != 0 || matches!(body, [0, 0, 1, 0xb3, ..]);
        self.has_sequence_headers |= sequence;
        let intra = match (flags & 0x07, body) {
            (0, &[0, 0, 1, 0x00, _, kind, ..]) => kind >> 3 & 0x07 == INTRA,
            // The first picture of a group is one.
            (0, body) => matches!(body, [0, 0, 1, 0xb8, ..]),
            (kind, _) => kind == INTRA,
        };
        let begins = matches!(body, [0, 0, 1, 0x00 | 0xb3 | 0xb8, ..]);
        Glance {
            random_access: sequence || (intra && begins && !self.has_sequence_headers),
            parameter_sets: sequence,
            picture: true,
            begins: begins || sequence,
            ..Glance::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hex;

    #[test]
    fn a_sequence_header_is_a_key() {
        let mut codec = Mpv::default();
        let glance = codec.look(&hex("00 00 31 00 000001b3 1234"));
        assert!(glance.random_access && glance.parameter_sets && glance.begins);
        let extended = codec.look(&hex("04 00 31 00 11111111 000001b3 1234"));
        assert!(extended.random_access && extended.begins);
        assert!(!codec.look(&hex("00 00 1a 00 00000100 12")).random_access);
    }

    #[test]
    fn where_the_header_is_all_zeros_the_stream_tells() {
        let mut codec = Mpv::default();
        let mut key = |payload: &str| codec.look(&hex(payload)).random_access;
        assert!(key("00000000 00000100 000f fff8"), "an intra picture");
        assert!(!key("00000000 00000100 0057 fff8"), "a predicted one");
        assert!(!key("00000000 00000101 000f fff8"), "a slice");
        assert!(key("00000000 000001b8 00080040"), "a group");
        assert!(key("00000000 000001b3 04003013"), "a sequence");
        assert!(!key("00000000 00000100 000f fff8"), "an intra picture where there are sequences");
    }

    #[test]
    fn an_intra_picture_alone_is_a_key_only_where_no_sequence_header_was_seen() {
        let mut codec = Mpv::default();
        let intra = hex("00 00 11 00 00000100 12");
        assert!(codec.look(&intra).random_access);
        assert!(!codec.look(&hex("00 00 11 00 00000101 12")).random_access, "a later slice");
        codec.look(&hex("00 00 31 00 000001b3 1234"));
        assert!(!codec.look(&intra).random_access);
    }
}
