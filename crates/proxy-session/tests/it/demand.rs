//! What is asked of the backend, and for whom.

use backend_client::TrackChoice;
use fan_out::{TrackId, TrackMask};
use proxy_session::{Reply, StreamState};

use crate::camera::{Act, Camera};
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, ms, options, play, play_of, secs, set_up};

fn dialogue(rig: &Rig) -> String {
    rig.camera.dialogue.replace('O', "")
}

#[test]
fn media_is_asked_for_a_little_longer_than_readers_are_there() {
    let mut options = options();
    options.backend.linger = secs(5);
    let mut rig = Rig::described(options, Camera::default());
    rig.play(1);
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    rig.leave(1);
    rig.run(secs(4));
    assert_eq!((dialogue(&rig).as_str(), rig.camera.is_playing), ("DSSP", true));
    // One who comes in time finds it playing.
    rig.play(2);
    rig.send(&[(VIDEO, Packet::new(2, 3_601)), (VIDEO, Packet::key(3, 7_201))]);
    assert_eq!((dialogue(&rig).as_str(), rig.got(VIDEO).len()), ("DSSP", 3));
    rig.leave(2);
    rig.send(&[(VIDEO, Packet::new(4, 10_801))]);
    assert_eq!(rig.got(VIDEO).len(), 3, "nothing is published for nobody");
    rig.run(ms(5_050));
    assert_eq!((dialogue(&rig).as_str(), rig.camera.is_playing), ("DSSPZ", false));
}

#[test]
fn a_play_for_who_has_left_is_not_made() {
    let mut options = options();
    options.backend.linger = secs(10);
    let mut rig = Rig::described(options, Camera::default().with("SETUP", Act::Late(ms(300))));
    rig.ask(1, set_up(0));
    rig.ask(1, set_up(1));
    rig.ask(1, play());
    rig.run(ms(400));
    rig.leave(1);
    rig.run(secs(30));
    assert!(!dialogue(&rig).contains('P'), "{}", rig.camera.dialogue);
    assert_eq!(rig.stream.status().state, StreamState::Idle);
}

#[test]
fn a_backend_that_is_always_pulled_plays_without_readers() {
    let mut options = options();
    options.pull_always = true;
    let mut rig = Rig::new(options, Camera::default());
    rig.run(ms(100));
    assert_eq!((dialogue(&rig).as_str(), rig.camera.is_playing), ("DSSP", true));
    for seq in 0..50 {
        rig.send(&[(VIDEO, Packet::new(seq, u32::from(seq) * 3_600))]);
        rig.run(ms(40));
    }
    rig.play(1);
    rig.send(&[(VIDEO, Packet::key(50, 180_000))]);
    rig.leave(1);
    rig.run(secs(5));
    assert_eq!((dialogue(&rig).as_str(), rig.camera.is_playing), ("DSSP", true));
    // And it is found again without anyone asking.
    rig.close();
    rig.run(secs(5));
    assert_eq!((dialogue(&rig).as_str(), rig.ends()), ("DSSPDSSP", 0));
    rig.shutdown();
    rig.run(secs(1));
    assert!(rig.stream.is_finished());
}

#[test]
fn tracks_are_asked_for_as_readers_want_them() {
    let mut options = options();
    options.backend.tracks = TrackChoice::Requested;
    let mut rig = Rig::described(options, Camera::default());
    assert_eq!(dialogue(&rig), "D");
    let ticket = rig.ask(1, set_up(0));
    rig.run(ms(50));
    assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
    assert_eq!(dialogue(&rig), "DS", "the other is nobody's");
    let video: TrackMask = [TrackId(0)].into_iter().collect();
    let ticket = rig.ask(1, play_of(video));
    rig.run(ms(50));
    rig.welcome(ticket);
    rig.join();
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    rig.run(ms(40));
    assert_eq!(dialogue(&rig), "DSP");

    // A second reader wants sound too; the first one's pictures go on as they are.
    let tickets = [rig.ask(2, set_up(0)), rig.ask(2, set_up(1))];
    rig.run(ms(50));
    for ticket in tickets {
        assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })), "{}", dialogue(&rig));
    }
    let ticket = rig.ask(2, play());
    rig.run(ms(50));
    assert_eq!(rig.welcome(ticket).tracks.len(), 2);
    assert_eq!(dialogue(&rig), "DSPSP");
    rig.send(&[(VIDEO, Packet::new(2, 3_601)), (AUDIO, Packet::audio(1, 1))]);
    let got = rig.got(VIDEO);
    assert_eq!(got[1].timestamp.ahead_of(got[0].timestamp), 3_600, "it was not fitted anew");
    assert_eq!(rig.got(AUDIO).len(), 1);
    // A third one asks for what is there.
    let ticket = rig.ask(3, set_up(0));
    assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })));
}

#[test]
fn a_track_that_one_reader_lacks_is_added_before_anything_plays() {
    let mut options = options();
    options.backend.tracks = TrackChoice::Requested;
    let mut rig = Rig::described(options, Camera::default());
    for (reader, track) in [(1, 0), (2, 1), (3, 0), (3, 1)] {
        let ticket = rig.ask(reader, set_up(track));
        rig.run(ms(50));
        assert!(matches!(rig.reply(ticket), Some(Reply::SetUp { .. })), "{reader} {track}");
    }
    assert_eq!(dialogue(&rig), "DSS");
}
