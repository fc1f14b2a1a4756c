//! Opus (RFC 7587).
//!
//! A unit is one Opus packet, which is what a payload has. One of several frames that does not
//! fit is sent as packets of one frame each (RFC 6716 section 3.2).

use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits, Ready};
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use bytes::Bytes;

/// Ticks of a packet at most: 120 ms at 48 kHz, which is always the clock.
const LONGEST: u32 = 5760;

/// Gives each payload as a unit, with the time it lasts.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    limits: Limits,
    lost: u32,
    ready: Ready,
}

impl Depacketizer {
    /// Before the first packet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, lost: 0, ready: Ready::default() }
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.lost = self.lost.saturating_add(packet.lost);
        if packet.payload.len() > self.limits.max_unit {
            return Err(DepacketizeError::UnitTooLarge { limit: self.limits.max_unit });
        }
        let Some(duration) = duration(&packet.payload) else {
            return Err(DepacketizeError::Malformed("no Opus packet"));
        };
        let mut unit = AccessUnit::of(packet.timestamp, true, packet.payload);
        unit.marker = packet.marker;
        unit.duration = Some(duration);
        unit.lost = std::mem::take(&mut self.lost);
        self.ready.push(unit);
        Ok(())
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.poll()
    }

    fn flush(&mut self) {}
}

/// Sends each unit in one payload where it fits, else each of its frames in one of its own; a
/// frame cannot be cut.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let whole = unit.len() <= limit.max(MIN_LIMIT);
        // Copied only if it is in several slices, which received ones are not.
        let bytes = if whole { Bytes::new() } else { unit.data().to_bytes() };
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        if !whole
            && let (Some(&toc), Some(frames)) = (bytes.first(), frames(&bytes))
            && frames.iter().all(|frame| frame.len() < MAX_PAYLOAD)
        {
            for frame in frames {
                payload.own(&[toc & 0xfc]);
                payload.lend(frame);
                emit(&payload);
                payload.clear();
                payload.timestamp = payload.timestamp.plus(frame_ticks(toc));
            }
            return Ok(());
        }
        if unit.len() > MAX_PAYLOAD {
            return Err(PacketizeError::TooLarge { have: unit.len(), limit: MAX_PAYLOAD });
        }
        payload.lend_all(unit.data());
        emit(&payload);
        Ok(())
    }
}

/// How long a packet lasts, if it is one.
fn duration(packet: &[u8]) -> Option<u32> {
    let (&toc, rest) = packet.split_first()?;
    let count = match toc & 3 {
        0 => 1,
        3 => u32::from(rest.first()? & 0x3f),
        _ => 2,
    };
    let ticks = count * frame_ticks(toc);
    (1..=LONGEST).contains(&ticks).then_some(ticks)
}

/// How long each frame lasts (RFC 6716 table 2).
const fn frame_ticks(toc: u8) -> u32 {
    match toc >> 3 {
        config @ 0..12 => match config % 4 {
            0 => 480,
            1 => 960,
            2 => 1920,
            _ => 2880,
        },
        config @ 12..16 => 480 << (config % 2),
        config => 120 << (config % 4),
    }
}

/// The frames of a packet; `None` if it is not what the codec demands.
fn frames(packet: &[u8]) -> Option<Vec<&[u8]>> {
    let (&toc, mut rest) = packet.split_first()?;
    let (mut count, mut variable) = (usize::from(toc & 3).min(1) + 1, toc & 3 == 2);
    if toc & 3 == 3 {
        let (&head, after) = rest.split_first()?;
        rest = after;
        (count, variable) = (usize::from(head & 0x3f), head & 0x80 != 0);
        if head & 0x40 != 0 {
            let mut padding = 0;
            loop {
                let (&byte, after) = rest.split_first()?;
                rest = after;
                padding += usize::from(byte.min(254));
                if byte < 255 {
                    break;
                }
            }
            rest = rest.get(..rest.len().checked_sub(padding)?)?;
        }
    }
    if count == 0 || count as u32 * frame_ticks(toc) > LONGEST {
        return None;
    }
    let mut lengths = Vec::with_capacity(count);
    if variable {
        for _ in 1..count {
            let (&first, after) = rest.split_first()?;
            rest = after;
            let mut length = usize::from(first);
            if first >= 252 {
                let (&second, after) = rest.split_first()?;
                rest = after;
                length += 4 * usize::from(second);
            }
            lengths.push(length);
        }
        lengths.push(rest.len().checked_sub(lengths.iter().sum())?);
    } else {
        if !rest.len().is_multiple_of(count) {
            return None;
        }
        lengths.resize(count, rest.len() / count);
    }
    lengths
        .into_iter()
        .map(|length| {
            let (frame, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(frame)
        })
        .collect()
}
