//! Inputs of the fuzz targets, without libFuzzer.
//!
//! ```text
//! fuzz-inputs list               the targets' names
//! fuzz-inputs seeds DIR          writes DIR/TARGET/seed-NNN
//! fuzz-inputs run TARGET FILE..  shows each input and runs the target on it
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use fuzz::targets;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["list"] => {
            targets().iter().for_each(|target| println!("{}", target.name));
            Ok(())
        }
        ["seeds", folder] => seeds(Path::new(folder)),
        ["run", name, ref files @ ..] if !files.is_empty() => run(name, files),
        _ => Err(io::Error::other("usage: fuzz-inputs list | seeds DIR | run TARGET FILE..")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fuzz-inputs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn seeds(folder: &Path) -> io::Result<()> {
    for target in targets() {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        for (index, seed) in target.seeds().iter().enumerate() {
            fs::write(folder.join(format!("seed-{index:03}")), seed)?;
        }
    }
    Ok(())
}

fn run(name: &str, files: &[&str]) -> io::Result<()> {
    let target = targets().into_iter().find(|target| target.name == name);
    let target = target.ok_or_else(|| io::Error::other(format!("no target `{name}`")))?;
    for file in files {
        let input = fs::read(file)?;
        println!("{file}:\n{}", fuzz::shown(name, &input));
        target.run(&input);
    }
    println!("nothing was wrong");
    Ok(())
}
