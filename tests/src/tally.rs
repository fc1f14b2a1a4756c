//! What a reader got, track by track.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::rtp;

/// One RTP or RTCP packet as it came.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The track, from 1, as in its URL.
    pub track: usize,
    /// Whether it came where RTCP comes.
    pub rtcp: bool,
    /// When.
    pub at: Instant,
    /// The packet.
    pub data: Vec<u8>,
}

impl Packet {
    /// The RTP header.
    ///
    /// # Panics
    /// If it is not RTP.
    #[must_use]
    pub fn header(&self) -> rtp::Header {
        rtp::header(&self.data).unwrap_or_else(|| panic!("not RTP: {:x?}", self.data))
    }

    /// The RTP payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        rtp::payload(&self.data)
    }
}

/// What came of one track, and what did not.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// RTP packets.
    pub packets: u64,
    /// Numbers that were left out.
    pub missing: u64,
    /// Packets that were late or came twice.
    pub repeated: u64,
    /// The first RTP packet's header.
    pub first: Option<rtp::Header>,
    /// The last RTP packet's header.
    pub last: Option<rtp::Header>,
    /// All sources seen.
    pub sources: HashSet<u32>,
    /// Sender reports.
    pub reports: u64,
    /// Whether a sender report came before the first RTP packet.
    pub report_first: bool,
    /// Goodbyes.
    pub byes: u64,
    /// The longest time between two RTP packets.
    pub longest_gap: Duration,
    /// When the last RTP packet came.
    pub last_at: Option<Instant>,
}

impl Tally {
    /// Counts a packet.
    pub fn take(&mut self, packet: &Packet) {
        if packet.rtcp {
            if rtp::sender_report(&packet.data).is_some() {
                self.reports += 1;
                self.report_first |= self.packets == 0;
            }
            self.byes += u64::from(rtp::is_bye(&packet.data));
            return;
        }
        let header = packet.header();
        self.packets += 1;
        self.sources.insert(header.ssrc);
        self.first.get_or_insert(header);
        match self.last.map(|last| rtp::ahead(header.seq, last.seq)) {
            Some(step) if step <= 0 => self.repeated += 1,
            step => {
                let left_out = step.map_or(0, |step| u64::from(step.unsigned_abs()) - 1);
                self.missing += left_out;
                self.last = Some(header);
            }
        }
        if let Some(before) = self.last_at.replace(packet.at) {
            self.longest_gap = self.longest_gap.max(packet.at.saturating_duration_since(before));
        }
    }

    /// Whether each number came once and from one source.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.packets > 0 && self.missing == 0 && self.repeated == 0 && self.sources.len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    fn packet(seq: u16) -> Packet {
        let mut data = vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        data[2..4].copy_from_slice(&seq.to_be_bytes());
        Packet { track: 1, rtcp: false, at: wait::now(), data }
    }

    #[test]
    fn gaps_and_repetitions_are_counted_over_the_wrap() {
        let mut tally = Tally::default();
        for seq in [65_534, 65_535, 0, 3, 2] {
            tally.take(&packet(seq));
        }
        assert_eq!((tally.packets, tally.missing, tally.repeated), (5, 2, 1));
        assert!(!tally.is_whole());
    }
}
