//! What the log keeps, and what goes.

use fan_out::{Audience, EntryKind, FanOutLimits, Start, TrackMask, WireBatch};

use crate::source::{AUDIO, Source, VIDEO, both, ms, origin, report};
use crate::tcp_player::{Player, Stage, tcp};
use crate::udp_players::{Net, udp};

fn stage(limits: FanOutLimits) -> Stage {
    Audience::new(limits, TrackMask::of(VIDEO))
}

/// How many batches of `bytes` each, and what goes with them, the log holds, more or less.
fn held(stage: &Stage, bytes: usize) -> usize {
    stage.log_bytes() / (bytes + 200)
}

#[test]
fn from_the_last_key_frame_on_everything_stays_even_if_all_have_passed_it() {
    let (t0, mut stage, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    stage.publish(t0, video.key(t0, 10, 1000));
    for index in 1..50 {
        let at = t0 + ms(200 * index);
        stage.publish(at, video.batch(at, 10, 1000));
    }
    assert_eq!(held(&stage, 10_000), 50);
    assert_eq!(stage.log_span(), ms(9_800));
}

#[test]
fn what_is_before_the_last_key_frame_goes_once_every_cursor_has_passed_it() {
    let (t0, mut stage, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    let mut quick = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    let mut slow = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    for _ in 0..5 {
        stage.publish(t0, video.batch(t0, 10, 1000));
    }
    quick.drain(&mut stage, t0);
    stage.publish(t0, video.key(t0, 10, 1000));
    quick.drain(&mut stage, t0);
    stage.publish(t0, video.batch(t0, 10, 1000));
    assert!(stage.log_bytes() > 70_000, "the slow one needs it");
    slow.drain(&mut stage, t0);
    stage.publish(t0, video.batch(t0, 10, 1000));
    quick.drain(&mut stage, t0);
    assert!(held(&stage, 10_000) <= 2 * 3, "both forms of three batches");
    assert_eq!(slow.media(VIDEO).len(), 70);
}

#[test]
fn what_is_before_the_last_key_frame_goes_when_it_is_older_than_the_lag_allowed() {
    let limits = FanOutLimits { instant_min_age: ms(0), ..FanOutLimits::default() };
    let (t0, mut stage, mut video) = (origin(), stage(limits), Source::new(VIDEO));
    let _stopped = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 10, 1000));
    let t1 = t0 + ms(1000);
    stage.publish(t1, video.key(t1, 10, 1000));
    stage.publish(t0 + ms(2000), video.batch(t0 + ms(2000), 1, 24));
    assert_eq!(held(&stage, 10_000), 2);
    let t2 = t0 + ms(2001);
    stage.publish(t2, video.batch(t2, 1, 24));
    assert_eq!(held(&stage, 10_000), 1);
}

#[test]
fn without_video_everything_goes_that_all_have_passed_or_that_is_old() {
    let t0 = origin();
    let mut stage: Stage = Audience::new(FanOutLimits::default(), TrackMask::EMPTY);
    let mut audio = Source::new(AUDIO);
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    for _ in 0..10 {
        stage.publish(t0, audio.batch(t0, 10, 1000));
    }
    assert_eq!(held(&stage, 10_000), 10);
    player.drain(&mut stage, t0);
    stage.publish(t0, audio.batch(t0, 10, 1000));
    assert_eq!(held(&stage, 10_000), 1);
    let t1 = t0 + ms(2001);
    stage.publish(t1, audio.batch(t1, 1, 24));
    assert_eq!(held(&stage, 10_000), 0);
}

#[test]
fn without_readers_and_without_video_nothing_is_kept() {
    let t0 = origin();
    let mut stage: Stage = Audience::new(FanOutLimits::default(), TrackMask::EMPTY);
    stage.publish(t0, Source::new(AUDIO).batch(t0, 10, 1000));
    assert_eq!(stage.log_bytes(), 0);
}

#[test]
fn before_the_first_key_frame_what_is_young_stays_for_a_unit_known_late() {
    let (t0, mut stage, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    let key = video.next;
    stage.publish(t0, video.batch(t0, 10, 1000));
    assert_eq!(held(&stage, 10_000), 1);
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    let t1 = t0 + ms(50);
    video.note_key(key);
    stage.publish(t1, video.batch(t1, 10, 1000));
    player.drain(&mut stage, t1);
    assert_eq!(player.media(VIDEO).len(), 20);
}

#[test]
fn bytes_are_bounded_whatever_is_still_needed() {
    let limits = FanOutLimits { log_max_bytes: 100_000, ..FanOutLimits::default() };
    let (t0, mut stage, mut video) = (origin(), stage(limits), Source::new(VIDEO));
    let _stopped = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 10, 1000));
    for _ in 0..100 {
        stage.publish(t0, video.batch(t0, 10, 1000));
        assert!(stage.log_bytes() <= 100_000);
    }
}

#[test]
fn the_interleaved_form_counts_against_the_bound() {
    let limits = FanOutLimits { log_max_bytes: 100_000, ..FanOutLimits::default() };
    let (t0, mut stage, mut video) = (origin(), stage(limits), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 10, 1000));
    for _ in 0..20 {
        stage.publish(t0, video.batch(t0, 10, 1000));
        player.drain(&mut stage, t0);
    }
    stage.publish(t0, video.batch(t0, 10, 1000));
    assert!((80_000..=100_000).contains(&stage.log_bytes()), "{}", stage.log_bytes());
}

#[test]
fn a_form_is_counted_from_when_somebody_asks_for_it_until_its_batch_is_gone() {
    let (t0, mut stage, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.join(t0, udp(0, 0, both(), Start::Live)).expect("room");
    stage.publish(t0, video.key(t0, 10, 1000));
    stage.publish(t0, video.batch(t0, 10, 1000));
    let built = stage.log_bytes();
    assert!((20_040..21_000).contains(&built), "one of each form: {built}");
    player.drain(&mut stage, t0);
    assert_eq!(stage.log_bytes(), built + 10_040);
    Net::default().drain(&mut stage, t0, 0);
    assert_eq!(stage.log_bytes(), built + 20_040);
    let t1 = t0 + ms(20_000);
    stage.publish(t1, video.batch(t1, 1, 1000));
    assert!(stage.log_bytes() < 1_500, "{}", stage.log_bytes());
}

#[test]
fn media_is_kept_for_its_longest_age_and_silence_does_not_age_it() {
    let (t0, mut stage, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    stage.publish(t0, video.key(t0, 10, 1000));
    for index in 1..=30 {
        let at = t0 + ms(2_000 * index);
        stage.publish(at, WireBatch::report(VIDEO, &report(VIDEO, "sr"), at));
    }
    assert_eq!(stage.log_span(), ms(0));
    assert!(held(&stage, 10_000) >= 1, "a held stream keeps its last picture");
    let at = t0 + ms(12_001);
    stage.publish(at, video.batch(at, 1, 24));
    assert_eq!(held(&stage, 10_000), 0, "the key frame is too old now, reports behind it");
}

#[test]
fn reports_of_a_stream_held_for_hours_are_bounded() {
    let (t0, mut stage, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    stage.publish(t0, video.key(t0, 1, 1000));
    for index in 0..10_000 {
        let at = t0 + ms(2_000 * index);
        let entry = WireBatch::report(VIDEO, &report(VIDEO, "sr"), at);
        assert_eq!(entry.kind(), EntryKind::Report);
        stage.publish(at, entry);
    }
    assert!(stage.log_bytes() < 4_096 * 400);
}

#[test]
fn a_budget_over_many_logs_can_shrink_one() {
    let (t0, mut stage, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 10, 1000));
    let t1 = t0 + ms(40);
    stage.publish(t1, video.batch(t1, 10, 1000));
    stage.forget_before(t1);
    assert_eq!(held(&stage, 10_000), 1);
    // The reader has lost the key frame: it goes on live and waits for the next.
    player.drain(&mut stage, t0);
    assert_eq!(player.media(VIDEO), [0_u64; 0]);
    let key = video.next.0;
    stage.publish(t0, video.key(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.media(VIDEO), [key]);
    assert_eq!(stage.stats(player.key).map(|stats| (stats.jumps, stats.dropped)), Some((1, 20)));
    stage.forget_before(t1 + ms(1));
    assert_eq!(stage.log_bytes(), 0);
}

#[test]
fn a_second_log_is_given_everything_from_the_key_unit_on_even_if_it_was_known_late() {
    let (t0, mut first, mut video) = (origin(), stage(FanOutLimits::default()), Source::new(VIDEO));
    let mut audio = Source::new(AUDIO);
    let given = |stage: &Stage| stage.log_from_keys().cloned().collect::<Vec<_>>();
    assert_eq!(given(&first).len(), 0);
    // Nothing is known to be key yet: the unit that is arriving may be.
    first.publish(t0, video.batch(t0, 2, 100));
    assert_eq!(given(&first).len(), 1);
    let begins = video.next;
    first.publish(t0, video.batch(t0, 2, 100));
    first.publish(t0, audio.batch(t0, 1, 100));
    video.note_key(begins);
    first.publish(t0, video.batch(t0, 2, 100));
    let batches = given(&first);
    let numbers: Vec<_> = batches.iter().map(|batch| batch.first_ext_seq()).collect();
    assert_eq!(numbers, [Some(begins), Some(crate::source::FIRST), Some(begins.plus(2))]);
    // The second log finds the same key unit.
    let mut second = stage(FanOutLimits::default());
    batches.into_iter().for_each(|batch| second.publish(t0, batch));
    assert_eq!(given(&second).len(), 3);
    // Both keep it for as long as the next one is young.
    let next = video.key(t0, 1, 100);
    first.publish(t0, next.clone());
    second.publish(t0, next);
    assert_eq!((given(&first).len(), given(&second).len()), (4, 4));
    let t1 = t0 + ms(1200);
    let next = video.batch(t1, 1, 100);
    first.publish(t1, next.clone());
    second.publish(t1, next);
    assert_eq!((given(&first).len(), given(&second).len()), (2, 2));
}
