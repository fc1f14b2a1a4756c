//! Payloads out of pictures.

use super::{EXTENSION, PICTURE, SEQUENCE, is_slice};
use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::parts::start_codes;
use crate::slices::Slices;

/// Sends whole slices as far as they fit, and says what their picture is in each payload.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let room = limit.clamp(MIN_LIMIT, MAX_PAYLOAD) - 4;
        let codes = start_codes(unit.data());
        let mut rest = codes.as_slice();
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        let mut picture = PictureHeader::default();
        let mut at = 0;
        while at < unit.len() {
            let most = (at + room).min(unit.len());
            let (mut sequence, mut slice, mut to) = (false, false, most);
            let aligned = rest.first().is_some_and(|(place, _)| *place == at);
            let within = rest.partition_point(|(place, _)| *place < most);
            let (mut here, after) = rest.split_at_checked(within).unwrap_or((rest, &[]));
            // Whole slices as far as they fit, or else part of one.
            let mut ends = most == unit.len() || after.first().is_some_and(|(p, _)| *p == most);
            if !ends
                && let Some(last) = here.iter().rposition(|(p, code)| *p > at && is_slice(*code))
            {
                (here, ends) = (here.get(..last).unwrap_or_default(), true);
                to = rest.get(last).map_or(most, |(place, _)| *place);
            }
            rest = rest.get(here.len()..).unwrap_or_default();
            for &(place, code) in here {
                sequence |= code == SEQUENCE;
                slice |= is_slice(code);
                if !is_slice(code) {
                    picture.read(unit.data(), place, code);
                }
            }
            payload.clear();
            payload.own(&picture.header(sequence, aligned && slice, ends));
            payload.lend_from(&mut cursor, to - at);
            payload.marker = to == unit.len();
            emit(&payload);
            at = to;
        }
        Ok(())
    }
}

/// What the header of a payload repeats of the picture's header (section 3.4).
#[derive(Clone, Debug, Default)]
struct PictureHeader {
    reference: u16,
    /// Type in the lowest three bits.
    kind: u8,
    vectors: u8,
}

impl PictureHeader {
    fn read(&mut self, unit: Slices<'_>, place: usize, code: u8) {
        let mut cursor = unit.cursor();
        cursor.skip(place + 4);
        match code {
            PICTURE => {
                let Some([a, b, c, d]) = cursor.chunk() else { return };
                let e = cursor.byte().unwrap_or_default();
                self.reference = u16::from(a) << 2 | u16::from(b >> 6);
                self.kind = b >> 3 & 7;
                // Behind 16 bits of delay: forward vector flag and code, then the backward ones.
                let forward = d << 5 >> 4 | e >> 7;
                let backward = e >> 3 & 0x0f;
                let _ = c;
                self.vectors = match self.kind {
                    2 => forward & 0x0f,
                    3 => backward << 4 | forward & 0x0f,
                    _ => 0,
                };
            }
            // In MPEG-2 the vectors' sizes are in an extension, and those here say nothing.
            EXTENSION if cursor.byte().is_some_and(|first| first >> 4 == 8) => self.vectors = 0,
            _ => {}
        }
    }

    fn header(&self, sequence: bool, starts: bool, ends: bool) -> [u8; 4] {
        let [high, low] = self.reference.to_be_bytes();
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = flag(sequence, 0x20) | flag(starts, 0x10) | flag(ends, 0x08) | self.kind;
        [high & 3, low, flags, self.vectors]
    }
}
