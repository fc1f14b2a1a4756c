//! Character classes and small steps shared by the parsers.

/// Whether it is a token (RFC 2326 section 15.1), and not empty.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The number at the start of the text; what follows it is of no interest. `None` without a digit
/// or past 32 bits.
pub(crate) fn leading_u32(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// Adds text that must stay on its line: characters that would end it become blanks.
pub(crate) fn push_in_line(out: &mut Vec<u8>, text: &str) {
    out.extend(text.bytes().map(|b| if matches!(b, b'\r' | b'\n' | 0) { b' ' } else { b }));
}

/// Adds a URI as a request line may hold it: blanks and control characters, which would end it,
/// are percent-encoded.
pub(crate) fn push_uri(out: &mut Vec<u8>, uri: &str) {
    for byte in uri.bytes() {
        if byte <= b' ' || byte == 0x7f {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(byte);
        }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_up_to_what_follows_it() {
        assert_eq!(leading_u32(" 60;x"), Some(60));
        assert_eq!(leading_u32("4294967295 "), Some(u32::MAX));
        assert_eq!(leading_u32("4294967296"), None);
        assert_eq!(leading_u32("-1"), None);
        assert_eq!(leading_u32(""), None);
    }

    #[test]
    fn a_uri_cannot_end_its_line() {
        let mut out = Vec::new();
        push_uri(&mut out, "rtsp://h/a b\r\nX: y");
        assert_eq!(out, b"rtsp://h/a%20b%0D%0AX:%20y");
    }

    #[test]
    fn bytes_are_written_as_two_digits_each() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa5, 0xff]), "000fa5ff");
    }
}
