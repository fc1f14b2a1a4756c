//! The fault matrix.

use anyhow::{Result, bail};

use crate::command::{cargo, root, run as step};
use crate::test::{build_programs, with_programs};
use crate::tools;

/// Where the table is kept.
const KEPT: &str = "docs/faults.md";

/// `cargo xtask faults [--write] [--short] [NAME]...`
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (mut write, mut rest) = (false, Vec::new());
    for argument in arguments {
        match argument.as_str() {
            "--write" => write = true,
            "-h" | "--help" => {
                bail!("usage: cargo xtask faults [--list] [--short] [--write] [NAME]...")
            }
            _ => rest.push(argument),
        }
    }
    if write && !rest.is_empty() {
        bail!("{KEPT} holds all rows: --write goes with nothing else");
    }
    tools::provide()?;
    build_programs()?;
    let mut matrix = cargo();
    matrix.args(["run", "-p", "integration-tests", "--bin", "faults", "--locked", "--"]).args(rest);
    if write {
        matrix.arg("--write").arg(root().join(KEPT));
    }
    step(with_programs(&mut matrix)?)
}
