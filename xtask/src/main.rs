//! Development tasks: `cargo xtask TASK`.

mod bench;
mod command;
mod faults;
mod fuzz;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// One task: what is typed, what it does.
struct Task {
    name: &'static str,
    options: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "test",
        options: "[--long]",
        about: "all tests, with the real programs they need (installed if missing); --long adds the \
                long forms",
        run: test::run,
    },
    Task {
        name: "bench",
        options: "[counts|micro|framers|load] [--quick] ..",
        about: "instructions of the hot paths against those kept, then the proxy under load against a \
                bare sending loop; `bench counts` and `bench load` are one of them alone, `bench \
                micro` the hot paths in nanoseconds; `bench framers` depacketizers, framers and \
                packetizers; `bench --help` tells more",
        run: bench::run,
    },
    Task {
        name: "faults",
        options: "[--short] [--write] [NAME ..]",
        about: "what happens to players when something happens to the backend, each fault with its \
                bound; --write keeps the table in docs/faults.md; `faults --list` names the faults",
        run: faults::run,
    },
    Task {
        name: "fuzz",
        options: "SECONDS [--jobs N] [TARGET ..]",
        about: "arbitrary bytes for each depacketizer, RTP, RTCP, RTSP and SDP, so long each; needs a C++ \
                compiler",
        run: fuzz::run,
    },
    Task {
        name: "tools",
        options: "",
        about: "checks for the programs that the tests need and installs what is missing",
        run: |arguments| none(arguments).and_then(|()| tools::provide()),
    },
    Task {
        name: "tidy",
        options: "",
        about: "what no lint can say about the sources",
        run: |arguments| none(arguments).and_then(|()| tidy::run()),
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = match arguments.split_first() {
        None => ("help", &[][..]),
        Some((name, rest)) => (name.as_str(), rest),
    };
    if matches!(name, "help" | "-h" | "--help") {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        eprint!("xtask: there is no task `{name}`\n\n{}", help());
        return ExitCode::from(2);
    };
    match (task.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {name}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let tasks = TASKS.iter().map(|task| {
        let typed = format!("{} {}", task.name, task.options);
        format!("  {:<16}{}\n", typed.trim_end(), task.about)
    });
    format!("usage: cargo xtask TASK\n\n{}", tasks.collect::<String>())
}

/// For tasks without options.
fn none(arguments: &[String]) -> Result<()> {
    match arguments {
        [] => Ok(()),
        [first, ..] => bail!("unexpected argument `{first}`"),
    }
}
