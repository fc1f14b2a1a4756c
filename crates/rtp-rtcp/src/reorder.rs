//! Puts the packets of one track back in order (UDP input only).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    ExtSeq, RtpHeader, RtpPacket,
    numbering::{MAX_MISORDER, Numbering, Place},
};

/// How much reordering is made good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReorderLimits {
    /// The most packets that wait for one that is missing.
    pub packets: usize,
    /// The longest that a packet waits for one that is missing.
    pub delay: Duration,
}

impl Default for ReorderLimits {
    fn default() -> Self {
        Self { packets: 256, delay: Duration::from_millis(100) }
    }
}

/// What became of a packet that was pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Admit {
    /// It passes, now or when those before it have come or been given up. A single packet far off
    /// from the others is kept too, until the next one tells a restart from a stray.
    Queued,
    /// Its number has been seen; it was dropped.
    Duplicate,
    /// Its turn has passed; it was dropped.
    TooLate,
    /// The source's numbers began anew, with this packet or the one before it; both pass.
    Restarted,
    /// More than [`ReorderLimits::packets`] wait to be pulled; it was dropped. Does not happen
    /// where every push is followed by pulls until there is nothing.
    Overflowed,
}

/// What has become of packets so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReorderStats {
    /// Packets dropped because their number had been seen.
    pub duplicates: u64,
    /// Packets dropped because their turn had passed.
    pub late: u64,
    /// Single packets far off from the others, dropped.
    pub strays: u64,
    /// Packets dropped because nobody pulled.
    pub overflowed: u64,
    /// How often the source's numbers began anew.
    pub restarts: u64,
    /// Numbers that were given up.
    pub missing: u64,
}

/// A window in packets and in time.
///
/// Packets in order pass at once. After a gap the rest waits, for at most
/// [`ReorderLimits::delay`] each and [`ReorderLimits::packets`] in all, by a timer of its own
/// ([`Reorder::poll_timeout`]): a loss delays no slow track for longer.
///
/// When two packets in a row are far from where the source was, or come from another SSRC, its
/// numbers have begun anew (RFC 3550, appendix A.1): both pass, behind what was waiting, with the
/// numbers that follow. So [`ExtSeq`] only ever rises; its low 16 bits are not those of the packet
/// once there was a restart.
///
/// ```
/// use std::time::{Duration, Instant};
/// use bytes::Bytes;
/// use rtp_rtcp::{Admit, Reorder, ReorderLimits, RtpPacket, RtpTime, Seq, Ssrc, padding_packet};
///
/// # #[expect(clippy::disallowed_methods, reason = "an example needs a beginning of time")]
/// let now = Instant::now();
/// let mut reorder = Reorder::new(ReorderLimits::default());
/// for seq in [1, 3] {
///     let bytes = padding_packet(96, Seq(seq), RtpTime(0), Ssrc(1));
///     let packet = RtpPacket::parse(Bytes::copy_from_slice(&bytes))?;
///     assert_eq!(reorder.push(now, packet), Admit::Queued);
/// }
/// assert!(reorder.pull(now).is_some());
/// assert!(reorder.pull(now).is_none(), "3 waits for 2");
///
/// let later = now + Duration::from_millis(100);
/// assert_eq!(reorder.poll_timeout(), Some(later));
/// assert!(reorder.pull(later).is_some());
/// # Ok::<(), rtp_rtcp::RtpError>(())
/// ```
#[derive(Debug)]
pub struct Reorder {
    limits: ReorderLimits,
    numbering: Numbering,
    /// By number, each once, none that has passed.
    queue: VecDeque<Waiting>,
    /// What comes next; `None` before the first packet.
    next: Option<ExtSeq>,
    /// Everything below passes, whatever is missing.
    released: ExtSeq,
    /// When the first of those in the queue came, as long as a gap holds them up.
    oldest: Option<Instant>,
    /// Bit `n`: the number `n + 1` before the next one has passed, rather than been given up.
    passed: u128,
    candidate: Option<Candidate>,
    stats: ReorderStats,
}

#[derive(Debug)]
struct Waiting {
    seq: ExtSeq,
    since: Instant,
    packet: RtpPacket,
}

/// The last packet, if it was far off from the others.
#[derive(Debug)]
struct Candidate {
    since: Instant,
    packet: RtpPacket,
}

impl Reorder {
    /// An empty window.
    pub fn new(limits: ReorderLimits) -> Self {
        Self {
            limits,
            numbering: Numbering::new(limits.packets),
            queue: VecDeque::new(),
            next: None,
            released: ExtSeq(0),
            oldest: None,
            passed: 0,
            candidate: None,
            stats: ReorderStats::default(),
        }
    }

    /// Takes a packet that came at `now`.
    pub fn push(&mut self, now: Instant, packet: RtpPacket) -> Admit {
        if self.queue.len() > self.limits.packets {
            self.stats.overflowed += 1;
            return Admit::Overflowed;
        }
        let admit = match self.numbering.place(packet.header()) {
            Place::Near(seq) => {
                self.drop_candidate();
                self.push_near(seq, Waiting { seq, since: now, packet })
            }
            Place::Far => self.push_far(now, packet),
        };
        if !self.is_blocked() {
            self.oldest = None;
        } else if self.oldest.is_none() {
            self.oldest = Some(now);
        }
        admit
    }

    /// The next packet whose turn it is, with its number, which is higher than all before.
    pub fn pull(&mut self, now: Instant) -> Option<(ExtSeq, RtpPacket)> {
        if self.is_blocked() {
            self.give_up(now);
            if self.is_blocked() {
                return None;
            }
        }
        let Waiting { seq, packet, .. } = self.queue.pop_front()?;
        self.pass(seq);
        self.oldest = if self.is_blocked() {
            self.queue.iter().map(|waiting| waiting.since).min()
        } else {
            None
        };
        Some((seq, packet))
    }

    /// When [`Reorder::pull`] has something even if nothing is pushed.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.oldest?.checked_add(self.limits.delay)
    }

    /// Drops all that waits. The next packet begins anew wherever it is, with the number after the
    /// last one pulled: for a new session with the same source.
    pub fn clear(&mut self) {
        self.queue.clear();
        self.oldest = None;
        self.candidate = None;
        // What was let in but never pulled is nobody's: its numbers are used again.
        self.numbering.forget_source(self.next.map(|next| ExtSeq(next.0.saturating_sub(1))));
        self.passed = 0;
        self.released = ExtSeq(0);
    }

    /// What has become of packets so far.
    pub const fn stats(&self) -> &ReorderStats {
        &self.stats
    }
}

impl Reorder {
    fn push_near(&mut self, seq: ExtSeq, waiting: Waiting) -> Admit {
        let next = *self.next.get_or_insert(seq);
        let header = *waiting.packet.header();
        // Almost always the highest number so far.
        let place = match self.queue.back() {
            Some(back) if back.seq >= seq => {
                self.queue.binary_search_by_key(&seq, |waiting| waiting.seq)
            }
            _ => Err(self.queue.len()),
        };
        match place {
            Err(place) if seq >= next => {
                self.queue.insert(place, waiting);
                self.numbering.accepted(&header);
                Admit::Queued
            }
            _ if self.numbering.late(&header) => {
                self.begin_anew(waiting.since, waiting.packet);
                Admit::Restarted
            }
            Err(_) if !self.has_passed(seq) => {
                self.stats.late += 1;
                Admit::TooLate
            }
            Ok(_) | Err(_) => {
                self.stats.duplicates += 1;
                Admit::Duplicate
            }
        }
    }

    /// A packet far from where the source was: the second in a row tells that it began anew.
    fn push_far(&mut self, now: Instant, packet: RtpPacket) -> Admit {
        let Some(candidate) = self.candidate.take() else {
            self.candidate = Some(Candidate { since: now, packet });
            return Admit::Queued;
        };
        let ahead = distance(candidate.packet.header(), packet.header());
        match ahead {
            Some(0) => {
                self.candidate = Some(candidate);
                self.stats.duplicates += 1;
                Admit::Duplicate
            }
            Some(ahead) if ahead.unsigned_abs() <= MAX_MISORDER.unsigned_abs() => {
                self.begin_anew_with(candidate, Candidate { since: now, packet }, ahead > 0);
                Admit::Restarted
            }
            _ => {
                self.stats.strays += 1;
                self.candidate = Some(Candidate { since: now, packet });
                Admit::Queued
            }
        }
    }

    fn begin_anew_with(&mut self, candidate: Candidate, second: Candidate, in_order: bool) {
        let now = second.since;
        if now.saturating_duration_since(candidate.since) > self.limits.delay {
            // It has waited for longer than anything may be delayed.
            self.stats.strays += 1;
            self.begin_anew(now, second.packet);
            return;
        }
        let (first, other) = if in_order { (candidate, second) } else { (second, candidate) };
        self.begin_anew(first.since, first.packet);
        if let Place::Near(seq) = self.numbering.place(other.packet.header()) {
            // It is the higher one of two: there is nothing that it could be late for.
            let Candidate { since, packet } = other;
            let _queued = self.push_near(seq, Waiting { seq, since, packet });
        }
    }

    /// What waits passes, whatever it lacks; `packet` follows it.
    fn begin_anew(&mut self, since: Instant, packet: RtpPacket) {
        let seq = self.numbering.restart(packet.header());
        self.stats.restarts += 1;
        self.released = seq;
        self.queue.push_back(Waiting { seq, since, packet });
    }

    fn drop_candidate(&mut self) {
        if self.candidate.take().is_some() {
            self.stats.strays += 1;
        }
    }

    /// Whether what waits has to go on waiting for what is missing before it.
    fn is_blocked(&self) -> bool {
        match (self.queue.front(), self.next) {
            (Some(front), Some(next)) => front.seq > next && front.seq >= self.released,
            _ => false,
        }
    }

    /// Gives up the numbers before the first that waits, if any has waited for too long, or there
    /// are too many of them.
    fn give_up(&mut self, now: Instant) {
        let overdue = self.poll_timeout().is_some_and(|due| due <= now);
        if (overdue || self.queue.len() > self.limits.packets)
            && let Some(front) = self.queue.front()
        {
            self.released = front.seq.next();
        }
    }

    fn pass(&mut self, seq: ExtSeq) {
        let next = self.next.unwrap_or(seq);
        let missing = seq.0.saturating_sub(next.0);
        self.stats.missing += missing;
        let shift = u32::try_from(missing + 1).unwrap_or(u32::MAX);
        self.passed = self.passed.checked_shl(shift).unwrap_or(0) | 1;
        self.next = Some(seq.next());
    }

    fn has_passed(&self, seq: ExtSeq) -> bool {
        let Some(next) = self.next else { return false };
        let back = next.0.saturating_sub(seq.0.saturating_add(1));
        u32::try_from(back).is_ok_and(|back| self.passed.checked_shr(back).unwrap_or(0) & 1 == 1)
    }
}

/// How far `second` is ahead of `first`, if they are of one source.
fn distance(first: &RtpHeader, second: &RtpHeader) -> Option<i16> {
    (first.ssrc == second.ssrc).then(|| second.seq.ahead_of(first.seq))
}

#[cfg(test)]
mod tests;
