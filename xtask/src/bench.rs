//! The benchmarks: each kind is a word after `bench`; without one, the load bench runs.

mod load;

use anyhow::Result;

/// `cargo xtask bench [KIND] [OPTION]...`
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((kind, rest)) if kind == "load" => load::run(rest),
        _ => load::run(arguments),
    }
}
