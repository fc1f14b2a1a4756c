//! One track's way from the backend's packets to the log.

use std::time::{Duration, Instant};

use bytes::Bytes;
use codec_framers::UnitStart;
use fan_out::TrackId;
use rtp_rtcp::{
    Admit, ClockRate, ExtSeq, InOrder, KeyFrameFeedback, KeyFrameRequest, Now, Reception, Reorder,
    ReorderLimits, ReportSchedule, RtpPacket, RtpTime, SenderInfo, Ssrc,
};
use time_normalizer::{MAX_TIMESTAMP_STEP, ReportPair, Timeline, TrackIndex};

use crate::fork::{Counts, Cutting, Fork};
use crate::gate::Gate;
use crate::picture::Picture;
use crate::way::{Way, WayStatus};

/// One track: reorder, time, the way through, and the numbers that readers see.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) id: TrackId,
    pub(crate) ssrc: Ssrc,
    pub(crate) rate: ClockRate,
    pub(crate) index: TrackIndex,
    pub(crate) schedule: ReportSchedule,
    /// What the last report told to readers of its times.
    pub(crate) told: Option<ReportPair>,
    /// When a report was made last because that was not true any more.
    pub(crate) corrected_at: Option<Instant>,
    input: Input,
    reception: Reception,
    /// How packets become those of readers; away while it is at work.
    way: Option<Box<dyn Way>>,
    knows_keys: bool,
    /// Shut since the backend was lost; open while it is there.
    pub(crate) gate: Option<Box<Gate>>,
    /// What is shown while it is away, where that is wanted.
    pub(crate) picture: Option<Box<Picture>>,
    sequencer: Sequencer,
    /// How long after the instant that its timestamp stands for the last packet came.
    late: Duration,
    /// How the backend is asked for a key frame, where it offers a way.
    wish: Option<KeyFrameRequest>,
    /// The newest timestamp that went out, and the newest key unit since somebody began to play.
    newest: RtpTime,
    key: Option<KeyUnit>,
    /// Key units before that one, the older one first: readers may begin with one of them while
    /// it is young.
    older: [Option<KeyUnit>; 2],
    /// The bytes that went out.
    bytes: u64,
    /// The longest steps of timestamps, in ticks, before that key unit and since: live may be so
    /// far behind the newest one.
    steps: (u64, u64),
    pub(crate) sent_packets: u32,
    pub(crate) sent_octets: u32,
    pub(crate) received_octets: u64,
    pub(crate) too_large: u64,
    pub(crate) malformed: u64,
    /// RTCP packets that were refused.
    pub(crate) bad_reports: u64,
    /// Whether the backend has said goodbye for it, and sent nothing since.
    pub(crate) has_ended: bool,
    /// When readers are told so, unless all of the backend turns out to be gone.
    pub(crate) goodbye_at: Option<Instant>,
    pub(crate) relayed: u64,
    pub(crate) made: u64,
    /// A packet of more bytes is looked at as it leaves.
    pub(crate) watch_above: usize,
    /// The largest packet of which that was found.
    pub(crate) largest: usize,
    /// What packets can be cut by for readers over UDP; `None` where they go as they are.
    pub(crate) cutting: Option<Box<Cutting>>,
    /// What goes to readers over UDP, while they get other packets than those over TCP.
    pub(crate) fork: Option<Box<Fork>>,
    /// What earlier ones did.
    pub(crate) forked: Counts,
}

/// A key unit that went out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyUnit {
    /// Its first packet.
    seq: ExtSeq,
    timestamp: RtpTime,
    /// When it was known to be one, and the bytes that had gone out by then.
    at: Instant,
    before: u64,
}

impl KeyUnit {
    /// Whether it is so old that no reader begins with one before it.
    fn is_old(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= OLD_KEY_UNIT
    }
}

#[derive(Debug)]
enum Input {
    /// TCP keeps the order; a window would only add delay.
    Tcp(InOrder),
    Udp(Reorder),
}

impl Track {
    pub(crate) fn new(
        now: Now,
        id: TrackId,
        ssrc: Ssrc,
        first_seq: u16,
        rate: ClockRate,
        index: TrackIndex,
        (way, knows_keys): (Box<dyn Way>, bool),
    ) -> Self {
        Self {
            id,
            ssrc,
            rate,
            index,
            schedule: ReportSchedule::seeded(now.mono, ssrc.0.into()),
            told: None,
            corrected_at: None,
            input: Input::Tcp(InOrder::new()),
            reception: Reception::new(rate),
            way: Some(way),
            knows_keys,
            gate: None,
            picture: None,
            sequencer: Sequencer::new(first_seq),
            late: Duration::ZERO,
            wish: None,
            newest: RtpTime(0),
            key: None,
            older: [None; 2],
            bytes: 0,
            steps: (0, 0),
            sent_packets: 0,
            sent_octets: 0,
            received_octets: 0,
            too_large: 0,
            malformed: 0,
            bad_reports: 0,
            has_ended: false,
            goodbye_at: None,
            relayed: 0,
            made: 0,
            watch_above: usize::MAX,
            largest: 0,
            cutting: None,
            fork: None,
            forked: Counts::default(),
        }
    }

    /// What comes from here on has nothing to do with what came before: another session of the
    /// backend's, or one that goes on after PAUSE. It is numbered on from the last packet sent.
    pub(crate) fn restart(&mut self) {
        self.input = Input::Tcp(InOrder::new());
        self.reception = Reception::new(self.rate);
        self.has_ended = false;
        self.restart_way();
        if let Some(fork) = &mut self.fork {
            fork.restart();
        }
        if let Some(gate) = &mut self.gate {
            gate.restart();
        }
        self.sequencer.restart();
        self.late = Duration::ZERO;
    }

    /// The backend was lost with readers that wait for it: they go on when this track does.
    pub(crate) fn part(&mut self) {
        self.restart();
        self.goodbye_at = None;
        self.gate = Some(Box::default());
        if let Some(picture) = &mut self.picture {
            picture.lost();
        }
    }

    /// Nobody waits for it any more.
    pub(crate) fn rejoin(&mut self) {
        self.gate = None;
    }

    /// Whether key frames can be told apart on it.
    pub(crate) const fn knows_keys(&self) -> bool {
        self.knows_keys
    }

    /// Readers begin with nothing that is older than this.
    pub(crate) fn forget_keys(&mut self) {
        self.key = None;
        self.older = [None; 2];
    }

    /// The same, for the first reader after nobody was there.
    pub(crate) fn begin(&mut self) {
        self.restart();
        self.told = None;
        self.sequencer.begun = self.sequencer.next;
        self.forget_keys();
        if let Some(wish) = &mut self.wish {
            // Those who wished are gone.
            wish.granted();
        }
    }

    /// How the backend lets itself be asked for key frames, if it does.
    pub(crate) fn set_feedback(&mut self, feedback: Option<KeyFrameFeedback>) {
        self.wish = feedback.filter(|_| self.knows_keys).map(KeyFrameRequest::new);
    }

    /// The format may have changed with a new description.
    pub(crate) fn set_format(&mut self, (way, knows_keys): (Box<dyn Way>, bool)) {
        (self.way, self.knows_keys) = (Some(way), knows_keys);
    }

    /// What packets can be cut by for readers over UDP from now on.
    pub(crate) fn set_cutting(&mut self, cutting: Option<Cutting>) {
        if let (Some(fork), Some(cutting)) = (&mut self.fork, &cutting) {
            fork.set_cutting(cutting);
        }
        self.cutting = cutting.map(Box::new);
    }

    /// The packets and octets that went out, as sender reports count them.
    pub(crate) const fn sent_counts(&self) -> (u32, u32) {
        (self.sent_packets, self.sent_octets)
    }

    /// What went to readers over UDP alone.
    pub(crate) fn datagram_counts(&self) -> Counts {
        self.forked.plus(self.fork.as_ref().map(|fork| fork.counts()).unwrap_or_default())
    }

    fn restart_way(&mut self) {
        if let Some(way) = &mut self.way {
            way.restart();
        }
    }

    /// The way through, for the time that it is at work; it is to be put back.
    pub(crate) fn take_way(&mut self) -> Option<Box<dyn Way>> {
        self.way.take()
    }

    pub(crate) fn put_way_back(&mut self, way: Box<dyn Way>) {
        self.way = Some(way);
    }

    pub(crate) fn way_status(&self) -> WayStatus {
        self.way.as_ref().map(|way| way.status()).unwrap_or_default()
    }

    /// Takes a packet from the backend; `false` where the window had no use for it.
    pub(crate) fn push(
        &mut self,
        now: Instant,
        packet: RtpPacket,
        udp: Option<ReorderLimits>,
        timeline: &mut Timeline,
    ) -> bool {
        let input = match (&self.input, udp) {
            (Input::Tcp(_), Some(limits)) => Some(Input::Udp(Reorder::new(limits))),
            (Input::Udp(_), None) => Some(Input::Tcp(InOrder::new())),
            _ => None,
        };
        if let Some(input) = input {
            // Each counts from where it begins; what readers see goes on.
            self.input = input;
            self.sequencer.anchor = None;
            self.restart_way();
        }
        self.has_ended = false;
        let size = packet.bytes().len();
        self.received_octets += size as u64;
        self.reception.on_packet(now, packet.header(), size);
        let admit = match &mut self.input {
            Input::Tcp(order) => order.push(now, packet),
            Input::Udp(window) => window.push(now, packet),
        };
        match admit {
            Admit::Queued => true,
            Admit::Restarted => {
                timeline.sequence_restarted(self.index);
                true
            }
            Admit::Duplicate | Admit::TooLate | Admit::Overflowed => false,
        }
    }

    pub(crate) fn pull(&mut self, now: Instant) -> Option<(ExtSeq, RtpPacket)> {
        match &mut self.input {
            Input::Tcp(order) => order.pull(now),
            Input::Udp(window) => window.pull(now),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let order = match &self.input {
            Input::Tcp(_) => None,
            Input::Udp(window) => window.poll_timeout(),
        };
        let way = self.way.as_ref().and_then(|way| way.poll_timeout());
        [order, way].into_iter().flatten().min()
    }

    /// When a request for a key frame is due that can be made.
    pub(crate) fn poll_key_request(&self) -> Option<Instant> {
        self.asked_source()?;
        self.wish.as_ref().and_then(KeyFrameRequest::poll_timeout)
    }

    /// The number that a packet leaves with which the backend gave this one.
    pub(crate) fn number(&mut self, seq: ExtSeq) -> ExtSeq {
        self.sequencer.map(seq)
    }

    /// The number of the next packet that is not the backend's own.
    pub(crate) fn next_number(&self) -> ExtSeq {
        self.sequencer.next
    }

    /// The timestamp that a packet or a unit leaves with which the backend stamped so.
    pub(crate) fn stamp(
        &mut self,
        now: Now,
        timeline: &mut Timeline,
        source: Ssrc,
        timestamp: RtpTime,
    ) -> RtpTime {
        let timestamp = timeline.stamp(now, self.index, source, timestamp);
        self.late = self.since(now, timeline, timestamp);
        timestamp
    }

    /// A packet has gone out: so many bytes, of which so many are payload.
    pub(crate) fn sent(
        &mut self,
        now: Now,
        seq: ExtSeq,
        timestamp: RtpTime,
        (bytes, payload): (usize, usize),
    ) {
        self.sequencer.sent(seq);
        self.sent_packets = self.sent_packets.wrapping_add(1);
        let octets = u32::try_from(payload).unwrap_or(u32::MAX);
        self.sent_octets = self.sent_octets.wrapping_add(octets);
        self.schedule.on_media(now.mono);
        self.note_time(timestamp);
        self.bytes += bytes as u64;
    }

    /// A key unit is known to begin with the packet that left with this number.
    pub(crate) fn on_key(&mut self, now: Instant, seq: ExtSeq, timestamp: RtpTime) {
        let key = KeyUnit { seq, timestamp, at: now, before: self.bytes };
        if let Some(before) = self.key.replace(key) {
            self.keep(now, before);
        }
        self.steps = (self.steps.1, 0);
        if let Some(wish) = &mut self.wish {
            wish.granted();
        }
    }

    /// Timestamps go back and forth where there are B-frames.
    fn note_time(&mut self, timestamp: RtpTime) {
        let ahead = if self.key.is_some() { timestamp.ahead_of(self.newest) } else { 1 };
        if self.key.is_some() {
            let longest = self.rate.ticks(MAX_TIMESTAMP_STEP);
            let step = u64::from(ahead.unsigned_abs()).min(longest);
            self.steps.1 = self.steps.1.max(step);
        }
        if ahead > 0 {
            self.newest = timestamp;
        }
    }

    /// Counts a packet that cannot be read; whether it was the first.
    pub(crate) fn is_first_malformed(&mut self) -> bool {
        self.malformed += 1;
        self.malformed == 1
    }

    /// Counts an RTCP packet that was refused; whether it was the first.
    pub(crate) fn is_first_bad_report(&mut self) -> bool {
        self.bad_reports += 1;
        self.bad_reports == 1
    }

    /// Counts a packet that was too large; whether it was the first.
    pub(crate) fn is_first_too_large(&mut self) -> bool {
        self.too_large += 1;
        self.too_large == 1
    }

    /// The sender's side of a report for `now`.
    pub(crate) fn sender_info(&self, now: Now, timeline: &Timeline) -> SenderInfo {
        let ReportPair { ntp, rtp } = timeline.report(now, self.index);
        SenderInfo { ntp, rtp, packets: self.sent_packets, octets: self.sent_octets }
    }

    /// The number below which nothing has gone out since somebody began to play.
    pub(crate) fn session_seq(&self) -> ExtSeq {
        self.sequencer.begun
    }

    /// Notes a key unit that is not the newest any more.
    fn keep(&mut self, now: Instant, key: KeyUnit) {
        match self.older {
            [None, _] => self.older = [Some(key), None],
            [oldest, None] => self.older = [oldest, Some(key)],
            [_, Some(next)] if next.is_old(now) => self.older = [Some(next), Some(key)],
            _ => {}
        }
    }

    /// The key unit that a reader may begin with at once, or one before it, unless it lies too far
    /// back by `limits`, bytes and time: what is told here for longer than the audiences do costs
    /// nothing. While the backend is away, time stands where media ended.
    pub(crate) fn key_unit(&self, now: Instant, limits: (usize, Duration)) -> Option<KeyUnit> {
        let ended = self.gate.as_ref().and_then(|_| self.schedule.last_media());
        let now = ended.map_or(now, |ended| now.min(ended));
        let (bytes, age) = limits;
        let mut found = None;
        let keys = self.key.iter().chain(self.older.iter().rev().flatten());
        for key in keys.filter(|_| self.knows_keys) {
            let is_near = self.bytes - key.before <= bytes as u64
                && now.saturating_duration_since(key.at) <= age;
            if !is_near {
                break;
            }
            found = Some(*key);
            if key.is_old(now) {
                break;
            }
        }
        found
    }

    /// The lowest number that a reader may get which joins now: that of the key unit it begins
    /// with, or where key frames are waited for, of the unit now arriving, which may be one.
    pub(crate) fn lowest_seq(&self, key: Option<KeyUnit>) -> ExtSeq {
        let next = self.sequencer.next;
        let unit = self.undecided().map_or(next, |first| first.seq);
        key.map_or(next, |key| key.seq).min(unit).min(next)
    }

    /// How far the first packet of a reader that joins now may lie before `now` by its timestamp.
    pub(crate) fn lateness(&self, now: Now, timeline: &Timeline, key: Option<KeyUnit>) -> Duration {
        let open = self.fork.as_ref().and_then(|fork| fork.open_unit());
        let unit = self.undecided().map(|first| first.timestamp).into_iter().chain(open);
        let unit = unit.map(|first| self.since(now, timeline, first)).max();
        // Longer than that ago, nothing is arriving.
        let late = self.late.max(unit.unwrap_or_default()).min(MAX_TIMESTAMP_STEP);
        let Some(key) = key else { return late };
        // It begins a fraction of the time since the key unit before what is live.
        let is_away = self.gate.is_some();
        let ticks = u64::try_from(self.newest.ahead_of(key.timestamp)).unwrap_or_default();
        let before = ticks.div_ceil(CATCH_UP_SPEED) + self.steps.0.max(self.steps.1);
        let before = self.rate.duration(before);
        if is_away {
            // And is shown that as the present.
            return before;
        }
        late.max(self.since(now, timeline, self.newest) + before)
    }

    /// A reader waits for a key frame.
    pub(crate) fn wish_for_key(&mut self) {
        if let Some(wish) = &mut self.wish {
            wish.wish();
        }
    }

    /// The request for a key frame that is due, if any.
    pub(crate) fn key_request(&mut self, now: Instant, sender: Ssrc, cname: &str) -> Option<Bytes> {
        let media = self.asked_source()?;
        self.wish.as_mut()?.poll(now, sender, media, cname)
    }

    /// Whom a request for a key frame is for: nobody before there is a packet to name the source
    /// by, nor while a key frame may just be arriving.
    fn asked_source(&self) -> Option<Ssrc> {
        let awaits_picture = match &self.gate {
            Some(gate) => gate.awaits_picture(),
            None => self.way.as_ref().is_some_and(|way| way.awaits_picture()),
        };
        self.reception.ssrc().filter(|_| !awaits_picture)
    }

    fn undecided(&self) -> Option<UnitStart> {
        let way = self.way.as_ref().filter(|_| self.knows_keys)?;
        way.undecided(self.sequencer.next)
    }

    /// How long before `now` the instant lies that `timestamp` stands for.
    fn since(&self, now: Now, timeline: &Timeline, timestamp: RtpTime) -> Duration {
        let ticks = timeline.at(now, self.index).ahead_of(timestamp);
        self.rate.duration(u64::try_from(ticks).unwrap_or_default())
    }

    pub(crate) fn reception(&mut self) -> &mut Reception {
        &mut self.reception
    }

    pub(crate) fn packets_and_lost(&self) -> (u64, u64) {
        let stats = self.reception.stats();
        (stats.packets, u64::try_from(stats.lost).unwrap_or(0))
    }
}

/// How many times faster a reader is caught up than the media plays.
const CATCH_UP_SPEED: u64 = 40;
/// Audiences begin with no key unit before one that is so old: they want one of
/// [`fan_out::FanOutLimits::instant_min_age`] and look at some of those in between only.
const OLD_KEY_UNIT: Duration = Duration::from_secs(2);

/// The backend's numbers mapped to ours: gaps stay, sessions follow each other without a step.
#[derive(Debug)]
struct Sequencer {
    next: ExtSeq,
    /// `next` when somebody began to play after nobody had.
    begun: ExtSeq,
    /// The backend's number that `anchor_out` stands for, in the current session.
    anchor: Option<(ExtSeq, ExtSeq)>,
}

impl Sequencer {
    fn new(first: u16) -> Self {
        // One turn ahead of zero, so that packets from before the first one can be expressed.
        let next = ExtSeq((1 << 16) | u64::from(first));
        Self { next, begun: next, anchor: None }
    }

    fn restart(&mut self) {
        self.anchor = None;
    }

    fn map(&mut self, seq: ExtSeq) -> ExtSeq {
        let (from, to) = *self.anchor.get_or_insert((seq, self.next));
        ExtSeq(to.0.wrapping_add(seq.0.wrapping_sub(from.0)))
    }

    fn sent(&mut self, out: ExtSeq) {
        self.next = self.next.max(ExtSeq(out.0.wrapping_add(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_on_across_sessions_and_keep_gaps() {
        let mut s = Sequencer::new(100);
        let first = s.map(ExtSeq(5000));
        s.sent(first);
        assert_eq!(first.seq().0, 100);
        let third = s.map(ExtSeq(5002));
        s.sent(third);
        assert_eq!(third.seq().0, 102);
        s.restart();
        let again = s.map(ExtSeq(40));
        assert_eq!(again.seq().0, 103);
    }
}
