//! Motion JPEG (RFC 2435).
//!
//! A unit is a JFIF image, with all tables, as it stands in a file. The scan's bytes are those
//! of the payloads; the headers before it are made, or read, here. After a hole the rest of an
//! image is left out.

mod depacketize;
pub(crate) mod glance;
mod jfif;
mod packetize;
mod tables;

pub use self::depacketize::Depacketizer;
pub use self::packetize::Packetizer;

#[cfg(test)]
mod tests;
