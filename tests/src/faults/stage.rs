//! A camera, a proxy and readers of every kind, and what is expected of those that are held.

use std::time::{Duration, Instant};

use crate::faults::Outcome;
use crate::faults::backend::{CameraProcess, Place};
use crate::faults::gate::Gate;
use crate::faults::players::{Decoder, Halves, Recorder, settle};
use crate::faults::witness::Witness;
use crate::proxy::{Proxy, free_port};
use crate::reader::Over;
use crate::wait;

/// How long readers watch before anything happens, and after all is well again.
const BEFORE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(6);
/// How long readers may take to begin.
const BEGIN: Duration = Duration::from_secs(25);
/// How long is waited for what should have come by then.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a decoder needs for the first picture after its first packet: the rest of a group of
/// pictures, and its own delay.
const FIRST_PICTURE: Duration = Duration::from_secs(6);

/// How it is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setting<'a> {
    /// The camera's arguments.
    pub(crate) camera: &'a [&'a str],
    /// How the proxy takes media.
    pub(crate) transport: &'a str,
    /// Further lines of the stream's table.
    pub(crate) options: &'a str,
    /// Whether the camera is reached through a gate.
    pub(crate) gated: bool,
    /// Where the camera is, if not on a free port of loopback.
    pub(crate) place: Option<Place>,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self { camera: &[], transport: "auto", options: "", gated: false, place: None }
    }
}

/// What is there.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) place: Place,
    /// `None` while it is dead.
    pub(crate) camera: Option<CameraProcess>,
    pub(crate) gate: Option<Gate>,
    pub(crate) proxy: Proxy,
}

/// The moment at which the backend was well again, and how long the first packet may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Well {
    pub(crate) at: Instant,
    pub(crate) bound: Duration,
}

/// What the proxy's log says of its readers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Readers {
    /// How many times one began to play.
    pub(crate) began: usize,
    /// How many times one ended.
    pub(crate) ended: usize,
}

impl Readers {
    pub(crate) fn of(proxy: &Proxy) -> Self {
        let log = proxy.process.stderr();
        let ends = ["reader left", "reader ended", "reader reclaimed", "slow reader cut"];
        Self {
            began: log.count(|line| line.contains("reader is playing")),
            ended: log.count(|line| ends.iter().any(|words| line.contains(words))),
        }
    }
}

impl Stage {
    pub(crate) fn new(setting: &Setting<'_>) -> Self {
        let place = setting.place.clone().unwrap_or_else(|| Place::local(free_port()));
        let camera = CameraProcess::start(&place, setting.camera);
        let gate = setting.gated.then(|| Gate::open((place.ip, place.port).into()));
        let seen = gate.as_ref().map_or_else(|| place.clone(), |gate| Place::local(gate.port()));
        let proxy = Proxy::configured(&format!(
            "[streams.cam]\nsource = \"{}\"\ntransport = \"{}\"\n{}\n",
            seen.url(),
            setting.transport,
            setting.options
        ));
        proxy.wait_described("cam");
        Self { place, camera: Some(camera), gate, proxy }
    }

    pub(crate) fn url(&self) -> String {
        self.proxy.url("cam")
    }

    /// Ends the camera without a word.
    pub(crate) fn kill(&mut self) {
        self.camera = None;
    }

    /// Starts it again where it was.
    pub(crate) fn start_again(&mut self, arguments: &[&str]) -> &mut CameraProcess {
        self.camera.insert(CameraProcess::start(&self.place, arguments))
    }

    /// How readers have fared so far.
    pub(crate) fn readers(&self) -> Readers {
        Readers::of(&self.proxy)
    }

    /// Waits until so many readers play.
    pub(crate) fn wait_readers(&self, wanted: usize) {
        let all = wait::until(BEGIN, || self.readers().began >= wanted);
        assert!(all, "{:?} of {wanted} readers play:\n{}", self.readers(), self.proxy.log());
    }

    /// The longest wait between attempts that the log has told of since its line `from`.
    pub(crate) fn longest_wait(&self, from: usize) -> Duration {
        let wait = |line: &String| -> Option<f64> {
            let rest = line.split("next_attempt_in=").nth(1)?;
            rest.trim_start_matches('"').split_whitespace().next()?.parse().ok()
        };
        let lines = self.proxy.process.stderr().all();
        let waits = lines.iter().skip(from).filter_map(wait);
        Duration::from_secs_f64(waits.fold(0.0, f64::max))
    }

    /// How many lines the log has.
    pub(crate) fn log_lines(&self) -> usize {
        self.proxy.process.stderr().count(|_| true)
    }
}

/// Attaches readers of every kind, has something happen to the backend, and sees to it that none
/// of them is the worse for it.
pub(crate) fn held(setting: &Setting<'_>, deed: impl FnOnce(&mut Stage) -> Well) -> Outcome {
    let mut stage = Stage::new(setting);
    let url = stage.url();
    let both = [Over::Udp, Over::Tcp];
    let witnesses = both.map(|over| Witness::play(&url, over, &[1, 2]));
    let mut recorders = both.map(|over| Recorder::start(&url, over, &[]));
    let mut decoders = both.map(|over| Decoder::start(&url, over));
    stage.wait_readers(6);
    for decoder in &decoders {
        let shown = decoder.player.wait_for(BEGIN, |_| true);
        assert!(shown.is_some(), "GStreamer shows nothing: {:?}", decoder.player.complaints());
    }
    wait::pass(BEFORE);
    let (mut outcome, before) = (Outcome::default(), stage.readers());

    let well = deed(&mut stage);

    let came = |find: &dyn Fn(&Witness) -> Option<Instant>| {
        wait::until(PATIENCE, || witnesses.iter().all(|witness| find(witness).is_some()));
        let times: Option<Vec<_>> = witnesses.iter().map(find).collect();
        times.and_then(|times| times.into_iter().max()).map(|at| at - well.at)
    };
    outcome.timed("first packet after", came(&|witness| witness.first_after(well.at)), well.bound);
    let picture = came(&|witness| witness.key_after(well.at));
    outcome.figure(format!("first picture after {}", super::seconds(picture)));
    settle(&mut decoders, well.at, FIRST_PICTURE);
    let said: Vec<_> = recorders.iter().map(|r| r.process.stderr().count(|_| true)).collect();
    wait::pass(AFTER);

    // Now all of them are asked.
    let after = stage.readers();
    if after != before {
        outcome.wrong(format!("{before:?} before and {after:?} after"));
    }
    for decoder in &mut decoders {
        decoder.judge(well.at).into_iter().for_each(|what| outcome.wrong(what));
    }
    for (recorder, said) in recorders.iter_mut().zip(said) {
        if !recorder.process.is_running() {
            outcome.wrong(format!("ffmpeg over {:?} ended", recorder.over));
        }
        let late = recorder.process.stderr().all().split_off(said);
        let over = recorder.over;
        late.iter().take(3).for_each(|l| outcome.wrong(format!("ffmpeg over {over:?}: {l:?}")));
    }
    for witness in witnesses {
        witness.finish().into_iter().for_each(|what| outcome.wrong(what));
    }
    let mut offs = Vec::new();
    for recorder in recorders {
        let over = recorder.over;
        let mut halves = Halves::of(&recorder.finish());
        offs.extend(halves.judge());
        let wrong = halves.wrong.into_iter();
        wrong.for_each(|what| outcome.wrong(format!("recording over {over:?}: {what}")));
    }
    if let Some(most) = offs.into_iter().max_by(|a, b| a.abs().total_cmp(&b.abs())) {
        outcome.figure(format!("sound {:+.1} ms from the direct connection's", most * 1e3));
    }
    if !outcome.is_good() {
        outcome.wrong(format!("the proxy's log:\n{}", stage.proxy.log()));
    }
    outcome
}
