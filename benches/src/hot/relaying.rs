//! One packet's way through a stream: from the backend's bytes to a published batch.

use backend_client::TransportChoice;

use super::{Path, Work, work};
use crate::clock;
use crate::packets::{Frames, KEY_FRAME, OTHER_FRAME};
use crate::rig::{Arriving, Rig};

pub(super) fn paths() -> Vec<Path> {
    vec![
        Path::new("proxy-session/relay UDP", "packet", || relay(TransportChoice::Udp)),
        Path::new("proxy-session/relay TCP", "packet", || relay(TransportChoice::Tcp)),
    ]
}

/// Frames of 14 packets behind a key frame, each of which comes at once. Nobody reads.
fn relay(over: TransportChoice) -> Box<dyn Work> {
    let mut rig = Rig::new(clock::fixed_both(), over, 0);
    let mut frames = Frames::new();
    rig.frame(&Arriving::new(&frames.frame(KEY_FRAME, true), over));
    // What is published reaches the log before the next frame comes, uncounted.
    let rig = std::rc::Rc::new(std::cell::RefCell::new(rig));
    let shared = std::rc::Rc::clone(&rig);
    let prepare = move || {
        let mut rig = shared.borrow_mut();
        rig.serve();
        rig.step();
        Arriving::new(&frames.frame(OTHER_FRAME, false), over)
    };
    work(prepare, move |frame| rig.borrow_mut().relay(frame))
}
