//! The leading role: one case after the other, each with processes of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use benches::clock;
use nix::sys::signal::Signal;
use serde::Serialize;

use crate::child::Process;
use crate::kernel;
use crate::measured::Measured;
use crate::options::{Calls, Over, RunOptions};
use crate::table;

/// The stream of every case: 4 Mbit/s, key frames of 60 KB.
const SOURCE: &str = "synthetic:bitrate=4000000,fps=25,gop=50,key=60000";
/// What repeats itself in it.
const FRAMES: u32 = 50;
const PERIOD: Duration = Duration::from_secs(2);
/// How long a program may take to say where it is.
const START: Duration = Duration::from_secs(10);
/// How long the readers may take besides the measurement itself.
const READERS: Duration = Duration::from_secs(60);
/// Warnings of the proxy that are shown per case.
const NOTES: usize = 3;

/// What is measured at one time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Case {
    pub(crate) streams: usize,
    pub(crate) readers: usize,
    pub(crate) over: Over,
    pub(crate) pace: String,
}

/// One measurement of the proxy and, right after it, of the bare loop.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Pair {
    pub(crate) proxy: Measured,
    /// The proxy's own batches, sent again.
    pub(crate) bare: Option<Measured>,
    /// Each frame in one batch.
    pub(crate) whole_frames: Option<Measured>,
    /// A system call per packet.
    pub(crate) single_packets: Option<Measured>,
}

/// What came of a case.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) case: Case,
    pub(crate) pairs: Vec<Pair>,
    /// Medians over the pairs: the proxy's packets per CPU second against those of the others.
    pub(crate) ratio: Option<f64>,
    pub(crate) whole_frames_ratio: Option<f64>,
    /// What the bare loop saves against a system call per packet.
    pub(crate) proof: Option<f64>,
    /// What the proxy warned of.
    pub(crate) notes: Vec<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    machine: String,
    source: &'a str,
    seconds: f64,
    receive_buffer: usize,
    outcomes: &'a [Outcome],
}

pub(crate) fn run(options: &RunOptions) -> Result<()> {
    let stage = Stage::new()?;
    let mut cases = Vec::new();
    for pace in &options.paces {
        for &over in &options.over {
            for &readers in &options.readers {
                cases.push(Case { streams: 1, readers, over, pace: pace.clone() });
            }
        }
    }
    let machine = kernel::machine();
    eprintln!("{machine}; camera: {SOURCE}");

    let mut outcomes = Vec::new();
    let mut failure = None;
    for (number, case) in (1..).zip(&cases) {
        let name = format!("{} over {}, {}", case.readers, case.over, case.pace);
        eprintln!("[{number}/{}] {name}", cases.len());
        match stage.measure(case, options) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                failure = Some(error.context(name));
                break;
            }
        }
    }
    print!("{}", table::render(&outcomes));
    if let Some(path) = &options.json {
        let buffers = outcomes.iter().flat_map(|outcome| &outcome.pairs);
        let report = Report {
            machine,
            source: SOURCE,
            seconds: options.seconds.as_secs_f64(),
            receive_buffer: buffers.map(|pair| pair.proxy.receive_buffer).min().unwrap_or(0),
            outcomes: &outcomes,
        };
        fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| path.display().to_string())?;
    }
    match failure {
        Some(error) => Err(error),
        None if options.quick => check_whole(&outcomes),
        None => Ok(()),
    }
}

/// In the short form loss is the one thing that is looked at.
fn check_whole(outcomes: &[Outcome]) -> Result<()> {
    for outcome in outcomes {
        for pair in &outcome.pairs {
            let case = &outcome.case;
            ensure!(
                pair.proxy.is_whole(),
                "{} over {}, {}: {} packets lost, {} repeated, {} connections closed",
                case.readers,
                case.over,
                case.pace,
                pair.proxy.lost_packets,
                pair.proxy.repeated,
                pair.proxy.closed,
            );
        }
    }
    Ok(())
}

/// Where the programs are, and a folder that lasts as long as this.
struct Stage {
    proxy: PathBuf,
    camera: PathBuf,
    own: PathBuf,
    folder: PathBuf,
}

impl Stage {
    fn new() -> Result<Self> {
        let own = std::env::current_exe()?;
        let beside = own.parent().context("this program lies at the top")?;
        let folder = std::env::temp_dir().join(format!("rtsp-proxy-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let this = Self {
            proxy: beside.join("proxy-server"),
            camera: beside.join("test-camera"),
            own: own.clone(),
            folder,
        };
        for program in [&this.proxy, &this.camera] {
            ensure!(program.is_file(), "{} has not been built", program.display());
        }
        Ok(this)
    }

    fn measure(&self, case: &Case, options: &RunOptions) -> Result<Outcome> {
        let (mut pairs, mut notes) = (Vec::new(), Vec::new());
        for _ in 0..options.pairs {
            let proxy = self.proxy(case, options, &mut notes)?;
            tell("proxy", &proxy);
            let bare = |calls, wanted: bool| {
                let measured = match wanted {
                    true => Some(self.bare(case, options, calls)?),
                    false => None,
                };
                if let Some(measured) = &measured {
                    tell(&format!("bare loop, {calls}"), measured);
                }
                anyhow::Ok(measured)
            };
            let is_burst = case.pace == "burst";
            pairs.push(Pair {
                proxy,
                bare: bare(Calls::Batches, !options.quick)?,
                whole_frames: bare(Calls::Frames, !options.quick && is_burst)?,
                single_packets: bare(Calls::Packets, !options.quick && options.prove)?,
            });
        }
        let rate =
            |measured: &Option<Measured>| measured.as_ref().map(Measured::packets_per_cpu_second);
        let against = |other: fn(&Pair) -> &Option<Measured>| {
            let ratio =
                |pair: &Pair| Some(pair.proxy.packets_per_cpu_second() / rate(other(pair))?);
            median(pairs.iter().filter_map(ratio).collect())
        };
        let ratio = against(|pair| &pair.bare);
        let whole_frames_ratio = against(|pair| &pair.whole_frames);
        let proofs =
            pairs.iter().filter_map(|pair| Some(rate(&pair.bare)? / rate(&pair.single_packets)?));
        let proof = median(proofs.collect());
        notes.truncate(NOTES);
        Ok(Outcome { case: case.clone(), pairs, ratio, whole_frames_ratio, proof, notes })
    }

    /// Camera, proxy and readers.
    fn proxy(
        &self,
        case: &Case,
        options: &RunOptions,
        notes: &mut Vec<String>,
    ) -> Result<Measured> {
        let mut command = Command::new(&self.camera);
        command.args(["--no-audio", "--until-eof", "--source", SOURCE, "--pace", &case.pace]);
        let mut camera = Process::start("test-camera", &mut command, None)?;
        let url = camera.line("rtsp://", soon())?;

        let log = self.folder.join("proxy.log");
        let mut command = Command::new(&self.proxy);
        command.args(["--bind", "127.0.0.1", "-p", &free_port()?.to_string()]);
        command.arg(format!("cam={url}"));
        let mut proxy = Process::start("proxy-server", &mut command, Some(&log))?;
        let url = proxy.line("rtsp://", soon()).map_err(|error| with_log(error, &log))?;

        let record = (!options.quick).then(|| self.recording());
        let measured = self
            .readers(case, options, &url, proxy.id(), record.as_deref())
            .map_err(|error| with_log(error, &log))?;
        proxy.stop(Some(Signal::SIGTERM))?;
        camera.stop(None)?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        notes.extend(said.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned));
        Ok(measured)
    }

    /// The bare loop and readers.
    fn bare(&self, case: &Case, options: &RunOptions, calls: Calls) -> Result<Measured> {
        let mut command = Command::new(&self.own);
        command.args(["bare", "--over", &case.over.to_string(), "--calls", &calls.to_string()]);
        command.arg("--recording").arg(self.recording());
        let mut bare = Process::start("the bare loop", &mut command, None)?;
        let url = bare.line("rtsp://", soon())?;
        let measured = self.readers(case, options, &url, bare.id(), None)?;
        bare.stop(None)?;
        Ok(measured)
    }

    fn readers(
        &self,
        case: &Case,
        options: &RunOptions,
        url: &str,
        watch: u32,
        record: Option<&Path>,
    ) -> Result<Measured> {
        let mut command = Command::new(&self.own);
        command.args(["readers", "--url", url, "--over", &case.over.to_string()]);
        command.args(["--count", &case.readers.to_string(), "--watch", &watch.to_string()]);
        command.args(["--seconds", &options.seconds.as_secs().to_string()]);
        if let Some(path) = record {
            command.arg("--record").arg(path);
            command.args(["--frames", &FRAMES.to_string()]);
            command.args(["--period", &PERIOD.as_millis().to_string()]);
        }
        let mut readers = Process::start("the readers", &mut command, None)?;
        let line = readers.line("{", clock::mono() + READERS + options.seconds)?;
        readers.stop(None)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn recording(&self) -> PathBuf {
        self.folder.join("recording.json")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _left = fs::remove_dir_all(&self.folder);
    }
}

fn soon() -> Instant {
    clock::mono() + START
}

/// A port that nobody listens on at the moment.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn with_log(error: anyhow::Error, log: &Path) -> anyhow::Error {
    let said = fs::read_to_string(log).unwrap_or_default();
    let last: Vec<&str> = said.lines().rev().take(10).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    error.context(format!("the proxy's log ends:\n{}\n", last.join("\n")))
}

fn tell(who: &str, measured: &Measured) {
    eprintln!(
        "      {who:<20} {:>9.0} packets/CPU-s, {:>5.1} % of a core, {} packets lost \
         ({} dropped at readers' sockets of {} KiB), readers at {:.0} %",
        measured.packets_per_cpu_second(),
        100.0 * measured.cpu_share(),
        measured.lost_packets,
        measured.dropped_at_sockets,
        measured.receive_buffer / 1024,
        measured.readers_cpu_nanos as f64 / 1e7 / measured.seconds,
    );
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let (below, above) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(below)?, *values.get(above)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_two_in_the_middle() {
        assert_eq!(median(vec![4.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
