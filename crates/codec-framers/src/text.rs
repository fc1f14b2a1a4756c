//! Text in real time, as `t140` (RFC 4103).
//!
//! A unit is what one payload has, possibly nothing: a pause. It is cut only between characters.

use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

pub use crate::opaque::Depacketizer;

/// Sends as many characters in a payload as fit.
#[derive(Clone, Debug, Default)]
pub struct Packetizer;

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let mut cursor = unit.data().cursor();
        let mut payload = Payload::new(unit.timestamp);
        payload.marker = unit.marker;
        loop {
            let mut here = limit.min(cursor.remaining());
            if here < cursor.remaining() {
                // Where the next payload would begin within a character (RFC 3629 section 3), this
                // one ends before it; what is no UTF-8 is cut anywhere.
                let begins = |&back: &usize| {
                    let mut at = cursor.clone();
                    at.skip(here - back);
                    at.byte().is_some_and(|byte| byte & 0xc0 != 0x80)
                };
                here -= (0..4).find(begins).unwrap_or(0);
            }
            payload.lend_from(&mut cursor, here);
            emit(&payload);
            payload.clear();
            if cursor.remaining() == 0 {
                return Ok(());
            }
        }
    }
}
