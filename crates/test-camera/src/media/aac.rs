//! AAC: the clip's ADTS frames (ISO/IEC 13818-7) into RTP payloads (RFC 3640, mode AAC-hbr).

use super::{Payload, Unit};

/// A clip as AAC frames.
#[derive(Debug)]
pub(super) struct Clip<'a> {
    frames: Vec<&'a [u8]>,
    /// The AudioSpecificConfig.
    pub(super) config: [u8; 2],
}

impl<'a> Clip<'a> {
    pub(super) fn parse(stream: &'a [u8]) -> anyhow::Result<Self> {
        let mut frames = Vec::new();
        let mut config = None;
        let mut rest = stream;
        while !rest.is_empty() {
            let Some(&[0xFF, b1, b2, b3, b4, b5, _]) = rest.first_chunk() else {
                anyhow::bail!("no ADTS header at byte {}", stream.len() - rest.len());
            };
            let header = if b1 & 1 == 1 { 7 } else { 9 };
            let length = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5) >> 5;
            let frame = rest.get(header..length);
            let frame = frame.ok_or_else(|| anyhow::anyhow!("an ADTS frame is cut short"))?;
            frames.push(frame);
            rest = rest.get(length..).unwrap_or_default();

            let object_type = (b2 >> 6) + 1;
            let frequency = b2 >> 2 & 0x0F;
            let channels = (b2 & 1) << 2 | b3 >> 6;
            config =
                Some([object_type << 3 | frequency >> 1, (frequency & 1) << 7 | channels << 3]);
        }
        let config = config.ok_or_else(|| anyhow::anyhow!("there is no sound"))?;
        Ok(Self { frames, config })
    }

    /// One frame to a packet, or several packets to a frame that is too large.
    pub(super) fn packetize(&self, limit: usize) -> Vec<Unit> {
        let room = limit.saturating_sub(AU_HEADER).max(1);
        self.frames
            .iter()
            .map(|frame| {
                let size = u16::try_from(frame.len()).unwrap_or(u16::MAX);
                let [high, low] = (size << 3).to_be_bytes();
                let mut packets: Vec<Payload> = frame
                    .chunks(room)
                    .map(|piece| Payload {
                        bytes: [&[0, 16, high, low], piece].concat().into(),
                        marker: false,
                        stamp: None,
                        head: None,
                    })
                    .collect();
                if let Some(last) = packets.last_mut() {
                    last.marker = true;
                }
                Unit { packets: packets.into(), key: true }
            })
            .collect()
    }
}

/// AU-headers-length (16 bits), then one AU-header: 13 bits of size, 3 of index.
const AU_HEADER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_told_from_its_header_and_carried_whole() {
        // AAC-LC, 48 kHz, mono, no checksum, 10 bytes in all.
        let stream = [0xFF, 0xF1, 0x4C, 0x40, 0x01, 0x5F, 0xFC, 7, 8, 9];
        let clip = Clip::parse(&stream).unwrap();
        assert_eq!(clip.config, [0x11, 0x88]);
        let units = clip.packetize(1400);
        assert_eq!(units.len(), 1);
        assert_eq!(&*units[0].packets[0].bytes, &[0, 16, 0, 3 << 3, 7, 8, 9]);
    }

    #[test]
    fn a_stream_cut_short_is_refused() {
        assert!(Clip::parse(&[0xFF, 0xF1, 0x4C, 0x40, 0x01, 0x5F, 0xFC, 7, 8]).is_err());
        assert!(Clip::parse(&[0xFF, 0xF1, 0x4C]).is_err());
        // A length of zero must not loop for ever.
        assert!(Clip::parse(&[0xFF, 0xF1, 0x4C, 0x40, 0, 0x1F, 0xFC, 7]).is_err());
    }
}
