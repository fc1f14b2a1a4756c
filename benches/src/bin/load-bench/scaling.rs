//! Whether throughput grows with cores: the proxy with one shard, and with one for each core, in
//! turn, sending to readers that do not read.

use anyhow::Result;

use crate::cases::Case;
use crate::measured::{Measured, SATURATED};
use crate::outcome::{Outcome, Pair};
use crate::run::NOTES;
use crate::stage::{Seen, Stage};

/// Pairs, unless it is said.
const PAIRS: usize = 3;
/// What a proxy warns of that is to send more than it can.
const EXPECTED: &str = "short of CPU";

pub(crate) fn measure(
    stage: &Stage,
    case: &Case,
    all: usize,
    pairs: Option<usize>,
) -> Result<Outcome> {
    if all < 2 {
        let note = "there is one core, and nothing to compare".to_owned();
        eprintln!("      {note}");
        return Ok(Outcome::new(case, Vec::new(), vec![note]));
    }
    let (mut seen, mut notes) = (Vec::new(), Vec::new());
    for _ in 0..pairs.unwrap_or(PAIRS) {
        let mut with = |shards| {
            let one = stage.proxy_of(case, shards)?;
            tell(shards, &one.measured);
            for note in odd(shards, &one) {
                eprintln!("      {note}");
                notes.push(note);
            }
            anyhow::Ok(one.measured)
        };
        let one_shard = Some(with(1)?);
        seen.push(Pair { one_shard, ..Pair::of(with(all)?) });
    }
    notes.truncate(NOTES);
    Ok(Outcome::new(case, seen, notes))
}

/// What makes a measurement worth less, and what the proxy warned of besides.
fn odd(shards: usize, seen: &Seen) -> Vec<String> {
    let (mut notes, with, measured) = (Vec::new(), name(shards), &seen.measured);
    if shards == 1 && !measured.is_saturated() {
        notes.push(format!(
            "with {with} no thread had {:.0} % of a core: it could have sent more",
            100.0 * SATURATED
        ));
    }
    let cores = shards as f64;
    let (had, waited) = (in_cores(measured, all_programs), in_cores(measured, waited));
    if shards > 1 && had < SATURATED * cores {
        let why =
            if had + waited < SATURATED * cores { "some shard was idle" } else { "others ran" };
        notes.push(format!(
            "with {with} all programs together had {had:.2} cores and the proxy waited for \
             {waited:.2}: {why}"
        ));
    }
    if measured.closed > 0 {
        notes.push(format!("with {with} {} connections were closed", measured.closed));
    }
    match seen.backend_lost {
        Some(0) => {}
        Some(lost) => notes.push(format!("with {with} {lost} backend packets were lost")),
        None => notes.push(format!("with {with} the proxy did not say what it lost")),
    }
    notes.extend(seen.warnings.iter().filter(|line| !line.contains(EXPECTED)).cloned());
    notes
}

/// The CPU time of proxy, camera and readers, in nanoseconds.
fn all_programs(measured: &Measured) -> u64 {
    let camera = measured.unread.as_ref().map_or(0, |unread| unread.camera_nanos);
    measured.cpu_nanos + camera + measured.readers_cpu_nanos
}

/// How long the proxy had no core to run on.
fn waited(measured: &Measured) -> u64 {
    measured.unread.as_ref().map_or(0, |unread| unread.waited_nanos)
}

fn in_cores(measured: &Measured, nanos: fn(&Measured) -> u64) -> f64 {
    nanos(measured) as f64 / 1e9 / measured.seconds.max(0.001)
}

fn name(shards: usize) -> String {
    if shards == 1 { "one shard".to_owned() } else { format!("{shards} shards") }
}

fn tell(shards: usize, measured: &Measured) {
    let percent = |nanos: u64| nanos as f64 / 1e7 / measured.seconds.max(0.001);
    let (mut threads, mut camera) = (Vec::new(), 0.0);
    if let Some(unread) = &measured.unread {
        let busiest = unread.threads_nanos.iter().take(shards);
        threads = busiest.map(|nanos| format!("{:.1}", percent(*nanos))).collect();
        camera = percent(unread.camera_nanos);
    }
    eprintln!(
        "      {:<10} {:.2} million packets/s, threads at {} % of a core, camera at {camera:.1} %, \
         readers at {:.1} %",
        name(shards),
        measured.packets_per_second() / 1e6,
        threads.join(", "),
        percent(measured.readers_cpu_nanos),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::tests::unread;

    fn seen(measured: Measured, lost: Option<u64>) -> Seen {
        let warnings = vec!["WARN the proxy was short of CPU".to_owned(), "WARN else".to_owned()];
        Seen { measured, warnings, log_bytes: None, backend_lost: lost }
    }

    #[test]
    fn what_makes_a_measurement_worth_less_is_said() {
        // In two seconds.
        let busy = |cores: u64| Measured { cpu_nanos: cores * 2_000_000_000, ..unread(1, 1.0) };
        assert_eq!(odd(1, &seen(busy(1), Some(0))), ["WARN else"], "it is to be short of CPU");
        assert_eq!(odd(2, &seen(busy(2), Some(0))), ["WARN else"]);
        let idle = odd(1, &seen(unread(1, 0.9), Some(0)));
        assert!(idle.len() == 2 && idle[0].starts_with("with one shard no thread had 95 %"));
        let mut starved = busy(1);
        assert!(odd(2, &seen(starved.clone(), Some(0)))[0].ends_with("some shard was idle"));
        starved.unread.iter_mut().for_each(|unread| unread.waited_nanos = 1_900_000_000);
        let others = odd(2, &seen(starved, Some(0)));
        assert!(others[0].ends_with("had 1.00 cores and the proxy waited for 0.95: others ran"));
        let lossy = odd(2, &seen(Measured { closed: 1, ..busy(2) }, Some(7)));
        assert!(lossy.len() == 3 && lossy[0].contains("1 connections were closed"));
        assert!(lossy[1].contains("7 backend packets"));
        assert!(odd(2, &seen(busy(2), None))[0].contains("did not say"));
    }
}
