//! Each payload format: units to packets and back, whatever is lost on the way, and packets as
//! the RFCs and other programs write them.

mod arbitrary;
#[allow(dead_code, reason = "for the formats that follow")]
mod common;
mod h264;
mod h265;
mod raw;
mod simple;
mod xiph;
