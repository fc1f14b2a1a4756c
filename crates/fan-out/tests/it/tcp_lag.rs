//! What becomes of a TCP reader that does not keep up.

use std::time::Instant;

use fan_out::{Audience, AudienceEvent, CutReason, FanOutLimits, Lag, Start, TrackMask, WireBatch};

use crate::source::{AUDIO, FIRST, Source, VIDEO, both, ms, origin, report};
use crate::tcp_player::{Heard, Player, Stage, events, tcp};

fn stage() -> Stage {
    Audience::new(FanOutLimits::default(), TrackMask::of(VIDEO))
}

/// A camera with a key frame every second, 25 video batches and 10 audio batches a second.
struct Camera {
    video: Source,
    audio: Source,
    packets: usize,
}

impl Camera {
    fn new(packets: usize) -> Self {
        Self { video: Source::new(VIDEO), audio: Source::new(AUDIO), packets }
    }

    /// Publishes the time from `from` to `to` in milliseconds after `t0`.
    fn run(&mut self, stage: &mut Stage, t0: Instant, from: u64, to: u64, gop: u64) {
        for at in (from..to).step_by(20) {
            let now = t0 + ms(at);
            if at % 40 == 0 {
                let is_key = at % gop == 0;
                let batch = if is_key {
                    self.video.key(now, self.packets, 1000)
                } else {
                    self.video.batch(now, self.packets, 1000)
                };
                stage.publish(now, batch);
            }
            if at % 100 == 0 {
                stage.publish(now, self.audio.batch(now, 1, 100));
            }
        }
    }
}

fn is_contiguous(numbers: &[u64]) -> bool {
    numbers.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

#[test]
fn a_lagging_reader_sheds_video_until_a_key_frame_while_audio_goes_on() {
    let (t0, mut stage, mut camera) = (origin(), stage(), Camera::new(2));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    camera.run(&mut stage, t0, 0, 500, 1000);
    player.drain(&mut stage, t0 + ms(500));
    // It takes nothing for 1.3 s; the key frame at 1,000 is 0.8 s old then.
    camera.run(&mut stage, t0, 500, 1800, 1000);
    let now = t0 + ms(1800);
    player.drain(&mut stage, now);
    let happened = events(&mut stage);
    let [AudienceEvent::Shed { reader, behind }, AudienceEvent::Recovered { dropped, .. }] =
        happened[..]
    else {
        panic!("{happened:?}")
    };
    assert_eq!((reader, behind.age), (player.key, ms(1300)));
    assert_eq!(behind.bytes, 32 * 2000 + 13 * 100);
    // 520, 560 .. 960: twelve batches.
    assert_eq!(dropped, 24);
    assert!(is_contiguous(&player.media(AUDIO)));
    assert_eq!(player.media(AUDIO).len(), 18);
    let video = player.media(VIDEO);
    let gap = video.windows(2).position(|pair| pair[1] != pair[0] + 1).expect("a gap");
    assert_eq!(video[gap + 1], video[0] + 50, "it goes on at the key frame");
    assert_eq!(stage.stats(player.key).map(|s| (s.sheds, s.jumps, s.dropped)), Some((1, 0, 24)));
}

#[test]
fn shed_video_does_not_go_on_at_a_key_frame_that_would_be_shed_again() {
    let (t0, mut stage, mut camera) = (origin(), stage(), Camera::new(2));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    camera.run(&mut stage, t0, 0, 1500, 200);
    let now = t0 + ms(1500);
    player.drain(&mut stage, now);
    // The oldest key frame less than a second old is that of 600.
    assert_eq!(player.media(VIDEO).len(), 2 * 23);
    assert_eq!(player.media(AUDIO).len(), 15);
}

#[test]
fn reports_survive_shedding() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 2, 1000));
    stage.publish(t0, WireBatch::report(VIDEO, &report(VIDEO, "bye"), t0));
    player.drain(&mut stage, t0 + ms(1500));
    assert_eq!(player.heard, [Heard::Report(1, report(VIDEO, "bye"))]);
}

#[test]
fn many_bytes_are_lag_only_after_a_grace() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    for index in 0..80 {
        stage.publish(
            t0,
            if index == 0 { video.key(t0, 40, 1000) } else { video.batch(t0, 40, 1000) },
        );
    }
    let lag = stage.lag(t0 + ms(249), player.key).expect("a TCP reader");
    assert_eq!(lag, Lag { bytes: 3_200_000, age: ms(249) });
    assert_eq!(stage.lagging(t0 + ms(249)).count(), 0);
    player.drain(&mut stage, t0 + ms(249));
    assert_eq!(player.media(VIDEO).len(), 3200, "a key frame just published is not lag");
    assert_eq!(events(&mut stage), []);
}

#[test]
fn a_reader_too_many_bytes_behind_jumps() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 40, 1000));
    for _ in 0..60 {
        stage.publish(t0, video.batch(t0, 40, 1000));
    }
    stage.publish(t0, video.key(t0, 40, 1000));
    let now = t0 + ms(300);
    assert_eq!(stage.lagging(now).map(|(key, _)| key).collect::<Vec<_>>(), [player.key]);
    player.drain(&mut stage, now);
    assert_eq!(player.media(VIDEO).len(), 40);
    let happened = events(&mut stage);
    assert!(
        matches!(happened[..], [AudienceEvent::Jumped { dropped: 2440, to_key: true, .. }]),
        "{happened:?}"
    );
}

#[test]
fn bytes_in_the_kernel_count_as_lag() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 1, 1000));
    stage.note_kernel_bytes(player.key, 3 << 20);
    player.drain(&mut stage, t0 + ms(300));
    assert!(matches!(events(&mut stage)[..], [AudienceEvent::Jumped { to_key: false, .. }]));
}

#[test]
fn a_reader_stopped_for_20_seconds_goes_on_with_the_newest_key_frame() {
    let (t0, mut stage, mut camera) = (origin(), stage(), Camera::new(3));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    camera.run(&mut stage, t0, 0, 100, 4000);
    player.write(&mut stage, t0 + ms(100), 1700);
    camera.run(&mut stage, t0, 100, 23_000, 4000);
    player.drain(&mut stage, t0 + ms(23_000));
    let happened = events(&mut stage);
    assert!(matches!(happened[..], [AudienceEvent::Jumped { to_key: true, .. }]), "{happened:?}");
    let video = player.media(VIDEO);
    // Frames: two before it stopped (one of them cut and finished), then the GOP from 20,000 on.
    assert_eq!(video[2] - video[0], 20_000 / 40 * 3);
    assert!(is_contiguous(&video[2..]) && video.len() == 2 + 75 * 3);
    let published = camera.video.next.0 + camera.audio.next.0 - 2 * FIRST.0;
    let missing = published - (video.len() + player.media(AUDIO).len()) as u64;
    assert_eq!(stage.stats(player.key).map(|stats| stats.dropped), Some(missing));
}

#[test]
fn a_reader_behind_with_no_key_frame_ahead_goes_on_live_and_waits_for_one() {
    let (t0, mut stage, mut camera) = (origin(), stage(), Camera::new(3));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    camera.run(&mut stage, t0, 0, 4100, 10_000);
    player.drain(&mut stage, t0 + ms(4100));
    assert_eq!(player.heard, []);
    camera.run(&mut stage, t0, 4100, 10_100, 10_000);
    let now = t0 + ms(10_100);
    let happened = events(&mut stage);
    assert!(matches!(happened[..], [AudienceEvent::Jumped { to_key: false, .. }]), "{happened:?}");
    player.drain(&mut stage, now);
    assert_eq!(player.media(VIDEO).len(), 9, "the key frame of 10,000 and what follows");
}

#[test]
fn a_reader_without_video_jumps_to_live_and_goes_on_at_once() {
    let (t0, mut stage, mut audio) = (origin(), stage(), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(TrackMask::of(AUDIO), Start::KeyFrame));
    for index in 0..30 {
        let at = t0 + ms(100 * index);
        stage.publish(at, audio.batch(at, 1, 100));
    }
    let now = t0 + ms(3000);
    player.drain(&mut stage, now);
    assert_eq!(player.media(AUDIO).len(), 0);
    stage.publish(now, audio.batch(now, 1, 100));
    player.drain(&mut stage, now);
    assert_eq!(player.media(AUDIO).len(), 1);
    assert_eq!(stage.stats(player.key).map(|s| (s.jumps, s.sheds, s.dropped)), Some((1, 0, 30)));
}

/// A reader that has seen one packet, then `lost` numbers do not exist, then a key frame comes.
fn after_a_hole(lost: u64) -> (Player, Vec<AudienceEvent>) {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    stage.publish(t0, video.key(t0, 1, 100));
    player.drain(&mut stage, t0);
    video.lose(lost);
    stage.publish(t0, video.key(t0, 2, 100));
    player.drain(&mut stage, t0);
    (player, events(&mut stage))
}

#[test]
fn a_long_jump_of_numbers_is_preceded_by_one_padding_packet() {
    let (player, happened) = after_a_hole(2_899);
    assert_eq!((player.heard.len(), happened.len()), (3, 0), "a jump of 2,900 needs none");
    for lost in [2_900, 15_999] {
        let (player, happened) = after_a_hole(lost);
        assert_eq!(happened, []);
        let Heard::Media(0, VIDEO, key) = player.heard[2] else { panic!("{:?}", player.heard) };
        assert_eq!(player.heard[1], Heard::Padding(0, key.seq().plus(u16::MAX)));
        assert_eq!(player.heard.len(), 4);
    }
}

#[test]
fn a_reader_is_cut_rather_than_given_a_jump_it_cannot_survive() {
    let (player, happened) = after_a_hole(16_000);
    assert_eq!(player.heard.len(), 1);
    assert!(matches!(
        happened[..],
        [AudienceEvent::Cut { reason: CutReason::JumpTooLong(16_001), .. }]
    ));
}

#[test]
fn a_long_jump_while_catching_up_is_padded_too() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    stage.publish(t0, video.key(t0, 1, 100));
    player.drain(&mut stage, t0);
    stage.clear();
    video.lose(5_000);
    let key = video.next;
    stage.publish(t0, video.batch(t0, 2, 100));
    player.drain(&mut stage, t0);
    video.note_key(key);
    stage.publish(t0, video.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.heard.len(), 5);
    assert!(matches!(player.heard[1], Heard::Padding(..)));
    assert_eq!(player.media(VIDEO)[1..], [key.0, key.0 + 1, key.0 + 2]);
}

/// Lets the timer run from `from` to `to` seconds after `t0`, publishing every second.
fn tick(stage: &mut Stage, audio: &mut Source, t0: Instant, from: u64, to: u64) {
    for second in from..to {
        let now = t0 + ms(1000 * second);
        stage.publish(now, audio.batch(now, 1, 100));
        while let Some(due) = stage.poll_timeout().filter(|due| *due < now + ms(1000)) {
            stage.handle_timeout(due);
        }
    }
}

fn is_cut(stage: &mut Stage) -> bool {
    events(stage)
        .iter()
        .any(|event| matches!(event, AudienceEvent::Cut { reason: CutReason::Stalled, .. }))
}

#[test]
fn a_reader_that_takes_nothing_for_65_seconds_is_cut() {
    let (t0, mut stage, mut audio) = (origin(), stage(), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    tick(&mut stage, &mut audio, t0, 0, 65);
    assert!(!is_cut(&mut stage));
    tick(&mut stage, &mut audio, t0, 65, 67);
    assert!(is_cut(&mut stage));
    player.drain(&mut stage, t0 + ms(67_000));
    assert_eq!(player.heard, [], "a reader that was cut gets nothing more");
    tick(&mut stage, &mut audio, t0, 67, 200);
    assert!(!is_cut(&mut stage), "once");
}

#[test]
fn a_reader_whose_video_is_shed_away_is_cut_all_the_same() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    let mut cut_after = None;
    for step in 0..800 {
        let now = t0 + ms(100 * step);
        stage.publish(
            now,
            if step % 20 == 0 { video.key(now, 1, 100) } else { video.batch(now, 1, 100) },
        );
        player.write(&mut stage, now, 0);
        stage.handle_timeout(now);
        if is_cut(&mut stage) {
            cut_after = cut_after.or(Some(step));
        }
    }
    assert!(matches!(cut_after, Some(650..=655)), "{cut_after:?}");
}

#[test]
fn a_reader_that_takes_a_byte_is_not_cut() {
    let (t0, mut stage, mut audio) = (origin(), stage(), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    tick(&mut stage, &mut audio, t0, 0, 60);
    assert_eq!(player.write(&mut stage, t0 + ms(60_000), 1), 0, "it jumped: nothing to send");
    tick(&mut stage, &mut audio, t0, 60, 62);
    assert_eq!(player.write(&mut stage, t0 + ms(61_500), 1), 1);
    tick(&mut stage, &mut audio, t0, 62, 120);
    assert!(!is_cut(&mut stage));
}

#[test]
fn a_reader_of_a_silent_stream_is_not_cut() {
    let (t0, mut stage, mut audio) = (origin(), stage(), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, audio.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    stage.handle_timeout(t0 + ms(1_000));
    assert_eq!(stage.poll_timeout(), None, "nobody to look at");
    let t1 = t0 + ms(3_600_000);
    stage.publish(t1, audio.batch(t1, 1, 100));
    stage.handle_timeout(t1 + ms(1_000));
    assert!(!is_cut(&mut stage));
    player.drain(&mut stage, t1 + ms(1_000));
    assert_eq!(player.media(AUDIO).len(), 2);
}
