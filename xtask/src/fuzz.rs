//! Fuzzing with libFuzzer on the toolchain that everything is built with.
//!
//! Neither nightly nor cargo-fuzz is needed: what libFuzzer asks of the compiler are LLVM's
//! coverage passes, which are options of code generation. `--target` keeps build scripts and
//! procedural macros, which have no libFuzzer to talk to, free of them.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::command::{agrees, cargo, output, run as step, target_dir};

const USAGE: &str = "usage: cargo xtask fuzz SECONDS [--jobs N] [TARGET ..]";

/// Inline counters at each edge, and compared values.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // One unit per crate, so that a crate's counters are in one place.
    "-Ccodegen-units=1",
    // What would wrap or be wrong in silence is found too.
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
];

/// Bytes of an input.
const MAX_INPUT: u32 = 8192;
/// Seconds after which one input is a find. They take less than a millisecond.
const TIMEOUT: u32 = 20;
/// MiB of memory, likewise.
const MEMORY: u32 = 1024;

/// `cargo xtask fuzz SECONDS [--jobs N] [TARGET ..]`
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (seconds, rest) = arguments.split_first().context(USAGE)?;
    let seconds: u32 = seconds.parse().ok().filter(|seconds| *seconds > 0).context(USAGE)?;
    let (jobs, names) = match rest {
        [flag, jobs, names @ ..] if flag == "--jobs" => (jobs.parse().context(USAGE)?, names),
        names => (std::thread::available_parallelism().map_or(1, usize::from), names),
    };
    for_seconds(seconds, jobs.max(1), names)
}

/// Runs these targets, or all, for so long each.
pub(crate) fn for_seconds(seconds: u32, jobs: usize, names: &[String]) -> Result<()> {
    let Programs { fuzz, inputs } = build()?;
    let listed = output(&inputs.to_string_lossy(), &["list"]).context("the list of targets")?;
    let all: Vec<&str> = listed.lines().collect();
    if let Some(unknown) = names.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("there is no target `{unknown}`; there are {}", all.join(", "));
    }
    let chosen = |name: &&str| names.is_empty() || names.iter().any(|chosen| chosen == *name);
    let waiting: VecDeque<&str> = all.iter().copied().filter(chosen).collect();

    let folder = target_dir()?.join("fuzz");
    step(Command::new(&inputs).arg("seeds").arg(folder.join("seeds")))?;
    eprintln!("\n{} targets, {seconds} s each, {jobs} at a time", waiting.len());

    let waiting = Mutex::new(waiting);
    let next = || waiting.lock().ok()?.pop_front();
    let work = || -> Result<Vec<String>> {
        let mut found = Vec::new();
        while let Some(name) = next() {
            found.extend(Run::new(&folder, name).run(&fuzz, seconds)?);
        }
        Ok(found)
    };
    let found = std::thread::scope(|scope| -> Result<Vec<String>> {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut found = Vec::new();
        for worker in workers {
            let Ok(finds) = worker.join() else { bail!("a worker panicked") };
            found.extend(finds?);
        }
        Ok(found)
    })?;
    if found.is_empty() {
        return Ok(());
    }
    bail!("{} targets found something\n\n{}", found.len(), found.join("\n"))
}

struct Programs {
    fuzz: PathBuf,
    inputs: PathBuf,
}

fn build() -> Result<Programs> {
    if !agrees("c++", &["--version"]) {
        bail!("libFuzzer needs a C++ compiler; on Debian and Ubuntu: apt-get install -y g++");
    }
    let host = output("rustc", &["-vV"]).unwrap_or_default();
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("rustc does not tell its host")?;
    // A folder of its own: other flags would have everything built anew each time.
    let target = target_dir()?.join("fuzz").join("build");
    let mut fuzz = cargo();
    fuzz.args(["build", "--locked", "--release", "-p", "fuzz", "--features", "libfuzzer"]);
    fuzz.args(["--bin", "fuzz", "--target", host, "--target-dir"]).arg(&target);
    fuzz.env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    step(&mut fuzz)?;
    // The list and the seeds come of a program without libFuzzer, which cannot have these flags.
    step(cargo().args(["build", "--locked", "-p", "fuzz", "--bin", "fuzz-inputs"]))?;
    Ok(Programs {
        fuzz: target.join(host).join("release").join("fuzz"),
        inputs: target_dir()?.join("debug").join("fuzz-inputs"),
    })
}

/// One target's run.
struct Run<'a> {
    name: &'a str,
    /// Found by libFuzzer in earlier runs, kept beside the seeds.
    corpus: PathBuf,
    seeds: PathBuf,
    finds: PathBuf,
    log: PathBuf,
}

impl<'a> Run<'a> {
    fn new(folder: &Path, name: &'a str) -> Self {
        Self {
            name,
            corpus: folder.join("corpus").join(name),
            seeds: folder.join("seeds").join(name),
            finds: folder.join("found").join(name),
            log: folder.join(format!("{name}.log")),
        }
    }

    /// Runs it; gives the report of what it found.
    fn run(&self, fuzz: &Path, seconds: u32) -> Result<Option<String>> {
        for folder in [&self.corpus, &self.finds] {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        let log = fs::File::create(&self.log).with_context(|| self.log.display().to_string())?;
        let status = Command::new(fuzz)
            .env("FUZZ_TARGET", self.name)
            .env("RUST_BACKTRACE", "1")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_INPUT}"))
            .arg(format!("-timeout={TIMEOUT}"))
            .arg(format!("-rss_limit_mb={MEMORY}"))
            .arg(format!("-artifact_prefix={}/", self.finds.display()))
            .arg("-print_final_stats=1")
            .args([&self.corpus, &self.seeds])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .status()
            .with_context(|| fuzz.display().to_string())?;
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        if status.success() {
            eprintln!("{:<16}{}", self.name, summary(&log));
            return Ok(None);
        }
        eprintln!("{:<16}FOUND SOMETHING", self.name);
        Ok(Some(self.report(&log)))
    }

    /// What went wrong, where the input is, and how it is seen again.
    fn report(&self, log: &str) -> String {
        let said = log
            .lines()
            .skip_while(|line| !(line.contains("panicked at") || line.contains("ERROR: libFuzzer")))
            .take(6);
        let said: String = said.map(|line| format!("    {line}\n")).collect();
        let input = log
            .lines()
            .find_map(|line| line.split_once("Test unit written to "))
            .map_or_else(|| self.finds.display().to_string(), |(_, path)| path.to_owned());
        format!(
            "{name}:\n{said}  again: cargo run -p fuzz --bin fuzz-inputs -- run {name} {input}\n  \
             all that was said: {log}\n",
            name = self.name,
            log = self.log.display(),
        )
    }
}

/// What libFuzzer says of itself: how many runs, and how far they came.
fn summary(log: &str) -> String {
    let last = |word: &str| {
        let mut lines = log.lines().rev().filter(|line| line.starts_with('#'));
        lines.find_map(|line| {
            let mut words = line.split_whitespace().skip_while(|found| *found != word);
            words.nth(1).map(str::to_owned)
        })
    };
    let runs = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map_or("?", str::trim);
    let (places, corpus) = (last("cov:"), last("corp:"));
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
    format!("{runs} runs, {} places, corpus {}", or_none(places), or_none(corpus))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "#12\tINITED cov: 5 ft: 6 corp: 3/90b exec/s: 0 rss: 40Mb\n\
                       #9000\tDONE   cov: 77 ft: 90 corp: 12/1Kb lim: 99 exec/s: 4500 rss: 44Mb\n\
                       stat::number_of_executed_units: 9000\n";

    #[test]
    fn the_last_line_of_progress_counts() {
        assert_eq!(summary(LOG), "9000 runs, 77 places, corpus 12/1Kb");
        assert_eq!(summary(""), "? runs, ? places, corpus ?");
    }
}
