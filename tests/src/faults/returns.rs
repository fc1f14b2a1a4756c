//! Backends that are lost and come back as they were.

use std::time::Duration;

use crate::faults::gate::State;
use crate::faults::stage::{Setting, Stage, Well, held};
use crate::faults::{Outcome, Row};
use crate::wait;

/// What a backend that is there again may take.
pub(crate) const BACK: Duration = Duration::from_secs(2);
const BACK_TEXT: &str = "first packet within 2 s of its return; readers held";
const BACK_OFF_TEXT: &str = "first packet within one back-off period; readers held";

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "killed, 1 s",
        deed: "the camera's process is killed and started again 1 s later",
        bound: BACK_TEXT,
        is_short: true,
        run: || killed("udp", 1),
    },
    Row {
        name: "killed, 5 s",
        deed: "the same after 5 s",
        bound: BACK_TEXT,
        is_short: false,
        run: || killed("udp", 5),
    },
    Row {
        name: "killed, 5 s, TCP",
        deed: "the same with media interleaved",
        bound: BACK_TEXT,
        is_short: false,
        run: || killed("tcp", 5),
    },
    Row {
        name: "killed, 5 s, packets made anew",
        deed: "the same with `packets = \"reframe\"`",
        bound: BACK_TEXT,
        is_short: false,
        run: || killed_with("udp", 5, "packets = \"reframe\""),
    },
    Row {
        name: "killed, 20 s",
        deed: "the same after 20 s",
        bound: BACK_TEXT,
        is_short: false,
        run: || killed("auto", 20),
    },
    Row {
        name: "port closed",
        deed: "connections are closed and refused for 5 s",
        bound: BACK_TEXT,
        is_short: false,
        run: port_closed,
    },
    Row {
        name: "connection closed",
        deed: "the camera closes the connection, and is there",
        bound: BACK_TEXT,
        is_short: false,
        run: || told("tcp", "close"),
    },
    Row {
        name: "goodbye",
        deed: "the camera sends RTCP BYE on all tracks, and is there",
        bound: BACK_TEXT,
        is_short: false,
        run: || told("udp", "bye"),
    },
    Row {
        name: "frozen, 14 s",
        deed: "the camera's process is stopped (SIGSTOP) for 14 s",
        bound: BACK_OFF_TEXT,
        is_short: false,
        run: || frozen(14),
    },
    Row {
        name: "frozen, 25 s",
        deed: "the same for 25 s: by then an attempt has been made in vain, too",
        bound: BACK_OFF_TEXT,
        is_short: false,
        run: || frozen(25),
    },
    Row {
        name: "garbage",
        deed: "for 5 s the camera's port sends garbage",
        bound: BACK_OFF_TEXT,
        is_short: false,
        run: garbage,
    },
    Row {
        name: "404, then there",
        deed: "connections are closed and DESCRIBE is answered with 404 for 5 s",
        bound: BACK_OFF_TEXT,
        is_short: false,
        run: not_found,
    },
    Row {
        name: "slow",
        deed: "killed and started again after 5 s; DESCRIBE, SETUP and PLAY are answered after 2 s each",
        bound: "first packet within one back-off period beyond the answers; readers held",
        is_short: false,
        run: slow,
    },
];

fn killed(transport: &str, seconds: u64) -> Outcome {
    killed_with(transport, seconds, "")
}

fn killed_with(transport: &str, seconds: u64, options: &str) -> Outcome {
    let setting = Setting { transport, options, ..Setting::default() };
    held(&setting, |stage| {
        stage.kill();
        wait::pass(Duration::from_secs(seconds));
        let camera = stage.start_again(&[]);
        Well { at: camera.since(), bound: BACK }
    })
}

fn port_closed() -> Outcome {
    let setting = Setting { transport: "tcp", gated: true, ..Setting::default() };
    held(&setting, |stage| {
        let at = through(stage, State::Shut, Duration::from_secs(5));
        Well { at, bound: BACK }
    })
}

/// Has the gate in this state for so long; when it was open again.
fn through(stage: &Stage, state: State, time: Duration) -> std::time::Instant {
    let Some(gate) = &stage.gate else { panic!("there is no gate") };
    gate.set(state);
    wait::pass(time);
    gate.set(State::Open);
    wait::now()
}

fn told(transport: &str, fault: &str) -> Outcome {
    let setting = Setting { transport, ..Setting::default() };
    held(&setting, |stage| {
        let at = wait::now();
        if let Some(camera) = &mut stage.camera {
            camera.tell(fault);
        }
        // What was on its way is not the return.
        wait::pass(Duration::from_millis(100));
        Well { at: at + Duration::from_millis(100), bound: BACK }
    })
}

/// One back-off period, and what a connection takes.
fn within_back_off(stage: &Stage, from: usize, at: std::time::Instant) -> Well {
    Well { at, bound: stage.longest_wait(from) + BACK }
}

fn frozen(seconds: u64) -> Outcome {
    held(&Setting::default(), |stage| {
        let from = stage.log_lines();
        let Some(camera) = &stage.camera else { panic!("there is no camera") };
        camera.freeze();
        wait::pass(Duration::from_secs(seconds));
        let at = wait::now();
        camera.thaw();
        within_back_off(stage, from, at)
    })
}

fn garbage() -> Outcome {
    let setting = Setting { transport: "tcp", gated: true, ..Setting::default() };
    held(&setting, |stage| {
        let from = stage.log_lines();
        let at = through(stage, State::Garbage, Duration::from_secs(5));
        within_back_off(stage, from, at)
    })
}

fn not_found() -> Outcome {
    held(&Setting::default(), |stage| {
        let from = stage.log_lines();
        let tell = |stage: &mut Stage, fault: &str| match &mut stage.camera {
            Some(camera) => camera.tell(fault),
            None => panic!("there is no camera"),
        };
        tell(stage, "refuse DESCRIBE 404");
        tell(stage, "end-sessions");
        tell(stage, "close");
        wait::pass(Duration::from_secs(5));
        let at = wait::now();
        tell(stage, "accept DESCRIBE");
        within_back_off(stage, from, at)
    })
}

fn slow() -> Outcome {
    held(&Setting::default(), |stage| {
        let from = stage.log_lines();
        stage.kill();
        wait::pass(Duration::from_secs(5));
        let camera = stage.start_again(&[]);
        for method in ["DESCRIBE", "SETUP", "PLAY"] {
            camera.tell(&format!("delay {method} 2000"));
        }
        let at = camera.since();
        // SETUP of two tracks.
        let answers = Duration::from_secs(4 * 2);
        let well = within_back_off(stage, from, at);
        Well { bound: well.bound + answers, ..well }
    })
}
