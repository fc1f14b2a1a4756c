//! The proxy under load: it, a camera, and many readers as processes on loopback, and beside it a
//! bare sending loop that says what the kernel charges for the same packets.
//!
//! One program, three roles: `run` starts the others and prints the table; `readers` is the
//! readers and the measuring; `bare` is the sending loop.

mod bare;
mod baseline;
mod beside;
mod cases;
mod child;
mod cores;
mod kernel;
mod measured;
mod options;
mod outcome;
mod plots;
mod reach;
mod readers;
mod recording;
mod run;
mod scaling;
mod send;
mod stage;
mod table;
mod wire;

use std::process::ExitCode;

use options::Command;

fn main() -> ExitCode {
    let command = match options::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("load-bench: {error:#}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    kernel::raise_file_limit();
    let result = match command {
        Command::Help => {
            print!("{}", options::HELP);
            Ok(())
        }
        Command::Run(options) => run::run(&options),
        Command::Readers(options) => readers::run(&options),
        Command::Bare(options) => bare::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
