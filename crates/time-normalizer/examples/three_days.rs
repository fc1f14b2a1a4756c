//! Plots how right the times are over three days of a crystal that is 300 ppm fast or slow.
//!
//! `cargo run --release --example three_days` writes `docs/three-days.svg`, which the crate's
//! documentation shows.

use std::{fmt::Write, fs, io, path::Path};

#[path = "../tests/it/camera.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod camera;
#[path = "../tests/it/three_days.rs"]
mod three_days;

use camera::{MS, SECOND};

fn main() -> io::Result<()> {
    let every = 600 * SECOND;
    let runs = [300, -300].map(|ppm| (ppm, three_days::run(ppm, HOURS, 200 * MS, every)));
    let times = runs.each_ref().map(|(ppm, run)| (*ppm, &run.time_errors[..]));
    let skews = runs.each_ref().map(|(ppm, run)| (*ppm, &run.skews[..]));
    let mut svg = String::from(HEAD);
    panel(&mut svg, 0, "time of a frame, off by ms", 20.0, &times);
    panel(&mut svg, PANEL, "video against audio, off by ms", 1.0, &skews);
    svg.push_str("</svg>\n");
    for (ppm, run) in &runs {
        println!(
            "{ppm:+} ppm: at most {} us off, {} us apart",
            run.time_error / 1_000,
            run.skew / 1_000
        );
    }
    fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/three-days.svg"), svg)
}

/// One plot; the allowed range fills it.
fn panel(svg: &mut String, top: i32, title: &str, range: f64, lines: &[(i64, &[(f64, f64)])]) {
    let x = |hours: f64| 50.0 + hours * 625.0 / HOURS as f64;
    let y = |value: f64| f64::from(top) + 90.0 - value * 60.0 / range;
    let mut put = |text: String| {
        svg.push_str(&text);
        svg.push('\n');
    };
    put(format!(r##"<text fill="#333" x="50" y="{}">{title}</text>"##, top + 20));
    for value in [-range, 0.0, range] {
        let y = y(value);
        put(format!(
            r##"<path d="M50 {y}H675" stroke="#ccc"/><text fill="#333" x="10" y="{}">{value:+}</text>"##,
            y + 4.0
        ));
    }
    for hour in (0..=HOURS).step_by(12) {
        let x = x(hour as f64);
        put(format!(r##"<text fill="#333" x="{:.0}" y="{}">{hour} h</text>"##, x - 8.0, top + 168));
    }
    for ((ppm, points), color) in lines.iter().zip(["#c33", "#36c"]) {
        let mut path = String::new();
        for (nth, (hours, value)) in points.iter().enumerate() {
            let step = if nth == 0 { 'M' } else { 'L' };
            let _infallible = write!(path, "{step}{:.0} {:.1}", x(*hours), y(*value));
        }
        put(format!(r#"<path d="{path}" stroke="{color}"><title>{ppm:+} ppm</title></path>"#));
    }
}

const HOURS: i64 = 72;

const PANEL: i32 = 180;

const HEAD: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 700 360" width="700" font-family="sans-serif" font-size="12" fill="none">
<rect width="700" height="360" fill="#fff"/>
<text x="540" y="20"><tspan fill="#c33">+300 ppm</tspan> <tspan fill="#36c">-300 ppm</tspan></text>
"##;
