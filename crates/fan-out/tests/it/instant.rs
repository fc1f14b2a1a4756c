//! Readers that begin at once, rule by rule.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fan_out::{Audience, AudienceEvent, DropCause, FanOutLimits, Join, Start, TrackMask};
use rtp_rtcp::ExtSeq;

use crate::source::{AUDIO, Source, VIDEO, both, check_mapping, ms, origin, report};
use crate::tcp_player::{Heard, Player, Stage, events, tcp};
use crate::udp_players::{Net, address, udp};

/// A stream of a key frame of 40 packets and then 4 packets for each of `pictures`, 40 ms apart.
struct Camera {
    now: Instant,
    stage: Stage,
    video: Source,
    audio: Source,
}

impl Camera {
    fn new(limits: FanOutLimits) -> Self {
        Self {
            now: origin(),
            stage: Audience::new(limits, TrackMask::of(VIDEO)),
            video: Source::new(VIDEO),
            audio: Source::new(AUDIO),
        }
    }

    fn after(limits: FanOutLimits, pictures: usize) -> Self {
        let mut camera = Self::new(limits);
        camera.key_frame();
        camera.pictures(pictures);
        camera
    }

    fn key_frame(&mut self) -> ExtSeq {
        let begins = self.video.next;
        let batch = self.video.key(self.now, 40, 1200);
        self.stage.publish(self.now, batch);
        begins
    }

    fn picture(&mut self) {
        self.now += ms(40);
        let batch = self.video.batch(self.now, 4, 1200);
        self.stage.publish(self.now, batch);
        let batch = self.audio.batch(self.now, 1, 200);
        self.stage.publish(self.now, batch);
    }

    fn pictures(&mut self, count: usize) {
        (0..count).for_each(|_| self.picture());
    }

    /// Serves group 0 until nothing is due any more without a new publication.
    fn catch_up(&mut self, net: &mut Net) {
        net.drain(&mut self.stage, self.now, 0);
        while let Some(due) = self.stage.poll_timeout() {
            self.now = due;
            self.stage.handle_timeout(due);
            net.drain(&mut self.stage, due, 0);
        }
    }
}

fn numbers(from: ExtSeq, to: ExtSeq) -> Vec<u64> {
    (from.0..to.0).collect()
}

/// The numbers of the video that arrived at a reader.
fn got(net: &Net, reader: u32) -> Vec<u64> {
    net.timed(reader, VIDEO).into_iter().map(|(seq, _)| seq.0).collect()
}

/// Datagrams that arrive at one destination, with their times and sizes.
fn arrivals(camera: &mut Camera, to: u32) -> Vec<(Instant, usize)> {
    let mut arrived = Vec::new();
    loop {
        while let Some(send) = camera.stage.udp_next(camera.now, 0) {
            let size = send.segment.unwrap_or(send.payload.len());
            if send.to.contains(&to) {
                arrived.extend(send.payload.chunks(size).map(|part| (camera.now, part.len())));
            }
            let count = send.to.len();
            camera.stage.udp_sent(camera.now, 0, count, false);
        }
        let Some(due) = camera.stage.poll_timeout() else { return arrived };
        camera.now = due;
        camera.stage.handle_timeout(due);
    }
}

#[test]
fn over_tcp_the_picture_comes_with_the_first_write_and_sound_from_live() {
    let mut camera = Camera::after(FanOutLimits::default(), 50);
    let (begins, audio) = (camera.video.next, camera.audio.next);
    let prologue = [VIDEO, AUDIO].map(|track| (track, Bytes::from(report(track, "sr"))));
    let join = Join { prologue: prologue.into(), ..tcp(both(), Start::Instant) };
    let mut player = Player::join(&mut camera.stage, camera.now, join);
    player.write(&mut camera.stage, camera.now, usize::MAX);
    assert!(matches!(player.heard[..3], [Heard::Report(..), Heard::Report(..), Heard::Media(..)]));
    player.drain(&mut camera.stage, camera.now);
    assert_eq!(player.media(VIDEO), numbers(crate::source::FIRST, begins));
    assert_eq!(player.media(AUDIO), Vec::<u64>::new());
    let (before_live, mapped) = check_mapping(VIDEO, &player.timed(VIDEO));
    assert!(before_live > 40 * 3600, "{before_live}");
    assert_eq!(mapped, player.timed(VIDEO).len());

    camera.pictures(3);
    player.drain(&mut camera.stage, camera.now);
    assert_eq!(player.media(VIDEO), numbers(crate::source::FIRST, camera.video.next));
    assert_eq!(player.media(AUDIO), numbers(audio, camera.audio.next));
    assert_eq!(check_mapping(VIDEO, &player.timed(VIDEO)).1, player.timed(VIDEO).len());
    assert!(events(&mut camera.stage).is_empty());
}

#[test]
fn a_catch_up_over_tcp_is_no_lag_but_not_reading_it_is() {
    let limits = FanOutLimits {
        lag_max_bytes: 100_000,
        shed_bytes: 50_000,
        burst_grace: Duration::ZERO,
        ..FanOutLimits::default()
    };
    let mut camera = Camera::after(limits, 75);
    let mut player = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    // 3 s old and far more than may be shed; taken slowly, but within the time.
    for _ in 0..20 {
        camera.now += ms(40);
        player.write(&mut camera.stage, camera.now, 20_000);
    }
    assert!(events(&mut camera.stage).is_empty());
    player.drain(&mut camera.stage, camera.now);
    assert!(events(&mut camera.stage).is_empty());
    assert_eq!(player.media(VIDEO), numbers(crate::source::FIRST, camera.video.next));

    let mut other = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    other.write(&mut camera.stage, camera.now, 20_000);
    camera.now += ms(1100);
    camera.stage.handle_timeout(camera.now);
    let happened = events(&mut camera.stage);
    assert!(matches!(happened[..], [AudienceEvent::Shed { .. }]), "{happened:?}");
    let begins = camera.key_frame();
    other.drain(&mut camera.stage, camera.now);
    let got = other.media(VIDEO);
    assert!(
        got.contains(&begins.0)
            && got.len() < numbers(crate::source::FIRST, camera.video.next).len()
    );
    let stats = camera.stage.leave(other.key).expect("it is here");
    assert_eq!(got.len() as u64 + stats.dropped, camera.video.next.0 - crate::source::FIRST.0);
}

#[test]
fn a_unit_too_large_or_too_old_is_waited_for_and_said() {
    let small = FanOutLimits { instant_max_bytes: 40 * 1200, ..FanOutLimits::default() };
    let mut camera = Camera::after(small, 0);
    assert_eq!(camera.stage.instant_seq(camera.now, VIDEO), Some(crate::source::FIRST));
    camera.picture();
    assert_eq!(camera.stage.instant_seq(camera.now, VIDEO), None);
    let mut player = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("there is room");
    let told = events(&mut camera.stage);
    let is_large = |event: &AudienceEvent| matches!(event, AudienceEvent::NoBurst { unit: Some(unit), .. } if unit.bytes == 44 * 1200);
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(is_large), "{told:?}");
    assert_eq!(told[0].reader(), Some(player.key));
    let begins = camera.key_frame();
    player.drain(&mut camera.stage, camera.now);
    let mut net = Net::default();
    net.drain(&mut camera.stage, camera.now, 0);
    assert_eq!(player.media(VIDEO), numbers(begins, camera.video.next));
    assert_eq!(got(&net, 0), numbers(begins, camera.video.next));

    let mut camera = Camera::after(FanOutLimits::default(), 125);
    assert!(camera.stage.instant_seq(camera.now, VIDEO).is_some());
    camera.now += ms(1);
    assert_eq!(camera.stage.instant_seq(camera.now, VIDEO), None);
}

#[test]
fn with_an_empty_or_cleared_log_the_reader_waits_for_a_key_frame() {
    let mut camera = Camera::new(FanOutLimits::default());
    let mut first = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    assert!(events(&mut camera.stage).is_empty());
    let begins = camera.key_frame();
    first.drain(&mut camera.stage, camera.now);
    assert_eq!(first.media(VIDEO), numbers(begins, camera.video.next));

    camera.pictures(5);
    let mut net = Net::default();
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("there is room");
    net.send(&mut camera.stage, camera.now, 0, 1, false);
    let sent = got(&net, 0).len();
    camera.stage.clear();
    camera.pictures(1);
    camera.catch_up(&mut net);
    assert_eq!(got(&net, 0).len(), sent, "in the middle of a unit");
    let begins = camera.key_frame();
    camera.catch_up(&mut net);
    assert_eq!(got(&net, 0)[sent..], numbers(begins, camera.video.next));
}

#[test]
fn over_udp_it_is_paced_at_the_rate_and_never_more_than_a_receive_buffer_holds() {
    let mut camera = Camera::after(FanOutLimits::default(), 100);
    let joined = camera.now;
    camera.stage.join(joined, udp(0, 0, both(), Start::Instant)).expect("there is room");
    let arrived = arrivals(&mut camera, address(0, VIDEO, false));
    assert_eq!(arrived.len(), 440);
    assert_eq!(arrived[0].0, joined, "the first slice at once");
    // In any window: what the rate gives, and 24 packets.
    for (first, (from, _)) in arrived.iter().enumerate() {
        let mut bytes = 0;
        for (to, size) in &arrived[first..] {
            bytes += size;
            let at_rate = (*to - *from).as_nanos() as usize * 50 / 8000;
            assert!(bytes <= at_rate + 24 * 1200, "{bytes} bytes in {:?}", *to - *from);
        }
    }
    let lasted = arrived[439].0 - joined;
    let at_rate = Duration::from_nanos(440 * 1200 * 8000 / 50);
    assert!(lasted <= at_rate && lasted + ms(6) >= at_rate, "{lasted:?} for {at_rate:?}");
}

#[test]
fn a_late_timer_is_made_up_for_but_not_without_bound() {
    let mut camera = Camera::after(FanOutLimits::default(), 100);
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("there is room");
    let mut net = Net::default();
    net.drain(&mut camera.stage, camera.now, 0);
    let before = got(&net, 0).len();
    camera.now += ms(500);
    net.drain(&mut camera.stage, camera.now, 0);
    assert!((1..=24).contains(&(got(&net, 0).len() - before)));
}

#[test]
fn a_stream_faster_than_the_rate_is_caught_up_with_all_the_same() {
    let limits = FanOutLimits { instant_rate: 1000, ..FanOutLimits::default() };
    let mut camera = Camera::after(limits, 50);
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("there is room");
    let joined = camera.now;
    let mut net = Net::default();
    let behind = |camera: &Camera, net: &Net| {
        let last = got(net, 0).last().copied().unwrap_or(0);
        camera.video.next.0 - 1 - last
    };
    loop {
        let until = camera.now + ms(40);
        loop {
            net.drain(&mut camera.stage, camera.now, 0);
            match camera.stage.poll_timeout().filter(|due| *due < until) {
                None => break,
                Some(due) => camera.now = due,
            }
            camera.stage.handle_timeout(camera.now);
        }
        if behind(&camera, &net) == 0 {
            break;
        }
        camera.now = until - ms(40);
        camera.picture();
        assert!(camera.now - joined < Duration::from_secs(6), "it never meets the others");
    }
    assert!(camera.now - joined > ms(800), "unpaced");
    assert_eq!(got(&net, 0), numbers(crate::source::FIRST, camera.video.next));
}

#[test]
fn live_readers_get_the_same_at_the_same_time_whoever_joins() {
    let mut camera = Camera::after(FanOutLimits::default(), 25);
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Live)).expect("there is room");
    let first = camera.video.next;
    let mut net = Net::default();
    for reader in 1..=60 {
        camera.stage.join(camera.now, udp(reader, 0, both(), Start::Instant)).expect("room");
        net.send(&mut camera.stage, camera.now, 0, usize::MAX, false);
        if reader % 4 == 0 {
            camera.picture();
            // A slice of somebody's catch-up at most comes between two of the live offers.
            for _ in 0..4 {
                net.send(&mut camera.stage, camera.now, 0, usize::MAX, false);
            }
            assert_eq!(got(&net, 0), numbers(first, camera.video.next));
        }
    }
    camera.catch_up(&mut net);
    for reader in 1..=60 {
        assert_eq!(got(&net, reader), numbers(crate::source::FIRST, camera.video.next));
        let timed = net.timed(reader, VIDEO);
        let (before_live, mapped) = check_mapping(VIDEO, &timed);
        assert!(mapped == timed.len() && before_live > 40 * 3600);
    }
    assert!(events(&mut camera.stage).is_empty());
}

#[test]
fn readers_that_join_before_it_begins_share_a_catch_up() {
    let mut camera = Camera::after(FanOutLimits::default(), 25);
    for reader in 0..500 {
        camera.stage.join(camera.now, udp(reader, 0, both(), Start::Instant)).expect("room");
    }
    camera.picture();
    let mut net = Net::default();
    let mut offers = 0;
    loop {
        offers += net.drain(&mut camera.stage, camera.now, 0);
        let Some(due) = camera.stage.poll_timeout() else { break };
        camera.now = due;
        camera.stage.handle_timeout(due);
    }
    // 144 packets in runs of 13 to 64 readers at a time, and the picture that came meanwhile.
    assert!(offers < 12 * 8 + 2 * 8 + 16, "{offers}");
    assert!((0..500).all(|reader| got(&net, reader).len() == 144));
}

/// Serves group 0 for so many milliseconds by a machine that sends `offers` times within each.
fn serve_slowly(camera: &mut Camera, net: &mut Net, millis: u64, offers: usize) {
    let began = camera.now;
    for now in (0..millis).map(|millis| began + ms(millis)) {
        if camera.stage.poll_timeout().is_some_and(|due| due <= now) {
            camera.stage.handle_timeout(now);
        }
        for _ in 0..offers {
            net.send(&mut camera.stage, now, 0, usize::MAX, false);
        }
    }
}

#[test]
fn first_pictures_go_before_what_follows_those_of_others() {
    let mut camera = Camera::after(FanOutLimits::default(), 75);
    let mut net = Net::default();
    // Each takes 27 slices or more, and there are ten from one to the next.
    for reader in 0..30 {
        camera.stage.join(camera.now, udp(reader, 0, both(), Start::Instant)).expect("room");
        serve_slowly(&mut camera, &mut net, 1, 1);
        assert!(got(&net, reader).len() >= 4, "{reader}");
        serve_slowly(&mut camera, &mut net, 10, 1);
        camera.now += ms(10);
    }
    assert!((0..30).any(|reader| got(&net, reader).len() < 100));
    camera.catch_up(&mut net);
    let all = numbers(crate::source::FIRST, camera.video.next);
    assert!((0..30).all(|reader| got(&net, reader) == all));
}

#[test]
fn catch_ups_that_never_end_are_left_for_the_next_key_frame() {
    let mut camera = Camera::after(FanOutLimits::default(), 40);
    let mut net = Net::default();
    for reader in 0..30 {
        camera.stage.join(camera.now, udp(reader, 0, both(), Start::Instant)).expect("room");
        net.drain(&mut camera.stage, camera.now, 0);
    }
    // Less than one offer for each within 40 ms, and there is more to send all the time.
    for picture in 0..60 {
        serve_slowly(&mut camera, &mut net, 20, 1);
        if picture == 5 {
            // Nobody is late enough yet.
            camera.key_frame();
        }
        camera.picture();
    }
    let lives = |camera: &Camera, net: &Net| {
        let last = camera.video.next.0 - 1;
        (0..30).filter(|reader| got(net, *reader).last() == Some(&last)).count()
    };
    assert_eq!(lives(&camera, &net), 0);
    let begins = camera.key_frame();
    for _ in 0..5 {
        serve_slowly(&mut camera, &mut net, 20, 1);
        camera.picture();
    }
    serve_slowly(&mut camera, &mut net, 20, 1);
    assert_eq!(lives(&camera, &net), 30);
    for reader in 0..30 {
        assert!(got(&net, reader).ends_with(&numbers(begins, camera.video.next)));
        let (_, mapped) = check_mapping(VIDEO, &net.timed(reader, VIDEO));
        assert_eq!(mapped, got(&net, reader).len());
    }
    let told = events(&mut camera.stage);
    let is_late = |event: &AudienceEvent| {
        matches!(event, AudienceEvent::UdpDropped { cause: DropCause::Late, .. })
    };
    assert!(!told.is_empty() && told.iter().all(is_late), "{told:?}");
}

#[test]
fn while_many_wait_for_their_first_picture_others_wait_for_the_next_key_frame() {
    let limits = FanOutLimits { instant_min_age: Duration::ZERO, ..FanOutLimits::default() };
    let (mut camera, mut net) = (Camera::new(limits), Net::default());
    for reader in 0..64 {
        camera.key_frame();
        net.send(&mut camera.stage, camera.now, 0, 0, false);
        camera.stage.join(camera.now, udp(reader, 0, both(), Start::Instant)).expect("room");
        camera.now += ms(1);
    }
    assert_eq!(events(&mut camera.stage), []);
    camera.now += ms(50);
    let late = camera.stage.join(camera.now, udp(64, 0, both(), Start::Instant)).expect("room");
    assert_eq!(events(&mut camera.stage), [AudienceEvent::Busy { reader: late }]);
    camera.catch_up(&mut net);
    assert_eq!((got(&net, 63).len(), got(&net, 64).len()), (40, 0));
    let begins = camera.key_frame();
    camera.catch_up(&mut net);
    assert_eq!(got(&net, 64), numbers(begins, camera.video.next));
    camera.stage.join(camera.now, udp(65, 0, both(), Start::Instant)).expect("room");
    assert_eq!(events(&mut camera.stage), []);
}

#[test]
fn a_new_key_frame_does_not_take_away_what_a_joiner_is_being_sent() {
    let mut camera = Camera::after(FanOutLimits::default(), 75);
    let mut player = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    player.write(&mut camera.stage, camera.now, 10_000);
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("there is room");
    let mut net = Net::default();
    net.send(&mut camera.stage, camera.now, 0, 1, false);
    camera.key_frame();
    camera.picture();
    player.drain(&mut camera.stage, camera.now);
    camera.catch_up(&mut net);
    assert_eq!(player.media(VIDEO), numbers(crate::source::FIRST, camera.video.next));
    assert_eq!(got(&net, 0), numbers(crate::source::FIRST, camera.video.next));
    assert!(events(&mut camera.stage).is_empty());
    // While the new one is young, the one before it stays for who joins.
    camera.pictures(29);
    player.drain(&mut camera.stage, camera.now);
    camera.catch_up(&mut net);
    camera.picture();
    assert!(camera.stage.log_span() < ms(1500), "kept for nobody");
}

#[test]
fn a_reader_does_not_begin_with_a_key_frame_that_is_young_if_there_is_an_older_one() {
    // Pictures from one key frame to the next and in all, and how many a reader begins with.
    for (every, pictures, wanted) in [
        (75, 75 + 30, 30..=30),
        (75, 75 + 29, 75 + 29..=75 + 29),
        (75, 75 + 1, 75 + 1..=75 + 1),
        // There are so many that not all are noted.
        (5, 100, 30..=45),
        (1, 100, 30..=45),
        (1, 10, 10..=10),
        // The older one lies too far back.
        (120, 120 + 10, 10..=10),
    ] {
        let mut camera = Camera::new(FanOutLimits::default());
        let mut keys = Vec::new();
        for picture in 0..pictures {
            if picture % every == 0 {
                keys.push((camera.key_frame(), pictures - picture));
            }
            camera.picture();
        }
        let first = camera.stage.instant_seq(camera.now, VIDEO);
        let missed = keys.iter().find(|(key, _)| Some(*key) == first).map(|(_, missed)| *missed);
        assert!(missed.is_some_and(|missed| wanted.contains(&missed)), "{every}: {missed:?}");
        let mut player = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
        player.drain(&mut camera.stage, camera.now);
        assert_eq!(player.media(VIDEO), numbers(first.expect("a key frame"), camera.video.next));
        // Nothing before is kept, but for some of a second.
        let kept = camera.stage.log_span();
        assert!(kept <= ms(40 * (missed.unwrap_or_default() + 1)), "{every}: {kept:?}");
    }
}

#[test]
fn a_unit_that_is_still_arriving_is_begun_at_once_and_followed() {
    let mut camera = Camera::new(FanOutLimits::default());
    let begins = camera.key_frame();
    let mut player = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("there is room");
    let mut net = Net::default();
    for _ in 0..3 {
        player.drain(&mut camera.stage, camera.now);
        camera.catch_up(&mut net);
        assert_eq!(player.media(VIDEO), numbers(begins, camera.video.next));
        assert_eq!(got(&net, 0), numbers(begins, camera.video.next));
        let batch = camera.video.batch(camera.now, 40, 1200);
        camera.stage.publish(camera.now, batch);
    }
}

#[test]
fn giving_up_the_track_ends_its_catch_up_and_nothing_else() {
    let mut camera = Camera::after(FanOutLimits::default(), 25);
    let mut player = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    let key = camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("room");
    let mut net = Net::default();
    player.write(&mut camera.stage, camera.now, 3000);
    net.send(&mut camera.stage, camera.now, 0, 1, false);
    let before = (player.media(VIDEO).len(), got(&net, 0).len());
    camera.stage.keep_tracks(camera.now, player.key, TrackMask::of(AUDIO));
    camera.stage.keep_tracks(camera.now, key, TrackMask::of(AUDIO));
    let audio = camera.audio.next;
    camera.pictures(3);
    player.drain(&mut camera.stage, camera.now);
    camera.catch_up(&mut net);
    // But for the end of a frame already cut.
    assert_eq!((player.media(VIDEO).len(), got(&net, 0).len()), (before.0 + 1, before.1));
    assert_eq!(player.media(AUDIO), numbers(audio, camera.audio.next));
    assert_eq!(net.media(0, AUDIO), numbers(audio, camera.audio.next));
    assert_eq!(camera.stage.leave(key).map(|stats| stats.dropped), Some(0));
}

#[test]
fn what_the_budget_takes_before_it_began_is_not_begun_in_the_middle() {
    let mut camera = Camera::after(FanOutLimits::default(), 25);
    let mut player = Player::join(&mut camera.stage, camera.now, tcp(both(), Start::Instant));
    camera.stage.join(camera.now, udp(0, 0, both(), Start::Instant)).expect("there is room");
    let mut net = Net::default();
    camera.stage.forget_before(camera.now - ms(500));
    player.drain(&mut camera.stage, camera.now);
    camera.catch_up(&mut net);
    assert_eq!((player.media(VIDEO).len(), got(&net, 0).len()), (0, 0));
    let begins = camera.key_frame();
    player.drain(&mut camera.stage, camera.now);
    camera.catch_up(&mut net);
    assert_eq!(player.media(VIDEO), numbers(begins, camera.video.next));
    assert_eq!(got(&net, 0), numbers(begins, camera.video.next));
}
