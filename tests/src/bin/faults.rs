//! The fault matrix: `faults [--write FILE] [--short] [NAME]...`.
//!
//! Runs the rows whose names begin with one of those given, or all of them; prints what came of
//! them as a table, and writes it into a file.

use std::path::PathBuf;
use std::process::ExitCode;

use integration_tests::faults::{Outcome, Row, rows, table};
use integration_tests::wait;

fn main() -> ExitCode {
    let (mut file, mut is_short, mut names) = (None, false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--write" => match arguments.next() {
                Some(path) => file = Some(PathBuf::from(path)),
                None => return usage(),
            },
            "--short" => is_short = true,
            "--list" => {
                rows().iter().for_each(|row| println!("{}: {}", row.name, row.deed));
                return ExitCode::SUCCESS;
            }
            name if !name.starts_with('-') => names.push(name.to_owned()),
            _ => return usage(),
        }
    }
    let is_meant = |row: &Row| {
        let named = names.is_empty() || names.iter().any(|name| row.name.starts_with(&**name));
        named && (row.is_short || !is_short)
    };
    let chosen: Vec<_> = rows().into_iter().filter(is_meant).collect();
    if chosen.is_empty() {
        return usage();
    }
    let run: Vec<_> = chosen.into_iter().map(|row| (row, shown(row))).collect();
    let table = table(&run);
    println!("\n{table}");
    if let Some(path) = file {
        let text = format!("{HEAD}{table}");
        if let Err(error) = std::fs::write(&path, text) {
            eprintln!("faults: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    if run.iter().all(|(_, outcome)| outcome.is_good()) {
        ExitCode::SUCCESS
    } else {
        eprintln!("faults: promises were broken, see above");
        ExitCode::FAILURE
    }
}

/// Runs a row and says at once what came of it.
fn shown(row: Row) -> Outcome {
    let begun = wait::now();
    eprintln!("{}: {} ...", row.name, row.deed);
    let outcome = row.run();
    if let Some(why) = &outcome.skipped {
        eprintln!("  SKIPPED: {why}");
    }
    outcome.figures.iter().for_each(|figure| eprintln!("  {figure}"));
    outcome.wrong.iter().for_each(|wrong| eprintln!("  NOT OK: {wrong}"));
    eprintln!("  ({:.0?})", wait::now() - begun);
    outcome
}

fn usage() -> ExitCode {
    eprintln!("usage: faults [--list] [--short] [--write FILE] [NAME]...");
    ExitCode::from(2)
}

const HEAD: &str = "\
# When something happens to the backend

Each row was run with the test camera as a process of its own, readers of our own and ffmpeg and
GStreamer over UDP and TCP attached, all on one machine (`cargo xtask faults --write`). A reader is
*held* if its connection stays, numbers go on one by one and timestamps by as much as passed, a
report comes at least every 3 s, its decoder says nothing a second after the first picture, every
picture from there on follows the one before, and sound and picture are within 5 ms of where they
are without a proxy. The first packet may be one of sound: the picture goes on with the camera's
next key frame, and those of the test camera are 2 s apart. A fault that cannot be made on a machine
is skipped aloud.

";
