//! MPEG-1 and MPEG-2 video (RFC 2250, `MPV`).
//!
//! A unit is a picture with the headers before it, as in a byte stream.

pub(crate) mod glance;
mod packetize;

use self::glance::Mpv;
pub use self::packetize::Packetizer;
use crate::access_unit::AccessUnit;
use crate::depacketizer::DepacketizeError;
use crate::packet::Packet;
use crate::parts::{Part, PartFormat, part_depacketizer, start_codes};
use crate::slices::Slices;

part_depacketizer! {
    /// Gives pictures; both fields of a frame together, if they have the same timestamp.
    Mpv, Mpv::default()
}

impl PartFormat for Mpv {
    /// At the next slice.
    const RESUMES: bool = true;

    fn part(
        &mut self,
        packet: &Packet,
        _open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let header =
            packet.payload.first().map_or(0, |first| if first & 0x04 == 0 { 4 } else { 8 });
        if packet.payload.len() < header.max(4) {
            return Err(DepacketizeError::Malformed("MPV header"));
        }
        let glance = self.look(&packet.payload);
        let body = packet.payload.slice(header..);
        let codes = match glance.begins {
            true => start_codes(Slices::new(std::slice::from_ref(&body))),
            false => Vec::new(),
        };
        let picture = !glance.begins || codes.iter().any(|(_, code)| is_slice(*code));
        let splits = matches!(codes.first(), Some((0, SEQUENCE | GROUP)));
        let key = glance.random_access;
        Ok(Part { body, begins: glance.begins, splits, picture, key, ..Part::default() })
    }
}

fn is_slice(code: u8) -> bool {
    (0x01..=0xaf).contains(&code)
}

const PICTURE: u8 = 0x00;
const SEQUENCE: u8 = 0xb3;
const EXTENSION: u8 = 0xb5;
const GROUP: u8 = 0xb8;
