//! Where units begin.

use rtp_rtcp::{ExtSeq, RtpTime};

use crate::glance::Glance;

/// How many packets before a picture are counted to its unit although their timestamps differ.
pub const MAX_HEADER_PACKETS: u32 = 64;

/// Puts the glances of one unit together and says where key units begin.
///
/// A unit is what has one timestamp; a packet of delimiters or parameter sets stamped with an
/// earlier time still belongs to the picture after it. Where timestamps stand still, marker bits
/// and what begins a picture tell units apart; marker bits alone do not, since some senders set
/// them on every slice.
#[derive(Clone, Debug, Default)]
pub struct UnitTracker {
    unit: Option<Unit>,
}

/// Where a unit began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnitStart {
    /// The number of its first packet seen.
    pub seq: ExtSeq,
    /// That packet's timestamp.
    pub timestamp: RtpTime,
}

#[derive(Clone, Debug)]
struct Unit {
    first: UnitStart,
    last: ExtSeq,
    timestamp: RtpTime,
    packets: u32,
    /// Whether some of the picture was seen.
    picture: bool,
    /// Whether the last packet was marked as the last one.
    ended: bool,
    /// Whether it was reported as a key unit.
    reported: bool,
}

impl UnitTracker {
    /// Begins with the next packet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the glance at one packet, in the order of their numbers.
    ///
    /// Answers once per unit, as soon as it is known to be one that a decoder can start at: with
    /// the number of the first packet of that unit, which may have come before. A unit whose
    /// beginning was lost counts from its first packet seen.
    #[must_use]
    pub fn on_packet(&mut self, seq: ExtSeq, timestamp: RtpTime, glance: Glance) -> Option<ExtSeq> {
        if glance.foreign {
            return None;
        }
        if self.unit.as_ref().is_some_and(|unit| unit.is_over(seq, timestamp, glance)) {
            self.unit = None;
        }
        let unit = self.unit.get_or_insert(Unit {
            first: UnitStart { seq, timestamp },
            last: seq,
            timestamp,
            packets: 0,
            picture: false,
            ended: false,
            reported: false,
        });
        unit.last = seq;
        unit.timestamp = timestamp;
        unit.packets = unit.packets.saturating_add(1);
        unit.picture |= glance.picture;
        unit.ended = glance.unit_end;
        if glance.random_access && !unit.reported {
            unit.reported = true;
            return Some(unit.first.seq);
        }
        None
    }

    /// Where the unit now arriving began, as long as it is not known whether it is a key unit: a
    /// later answer of [`Self::on_packet`] may name that packet, and none before it.
    pub fn undecided(&self) -> Option<UnitStart> {
        self.unit.as_ref().filter(|unit| !unit.reported).map(|unit| unit.first)
    }

    /// Whether all that came of the unit now arriving is what stands before a picture, such as the
    /// parameter sets of a key frame.
    pub fn awaits_picture(&self) -> bool {
        self.unit.as_ref().is_some_and(|unit| !unit.picture)
    }
}

impl Unit {
    /// Whether the next packet belongs to the next unit.
    fn is_over(&self, seq: ExtSeq, timestamp: RtpTime, glance: Glance) -> bool {
        let moved = timestamp != self.timestamp;
        if self.picture {
            return moved || (glance.begins && (self.ended || glance.parameter_sets));
        }
        // Numbers of foreign packets between look like a loss: then the timestamps decide.
        moved && (seq != self.last.next() || self.packets >= MAX_HEADER_PACKETS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETS: Glance = Glance {
        random_access: false,
        parameter_sets: true,
        picture: false,
        begins: true,
        unit_end: false,
        foreign: false,
    };
    const KEY: Glance = Glance {
        random_access: true,
        parameter_sets: false,
        picture: true,
        begins: true,
        unit_end: false,
        foreign: false,
    };
    const KEY_WITHIN: Glance = Glance { begins: false, ..KEY };
    const OTHER: Glance = Glance { random_access: false, ..KEY };

    fn marked(glance: Glance) -> Glance {
        Glance { unit_end: true, ..glance }
    }

    /// Feeds `(number, timestamp, glance)` and lists `(number, answer)` of each answer.
    fn answers(packets: &[(u64, u32, Glance)]) -> Vec<(u64, u64)> {
        let mut tracker = UnitTracker::new();
        let mut answers = Vec::new();
        for &(seq, timestamp, glance) in packets {
            if let Some(first) = tracker.on_packet(ExtSeq(seq), RtpTime(timestamp), glance) {
                answers.push((seq, first.0));
            }
        }
        answers
    }

    #[test]
    fn a_key_unit_begins_at_its_parameter_sets_and_is_told_once() {
        let packets = [
            (1, 0, marked(OTHER)),
            (2, 10, SETS),
            (3, 10, SETS),
            (4, 10, KEY),
            (5, 10, marked(KEY_WITHIN)),
            (6, 20, marked(OTHER)),
            (7, 30, KEY),
        ];
        assert_eq!(answers(&packets), [(4, 2), (7, 7)]);
    }

    #[test]
    fn parameter_sets_stamped_and_marked_for_themselves_belong_to_the_picture_after_them() {
        let packets =
            [(1, 0, marked(OTHER)), (2, 9, marked(SETS)), (3, 9, marked(SETS)), (4, 10, KEY)];
        assert_eq!(answers(&packets), [(4, 2)]);
    }

    #[test]
    fn parameter_sets_with_the_time_of_the_picture_before_begin_the_next() {
        let packets = [(1, 0, OTHER), (2, 0, SETS), (3, 10, KEY)];
        assert_eq!(answers(&packets), [(3, 2)]);
    }

    #[test]
    fn parameter_sets_before_a_lost_picture_are_not_those_of_the_next() {
        let packets = [(1, 0, SETS), (9, 10, KEY)];
        assert_eq!(answers(&packets), [(9, 9)]);
    }

    #[test]
    fn a_unit_whose_beginning_was_lost_counts_from_its_first_packet_seen() {
        let packets = [(1, 0, marked(OTHER)), (5, 10, KEY_WITHIN), (6, 10, KEY_WITHIN)];
        assert_eq!(answers(&packets), [(5, 5)]);
    }

    #[test]
    fn a_marker_on_every_slice_makes_no_second_unit() {
        let packets = [(1, 0, marked(KEY)), (2, 0, marked(KEY_WITHIN)), (3, 0, marked(KEY_WITHIN))];
        assert_eq!(answers(&packets), [(1, 1)]);
    }

    #[test]
    fn units_are_told_apart_where_timestamps_stand_still() {
        let packets = [
            (1, 0, marked(KEY)),
            (2, 0, marked(OTHER)),
            (3, 0, SETS),
            (4, 0, KEY),
            (5, 0, marked(KEY_WITHIN)),
            (6, 0, marked(KEY)),
        ];
        assert_eq!(answers(&packets), [(1, 1), (4, 3), (6, 6)]);
    }

    #[test]
    fn foreign_packets_change_nothing() {
        let foreign = Glance { foreign: true, ..Glance::default() };
        let packets = [(1, 0, SETS), (2, 77, foreign), (3, 0, KEY)];
        assert_eq!(answers(&packets), [(3, 1)]);
    }

    /// Feeds `(number, timestamp, glance)` and says where a reader that joins then may begin.
    fn undecided_after(packets: &[(u64, u32, Glance)]) -> Option<(u64, u32)> {
        let mut tracker = UnitTracker::new();
        for &(seq, timestamp, glance) in packets {
            let _known = tracker.on_packet(ExtSeq(seq), RtpTime(timestamp), glance);
        }
        tracker.undecided().map(|first| (first.seq.0, first.timestamp.0))
    }

    #[test]
    fn a_unit_is_undecided_from_its_first_packet_until_it_is_told_to_be_key() {
        let packets = [(1, 0, marked(OTHER)), (2, 9, SETS), (3, 10, SETS), (4, 10, KEY)];
        assert_eq!(undecided_after(&[]), None);
        assert_eq!(undecided_after(&packets[..1]), Some((1, 0)));
        assert_eq!(undecided_after(&packets[..2]), Some((2, 9)));
        assert_eq!(undecided_after(&packets[..3]), Some((2, 9)));
        assert_eq!(undecided_after(&packets), None);
    }

    #[test]
    fn a_picture_is_awaited_after_parameter_sets_until_it_begins() {
        let mut tracker = UnitTracker::new();
        assert!(!tracker.awaits_picture());
        for (seq, glance, awaits) in
            [(1, OTHER, false), (2, SETS, true), (3, SETS, true), (4, KEY, false)]
        {
            let _known = tracker.on_packet(ExtSeq(seq), RtpTime(seq as u32), glance);
            assert_eq!(tracker.awaits_picture(), awaits, "{seq}");
        }
    }

    #[test]
    fn packets_without_any_picture_do_not_make_one_endless_unit() {
        let mut packets: Vec<_> = (0..1000).map(|n| (n, n as u32, SETS)).collect();
        packets.push((1000, 1000, KEY));
        let [(1000, first)] = answers(&packets)[..] else { panic!() };
        assert!(first >= 1000 - u64::from(MAX_HEADER_PACKETS), "{first}");
    }

    fn glance() -> impl Strategy<Value = Glance> {
        let foreign = Glance { foreign: true, ..Glance::default() };
        prop::sample::select(vec![SETS, KEY, KEY_WITHIN, OTHER, foreign])
            .prop_flat_map(|glance| prop::sample::select(vec![glance, marked(glance)]))
    }

    proptest! {
        #[test]
        fn no_key_unit_begins_below_the_one_undecided_before_it_was_known(
            packets in prop::collection::vec((1..3_u64, 0..3_u32, glance()), 1..60),
        ) {
            let mut tracker = UnitTracker::new();
            let (mut seq, mut timestamp) = (ExtSeq(0), RtpTime(0));
            for (step, time, glance) in packets {
                seq = seq.plus(step);
                timestamp = timestamp.plus(time);
                let bound = tracker.undecided().map_or(seq, |first| first.seq);
                if let Some(first) = tracker.on_packet(seq, timestamp, glance) {
                    prop_assert!(first >= bound);
                    prop_assert_eq!(tracker.undecided(), None);
                }
            }
        }
    }
}
