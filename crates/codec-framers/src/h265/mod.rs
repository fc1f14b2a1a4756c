//! H.265 (RFC 7798).
//!
//! A unit's elements are NAL units without start codes. [`Depacketizer`] reads single NAL units,
//! aggregates, fragments and payloads with extensions (PACI), with and without decoding order
//! numbers; [`Packetizer`] writes the first three.

pub(crate) mod glance;

use self::glance::H265;
use crate::nal::frame::set_framer;
use crate::nal::wide::wide_codec;

wide_codec!(H265, H265::without_order_numbers);
set_framer!(H265, H265::without_order_numbers);
