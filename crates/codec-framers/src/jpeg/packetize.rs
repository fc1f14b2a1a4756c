//! Payloads out of images.

use super::jfif::{END, Image, Quantization};
use crate::access_unit::AccessUnit;
use crate::packetizer::{self, MAX_PAYLOAD, MIN_LIMIT, PacketizeError, Payload};

/// Sends images. Tables that no quality stands for go with each image, in its first payload,
/// which may be longer for it than the limit where this is below 150 bytes. Of images with more
/// than 2040 columns or lines the size is sent as 0, and the description has to tell it.
#[derive(Clone, Debug, Default)]
pub struct Packetizer {
    /// The last tables, and the quality that stands for them.
    last: Option<(Quantization, Option<u8>)>,
}

impl packetizer::Packetizer for Packetizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        let limit = limit.clamp(MIN_LIMIT, MAX_PAYLOAD);
        let mut cursor = unit.data().cursor();
        let image = Image::read(&mut cursor).map_err(PacketizeError::Unsupported)?;
        let has_end = cursor.remaining() >= END.len() && unit.data().ends_with(END);
        let scan = cursor.remaining() - if has_end { END.len() } else { 0 };
        if scan > LONGEST {
            return Err(PacketizeError::TooLarge { have: scan, limit: LONGEST });
        }
        if scan == 0 {
            return Err(PacketizeError::Malformed("no scan"));
        }
        let quality = self.quality(&image.quantization);
        let restarts = image.restart_interval > 0;
        let kind = u8::from(image.halved_lines) | if restarts { 0x40 } else { 0 };
        let blocks = [image.width, image.height].map(|pixels| u8::try_from(pixels.div_ceil(8)));
        let (width, height) = match blocks {
            [Ok(width), Ok(height)] => (width, height),
            _ => (0, 0),
        };
        let mut payload = Payload::new(unit.timestamp);
        let mut at = 0;
        while at < scan {
            let [_, a, b, c] = (at as u32).to_be_bytes();
            payload.clear();
            payload.own(&[0, a, b, c, kind, quality.unwrap_or(IN_BAND), width, height]);
            if restarts {
                // Payloads do not begin at restart markers, so an image is decoded whole.
                let [high, low] = image.restart_interval.to_be_bytes();
                payload.own(&[high, low, 0xff, 0xff]);
            }
            if quality.is_none() && at == 0 {
                let Quantization { precision, values } = &image.quantization;
                let [high, low] = (values.len() as u16).to_be_bytes();
                payload.own(&[0, *precision, high, low]);
                payload.own(values);
            }
            let room = limit.saturating_sub(payload.len()).max(1);
            let here = room.min(scan - at);
            payload.lend_from(&mut cursor, here);
            at += here;
            payload.marker = at == scan;
            emit(&payload);
        }
        Ok(())
    }
}

impl Packetizer {
    fn quality(&mut self, quantization: &Quantization) -> Option<u8> {
        if let Some((last, quality)) = &self.last
            && last == quantization
        {
            return *quality;
        }
        let quality = quantization.quality();
        self.last = Some((quantization.clone(), quality));
        quality
    }
}

/// Tables of this Q may be others in each image.
const IN_BAND: u8 = 255;

/// What an offset of 24 bits reaches.
const LONGEST: usize = 0x00ff_ffff;
