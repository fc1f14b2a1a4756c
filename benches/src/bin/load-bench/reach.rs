//! What the proxy is to reach, and whether it did.

use std::fmt;

use serde::Serialize;

use crate::cases::{Case, What};
use crate::outcome::Outcome;

/// One demand on one case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// The case.
    pub(crate) case: String,
    /// What is looked at, with its unit.
    pub(crate) what: &'static str,
    pub(crate) wanted: f64,
    /// `None` where there is no figure.
    pub(crate) got: Option<f64>,
    pub(crate) is_ceiling: bool,
    /// Never without a figure.
    pub(crate) met: bool,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { case, what, wanted, got, .. } = self;
        let sign = if self.is_ceiling { "<=" } else { ">=" };
        let verdict = if self.met { "met" } else { "NOT MET" };
        match got {
            Some(got) => {
                write!(f, "{verdict:<12}  {case:<26} {what}: {got:.2}, wanted {sign} {wanted:.2}")
            }
            None => write!(f, "NOT MEASURED  {case:<26} {what}: wanted {sign} {wanted:.2}"),
        }
    }
}

/// A line for each demand.
pub(crate) fn render(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// All demands on what was measured.
pub(crate) fn rows(outcomes: &[Outcome]) -> Vec<Row> {
    let mut rows = Vec::new();
    for outcome in outcomes {
        let mut to = Demands { case: &outcome.name, rows: &mut rows };
        match outcome.case.what {
            What::Limit => limit(outcome, &mut to),
            What::Joins { joining, .. } => joins(outcome, joining, &mut to),
            What::Beside => {
                to.below("added latency of the second stream p99, ms", 5.0, latency_last(outcome));
            }
            What::Memory { .. } => memory(outcome, &mut to),
            What::Idle { .. } => {
                // A keep-alive or two per minute.
                to.below("CPU of an added idle stream, us/s", 10.0, micros(outcome.idle_nanos));
            }
            What::Cores { all } => {
                // Camera, readers and what shards have in common take their part.
                let growth = outcome.growth.map(|ratio| ratio.median);
                to.above("throughput with all cores against one", 0.8 * all as f64, growth);
            }
            What::Loss => {}
        }
    }
    rows
}

fn limit(outcome: &Outcome, to: &mut Demands<'_>) {
    let Case { streams, readers, over, pace, .. } = &outcome.case;
    let ratio = outcome.ratio.map(|ratio| ratio.median);
    let whole_frames = outcome.whole_frames_ratio.map(|ratio| ratio.median);
    let (p50, p99) = (outcome.proxy(|m| m.latency.p50), outcome.proxy(|m| m.latency.p99));
    match (streams, readers) {
        (1, 100 | 500) => {
            to.above("of the limit", 0.9, ratio);
            if pace == "burst" {
                to.above("of the limit with whole frames", 0.8, whole_frames);
            }
        }
        (1, 1000) if pace == "burst" => {
            let (packets, frames) = outcome.lost();
            to.below("frames lost", 0.0, Some(frames as f64));
            to.below("packets lost", 0.0, Some(packets as f64));
        }
        (50, 2) => {
            let wanted = if *over == crate::options::Over::Tcp { 0.65 } else { 0.5 };
            to.above("of the limit", wanted, ratio);
        }
        _ => {}
    }
    match (streams, readers) {
        (1, 1 | 10) => to.below("added latency p50, ms", 0.4, p50),
        (1, 100) => {
            let against = |of: Option<f64>, bare: Option<f64>| Some(of? / bare?);
            let bare = outcome.bare(|m| m.latency.p50);
            to.below("added latency p50 against the bare loop's", 1.3, against(p50, bare));
            let bare = outcome.bare(|m| m.latency.p99);
            to.below("added latency p99 against the bare loop's", 1.3, against(p99, bare));
        }
        (1, 500) => to.below("resident memory, MB", 30.0, megabytes(outcome)),
        _ => {}
    }
}

fn joins(outcome: &Outcome, joining: usize, to: &mut Demands<'_>) {
    let pair = outcome.pairs.first();
    let joins = pair.and_then(|pair| pair.proxy.joins);
    let first_key = joins.map(|joins| joins.first_key);
    if joining == 20 {
        to.below("first key frame p50, ms", 25.0, first_key.map(|first| first.p50));
        to.below("first key frame p99, ms", 50.0, first_key.map(|first| first.p99));
    } else {
        let bare = pair.and_then(|pair| pair.whole_frames.as_ref());
        let bare = bare.map(|bare| bare.key_to_all.p50);
        let above = first_key.zip(bare).map(|(first, bare)| first.p99 - bare);
        to.below("first key frame p99 above the bare loop's, ms", 50.0, above);
    }
    to.below("packets lost while joining", 0.0, joins.map(|joins| joins.lost as f64));
}

fn memory(outcome: &Outcome, to: &mut Demands<'_>) {
    if outcome.case.streams == 200 {
        // What the proxy does not tell of its logs is not granted.
        let logs = outcome.log_bytes.unwrap_or_default() as f64 / 1e6;
        to.below("resident memory, MB (40 + 1.3 x logs)", 40.0 + 1.3 * logs, megabytes(outcome));
    } else {
        to.below("resident memory, MB", 400.0, megabytes(outcome));
    }
}

fn latency_last(outcome: &Outcome) -> Option<f64> {
    outcome.proxy(|m| m.latency_last.p99)
}

/// The largest of all pairs.
fn megabytes(outcome: &Outcome) -> Option<f64> {
    let resident = outcome.pairs.iter().map(|pair| pair.proxy.resident);
    resident.max().map(|bytes| bytes as f64 / 1e6)
}

fn micros(nanos: Option<f64>) -> Option<f64> {
    nanos.map(|nanos| nanos / 1e3)
}

/// The demands on a case.
struct Demands<'a> {
    case: &'a str,
    rows: &'a mut Vec<Row>,
}

impl Demands<'_> {
    fn above(&mut self, what: &'static str, wanted: f64, got: Option<f64>) {
        self.add(what, wanted, got, false);
    }

    fn below(&mut self, what: &'static str, wanted: f64, got: Option<f64>) {
        self.add(what, wanted, got, true);
    }

    fn add(&mut self, what: &'static str, wanted: f64, got: Option<f64>, is_ceiling: bool) {
        // A figure that is none is worth as little as one that is missing.
        let got = got.filter(|got| got.is_finite());
        let met = got.is_some_and(|got| if is_ceiling { got <= wanted } else { got >= wanted });
        let case = self.case.to_owned();
        self.rows.push(Row { case, what, wanted, got, is_ceiling, met });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::measured::tests::measured;
    use crate::measured::{Joined, Spread};
    use crate::options::RunOptions;
    use crate::outcome::Pair;

    fn outcome(name: &str, pair: Pair) -> Outcome {
        let cases = cases::chosen(&RunOptions::default());
        let case = cases.iter().find(|case| case.name() == name).unwrap();
        Outcome::new(case, vec![pair], Vec::new())
    }

    fn verdicts(outcome: &Outcome) -> Vec<(&'static str, bool)> {
        rows(std::slice::from_ref(outcome)).iter().map(|row| (row.what, row.met)).collect()
    }

    #[test]
    fn ratios_and_latencies_are_held_against_the_bare_loop() {
        let mut bare = measured(100);
        bare.latency.p99 = 1.0;
        let whole_frames = Some(measured(120));
        let pair = Pair { bare: Some(bare), whole_frames, ..Pair::of(measured(95)) };
        assert_eq!(
            verdicts(&outcome("1x100-udp-burst", pair)),
            [
                ("of the limit", true),
                ("of the limit with whole frames", false),
                ("added latency p50 against the bare loop's", true),
                ("added latency p99 against the bare loop's", false),
            ]
        );
    }

    #[test]
    fn four_fifths_of_each_core_are_wanted() {
        let all = crate::measured::tests::unread;
        let Some(case) = cases::suite().into_iter().find(|case| case.name() == "cores-udp-burst")
        else {
            panic!("there is such a case")
        };
        let case = Case { what: What::Cores { all: 2 }, ..case };
        for (packets, busiest, got) in
            [(161, 1.0, Some(1.61)), (159, 1.0, Some(1.59)), (161, 0.9, None)]
        {
            let one_shard = Some(all(100, busiest));
            let pair = Pair { one_shard, ..Pair::of(all(packets, 1.0)) };
            let rows = rows(&[Outcome::new(&case, vec![pair], Vec::new())]);
            assert_eq!((rows[0].wanted, rows[0].got), (1.6, got));
            assert_eq!((rows.len(), rows[0].met), (1, got == Some(1.61)));
        }
    }

    #[test]
    fn a_single_lost_frame_of_a_thousand_readers_is_one_too_many() {
        let lossy = crate::measured::Measured { lost_packets: 1, lost_frames: 1, ..measured(9) };
        for (proxy, met) in [(measured(9), true), (lossy, false)] {
            let rows = rows(&[outcome("1x1000-tcp-burst", Pair::of(proxy))]);
            assert!(rows.len() == 2 && rows.iter().all(|row| row.met == met));
        }
    }

    #[test]
    fn joins_are_held_against_the_bare_loops_time_for_one_key_frame() {
        let spread = Spread { p50: 40.0, p99: 80.0, ..Spread::default() };
        let joins = Some(Joined { first_key: spread, lost: 0 });
        let proxy = crate::measured::Measured { joins, ..measured(9) };
        let mut bare = measured(9);
        bare.key_to_all.p50 = 35.0;
        let pair = Pair { whole_frames: Some(bare), ..Pair::of(proxy) };
        let rows = rows(&[outcome("join-500-beside-1-udp-burst", pair)]);
        assert_eq!((rows[0].got, rows[0].met), (Some(45.0), true));
        assert!(rows[0].to_string().starts_with("met "));
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let names = ["1x100-udp-burst", "50x2-tcp-burst", "join-20-beside-50-udp-burst"];
        // No bare loop beside it, and nobody joined.
        for (name, missing) in names.into_iter().zip([4, 1, 3]) {
            let rows = rows(&[outcome(name, Pair::of(measured(95)))]);
            let missed = rows.iter().filter(|row| row.to_string().starts_with("NOT MEASURED"));
            assert_eq!(missed.count(), missing, "{name}");
            assert!(!rows.iter().any(|row| row.met));
        }
    }

    #[test]
    fn memory_is_held_against_what_the_logs_say_they_hold() {
        let mut outcome = outcome("memory-200x1-1mbit-tcp-spread", Pair::of(measured(9)));
        outcome.pairs[0].proxy.resident = 104_000_000;
        assert!(!verdicts(&outcome)[0].1, "they say nothing");
        outcome.log_bytes = Some(50_000_000);
        assert!(verdicts(&outcome)[0].1);
        outcome.pairs[0].proxy.resident = 106_000_000;
        assert!(!verdicts(&outcome)[0].1);
    }
}
