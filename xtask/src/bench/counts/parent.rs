//! The sources as they were before: what to compare with where no counts are kept.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::table::Kept;
use crate::command::{cargo, root, run as step, target_dir};

/// A commit before the sources at hand.
#[derive(Debug)]
pub(super) struct Parent {
    pub(super) commit: String,
    pub(super) is_head: bool,
}

impl Parent {
    /// The last commit, where there are changes that it does not have; where there are none, the
    /// one where this branch left the main one, or else the one before. `None` where that is not
    /// to be had, as in a shallow clone.
    pub(super) fn find() -> Option<Self> {
        let head = git(&["rev-parse", "--verify", "--quiet", "HEAD"])?;
        let changes =
            ["status", "--porcelain", "--", "Cargo.toml", "Cargo.lock", "crates", "benches"];
        if git(&changes).is_some_and(|changes| !changes.is_empty()) {
            return Some(Self { commit: head, is_head: true });
        }
        let fork = git(&["merge-base", "HEAD", "origin/main"]).filter(|fork| *fork != head);
        let commit = fork.or_else(|| git(&["rev-parse", "--verify", "--quiet", "HEAD^"]))?;
        Some(Self { commit, is_head: false })
    }

    /// The counts that were kept then.
    pub(super) fn kept(&self) -> Kept {
        let text = git(&["show", &format!("{}:{}", self.commit, super::FILE)]);
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Builds what there was to count then: in folders of its own, by the toolchain of today, for
    /// which those sources were not made. `None` if there was nothing, or it cannot be built.
    pub(super) fn build(&self) -> Result<Option<PathBuf>> {
        let folder = target_dir()?.join("counts-of-parent");
        let (sources, target) = (folder.join("sources"), folder.join("target"));
        self.unpack(&sources)?;
        if !sources.join("benches/src/bin/counts.rs").exists() {
            return Ok(None);
        }
        let mut cargo = cargo();
        cargo.current_dir(&sources).env("CARGO_TARGET_DIR", &target).args(super::BUILD);
        if let Err(error) = step(&mut cargo) {
            println!("{error:#}");
            return Ok(None);
        }
        Ok(Some(target.join(super::PROGRAM)))
    }

    fn unpack(&self, sources: &PathBuf) -> Result<()> {
        let mark = sources.join(".unpacked");
        if fs::read_to_string(&mark).is_ok_and(|commit| commit == self.commit) {
            return Ok(());
        }
        if sources.exists() {
            fs::remove_dir_all(sources).with_context(|| sources.display().to_string())?;
        }
        fs::create_dir_all(sources).with_context(|| sources.display().to_string())?;
        let mut git = Command::new("git");
        git.current_dir(root()).args(["archive", "--format=tar", &self.commit]);
        let mut git = git.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("git")?;
        let archive = git.stdout.take().context("git's output")?;
        // Files are as new as their unpacking: by the commit's time, cargo would think that what it
        // built of a later one is built of them.
        let mut tar = Command::new("tar");
        let unpacked = tar.args(["-x", "-m", "-C"]).arg(sources).stdin(archive).status();
        let packed = git.wait().context("git")?;
        if !packed.success() || !unpacked.context("tar")?.success() {
            bail!("the sources of {} cannot be unpacked", self.commit);
        }
        fs::write(&mark, &self.commit).with_context(|| mark.display().to_string())
    }
}

/// What git says, without the end of line; `None` if it says no.
fn git(arguments: &[&str]) -> Option<String> {
    let mut git = Command::new("git");
    let git = git.current_dir(root()).args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
