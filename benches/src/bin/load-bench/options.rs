//! Command lines.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};
use serde::{Deserialize, Serialize};

pub(crate) const HELP: &str = "\
Measures the proxy as a process, with a camera and readers on loopback.

usage: load-bench run [--quick] [--readers N,N,..] [--seconds N] [--pace PACE,..]
                      [--over udp,tcp] [--pairs N] [--prove] [--json FILE]

  --quick       1 and 100 readers for three seconds, without the bare loop; loss is a failure
  --readers     numbers of readers [1,10,100,500]
  --seconds     length of each measurement, 1 to 30 [5]
  --pace        how the camera sends a frame's packets: burst, line:MBIT or spread [burst]
  --over        how readers are sent to [udp,tcp]
  --pairs       measurements of the proxy and of the bare loop in turn; the median counts [1]
  --prove       measures the bare loop against a system call per packet as well
  --json        writes all figures to a file

The other roles are started by `run`:
  load-bench readers --url URL --over O --count N --seconds N --watch PID
                     [--record FILE --frames N --period MS]
  load-bench bare --recording FILE --over O --calls batches|frames|packets
";

/// A longer measurement would meet the readers' session timeout, which nothing here renews.
const MAX_SECONDS: u64 = 30;

#[derive(Debug)]
pub(crate) enum Command {
    Help,
    Run(RunOptions),
    Readers(ReadersOptions),
    Bare(BareOptions),
}

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct RunOptions {
    pub(crate) readers: Vec<usize>,
    pub(crate) seconds: Duration,
    pub(crate) paces: Vec<String>,
    pub(crate) over: Vec<Over>,
    pub(crate) pairs: usize,
    pub(crate) prove: bool,
    pub(crate) json: Option<PathBuf>,
    /// Loss alone is looked at, and is a failure.
    pub(crate) quick: bool,
}

/// The readers' role.
#[derive(Debug)]
pub(crate) struct ReadersOptions {
    pub(crate) url: String,
    pub(crate) over: Over,
    pub(crate) count: usize,
    pub(crate) seconds: Duration,
    /// The process that is measured.
    pub(crate) watch: u32,
    pub(crate) record: Option<Record>,
}

/// A recording that is wanted.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) file: PathBuf,
    /// So many frames, which come in so long.
    pub(crate) frames: u32,
    pub(crate) period: Duration,
}

/// The bare loop's role.
#[derive(Debug)]
pub(crate) struct BareOptions {
    pub(crate) recording: PathBuf,
    pub(crate) over: Over,
    pub(crate) calls: Calls,
}

/// How media reaches readers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Over {
    Udp,
    Tcp,
}

/// What the bare loop puts into one system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Calls {
    /// The recorded batches.
    Batches,
    /// Whole frames.
    Frames,
    /// Single packets, to show what batches save.
    Packets,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Udp { "udp" } else { "tcp" })
    }
}

impl FromStr for Over {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "udp" => Ok(Self::Udp),
            "tcp" => Ok(Self::Tcp),
            _ => bail!("{text:?} is not udp or tcp"),
        }
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Batches => "batches",
            Self::Frames => "frames",
            Self::Packets => "packets",
        })
    }
}

impl FromStr for Calls {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "batches" => Ok(Self::Batches),
            "frames" => Ok(Self::Frames),
            "packets" => Ok(Self::Packets),
            _ => bail!("{text:?} is not batches, frames or packets"),
        }
    }
}

pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut parser = Parser::from_args(words);
    let role = match parser.next()? {
        None | Some(Arg::Long("help") | Arg::Short('h')) => return Ok(Command::Help),
        Some(Arg::Value(role)) => role.string()?,
        Some(other) => return Err(other.unexpected().into()),
    };
    match role.as_str() {
        "run" => run(parser),
        "readers" => readers(parser),
        "bare" => bare(parser),
        _ => bail!("there is no role {role:?}"),
    }
}

fn run(mut parser: Parser) -> Result<Command> {
    let (mut readers, mut seconds) = (None, None);
    let mut options = RunOptions {
        readers: Vec::new(),
        seconds: Duration::ZERO,
        paces: vec!["burst".to_owned()],
        over: vec![Over::Udp, Over::Tcp],
        pairs: 1,
        prove: false,
        json: None,
        quick: false,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("quick") => options.quick = true,
            Arg::Long("readers") => readers = Some(list(&mut parser)?),
            Arg::Long("seconds") => seconds = Some(parser.value()?.parse::<u64>()?),
            Arg::Long("pace") => options.paces = list(&mut parser)?,
            Arg::Long("over") => options.over = list(&mut parser)?,
            Arg::Long("pairs") => options.pairs = parser.value()?.parse()?,
            Arg::Long("prove") => options.prove = true,
            Arg::Long("json") => options.json = Some(parser.value()?.into()),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    let usual = if options.quick { (vec![1, 100], 3) } else { (vec![1, 10, 100, 500], 5) };
    options.readers = readers.unwrap_or(usual.0);
    options.seconds = length(seconds.unwrap_or(usual.1))?;
    ensure!(options.pairs >= 1, "--pairs: at least 1");
    ensure!(options.readers.iter().all(|count| *count >= 1), "--readers: at least 1");
    Ok(Command::Run(options))
}

fn readers(mut parser: Parser) -> Result<Command> {
    let (mut url, mut over, mut count, mut seconds, mut watch) = (None, None, None, None, None);
    let (mut file, mut frames, mut period) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("url") => url = Some(parser.value()?.string()?),
            Arg::Long("over") => over = Some(parser.value()?.parse()?),
            Arg::Long("count") => count = Some(parser.value()?.parse()?),
            Arg::Long("seconds") => seconds = Some(parser.value()?.parse()?),
            Arg::Long("watch") => watch = Some(parser.value()?.parse()?),
            Arg::Long("record") => file = Some(parser.value()?.into()),
            Arg::Long("frames") => frames = Some(parser.value()?.parse()?),
            Arg::Long("period") => {
                period = Some(Duration::from_millis(parser.value()?.parse()?));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let record = match (file, frames, period) {
        (None, None, None) => None,
        (Some(file), Some(frames), Some(period)) => Some(Record { file, frames, period }),
        _ => bail!("--record, --frames and --period go together"),
    };
    Ok(Command::Readers(ReadersOptions {
        url: url.context("--url is missing")?,
        over: over.context("--over is missing")?,
        count: count.context("--count is missing")?,
        seconds: length(seconds.context("--seconds is missing")?)?,
        watch: watch.context("--watch is missing")?,
        record,
    }))
}

fn bare(mut parser: Parser) -> Result<Command> {
    let (mut recording, mut over, mut calls) = (None, None, Calls::Batches);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("recording") => recording = Some(parser.value()?.into()),
            Arg::Long("over") => over = Some(parser.value()?.parse()?),
            Arg::Long("calls") => calls = parser.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Bare(BareOptions {
        recording: recording.context("--recording is missing")?,
        over: over.context("--over is missing")?,
        calls,
    }))
}

fn length(seconds: u64) -> Result<Duration> {
    ensure!((1..=MAX_SECONDS).contains(&seconds), "--seconds: 1 to {MAX_SECONDS}");
    Ok(Duration::from_secs(seconds))
}

fn list<T>(parser: &mut Parser) -> Result<Vec<T>>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let text = parser.value()?.string()?;
    let one = |part: &str| part.parse().map_err(|error| anyhow::anyhow!("{part:?}: {error}"));
    text.split(',').filter(|part| !part.is_empty()).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_run_has_defaults_and_takes_lists() {
        let Ok(Command::Run(options)) = parsed("run") else { panic!("it is a run") };
        assert_eq!(options.readers, [1, 10, 100, 500]);
        assert_eq!((options.seconds, options.pairs), (Duration::from_secs(5), 1));
        let line = "run --quick --readers 3,1000 --over tcp --pace spread,line:100";
        let Ok(Command::Run(options)) = parsed(line) else { panic!("it is a run") };
        assert_eq!(options.readers, [3, 1000]);
        assert_eq!((options.seconds, options.over), (Duration::from_secs(3), vec![Over::Tcp]));
        assert_eq!(options.paces, ["spread", "line:100"]);
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for line in [
            "dance",
            "run --readers 0",
            "run --readers x",
            "run --seconds 31",
            "run --over sctp",
            "run --pairs 0",
            "run now",
            "readers --url rtsp://127.0.0.1:1/x --over udp --count 1 --seconds 1",
            "bare --over udp",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
