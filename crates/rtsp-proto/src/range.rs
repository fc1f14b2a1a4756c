//! The `Range` header (RFC 2326 section 12.29).

use std::fmt;

/// A range of time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Range {
    /// Normal play time (section 3.6), in seconds.
    Npt {
        /// Its start; `None` where it is left open.
        start: Option<NptTime>,
        /// Its end; `None` where it is left open.
        end: Option<NptTime>,
    },
    /// Absolute time (section 3.7) or SMPTE time codes (section 3.5), as written.
    Other(String),
}

/// A place in normal play time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NptTime {
    /// The present of a live source.
    Now,
    /// Seconds from the start.
    Seconds(f64),
}

impl Range {
    /// A live source, from now on.
    pub const LIVE: Self = Self::Npt { start: Some(NptTime::Now), end: None };

    /// Reads a header's value. `None` if it is no range.
    pub fn parse(value: &str) -> Option<Self> {
        // A `;time=` may follow, which says when to begin; nobody uses it.
        let range = value.split(';').next()?.trim();
        let (unit, times) = range.split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("npt") {
            return (!unit.trim().is_empty()).then(|| Self::Other(range.to_owned()));
        }
        let (start, end) = times.split_once('-').unwrap_or((times, ""));
        let (start, end) = (parse_npt(start)?, parse_npt(end)?);
        (start.is_some() || end.is_some()).then_some(Self::Npt { start, end })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = match self {
            Self::Npt { start, end } => (start, end),
            Self::Other(text) => return f.write_str(text),
        };
        f.write_str("npt=")?;
        start.iter().try_for_each(|time| time.fmt(f))?;
        f.write_str("-")?;
        end.iter().try_for_each(|time| time.fmt(f))
    }
}

impl fmt::Display for NptTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Seconds(seconds) => write!(f, "{seconds:.3}"),
        }
    }
}

/// `now`, `12.5` or `1:02:03.4`; `Some(None)` where nothing is written.
fn parse_npt(text: &str) -> Option<Option<NptTime>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    if text.eq_ignore_ascii_case("now") {
        return Some(Some(NptTime::Now));
    }
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b':') {
        return None;
    }
    let mut seconds = 0.0;
    for part in text.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok()?;
    }
    Some(Some(NptTime::Seconds(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npt(start: Option<f64>, end: Option<f64>) -> Option<Range> {
        Some(Range::Npt { start: start.map(NptTime::Seconds), end: end.map(NptTime::Seconds) })
    }

    #[test]
    fn play_time_comes_in_seconds_or_hours() {
        assert_eq!(Range::parse("npt=0.000-"), npt(Some(0.0), None));
        assert_eq!(Range::parse("npt=0- 596.48"), npt(Some(0.0), Some(596.48)));
        assert_eq!(Range::parse(" NPT = 1:02:03.5-;time=19970123T14Z"), npt(Some(3723.5), None));
        assert_eq!(Range::parse("npt=-20"), npt(None, Some(20.0)));
        assert_eq!(Range::parse("npt=now-"), Some(Range::LIVE));
    }

    #[test]
    fn other_units_are_kept_as_written() {
        let clock = "clock=19961108T143720.25Z-";
        assert_eq!(Range::parse(clock), Some(Range::Other(clock.to_owned())));
        assert_eq!(Range::parse(clock).unwrap().to_string(), clock);
    }

    #[test]
    fn what_is_no_range_is_none() {
        for text in ["", "npt", "npt=", "npt=-", "npt=a-b", "npt=1e9-", "=0-"] {
            assert_eq!(Range::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_are_written_to_the_millisecond() {
        assert_eq!(Range::LIVE.to_string(), "npt=now-");
        assert_eq!(npt(Some(1.5), Some(20.0)).unwrap().to_string(), "npt=1.500-20.000");
    }
}
