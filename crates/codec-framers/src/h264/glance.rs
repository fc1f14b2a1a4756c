//! What one payload of H.264 tells.

use sdp::Format;

use super::kind::*;
use super::sps;
use crate::bits::Bits;
use crate::glance::Glance;
use crate::nal::frame::SetCodec;
use crate::nal::stream::{NalCodec, NalInfo};
use crate::nal::{Fragments, Lead, has_recovery_point, skip, take_sized, units};
use crate::params::{ParameterSetKind, ParameterSets, base64_list, to_base64};

#[derive(Clone, Debug)]
pub(crate) struct H264 {
    sets: ParameterSets,
    lead: Lead,
    fragments: Fragments,
    /// Whether pictures may be fields.
    fields: bool,
}

impl H264 {
    pub(crate) fn new(format: &Format) -> Self {
        let mut sets = ParameterSets::default();
        let list = format.parameter("sprop-parameter-sets").unwrap_or("");
        for bytes in base64_list(list) {
            for unit in units(&bytes) {
                keep(&mut sets, unit);
            }
        }
        let mut codec =
            Self { sets, lead: Lead::Nothing, fragments: Fragments::default(), fields: false };
        codec.fields = codec.may_have_fields();
        codec
    }

    pub(crate) fn parameter_sets(&self) -> &ParameterSets {
        &self.sets
    }

    pub(crate) fn look(&mut self, payload: &[u8]) -> Glance {
        let mut glance = Glance::default();
        let Some((&first, body)) = payload.split_first() else { return glance };
        match first & TYPE {
            STAP_A => self.aggregate(body, 0, &mut glance),
            STAP_B => self.aggregate(skip(body, 2), 0, &mut glance),
            // Behind each size: 8 bits of decoding order, 16 or 24 bits of time.
            MTAP16 => self.aggregate(skip(body, 2), 3, &mut glance),
            MTAP24 => self.aggregate(skip(body, 2), 4, &mut glance),
            FU_A => self.fragment(first, body, 0, &mut glance),
            FU_B => self.fragment(first, body, 2, &mut glance),
            // What goes before a picture is short, and some cameras put the rest of the picture
            // behind it with start codes between.
            0 | SEI..=DELIMITER => units(payload).for_each(|unit| self.unit(unit, &mut glance)),
            _ => self.unit(payload, &mut glance),
        }
        glance
    }

    fn aggregate(&mut self, mut rest: &[u8], between: usize, glance: &mut Glance) {
        while let Some(unit) = take_sized(&mut rest, between) {
            self.unit(unit, glance);
        }
    }

    fn fragment(&mut self, indicator: u8, body: &[u8], order: usize, glance: &mut Glance) {
        let Some((&header, body)) = body.split_first() else { return };
        let (start, end) = (header & 0x80 != 0, header & 0x40 != 0);
        let body = if start { skip(body, order) } else { body };
        // The unit's own header is spread over indicator and fragment header.
        let own = indicator & !TYPE | header & TYPE;
        match (header & TYPE, start) {
            (SPS | PPS, _) => {
                glance.parameter_sets = true;
                glance.begins |= start;
                if start {
                    self.fragments.begin(&[own], body);
                } else {
                    self.fragments.add(body);
                }
                if end && let Some(unit) = self.fragments.finish() {
                    self.unit(&unit, glance);
                }
            }
            (SLICE..=IDR, false) => {
                let lead = std::mem::take(&mut self.lead);
                glance.picture = true;
                glance.random_access |= header & TYPE == IDR || lead == Lead::RecoveryPoint;
            }
            (_, true) => self.whole(own & TYPE, body, glance),
            (kind, false) => glance.picture |= kind > DELIMITER,
        }
    }

    /// A unit with its header.
    fn unit(&mut self, unit: &[u8], glance: &mut Glance) {
        let Some((&first, body)) = unit.split_first() else { return };
        if matches!(first & TYPE, SPS | PPS) {
            keep(&mut self.sets, unit);
        }
        self.whole(first & TYPE, body, glance);
    }

    /// The first macroblock of a field has number 0 too, so that it cannot begin an access unit.
    fn may_have_fields(&self) -> bool {
        let mut sequences = self.sets.iter().filter(|set| set.kind == ParameterSetKind::Sps);
        !sequences.all(|set| sps::has_frames_only(skip(&set.payload, 1)).unwrap_or(true))
    }

    /// A unit of this type, or its first fragment.
    fn whole(&mut self, kind: u8, body: &[u8], glance: &mut Glance) {
        match kind {
            SLICE..=IDR => {
                let lead = std::mem::take(&mut self.lead);
                // Partitions B and C begin otherwise, and never a picture.
                let header =
                    matches!(kind, SLICE | PARTITION_A | IDR).then(|| slice(body)).flatten();
                let (first, intra) = header.unwrap_or_default();
                glance.picture = true;
                glance.begins |= first;
                glance.random_access |= match lead {
                    Lead::RecoveryPoint => true,
                    Lead::Sequence => kind == IDR || intra,
                    Lead::Nothing => kind == IDR,
                };
            }
            SEI => {
                glance.begins = true;
                if has_recovery_point(body) {
                    self.lead = Lead::RecoveryPoint;
                }
            }
            SPS | PPS => {
                glance.begins = true;
                glance.parameter_sets = true;
                if kind == SPS {
                    self.lead = self.lead.max(Lead::Sequence);
                }
            }
            DELIMITER | SPS_EXTENSION | PREFIX => glance.begins = true,
            END_OF_SEQUENCE | END_OF_STREAM | FILLER | SUBSET_SPS | PACSI => {}
            _ => glance.picture = true,
        }
    }
}

impl NalCodec for H264 {
    const HEADER: usize = 1;

    fn inspect(&mut self, [first, _]: [u8; 2], body: &[u8]) -> NalInfo {
        let kind = first & TYPE;
        let mut glance = Glance::default();
        if matches!(kind, SPS | PPS) {
            keep_parts(&mut self.sets, first, body);
            if kind == SPS {
                self.fields = self.may_have_fields();
            }
        }
        self.whole(kind, body, &mut glance);
        let Glance { picture, begins, random_access, .. } = glance;
        // Section 7.4.1.2.3 of H.264; prefix NAL units stand before each slice.
        let splits = begins && kind != PREFIX && !(picture && self.fields);
        let foreign = kind == 0 || kind >= STAP_A;
        NalInfo { picture, begins, splits, key: random_access, foreign }
    }

    fn may_hold_more([first, _]: [u8; 2]) -> bool {
        matches!(first & TYPE, 0 | SEI..=DELIMITER)
    }
}

impl SetCodec for H264 {
    fn sets(&self) -> &ParameterSets {
        &self.sets
    }

    fn set_kind([first, _]: [u8; 2]) -> Option<ParameterSetKind> {
        match first & TYPE {
            SPS => Some(ParameterSetKind::Sps),
            PPS => Some(ParameterSetKind::Pps),
            _ => None,
        }
    }

    fn is_delimiter([first, _]: [u8; 2]) -> bool {
        first & TYPE == DELIMITER
    }

    /// RFC 6184 section 8.1.
    fn parameters(sets: &ParameterSets) -> Vec<(&'static str, String)> {
        let id = sets.iter().find_map(|set| profile_level_id(&set.payload));
        let list: Vec<_> = sets.payloads().map(|set| to_base64(set)).collect();
        let list = (!list.is_empty()).then(|| list.join(","));
        let named = [("profile-level-id", id), ("sprop-parameter-sets", list)];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The first bytes of a sequence parameter set as `profile-level-id` has them.
fn profile_level_id(unit: &[u8]) -> Option<String> {
    match *unit {
        [first, profile, constraints, level, ..] if first & TYPE == SPS => {
            Some(format!("{profile:02x}{constraints:02x}{level:02x}"))
        }
        _ => None,
    }
}

/// Whether a slice is the first of its picture, and whether it is an I slice (section 7.3.3).
fn slice(body: &[u8]) -> Option<(bool, bool)> {
    let mut bits = Bits::escaped(body);
    let first_macroblock = bits.ue()?;
    let slice_type = bits.ue()?;
    // I and SI, each with or without the promise that all slices of the picture are so.
    Some((first_macroblock == 0, matches!(slice_type % 5, 2 | 4)))
}

fn keep(sets: &mut ParameterSets, unit: &[u8]) {
    // A unit ends before its first three zeros or start code; cameras leave bytes behind it.
    let Some(unit) = units(unit).next() else { return };
    if let Some((&first, body)) = unit.split_first() {
        keep_parts(sets, first, body);
    }
}

fn keep_parts(sets: &mut ParameterSets, first: u8, body: &[u8]) {
    let Some(body) = units(body).next() else { return };
    let (kind, id) = match first & TYPE {
        SPS => (ParameterSetKind::Sps, Bits::escaped(skip(body, 3)).ue()),
        PPS => (ParameterSetKind::Pps, Bits::escaped(body).ue()),
        _ => return,
    };
    sets.keep(kind, id.unwrap_or(0), &[&[first], body]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{format, hex};

    /// Slices by their first byte: first macroblock 0 and type I, P; a later one.
    const I_SLICE: &str = "41 b8";
    const P_SLICE: &str = "41 e0";
    const LATER_P_SLICE: &str = "41 4c";

    fn codec() -> H264 {
        H264::new(&format("H264", ""))
    }

    fn look(codec: &mut H264, payload: &str) -> Glance {
        codec.look(&hex(payload))
    }

    #[test]
    fn an_idr_is_a_key_whole_and_in_every_fragment() {
        let mut codec = codec();
        for payload in ["65 88 84", "7c 85 88", "7c 05 12", "7c 45 12", "7d 85 00 07 88", "25 88"] {
            let glance = look(&mut codec, payload);
            assert!(glance.random_access && glance.picture, "{payload}");
        }
        assert!(look(&mut codec, "7c 85 88").begins);
        assert!(!look(&mut codec, "7c 05 88").begins);
    }

    #[test]
    fn a_p_slice_is_no_key_even_behind_parameter_sets() {
        let mut codec = codec();
        assert!(!look(&mut codec, P_SLICE).random_access);
        look(&mut codec, "67 4d 40 1f 95");
        look(&mut codec, "68 ee 3c 80");
        let glance = look(&mut codec, P_SLICE);
        assert!(glance.picture && glance.begins && !glance.random_access);
    }

    #[test]
    fn an_i_slice_is_a_key_where_a_sequence_parameter_set_precedes_it() {
        let mut codec = codec();
        assert!(!look(&mut codec, I_SLICE).random_access);
        let sps = look(&mut codec, "67 4d 40 1f 95");
        assert!(sps.parameter_sets && sps.begins && !sps.picture && !sps.random_access);
        look(&mut codec, "68 ee 3c 80");
        assert!(look(&mut codec, I_SLICE).random_access);
        assert!(!look(&mut codec, I_SLICE).random_access, "the set was for one picture");
        look(&mut codec, "67 4d 40 1f 95");
        assert!(
            look(&mut codec, "7c 81 b8").random_access,
            "a first fragment shows the slice type"
        );
    }

    #[test]
    fn a_recovery_point_makes_any_picture_a_key() {
        let mut codec = codec();
        assert!(look(&mut codec, "06 06 01 84 80").begins);
        assert!(look(&mut codec, P_SLICE).random_access);
        assert!(!look(&mut codec, P_SLICE).random_access);
        look(&mut codec, "06 05 01 84 80");
        assert!(!look(&mut codec, P_SLICE).random_access);
        look(&mut codec, "06 06 01 84 80");
        assert!(look(&mut codec, "7c 01 55").random_access, "though the beginning is lost");
    }

    #[test]
    fn aggregates_are_looked_into() {
        let sps_pps_idr = "00 04 67 4d 40 1f  00 02 68 ee  00 03 65 88 84";
        let parts: Vec<String> = vec![
            format!("78 {sps_pps_idr}"),
            format!("79 00 01 {sps_pps_idr}"),
            "7a 00 01  00 04 00 00 00 67 4d 40 1f  00 02 01 00 00 68 ee  00 03 02 00 00 65 88 84".into(),
            "7b 00 01  00 04 00 00 00 00 67 4d 40 1f  00 02 01 00 00 00 68 ee  00 03 02 00 00 00 65 88 84".into(),
        ];
        for payload in parts {
            let mut codec = codec();
            let glance = look(&mut codec, &payload);
            let all =
                glance.random_access && glance.parameter_sets && glance.begins && glance.picture;
            assert!(all, "{payload}");
            let sets: Vec<_> = codec.sets.payloads().map(|p| p.to_vec()).collect();
            assert_eq!(sets, [hex("67 4d 40 1f"), hex("68 ee")], "{payload}");
        }
    }

    #[test]
    fn units_with_start_codes_between_them_are_found() {
        let mut codec = codec();
        let glance = look(&mut codec, "67 4d 40 1f 00 00 00 01 68 ee 00 00 00 01 65 88 84");
        assert!(glance.random_access && glance.parameter_sets);
        assert_eq!(codec.sets.iter().count(), 2);
        assert!(look(&mut codec, "00 00 00 01 65 88").random_access);
    }

    #[test]
    fn only_the_first_slice_begins_a_picture() {
        let mut codec = codec();
        assert!(look(&mut codec, P_SLICE).begins);
        let later = look(&mut codec, LATER_P_SLICE);
        assert!(later.picture && !later.begins);
        assert!(look(&mut codec, "09 f0").begins);
        assert_eq!(look(&mut codec, "0c ff 80"), Glance::default());
    }

    #[test]
    fn a_parameter_set_in_fragments_is_put_together() {
        let mut codec = codec();
        look(&mut codec, "7c 87 4d 40");
        look(&mut codec, "7c 07 1f 95");
        let glance = look(&mut codec, "7c 47 11");
        assert!(glance.parameter_sets && !glance.picture);
        let sets: Vec<_> = codec.sets.payloads().map(|p| p.to_vec()).collect();
        assert_eq!(sets, [hex("67 4d 40 1f 95 11")]);
    }

    #[test]
    fn the_description_gives_the_first_parameter_sets() {
        let codec = H264::new(&format(
            "H264",
            "sprop-parameter-sets=Z00AHpWoLQ9puAgICBAAAAAB,aO48gAAAAAE=",
        ));
        let sets: Vec<_> = codec.sets.payloads().map(|p| p.to_vec()).collect();
        let sps = hex("67 4d 00 1e 95 a8 2d 0f 69 b8 08 08 08 10");
        assert_eq!(sets, [sps, hex("68 ee 3c 80")], "without the start codes left behind them");
        let wrong = H264::new(&format("H264", "sprop-parameter-sets=AAAA,!!,ZYiE"));
        assert!(wrong.sets.is_empty());
    }
}
