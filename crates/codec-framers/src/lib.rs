//! RTP payload formats: what one payload tells, and access units out of payloads and back.
//!
//! # Taking apart and putting together
//!
//! ```text
//! Packet ▸ Depacketizer ▸ AccessUnit ▸ LossGate ▸ Framer ▸ AccessUnit ▸ Packetizer ▸ Payload
//! ```
//!
//! A [`Depacketizer`] takes [`Packet`]s in the order of their sequence numbers and gives
//! [`AccessUnit`]s: pictures, audio frames, messages. A [`LossGate`] drops what [`OnLoss`] says
//! after a loss. A [`Framer`] adds what the codec's own rules demand, such as parameter sets
//! before a key frame. A [`Packetizer`] makes [`Payload`]s of at most the size asked for. Each
//! stage is of use alone; [`AnyDepacketizer`], [`AnyFramer`] and [`AnyPacketizer`] choose by the
//! description of a track, and each format has its own types in a module of its own.
//!
//! No payload byte is copied on the way: a unit is a list of slices of the received packets, and
//! a payload lends slices of the unit. (AMR is copied where its frames do not stand at bytes.)
//! Times are RTP timestamps, numbers are the caller's.
//!
//! # Formats
//!
//! | Encoding | Module | A unit is |
//! |---|---|---|
//! | `H264`, `H265`, `H266` | [`h264`], [`h265`], [`h266`] | the NAL units of a picture |
//! | `AV1` | [`av1`] | the OBUs of a temporal unit |
//! | `VP8`, `VP9` | [`vp8`], [`vp9`] | a frame |
//! | `MP4V-ES`, `MPV` | [`mpeg4`], [`mpv`] | a picture with its headers |
//! | `H261`, `H263`, `H263-1998`, `H263-2000` | [`h261`], [`h263`] | a picture |
//! | `JPEG`, `JPEG2000` | [`jpeg`], [`jpeg2000`] | an image |
//! | `raw`, `DV` | [`raw`], [`dv`] | a frame |
//! | `MP2T` | [`mp2t`] | the transport packets of a payload |
//! | `theora`, `vorbis` | [`xiph`] | the codec's packets of a payload |
//! | `mpeg4-generic` | [`mpeg4_generic`] | an access unit: of AAC, a frame |
//! | `MP4A-LATM` | [`latm`] | an audioMuxElement |
//! | `MPA`, `mpa-robust` | [`mpa`], [`mpa_robust`] | a frame; an ADU frame |
//! | `ac3`, `eac3` | [`ac3`] | the frames of 1536 samples |
//! | `opus` | [`opus`] | an Opus packet |
//! | `AMR`, `AMR-WB` | [`amr`] | a frame-block |
//! | `QCELP` | [`qcelp`] | a frame |
//! | `PCMU`, `PCMA`, `L8`, `L16`, `L20`, `L24`, `DAT12`, `G722`, `G726-*`, `GSM`, `GSM-EFR`, `iLBC`, `LPC`, `G723`, `G728`, `G729` | [`samples`] | the samples or frames of a payload |
//! | `DVI4` | [`dvi4`] | the samples of a payload, and the state before them |
//! | `speex` | [`opaque`] | a payload |
//! | `t140` | [`text`] | the characters of a payload |
//! | `vnd.onvif.metadata`, `smpte336m` | [`messages`] | a document; the items of an instant |
//! | `telephone-event`, `CN`, `red`, `rtx`, all others | [`opaque`] | a payload, sent as it came |
//!
//! # Glancing
//!
//! A relay does not take payloads apart, but it has to know where a reader may begin. A
//! [`Glancer`] looks at each payload of a track and tells that much; a [`UnitTracker`] puts the
//! glances of one unit together and names the packet at which a key unit begins, parameter sets
//! and delimiters before the picture included. Parameter sets seen on the way are kept
//! ([`ParameterSets`]), for readers whose description is older than the stream.
//!
//! Nothing here checks whether a payload is decodable, and none of it is trusted: whatever the
//! bytes are, the answer is at worst "no key frame".

mod aac;
pub mod ac3;
mod access_unit;
pub mod amr;
mod any;
mod assembly;
pub mod av1;
mod bits;
mod depacketizer;
pub mod dv;
pub mod dvi4;
mod framer;
mod glance;
mod glancer;
pub mod h261;
pub mod h263;
pub mod h264;
pub mod h265;
pub mod h266;
mod interleave;
pub mod jpeg;
pub mod jpeg2000;
pub mod latm;
pub mod messages;
pub mod mp2t;
pub mod mpa;
pub mod mpa_robust;
pub mod mpeg4;
pub mod mpeg4_generic;
pub mod mpv;
mod nal;
mod on_loss;
pub mod opaque;
pub mod opus;
mod packet;
mod packetizer;
mod params;
mod parts;
pub mod qcelp;
pub mod raw;
pub mod samples;
mod slices;
mod store;
pub mod text;
mod unit;
pub mod vp8;
pub mod vp9;
pub mod xiph;

pub use crate::access_unit::{AccessUnit, MAX_SLICES, MAX_UNIT};
pub use crate::any::{AnyDepacketizer, AnyFramer, AnyPacketizer};
pub use crate::depacketizer::{DepacketizeError, Depacketizer, Limits, MAX_READY};
pub use crate::framer::{Framer, PassFramer};
pub use crate::glance::Glance;
pub use crate::glancer::Glancer;
pub use crate::nal::split::{CannotSplit, NalSplitter};
pub use crate::on_loss::{LossGate, OnLoss};
pub use crate::packet::{Continuity, Packet};
pub use crate::packetizer::{MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Packetizer, Payload};
pub use crate::params::{
    MAX_PARAMETER_SET_BYTES, MAX_PARAMETER_SETS, ParameterSet, ParameterSetKind, ParameterSets,
};
pub use crate::slices::{Cursor, Slices};
pub use crate::store::ContiguousUnit;
pub use crate::unit::{MAX_HEADER_PACKETS, UnitStart, UnitTracker};

#[cfg(test)]
mod testing;
