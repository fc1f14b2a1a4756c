//! Builds compound packets.

use bytes::Bytes;

use super::{
    BYE, FMT_FIR, FMT_PLI, HEADER_BYTES, MAX_REPORT_BLOCKS, PAYLOAD_FEEDBACK, RECEIVER_REPORT,
    ReportBlock, SENDER_REPORT, SOURCE_DESCRIPTION, SdesKind, SenderInfo, VERSION,
};
use crate::Ssrc;

/// Builds one compound packet, part by part.
///
/// A compound begins with a report and holds a CNAME (RFC 3550, section 6.1); the order of the
/// calls is the order on the wire, and keeping to that rule is the caller's part.
///
/// ```
/// use rtp_rtcp::{RtcpPacket, RtcpWriter, Ssrc, parse_compound};
///
/// let bytes = RtcpWriter::new()
///     .receiver_report(Ssrc(1), &[])
///     .cname(Ssrc(1), "f3c1")
///     .bye(&[Ssrc(1)], None)
///     .finish();
/// assert_eq!(parse_compound(&bytes)?.count(), 3);
/// # Ok::<(), rtp_rtcp::RtcpError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RtcpWriter {
    bytes: Vec<u8>,
}

impl RtcpWriter {
    /// An empty compound.
    pub fn new() -> Self {
        Self { bytes: Vec::with_capacity(USUAL_BYTES) }
    }

    /// A sender report. Blocks beyond [`MAX_REPORT_BLOCKS`] follow in receiver reports.
    pub fn sender_report(mut self, ssrc: Ssrc, info: &SenderInfo, blocks: &[ReportBlock]) -> Self {
        let (here, further) = blocks.split_at(blocks.len().min(MAX_REPORT_BLOCKS));
        let start = self.begin(here.len(), SENDER_REPORT);
        self.word(ssrc.0);
        self.bytes.extend_from_slice(&info.ntp.bits().to_be_bytes());
        self.word(info.rtp.0);
        self.word(info.packets);
        self.word(info.octets);
        self.report_blocks(here);
        self.end(start);
        if further.is_empty() { self } else { self.receiver_report(ssrc, further) }
    }

    /// A receiver report; without blocks it only says that somebody is there. Blocks beyond
    /// [`MAX_REPORT_BLOCKS`] follow in further ones.
    pub fn receiver_report(mut self, ssrc: Ssrc, blocks: &[ReportBlock]) -> Self {
        let mut further = blocks;
        loop {
            let here;
            (here, further) = further.split_at(further.len().min(MAX_REPORT_BLOCKS));
            let start = self.begin(here.len(), RECEIVER_REPORT);
            self.word(ssrc.0);
            self.report_blocks(here);
            self.end(start);
            if further.is_empty() {
                return self;
            }
        }
    }

    /// A source description with the canonical name, of which 255 bytes are sent.
    pub fn cname(mut self, ssrc: Ssrc, name: &str) -> Self {
        let start = self.begin(1, SOURCE_DESCRIPTION);
        self.word(ssrc.0);
        self.bytes.push(SdesKind::CNAME.0);
        self.text(name);
        // The end mark; `end` fills the word.
        self.bytes.push(0);
        self.end(start);
        self
    }

    /// A goodbye for each of `ssrcs`, and why, of which 255 bytes are sent. Sources beyond the 31
    /// that one packet can name follow in further ones.
    pub fn bye(mut self, ssrcs: &[Ssrc], reason: Option<&str>) -> Self {
        let mut further = ssrcs;
        loop {
            let here;
            (here, further) = further.split_at(further.len().min(MAX_REPORT_BLOCKS));
            let start = self.begin(here.len(), BYE);
            for ssrc in here {
                self.word(ssrc.0);
            }
            if let Some(reason) = reason {
                self.text(reason);
            }
            self.end(start);
            if further.is_empty() {
                return self;
            }
        }
    }

    /// Tells the sender of `media` that a picture was lost (RFC 4585, section 6.3.1).
    pub fn pli(mut self, sender: Ssrc, media: Ssrc) -> Self {
        let start = self.begin(usize::from(FMT_PLI), PAYLOAD_FEEDBACK);
        self.word(sender.0);
        self.word(media.0);
        self.end(start);
        self
    }

    /// Demands a key frame from the sender of `media`; `seq_nr` goes up by one with each demand,
    /// not with its repetitions (RFC 5104, section 4.3.1).
    pub fn fir(mut self, sender: Ssrc, media: Ssrc, seq_nr: u8) -> Self {
        let start = self.begin(usize::from(FMT_FIR), PAYLOAD_FEEDBACK);
        self.word(sender.0);
        self.word(0);
        self.word(media.0);
        self.word(u32::from(seq_nr) << 24);
        self.end(start);
        self
    }

    /// The compound.
    pub fn finish(self) -> Bytes {
        Bytes::from(self.bytes)
    }

    /// A header whose length [`RtcpWriter::end`] fills in. `count` fits five bits.
    fn begin(&mut self, count: usize, packet_type: u8) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[(VERSION << 6) | count as u8, packet_type, 0, 0]);
        start
    }

    fn end(&mut self, start: usize) {
        let length = (self.bytes.len() - start).next_multiple_of(HEADER_BYTES);
        self.bytes.resize(start + length, 0);
        if let Some([_, _, words @ ..]) = self.bytes[start..].first_chunk_mut::<HEADER_BYTES>() {
            *words = ((length / HEADER_BYTES - 1) as u16).to_be_bytes();
        }
    }

    fn report_blocks(&mut self, blocks: &[ReportBlock]) {
        for block in blocks {
            let lost = block.cumulative_lost.clamp(-(1 << 23), (1 << 23) - 1);
            self.word(block.ssrc.0);
            self.word(u32::from(block.fraction_lost) << 24 | (lost as u32 & 0x00ff_ffff));
            self.word(block.highest_seq);
            self.word(block.jitter);
            self.word(block.last_sr);
            self.word(block.delay_since_last_sr);
        }
    }

    /// A length and as many bytes of text, cut between characters.
    fn text(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
        self.bytes.push(text.len() as u8);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend_from_slice(&word.to_be_bytes());
    }
}

impl Default for RtcpWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// A sender report with a CNAME fits.
const USUAL_BYTES: usize = 128;

/// What a length of one byte can say.
const MAX_TEXT_BYTES: usize = 255;
