//! Backends that come back as others.

use std::time::Duration;

use crate::clips::{Codec, Pictures};
use crate::faults::players::Recorder;
use crate::faults::returns::BACK;
use crate::faults::stage::{Setting, Stage, Well, held};
use crate::faults::witness::Witness;
use crate::faults::{Outcome, Row};
use crate::pictures::Player;
use crate::raw::RawReader;
use crate::reader::Over;
use crate::wait;

const GOES_ON: &str = "the picture goes on, first packet within 2 s; readers held";
const LET_GO: &str =
    "BYE on each track and a closed connection within 2 s; who comes again is served";
/// How long a reader that comes again may have to wait.
const SERVED: Duration = Duration::from_secs(5);

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "parameter sets changed",
        deed: "killed and started again after 3 s with other parameter sets and picture size",
        bound: GOES_ON,
        is_short: false,
        run: || parameter_sets(&[]),
    },
    Row {
        name: "parameter sets changed, not in band",
        deed: "the same, but they are in the description alone",
        bound: GOES_ON,
        is_short: true,
        run: || parameter_sets(&["--no-in-band-sets"]),
    },
    Row {
        name: "codec changed",
        deed: "killed and started again after 3 s with H.265 in place of H.264",
        bound: LET_GO,
        is_short: false,
        run: || {
            let file = Pictures { codec: Codec::H265, gop: 2, b_frames: false }.file();
            let_go(&["--pictures", &file.display().to_string()])
        },
    },
    Row {
        name: "audio gone",
        deed: "killed and started again after 3 s without sound",
        bound: LET_GO,
        is_short: true,
        run: || let_go(&["--no-audio"]),
    },
];

/// How long it is dead.
const DEAD: Duration = Duration::from_secs(3);

fn parameter_sets(camera: &[&str]) -> Outcome {
    let setting = Setting { camera, transport: "tcp", gated: true, ..Setting::default() };
    held(&setting, |stage| {
        use crate::faults::gate::State;
        let set = |stage: &Stage, state| stage.gate.iter().for_each(|gate| gate.set(state));
        set(stage, State::Shut);
        stage.kill();
        wait::pass(DEAD);
        // Nobody is to see it before it has been told.
        stage.start_again(camera).tell("parameter-sets");
        wait::pass(Duration::from_millis(200));
        set(stage, State::Open);
        Well { at: wait::now(), bound: BACK }
    })
}

fn let_go(camera: &[&str]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut stage = Stage::new(&Setting::default());
    let url = stage.url();
    let both = [Over::Udp, Over::Tcp];
    let witnesses = both.map(|over| Witness::play(&url, over, &[1, 2]));
    let mut recorders = both.map(|over| Recorder::start(&url, over, &[]));
    let mut decoders = both.map(|over| (over, Player::gstreamer(&url, over)));
    stage.wait_readers(6);
    wait::pass(Duration::from_secs(2));

    stage.kill();
    wait::pass(DEAD);
    let at = stage.start_again(camera).since();

    wait::until(3 * BACK, || witnesses.iter().all(|witness| witness.closed().is_some()));
    let closed: Option<Vec<_>> = witnesses.iter().map(Witness::closed).collect();
    let last = closed.and_then(|times| times.into_iter().max()).map(|last| last - at);
    outcome.timed("readers closed after", last, BACK);
    for witness in &witnesses {
        let byes = witness.byes();
        if byes != [1, 2] {
            outcome.wrong(format!("reader over {:?}: goodbyes on tracks {byes:?}", witness.over));
        }
    }
    // Players end by themselves.
    for recorder in &mut recorders {
        if recorder.process.wait(SERVED).is_none() {
            outcome.wrong(format!("ffmpeg over {:?} hangs", recorder.over));
        }
    }
    for (over, decoder) in &mut decoders {
        if decoder.process.wait(SERVED).is_none() {
            outcome.wrong(format!("GStreamer over {over:?} hangs"));
        }
    }
    let served = wait::until(SERVED, || {
        let mut reader = RawReader::connect(&url, Over::Tcp);
        reader.request("DESCRIBE", &url, &[]).status == 200
    });
    outcome.timed("served again after", served.then(|| wait::now() - at), 2 * SERVED);
    if served {
        let mut reader = RawReader::play_tracks(&url, Over::Tcp, &[1]);
        if reader.next_media(1, SERVED).is_none() {
            outcome.wrong("nothing of the new stream comes");
        }
    }
    if !outcome.is_good() {
        outcome.wrong(format!("the proxy's log:\n{}", stage.proxy.log()));
    }
    outcome
}
