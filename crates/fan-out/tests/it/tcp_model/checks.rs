//! All that a reader ever got, held to what the model knows.

use std::collections::BTreeSet;

use fan_out::{AudienceEvent, Start, TrackId};
use rtp_rtcp::ExtSeq;

use super::{AUDIO, LOG_BYTES, MAX_JUMP, PADDING_JUMP, Reader, TRACKS, World, channel, concerned};
use crate::source::{check_live, check_mapping};
use crate::tcp_player::{Heard, events};

impl World {
    /// Takes everything there is, and checks all that the reader ever got.
    pub(super) fn finish(&mut self, mut reader: Reader) {
        reader.player.drain(&mut self.stage, self.now);
        for event in events(&mut self.stage) {
            if matches!(event, AudienceEvent::NoBurst { .. }) {
                continue;
            }
            assert_eq!(concerned(&event), reader.player.key);
            reader.happened.push(event);
        }
        let stats = self.stage.leave(reader.player.key).expect("it is here");
        reader.player.drain(&mut self.stage, self.now);
        assert!(!reader.player.is_in_the_middle(), "a frame or an answer was left unfinished");
        let is_cut = reader.happened.iter().any(|event| matches!(event, AudienceEvent::Cut { .. }));

        let mut answers = Vec::new();
        let mut reports = Vec::new();
        let mut last: Vec<Option<u64>> = vec![None; usize::from(TRACKS)];
        // The same, padding included.
        let mut numbered = last.clone();
        let mut packets = 0;
        for (place, heard) in reader.player.heard.iter().enumerate() {
            reader.check_given_up(place, heard);
            match heard {
                Heard::Answer(text) => answers.push(text.clone()),
                Heard::Report(channel_heard, bytes) => {
                    packets += 1;
                    let track = TrackId(bytes[4]);
                    assert!(reader.mask.contains(track));
                    assert_eq!(*channel_heard, channel(track, reader.odd) + 1);
                    reports.push((track, bytes[5..].to_vec()));
                }
                Heard::Padding(channel_heard, seq) => {
                    packets += 1;
                    let track = reader
                        .mask
                        .iter()
                        .find(|track| channel(*track, reader.odd) == *channel_heard);
                    let index = track.expect("a track of the reader").index();
                    let before = numbered[index].unwrap_or(reader.first[index] - 1);
                    let ahead = u64::from(seq.0.wrapping_sub(ExtSeq(before).seq().0));
                    assert!((u64::from(PADDING_JUMP)..u64::from(MAX_JUMP)).contains(&ahead));
                    numbered[index] = Some(before + ahead);
                }
                Heard::Media(channel_heard, track, seq) => {
                    packets += 1;
                    assert!(reader.mask.contains(*track));
                    assert_eq!(*channel_heard, channel(*track, reader.odd));
                    let before = last[track.index()].replace(seq.0);
                    if let Some(number) = numbered[track.index()].replace(seq.0) {
                        assert!(seq.0 > number, "order is kept and nothing comes twice");
                        assert!(seq.0 - number <= u64::from(PADDING_JUMP), "no padding");
                    }
                    self.check_step(&reader, *track, before, seq.0);
                }
            }
        }
        assert_eq!(answers, reader.answers, "answers are whole and in order");
        assert_eq!(stats.packets, packets);
        if !is_cut {
            let is_of_prologue = |name: &[u8]| name == b"prologue";
            let prologue: Vec<TrackId> = reports
                .iter()
                .take_while(|(_, name)| is_of_prologue(name))
                .map(|(track, _)| *track)
                .collect();
            let expected: Vec<TrackId> = reader
                .prologue
                .iter()
                .copied()
                .filter(|track| !reader.has_given_up(*track) || prologue.contains(track))
                .collect();
            assert_eq!(prologue, expected);
            assert!(reports.iter().skip(prologue.len()).all(|(_, name)| name == b"sr"));
            let first =
                reader.player.heard.iter().filter(|heard| !matches!(heard, Heard::Answer(_)));
            assert!(first.take(prologue.len()).all(|heard| matches!(heard, Heard::Report(..))));
            self.check_losses(&reader, stats.dropped);
            for track in reader.mask.iter() {
                self.check_times(&reader, track);
            }
        }
    }

    /// The timestamps of a reader that began at once.
    fn check_times(&self, reader: &Reader, track: TrackId) {
        let state = &self.tracks[track.index()];
        let got = reader.player.timed(track);
        let instant = reader.instant[track.index()];
        let (before, mapped) = check_mapping(track, &got);
        assert!(before == 0 || instant.is_some(), "nothing was to be mapped");
        // A reader that lagged before it was live goes on with the log's own timestamps.
        let is_plain = !reader.saw_clear && reader.happened.is_empty();
        assert!(mapped == got.len() || !is_plain, "live was too late");
        if let (Some(begins), Some((first, _)), true) = (instant, got.first(), is_plain) {
            assert_eq!(begins, first.0);
            check_live(track, &state.published, begins, reader.first[track.index()], before);
        }
    }

    /// A packet after the one before it of the same track.
    fn check_step(&self, reader: &Reader, track: TrackId, before: Option<u64>, seq: u64) {
        let state = &self.tracks[track.index()];
        let is_video = track != AUDIO;
        let Some(before) = before else {
            if is_video && reader.start != Start::Live {
                assert!(state.keys.contains(&seq), "it begins in the middle of a unit");
            }
            return;
        };
        let is_gap = state.published.iter().any(|number| *number > before && *number < seq);
        if is_gap {
            assert!(reader.saw_clear || !reader.happened.is_empty(), "lost without a word");
            if is_video {
                assert!(state.keys.contains(&seq), "video goes on in the middle of a unit");
            } else {
                let jumped = |event: &AudienceEvent| matches!(event, AudienceEvent::Jumped { .. });
                assert!(reader.saw_clear || reader.happened.iter().any(jumped), "audio was shed");
            }
        }
    }

    /// Whether another key was announced after that of entry `at` and before the reader next took
    /// all there was.
    fn is_superseded(&self, reader: &Reader, at: usize) -> bool {
        let drained = reader.drained_at.iter().find(|drained| **drained > at);
        let until = drained.copied().unwrap_or(self.entries);
        let mut keys = self.tracks.iter().flat_map(|track| &track.announced);
        keys.any(|key| at < key.at && key.at < until)
    }

    /// What should have come and did not, against what was counted as dropped.
    fn check_losses(&self, reader: &Reader, dropped: u64) {
        let (mut missing, mut perhaps) = (0, 0);
        let mut is_exact = true;
        for track in reader.mask.iter() {
            let state = &self.tracks[track.index()];
            let given_up = reader.given_up[track.index()];
            let got: BTreeSet<u64> = reader.player.media(track).into_iter().collect();
            let mut begins = Some(reader.first[track.index()]);
            if let Some(seq) = reader.instant[track.index()] {
                begins = Some(seq);
                if reader.saw_clear || !reader.happened.is_empty() {
                    begins = got.first().copied();
                    is_exact = false;
                }
            } else if track != AUDIO && reader.start != Start::Live {
                let known = state.announced.iter().find(|key| key.at >= reader.joined_at);
                let known = known.filter(|key| given_up.is_none_or(|then| key.at < then.entries));
                begins = known.map(|key| key.begins);
                // It may have been moved while it waited, or the unit's beginning may have gone
                // before it wrote again, by the log's bound or because a newer key came: it begins
                // with a later key then.
                let is_moved = reader.saw_clear || !reader.happened.is_empty();
                let is_lost = known.is_some_and(|key| {
                    self.bytes - key.bytes > LOG_BYTES || self.is_superseded(reader, key.at)
                });
                if is_moved || is_lost {
                    begins = got.first().copied();
                    is_exact = false;
                }
            }
            let expected = state.published.iter().filter(|seq| begins.is_some_and(|b| **seq >= b));
            let expected: BTreeSet<u64> = expected.copied().collect();
            assert!(got.is_subset(&expected), "more than it joined for");
            match given_up {
                None => missing += expected.difference(&got).count() as u64,
                // What came after the last packet it got may have been dropped, or been on its
                // way when it gave the track up.
                Some(then) => {
                    let lost = expected.difference(&got).filter(|seq| **seq < then.next);
                    let (sure, unsure): (Vec<u64>, Vec<u64>) =
                        lost.partition(|seq| got.last().is_some_and(|last| *seq < last));
                    missing += sure.len() as u64;
                    perhaps += unsure.len() as u64;
                }
            }
        }
        if !reader.saw_clear {
            assert!(missing <= dropped, "{missing} missing, {dropped} counted");
            let most = missing + perhaps;
            assert!(dropped <= most || !is_exact, "{most} missing, {dropped} counted");
        }
        if reader.happened.is_empty() {
            assert_eq!(dropped, 0);
        }
    }
}

impl Reader {
    fn has_given_up(&self, track: TrackId) -> bool {
        self.given_up[track.index()].is_some()
    }

    /// What is heard of a track that was given up is the end of a frame already cut.
    fn check_given_up(&self, place: usize, heard: &Heard) {
        let channel_heard = match heard {
            Heard::Answer(_) => return,
            Heard::Media(channel, ..) | Heard::Padding(channel, _) | Heard::Report(channel, _) => {
                *channel & !1
            }
        };
        let of = |track: &TrackId| channel(*track, self.odd) == channel_heard;
        let track = self.mask.iter().find(of).expect("a track of the reader");
        if let Some(then) = self.given_up[track.index()] {
            let is_its_end = place == then.heard && then.is_in_the_middle;
            assert!(place < then.heard || is_its_end, "more of a track that was given up");
        }
    }
}
