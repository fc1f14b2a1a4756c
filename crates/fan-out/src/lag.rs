//! What a TCP reader gets next, and what becomes of one that lags.
//!
//! Up to `shed` a reader just is behind. Beyond it video is withheld until the next key unit at
//! which it would not be shed again at once; audio and reports go on. Beyond `lag_max` the cursor
//! jumps to the newest key unit ahead, or to live. A jump of numbers gets a padding-only packet
//! before it, one too long for players ends the reader, and so does a socket that takes nothing.

use std::time::{Duration, Instant};

use rtp_rtcp::{ExtSeq, RtpHeader, padding_packet};
use smallvec::SmallVec;

use crate::batch::{EntryKind, frame_header};
use crate::event::{AudienceEvent, CutReason, Lag, ReaderStats};
use crate::log::{Amount, Entry, Log, Place};
use crate::pieces::CatchUp;
use crate::reader::{Context, TcpReader};
use crate::track::{TrackId, TrackMask};

/// A padding-only packet as a `$` frame.
type PaddingFrame = SmallVec<[u8; 20]>;

impl TcpReader {
    /// Brings the cursor to the next frame it gets, or to the end, and applies the lag rules.
    ///
    /// All decisions are made here; what follows until the next call only walks.
    pub(crate) fn settle(&mut self, cx: &mut Context<'_>) {
        if self.is_cut {
            return;
        }
        if self.needs() < cx.log.base() {
            self.overtaken(cx);
        }
        self.advance(cx);
        // Shedding may leave a lag that calls for a jump; after a jump nothing has waited long.
        for _ in 0..2 {
            if self.is_cut || self.age(cx.now, cx.log) < cx.limits.burst_grace {
                break;
            }
            let lag = self.lag(cx.now, cx.log);
            if lag.age >= cx.limits.lag_max_age || lag.bytes >= cx.limits.lag_max_bytes {
                self.jump(cx, lag);
            } else if lag.age >= cx.limits.shed_age || lag.bytes >= cx.limits.shed_bytes {
                let withheld = self.mask.intersect(cx.video).without(self.wait);
                if withheld.is_empty() {
                    break;
                }
                self.withhold(cx, withheld);
                cx.stats.sheds += 1;
                cx.events.push(AudienceEvent::Shed { reader: cx.key, behind: lag });
            } else {
                break;
            }
            self.advance(cx);
        }
    }

    /// How far behind it is.
    pub(crate) fn lag(&self, now: Instant, log: &Log) -> Lag {
        Lag {
            bytes: log.appended(self.mask).minus(self.passed).bytes + u64::from(self.kernel),
            age: self.age(now, log),
        }
    }

    /// How long the next frame has waited for it.
    pub(crate) fn age(&self, now: Instant, log: &Log) -> Duration {
        self.oldest(now, log)
            .map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest.max(self.since)))
    }

    /// How long the next frame has been there: no reader at this place waits longer.
    pub(crate) fn longest_age(&self, now: Instant, log: &Log) -> Duration {
        self.oldest(now, log).map_or(Duration::ZERO, |oldest| now.saturating_duration_since(oldest))
    }

    /// Since when the next frame has been there.
    fn oldest(&self, now: Instant, log: &Log) -> Option<Instant> {
        let pos = self.next_pos();
        match log.get(pos) {
            Some(entry) => Some(entry.since),
            None if pos < log.base() => Some(log.gone_at().unwrap_or(now)),
            None => None,
        }
    }

    /// Skips what it does not get, starts tracks at their key units, and prepares a jump of
    /// numbers or refuses it.
    fn advance(&mut self, cx: &mut Context<'_>) {
        self.pads = false;
        if let Some(range) = &mut self.catch_up {
            if let Some(piece) = range.peek(cx.log) {
                let place = Place { pos: piece.pos, packet: piece.from };
                range.place = place;
                self.check_jump(cx, piece.entry, place);
                return;
            }
            self.next_catch_up();
            if self.catch_up.is_some() {
                return self.advance(cx);
            }
        }
        while !self.is_cut
            && let Some(entry) = cx.log.get(self.cursor.pos)
        {
            let track = entry.batch.track();
            if !self.mask.contains(track) || entry.batch.is_empty() {
                self.cursor = Place::at(self.cursor.pos + 1);
            } else if !entry.is_media() {
                return;
            } else if !self.wait.contains(track) {
                self.check_jump(cx, entry, self.cursor);
                return;
            } else if let Some(key) = entry.key
                && self.may_resume(cx, entry, key)
            {
                self.resume(cx, track, key);
                if self.catch_up.is_some() {
                    return self.advance(cx);
                }
            } else {
                self.skip(cx.stats, entry);
            }
        }
    }

    /// Whether the unit that begins at `key` and became known at `entry` is there as a whole and
    /// new to the reader, and, if video was shed, would not be shed again at once.
    fn may_resume(&self, cx: &Context<'_>, entry: &Entry, key: Place) -> bool {
        let track = entry.batch.track();
        let begins = cx.log.get(key.pos).and_then(|begun| begun.batch.ext_seq(key.packet as usize));
        let sent = self.sent.get(self.mask.rank(track)).copied().unwrap_or_default();
        if begins.is_none_or(|begins| begins.0 <= sent) {
            return false;
        }
        if !self.shed.contains(track) {
            return true;
        }
        let range = CatchUp::as_it_is(track, key, self.cursor.pos);
        let bytes = self.lag(cx.now, cx.log).bytes + range.left(cx.log).bytes;
        let oldest = cx.log.get(key.pos).unwrap_or(entry).since;
        let age = cx.now.saturating_duration_since(oldest.max(self.since));
        age < cx.limits.burst_grace || (age < cx.limits.shed_age && bytes < cx.limits.shed_bytes)
    }

    /// Video goes on with the key unit that begins at `key`, at or before the cursor.
    fn resume(&mut self, cx: &mut Context<'_>, track: TrackId, key: Place) {
        let was_shed = self.shed.contains(track);
        self.wait.remove(track);
        self.shed.remove(track);
        if key.pos < self.cursor.pos {
            let range = CatchUp::as_it_is(track, key, self.cursor.pos);
            let again = range.left(cx.log);
            self.passed -= again;
            if was_shed {
                let counted = range.from(self.shed_from).left(cx.log).packets;
                cx.stats.dropped = cx.stats.dropped.saturating_sub(counted);
            }
            self.catch_up = Some(range);
        } else if let Some(entry) = cx.log.get(key.pos) {
            let before = Amount::of(&entry.batch, self.cursor.packet)
                .minus(Amount::of(&entry.batch, key.packet));
            self.passed += before;
            if was_shed {
                cx.stats.dropped += before.packets;
            }
            self.cursor = key;
        }
        if was_shed && self.shed.is_empty() {
            let dropped = cx.stats.dropped.saturating_sub(self.dropped_before);
            cx.events.push(AudienceEvent::Recovered { reader: cx.key, dropped });
        }
    }

    /// Passes over the media entry at the cursor.
    pub(crate) fn skip(&mut self, stats: &mut ReaderStats, entry: &Entry) {
        let amount = Amount::of(&entry.batch, self.cursor.packet);
        self.passed += amount;
        if self.shed.contains(entry.batch.track()) {
            stats.dropped += amount.packets;
        }
        self.cursor = Place::at(self.cursor.pos + 1);
    }

    /// The next frame of a track is about to be offered: a long jump of numbers gets a padding
    /// packet before it, one that is too long ends the reader.
    fn check_jump(&mut self, cx: &mut Context<'_>, entry: &Entry, place: Place) {
        let track = entry.batch.track();
        self.unsure.remove(track);
        let index = place.packet as usize;
        let Some(next) = entry.batch.ext_seq(index) else { return };
        let Some(&sent) = self.sent.get(self.mask.rank(track)) else { return };
        let ahead = if sent == 0 { 0 } else { next.0.saturating_sub(sent) };
        self.pads = ahead > u64::from(cx.limits.padding_jump);
        if ahead > u64::from(cx.limits.max_jump) {
            self.cut(cx, CutReason::JumpTooLong(ahead));
        }
    }

    /// The padding-only packet that goes before the next frame, framed, with its track and number.
    pub(crate) fn padding(&self, log: &Log) -> Option<(PaddingFrame, TrackId, ExtSeq)> {
        let place = self.catch_up.map_or(self.cursor, |range| range.place);
        let batch = &log.get(place.pos).filter(|_| self.pads)?.batch;
        let index = place.packet as usize;
        let before = ExtSeq(batch.ext_seq(index)?.0.checked_sub(1)?);
        let header = RtpHeader::parse(batch.packet(index)).ok()?;
        let live = self.catch_up.and_then(|range| range.live());
        let time = live.map_or(header.timestamp, |live| live.map(header.timestamp));
        let packet = padding_packet(header.payload_type, before.seq(), time, header.ssrc);
        let mut frame = PaddingFrame::new();
        frame.extend_from_slice(&frame_header(
            self.channel(batch.track(), EntryKind::Media),
            packet.len(),
        ));
        frame.extend_from_slice(&packet);
        Some((frame, batch.track(), before))
    }

    /// From here on the media of `tracks` is withheld until a key unit.
    fn withhold(&mut self, cx: &mut Context<'_>, tracks: TrackMask) {
        if self.shed.is_empty() {
            self.dropped_before = cx.stats.dropped;
            self.shed_from = self.next_pos();
        }
        self.wait = self.wait.union(tracks);
        self.shed = self.shed.union(tracks);
        self.is_stuck = true;
        if self.catch_up.is_some() {
            cx.stats.dropped += self.give_up_catch_ups();
            let passed = cx.log.appended(self.mask).minus(self.ahead_of(cx.log, self.cursor));
            cx.stats.dropped += passed.minus(self.passed).packets;
            self.passed = passed;
        }
    }

    /// The log has evicted what it still needed.
    pub(crate) fn overtaken(&mut self, cx: &mut Context<'_>) {
        if self.cursor.pos >= cx.log.base() {
            // Only the beginning of a unit is gone: the track waits for the next one.
            let tracks: TrackMask = self.catch_ups().map(|range| range.track).collect();
            if !tracks.is_empty() {
                let behind = self.lag(cx.now, cx.log);
                self.withhold(cx, tracks);
                cx.stats.sheds += 1;
                cx.events.push(AudienceEvent::Shed { reader: cx.key, behind });
            }
        } else {
            let lag = self.lag(cx.now, cx.log);
            self.jump(cx, lag);
        }
    }

    /// Moves forward to the newest key unit that is ahead, or to live, where video waits.
    fn jump(&mut self, cx: &mut Context<'_>, behind: Lag) {
        let video = self.mask.intersect(cx.video);
        let key = video
            .iter()
            .filter_map(|track| Some((cx.log.newest_key(track)?, track)))
            .filter(|(place, _)| *place > self.cursor)
            .min_by_key(|(place, _)| *place);
        let target = key.map_or_else(|| Place::at(cx.log.end()), |(place, _)| place);
        if self.shed.is_empty() || self.shed != self.wait {
            self.shed_from = self.next_pos();
        }
        let passed = cx.log.appended(self.mask).minus(self.ahead_of(cx.log, target));
        let dropped = passed.minus(self.passed).packets + self.give_up_catch_ups();
        self.passed = passed;
        self.cursor = target;
        self.since = cx.now;
        self.unsure = self.mask;
        self.wait = video;
        if let Some((_, track)) = key {
            self.wait.remove(track);
        }
        self.shed = self.wait;
        self.is_stuck = true;
        cx.stats.jumps += 1;
        cx.stats.dropped += dropped;
        self.dropped_before = cx.stats.dropped;
        cx.events.push(AudienceEvent::Jumped {
            reader: cx.key,
            behind,
            dropped,
            to_key: key.is_some(),
        });
    }

    /// The position of the next frame.
    fn next_pos(&self) -> u64 {
        self.catch_up.map_or(self.cursor.pos, |range| range.place.pos)
    }

    /// What its tracks have from `place` to the end of the log.
    pub(crate) fn ahead_of(&self, log: &Log, place: Place) -> Amount {
        let mut sum = Amount::default();
        for pos in place.pos..log.end() {
            if let Some(entry) = log.get(pos)
                && self.mask.contains(entry.batch.track())
            {
                sum += Amount::of(&entry.batch, if pos == place.pos { place.packet } else { 0 });
            }
        }
        sum
    }

    fn cut(&mut self, cx: &mut Context<'_>, reason: CutReason) {
        let behind = self.lag(cx.now, cx.log);
        self.is_cut = true;
        self.pads = false;
        self.private.clear();
        self.give_up_catch_ups();
        cx.events.push(AudienceEvent::Cut { reader: cx.key, reason, behind });
    }

    /// Cuts it if it has taken nothing for too long; tells whether there is anything to look at
    /// again.
    pub(crate) fn check_stall(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_idle(cx.log) {
            self.wait_for_socket(cx.now);
        }
        if self.waiting
            && !self.is_cut
            && cx.now.saturating_duration_since(self.progress) >= cx.limits.stall
        {
            self.cut(cx, CutReason::Stalled);
        }
        self.waiting && !self.is_cut
    }

    /// Something, or nothing, is offered to the socket.
    pub(crate) fn note_offer(&mut self, now: Instant, is_something: bool) {
        if is_something {
            self.wait_for_socket(now);
        } else if !self.is_stuck {
            self.waiting = false;
        }
    }

    /// The socket took bytes.
    pub(crate) fn note_progress(&mut self, now: Instant, log: &Log) {
        self.progress = now;
        self.is_stuck = false;
        if self.is_idle(log) {
            self.waiting = false;
        }
    }

    fn wait_for_socket(&mut self, now: Instant) {
        if !self.waiting {
            self.waiting = true;
            self.progress = now;
        }
    }
}
