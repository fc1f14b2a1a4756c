use std::fmt;

/// A departure from the protocol that the decoder made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tolerated {
    /// Bytes that belong to no frame were skipped.
    StrayBytes {
        /// How many came in a row.
        count: u32,
    },
    /// Empty lines before a message.
    BlankLines,
    /// Lines that end with LF alone.
    BareLineFeeds,
    /// A header that goes on in the next line.
    FoldedHeader,
    /// A header line without a colon: left out.
    NoHeader,
    /// Blanks where none belong.
    OddSpaces,
    /// Bytes that are not UTF-8 in the start line or a header: replaced.
    NotText,
    /// A status line without a reason phrase.
    NoReason,
    /// A response with another version than RTSP/1.0.
    OddVersion,
    /// An HTTP response: there is a web server at the other end.
    HttpResponse,
    /// A response without `CSeq`.
    NoCseq,
    /// A `Content-Length` that is no number: taken as missing.
    BadContentLength,
    /// Several `Content-Length` that differ: the last is used.
    SeveralContentLengths,
    /// A description without `Content-Length`: it lasts as long as its lines look like one.
    NoContentLength,
    /// A description that ended in the midst of a line by its `Content-Length`: it lasts as long as
    /// its lines look like one.
    CutDescription,
    /// A response in the midst of interleaved data: taken out.
    SplitFrame,
    /// A body that ended before its `Content-Length`.
    ShortBody,
}

impl Tolerated {
    /// A name for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StrayBytes { .. } => "stray-bytes",
            Self::BlankLines => "blank-lines",
            Self::BareLineFeeds => "bare-line-feeds",
            Self::FoldedHeader => "folded-header",
            Self::NoHeader => "no-header",
            Self::OddSpaces => "odd-spaces",
            Self::NotText => "not-text",
            Self::NoReason => "no-reason",
            Self::OddVersion => "odd-version",
            Self::HttpResponse => "http-response",
            Self::NoCseq => "no-cseq",
            Self::BadContentLength => "bad-content-length",
            Self::SeveralContentLengths => "several-content-lengths",
            Self::NoContentLength => "no-content-length",
            Self::CutDescription => "cut-description",
            Self::SplitFrame => "split-frame",
            Self::ShortBody => "short-body",
        }
    }
}

impl fmt::Display for Tolerated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StrayBytes { count } => {
                return write!(f, "{count} stray bytes between frames skipped");
            }
            Self::BlankLines => "empty lines before a message skipped",
            Self::BareLineFeeds => "lines end with LF alone",
            Self::FoldedHeader => "a header is folded over several lines",
            Self::NoHeader => "a header line without a colon left out",
            Self::OddSpaces => "blanks where none belong",
            Self::NotText => "a header that is not UTF-8",
            Self::NoReason => "a status line without a reason phrase",
            Self::OddVersion => "a response with another version than RTSP/1.0",
            Self::HttpResponse => "the answer of a web server",
            Self::NoCseq => "a response without CSeq",
            Self::BadContentLength => "a Content-Length that is no number",
            Self::SeveralContentLengths => "several Content-Length that differ, the last is used",
            Self::NoContentLength => "a description without Content-Length",
            Self::CutDescription => "a description longer than its Content-Length",
            Self::SplitFrame => "a response in the midst of interleaved data, taken out",
            Self::ShortBody => "a body shorter than its Content-Length",
        })
    }
}

/// What was made up for and has not been told yet.
#[derive(Debug, Default)]
pub(crate) struct Tolerations(Vec<Tolerated>);

impl Tolerations {
    pub(crate) fn note(&mut self, what: Tolerated) {
        if self.0.len() < MAX_UNTOLD && !self.0.contains(&what) {
            self.0.push(what);
        }
    }

    pub(crate) fn take(&mut self) -> Vec<Tolerated> {
        std::mem::take(&mut self.0)
    }
}

/// Whoever does not ask need not know it all.
const MAX_UNTOLD: usize = 32;
