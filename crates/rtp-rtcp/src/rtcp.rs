//! RTCP compound packets (RFC 3550, section 6; feedback: RFC 4585, RFC 5104).

mod read;
mod sdes;
mod writer;

use smallvec::SmallVec;
use thiserror::Error;

use crate::{NtpTime, RtpTime, Ssrc};

pub use read::{RtcpIter, parse_compound};
pub use sdes::{Sdes, SdesChunk, SdesItem, SdesKind};
pub use writer::RtcpWriter;

/// The longest compound packet that is looked at. Honest ones fit an Ethernet frame.
pub const MAX_RTCP_BYTES: usize = 8_192;

/// The most packets that a compound packet may consist of.
pub const MAX_SUBPACKETS: usize = 64;

/// The most report blocks of one report: what its five-bit count can say.
pub const MAX_REPORT_BLOCKS: usize = 31;

/// [`RtcpPacket::PayloadFeedback`]: a picture was lost, a key frame is wanted (RFC 4585, section
/// 6.3.1).
pub const FMT_PLI: u8 = 1;

/// [`RtcpPacket::PayloadFeedback`]: a key frame is demanded (RFC 5104, section 4.3.1).
pub const FMT_FIR: u8 = 4;

/// One packet of a compound.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RtcpPacket<'a> {
    /// What a source sent, and how it receives others (RFC 3550, section 6.4.1).
    SenderReport {
        /// Who reports.
        ssrc: Ssrc,
        /// What it sent.
        info: SenderInfo,
        /// How it receives others.
        blocks: ReportBlocks,
    },
    /// How somebody receives (RFC 3550, section 6.4.2).
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
        /// How it receives others.
        blocks: ReportBlocks,
    },
    /// Names of sources (RFC 3550, section 6.5).
    SourceDescription(Sdes<'a>),
    /// Sources leave (RFC 3550, section 6.6).
    Bye {
        /// Those who leave; may be empty.
        ssrcs: SmallVec<[Ssrc; 2]>,
        /// Why, as far as it was said in full.
        reason: Option<&'a [u8]>,
    },
    /// Defined by an application (RFC 3550, section 6.7).
    App {
        /// 0..=31.
        subtype: u8,
        /// Who sends it.
        ssrc: Ssrc,
        /// Four ASCII characters.
        name: [u8; 4],
        /// The rest.
        data: &'a [u8],
    },
    /// Feedback on transport (RFC 4585, section 6.2).
    TransportFeedback {
        /// The kind, 0..=31.
        fmt: u8,
        /// Who sends it.
        sender: Ssrc,
        /// What it is about.
        media: Ssrc,
        /// The rest, by kind.
        fci: &'a [u8],
    },
    /// Feedback on a payload (RFC 4585, section 6.3): [`FMT_PLI`], [`FMT_FIR`] and others.
    PayloadFeedback {
        /// The kind, 0..=31.
        fmt: u8,
        /// Who sends it.
        sender: Ssrc,
        /// What it is about; zero in a FIR, which names its sources in `fci`.
        media: Ssrc,
        /// The rest, by kind.
        fci: &'a [u8],
    },
    /// A packet of a kind that is not read here.
    Other {
        /// Its type.
        packet_type: u8,
    },
    /// A packet of a known kind whose content does not fit its length; the others of the compound
    /// are as good as they look.
    Malformed {
        /// Its type.
        packet_type: u8,
    },
}

impl RtcpPacket<'_> {
    /// Whether a key frame is asked for, in either way (PLI, FIR).
    pub const fn asks_for_key_frame(&self) -> bool {
        matches!(self, Self::PayloadFeedback { fmt: FMT_PLI | FMT_FIR, .. })
    }
}

/// What a sender report says of its sender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SenderInfo {
    /// The sender's wall clock as the report left; zero if it has none.
    pub ntp: NtpTime,
    /// The same instant in the units of its timestamps.
    pub rtp: RtpTime,
    /// Packets sent so far, modulo 2^32.
    pub packets: u32,
    /// Octets of payload sent so far, modulo 2^32.
    pub octets: u32,
}

/// The blocks of one report, at most [`MAX_REPORT_BLOCKS`].
pub type ReportBlocks = SmallVec<[ReportBlock; 2]>;

/// How one source is received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReportBlock {
    /// The source.
    pub ssrc: Ssrc,
    /// The part lost since the previous report, in 256ths.
    pub fraction_lost: u8,
    /// Packets lost since the beginning, -2^23..2^23; negative if duplicates outnumber losses.
    pub cumulative_lost: i32,
    /// The highest sequence number in the low 16 bits, its wraps in the high ones.
    pub highest_seq: u32,
    /// Interarrival jitter in ticks of the source's clock.
    pub jitter: u32,
    /// The middle of the last sender report's NTP time; zero if there was none.
    pub last_sr: u32,
    /// How long ago that report came, in units of 2^-16 s; zero if there was none.
    pub delay_since_last_sr: u32,
}

/// Why bytes are no RTCP compound packet. Offsets are counted from its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RtcpError {
    /// There is nothing.
    #[error("empty RTCP packet")]
    Empty,
    /// Longer than [`MAX_RTCP_BYTES`].
    #[error("RTCP compound of {have} bytes is longer than {MAX_RTCP_BYTES}")]
    TooLong {
        /// Bytes that there are.
        have: usize,
    },
    /// Made of more than [`MAX_SUBPACKETS`] packets.
    #[error("RTCP compound has more than {MAX_SUBPACKETS} packets")]
    TooMany,
    /// A packet reaches beyond the end.
    #[error("RTCP packet at byte {offset} reaches beyond the end")]
    Truncated {
        /// Where it begins.
        offset: usize,
    },
    /// The version of a packet is not 2.
    #[error("RTCP packet at byte {offset} has version {found} instead of 2")]
    Version {
        /// Where it begins.
        offset: usize,
        /// The version found.
        found: u8,
    },
    /// A packet other than the last is padded, or its padding does not fit.
    #[error("RTCP packet at byte {offset} is wrongly padded")]
    Padding {
        /// Where it begins.
        offset: usize,
    },
}

const VERSION: u8 = 2;
const PADDING: u8 = 0x20;
const COUNT: u8 = 0x1f;
const HEADER_BYTES: usize = 4;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const APP: u8 = 204;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

#[cfg(test)]
mod tests;
