//! The leading role: one case after the other, each with processes of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use benches::clock;
use serde::{Deserialize, Serialize};

use crate::cases::{self, Case, What};
use crate::cores::{Binding, Cores};
use crate::measured::Measured;
use crate::options::{Calls, Over, RunOptions};
use crate::outcome::{Outcome, Pair, Ratio};
use crate::stage::Stage;
use crate::{baseline, kernel, plots, reach, scaling, table};

/// Pairs of a case at least, unless it is said.
const PAIRS: usize = 5;
/// Pairs at most where they differ by much. Only programs that are bound to cores get more, as what
/// they differ by is what else the machine did, of which more pairs make less.
const MOST_PAIRS: usize = 11;
/// So certain is a median that needs no more pairs.
const FIRM: f64 = 0.03;
/// How long streams without readers are looked at.
const IDLE: Duration = Duration::from_secs(5);
/// Warnings of the proxy that are shown per case.
pub(crate) const NOTES: usize = 3;

#[derive(Serialize)]
struct Report<'a> {
    machine: &'a str,
    /// The smallest receive buffer of any reader, in bytes.
    receive_buffer: usize,
    outcomes: &'a [Outcome],
    reach: &'a [reach::Row],
}

pub(crate) fn run(options: &RunOptions) -> Result<()> {
    let cases = cases::chosen(options);
    ensure!(!cases.is_empty(), "there is no such case; --list names them");
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name()));
        return Ok(());
    }
    check_files(&cases)?;
    let machine = kernel::machine();
    eprintln!("{machine}");
    let binding = Binding::new(options.unbound);
    let stage = Stage::new(options.joined, options.seconds, binding)?;

    let begin = clock::mono();
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut failures = Vec::new();
    for (number, case) in (1..).zip(&cases) {
        let minutes = clock::mono().saturating_duration_since(begin).as_secs() / 60;
        eprintln!("[{number}/{}] {} ({minutes} min)", cases.len(), case.name());
        tell_cores(binding, case);
        match measure(&stage, case, options) {
            Ok(outcome) => outcomes.push(Outcome { bound: binding.is_bound(case), ..outcome }),
            Err(error) => {
                // The others may tell why.
                eprintln!("      {error:#}");
                failures.push(format!("{}: {error:#}", case.name()));
            }
        }
    }

    let mut shown = outcomes.clone();
    if let Some(path) = &options.with {
        shown.extend(others(path, &outcomes)?);
        // In the order of a full run.
        let all: Vec<String> = cases::suite().iter().map(Case::name).collect();
        shown.sort_by_key(|outcome| all.iter().position(|name| *name == outcome.name));
    }
    let read = outcomes.iter().flat_map(|outcome| &outcome.pairs).map(|pair| &pair.proxy);
    let read = read.filter(|proxy| proxy.unread.is_none());
    let receive_buffer = read.map(|proxy| proxy.receive_buffer).min().unwrap_or(0);
    let rows = reach::rows(&shown);
    match receive_buffer / 1024 {
        0 => println!("{machine}"),
        kilobytes => {
            println!("{machine}; readers' sockets have receive buffers of {kilobytes} KiB");
        }
    }
    print!("{}", table::render(&shown));
    if !options.quick {
        print!("{}", reach::render(&rows));
    }
    if let Some(path) = &options.json {
        let report = Report { machine: &machine, receive_buffer, outcomes: &shown, reach: &rows };
        fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| path.display().to_string())?;
    }
    if options.plots {
        plots::draw(&machine, &shown)?;
        plots::write(&machine, &table::render(&shown), &reach::render(&rows))?;
    }
    if options.quick {
        failures.extend(outcomes.iter().filter_map(not_whole));
    } else {
        let mut baseline = baseline::Baseline::load()?;
        failures.extend(outcomes.iter().filter_map(not_proven));
        if options.accept {
            baseline.accept(&kernel::machine_class(), &outcomes);
            baseline.store()?;
        } else {
            failures.extend(baseline.compare(&kernel::machine_class(), &outcomes));
        }
    }
    if options.reach {
        failures.extend(rows.iter().filter(|row| !row.met).map(ToString::to_string));
    }
    match failures.as_slice() {
        [] => Ok(()),
        failures => bail!("{}", failures.join("\n            ")),
    }
}

/// What the JSON of an earlier run has of cases that are not among these.
fn others(path: &Path, outcomes: &[Outcome]) -> Result<Vec<Outcome>> {
    #[derive(Deserialize)]
    struct Earlier {
        outcomes: Vec<Outcome>,
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut earlier: Earlier =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    earlier.outcomes.retain(|one| outcomes.iter().all(|new| new.name != one.name));
    Ok(earlier.outcomes)
}

/// Files that a reader holds open, and that all programs do besides.
const FILES_PER_READER: usize = 3;
const FILES: usize = 500;

/// Fails where the largest case cannot be run.
fn check_files(cases: &[Case]) -> Result<()> {
    let readers = |case: &Case| {
        let joining = match case.what {
            What::Joins { joining, .. } => joining,
            _ => 0,
        };
        case.audiences().iter().sum::<usize>() + joining
    };
    let most = cases.iter().map(readers).max().unwrap_or_default();
    let (wanted, given) = (most * FILES_PER_READER + FILES, kernel::file_limit()?);
    ensure!(
        given >= wanted as u64,
        "{most} readers need {wanted} open files and the system grants {given}: ulimit -n {wanted}"
    );
    Ok(())
}

fn measure(stage: &Stage, case: &Case, options: &RunOptions) -> Result<Outcome> {
    match case.what {
        What::Limit => against_the_limit(stage, case, options),
        What::Joins { .. } => joins(stage, case),
        What::Cores { all } => scaling::measure(stage, case, all, options.pairs),
        What::Idle { added } => {
            let few = stage.idle(case, case.streams, IDLE)?;
            let many = stage.idle(case, case.offered(), IDLE)?;
            let mut outcome = Outcome::new(case, Vec::new(), Vec::new());
            let added = added as f64 * IDLE.as_secs_f64();
            outcome.idle_nanos = Some(many.saturating_sub(few) as f64 / added);
            Ok(outcome)
        }
        What::Loss | What::Beside | What::Memory { .. } => {
            let mut seen = stage.proxy(case, false)?;
            tell("proxy", &seen.measured);
            let mut notes = Vec::from_iter(behind(case, &seen.measured));
            notes.append(&mut seen.warnings);
            notes.truncate(NOTES);
            let mut outcome = Outcome::new(case, vec![Pair::of(seen.measured)], notes);
            outcome.log_bytes = seen.log_bytes;
            Ok(outcome)
        }
    }
}

/// The proxy and the bare loop in turn.
fn against_the_limit(stage: &Stage, case: &Case, options: &RunOptions) -> Result<Outcome> {
    let (mut pairs, mut notes) = (Vec::new(), Vec::new());
    let [least, most] = options.pairs.map_or([PAIRS, MOST_PAIRS], |pairs| [pairs; 2]);
    for number in 0..most {
        if number >= least && (!case.is_to_be_bound() || is_firm(&pairs, least)) {
            break;
        }
        stage.forget_recording()?;
        // Each time: how many packets of a batch come together is a matter of how fast the machine
        // was just then.
        let seen = stage.proxy(case, true)?;
        tell("proxy", &seen.measured);
        notes.extend(behind(case, &seen.measured));
        notes.extend(seen.warnings);
        let bare = |calls, wanted: bool| {
            // A proxy that loses what it is sent cannot be recorded; what it loses is told.
            if !wanted || !stage.has_recording() {
                return Ok(None);
            }
            let measured = stage.bare(case, calls)?;
            tell(&format!("bare loop, {calls}"), &measured);
            if calls != Calls::Packets {
                behind(case, &measured);
            }
            anyhow::Ok(Some(measured))
        };
        let is_proven = pairs.iter().any(|pair: &Pair| pair.single_packets.is_some());
        pairs.push(Pair {
            bare: bare(Calls::Batches, true)?,
            whole_frames: bare(Calls::Frames, case.has_whole_frames())?,
            single_packets: bare(
                Calls::Packets,
                options.prove || (!is_proven && case.can_prove()),
            )?,
            proxy: seen.measured,
            one_shard: None,
        });
    }
    notes.truncate(NOTES);
    Ok(Outcome::new(case, pairs, notes))
}

/// Whether more pairs would hardly move the medians. Pairs of which nothing could be recorded say
/// nothing.
fn is_firm(pairs: &[Pair], least: usize) -> bool {
    let count = pairs.iter().filter(|pair| pair.bare.is_some()).count();
    let ratios = [Ratio::of_limit(pairs), Ratio::of_whole_frames(pairs)];
    count >= least && ratios.into_iter().flatten().all(|ratio| ratio.uncertainty(count) <= FIRM)
}

/// Readers that join, and the bare loop with as many that play already.
fn joins(stage: &Stage, case: &Case) -> Result<Outcome> {
    stage.forget_recording()?;
    let mut seen = stage.proxy(case, true)?;
    tell("proxy", &seen.measured);
    if let Some(joins) = seen.measured.joins {
        eprintln!(
            "      first key frame after {:.1} ms, p99 {:.1} ms; {} packets lost",
            joins.first_key.p50, joins.first_key.p99, joins.lost
        );
    }
    seen.warnings.truncate(NOTES);
    let mut pair = Pair::of(seen.measured);
    if let What::Joins { joining, .. } = case.what
        && stage.has_recording()
    {
        let all = Case { readers: joining, ..case.clone() };
        let bare = stage.bare(&all, Calls::Frames)?;
        eprintln!("      bare loop: a key frame to all in {:.1} ms", bare.key_to_all.p50);
        pair.whole_frames = Some(bare);
    }
    let mut outcome = Outcome::new(case, vec![pair], seen.warnings);
    // It had other readers: its time for a key frame is what is looked at.
    outcome.whole_frames_ratio = None;
    Ok(outcome)
}

fn not_whole(outcome: &Outcome) -> Option<String> {
    let pair = outcome.pairs.iter().find(|pair| !pair.proxy.is_whole())?;
    let Measured { lost_packets, repeated, closed, dropped_at_sockets, .. } = pair.proxy;
    Some(format!(
        "{}: {lost_packets} packets lost ({dropped_at_sockets} dropped at readers' sockets), \
         {repeated} repeated, {closed} connections closed",
        outcome.name
    ))
}

/// What the bare loop has to save against a system call per packet, to be called a limit.
fn not_proven(outcome: &Outcome) -> Option<String> {
    let wanted = if outcome.case.over == Over::Udp { 2.0 } else { 4.0 };
    // On the whole run: a case with few readers has little to save.
    let proof = outcome.proof.filter(|_| outcome.case.can_prove())?;
    (proof < wanted).then(|| {
        format!(
            "{}: the bare loop is no limit, it sends {proof:.1} times what a call per packet does, \
             and {wanted} is wanted",
            outcome.name
        )
    })
}

/// Says so where fewer frames came in the measured time than it has: whoever was to send them had
/// too little of the machine, and the measurement is worth little.
fn behind(case: &Case, measured: &Measured) -> Option<String> {
    let readers: usize = case.audiences().iter().sum();
    let wanted = measured.seconds * f64::from(cases::FPS) * readers as f64;
    let share = measured.frames as f64 / wanted.max(1.0);
    (share < 0.95).then(|| {
        let note = format!("only {:.0} % of the frames came in the measured time", 100.0 * share);
        eprintln!("      {note}");
        note
    })
}

fn tell_cores(binding: Binding, case: &Case) {
    if let Some(Cores { measured, load }) = binding.cores(case) {
        eprintln!(
            "      bound: proxy and bare loop to core {measured}, camera and readers to core {load}"
        );
    } else if case.is_to_be_bound() {
        let why = if binding == Binding::OneCore { ": there is one core" } else { "" };
        eprintln!("      not bound to cores{why}");
    }
}

fn tell(who: &str, measured: &Measured) {
    eprintln!(
        "      {who:<20} {:>9.0} packets/CPU-s, {:>5.1} % of a core, {} packets lost \
         ({} dropped at readers' sockets of {} KiB), readers at {:.0} %",
        measured.packets_per_cpu_second(),
        100.0 * measured.cpu_share(),
        measured.lost_packets,
        measured.dropped_at_sockets,
        measured.receive_buffer / 1024,
        measured.readers_cpu_nanos as f64 / 1e7 / measured.seconds,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_earlier_run_the_cases_are_taken_that_were_not_run_again() -> Result<()> {
        let all: Vec<_> = cases::suite().into_iter().take(3).collect();
        let outcome = |case: &Case| Outcome::new(case, Vec::new(), Vec::new());
        let earlier: Vec<_> = all.iter().map(outcome).collect();
        let report = Report { machine: "this", receive_buffer: 0, outcomes: &earlier, reach: &[] };
        let path = std::env::temp_dir().join(format!("load-bench-{}.json", std::process::id()));
        fs::write(&path, serde_json::to_string(&report)?)?;
        let taken = others(&path, &earlier[1..2]);
        fs::remove_file(&path)?;
        let names: Vec<_> = taken?.into_iter().map(|outcome| outcome.name).collect();
        assert_eq!(names, [all[0].name(), all[2].name()]);
        assert!(others(&path, &[]).is_err(), "it is gone");
        Ok(())
    }
}
