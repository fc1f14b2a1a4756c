//! Streams that are to be had at several places.

use std::time::Duration;

use backend_client::Source;
use proxy_session::{Output, StreamOptions};
use rtsp_proto::url::RtspUrl;

use crate::camera::{Act, Camera, SDP};
use crate::media::{AUDIO, Packet, VIDEO};
use crate::rig::{Rig, ms, options, secs};

fn two() -> StreamOptions {
    let mut options = options();
    let url = RtspUrl::parse("rtsp://other/live").expect("a URL");
    options.backend.alternates = vec![Source { url, credentials: None }];
    options
}

/// Pictures of a session whose numbers and clocks begin anywhere.
fn send(rig: &mut Rig, session: u16, count: u16) {
    for place in 0..count {
        let (seq, time) = (
            session.wrapping_mul(10_000).wrapping_add(place),
            u32::from(session) * 777 + u32::from(place),
        );
        let ssrc = u32::from(session);
        let video = match place % 25 {
            0 => Packet::key(seq, time * 3_600),
            _ => Packet::new(seq, time * 3_600),
        };
        let audio = Packet::audio(seq, time * 320).from(100 + ssrc);
        rig.send(&[(VIDEO, video.from(ssrc)), (AUDIO, audio)]);
        rig.run(ms(40));
    }
}

fn probes(rig: &Rig) -> Vec<Duration> {
    let probe = |(at, output): &(Duration, Output)| match output {
        Output::Probe { host, port } => {
            assert_eq!((host.as_str(), *port), ("cam", 554));
            Some(*at)
        }
        _ => None,
    };
    rig.said.iter().filter_map(probe).collect()
}

/// A stream that plays from the second source, and has done so for a second.
fn second(options: StreamOptions) -> Rig {
    let mut rig = Rig::new(options, Camera { missing: "cam", ..Camera::default() });
    rig.run(secs(2));
    rig.play(1);
    send(&mut rig, 1, 25);
    assert_eq!((rig.host.as_str(), probes(&rig).len()), ("other", 0));
    rig
}

#[test]
fn the_next_source_plays_and_the_first_again_when_somebody_answers_there() {
    let mut rig = second(two());
    for answered in 1..3 {
        send(&mut rig, 1 + answered, 250);
        assert_eq!(probes(&rig).len(), usize::from(answered), "{:?}", rig.elapsed());
        rig.probed(false);
    }
    assert_eq!((rig.camera.count('T'), rig.ends()), (0, 0));
    send(&mut rig, 4, 250);
    rig.camera.missing = "";
    let before = rig.got(VIDEO).len();
    rig.probed(true);
    rig.run(secs(2));
    assert_eq!((rig.host.as_str(), rig.camera.is_playing), ("cam", true));
    send(&mut rig, 6, 25);
    let got = rig.got(VIDEO);
    assert_eq!((got.len() - before, rig.ends(), rig.clears()), (25, 0, 0));
    let pair = &got[before - 1..=before];
    assert_eq!(pair[1].seq, pair[0].seq.next());
    assert!(pair[1].timestamp.ahead_of(pair[0].timestamp) >= 90_000);
    let count = probes(&rig).len();
    rig.run(secs(8));
    assert_eq!(probes(&rig).len(), count, "it is there already");
}

#[test]
fn a_first_source_that_answers_and_does_not_play_is_left_in_peace_ever_longer() {
    let mut rig = second(two());
    rig.camera.set("DESCRIBE", Act::Obey);
    for round in 0..4_u16 {
        let wait = 250 << round;
        for _ in 0..wait / 25 {
            send(&mut rig, 2 + round, 25);
        }
        assert_eq!(probes(&rig).len(), 1 + usize::from(round), "after {:?}", rig.elapsed());
        // Somebody answers the look, and nobody the attempt.
        rig.probed(true);
        rig.run(ms(1_500));
        assert_eq!((rig.host.as_str(), rig.camera.is_playing), ("other", true), "{round}");
        assert_eq!(rig.ends(), 0);
        send(&mut rig, 7, 1);
    }
}

#[test]
fn a_source_with_another_codec_ends_the_readers_of_the_first() {
    let mut rig = Rig::described(two(), Camera::default());
    rig.play(1);
    send(&mut rig, 1, 25);
    rig.camera.missing = "cam";
    rig.camera.sdp = SDP.replace("H264", "H265");
    rig.close();
    rig.run(secs(5));
    assert_eq!((rig.host.as_str(), rig.ends()), ("other", 1));
}

#[test]
fn who_does_not_want_to_return_stays_where_it_plays() {
    let mut options = two();
    options.return_to_first = false;
    let mut rig = second(options);
    for session in 2..6 {
        send(&mut rig, session, 250);
    }
    assert!(probes(&rig).is_empty());
}
