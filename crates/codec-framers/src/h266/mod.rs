//! H.266 (RFC 9328).
//!
//! A unit's elements are NAL units without start codes. [`Depacketizer`] reads single NAL units,
//! aggregates and fragments, with and without decoding order numbers; [`Packetizer`] writes the
//! same.

pub(crate) mod glance;

use self::glance::H266;
use crate::nal::frame::set_framer;
use crate::nal::wide::wide_codec;

wide_codec!(H266, H266::without_order_numbers);
set_framer!(H266, H266::without_order_numbers);
