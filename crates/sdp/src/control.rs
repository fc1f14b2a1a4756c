//! Control URLs as cameras mean them.

use crate::presentation::Presentation;

/// The control URL of a track as readers see it, from the index of its media section: `track1`
/// for index 0.
pub fn track_control(media_index: usize) -> String {
    format!("track{}", media_index.saturating_add(1))
}

/// The index of the media section that `trackN` means; `None` for anything else.
pub fn parse_track_control(control: &str) -> Option<usize> {
    let number = control.strip_prefix("track")?;
    // `parse` would take a sign and leading zeros: two names for one track.
    if number.starts_with('0') || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    number.parse::<usize>().ok()?.checked_sub(1)
}

/// The URL that a control attribute means.
///
/// The base is `Content-Base`, else `Content-Location`, else the URL of the request; one that is
/// not absolute is passed over. An absolute control is used as it is; `*`, an empty and a
/// missing one mean the base. Anything else is appended behind a slash, even where the base ends
/// with a query: that is not RFC 3986, but it is what the players that cameras are tested with
/// do.
pub fn resolve_control(
    content_base: Option<&str>,
    content_location: Option<&str>,
    request_url: &str,
    control: Option<&str>,
) -> String {
    let base = [content_base, content_location]
        .into_iter()
        .flatten()
        .map(str::trim)
        .find(|base| is_absolute(base))
        .unwrap_or_else(|| request_url.trim());
    join(base, control.unwrap_or("").trim())
}

/// Where a presentation and its media sections are controlled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlUrls {
    /// For PLAY, PAUSE and TEARDOWN of all.
    pub aggregate: String,
    /// For SETUP, by media index.
    pub media: Vec<String>,
}

impl Presentation {
    /// The control URLs of the session and all its media sections; arguments as for
    /// [`resolve_control`].
    ///
    /// An absolute URL at session level takes the place of the base for what is relative to it,
    /// as players have it.
    pub fn control_urls(
        &self,
        content_base: Option<&str>,
        content_location: Option<&str>,
        request_url: &str,
    ) -> ControlUrls {
        let own = self.session.control();
        let aggregate = resolve_control(content_base, content_location, request_url, own);
        let base = own.filter(|control| is_absolute(control)).or(content_base);
        let media = self
            .media
            .iter()
            .map(|media| resolve_control(base, content_location, request_url, media.control()))
            .collect();
        ControlUrls { aggregate, media }
    }
}

fn join(base: &str, control: &str) -> String {
    if control.is_empty() || control == "*" {
        return base.to_owned();
    }
    if is_absolute(control) {
        return control.to_owned();
    }
    if control.starts_with('/') {
        // Either the whole path, or a name with a slash too many: it is the whole path if the
        // base's own path is its beginning.
        let (origin, path) = split_origin(base);
        let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
        if !path.is_empty() && control.strip_prefix(path).is_some_and(|r| r.starts_with('/')) {
            return format!("{origin}{control}");
        }
        return format!("{}{control}", base.trim_end_matches('/'));
    }
    let glue = if base.ends_with('/') || control.starts_with('?') { "" } else { "/" };
    format!("{base}{glue}{control}")
}

/// Splits `scheme://host` from the path.
fn split_origin(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.split_at_checked(path).unwrap_or((url, ""))
}

/// Whether this begins with `scheme://`.
fn is_absolute(url: &str) -> bool {
    url.split_once("://").is_some_and(|(scheme, rest)| {
        !rest.is_empty()
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn joins(base: &str, control: &str, expected: &str) {
        assert_eq!(resolve_control(Some(base), None, "rtsp://request/", Some(control)), expected);
    }

    #[test]
    fn a_control_is_appended_even_behind_a_query() {
        joins("rtsp://h/live/", "trackID=1", "rtsp://h/live/trackID=1");
        joins("rtsp://h/live", "trackID=1", "rtsp://h/live/trackID=1");
        joins(
            "rtsp://h/cam?channel=1&subtype=2/",
            "trackID=0",
            "rtsp://h/cam?channel=1&subtype=2/trackID=0",
        );
        joins(
            "rtsp://h/H264?channel=1&proto=Onvif",
            "video",
            "rtsp://h/H264?channel=1&proto=Onvif/video",
        );
        joins("rtsp://h/live", "?ctype=video", "rtsp://h/live?ctype=video");
    }

    #[test]
    fn an_absolute_control_is_used_as_it_is() {
        joins(
            "rtsp://h/live/",
            "rtsp://10.0.0.1:554/x/trackID=1",
            "rtsp://10.0.0.1:554/x/trackID=1",
        );
        joins("rtsps://h/live/", "rtsps://other/1", "rtsps://other/1");
    }

    #[test]
    fn a_star_an_empty_and_a_missing_control_mean_the_base() {
        joins("rtsp://h/live/", "*", "rtsp://h/live/");
        joins("rtsp://h/live/", " ", "rtsp://h/live/");
        assert_eq!(resolve_control(None, None, "rtsp://h/live", None), "rtsp://h/live");
    }

    #[test]
    fn the_base_is_the_first_that_is_a_url() {
        let url = |base, location| resolve_control(base, location, "rtsp://r/s", Some("a"));
        assert_eq!(url(Some("rtsp://b/"), Some("rtsp://l/")), "rtsp://b/a");
        assert_eq!(url(None, Some("rtsp://l/")), "rtsp://l/a");
        assert_eq!(url(Some(""), Some("/relative/")), "rtsp://r/s/a");
        assert_eq!(url(Some("://x"), None), "rtsp://r/s/a");
    }

    #[test]
    fn a_leading_slash_is_no_second_slash_and_a_whole_path_is_not_doubled() {
        joins("rtsp://h/live/", "/trackID=1", "rtsp://h/live/trackID=1");
        joins("rtsp://h/live", "/live/track1", "rtsp://h/live/track1");
        joins("rtsp://h/live", "/livelier", "rtsp://h/live/livelier");
        joins("rtsp://h", "/track1", "rtsp://h/track1");
    }

    #[test]
    fn track_names_count_from_one_and_have_one_spelling() {
        assert_eq!(track_control(0), "track1");
        assert_eq!(parse_track_control("track12"), Some(11));
        for wrong in ["track", "track0", "track01", "track+1", "Track1", "track-1", "trackID=1"] {
            assert_eq!(parse_track_control(wrong), None, "{wrong}");
        }
        assert_eq!(parse_track_control("track99999999999999999999999"), None);
    }
}
