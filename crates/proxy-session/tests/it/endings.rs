//! How readers end with their backend, and the proxy with both.

use proxy_session::{Ask, Output, Reply, StreamEvent, StreamState};

use crate::camera::Camera;
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, closing, ms, options, play, secs, set_up};

#[test]
fn a_lost_backend_ends_all_readers_and_leaves_nothing_behind() {
    let mut rig = Rig::playing(closing(options()));
    rig.prepare(2);
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    rig.close();
    assert_eq!((rig.ends(), rig.clears(), rig.readers()), (1, 1, (0, 0)));
    assert_eq!(rig.stream.status().state, StreamState::Connecting);
    assert!(rig.events().iter().any(|event| matches!(event, StreamEvent::Lost { .. })));
    // Their sessions end one after the other.
    rig.pause(1);
    rig.leave(1);
    rig.leave(2);
    rig.run(secs(20));
    assert_eq!(rig.camera.dialogue.replace('O', ""), "DSSPD");
    assert_eq!((rig.ends(), rig.reports(VIDEO).len(), rig.reported.len()), (1, 0, 0));
    rig.play(3);
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    assert_eq!(rig.got(VIDEO).len(), 2);
}

#[test]
fn what_waits_when_the_backend_is_lost_is_refused() {
    let mut rig = Rig::described(closing(options()), Camera::default());
    rig.prepare(1);
    let waiting = [rig.ask(1, play()), rig.ask(2, Ask::Describe)];
    rig.close();
    assert_eq!(rig.refused(waiting[0]), (503, true));
    assert!(matches!(rig.reply(waiting[1]), Some(Reply::Described(_))));
    assert_eq!((rig.readers(), rig.ends()), ((0, 0), 1));
}

#[test]
fn what_was_kept_for_a_reader_is_gone_with_its_backend() {
    let mut rig = Rig::described(closing(options()), Camera::default());
    rig.prepare(1);
    rig.ask(1, play());
    rig.run(ms(50));
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    rig.close();
    rig.join();
    rig.run(secs(20));
    assert!(rig.got(VIDEO).is_empty());
}

#[test]
fn a_backend_that_falls_silent_is_given_up_after_the_time_allowed() {
    let mut rig = Rig::playing(closing(options()));
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    for seq in 0..90 {
        rig.send(&[(AUDIO, Packet::audio(seq, u32::from(seq) * 800))]);
        rig.run(ms(100));
    }
    assert_eq!(rig.ends(), 0);
    rig.run(secs(1));
    assert_eq!(rig.ends(), 1, "audio alone does not make it alive");
    assert!(rig.camera.dialogue.contains("PT"), "{}", rig.camera.dialogue);
}

#[test]
fn one_track_that_ends_ends_nobody() {
    let mut rig = Rig::playing(options());
    rig.send(&[(VIDEO, Packet::key(1, 1)), (AUDIO, Packet::audio(1, 1))]);
    let mut bye = vec![b'$', 3, 0, 16, 0x80, 201, 0, 1, 0, 0, 0, 8, 0x81, 203, 0, 1];
    bye.extend_from_slice(&[0, 0, 0, 8]);
    rig.bytes(&bye);
    assert!(
        rig.events().iter().any(
            |event| matches!(event, StreamEvent::TrackEnded { track } if track.index() == AUDIO)
        )
    );
    assert_eq!((rig.ends(), rig.readers()), (0, (1, 1)));
    // Readers hear the goodbye, and no report of that track after it.
    assert_eq!(rig.reports(AUDIO).len(), 0);
    rig.run(ms(500));
    let reports = rig.reports(AUDIO).len();
    assert_eq!(reports, 1);
    rig.run(secs(6));
    assert_eq!(rig.reports(AUDIO).len(), reports);
    rig.send(&[(AUDIO, Packet::audio(2, 161))]);
    rig.run(secs(4));
    assert!(rig.reports(AUDIO).len() > reports, "it came back, and so did its reports");
}

#[test]
fn reports_that_cannot_be_read_are_told_once() {
    let mut rig = Rig::playing(options());
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    // The length says more than there is.
    let bad = [b'$', 1, 0, 8, 0x80, 200, 0, 6, 0, 0, 0, 8];
    for _ in 0..3 {
        rig.bytes(&bad);
    }
    let is_bad = |event: &&&StreamEvent| matches!(event, StreamEvent::BadReport { .. });
    assert_eq!(rig.events().iter().filter(is_bad).count(), 1);
}

#[test]
fn at_the_end_the_backend_is_told_and_nobody_waits() {
    let mut rig = Rig::playing(options());
    rig.send(&[(VIDEO, Packet::key(1, 1))]);
    rig.shutdown();
    let late = rig.ask(2, set_up(0));
    assert_eq!(rig.refused(late), (503, false));
    rig.run(secs(1));
    assert!(rig.stream.is_finished());
    assert_eq!(rig.camera.dialogue, "DSSPT");

    let mut rig = Rig::new(options(), Camera::default());
    let waiting = rig.ask(1, Ask::Describe);
    rig.shutdown();
    assert_eq!(rig.refused(waiting).0, 503);
    rig.run(secs(1));
    assert!(rig.stream.is_finished());
    let bytes = rig.count(|output| matches!(output, Output::Publish(_)));
    assert_eq!(bytes, 0);
}
