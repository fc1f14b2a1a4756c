//! The proxy as a program: arguments, logging, exit codes. It decides nothing else.

mod args;
mod help;
mod logging;
mod options;
mod patterns;
mod run;
mod urls;
mod wiring;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use proxy_config::{LogFormat, Settings};

use crate::args::Command;

/// What went wrong lies in the command line or the configuration.
const USAGE: u8 = 2;

/// The most bytes of a configuration file.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1), &variables(), read_config) {
        Ok(Command::Serve(settings)) => serve(*settings),
        Ok(Command::Check { file, streams }) => {
            let plural = if streams == 1 { "stream" } else { "streams" };
            say(&format!("{file} is good: {streams} {plural}\n"))
        }
        Ok(Command::Help) => say(&help::help()),
        Ok(Command::Version) => say(concat!("proxy-server ", env!("CARGO_PKG_VERSION"), "\n")),
        Err(wrong) => {
            for line in wrong.lines() {
                eprintln!("proxy-server: {line}");
            }
            ExitCode::from(USAGE)
        }
    }
}

/// The environment, as far as it is text.
fn variables() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.into_string().ok();
    std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))).collect()
}

fn serve(settings: Settings) -> ExitCode {
    let format = settings.global.log.format;
    let log = match logging::start(&settings.global.log) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("proxy-server: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let Err(error) = run::run(settings) else { return ExitCode::SUCCESS };
    match format {
        LogFormat::Json => tracing::error!("{error:#}"),
        LogFormat::Text => {
            // After the lines that lead up to it.
            log.flush();
            eprintln!("proxy-server: {error:#}");
        }
    }
    ExitCode::FAILURE
}

/// Writes to stdout; a reader who has gone does not matter.
fn say(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn read_config(path: &Path) -> io::Result<String> {
    use io::Read;

    let mut text = String::new();
    let mut file = fs::File::open(path)?.take(MAX_CONFIG_BYTES + 1);
    file.read_to_string(&mut text)?;
    if file.limit() == 0 {
        return Err(io::Error::other("larger than 16 MiB: that is no configuration"));
    }
    Ok(text)
}
