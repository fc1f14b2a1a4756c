//! All tests.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, run as step, target_dir};
use crate::{tidy, tools};

/// The package whose tests run real programs beside the proxy; two at a time, so that a machine with
/// few cores still shows what the proxy does and not what it waits for.
const INTEGRATION: &str = "integration-tests";
const INTEGRATION_THREADS: &str = "--test-threads=2";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let long = match arguments {
        [] => false,
        [flag] if flag == "--long" => true,
        _ => bail!("usage: cargo xtask test [--long]"),
    };
    tidy::run()?;
    tools::provide()?;

    build_programs()?;

    let rest = ["test", "--workspace", "--exclude", INTEGRATION, "--locked"];
    step(with_programs(cargo().args(rest))?)?;
    if long {
        // Not with doc tests: what is ignored there is not meant to be run.
        let targets = ["--lib", "--bins", "--tests", "--", "--ignored"];
        step(with_programs(cargo().args(rest).args(targets))?)?;
    }

    let mut integration = cargo();
    integration.args(["test", "-p", INTEGRATION, "--locked", "--", INTEGRATION_THREADS]);
    if long {
        integration.arg("--include-ignored");
    }
    step(with_programs(&mut integration)?)?;
    eprintln!("\nall tests passed{}", if long { ", long forms as well" } else { "" });
    Ok(())
}

/// Builds the programs that tests run.
pub(crate) fn build_programs() -> Result<()> {
    let programs = ["proxy-server", "test-camera"];
    let packages = programs.iter().flat_map(|name| ["-p", *name]);
    step(cargo().args(["build", "--release", "--locked"]).args(packages))
}

/// Tells the tests where the programs lie that were built for them.
pub(crate) fn with_programs(command: &mut Command) -> Result<&mut Command> {
    let release = target_dir()?.join("release");
    Ok(command
        .env("PROXY_SERVER_BIN", release.join("proxy-server"))
        .env("TEST_CAMERA_BIN", release.join("test-camera")))
}
