//! Messages beside the media: ONVIF metadata (`vnd.onvif.metadata`, ONVIF Streaming Specification
//! section 5.1.2.1.1) and SMPTE KLV (`smpte336m`, RFC 6597).
//!
//! A unit is a document, or the items of one instant. Both may be spread over packets, of which
//! the last one has the marker.

use sdp::Format;

use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::parts::{Part, PartDepacketizer, PartFormat};

/// Gives messages.
#[derive(Clone, Debug)]
pub struct Depacketizer(PartDepacketizer<Messages>);

impl Depacketizer {
    /// Before the first packet.
    pub fn new(format: &Format, limits: Limits) -> Self {
        Self(PartDepacketizer::new(Messages { documents: !format.is("SMPTE336M") }, limits))
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.0.push(packet)
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.0.poll()
    }

    fn flush(&mut self) {
        self.0.flush();
    }
}

#[derive(Clone, Debug)]
struct Messages {
    /// XML; else KLV.
    documents: bool,
}

impl PartFormat for Messages {
    const RESUMES: bool = true;

    fn part(
        &mut self,
        packet: &Packet,
        _open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let body = packet.payload.clone();
        if body.is_empty() {
            return Err(DepacketizeError::Malformed("nothing"));
        }
        // After a loss only documents show that they are at their beginning: as XML, or zipped.
        // A KLV item may well be the second one of its instant (RFC 6597 section 4.3).
        let heads = [&b"<?xml"[..], b"\xef\xbb\xbf<?xml", b"<tt:MetadataStream", b"\x1f\x8b"];
        let begins =
            packet.lost == 0 || self.documents && heads.iter().any(|head| body.starts_with(head));
        Ok(Part { body, begins, picture: true, key: true, ..Part::default() })
    }
}

/// Cuts messages wherever a payload is full.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        while cursor.remaining() > 0 {
            payload.clear();
            payload.lend_from(&mut cursor, limit);
            payload.marker = cursor.remaining() == 0;
            emit(&payload);
        }
        Ok(())
    }
}
