//! Packets of an H.264 stream without content, shaped like a camera's.

/// Bytes of the largest payload.
pub const PAYLOAD: usize = 1400;
/// Bytes of a key frame of the stream that everything here is measured with.
pub const KEY_FRAME: usize = 60_000;
/// Bytes of its other frames: at 25 frames per second, with a key frame every 2 s, 4 Mbit/s.
pub const OTHER_FRAME: usize = 19_183;
/// The payload type of all packets.
pub const PAYLOAD_TYPE: u8 = 96;
/// The SSRC of all packets.
pub const SSRC: u32 = 0x0102_0304;

/// Makes RTP packets, one frame after the other.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    seq: u16,
    timestamp: u32,
}

impl Frames {
    /// Begins with number 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The packets of the next frame of so many bytes, each a fragment (FU-A, RFC 6184 section
    /// 5.8) of one NAL unit: a slice of an IDR picture, or of another one.
    pub fn frame(&mut self, bytes: usize, is_key: bool) -> Vec<Vec<u8>> {
        let nal: u8 = if is_key { 0x65 } else { 0x41 };
        let count = bytes.div_ceil(PAYLOAD - 2).max(1);
        let packets = (0..count).map(|index| {
            let (is_first, is_last) = (index == 0, index + 1 == count);
            let left = bytes - index * (PAYLOAD - 2);
            let mut packet = vec![0x80, PAYLOAD_TYPE | if is_last { 0x80 } else { 0 }];
            packet.extend_from_slice(&self.seq.to_be_bytes());
            packet.extend_from_slice(&self.timestamp.to_be_bytes());
            packet.extend_from_slice(&SSRC.to_be_bytes());
            let begin = if is_first { 0x80 } else { 0 };
            let end = if is_last { 0x40 } else { 0 };
            packet.extend_from_slice(&[nal & 0x60 | 28, begin | end | nal & 0x1f]);
            packet.resize(packet.len() + left.min(PAYLOAD - 2), 0x88);
            self.seq = self.seq.wrapping_add(1);
            packet
        });
        let packets = packets.collect();
        self.timestamp = self.timestamp.wrapping_add(3600);
        packets
    }
}

/// The packets as they go over TCP: each after `$`, channel 0 and its length (RFC 2326 section
/// 10.12).
#[must_use]
pub fn interleaved(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&[b'$', 0]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(packet);
    }
    bytes
}

/// A camera's description of that stream.
pub const SDP: &str = "v=0\r\n\
o=- 1700000000 1 IN IP4 192.0.2.7\r\n\
s=Media Presentation\r\n\
c=IN IP4 0.0.0.0\r\n\
t=0 0\r\n\
a=control:*\r\n\
a=range:npt=now-\r\n\
m=video 0 RTP/AVP 96\r\n\
b=AS:5000\r\n\
a=control:trackID=1\r\n\
a=rtpmap:96 H264/90000\r\n\
a=fmtp:96 profile-level-id=4D000D; packetization-mode=1; sprop-parameter-sets=Z00ADZWoUH6bgICAgQ==,aO48gA==\r\n\
a=framerate:25\r\n\
a=recvonly\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_cut_into_numbered_packets_that_hold_all_of_it() {
        let mut frames = Frames::new();
        let key = frames.frame(KEY_FRAME, true);
        let other = frames.frame(OTHER_FRAME, false);
        assert_eq!(key.iter().map(|packet| packet.len() - 14).sum::<usize>(), KEY_FRAME);
        assert_eq!(other.iter().map(|packet| packet.len() - 14).sum::<usize>(), OTHER_FRAME);
        let all: Vec<_> = key.iter().chain(&other).collect();
        for (index, packet) in (0_u16..).zip(&all) {
            assert_eq!(packet[2..4], index.to_be_bytes());
            assert!(packet.len() <= PAYLOAD + 12);
        }
        assert_eq!(all.iter().filter(|packet| packet[1] & 0x80 != 0).count(), 2);
        assert_eq!((key[0][13], key[key.len() - 1][13], other[0][13]), (0x85, 0x45, 0x81));
    }
}
