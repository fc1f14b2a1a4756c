//! UDP readers against a reference model, over random sessions.
//!
//! Sockets take any part of what is offered, refuse single destinations, and stay blocked; readers
//! come and go at any moment, also between two parts of one run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use fan_out::{
    Audience, AudienceEvent, FanOutLimits, Join, ReaderKey, Start, TrackId, TrackMask, WireBatch,
};
use proptest::prelude::*;
use rtp_rtcp::{ExtSeq, RtpTime};

use crate::source::{Source, check_live, check_mapping, identify_timed, ms, origin, report, time};
use crate::tcp_player::{Stage, events};
use crate::udp_players::{address, is_report, udp};

/// Two video tracks and one audio track.
const TRACKS: u8 = 3;
const AUDIO: TrackId = TrackId(2);
const GROUPS: usize = 2;
/// A unit has so many packets at least: enough for a B-frame.
const MIN_UNIT: usize = 12;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        track: u8,
        sizes: Vec<usize>,
        key: Option<u8>,
    },
    Report {
        track: u8,
    },
    /// One offer: how many destinations take it, and whether the next one refuses.
    Send {
        group: usize,
        sent: usize,
        failed: bool,
    },
    Drain {
        group: usize,
    },
    Wait {
        millis: u64,
    },
    Join {
        group: usize,
        tracks: u8,
        start: Start,
        prologue: bool,
    },
    Leave {
        reader: usize,
    },
    Keep {
        reader: usize,
        tracks: u8,
    },
    Segments {
        group: usize,
        segments: Option<usize>,
    },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![Just(1000_usize), 24..1400_usize];
    prop_oneof![
        16 => (0..TRACKS, prop::collection::vec(size, 1..10), prop::option::weighted(0.3, 0..3_u8))
            .prop_map(|(track, sizes, key)| Step::Publish { track, sizes, key }),
        2 => (0..TRACKS).prop_map(|track| Step::Report { track }),
        20 => (0..GROUPS, 0..5_usize, prop::bool::weighted(0.1))
            .prop_map(|(group, sent, failed)| Step::Send { group, sent, failed }),
        2 => (0..GROUPS).prop_map(|group| Step::Drain { group }),
        4 => prop_oneof![3 => 0..30_u64, 1 => 0..300_u64].prop_map(|millis| Step::Wait { millis }),
        5 => (0..GROUPS, 1..1_u8 << TRACKS, prop_oneof![1 => Just(Start::Live), 1 => Just(Start::KeyFrame), 3 => Just(Start::Instant)], any::<bool>())
            .prop_map(|(group, tracks, start, prologue)| Step::Join { group, tracks, start, prologue }),
        2 => (0..12_usize).prop_map(|reader| Step::Leave { reader }),
        2 => (0..12_usize, 0..1_u8 << TRACKS).prop_map(|(reader, tracks)| Step::Keep { reader, tracks }),
        1 => (0..GROUPS, prop::option::of(1..5_usize)).prop_map(|(group, segments)| Step::Segments { group, segments }),
        1 => prop_oneof![5 => (0..GROUPS).prop_map(|group| Step::Drain { group }), 1 => Just(Step::Clear)],
    ]
}

struct Track {
    source: Source,
    pending: Option<(ExtSeq, u8)>,
    published: Vec<u64>,
    keys: BTreeSet<u64>,
    /// The entries at which keys were announced, with their first packets.
    announced: Vec<(usize, u64)>,
    /// Packets published since a key unit was last announced.
    since_key: usize,
}

struct Reader {
    number: u32,
    key: ReaderKey,
    group: usize,
    /// What it joined for, and what it has not given up since.
    mask: TrackMask,
    kept: TrackMask,
    start: Start,
    prologue: bool,
    joined_at: usize,
    first: Vec<u64>,
    /// What it begins with at once, by track.
    instant: Vec<Option<u64>>,
    /// Whether its group had been sent everything when it joined.
    is_live: bool,
    saw_clear: bool,
}

/// What arrived somewhere, and what was refused there.
#[derive(Default)]
struct Mailbox {
    numbers: Vec<u64>,
    /// Numbers with the timestamps they came with.
    timed: Vec<(ExtSeq, RtpTime)>,
    refused: usize,
    reports: Vec<String>,
}

struct World {
    now: Instant,
    stage: Stage,
    tracks: Vec<Track>,
    readers: Vec<Reader>,
    mail: BTreeMap<u32, Mailbox>,
    entries: usize,
    joined: u32,
    /// How many entries there were when a group was last sent everything.
    drained_at: [usize; GROUPS],
    /// Whether a group ever dropped anything.
    has_dropped: [bool; GROUPS],
}

/// Bytes of the log, little enough for some to be evicted that readers still need.
const LOG_MAX_BYTES: usize = 120_000;

impl World {
    fn new() -> Self {
        let limits = FanOutLimits {
            log_max_bytes: LOG_MAX_BYTES,
            instant_rate: 4_000_000,
            ..FanOutLimits::default()
        };
        let video = TrackMask::of(TrackId(0)).union(TrackMask::of(TrackId(1)));
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
            stage: Audience::new(limits, video),
            tracks: tracks.collect(),
            readers: Vec::new(),
            mail: BTreeMap::new(),
            entries: 0,
            joined: 0,
            drained_at: [0; GROUPS],
            has_dropped: [false; GROUPS],
        }
    }

    fn publish(&mut self, track: u8, sizes: &[usize], key: Option<u8>) {
        let state = &mut self.tracks[usize::from(track)];
        let may_begin = TrackId(track) != AUDIO && state.since_key >= MIN_UNIT;
        state.since_key += sizes.len();
        if let (Some(after), None, true) = (key, state.pending, may_begin) {
            state.pending = Some((state.source.next, after));
        }
        for size in sizes {
            state.published.push(state.source.push(*size).0);
        }
        state.pending = match state.pending {
            Some((begins, 0)) => {
                state.source.note_key(begins);
                state.since_key = 0;
                state.keys.insert(begins.0);
                state.announced.push((self.entries, begins.0));
                None
            }
            other => other.map(|(begins, after)| (begins, after - 1)),
        };
        let batch = state.source.finish(self.now);
        self.entries += 1;
        self.stage.publish(self.now, batch);
    }

    fn join(&mut self, group: usize, tracks: u8, start: Start, prologue: bool) {
        let mask: TrackMask =
            (0..TRACKS).filter(|track| tracks >> track & 1 == 1).map(TrackId).collect();
        let number = self.joined;
        self.joined += 1;
        let reports = mask.iter().map(|track| (track, Bytes::from(report(track, "prologue"))));
        let join = Join {
            prologue: if prologue { reports.collect() } else { Vec::new() },
            ..udp(number, group, mask, start)
        };
        let instant = |track: &Track| {
            let seq = self.stage.instant_seq(self.now, track.source.track());
            seq.filter(|_| start == Start::Instant).map(|seq| seq.0)
        };
        let instant = self.tracks.iter().map(instant).collect();
        let key = self.stage.join(self.now, join).expect("there is room");
        self.readers.push(Reader {
            number,
            key,
            group,
            mask,
            kept: mask,
            start,
            prologue,
            joined_at: self.entries,
            instant,
            is_live: self.drained_at[group] == self.entries,
            first: self.tracks.iter().map(|track| track.source.next.0).collect(),
            saw_clear: false,
        });
    }

    /// One offer; `false` if there was none.
    fn send(&mut self, group: usize, sent: usize, failed: bool) -> bool {
        let Some(send) = self.stage.udp_next(self.now, group) else { return false };
        let sent = sent.min(send.to.len());
        let failed = failed && sent < send.to.len();
        let size = send.segment.unwrap_or(send.payload.len());
        assert!(send.to.len() <= 64 && send.payload.len() <= 65_507);
        assert!(send.segment.is_none() || send.payload.len() > size);
        for (index, to) in send.to.iter().enumerate().take(sent + usize::from(failed)) {
            let reader = self.readers.iter().find(|reader| reader.number == to / 1000);
            let reader = reader.expect("one that is here");
            let track = reader.kept.iter().find(|track| {
                [false, true].iter().any(|rtcp| address(reader.number, *track, *rtcp) == *to)
            });
            assert!(track.is_some(), "a track that was given up");
            let mailbox = self.mail.entry(*to).or_default();
            for datagram in send.payload.chunks(size) {
                if !send.rtcp && is_report(datagram) {
                    assert!(mailbox.numbers.is_empty(), "a report beside media");
                    continue;
                }
                if index == sent {
                    mailbox.refused += 1;
                } else if send.rtcp {
                    mailbox.reports.push(String::from_utf8_lossy(&datagram[5..]).into_owned());
                } else {
                    let (track, seq, sent) = identify_timed(datagram).expect("media");
                    let is_original = sent == time(track, seq);
                    assert!(is_original || reader.start == Start::Instant, "it was changed");
                    assert_eq!(*to, address(to / 1000, track, false));
                    mailbox.numbers.push(seq.0);
                    mailbox.timed.push((seq, sent));
                }
                // A refused packet is accounted for as if it had come.
                if index == sent && !send.rtcp {
                    let (_, seq, sent) = identify_timed(datagram).expect("media");
                    mailbox.numbers.push(seq.0);
                    mailbox.timed.push((seq, sent));
                }
            }
        }
        match (sent, failed) {
            (0, false) => self.stage.udp_blocked(self.now, group),
            _ => self.stage.udp_sent(self.now, group, sent, failed),
        }
        true
    }

    fn perform(&mut self, step: &Step) {
        match step {
            Step::Publish { track, sizes, key } => self.publish(*track, sizes, *key),
            Step::Report { track } => {
                let entry =
                    WireBatch::report(TrackId(*track), &report(TrackId(*track), "sr"), self.now);
                self.entries += 1;
                self.stage.publish(self.now, entry);
            }
            Step::Send { group, sent, failed } => {
                self.send(*group, *sent, *failed);
            }
            Step::Drain { group } => {
                while self.send(*group, usize::MAX, false) {}
                self.drained_at[*group] = self.entries;
            }
            Step::Wait { millis } => self.now += ms(*millis),
            Step::Join { group, tracks, start, prologue } if self.readers.len() < 12 => {
                self.join(*group, *tracks, *start, *prologue);
            }
            Step::Join { .. } => {}
            Step::Leave { reader } => {
                if *reader < self.readers.len() {
                    let reader = self.readers.remove(*reader);
                    self.note_events();
                    self.check(&reader, false);
                }
            }
            Step::Keep { reader, tracks } => {
                if let Some(reader) = self.readers.get_mut(*reader) {
                    let kept: TrackMask =
                        (0..TRACKS).filter(|track| tracks >> track & 1 == 1).map(TrackId).collect();
                    self.stage.keep_tracks(self.now, reader.key, kept);
                    reader.kept = reader.kept.intersect(kept);
                }
            }
            Step::Segments { group, segments } => self.stage.limit_segments(*group, *segments),
            Step::Clear => {
                self.stage.clear();
                self.tracks.iter_mut().for_each(|track| track.pending = None);
                self.readers.iter_mut().for_each(|reader| reader.saw_clear = true);
            }
        }
        self.note_events();
    }

    fn note_events(&mut self) {
        for event in events(&mut self.stage) {
            if matches!(event, AudienceEvent::NoBurst { .. }) {
                continue;
            }
            let AudienceEvent::UdpDropped { group, packets, .. } = event else {
                panic!("{event:?}")
            };
            assert!(packets > 0);
            self.has_dropped[group] = true;
        }
    }

    /// Sends everything, also what has to be waited for.
    fn finish(&mut self) {
        for round in 0..10_000 {
            for group in 0..GROUPS {
                self.perform(&Step::Drain { group });
            }
            let Some(due) = self.stage.poll_timeout() else { return };
            assert!(due > self.now, "due for longer, after {round} rounds");
            self.now = due;
            self.stage.handle_timeout(due);
        }
        panic!("it never ends");
    }

    /// All that a reader ever got; `is_end` says whether everything has been sent.
    fn check(&mut self, reader: &Reader, is_end: bool) {
        let stats = self.stage.leave(reader.key).expect("it is here");
        let is_plain = !self.has_dropped[reader.group] && !reader.saw_clear;
        let (mut packets, mut refused, mut missing) = (0, 0, 0);
        for track in reader.mask.iter() {
            let media = self.mail.remove(&address(reader.number, track, false)).unwrap_or_default();
            let rtcp = self.mail.remove(&address(reader.number, track, true)).unwrap_or_default();
            packets += media.numbers.len() - media.refused + rtcp.reports.len();
            refused += media.refused + rtcp.refused;
            if reader.prologue && rtcp.refused == 0 && !media.numbers.is_empty() {
                assert_eq!(rtcp.reports.first().map(String::as_str), Some("prologue"));
            }
            let prologues = rtcp.reports.iter().filter(|name| *name == "prologue").count();
            assert!(prologues <= usize::from(reader.prologue));
            let is_end = is_end && reader.kept.contains(track);
            missing += self.check_track(reader, track, &media.numbers, is_plain, is_end);
            let (before, mapped) = check_mapping(track, &media.timed);
            assert!(before == 0 || reader.instant[track.index()].is_some());
            assert!(mapped == media.timed.len() || !is_plain, "live was too late");
            if let Some((first, _)) = media.timed.first()
                && reader.is_live
                && is_plain
                && reader.instant[track.index()] == Some(first.0)
            {
                let published = &self.tracks[track.index()].published;
                check_live(track, published, first.0, reader.first[track.index()], before);
            }
        }
        assert_eq!((stats.packets, stats.send_errors), (packets as u64, refused as u64));
        if !reader.saw_clear {
            assert!(missing <= stats.dropped, "{missing} missing, {} counted", stats.dropped);
        }
        assert!(stats.dropped == 0 || self.has_dropped[reader.group], "dropped without a word");
    }

    /// The packets of one track; returns how many are missing.
    fn check_track(
        &self,
        reader: &Reader,
        track: TrackId,
        got: &[u64],
        is_plain: bool,
        is_end: bool,
    ) -> u64 {
        let state = &self.tracks[track.index()];
        assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "order is kept, nothing comes twice");
        let waits = track != AUDIO && reader.start != Start::Live;
        let instant = reader.instant[track.index()];
        if let Some(first) = got.first() {
            // What the log's bound takes from a reader that is blocked begins anywhere.
            assert!(!waits || !is_plain || state.keys.contains(first), "in the middle of a unit");
            assert!(instant.is_none_or(|begins| *first >= begins), "from before its unit");
            let is_kept = instant.is_some_and(|begins| !self.is_evictable(state, begins));
            assert!(!is_plain || !is_kept || instant == Some(*first), "not at once");
        }
        let begins = if instant.is_some() {
            instant
        } else if waits {
            let known = state.announced.iter().find(|(entry, _)| *entry >= reader.joined_at);
            known.map(|(_, begins)| *begins)
        } else {
            Some(reader.first[track.index()])
        };
        if is_plain && is_end {
            // Live readers may be given a little of before; a unit's beginning may be evicted.
            let last = got.last().copied();
            let has_come = begins.is_none_or(|begins| {
                last.is_some_and(|last| last + 1 == state.source.next.0)
                    || (waits && self.is_evictable(state, begins))
                    || begins == state.source.next.0
            });
            assert!(
                has_come,
                "not all came: {track:?} {begins:?} {last:?} {:?} {} {}",
                state.source.next,
                reader.number,
                self.mail.len()
            );
            if let (Some(first), Some(begins), false) = (got.first(), begins, waits) {
                assert!(*first <= begins.max(state.published[0]), "it began too late");
            }
        }
        let Some((first, last)) = got.first().zip(got.last()) else { return 0 };
        let expected = state.published.iter().filter(|seq| (first..=last).contains(seq)).count();
        (expected - got.len()) as u64
    }

    /// Whether the log's bound may have taken what began at `seq`.
    fn is_evictable(&self, state: &Track, seq: u64) -> bool {
        let after = self.tracks.iter().map(|track| track.published.len()).sum::<usize>();
        let before = state.published.iter().filter(|number| **number < seq).count();
        // Packets have up to 1400 bytes, and half of the batches are there in both forms.
        (after - before) * 2 * 1404 + self.entries * 300 > LOG_MAX_BYTES
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 2,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn readers_get_what_the_model_says(
        steps in prop::collection::vec(step(), 1..250),
        is_under_way: bool,
    ) {
        let mut world = World::new();
        for group in 0..GROUPS {
            world.join(group, 0b111, Start::KeyFrame, true);
            world.join(group, 0b111, Start::Live, false);
        }
        if is_under_way {
            world.publish(0, &[1000; 9], Some(0));
            (0..3).for_each(|_| world.publish(0, &[1000; 9], None));
            for group in 0..GROUPS {
                world.perform(&Step::Drain { group });
                world.join(group, 0b111, Start::Instant, true);
            }
        }
        for step in &steps {
            world.perform(step);
        }
        world.finish();
        while let Some(reader) = world.readers.pop() {
            world.check(&reader, true);
        }
    }
}
