//! What UDP readers get, and how a socket group keeps its place.

use bytes::Bytes;
use fan_out::{
    Audience, AudienceEvent, AudienceFull, CutReason, DropCause, FanOutLimits, Join, MAX_GROUPS,
    Start, TrackMask, WireBatch,
};

use crate::source::{AUDIO, FIRST, Source, VIDEO, both, ms, origin, report};
use crate::tcp_player::{Stage, events};
use crate::udp_players::{Net, udp, with_readers};

fn stage() -> Stage {
    Audience::new(FanOutLimits::default(), TrackMask::of(VIDEO))
}

fn numbers(from: u64, count: u64) -> Vec<u64> {
    (FIRST.0 + from..FIRST.0 + from + count).collect()
}

#[test]
fn a_run_goes_to_all_readers_64_at_a_time() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    with_readers(&mut stage, t0, 130, Start::KeyFrame);
    stage.publish(t0, video.key(t0, 40, 1200));
    assert_eq!(net.drain(&mut stage, t0, 0), 3);
    assert!((0..130).all(|reader| net.media(reader, VIDEO) == numbers(0, 40)));
    assert_eq!(stage.udp_count(), 130);
}

#[test]
fn a_blocked_socket_goes_on_at_the_same_reader() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    with_readers(&mut stage, t0, 10, Start::Live);
    stage.publish(t0, video.batch(t0, 3, 100));
    let first = net.send(&mut stage, t0, 0, 4, false).expect("an offer");
    let t1 = t0 + ms(100);
    stage.publish(t1, video.batch(t1, 1, 100));
    assert_eq!(net.send(&mut stage, t1, 0, 0, false).expect("an offer"), first[4..]);
    assert_eq!(net.send(&mut stage, t1, 0, 1, false).expect("an offer"), first[4..]);
    assert_eq!(stage.udp_next(t1, 0).map(|send| send.to.to_vec()), Some(first[5..].to_vec()));
    net.drain(&mut stage, t1, 0);
    assert!((0..10).all(|reader| net.media(reader, VIDEO) == numbers(0, 4)));
    assert_eq!(events(&mut stage), []);
}

#[test]
fn a_destination_that_refuses_is_counted_and_skipped() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    let keys = with_readers(&mut stage, t0, 3, Start::Live);
    stage.publish(t0, video.batch(t0, 5, 100));
    net.send(&mut stage, t0, 0, 1, true);
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(1, VIDEO), [0_u64; 0]);
    assert_eq!(net.media(2, VIDEO), numbers(0, 5));
    let stats = stage.stats(keys[1]).expect("it is here");
    assert_eq!((stats.send_errors, stats.packets), (5, 0));
    stage.publish(t0, video.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(1, VIDEO), numbers(5, 1));
    assert_eq!(stage.stats(keys[2]).map(|stats| (stats.packets, stats.octets)), Some((6, 600)));
}

#[test]
fn readers_that_leave_in_the_middle_of_a_run_take_nothing_from_the_others() {
    for leaver in 0..10_u32 {
        let (t0, mut stage, mut net, mut video) =
            (origin(), stage(), Net::default(), Source::new(VIDEO));
        let keys = with_readers(&mut stage, t0, 10, Start::Live);
        stage.publish(t0, video.batch(t0, 3, 100));
        net.send(&mut stage, t0, 0, 5, false);
        assert!(stage.leave(keys[leaver as usize]).is_some());
        net.drain(&mut stage, t0, 0);
        for reader in (0..10).filter(|reader| *reader != leaver) {
            assert_eq!(net.media(reader, VIDEO), numbers(0, 3), "{leaver} left");
        }
    }
}

#[test]
fn all_readers_leaving_in_the_middle_of_a_run_end_it() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    let keys = with_readers(&mut stage, t0, 3, Start::Live);
    stage.publish(t0, video.batch(t0, 3, 100));
    net.send(&mut stage, t0, 0, 2, false);
    keys.iter().for_each(|key| assert!(stage.leave(*key).is_some()));
    assert_eq!(net.drain(&mut stage, t0, 0), 0);
    let again = stage.join(t0, udp(7, 0, both(), Start::Live));
    assert!(again.is_ok());
    stage.publish(t0, video.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(7, VIDEO), numbers(3, 1));
}

#[test]
fn who_joins_in_the_middle_of_an_entry_begins_with_the_next_one() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    with_readers(&mut stage, t0, 2, Start::Live);
    video.push(100);
    stage.publish(t0, video.batch(t0, 3, 200));
    net.send(&mut stage, t0, 0, 1, false);
    assert!(stage.join(t0, udp(2, 0, both(), Start::Live)).is_ok());
    assert!(stage.join(t0, udp(3, 0, both(), Start::Live)).is_ok());
    stage.publish(t0, video.batch(t0, 2, 100));
    assert_eq!(net.drain(&mut stage, t0, 0), 1 + 1 + 1, "they share sends from there on");
    assert_eq!(net.media(1, VIDEO), numbers(0, 6));
    assert_eq!((net.media(2, VIDEO), net.media(3, VIDEO)), (numbers(4, 2), numbers(4, 2)));
}

#[test]
fn a_key_unit_known_late_is_caught_up_together_and_then_all_is_shared() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    with_readers(&mut stage, t0, 5, Start::KeyFrame);
    assert!(stage.join(t0, udp(5, 0, both(), Start::Live)).is_ok());
    video.push(100);
    let key = video.push(100);
    stage.publish(t0, video.finish(t0));
    stage.publish(t0, audio.batch(t0, 1, 100));
    stage.publish(t0, video.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert!((0..6).all(|reader| net.media(reader, AUDIO).len() == 1));
    assert!((0..5).all(|reader| net.media(reader, VIDEO).is_empty()));
    video.note_key(key);
    stage.publish(t0, video.batch(t0, 2, 100));
    net.drain(&mut stage, t0, 0);
    assert!((0..5).all(|reader| net.media(reader, VIDEO) == numbers(1, 4)));
    assert_eq!(net.media(5, VIDEO), numbers(0, 5));
    stage.publish(t0, video.batch(t0, 1, 100));
    assert_eq!(net.drain(&mut stage, t0, 0), 1, "one send for all six");
}

#[test]
fn a_key_unit_that_begins_inside_a_batch_is_got_from_there() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    with_readers(&mut stage, t0, 2, Start::KeyFrame);
    video.push(100);
    let key = video.push(100);
    video.note_key(key);
    video.push(100);
    stage.publish(t0, video.finish(t0));
    net.drain(&mut stage, t0, 0);
    assert!((0..2).all(|reader| net.media(reader, VIDEO) == numbers(1, 2)));
}

#[test]
fn the_prologue_precedes_all_media_of_a_reader() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    with_readers(&mut stage, t0, 1, Start::Live);
    let join = Join {
        prologue: vec![
            (VIDEO, Bytes::from(report(VIDEO, "first"))),
            (AUDIO, Bytes::from(report(AUDIO, "second"))),
        ],
        ..udp(1, 0, both(), Start::KeyFrame)
    };
    assert!(stage.join(t0, join).is_ok());
    stage.publish(t0, video.key(t0, 2, 100));
    stage.publish(t0, audio.batch(t0, 1, 100));
    while net.reports(1, AUDIO).is_empty() {
        assert_eq!((net.media(1, VIDEO).len(), net.media(1, AUDIO).len()), (0, 0));
        assert!(net.send(&mut stage, t0, 0, 64, false).is_some());
    }
    net.drain(&mut stage, t0, 0);
    stage.publish(t0, video.key(t0, 1, 100));
    stage.publish(t0, audio.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!(
        (net.reports(1, VIDEO), net.reports(1, AUDIO)),
        (vec!["first".into()], vec!["second".into()])
    );
    assert!(net.media(1, VIDEO).ends_with(&numbers(2, 1)));
    assert!(net.media(1, AUDIO).ends_with(&numbers(1, 1)));
}

#[test]
fn reports_go_to_the_rtcp_destination_even_while_media_waits() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    with_readers(&mut stage, t0, 2, Start::KeyFrame);
    stage.publish(t0, WireBatch::report(VIDEO, &report(VIDEO, "sr"), t0));
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.reports(0, VIDEO), ["sr"]);
    assert_eq!(net.reports(1, VIDEO), ["sr"]);
}

#[test]
fn a_blocked_socket_loses_what_is_older_than_200_ms_and_no_more() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let keys = with_readers(&mut stage, t0, 3, Start::Live);
    video.push(100);
    stage.publish(t0, video.batch(t0, 3, 200));
    stage.publish(t0, WireBatch::report(VIDEO, &report(VIDEO, "bye"), t0));
    assert!(net.send(&mut stage, t0, 0, 1, false).is_some());
    assert!(net.send(&mut stage, t0, 0, 0, false).is_some());
    let t1 = t0 + ms(100);
    stage.publish(t1, audio.batch(t1, 1, 100));
    let now = t0 + ms(201);
    net.drain(&mut stage, now, 0);
    // The first reader had the first run, of one packet; the entry's three others are gone.
    assert_eq!(net.media(0, VIDEO), numbers(0, 1));
    let dropped: Vec<u64> =
        keys.iter().map(|key| stage.stats(*key).map_or(0, |stats| stats.dropped)).collect();
    assert_eq!(dropped, [3, 4, 4]);
    assert!((0..3).all(|reader| net.media(reader, AUDIO).len() == 1));
    assert!((0..3).all(|reader| net.reports(reader, VIDEO) == ["bye"]));
    assert_eq!(
        events(&mut stage),
        [AudienceEvent::UdpDropped {
            group: 0,
            cause: DropCause::SocketFull,
            behind: ms(201),
            packets: 11
        }]
    );
}

#[test]
fn a_proxy_that_is_late_sends_late_while_the_socket_has_room() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let mut video = Source::new(VIDEO);
    with_readers(&mut stage, t0, 100, Start::Live);
    for picture in 0..50 {
        let now = t0 + ms(40 * picture);
        stage.publish(now, video.batch(now, 3, 100));
        // The socket is full now and then, but never for long.
        if picture % 10 == 5 {
            net.send(&mut stage, now, 0, 0, false);
            net.send(&mut stage, now + ms(30), 0, 1, false);
        }
    }
    net.drain(&mut stage, t0 + ms(1999), 0);
    assert!((0..100).all(|reader| net.media(reader, VIDEO) == numbers(0, 150)));
    assert_eq!(events(&mut stage), []);
}

#[test]
fn a_proxy_that_is_too_late_goes_on_with_the_newest_key_frame() {
    for has_key in [true, false] {
        let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
        let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
        let keys = with_readers(&mut stage, t0, 100, Start::Live);
        let mut begins = 0;
        for picture in 0..55 {
            let now = t0 + ms(40 * picture);
            if has_key && picture % 10 == 8 {
                begins = video.next.0;
                stage.publish(now, video.key(now, 3, 100));
            } else {
                stage.publish(now, video.batch(now, 3, 100));
            }
            stage.publish(now, audio.batch(now, 1, 100));
            if picture == 0 {
                net.send(&mut stage, now, 0, 64, false);
            }
        }
        let now = t0 + ms(2400);
        stage.publish(now, WireBatch::report(VIDEO, &report(VIDEO, "bye"), now));
        net.drain(&mut stage, now, 0);
        let next = video.next.0;
        stage.publish(now, video.batch(now, 1, 100));
        net.drain(&mut stage, now, 0);
        let from = if has_key { begins } else { next };
        let wanted: Vec<u64> = (from..=next).collect();
        // The first run had gone to some.
        assert_eq!(net.media(0, VIDEO), [numbers(0, 3), wanted.clone()].concat());
        assert_eq!(net.media(99, VIDEO), wanted);
        assert_eq!(net.media(99, AUDIO).len(), if has_key { 7 } else { 0 });
        assert!((0..100).all(|reader| net.reports(reader, VIDEO) == ["bye"]));
        let stats = stage.stats(keys[99]).expect("it is here");
        let told = events(&mut stage);
        let [AudienceEvent::UdpDropped { cause, behind, packets, .. }] = told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(cause, DropCause::Late);
        assert!((ms(2001)..=ms(2400)).contains(&behind), "{behind:?}");
        assert_eq!(packets, stats.dropped * 100 - 64 * 3);
        assert!(told[0].to_string().starts_with("the proxy was short of CPU and 2."));
    }
}

#[test]
fn what_is_published_long_after_it_arrived_is_not_late_for_that() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    with_readers(&mut stage, t0, 2, Start::KeyFrame);
    let key = video.next;
    let (first, now) = (video.batch(t0, 2, 100), t0 + ms(900));
    video.note_key(key);
    stage.publish(now, first);
    stage.publish(now, video.batch(t0 + ms(10), 2, 100));
    net.drain(&mut stage, now + ms(100), 0);
    assert!((0..2).all(|reader| net.media(reader, VIDEO) == numbers(0, 4)));
    assert_eq!(events(&mut stage), []);
}

#[test]
fn what_the_log_evicts_under_a_blocked_socket_is_counted() {
    let limits = FanOutLimits { log_max_bytes: 50_000, ..FanOutLimits::default() };
    let (t0, mut net, mut video) = (origin(), Net::default(), Source::new(VIDEO));
    let mut stage: Stage = Audience::new(limits, TrackMask::of(VIDEO));
    let keys = with_readers(&mut stage, t0, 2, Start::Live);
    for _ in 0..20 {
        stage.publish(t0, video.batch(t0, 10, 1000));
    }
    net.drain(&mut stage, t0, 0);
    let got = net.media(1, VIDEO);
    assert_eq!(got.last(), Some(&(video.next.0 - 1)));
    assert_eq!(stage.stats(keys[1]).map(|stats| stats.dropped + got.len() as u64), Some(200));
    assert!(matches!(events(&mut stage)[..], [AudienceEvent::UdpDropped { .. }]));
}

#[test]
fn a_reader_that_loses_the_beginning_of_its_unit_waits_for_the_next_one() {
    let limits = FanOutLimits { log_max_bytes: 50_000, ..FanOutLimits::default() };
    let (t0, mut net, mut video) = (origin(), Net::default(), Source::new(VIDEO));
    let mut stage: Stage = Audience::new(limits, TrackMask::of(VIDEO));
    with_readers(&mut stage, t0, 1, Start::KeyFrame);
    let key = video.next;
    stage.publish(t0, video.batch(t0, 10, 1000));
    video.note_key(key);
    stage.publish(t0, video.batch(t0, 10, 1000));
    assert!(net.send(&mut stage, t0, 0, 0, false).is_some(), "the unit is offered");
    for _ in 0..10 {
        stage.publish(t0, video.batch(t0, 10, 1000));
    }
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(0, VIDEO), [0_u64; 0]);
    let next = video.next.0;
    stage.publish(t0, video.key(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(0, VIDEO), [next]);
}

#[test]
fn a_live_reader_goes_on_live_when_the_log_loses_what_it_was_to_begin_with() {
    let limits = FanOutLimits { log_max_bytes: 50_000, ..FanOutLimits::default() };
    let (t0, mut net, mut video) = (origin(), Net::default(), Source::new(VIDEO));
    let mut stage: Stage = Audience::new(limits, TrackMask::of(VIDEO));
    with_readers(&mut stage, t0, 2, Start::Live);
    stage.publish(t0, video.batch(t0, 10, 1000));
    net.send(&mut stage, t0, 0, 1, false);
    stage.publish(t0, video.batch(t0, 10, 1000));
    assert!(stage.join(t0, udp(2, 0, both(), Start::Live)).is_ok());
    for _ in 0..10 {
        stage.publish(t0, video.batch(t0, 10, 1000));
    }
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(2, VIDEO).last(), Some(&(video.next.0 - 1)));
}

#[test]
fn after_a_clear_nobody_sees_an_old_picture() {
    let (t0, mut stage, mut net) = (origin(), stage(), Net::default());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    with_readers(&mut stage, t0, 3, Start::Live);
    video.push(100);
    stage.publish(t0, video.batch(t0, 2, 200));
    net.send(&mut stage, t0, 0, 1, false);
    assert!(stage.join(t0, udp(3, 0, both(), Start::Live)).is_ok());
    stage.clear();
    stage.publish(t0, video.batch(t0, 1, 100));
    stage.publish(t0, audio.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(0, VIDEO), numbers(0, 1));
    let key = video.next.0;
    stage.publish(t0, video.key(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    for reader in 1..4 {
        assert_eq!((net.media(reader, VIDEO), net.media(reader, AUDIO).len()), (vec![key], 1));
    }
}

#[test]
fn a_reader_that_waited_too_long_for_its_key_is_cut_and_the_others_go_on() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    let keys = with_readers(&mut stage, t0, 1, Start::Live);
    stage.publish(t0, video.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    stage.clear();
    assert!(stage.join(t0, udp(1, 0, both(), Start::KeyFrame)).is_ok());
    video.lose(16_000);
    stage.publish(t0, video.key(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert!(matches!(
        events(&mut stage)[..],
        [AudienceEvent::Cut { reader, reason: CutReason::JumpTooLong(16_001), .. }] if reader == keys[0]
    ));
    assert_eq!(net.media(0, VIDEO), numbers(0, 1));
    assert_eq!(net.media(1, VIDEO), numbers(16_001, 1));
    assert!(stage.leave(keys[0]).is_some());
    stage.publish(t0, video.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(1, VIDEO), numbers(16_001, 2));
}

#[test]
fn a_track_that_has_no_key_frames_any_more_is_not_waited_for() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    with_readers(&mut stage, t0, 2, Start::KeyFrame);
    stage.set_tracks(TrackMask::EMPTY);
    stage.publish(t0, video.batch(t0, 2, 100));
    net.drain(&mut stage, t0, 0);
    assert!((0..2).all(|reader| net.media(reader, VIDEO) == numbers(0, 2)));
}

#[test]
fn groups_do_not_wait_for_each_other() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    assert!(stage.join(t0, udp(0, 0, both(), Start::Live)).is_ok());
    assert!(stage.join(t0, udp(1, 3, both(), Start::Live)).is_ok());
    assert_eq!(stage.join(t0, udp(2, MAX_GROUPS, both(), Start::Live)), Err(AudienceFull));
    stage.publish(t0, video.batch(t0, 2, 100));
    net.drain(&mut stage, t0, 3);
    assert_eq!((net.media(0, VIDEO).len(), net.media(1, VIDEO).len()), (0, 2));
    assert!(stage.udp_next(t0, 1).is_none() && stage.udp_next(t0, 1000).is_none());
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(0, VIDEO).len(), 2);
}

#[test]
fn a_socket_that_refuses_gso_gets_one_datagram_at_a_time() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    with_readers(&mut stage, t0, 2, Start::Live);
    stage.publish(t0, video.batch(t0, 3, 100));
    assert_eq!(stage.udp_next(t0, 0).and_then(|send| send.segment), Some(100));
    stage.limit_segments(0, Some(1));
    assert_eq!(stage.udp_next(t0, 0).and_then(|send| send.segment), None);
    assert_eq!(net.drain(&mut stage, t0, 0), 3);
    stage.limit_segments(0, None);
    stage.publish(t0, video.batch(t0, 3, 100));
    assert_eq!(stage.udp_next(t0, 0).and_then(|send| send.segment), Some(100));
    assert_eq!(net.drain(&mut stage, t0, 0), 1);
    assert!((0..2).all(|reader| net.media(reader, VIDEO) == numbers(0, 6)));
}

#[test]
fn a_packet_that_no_datagram_can_carry_is_counted_as_dropped() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    let keys = with_readers(&mut stage, t0, 2, Start::Live);
    stage.publish(t0, video.batch(t0, 1, 65_520));
    stage.publish(t0, video.batch(t0, 1, 100));
    net.drain(&mut stage, t0, 0);
    assert_eq!(net.media(1, VIDEO), numbers(1, 1));
    assert_eq!(stage.stats(keys[1]).map(|stats| stats.dropped), Some(1));
}

#[test]
fn packets_that_no_datagram_can_carry_are_told_of_once() {
    let (t0, mut stage, mut net, mut video) =
        (origin(), stage(), Net::default(), Source::new(VIDEO));
    let keys = with_readers(&mut stage, t0, 2, Start::Live);
    let mut told = Vec::new();
    for _ in 0..3 {
        stage.publish(t0, video.batch(t0, 1, 65_520));
        stage.publish(t0, video.batch(t0, 1, 100));
        net.drain(&mut stage, t0, 0);
        told.extend(events(&mut stage));
    }
    let [AudienceEvent::UdpDropped { cause: DropCause::TooLarge, .. }] = told[..] else {
        panic!("{told:?}");
    };
    assert!(told[0].to_string().contains("65507"), "{}", told[0]);
    assert_eq!(stage.stats(keys[1]).map(|stats| stats.dropped), Some(3));
}
