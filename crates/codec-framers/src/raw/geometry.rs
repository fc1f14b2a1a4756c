//! How the bytes of a frame are laid out (RFC 4175 section 4.3 and table 1).

use sdp::Format;

/// The layout of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    /// The bytes of the smallest group of pixels that is a whole number of bytes.
    pub(super) group: usize,
    /// How many columns and lines such a group covers.
    columns: usize,
    lines: usize,
    /// The bytes of all groups beside each other.
    pub(super) line_bytes: usize,
    rows: usize,
    pub(super) interlaced: bool,
}

impl Geometry {
    /// `None` if the parameters are missing or not known.
    pub(super) fn of(format: &Format) -> Option<Self> {
        let number = |name| format.parameter(name)?.trim().parse::<usize>().ok();
        // Numbers of lines and offsets have 15 bits.
        let size = |name| number(name).filter(|size| (1..=0x7fff).contains(size));
        let (width, height) = (size("width")?, size("height")?);
        // Floating point ("16f") is not of this table.
        let depth = number("depth")?;
        let (columns, lines, samples) = match format.parameter("sampling")?.trim() {
            "RGB" | "BGR" | "YCbCr-4:4:4" => (1, 1, 3),
            "RGBA" | "BGRA" => (1, 1, 4),
            "YCbCr-4:2:2" => (2, 1, 4),
            "YCbCr-4:2:0" => (2, 2, 6),
            "YCbCr-4:1:1" => (4, 1, 6),
            _ => return None,
        };
        if ![8, 10, 12, 16].contains(&depth) {
            return None;
        }
        // As many side by side as make whole bytes.
        let bits: usize = samples * depth;
        let times = [1, 2, 4].into_iter().find(|times| (bits * times).is_multiple_of(8))?;
        let (group, columns) = (bits * times / 8, columns * times);
        let interlaced = format.fmtp.as_ref().is_some_and(|fmtp| {
            fmtp.iter().any(|(name, _)| name.eq_ignore_ascii_case("interlace"))
        });
        let height = if interlaced { height.div_ceil(2) } else { height };
        let line_bytes = width.div_ceil(columns) * group;
        let rows = height.div_ceil(lines);
        Some(Self { group, columns, lines, line_bytes, rows, interlaced })
    }

    pub(super) fn frame_bytes(self) -> usize {
        self.line_bytes * self.rows
    }

    /// Where a pixel's group is in the frame; `None` outside.
    pub(super) fn place(self, line: u16, offset: u16) -> Option<usize> {
        let (row, column) = (usize::from(line) / self.lines, usize::from(offset) / self.columns);
        let within = column * self.group;
        (row < self.rows && within < self.line_bytes).then_some(row * self.line_bytes + within)
    }

    /// The line and column of the first pixel of the group at this place.
    pub(super) fn pixel(self, place: usize) -> (u16, u16) {
        let line = place / self.line_bytes * self.lines;
        let offset = place % self.line_bytes / self.group * self.columns;
        // Both have 15 bits at most, as the sizes have.
        (line as u16, offset as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::format;

    fn group(sampling: &str, depth: &str) -> Option<(usize, usize, usize)> {
        let fmtp = format!("sampling={sampling}; width=16; height=4; depth={depth}");
        Geometry::of(&format("raw", &fmtp)).map(|g| (g.group, g.columns * g.lines, g.frame_bytes()))
    }

    #[test]
    fn groups_are_as_in_the_table_of_the_rfc() {
        for (sampling, depth, bytes, pixels) in [
            ("RGB", "8", 3, 1),
            ("BGRA", "8", 4, 1),
            ("YCbCr-4:2:2", "8", 4, 2),
            ("YCbCr-4:2:0", "8", 6, 4),
            ("YCbCr-4:1:1", "8", 6, 4),
            ("RGB", "10", 15, 4),
            ("RGBA", "10", 5, 1),
            ("YCbCr-4:2:2", "10", 5, 2),
            ("YCbCr-4:2:0", "10", 15, 8),
            ("YCbCr-4:1:1", "10", 15, 8),
            ("YCbCr-4:4:4", "12", 9, 2),
            ("YCbCr-4:2:0", "12", 9, 4),
            ("RGBA", "16", 8, 1),
        ] {
            let frame = 64 / pixels * bytes;
            assert_eq!(group(sampling, depth), Some((bytes, pixels, frame)), "{sampling} {depth}");
        }
        for (sampling, depth) in [("RGB", "9"), ("RGB", "16f"), ("CMYK", "8")] {
            assert_eq!(group(sampling, depth), None);
        }
    }

    #[test]
    fn places_and_pixels_are_each_others_inverse() {
        let fmtp = "sampling=YCbCr-4:2:0; width=16; height=8; depth=8";
        let geometry = Geometry::of(&format("raw", fmtp)).unwrap();
        for place in (0..geometry.frame_bytes()).step_by(geometry.group) {
            let (line, offset) = geometry.pixel(place);
            assert_eq!(geometry.place(line, offset), Some(place));
        }
        assert_eq!((geometry.place(8, 0), geometry.place(0, 16)), (None, None));
    }
}
