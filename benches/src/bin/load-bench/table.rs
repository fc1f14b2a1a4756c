//! The table for people.

use std::fmt::Write as _;

use crate::measured::Measured;
use crate::run::{Outcome, Pair};

const TITLES: [&str; 12] = [
    "readers",
    "over",
    "pace",
    "Mbit/s",
    "lost packets / frames",
    "packets/CPU-s",
    "of the limit",
    "of whole frames",
    "CPU %",
    "MB",
    "added latency ms p50/p99 (bare)",
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
    for outcome in outcomes {
        let case = &outcome.case;
        if let Some(proof) = outcome.proof {
            let _ = writeln!(
                text,
                "{} over {}, {}: the bare loop sends {proof:.1} times what a call per packet does",
                case.readers, case.over, case.pace
            );
        }
        for note in &outcome.notes {
            let _ = writeln!(text, "{} over {}, {}: {note}", case.readers, case.over, case.pace);
        }
    }
    text
}

fn row(outcome: &Outcome) -> Option<[String; TITLES.len()]> {
    let Pair { proxy, bare, .. } = outcome.pairs.last()?;
    let ratio = |ratio: Option<f64>| ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
    let rates = outcome.pairs.iter().map(|pair| pair.proxy.packets_per_cpu_second());
    let rate = rates.sum::<f64>() / outcome.pairs.len() as f64;
    let sum = |of: fn(&Measured) -> u64| -> u64 {
        outcome.pairs.iter().map(|pair| of(&pair.proxy)).sum()
    };
    let bare = bare.as_ref().map_or_else(String::new, |bare| {
        format!(" ({:.2}/{:.2})", bare.latency.p50, bare.latency.p99)
    });
    Some([
        outcome.case.readers.to_string(),
        outcome.case.over.to_string(),
        outcome.case.pace.clone(),
        format!("{:.1}", proxy.megabits_per_second()),
        format!("{} / {}", sum(|m| m.lost_packets), sum(|m| m.lost_frames)),
        format!("{rate:.0}"),
        ratio(outcome.ratio),
        ratio(outcome.whole_frames_ratio),
        format!("{:.1}", 100.0 * proxy.cpu_share()),
        format!("{:.1}", proxy.resident as f64 / 1e6),
        format!("{:.2}/{:.2}{bare}", proxy.latency.p50, proxy.latency.p99),
        format!("{:.0}/{:.0}", proxy.first_key.p50, proxy.first_key.p99),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Spread;
    use crate::options::Over;
    use crate::run::Case;

    #[test]
    fn each_case_is_a_line_with_its_figures() {
        let spread = Spread { p50: 1.0, p99: 2.0, p999: 3.0, max: 4.0, count: 10 };
        let proxy = Measured {
            seconds: 2.0,
            receive_buffer: 1 << 20,
            packets: 1000,
            bytes: 1_000_000,
            frames: 50,
            lost_packets: 3,
            lost_frames: 2,
            repeated: 0,
            dropped_at_sockets: 3,
            closed: 0,
            cpu_nanos: 500_000_000,
            readers_cpu_nanos: 1,
            resident: 9_000_000,
            latency: spread,
            first_key: spread,
        };
        let case = Case { streams: 1, readers: 10, over: Over::Udp, pace: "burst".to_owned() };
        let bare = Some(proxy.clone());
        let pairs = vec![Pair { proxy, bare, whole_frames: None, single_packets: None }];
        let outcome = Outcome {
            case,
            pairs,
            ratio: Some(0.914),
            whole_frames_ratio: None,
            proof: Some(3.0),
            notes: vec!["WARN slow".to_owned()],
        };
        let text = render(&[outcome]);
        let line = text.lines().nth(2).unwrap();
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(
            cells,
            [
                "10",
                "udp",
                "burst",
                "4.0",
                "3 / 2",
                "2000",
                "0.91",
                "",
                "25.0",
                "9.0",
                "1.00/2.00 (1.00/2.00)",
                "1/2"
            ]
        );
        assert!(text.contains("sends 3.0 times") && text.ends_with("burst: WARN slow\n"));
        let widths: Vec<usize> = text.lines().take(3).map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
