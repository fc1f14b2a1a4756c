//! Other programs, run aloud.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository's top folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or_else(|| Path::new("."))
}

/// Where cargo builds: this program itself lies in one of its folders.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where this program lies")?;
    let dir = own.parent().and_then(Path::parent).context("this program lies at the top")?;
    Ok(dir.to_path_buf())
}

/// The cargo that runs this program, in the repository's top folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Prints the command, runs it with our own output and no input, and fails if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = shown(command);
    eprintln!("\n--> {line}");
    let status = command.stdin(Stdio::null()).status().with_context(|| line.clone())?;
    if !status.success() {
        bail!("failed ({status}): {line}");
    }
    Ok(())
}

/// Whether the program is there and says yes; its output is not shown.
pub(crate) fn agrees(program: &str, arguments: &[&str]) -> bool {
    output(program, arguments).is_some()
}

/// What a program writes to stdout; `None` if it is not there or fails.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
