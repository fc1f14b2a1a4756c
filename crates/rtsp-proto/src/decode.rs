use bytes::{Buf, Bytes, BytesMut};

use crate::head::{BodyLength, Head};
use crate::resync::{BLANKS, Channels, Start, start_of};
use crate::start_line::StartLine;
use crate::tolerated::Tolerations;
use crate::{DecodeError, DecodeErrorKind, Limits, Request, Response, Tolerated};

/// Which end of the connection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Reads requests: strict, but for what real players do.
    Server,
    /// Reads responses: lenient, cameras are what they are.
    Client,
}

/// What a byte stream consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A request; a client may get some too.
    Request(Request),
    /// A response.
    Response(Response),
    /// Interleaved binary data (RFC 2326 section 10.12).
    Interleaved {
        /// Its channel.
        channel: u8,
        /// The payload, without the four bytes before it.
        data: Bytes,
    },
}

/// Finds the frames in a byte stream, however it is cut.
///
/// Bytes are looked at once: what was found so far is remembered until more come. Bodies and
/// interleaved data are split off the buffer, not copied.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    role: Role,
    /// Where the front of the buffer stands in the stream.
    position: u64,
    state: State,
    stray: Stray,
    channels: Channels,
    /// A response is awaited, which may come in the midst of interleaved data.
    expecting: bool,
    tolerated: Tolerations,
}

/// What the front of the buffer is.
#[derive(Debug)]
enum State {
    /// The beginning of a frame, or something between frames.
    Between,
    /// The beginning of a message.
    Head(Scan),
    /// A body of this length.
    Body {
        head: Head,
        length: usize,
    },
    /// A body that lasts as long as it looks like one.
    UntoldBody {
        head: Head,
        scan: Scan,
    },
    Failed(DecodeError),
}

/// How far lines have been looked for.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    line_start: usize,
    looked: usize,
}

impl Scan {
    /// Where the line under way ends, within the first `limit` bytes.
    fn line_end(&mut self, src: &[u8], limit: usize) -> Option<usize> {
        let window = src.get(..limit).unwrap_or(src);
        let rest = window.get(self.looked..).unwrap_or_default();
        let found = rest.iter().position(|b| *b == b'\n').map(|at| self.looked + at);
        self.looked = found.map_or(window.len(), |end| end + 1);
        found
    }
}

/// Bytes that belong to no frame.
#[derive(Debug, Default)]
struct Stray {
    /// Since two frames followed each other.
    total: usize,
    /// Since the last frame.
    run: usize,
}

enum Step {
    Again,
    Wait,
    Frame(Frame),
}

impl Decoder {
    /// A decoder for a new connection.
    pub fn new(limits: Limits, role: Role) -> Self {
        Self {
            limits,
            role,
            position: 0,
            state: State::Between,
            stray: Stray::default(),
            channels: Channels::default(),
            expecting: false,
            tolerated: Tolerations::default(),
        }
    }

    /// Takes the next frame from the front of `src`; `None` if there is no whole one yet. What was
    /// not taken must come again, with more behind it.
    ///
    /// # Errors
    /// The stream cannot be read on, now or later; the error stays the same.
    pub fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
        loop {
            let step = match &self.state {
                State::Between => self.between(src),
                State::Head(scan) => self.head(src, *scan),
                State::Body { length, .. } => Ok(self.body(src, *length)),
                State::UntoldBody { scan, .. } => self.untold_body(src, *scan),
                State::Failed(error) => Err(*error),
            };
            match step {
                Ok(Step::Again) => {}
                Ok(Step::Wait) => return Ok(None),
                Ok(Step::Frame(frame)) => return Ok(Some(frame)),
                Err(error) => {
                    self.state = State::Failed(error);
                    return Err(error);
                }
            }
        }
    }

    /// Says whether a request is unanswered. Some backends write their answer between two parts of
    /// an interleaved packet: while one is expected, it is looked for there too. Only for a
    /// client.
    pub fn expect_response(&mut self, expecting: bool) {
        self.expecting = expecting && self.role == Role::Client;
    }

    /// Whether the message under way has a body whose end nobody told. Once nothing has come for a
    /// while, [`Decoder::finish`] gives it.
    pub fn awaits_silence(&self) -> bool {
        matches!(self.state, State::UntoldBody { .. })
    }

    /// Ends the message under way where it stands: the peer closed, or has been silent for long.
    /// A client gets it with as much of its body as came; a server gets nothing.
    pub fn finish(&mut self, src: &mut BytesMut) -> Option<Frame> {
        if self.role == Role::Server {
            return None;
        }
        let length = match &self.state {
            State::Body { length, .. } => *length,
            State::UntoldBody { .. } => self.limits.body_bytes,
            _ => return None,
        };
        if !self.awaits_silence() {
            self.tolerated.note(Tolerated::ShortBody);
        }
        self.take_body(src, length.min(src.len()))
    }

    /// What was made up for since the last call: each kind once, at most a few dozen.
    pub fn take_tolerated(&mut self) -> Vec<Tolerated> {
        self.tolerated.take()
    }

    /// How many bytes were taken since the start of the connection.
    pub fn position(&self) -> u64 {
        self.position
    }

    fn between(&mut self, src: &mut BytesMut) -> Result<Step, DecodeError> {
        match start_of(src, self.role, self.stray.run > 0, &self.channels) {
            None | Some(Start::Unclear) => Ok(Step::Wait),
            Some(Start::Interleaved) => Ok(self.interleaved(src)),
            Some(Start::Message) => {
                self.state = State::Head(Scan::default());
                Ok(Step::Again)
            }
            Some(Start::Blank) => {
                let count = src.iter().take_while(|b| BLANKS.contains(b)).count();
                self.tolerated.note(Tolerated::BlankLines);
                self.advance(src, count);
                Ok(Step::Again)
            }
            Some(Start::Stray) if self.role == Role::Server => {
                Err(DecodeError::new(self.position, DecodeErrorKind::NotRtsp))
            }
            Some(Start::Stray) => {
                let next = (1..src.len()).find(|at| {
                    let rest = src.get(*at..).unwrap_or_default();
                    start_of(rest, self.role, true, &self.channels) != Some(Start::Stray)
                });
                self.skip_stray(src, next.unwrap_or(src.len()))?;
                Ok(Step::Again)
            }
        }
    }

    fn interleaved(&mut self, src: &mut BytesMut) -> Step {
        let Some(&[_, channel, high, low]) = src.first_chunk() else { return Step::Wait };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if src.len() < INTERLEAVED_HEADER + length {
            return Step::Wait;
        }
        if self.expecting
            && let Some(step) = self.within(src, length)
        {
            return step;
        }
        self.advance(src, INTERLEAVED_HEADER);
        let data = self.split(src, length);
        self.channels.note(channel);
        self.on_frame();
        Step::Frame(Frame::Interleaved { channel, data })
    }

    /// A response within an interleaved packet of this length; the packet goes on behind it.
    #[cold]
    #[inline(never)]
    fn within(&mut self, src: &mut BytesMut, length: usize) -> Option<Step> {
        let payload = src.get(INTERLEAVED_HEADER..INTERLEAVED_HEADER + length)?;
        let at = payload.windows(STATUS_LINE.len()).position(|part| part == STATUS_LINE)?;
        let at = INTERLEAVED_HEADER + at;
        let rest = src.get(at..)?;
        let limit = self.limits.header_bytes;
        let Some(end) = end_of_head(rest.get(..limit).unwrap_or(rest)) else {
            return (rest.len() < limit).then_some(Step::Wait);
        };
        let mut oddities = Tolerations::default();
        let head = Head::parse(rest.get(..end)?, self.role, &self.limits, &mut oddities).ok()?;
        let body = match head.body_length(self.role, &mut oddities).ok()? {
            BodyLength::Known(body) if body <= self.limits.body_bytes => body,
            _ => return None,
        };
        if head.is_response_without_cseq() {
            return None;
        }
        if rest.len() < end + body {
            return Some(Step::Wait);
        }
        let mut message = src.split_off(at);
        src.unsplit(message.split_off(end + body));
        message.advance(end);
        self.position += (end + body) as u64;
        self.tolerated.note(Tolerated::SplitFrame);
        Some(Step::Frame(head.with_body(message.freeze())))
    }

    fn head(&mut self, src: &mut BytesMut, mut scan: Scan) -> Result<Step, DecodeError> {
        let limit = self.limits.header_bytes;
        while let Some(end) = scan.line_end(src, limit) {
            let line = src.get(scan.line_start..end).unwrap_or_default();
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if scan.line_start == 0 && StartLine::parse(line, self.role).is_none() {
                // Among stray bytes there may be some that look like the beginning of a message.
                if self.role == Role::Server {
                    return Err(DecodeError::new(self.position, DecodeErrorKind::BadStartLine));
                }
                self.skip_stray(src, end + 1)?;
                self.state = State::Between;
                return Ok(Step::Again);
            }
            if line.is_empty() {
                return self.whole_head(src, end + 1);
            }
            scan.line_start = scan.looked;
        }
        if src.len() >= limit {
            let pos = self.position + limit as u64;
            return Err(DecodeError::new(pos, DecodeErrorKind::HeadTooLarge { limit }));
        }
        self.state = State::Head(scan);
        Ok(Step::Wait)
    }

    fn whole_head(&mut self, src: &mut BytesMut, length: usize) -> Result<Step, DecodeError> {
        let bytes = src.get(..length).unwrap_or_default();
        let head = Head::parse(bytes, self.role, &self.limits, &mut self.tolerated)
            .map_err(|(at, kind)| DecodeError::new(self.position + at as u64, kind))?;
        let body = head
            .body_length(self.role, &mut self.tolerated)
            .map_err(|kind| DecodeError::new(self.position, kind))?;
        if self.role == Role::Client && head.is_response_without_cseq() {
            self.tolerated.note(Tolerated::NoCseq);
        }
        self.advance(src, length);
        self.on_frame();
        let limit = self.limits.body_bytes;
        self.state = match body {
            BodyLength::Known(length) if length > limit => {
                let kind = DecodeErrorKind::BodyTooLarge { limit };
                return Err(DecodeError::new(self.position, kind));
            }
            BodyLength::Known(length) => State::Body { head, length },
            BodyLength::Untold => State::UntoldBody { head, scan: Scan::default() },
        };
        Ok(Step::Again)
    }

    fn body(&mut self, src: &mut BytesMut, length: usize) -> Step {
        let Some(body) = src.get(..length) else { return Step::Wait };
        if let State::Body { head, .. } = &self.state
            && self.role == Role::Client
            && head.is_cut(body)
        {
            return self.go_on();
        }
        self.take_body(src, length).map_or(Step::Again, Step::Frame)
    }

    /// A description that cannot end where it is said to.
    fn go_on(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Body { head, .. } => {
                self.tolerated.note(Tolerated::CutDescription);
                self.state = State::UntoldBody { head, scan: Scan::default() };
            }
            other => self.state = other,
        }
        Step::Again
    }

    /// Its lines last until one begins a frame.
    fn untold_body(&mut self, src: &mut BytesMut, mut scan: Scan) -> Result<Step, DecodeError> {
        let limit = self.limits.body_bytes;
        loop {
            let line = src.get(scan.line_start..).unwrap_or_default();
            if scan.looked == scan.line_start && scan.looked < limit {
                match start_of(line, self.role, false, &self.channels) {
                    None | Some(Start::Unclear) => break,
                    Some(Start::Interleaved | Start::Message) => {
                        let frame = self.take_body(src, scan.line_start);
                        return Ok(frame.map_or(Step::Again, Step::Frame));
                    }
                    Some(Start::Blank | Start::Stray) => {}
                }
            }
            if scan.line_end(src, limit).is_none() {
                break;
            }
            scan.line_start = scan.looked;
        }
        if src.len() >= limit && scan.looked >= limit {
            let pos = self.position + limit as u64;
            return Err(DecodeError::new(pos, DecodeErrorKind::BodyTooLarge { limit }));
        }
        if let State::UntoldBody { scan: last, .. } = &mut self.state {
            *last = scan;
        }
        Ok(Step::Wait)
    }

    fn take_body(&mut self, src: &mut BytesMut, length: usize) -> Option<Frame> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Body { head, .. } | State::UntoldBody { head, .. } => {
                Some(head.with_body(self.split(src, length)))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// A frame begins where it should, or where it was found again.
    fn on_frame(&mut self) {
        match std::mem::take(&mut self.stray.run) {
            0 => self.stray.total = 0,
            run => {
                let count = u32::try_from(run).unwrap_or(u32::MAX);
                self.tolerated.note(Tolerated::StrayBytes { count });
            }
        }
    }

    fn skip_stray(&mut self, src: &mut BytesMut, count: usize) -> Result<(), DecodeError> {
        let limit = self.limits.stray_bytes;
        let left = limit.saturating_sub(self.stray.total);
        if count > left {
            let pos = self.position + left as u64;
            return Err(DecodeError::new(pos, DecodeErrorKind::StrayBytes { limit }));
        }
        self.stray.total += count;
        self.stray.run += count;
        self.advance(src, count);
        Ok(())
    }

    fn advance(&mut self, src: &mut BytesMut, count: usize) {
        src.advance(count);
        self.position += count as u64;
    }

    fn split(&mut self, src: &mut BytesMut, count: usize) -> Bytes {
        self.position += count as u64;
        src.split_to(count).freeze()
    }
}

/// Where the empty line behind a head ends.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut begin = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        let line = bytes.get(begin..at)?;
        if line.is_empty() || line == b"\r" {
            return Some(at + 1);
        }
        begin = at + 1;
    }
    None
}

/// What the responses of all backends begin with.
const STATUS_LINE: &[u8] = b"RTSP/1.0 ";
/// The four bytes before interleaved data.
const INTERLEAVED_HEADER: usize = 4;

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
