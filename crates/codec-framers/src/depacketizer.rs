//! From packets to access units.

use std::collections::VecDeque;

use thiserror::Error;

use crate::access_unit::{AccessUnit, MAX_UNIT};
use crate::packet::Packet;

/// Puts access units together. One per track and session of the sender.
///
/// After each `push` the units that are ready are drained with `poll`. Whatever the payloads
/// are, nothing panics, no unit ever mixes two instants, and after a loss the next whole unit
/// comes out whole.
pub trait Depacketizer {
    /// Takes the next packet.
    ///
    /// # Errors
    ///
    /// The packet, or the unit that it belongs to, is of no use; all that came before and comes
    /// after is.
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError>;

    /// The next unit that is ready.
    fn poll(&mut self) -> Option<AccessUnit>;

    /// Nothing will follow, or not for long: what is half done comes out as it is.
    fn flush(&mut self);
}

/// Why a packet gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DepacketizeError {
    /// The payload is not what its format demands.
    #[error("malformed payload: {0}")]
    Malformed(&'static str),
    /// The payload depends on what was lost, or never came: on the beginning of a fragmented
    /// unit, on tables sent before.
    #[error("what the payload continues is missing: {0}")]
    Orphaned(&'static str),
    /// Our own bound: the access unit would be larger than [`Limits::max_unit`], or in more
    /// slices than [`MAX_SLICES`](crate::MAX_SLICES). It is dropped whole, and this is told once
    /// for it.
    #[error("access unit of more than max_unit = {limit} bytes")]
    UnitTooLarge {
        /// The bound.
        limit: usize,
    },
    /// What the packet needs is not done here.
    #[error("not supported: {0}")]
    Unsupported(&'static str),
}

/// What a sender can make a depacketizer hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of an access unit at most.
    pub max_unit: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_unit: MAX_UNIT }
    }
}

/// Units that wait for being polled at most. No packet makes as many; who never polls loses
/// the oldest.
pub const MAX_READY: usize = 65_536;

/// Units that are ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready<U = AccessUnit> {
    units: VecDeque<U>,
}

impl<U> Default for Ready<U> {
    fn default() -> Self {
        Self { units: VecDeque::new() }
    }
}

impl<U> Ready<U> {
    pub(crate) fn push(&mut self, unit: U) {
        if self.units.len() == MAX_READY {
            self.units.pop_front();
        }
        self.units.push_back(unit);
    }

    pub(crate) fn poll(&mut self) -> Option<U> {
        self.units.pop_front()
    }
}
