//! An outage about as long as readers are held, and players with little patience.

use std::time::{Duration, Instant};

use crate::faults::players::Recorder;
use crate::faults::returns::BACK;
use crate::faults::stage::{Setting, Stage};
use crate::faults::witness::Witness;
use crate::faults::{Outcome, Row};
use crate::pictures::Player;
use crate::process::Process;
use crate::reader::Over;
use crate::{programs, wait};

/// How long it lasts, and how long players take to be looked at.
const HALF: Duration = Duration::from_secs(25);
const WATCHED: Duration = Duration::from_secs(10);
const BEGIN: Duration = Duration::from_secs(25);
/// How long a player may take to show the picture once it is there again: it waits for a key frame,
/// and those that joined in the middle still have to look at the stream.
const SHOWN: Duration = Duration::from_secs(12);
/// ffmpeg that gives up where nothing comes for 5 s.
const IMPATIENT: [&str; 2] = ["-timeout", "5000000"];

pub(crate) const ROWS: &[Row] = &[Row {
    name: "outage of 50 s",
    deed: "killed and started again 50 s later; GStreamer and ffmpeg (-timeout of 5 s) over UDP and \
           TCP and mpv attached, and each of them joining in the middle",
    bound: "first packet within 2 s of its return; no player reconnects or changes transport, and \
            all show the picture again",
    is_short: false,
    run: long,
}];

/// Players with how many pictures, or frames, they have got; by name.
struct Attached {
    name: String,
    what: Either,
}

enum Either {
    Player(Player),
    Recorder(Recorder),
}

impl Attached {
    fn all(url: &str, when: &str) -> Vec<Self> {
        let mut all = Vec::new();
        let mut attach = |name: String, what| all.push(Self { name, what });
        for over in [Over::Udp, Over::Tcp] {
            let name = |kind| format!("{kind} over {over:?}, {when}");
            let player = Player::gstreamer_choosing(url, over);
            attach(name("GStreamer"), Either::Player(player));
            let recorder = Recorder::start(url, over, &IMPATIENT);
            attach(name("ffmpeg"), Either::Recorder(recorder));
        }
        if programs::has("mpv") {
            attach(format!("mpv, {when}"), Either::Player(Player::mpv(url, Over::Tcp)));
        }
        all
    }

    fn process(&mut self) -> &mut Process {
        match &mut self.what {
            Either::Player(player) => &mut player.process,
            Either::Recorder(recorder) => &mut recorder.process,
        }
    }

    /// Whether it has shown, or written, anything since.
    fn goes_on(&self, since: Instant, written: u64) -> bool {
        match &self.what {
            Either::Player(player) => player.shown().iter().any(|picture| picture.at >= since),
            Either::Recorder(recorder) => recorder.written() > written,
        }
    }

    fn written(&self) -> u64 {
        match &self.what {
            Either::Player(_) => 0,
            Either::Recorder(recorder) => recorder.written(),
        }
    }
}

fn long() -> Outcome {
    let mut outcome = Outcome::default();
    let mut stage = Stage::new(&Setting::default());
    let url = stage.url();
    let witnesses = [Over::Udp, Over::Tcp].map(|over| Witness::play(&url, over, &[1, 2]));
    let mut players = Attached::all(&url, "attached");
    stage.wait_readers(2 + players.len());
    let begun = wait::now();
    wait::until(BEGIN, || players.iter().all(|player| player.goes_on(begun, 0)));

    stage.kill();
    wait::pass(HALF);
    players.extend(Attached::all(&url, "joining in the middle"));
    stage.wait_readers(2 + players.len());
    wait::pass(HALF);
    let readers = stage.readers();
    let written: Vec<_> = players.iter().map(Attached::written).collect();
    let well = stage.start_again(&[]).since();

    wait::until(SHOWN, || witnesses.iter().all(|w| w.first_after(well).is_some()));
    let first: Option<Vec<_>> = witnesses.iter().map(|w| w.first_after(well)).collect();
    let first = first.and_then(|times| times.into_iter().max()).map(|at| at - well);
    outcome.timed("first packet after", first, BACK);
    let goes_on = |(player, before): (&Attached, &u64)| player.goes_on(well, *before);
    wait::until(SHOWN, || players.iter().zip(&written).all(goes_on));
    let shown = wait::now() - well;
    wait::pass(WATCHED);
    if stage.readers() != readers {
        outcome.wrong(format!("{readers:?} and then {:?}", stage.readers()));
    }
    if readers.began != 2 + players.len() || readers.ended != 0 {
        outcome.wrong(format!("{readers:?} of {}", 2 + players.len()));
    }
    let mut all = true;
    for (player, before) in players.iter_mut().zip(&written) {
        let (name, shows) = (player.name.clone(), player.goes_on(well, *before));
        let running = player.process().is_running();
        if !running || !shows {
            all = false;
            let said = player.process().stderr().all();
            let said = said.get(said.len().saturating_sub(4)..).unwrap_or_default();
            outcome.wrong(format!("{name}: running: {running}, shows: {shows}, says {said:?}"));
        }
    }
    for witness in witnesses {
        witness.finish().into_iter().for_each(|what| outcome.wrong(what));
    }
    if !programs::has("mpv") {
        outcome.figure("mpv is not here");
    }
    if all {
        outcome.figure(format!("{} players show it after {:.1?}", players.len(), shown));
    }
    if !outcome.is_good() {
        outcome.wrong(format!("the proxy's log:\n{}", stage.proxy.log()));
    }
    outcome
}
