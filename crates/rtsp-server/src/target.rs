//! What a request URL names: a stream, perhaps one of its tracks, perhaps a query.
//!
//! ```text
//! rtsp://host:8554/name                    the stream "name"
//! rtsp://host/a/b/track2?start=keyframe    track 1 (from 0) of "a/b", with a query
//! rtsp://host/name/?start=keyframe/track1  the same written by a player that appends blindly
//! ```

use core::str;

/// The part of a request URL that is ours to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The path, percent-decoded, without slashes at its ends. Empty for `*` and for a bare host.
    pub path: String,
    /// What follows the first `?`, as written, without a track or slash appended to it.
    pub query: Option<String>,
}

impl Target {
    /// The path as a stream and one of its tracks, counted from 0.
    pub fn split_track(&self) -> Option<(&str, usize)> {
        let (stream, last) = self.path.rsplit_once('/')?;
        Some((stream, track_number(last)?))
    }

    /// Which part of `stream` this names; `None` if it names something else.
    pub(crate) fn within(&self, stream: &str) -> Option<Part> {
        if self.path.is_empty() || self.path == stream {
            return Some(Part::Whole);
        }
        let (path, track) = self.split_track()?;
        (path == stream).then_some(Part::Track(track))
    }
}

/// Which part of a session a request is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Whole,
    Track(usize),
}

/// Reads a request URL: absolute, a path alone, or `*`. `None` if its path cannot be decoded to
/// text free of control characters.
pub fn stream_of(uri: &str) -> Option<Target> {
    if uri == "*" {
        return Some(Target { path: String::new(), query: None });
    }
    let (path, query) = match path_and_query(uri).split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path_and_query(uri), None),
    };
    let mut path = decode(path.trim_matches('/'))?;
    let query = query.map(|query| {
        let query = query.trim_end_matches('/');
        match query.rsplit_once('/') {
            Some((query, last)) if track_number(last).is_some() => {
                path.push('/');
                path.push_str(last);
                query.trim_end_matches('/')
            }
            _ => query,
        }
    });
    let query = query.filter(|query| !query.is_empty()).map(str::to_owned);
    Some(Target { path, query })
}

/// The URL that a DESCRIBE's relative controls are to be appended to: the request's own, never an
/// address of ours, which behind NAT nobody could reach. The slash goes before the query, where
/// both appending and resolving by RFC 3986 lead to the track. `None` for a URL that is not
/// absolute.
pub(crate) fn content_base(uri: &str) -> Option<String> {
    uri.split_once("://")?;
    let (base, query) = match uri.split_once('?') {
        Some((base, query)) => (base, Some(query.trim_end_matches('/'))),
        None => (uri, None),
    };
    let mut base = format!("{}/", base.trim_end_matches('/'));
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        base.push('?');
        base.push_str(query);
    }
    Some(base)
}

fn path_and_query(uri: &str) -> &str {
    match uri.split_once("://") {
        Some((_, rest)) => rest.find(['/', '?']).and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => uri,
    }
}

/// `track1` is track 0.
fn track_number(segment: &str) -> Option<usize> {
    let digits = segment.strip_prefix("track")?;
    if digits.starts_with(['0', '+']) {
        return None;
    }
    digits.parse::<usize>().ok()?.checked_sub(1)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match *rest {
            [] => break,
            [b'%', high, low, ref tail @ ..] => {
                bytes.push(nibble(high)? << 4 | nibble(low)?);
                tail
            }
            [b'%', ..] => return None,
            [byte, ref tail @ ..] => {
                bytes.push(byte);
                tail
            }
        };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> (String, Option<String>) {
        let target = stream_of(uri).unwrap();
        (target.path, target.query)
    }

    fn plain(path: &str) -> (String, Option<String>) {
        (path.to_owned(), None)
    }

    #[test]
    fn a_name_is_the_decoded_path_without_slashes_at_its_ends() {
        assert_eq!(target("rtsp://h:8554/name"), plain("name"));
        assert_eq!(target("rtsp://h/name/"), plain("name"));
        assert_eq!(target("rtsps://h//a/b/"), plain("a/b"));
        assert_eq!(target("rtsp://h/my%20cam/%C3%BC"), plain("my cam/ü"));
        assert_eq!(target("/name"), plain("name"));
        assert_eq!(target("*"), plain(""));
        assert_eq!(target("rtsp://h"), plain(""));
        assert_eq!(target("rtsp://user:a%40b@h/x"), plain("x"));
    }

    #[test]
    fn a_path_that_is_not_text_is_no_target() {
        for uri in
            ["rtsp://h/%", "rtsp://h/%f", "rtsp://h/%zz", "rtsp://h/%ff", "rtsp://h/a%0d%0ab"]
        {
            assert_eq!(stream_of(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_query_is_kept_apart_wherever_the_player_put_the_track() {
        let with = |path: &str| (path.to_owned(), Some("start=keyframe".to_owned()));
        assert_eq!(target("rtsp://h/name?start=keyframe"), with("name"));
        assert_eq!(target("rtsp://h/name/?start=keyframe"), with("name"));
        assert_eq!(target("rtsp://h/name?start=keyframe/"), with("name"));
        assert_eq!(target("rtsp://h/name?start=keyframe/track2"), with("name/track2"));
        assert_eq!(target("rtsp://h/name/?start=keyframe/track2"), with("name/track2"));
        assert_eq!(target("rtsp://h/name/track2?start=keyframe"), with("name/track2"));
        assert_eq!(target("rtsp://h/name?"), plain("name"));
        assert_eq!(target("rtsp://h/name?/track2"), plain("name/track2"));
    }

    #[test]
    fn tracks_count_from_one_on_the_wire() {
        let split = |uri| {
            let target = stream_of(uri).unwrap();
            target.split_track().map(|(stream, track)| (stream.to_owned(), track))
        };
        assert_eq!(split("rtsp://h/a/b/track1"), Some(("a/b".to_owned(), 0)));
        assert_eq!(split("rtsp://h/a/track32/"), Some(("a".to_owned(), 31)));
        for none in ["rtsp://h/a", "rtsp://h/a/track0", "rtsp://h/a/track", "rtsp://h/a/track01"] {
            assert_eq!(split(none), None, "{none}");
        }
    }

    #[test]
    fn a_stream_whose_own_name_looks_like_a_track_is_still_found_whole() {
        let target = stream_of("rtsp://h/cam/track2").unwrap();
        assert_eq!(target.within("cam/track2"), Some(Part::Whole));
        assert_eq!(target.within("cam"), Some(Part::Track(1)));
        assert_eq!(target.within("other"), None);
    }

    #[test]
    fn a_base_is_the_requests_own_url_with_its_slash_before_the_query() {
        let base = |uri| content_base(uri);
        assert_eq!(base("rtsp://1.2.3.4:99/n").as_deref(), Some("rtsp://1.2.3.4:99/n/"));
        assert_eq!(base("rtsp://h/n/").as_deref(), Some("rtsp://h/n/"));
        assert_eq!(base("rtsp://h/n?x=1").as_deref(), Some("rtsp://h/n/?x=1"));
        assert_eq!(base("rtsp://h/n/?x=1/").as_deref(), Some("rtsp://h/n/?x=1"));
        assert_eq!(base("/n"), None);
        assert_eq!(base("*"), None);
    }
}
