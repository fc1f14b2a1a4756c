//! Counts of instructions: how they are kept, and when more of them are too many.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A rise by more than so many per cent fails.
pub(super) const LIMIT: u64 = 3;

/// By the names of what is counted.
pub(super) type Counts = BTreeMap<String, u64>;

/// What counts depend on beside the sources: others are only comparable where this is the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) rustc: String,
    pub(super) libc: String,
    pub(super) machine: String,
}

/// One machine's counts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Table {
    #[serde(flatten)]
    pub(super) key: Key,
    pub(super) counts: Counts,
}

/// All that are kept, at most one for each key.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) tables: Vec<Table>,
}

impl Kept {
    pub(super) fn of(&self, key: &Key) -> Option<&Counts> {
        self.tables.iter().find(|table| table.key == *key).map(|table| &table.counts)
    }

    /// Takes these for the counts that are right. Tables of other keys stay if nothing but small
    /// changes is accepted; otherwise they would be held against what was accepted here.
    pub(super) fn accept(&mut self, key: &Key, counts: Counts) {
        let is_small = self.of(key).is_some_and(|old| {
            compare(old, &counts).iter().all(|line| line.verdict() == Verdict::Same)
        });
        self.tables.retain(|table| is_small && table.key != *key);
        self.tables.push(Table { key: key.clone(), counts });
    }

    /// What has been accepted since `before` was kept: names whose counts, by any key that is in
    /// both, rose further than they may.
    pub(super) fn accepted_since(&self, before: &Self) -> BTreeSet<String> {
        let lines = self
            .tables
            .iter()
            .filter_map(|table| before.of(&table.key).map(|old| compare(old, &table.counts)));
        let risen = lines.flatten().filter(|line| line.verdict() == Verdict::Rose);
        risen.map(|line| line.name).collect()
    }
}

/// One name's counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) old: Option<u64>,
    pub(super) new: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// As many, or almost.
    Same,
    Rose,
    Fell,
    /// Counted for the first time.
    New,
    /// Not counted any more.
    Gone,
}

impl Line {
    pub(super) fn verdict(&self) -> Verdict {
        match (self.old, self.new) {
            (None, _) => Verdict::New,
            (_, None) => Verdict::Gone,
            (Some(old), Some(new)) if exceeds(new, old) => Verdict::Rose,
            (Some(old), Some(new)) if exceeds(old, new) => Verdict::Fell,
            _ => Verdict::Same,
        }
    }

    /// In per cent; 0 where there is nothing to compare.
    pub(super) fn change(&self) -> f64 {
        match (self.old, self.new) {
            (Some(old), Some(new)) if old > 0 => 100.0 * (new as f64 / old as f64 - 1.0),
            _ => 0.0,
        }
    }
}

/// All names that are in either, in their order.
pub(super) fn compare(old: &Counts, new: &Counts) -> Vec<Line> {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let line = |name: &String| Line {
        name: name.clone(),
        old: old.get(name).copied(),
        new: new.get(name).copied(),
    };
    names.into_iter().map(line).collect()
}

/// Whether it is more by more than the limit.
fn exceeds(more: u64, less: u64) -> bool {
    u128::from(more) * 100 > u128::from(less) * u128::from(100 + LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(libc: &str) -> Key {
        Key { rustc: "1.95.0".into(), libc: libc.into(), machine: "x86_64".into() }
    }

    fn counts(counts: &[(&str, u64)]) -> Counts {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn kept(tables: &[(&str, &[(&str, u64)])]) -> Kept {
        let tables = tables.iter().map(|(libc, of)| Table { key: key(libc), counts: counts(of) });
        Kept { tables: tables.collect() }
    }

    #[test]
    fn a_rise_above_the_limit_is_told_from_all_else() {
        for (old, new, verdict) in [
            (Some(1000), Some(1000), Verdict::Same),
            (Some(1000), Some(1030), Verdict::Same),
            (Some(1000), Some(1031), Verdict::Rose),
            (Some(10), Some(11), Verdict::Rose),
            (Some(1030), Some(1000), Verdict::Same),
            (Some(1031), Some(1000), Verdict::Fell),
            (Some(0), Some(1), Verdict::Rose),
            (Some(u64::MAX), Some(u64::MAX), Verdict::Same),
            (None, Some(5), Verdict::New),
            (Some(5), None, Verdict::Gone),
        ] {
            let line = Line { name: "x".into(), old, new };
            assert_eq!(line.verdict(), verdict, "{line:?}");
        }
    }

    #[test]
    fn every_name_of_either_table_is_compared_once() {
        let (old, new) = (counts(&[("a", 1), ("b", 2)]), counts(&[("b", 2), ("c", 3)]));
        let lines = compare(&old, &new);
        let seen: Vec<_> = lines.iter().map(|line| (&*line.name, line.verdict())).collect();
        assert_eq!(seen, [("a", Verdict::Gone), ("b", Verdict::Same), ("c", Verdict::New)]);
    }

    #[test]
    fn what_is_accepted_replaces_its_own_table_and_leaves_no_other_that_contradicts_it() {
        let both = kept(&[("2.36", &[("a", 100)]), ("2.39", &[("a", 100)])]);
        for (accepted, others_stay) in [(102, true), (110, false), (90, false)] {
            let mut after = both.clone();
            after.accept(&key("2.36"), counts(&[("a", accepted)]));
            assert_eq!(after.of(&key("2.36")), Some(&counts(&[("a", accepted)])));
            assert_eq!(after.of(&key("2.39")).is_some(), others_stay, "{accepted}");
        }
        let mut after = both;
        after.accept(&key("2.41"), counts(&[("a", 100)]));
        assert_eq!(after.tables.len(), 1, "it is not known what changed");
    }

    #[test]
    fn a_rise_that_was_accepted_by_one_key_is_known_to_the_others() {
        let before = kept(&[("2.36", &[("a", 100), ("b", 100)])]);
        let after = kept(&[("2.36", &[("a", 110), ("b", 100), ("c", 5)]), ("2.39", &[("b", 900)])]);
        assert_eq!(after.accepted_since(&before), BTreeSet::from(["a".to_owned()]));
        assert_eq!(before.accepted_since(&Kept::default()), BTreeSet::new());
    }

    #[test]
    fn tables_are_read_as_they_were_written() {
        let before = kept(&[("2.36", &[("a", 100)]), ("2.39", &[("a", 100), ("b", 1)])]);
        let text = serde_json::to_string_pretty(&before).expect("plain data");
        assert_eq!(serde_json::from_str::<Kept>(&text).expect("what was written"), before);
    }
}
