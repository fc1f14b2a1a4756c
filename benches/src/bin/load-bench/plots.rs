//! What the documentation shows of a run: its tables, and what a packet costs against readers and
//! against streams.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::cases::What;
use crate::measured::Measured;
use crate::options::Over;
use crate::outcome::Outcome;

/// A line of a plot.
struct Line {
    label: String,
    colour: &'static str,
    dashed: bool,
    /// Against what, and nanoseconds of CPU time per packet.
    points: Vec<(f64, f64)>,
}

/// Writes the tables.
pub(crate) fn write(machine: &str, table: &str, reach: &str) -> Result<()> {
    let text = format!(
        "Written by `cargo xtask bench load --plots`, on {machine}.\n\n## Cases\n\n{table}\n\
         ## Reach\n\n```\n{reach}```\n"
    );
    // What stands under the table is a list.
    store("figures.md", &text.replace("|\n*", "|\n\n*"))
}

fn store(name: &str, text: &str) -> Result<()> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/plots"));
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    eprintln!("{} is written", path.display());
    Ok(())
}

/// Draws both plots. One for which fewer than two points were measured is left as it is.
pub(crate) fn draw(machine: &str, outcomes: &[Outcome]) -> Result<()> {
    let of_readers = |outcome: &Outcome| {
        let case = &outcome.case;
        (case.streams == 1 && case.pace == "burst").then_some(case.readers as f64)
    };
    // As many readers in all: those of one stream, and those of many.
    let of_streams = |outcome: &Outcome| {
        let case = &outcome.case;
        let has_many = case.streams > 1 || case.readers == 100;
        (has_many && case.pace == "burst").then_some(case.streams as f64)
    };
    let readers = lines(outcomes, of_readers);
    let streams = lines(outcomes, of_streams);
    for (name, title, axis, lines) in [
        ("cost-by-readers.svg", "One stream of 4 Mbit/s", "readers", readers),
        (
            "cost-by-streams.svg",
            "1 stream x 100 readers, 50 x 2, 200 x 1",
            "streams of 4 Mbit/s",
            streams,
        ),
    ] {
        if lines.iter().all(|line| line.points.len() >= 2) && !lines.is_empty() {
            store(name, &svg(&format!("{title} (burst; {machine})"), axis, &lines))?;
        }
    }
    Ok(())
}

fn lines(outcomes: &[Outcome], place: impl Fn(&Outcome) -> Option<f64>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (over, colour) in [(Over::Udp, "#1f6fb4"), (Over::Tcp, "#c2410c")] {
        let points = |cost: &dyn Fn(&Outcome) -> Option<f64>| {
            let cases = outcomes
                .iter()
                .filter(|outcome| outcome.case.over == over && outcome.case.what == What::Limit);
            let mut points: Vec<(f64, f64)> =
                cases.filter_map(|outcome| Some((place(outcome)?, cost(outcome)?))).collect();
            points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            points
        };
        let cost = |measured: &Measured| 1e9 / measured.packets_per_cpu_second().max(1.0);
        let proxy = points(&|outcome| outcome.proxy(cost));
        let bare = points(&|outcome| outcome.bare(cost));
        let (solid, broken) = (format!("{over}: proxy"), format!("{over}: bare loop"));
        lines.push(Line { label: solid, colour, dashed: false, points: proxy });
        lines.push(Line { label: broken, colour, dashed: true, points: bare });
    }
    lines.retain(|line| !line.points.is_empty());
    lines
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Around the drawing.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 160.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// A logarithmic axis.
struct Axis {
    least: f64,
    greatest: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut least, mut greatest) = (f64::INFINITY, 1.0_f64);
        for value in values {
            least = least.min(value);
            greatest = greatest.max(value);
        }
        let least = least.min(greatest);
        Self { least, greatest: greatest.max(least * 1.01), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value / self.least).ln() / (self.greatest / self.least).ln();
        self.from + share * (self.to - self.from)
    }

    /// 1, 2 and 5 of each power of ten on the axis.
    fn ticks(&self) -> Vec<f64> {
        let mut ticks = Vec::new();
        for power in 0..8 {
            for step in [1.0, 2.0, 5.0] {
                let tick = step * 10_f64.powi(power);
                if tick >= self.least * 0.999 && tick <= self.greatest * 1.001 {
                    ticks.push(tick);
                }
            }
        }
        ticks
    }
}

fn svg(title: &str, axis: &str, lines: &[Line]) -> String {
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let across = Axis::new(all().map(|(x, _)| x), LEFT, WIDTH - RIGHT);
    // The vertical axis ends a little above and below what is drawn.
    let costs = all().flat_map(|(_, y)| [y * 0.8, y * 1.25]);
    let up = Axis::new(costs, HEIGHT - BOTTOM, TOP);
    let mut text = String::new();
    // Writing to a String never fails.
    let _ = writeln!(
        text,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>
<text x="{LEFT}" y="22" font-size="14">{title}</text>
<text x="{x}" y="{y}" text-anchor="middle">{axis}</text>
<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">CPU time per packet delivered, ns</text>"#,
        x = f64::midpoint(LEFT, WIDTH - RIGHT),
        y = HEIGHT - 12.0,
        middle = f64::midpoint(TOP, HEIGHT - BOTTOM),
    );
    for tick in across.ticks() {
        let x = across.at(tick);
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        let _ = writeln!(
            text,
            r##"<path d="M{x:.1} {top}V{bottom}" stroke="#ddd"/><text x="{x:.1}" y="{:.1}" text-anchor="middle">{tick}</text>"##,
            bottom + 16.0
        );
    }
    for tick in up.ticks() {
        let y = up.at(tick);
        let right = WIDTH - RIGHT;
        let _ = writeln!(
            text,
            r##"<path d="M{LEFT} {y:.1}H{right}" stroke="#ddd"/><text x="{:.1}" y="{:.1}" text-anchor="end">{tick}</text>"##,
            LEFT - 6.0,
            y + 4.0
        );
    }
    for (number, line) in lines.iter().enumerate() {
        let Line { label, colour, .. } = line;
        let dash = if line.dashed { r#" stroke-dasharray="5 4""# } else { "" };
        let place = |&(x, y): &(f64, f64)| format!("{:.1},{:.1}", across.at(x), up.at(y));
        let places: Vec<String> = line.points.iter().map(place).collect();
        let _ = writeln!(
            text,
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>"#,
            places.join(" ")
        );
        for &(x, y) in &line.points {
            let (x, y) = (across.at(x), up.at(y));
            let _ = writeln!(text, r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#);
        }
        let (x, y) = (WIDTH - RIGHT + 16.0, TOP + 12.0 + 20.0 * number as f64);
        let _ = writeln!(
            text,
            r#"<path d="M{x} {y}h24" stroke="{colour}" stroke-width="2"{dash}/><text x="{}" y="{}">{label}</text>"#,
            x + 30.0,
            y + 4.0
        );
    }
    text.push_str("</svg>\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases;
    use crate::measured::tests::measured;
    use crate::options::RunOptions;
    use crate::outcome::Pair;

    #[test]
    fn more_that_is_delivered_for_the_same_time_is_drawn_lower() {
        let cases = cases::chosen(&RunOptions::default());
        let outcomes: Vec<Outcome> = cases
            .iter()
            .filter(|case| case.what == What::Limit)
            .map(|case| {
                let packets = 100 * (case.readers * case.streams) as u64;
                let bare = Some(measured(2 * packets));
                let pair = Pair { bare, ..Pair::of(measured(packets)) };
                Outcome::new(case, vec![pair], Vec::new())
            })
            .collect();
        let of_readers = |outcome: &Outcome| {
            (outcome.case.streams == 1 && outcome.case.pace == "burst")
                .then_some(outcome.case.readers as f64)
        };
        let lines = lines(&outcomes, of_readers);
        let labels: Vec<&str> = lines.iter().map(|line| line.label.as_str()).collect();
        assert_eq!(labels, ["udp: proxy", "udp: bare loop", "tcp: proxy", "tcp: bare loop"]);
        // Half a second for 100 packets, and for 1000.
        assert_eq!(lines[0].points[..2], [(1.0, 5e6), (10.0, 5e5)]);
        let text = svg("a title", "readers", &lines);
        assert_eq!(text.matches("<polyline").count(), 4);
        assert_eq!(text.matches("<circle").count(), 20);
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn an_axis_is_logarithmic_and_has_round_ticks() {
        let axis = Axis::new([1.0, 1000.0].into_iter(), 0.0, 300.0);
        assert!((axis.at(10.0) - 100.0).abs() < 1e-6);
        assert_eq!(axis.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]);
    }
}
