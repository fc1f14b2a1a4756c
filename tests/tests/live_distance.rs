//! How far behind the camera a player's picture is, by what the picture shows.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use integration_tests::camera;
use integration_tests::clips::{Codec, FPS, Pictures, REPEATS};
use integration_tests::pictures::{Player, Shown, content_time};
use integration_tests::proxy::Proxy;
use integration_tests::raw::RawReader;
use integration_tests::reader::Over;
use integration_tests::wait;
use test_camera::{Camera, CameraOptions};

/// How old the key frame is at the join, where there are so old ones.
const KEY_FRAME_AGE: Duration = Duration::from_secs(3);
/// What a player needs from its start to its PLAY.
const STARTING: Duration = Duration::from_millis(200);
/// When the distance is taken, and from the pictures of how long.
const LATER: Duration = Duration::from_secs(10);
const AROUND: Duration = Duration::from_millis(400);
/// What a busy machine may add. (Timestamps as they were would add `KEY_FRAME_AGE`.)
const BUSY: Duration = Duration::from_millis(700);
/// What may be added at all, in one attempt of several.
const EXACT: Duration = Duration::from_millis(100);
const ATTEMPTS: usize = 3;

/// A kind of player.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Ffmpeg,
    Gstreamer,
    Mpv,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Ffmpeg, Self::Gstreamer, Self::Mpv];

    /// How far behind live it stays of its own accord: it has to probe, to buffer, to decode.
    fn own(self) -> Duration {
        Duration::from_millis(match self {
            Self::Ffmpeg => 280,
            Self::Gstreamer => 220,
            Self::Mpv => 300,
        })
    }

    fn start(self, url: &str, over: Over, codec: Codec) -> Player {
        match self {
            Self::Ffmpeg => Player::ffmpeg_in_time(url, over),
            Self::Gstreamer => Player::gstreamer_in_time(url, over, codec),
            Self::Mpv => Player::mpv(url, over),
        }
    }
}

/// A camera, a proxy, and that a player joins there.
struct Stage {
    pictures: Pictures,
    camera: Camera,
    proxy: Proxy,
}

impl Stage {
    fn new(pictures: Pictures) -> Self {
        let options = CameraOptions {
            pictures: Some(pictures.file()),
            // The next key frame comes soon.
            age: Duration::from_secs(pictures.gop.into()).saturating_sub(Duration::from_secs(1)),
            ..CameraOptions::default()
        };
        let camera = camera::start(options);
        let proxy = Proxy::of_camera(&camera.url(0), &[]);
        Self { pictures, camera, proxy }
    }

    /// Has players join a stream that is playing when its newest key frame is `KEY_FRAME_AGE`
    /// old, and sees what they show.
    fn join(&self, players: &[(Kind, Over)]) -> Vec<Outcome> {
        let first = RawReader::play_tracks(&self.proxy.url("cam"), Over::Tcp, &[1, 2]).run();
        let began = content_time(&self.camera);
        let gop = Duration::from_secs(self.pictures.gop.into());
        // In short groups of pictures, late.
        let wanted = KEY_FRAME_AGE.min(gop.mul_f64(0.9)).saturating_sub(STARTING);
        let playing: Vec<_> = players
            .iter()
            .map(|&(kind, over)| {
                let ready = wait::until(2 * REPEATS, || {
                    let now = content_time(&self.camera);
                    let age = self.pictures.key_frame_age(now);
                    // The stream must have been kept going for so long too.
                    let kept = now - began > age.max(KEY_FRAME_AGE) + STARTING;
                    kept && age >= wanted && age - wanted < STARTING / 2
                });
                assert!(ready, "{}: there was no such moment", self.pictures.name());
                let now = content_time(&self.camera);
                let key = now - self.pictures.key_frame_age(now);
                let url = format!("{}?start=instant", self.proxy.url("cam"));
                let player = kind.start(&url, over, self.pictures.codec);
                Joined { kind, over, started: wait::now(), key: number(key), player }
            })
            .collect();
        let last = playing.iter().map(|joined| joined.started).max();
        let end = last.map_or_else(wait::now, |last| last + LATER + AROUND);
        wait::pass(end.saturating_duration_since(wait::now()));
        let mut outcomes: Vec<_> = playing.iter().map(|joined| self.outcome(joined)).collect();
        if let (Err(error), Some(outcome)) = (first.stop().check(&[1, 2]), outcomes.first_mut()) {
            outcome.wrong.push(format!("who played before: {error}"));
        }
        outcomes
    }

    fn outcome(&self, joined: &Joined) -> Outcome {
        let &Joined { kind, over, started, key, ref player } = joined;
        let mut shown = player.shown();
        // A player that gets no time to read loses datagrams: others test that none is lost.
        if over == Over::Udp {
            shown.retain(|picture| picture.number.is_some());
        }
        shown.dedup_by_key(|picture| picture.number);
        let complaints = if over == Over::Tcp { player.complaints() } else { Vec::new() };
        let said = complaints.into_iter().take(5);
        let mut wrong: Vec<_> = said.map(|line| format!("it says {line:?}")).collect();
        // ffmpeg shows all there is, from the key frame on; the others what they have time for.
        let all = kind == Kind::Ffmpeg && over == Over::Tcp;
        let longest = if all { 1 } else { FPS * 8 };
        for pair in shown.windows(2) {
            if !step(&pair[0], &pair[1]).is_some_and(|step| (1..=longest).contains(&step)) {
                let at = pair[1].at - started;
                wrong.push(format!("{:?} after {:?} at {at:?}", pair[1].number, pair[0].number));
            }
        }
        let begins = shown.first().and_then(|picture| picture.number);
        // Where there is none so old, with one before the newest.
        let gop = self.pictures.gop * FPS;
        let is_young = u64::from(self.pictures.gop) < KEY_FRAME_AGE.as_secs();
        let fits = |n: u32| n == key || (is_young && n.is_multiple_of(gop));
        if all && !begins.is_some_and(fits) {
            wrong.push(format!("begins with {begins:?}, not with {key}"));
        }
        let ages = |moment: Instant| {
            let near =
                |picture: &&Shown| picture.at >= moment - AROUND && picture.at <= moment + AROUND;
            let ages = shown.iter().filter(near).filter_map(|picture| picture.age(&self.camera));
            let mut ages: Vec<_> = ages.collect();
            ages.sort_unstable();
            ages.get(ages.len() / 2).copied()
        };
        let first = shown.first().map(|picture| picture.at);
        Outcome {
            who: format!("{}: {kind:?} over {over:?}", self.pictures.name()),
            first: first.map(|first| first - started),
            early: first.and_then(|first| ages(first + Duration::from_secs(1))),
            late: ages(started + LATER),
            best: kind.own() + self.pictures.floor(),
            wrong,
        }
    }
}

/// A player since its start, and the number of the key frame that was the newest then.
struct Joined {
    kind: Kind,
    over: Over,
    started: Instant,
    key: u32,
    player: Player,
}

/// The number of the picture of a moment.
fn number(content: Duration) -> u32 {
    let millis = content.as_millis() % REPEATS.as_millis();
    u32::try_from(millis).unwrap_or_default() * FPS / 1000
}

/// By how many frames the clip went on.
fn step(before: &Shown, after: &Shown) -> Option<u32> {
    let all = u32::try_from(REPEATS.as_secs()).ok()? * FPS;
    Some((after.number? + all - before.number?) % all)
}

/// What a player did.
struct Outcome {
    who: String,
    /// From the player's start to its first picture.
    first: Option<Duration>,
    /// How far behind it was a second after its first picture.
    early: Option<Duration>,
    /// How far behind it was `LATER` than its start.
    late: Option<Duration>,
    /// How far behind it is at best.
    best: Duration,
    /// What is wrong with it but for that.
    wrong: Vec<String>,
}

impl Outcome {
    fn print(&self) {
        let [first, early, late, best] =
            [self.first, self.early, self.late, Some(self.best)].map(seconds);
        println!(
            "{:34} first picture after {first}, behind by {early} 1 s after that, by {late} 10 s \
             after the start (at best {best})",
            self.who
        );
    }

    /// What is wrong if it may be so much further behind than it could be.
    fn faults(&self, by: Duration) -> Vec<String> {
        let is_late = self.late.is_none_or(|late| late > self.best + by);
        let late = is_late.then(|| format!("{} behind", seconds(self.late)));
        self.wrong.iter().chain(&late).map(|wrong| format!("{}: {wrong}", self.who)).collect()
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.2} s", time.as_secs_f64()))
}

/// Joins of each kind of player, until none of them fails by more than `by`, or too often.
fn join_until_near(stage: &Stage, mut players: Vec<(Kind, Over)>, by: Duration) -> Vec<String> {
    let mut wrong = Vec::new();
    for _ in 0..ATTEMPTS {
        let outcomes = stage.join(&players);
        outcomes.iter().for_each(Outcome::print);
        // What other programs do can only be to a player's harm.
        let faults: Vec<_> = outcomes.iter().map(|outcome| outcome.faults(by)).collect();
        let mut failed = faults.iter().map(|faults| !faults.is_empty());
        players.retain(|_| failed.next() == Some(true));
        wrong = faults.concat();
        if players.is_empty() {
            break;
        }
    }
    wrong
}

/// One kind of pictures on a busy machine.
fn check(codec: Codec, b_frames: bool, over: [Over; 3]) {
    let stage = Stage::new(Pictures { codec, gop: 4, b_frames });
    let players = Kind::ALL.into_iter().zip(over).collect();
    let wrong = join_until_near(&stage, players, BUSY);
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", stage.proxy.log());
}

#[test]
fn players_are_near_to_live_at_once() {
    check(Codec::H264, false, [Over::Tcp, Over::Udp, Over::Tcp]);
}

#[test]
fn players_are_near_to_live_at_once_where_frames_are_not_sent_in_order() {
    check(Codec::H264, true, [Over::Udp, Over::Tcp, Over::Udp]);
}

#[test]
fn players_of_h265_are_near_to_live_at_once() {
    check(Codec::H265, true, [Over::Tcp, Over::Udp, Over::Tcp]);
}

/// The video that comes within this time: numbers, and what they stand for.
fn video(reader: &mut RawReader, time: Duration) -> BTreeMap<u16, (u32, Vec<u8>)> {
    let end = wait::now() + time;
    let mut packets = BTreeMap::new();
    while let Some(packet) = reader.next_media(1, end.saturating_duration_since(wait::now())) {
        let header = packet.header();
        packets.insert(header.seq, (header.timestamp, packet.payload().to_vec()));
    }
    packets
}

#[test]
fn what_a_reader_missed_comes_in_order_and_closer_together_and_leads_to_what_all_get() {
    for (codec, over) in [(Codec::H264, Over::Tcp), (Codec::H265, Over::Udp)] {
        let pictures = Pictures { codec, gop: 4, b_frames: true };
        let stage = Stage::new(pictures);
        let url = stage.proxy.url("cam");
        let mut first = RawReader::play_tracks(&url, Over::Tcp, &[1, 2]);
        let warm = std::thread::spawn(move || video(&mut first, Duration::from_secs(7)));
        wait::pass(Duration::from_secs(1) + KEY_FRAME_AGE);
        let mut reader = RawReader::play_tracks(&format!("{url}?start=instant"), over, &[1, 2]);
        let late = video(&mut reader, Duration::from_secs(2));
        let warm = warm.join().expect("the first reader");

        // By their true times: those the reader got, and by what payload.
        let mut pairs = Vec::new();
        for (seq, (timestamp, payload)) in &late {
            let Some((original, same)) = warm.get(seq) else { continue };
            assert_eq!(payload, same, "{seq}");
            pairs.push((*original, *timestamp));
        }
        assert!(pairs.len() > 500, "{} packets in common of {}", pairs.len(), late.len());
        let base = pairs[0].0.wrapping_sub(1 << 30);
        pairs.iter_mut().for_each(|(original, timestamp)| {
            *original = original.wrapping_sub(base);
            *timestamp = timestamp.wrapping_sub(base);
        });
        pairs.sort_unstable();
        pairs.dedup();
        let live = pairs.iter().position(|(original, timestamp)| original == timestamp);
        let live = live.expect("something as all get it");
        let (missed, all) = pairs.split_at(live);
        assert!((50..150).contains(&missed.len()), "{} pictures missed", missed.len());
        assert!(all.len() > 25 && all.iter().all(|(original, timestamp)| original == timestamp));
        let steps = pairs.windows(2).map(|pair| pair[1].1.checked_sub(pair[0].1));
        let steps: Option<Vec<u32>> = steps.collect();
        let steps = steps.expect("timestamps in the order of the pictures");
        let short = |step: &u32| (45..=180).contains(step);
        assert!(steps[..live - 1].iter().all(short), "{codec:?}: {steps:?}");
    }
}

#[test]
#[ignore = "takes six minutes, and a machine that has little else to do"]
fn every_player_is_as_near_to_live_as_it_can_be() {
    let mut wrong = Vec::new();
    for (codec, gop, b_frames) in [
        (Codec::H264, 4, false),
        (Codec::H264, 1, false),
        (Codec::H264, 10, false),
        (Codec::H264, 4, true),
        (Codec::H264, 1, true),
        (Codec::H264, 10, true),
        (Codec::H265, 4, false),
        (Codec::H265, 1, false),
        (Codec::H265, 10, false),
        (Codec::H265, 4, true),
        (Codec::H265, 1, true),
        (Codec::H265, 10, true),
    ] {
        for over in [Over::Tcp, Over::Udp] {
            let stage = Stage::new(Pictures { codec, gop, b_frames });
            let players = Kind::ALL.map(|kind| (kind, over)).into();
            wrong.extend(join_until_near(&stage, players, EXACT));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
