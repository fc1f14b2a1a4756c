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
