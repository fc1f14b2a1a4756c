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

usage: load-bench run [--quick] [--only NAME,..] [--over udp,tcp] [--pairs N] [--seconds N]
                      [--readers N,N,..] [--streams N,N,..] [--pace PACE,..] [--prove] [--joined]
                      [--unbound] [--accept] [--reach] [--json FILE] [--with FILE] [--plots]
                      [--list]

  --quick       a few cases without the bare loop; loss is a failure
  --only        the cases whose names contain one of these
  --over        only the cases whose readers are sent to like this
  --readers     instead of the usual cases these numbers of readers,
  --streams     of each of so many streams [1],
  --pace        the camera sending a frame's packets like this: burst, line:MBIT or spread [burst]
  --seconds     length of each measurement, 1 to 30 [2; 4 with few readers]
  --pairs       measurements of the proxy and of the bare loop in turn; the median counts [5; up to
                11 with programs bound to cores, until the median is certain to 0.03]
  --prove       measures the bare loop against a system call per packet in every pair
  --joined      readers take joined datagrams (GRO)
  --unbound     leaves the programs to the scheduler where few readers leave it a choice, instead
                of binding them to cores; these cases are neither compared nor accepted
  --accept      makes the ratios of this run the ones that others are compared with
  --reach       fails where what is to be reached is not, or was not measured
  --json        writes all figures to a file
  --with        shows what such a file has of other cases in tables and plots, too
  --plots       draws the plots and writes the tables that the documentation shows
  --list        names the cases

The other roles are started by `run`:
  load-bench readers --over O (--url URL --count N).. --seconds N --watch PID [--joining MS]
                     [--record FILE --frames N --period MS] [--wait-for-key] [--joined]
                     [--join N --rounds N] [--ask-log] [--unread CAMERA_PID]
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
#[derive(Clone, Debug, Default)]
pub(crate) struct RunOptions {
    /// Readers of each stream, where not the usual cases are wanted.
    pub(crate) readers: Vec<usize>,
    pub(crate) streams: Vec<usize>,
    pub(crate) paces: Vec<String>,
    pub(crate) over: Option<Vec<Over>>,
    /// Parts of names of cases.
    pub(crate) only: Vec<String>,
    pub(crate) seconds: Option<Duration>,
    pub(crate) pairs: Option<usize>,
    pub(crate) prove: bool,
    pub(crate) joined: bool,
    /// Whether programs run where the scheduler wants, in every case.
    pub(crate) unbound: bool,
    pub(crate) accept: bool,
    pub(crate) reach: bool,
    pub(crate) json: Option<PathBuf>,
    /// Figures of an earlier run.
    pub(crate) with: Option<PathBuf>,
    pub(crate) plots: bool,
    /// Loss alone is looked at, and is a failure.
    pub(crate) quick: bool,
    pub(crate) list: bool,
}

/// The readers' role.
#[derive(Debug)]
pub(crate) struct ReadersOptions {
    /// Streams and how many readers each has.
    pub(crate) streams: Vec<(String, usize)>,
    pub(crate) over: Over,
    pub(crate) seconds: Duration,
    /// The process that is measured.
    pub(crate) watch: u32,
    /// Their PLAYs are spread over this.
    pub(crate) joining: Duration,
    /// Whether all have a key frame before anything is measured.
    pub(crate) wait_for_key: bool,
    /// Whether datagrams are taken as they were sent, several in one piece.
    pub(crate) joined: bool,
    pub(crate) record: Option<Record>,
    pub(crate) joins: Option<Joins>,
    /// Whether the process is asked for its logs' memory in the end, by SIGUSR1.
    pub(crate) ask_log: bool,
    /// Readers over UDP do not read, and what arrives is counted where the kernel drops it; the
    /// CPU time of this process, the camera, is told as well.
    pub(crate) unread: Option<u32>,
}

/// Readers that join the first stream later, and leave again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Joins {
    pub(crate) count: usize,
    pub(crate) rounds: usize,
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
    /// The camera's stream that was recorded by way of the proxy, where it is to be sent beside.
    pub(crate) beside: Option<String>,
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
    let mut options = RunOptions::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("quick") => options.quick = true,
            Arg::Long("only") => options.only = list(&mut parser)?,
            Arg::Long("readers") => options.readers = list(&mut parser)?,
            Arg::Long("streams") => options.streams = list(&mut parser)?,
            Arg::Long("seconds") => options.seconds = Some(length(parser.value()?.parse()?)?),
            Arg::Long("pace") => options.paces = list(&mut parser)?,
            Arg::Long("over") => options.over = Some(list(&mut parser)?),
            Arg::Long("pairs") => options.pairs = Some(parser.value()?.parse()?),
            Arg::Long("prove") => options.prove = true,
            Arg::Long("joined") => options.joined = true,
            Arg::Long("unbound") => options.unbound = true,
            Arg::Long("accept") => options.accept = true,
            Arg::Long("reach") => options.reach = true,
            Arg::Long("json") => options.json = Some(parser.value()?.into()),
            Arg::Long("with") => options.with = Some(parser.value()?.into()),
            Arg::Long("plots") => options.plots = true,
            Arg::Long("list") => options.list = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    ensure!(options.pairs.is_none_or(|pairs| pairs >= 1), "--pairs: at least 1");
    ensure!(options.readers.iter().all(|count| *count >= 1), "--readers: at least 1");
    ensure!(options.streams.iter().all(|count| *count >= 1), "--streams: at least 1");
    ensure!(!options.quick || !options.accept, "--quick measures nothing to accept");
    ensure!(
        options.paces.is_empty() || !options.readers.is_empty() || !options.streams.is_empty(),
        "--pace goes with --readers or --streams"
    );
    Ok(Command::Run(options))
}

fn readers(mut parser: Parser) -> Result<Command> {
    let (mut over, mut seconds, mut watch) = (None, None, None);
    let (mut urls, mut counts) = (Vec::new(), Vec::new());
    let (mut file, mut frames, mut period) = (None, None, None);
    let (mut join, mut rounds, mut unread) = (None, 1, None);
    let (mut wait_for_key, mut joined, mut ask_log) = (false, false, false);
    let mut joining = JOINING;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("url") => urls.push(parser.value()?.string()?),
            Arg::Long("count") => counts.push(parser.value()?.parse()?),
            Arg::Long("over") => over = Some(parser.value()?.parse()?),
            Arg::Long("seconds") => seconds = Some(parser.value()?.parse()?),
            Arg::Long("watch") => watch = Some(parser.value()?.parse()?),
            Arg::Long("joining") => joining = milliseconds(&mut parser)?,
            Arg::Long("record") => file = Some(parser.value()?.into()),
            Arg::Long("frames") => frames = Some(parser.value()?.parse()?),
            Arg::Long("period") => period = Some(milliseconds(&mut parser)?),
            Arg::Long("wait-for-key") => wait_for_key = true,
            Arg::Long("joined") => joined = true,
            Arg::Long("join") => join = Some(parser.value()?.parse()?),
            Arg::Long("rounds") => rounds = parser.value()?.parse()?,
            Arg::Long("ask-log") => ask_log = true,
            Arg::Long("unread") => unread = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected().into()),
        }
    }
    ensure!(!urls.is_empty() && urls.len() == counts.len(), "each --url has its --count");
    let record = match (file, frames, period) {
        (None, None, None) => None,
        (Some(file), Some(frames), Some(period)) => Some(Record { file, frames, period }),
        _ => bail!("--record, --frames and --period go together"),
    };
    let over = over.context("--over is missing")?;
    ensure!(unread.is_none() || over == Over::Udp, "--unread: only over udp");
    Ok(Command::Readers(ReadersOptions {
        streams: urls.into_iter().zip(counts).collect(),
        over,
        seconds: length(seconds.context("--seconds is missing")?)?,
        watch: watch.context("--watch is missing")?,
        joining,
        wait_for_key,
        joined,
        record,
        joins: join.map(|count| Joins { count, rounds }),
        ask_log,
        unread,
    }))
}

fn milliseconds(parser: &mut Parser) -> Result<Duration> {
    Ok(Duration::from_millis(parser.value()?.parse()?))
}

/// What readers' PLAYs are spread over unless it is said.
const JOINING: Duration = Duration::from_secs(1);

fn bare(mut parser: Parser) -> Result<Command> {
    let (mut recording, mut over, mut calls, mut beside) = (None, None, Calls::Batches, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("recording") => recording = Some(parser.value()?.into()),
            Arg::Long("over") => over = Some(parser.value()?.parse()?),
            Arg::Long("calls") => calls = parser.value()?.parse()?,
            Arg::Long("beside") => beside = Some(parser.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Command::Bare(BareOptions {
        recording: recording.context("--recording is missing")?,
        over: over.context("--over is missing")?,
        calls,
        beside,
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
    fn a_run_takes_lists() {
        let Ok(Command::Run(options)) = parsed("run") else { panic!("it is a run") };
        assert!(options.readers.is_empty() && options.over.is_none() && !options.quick);
        assert!(!options.unbound);
        let line = "run --quick --readers 3,1000 --over tcp --pace spread,line:100 --seconds 3";
        let Ok(Command::Run(options)) = parsed(line) else { panic!("it is a run") };
        assert_eq!(options.readers, [3, 1000]);
        assert_eq!(options.seconds, Some(Duration::from_secs(3)));
        assert_eq!(options.over, Some(vec![Over::Tcp]));
        assert_eq!(options.paces, ["spread", "line:100"]);
    }

    #[test]
    fn programs_are_left_unbound_if_it_is_said() {
        let line = "run --unbound --accept --only 1x10-";
        let Ok(Command::Run(options)) = parsed(line) else { panic!("it is a run") };
        assert!(options.unbound && options.accept);
    }

    #[test]
    fn readers_are_counted_per_stream() {
        let line = "readers --over udp --seconds 2 --watch 1 --url a --count 5 --url b --count 1";
        let Ok(Command::Readers(options)) = parsed(line) else { panic!("it is readers") };
        assert_eq!(options.streams, [("a".to_owned(), 5), ("b".to_owned(), 1)]);
        assert_eq!((options.joining, options.unread), (JOINING, None));
        let Ok(Command::Readers(options)) = parsed(&format!("{line} --unread 7")) else {
            panic!("it is readers")
        };
        assert_eq!(options.unread, Some(7));
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        for line in [
            "dance",
            "run --readers 0",
            "run --streams 0",
            "run --readers x",
            "run --seconds 31",
            "run --over sctp",
            "run --pairs 0",
            "run --quick --accept",
            "run --pace spread",
            "run now",
            "readers --url rtsp://127.0.0.1:1/x --over udp --count 1 --seconds 1",
            "readers --url rtsp://127.0.0.1:1/x --over udp --watch 1 --seconds 1",
            "readers --url rtsp://127.0.0.1:1/x --over tcp --count 1 --seconds 1 --watch 1 --unread 2",
            "bare --over udp",
        ] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
