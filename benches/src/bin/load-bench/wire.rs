//! As much of RTSP as readers and the bare loop say to each other.

use std::ops::Range;

/// What a connection brings.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// An interleaved packet.
    Frame { channel: u8, data: &'a [u8] },
    /// A request or an answer, without its body.
    Message(&'a str),
}

/// Takes the whole items off the front of `bytes`; says how many bytes they are.
pub(crate) fn take(bytes: &[u8], mut each: impl FnMut(Item<'_>)) -> usize {
    let mut taken = 0;
    while let Some(rest) = bytes.get(taken..)
        && let Some((item, length)) = next(rest)
    {
        each(item);
        taken += length;
    }
    taken
}

fn next(bytes: &[u8]) -> Option<(Item<'_>, usize)> {
    if let Some(&[b'$', channel, high, low]) = bytes.first_chunk() {
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        let data = bytes.get(4..length)?;
        return Some((Item::Frame { channel, data }, length));
    }
    if bytes.first().is_none_or(|first| *first == b'$') {
        return None;
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(bytes.get(..end)?).unwrap_or_default();
    let body = header(text, "Content-Length").and_then(|value| value.parse().ok()).unwrap_or(0);
    let length = end + body;
    (bytes.len() >= length).then_some((Item::Message(text), length))
}

/// The value of a header.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let fits = |line: &'a str| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    };
    message.lines().skip(1).find_map(fits)
}

/// The status of an answer.
pub(crate) fn status(message: &str) -> Option<u16> {
    message.strip_prefix("RTSP/1.0 ")?.split_whitespace().next()?.parse().ok()
}

/// The session's name, without its parameters.
pub(crate) fn session(message: &str) -> Option<&str> {
    header(message, "Session")?.split(';').next()
}

/// The ports that a client asks datagrams for.
pub(crate) fn client_ports(message: &str) -> Option<Range<u16>> {
    let transport = header(message, "Transport")?;
    let ports = transport.split(';').find_map(|part| part.trim().strip_prefix("client_port="))?;
    let (rtp, rtcp) = ports.split_once('-')?;
    Some(rtp.parse().ok()?..rtcp.parse().ok()?)
}

/// A request.
pub(crate) fn request(method: &str, url: &str, cseq: u32, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {url} RTSP/1.0\r\nCSeq: {cseq}\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_taken_whole_however_the_bytes_come() {
        let mut bytes = b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: 3\r\n\r\nabc".to_vec();
        bytes.extend(b"$\x01\x00\x02xy");
        bytes.extend(request("PLAY", "rtsp://h/s", 2, &[("Session", "7;timeout=60")]).as_bytes());
        for cut in 0..=bytes.len() {
            let mut seen = Vec::new();
            let mut note = |item: Item<'_>| match item {
                Item::Frame { channel, data } => seen.push(format!("{channel} {}", data.len())),
                Item::Message(text) => seen.push(
                    status(text)
                        .map_or_else(|| session(text).unwrap_or("?").to_owned(), |s| s.to_string()),
                ),
            };
            let taken = take(&bytes[..cut], &mut note);
            assert!(taken <= cut);
            assert_eq!(take(&bytes[taken..], &mut note), bytes.len() - taken);
            assert_eq!(seen, ["200", "1 2", "7"], "cut at {cut}");
        }
    }

    #[test]
    fn ports_are_read_from_the_transport() {
        let headers = [("Transport", "RTP/AVP;unicast;client_port=4000-4001")];
        assert_eq!(client_ports(&request("SETUP", "u", 1, &headers)), Some(4000..4001));
        assert_eq!(client_ports(&request("SETUP", "u", 1, &[])), None);
    }
}
