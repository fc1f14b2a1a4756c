//! Instructions, as valgrind counts them.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail};

use super::table::Counts;

/// The function of `counts` inside which they are counted, whatever its crate and hash.
const COUNTED: &str = "--toggle-collect=*counted_instructions*";

/// The C library chooses its memcpy and the like by the processor: what is left here is there on
/// each, so that it is the same code everywhere. It knows not all of these by the same names in all
/// its versions and passes over what it does not know.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Usable,-AVX2_Usable,\
-AVX_Fast_Unaligned_Load,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2,-BMI2,-RTM\
:glibc.cpu.x86_non_temporal_threshold=0x400000";

/// What was counted of one path.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    pub(super) name: String,
    /// What there were `units` of.
    pub(super) unit: String,
    pub(super) units: u64,
    pub(super) instructions: u64,
}

/// Counts all paths that the program has, in their order.
pub(super) fn count(program: &Path) -> Result<Vec<Counted>> {
    let list = printed(Command::new(program).stderr(Stdio::inherit()))?;
    let paths: Vec<_> = list.lines().filter_map(|line| line.split_once('\t')).collect();
    if paths.is_empty() {
        bail!("{} names nothing to count", program.display());
    }
    let waiting: Mutex<VecDeque<_>> = Mutex::new(paths.into_iter().enumerate().collect());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || -> Result<Vec<(usize, Counted)>> {
        let mut counted = Vec::new();
        while let Some((place, (name, unit))) = next() {
            counted.push((place, count_one(program, name, unit)?));
        }
        Ok(counted)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all = Vec::new();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let counted = worker.join().unwrap_or_else(|_| bail!("a thread panicked"));
            all.extend(counted?);
        }
        Ok::<_, anyhow::Error>(())
    })?;
    all.sort_by_key(|(place, _)| *place);
    Ok(all.into_iter().map(|(_, counted)| counted).collect())
}

/// The instructions alone.
pub(super) fn counts(counted: &[Counted]) -> Counts {
    counted.iter().map(|counted| (counted.name.clone(), counted.instructions)).collect()
}

fn count_one(program: &Path, name: &str, unit: &str) -> Result<Counted> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", COUNTED]);
    // Valgrind's own words go to stderr, the program's to stdout.
    valgrind.arg(program).arg(name).stderr(Stdio::piped());
    // Nothing that differs from one machine to the next.
    let path = std::env::var_os("PATH").unwrap_or_default();
    valgrind.env_clear().env("PATH", path).env("GLIBC_TUNABLES", TUNABLES);
    let output = valgrind.stdin(Stdio::null()).output().context("valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("counting {name} failed ({}):\n{said}", output.status);
    }
    let instructions = collected(&said);
    let instructions =
        instructions.with_context(|| format!("valgrind counted nothing:\n{said}"))?;
    let units = String::from_utf8_lossy(&output.stdout).trim().parse();
    let units = units.with_context(|| format!("{name} does not say how much it did"))?;
    Ok(Counted { name: name.to_owned(), unit: unit.to_owned(), units, instructions })
}

/// The total in valgrind's last words, if it is one.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().rev().find_map(|line| line.split_once("Collected : "));
    line.and_then(|(_, count)| count.trim().parse().ok()).filter(|count| *count > 0)
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().context("the program to count")?;
    if !output.status.success() {
        bail!("it failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_in_what_valgrind_says() {
        let said = "==7== Callgrind, a call-graph generating cache profiler\n==7== \n\
                    ==7== Events    : Ir\n==7== Collected : 294306\n==7== \n\
                    ==7== I   refs:      294,306\n";
        assert_eq!(collected(said), Some(294_306));
        // A function that is not there is never entered.
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 0\n"), None);
        assert_eq!(collected("==7== Collected :\n"), None);
        assert_eq!(collected(""), None);
    }
}
