//! The headers of a JFIF image: made of what payloads say, and read for what they have to say.

use smallvec::SmallVec;

use super::tables::{
    CHROMINANCE, CHROMINANCE_AC, CHROMINANCE_DC, LUMINANCE, LUMINANCE_AC, LUMINANCE_DC,
};
use crate::slices::Cursor;

/// The start of an image, its end.
pub(super) const START: [u8; 2] = [0xff, 0xd8];
pub(super) const END: &[u8] = &[0xff, 0xd9];

/// Quantization tables, luminance first, as payloads carry them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Quantization {
    /// A bit for each table, lowest first: values have 16 bits.
    pub(super) precision: u8,
    pub(super) values: SmallVec<[u8; 128]>,
}

impl Quantization {
    /// The tables that a quality of 1 to 99 stands for (section 4.2).
    pub(super) fn of_quality(quality: u8) -> Self {
        let quality = u32::from(quality.clamp(1, 99));
        let scale = if quality < 50 { 5000 / quality } else { 200 - quality * 2 };
        let scaled = |value: &u8| ((u32::from(*value) * scale + 50) / 100).clamp(1, 255) as u8;
        Self { precision: 0, values: LUMINANCE.iter().chain(&CHROMINANCE).map(scaled).collect() }
    }

    /// The quality that stands for these tables, if there is one.
    pub(super) fn quality(&self) -> Option<u8> {
        (1..=99).find(|&quality| *self == Self::of_quality(quality))
    }

    /// The tables one by one: whether its values have 16 bits, and these.
    fn tables(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = self.values.as_slice();
        let mut precision = self.precision;
        std::iter::from_fn(move || {
            let wide = precision & 1;
            precision >>= 1;
            let (table, after) = rest.split_at_checked(if wide == 0 { 64 } else { 128 })?;
            rest = after;
            Some((wide, table))
        })
    }
}

/// What the headers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// Columns and lines.
    pub(super) width: u16,
    pub(super) height: u16,
    /// Chrominance has half the lines too (type 1), not only half the columns (type 0).
    pub(super) halved_lines: bool,
    pub(super) restart_interval: u16,
    pub(super) quantization: Quantization,
}

impl Image {
    /// The headers up to the scan.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(640);
        out.extend_from_slice(&START);
        segment(&mut out, 0xe0, &[b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"]);
        let tables: SmallVec<[_; 4]> = self.quantization.tables().collect();
        for (id, (wide, table)) in (0_u8..).zip(&tables) {
            segment(&mut out, 0xdb, &[&[wide << 4 | id], table]);
        }
        // One table alone serves all components.
        let chrominance = u8::from(tables.len() > 1);
        let [height, width] = [self.height, self.width].map(u16::to_be_bytes);
        let sampling = if self.halved_lines { 0x22 } else { 0x21 };
        let components = [3, 1, sampling, 0, 2, 0x11, chrominance, 3, 0x11, chrominance];
        segment(&mut out, 0xc0, &[&[8], &height, &width, &components]);
        segment(&mut out, 0xc4, &[&[0x00], &LUMINANCE_DC]);
        segment(&mut out, 0xc4, &[&[0x10], &LUMINANCE_AC]);
        segment(&mut out, 0xc4, &[&[0x01], &CHROMINANCE_DC]);
        segment(&mut out, 0xc4, &[&[0x11], &CHROMINANCE_AC]);
        if self.restart_interval > 0 {
            segment(&mut out, 0xdd, &[&self.restart_interval.to_be_bytes()]);
        }
        segment(&mut out, 0xda, &[&[3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]]);
        out
    }

    /// Reads the headers; the cursor stands at the scan then.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, &'static str> {
        let mut image = Self::default();
        let mut tables = Numbered::default();
        let mut wanted = SmallVec::<[u8; 4]>::new();
        if cursor.chunk() != Some(START) {
            return Err("no start of image");
        }
        loop {
            let kind = marker(cursor).ok_or("headers end too early")?;
            let length = usize::from(cursor.u16().ok_or("headers end too early")?);
            let mut body = SmallVec::<[u8; 256]>::new();
            cursor.take(length.saturating_sub(2), |piece| body.extend_from_slice(piece));
            match kind {
                0xdb => read_tables(&body, &mut tables).ok_or("quantization tables")?,
                0xc0 | 0xc1 => wanted = image.read_frame(&body)?,
                0xc2..=0xcf if kind != 0xc4 && kind != 0xcc => return Err("not baseline"),
                0xc4 if !are_standard(&body) => return Err("its own Huffman tables"),
                0xdd => {
                    let interval = body.first_chunk().copied().ok_or("restart interval")?;
                    image.restart_interval = u16::from_be_bytes(interval);
                }
                0xda => break,
                _ => {}
            }
        }
        if wanted.is_empty() {
            return Err("no frame header");
        }
        wanted.dedup();
        for (at, id) in wanted.iter().enumerate() {
            let table = tables.get(usize::from(*id)).and_then(Option::as_ref);
            let (wide, values) = table.ok_or("missing quantization table")?;
            image.quantization.precision |= wide << at;
            image.quantization.values.extend_from_slice(values);
        }
        Ok(image)
    }

    /// Reads a frame header; gives the tables that luminance and chrominance use.
    fn read_frame(&mut self, body: &[u8]) -> Result<SmallVec<[u8; 4]>, &'static str> {
        let Some((&[8, h0, h1, w0, w1, count], components)) = body.split_first_chunk() else {
            return Err("not eight bits a sample");
        };
        self.height = u16::from_be_bytes([h0, h1]);
        self.width = u16::from_be_bytes([w0, w1]);
        let (components, _) = components.as_chunks::<3>();
        let (3, [[_, first, luminance], [_, 0x11, blue], [_, 0x11, red]]) = (count, components)
        else {
            return Err("sampling");
        };
        if blue != red || self.width == 0 || self.height == 0 {
            return Err("size, or tables for each colour");
        }
        self.halved_lines = match first {
            0x21 => false,
            0x22 => true,
            _ => return Err("sampling"),
        };
        Ok([*luminance, *blue].into_iter().collect())
    }
}

/// The next marker, with any bytes that fill up before it.
fn marker(cursor: &mut Cursor<'_>) -> Option<u8> {
    if cursor.byte()? != 0xff {
        return None;
    }
    loop {
        match cursor.byte()? {
            0xff => {}
            kind => return Some(kind),
        }
    }
}

fn segment(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let length: usize = 2 + parts.iter().map(|part| part.len()).sum::<usize>();
    // All segments made here are short.
    let [.., high, low] = length.to_be_bytes();
    out.extend_from_slice(&[0xff, kind, high, low]);
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Tables by their numbers: whether values have 16 bits, and these.
type Numbered = [Option<(u8, SmallVec<[u8; 64]>)>; 4];

fn read_tables(mut body: &[u8], tables: &mut Numbered) -> Option<()> {
    while let Some((&head, rest)) = body.split_first() {
        let wide = head >> 4 & 1;
        let (values, rest) = rest.split_at_checked(if wide == 0 { 64 } else { 128 })?;
        *tables.get_mut(usize::from(head & 0x0f))? = Some((wide, values.into()));
        body = rest;
    }
    Some(())
}

/// Whether Huffman tables are those that payloads mean.
fn are_standard(mut body: &[u8]) -> bool {
    while let Some((&head, rest)) = body.split_first() {
        let standard: &[u8] = match head {
            0x00 => &LUMINANCE_DC,
            0x10 => &LUMINANCE_AC,
            0x01 => &CHROMINANCE_DC,
            0x11 => &CHROMINANCE_AC,
            _ => return false,
        };
        let Some(rest) = rest.strip_prefix(standard) else { return false };
        body = rest;
    }
    true
}
