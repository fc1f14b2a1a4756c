//! What one payload of MPEG-4 Visual tells.

use sdp::Format;

use crate::glance::Glance;
use crate::nal::skip;
use crate::params::{ParameterSetKind, ParameterSets, hex};

#[derive(Clone, Debug)]
pub(crate) struct Mpeg4 {
    sets: ParameterSets,
}

impl Mpeg4 {
    pub(crate) fn new(format: &Format) -> Self {
        let mut sets = ParameterSets::default();
        let config = format.parameter("config").and_then(hex).unwrap_or_default();
        if start_codes(&config).any(|(_, code)| is_layer(code)) {
            sets.keep(ParameterSetKind::Configuration, 0, &[&config]);
        }
        Self { sets }
    }

    pub(crate) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    pub(crate) fn look(&mut self, payload: &[u8]) -> Glance {
        // Headers stand at the beginning of a payload or nowhere (section 3.2).
        if !payload.starts_with(&[0, 0, 1]) {
            return Glance::within();
        }
        let mut glance = Glance { begins: true, ..Glance::default() };
        let mut has_layer = false;
        for (at, code) in start_codes(payload) {
            match code {
                SEQUENCE | OBJECT | 0x00..=LAST_LAYER => {
                    glance.parameter_sets = true;
                    has_layer |= is_layer(code);
                }
                GROUP | PICTURE if has_layer => {
                    let config = payload.get(..at).unwrap_or_default();
                    self.sets.keep(ParameterSetKind::Configuration, 0, &[config]);
                    has_layer = false;
                }
                _ => {}
            }
            if code == PICTURE {
                glance.picture = true;
                // The first two bits are the coding type; 0 is I.
                let intra = skip(payload, at + 4).first().map(|byte| byte >> 6 == 0);
                glance.random_access = intra.unwrap_or(glance.parameter_sets);
                return glance;
            }
        }
        if has_layer {
            self.sets.keep(ParameterSetKind::Configuration, 0, &[payload]);
        }
        glance
    }
}

/// The places and values of all start codes.
fn start_codes(bytes: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    bytes.windows(4).enumerate().filter_map(|(at, four)| match *four {
        [0, 0, 1, code] => Some((at, code)),
        _ => None,
    })
}

/// The header of a video object layer, without which nothing can be decoded.
fn is_layer(code: u8) -> bool {
    (0x20..=LAST_LAYER).contains(&code)
}

const LAST_LAYER: u8 = 0x2f;
const SEQUENCE: u8 = 0xb0;
const GROUP: u8 = 0xb3;
const OBJECT: u8 = 0xb5;
const PICTURE: u8 = 0xb6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{format, hex};

    const CONFIG: &str = "000001b001 000001b509 00000100 00000120 0086c4";

    fn look(payload: &str) -> (Glance, Vec<Vec<u8>>) {
        let mut codec = Mpeg4::new(&format("MP4V-ES", ""));
        let glance = codec.look(&hex(payload));
        (glance, codec.sets.payloads().map(|p| p.to_vec()).collect())
    }

    #[test]
    fn an_intra_picture_is_a_key_and_others_are_not() {
        let (glance, _) = look("000001b6 10 60");
        assert!(glance.random_access && glance.begins && glance.picture && !glance.parameter_sets);
        for predicted in ["000001b6 50", "000001b6 90", "000001b6 d0"] {
            let (glance, _) = look(predicted);
            assert!(!glance.random_access && glance.begins && glance.picture, "{predicted}");
        }
        assert_eq!(look("12 34 00 00 01 b6 10").0, Glance::within());
    }

    #[test]
    fn headers_before_a_picture_are_kept_without_it() {
        let (glance, sets) = look(&format!("{CONFIG} 000001b3 001007 000001b6 10 60"));
        assert!(glance.random_access && glance.parameter_sets);
        assert_eq!(sets, [hex(CONFIG)]);
    }

    #[test]
    fn headers_in_a_packet_of_their_own_begin_a_unit_but_are_no_picture() {
        let (glance, sets) = look(CONFIG);
        assert!(glance.parameter_sets && glance.begins && !glance.picture && !glance.random_access);
        assert_eq!(sets, [hex(CONFIG)]);
        let (group, sets) = look("000001b3 001007");
        assert!(group.begins && !group.parameter_sets && sets.is_empty());
    }

    #[test]
    fn the_description_gives_the_first_configuration() {
        let digits: String = CONFIG.split_whitespace().collect();
        let codec = Mpeg4::new(&format("MP4V-ES", &format!("profile-level-id=1;config={digits}")));
        assert_eq!(codec.sets.payloads().next().unwrap()[..], hex(CONFIG));
        for wrong in ["config=", "config=zz", "config=000001b001", "config"] {
            assert!(Mpeg4::new(&format("MP4V-ES", wrong)).sets.is_empty(), "{wrong}");
        }
    }
}
