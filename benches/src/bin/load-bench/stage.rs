//! The processes of a case: camera, proxy, bare loop, readers.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use benches::clock;
use nix::sys::signal::Signal;

use crate::cases::{Case, What};
use crate::child::Process;
use crate::cores::{Binding, Cores};
use crate::kernel;
use crate::measured::Measured;
use crate::options::Calls;

/// How long a program may take to say where it is.
const START: Duration = Duration::from_secs(10);
/// How long all streams may take to be described.
const DESCRIBED: Duration = Duration::from_secs(30);
/// When the timers of these dialogues have run out, each once and for nothing. The first
/// keep-alives come later than this and the measurement together.
const SETTLED: Duration = Duration::from_secs(8);
/// How long the readers may take besides the measurement itself.
const READERS: Duration = Duration::from_secs(90);
/// Readers of the bare loop join within this.
const QUICKLY: Duration = Duration::from_millis(300);
/// So many readers of a stream begin with its next key frame.
const MANY: usize = 500;

/// Where the programs are, and a folder that lasts as long as this.
#[derive(Debug)]
pub(crate) struct Stage {
    proxy: PathBuf,
    camera: PathBuf,
    own: PathBuf,
    folder: PathBuf,
    /// Whether readers take joined datagrams.
    joined: bool,
    /// Length of a measurement, if not the case's own.
    seconds: Option<Duration>,
    binding: Binding,
}

/// What there is to know of a measurement of the proxy.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) measured: Measured,
    pub(crate) warnings: Vec<String>,
    pub(crate) log_bytes: Option<u64>,
    /// Packets that the backend sent and the proxy did not get, as it says itself.
    pub(crate) backend_lost: Option<u64>,
}

impl Stage {
    pub(crate) fn new(joined: bool, seconds: Option<Duration>, binding: Binding) -> Result<Self> {
        let own = std::env::current_exe()?;
        let beside = own.parent().context("this program lies at the top")?;
        let folder = std::env::temp_dir().join(format!("rtsp-proxy-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let (proxy, camera) = (beside.join("proxy-server"), beside.join("test-camera"));
        let this = Self { proxy, camera, own: own.clone(), folder, joined, seconds, binding };
        for program in [&this.proxy, &this.camera] {
            ensure!(program.is_file(), "{} has not been built", program.display());
        }
        Ok(this)
    }

    /// Whether the bare loop has something to send, once `proxy` was asked to record.
    pub(crate) fn has_recording(&self) -> bool {
        self.recording().is_file()
    }

    /// Lets go of what was recorded of another case.
    pub(crate) fn forget_recording(&self) -> Result<()> {
        if self.has_recording() {
            fs::remove_file(self.recording())?;
        }
        Ok(())
    }

    /// Camera, proxy and readers. A recording is made where `record` says so; if that succeeds it
    /// is the one that the bare loop sends from then on.
    pub(crate) fn proxy(&self, case: &Case, record: bool) -> Result<Seen> {
        self.see(case, record, None)
    }

    /// The same with so many shards in the proxy, and without a recording.
    pub(crate) fn proxy_of(&self, case: &Case, shards: usize) -> Result<Seen> {
        self.see(case, false, Some(shards))
    }

    fn see(&self, case: &Case, record: bool, shards: Option<usize>) -> Result<Seen> {
        let (camera, urls) = self.start_camera(case)?;
        let (proxy, urls, log) = self.start_proxy(case, &urls, shards)?;
        let beside = Some(camera.id());
        let readers = self.start_readers(case, &urls, proxy.id(), beside, record);
        let measured = readers.map_err(|error| with_log(error, &log))?;
        proxy.stop(Some(Signal::SIGTERM))?;
        camera.stop(None)?;
        let said = fs::read_to_string(&log).unwrap_or_default();
        let warnings = said.lines().filter(|line| line.contains(" WARN ")).map(str::to_owned);
        let log_bytes = told(&said, "log memory", "bytes=");
        let backend_lost = told(&said, " status ", "lost=");
        Ok(Seen { measured, warnings: warnings.collect(), log_bytes, backend_lost })
    }

    /// The bare loop and readers.
    pub(crate) fn bare(&self, case: &Case, calls: Calls) -> Result<Measured> {
        let mut command = Command::new(&self.own);
        command.args(["bare", "--over", &case.over.to_string(), "--calls", &calls.to_string()]);
        command.arg("--recording").arg(self.recording());
        // On the readers' core, as beside the proxy.
        let is_shared = case.streams == 1 && self.load(case).is_some();
        let camera = is_shared.then(|| self.start_camera(case)).transpose()?;
        if let Some(url) = camera.iter().find_map(|(_, urls)| urls.first()) {
            command.args(["--beside", url]);
        }
        let mut bare = Process::start("the bare loop", &mut command, None, self.measured(case))?;
        let urls = self.urls(&mut bare, case.audiences().len())?;
        let measured = self.start_readers(case, &urls, bare.id(), None, false)?;
        bare.stop(None)?;
        if let Some((camera, _)) = camera {
            camera.stop(None)?;
        }
        Ok(measured)
    }

    /// The CPU time in nanoseconds that the proxy takes within `length` while nobody reads from so
    /// many streams.
    pub(crate) fn idle(&self, case: &Case, streams: usize, length: Duration) -> Result<u64> {
        let (camera, urls) = self.start_camera(case)?;
        let urls = urls.get(..streams).context("the camera has too few streams")?;
        let (proxy, _, log) = self.start_proxy(case, urls, None)?;
        // The proxy comes to a host with few streams at a time; from then on it is idle.
        let until = clock::mono() + DESCRIBED;
        while described(&log) < streams {
            ensure!(clock::mono() < until, "not all {streams} streams have been described");
            clock::sleep_until(clock::mono() + Duration::from_millis(100));
        }
        clock::sleep_until(clock::mono() + SETTLED);
        let before = kernel::cpu_nanos(proxy.id())?;
        clock::sleep_until(clock::mono() + length);
        let spent = kernel::cpu_nanos(proxy.id())?.saturating_sub(before);
        proxy.stop(Some(Signal::SIGTERM))?;
        camera.stop(None)?;
        Ok(spent)
    }

    fn start_camera(&self, case: &Case) -> Result<(Process, Vec<String>)> {
        let mut command = Command::new(&self.camera);
        command.args(["--no-audio", "--until-eof", "--start", "beginning"]);
        command.args(["--source", &case.source.option(), "--pace", &case.pace]);
        command.args(["--streams", &case.offered().to_string()]);
        if case.pace == "burst" {
            // A burst that crossed a network card comes joined.
            command.arg("--segmented");
        }
        let mut camera = Process::start("test-camera", &mut command, None, self.load(case))?;
        let urls = self.urls(&mut camera, case.offered())?;
        Ok((camera, urls))
    }

    fn start_proxy(
        &self,
        case: &Case,
        urls: &[String],
        shards: Option<usize>,
    ) -> Result<(Process, Vec<String>, PathBuf)> {
        let log = self.folder.join("proxy.log");
        let mut command = Command::new(&self.proxy);
        command.args(["--bind", "127.0.0.1", "-p", &free_port()?.to_string()]);
        if let Some(shards) = shards {
            command.args(["--workers", &shards.to_string()]);
        }
        command.args(urls.iter().enumerate().map(|(index, url)| format!("cam{index}={url}")));
        let mut proxy =
            Process::start("proxy-server", &mut command, Some(&log), self.measured(case))?;
        let urls = self.urls(&mut proxy, urls.len()).map_err(|error| with_log(error, &log))?;
        Ok((proxy, urls, log))
    }

    fn urls(&self, process: &mut Process, count: usize) -> Result<Vec<String>> {
        (0..count).map(|_| process.line("rtsp://", soon())).collect()
    }

    /// The proxy is what has a camera beside it.
    fn start_readers(
        &self,
        case: &Case,
        urls: &[String],
        watch: u32,
        camera: Option<u32>,
        record: bool,
    ) -> Result<Measured> {
        let (audiences, is_proxy) = (case.audiences(), camera.is_some());
        let window = case.window(self.seconds);
        let mut command = Command::new(&self.own);
        command.args(["readers", "--over", &case.over.to_string(), "--watch", &watch.to_string()]);
        command.args(["--seconds", &window.as_secs().to_string()]);
        for (url, count) in urls.iter().zip(&audiences) {
            let start = match count {
                _ if !is_proxy => "",
                // What it costs that so many catch up at once is not what is looked at.
                MANY.. => "?start=keyframe",
                _ => "?start=instant",
            };
            command.args(["--url", &format!("{url}{start}"), "--count", &count.to_string()]);
        }
        if self.joined {
            command.arg("--joined");
        }
        if let Some(camera) = camera {
            match case.what {
                What::Cores { .. } => command.args(["--unread", &camera.to_string()]),
                _ => command.arg("--wait-for-key"),
            };
        }
        if record {
            let (frames, period) = (case.source.gop, case.source.period());
            command.arg("--record").arg(self.recording());
            command.args(["--frames", &frames.to_string()]);
            command.args(["--period", &period.as_millis().to_string()]);
        } else if case.streams == 1 {
            command.args(["--joining", &QUICKLY.as_millis().to_string()]);
        }
        match case.what {
            What::Joins { joining, rounds } if is_proxy => {
                command.args(["--join", &joining.to_string(), "--rounds", &rounds.to_string()]);
            }
            What::Memory { .. } | What::Cores { .. } if is_proxy => {
                command.arg("--ask-log");
            }
            _ => {}
        }
        let mut readers = Process::start("the readers", &mut command, None, self.load(case))?;
        let line = readers.line("{", clock::mono() + READERS + window)?;
        readers.stop(None)?;
        Ok(serde_json::from_str(&line)?)
    }

    /// The core of what is measured, if it is bound to one.
    fn measured(&self, case: &Case) -> Option<usize> {
        self.binding.cores(case).map(|Cores { measured, .. }| measured)
    }

    /// The core of camera and readers, if they are bound to one.
    fn load(&self, case: &Case) -> Option<usize> {
        self.binding.cores(case).map(|Cores { load, .. }| load)
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

/// The figure with this name that the proxy said last in a line about this, when it was asked.
fn told(log: &str, about: &str, name: &str) -> Option<u64> {
    let line = log.lines().rev().find(|line| line.contains(about))?;
    line.split_whitespace().find_map(|word| word.strip_prefix(name))?.parse().ok()
}

/// How many streams the proxy has described, by its log.
fn described(log: &Path) -> usize {
    let said = fs::read_to_string(log).unwrap_or_default();
    said.lines().filter(|line| line.contains("backend described")).count()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_proxy_tells_is_read_from_the_last_line_about_it() {
        let log = "2026 INFO log memory bytes=5 streams=1\nother bytes=7\n\
                   2026 INFO log memory bytes=1234 streams=2 readers=3\nend\n";
        assert_eq!(told(log, "log memory", "bytes="), Some(1234));
        assert_eq!(told("bytes=7", "log memory", "bytes="), None);
        let log = "2026 INFO status stream=cam0 mbit=4.0 packets=9 lost=3 relayed=9\n";
        assert_eq!(told(log, " status ", "lost="), Some(3));
    }
}
