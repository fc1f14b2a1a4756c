//! MPEG-4 Visual (RFC 6416, `MP4V-ES`).
//!
//! A unit is a video object plane with the headers that stand before it, as in a byte stream.

pub(crate) mod glance;

use sdp::Format;

use self::glance::Mpeg4;
use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::framer;
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::params::{ParameterSets, to_hex};
use crate::parts::{Part, PartDepacketizer, PartFormat};

/// Gives video object planes.
#[derive(Clone, Debug)]
pub struct Depacketizer(PartDepacketizer<Mpeg4>);

impl Depacketizer {
    /// Before the first packet.
    pub fn new(format: &Format, limits: Limits) -> Self {
        Self(PartDepacketizer::new(Mpeg4::new(format), limits))
    }
}

impl PartFormat for Mpeg4 {
    /// Video packets have markers to resume at.
    const RESUMES: bool = true;

    fn part(
        &mut self,
        packet: &Packet,
        _open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let glance = self.look(&packet.payload);
        Ok(Part {
            body: packet.payload.clone(),
            begins: glance.begins,
            splits: glance.begins,
            picture: glance.picture,
            key: glance.random_access,
            ..Part::default()
        })
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

/// Keeps the configuration of the stream and puts it before key planes that come without.
#[derive(Clone, Debug)]
pub struct Framer {
    codec: Mpeg4,
    announced: ParameterSets,
}

impl Framer {
    /// With the configuration that the description has.
    pub fn new(format: &Format) -> Self {
        let codec = Mpeg4::new(format);
        let announced = codec.parameter_sets().clone();
        Self { codec, announced }
    }
}

impl framer::Framer for Framer {
    fn frame(&mut self, unit: AccessUnit) -> Option<AccessUnit> {
        if unit.is_empty() {
            return None;
        }
        let slices = unit.data().as_slices();
        let glance = self.codec.look(slices.first().map_or(&[], |first| first));
        if !unit.key || glance.parameter_sets {
            return Some(unit);
        }
        let mut whole = unit.emptied();
        self.codec.parameter_sets().payloads().for_each(|set| whole.push(set.clone()));
        slices.iter().for_each(|slice| whole.push(slice.clone()));
        Some(whole)
    }

    fn parameter_sets(&self) -> &ParameterSets {
        self.codec.parameter_sets()
    }

    fn parameter_sets_are_stale(&self) -> bool {
        *self.codec.parameter_sets() != self.announced
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        parameters(self.codec.parameter_sets())
    }
}

/// RFC 6416 section 7.1.
pub(crate) fn parameters(sets: &ParameterSets) -> Vec<(&'static str, String)> {
    sets.payloads().map(|set| ("config", to_hex(set))).collect()
}

/// Sends each plane in as few payloads as it takes.
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
