//! Images out of payloads.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::jfif::{END, Image, Quantization};
use crate::access_unit::AccessUnit;
use crate::depacketizer::{self, DepacketizeError, Limits};
use crate::packet::Packet;
use crate::parts::{Part, PartDepacketizer, PartFormat};

/// Gives JFIF images.
#[derive(Clone, Debug)]
pub struct Depacketizer(PartDepacketizer<Jpeg>);

impl Depacketizer {
    /// Before the first packet.
    pub fn new(limits: Limits) -> Self {
        Self(PartDepacketizer::new(Jpeg::default(), limits))
    }

    /// For images of so many columns and lines, if payloads say 0: they have no room for more
    /// than 2040. Senders of such images tell the size by `a=x-dimensions` or `a=framesize`.
    pub fn with_dimensions(width: u16, height: u16, limits: Limits) -> Self {
        let dimensions = Some((width, height)).filter(|&(width, height)| width > 0 && height > 0);
        Self(PartDepacketizer::new(Jpeg { dimensions, ..Jpeg::default() }, limits))
    }
}

impl depacketizer::Depacketizer for Depacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.0.push(packet)
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.0.poll()
    }

    fn flush(&mut self) {
        self.0.flush();
    }
}

#[derive(Clone, Debug, Default)]
struct Jpeg {
    /// The size where payloads do not say it.
    dimensions: Option<(u16, u16)>,
    /// Tables sent in band, by the Q that stands for them: below 255 they are sent once.
    sent: BTreeMap<u8, Quantization>,
    /// The last headers made, and what of.
    headers: Option<(Image, Bytes)>,
    /// The bytes of headers in the open unit.
    made: usize,
}

impl PartFormat for Jpeg {
    const RESUMES: bool = false;
    const END: &'static [u8] = END;

    fn part(
        &mut self,
        packet: &Packet,
        open: Option<&mut AccessUnit>,
    ) -> Result<Part, DepacketizeError> {
        // Section 3.1.
        let Some((&[_, o0, o1, o2, kind, q, width, height], mut rest)) =
            packet.payload.split_first_chunk()
        else {
            return Err(CUT);
        };
        let offset = u32::from_be_bytes([0, o0, o1, o2]) as usize;
        let mut restart_interval = 0;
        if kind & 0x40 != 0 {
            let Some((&[high, low, _, _], after)) = rest.split_first_chunk() else {
                return Err(CUT);
            };
            restart_interval = u16::from_be_bytes([high, low]);
            rest = after;
        }
        if kind & !0x41 != 0 {
            return Err(DepacketizeError::Unsupported("JPEG type"));
        }
        if offset > 0 {
            if open.is_some_and(|unit| unit.len() - self.made.min(unit.len()) != offset) {
                return Err(DepacketizeError::Malformed("JPEG fragment offset"));
            }
            let body = packet.payload.slice_ref(rest);
            return Ok(Part { body, picture: true, key: true, ..Part::default() });
        }
        let quantization = self.quantization(q, &mut rest)?;
        let (width, height) = match (width, height) {
            (0, _) | (_, 0) => self.dimensions.ok_or(DepacketizeError::Unsupported(
                "JPEG of more than 2040 columns or lines, and no dimensions in the description",
            ))?,
            (width, height) => (u16::from(width) * 8, u16::from(height) * 8),
        };
        let halved_lines = kind & 1 != 0;
        let image = Image { width, height, halved_lines, restart_interval, quantization };
        let headers = self.headers(image);
        self.made = headers.len();
        Ok(Part {
            prefix: headers,
            body: packet.payload.slice_ref(rest),
            begins: true,
            splits: true,
            picture: true,
            key: true,
            ..Part::default()
        })
    }
}

impl Jpeg {
    /// The tables of an image's first payload (section 3.1.8).
    fn quantization(&mut self, q: u8, rest: &mut &[u8]) -> Result<Quantization, DepacketizeError> {
        match q {
            0 => return Err(DepacketizeError::Malformed("JPEG quality 0")),
            // 100 to 127 are reserved; senders that use them mean the best.
            1..=127 => return Ok(Quantization::of_quality(q)),
            128.. => {}
        }
        let Some((&[_, precision, high, low], after)) = rest.split_first_chunk() else {
            return Err(CUT);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((values, after)) = after.split_at_checked(length) else { return Err(CUT) };
        *rest = after;
        if values.is_empty() {
            let sent = self.sent.get(&q);
            return sent.cloned().ok_or(DepacketizeError::Orphaned("quantization tables"));
        }
        if !(64..=4 * 128).contains(&length) {
            return Err(DepacketizeError::Malformed("length of quantization tables"));
        }
        let tables = Quantization { precision, values: values.into() };
        if self.sent.get(&q) != Some(&tables) {
            self.sent.insert(q, tables.clone());
        }
        Ok(tables)
    }

    fn headers(&mut self, image: Image) -> Bytes {
        match &self.headers {
            Some((made_of, headers)) if *made_of == image => headers.clone(),
            _ => {
                let headers = Bytes::from(image.write());
                self.headers = Some((image, headers.clone()));
                headers
            }
        }
    }
}

const CUT: DepacketizeError = DepacketizeError::Malformed("JPEG header ends too early");
