//! The unit that is arriving.

use bytes::Bytes;
use rtp_rtcp::RtpTime;

use crate::access_unit::{AccessUnit, MAX_SLICES};
use crate::depacketizer::{DepacketizeError, Limits, Ready};
use crate::packet::Packet;
use crate::store::Store;

/// Collects the slices of the unit that is arriving; what most formats have in common: a unit
/// is what has one timestamp, and its last packet has the marker.
#[derive(Clone, Debug)]
pub(crate) struct Assembly<U: Store = AccessUnit> {
    unit: U,
    open: bool,
    /// Whether the open unit is larger than it may be; it takes no more bytes and never leaves.
    overflowed: bool,
    /// Packets missing that no unit has been told of.
    lost: u32,
    max_unit: usize,
    ready: Ready<U>,
    memory: U::Memory,
}

impl<U: Store> Assembly<U> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            unit: U::default(),
            open: false,
            overflowed: false,
            lost: 0,
            max_unit: limits.max_unit,
            ready: Ready::default(),
            memory: U::Memory::default(),
        }
    }

    /// A packet has come: ends the open unit if it belongs to another instant, and opens a
    /// unit if none is. After a loss both units that it may have hit are marked incomplete; see
    /// [`Self::begins_intact`]. True if a unit was opened.
    pub(crate) fn arrive(&mut self, packet: &Packet) -> bool {
        self.arrive_at(packet.timestamp, packet.lost)
    }

    /// As [`Self::arrive`], with the timestamp of what the packet carries.
    pub(crate) fn arrive_at(&mut self, timestamp: RtpTime, lost: u32) -> bool {
        if self.open {
            if lost > 0 {
                self.unit.set_complete(false);
            }
            if self.unit.timestamp() == timestamp {
                self.lost = self.lost.saturating_add(lost);
                return false;
            }
            self.finish();
        }
        self.lost = self.lost.saturating_add(lost);
        self.unit = U::open(timestamp);
        self.unit.set_complete(lost == 0);
        self.open = true;
        true
    }

    /// Says that the unit just opened has its beginning though packets before it are missing.
    pub(crate) fn begins_intact(&mut self) {
        self.unit.set_complete(true);
    }

    /// Whether a unit is open and has bytes.
    pub(crate) fn has_bytes(&self) -> bool {
        self.open && self.unit.bytes() > 0
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The open unit.
    pub(crate) fn unit(&mut self) -> &mut U {
        &mut self.unit
    }

    /// Something of the open unit is missing.
    pub(crate) fn damage(&mut self) {
        self.unit.set_complete(false);
    }

    pub(crate) fn begin_element(&mut self) {
        self.unit.begin_element(false, &mut self.memory);
    }

    /// As [`Self::begin_element`], of one that has most of the unit's bytes, or its kind has.
    pub(crate) fn begin_bulky_element(&mut self) {
        self.unit.begin_element(true, &mut self.memory);
    }

    /// What is kept for units to come.
    pub(crate) fn memory(&mut self) -> &mut U::Memory {
        &mut self.memory
    }

    /// Appends bytes to the open element.
    #[inline]
    pub(crate) fn push(&mut self, piece: U::Piece<'_>) -> Result<(), DepacketizeError> {
        if self.has_room_for(piece.len())? {
            self.unit.push_piece(piece);
        }
        Ok(())
    }

    /// As [`Self::push`], of what was kept for its turn.
    pub(crate) fn push_kept(&mut self, bytes: Bytes) -> Result<(), DepacketizeError> {
        if self.has_room_for(bytes.len())? {
            self.unit.push_kept(bytes);
        }
        Ok(())
    }

    #[inline]
    fn has_room_for(&mut self, bytes: usize) -> Result<bool, DepacketizeError> {
        if self.overflowed {
            return Ok(false);
        }
        if self.unit.bytes() + bytes > self.max_unit || self.unit.slices() >= MAX_SLICES {
            self.overflowed = true;
            self.unit = self.unit.emptied();
            return Err(DepacketizeError::UnitTooLarge { limit: self.max_unit });
        }
        Ok(true)
    }

    /// The open unit is over and leaves, if it has bytes.
    pub(crate) fn finish(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let mut unit = std::mem::take(&mut self.unit);
        if std::mem::take(&mut self.overflowed) {
            // To whoever comes next the unit is lost.
            self.lost = self.lost.saturating_add(1);
        } else if unit.bytes() > 0 {
            unit.set_lost(std::mem::take(&mut self.lost));
            unit.close(&mut self.memory);
            self.ready.push(unit);
        }
    }

    /// The open unit is of no use and never leaves.
    pub(crate) fn discard(&mut self) {
        if std::mem::take(&mut self.open) {
            self.overflowed = false;
            self.unit = U::default();
            self.lost = self.lost.saturating_add(1);
        }
    }

    pub(crate) fn poll(&mut self) -> Option<U> {
        self.ready.poll()
    }

    /// The stream has ended or rests: that the open unit has its end is not known.
    pub(crate) fn flush(&mut self) {
        self.damage();
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(assembly: &mut Assembly, timestamp: u32, lost: u32, bytes: usize) {
        assembly.arrive_at(RtpTime(timestamp), lost);
        let _ = assembly.push(vec![timestamp as u8; bytes].into());
    }

    fn polled(assembly: &mut Assembly) -> Vec<(u32, usize, bool, u32)> {
        std::iter::from_fn(|| assembly.poll())
            .map(|unit| (unit.timestamp.0, unit.len(), unit.complete, unit.lost))
            .collect()
    }

    #[test]
    fn a_new_timestamp_ends_a_unit_and_a_loss_breaks_both_around_it() {
        let mut assembly = Assembly::<AccessUnit>::new(Limits::default());
        arrive(&mut assembly, 1, 0, 2);
        arrive(&mut assembly, 1, 0, 3);
        arrive(&mut assembly, 2, 0, 1);
        arrive(&mut assembly, 3, 2, 1);
        assembly.finish();
        arrive(&mut assembly, 4, 1, 1);
        assembly.begins_intact();
        arrive(&mut assembly, 5, 0, 1);
        assembly.flush();
        assert_eq!(
            polled(&mut assembly),
            [
                (1, 5, true, 0),
                (2, 1, false, 0),
                (3, 1, false, 2),
                (4, 1, true, 1),
                (5, 1, false, 0)
            ]
        );
    }

    #[test]
    fn a_unit_in_too_many_slices_goes_too() {
        let mut assembly = Assembly::<AccessUnit>::new(Limits::default());
        assembly.arrive_at(RtpTime(1), 0);
        let byte = Bytes::from_static(&[1]);
        assert!((0..MAX_SLICES).all(|_| assembly.push(byte.clone()).is_ok()));
        assert!(assembly.push(byte).is_err());
        assembly.finish();
        assert!(assembly.poll().is_none());
    }

    #[test]
    fn a_unit_above_the_bound_goes_whole_and_is_told_of_once() {
        let mut assembly = Assembly::<AccessUnit>::new(Limits { max_unit: 4 });
        arrive(&mut assembly, 1, 0, 4);
        let told: Vec<_> = (0..3).map(|_| assembly.push(vec![1].into()).is_err()).collect();
        assert_eq!(told, [true, false, false]);
        arrive(&mut assembly, 2, 0, 4);
        assembly.discard();
        arrive(&mut assembly, 3, 0, 4);
        assembly.finish();
        assert_eq!(polled(&mut assembly), [(3, 4, true, 2)], "both are missing to the third");
    }
}
