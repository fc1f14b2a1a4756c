//! The last key frame of a track, to be shown again while its backend is away.

use rtp_rtcp::RtpTime;

/// The packets of the newest whole key frame that readers got.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    whole: Vec<Box<[u8]>>,
    /// Those of the frame that is under way, and its timestamp.
    arriving: Vec<Box<[u8]>>,
    timestamp: RtpTime,
    is_key: bool,
    bytes: usize,
    /// The last packet was marked as the frame's last.
    is_marked: bool,
}

impl Picture {
    /// A packet went out with this timestamp.
    pub(crate) fn sent(&mut self, packet: &[u8], timestamp: RtpTime) {
        if timestamp != self.timestamp || self.arriving.is_empty() {
            self.end();
            self.timestamp = timestamp;
        }
        self.bytes += packet.len();
        if self.bytes <= MAX_BYTES {
            self.arriving.push(packet.into());
        }
        self.is_marked = packet.get(1).is_some_and(|second| second & 0x80 != 0);
    }

    /// The frame under way is known to be a key frame.
    pub(crate) fn key(&mut self) {
        self.is_key = true;
    }

    /// No more comes of the frame under way.
    pub(crate) fn end(&mut self) {
        let frame = std::mem::take(&mut self.arriving);
        if self.is_key && self.bytes <= MAX_BYTES {
            self.whole = frame;
        }
        (self.is_key, self.bytes) = (false, 0);
    }

    /// The backend is gone: a frame counts if its last packet came.
    pub(crate) fn lost(&mut self) {
        self.is_key &= self.is_marked;
        self.end();
    }

    /// The packets, without any if there has been no key frame.
    pub(crate) fn packets(&self) -> &[Box<[u8]>] {
        &self.whole
    }
}

/// A larger frame is not repeated.
const MAX_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(marker: bool, what: u8) -> [u8; 13] {
        let mut packet = [0; 13];
        (packet[1], packet[12]) = (u8::from(marker) << 7, what);
        packet
    }

    fn shown(picture: &Picture) -> Vec<u8> {
        picture.packets().iter().map(|packet| packet[12]).collect()
    }

    #[test]
    fn what_is_shown_again_is_the_last_whole_key_frame() {
        let mut picture = Picture::default();
        picture.sent(&packet(false, 1), RtpTime(1));
        picture.key();
        picture.sent(&packet(true, 2), RtpTime(1));
        picture.sent(&packet(true, 3), RtpTime(2));
        assert_eq!(shown(&picture), [1, 2]);
        picture.sent(&packet(false, 4), RtpTime(3));
        picture.key();
        picture.lost();
        assert_eq!(shown(&picture), [1, 2], "the rest of it never came");
        picture.sent(&packet(false, 5), RtpTime(4));
        picture.key();
        picture.sent(&packet(true, 6), RtpTime(4));
        picture.lost();
        assert_eq!(shown(&picture), [5, 6]);
    }
}
