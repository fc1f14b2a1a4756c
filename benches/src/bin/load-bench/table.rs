//! The table for people.

use std::fmt::Write as _;

use crate::measured::Measured;
use crate::outcome::{Outcome, Ratio, median};

const TITLES: [&str; 10] = [
    "case (streams x readers)",
    "Mbit/s",
    "lost packets / frames",
    "packets/CPU-s",
    "of the limit",
    "of whole frames",
    "CPU %",
    "MB",
    "added latency ms p50/p99/p99.9 (bare)",
    "first key frame ms p50/p99",
];

/// One line per case, in columns; what the proxy warned of below.
pub(crate) fn render(outcomes: &[Outcome]) -> String {
    let mut rows = vec![TITLES.map(str::to_owned)];
    rows.extend(outcomes.iter().filter_map(row));
    let mut widths = [0; TITLES.len()];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        text.push('|');
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String never fails.
            let _ = write!(text, " {cell:>width$} |");
        }
        text.push('\n');
        if number == 0 {
            text.push('|');
            for width in widths {
                let _ = write!(text, "{}:|", "-".repeat(width + 1));
            }
            text.push('\n');
        }
    }
    let bound = outcomes.iter().filter(|outcome| outcome.bound == Some(true));
    let bound: Vec<&str> = bound.map(|outcome| outcome.name.as_str()).collect();
    if !bound.is_empty() {
        let _ = writeln!(text, "* programs bound to cores: {}", bound.join(", "));
    }
    for outcome in outcomes {
        let name = &outcome.name;
        if let Some(proof) = outcome.proof {
            let _ = writeln!(
                text,
                "* {name}: the bare loop sends {proof:.1} times what a call per packet does"
            );
        }
        let all = outcome.proxy(Measured::packets_per_second);
        let one = outcome.pairs.iter().filter_map(|pair| pair.one_shard.as_ref());
        let one = median(&one.map(Measured::packets_per_second).collect::<Vec<_>>());
        if let (Some(all), Some(one)) = (all, one) {
            let grown = ratio(outcome.growth);
            let _ = writeln!(
                text,
                "* {name}: {:.2} million packets/s with one shard, {:.2} with one for each core: \
                 {grown} times",
                one / 1e6,
                all / 1e6
            );
        }
        for note in &outcome.notes {
            let _ = writeln!(text, "* {name}: {note}");
        }
    }
    text
}

fn row(outcome: &Outcome) -> Option<[String; TITLES.len()]> {
    let first = &outcome.pairs.first()?.proxy;
    let proxy = |of: fn(&Measured) -> f64| outcome.proxy(of).unwrap_or_default();
    let bare = outcome.bare(|m| m.latency.p50).zip(outcome.bare(|m| m.latency.p99));
    let bare = bare.map_or_else(String::new, |(p50, p99)| format!(" ({p50:.2}/{p99:.2})"));
    let (packets, frames) = outcome.lost();
    // Later measurements have readers that join all at once.
    let first_key = first.joins.map_or(first.first_key, |joins| joins.first_key);
    // Who does not read cannot tell what was in it.
    let read = |cell: String| if first.unread.is_some() { String::new() } else { cell };
    Some([
        outcome.name.clone(),
        read(format!("{:.1}", proxy(Measured::megabits_per_second))),
        read(format!("{packets} / {frames}")),
        format!("{:.0}", proxy(Measured::packets_per_cpu_second)),
        ratio(outcome.ratio),
        ratio(outcome.whole_frames_ratio),
        format!("{:.1}", 100.0 * proxy(Measured::cpu_share)),
        format!("{:.1}", proxy(|m| m.resident as f64 / 1e6)),
        read(format!(
            "{:.2}/{:.2}/{:.2}{bare}",
            proxy(|m| m.latency.p50),
            proxy(|m| m.latency.p99),
            proxy(|m| m.latency.p999)
        )),
        read(format!("{:.0}/{:.0}", first_key.p50, first_key.p99)),
    ])
}

fn ratio(ratio: Option<Ratio>) -> String {
    let show = |Ratio { median, spread }| format!("{median:.2} ±{:.2}", spread / 2.0);
    ratio.map_or_else(String::new, show)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::measured::tests::{measured, unread};
    use crate::options::RunOptions;
    use crate::outcome::Pair;

    #[test]
    fn each_case_is_a_line_with_its_figures() {
        let mut proxy = measured(1000);
        (proxy.lost_packets, proxy.lost_frames) = (3, 2);
        let bare = Some(measured(1250));
        let case = &cases::chosen(&RunOptions::default())[1];
        let pairs = vec![Pair { bare, ..Pair::of(proxy) }];
        let mut outcome = Outcome::new(case, pairs, vec!["WARN slow".to_owned()]);
        outcome.proof = Some(3.0);
        outcome.bound = Some(true);
        let text = render(&[outcome]);
        let line = text.lines().nth(2).unwrap();
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(
            cells,
            [
                "1x10-udp-burst",
                "4.0",
                "3 / 2",
                "2000",
                "0.80 ±0.00",
                "",
                "25.0",
                "9.0",
                "1.00/2.00/3.00 (1.00/2.00)",
                "1/2"
            ]
        );
        assert!(text.contains("* programs bound to cores: 1x10-udp-burst\n"));
        assert!(text.contains("sends 3.0 times") && text.ends_with("burst: WARN slow\n"));
        let widths: Vec<usize> = text.lines().take(3).map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }

    #[test]
    fn what_cores_bring_is_said_below() {
        let case = cases::suite().pop().unwrap();
        let one_shard = Some(unread(4_000_000, 1.0));
        let pair = Pair { one_shard, ..Pair::of(unread(7_000_000, 1.0)) };
        let text = render(&[Outcome::new(&case, vec![pair], Vec::new())]);
        let line = text.lines().nth(2).unwrap();
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(
            cells,
            ["cores-udp-burst", "", "", "14000000", "", "", "25.0", "9.0", "", ""],
            "they did not read"
        );
        let below = "* cores-udp-burst: 2.00 million packets/s with one shard, 3.50 with one for \
                     each core: 1.75 ±0.00 times\n";
        assert!(text.ends_with(below), "{text}");
    }
}
