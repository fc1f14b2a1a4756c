//! What one instant of a stream consists of.

use std::fmt;

use bytes::Bytes;
use rtp_rtcp::RtpTime;
use smallvec::SmallVec;

use crate::slices::Slices;

/// The bytes of an access unit that are kept at most, unless chosen otherwise.
pub const MAX_UNIT: usize = 16 * 1024 * 1024;

/// The slices that an access unit may be in. Largest units in smallest packets have fewer; what
/// has more is held back as too large.
pub const MAX_SLICES: usize = 65_536;

/// What belongs to one instant: a picture with what goes before it, an audio frame, a message.
///
/// Its bytes stay where they were received: a unit is a list of slices. They are grouped into
/// *elements*, which are what the codec counts in: NAL units (without start codes or lengths),
/// OBUs (without sizes); in formats that know nothing of the kind, the unit is one element.
#[derive(Clone, Default)]
pub struct AccessUnit {
    /// The RTP timestamp, in ticks of the format's clock.
    pub timestamp: RtpTime,
    /// Whether a decoder can start here. Always true in formats whose units stand for
    /// themselves.
    pub key: bool,
    /// Whether nothing of the unit is missing, as far as the format lets this be told: of a
    /// picture that is there from its beginning, what stood before it may be lost unseen.
    pub complete: bool,
    /// How many packets are missing between the end of the unit before and the end of this one.
    /// A unit may well be complete after a loss; but units between the two may be gone.
    pub lost: u32,
    /// How long the unit lasts in ticks of the format's clock, where the format says so.
    pub duration: Option<u32>,
    /// A marker bit that means something else than the end of a unit: the first audio after a
    /// silence; in unknown formats, whatever the sender means by it. False in video.
    pub marker: bool,
    slices: SmallVec<[Bytes; 4]>,
    /// Where each element ends, as a number of slices.
    ends: SmallVec<[u32; 4]>,
    bytes: usize,
}

impl AccessUnit {
    /// A unit without bytes; complete, and no key.
    pub fn new(timestamp: RtpTime) -> Self {
        Self { timestamp, complete: true, ..Self::default() }
    }

    /// A unit of one element.
    pub fn of(timestamp: RtpTime, key: bool, bytes: impl Into<Bytes>) -> Self {
        let mut unit = Self { key, ..Self::new(timestamp) };
        unit.push_element(bytes.into());
        unit
    }

    /// How many bytes the elements have in all.
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there is no byte.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// All bytes, one element directly after the other.
    pub fn data(&self) -> Slices<'_> {
        Slices::new(&self.slices)
    }

    /// How many elements there are.
    pub fn element_count(&self) -> usize {
        self.ends.len()
    }

    /// The elements in their order.
    pub fn elements(&self) -> impl Iterator<Item = Slices<'_>> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let end = end as usize;
            let slices = self.slices.get(start..end).unwrap_or_default();
            start = end;
            Slices::new(slices)
        })
    }

    /// Appends an element that is in one piece.
    pub fn push_element(&mut self, bytes: Bytes) {
        self.begin_element();
        self.push(bytes);
    }

    /// Begins an element; what is pushed from now on belongs to it.
    pub fn begin_element(&mut self) {
        self.ends.push(self.slice_count());
    }

    /// Appends bytes to the last element, or begins the first one with them.
    pub fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.bytes += bytes.len();
            self.slices.push(bytes);
        }
        let end = self.slice_count();
        match self.ends.last_mut() {
            Some(last) => *last = end,
            None => self.ends.push(end),
        }
    }

    /// Takes the last element away.
    pub fn pop_element(&mut self) -> Option<SmallVec<[Bytes; 4]>> {
        self.ends.pop()?;
        let start = self.ends.last().map_or(0, |&end| end as usize);
        let element: SmallVec<[Bytes; 4]> = self.slices.drain(start..).collect();
        self.bytes -= element.iter().map(Bytes::len).sum::<usize>();
        Some(element)
    }

    /// Appends an element that may be in several pieces.
    pub fn extend_element(&mut self, slices: impl IntoIterator<Item = Bytes>) {
        self.begin_element();
        slices.into_iter().for_each(|slice| self.push(slice));
    }

    /// Takes the last byte away.
    pub(crate) fn pop_byte(&mut self) -> Option<u8> {
        let last = self.slices.last_mut()?;
        let byte = last.last().copied()?;
        last.truncate(last.len() - 1);
        self.bytes -= 1;
        if last.is_empty() {
            self.slices.pop();
            let end = self.slice_count();
            if let Some(last) = self.ends.last_mut() {
                *last = end;
            }
        }
        Some(byte)
    }

    /// The same unit with no bytes.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            timestamp: self.timestamp,
            key: self.key,
            complete: self.complete,
            lost: self.lost,
            duration: self.duration,
            marker: self.marker,
            ..Self::default()
        }
    }

    /// All elements in one piece, each behind its length in 32 bits, as in MP4 files (`avcC` and
    /// its like with 4 byte lengths).
    pub fn to_length_prefixed(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes + 4 * self.ends.len());
        for element in self.elements() {
            // Nothing that long is ever put together.
            let length = u32::try_from(element.len()).unwrap_or(u32::MAX);
            all.extend_from_slice(&length.to_be_bytes());
            element.append_to(&mut all);
        }
        all
    }

    /// All elements in one piece, each behind a start code (annex B of H.264, H.265, H.266).
    pub fn to_annex_b(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.bytes + 4 * self.ends.len());
        for element in self.elements() {
            all.extend_from_slice(&[0, 0, 0, 1]);
            element.append_to(&mut all);
        }
        all
    }

    /// How many slices the bytes are in.
    pub(crate) fn slice_count(&self) -> u32 {
        u32::try_from(self.slices.len()).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for AccessUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("AccessUnit");
        all.field("timestamp", &self.timestamp.0)
            .field("key", &self.key)
            .field("complete", &self.complete)
            .field("lost", &self.lost)
            .field("duration", &self.duration)
            .field("marker", &self.marker);
        for element in self.elements() {
            let mut bytes = element.to_vec();
            bytes.truncate(24);
            all.field(&format!("{} bytes", element.len()), &format_args!("{bytes:02x?}"));
        }
        all.finish()
    }
}

impl PartialEq for AccessUnit {
    /// Equal bytes are equal, however they are cut into slices; elements have to be the same.
    fn eq(&self, other: &Self) -> bool {
        let fields = |unit: &Self| {
            (unit.timestamp, unit.key, unit.complete, unit.lost, unit.duration, unit.marker)
        };
        fields(self) == fields(other)
            && self.element_count() == other.element_count()
            && self.elements().eq(other.elements())
    }
}

impl Eq for AccessUnit {}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> AccessUnit {
        let mut unit = AccessUnit::new(RtpTime(9));
        unit.push_element(Bytes::from_static(&[1, 2]));
        unit.begin_element();
        unit.push(Bytes::from_static(&[3]));
        unit.push(Bytes::new());
        unit.push(Bytes::from_static(&[4, 5]));
        unit
    }

    #[test]
    fn elements_are_kept_apart() {
        let unit = unit();
        let elements: Vec<_> = unit.elements().map(Slices::to_vec).collect();
        assert_eq!(elements, [vec![1, 2], vec![3, 4, 5]]);
        assert_eq!((unit.len(), unit.data().to_vec()), (5, vec![1, 2, 3, 4, 5]));
        assert_eq!(unit.to_length_prefixed(), [0, 0, 0, 2, 1, 2, 0, 0, 0, 3, 3, 4, 5]);
        assert_eq!(unit.to_annex_b(), [0, 0, 0, 1, 1, 2, 0, 0, 0, 1, 3, 4, 5]);
    }

    #[test]
    fn the_last_element_can_be_taken_away() {
        let mut unit = unit();
        assert_eq!(unit.pop_element().map(|parts| parts.len()), Some(2));
        assert_eq!((unit.len(), unit.element_count()), (2, 1));
        assert!(unit.pop_element().is_some() && unit.pop_element().is_none() && unit.is_empty());
    }

    #[test]
    fn units_with_the_same_bytes_in_other_elements_differ() {
        let mut one = AccessUnit::new(RtpTime(9));
        one.extend_element([Bytes::from_static(&[1, 2]), Bytes::from_static(&[3, 4, 5])]);
        assert_ne!(one, unit());
        assert_eq!(unit(), unit());
    }
}
