//! Temporal units out of payloads.

use super::glance::{Av1, TEMPORAL_DELIMITER, take_element};
use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;

/// Gives temporal units.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    codec: Av1,
    assembly: Assembly,
    /// Whether the last element goes on in the next packet.
    unfinished: bool,
}

impl Depacketizer {
    /// Before the first packet.
    pub fn new(limits: Limits) -> Self {
        let assembly = Assembly::new(limits);
        Self { codec: Av1::default(), assembly, unfinished: false }
    }

    fn abandon(&mut self) {
        if std::mem::take(&mut self.unfinished) {
            self.assembly.unit().pop_element();
            self.assembly.damage();
        }
    }

    fn take(&mut self, packet: &Packet) -> Result<(), DepacketizeError> {
        let Some((&aggregation, mut rest)) = packet.payload.split_first() else { return Ok(()) };
        let continues = aggregation & 0x80 != 0;
        let unfinished = aggregation & 0x40 != 0;
        let count = usize::from(aggregation >> 4 & 0x03);
        let glance = self.codec.look(&packet.payload);
        if aggregation & 0x08 != 0 && !continues && !self.assembly.has_bytes() {
            self.assembly.begins_intact();
        }
        self.assembly.unit().key |= glance.random_access;
        if !continues {
            self.abandon();
        }
        let mut took = Ok(());
        let mut index = 0;
        while !rest.is_empty() {
            // With a count, the last element has no length.
            let last = count != 0 && index + 1 >= count;
            let element = if last { std::mem::take(&mut rest) } else { take_element(&mut rest) };
            let goes_on = unfinished && rest.is_empty();
            let begins = !(continues && index == 0);
            index += 1;
            if begins {
                let kind = element.first().map_or(TEMPORAL_DELIMITER, |first| first >> 3 & 0x0f);
                if kind == TEMPORAL_DELIMITER {
                    continue;
                }
                self.assembly.begin_element();
            } else if !self.unfinished {
                self.assembly.damage();
                took = Err(DepacketizeError::Orphaned("OBU fragment without its beginning"));
                continue;
            }
            self.unfinished = goes_on;
            self.assembly.push(packet.payload.slice_ref(element))?;
        }
        took
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        let other = self.assembly.is_open() && self.assembly.unit().timestamp != packet.timestamp;
        if packet.lost > 0 || other {
            self.abandon();
        }
        self.assembly.arrive(&packet);
        let took = self.take(&packet);
        if packet.marker {
            self.abandon();
            self.assembly.finish();
        }
        took
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.assembly.poll()
    }

    fn flush(&mut self) {
        self.abandon();
        self.assembly.flush();
    }
}
