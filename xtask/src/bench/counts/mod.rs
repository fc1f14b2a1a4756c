//! Instructions of the hot paths, held against those that are kept or against the parent commit's.

mod callgrind;
mod parent;
mod table;

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use self::callgrind::Counted;
use self::parent::Parent;
use self::table::{Counts, Kept, Key, LIMIT, Line, Verdict, compare};
use crate::command::{agrees, cargo, output, root, run as step, target_dir};
use crate::tools;

/// Where counts are kept.
const FILE: &str = "benches/counts.json";
/// How the program is built that is counted.
const BUILD: [&str; 8] =
    ["build", "--locked", "--profile", "counts", "-p", "benches", "--bin", "counts"];
/// Where it lies then, in the target folder.
const PROGRAM: &str = "counts/counts";

/// What is to cost less one day, in instructions per unit.
const AIMS: &[(&str, f64)] = &[("time-normalizer/stamp and reception", 250.0)];

const USAGE: &str = "usage: cargo xtask bench counts [--accept | --parent]

  counts the instructions of the hot paths and fails where they rose by more than 3 % against those
  kept in benches/counts.json for this toolchain and C library or, if there are none, against the
  parent commit's

  --accept  keeps what was counted, instead of comparing
  --parent  compares with the parent commit in any case";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (accept, by_parent) = match arguments {
        [] => (false, false),
        [flag] if flag == "--accept" => (true, false),
        [flag] if flag == "--parent" => (false, true),
        _ => bail!("{USAGE}"),
    };
    if !agrees("valgrind", &["--version"]) {
        tools::provide()?;
    }
    step(cargo().args(BUILD))?;
    let key = key()?;
    let Key { rustc, libc, machine } = &key;
    eprintln!("\ncounting instructions: {machine}, rustc {rustc}, libc {libc}");
    let counted = callgrind::count(&target_dir()?.join(PROGRAM))?;
    let counts = callgrind::counts(&counted);
    let mut kept = read()?;

    if accept {
        let old = kept.of(&key).cloned().unwrap_or_default();
        print(&counted, &compare(&old, &counts));
        kept.accept(&key, counts);
        write(&kept)?;
        println!("\nkept in {FILE}: commit it, and say why");
        return Ok(());
    }
    match kept.of(&key) {
        Some(old) if !by_parent => {
            let lines = compare(old, &counts);
            print(&counted, &lines);
            println!("compared with {FILE}");
            judge_by_kept(&lines)
        }
        _ => against_parent(&counted, &counts, &kept),
    }
}

/// Everything that is counted has to be kept, or nothing would guard it.
fn judge_by_kept(lines: &[Line]) -> Result<()> {
    let of = |verdict| lines.iter().filter(move |line| line.verdict() == verdict);
    let mut wrong: Vec<_> = of(Verdict::Rose).map(risen).collect();
    wrong.extend(of(Verdict::New).map(|line| format!("{}: no count is kept", line.name)));
    wrong.extend(of(Verdict::Gone).map(|line| format!("{}: is not counted any more", line.name)));
    let fallen: Vec<_> = of(Verdict::Fell).map(|line| line.name.as_str()).collect();
    if !fallen.is_empty() {
        println!("fewer than kept, keep that with --accept: {}", fallen.join("; "));
    }
    if !wrong.is_empty() {
        bail!(
            "{}\nif that is meant: cargo xtask bench counts --accept, and a commit that says why",
            wrong.join("\n")
        );
    }
    Ok(())
}

fn against_parent(counted: &[Counted], counts: &Counts, kept: &Kept) -> Result<()> {
    println!("{FILE} has no counts for this toolchain and C library, or they are passed over");
    let Some(parent) = Parent::find() else {
        print(counted, &[]);
        println!(
            "\nNOTHING IS COMPARED: the parent commit is not here to count it (a shallow clone?)"
        );
        return Ok(());
    };
    let what = if parent.is_head { "the last commit" } else { "the parent commit" };
    println!("counting {what} as well, {}", parent.commit);
    let Some(program) = parent.build()? else {
        print(counted, &[]);
        println!("\nNOTHING IS COMPARED: {what} has nothing to count, or cannot be built");
        return Ok(());
    };
    let before = callgrind::counts(&callgrind::count(&program)?);
    let lines = compare(&before, counts);
    print(counted, &lines);
    println!("compared with {what}, {}", parent.commit);
    judge_by_parent(&lines, &kept.accepted_since(&parent.kept()))
}

/// What is new or gone says nothing here, and what was accepted since then is no fault.
fn judge_by_parent(lines: &[Line], accepted: &BTreeSet<String>) -> Result<()> {
    let rose = lines.iter().filter(|line| line.verdict() == Verdict::Rose);
    let (meant, wrong): (Vec<_>, Vec<_>) = rose.partition(|line| accepted.contains(&line.name));
    for line in meant {
        println!("accepted: {}", risen(line));
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.into_iter().map(risen).collect::<Vec<_>>().join("\n"));
    }
    Ok(())
}

fn risen(line: &Line) -> String {
    format!(
        "{}: {} instructions, {} before: {:+.1} %, more than {LIMIT} % are too many",
        line.name,
        line.new.unwrap_or_default(),
        line.old.unwrap_or_default(),
        line.change()
    )
}

/// One line for each path, with the change where there is something to compare.
fn print(counted: &[Counted], lines: &[Line]) {
    println!("\n{:<38} {:>12} {:>12} {:>8}  per unit", "path", "before", "now", "change");
    for Counted { name, unit, units, instructions } in counted {
        let line = lines.iter().find(|line| line.name == *name);
        let old = line.and_then(|line| line.old);
        let change = old.and(line).map(|line| format!("{:+.1} %", line.change()));
        let old = old.map(|old| old.to_string());
        let (old, change) = (old.as_deref().unwrap_or("-"), change.as_deref().unwrap_or("-"));
        let each = *instructions as f64 / (*units).max(1) as f64;
        let aim = AIMS.iter().find(|(aimed, _)| aimed == name);
        let aim = aim.filter(|(_, aim)| each >= *aim);
        let aim = aim.map(|(_, aim)| format!(" (to become fewer than {aim:.0})"));
        println!(
            "{name:<38} {old:>12} {instructions:>12} {change:>8}  {each:.0} per {unit}{}",
            aim.unwrap_or_default()
        );
    }
}

fn key() -> Result<Key> {
    let rustc = output("rustc", &["--version"]).context("rustc does not say its version")?;
    // `getconf` knows the version as well, but not whose build it is.
    let libc = output("ldd", &["--version"]).or_else(|| output("getconf", &["GNU_LIBC_VERSION"]));
    let libc = libc.context("the C library's version is not to be had: no ldd, no getconf")?;
    Ok(Key {
        rustc: rustc.trim().trim_start_matches("rustc ").to_owned(),
        libc: libc.lines().next().unwrap_or_default().trim_start_matches("ldd ").to_owned(),
        machine: std::env::consts::ARCH.to_owned(),
    })
}

fn read() -> Result<Kept> {
    let path = root().join(FILE);
    if !path.exists() {
        return Ok(Kept::default());
    }
    let text = fs::read_to_string(&path).context(FILE)?;
    serde_json::from_str(&text).context(FILE)
}

fn write(kept: &Kept) -> Result<()> {
    let text = serde_json::to_string_pretty(kept).context(FILE)?;
    fs::write(root().join(FILE), text + "\n").context(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, old: Option<u64>, new: Option<u64>) -> Line {
        Line { name: name.to_owned(), old, new }
    }

    #[test]
    fn a_rise_fails_by_name_with_both_counts() {
        let lines = [line("a", Some(1000), Some(1030)), line("b", Some(1000), Some(1040))];
        let complaint = judge_by_kept(&lines).expect_err("b rose").to_string();
        assert!(complaint.contains("b: 1040 instructions, 1000 before: +4.0 %"), "{complaint}");
        assert!(!complaint.contains("a: "), "{complaint}");
        assert!(judge_by_kept(&lines[..1]).is_ok());
        assert!(judge_by_parent(&lines, &BTreeSet::new()).is_err());
        assert!(judge_by_parent(&lines, &BTreeSet::from(["b".to_owned()])).is_ok());
    }

    #[test]
    fn what_is_counted_has_to_be_kept_and_what_is_kept_has_to_be_counted() {
        for odd in [line("a", None, Some(5)), line("a", Some(5), None)] {
            assert!(judge_by_kept(std::slice::from_ref(&odd)).is_err(), "{odd:?}");
            assert!(judge_by_parent(&[odd], &BTreeSet::new()).is_ok());
        }
        assert!(judge_by_kept(&[line("a", Some(1000), Some(10))]).is_ok());
    }
}
