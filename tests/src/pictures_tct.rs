//! Pictures that mpv draws in a terminal, each cell a pixel: the one of its video outputs that needs
//! no screen, keeps time, and lets the picture be seen.

use std::io::{BufRead, BufReader, Read};

/// How mpv is made to draw.
pub(crate) const OPTIONS: [&str; 5] = [
    "--vo=tct",
    "--vo-tct-algo=plain",
    "--vo-tct-width=64",
    "--vo-tct-height=36",
    "--no-keepaspect",
];
const WIDTH: usize = 64;
const HEIGHT: usize = 36;

/// Reads what mpv draws until its end; each picture's luminance, width and height go to `picture`.
pub(crate) fn read(output: impl Read, mut picture: impl FnMut(&[u8], usize, usize)) {
    let mut output = BufReader::with_capacity(1 << 16, output);
    let mut sequence = Vec::new();
    let mut gray = Vec::new();
    // What is between two escapes: a control sequence and the cells that it applies to.
    while matches!(output.read_until(ESCAPE, &mut sequence), Ok(n) if n > 0) {
        let text = std::str::from_utf8(&sequence).unwrap_or_default().trim_end_matches('\x1b');
        if let Some(place) = text.strip_prefix('[').and_then(|text| text.strip_suffix('f')) {
            // The first row begins a picture (that mpv counts from 0).
            if place.starts_with("0;") {
                gray.clear();
            }
        } else if let Some((colour, cells)) = colour(text) {
            gray.extend(std::iter::repeat_n(colour, cells));
            if gray.len() == WIDTH * HEIGHT {
                picture(&gray, WIDTH, HEIGHT);
            }
        }
        sequence.clear();
    }
}

/// The luminance that a sequence sets as the background, and how many cells follow.
fn colour(text: &str) -> Option<(u8, usize)> {
    let (colour, cells) = text.strip_prefix("[48;2;")?.split_once('m')?;
    let mut parts = colour.split(';').map(|part| part.parse::<u32>().ok());
    let (red, green, blue) = (parts.next()??, parts.next()??, parts.next()??);
    let gray = (red * 299 + green * 587 + blue * 114) / 1000;
    Some((u8::try_from(gray).ok()?, cells.len().min(WIDTH)))
}

const ESCAPE: u8 = 0x1B;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_read_from_its_escape_sequences() {
        let mut drawn = String::from("\x1b[?25l\x1b[2J");
        for round in 0..2 {
            for row in 0..HEIGHT {
                drawn += &format!("\x1b[{row};0f");
                for column in 0..WIDTH {
                    let level = (row + column + round) % 256;
                    drawn += &format!("\x1b[48;2;{level};{level};{level}m ");
                }
                drawn += "\x1b[0m";
            }
        }
        let mut seen = Vec::new();
        read(drawn.as_bytes(), |gray, width, height| {
            assert_eq!(gray.len(), width * height);
            seen.push((gray[0], gray[width * height - 1]));
        });
        assert_eq!(seen, [(0, 98), (1, 99)]);
    }
}
