//! VP9 (RFC 9628).
//!
//! A unit is a picture; where there are spatial layers, each layer's frame is an element. After
//! a hole the rest of a picture is left out.

pub(crate) mod glance;

use self::glance::{Descriptor, is_key_frame};
use crate::access_unit::AccessUnit;
use crate::depacketizer::DepacketizeError;
use crate::packet::Packet;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};
use crate::parts::{Part, PartFormat, part_depacketizer};

part_depacketizer! {
    /// Gives pictures.
    Vp9, Vp9
}

#[derive(Clone, Debug)]
struct Vp9;

impl PartFormat for Vp9 {
    const RESUMES: bool = false;

    fn part(
        &mut self,
        packet: &Packet,
        _open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        let Some(descriptor) = Descriptor::read(&packet.payload) else {
            return Err(DepacketizeError::Malformed("VP9 payload descriptor"));
        };
        let Descriptor { predicted, begins_frame, spatial_layer, data } = descriptor;
        let begins = begins_frame && spatial_layer == 0;
        Ok(Part {
            body: packet.payload.slice_ref(data),
            begins,
            splits: begins,
            picture: true,
            key: begins && !predicted && is_key_frame(data).unwrap_or(false),
            element: begins_frame,
            ..Part::default()
        })
    }
}

/// Sends pictures in as few payloads as it takes, numbered, without naming what they refer to.
#[derive(Clone, Debug, Default)]
pub struct Packetizer {
    picture: u16,
    /// The number of pictures in the lowest temporal layer: all.
    base: u8,
}

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let layers = unit.elements().filter(|frame| !frame.is_empty());
        let count = layers.clone().count();
        let Ok(last_layer) = u8::try_from(count.saturating_sub(1)) else { return Err(LAYERS) };
        if last_layer > 7 {
            return Err(LAYERS);
        }
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        let mut payload = Payload::new(unit.timestamp);
        for (layer, frame) in (0_u8..).zip(layers) {
            let mut cursor = frame.cursor();
            let mut first = true;
            while cursor.remaining() > 0 {
                let mut flags = 0x80;
                let mut more: &[u8] = &[];
                let layered = [layer << 1 | u8::from(layer > 0), self.base, last_layer << 5];
                if !unit.key {
                    flags |= 0x40;
                }
                if first {
                    flags |= 0x08;
                }
                if last_layer > 0 {
                    // The scalability structure goes with the first payload of a key picture.
                    let structured = first && layer == 0 && unit.key;
                    flags |= 0x20 | if structured { 0x02 } else { 0 };
                    more = layered.get(..if structured { 3 } else { 2 }).unwrap_or_default();
                }
                let room = limit - 3 - more.len();
                let ends = cursor.remaining() <= room;
                if ends {
                    flags |= 0x04;
                }
                payload.clear();
                payload.own(&[flags, high, low]);
                payload.own(more);
                payload.lend_from(&mut cursor, room);
                payload.marker = ends && layer == last_layer;
                emit(&payload);
                first = false;
            }
        }
        self.picture = self.picture.wrapping_add(1);
        self.base = self.base.wrapping_add(1);
        Ok(())
    }
}

const LAYERS: PacketizeError = PacketizeError::Unsupported("more than eight spatial layers");
