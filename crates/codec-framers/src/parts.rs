//! Units that are parts of payloads, put one behind the other: what formats share in which each
//! payload is a header and a piece of a picture.

use bytes::Bytes;

use crate::access_unit::AccessUnit;
use crate::assembly::Assembly;
use crate::depacketizer::{DepacketizeError, Depacketizer, Limits};
use crate::nal::stream::header_byte;
use crate::packet::Packet;
use crate::slices::Slices;

/// What one payload has of a unit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// Bytes that the payload stands for but does not hold.
    pub(crate) prefix: Bytes,
    pub(crate) body: Bytes,
    /// The unit begins here.
    pub(crate) begins: bool,
    /// What is here cannot follow a picture in the same unit.
    pub(crate) splits: bool,
    /// There is part of a picture, not only what goes before it.
    pub(crate) picture: bool,
    /// A decoder can start at this unit.
    pub(crate) key: bool,
    /// It begins an element of its own.
    pub(crate) element: bool,
}

/// What differs between such formats.
pub(crate) trait PartFormat {
    /// Whether a decoder finds its way behind a hole. If not, what follows one is left out, and
    /// so is a unit without its beginning.
    const RESUMES: bool;

    /// What a unit ends with that payloads leave out.
    const END: &'static [u8] = &[];

    /// Takes a payload apart. `open` is the unit so far, if this packet goes on with it without
    /// a loss; its last bytes may be changed.
    fn part(
        &mut self,
        packet: &Packet,
        open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError>;
}

/// Puts parts together.
#[derive(Clone, Debug)]
pub(crate) struct PartDepacketizer<F> {
    format: F,
    assembly: Assembly,
    has_picture: bool,
    /// Whether the rest of the open unit is of no use.
    torn: bool,
}

impl<F: PartFormat> PartDepacketizer<F> {
    pub(crate) fn new(format: F, limits: Limits) -> Self {
        Self { format, assembly: Assembly::new(limits), has_picture: false, torn: false }
    }

    /// The open unit is over.
    fn close(&mut self) {
        if self.assembly.has_bytes() && !self.assembly.unit().data().ends_with(F::END) {
            // Too large a unit is told of before.
            let _ = self.assembly.push(Bytes::from_static(F::END));
        }
    }

    fn open(&mut self, packet: &Packet) -> bool {
        if self.assembly.is_open() && self.assembly.unit().timestamp != packet.timestamp {
            self.close();
        }
        let opened = self.assembly.arrive(packet);
        if opened {
            self.has_picture = false;
            self.torn = false;
        }
        opened
    }

    fn take(&mut self, packet: &Packet) -> Result<(), DepacketizeError> {
        let goes_on = self.assembly.has_bytes()
            && !self.torn
            && packet.lost == 0
            && self.assembly.unit().timestamp == packet.timestamp;
        let open = goes_on.then(|| self.assembly.unit());
        let part = match self.format.part(packet, open) {
            Ok(part) => part,
            Err(error) => {
                self.open(packet);
                self.assembly.damage();
                self.torn = !F::RESUMES;
                return Err(error);
            }
        };
        let same = self.assembly.is_open() && self.assembly.unit().timestamp == packet.timestamp;
        if same && part.splits && self.has_picture {
            if packet.lost > 0 {
                self.assembly.damage();
            }
            self.close();
            self.assembly.finish();
        }
        let opened = self.open(packet);
        if opened && part.begins {
            self.assembly.begins_intact();
        } else if opened {
            self.assembly.damage();
            self.torn = !F::RESUMES;
        } else if packet.lost > 0 {
            self.torn |= !F::RESUMES;
        }
        if self.torn {
            return match opened {
                true => Err(DepacketizeError::Orphaned("the beginning of a picture")),
                false => Ok(()),
            };
        }
        self.has_picture |= part.picture;
        self.assembly.unit().key |= part.key;
        if part.element {
            self.assembly.begin_element();
        }
        self.assembly.push(part.prefix)?;
        self.assembly.push(part.body)
    }
}

impl<F: PartFormat> Depacketizer for PartDepacketizer<F> {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        let took = self.take(&packet);
        // Nothing ends before its picture.
        if packet.marker && (self.has_picture || self.torn) {
            self.close();
            self.assembly.finish();
        }
        took
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.assembly.poll()
    }

    fn flush(&mut self) {
        self.close();
        self.assembly.flush();
    }
}

/// A public depacketizer around a [`PartFormat`].
macro_rules! part_depacketizer {
    ($(#[$doc:meta])* $format:ty, $new:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct Depacketizer($crate::parts::PartDepacketizer<$format>);

        impl Depacketizer {
            /// Before the first packet.
            pub fn new(limits: $crate::depacketizer::Limits) -> Self {
                Self($crate::parts::PartDepacketizer::new($new, limits))
            }
        }

        impl $crate::depacketizer::Depacketizer for Depacketizer {
            fn push(
                &mut self,
                packet: $crate::packet::Packet,
            ) -> Result<(), $crate::depacketizer::DepacketizeError> {
                self.0.push(packet)
            }

            fn poll(&mut self) -> Option<$crate::access_unit::AccessUnit> {
                self.0.poll()
            }

            fn flush(&mut self) {
                self.0.flush();
            }
        }
    };
}

pub(crate) use part_depacketizer;

/// The places of all start codes (00 00 01) and the byte behind each.
pub(crate) fn start_codes(slices: Slices<'_>) -> Vec<(usize, u8)> {
    windows(slices, |four| four >> 8 == 1).into_iter().map(|(at, four)| (at, four as u8)).collect()
}

/// The places at which four bytes stand that are looked for, and these.
pub(crate) fn windows(slices: Slices<'_>, wanted: impl Fn(u32) -> bool) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    let mut last = 0_u32;
    let mut at = 0_usize;
    for slice in slices.as_slices() {
        for &byte in slice.iter() {
            last = last << 8 | u32::from(byte);
            at += 1;
            if at >= 4 && wanted(last) {
                found.push((at - 4, last));
            }
        }
    }
    found
}

/// Where to end a payload that begins at `at` and has `room`: at the last of these places that is
/// within reach, else where the room ends. Places before are taken away from the list.
pub(crate) fn cut(places: &mut &[usize], at: usize, room: usize, end: usize) -> usize {
    let most = (at + room).min(end);
    let within = places.partition_point(|&place| place <= most);
    let (here, rest) = places.split_at_checked(within).unwrap_or((places, &[]));
    *places = rest;
    match here.last() {
        Some(&place) if most < end && place > at => place,
        _ => most,
    }
}

/// Of what begins `shared` bits within a byte whose first bits have come already: takes that
/// byte, put together, from the unit so far and from what follows.
pub(crate) fn join_bits(
    shared: u8,
    open: Option<&mut AccessUnit>,
    mut body: Bytes,
) -> (Bytes, Bytes) {
    if shared == 0 || body.is_empty() {
        return (Bytes::new(), body);
    }
    let Some(before) = open.and_then(AccessUnit::pop_byte) else {
        return (Bytes::new(), body);
    };
    let new = u8::MAX >> shared.min(7);
    let first = body.split_to(1).first().copied().unwrap_or_default();
    (header_byte(before & !new | first & new), body)
}
