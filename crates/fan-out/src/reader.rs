//! A TCP reader: a cursor in the log and what decides which frames it gets next.
//!
//! ```text
//!            join                      entry with a key unit, lag below shed
//! (video) ── KeyFrame ──> waiting ───────────────┬────────────────────────> following
//!            Live ───────────────────────────────┼────────────────────────>    │
//!                            ^                    │ its first packets are behind│
//!                            │                    └──> catch-up of that track ──┤
//!            Instant ────────┼──> burst: from the newest key unit to live ─────┤
//!                            └── shed, jump to live, clear, evicted ────────────┘
//! ```
//!
//! A burst is a catch-up too, with timestamps mapped onto the live point; so it is the one thing
//! of the log that is copied for a reader. `Instant` without a key unit that fits the limits is
//! `KeyFrame`.

use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::batch::{EntryKind, FRAME_HEADER_BYTES, MAX_BATCH_BYTES, frame_onto};
use crate::event::{Events, ReaderStats};
use crate::join::TcpChannels;
use crate::limits::FanOutLimits;
use crate::live_point::LivePoint;
use crate::log::{Amount, Log, Place};
use crate::pieces::{CatchUp, Piece, Pieces};
use crate::track::{TrackId, TrackMask};
use crate::{Egress, ReaderKey};

/// The RTP and the RTCP channel of each track, where they are not the usual ones.
pub(crate) type Channels = Box<[(TrackId, u8, u8)]>;

/// See the module's description. A cursor always stands on a frame border.
#[derive(Clone, Debug)]
pub(crate) struct TcpReader {
    pub(crate) cursor: Place,
    pub(crate) mask: TrackMask,
    /// Video tracks whose media is withheld until a key unit.
    pub(crate) wait: TrackMask,
    /// Those of them that wait because of lag: what is withheld is a loss.
    pub(crate) shed: TrackMask,
    /// Tracks of which something may have been skipped since the last packet sent: the next one
    /// is looked at for a jump of numbers before it is offered.
    pub(crate) unsure: TrackMask,
    pub(crate) catch_up: Option<CatchUp>,
    /// Those that come after it, last one first: bursts of other video tracks.
    pub(crate) later: Vec<CatchUp>,
    /// Frames of its own, last one first: the prologue.
    pub(crate) private: Vec<Bytes>,
    pub(crate) channels: Option<Channels>,
    /// The last number sent, one per track of the mask, or what it began after; 0, which no
    /// packet has, if there is none.
    pub(crate) sent: SmallVec<[u64; 2]>,
    /// When it joined or last jumped: nothing has waited for it longer.
    pub(crate) since: Instant,
    /// When it last took bytes, or something began to wait for it.
    pub(crate) progress: Instant,
    /// What its tracks had and has been sent, or will never be.
    pub(crate) passed: Amount,
    /// Where what is withheld began to count as dropped.
    pub(crate) shed_from: u64,
    /// `dropped` when the last shedding or jump began.
    pub(crate) dropped_before: u64,
    /// Bytes the kernel holds, where the caller told.
    pub(crate) kernel: u32,
    /// Whether something waits for the socket, which `progress` is then the start of.
    pub(crate) waiting: bool,
    /// Whether something was dropped since it last took bytes: having nothing to send does not
    /// mean then that the socket would take it.
    pub(crate) is_stuck: bool,
    pub(crate) is_cut: bool,
    /// Whether a padding packet goes before the next frame.
    pub(crate) pads: bool,
    /// The row it is in, which knows better where it is and what it was sent.
    pub(crate) row: Option<u16>,
}

/// What a reader is judged against: everything of the audience but its readers.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    pub(crate) key: ReaderKey,
    pub(crate) log: &'a Log,
    pub(crate) limits: &'a FanOutLimits,
    pub(crate) video: TrackMask,
    pub(crate) stats: &'a mut ReaderStats,
    pub(crate) events: &'a mut Events,
}

impl TcpReader {
    pub(crate) fn new(
        now: Instant,
        log: &Log,
        mask: TrackMask,
        wait: TrackMask,
        mut bursts: Vec<CatchUp>,
        channels: Option<Channels>,
        private: Vec<Bytes>,
    ) -> Self {
        // Who begins live does not go back behind that, not even for a key unit after shedding.
        let begins_with_key = bursts.iter().map(|burst| burst.track).collect::<TrackMask>();
        let begins_with_key = begins_with_key.union(wait);
        let sent = mask.iter().map(|track| {
            let last = log.last_seq(track).filter(|_| !begins_with_key.contains(track));
            last.map_or(0, |last| last.0)
        });
        Self {
            catch_up: bursts.pop(),
            later: bursts,
            cursor: Place::at(log.end()),
            mask,
            wait,
            shed: TrackMask::EMPTY,
            unsure: TrackMask::EMPTY,
            private,
            channels,
            sent: sent.collect(),
            since: now,
            progress: now,
            passed: log.appended(mask),
            shed_from: 0,
            dropped_before: 0,
            kernel: 0,
            waiting: false,
            is_stuck: false,
            is_cut: false,
            pads: false,
            row: None,
        }
    }

    /// The oldest position it may still need.
    pub(crate) fn needs(&self) -> u64 {
        let needs = self.catch_ups().map(|range| range.place.pos);
        if self.is_cut { u64::MAX } else { needs.fold(self.cursor.pos, u64::min) }
    }

    /// The oldest position it needs for a burst, if it has been at it for no longer than it may.
    pub(crate) fn needs_for_burst(&self, now: Instant, limits: &FanOutLimits) -> Option<u64> {
        let is_young = now.saturating_duration_since(self.since) <= limits.instant_max_age;
        let burst = self.catch_up.filter(|range| range.is_burst && is_young);
        burst.map(|_| self.needs())
    }

    /// What comes before the cursor.
    pub(crate) fn catch_ups(&self) -> impl Iterator<Item = &CatchUp> {
        self.catch_up.iter().chain(&self.later)
    }

    /// It has had one of its catch-ups.
    pub(crate) fn next_catch_up(&mut self) {
        self.catch_up = self.later.pop();
    }

    /// It goes on at the cursor; returns the packets left of bursts, which `passed` does not know.
    pub(crate) fn give_up_catch_ups(&mut self) -> u64 {
        let left = self.catch_ups().map(|range| u64::from(range.left_of_burst())).sum();
        self.catch_up = None;
        self.later.clear();
        left
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether the shared interleaved images serve it.
    pub(crate) fn takes_usual_channels(&self) -> bool {
        self.channels.is_none()
    }

    /// Its own frames, in order.
    pub(crate) fn private(&self) -> impl Iterator<Item = &Bytes> {
        self.private.iter().rev()
    }

    /// Whether it is at the end of the log with nothing of its own left.
    pub(crate) fn is_idle(&self, log: &Log) -> bool {
        self.is_cut
            || (self.private.is_empty() && self.catch_up.is_none() && self.cursor.pos >= log.end())
    }

    /// Moves it to the end of a log that was cleared: it never gets what was in it.
    pub(crate) fn clear(&mut self, log: &Log, video: TrackMask) {
        self.cursor = Place::at(log.end());
        self.give_up_catch_ups();
        self.pads = false;
        self.wait = self.mask.intersect(video);
        self.unsure = self.mask;
        self.passed = log.appended(self.mask);
    }

    /// Tracks that turned out to have no key frames are not waited for.
    pub(crate) fn set_video(&mut self, video: TrackMask) {
        self.wait = self.wait.intersect(video);
        self.shed = self.shed.intersect(video);
    }

    /// It goes on with `tracks` alone, as if it had never had the others.
    pub(crate) fn keep_tracks(&mut self, cx: &mut Context<'_>, tracks: TrackMask) {
        let kept = self.mask.intersect(tracks);
        if self.is_cut || kept == self.mask {
            return;
        }
        // What the log has evicted is told while it is known that the reader was to get it.
        if self.needs() < cx.log.base() {
            self.overtaken(cx);
        }
        let reports: SmallVec<[u8; 4]> =
            kept.iter().map(|track| self.channel(track, EntryKind::Report)).collect();
        self.private.retain(|frame| frame.get(1).is_none_or(|channel| reports.contains(channel)));
        self.sent = kept
            .iter()
            .map(|track| self.sent.get(self.mask.rank(track)).copied().unwrap_or_default())
            .collect();
        self.mask = kept;
        self.wait = self.wait.intersect(kept);
        self.shed = self.shed.intersect(kept);
        self.unsure = self.unsure.intersect(kept);
        self.later.retain(|range| kept.contains(range.track));
        if self.catch_up.is_some_and(|range| !kept.contains(range.track)) {
            self.next_catch_up();
        }
        self.pads = false;
        let counted = self.catch_up.filter(|range| !range.is_burst);
        let ahead = counted.map_or_else(Amount::default, |range| range.left(cx.log));
        self.passed = cx.log.appended(kept).minus(self.ahead_of(cx.log, self.cursor)).minus(ahead);
    }

    /// The pieces of the log it gets next, as far as no decision is due.
    pub(crate) fn pieces<'l>(&self, log: &'l Log, limits: &FanOutLimits) -> Pieces<'l> {
        Pieces {
            log,
            mask: if self.is_cut { TrackMask::EMPTY } else { self.mask },
            wait: self.wait,
            unsure: self.unsure,
            padding_jump: u64::from(limits.padding_jump),
            catch_up: self.catch_up,
            has_later: !self.later.is_empty(),
            cursor: self.cursor,
            is_first: true,
        }
    }

    /// The socket took `n` bytes of what was offered, the egress's own already subtracted.
    pub(crate) fn consume(&mut self, cx: &mut Context<'_>, egress: &mut Egress, mut n: usize) {
        while n > 0
            && let Some(frame) = self.private.pop()
        {
            cx.stats.packets += 1;
            cx.stats.octets += frame.len().saturating_sub(FRAME_HEADER_BYTES) as u64;
            if n < frame.len() {
                egress.hold(|rest| rest.extend_from_slice(frame.get(n..).unwrap_or_default()));
            }
            n = n.saturating_sub(frame.len());
        }
        if n > 0
            && let Some((frame, track, before)) = self.padding(cx.log)
        {
            self.pads = false;
            cx.stats.packets += 1;
            cx.stats.octets += frame.len().saturating_sub(FRAME_HEADER_BYTES) as u64;
            if let Some(sent) = self.sent.get_mut(self.mask.rank(track)) {
                *sent = before.0;
            }
            if n < frame.len() {
                egress.hold(|rest| rest.extend_from_slice(frame.get(n..).unwrap_or_default()));
            }
            n = n.saturating_sub(frame.len());
        }
        let mut pieces = self.pieces(cx.log, cx.limits);
        while n > 0
            && let Some(piece) = pieces.next()
        {
            n = self.take(cx, egress, piece, n);
        }
    }

    /// The socket took up to `n` bytes of `piece`; returns those beyond it.
    fn take(
        &mut self,
        cx: &mut Context<'_>,
        egress: &mut Egress,
        piece: Piece<'_>,
        n: usize,
    ) -> usize {
        let batch = &piece.entry.batch;
        let from = piece.from as usize;
        let begin = batch.framed_start(from);
        let stop = begin + n;
        let beyond = stop.saturating_sub(batch.framed_len());
        let mut taken = batch.len();
        if stop < batch.framed_len() {
            taken = batch.framed_packet(stop);
            let cut_at = stop - batch.framed_start(taken);
            if cut_at > 0 {
                let channel = self.channel(batch.track(), batch.kind());
                let packet = batch.packet(taken);
                egress.hold(|rest| hold_rest(rest, packet, piece.live, channel, cut_at));
                taken += 1;
            }
        }
        let bytes = (batch.start_of(taken) - batch.start_of(from)) as u64;
        let packets = (taken - from) as u64;
        cx.stats.packets += packets;
        cx.stats.octets += bytes;
        if piece.entry.is_media() {
            let amount = Amount { bytes, packets };
            let range = self.catch_up.as_mut().filter(|_| piece.live.is_some());
            match range.filter(|range| range.is_burst) {
                Some(burst) => burst.take(packets as u32),
                None => self.passed += amount,
            }
            if let (Some(last), Some(sent)) = (
                taken.checked_sub(1).and_then(|index| batch.ext_seq(index)),
                self.sent.get_mut(self.mask.rank(batch.track())),
            ) {
                *sent = last.0;
            }
        }
        let next = if taken < batch.len() {
            Place { pos: piece.pos, packet: taken as u32 }
        } else {
            Place::at(piece.pos + 1)
        };
        match &mut self.catch_up {
            Some(range) if range.place.pos <= piece.pos && piece.pos < range.until => {
                range.place = next;
            }
            _ => {
                self.catch_up = None;
                self.walk_to(cx, piece.pos);
                self.cursor = next;
            }
        }
        if self.catch_up.is_some_and(|range| range.peek(cx.log).is_none()) {
            self.next_catch_up();
        }
        beyond
    }

    /// Passes over the entries before `pos` that the walk left out.
    fn walk_to(&mut self, cx: &mut Context<'_>, pos: u64) {
        while self.cursor.pos < pos {
            match cx.log.get(self.cursor.pos) {
                Some(entry) if self.mask.contains(entry.batch.track()) => {
                    self.skip(cx.stats, entry);
                }
                _ => self.cursor = Place::at(self.cursor.pos + 1),
            }
        }
    }

    /// Appends the frames of `piece` with this reader's channels and times, until `out` holds
    /// `limit`.
    pub(crate) fn copy_frames(&self, piece: &Piece<'_>, limit: usize, out: &mut Vec<u8>) {
        let batch = &piece.entry.batch;
        let channel = self.channel(batch.track(), batch.kind());
        for index in piece.from as usize..batch.len() {
            if out.len() >= limit {
                return;
            }
            let begin = out.len();
            frame_onto(out, channel, batch.packet(index));
            patch_frame(out, begin, piece.live);
        }
    }

    /// The channel for a track's media or reports.
    pub(crate) fn channel(&self, track: TrackId, kind: EntryKind) -> u8 {
        channel(self.channels.as_ref(), track, kind)
    }
}

/// The channels of the tracks in `mask`, or `None` where all are the usual ones.
pub(crate) fn unusual(mut channels: TcpChannels, mask: TrackMask) -> Option<Channels> {
    channels.retain(|(track, ..)| mask.contains(*track));
    let usual = |&(track, rtp, rtcp): &(TrackId, u8, u8)| track.usual_channels() == (rtp, rtcp);
    if channels.iter().all(usual) { None } else { Some(channels.into_boxed_slice()) }
}

/// The prologue as `$` frames, last one first.
pub(crate) fn framed(
    prologue: &[(TrackId, Bytes)],
    mask: TrackMask,
    channels: Option<&Channels>,
) -> Vec<Bytes> {
    let is_sendable = |report: &Bytes| !report.is_empty() && report.len() <= MAX_BATCH_BYTES;
    prologue
        .iter()
        .rev()
        .filter(|(track, report)| mask.contains(*track) && is_sendable(report))
        .map(|(track, report)| {
            let channel = channel(channels, *track, EntryKind::Report);
            let mut frame = Vec::with_capacity(report.len() + FRAME_HEADER_BYTES);
            frame_onto(&mut frame, channel, report);
            frame.into()
        })
        .collect()
}

/// The channel for a track's media or reports, the usual one where none was asked for.
pub(crate) fn channel(channels: Option<&Channels>, track: TrackId, kind: EntryKind) -> u8 {
    let (rtp, rtcp) = channels
        .into_iter()
        .flatten()
        .find(|(of, ..)| *of == track)
        .map_or_else(|| track.usual_channels(), |&(_, rtp, rtcp)| (rtp, rtcp));
    if kind == EntryKind::Media { rtp } else { rtcp }
}

/// Maps the timestamp of the frame that begins at `begin`, if there is something to map it onto.
fn patch_frame(frames: &mut [u8], begin: usize, live: Option<LivePoint>) {
    if let Some(live) = live
        && let Some(packet) = frames.get_mut(begin + FRAME_HEADER_BYTES..)
    {
        live.patch(packet);
    }
}

/// Appends what is left of a frame of which `sent` bytes are gone.
fn hold_rest(rest: &mut Vec<u8>, packet: &[u8], live: Option<LivePoint>, channel: u8, sent: usize) {
    let begin = rest.len();
    match sent.checked_sub(FRAME_HEADER_BYTES) {
        Some(after_header) if live.is_none() => {
            rest.extend_from_slice(packet.get(after_header..).unwrap_or_default());
        }
        _ => {
            frame_onto(rest, channel, packet);
            patch_frame(rest, begin, live);
            rest.drain(begin..begin + sent);
        }
    }
}
