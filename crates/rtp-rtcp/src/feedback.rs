//! Asking a source for a key frame (RFC 4585, section 6.3.1; RFC 5104, section 4.3.1).

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{RtcpWriter, Ssrc};

/// How a source can be asked for a key frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyFrameFeedback {
    /// Picture loss indication, `nack pli`.
    Pli,
    /// Full intra request, `ccm fir`.
    Fir,
}

impl KeyFrameFeedback {
    /// What the values of `a=rtcp-fb` offer for a payload type (RFC 4585, section 4.2): PLI rather
    /// than FIR, which is meant for the moments when somebody joins a conference and taken less
    /// kindly.
    ///
    /// ```
    /// use rtp_rtcp::KeyFrameFeedback;
    ///
    /// let offered = KeyFrameFeedback::offered(["97 nack pli", "* ccm fir"], 96);
    /// assert_eq!(offered, Some(KeyFrameFeedback::Fir));
    /// ```
    pub fn offered<'a>(
        attributes: impl IntoIterator<Item = &'a str>,
        payload_type: u8,
    ) -> Option<Self> {
        let mut best = None;
        for value in attributes {
            let mut words = value.split_ascii_whitespace();
            let is_meant =
                words.next().is_some_and(|word| word == "*" || word.parse() == Ok(payload_type));
            let (Some(kind), Some(parameter), true) = (words.next(), words.next(), is_meant) else {
                continue;
            };
            if kind.eq_ignore_ascii_case("nack") && parameter.eq_ignore_ascii_case("pli") {
                return Some(Self::Pli);
            }
            if kind.eq_ignore_ascii_case("ccm") && parameter.eq_ignore_ascii_case("fir") {
                best = Some(Self::Fir);
            }
        }
        best
    }
}

/// Asks one source for key frames, no more often than is good for it.
///
/// A wish is sent at once unless another one has just been; it is repeated until it is granted, a
/// few times soon and then now and again. However many readers wish, the source hears one.
///
/// ```text
///           wish
///   idle ---------> asking (repeats)
///     ^                 |
///     +-- key frame ----+
/// ```
#[derive(Clone, Debug)]
pub struct KeyFrameRequest {
    feedback: KeyFrameFeedback,
    last_sent: Option<Instant>,
    /// How often the present wish has been sent.
    asking: Option<u32>,
    /// Goes up with each wish, not with its repetitions (RFC 5104, section 4.3.1.2).
    seq_nr: u8,
}

impl KeyFrameRequest {
    /// Nothing wished for yet.
    pub const fn new(feedback: KeyFrameFeedback) -> Self {
        Self { feedback, last_sent: None, asking: None, seq_nr: 0 }
    }

    /// Somebody waits for a key frame.
    pub const fn wish(&mut self) {
        // Where it is repeated soon anyway, it is no other wish.
        if !matches!(self.asking, Some(0..=SOON_REPEATS)) {
            self.asking = Some(0);
            self.seq_nr = self.seq_nr.wrapping_add(1);
        }
    }

    /// A key frame has come.
    pub const fn granted(&mut self) {
        self.asking = None;
    }

    /// When the next request is due. `None` if nothing is wished for, and for the very first wish:
    /// that one is due at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let gap = match self.asking? {
            0 => LEAST_GAP,
            1..=SOON_REPEATS => REPEAT_AFTER,
            _ => REPEAT_SELDOM,
        };
        self.last_sent?.checked_add(gap)
    }

    /// Whether a request is due.
    pub fn is_due(&self, now: Instant) -> bool {
        self.asking.is_some() && self.poll_timeout().is_none_or(|due| due <= now)
    }

    /// The request that is due, if one is; it is taken to leave now.
    ///
    /// It is a whole compound from `sender`: an empty receiver report and a CNAME go before it
    /// (RFC 4585, section 3.1).
    #[must_use]
    pub fn poll(&mut self, now: Instant, sender: Ssrc, media: Ssrc, cname: &str) -> Option<Bytes> {
        if !self.is_due(now) {
            return None;
        }
        self.asking = Some(self.asking?.saturating_add(1));
        self.last_sent = Some(now);
        let compound = RtcpWriter::new().receiver_report(sender, &[]).cname(sender, cname);
        let compound = match self.feedback {
            KeyFrameFeedback::Pli => compound.pli(sender, media),
            KeyFrameFeedback::Fir => compound.fir(sender, media, self.seq_nr),
        };
        Some(compound.finish())
    }
}

/// Between two wishes: key frames are large.
const LEAST_GAP: Duration = Duration::from_secs(1);

/// A wish that was not granted by then may have been lost.
const REPEAT_AFTER: Duration = Duration::from_secs(2);

/// Who does not grant a wish after so many repetitions may never do.
const SOON_REPEATS: u32 = 3;

/// Between the repetitions after those, as somebody still waits.
const REPEAT_SELDOM: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FMT_FIR, RtcpPacket, parse_compound};

    #[expect(clippy::disallowed_methods, reason = "the base of a test's own time")]
    fn origin() -> Instant {
        Instant::now()
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn sends(request: &mut KeyFrameRequest, now: Instant) -> bool {
        request.poll(now, Ssrc(1), Ssrc(2), "me").is_some()
    }

    #[test]
    fn pli_is_preferred_where_both_are_offered() {
        let offered = |values: &[&str]| KeyFrameFeedback::offered(values.iter().copied(), 96);
        assert_eq!(offered(&["* ccm fir", "96 nack pli"]), Some(KeyFrameFeedback::Pli));
        assert_eq!(offered(&["96 CCM FIR tmmbr"]), Some(KeyFrameFeedback::Fir));
        assert_eq!(offered(&["96 nack", "96 ccm tmmbr", "97 nack pli", "", "x nack pli"]), None);
    }

    #[test]
    fn a_wish_leaves_at_once_and_many_wishes_are_one() {
        let start = origin();
        let mut request = KeyFrameRequest::new(KeyFrameFeedback::Pli);
        assert!(!sends(&mut request, start));
        (0..100).for_each(|_| request.wish());
        let bytes = request.poll(start, Ssrc(1), Ssrc(2), "me").unwrap();
        let packets: Vec<_> = parse_compound(&bytes).unwrap().collect();
        assert!(matches!(
            packets[..],
            [
                RtcpPacket::ReceiverReport { ssrc: Ssrc(1), .. },
                RtcpPacket::SourceDescription(_),
                RtcpPacket::PayloadFeedback { sender: Ssrc(1), media: Ssrc(2), .. },
            ]
        ));
        assert!(packets[2].asks_for_key_frame());
        request.wish();
        assert!(!sends(&mut request, start + ms(1_999)));
    }

    #[test]
    fn a_wish_just_after_one_that_was_granted_waits() {
        let start = origin();
        let mut request = KeyFrameRequest::new(KeyFrameFeedback::Pli);
        request.wish();
        assert!(sends(&mut request, start));
        request.granted();
        assert_eq!(request.poll_timeout(), None);
        request.wish();
        assert!(!sends(&mut request, start + ms(999)));
        assert_eq!(request.poll_timeout(), Some(start + ms(1_000)));
        assert!(sends(&mut request, start + ms(1_000)));
    }

    #[test]
    fn a_wish_is_repeated_with_the_same_number_until_it_is_granted() {
        let start = origin();
        let mut request = KeyFrameRequest::new(KeyFrameFeedback::Fir);
        request.wish();
        let mut numbers = Vec::new();
        for second in 0..30 {
            let Some(bytes) = request.poll(start + ms(second * 1_000), Ssrc(1), Ssrc(2), "me")
            else {
                continue;
            };
            for packet in parse_compound(&bytes).unwrap() {
                if let RtcpPacket::PayloadFeedback { fmt: FMT_FIR, fci, .. } = packet {
                    numbers.push((second, fci[4]));
                }
            }
        }
        assert_eq!(numbers, [(0, 1), (2, 1), (4, 1), (6, 1), (16, 1), (26, 1)]);
        request.granted();
        assert!(!sends(&mut request, start + ms(50_000)));
        request.wish();
        assert!(sends(&mut request, start + ms(60_000)));
        assert_eq!(request.seq_nr, 2);
    }
}
