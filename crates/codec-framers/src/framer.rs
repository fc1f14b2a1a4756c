//! What a codec's own rules add to an access unit.

use crate::access_unit::AccessUnit;
use crate::params::ParameterSets;

/// Puts access units into the form that a decoder which starts here needs. Stands between
/// depacketizer and packetizer.
pub trait Framer {
    /// Takes the next unit in decoding order and gives it back, changed where it has to be;
    /// `None` for a unit that has nothing for a decoder.
    fn frame(&mut self, unit: AccessUnit) -> Option<AccessUnit>;

    /// The parameter sets in force: the last ones seen, else those of the description. Empty in
    /// formats that have none.
    fn parameter_sets(&self) -> &ParameterSets;

    /// Whether those in force are other than the description says, so that it should be told
    /// anew.
    fn parameter_sets_are_stale(&self) -> bool;

    /// The format parameters (`a=fmtp`) that a true description of the stream as it is now has,
    /// as far as they speak of parameter sets: name and value.
    fn parameters(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// The framer of formats that need none.
#[derive(Clone, Debug, Default)]
pub struct PassFramer {
    none: ParameterSets,
}

impl Framer for PassFramer {
    fn frame(&mut self, unit: AccessUnit) -> Option<AccessUnit> {
        Some(unit)
    }

    fn parameter_sets(&self) -> &ParameterSets {
        &self.none
    }

    fn parameter_sets_are_stale(&self) -> bool {
        false
    }
}
