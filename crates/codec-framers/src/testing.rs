//! What the tests of all formats need.

use sdp::{Format, Presentation};

/// A format as a description would give it.
pub(crate) fn format(encoding: &str, fmtp: &str) -> Format {
    let body =
        format!("v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 {encoding}/90000\na=fmtp:96 {fmtp}\n");
    let (presentation, _) = Presentation::parse(body.as_bytes()).unwrap();
    presentation.media[0].main_format().clone()
}

/// Bytes from hexadecimal digits with any blanks.
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: String = digits.split_whitespace().collect();
    crate::params::hex(&digits).unwrap()
}
