//! Many readers over TCP that keep up, most of them in step: what each one was sent, its counters
//! and its lag, against what was published, over random sessions in which rounds are interrupted.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fan_out::{Audience, FanOutLimits, ReaderKey, Start, TcpPlace, TrackId, TrackMask, WireBatch};
use proptest::prelude::*;

use crate::source::{AUDIO, Source, VIDEO, both, origin, report};
use crate::tcp_player::{Heard, Player, Stage, events, tcp, write_to_some};

#[derive(Clone, Debug)]
enum Step {
    Publish {
        track: TrackId,
        count: usize,
        size: usize,
    },
    Report {
        track: TrackId,
    },
    /// So many steps of a round, in which the socket of reader `short` and of every sixtieth after
    /// it takes only so much.
    Write {
        steps: usize,
        short: usize,
        room: usize,
    },
    Drain {
        reader: usize,
    },
    Join {
        tracks: TrackMask,
        count: usize,
    },
    Leave {
        reader: usize,
    },
    Keep {
        reader: usize,
        tracks: TrackMask,
    },
    Kernel {
        reader: usize,
        bytes: u32,
    },
    Describe,
    Timeout,
}

fn step() -> impl Strategy<Value = Step> {
    let track = || prop_oneof![3 => Just(VIDEO), 1 => Just(AUDIO)];
    let tracks = || {
        prop_oneof![
            2 => Just(both()),
            2 => Just(TrackMask::of(VIDEO)),
            1 => Just(TrackMask::of(AUDIO))
        ]
    };
    let size = prop_oneof![2 => (1..4_usize, 24..900_usize), 3 => (10..60_usize, 900..4000_usize)];
    let room = prop_oneof![3 => Just(usize::MAX), 1 => 0..20_000_usize];
    prop_oneof![
        12 => (track(), size).prop_map(|(track, (count, size))| Step::Publish { track, count, size }),
        2 => track().prop_map(|track| Step::Report { track }),
        24 => (1..6_usize, 1..60_usize, room)
            .prop_map(|(steps, short, room)| Step::Write { steps, short, room }),
        2 => (0..200_usize).prop_map(|reader| Step::Drain { reader }),
        2 => (tracks(), 1..60_usize).prop_map(|(tracks, count)| Step::Join { tracks, count }),
        3 => (0..200_usize).prop_map(|reader| Step::Leave { reader }),
        1 => (0..200_usize, tracks()).prop_map(|(reader, tracks)| Step::Keep { reader, tracks }),
        1 => (0..200_usize, 0..3_u32).prop_map(|(reader, bytes)| Step::Kernel { reader, bytes }),
        1 => Just(Step::Timeout),
        1 => prop_oneof![4 => Just(Step::Timeout), 1 => Just(Step::Describe)],
    ]
}

/// A packet that was published.
#[derive(Clone, Copy)]
struct Packet {
    track: TrackId,
    /// None of a report.
    seq: Option<u64>,
    octets: u64,
}

struct Reader {
    player: Player,
    /// What it is to get, in order.
    due: Vec<Packet>,
    mask: TrackMask,
    kernel: u64,
}

struct World {
    now: Instant,
    stage: Stage,
    sources: [Source; 2],
    readers: Vec<Reader>,
    place: Option<TcpPlace>,
}

impl World {
    fn publish(&mut self, packets: &[Packet]) {
        for reader in &mut self.readers {
            reader.due.extend(packets.iter().filter(|packet| reader.mask.contains(packet.track)));
        }
    }

    fn join(&mut self, tracks: TrackMask) {
        self.readers.push(Reader {
            player: Player::join(&mut self.stage, self.now, tcp(tracks, Start::Live)),
            due: Vec::new(),
            mask: tracks,
            kernel: 0,
        });
    }

    fn perform(&mut self, step: &Step) {
        match *step {
            Step::Publish { track, count, size } => {
                self.now += FRAME;
                let source = &mut self.sources[track.index()];
                let first = source.next.0;
                let octets = size.max(24) as u64;
                // A batch holds no more.
                let count = count.min(60_000 / size);
                self.stage.publish(self.now, source.batch(self.now, count, size));
                let packets: Vec<_> = (first..source.next.0)
                    .map(|seq| Packet { track, seq: Some(seq), octets })
                    .collect();
                self.publish(&packets);
            }
            Step::Report { track } => {
                let bytes = report(track, "sr");
                self.stage.publish(self.now, WireBatch::report(track, &bytes, self.now));
                self.publish(&[Packet { track, seq: None, octets: bytes.len() as u64 }]);
            }
            Step::Write { steps, short, room } => self.write(steps, short, room),
            Step::Drain { reader } => {
                if let Some(reader) = self.readers.get_mut(reader) {
                    reader.player.drain(&mut self.stage, self.now);
                }
            }
            Step::Join { tracks, count } => {
                for _ in 0..count.min(180_usize.saturating_sub(self.readers.len())) {
                    self.join(tracks);
                }
            }
            Step::Leave { reader } => {
                if reader < self.readers.len() {
                    let reader = self.readers.swap_remove(reader);
                    let seen = self.stage.stats(reader.player.key);
                    assert_eq!(self.stage.leave(reader.player.key), seen);
                    assert_eq!(self.stage.stats(reader.player.key), None);
                }
            }
            Step::Keep { reader, tracks } => {
                let Some(reader) = self.readers.get_mut(reader) else { return };
                // What it was sent already, a packet that is cut included.
                let sent = self.stage.stats(reader.player.key).expect("it is here").packets;
                self.stage.keep_tracks(self.now, reader.player.key, tracks);
                reader.mask = reader.mask.intersect(tracks);
                let rest = reader.due.split_off(sent as usize);
                reader.due.extend(rest.iter().filter(|packet| tracks.contains(packet.track)));
            }
            Step::Kernel { reader, bytes } => {
                let Some(reader) = self.readers.get_mut(reader) else { return };
                self.stage.note_kernel_bytes(reader.player.key, bytes);
                reader.kernel = u64::from(bytes);
            }
            Step::Describe => self.stage.set_tracks(TrackMask::of(VIDEO)),
            Step::Timeout => self.stage.handle_timeout(self.now),
        }
    }

    fn write(&mut self, steps: usize, short: usize, room: usize) {
        let readers = self.readers.iter_mut().enumerate();
        let room_of = |place: usize| if place % 60 == short { room } else { usize::MAX };
        let mut players: Vec<_> =
            readers.map(|(place, reader)| (&mut reader.player, room_of(place))).collect();
        for _ in 0..steps {
            let mut left: Vec<ReaderKey> = Vec::new();
            let at = self.place;
            self.place = write_to_some(&mut self.stage, self.now, &mut players, at, &mut left);
            // By themselves, as a shell does at once.
            for key in left {
                let found = players.iter_mut().find(|(player, _)| player.key == key);
                let (player, room) = found.expect("a reader that is here");
                player.write(&mut self.stage, self.now, *room);
            }
            if self.place.is_none() {
                break;
            }
        }
    }

    fn check(&mut self) {
        let mut lagging: HashMap<_, _> = self.stage.lagging(self.now).collect();
        for reader in &self.readers {
            let heard = &reader.player.heard;
            for (heard, due) in heard.iter().zip(&reader.due) {
                match heard {
                    Heard::Media(_, track, seq) => {
                        assert_eq!((*track, Some(seq.0)), (due.track, due.seq));
                    }
                    Heard::Report(channel, _) => {
                        assert_eq!((Some(*channel), None), (Some(2 * due.track.0 + 1), due.seq));
                    }
                    other => panic!("{other:?}"),
                }
            }
            let sent = heard.len() + usize::from(reader.player.is_in_the_middle());
            assert!(sent <= reader.due.len(), "more than was published");
            let stats = self.stage.stats(reader.player.key).expect("it is here");
            assert_eq!(stats.packets, sent as u64);
            let (sent, left) = reader.due.split_at(sent);
            assert_eq!(stats.octets, sent.iter().map(|packet| packet.octets).sum::<u64>());
            let media = left.iter().filter(|packet| packet.seq.is_some());
            let lag = self.stage.lag(self.now, reader.player.key).expect("it is over TCP");
            assert_eq!(lag.bytes, media.map(|packet| packet.octets).sum::<u64>() + reader.kernel);
            let is_late = lag.age >= FanOutLimits::default().burst_grace;
            assert_eq!(lagging.remove(&reader.player.key), is_late.then_some(lag));
        }
        assert!(lagging.is_empty(), "{lagging:?}");
        assert_eq!(events(&mut self.stage), []);
    }
}

/// The most readers of a row here, so that there are several.
const ROW: usize = 128;
/// From one batch to the next: two of them are lag.
const FRAME: Duration = Duration::from_millis(130);
/// Longer than any session.
const NEVER: Duration = Duration::from_secs(3600);

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 8,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn readers_in_step_are_what_each_would_be_by_itself(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let limits = FanOutLimits {
            log_max_bytes: usize::MAX,
            lag_max_bytes: u64::MAX,
            lag_max_age: NEVER,
            shed_bytes: u64::MAX,
            shed_age: NEVER,
            stall: NEVER,
            max_alike: ROW,
            ..FanOutLimits::default()
        };
        let mut world = World {
            now: origin(),
            stage: Audience::new(limits, TrackMask::of(VIDEO)),
            sources: [Source::new(VIDEO), Source::new(AUDIO)],
            readers: Vec::new(),
            place: None,
        };
        for _ in 0..ROW / 3 {
            world.join(TrackMask::of(VIDEO));
        }
        for step in &steps {
            world.perform(step);
            world.check();
        }
        // In two rounds at most everybody has everything.
        world.write(usize::MAX, 0, usize::MAX);
        world.place = None;
        world.write(usize::MAX, 0, usize::MAX);
        for reader in &mut world.readers {
            reader.player.drain(&mut world.stage, world.now);
            prop_assert_eq!(reader.player.heard.len(), reader.due.len());
        }
        world.check();
    }
}
