//! Readers over UDP with a log of their own.

use std::sync::Arc;
use std::time::Instant;

use fan_out::{FanOutLimits, Meter, Rendition, Start, TrackMask, WireBatch, WireBatchBuilder};
use rtp_rtcp::{ExtSeq, Ssrc};

use crate::source::{AUDIO, FIRST, Source, VIDEO, both, check_mapping, ms, origin, packet, time};
use crate::tcp_player::{Player, Stage, tcp};
use crate::udp_players::{Net, udp};

/// Video of a rendition: `count` packets from the number `seq` on.
fn video(at: Instant, rendition: Rendition, seq: u64, count: u64, key: bool) -> Arc<WireBatch> {
    let mut builder = WireBatchBuilder::new(VIDEO);
    builder.set_rendition(rendition);
    let size = if rendition == Rendition::Original { 8_000 } else { 1_000 };
    for seq in (seq..seq + count).map(ExtSeq) {
        let pushed = builder.push(&packet(VIDEO, seq, size), seq, time(VIDEO, seq), Ssrc(0));
        assert_eq!(pushed, fan_out::Push::Added);
    }
    if key {
        builder.note_key(ExtSeq(seq));
    }
    let batch = builder.finish(at).expect("packets");
    assert_eq!(batch.rendition(), rendition);
    batch
}

/// The numbers from `from` to before `to`.
fn numbers(from: u64, to: u64) -> Vec<u64> {
    (from..to).collect()
}

fn stage() -> Stage {
    Stage::new(FanOutLimits::default(), TrackMask::of(VIDEO))
}

#[test]
fn readers_go_on_where_they_are_with_what_is_for_them() {
    let start = origin();
    let mut stage = stage();
    let mut net = Net::default();
    let mut player = Player::join(&mut stage, start, tcp(both(), Start::KeyFrame));
    for reader in 0..2 {
        stage.join(start, udp(reader, 0, both(), Start::KeyFrame)).expect("room");
    }
    let mut source = Source::new(VIDEO);
    let mut audio = Source::new(AUDIO);
    stage.publish(start, source.key(start, 4, 1_000));
    assert!(stage.datagrams_from_keys().is_none(), "all share one log");
    // One of the readers over UDP has had two of these when the first large packet comes.
    net.send(&mut stage, start, 0, 1, false);
    let next = source.next.0;
    stage.publish(start, video(start, Rendition::Original, next, 2, false));
    stage.publish(start, video(start, Rendition::Datagrams, next, 12, false));
    stage.publish(start, audio.batch(start, 1, 100));
    net.drain(&mut stage, start, 0);
    player.drain(&mut stage, start);
    for reader in 0..2 {
        assert_eq!(net.media(reader, VIDEO), numbers(FIRST.0, next + 12));
        assert_eq!(net.media(reader, AUDIO), [FIRST.0]);
    }
    assert_eq!(player.media(VIDEO), numbers(FIRST.0, next + 2));
    assert_eq!(player.media(AUDIO), [FIRST.0]);
}

/// A key frame and ten pictures of which readers over UDP get other packets than those over TCP;
/// where numbers go on, for TCP and UDP.
fn apart(stage: &mut Stage, start: Instant) -> (u64, u64) {
    let (mut large, mut small) = (FIRST.0, FIRST.0);
    for picture in 0..10 {
        let now = start + ms(40 * picture);
        stage.publish(now, video(now, Rendition::Original, large, 3, picture == 0));
        stage.publish(now, video(now, Rendition::Datagrams, small, 9, picture == 0));
        (large, small) = (large + 3, small + 9);
    }
    (large, small)
}

#[test]
fn who_joins_at_once_begins_with_the_key_frame_of_its_own_log() {
    let start = origin();
    let mut stage = stage();
    let (large, small) = apart(&mut stage, start);
    let now = start + ms(400);
    let mut player = Player::join(&mut stage, now, tcp(both(), Start::Instant));
    stage.join(now, udp(0, 0, both(), Start::Instant)).expect("room");
    player.drain(&mut stage, now);
    let mut net = Net::default();
    net.drain(&mut stage, now, 0);
    while let Some(due) = stage.poll_timeout().filter(|due| *due < now + ms(300)) {
        stage.handle_timeout(due);
        net.drain(&mut stage, due, 0);
    }
    assert_eq!(player.media(VIDEO), numbers(FIRST.0, large));
    let timed = net.timed(0, VIDEO);
    assert_eq!(timed.iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(), numbers(FIRST.0, small));
    assert!(check_mapping(VIDEO, &timed).0 > 0, "times are compressed");
}

#[test]
fn another_audience_is_given_both_logs() {
    let start = origin();
    let mut home = stage();
    let (large, small) = apart(&mut home, start);
    let now = start + ms(400);
    let mut other = stage();
    for batch in home.log_from_keys() {
        other.publish(now, Arc::clone(batch));
    }
    other.part(now, home.datagrams_from_keys().expect("a log of its own").cloned());
    let mut player = Player::join(&mut other, now, tcp(both(), Start::Instant));
    player.drain(&mut other, now);
    assert_eq!(player.media(VIDEO), numbers(FIRST.0, large));
    other.join(now, udp(0, 0, both(), Start::Instant)).expect("room");
    let mut net = Net::default();
    net.drain(&mut other, now, 0);
    let got: Vec<u64> = net.timed(0, VIDEO).iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(got, numbers(FIRST.0, small)[..got.len()]);
    assert!(!got.is_empty());
}

#[test]
fn what_is_shared_is_held_once_and_what_is_not_goes_with_its_log() {
    let start = origin();
    let meter = Arc::new(Meter::default());
    let batch = |rendition, seq, count| {
        let mut builder = WireBatchBuilder::metered(VIDEO, Arc::clone(&meter));
        builder.set_rendition(rendition);
        for seq in (seq..seq + count).map(ExtSeq) {
            let pushed = builder.push(&packet(VIDEO, seq, 1_000), seq, time(VIDEO, seq), Ssrc(0));
            assert_eq!(pushed, fan_out::Push::Added);
        }
        builder.note_key(ExtSeq(seq));
        builder.finish(start).expect("packets")
    };
    let mut stage = stage();
    stage.publish(start, batch(Rendition::Shared, FIRST.0, 10));
    let shared = meter.bytes();
    stage.publish(start, batch(Rendition::Original, FIRST.0 + 10, 10));
    assert!((2 * shared - 100..2 * shared + 100).contains(&meter.bytes()));
    stage.publish(start, batch(Rendition::Datagrams, FIRST.0 + 10, 10));
    let both = meter.bytes();
    assert!((3 * shared - 100..3 * shared + 100).contains(&both), "{both}");
    stage.unite();
    assert!((2 * shared - 100..2 * shared + 100).contains(&meter.bytes()));
    stage.forget_before(start + ms(1));
    assert_eq!((meter.bytes(), stage.log_bytes()), (0, 0));
}

#[test]
fn each_log_is_bounded_and_each_reader_holds_its_own() {
    let start = origin();
    let limits = FanOutLimits { log_max_bytes: 100_000, ..FanOutLimits::default() };
    let mut stage = Stage::new(limits, TrackMask::of(VIDEO));
    for step in 0..100 {
        let now = start + ms(step);
        stage.publish(now, video(now, Rendition::Original, FIRST.0 + 2 * step, 2, false));
        stage.publish(now, video(now, Rendition::Datagrams, FIRST.0 + 16 * step, 16, false));
        assert!(stage.log_bytes() <= 200_000, "{}", stage.log_bytes());
    }
    stage.forget_before(start + ms(1_000));
    assert_eq!(stage.log_bytes(), 0);
}

#[test]
fn nobody_is_shown_anything_old_once_the_logs_are_one_again() {
    let start = origin();
    let mut stage = stage();
    let (large, _) = apart(&mut stage, start);
    let now = start + ms(400);
    stage.join(now, udp(0, 0, both(), Start::KeyFrame)).expect("room");
    stage.unite();
    stage.join(now, udp(1, 0, both(), Start::KeyFrame)).expect("room");
    let mut source = Source::new(VIDEO);
    source.lose(large - FIRST.0);
    stage.publish(now, source.batch(now, 1, 1_000));
    stage.publish(now, source.key(now, 2, 1_000));
    let mut net = Net::default();
    net.drain(&mut stage, now, 0);
    for reader in 0..2 {
        assert_eq!(net.media(reader, VIDEO), [large + 1, large + 2]);
    }
}

#[test]
fn a_packet_in_parts_is_as_one_in_one_piece() {
    let whole = packet(VIDEO, FIRST, 300);
    let (header, payload) = whole.split_first_chunk().expect("a header");
    let mut parts = WireBatchBuilder::new(VIDEO);
    let pieces = || payload.chunks(7);
    let pushed =
        parts.push_parts(*header, pieces(), payload.len(), FIRST, time(VIDEO, FIRST), Ssrc(0));
    assert_eq!(pushed, fan_out::Push::Added);
    let mut builder = WireBatchBuilder::new(VIDEO);
    assert_eq!(builder.push(&whole, FIRST, time(VIDEO, FIRST), Ssrc(0)), fan_out::Push::Added);
    let (parts, whole) = (parts.finish(origin()), builder.finish(origin()));
    let (parts, whole) = (parts.expect("a packet"), whole.expect("a packet"));
    assert_eq!((parts.image(), parts.octets()), (whole.image(), whole.octets()));
    let mut builder = WireBatchBuilder::new(VIDEO);
    let large = [0; 1_000];
    let pieces = (0..66).map(|_| &large[..]);
    let pushed = builder.push_parts(*header, pieces, 66_000, FIRST, time(VIDEO, FIRST), Ssrc(0));
    assert_eq!(pushed, fan_out::Push::TooLarge);
    let pieces = (0..9).map(|_| &large[..]);
    let pushed = builder.push_parts(*header, pieces, 9_001, FIRST, time(VIDEO, FIRST), Ssrc(0));
    assert_eq!(pushed, fan_out::Push::NotRtp, "less than announced");
    assert!(builder.finish(origin()).is_none());
    let pieces = (0..66).map(|_| &large[..]);
    let pushed = builder.push_parts(*header, pieces, 1_010, FIRST, time(VIDEO, FIRST), Ssrc(0));
    assert_eq!(pushed, fan_out::Push::Added);
    let cut = builder.finish(origin()).expect("a packet");
    assert_eq!((cut.image_len(), cut.octets()), (1_022, 1_010), "more than announced is left out");
}
