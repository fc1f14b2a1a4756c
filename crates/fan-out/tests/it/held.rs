//! Readers while nothing is published but reports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fan_out::{Audience, FanOutLimits, Join, Start, TrackMask, WireBatch};
use rtp_rtcp::RtpTime;

use crate::source::{AUDIO, FIRST, Source, VIDEO, both, ms, origin, report};
use crate::tcp_player::{Player, Stage, events, tcp};
use crate::udp_players::{Net, udp};

const SECOND: Duration = Duration::from_secs(1);

fn stage() -> Stage {
    Audience::new(FanOutLimits::default(), TrackMask::of(VIDEO))
}

fn word(now: Instant, name: &str) -> Arc<WireBatch> {
    WireBatch::report(VIDEO, &report(VIDEO, name), now)
}

/// A stream of two seconds, with a key frame a second, that then fell silent for 20 s.
fn silent() -> (Instant, Stage, Source) {
    let (mut now, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    for picture in 0..50 {
        let batch =
            if picture % 25 == 0 { video.key(now, 3, 900) } else { video.batch(now, 3, 900) };
        stage.publish(now, batch);
        now += ms(40);
    }
    for second in 0..20 {
        if second % 2 == 0 {
            stage.publish(now, word(now, "sr"));
        }
        stage.handle_timeout(now);
        now += SECOND;
    }
    (now, stage, video)
}

/// What is published when the source is there again: times go on from the present.
fn check(begins: u64, video: &Source, present: RtpTime, got: &[(u64, RtpTime)]) {
    let expected: Vec<u64> = (begins..video.next.0).collect();
    assert_eq!(got.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), expected);
    // The last of it is the present, all of it a moment before; nothing goes further back than it
    // did.
    let newest = got.iter().map(|(_, at)| present.ahead_of(*at)).min();
    assert_eq!(newest, Some(0));
    let oldest = got.iter().map(|(_, at)| present.ahead_of(*at)).max();
    assert!(oldest.is_some_and(|ticks| ticks > 0 && ticks < 60 * 90), "{oldest:?}");
}

#[test]
fn who_joins_a_stream_whose_backend_is_away_is_shown_its_last_pictures_as_the_present() {
    // The last key frame was less than 1.2 s old as media ended.
    let begins = FIRST.0;
    let present = RtpTime(7_000_000);
    for start in [Start::Instant, Start::KeyFrame] {
        let (now, mut stage, video) = silent();
        let mut player = {
            let join = tcp(both(), start);
            Player::join_held(&mut stage, now, join, &[(VIDEO, present)])
        };
        player.drain(&mut stage, now);
        let timed: Vec<_> = player.timed(VIDEO).iter().map(|(seq, at)| (seq.0, *at)).collect();
        let mut net = Net::default();
        let join = udp(5, 0, both(), start);
        assert!(stage.join_held(now, join, &[(VIDEO, present)]).is_ok());
        net.drain(&mut stage, now, 0);
        let mut later = now;
        while let Some(due) = stage.poll_timeout().filter(|due| *due < now + SECOND) {
            later = later.max(due);
            stage.handle_timeout(later);
            net.drain(&mut stage, later, 0);
        }
        let over_udp: Vec<_> = net.timed(5, VIDEO).iter().map(|(seq, at)| (seq.0, *at)).collect();
        if start == Start::Instant {
            check(begins, &video, present, &timed);
            check(begins, &video, present, &over_udp);
        } else {
            assert!(timed.is_empty() && over_udp.is_empty());
        }
        assert!(events(&mut stage).is_empty());
    }
}

#[test]
fn a_slow_reader_of_old_pictures_is_not_one_that_lags() {
    let (mut now, mut stage, _) = silent();
    let join = tcp(both(), Start::Instant);
    let mut player = Player::join_held(&mut stage, now, join, &[(VIDEO, RtpTime(7_000_000))]);
    // A hundredth of a second each, until all has come.
    for _ in 0..50 {
        player.write(&mut stage, now, 3_000);
        now += ms(10);
        stage.handle_timeout(now);
    }
    assert_eq!(player.media(VIDEO).len(), 150);
    assert!(events(&mut stage).is_empty());
}

#[test]
fn who_joins_live_begins_with_nothing_so_old() {
    let (now, mut stage, _) = silent();
    let mut player = Player::join(&mut stage, now, tcp(both(), Start::Instant));
    player.drain(&mut stage, now);
    assert!(player.media(VIDEO).is_empty());
}

#[test]
fn reports_come_to_the_port_of_media_until_media_does() {
    for start in [Start::KeyFrame, Start::Live] {
        let (mut now, mut stage, mut net) = (origin(), stage(), Net::default());
        let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
        let words = [VIDEO, AUDIO].map(|track| (track, Bytes::from(report(track, "hello"))));
        let join = Join { prologue: words.into(), ..udp(1, 0, both(), start) };
        assert!(stage.join(now, join).is_ok());
        let serve = |stage: &mut Stage, net: &mut Net, now: &mut Instant| {
            net.drain(stage, *now, 0);
            *now += SECOND;
        };
        for name in ["one", "two"] {
            stage.publish(now, word(now, name));
            serve(&mut stage, &mut net, &mut now);
        }
        stage.publish(now, audio.batch(now, 1, 100));
        // It waits for a key frame, and this is none.
        stage.publish(now, video.batch(now, 1, 100));
        stage.publish(now, word(now, "three"));
        serve(&mut stage, &mut net, &mut now);
        stage.publish(now, video.key(now, 1, 100));
        for name in ["four", "five"] {
            stage.publish(now, word(now, name));
            serve(&mut stage, &mut net, &mut now);
        }
        let all = ["hello", "one", "two", "three", "four", "five"];
        assert_eq!(net.reports(1, VIDEO), all);
        let expected: &[&str] = match start {
            Start::KeyFrame => &all[1..4],
            // It is sent what comes next, whatever that is.
            _ => &all[1..3],
        };
        assert_eq!(net.knocks(1, VIDEO), expected);
        // Sound comes at once.
        assert_eq!(net.knocks(1, AUDIO), [""; 0]);
    }
}

#[test]
fn the_port_of_media_of_many_readers_is_knocked_at_whatever_the_socket_takes() {
    let (mut now, mut stage, mut net) = (origin(), stage(), Net::default());
    let keys = crate::udp_players::with_readers(&mut stage, now, 150, Start::KeyFrame);
    stage.publish(now, word(now, "one"));
    let mut turn = 0;
    while net.send(&mut stage, now, 0, turn % 5, turn % 7 == 0).is_some() {
        turn += 1;
        assert!(turn < 2_000);
    }
    let knocked = (0..150).filter(|reader| net.knocks(*reader, VIDEO).len() == 1).count();
    let refused = (0..150).filter(|reader| net.knocks(*reader, VIDEO).is_empty()).count();
    assert_eq!((knocked + refused, knocked > 100), (150, true), "{knocked}");
    // Who left is not knocked at.
    now += SECOND;
    stage.leave(keys[7]);
    stage.publish(now, word(now, "two"));
    let mut net = Net::default();
    net.drain(&mut stage, now, 0);
    let knocked: Vec<u32> = (0..150).filter(|r| net.knocks(*r, VIDEO).len() == 1).collect();
    assert_eq!(knocked.len(), 149);
    assert!(!knocked.contains(&7));
}
