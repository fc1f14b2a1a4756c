//! What one payload tells.

/// What one payload tells about the unit that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Glance {
    /// The packet carries part of a picture at which a decoder can start. Not every packet of
    /// such a picture tells: the others belong to it by their timestamp.
    pub random_access: bool,
    /// The packet carries parameter sets (or a sequence header, where the format calls it so).
    pub parameter_sets: bool,
    /// The packet carries part of a picture, not only what goes before or after one.
    pub picture: bool,
    /// The packet carries what stands at the beginning of a unit: a delimiter, parameter sets,
    /// or the first part of a picture.
    pub begins: bool,
    /// The sender marked the packet as the last one of its unit.
    pub unit_end: bool,
    /// The packet has another payload type than the one that is looked at, such as
    /// retransmission, redundancy or comfort noise; nothing is known of it.
    pub foreign: bool,
}

impl Glance {
    /// The packet of a format in which every packet may be joined at.
    pub(crate) fn opaque(unit_end: bool) -> Self {
        Self { random_access: true, picture: true, begins: true, unit_end, ..Self::default() }
    }

    /// A packet within a picture, of which nothing more is known.
    pub(crate) fn within() -> Self {
        Self { picture: true, ..Self::default() }
    }
}
