//! TCP readers against a reference model, over random sessions.
//!
//! The model knows what was published and what each reader joined for. It does not know how the
//! audience decides about lag; it holds it to what it says: a packet that a reader misses is
//! counted as dropped, nothing is dropped without an event, and video goes on with a key unit.

mod checks;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fan_out::{
    Audience, AudienceEvent, FanOutLimits, Join, ReaderKey, Start, TrackId, TrackMask, Transport,
    WireBatch,
};
use proptest::prelude::*;
use rtp_rtcp::ExtSeq;

use crate::source::{FIRST, ORDER, Source, ms, origin, report};
use crate::tcp_player::{Player, Stage, events, write_to_all};

/// Two video tracks and one audio track.
const TRACKS: u8 = 3;
const AUDIO: TrackId = TrackId(2);
const PADDING_JUMP: u32 = 40;
const LOG_BYTES: usize = 60_000;
const MAX_JUMP: u32 = 150;
/// A unit has so many packets at least: enough for a B-frame.
const MIN_UNIT: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    /// Packets of a track; for video, whether a unit begins at the first of them, and after how
    /// many batches more it becomes known as key (if it is one).
    Publish {
        track: u8,
        sizes: Vec<usize>,
        key: Option<u8>,
        lose: u8,
    },
    Report {
        track: u8,
    },
    Write {
        reader: usize,
        room: usize,
    },
    Drain {
        reader: usize,
    },
    /// All readers, those at even places with so much room each; and whether to look then, at one
    /// after the other, that nothing is left for them.
    WriteToAll {
        room: usize,
        looks: bool,
    },
    Answer {
        reader: usize,
        length: usize,
    },
    Wait {
        millis: u64,
    },
    Join {
        tracks: u8,
        start: Start,
        odd: bool,
        prologue: bool,
    },
    Leave {
        reader: usize,
    },
    Keep {
        reader: usize,
        tracks: u8,
    },
    Timeout,
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![8 => 24..1400_usize, 1 => 24..9000_usize];
    prop_oneof![
        20 => (0..TRACKS, prop::collection::vec(size, 1..8), prop::option::weighted(0.3, 0..3_u8), prop_oneof![9 => Just(0), 1 => 0..7_u8])
            .prop_map(|(track, sizes, key, lose)| Step::Publish { track, sizes, key, lose }),
        2 => (0..TRACKS).prop_map(|track| Step::Report { track }),
        10 => (0..8_usize, prop_oneof![0..200_usize, 0..20_000_usize]).prop_map(|(reader, room)| Step::Write { reader, room }),
        4 => (0..8_usize).prop_map(|reader| Step::Drain { reader }),
        14 => (prop_oneof![1 => 0..2_000_usize, 3 => Just(usize::MAX)], prop::bool::weighted(0.2))
            .prop_map(|(room, looks)| Step::WriteToAll { room, looks }),
        3 => (0..8_usize, 1..300_usize).prop_map(|(reader, length)| Step::Answer { reader, length }),
        4 => prop_oneof![3 => 0..50_u64, 1 => 0..700_u64].prop_map(|millis| Step::Wait { millis }),
        3 => (1..1_u8 << TRACKS, prop_oneof![1 => Just(Start::Live), 1 => Just(Start::KeyFrame), 2 => Just(Start::Instant)], any::<bool>(), any::<bool>())
            .prop_map(|(tracks, start, odd, prologue)| Step::Join { tracks, start, odd, prologue }),
        1 => (0..8_usize).prop_map(|reader| Step::Leave { reader }),
        1 => (0..8_usize, 0..1_u8 << TRACKS).prop_map(|(reader, tracks)| Step::Keep { reader, tracks }),
        2 => Just(Step::Timeout),
        1 => prop_oneof![7 => Just(Step::Timeout), 1 => Just(Step::Clear)],
    ]
}

/// A unit to be known as key.
#[derive(Clone, Copy)]
struct Pending {
    begins: ExtSeq,
    /// After how many batches more.
    after: u8,
    /// Bytes published before it.
    bytes: usize,
}

/// What is known of one track.
struct Track {
    source: Source,
    pending: Option<Pending>,
    published: Vec<u64>,
    /// First packets of key units that were announced.
    keys: BTreeSet<u64>,
    announced: Vec<Announced>,
    /// Packets published since a key unit was last announced.
    since_key: usize,
}

/// A key unit that was made known.
#[derive(Clone, Copy)]
struct Announced {
    /// How many entries there were before.
    at: usize,
    /// Its first packet.
    begins: u64,
    /// Bytes published before that.
    bytes: usize,
}

/// One reader, and what it joined for.
struct Reader {
    player: Player,
    mask: TrackMask,
    start: Start,
    odd: bool,
    prologue: Vec<TrackId>,
    /// Entries and packets published when it joined, and when the log was last cleared.
    joined_at: usize,
    first: Vec<u64>,
    /// What it begins with at once, by track.
    instant: Vec<Option<u64>>,
    answers: Vec<String>,
    /// How many entries there were each time it took all there was.
    drained_at: Vec<usize>,
    /// Whether the log was cleared while it was here.
    saw_clear: bool,
    happened: Vec<AudienceEvent>,
    /// By track: how things were when it gave the track up.
    given_up: Vec<Option<GivenUp>>,
}

/// How things were when a reader gave a track up.
#[derive(Clone, Copy)]
struct GivenUp {
    /// How many entries there were.
    entries: usize,
    /// The next number of the track.
    next: u64,
    /// How much the reader had heard, and whether a part of something more.
    heard: usize,
    is_in_the_middle: bool,
}

struct World {
    now: Instant,
    stage: Stage,
    tracks: Vec<Track>,
    readers: Vec<Reader>,
    entries: usize,
    bytes: usize,
    /// `bytes` when the log was last cleared.
    cleared_at: usize,
    /// How long it has lasted.
    waited: Duration,
    answers: usize,
}

fn video() -> TrackMask {
    TrackMask::of(TrackId(0)).union(TrackMask::of(TrackId(1)))
}

impl World {
    fn new() -> Self {
        let limits = FanOutLimits {
            log_max_bytes: LOG_BYTES,
            lag_max_bytes: 40_000,
            shed_bytes: 20_000,
            padding_jump: PADDING_JUMP,
            // The newest key unit, however young, so that the model needs no other.
            instant_min_age: ms(0),
            instant_max_bytes: 30_000,
            instant_max_age: ms(1500),
            max_jump: MAX_JUMP,
            ..FanOutLimits::default()
        };
        let tracks = (0..TRACKS).map(|track| Track {
            source: Source::new(TrackId(track)),
            pending: None,
            published: Vec::new(),
            keys: BTreeSet::new(),
            announced: Vec::new(),
            since_key: MIN_UNIT,
        });
        Self {
            now: origin(),
            stage: Audience::new(limits, video()),
            tracks: tracks.collect(),
            readers: Vec::new(),
            entries: 0,
            bytes: 0,
            cleared_at: 0,
            waited: Duration::ZERO,
            answers: 0,
        }
    }

    fn publish(&mut self, track: u8, sizes: &[usize], key: Option<u8>, lose: u8) {
        let is_video = TrackId(track) != AUDIO;
        let state = &mut self.tracks[usize::from(track)];
        state.source.lose(u64::from(lose) * ORDER);
        let may_begin = is_video && state.since_key >= MIN_UNIT;
        state.since_key += sizes.len();
        if let (Some(after), None, true) = (key, state.pending, may_begin) {
            state.pending = Some(Pending { begins: state.source.next, after, bytes: self.bytes });
        }
        for size in sizes {
            state.published.push(state.source.push(*size).0);
        }
        // Both forms, and more than what goes with them.
        self.bytes += sizes.iter().map(|size| 2 * size + 8).sum::<usize>() + 400;
        state.pending = match state.pending {
            Some(Pending { begins, after: 0, bytes }) => {
                state.source.note_key(begins);
                state.since_key = 0;
                state.keys.insert(begins.0);
                state.announced.push(Announced { at: self.entries, begins: begins.0, bytes });
                None
            }
            other => other.map(|pending| Pending { after: pending.after - 1, ..pending }),
        };
        let batch = state.source.finish(self.now);
        self.entries += 1;
        self.stage.publish(self.now, batch);
    }

    fn join(&mut self, tracks: u8, start: Start, odd: bool, prologue: bool) {
        let mask: TrackMask =
            (0..TRACKS).filter(|track| tracks >> track & 1 == 1).map(TrackId).collect();
        let channels =
            mask.iter().map(|track| (track, channel(track, odd), channel(track, odd) + 1));
        let prologue = if prologue { vec![TrackId(0), AUDIO] } else { Vec::new() };
        let join = Join {
            transport: Transport::Tcp { channels: channels.collect() },
            tracks: mask,
            start,
            prologue: prologue
                .iter()
                .map(|track| (*track, Bytes::from(report(*track, "prologue"))))
                .collect(),
        };
        let instant = |track: &Track| {
            let track = track.source.track();
            let seq = self.stage.instant_seq(self.now, track);
            seq.filter(|_| start == Start::Instant).map(|seq| seq.0)
        };
        let instant = self.tracks.iter().map(instant).collect();
        self.check_newest_keys();
        self.readers.push(Reader {
            instant,
            player: Player::join(&mut self.stage, self.now, join),
            mask,
            start,
            odd,
            prologue: prologue.into_iter().filter(|track| mask.contains(*track)).collect(),
            joined_at: self.entries,
            first: self.tracks.iter().map(|track| track.source.next.0).collect(),
            answers: Vec::new(),
            drained_at: Vec::new(),
            saw_clear: false,
            happened: Vec::new(),
            given_up: vec![None; usize::from(TRACKS)],
        });
    }

    /// What a reader would begin with at once is the newest key unit, if it is there.
    fn check_newest_keys(&self) {
        for track in &self.tracks {
            let newest = track.announced.iter().map(|key| (key.begins, key.bytes)).max();
            let seq = self.stage.instant_seq(self.now, track.source.track());
            if let Some(seq) = seq {
                assert_eq!(Some(seq.0), newest.map(|(begins, _)| begins));
            } else if let Some((begins, bytes)) = newest {
                let may_be_gone = self.cleared_at >= bytes || self.bytes - bytes > LOG_BYTES;
                let of_unit = track.published.iter().filter(|seq| **seq >= begins);
                assert!(may_be_gone || self.waited > ms(1500) || of_unit.count() * 9000 > 30_000);
            }
        }
    }

    fn keep(&mut self, reader: usize, tracks: u8) {
        let Some(reader) = self.readers.get_mut(reader) else { return };
        let kept: TrackMask =
            (0..TRACKS).filter(|track| tracks >> track & 1 == 1).map(TrackId).collect();
        self.stage.keep_tracks(self.now, reader.player.key, kept);
        for (state, given_up) in self.tracks.iter().zip(&mut reader.given_up) {
            if !kept.contains(state.source.track()) {
                given_up.get_or_insert(GivenUp {
                    entries: self.entries,
                    next: state.source.next.0,
                    heard: reader.player.heard.len(),
                    is_in_the_middle: reader.player.is_in_the_middle(),
                });
            }
        }
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Publish { track, sizes, key, lose } => self.publish(*track, sizes, *key, *lose),
            Step::Report { track } => {
                let entry =
                    WireBatch::report(TrackId(*track), &report(TrackId(*track), "sr"), self.now);
                self.entries += 1;
                self.stage.publish(self.now, entry);
            }
            Step::Write { reader, room } => {
                if let Some(reader) = self.readers.get_mut(*reader) {
                    reader.player.write(&mut self.stage, self.now, *room);
                }
            }
            Step::Drain { reader } => {
                if let Some(reader) = self.readers.get_mut(*reader) {
                    reader.player.drain(&mut self.stage, self.now);
                    reader.drained_at.push(self.entries);
                }
            }
            Step::WriteToAll { room, looks } => self.write_to_all(*room, *looks),
            Step::Answer { reader, length } => {
                self.answers += 1;
                let text = format!("RTSP/1.0 200 {}\r\n{:x<length$}\r\n\r\n", self.answers, "");
                if let Some(reader) = self.readers.get_mut(*reader) {
                    reader.player.answer(&text);
                    reader.answers.push(text);
                }
            }
            Step::Wait { millis } => {
                self.now += ms(*millis);
                self.waited += ms(*millis);
            }
            Step::Join { tracks, start, odd, prologue } if self.readers.len() < 8 => {
                self.join(*tracks, *start, *odd, *prologue);
            }
            Step::Join { .. } => {}
            Step::Leave { reader } => {
                if *reader < self.readers.len() {
                    let reader = self.readers.remove(*reader);
                    self.finish(reader);
                }
            }
            Step::Keep { reader, tracks } => self.keep(*reader, *tracks),
            Step::Timeout => self.stage.handle_timeout(self.now),
            Step::Clear => {
                self.stage.clear();
                self.cleared_at = self.bytes;
                self.tracks.iter_mut().for_each(|track| track.pending = None);
                self.readers.iter_mut().for_each(|reader| reader.saw_clear = true);
            }
        }
        self.deal_out_events();
    }

    /// Whoever gets nothing of its own, and has room, has all there is then.
    fn write_to_all(&mut self, room: usize, looks: bool) {
        let room_of = |place: usize| if place.is_multiple_of(2) { room } else { usize::MAX };
        let readers = self.readers.iter_mut().enumerate();
        let mut players: Vec<_> =
            readers.map(|(place, reader)| (&mut reader.player, room_of(place))).collect();
        let left = write_to_all(&mut self.stage, self.now, &mut players);
        for (player, room) in players {
            let is_done = !left.contains(&player.key) && !player.egress.has_pending();
            if looks && is_done && room == usize::MAX {
                assert_eq!(player.drain(&mut self.stage, self.now), 0);
            }
        }
    }

    fn deal_out_events(&mut self) {
        for event in events(&mut self.stage) {
            if matches!(event, AudienceEvent::NoBurst { .. }) {
                continue;
            }
            let key = concerned(&event);
            let reader = self.readers.iter_mut().find(|reader| reader.player.key == key);
            reader.expect("an event of a reader that is here").happened.push(event);
        }
    }
}

fn concerned(event: &AudienceEvent) -> ReaderKey {
    match event {
        AudienceEvent::Shed { reader, .. }
        | AudienceEvent::Jumped { reader, .. }
        | AudienceEvent::Recovered { reader, .. }
        | AudienceEvent::Cut { reader, .. } => *reader,
        other => panic!("{other:?}"),
    }
}

fn channel(track: TrackId, odd: bool) -> u8 {
    if odd { 20 - 2 * track.0 } else { 2 * track.0 }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn readers_get_what_the_model_says(steps in prop::collection::vec(step(), 1..250)) {
        let mut world = World::new();
        world.join(0b111, Start::KeyFrame, false, true);
        world.join(0b101, Start::Live, false, false);
        for step in &steps {
            world.perform(step);
        }
        while let Some(reader) = world.readers.pop() {
            world.finish(reader);
        }
        prop_assert!(world.tracks.iter().all(|track| track.source.next >= FIRST));
    }
}
