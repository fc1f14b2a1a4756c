//! Where a packet belongs in the numbers of its track, and when those begin anew (RFC 3550,
//! appendix A.1).

use crate::{ExtSeq, RtpHeader, RtpTime, SeqUnwrapper, Ssrc};

/// Numbers further ahead than this are no loss (MAX_DROPOUT of RFC 3550, appendix A.1).
pub(crate) const MAX_DROPOUT: i16 = 3_000;

/// Numbers further behind than this are no reordering (MAX_MISORDER of RFC 3550, appendix A.1).
pub(crate) const MAX_MISORDER: i16 = 100;

/// So many packets in a row behind what has passed, all of them younger than it by their
/// timestamps, are no stragglers: the source began anew a little behind where it was.
pub(crate) const MAX_LATE_RUN: u32 = 8;

/// Numbers the packets of one track, whatever its source does to its own numbers.
#[derive(Clone, Debug)]
pub(crate) struct Numbering {
    unwrapper: SeqUnwrapper,
    /// How far behind the highest number a packet may lie and still be told late, not far.
    behind: i16,
    source: Option<Source>,
}

/// What is known of the source that sends now.
#[derive(Clone, Copy, Debug)]
struct Source {
    ssrc: Ssrc,
    youngest: RtpTime,
    late_run: u32,
}

/// Where a packet belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// At this number. It may be behind what has passed already.
    Near(ExtSeq),
    /// Nowhere near the others: a stray packet, or the source has begun anew.
    Far,
}

impl Numbering {
    pub(crate) fn new(behind: usize) -> Self {
        let behind = i16::try_from(behind).unwrap_or(i16::MAX).clamp(MAX_MISORDER, MAX_BEHIND);
        Self { unwrapper: SeqUnwrapper::new(), behind, source: None }
    }

    /// Where the packet belongs. The first of all, and the first after
    /// [`Numbering::forget_source`], begin anew wherever they are.
    pub(crate) fn place(&mut self, header: &RtpHeader) -> Place {
        let Some(source) = self.source else {
            return Place::Near(match self.unwrapper.highest() {
                None => self.unwrapper.peek(header.seq),
                Some(last) => self.unwrapper.restart(last, header.seq),
            });
        };
        let extended = self.unwrapper.peek(header.seq);
        let ahead = self.unwrapper.highest().map_or(0, |highest| extended.ahead_of(highest));
        let near = -i64::from(self.behind)..i64::from(MAX_DROPOUT);
        if source.ssrc == header.ssrc && near.contains(&ahead) {
            Place::Near(extended)
        } else {
            Place::Far
        }
    }

    /// The packet was let in at the place it was told.
    pub(crate) fn accepted(&mut self, header: &RtpHeader) {
        self.unwrapper.unwrap(header.seq);
        let youngest = match self.source {
            Some(Source { youngest, .. }) if youngest.ahead_of(header.timestamp) > 0 => youngest,
            _ => header.timestamp,
        };
        self.source = Some(Source { ssrc: header.ssrc, youngest, late_run: 0 });
    }

    /// The packet came behind what has passed. Returns whether that has become too common to
    /// believe, so that the source is taken to have begun anew.
    pub(crate) fn late(&mut self, header: &RtpHeader) -> bool {
        let Some(source) = &mut self.source else { return false };
        if header.timestamp.ahead_of(source.youngest) > 0 {
            source.late_run += 1;
        } else {
            source.late_run = 0;
        }
        source.late_run >= MAX_LATE_RUN
    }

    /// The source has begun anew with this packet, which gets the number after the highest so far.
    pub(crate) fn restart(&mut self, header: &RtpHeader) -> ExtSeq {
        let &RtpHeader { seq, timestamp, ssrc, .. } = header;
        self.source = Some(Source { ssrc, youngest: timestamp, late_run: 0 });
        match self.unwrapper.highest() {
            None => self.unwrapper.unwrap(seq),
            Some(last) => self.unwrapper.restart(last, seq),
        }
    }

    /// The next packet begins anew with the number after `last`, the last one that was used.
    pub(crate) fn forget_source(&mut self, last: Option<ExtSeq>) {
        self.source = None;
        match last {
            None => self.unwrapper = SeqUnwrapper::new(),
            Some(last) => self.unwrapper.rewind(last),
        }
    }
}

/// Keeps what is behind apart from what is ahead.
const MAX_BEHIND: i16 = i16::MAX - MAX_DROPOUT;
