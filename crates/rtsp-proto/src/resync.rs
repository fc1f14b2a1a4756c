//! What a frame can begin with.

use crate::Method;
use crate::decode::Role;
use crate::text::is_token_byte;

/// What a byte is the first of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Interleaved,
    Message,
    Blank,
    Stray,
    /// More bytes will tell.
    Unclear,
}

/// What the bytes begin with; `None` without any. `lost`: stray bytes came before, so that only
/// what is like other frames is taken for one.
pub(crate) fn start_of(bytes: &[u8], role: Role, lost: bool, channels: &Channels) -> Option<Start> {
    let first = *bytes.first()?;
    Some(match role {
        _ if first == b'$' && lost => channels.likely(bytes),
        _ if first == b'$' => Start::Interleaved,
        _ if BLANKS.contains(&first) && !lost => Start::Blank,
        Role::Server if is_token_byte(first) => Start::Message,
        Role::Server => Start::Stray,
        Role::Client => message(bytes),
    })
}

fn message(bytes: &[u8]) -> Start {
    let mut start = Start::Stray;
    for protocol in [b"RTSP/", b"HTTP/"] {
        let given = bytes.get(..protocol.len()).unwrap_or(bytes);
        if protocol.get(..given.len()).is_some_and(|p| p.eq_ignore_ascii_case(given)) {
            start = if given.len() == protocol.len() { Start::Message } else { Start::Unclear };
        }
    }
    for method in &Method::KNOWN {
        let name = method.as_str().as_bytes();
        let (given, rest) = bytes.split_at(name.len().min(bytes.len()));
        if name.starts_with(given) {
            match rest.first() {
                Some(b' ') => start = Start::Message,
                Some(_) => {}
                None => start = Start::Unclear,
            }
        }
    }
    start
}

/// The channels that were seen.
#[derive(Debug, Default)]
pub(crate) struct Channels([u64; 4]);

impl Channels {
    pub(crate) fn note(&mut self, channel: u8) {
        if let Some(word) = self.0.get_mut(usize::from(channel >> 6)) {
            *word |= 1 << (channel & 63);
        }
    }

    /// A `$` among stray bytes begins a frame if an RTP or RTCP packet follows it, on a channel
    /// that was seen, or whose neighbour was.
    fn likely(&self, bytes: &[u8]) -> Start {
        let Some(&[_, channel, high, low, first]) = bytes.first_chunk() else {
            return Start::Unclear;
        };
        let none_seen = self.0 == [0; 4];
        let pair = 0b11_u64 << (channel & 62);
        let seen = self.0.get(usize::from(channel >> 6)).is_some_and(|word| word & pair != 0);
        let long_enough = u16::from_be_bytes([high, low]) >= LEAST_RTCP;
        if (seen || none_seen) && long_enough && first >> 6 == RTP_VERSION {
            Start::Interleaved
        } else {
            Start::Stray
        }
    }
}

pub(crate) const BLANKS: [u8; 4] = *b"\r\n \t";
/// An empty receiver report.
const LEAST_RTCP: u16 = 8;
const RTP_VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(bytes: &[u8], lost: bool) -> Option<Start> {
        let mut channels = Channels::default();
        channels.note(2);
        channels.note(130);
        start_of(bytes, Role::Client, lost, &channels)
    }

    #[test]
    fn a_client_knows_messages_by_their_first_word() {
        assert_eq!(client(b"", false), None);
        for (bytes, start) in [
            (b"RTSP/1.0 200 OK".as_slice(), Start::Message),
            (b"rtsp/", Start::Message),
            (b"RTS", Start::Unclear),
            (b"RTSQ", Start::Stray),
            (b"OPTIONS *", Start::Message),
            (b"OPTIONS", Start::Unclear),
            (b"OPTIONSX", Start::Stray),
            (b"v=0", Start::Stray),
            (b"\r\n", Start::Blank),
            (b"$", Start::Interleaved),
        ] {
            assert_eq!(client(bytes, false), Some(start), "{bytes:?}");
        }
    }

    #[test]
    fn among_stray_bytes_a_dollar_sign_must_look_like_a_frame() {
        for (bytes, start) in [
            ([b'$', 2, 0, 8, 0x80].as_slice(), Start::Interleaved),
            (&[b'$', 3, 255, 255, 0xbf], Start::Interleaved),
            (&[b'$', 130, 0, 8, 0x80], Start::Interleaved),
            (&[b'$', 66, 0, 8, 0x80], Start::Stray),
            (&[b'$', 4, 0, 8, 0x80], Start::Stray),
            (&[b'$', 2, 0, 7, 0x80], Start::Stray),
            (&[b'$', 2, 0, 8, 0x40], Start::Stray),
            (&[b'$', 2, 0, 8], Start::Unclear),
            (b"\r\n", Start::Stray),
        ] {
            assert_eq!(client(bytes, true), Some(start), "{bytes:?}");
        }
        let fresh = Channels::default();
        let start = start_of(&[b'$', 9, 0, 8, 0x80], Role::Client, true, &fresh);
        assert_eq!(start, Some(Start::Interleaved));
    }

    #[test]
    fn a_server_takes_any_token_for_a_method() {
        let server = |bytes| start_of(bytes, Role::Server, false, &Channels::default());
        assert_eq!(server(b"G"), Some(Start::Message));
        assert_eq!(server(&[0x16, 3, 1]), Some(Start::Stray));
        assert_eq!(server(b"$"), Some(Start::Interleaved));
        assert_eq!(server(b" O"), Some(Start::Blank));
    }
}
