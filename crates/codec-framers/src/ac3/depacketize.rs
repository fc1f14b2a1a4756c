//! From packets to units.

use bytes::Bytes;
use rtp_rtcp::RtpTime;

use super::sync::Sync;
use super::{Codec, SAMPLES};
use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;
use crate::slices::Slices;

/// Gives units.
#[derive(Clone, Debug)]
pub struct Depacketizer {
    codec: Codec,
    assembly: Assembly,
    /// How many fragments of the open unit are still to come.
    missing: u8,
}

impl Depacketizer {
    /// Before the first packet.
    pub fn new(codec: Codec, limits: Limits) -> Self {
        Self { codec, assembly: Assembly::new(limits), missing: 0 }
    }

    fn abandon(&mut self) {
        if std::mem::take(&mut self.missing) > 0 {
            self.assembly.discard();
        }
    }

    /// What is lost is told with the next unit.
    fn miss(&mut self, packet: &Packet) {
        self.assembly.arrive(packet);
        self.assembly.discard();
    }

    fn begin(&mut self, timestamp: RtpTime, lost: u32) {
        self.assembly.arrive_at(timestamp, lost);
        self.assembly.begins_intact();
        let unit = self.assembly.unit();
        unit.key = true;
        // The clock is the sampling rate.
        unit.duration = Some(SAMPLES);
    }

    fn whole(&mut self, packet: &Packet, mut rest: Bytes) -> Result<(), DepacketizeError> {
        self.abandon();
        let (mut lost, mut timestamp, mut took) = (packet.lost, packet.timestamp, Ok(()));
        while !rest.is_empty() {
            let Some(length) = self.unit_length(&rest) else {
                if lost > 0 {
                    self.miss(packet);
                }
                return Err(DepacketizeError::Malformed("no frame"));
            };
            self.begin(timestamp, lost);
            let pushed = self.assembly.push(rest.split_to(length));
            took = took.and(pushed);
            self.assembly.finish();
            timestamp = timestamp.plus(SAMPLES);
            lost = 0;
        }
        took
    }

    /// How many of these bytes are the first unit.
    fn unit_length(&self, bytes: &Bytes) -> Option<usize> {
        let slices = [bytes.clone()];
        let mut cursor = Slices::new(&slices).cursor();
        let (mut length, mut blocks) = (0, 0);
        while cursor.remaining() > 0 {
            let sync = Sync::read(&cursor).filter(|sync| sync.length <= cursor.remaining())?;
            if sync.leads {
                if blocks >= 6 {
                    break;
                }
                blocks += sync.blocks;
            }
            length += sync.length;
            cursor.skip(sync.length);
            if self.codec == Codec::Ac3 {
                break;
            }
        }
        Some(length)
    }

    fn fragment(
        &mut self,
        packet: &Packet,
        kind: u8,
        count: u8,
        rest: Bytes,
    ) -> Result<(), DepacketizeError> {
        // E-AC-3 does not say which fragment is the first one; all others follow one.
        let goes_on = self.missing > 0
            && packet.lost == 0
            && self.assembly.unit().timestamp == packet.timestamp;
        let first = match self.codec {
            Codec::Ac3 => kind != 3,
            Codec::Eac3 => !goes_on && rest.starts_with(&[0x0b, 0x77]),
        };
        if first {
            self.abandon();
            self.begin(packet.timestamp, packet.lost);
            self.missing = count;
        } else if !goes_on {
            self.abandon();
            self.miss(packet);
            return Err(DepacketizeError::Orphaned("fragment of a frame without what precedes"));
        }
        let took = self.assembly.push(rest);
        self.missing = self.missing.saturating_sub(1);
        if self.missing == 0 || packet.marker {
            if self.missing > 0 {
                // The marker came early, or the first fragments were another frame's.
                self.abandon();
                return Err(DepacketizeError::Malformed("fewer fragments than announced"));
            }
            self.assembly.finish();
        }
        took
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        let Some(&[flags, count]) = packet.payload.first_chunk() else {
            self.abandon();
            self.miss(&packet);
            return Err(DepacketizeError::Malformed("payload ends too early"));
        };
        let rest = packet.payload.slice(2..);
        let kind = match self.codec {
            Codec::Ac3 => flags & 3,
            Codec::Eac3 => flags & 1,
        };
        if kind == 0 {
            return self.whole(&packet, rest);
        }
        self.fragment(&packet, kind, count, rest)
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.assembly.poll()
    }

    fn flush(&mut self) {
        self.abandon();
    }
}
