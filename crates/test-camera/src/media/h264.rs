//! H.264: the clip's byte stream format (ISO/IEC 14496-10 annex B) into RTP payloads (RFC 6184).

use super::{Payload, Unit};

/// One sequence and one picture parameter set, each a NAL unit without start code.
#[derive(Clone, Debug)]
pub(crate) struct ParameterSets {
    pub(crate) sps: Box<[u8]>,
    pub(crate) pps: Box<[u8]>,
}

/// A clip as access units.
#[derive(Debug)]
pub(super) struct Clip<'a> {
    pub(super) parameter_sets: ParameterSets,
    units: Vec<Vec<&'a [u8]>>,
}

impl<'a> Clip<'a> {
    /// Takes a byte stream apart. Only slices are kept; the parameter sets must not change.
    pub(super) fn parse(stream: &'a [u8]) -> anyhow::Result<Self> {
        let (mut sps, mut pps) = (None, None);
        let mut units: Vec<Vec<&[u8]>> = Vec::new();
        for nal in Nals::new(stream) {
            let Some(&first) = nal.first() else { continue };
            match first & 0x1F {
                SPS => sps = Some(nal),
                PPS => pps = Some(nal),
                SLICE | IDR_SLICE => {
                    // `first_mb_in_slice` is ue(v): a leading one bit is zero, a new picture.
                    let starts = nal.get(1).is_some_and(|byte| byte & 0x80 != 0);
                    match units.last_mut() {
                        Some(unit) if !starts => unit.push(nal),
                        _ => units.push(vec![nal]),
                    }
                }
                _ => {}
            }
        }
        let (Some(sps), Some(pps)) = (sps, pps) else {
            anyhow::bail!("there are no parameter sets");
        };
        anyhow::ensure!(sps.len() >= 4 && !units.is_empty(), "there is no picture");
        Ok(Self { parameter_sets: ParameterSets { sps: sps.into(), pps: pps.into() }, units })
    }

    pub(super) fn packetize(&self, limit: usize, in_band: bool) -> Vec<Unit> {
        self.units
            .iter()
            .map(|nals| {
                let key = nals.iter().any(|nal| nal.first().is_some_and(|b| b & 0x1F == IDR_SLICE));
                let mut packets = Packets::new(limit);
                if key && in_band {
                    packets.nal(&self.parameter_sets.sps);
                    packets.nal(&self.parameter_sets.pps);
                }
                for nal in nals {
                    packets.nal(nal);
                }
                packets.finish(key)
            })
            .collect()
    }
}

/// The NAL units of a byte stream, without start codes and trailing zeros.
struct Nals<'a> {
    rest: &'a [u8],
}

impl<'a> Nals<'a> {
    fn new(stream: &'a [u8]) -> Self {
        let rest = start_code(stream).and_then(|at| stream.get(at + 3..)).unwrap_or_default();
        Self { rest }
    }
}

impl<'a> Iterator for Nals<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (nal, rest) = match start_code(self.rest) {
            Some(at) => {
                let (nal, rest) = self.rest.split_at(at);
                (nal, rest.get(3..).unwrap_or_default())
            }
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        let end = nal.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        nal.get(..end)
    }
}

fn start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|window| window == [0, 0, 1])
}

/// The packets of one access unit in the making.
pub(super) struct Packets {
    limit: usize,
    packets: Vec<Payload>,
}

impl Packets {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, packets: Vec::new() }
    }

    /// Adds a NAL unit: as it is where it fits, else as fragmentation units (RFC 6184, 5.8).
    pub(super) fn nal(&mut self, nal: &[u8]) {
        if nal.len() <= self.limit {
            self.push(nal.into());
            return;
        }
        let Some((&header, data)) = nal.split_first() else { return };
        let mut pieces = data.chunks(self.limit.saturating_sub(2).max(1)).peekable();
        let mut start = START_BIT;
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END_BIT } else { 0 };
            let mut payload = Vec::with_capacity(piece.len() + 2);
            payload.push(header & 0xE0 | FU_A);
            payload.push(start | end | header & 0x1F);
            payload.extend_from_slice(piece);
            self.push(payload.into());
            start = 0;
        }
    }

    fn push(&mut self, bytes: Box<[u8]>) {
        self.packets.push(Payload { bytes, marker: false, stamp: None });
    }

    pub(super) fn finish(mut self, key: bool) -> Unit {
        if let Some(last) = self.packets.last_mut() {
            last.marker = true;
        }
        Unit { packets: self.packets.into(), key }
    }
}

pub(super) const SLICE: u8 = 1;
pub(super) const IDR_SLICE: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const FU_A: u8 = 28;
const START_BIT: u8 = 0x80;
const END_BIT: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nal_units_are_found_between_start_codes_of_three_and_four_bytes() {
        let stream = [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65, 0x80, 0, 4];
        let nals: Vec<&[u8]> = Nals::new(&stream).collect();
        assert_eq!(nals, [&[0x67, 1, 2][..], &[0x68, 3], &[0x65, 0x80, 0, 4]]);
        assert_eq!(Nals::new(&[1, 2, 3]).count(), 0);
        assert_eq!(Nals::new(&[]).count(), 0);
    }

    #[test]
    fn fragments_put_together_are_the_nal_unit_again() {
        let nal: Vec<u8> =
            std::iter::once(0x65).chain((0..5000_u32).map(|i| i.to_le_bytes()[0])).collect();
        for limit in [64, 100, 1400, 4999, 5000, 5001, 8000] {
            let mut packets = Packets::new(limit);
            packets.nal(&nal);
            let unit = packets.finish(true);
            let mut whole = Vec::new();
            let count = unit.packets.len();
            for (index, packet) in unit.packets.iter().enumerate() {
                assert!(packet.bytes.len() <= limit);
                if count == 1 {
                    whole.extend_from_slice(&packet.bytes);
                    continue;
                }
                assert_eq!(packet.bytes[0], 0x60 | 28);
                assert_eq!(packet.bytes[1] & 0x80 != 0, index == 0);
                assert_eq!(packet.bytes[1] & 0x40 != 0, index + 1 == count);
                if index == 0 {
                    whole.push(packet.bytes[0] & 0xE0 | packet.bytes[1] & 0x1F);
                }
                whole.extend_from_slice(&packet.bytes[2..]);
            }
            assert_eq!(whole, nal, "limit {limit}");
            assert_eq!(count == 1, nal.len() <= limit);
        }
    }
}
