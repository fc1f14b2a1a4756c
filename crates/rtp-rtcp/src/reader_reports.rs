//! How readers receive, by what their reports say.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::Hash,
    time::{Duration, Instant},
};

use smallvec::SmallVec;

use crate::{NtpTime, ReportBlock, RtcpError, RtcpPacket, Sdes, SdesKind, Ssrc, parse_compound};

/// How much a [`ReaderReports`] holds at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReaderReportLimits {
    /// Readers whose reports are kept.
    pub readers: usize,
    /// What a reader has not confirmed for so long is forgotten.
    pub forget_after: Duration,
}

impl Default for ReaderReportLimits {
    fn default() -> Self {
        Self { readers: 10_000, forget_after: Duration::from_secs(60) }
    }
}

/// What became of a reader's compound packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Noted {
    /// It said something of a source of ours.
    Reported,
    /// It said nothing of a source of ours.
    Nothing,
    /// There are [`ReaderReportLimits::readers`] already.
    Full,
}

/// What the readers of one stream have reported.
///
/// `K` is how the caller tells readers apart: by the session that a packet came for, never by an
/// SSRC, which anybody can write. What is kept is what a reader says of sources that have sent it
/// reports ([`ReaderReports::on_sent`]), the last report of each.
///
/// ```
/// use std::time::{Duration, Instant};
/// use rtp_rtcp::{
///     NtpTime, ReaderReportLimits, ReaderReports, ReportBlock, RtcpWriter, Ssrc, Noted,
/// };
///
/// # #[expect(clippy::disallowed_methods, reason = "an example needs a beginning of time")]
/// let sent = Instant::now();
/// let mut reports = ReaderReports::new(ReaderReportLimits::default());
/// let ntp = NtpTime::from_unix(Duration::from_secs(1_800_000_000));
/// reports.on_sent(sent, Ssrc(7), ntp);
///
/// // It comes back 80 ms later, half of which the reader had kept it.
/// let block = ReportBlock {
///     ssrc: Ssrc(7), fraction_lost: 0, cumulative_lost: 3, highest_seq: 9, jitter: 90,
///     last_sr: ntp.middle(), delay_since_last_sr: 65_536 / 25,
/// };
/// let compound = RtcpWriter::new().receiver_report(Ssrc(1), &[block]).cname(Ssrc(1), "me").finish();
/// let now = sent + Duration::from_millis(80);
/// assert_eq!(reports.on_compound(now, "reader", &compound)?, Noted::Reported);
///
/// let reader = reports.get(&"reader").unwrap();
/// assert_eq!(reader.name(), Some("me"));
/// let track = reader.track(Ssrc(7)).unwrap();
/// assert_eq!(track.cumulative_lost, 3);
/// assert!(track.round_trip.unwrap().abs_diff(Duration::from_millis(40)) < Duration::from_millis(1));
/// # Ok::<(), rtp_rtcp::RtcpError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReaderReports<K> {
    limits: ReaderReportLimits,
    sources: SmallVec<[Sent; 2]>,
    readers: HashMap<K, ReaderReport>,
    /// When something may be forgotten next.
    look_at: Option<Instant>,
}

/// The last report that a source has sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    source: Ssrc,
    ntp: NtpTime,
    at: Instant,
    /// The first report by the present clock, if it was set since the source's first report.
    set: Option<(NtpTime, Instant)>,
}

impl Sent {
    /// Whether a report at `now` goes on from this one, rather than by a clock that was set.
    fn goes_on(&self, now: Instant, ntp: NtpTime) -> bool {
        let shown = self.ntp.plus(now.saturating_duration_since(self.at));
        shown.since(ntp).or_else(|| ntp.since(shown)).is_some_and(|by| by <= MAX_SLEWED)
    }
}

/// What one reader has reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReaderReport {
    at: Instant,
    name: Option<Box<str>>,
    tool: Option<Box<str>>,
    tracks: SmallVec<[TrackReport; 2]>,
}

/// What a reader has last reported of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrackReport {
    /// The source.
    pub source: Ssrc,
    /// When it was reported.
    pub at: Instant,
    /// Reports so far.
    pub reports: u64,
    /// The part lost since the report before, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; negative if duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// The highest sequence number in the low 16 bits, its wraps in the high ones.
    pub highest_seq: u32,
    /// Interarrival jitter in ticks of the source's clock.
    pub jitter: u32,
    /// From here to the reader and back, of the last report that tells it.
    pub round_trip: Option<Duration>,
}

impl ReaderReport {
    /// When the reader has last reported.
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// Its CNAME, printable characters of it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The program it says it is, printable characters of it.
    pub fn tool(&self) -> Option<&str> {
        self.tool.as_deref()
    }

    /// What it says of each source.
    pub fn tracks(&self) -> &[TrackReport] {
        &self.tracks
    }

    /// What it says of one source.
    pub fn track(&self, source: Ssrc) -> Option<&TrackReport> {
        self.tracks.iter().find(|track| track.source == source)
    }
}

impl fmt::Display for TrackReport {
    /// As a log line has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = f32::from(self.fraction_lost) / 2.56;
        write!(f, "{percent:.1} % lost, {} in all, jitter {}", self.cumulative_lost, self.jitter)?;
        match self.round_trip {
            Some(time) => write!(f, ", round trip {} ms", time.as_millis()),
            None => Ok(()),
        }
    }
}

impl<K: Copy + Eq + Hash> ReaderReports<K> {
    /// Nothing reported yet.
    pub fn new(limits: ReaderReportLimits) -> Self {
        Self { limits, sources: SmallVec::new(), readers: HashMap::new(), look_at: None }
    }

    /// A sender report of `source` has gone to readers: what it tells is what they answer to.
    pub fn on_sent(&mut self, now: Instant, source: Ssrc, ntp: NtpTime) {
        if let Some(known) = self.sources.iter_mut().find(|known| known.source == source) {
            let set = if known.goes_on(now, ntp) { known.set } else { Some((ntp, now)) };
            *known = Sent { source, ntp, at: now, set };
            return;
        }
        let sent = Sent { source, ntp, at: now, set: None };
        if self.sources.len() >= MAX_SOURCES {
            // The one that has been silent for longest.
            let oldest = self.sources.iter().enumerate().min_by_key(|(_, known)| known.at);
            if let Some((oldest, _)) = oldest {
                self.sources.swap_remove(oldest);
            }
        }
        self.sources.push(sent);
    }

    /// The same, for a compound packet as it goes out. Others than sender reports are left alone.
    pub fn on_sent_compound(&mut self, now: Instant, compound: &[u8]) {
        let Ok(packets) = parse_compound(compound) else { return };
        for packet in packets {
            if let RtcpPacket::SenderReport { ssrc, info, .. } = packet {
                self.on_sent(now, ssrc, info.ntp);
            }
        }
    }

    /// Takes a compound packet that came for `reader`.
    ///
    /// # Errors
    ///
    /// It is none ([`parse_compound`]).
    pub fn on_compound(
        &mut self,
        now: Instant,
        reader: K,
        compound: &[u8],
    ) -> Result<Noted, RtcpError> {
        let packets = parse_compound(compound)?;
        let mut noted = Noted::Nothing;
        for packet in packets {
            match packet {
                RtcpPacket::ReceiverReport { blocks, .. }
                | RtcpPacket::SenderReport { blocks, .. } => {
                    for block in &blocks {
                        match self.on_block(now, reader, block) {
                            Noted::Nothing => {}
                            Noted::Full => return Ok(Noted::Full),
                            Noted::Reported => noted = Noted::Reported,
                        }
                    }
                }
                RtcpPacket::SourceDescription(sdes) => self.on_sdes(reader, &sdes),
                _ => {}
            }
        }
        Ok(noted)
    }

    /// The reader has left.
    pub fn forget(&mut self, reader: &K) -> Option<ReaderReport> {
        self.readers.remove(reader)
    }

    /// What a reader has reported.
    pub fn get(&self, reader: &K) -> Option<&ReaderReport> {
        self.readers.get(reader)
    }

    /// What all readers have reported, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &ReaderReport)> {
        self.readers.iter()
    }

    /// How many readers have reported.
    pub fn len(&self) -> usize {
        self.readers.len()
    }

    /// Whether nobody has reported.
    pub fn is_empty(&self) -> bool {
        self.readers.is_empty()
    }

    /// Forgets what is too old.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        let after = self.limits.forget_after;
        self.readers.retain(|_, reader| {
            reader.tracks.retain(|track| now.saturating_duration_since(track.at) < after);
            !reader.tracks.is_empty()
        });
        let ends = |reader: &ReaderReport| reader.tracks.iter().map(|track| track.at).min();
        let oldest = self.readers.values().filter_map(ends).min();
        self.look_at = oldest.and_then(|at| at.checked_add(after));
    }

    /// When something is too old, at the earliest.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.look_at
    }

    fn on_block(&mut self, now: Instant, reader: K, block: &ReportBlock) -> Noted {
        let Some(sent) = self.sources.iter().find(|sent| sent.source == block.ssrc) else {
            return Noted::Nothing;
        };
        let round_trip = round_trip(now, sent, block);
        let count = self.readers.len();
        let reader = match self.readers.entry(reader) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if count >= self.limits.readers => return Noted::Full,
            Entry::Vacant(new) => new.insert(ReaderReport {
                at: now,
                name: None,
                tool: None,
                tracks: SmallVec::new(),
            }),
        };
        reader.at = now;
        let known = reader.tracks.iter().position(|track| track.source == block.ssrc);
        let before = known.map(|known| reader.tracks.swap_remove(known));
        if reader.tracks.len() >= MAX_SOURCES {
            return Noted::Full;
        }
        reader.tracks.push(TrackReport {
            source: block.ssrc,
            at: now,
            reports: before.map_or(0, |track| track.reports) + 1,
            fraction_lost: block.fraction_lost,
            cumulative_lost: block.cumulative_lost,
            highest_seq: block.highest_seq,
            jitter: block.jitter,
            round_trip: round_trip.or_else(|| before?.round_trip),
        });
        if self.look_at.is_none() {
            self.look_at = now.checked_add(self.limits.forget_after);
        }
        Noted::Reported
    }

    /// Only of readers that have reported something.
    fn on_sdes(&mut self, reader: K, sdes: &Sdes<'_>) {
        let Some(reader) = self.readers.get_mut(&reader) else { return };
        let Some(chunk) = sdes.chunks().next() else { return };
        for item in chunk.items() {
            match item.kind {
                SdesKind::CNAME => reader.name = printable(item.value),
                SdesKind::TOOL => reader.tool = printable(item.value),
                _ => {}
            }
        }
    }
}

/// From LSR and DLSR (RFC 3550, section 6.4.1), in units of 2^-16 s.
///
/// What the clock of our reports shows now follows from the last one of them. A report that
/// answers one from before that clock was set tells nothing.
fn round_trip(now: Instant, sent: &Sent, block: &ReportBlock) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    if let Some((first, at)) = sent.set
        && now.saturating_duration_since(at) < MAX_REMEMBERED
        && (block.last_sr.wrapping_sub(first.middle()) as i32) < 0
    {
        return None;
    }
    let arrival = sent.ntp.plus(now.saturating_duration_since(sent.at)).middle();
    let units = arrival.wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    // A little less than nothing is rounding, and a clock that is slewed.
    let units = if (units as i32) < 0 && units.wrapping_neg() <= ROUNDING { 0 } else { units };
    let time = Duration::from_micros((u64::from(units) * 1_000_000) >> 16);
    (time <= MAX_ROUND_TRIP).then_some(time)
}

/// For logs: no control characters, whoever sent them.
fn printable(bytes: &[u8]) -> Option<Box<str>> {
    let text: String = String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).collect();
    (!text.is_empty()).then(|| text.into_boxed_str())
}

/// The most sources that a stream's reports are answered to.
const MAX_SOURCES: usize = 32;

/// 10 ms.
const ROUNDING: u32 = 655;

/// By how much a clock is moved between two reports without being set.
const MAX_SLEWED: Duration = Duration::from_millis(20);

/// After so long nobody answers a report from before a clock was set.
const MAX_REMEMBERED: Duration = Duration::from_secs(60);

/// More than this is no round trip.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
