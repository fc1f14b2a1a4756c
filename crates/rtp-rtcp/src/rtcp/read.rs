//! Walks a compound packet.

use smallvec::SmallVec;

use super::{
    APP, BYE, COUNT, MAX_RTCP_BYTES, MAX_SUBPACKETS, PADDING, PAYLOAD_FEEDBACK, RECEIVER_REPORT,
    ReportBlock, ReportBlocks, RtcpError, RtcpPacket, SENDER_REPORT, SOURCE_DESCRIPTION, Sdes,
    SenderInfo, TRANSPORT_FEEDBACK, VERSION,
};
use crate::{NtpTime, RtpTime, Ssrc};

/// Checks versions, lengths and padding of a whole compound (RFC 3550, appendix A.2) and returns
/// its packets.
///
/// That it begins with a report is not asked for: RFC 5506 does away with it, and a BYE that comes
/// alone is still a BYE. What is wrong within one packet is told as [`RtcpPacket::Malformed`].
///
/// # Errors
///
/// The lengths do not add up, a version is not 2, the padding is wrong, or the compound exceeds
/// [`MAX_RTCP_BYTES`] or [`MAX_SUBPACKETS`].
pub fn parse_compound(bytes: &[u8]) -> Result<RtcpIter<'_>, RtcpError> {
    if bytes.is_empty() {
        return Err(RtcpError::Empty);
    }
    if bytes.len() > MAX_RTCP_BYTES {
        return Err(RtcpError::TooLong { have: bytes.len() });
    }
    let mut rest = bytes;
    let mut count = 0;
    while !rest.is_empty() {
        count += 1;
        if count > MAX_SUBPACKETS {
            return Err(RtcpError::TooMany);
        }
        (_, rest) = split_packet(rest, bytes.len() - rest.len())?;
    }
    Ok(RtcpIter { rest: bytes })
}

/// The packets of a compound, in order.
#[derive(Clone, Debug)]
pub struct RtcpIter<'a> {
    /// Checked to the end.
    rest: &'a [u8],
}

impl<'a> Iterator for RtcpIter<'a> {
    type Item = RtcpPacket<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (frame, rest) = split_packet(self.rest, 0).ok()?;
        self.rest = rest;
        Some(frame.read().unwrap_or(RtcpPacket::Malformed { packet_type: frame.packet_type }))
    }
}

struct Frame<'a> {
    count: u8,
    packet_type: u8,
    /// Without header and padding.
    body: &'a [u8],
}

/// The first packet of `bytes`, which begin at `offset` of the compound, and what follows it.
fn split_packet(bytes: &[u8], offset: usize) -> Result<(Frame<'_>, &[u8]), RtcpError> {
    let truncated = RtcpError::Truncated { offset };
    let Some((&[first, packet_type, l0, l1], behind)) = bytes.split_first_chunk() else {
        return Err(truncated);
    };
    if first >> 6 != VERSION {
        return Err(RtcpError::Version { offset, found: first >> 6 });
    }
    let length = 4 * usize::from(u16::from_be_bytes([l0, l1]));
    let Some((mut body, rest)) = behind.split_at_checked(length) else {
        return Err(truncated);
    };
    if first & PADDING != 0 {
        let padding = body.last().copied().map_or(0, usize::from);
        let padded = body.len().checked_sub(padding).and_then(|end| body.get(..end));
        match padded {
            Some(content) if rest.is_empty() && padding != 0 && padding % 4 == 0 => body = content,
            _ => return Err(RtcpError::Padding { offset }),
        }
    }
    Ok((Frame { count: first & COUNT, packet_type, body }, rest))
}

impl<'a> Frame<'a> {
    /// `None` if the content is not what its type asks for.
    fn read(&self) -> Option<RtcpPacket<'a>> {
        let &Self { count, packet_type, body } = self;
        Some(match packet_type {
            SENDER_REPORT => {
                let (ssrc, body) = split_u32(body)?;
                let (info, body) = split_sender_info(body)?;
                let blocks = report_blocks(count, body)?;
                RtcpPacket::SenderReport { ssrc: Ssrc(ssrc), info, blocks }
            }
            RECEIVER_REPORT => {
                let (ssrc, body) = split_u32(body)?;
                let blocks = report_blocks(count, body)?;
                RtcpPacket::ReceiverReport { ssrc: Ssrc(ssrc), blocks }
            }
            SOURCE_DESCRIPTION => RtcpPacket::SourceDescription(Sdes::parse(count, body)?),
            BYE => {
                let (ssrcs, rest) = body.split_at_checked(4 * usize::from(count))?;
                RtcpPacket::Bye {
                    ssrcs: words(ssrcs).map(Ssrc).collect::<SmallVec<_>>(),
                    reason: rest.split_first().and_then(|(&length, text)| {
                        text.get(..usize::from(length)).filter(|reason| !reason.is_empty())
                    }),
                }
            }
            APP => {
                let (ssrc, body) = split_u32(body)?;
                let (&name, data) = body.split_first_chunk()?;
                RtcpPacket::App { subtype: count, ssrc: Ssrc(ssrc), name, data }
            }
            TRANSPORT_FEEDBACK | PAYLOAD_FEEDBACK => {
                let (sender, body) = split_u32(body)?;
                let (media, fci) = split_u32(body)?;
                let (fmt, sender, media) = (count, Ssrc(sender), Ssrc(media));
                if packet_type == TRANSPORT_FEEDBACK {
                    RtcpPacket::TransportFeedback { fmt, sender, media, fci }
                } else {
                    RtcpPacket::PayloadFeedback { fmt, sender, media, fci }
                }
            }
            packet_type => RtcpPacket::Other { packet_type },
        })
    }
}

fn split_sender_info(bytes: &[u8]) -> Option<(SenderInfo, &[u8])> {
    let (ntp_high, bytes) = split_u32(bytes)?;
    let (ntp_low, bytes) = split_u32(bytes)?;
    let (rtp, bytes) = split_u32(bytes)?;
    let (packets, bytes) = split_u32(bytes)?;
    let (octets, bytes) = split_u32(bytes)?;
    let ntp = NtpTime::from_bits(u64::from(ntp_high) << 32 | u64::from(ntp_low));
    Some((SenderInfo { ntp, rtp: RtpTime(rtp), packets, octets }, bytes))
}

/// What follows the blocks is an extension of a profile and left alone.
fn report_blocks(count: u8, mut bytes: &[u8]) -> Option<ReportBlocks> {
    let mut blocks = ReportBlocks::new();
    for _ in 0..count {
        let (block, rest) = split_report_block(bytes)?;
        blocks.push(block);
        bytes = rest;
    }
    Some(blocks)
}

fn split_report_block(bytes: &[u8]) -> Option<(ReportBlock, &[u8])> {
    let (ssrc, bytes) = split_u32(bytes)?;
    let (loss, bytes) = split_u32(bytes)?;
    let (highest_seq, bytes) = split_u32(bytes)?;
    let (jitter, bytes) = split_u32(bytes)?;
    let (last_sr, bytes) = split_u32(bytes)?;
    let (delay_since_last_sr, bytes) = split_u32(bytes)?;
    let block = ReportBlock {
        ssrc: Ssrc(ssrc),
        fraction_lost: (loss >> 24) as u8,
        // 24 bits with a sign, moved up so that the shift back down extends it.
        cumulative_lost: (loss << 8) as i32 >> 8,
        highest_seq,
        jitter,
        last_sr,
        delay_since_last_sr,
    };
    Some((block, bytes))
}

/// The big-endian word at the beginning, and what follows it.
pub(super) fn split_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (&word, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(word), rest))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (word, behind) = split_u32(rest)?;
        rest = behind;
        Some(word)
    })
}
