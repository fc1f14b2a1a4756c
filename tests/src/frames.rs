//! Frame checksums as ffmpeg's `framemd5` and GStreamer's `checksumsink` write them, and what two
//! lists of them have to do with each other.

use std::collections::HashMap;

/// One stream's checksums in order.
pub type Sums = Vec<String>;

/// Reads `framemd5` output: checksums by stream number.
#[must_use]
pub fn parse_framemd5(text: &str) -> HashMap<usize, Sums> {
    let mut out: HashMap<usize, Sums> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut columns = line.split(',').map(str::trim);
        let stream = columns.next().and_then(|c| c.parse().ok());
        // Stream, two times, duration, size, checksum; side data may follow.
        if let (Some(stream), Some(sum)) = (stream, columns.nth(4)) {
            out.entry(stream).or_default().push(sum.to_owned());
        }
    }
    out
}

/// Reads `framemd5` output: times of presentation by stream number, in the
/// stream's own units.
#[must_use]
pub fn parse_times(text: &str) -> HashMap<usize, Vec<i64>> {
    let mut out: HashMap<usize, Vec<i64>> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let mut columns = line.split(',').map(str::trim);
        let stream = columns.next().and_then(|c| c.parse().ok());
        if let (Some(stream), Some(time)) = (stream, columns.nth(1).and_then(|c| c.parse().ok())) {
            out.entry(stream).or_default().push(time);
        }
    }
    out
}

/// The place of `part`'s first frames in `whole`, if from there on both go on alike.
///
/// # Errors
/// Where and how they differ.
pub fn contiguous_run(part: &[String], whole: &[String]) -> Result<usize, String> {
    let Some(first) = part.first() else { return Err("there is no frame at all".to_owned()) };
    let mut nearest = (0, 0);
    for start in (0..whole.len()).filter(|at| whole.get(*at) == Some(first)) {
        let rest = whole.get(start..).unwrap_or_default();
        let same = part.iter().zip(rest).take_while(|(a, b)| a == b).count();
        if same == part.len().min(rest.len()) {
            return Ok(start);
        }
        if same > nearest.1 {
            nearest = (start, same);
        }
    }
    let (start, same) = nearest;
    Err(format!(
        "{} frames are no run of {}: nearest from frame {start} on, {same} frames alike",
        part.len(),
        whole.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(text: &str) -> Sums {
        text.chars().map(String::from).collect()
    }

    #[test]
    fn a_run_is_found_where_it_begins() {
        assert_eq!(contiguous_run(&sums("cde"), &sums("abcdef")), Ok(2));
        assert_eq!(contiguous_run(&sums("aab"), &sums("aaab")), Ok(1));
    }

    #[test]
    fn a_missing_frame_is_no_run() {
        assert!(contiguous_run(&sums("cef"), &sums("abcdef")).is_err());
        assert!(contiguous_run(&sums(""), &sums("abc")).is_err());
    }

    #[test]
    fn checksums_are_told_apart_by_stream() {
        let text = "#format: frame checksums\n0, 0, 0, 1, 10, aa, S=1, 16, ff\n1, 0, 0, 1, 10, bb\n0, 1, 1, 1, 10, cc\n";
        let parsed = parse_framemd5(text);
        assert_eq!(parsed[&0], ["aa", "cc"]);
        assert_eq!(parsed[&1], ["bb"]);
        assert_eq!(parse_times(text)[&0], [0, 1]);
    }
}
