//! How an input of bytes stands for a format's parameters and its packets.
//!
//! ```text
//! variant u8 | limit u8 | flags u8 | packet ..
//! packet = flags u8, length u16, payload
//! ```
//!
//! A variant beyond the family's own is the length of parameters that follow the first three
//! bytes as text. Everything is cut to what is there: every input means something.

use bytes::Bytes;
use codec_framers::Packet;
use rtp_rtcp::RtpTime;

/// What an input says.
pub(crate) struct Script {
    /// Which of the family's formats.
    pub(crate) variant: usize,
    /// Parameters other than the variant's.
    pub(crate) parameters: Option<String>,
    /// Bytes of a payload, at most.
    pub(crate) limit: usize,
    /// Bytes of a unit, at most.
    pub(crate) max_unit: usize,
    pub(crate) packets: Vec<Packet>,
}

/// More would only take time.
const MAX_PACKETS: usize = 64;
const FEW_BYTES: usize = 300;
const MANY_BYTES: usize = 1 << 20;

const STEPS: [u32; 4] = [0, 160, 3600, 0x8000_0000];
const LOSSES: [u32; 4] = [0, 1, 3, u32::MAX];
const MARKER: u8 = 1;

impl Script {
    pub(crate) fn parse(input: &[u8], variants: usize) -> Self {
        let (head, mut rest) = input.split_at(input.len().min(3));
        let at = |index: usize| head.get(index).copied().map_or(0, usize::from);
        let parameters = at(0).checked_sub(variants).map(|length| {
            let (text, after) = rest.split_at(rest.len().min(length));
            rest = after;
            String::from_utf8_lossy(text).into_owned()
        });
        let mut timestamp = RtpTime(0x1234_5678);
        let mut packets = Vec::new();
        while let Some((&[flags, high, low], after)) = rest.split_first_chunk() {
            if packets.len() == MAX_PACKETS {
                break;
            }
            let length = usize::from(u16::from_be_bytes([high, low])).min(after.len());
            let (payload, after) = after.split_at(length);
            rest = after;
            timestamp = RtpTime(timestamp.0.wrapping_add(pick(&STEPS, flags >> 1)));
            packets.push(Packet {
                payload: Bytes::copy_from_slice(payload),
                timestamp,
                marker: flags & MARKER != 0,
                lost: pick(&LOSSES, flags >> 3),
            });
        }
        Self {
            variant: if parameters.is_some() { 0 } else { at(0) },
            parameters,
            limit: at(1) * 6,
            max_unit: if at(2) & 1 == 0 { MANY_BYTES } else { FEW_BYTES },
            packets,
        }
    }

    /// The input that stands for these packets, of steps as like as can be.
    pub(crate) fn write(variant: u8, packets: &[Packet]) -> Vec<u8> {
        let mut input = vec![variant, 0x20, 0];
        let mut last = None;
        for packet in packets {
            let step = if last.is_some_and(|last| last != packet.timestamp) { 2 } else { 0 };
            last = Some(packet.timestamp);
            input.push(u8::from(packet.marker) | step << 1 | u8::from(packet.lost > 0) << 3);
            let length = u16::try_from(packet.payload.len()).unwrap_or(u16::MAX);
            input.extend_from_slice(&length.to_be_bytes());
            input.extend_from_slice(&packet.payload);
        }
        input
    }
}

fn pick(values: &[u32; 4], bits: u8) -> u32 {
    let [first, second, third, last] = *values;
    match bits & 3 {
        0 => first,
        1 => second,
        2 => third,
        _ => last,
    }
}
