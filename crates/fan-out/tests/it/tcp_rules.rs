//! What a TCP reader gets, and in which order.

use bytes::Bytes;
use fan_out::{
    ALIKE_BYTES, Audience, AudienceEvent, AudienceFull, FEW_ALIKE, FanOutLimits, MAX_ALIKE,
    MAX_SLICES, ReaderKey, Start, TcpNext, TcpPlace, TrackId, TrackMask, Transport, WireBatch,
};
use rtp_rtcp::ExtSeq;
use smallvec::smallvec;

use crate::source::{AUDIO, Source, VIDEO, both, ms, origin, report};
use crate::tcp_player::{Heard, Player, Stage, events, tcp, write_to_all, write_to_some};

fn stage() -> Stage {
    let limits = FanOutLimits { max_alike: MOST, ..FanOutLimits::default() };
    Audience::new(limits, TrackMask::of(VIDEO))
}

/// How many are served together here.
const MOST: usize = 128;

#[test]
fn a_live_reader_gets_the_next_packet_whatever_it_is() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    stage.publish(t0, video.key(t0, 3, 100));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    let first = video.next.0;
    stage.publish(t0, video.batch(t0, 2, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.media(VIDEO), [first, first + 1]);
}

#[test]
fn a_batch_costs_one_write() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    for index in 0..5 {
        let at = t0 + ms(index);
        stage.publish(
            at,
            if index == 0 { video.key(at, 40, 1200) } else { video.batch(at, 40, 1200) },
        );
        assert_eq!(player.drain(&mut stage, at), 1);
    }
    assert_eq!(player.media(VIDEO).len(), 200);
}

#[test]
fn a_key_frame_reader_gets_its_other_tracks_at_once_and_video_with_a_key_unit() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    stage.publish(t0, video.key(t0, 1, 100));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    stage.publish(t0, video.batch(t0, 2, 100));
    stage.publish(t0, audio.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!((player.media(VIDEO).len(), player.media(AUDIO).len()), (0, 1));
    let key = video.next.0;
    stage.publish(t0, video.key(t0, 2, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.media(VIDEO), [key, key + 1]);
    assert_eq!(events(&mut stage), []);
}

#[test]
fn a_key_unit_that_begins_inside_a_batch_is_got_from_there() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    video.push(100);
    video.push(100);
    let key = video.push(100);
    video.push(100);
    video.note_key(key);
    stage.publish(t0, video.finish(t0));
    player.drain(&mut stage, t0);
    assert_eq!(player.media(VIDEO), [key.0, key.0 + 1]);
}

#[test]
fn a_key_unit_known_late_is_got_from_its_first_packet() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let mut waiting = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    video.push(100);
    let key = video.push(100);
    stage.publish(t0, video.finish(t0));
    stage.publish(t0, audio.batch(t0, 1, 100));
    stage.publish(t0, video.batch(t0, 1, 100));
    waiting.drain(&mut stage, t0);
    // This one comes when the unit's first packets have passed already.
    let mut late = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    late.drain(&mut stage, t0);
    video.note_key(key);
    stage.publish(t0, video.batch(t0, 2, 100));
    stage.publish(t0, video.batch(t0, 1, 100));
    let expected: Vec<u64> = (key.0..video.next.0).collect();
    assert_eq!(expected.len(), 5);
    for player in [&mut waiting, &mut late] {
        player.drain(&mut stage, t0);
        assert_eq!(player.media(VIDEO), expected);
    }
    assert_eq!((waiting.media(AUDIO).len(), late.media(AUDIO).len()), (1, 0));
}

#[test]
fn catching_up_survives_short_writes_of_any_size() {
    let t0 = origin();
    for room in 1..150 {
        let (mut stage, mut video) = (stage(), Source::new(VIDEO));
        let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
        let key = video.next;
        stage.publish(t0, video.batch(t0, 3, 50));
        video.note_key(key);
        stage.publish(t0, video.batch(t0, 3, 30));
        while player.write(&mut stage, t0, room) > 0 {}
        assert_eq!(player.media(VIDEO), (key.0..key.0 + 6).collect::<Vec<_>>(), "room {room}");
    }
}

#[test]
fn an_answer_goes_exactly_to_the_next_frame_border() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.batch(t0, 3, 100));
    assert_eq!(player.write(&mut stage, t0, 150), 150);
    player.answer("RTSP/1.0 200 OK\r\n\r\n");
    player.drain(&mut stage, t0);
    let order: Vec<bool> =
        player.heard.iter().map(|heard| matches!(heard, Heard::Answer(_))).collect();
    assert_eq!(order, [false, false, true, false]);
}

#[test]
fn more_answers_than_slices_still_go_before_media() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.batch(t0, 1, 100));
    for number in 0..50 {
        player.answer(&format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\n\r\n"));
    }
    player.drain(&mut stage, t0);
    assert_eq!(player.heard.len(), 51);
    assert!(matches!(player.heard.last(), Some(Heard::Media(..))));
}

#[test]
fn the_prologue_goes_before_anything_else_and_only_for_tracks_that_are_played() {
    let (t0, mut stage, mut audio) = (origin(), stage(), Source::new(AUDIO));
    let join = fan_out::Join {
        prologue: vec![
            (VIDEO, Bytes::from(report(VIDEO, "video"))),
            (AUDIO, Bytes::from(report(AUDIO, "audio"))),
        ],
        ..tcp(TrackMask::of(AUDIO), Start::Live)
    };
    let mut player = Player::join(&mut stage, t0, join);
    stage.publish(t0, audio.batch(t0, 1, 100));
    while player.write(&mut stage, t0, 3) > 0 {}
    assert_eq!(player.heard[0], Heard::Report(3, report(AUDIO, "audio")));
    assert_eq!(player.heard.len(), 2);
}

#[test]
fn a_reader_with_channels_of_its_own_gets_the_same_frames_in_them() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let join = fan_out::Join {
        transport: Transport::Tcp { channels: smallvec![(VIDEO, 6, 7), (AUDIO, 0, 9)] },
        ..tcp(both(), Start::Live)
    };
    let mut player = Player::join(&mut stage, t0, join);
    let batch = video.batch(t0, 2, 100);
    stage.publish(t0, batch.clone());
    stage.publish(t0, audio.batch(t0, 1, 50));
    stage.publish(t0, WireBatch::report(AUDIO, &report(AUDIO, "sr"), t0));
    while player.write(&mut stage, t0, 37) > 0 {}
    let channels: Vec<u8> = player
        .heard
        .iter()
        .map(|heard| match heard {
            Heard::Media(channel, ..) | Heard::Report(channel, _) => *channel,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(channels, [6, 6, 0, 9]);
    assert!(batch.bytes_held() < 2 * 100 + 4 * 100, "the shared form was built for nobody");
}

#[test]
fn a_reader_gets_only_the_tracks_it_has_set_up() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let mut player = Player::join(&mut stage, t0, tcp(TrackMask::of(AUDIO), Start::KeyFrame));
    for _ in 0..10 {
        stage.publish(t0, video.key(t0, 2, 100));
        stage.publish(t0, audio.batch(t0, 1, 100));
        stage.publish(t0, WireBatch::report(VIDEO, &report(VIDEO, "sr"), t0));
    }
    player.drain(&mut stage, t0);
    assert_eq!((player.heard.len(), player.media(AUDIO).len()), (10, 10));
}

#[test]
fn reports_of_a_track_go_on_while_its_media_waits() {
    let (t0, mut stage) = (origin(), stage());
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    stage.publish(t0, WireBatch::report(VIDEO, &report(VIDEO, "sr"), t0));
    player.drain(&mut stage, t0);
    assert_eq!(player.heard, [Heard::Report(1, report(VIDEO, "sr"))]);
}

#[test]
fn after_a_clear_nobody_sees_an_old_picture() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let mut slow = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    stage.publish(t0, video.key(t0, 3, 100));
    slow.write(&mut stage, t0, 150);
    stage.clear();
    assert_eq!(stage.log_bytes(), 0);
    let mut new = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    let t1 = t0 + ms(60_000);
    stage.publish(t1, video.batch(t1, 1, 100));
    stage.publish(t1, audio.batch(t1, 1, 100));
    let key = video.next.0;
    stage.publish(t1, video.key(t1, 1, 100));
    slow.drain(&mut stage, t1);
    new.drain(&mut stage, t1);
    assert!(!slow.is_in_the_middle(), "the cut frame was finished");
    assert_eq!(slow.media(VIDEO)[2..], [key]);
    assert_eq!(slow.media(AUDIO).len(), 1);
    // Who joins after the clear chooses his own start.
    assert_eq!(new.media(VIDEO), [key - 1, key]);
    assert_eq!(events(&mut stage), []);
}

#[test]
fn a_key_of_before_a_clear_is_not_gone_back_to() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    let old = video.push(100);
    stage.publish(t0, video.finish(t0));
    stage.clear();
    video.note_key(old);
    stage.publish(t0, video.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.heard, []);
}

#[test]
fn a_track_that_has_no_key_frames_any_more_is_not_waited_for() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut player = Player::join(&mut stage, t0, tcp(both(), Start::KeyFrame));
    stage.set_tracks(TrackMask::EMPTY);
    stage.publish(t0, video.batch(t0, 2, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.media(VIDEO).len(), 2);
}

#[test]
fn the_key_of_a_reader_that_left_names_nobody() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut gone = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    assert!(stage.leave(gone.key).is_some());
    assert!(stage.leave(gone.key).is_none());
    let mut next = Player::join(&mut stage, t0, tcp(both(), Start::Live));
    assert_ne!(gone.key, next.key);
    stage.publish(t0, video.batch(t0, 1, 100));
    gone.drain(&mut stage, t0);
    next.drain(&mut stage, t0);
    assert_eq!((gone.heard.len(), next.heard.len()), (0, 1));
    assert!(stage.stats(gone.key).is_none());
    assert_eq!(stage.stats(next.key).map(|stats| (stats.packets, stats.octets)), Some((1, 100)));
}

#[test]
fn iteration_goes_on_after_a_reader_that_left() {
    let (t0, mut stage) = (origin(), stage());
    let keys: Vec<_> =
        (0..4).map(|_| Player::join(&mut stage, t0, tcp(both(), Start::Live)).key).collect();
    stage.publish(t0, Source::new(VIDEO).batch(t0, 1, 100));
    assert_eq!(alike(&mut stage, None), (keys.clone(), 104));
    stage.leave(keys[1]);
    stage.leave(keys[2]);
    assert_eq!(alike(&mut stage, Some(keys[1])), (vec![keys[3]], 104));
    assert!(matches!(stage.tcp_next(t0, Some(keys[3].into())), TcpNext::Done));
    assert_eq!((stage.len(), stage.tcp_count(), stage.udp_count()), (2, 2, 0));
}

#[test]
fn readers_are_limited() {
    let t0 = origin();
    let limits = FanOutLimits { readers: 1, ..FanOutLimits::default() };
    let mut stage: Stage = Audience::new(limits, TrackMask::EMPTY);
    assert!(stage.join(t0, tcp(both(), Start::Live)).is_ok());
    assert_eq!(stage.join(t0, tcp(both(), Start::Live)), Err(AudienceFull));
}

#[test]
fn an_unknown_track_reaches_nobody() {
    let (t0, mut stage) = (origin(), stage());
    let mut player = Player::join(&mut stage, t0, tcp(TrackMask::ALL, Start::Live));
    let mut odd = Source::new(TrackId(40));
    odd.note_key(ExtSeq(1));
    stage.publish(t0, odd.batch(t0, 1, 100));
    player.drain(&mut stage, t0);
    assert_eq!(player.heard, []);
}

#[test]
fn readers_at_the_same_place_are_served_together_and_others_by_themselves() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let mut join = |channel: u8| {
        let mut join = tcp(TrackMask::of(VIDEO), Start::Live);
        join.transport = Transport::Tcp { channels: smallvec![(VIDEO, channel, channel + 1)] };
        stage.join(t0, join).expect("there is room")
    };
    let usual: Vec<_> = (0..MOST + 2).map(|_| join(0)).collect();
    let odd = join(8);
    assert!(matches!(stage.tcp_next(t0, None), TcpNext::Done));
    stage.publish(t0, video.batch(t0, 3, 100));

    let (first, rest) = usual.split_at(MOST);
    assert_eq!(alike(&mut stage, None), (first.to_vec(), 3 * 104));
    assert!(!stage.tcp_sent(t0, &[true; MOST]));
    assert_eq!(alike(&mut stage, first.last().copied()), (rest.to_vec(), 3 * 104));
    assert!(!stage.tcp_sent(t0, &[true, false]));
    let last = rest.last().copied();
    assert!(matches!(stage.tcp_next(t0, last.map(Into::into)), TcpNext::Single(key) if key == odd));
    assert!(matches!(stage.tcp_next(t0, Some(odd.into())), TcpNext::Done));
    // The one that took nothing is offered it again.
    assert_eq!(alike(&mut stage, None), (rest[1..].to_vec(), 3 * 104));
}

/// Who is served together next, and with how many bytes.
fn alike(stage: &mut Stage, after: Option<ReaderKey>) -> (Vec<ReaderKey>, usize) {
    match stage.tcp_next(origin(), after.map(Into::into)) {
        TcpNext::Alike(send) => (send.to.to_vec(), send.bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fewer_are_served_together_the_more_they_get() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let all: Vec<_> = (0..80).map(|_| stage.join(t0, join()).expect("there is room")).collect();
    stage.publish(t0, video.batch(t0, 30, 1200));
    // 36,000 bytes each.
    assert_eq!(alike(&mut stage, None), (all[..ALIKE_BYTES / 36_000].to_vec(), 30 * 1204));
    for _ in 0..3 {
        stage.publish(t0, video.batch(t0, 40, 1200));
    }
    assert_eq!(alike(&mut stage, None).0, all[..FEW_ALIKE], "they get 180,000 bytes");
    stage.limit_alike(80 * 200_000);
    assert_eq!(alike(&mut stage, None).0, all, "nobody else has to wait");
}

#[test]
fn as_many_are_served_together_as_may_be_however_little_they_get() {
    let (t0, mut video) = (origin(), Source::new(VIDEO));
    let mut stage: Stage = Audience::new(FanOutLimits::default(), TrackMask::of(VIDEO));
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let all: Vec<_> = (0..600).map(|_| stage.join(t0, join()).expect("there is room")).collect();
    stage.publish(t0, video.batch(t0, 1, 100));
    for (bytes, many) in [(0, FEW_ALIKE), (ALIKE_BYTES, 128), (6 << 20, 384), (1 << 30, MAX_ALIKE)]
    {
        stage.limit_alike(bytes);
        assert_eq!(alike(&mut stage, None).0, all[..many], "{bytes}");
    }
}

#[test]
fn readers_in_step_that_get_much_are_served_in_parts_and_miss_nothing() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let mut players: Vec<_> = (0..MOST).map(|_| Player::join(&mut stage, t0, join())).collect();
    let first = video.next.0;
    stage.publish(t0, video.batch(t0, 1, 100));
    let mut all: Vec<_> = players.iter_mut().map(|player| (player, usize::MAX)).collect();
    assert_eq!(write_to_all(&mut stage, t0, &mut all), []);

    // In parts, between which more is published, one reader leaves and one takes but a part.
    stage.publish(t0, video.batch(t0, 50, 1200));
    let size = 50 * 1204;
    let few = ALIKE_BYTES / size;
    let mut place = None;
    let mut served = Vec::new();
    for part in 0..2 {
        let short;
        {
            let TcpNext::Alike(send) = stage.tcp_next(t0, place) else {
                panic!("they are in step")
            };
            assert_eq!((send.to.len(), send.bytes), (few, size), "part {part}");
            for (index, key) in send.to.iter().enumerate() {
                let player =
                    players.iter_mut().find(|player| player.key == *key).expect("it is here");
                player.offer(&send.slices, if index == 3 { 2000 } else { usize::MAX });
            }
            place = Some(send.place);
            short = send.to[3];
            served.extend_from_slice(send.to);
        }
        // What is said of others than those it went to counts for nobody.
        let took: Vec<bool> = (0..MOST).map(|index| index != 3).collect();
        assert!(!stage.tcp_sent(t0, &took));
        let player = players.iter_mut().find(|player| player.key == short).expect("it is here");
        stage.consume(t0, short, &mut player.egress, 2000);
        stage.publish(t0, video.batch(t0, 2, 300));
    }
    let (early, late) = (served[0], players[few + 3 * 20].key);
    let early_stats = stage.stats(early).expect("it is here");
    assert_eq!((early_stats.packets, early_stats.octets), (51, 100 + 50 * 1200));
    assert!(!served.contains(&late));
    assert_eq!(stage.stats(late).map(|stats| stats.packets), Some(1));
    for gone in [early, late] {
        assert!(stage.leave(gone).is_some());
        players.retain(|player| player.key != gone);
    }
    let mut all: Vec<_> = players.iter_mut().map(|player| (player, usize::MAX)).collect();
    write_to_all(&mut stage, t0, &mut all);
    for player in &mut players {
        player.drain(&mut stage, t0);
        assert_eq!(player.media(VIDEO), (first..first + 55).collect::<Vec<_>>());
        assert_eq!(stage.stats(player.key).map(|stats| stats.packets), Some(55));
    }
}

#[test]
fn rows_that_most_have_left_become_one() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let mut players: Vec<_> = (0..3 * MOST).map(|_| Player::join(&mut stage, t0, join())).collect();
    let mut sends = |stage: &mut Stage, players: &mut Vec<Player>, at| {
        stage.publish(at, video.batch(at, 1, 100));
        let (mut place, mut sends) = (None, Vec::new());
        loop {
            match stage.tcp_next(at, place) {
                TcpNext::Alike(send) => {
                    sends.push(send.to.len());
                    place = Some(send.place);
                    for player in players.iter_mut().filter(|player| send.to.contains(&player.key))
                    {
                        player.offer(&send.slices, usize::MAX);
                    }
                }
                TcpNext::Single(_) => panic!("all get the same"),
                TcpNext::Done => return sends,
            }
            assert!(!stage.tcp_sent(at, &[true; MOST]));
        }
    };
    assert_eq!(sends(&mut stage, &mut players, t0), [MOST; 3]);
    let mut index = 0;
    players.retain(|player| {
        index += 1;
        index % 4 == 0 || stage.leave(player.key).is_none()
    });
    let few = MOST / 4;
    assert_eq!(sends(&mut stage, &mut players, t0), [few; 3]);
    let later = t0 + ms(600);
    stage.handle_timeout(later);
    sends(&mut stage, &mut players, later);
    assert_eq!(sends(&mut stage, &mut players, later), [3 * few]);
    for player in &mut players {
        player.drain(&mut stage, later);
        assert_eq!(player.media(VIDEO).len(), 4);
    }
}

#[test]
fn whoever_is_served_with_others_is_counted_as_by_itself() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let tracks = [both(), both(), TrackMask::of(VIDEO), TrackMask::of(VIDEO)];
    let mut players: Vec<_> =
        tracks.map(|tracks| Player::join(&mut stage, t0, tcp(tracks, Start::Live))).into();
    for index in 0..4 {
        let at = t0 + ms(index);
        stage.publish(at, video.batch(at, 2, 500));
        stage.publish(at, WireBatch::report(VIDEO, &report(VIDEO, "sr"), at));
        stage.publish(at, audio.batch(at, 1, 200));
        let (together, alone) = players.split_at_mut(1);
        let (together_too, alone_too) = alone.split_at_mut(2);
        alone_too[0].drain(&mut stage, at);
        together_too[0].drain(&mut stage, at);
        let mut together: Vec<_> = together
            .iter_mut()
            .chain(&mut together_too[1..])
            .map(|player| (player, usize::MAX))
            .collect();
        assert_eq!(write_to_all(&mut stage, at, &mut together), []);
    }
    let stats = |player: &Player| stage.stats(player.key).expect("it is here");
    for (one, other) in [(0, 1), (2, 3)] {
        assert_eq!(players[one].heard, players[other].heard);
        assert_eq!(stats(&players[one]), stats(&players[other]));
        assert!(!players[one].heard.is_empty());
    }
    assert_eq!(stats(&players[0]).packets, 4 * 4);
    assert_eq!(stats(&players[2]).packets, 4 * 3);
}

/// So many readers of video alone that are in step, after one packet.
fn row_of_video(stage: &mut Stage, video: &mut Source, count: usize) -> Vec<Player> {
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let mut players: Vec<_> = (0..count).map(|_| Player::join(stage, origin(), join())).collect();
    stage.publish(origin(), video.batch(origin(), 1, 100));
    write_to_each(stage, &mut players);
    players
}

#[test]
fn the_rest_of_a_row_gets_what_the_first_got_and_no_more_though_more_has_come() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let first = video.next.0;
    let mut players = row_of_video(&mut stage, &mut video, 2 * FEW_ALIKE);

    // Behind what they get is something of a track they do not want.
    for _ in 0..4 {
        stage.publish(t0, video.batch(t0, 40, 1200));
    }
    stage.publish(t0, audio.batch(t0, 1, 100));
    let place = write_once(&mut stage, None, &mut players);
    assert_eq!(players.iter().filter(|player| player.heard.len() > 1).count(), FEW_ALIKE);
    stage.publish(t0, video.batch(t0, 1, 100));
    write_once(&mut stage, place, &mut players);
    write_to_each(&mut stage, &mut players);
    for player in &mut players {
        player.drain(&mut stage, t0);
        assert_eq!(player.media(VIDEO), (first..first + 162).collect::<Vec<_>>());
        let stats = stage.stats(player.key).map(|stats| (stats.packets, stats.octets));
        assert_eq!(stats, Some((162, 2 * 100 + 160 * 1200)));
    }
}

#[test]
fn a_round_gets_to_everybody_although_more_comes_all_the_time() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let mut players: Vec<_> =
        (0..2 * MOST + 3).map(|_| Player::join(&mut stage, t0, join())).collect();
    let first = video.next.0;
    stage.publish(t0, video.batch(t0, 1, 100));
    write_to_each(&mut stage, &mut players);
    let mut odd = tcp(TrackMask::of(VIDEO), Start::Live);
    odd.transport = Transport::Tcp { channels: smallvec![(VIDEO, 8, 9)] };
    let odd = Player::join(&mut stage, t0, odd);

    // More than a write takes, and as much again after each one.
    let mut publish = |stage: &mut Stage| {
        for _ in 0..=MAX_SLICES {
            stage.publish(t0, video.batch(t0, 1, 100));
        }
    };
    publish(&mut stage);
    let mut place = None;
    for _ in 0..14 {
        place = write_once(&mut stage, place, &mut players);
        publish(&mut stage);
    }
    assert!(matches!(stage.tcp_next(t0, place), TcpNext::Single(key) if key == odd.key));
    assert!(matches!(stage.tcp_next(t0, Some(odd.key.into())), TcpNext::Done));
    write_to_each(&mut stage, &mut players);
    for player in &mut players {
        let count = 1 + 15 * (MAX_SLICES as u64 + 1);
        assert_eq!(player.media(VIDEO), (first..first + count).collect::<Vec<_>>());
    }
}

#[test]
fn readers_of_different_tracks_that_were_sent_as_much_are_not_in_step() {
    let (t0, mut stage) = (origin(), stage());
    let (mut video, mut audio) = (Source::new(VIDEO), Source::new(AUDIO));
    let mut players = [VIDEO, AUDIO]
        .map(|track| Player::join(&mut stage, t0, tcp(TrackMask::of(track), Start::Live)));
    for _ in 0..3 {
        stage.publish(t0, video.batch(t0, 1, 100));
        stage.publish(t0, audio.batch(t0, 1, 100));
        write_to_each(&mut stage, &mut players);
    }
    for (player, track) in players.iter().zip([VIDEO, AUDIO]) {
        assert_eq!((player.heard.len(), player.media(track).len()), (3, 3));
    }
}

#[test]
fn the_log_keeps_what_the_rest_of_a_row_has_not_been_sent() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let first = video.next.0;
    let mut players = row_of_video(&mut stage, &mut video, 2 * FEW_ALIKE);
    for _ in 0..4 {
        stage.publish(t0, video.batch(t0, 40, 1200));
    }
    let place = write_once(&mut stage, None, &mut players);
    assert_eq!(players.iter().filter(|player| player.heard.len() > 1).count(), FEW_ALIKE);
    // Nothing before it is of use to anybody else.
    stage.publish(t0, video.key(t0, 1, 100));
    stage.handle_timeout(t0);
    write_once(&mut stage, place, &mut players);
    write_to_each(&mut stage, &mut players);
    for player in &players {
        assert_eq!(player.media(VIDEO), (first..first + 162).collect::<Vec<_>>());
    }
    assert_eq!(events(&mut stage), []);
}

#[test]
fn readers_in_step_that_nobody_serves_any_more_are_cut() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let mut players: Vec<_> = (0..2).map(|_| Player::join(&mut stage, t0, join())).collect();
    stage.publish(t0, video.batch(t0, 1, 100));
    write_to_each(&mut stage, &mut players);
    stage.publish(t0, video.batch(t0, 1, 100));
    while let Some(at) = stage.poll_timeout().filter(|at| *at < t0 + ms(70_000)) {
        stage.handle_timeout(at);
    }
    let cut = |event: &AudienceEvent| matches!(event, AudienceEvent::Cut { .. });
    assert_eq!(events(&mut stage).iter().filter(|event| cut(event)).count(), 2);
}

#[test]
fn after_a_clear_readers_in_step_wait_for_a_key_frame() {
    let (t0, mut stage, mut video) = (origin(), stage(), Source::new(VIDEO));
    let join = || tcp(TrackMask::of(VIDEO), Start::Live);
    let mut players: Vec<_> = (0..2).map(|_| Player::join(&mut stage, t0, join())).collect();
    let first = video.next.0;
    stage.publish(t0, video.batch(t0, 1, 100));
    write_to_each(&mut stage, &mut players);
    stage.publish(t0, video.batch(t0, 1, 100));
    stage.clear();
    stage.publish(t0, video.batch(t0, 1, 100));
    write_to_each(&mut stage, &mut players);
    stage.publish(t0, video.key(t0, 1, 100));
    for player in &mut players {
        player.drain(&mut stage, t0);
        assert_eq!(player.media(VIDEO), [first, first + 3]);
    }
    assert_eq!(events(&mut stage), []);
}

/// A whole round, by sockets that take everything.
fn write_to_each(stage: &mut Stage, players: &mut [Player]) {
    let mut all: Vec<_> = players.iter_mut().map(|player| (player, usize::MAX)).collect();
    write_to_all(stage, origin(), &mut all);
}

/// A step of one.
fn write_once(
    stage: &mut Stage,
    after: Option<TcpPlace>,
    players: &mut [Player],
) -> Option<TcpPlace> {
    let mut all: Vec<_> = players.iter_mut().map(|player| (player, usize::MAX)).collect();
    write_to_some(stage, origin(), &mut all, after, &mut Vec::new())
}
