//! Parameter sets where a decoder needs them.

use smallvec::SmallVec;

use crate::access_unit::AccessUnit;
use crate::framer::Framer;
use crate::nal::stream::{NalCodec, split_header};
use crate::params::{ParameterSetKind, ParameterSets, to_base64};
use crate::slices::Slices;

/// What the framer has to know of a codec.
pub(crate) trait SetCodec: NalCodec {
    /// The parameter sets seen so far.
    fn sets(&self) -> &ParameterSets;

    /// What kind of parameter set a NAL unit with this header is.
    fn set_kind(header: [u8; 2]) -> Option<ParameterSetKind>;

    /// Whether it has to be the first of its access unit.
    fn is_delimiter(header: [u8; 2]) -> bool;

    /// The format parameters that tell of these sets.
    fn parameters(sets: &ParameterSets) -> Vec<(&'static str, String)>;
}

/// Keeps the parameter sets of a stream and puts them before key pictures that come without.
#[derive(Clone, Debug)]
pub(crate) struct SetFramer<C> {
    codec: C,
    announced: ParameterSets,
}

impl<C: SetCodec> SetFramer<C> {
    /// `codec` knows the parameter sets of the description.
    pub(crate) fn new(codec: C) -> Self {
        let announced = codec.sets().clone();
        Self { codec, announced }
    }

    /// Takes note of the parameter sets in a unit, and says which kinds there are.
    fn take_note(&mut self, unit: &AccessUnit) -> SmallVec<[ParameterSetKind; 4]> {
        let mut found = SmallVec::new();
        for element in unit.elements() {
            let Some(kind) = header::<C>(element).and_then(C::set_kind) else { continue };
            found.push(kind);
            if let Some((header, body)) = split_header::<C>(&element.to_bytes()) {
                self.codec.inspect(header, body);
            }
        }
        found
    }

    /// Puts the sets of these kinds where they belong: behind delimiters, VPS before SPS before
    /// PPS before all else.
    fn insert(&self, unit: &AccessUnit, missing: &[ParameterSetKind]) -> AccessUnit {
        let mut whole = unit.emptied();
        let mut missing = missing.iter().peekable();
        for element in unit.elements() {
            let header = header::<C>(element).unwrap_or_default();
            let this = C::set_kind(header);
            if !C::is_delimiter(header) {
                while let Some(kind) = missing.next_if(|&&kind| this.is_none_or(|this| kind < this))
                {
                    let sets = self.codec.sets().iter().filter(|set| set.kind == *kind);
                    sets.for_each(|set| whole.push_element(set.payload.clone()));
                }
            }
            whole.extend_element(element.as_slices().iter().cloned());
        }
        whole
    }
}

impl<C: SetCodec> Framer for SetFramer<C> {
    fn frame(&mut self, unit: AccessUnit) -> Option<AccessUnit> {
        use ParameterSetKind::{Pps, Sps, Vps};
        if unit.is_empty() {
            return None;
        }
        let found = self.take_note(&unit);
        let missing: SmallVec<[ParameterSetKind; 4]> =
            [Vps, Sps, Pps].into_iter().filter(|kind| !found.contains(kind)).collect();
        if !unit.key || missing.is_empty() {
            return Some(unit);
        }
        Some(self.insert(&unit, &missing))
    }

    fn parameter_sets(&self) -> &ParameterSets {
        self.codec.sets()
    }

    fn parameter_sets_are_stale(&self) -> bool {
        *self.codec.sets() != self.announced
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        C::parameters(self.codec.sets())
    }
}

/// The parameter sets of one kind as a list of base64.
pub(crate) fn list_of(sets: &ParameterSets, kind: ParameterSetKind) -> Option<String> {
    let own = sets.iter().filter(|set| set.kind == kind);
    let list: Vec<_> = own.map(|set| to_base64(&set.payload)).collect();
    (!list.is_empty()).then(|| list.join(","))
}

/// `sprop-vps` and its like (RFC 7798 section 7.1, RFC 9328 section 7.1).
pub(crate) fn sprop_lists(sets: &ParameterSets) -> Vec<(&'static str, String)> {
    use ParameterSetKind::{Pps, Sps, Vps};
    let names = [("sprop-vps", Vps), ("sprop-sps", Sps), ("sprop-pps", Pps)];
    names.into_iter().filter_map(|(name, kind)| Some((name, list_of(sets, kind)?))).collect()
}

fn header<C: NalCodec>(element: Slices<'_>) -> Option<[u8; 2]> {
    match C::HEADER {
        1 => element.first_chunk().map(|[first]| [first, 0]),
        _ => element.first_chunk(),
    }
}

/// A public framer around a [`SetFramer`].
macro_rules! set_framer {
    ($codec:ty, $new:expr) => {
        /// Keeps the parameter sets of the stream and puts them before key pictures that come
        /// without.
        #[derive(Clone, Debug)]
        pub struct Framer($crate::nal::frame::SetFramer<$codec>);

        impl Framer {
            /// With the parameter sets that the description has.
            pub fn new(format: &sdp::Format) -> Self {
                Self($crate::nal::frame::SetFramer::new($new(format)))
            }
        }

        impl $crate::framer::Framer for Framer {
            fn frame(
                &mut self,
                unit: $crate::access_unit::AccessUnit,
            ) -> Option<$crate::access_unit::AccessUnit> {
                self.0.frame(unit)
            }

            fn parameter_sets(&self) -> &$crate::params::ParameterSets {
                self.0.parameter_sets()
            }

            fn parameter_sets_are_stale(&self) -> bool {
                self.0.parameter_sets_are_stale()
            }

            fn parameters(&self) -> Vec<(&'static str, String)> {
                self.0.parameters()
            }
        }
    };
}

pub(crate) use set_framer;
