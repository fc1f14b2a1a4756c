//! Each payload format: units to packets and back, whatever is lost on the way, and packets as
//! the RFCs and other programs write them.

mod arbitrary;
mod audio;
mod audio_golden;
mod common;
mod golden;
mod h264;
mod h265;
mod messages;
mod raw;
mod rfc;
mod simple;
mod split;
mod xiph;
