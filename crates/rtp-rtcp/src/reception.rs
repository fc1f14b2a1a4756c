//! How one source is received: loss and jitter (RFC 3550, appendices A.1, A.3 and A.8).

use std::time::{Duration, Instant};

use crate::{
    ClockRate, ReportBlock, RtpHeader, RtpTime, SenderInfo, Seq, Ssrc,
    numbering::{MAX_DROPOUT, MAX_MISORDER},
};

/// Statistics of one track as it arrives, before reordering.
///
/// Follows the source: two packets in a row with another SSRC begin a new count, as does a restart
/// of the sequence numbers. There is no probation: the source was asked for by name, so its first packet
/// counts.
#[derive(Clone, Debug)]
pub struct Reception {
    rate: ClockRate,
    clock: Option<Clock>,
    source: Option<Source>,
    last_report: Option<LastReport>,
    totals: Totals,
}

/// Sums over all sources that the track has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReceptionStats {
    /// Packets received, duplicates included.
    pub packets: u64,
    /// Octets received, as they were told to [`Reception::on_packet`].
    pub octets: u64,
    /// Packets that were expected and did not come; negative if duplicates outnumber them.
    pub lost: i64,
    /// How often the sequence numbers or the SSRC began anew.
    pub restarts: u64,
    /// Interarrival jitter of the present source in ticks of its clock.
    pub jitter: u32,
}

impl ReceptionStats {
    /// Packets that should have come.
    pub const fn expected(&self) -> u64 {
        self.packets.saturating_add_signed(self.lost)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    packets: u64,
    octets: u64,
    /// Of counts that are closed.
    lost: i64,
    restarts: u64,
}

/// Arrival times in ticks. What comes within one cycle of reading has one arrival, and the distance
/// of two instants is most of what a packet costs: it is kept.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Where they are counted from.
    epoch: Instant,
    /// That of the last packet.
    last: Instant,
    ticks: u32,
}

#[derive(Clone, Debug)]
struct Source {
    ssrc: Ssrc,
    base: Seq,
    highest: Seq,
    /// Wraps of the sequence numbers since `base`.
    cycles: u32,
    received: u64,
    /// A packet far from the others; if the next one is close to it, they began anew there.
    bad: Option<(Ssrc, Seq)>,
    expected_prior: u64,
    received_prior: u64,
    /// Arrival less timestamp of the last packet, in ticks.
    transit: u32,
    /// 16 times the jitter, as A.8 keeps it.
    jitter: u64,
}

#[derive(Clone, Copy, Debug)]
struct LastReport {
    middle: u32,
    at: Instant,
}

impl Reception {
    /// Nothing received yet, of a source with this clock.
    pub const fn new(rate: ClockRate) -> Self {
        Self {
            rate,
            clock: None,
            source: None,
            last_report: None,
            totals: Totals { packets: 0, octets: 0, lost: 0, restarts: 0 },
        }
    }

    /// Counts a packet of `bytes` octets that came at `now`.
    pub fn on_packet(&mut self, now: Instant, header: &RtpHeader, bytes: usize) {
        self.totals.packets += 1;
        self.totals.octets += bytes as u64;
        let transit = self.arrival(now).wrapping_sub(header.timestamp.0);
        let Some(source) = &mut self.source else {
            self.source = Some(Source::new(header, transit));
            return;
        };
        if source.count(header) {
            source.on_transit(transit);
        } else if source.is_restart(header) {
            self.begin(header, transit);
        }
    }

    /// Remembers a sender report of the source, which came at `now`, for LSR and DLSR.
    pub fn on_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        // A sender without a clock has sent nothing that could be answered.
        let has_clock = info.ntp.bits() != 0;
        self.last_report = has_clock.then(|| LastReport { middle: info.ntp.middle(), at: now });
    }

    /// The block for a receiver report that leaves at `now`; the next one's fraction is counted
    /// from here. `None` before the first packet.
    pub fn report_block(&mut self, now: Instant) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let fraction_lost = source.fraction_lost();
        let (last_sr, delay_since_last_sr) = match self.last_report {
            Some(LastReport { middle, at }) => {
                (middle, units_of_delay(now.saturating_duration_since(at)))
            }
            None => (0, 0),
        };
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost,
            cumulative_lost: source.lost().clamp(-(1 << 23), (1 << 23) - 1) as i32,
            highest_seq: source.cycles << 16 | u32::from(source.highest.0),
            jitter: source.jitter_ticks(),
            last_sr,
            delay_since_last_sr,
        })
    }

    /// Sums since the beginning.
    pub fn stats(&self) -> ReceptionStats {
        let Totals { packets, octets, lost, restarts } = self.totals;
        let (open, jitter) =
            self.source.as_ref().map_or((0, 0), |source| (source.lost(), source.jitter_ticks()));
        ReceptionStats { packets, octets, lost: lost.saturating_add(open), restarts, jitter }
    }

    /// The source that was heard last.
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// When that is, in ticks.
    #[inline]
    fn arrival(&mut self, now: Instant) -> u32 {
        let clock = self.clock.get_or_insert(Clock { epoch: now, last: now, ticks: 0 });
        if now != clock.last {
            let elapsed = now.saturating_duration_since(clock.epoch);
            (clock.last, clock.ticks) = (now, self.rate.low_ticks(elapsed));
        }
        clock.ticks
    }

    /// Closes the count and opens another.
    fn begin(&mut self, header: &RtpHeader, transit: u32) {
        self.totals.restarts += 1;
        if let Some(source) = self.source.replace(Source::new(header, transit)) {
            self.totals.lost = self.totals.lost.saturating_add(source.lost());
            if source.ssrc != header.ssrc {
                self.last_report = None;
            }
        }
    }
}

impl Source {
    fn new(header: &RtpHeader, transit: u32) -> Self {
        Self {
            ssrc: header.ssrc,
            base: header.seq,
            highest: header.seq,
            cycles: 0,
            received: 1,
            bad: None,
            expected_prior: 0,
            received_prior: 0,
            transit,
            jitter: 0,
        }
    }

    /// A.1. `false` if the packet is far from the others: it is not counted.
    fn count(&mut self, &RtpHeader { ssrc, seq, .. }: &RtpHeader) -> bool {
        if ssrc != self.ssrc {
            return false;
        }
        if seq == self.highest.next() {
            // Almost always.
            self.cycles = self.cycles.wrapping_add(u32::from(seq.0 == 0));
            self.highest = seq;
            self.bad = None;
            self.received += 1;
            return true;
        }
        match seq.ahead_of(self.highest) {
            1..MAX_DROPOUT => {
                if seq.0 < self.highest.0 {
                    self.cycles = self.cycles.wrapping_add(1);
                }
                self.highest = seq;
            }
            NEAREST_BEHIND..=0 => {}
            _ => return false,
        }
        self.bad = None;
        self.received += 1;
        true
    }

    /// Whether the packet is the second in a row that is far from the others.
    fn is_restart(&mut self, &RtpHeader { ssrc, seq, .. }: &RtpHeader) -> bool {
        self.bad.replace((ssrc, seq)).is_some_and(|(bad_ssrc, bad_seq)| {
            ssrc == bad_ssrc && (1..=MAX_MISORDER).contains(&seq.ahead_of(bad_seq))
        })
    }

    /// A.8.
    fn on_transit(&mut self, transit: u32) {
        let change = u64::from(RtpTime(transit).ahead_of(RtpTime(self.transit)).unsigned_abs());
        self.transit = transit;
        // Never below zero: a sixteenth is taken off, and of less than eight nothing.
        self.jitter = self.jitter + change - ((self.jitter + 8) >> 4);
    }

    fn jitter_ticks(&self) -> u32 {
        u32::try_from(self.jitter >> 4).unwrap_or(u32::MAX)
    }

    fn expected(&self) -> u64 {
        let highest = u64::from(self.cycles) << 16 | u64::from(self.highest.0);
        highest.saturating_sub(u64::from(self.base.0)) + 1
    }

    fn lost(&self) -> i64 {
        self.expected().wrapping_sub(self.received) as i64
    }

    /// A.3: the part lost since the last call.
    fn fraction_lost(&mut self) -> u8 {
        let (expected, received) = (self.expected(), self.received);
        let expected_since = expected.saturating_sub(self.expected_prior);
        let received_since = received.saturating_sub(self.received_prior);
        (self.expected_prior, self.received_prior) = (expected, received);
        let lost = expected_since.saturating_sub(received_since);
        // All lost is 256 of 256, which eight bits cannot say.
        (lost << 8).checked_div(expected_since).map_or(0, |part| part.min(255) as u8)
    }
}

/// In units of 2^-16 s, at most 18 hours.
fn units_of_delay(delay: Duration) -> u32 {
    let fraction = (u64::from(delay.subsec_nanos()) << 16) / 1_000_000_000;
    let units = delay.as_secs().saturating_mul(1 << 16).saturating_add(fraction);
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// Exclusive in A.1.
const NEAREST_BEHIND: i16 = 1 - MAX_MISORDER;

#[cfg(test)]
mod tests;
