//! MP3 frames to ADU frames and back (RFC 5219 sections 3, 4 and appendix A).

use std::collections::VecDeque;

use crate::access_unit::AccessUnit;
use crate::bits::Bits;
use crate::depacketizer::{DepacketizeError, Ready};
use crate::mpa::FrameHeader;

/// How far back a frame can refer, in bytes.
const REACH: usize = 511;

/// Frames without sound put in for those that are missing, at most.
const MAX_SILENT: usize = 32;

/// What header and side information say of a frame of layer III.
#[derive(Clone, Copy, Debug)]
struct Frame {
    header: FrameHeader,
    /// Bytes of header, checksum and side information.
    head: usize,
    /// How many bytes before the frame's own space its data begins.
    back: usize,
    /// Bytes of its data.
    size: usize,
}

impl Frame {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = FrameHeader::read(*bytes.first_chunk()?).filter(|header| header.layer == 3)?;
        let before = if header.checked { 6 } else { 4 };
        let head = before + header.side_info();
        let mut bits = Bits::plain(bytes.get(before..head)?);
        let channels: u32 = if header.mono { 1 } else { 2 };
        let (back, granules, rest) = match header.mpeg1 {
            true => {
                let back = bits.bits(9)?;
                bits.skip(if header.mono { 5 } else { 3 } + 4 * channels)?;
                (back, 2, 47)
            }
            false => {
                let back = bits.bits(8)?;
                bits.skip(channels)?;
                (back, 1, 51)
            }
        };
        let mut size = 0;
        for _ in 0..granules * channels {
            size += bits.bits(12)? as usize;
            bits.skip(rest)?;
        }
        Some(Self { header, head, back: back as usize, size: size.div_ceil(8) })
    }

    /// The bytes that a frame of this header has for data, its own or others'.
    fn space(self) -> Option<usize> {
        self.header.length?.checked_sub(self.head)
    }
}

const NO_FRAME: DepacketizeError = DepacketizeError::Malformed("no frame of layer III");

/// Makes ADU frames of the frames of a stream in their order.
#[derive(Clone, Debug, Default)]
pub struct FrameToAdu {
    /// The last bytes of data so far.
    before: Vec<u8>,
}

impl FrameToAdu {
    /// Before the first frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// The ADU frame of the next frame. Its bytes are copied, for they come from several frames.
    ///
    /// # Errors
    ///
    /// The unit is no MP3 frame, or refers to data before the first one or before a loss.
    pub fn convert(&mut self, frame: &AccessUnit) -> Result<AccessUnit, DepacketizeError> {
        if frame.lost > 0 || !frame.complete {
            self.before.clear();
        }
        let bytes = frame.data().to_bytes();
        let read = Frame::read(&bytes).ok_or(NO_FRAME)?;
        let (head, data) = bytes.split_at_checked(read.head).ok_or(NO_FRAME)?;
        let from = self.before.len().checked_sub(read.back);
        self.before.extend_from_slice(data);
        let adu = from.and_then(|from| self.before.get(from..from + read.size)).map(|data| {
            let mut unit = frame.emptied();
            unit.push_element([head, data].concat().into());
            unit
        });
        let old = self.before.len().saturating_sub(REACH);
        self.before.drain(..old);
        adu.ok_or(DepacketizeError::Orphaned("data of frames before"))
    }
}

/// Makes frames of ADU frames. Where these are missing, frames without sound are put in, so that
/// what follows finds its space.
#[derive(Clone, Debug, Default)]
pub struct AduToFrame {
    /// Frames whose space is not yet known to be full.
    pending: VecDeque<Pending>,
    /// The data from the first pending frame's space on, zeros where there is none.
    data: VecDeque<u8>,
    /// Of it, up to where frames have claimed.
    claimed: usize,
    ready: Ready,
}

#[derive(Clone, Debug)]
struct Pending {
    unit: AccessUnit,
    head: Vec<u8>,
    space: usize,
}

impl AduToFrame {
    /// Before the first ADU frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next ADU frame; frames that are ready are drained with [`Self::poll`].
    ///
    /// # Errors
    ///
    /// The unit is no ADU frame, or of free format.
    pub fn push(&mut self, adu: &AccessUnit) -> Result<(), DepacketizeError> {
        let bytes = adu.data().to_bytes();
        let frame = Frame::read(&bytes).ok_or(NO_FRAME)?;
        let space = frame.space().ok_or(NO_FRAME)?;
        let (head, data) = bytes.split_at_checked(frame.head).ok_or(NO_FRAME)?;
        // No frame's data may overlap another's, nor be where no frame is any more.
        let missing = (self.claimed + frame.back).saturating_sub(self.data.len());
        if missing > 0 {
            self.add_silent(adu, head, &frame, missing)?;
        }
        let from = self.data.len() - frame.back;
        self.add(adu.emptied(), head.to_vec(), space);
        let size = data.len().min(frame.size).min(self.data.len() - from);
        for (place, &byte) in self.data.iter_mut().skip(from).zip(data.iter().take(size)) {
            *place = byte;
        }
        self.claimed = from + size;
        // What follows can reach back so far, and never into data that is there.
        let mut known = self.claimed.max(self.data.len().saturating_sub(REACH));
        while let Some(first) = self.pending.front().filter(|first| first.space <= known) {
            known -= first.space;
            self.release();
        }
        Ok(())
    }

    /// Adds frames without sound that have room for so many bytes.
    fn add_silent(
        &mut self,
        adu: &AccessUnit,
        head: &[u8],
        frame: &Frame,
        missing: usize,
    ) -> Result<(), DepacketizeError> {
        const NO_ROOM: DepacketizeError = DepacketizeError::Orphaned("room for data before");
        // The same header without a checksum, and side information that claims nothing.
        let mut silent = head.get(..4).unwrap_or_default().to_vec();
        if let Some(second) = silent.get_mut(1) {
            *second |= 1;
        }
        silent.resize(4 + frame.header.side_info(), 0);
        let length = frame.header.length.unwrap_or_default();
        let space = length.checked_sub(silent.len()).filter(|&space| space > 0).ok_or(NO_ROOM)?;
        let count = missing.div_ceil(space);
        if count > MAX_SILENT {
            return Err(NO_ROOM);
        }
        let ticks = adu.duration.unwrap_or_default();
        for left in (1..=count as u32).rev() {
            let mut unit = adu.emptied();
            unit.timestamp = adu.timestamp.plus(ticks.wrapping_mul(left).wrapping_neg());
            (unit.complete, unit.lost, unit.marker) = (true, 0, false);
            self.add(unit, silent.clone(), space);
        }
        Ok(())
    }

    fn add(&mut self, unit: AccessUnit, head: Vec<u8>, space: usize) {
        self.data.extend(std::iter::repeat_n(0, space));
        self.pending.push_back(Pending { unit, head, space });
    }

    fn release(&mut self) {
        if let Some(Pending { mut unit, mut head, space }) = self.pending.pop_front() {
            head.extend(self.data.drain(..space.min(self.data.len())));
            self.claimed = self.claimed.saturating_sub(space);
            unit.push_element(head.into());
            self.ready.push(unit);
        }
    }

    /// The next frame that is ready.
    pub fn poll(&mut self) -> Option<AccessUnit> {
        self.ready.poll()
    }

    /// Nothing will follow: what is held leaves.
    pub fn flush(&mut self) {
        while !self.pending.is_empty() {
            self.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtp_rtcp::RtpTime;

    const SPACE: usize = 104 - 4 - 17;

    /// A frame of 32 kbit/s at 44.1 kHz, mono, whose data has so many bytes and begins so many
    /// before its space, and what is in its space.
    fn frame(at: u32, back: usize, size: usize, space: &[u8]) -> AccessUnit {
        let mut bytes = vec![0xff, 0xfb, 0x10, 0xc4];
        // Back-pointer of nine bits, nine of no matter here, then a length of twelve.
        let bits = size as u64 * 8;
        let side = (back as u64) << 55 | bits << 34;
        bytes.extend(side.to_be_bytes());
        bytes.resize(21, 0);
        bytes.extend(space);
        bytes.resize(104, 0);
        let mut unit = AccessUnit::of(RtpTime(at * 2351), true, bytes);
        unit.duration = Some(2351);
        unit
    }

    fn pattern(first: u8, size: usize) -> Vec<u8> {
        (0..size).map(|at| first.wrapping_add(at as u8) | 1).collect()
    }

    /// Three frames: the second has 50 bytes in the first's space, the third 100 in both.
    fn stream() -> [(AccessUnit, Vec<u8>); 3] {
        let data = [pattern(1, 33), pattern(50, 50 + 33), pattern(90, 50 + 20)];
        let all = data.concat();
        let spaces: Vec<_> = all.chunks(SPACE).collect();
        [
            (frame(0, 0, 33, spaces[0]), data[0].clone()),
            (frame(1, 50, 83, spaces[1]), data[1].clone()),
            (frame(2, 50, 70, spaces[2]), data[2].clone()),
        ]
    }

    fn frames(converter: &mut AduToFrame) -> Vec<AccessUnit> {
        std::iter::from_fn(|| converter.poll()).collect()
    }

    #[test]
    fn frames_become_units_of_their_own_and_frames_again() {
        let (mut forth, mut back) = (FrameToAdu::new(), AduToFrame::new());
        let stream = stream();
        let mut out = Vec::new();
        for (frame, data) in &stream {
            let adu = forth.convert(frame).unwrap();
            assert_eq!(adu.data().to_vec()[21..], data[..]);
            assert_eq!(adu.timestamp, frame.timestamp);
            back.push(&adu).unwrap();
            out.extend(frames(&mut back));
        }
        back.flush();
        out.extend(frames(&mut back));
        let sent: Vec<_> = stream.iter().map(|(frame, _)| frame.clone()).collect();
        assert_eq!(out, sent);
    }

    #[test]
    fn data_before_the_beginning_is_told_to_be_missing() {
        let mut forth = FrameToAdu::new();
        let stream = stream();
        let orphaned = Err(DepacketizeError::Orphaned("data of frames before"));
        assert_eq!(forth.convert(&stream[1].0), orphaned);
        assert!(forth.convert(&stream[2].0).is_ok());
        let mut lost = stream[2].0.clone();
        lost.lost = 1;
        assert_eq!(forth.convert(&lost), orphaned);
        let text = AccessUnit::of(RtpTime(0), true, vec![1; 200]);
        assert_eq!(forth.convert(&text), Err(NO_FRAME));
    }

    #[test]
    fn a_missing_unit_is_replaced_by_silence_and_all_others_keep_their_data() {
        let (mut forth, mut back) = (FrameToAdu::new(), AduToFrame::new());
        let adus = stream().map(|(frame, _)| forth.convert(&frame).unwrap());
        back.push(&adus[0]).unwrap();
        back.push(&adus[2]).unwrap();
        back.flush();
        let mut out = frames(&mut back);
        // The third refers to 50 bytes before its space; the first one's has as many left.
        assert_eq!(out.len(), 2);
        let mut again = FrameToAdu::new();
        let data = |adu: &AccessUnit| adu.data().to_vec();
        out.iter_mut().for_each(|frame| frame.lost = 0);
        let found: Vec<_> = out.iter().map(|frame| data(&again.convert(frame).unwrap())).collect();
        assert_eq!(found, [data(&adus[0]), data(&adus[2])]);
        // Without the first one there is no room at all before.
        back = AduToFrame::new();
        back.push(&adus[1]).unwrap();
        back.flush();
        let out = frames(&mut back);
        assert_eq!(out.len(), 2);
        assert_eq!(out[0].timestamp.plus(2351), out[1].timestamp);
        let mut again = FrameToAdu::new();
        assert_eq!(again.convert(&out[0]).unwrap().len(), 21);
        assert_eq!(data(&again.convert(&out[1]).unwrap()), data(&adus[1]));
    }
}
