//! What no lint can say about the sources.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::root;

/// A file that is longer tells more than one thing.
const MAX_LINES: usize = 700;

/// Folders of our sources.
const OURS: &[&str] = &["crates", "bins", "xtask", "tests", "benches"];

/// Beside the folders, the files that are read by machines or people.
const TOP: &[&str] = &[
    "Cargo.toml",
    "deny.toml",
    "clippy.toml",
    "rustfmt.toml",
    "README.md",
    "ARCHITECTURE.md",
    ".ci/run",
];

/// The one test that reads samples from beside the repository, and says so where they are absent.
const CORPUS_TEST: &str = "corpus.rs";

/// Spelled so that this file does not find itself.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("../sh", "ared"),
];
const BARE_IGNORE: &str = concat!("#[ign", "ore]");

pub(crate) fn run() -> Result<()> {
    let mut files = Vec::new();
    for folder in OURS {
        collect(&root().join(folder), &mut files)?;
    }
    files.extend(TOP.iter().map(|name| root().join(name)).filter(|path| path.exists()));
    files.sort();

    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for path in &files {
        // What is not text is not ours to judge.
        let Ok(text) = fs::read_to_string(path) else { continue };
        looked_at += 1;
        let name = path.strip_prefix(root()).unwrap_or(path);
        wrong
            .extend(judge(name, &text).into_iter().map(|what| format!("{}{what}", name.display())));
    }
    for complaint in &wrong {
        eprintln!("tidy: {complaint}");
    }
    if !wrong.is_empty() {
        bail!("{} found", wrong.len());
    }
    eprintln!("tidy: {looked_at} files are in order");
    Ok(())
}

/// Manifests of packages with lints of their own: the only places where `unsafe` is allowed.
const OWN_LINTS: &[&str] = &["crates/ring-io/Cargo.toml", "crates/socket-queue/Cargo.toml"];

/// What is wrong with a file, each beginning with `:LINE` where there is one.
fn judge(name: &Path, text: &str) -> Vec<String> {
    let file_name = name.file_name().unwrap_or_default().to_string_lossy();
    let rust = name.extension().is_some_and(|extension| extension == "rs");
    let mut wrong = Vec::new();

    let lines = text.lines().count();
    if rust && lines > MAX_LINES {
        wrong.push(format!(": {lines} lines; more than {MAX_LINES} are more than one subject"));
    }
    if file_name == "Cargo.toml" && text.contains("[package]") {
        let has_own_lints = OWN_LINTS.iter().any(|package| name.ends_with(package));
        for (needed, why) in [
            ("\ndescription = \"", "a package says what it is for"),
            ("[lints]\nworkspace = true", "a package has the workspace's lints"),
        ] {
            let excused = has_own_lints && needed.starts_with("[lints]");
            if !text.contains(needed) && !excused {
                wrong.push(format!(": {} is missing: {why}", needed.trim()));
            }
        }
    }
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if let Some(path) = MACHINE_PATHS.iter().find(|path| names_path(line, path))
            && file_name != CORPUS_TEST
        {
            wrong.push(format!(":{number}: `{path}` is a path of one machine"));
        }
        if rust && line.contains(BARE_IGNORE) {
            wrong.push(format!(":{number}: an ignored test says why: #[ignore = \"...\"]"));
        }
    }
    wrong
}

/// Whether the line names the path itself, and not one that only ends like it, as URLs may.
fn names_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let entry = entry?;
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if hidden || entry.file_name() == "target" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_with_its_line() {
        let long = "\n".repeat(MAX_LINES + 1);
        let path = format!("a\nlet x = \"{}x\";", MACHINE_PATHS[0]);
        let ignored = format!("\n{BARE_IGNORE}");
        let package = "[package]\nname = \"x\"\n";
        for (name, text, complaints) in [
            ("src/a.rs", "fn main() {}", 0),
            ("src/a.rs", &long, 1),
            ("a.md", &long, 0),
            ("src/a.rs", &path, 1),
            ("tests/corpus.rs", &path, 0),
            ("src/a.rs", &ignored, 1),
            ("src/a.rs", "#[ignore = \"long\"]", 0),
            ("Cargo.toml", package, 2),
            ("Cargo.toml", "[workspace]", 0),
        ] {
            let wrong = judge(Path::new(name), text);
            assert_eq!(wrong.len(), complaints, "{name}: {wrong:?}");
        }
        assert!(judge(Path::new("a.rs"), &path)[0].starts_with(":2: "));
    }

    #[test]
    fn a_url_that_ends_like_a_machine_path_is_none() {
        for (line, found) in
            [("rtsp://host/ho", false), ("cd MARK", true), ("x.exampleMARKa", false)]
        {
            let line = line.replace("MARK", MACHINE_PATHS[1]);
            assert_eq!(names_path(&line, MACHINE_PATHS[1]), found, "{line}");
        }
    }
}
