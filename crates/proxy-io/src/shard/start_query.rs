//! `?start=keyframe` and the like in a reader's URL.

use fan_out::Start;

/// Where the reader wants to begin, if it says.
///
/// # Errors
/// It names no place that there is: to begin elsewhere without a word would hide the mistake.
pub(super) fn start_of(query: &str) -> Result<Option<Start>, &'static str> {
    match query.split('&').find_map(|part| part.strip_prefix("start=")) {
        None => Ok(None),
        Some("instant") => Ok(Some(Start::Instant)),
        Some("keyframe") => Ok(Some(Start::KeyFrame)),
        Some("live") => Ok(Some(Start::Live)),
        Some(_) => Err("start= in the URL is none of instant, keyframe, live"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_says_where_to_begin() {
        assert!(matches!(start_of("start=live"), Ok(Some(Start::Live))));
        assert!(matches!(start_of("a=b&start=keyframe"), Ok(Some(Start::KeyFrame))));
        assert!(matches!(start_of("start=instant&c"), Ok(Some(Start::Instant))));
        assert!(matches!(start_of("restart=live"), Ok(None)));
        assert!(start_of("start=yesterday").is_err());
        assert!(start_of("start=").is_err());
    }
}
