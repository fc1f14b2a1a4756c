//! Where a track's packets wait, after its backend was lost, for one that can be shown.

use std::time::{Duration, Instant};

use bytes::Bytes;
use codec_framers::{Glancer, UnitTracker};
use rtp_rtcp::{ExtSeq, RtpPacket};

/// A track between the loss of its backend and the first packet that readers get again: shut until
/// a key frame comes, so that they see neither pieces of pictures nor numbers that never come.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// What tells key frames; none where every packet may be joined at.
    eye: Option<(Glancer, UnitTracker)>,
    /// The unit that is arriving, as long as it may be a key unit.
    kept: Vec<(ExtSeq, RtpPacket)>,
    bytes: usize,
    /// When the session's first packet came.
    since: Option<Instant>,
    /// Parameter sets that readers have not been told of, a payload each.
    sets: Vec<Bytes>,
}

/// What readers get as a gate opens.
pub(crate) struct Opened {
    pub(crate) sets: Vec<Bytes>,
    pub(crate) packets: Vec<(ExtSeq, RtpPacket)>,
}

impl Gate {
    /// The backend has been described again: how its key frames are told, and what its parameter
    /// sets are, if others than readers know.
    pub(crate) fn set_format(&mut self, glancer: Glancer, sets: Vec<Bytes>) {
        self.eye = glancer.knows_keys().then(|| (glancer, UnitTracker::new()));
        self.sets = sets;
        self.restart();
    }

    /// What comes from here on is of another session.
    pub(crate) fn restart(&mut self) {
        self.clear();
        self.since = None;
        if let Some((_, units)) = &mut self.eye {
            *units = UnitTracker::new();
        }
    }

    /// Takes a packet, in the order of their numbers; whether readers can go on with what is kept
    /// now.
    pub(crate) fn take(&mut self, now: Instant, seq: ExtSeq, packet: RtpPacket) -> bool {
        let Some((glancer, units)) = &mut self.eye else {
            self.kept.push((seq, packet));
            return true;
        };
        let header = packet.header();
        let glance = glancer.look(header, packet.payload());
        let begin = units.on_packet(seq, header.timestamp, glance);
        let undecided = units.undecided().map(|first| first.seq);
        let since = *self.since.get_or_insert(now);
        self.bytes += packet.bytes().len();
        self.kept.push((seq, packet));
        let Some(first) = begin.or(undecided) else {
            self.clear();
            return false;
        };
        // Packets of the units before are of no use any more.
        let bytes = &mut self.bytes;
        self.kept.retain(|(seq, packet)| {
            let is_of_unit = *seq >= first;
            if !is_of_unit {
                *bytes -= packet.bytes().len();
            }
            is_of_unit
        });
        let is_late = now.saturating_duration_since(since) >= LONGEST_WAIT;
        begin.is_some() || is_late || self.bytes > MAX_KEPT || self.kept.len() > MAX_PACKETS
    }

    /// Whether all that came of the unit now arriving is what stands before a picture.
    pub(crate) fn awaits_picture(&self) -> bool {
        self.eye.as_ref().is_some_and(|(_, units)| units.awaits_picture())
    }

    /// What readers go on with.
    pub(crate) fn open(self) -> Opened {
        Opened { sets: self.sets, packets: self.kept }
    }

    fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }
}

/// How long a key frame is waited for: some streams have none.
const LONGEST_WAIT: Duration = Duration::from_secs(12);
/// The bytes and packets of a unit of which it is not known yet whether it is a key unit.
const MAX_KEPT: usize = 4 << 20;
const MAX_PACKETS: usize = 8_192;

#[cfg(test)]
mod tests {
    use super::*;
    use sdp::Presentation;

    fn gate() -> Gate {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                    a=rtpmap:96 H264/90000\r\n";
        let told = Presentation::parse(text.as_bytes()).expect("a description").0;
        let media = &told.media[0];
        let mut gate = Gate::default();
        gate.set_format(Glancer::new(&media.kind, media.main_format()), Vec::new());
        gate
    }

    fn packet(seq: u16, timestamp: u32, nal: u8) -> RtpPacket {
        let mut bytes = vec![0x80, 96];
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 7, nal, 0x88, 0x84, 1]);
        RtpPacket::parse(bytes.into()).expect("a packet")
    }

    #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
    fn origin() -> Instant {
        Instant::now()
    }

    fn numbers(gate: Gate) -> Vec<u64> {
        gate.open().packets.iter().map(|(seq, _)| seq.0).collect()
    }

    #[test]
    fn it_opens_at_the_parameter_sets_of_the_first_key_frame() {
        let (now, mut gate) = (origin(), gate());
        assert!(!gate.take(now, ExtSeq(1), packet(1, 1, 0x41)));
        assert!(!gate.take(now, ExtSeq(2), packet(2, 2, 0x41)));
        assert!(!gate.take(now, ExtSeq(3), packet(3, 3, 0x67)));
        assert!(!gate.take(now, ExtSeq(4), packet(4, 3, 0x68)));
        assert!(gate.take(now, ExtSeq(5), packet(5, 3, 0x65)));
        assert_eq!(numbers(gate), [3, 4, 5]);
    }

    #[test]
    fn it_opens_without_a_key_frame_after_a_time() {
        let (now, mut gate) = (origin(), gate());
        assert!(!gate.take(now, ExtSeq(1), packet(1, 1, 0x41)));
        let later = now + LONGEST_WAIT;
        assert!(gate.take(later, ExtSeq(2), packet(2, 2, 0x41)));
        assert_eq!(numbers(gate), [2]);
    }

    #[test]
    fn sound_passes_at_once() {
        let mut gate = Gate::default();
        assert!(gate.take(origin(), ExtSeq(9), packet(9, 1, 0)));
        assert_eq!(numbers(gate), [9]);
    }
}
