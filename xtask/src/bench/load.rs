//! The load bench: the proxy as a process, with a camera and readers, and a bare sending loop
//! beside it.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, run as step, target_dir};

/// Builds everything and hands the options on.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let packages = ["proxy-server", "test-camera", "benches"];
    let packages = packages.iter().flat_map(|name| ["-p", *name]);
    step(cargo().args(["build", "--release", "--locked", "--bins"]).args(packages))?;
    step(Command::new(target_dir()?.join("release/load-bench")).arg("run").args(arguments))
}
