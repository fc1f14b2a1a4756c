//! Whatever readers, the backend and its network do.

use std::collections::BTreeMap;
use std::time::Duration;

use fan_out::{EntryKind, WireBatch};
use proptest::prelude::*;
use proxy_session::{Ask, Output, Reply, Ticket};
use rtp_rtcp::{RtpTime, Seq, Ssrc};

use crate::camera::{Act, Camera};
use crate::media::{AUDIO, Got, Packet, VIDEO};
use crate::rig::{Rig, closing, ms, options, play, secs, set_up, udp};

const READERS: u64 = 5;
const MAX_WAITING: usize = 3;
/// How far the timestamps of a source go back, in milliseconds.
const REORDER: i64 = 80;

#[derive(Clone, Debug)]
enum Step {
    Describe,
    SetUp { reader: u64, track: u8 },
    Play { reader: u64 },
    Pause { reader: u64 },
    Leave { reader: u64 },
    Join,
    Media { video: Vec<(Kind, u16, i64)>, audio: u16 },
    Run { millis: u64 },
    Camera { method: &'static str, act: Act },
    Heal,
    Up(bool),
    Close,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Key,
    Sets,
    Other,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(vec![Kind::Key, Kind::Sets, Kind::Other]);
    // How many numbers it is ahead of the one before, and how far back in time.
    let packet = (kind, prop_oneof![6 => Just(1_u16), 1 => 0..20_u16], 0..REORDER);
    let method = prop::sample::select(vec!["DESCRIBE", "SETUP", "PLAY", "PAUSE", "TEARDOWN"]);
    let act = prop_oneof![
        prop::sample::select(vec![401, 404, 453, 454, 455, 461, 500]).prop_map(Act::Status),
        (1..4_000_u64).prop_map(|millis| Act::Late(ms(millis))),
        Just(Act::Ignore),
        Just(Act::NoUdp),
    ];
    prop_oneof![
        3 => Just(Step::Describe),
        12 => (0..READERS, 0..3_u8).prop_map(|(reader, track)| Step::SetUp { reader, track }),
        12 => (0..READERS).prop_map(|reader| Step::Play { reader }),
        3 => (0..READERS).prop_map(|reader| Step::Pause { reader }),
        3 => (0..READERS).prop_map(|reader| Step::Leave { reader }),
        4 => Just(Step::Join),
        20 => (prop::collection::vec(packet, 0..6), 0..4_u16)
            .prop_map(|(video, audio)| Step::Media { video, audio }),
        12 => prop_oneof![8 => 0..60_u64, 3 => 0..2_000_u64, 1 => 0..40_000_u64]
            .prop_map(|millis| Step::Run { millis }),
        3 => (method, act).prop_map(|(method, act)| Step::Camera { method, act }),
        3 => Just(Step::Heal),
        1 => any::<bool>().prop_map(Step::Up),
        1 => Just(Step::Close),
    ]
}

/// What a reader was told, and waits for.
#[derive(Default, Debug)]
struct Reader {
    has_track: bool,
    plays: bool,
    waits: Option<(Ticket, Ask)>,
}

impl Reader {
    fn wants(&self) -> bool {
        self.plays || matches!(self.waits, Some((_, Ask::Play { .. })))
    }
}

/// The last packet of a track that readers got.
#[derive(Clone, Copy)]
struct Last {
    ssrc: Ssrc,
    seq: Seq,
    furthest: RtpTime,
}

struct World {
    rig: Rig,
    readers: BTreeMap<u64, Reader>,
    describes: Vec<Ticket>,
    /// Who left before it was answered.
    forsaken: Vec<Ticket>,
    /// How much of what was said has been looked at.
    seen: usize,
    last: BTreeMap<usize, Last>,
    /// The numbers that are told to be the lowest, of the newest welcome.
    lowest: BTreeMap<usize, Seq>,
    /// The next number of each track of the camera, and its clocks' beginning.
    seqs: [u16; 2],
    begin: Duration,
    plays: usize,
}

impl World {
    fn new(is_udp: bool, holds: bool, seed: u64) -> Self {
        let mut options = if is_udp { udp() } else { options() };
        if !holds {
            options = closing(options);
        }
        options.hold_picture = seed.is_multiple_of(2);
        options.max_waiting = MAX_WAITING;
        options.answer_deadline = secs(5);
        Self {
            rig: Rig::seeded(options, Camera::default(), seed),
            readers: BTreeMap::new(),
            describes: Vec::new(),
            forsaken: Vec::new(),
            seen: 0,
            last: BTreeMap::new(),
            lowest: BTreeMap::new(),
            seqs: [seed as u16, 65_530],
            begin: Duration::ZERO,
            plays: 0,
        }
    }

    fn ask(&mut self, reader: u64, ask: Ask) {
        // The server asks one thing at a time for each session.
        if self.readers.get(&reader).is_none_or(|state| state.waits.is_none()) {
            let ticket = self.rig.ask(reader, ask);
            self.readers.entry(reader).or_default().waits = Some((ticket, ask));
        }
    }

    fn perform(&mut self, step: &Step) {
        let wanted = self.wanting() > 0;
        match step {
            Step::Describe => {
                let ticket = self.rig.ask(READERS, Ask::Describe);
                self.describes.push(ticket);
            }
            Step::SetUp { reader, track } => self.ask(*reader, set_up(*track)),
            Step::Play { reader } => self.ask(*reader, play()),
            Step::Pause { reader } => {
                if self.readers.get(reader).is_some_and(|reader| reader.waits.is_none()) {
                    self.rig.pause(*reader);
                    self.readers.entry(*reader).or_default().plays = false;
                }
            }
            Step::Leave { reader } => {
                self.rig.leave(*reader);
                if let Some((ticket, _)) = self.readers.remove(reader).and_then(|r| r.waits) {
                    self.forsaken.push(ticket);
                }
            }
            Step::Join => self.rig.join(),
            Step::Media { video, audio } => self.media(video, *audio),
            Step::Run { millis } => self.rig.run(ms(*millis)),
            Step::Camera { method, act } => self.rig.camera.set(method, *act),
            Step::Heal => self.rig.camera.acts.clear(),
            Step::Up(is_up) => self.rig.camera.is_up = *is_up,
            Step::Close => self.rig.close(),
        }
        self.listen(wanted);
        self.check();
    }

    /// A camera's packets of one wake-up. It begins its numbers and clocks anew with each PLAY.
    fn media(&mut self, video: &[(Kind, u16, i64)], audio: u16) {
        if !self.rig.camera.is_playing {
            return;
        }
        let plays = self.rig.camera.count('P');
        if self.plays != plays {
            self.plays = plays;
            self.begin = self.rig.elapsed();
            self.seqs = self.seqs.map(|seq| seq.wrapping_mul(40_503).wrapping_add(12_345));
        }
        let passed = (self.rig.elapsed() - self.begin).as_millis() as i64;
        let ssrc = plays as u32;
        let mut packets = Vec::new();
        for (kind, ahead, back) in video {
            self.seqs[VIDEO] = self.seqs[VIDEO].wrapping_add(*ahead);
            let time = ((passed - back) * 90) as u32;
            let packet = match kind {
                Kind::Key => Packet::key(self.seqs[VIDEO], time),
                Kind::Sets => Packet::sets(self.seqs[VIDEO], time),
                Kind::Other => Packet::new(self.seqs[VIDEO], time),
            };
            packets.push((VIDEO, packet.from(ssrc)));
        }
        for _ in 0..audio {
            self.seqs[AUDIO] = self.seqs[AUDIO].wrapping_add(1);
            packets.push((AUDIO, Packet::audio(self.seqs[AUDIO], (passed * 8) as u32).from(ssrc)));
        }
        self.rig.send(&packets);
    }

    fn wanting(&self) -> usize {
        self.readers.values().filter(|reader| reader.wants()).count()
    }

    /// Takes note of what was said since the last time. `wanted` says whether anybody wanted
    /// media before.
    fn listen(&mut self, wanted: bool) {
        let mut published = Vec::new();
        for (_, output) in &self.rig.said[self.seen..] {
            match output {
                Output::Reply { to, reply } => {
                    assert!(!self.forsaken.contains(to), "answered after it left");
                    if let Some(place) = self.describes.iter().position(|ticket| ticket == to) {
                        self.describes.remove(place);
                        continue;
                    }
                    let is_whose = |reader: &&mut Reader| {
                        reader.waits.is_some_and(|(ticket, _)| ticket == *to)
                    };
                    let reader = self.readers.values_mut().find(is_whose);
                    let reader = reader.expect("nobody waits for this, or it was answered before");
                    reader.waits = None;
                    match reply {
                        Reply::SetUp { .. } => reader.has_track = true,
                        Reply::Playing(welcome) => {
                            reader.plays = true;
                            let told = &welcome.tracks;
                            self.lowest =
                                told.iter().map(|t| (t.track.index(), t.next_seq)).collect();
                        }
                        Reply::Refused(refusal) => {
                            assert!(refusal.status.0 >= 400 && !refusal.why.is_empty());
                        }
                        Reply::Described(_) => panic!("it asked something else"),
                    }
                }
                Output::EndReaders { .. } => {
                    for reader in self.readers.values_mut() {
                        (reader.has_track, reader.plays) = (false, false);
                    }
                }
                Output::Publish(batch) if batch.kind() == EntryKind::Media => {
                    published.push(batch.clone());
                    for (track, lowest) in &self.lowest {
                        if *track == batch.track().index() {
                            let first = batch.first_seq().expect("media has numbers");
                            assert!(first.ahead_of(*lowest) >= 0, "less than was told");
                            let key = batch.key().map(|key| key.seq().ahead_of(*lowest));
                            assert!(key.is_none_or(|ahead| ahead >= 0), "a key before that");
                        }
                    }
                }
                _ => {}
            }
        }
        self.seen = self.rig.said.len();
        assert!(published.is_empty() || wanted || self.wanting() > 0, "media for nobody");
        published.iter().for_each(|batch| self.check_batch(batch));
    }

    fn check_batch(&mut self, batch: &WireBatch) {
        let track = batch.track().index();
        let rate = [90_i64, 8][track];
        for got in batch.packets().map(Got::new) {
            if let Some(last) = self.last.get(&track) {
                assert_eq!(got.ssrc, last.ssrc);
                assert!(got.seq.ahead_of(last.seq) > 0, "a number twice, or back");
                let ahead = i64::from(got.timestamp.ahead_of(last.furthest));
                assert!(ahead >= -(REORDER + 1) * rate, "time goes back by {ahead}");
            }
            let furthest = match self.last.get(&track) {
                Some(last) if last.furthest.ahead_of(got.timestamp) > 0 => last.furthest,
                _ => got.timestamp,
            };
            self.last.insert(track, Last { ssrc: got.ssrc, seq: got.seq, furthest });
        }
    }

    fn check(&self) {
        let waiting = self.readers.values().filter(|reader| reader.waits.is_some()).count();
        assert!(waiting + self.describes.len() <= MAX_WAITING, "more wait than may");
        let is_here = |reader: &&Reader| {
            reader.has_track
                || reader.wants()
                || matches!(reader.waits, Some((_, Ask::SetUp { .. })))
        };
        let here = self.readers.values().filter(is_here).count();
        assert_eq!(self.rig.readers(), (here, self.wanting()), "{:?}", self.readers);
    }

    /// All becomes well, and time enough passes for everything.
    fn finish(&mut self) {
        self.perform(&Step::Heal);
        self.perform(&Step::Up(true));
        self.perform(&Step::Run { millis: 6_000 });
        assert!(self.describes.is_empty(), "a question was not answered");
        assert!(self.readers.values().all(|reader| reader.waits.is_none()), "nor another");
        // Long enough for the longest wait, that after rejected credentials.
        for _ in 0..400 {
            self.perform(&Step::Media { video: vec![(Kind::Key, 1, 0)], audio: 1 });
            self.perform(&Step::Run { millis: 1_000 });
        }
        let dialogue = &self.rig.camera.dialogue;
        assert_eq!(self.rig.camera.is_playing, self.wanting() > 0, "{dialogue}");
        self.perform(&Step::SetUp { reader: 0, track: 0 });
        self.perform(&Step::Run { millis: 1_000 });
        self.perform(&Step::Play { reader: 0 });
        self.perform(&Step::Run { millis: 1_000 });
        assert!(self.readers[&0].plays, "a reader is served in the end");
        self.perform(&Step::Join);
        let (batches, key) = (self.rig.batches().len(), vec![(Kind::Key, 1, 0)]);
        self.perform(&Step::Media { video: key.clone(), audio: 1 });
        self.perform(&Step::Media { video: key, audio: 1 });
        assert!(self.rig.batches().len() > batches);
        for reader in 0..READERS {
            self.perform(&Step::Leave { reader });
        }
        self.perform(&Step::Run { millis: 15_000 });
        assert!(!self.rig.camera.is_playing, "it plays for nobody");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_readers_get_what_they_were_told_and_all_are_answered_once(
        is_udp in any::<bool>(),
        holds in any::<bool>(),
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(is_udp, holds, seed);
        for step in &steps {
            world.perform(step);
        }
        world.finish();
    }
}
