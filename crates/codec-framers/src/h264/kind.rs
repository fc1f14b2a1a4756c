//! The types of NAL units (H.264 table 7-1, RFC 6184 table 1).

pub(super) const TYPE: u8 = 0x1f;
pub(super) const SLICE: u8 = 1;
pub(super) const PARTITION_A: u8 = 2;
pub(super) const IDR: u8 = 5;
pub(super) const SEI: u8 = 6;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
pub(super) const DELIMITER: u8 = 9;
pub(super) const END_OF_SEQUENCE: u8 = 10;
pub(super) const END_OF_STREAM: u8 = 11;
pub(super) const FILLER: u8 = 12;
pub(super) const SPS_EXTENSION: u8 = 13;
pub(super) const PREFIX: u8 = 14;
pub(super) const SUBSET_SPS: u8 = 15;
pub(super) const STAP_A: u8 = 24;
pub(super) const STAP_B: u8 = 25;
pub(super) const MTAP16: u8 = 26;
pub(super) const MTAP24: u8 = 27;
pub(super) const FU_A: u8 = 28;
pub(super) const FU_B: u8 = 29;
pub(super) const PACSI: u8 = 30;

/// The bits of a NAL unit's header before its type.
pub(super) const FORBIDDEN: u8 = 0x80;
pub(super) const IMPORTANCE: u8 = 0x60;
