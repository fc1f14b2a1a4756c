//! Parameter sets where a decoder needs them.

use bytes::Bytes;
use sdp::Format;

use super::glance::{H264, profile_level_id};
use super::kind::*;
use crate::access_unit::AccessUnit;
use crate::framer;
use crate::nal::stream::NalCodec;
use crate::params::{ParameterSetKind, ParameterSets, to_base64};

/// Keeps the parameter sets of the stream and puts them before key pictures that come without.
#[derive(Clone, Debug)]
pub struct Framer {
    codec: H264,
    announced: ParameterSets,
}

impl Framer {
    /// With the parameter sets that the description has.
    pub fn new(format: &Format) -> Self {
        let codec = H264::new(format);
        let announced = codec.parameter_sets().clone();
        Self { codec, announced }
    }

    fn insert(&self, unit: AccessUnit, missing: &[ParameterSetKind]) -> AccessUnit {
        let mut whole = unit.emptied();
        let mut before = Some(missing);
        for element in unit.elements() {
            let kind = element.first_chunk::<1>().map_or(0, |[first]| first & TYPE);
            // A delimiter stays first; sets stand before what may refer to them.
            let here = match kind {
                DELIMITER => false,
                SPS => !missing.contains(&ParameterSetKind::Pps),
                _ => true,
            };
            if here && let Some(missing) = before.take() {
                for set in self.parameter_sets_of(missing) {
                    whole.push_element(set);
                }
            }
            whole.extend_element(element.as_slices().iter().cloned());
        }
        whole
    }

    fn parameter_sets_of(&self, kinds: &[ParameterSetKind]) -> impl Iterator<Item = Bytes> {
        let sets = self.codec.parameter_sets().iter();
        sets.filter(|set| kinds.contains(&set.kind)).map(|set| set.payload.clone())
    }
}

impl framer::Framer for Framer {
    fn frame(&mut self, unit: AccessUnit) -> Option<AccessUnit> {
        let (mut sps, mut pps) = (false, false);
        for element in unit.elements() {
            let Some([first]) = element.first_chunk() else { continue };
            match first & TYPE {
                SPS => sps = true,
                PPS => pps = true,
                _ => continue,
            }
            let nal = element.to_bytes();
            self.codec.inspect([first, 0], nal.get(1..).unwrap_or_default());
        }
        if unit.is_empty() {
            return None;
        }
        let missing: &[ParameterSetKind] = match (sps, pps) {
            _ if !unit.key => &[],
            (true, true) => &[],
            (true, false) => &[ParameterSetKind::Pps],
            (false, true) => &[ParameterSetKind::Sps],
            (false, false) => &[ParameterSetKind::Sps, ParameterSetKind::Pps],
        };
        if missing.is_empty() {
            return Some(unit);
        }
        Some(self.insert(unit, missing))
    }

    fn parameter_sets(&self) -> &ParameterSets {
        self.codec.parameter_sets()
    }

    fn parameter_sets_are_stale(&self) -> bool {
        *self.parameter_sets() != self.announced
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        let sets = self.parameter_sets();
        let mut parameters = Vec::new();
        if let Some(id) = sets.iter().find_map(|set| profile_level_id(&set.payload)) {
            parameters.push(("profile-level-id", id));
        }
        if !sets.is_empty() {
            let list: Vec<_> = sets.payloads().map(|set| to_base64(set)).collect();
            parameters.push(("sprop-parameter-sets", list.join(",")));
        }
        parameters
    }
}
