//! What readers can make a stream hold.

use proxy_session::Ask;

use crate::camera::{Act, Camera};
use crate::rig::{Rig, ms, options, play, secs, set_up};

#[test]
fn readers_beyond_the_limit_are_refused_and_those_within_are_not() {
    let mut options = options();
    options.max_readers = 2;
    let mut rig = Rig::described(options, Camera::default());
    rig.prepare(1);
    rig.prepare(2);
    let refused = rig.ask(3, set_up(0));
    assert_eq!(rig.refused(refused).0, 453);
    assert!(rig.refusal(refused).why.contains("max_readers"));
    // Who is in may set up more, and play.
    rig.play(2);
    let describe = rig.ask(3, Ask::Describe);
    assert!(rig.reply(describe).is_some());
    rig.leave(1);
    rig.prepare(3);
    assert_eq!(rig.readers(), (2, 1));
}

#[test]
fn what_waits_beyond_the_limit_is_refused_and_leaves_nothing() {
    let mut options = options();
    options.max_waiting = 2;
    let mut rig = Rig::described(options, Camera::default());
    rig.prepare(1);
    rig.prepare(2);
    rig.prepare(3);
    rig.camera.set("PLAY", Act::Late(secs(1)));
    let waiting = [rig.ask(1, play()), rig.ask(2, play())];
    let refused = [rig.ask(3, play()), rig.ask(4, play())];
    assert_eq!((rig.refused(refused[0]), rig.refused(refused[1])), ((503, true), (455, false)));
    assert!(rig.refusal(refused[0]).why.contains("max_waiting"));
    assert_eq!(rig.readers(), (3, 2));
    // What need not wait is answered.
    let describe = rig.ask(5, Ask::Describe);
    assert!(rig.reply(describe).is_some());
    rig.run(secs(2));
    waiting.iter().for_each(|ticket| drop(rig.welcome(*ticket)));
    rig.leave(1);
    rig.leave(2);
    rig.run(ms(100));
    assert!(!rig.camera.is_playing, "{}", rig.camera.dialogue);
}

#[test]
fn a_set_up_beyond_the_limit_of_what_waits_makes_no_reader() {
    let mut options = options();
    options.max_waiting = 1;
    let mut rig = Rig::described(options, Camera::default().with("SETUP", Act::Late(secs(1))));
    rig.ask(1, set_up(0));
    let refused = rig.ask(2, set_up(0));
    assert_eq!(rig.refused(refused), (503, true));
    assert_eq!(rig.readers(), (1, 0));
}
