//! The `RTP-Info` header (RFC 2326 section 12.33).

/// Where one track begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpInfo {
    /// The track's control URL, as written: some backends give it relative, some leave it out.
    pub url: String,
    /// The sequence number of the first packet; `None` where it is missing or none.
    pub seq: Option<u16>,
    /// The RTP timestamp of the range's start; `None` where it is missing or none, such as -1.
    pub rtptime: Option<u32>,
}

impl RtpInfo {
    /// Reads a header's value, at most [`MAX_ENTRIES`] of it.
    pub fn parse(value: &str) -> Vec<Self> {
        entries(value).take(MAX_ENTRIES).map(Self::parse_one).collect()
    }

    /// A header's value.
    pub fn write(list: &[Self]) -> String {
        let mut out = String::new();
        for entry in list {
            if !out.is_empty() {
                out.push(',');
            }
            out.push_str("url=");
            out.push_str(&entry.url);
            if let Some(seq) = entry.seq {
                out.push_str(&format!(";seq={seq}"));
            }
            if let Some(rtptime) = entry.rtptime {
                out.push_str(&format!(";rtptime={rtptime}"));
            }
        }
        out
    }

    /// A URL may hold semicolons: whatever comes before the first parameter is the URL's.
    fn parse_one(entry: &str) -> Self {
        let mut info = Self::default();
        let mut url_ends = false;
        for part in entry.split(';') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("seq") {
                (info.seq, url_ends) = (value.parse().ok(), true);
            } else if name.eq_ignore_ascii_case("rtptime") {
                (info.rtptime, url_ends) = (value.parse().ok(), true);
            } else if info.url.is_empty() && name.eq_ignore_ascii_case("url") {
                value.trim_matches('"').clone_into(&mut info.url);
            } else if !url_ends && !info.url.is_empty() {
                info.url.push(';');
                info.url.push_str(part.trim_end());
            }
        }
        info
    }
}

/// A URL may hold commas: an entry begins where `url=` does.
fn entries(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while !rest.trim().is_empty() {
            let end = rest
                .match_indices(',')
                .map(|(at, _)| at)
                .find(|at| rest.get(at + 1..).is_some_and(begins_entry))
                .unwrap_or(rest.len());
            let (entry, after) = rest.split_at(end);
            rest = after.strip_prefix(',').unwrap_or(after);
            if !entry.trim().is_empty() {
                return Some(entry.trim());
            }
        }
        None
    })
}

fn begins_entry(text: &str) -> bool {
    let text = text.trim_start();
    let is_url = || {
        text.get(..3).is_some_and(|name| name.eq_ignore_ascii_case("url"))
            && text.get(3..).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    text.is_empty() || text.starts_with(',') || is_url()
}

/// How many tracks are read from one header.
pub const MAX_ENTRIES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn info(url: &str, seq: impl Into<Option<u16>>, rtptime: impl Into<Option<u32>>) -> RtpInfo {
        RtpInfo { url: url.to_owned(), seq: seq.into(), rtptime: rtptime.into() }
    }

    #[test]
    fn cameras_write_it_in_many_ways() {
        let read = RtpInfo::parse(
            "url=trackID=1;seq=1;rtptime=0,url=rtsp://a.test/mp4:x.mov/trackID=2;seq=1;rtptime=-1",
        );
        let expected =
            [info("trackID=1", 1, 0), info("rtsp://a.test/mp4:x.mov/trackID=2", 1, None)];
        assert_eq!(read, expected);
        assert_eq!(
            RtpInfo::parse("url=rtsp://10.0.0.1:554/S/t=1?a=b&c=d;seq=24104;rtptime=1270711678"),
            [info("rtsp://10.0.0.1:554/S/t=1?a=b&c=d", 24104, 1_270_711_678)],
        );
        assert_eq!(
            RtpInfo::parse("url=rtsp://10.0.0.1/0/main/trackID=0;seq=0;rtptime=0;"),
            [info("rtsp://10.0.0.1/0/main/trackID=0", 0, 0)],
        );
    }

    #[test]
    fn commas_and_semicolons_in_urls_are_kept() {
        assert_eq!(
            RtpInfo::parse("url=/a,b;c=d;seq=5, URL = \"/e\" ; rtptime = 7 ; Seq=70000"),
            [info("/a,b;c=d", 5, None), info("/e", None, 7)],
        );
    }

    #[test]
    fn a_missing_url_leaves_the_numbers() {
        assert_eq!(RtpInfo::parse("seq=1;rtptime=2"), [info("", 1, 2)]);
        assert_eq!(RtpInfo::parse(" , ,"), []);
        assert_eq!(RtpInfo::parse("url=a,".repeat(500).as_str()).len(), MAX_ENTRIES);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            list in proptest::collection::vec(
                ("[a-z0-9/:?&.]{1,20}", any::<Option<u16>>(), any::<Option<u32>>()),
                0..5,
            ),
        ) {
            let list: Vec<_> =
                list.into_iter().map(|(url, seq, time)| info(&url, seq, time)).collect();
            prop_assert_eq!(RtpInfo::parse(&RtpInfo::write(&list)), list);
        }

        #[test]
        fn arbitrary_text_does_no_harm(text in "[urlseq=;, \u{e4}\"]{0,60}") {
            prop_assert!(RtpInfo::parse(&text).len() <= MAX_ENTRIES);
        }
    }
}
