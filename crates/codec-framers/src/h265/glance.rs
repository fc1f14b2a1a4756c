//! What one payload of H.265 tells.

use sdp::Format;

use crate::bits::Bits;
use crate::glance::Glance;
use crate::nal::frame::{SetCodec, sprop_lists};
use crate::nal::stream::{NalCodec, NalInfo};
use crate::nal::wide::WideCodec;
use crate::nal::{Fragments, Lead, has_recovery_point, skip, take_sized, units};
use crate::params::{ParameterSetKind, ParameterSets, base64_list};

#[derive(Clone, Debug)]
pub(crate) struct H265 {
    sets: ParameterSets,
    lead: Lead,
    fragments: Fragments,
    /// Whether payloads carry decoding order numbers (`sprop-max-don-diff` above 0).
    numbered: bool,
}

impl H265 {
    pub(crate) fn new(format: &Format) -> Self {
        Self::of(format, has_order_numbers(format))
    }

    /// A view of NAL units as they are, whatever payloads put before them.
    pub(crate) fn without_order_numbers(format: &Format) -> Self {
        Self::of(format, false)
    }

    fn of(format: &Format, numbered: bool) -> Self {
        let fragments = Fragments::default();
        let sets = ParameterSets::default();
        let mut codec = Self { sets, lead: Lead::Nothing, fragments, numbered };
        for name in ["sprop-vps", "sprop-sps", "sprop-pps"] {
            for bytes in base64_list(format.parameter(name).unwrap_or("")) {
                units(&bytes).for_each(|unit| codec.keep(unit));
            }
        }
        codec
    }

    pub(crate) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    pub(crate) fn look(&mut self, payload: &[u8]) -> Glance {
        let mut glance = Glance::default();
        if payload.starts_with(&[0, 0, 1]) || payload.starts_with(&[0, 0, 0, 1]) {
            units(payload).for_each(|unit| self.unit(unit, &mut glance));
        } else if let Some((&header, body)) = payload.split_first_chunk() {
            self.packet(header, body, &mut glance);
        }
        glance
    }

    /// The payload behind its header; `header` says the type.
    fn packet(&mut self, header: [u8; 2], body: &[u8], glance: &mut Glance) {
        let order = if self.numbered { 2 } else { 0 };
        match kind(header) {
            AGGREGATE => self.aggregate(skip(body, order), glance),
            FRAGMENT => self.fragment(header, body, order, glance),
            PACI => self.extended(header, body, glance),
            // Some cameras leave start codes between what goes before a picture and it.
            VPS..=DELIMITER | PREFIX_SEI => {
                let mut parts = units(skip(body, order));
                self.whole(header, parts.next().unwrap_or_default(), glance);
                parts.for_each(|unit| self.unit(unit, glance));
            }
            _ => self.whole(header, skip(body, order), glance),
        }
    }

    fn aggregate(&mut self, mut rest: &[u8], glance: &mut Glance) {
        while let Some(unit) = take_sized(&mut rest, 0) {
            self.unit(unit, glance);
            if self.numbered {
                rest = skip(rest, 1);
            }
        }
    }

    fn fragment(&mut self, header: [u8; 2], body: &[u8], order: usize, glance: &mut Glance) {
        let Some((&fragment, body)) = body.split_first() else { return };
        let (start, end) = (fragment & 0x80 != 0, fragment & 0x40 != 0);
        let body = if start { skip(body, order) } else { body };
        let own = with_kind(header, fragment & 0x3f);
        match (kind(own), start) {
            (VPS..=PPS, _) => {
                glance.parameter_sets = true;
                glance.begins |= start;
                if start {
                    self.fragments.begin(&own, body);
                } else {
                    self.fragments.add(body);
                }
                if end && let Some(unit) = self.fragments.finish() {
                    self.unit(&unit, glance);
                }
            }
            (_, true) => self.whole(own, body, glance),
            (kind @ 0..=LAST_SLICE, false) => {
                let lead = std::mem::take(&mut self.lead);
                glance.picture = true;
                glance.random_access |= is_irap(kind) || lead == Lead::RecoveryPoint;
            }
            (_, false) => {}
        }
    }

    /// A payload with extensions before it (section 4.4.4): of what kind it is stands there.
    fn extended(&mut self, header: [u8; 2], body: &[u8], glance: &mut Glance) {
        let Some((&[high, low], body)) = body.split_first_chunk() else { return };
        let inner = with_kind(header, high >> 1 & 0x3f);
        let extension = usize::from((high & 1) << 4 | low >> 4);
        // One within the other is forbidden, and would not end.
        if kind(inner) != PACI {
            self.packet(inner, skip(body, extension), glance);
        }
    }

    /// A unit with its header, without order number.
    fn unit(&mut self, unit: &[u8], glance: &mut Glance) {
        if let Some((&header, body)) = unit.split_first_chunk() {
            self.whole(header, body, glance);
        }
    }

    /// A unit, or its first fragment, behind its header.
    fn whole(&mut self, header: [u8; 2], body: &[u8], glance: &mut Glance) {
        match kind(header) {
            kind @ 0..=LAST_SLICE => {
                let lead = std::mem::take(&mut self.lead);
                glance.picture = true;
                glance.begins |= body.first().is_some_and(|first| first & 0x80 != 0);
                glance.random_access |= match lead {
                    Lead::RecoveryPoint => true,
                    Lead::Sequence => is_irap(kind) || self.is_intra(body).unwrap_or(false),
                    Lead::Nothing => is_irap(kind),
                };
            }
            kind @ VPS..=PPS => {
                glance.begins = true;
                glance.parameter_sets = true;
                if kind == SPS {
                    self.lead = self.lead.max(Lead::Sequence);
                }
                self.keep_parts(header, body);
            }
            PREFIX_SEI => {
                glance.begins = true;
                if has_recovery_point(body) {
                    self.lead = Lead::RecoveryPoint;
                }
            }
            DELIMITER => glance.begins = true,
            _ => {}
        }
    }

    /// Whether the first slice of a picture that is not an IRAP is an I slice (H.265 section
    /// 7.3.6.1); `None` for other slices.
    fn is_intra(&self, body: &[u8]) -> Option<bool> {
        const I: u32 = 2;
        let mut bits = Bits::escaped(body);
        if bits.bit()? == 0 {
            return None;
        }
        let id = bits.ue()?;
        let extra = self.extra_header_bits(id).unwrap_or(0);
        bits.skip(extra)?;
        Some(bits.ue()? == I)
    }

    /// How many bits that picture parameter set puts before the slice type (section 7.3.2.3.1).
    fn extra_header_bits(&self, id: u32) -> Option<u32> {
        let set = self.sets.find(ParameterSetKind::Pps, id)?;
        let order = if self.numbered { 2 } else { 0 };
        let mut bits = Bits::escaped(skip(&set.payload, 2 + order));
        bits.ue()?;
        bits.ue()?;
        bits.skip(2)?;
        bits.bits(3)
    }

    fn keep(&mut self, unit: &[u8]) {
        if let Some((&header, body)) = unit.split_first_chunk() {
            self.keep_parts(header, body);
        }
    }

    fn keep_parts(&mut self, header: [u8; 2], body: &[u8]) {
        let Some(body) = units(body).next() else { return };
        let (set, id) = match kind(header) {
            VPS => (ParameterSetKind::Vps, Bits::escaped(body).bits(4)),
            // Its number stands behind a structure of variable length, and streams with several
            // are streams in layers.
            SPS => (ParameterSetKind::Sps, None),
            PPS => (ParameterSetKind::Pps, Bits::escaped(body).ue()),
            _ => return,
        };
        // A number of zero decodes a parameter set before whatever is waiting.
        let order: &[u8] = if self.numbered { &[0, 0] } else { &[] };
        self.sets.keep(set, id.unwrap_or(0), &[&header, order, body]);
    }
}

impl NalCodec for H265 {
    const HEADER: usize = 2;

    fn inspect(&mut self, header: [u8; 2], body: &[u8]) -> NalInfo {
        let mut glance = Glance::default();
        self.whole(header, body, &mut glance);
        let Glance { picture, begins, random_access, .. } = glance;
        let kind = kind(header);
        let first = picture && begins && Self::layer(header) == 0;
        let splits = first || matches!(kind, VPS | DELIMITER);
        NalInfo { picture, begins, splits, key: random_access, foreign: kind >= AGGREGATE }
    }

    fn may_hold_more(header: [u8; 2]) -> bool {
        matches!(kind(header), VPS..=DELIMITER | PREFIX_SEI)
    }
}

impl WideCodec for H265 {
    const AGGREGATE: u8 = AGGREGATE;
    const FRAGMENT: u8 = FRAGMENT;
    const EXTENDED: Option<u8> = Some(PACI);
    const FRAGMENT_TYPE: u8 = 0x3f;

    fn kind(header: [u8; 2]) -> u8 {
        kind(header)
    }

    fn with_kind(header: [u8; 2], kind: u8) -> [u8; 2] {
        with_kind(header, kind)
    }

    fn layer([first, second]: [u8; 2]) -> u8 {
        (first & 1) << 5 | second >> 3
    }

    fn lowest(left: [u8; 2], right: [u8; 2]) -> [u8; 2] {
        let layer = Self::layer(left).min(Self::layer(right));
        let sublayer = (left[1] & 7).min(right[1] & 7);
        [(left[0] | right[0]) & 0x80 | layer >> 5, layer << 3 | sublayer]
    }
}

impl SetCodec for H265 {
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
        kind(header) == DELIMITER
    }

    fn parameters(sets: &ParameterSets) -> Vec<(&'static str, String)> {
        sprop_lists(sets)
    }
}

/// RFC 7798 section 7.1, RFC 9328 section 7.2.
pub(crate) fn has_order_numbers(format: &Format) -> bool {
    let difference = format.parameter("sprop-max-don-diff").and_then(|text| text.parse().ok());
    difference.unwrap_or(0_u32) > 0
}

fn kind([first, _]: [u8; 2]) -> u8 {
    first >> 1 & 0x3f
}

fn with_kind([first, second]: [u8; 2], kind: u8) -> [u8; 2] {
    [first & 0x81 | kind << 1, second]
}

/// BLA, IDR, CRA and those reserved for more of them.
fn is_irap(kind: u8) -> bool {
    (16..=23).contains(&kind)
}

const LAST_SLICE: u8 = 31;
const VPS: u8 = 32;
const SPS: u8 = 33;
const PPS: u8 = 34;
const DELIMITER: u8 = 35;
const PREFIX_SEI: u8 = 39;
const AGGREGATE: u8 = 48;
const FRAGMENT: u8 = 49;
const PACI: u8 = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{format, hex};

    const VPS_UNIT: &str = "40 01 0c 01";
    const SPS_UNIT: &str = "42 01 01 01 60";
    const PPS_UNIT: &str = "44 01 c1 73";

    fn codec() -> H265 {
        H265::new(&format("H265", ""))
    }

    fn look(codec: &mut H265, payload: &str) -> Glance {
        codec.look(&hex(payload))
    }

    fn kept(codec: &H265) -> Vec<Vec<u8>> {
        codec.sets.payloads().map(|p| p.to_vec()).collect()
    }

    #[test]
    fn every_irap_type_is_a_key_and_no_other_is() {
        let mut codec = codec();
        for kind in 0..=40_u8 {
            let glance = codec.look(&[kind << 1, 1, 0x80, 0x80]);
            assert_eq!(glance.random_access, (16..=23).contains(&kind), "{kind}");
            assert_eq!(glance.picture, kind < 32, "{kind}");
            // Sets and messages must not make the next picture a key.
            codec = self::codec();
        }
    }

    #[test]
    fn a_fragmented_irap_is_a_key_in_every_fragment() {
        let mut codec = codec();
        let first = look(&mut codec, "62 01 93 af");
        assert!(first.random_access && first.begins);
        let within = look(&mut codec, "62 01 13 af");
        assert!(within.random_access && !within.begins);
        assert!(!look(&mut codec, "62 01 81 af").random_access);
    }

    #[test]
    fn aggregates_and_extended_payloads_are_looked_into() {
        let inner = format!("00 04 {VPS_UNIT} 00 05 {SPS_UNIT} 00 04 {PPS_UNIT} 00 03 26 01 af");
        for payload in [
            format!("60 01 {inner}"),
            // extension: aggregate inside, three bytes of extension
            format!("64 01 60 30 aa aa aa {inner}"),
        ] {
            let mut codec = codec();
            let glance = look(&mut codec, &payload);
            assert!(glance.random_access && glance.parameter_sets && glance.begins, "{payload}");
            assert_eq!(kept(&codec), [hex(VPS_UNIT), hex(SPS_UNIT), hex(PPS_UNIT)]);
        }
        let mut codec = codec();
        assert!(look(&mut codec, "64 01 26 00 af").random_access, "a single unit inside");
        assert!(look(&mut codec, "64 01 62 00 93 af").random_access, "a fragment inside");
        assert_eq!(look(&mut codec, "64 01 64 00 26 01 af"), Glance::default());
    }

    #[test]
    fn order_numbers_are_stepped_over_and_put_before_kept_sets() {
        let mut codec = H265::new(&format("H265", "sprop-max-don-diff=2"));
        let glance = look(&mut codec, &format!("60 01 00 07 00 05 {SPS_UNIT} 01 00 03 26 01 af"));
        assert!(glance.random_access && glance.parameter_sets);
        look(&mut codec, "44 01 00 09 c1 73");
        assert_eq!(kept(&codec), [hex("42 01 00 00 01 01 60"), hex("44 01 00 00 c1 73")]);
        assert!(look(&mut codec, "26 01 00 0a af").begins);
        assert!(look(&mut codec, "62 01 93 00 0b af").begins);
    }

    #[test]
    fn an_i_slice_of_another_type_is_a_key_behind_a_sequence_parameter_set() {
        let mut codec = codec();
        // first slice, parameter set 0, slice type 2
        let intra = "02 01 d8";
        assert!(!look(&mut codec, intra).random_access);
        look(&mut codec, SPS_UNIT);
        // first slice, parameter set 0, slice type 1
        assert!(!look(&mut codec, "02 01 d0").random_access);
        look(&mut codec, SPS_UNIT);
        assert!(look(&mut codec, intra).random_access);
        // With two extra bits in the header the type stands two bits later.
        // Parameter set 0, sequence 0, flags 0 0, extra bits 2.
        look(&mut codec, "44 01 c4 80");
        look(&mut codec, SPS_UNIT);
        assert!(look(&mut codec, "02 01 c6").random_access);
    }

    #[test]
    fn a_recovery_point_makes_any_picture_a_key() {
        let mut codec = codec();
        look(&mut codec, "4e 01 06 01 84 80");
        assert!(look(&mut codec, "02 01 d0").random_access);
        assert!(!look(&mut codec, "02 01 d0").random_access);
    }

    #[test]
    fn the_description_gives_the_first_parameter_sets() {
        let codec = H265::new(&format(
            "H265",
            "sprop-vps=QAEMAf//AWAAAAMAsAAAAwAAAwBarAwAAAMABAAAAwAyqA==;sprop-pps=RAHA8saNA7NA;sprop-sps=QgEBAWAAAAMAsAAAAwAAAwBaoAWCAeFja5JFL83BQYFBAAADAAEAAAMADKE=",
        ));
        let kinds: Vec<_> = codec.sets.iter().map(|set| set.kind).collect();
        use ParameterSetKind::{Pps, Sps, Vps};
        assert_eq!(kinds, [Vps, Sps, Pps]);
        assert_eq!(codec.sets.payloads().last().unwrap()[..], hex("4401c0f2c68d03b340"));
    }

    #[test]
    fn a_parameter_set_in_fragments_is_put_together() {
        let mut codec = codec();
        look(&mut codec, "62 01 a1 01 01");
        assert!(look(&mut codec, "62 01 61 60").parameter_sets);
        assert_eq!(kept(&codec), [hex(SPS_UNIT)]);
    }
}
