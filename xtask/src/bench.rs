//! The benchmarks: each kind is a word after `bench`; without one, instructions are counted and the
//! load bench runs.

mod counts;
mod load;

use anyhow::Result;

use crate::command::{cargo, run as step};

/// `cargo xtask bench [KIND] [OPTION]...`
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((kind, rest)) if kind == "load" => load::run(rest),
        Some((kind, rest)) if matches!(kind.as_str(), "counts" | "--counts") => counts::run(rest),
        Some((kind, rest)) if kind == "micro" => {
            ["hot_paths", "sockets", "proxy"].iter().try_for_each(|name| criterion(name, rest))
        }
        Some((kind, rest)) if kind == "framers" => criterion("framers", rest),
        _ => {
            if !arguments.iter().any(|word| matches!(word.as_str(), "-h" | "--help")) {
                counts::run(&[])?;
            }
            load::run(arguments)
        }
    }
}

fn criterion(name: &str, options: &[String]) -> Result<()> {
    step(cargo().args(["bench", "--locked", "-p", "benches", "--bench", name, "--"]).args(options))
}
