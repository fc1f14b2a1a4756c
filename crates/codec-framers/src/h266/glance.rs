//! What one payload of H.266 tells.

use sdp::Format;

use crate::bits::Bits;
use crate::glance::Glance;
use crate::h265::glance::has_order_numbers;
use crate::nal::frame::{SetCodec, sprop_lists};
use crate::nal::stream::{NalCodec, NalInfo};
use crate::nal::wide::WideCodec;
use crate::nal::{Fragments, skip, take_sized, units};
use crate::params::{ParameterSetKind, ParameterSets, base64_list};

#[derive(Clone, Debug)]
pub(crate) struct H266 {
    sets: ParameterSets,
    fragments: Fragments,
    /// Whether payloads carry decoding order numbers (`sprop-max-don-diff` above 0).
    numbered: bool,
}

impl H266 {
    pub(crate) fn new(format: &Format) -> Self {
        Self::of(format, has_order_numbers(format))
    }

    /// A view of NAL units as they are, whatever payloads put before them.
    pub(crate) fn without_order_numbers(format: &Format) -> Self {
        Self::of(format, false)
    }

    fn of(format: &Format, numbered: bool) -> Self {
        let sets = ParameterSets::default();
        let mut codec = Self { sets, fragments: Fragments::default(), numbered };
        for name in ["sprop-vps", "sprop-sps", "sprop-pps"] {
            for bytes in base64_list(format.parameter(name).unwrap_or("")) {
                for unit in units(&bytes) {
                    if let Some((&header, body)) = unit.split_first_chunk() {
                        codec.keep(header, body);
                    }
                }
            }
        }
        codec
    }

    pub(crate) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    pub(crate) fn look(&mut self, payload: &[u8]) -> Glance {
        let mut glance = Glance::default();
        let Some((&header, body)) = payload.split_first_chunk() else { return glance };
        let order = if self.numbered { 2 } else { 0 };
        match kind(header) {
            AGGREGATE => {
                let mut rest = skip(body, order);
                while let Some(unit) = take_sized(&mut rest, 0) {
                    if let Some((&header, body)) = unit.split_first_chunk() {
                        self.whole(header, body, &mut glance);
                    }
                    if self.numbered {
                        rest = skip(rest, 1);
                    }
                }
            }
            FRAGMENT => self.fragment(header, body, order, &mut glance),
            _ => self.whole(header, skip(body, order), &mut glance),
        }
        glance
    }

    fn fragment(&mut self, header: [u8; 2], body: &[u8], order: usize, glance: &mut Glance) {
        let Some((&fragment, body)) = body.split_first() else { return };
        let (start, end) = (fragment & 0x80 != 0, fragment & 0x40 != 0);
        let body = if start { skip(body, order) } else { body };
        let own = [header[0], header[1] & 0x07 | fragment << 3];
        match (kind(own), start) {
            (VPS..=PPS, _) => {
                glance.parameter_sets = true;
                glance.begins |= start;
                if start {
                    self.fragments.begin(&own, body);
                } else {
                    self.fragments.add(body);
                }
                if end
                    && let Some(unit) = self.fragments.finish()
                    && let Some((&header, body)) = unit.split_first_chunk()
                {
                    self.whole(header, body, glance);
                }
            }
            (_, true) => self.whole(own, body, glance),
            (kind @ 0..=LAST_SLICE, false) => {
                glance.picture = true;
                glance.random_access |= is_irap(kind);
            }
            (_, false) => {}
        }
    }

    /// A unit, or its first fragment, behind its header.
    fn whole(&mut self, header: [u8; 2], body: &[u8], glance: &mut Glance) {
        match kind(header) {
            kind @ 0..=LAST_SLICE => {
                glance.picture = true;
                // The picture header is in the header of the first and only slice.
                glance.begins |= body.first().is_some_and(|first| first & 0x80 != 0);
                glance.random_access |= is_irap(kind);
            }
            VPS..=PPS => {
                glance.begins = true;
                glance.parameter_sets = true;
                self.keep(header, body);
            }
            OPERATING_POINT | DECODING_CAPABILITY | PREFIX_APS | PICTURE_HEADER | DELIMITER
            | PREFIX_SEI => glance.begins = true,
            _ => {}
        }
    }

    fn keep(&mut self, header: [u8; 2], body: &[u8]) {
        let Some(body) = units(body).next() else { return };
        let mut bits = Bits::escaped(body);
        let (set, id) = match kind(header) {
            VPS => (ParameterSetKind::Vps, bits.bits(4)),
            SPS => (ParameterSetKind::Sps, bits.bits(4)),
            PPS => (ParameterSetKind::Pps, bits.bits(6)),
            _ => return,
        };
        let order: &[u8] = if self.numbered { &[0, 0] } else { &[] };
        self.sets.keep(set, id.unwrap_or(0), &[&header, order, body]);
    }
}

impl NalCodec for H266 {
    const HEADER: usize = 2;

    fn inspect(&mut self, header: [u8; 2], body: &[u8]) -> NalInfo {
        let mut glance = Glance::default();
        self.whole(header, body, &mut glance);
        let Glance { picture, begins, random_access, .. } = glance;
        let kind = kind(header);
        let first = (picture && begins || kind == PICTURE_HEADER) && Self::layer(header) == 0;
        let splits = first || matches!(kind, OPERATING_POINT..=VPS | DELIMITER);
        NalInfo { picture, begins, splits, key: random_access, foreign: kind >= AGGREGATE }
    }

    fn may_hold_more(header: [u8; 2]) -> bool {
        matches!(kind(header), OPERATING_POINT..=PREFIX_APS | DELIMITER | PREFIX_SEI)
    }
}

impl WideCodec for H266 {
    const AGGREGATE: u8 = AGGREGATE;
    const FRAGMENT: u8 = FRAGMENT;
    const EXTENDED: Option<u8> = None;
    const FRAGMENT_TYPE: u8 = 0x1f;

    fn kind(header: [u8; 2]) -> u8 {
        kind(header)
    }

    fn with_kind([first, second]: [u8; 2], kind: u8) -> [u8; 2] {
        [first, second & 0x07 | kind << 3]
    }

    fn layer([first, _]: [u8; 2]) -> u8 {
        first & 0x3f
    }

    fn lowest(left: [u8; 2], right: [u8; 2]) -> [u8; 2] {
        let layer = Self::layer(left).min(Self::layer(right));
        let sublayer = (left[1] & 7).min(right[1] & 7);
        [(left[0] | right[0]) & 0x80 | layer, sublayer]
    }
}

impl SetCodec for H266 {
    fn sets(&self) -> &ParameterSets {
        &self.sets
    }

    fn set_kind(header: [u8; 2]) -> Option<ParameterSetKind> {
        match kind(header) {
            VPS => Some(ParameterSetKind::Vps),
            SPS => Some(ParameterSetKind::Sps),
            PPS => Some(ParameterSetKind::Pps),
            _ => None,
        }
    }

    fn is_delimiter(header: [u8; 2]) -> bool {
        matches!(kind(header), DELIMITER | OPERATING_POINT | DECODING_CAPABILITY)
    }

    fn parameters(sets: &ParameterSets) -> Vec<(&'static str, String)> {
        sprop_lists(sets)
    }
}

fn kind([_, second]: [u8; 2]) -> u8 {
    second >> 3
}

/// IDR, CRA and, where decoding can begin as well, gradual decoder refresh.
fn is_irap(kind: u8) -> bool {
    (7..=10).contains(&kind)
}

const LAST_SLICE: u8 = 11;
const OPERATING_POINT: u8 = 12;
const DECODING_CAPABILITY: u8 = 13;
const VPS: u8 = 14;
const PPS: u8 = 16;
const SPS: u8 = 15;
const PREFIX_APS: u8 = 17;
const PICTURE_HEADER: u8 = 19;
const DELIMITER: u8 = 20;
const PREFIX_SEI: u8 = 23;
const AGGREGATE: u8 = 28;
const FRAGMENT: u8 = 29;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{format, hex};

    const SPS_UNIT: &str = "00 79 00 11";
    const PPS_UNIT: &str = "00 81 00 22";

    fn codec() -> H266 {
        H266::new(&format("H266", ""))
    }

    fn look(codec: &mut H266, payload: &str) -> Glance {
        codec.look(&hex(payload))
    }

    #[test]
    fn idr_cra_and_gradual_refresh_are_keys_and_no_other_is() {
        for kind in 0..=27_u8 {
            let glance = codec().look(&[0, kind << 3 | 1, 0x80]);
            assert_eq!(glance.random_access, (7..=10).contains(&kind), "{kind}");
            assert_eq!(glance.picture, kind < 12, "{kind}");
        }
    }

    #[test]
    fn aggregates_and_fragments_are_looked_into() {
        let mut codec = codec();
        let glance =
            look(&mut codec, &format!("00 e1 00 04 {SPS_UNIT} 00 04 {PPS_UNIT} 00 03 00 39 80"));
        assert!(glance.random_access && glance.parameter_sets && glance.begins);
        let sets: Vec<_> = codec.sets.payloads().map(|p| p.to_vec()).collect();
        assert_eq!(sets, [hex(SPS_UNIT), hex(PPS_UNIT)]);
        let first = look(&mut codec, "00 e9 87 80");
        assert!(first.random_access && first.begins);
        assert!(look(&mut codec, "00 e9 07 80").random_access);
        assert!(!look(&mut codec, "00 e9 81 80").random_access);
    }

    #[test]
    fn order_numbers_are_stepped_over() {
        let mut codec = H266::new(&format("H266", "sprop-max-don-diff=1"));
        let glance = look(&mut codec, "00 e1 00 05 00 04 00 79 00 11 01 00 03 00 39 80");
        assert!(glance.random_access && glance.parameter_sets);
        assert_eq!(codec.sets.payloads().next().unwrap()[..], hex("00 79 00 00 00 11"));
        assert!(look(&mut codec, "00 39 00 06 80").begins);
    }

    #[test]
    fn the_description_and_fragments_give_parameter_sets() {
        let mut codec = H266::new(&format("H266", "sprop-sps=AHkAEQ=="));
        assert_eq!(codec.sets.payloads().next().unwrap()[..], hex(SPS_UNIT));
        look(&mut codec, "00 e9 90 00");
        look(&mut codec, "00 e9 50 22");
        assert_eq!(codec.sets.payloads().last().unwrap()[..], hex(PPS_UNIT));
    }
}
