//! What H.264 (RFC 6184) and H.265 (RFC 7798) have in common: NAL units into RTP payloads.

use super::{Payload, Unit};

/// One parameter set of each kind, each a NAL unit without start code.
#[derive(Clone, Debug)]
pub(crate) enum ParameterSets {
    /// Of H.264.
    H264 { sps: Box<[u8]>, pps: Box<[u8]> },
    /// Of H.265.
    H265 { vps: Box<[u8]>, sps: Box<[u8]>, pps: Box<[u8]> },
}

impl ParameterSets {
    pub(super) fn codec(&self) -> Codec {
        match self {
            Self::H264 { .. } => Codec::H264,
            Self::H265 { .. } => Codec::H265,
        }
    }

    /// In the order in which they are sent.
    pub(super) fn nals(&self) -> impl Iterator<Item = &[u8]> {
        let nals = match self {
            Self::H264 { sps, pps } => [None, Some(sps), Some(pps)],
            Self::H265 { vps, sps, pps } => [Some(vps), Some(sps), Some(pps)],
        };
        nals.into_iter().flatten().map(|nal| &**nal)
    }
}

/// How NAL units are told apart and fragmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    H265,
}

impl Codec {
    /// Whether a NAL unit is of a picture at which decoding can start.
    pub(super) fn is_key(self, nal: &[u8]) -> bool {
        let Some(&first) = nal.first() else { return false };
        match self {
            Self::H264 => first & 0x1F == IDR_SLICE,
            // The intra random access points (ITU-T H.265, table 7-1).
            Self::H265 => (16..=21).contains(&(first >> 1 & 0x3F)),
        }
    }

    /// Whether a NAL unit is a parameter set or an access unit delimiter, which a stream carries
    /// where the camera puts them and not where its clip has them.
    pub(super) fn is_set_or_delimiter(self, nal: &[u8]) -> bool {
        let Some(&first) = nal.first() else { return true };
        match self {
            Self::H264 => matches!(first & 0x1F, 7..=9),
            Self::H265 => matches!(first >> 1 & 0x3F, 32..=35),
        }
    }
}

/// The packets of one access unit in the making.
pub(super) struct Packets {
    codec: Codec,
    limit: usize,
    packets: Vec<Payload>,
}

impl Packets {
    pub(super) fn new(codec: Codec, limit: usize) -> Self {
        Self { codec, limit, packets: Vec::new() }
    }

    /// Adds a NAL unit: as it is where it fits, else as fragmentation units (RFC 6184, 5.8, and
    /// RFC 7798, 4.4.3).
    pub(super) fn nal(&mut self, nal: &[u8]) {
        if nal.len() <= self.limit {
            self.push(nal.into());
            return;
        }
        match (self.codec, nal) {
            (Codec::H264, &[header, ref data @ ..]) => {
                self.fragments(&[header & 0xE0 | FU_A], header & 0x1F, data);
            }
            (Codec::H265, &[first, second, ref data @ ..]) => {
                self.fragments(&[first & 0x81 | FU << 1, second], first >> 1 & 0x3F, data);
            }
            _ => {}
        }
    }

    fn fragments(&mut self, header: &[u8], kind: u8, data: &[u8]) {
        let room = self.limit.saturating_sub(header.len() + 1).max(1);
        let mut pieces = data.chunks(room).peekable();
        let mut start = START_BIT;
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END_BIT } else { 0 };
            self.push([header, &[start | end | kind], piece].concat().into());
            start = 0;
        }
    }

    fn push(&mut self, bytes: Box<[u8]>) {
        self.packets.push(Payload { bytes, marker: false, stamp: None, head: None });
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
const FU_A: u8 = 28;
const FU: u8 = 49;
const START_BIT: u8 = 0x80;
const END_BIT: u8 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_put_together_are_the_nal_unit_again() {
        // An IDR picture of each.
        for (codec, header, size) in
            [(Codec::H264, &[0x65][..], 1), (Codec::H265, &[19 << 1, 1], 2)]
        {
            let filler = (0..5000_u32).map(|i| i.to_le_bytes()[0]);
            let nal: Vec<u8> = header.iter().copied().chain(filler).collect();
            for limit in [64, 100, 1400, 4999, 5000, 5001, 5002, 8000] {
                let mut packets = Packets::new(codec, limit);
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
                    let (kind, flags) = match codec {
                        Codec::H264 => (packet.bytes[0] & 0x1F, packet.bytes[1]),
                        Codec::H265 => (packet.bytes[0] >> 1, packet.bytes[2]),
                    };
                    assert_eq!(kind, if codec == Codec::H264 { 28 } else { 49 });
                    assert_eq!(flags & 0x80 != 0, index == 0);
                    assert_eq!(flags & 0x40 != 0, index + 1 == count);
                    if index == 0 {
                        match codec {
                            Codec::H264 => whole.push(packet.bytes[0] & 0xE0 | flags & 0x1F),
                            Codec::H265 => whole.extend([(flags & 0x3F) << 1, packet.bytes[1]]),
                        }
                    }
                    whole.extend_from_slice(&packet.bytes[size + 1..]);
                }
                assert_eq!(whole, nal, "{codec:?} limit {limit}");
                assert_eq!(count == 1, nal.len() <= limit);
            }
        }
    }

    #[test]
    fn key_pictures_and_parameter_sets_are_told_by_their_type() {
        for (codec, first, key, set) in [
            (Codec::H264, 0x65, true, false),
            (Codec::H264, 0x41, false, false),
            (Codec::H264, 0x67, false, true),
            (Codec::H264, 0x09, false, true),
            (Codec::H264, 0x06, false, false),
            (Codec::H265, 19 << 1, true, false),
            (Codec::H265, 21 << 1, true, false),
            (Codec::H265, 1 << 1, false, false),
            (Codec::H265, 32 << 1, false, true),
            (Codec::H265, 39 << 1, false, false),
        ] {
            let nal = [first, 1, 2];
            assert_eq!(codec.is_key(&nal), key, "{codec:?} {first}");
            assert_eq!(codec.is_set_or_delimiter(&nal), set, "{codec:?} {first}");
        }
    }
}
