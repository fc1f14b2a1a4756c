//! Readers that give up some of their tracks and go on with the rest.

use bytes::Bytes;
use fan_out::{Audience, FanOutLimits, Join, Start, TrackMask, Transport, WireBatch};
use smallvec::smallvec;

use crate::source::{AUDIO, FIRST, Source, VIDEO, both, ms, origin, report};
use crate::tcp_player::{Heard, Player, Stage, events, tcp};
use crate::udp_players::{Net, udp, with_readers};

fn stage() -> Stage {
    Audience::new(FanOutLimits::default(), TrackMask::of(VIDEO))
}

fn numbers(from: u64, count: u64) -> Vec<u64> {
    (FIRST.0 + from..FIRST.0 + from + count).collect()
}

fn prologue() -> Vec<(fan_out::TrackId, Bytes)> {
    vec![(VIDEO, Bytes::from(report(VIDEO, "video"))), (AUDIO, Bytes::from(report(AUDIO, "audio")))]
}

#[test]
fn over_tcp_a_track_given_up_ends_at_the_next_frame_and_the_other_is_complete() {
    for room in [0, 1, 50, 104, 150, 208, 400] {
        let (t0, mut stage) = (origin(), stage());
        let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
        let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
        stage.publish(t0, video.batch(t0, 2, 100));
        stage.publish(t0, audio.batch(t0, 1, 100));
        stage.publish(t0, video.batch(t0, 2, 100));
        stage.publish(t0, WireBatch::report(VIDEO, &report(VIDEO, "sr"), t0));
        player.write(&mut stage, t0, room);
        let started = player.heard.len() + usize::from(player.is_in_the_middle());
        stage.keep_tracks(t0, player.key, TrackMask::of(AUDIO));
        stage.publish(t0, audio.batch(t0, 2, 100));
        stage.publish(t0, video.batch(t0, 1, 100));
        player.drain(&mut stage, t0);
        assert!(!player.is_in_the_middle());
        assert_eq!(player.media(AUDIO), numbers(0, 3), "{room} bytes before");
        assert_eq!(player.media(VIDEO).len(), started.min(2) + started.saturating_sub(3));
        assert!(player.heard.iter().all(|heard| matches!(heard, Heard::Media(..))));
    }
}

#[test]
fn over_tcp_a_track_kept_is_caught_up_to_its_end() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    let key = video.next;
    stage.publish(t0, video.batch(t0, 3, 100));
    stage.publish(t0, audio.batch(t0, 1, 100));
    video.note_key(key);
    stage.publish(t0, video.batch(t0, 1, 100));
    while player.media(VIDEO).is_empty() {
        player.write(&mut stage, t0, 150);
    }
    stage.keep_tracks(t0, player.key, TrackMask::of(VIDEO));
    assert_eq!(stage.lag(t0, player.key).map(|lag| lag.bytes), Some(200));
    stage.publish(t0, audio.batch(t0, 1, 100));
    stage.publish(t0, video.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.media(VIDEO), numbers(0, 5));
    assert_eq!(player.media(AUDIO).len(), 1);
}

#[test]
fn over_tcp_a_track_given_up_is_caught_up_no_further() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    let key = video.next;
    stage.publish(t0, video.batch(t0, 3, 100));
    video.note_key(key);
    stage.publish(t0, video.batch(t0, 1, 100));
    stage.publish(t0, audio.batch(t0, 2, 100));
    assert_eq!(player.write(&mut stage, t0, 104), 104);
    stage.keep_tracks(t0, player.key, TrackMask::of(AUDIO));
    player.drain(&mut stage, t0);
    assert_eq!((player.media(VIDEO), player.media(AUDIO)), (numbers(0, 1), numbers(0, 2)));
}

#[test]
fn over_tcp_what_a_reader_gave_up_is_no_lag_of_its() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 60, 1000));
    stage.publish(t0, audio.batch(t0, 1, 100));
    let t1 = t0 + ms(900);
    assert_eq!(stage.lag(t1, player.key).map(|lag| lag.bytes), Some(60_100));
    stage.keep_tracks(t1, player.key, TrackMask::of(AUDIO));
    assert_eq!(stage.lag(t1, player.key).map(|lag| lag.bytes), Some(100));
    let t2 = t0 + ms(1100);
    player.drain(&mut stage, t2);
    assert_eq!(player.media(AUDIO), numbers(0, 1));
    assert_eq!(stage.lag(t2, player.key).map(|lag| lag.bytes), Some(0));
    assert_eq!(events(&mut stage), []);
}

#[test]
fn over_tcp_numbers_of_a_kept_track_are_compared_with_its_own() {
    let limits = FanOutLimits { padding_jump: 10, ..FanOutLimits::default() };
    let mut stage: Stage = Audience::new(limits, TrackMask::of(VIDEO));
    let (t0, mut video, mut audio) = (origin(), Source::new(VIDEO), Source::new(AUDIO));
    audio.lose(5_000);
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.batch(t0, 1, 100));
    stage.publish(t0, audio.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    stage.keep_tracks(t0, player.key, TrackMask::of(AUDIO));
    stage.publish(t0, audio.batch(t0, 1, 100));
    audio.lose(20);
    stage.publish(t0, audio.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    let padding = |heard: &&Heard| matches!(heard, Heard::Padding(..));
    assert_eq!(player.heard.iter().filter(padding).count(), 1);
    assert_eq!(player.media(AUDIO).len(), 3);
}

#[test]
fn over_tcp_the_prologue_of_a_track_given_up_is_not_sent() {
    let (t0, mut stage, mut audio) = (origin(), stage(), Source::new(AUDIO));
    let join = Join {
        transport: Transport::Tcp { channels: smallvec![(VIDEO, 0, 1), (AUDIO, 6, 7)] },
        prologue: prologue(),
        ..tcp(both(), Start::Live)
    };
    let mut player = Player::join(&mut stage, t0, join);
    stage.keep_tracks(t0, player.key, TrackMask::of(AUDIO));
    stage.publish(t0, audio.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.heard[0], Heard::Report(7, report(AUDIO, "audio")));
    assert_eq!(player.heard.len(), 2);
}

#[test]
fn over_udp_a_track_given_up_ends_at_once_and_nobody_else_loses_anything() {
    for leaver in 0..6_u32 {
        for sent in 0..6 {
            let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
            let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
            let keys = with_readers(&mut stage, t0, 6, Start::Live);
            stage.publish(t0, video.batch(t0, 3, 100));
            stage.publish(t0, audio.batch(t0, 2, 100));
            stage.publish(t0, WireBatch::report(VIDEO, &report(VIDEO, "sr"), t0));
            net.send(&mut stage, t0, 0, sent, false);
            let before = net.media(leaver, VIDEO);
            stage.keep_tracks(t0, keys[leaver as usize], TrackMask::of(AUDIO));
            stage.publish(t0, video.batch(t0, 1, 100));
            net.drain(&mut stage, t0, 0);
            assert_eq!(net.media(leaver, VIDEO), before);
            assert_eq!(net.reports(leaver, VIDEO), Vec::<String>::new());
            assert!((0..6).all(|reader| net.media(reader, AUDIO) == numbers(0, 2)));
            for reader in (0..6).filter(|reader| *reader != leaver) {
                assert_eq!(net.media(reader, VIDEO), numbers(0, 4), "{leaver} after {sent}");
                assert_eq!(net.reports(reader, VIDEO), ["sr"]);
            }
        }
    }
}

#[test]
fn over_udp_a_track_given_up_is_caught_up_no_further() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let keys = with_readers(&mut stage, t0, 2, Start::KeyFrame);
    let key = video.next;
    video.push(100);
    stage.publish(t0, video.batch(t0, 2, 300));
    video.note_key(key);
    stage.publish(t0, video.batch(t0, 1, 100));
    net.send(&mut stage, t0, 0, 1, false);
    stage.keep_tracks(t0, keys[0], TrackMask::of(AUDIO));
    stage.publish(t0, audio.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert!(net.media(0, VIDEO).len() <= 1);
    assert_eq!(net.media(1, VIDEO), numbers(0, 4));
    assert!((0..2).all(|reader| net.media(reader, AUDIO) == numbers(0, 1)));
}

#[test]
fn over_udp_the_prologue_of_a_track_given_up_is_not_sent_and_holds_nobody_up() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let only_video = vec![(VIDEO, Bytes::from(report(VIDEO, "video")))];
    let first = Join { prologue: only_video, ..udp(0, 0, both(), Start::Live) };
    let second = Join { prologue: prologue(), ..udp(1, 0, both(), Start::Live) };
    let first = stage.join(t0, first).expect("there is room");
    assert!(stage.join(t0, second).is_ok());
    stage.keep_tracks(t0, first, TrackMask::of(AUDIO));
    stage.publish(t0, video.batch(t0, 1, 100));
    stage.publish(t0, audio.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!((net.media(0, VIDEO), net.reports(0, VIDEO)), (vec![], vec![]));
    assert_eq!((net.media(0, AUDIO), net.media(1, VIDEO)), (numbers(0, 1), numbers(0, 1)));
    assert_eq!(
        (net.reports(1, VIDEO), net.reports(1, AUDIO)),
        (vec!["video".into()], vec!["audio".into()])
    );
}

#[test]
fn giving_up_tracks_one_does_not_have_changes_nothing() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let mut audio = Source::new(AUDIO);
    let mut player = Player::join(&mut stage, t0, tcp(TrackMask::of(AUDIO), Start::Live));
    let key = stage.join(t0, udp(0, 0, TrackMask::of(AUDIO), Start::Live)).expect("there is room");
    stage.keep_tracks(t0, player.key, TrackMask::ALL);
    stage.keep_tracks(t0, key, TrackMask::ALL);
    assert!(stage.leave(key).is_some());
    stage.keep_tracks(t0, key, TrackMask::EMPTY);
    stage.publish(t0, audio.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.media(AUDIO), numbers(0, 1));
    assert_eq!(net.drain(&mut stage, t0, 0), 0);
}
