//! RTP and RTCP packets, sequence numbers, reordering and reception statistics, without I/O.
//!
//! Everything here is a value or a small state machine: bytes and times go in, packets, numbers
//! and verdicts come out. Nothing knows a socket or reads a clock.
//!
//! * Vocabulary: [`Now`], [`NtpTime`], [`RtpTime`], [`ClockRate`], [`Ssrc`], [`Seq`], [`ExtSeq`].
//! * Bytes: [`RtpPacket`] is a view of a packet that shares its memory, [`patch_header`] rewrites
//!   one in place; [`parse_compound`] walks RTCP, [`RtcpWriter`] builds it.
//! * State: [`Reorder`] (UDP) and [`InOrder`] (TCP) number what arrives, [`Reception`] keeps the
//!   statistics of a receiver report, [`ReportSchedule`] and [`ReceiverSchedule`] say when a
//!   report is due, [`ReaderReports`] keeps what readers report, [`KeyFrameRequest`] asks for key
//!   frames.
//!
//! The functions called once per packet do not allocate, but for the queue of [`Reorder`] growing
//! to its usual size.

mod feedback;
mod in_order;
mod numbering;
mod packet;
mod reader_reports;
mod reception;
mod reorder;
mod rtcp;
mod schedule;
mod seq;
mod time;

pub use feedback::{KeyFrameFeedback, KeyFrameRequest};
pub use in_order::InOrder;
pub use packet::{
    MAX_RTP_BYTES, RTP_HEADER_BYTES, RtpError, RtpHeader, RtpPacket, looks_like_rtcp,
    padding_packet, patch_header,
};
pub use reader_reports::{Noted, ReaderReport, ReaderReportLimits, ReaderReports, TrackReport};
pub use reception::{Reception, ReceptionStats};
pub use reorder::{Admit, Reorder, ReorderLimits, ReorderStats};
pub use rtcp::{
    FMT_FIR, FMT_PLI, MAX_REPORT_BLOCKS, MAX_RTCP_BYTES, MAX_SUBPACKETS, ReportBlock, ReportBlocks,
    RtcpError, RtcpIter, RtcpPacket, RtcpWriter, Sdes, SdesChunk, SdesItem, SdesKind, SenderInfo,
    parse_compound,
};
pub use schedule::{
    ReceiverSchedule, ReportSchedule, SILENCE_AFTER, SILENT_REPORT_INTERVAL, STEADY_REPORT_INTERVAL,
};
pub use seq::{ExtSeq, Seq, SeqUnwrapper};
pub use time::{ClockRate, Now, NtpTime, RtpTime, Ssrc};
