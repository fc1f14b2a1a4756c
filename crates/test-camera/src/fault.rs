//! What a camera can be told to do wrong, by call or by a line of text.

use std::str::FromStr;
use std::time::Duration;

/// Something a camera is told to do wrong from now on, or to do right again.
///
/// Each has a line of text (for the program's standard input) that [`Fault::from_str`] takes:
///
/// | line | fault |
/// |---|---|
/// | `stop-sending [STREAM]`, `resume [STREAM]` | [`Fault::StopSending`], [`Fault::Resume`] |
/// | `silence [STREAM] video\|audio`, `unsilence [STREAM] video\|audio` | [`Fault::Silence`] |
/// | `close [STREAM]` | [`Fault::Close`] |
/// | `end-sessions [STREAM]` | [`Fault::EndSessions`] |
/// | `bye [STREAM] [video\|audio]` | [`Fault::Bye`] |
/// | `refuse METHOD STATUS [once]`, `accept METHOD` | [`Fault::Refuse`], [`Fault::Accept`] |
/// | `delay METHOD MILLISECONDS` | [`Fault::Delay`] |
/// | `ignore METHOD`, `heed METHOD` | [`Fault::Ignore`] |
/// | `options-blackhole` | [`Fault::Ignore`] of OPTIONS |
/// | `reorder [EVERY]`, `drop [EVERY]` (0 ends it) | [`Fault::Reorder`], [`Fault::Drop`] |
/// | `no-pause`, `no-udp`, `udp-silent`, `enforce-timeout`, each with `[on\|off]` | the same |
/// | `timeout SECONDS` | [`Fault::Timeout`] |
/// | `parameter-sets` | [`Fault::ParameterSets`] |
/// | `wall-clock SECONDS` (may be negative) | [`Fault::WallClock`] |
/// | `sender-reports on\|off` | [`Fault::SenderReports`] |
/// | `clock right\|zero\|1970\|pair` | [`Fault::Clock`] |
/// | `clock none`, `clock step SECONDS` | the two above |
/// | `clock jump SECONDS` (may be negative) | [`Fault::ClockJump`] |
/// | `clear` | [`Fault::Clear`] |
///
/// STREAM is a path such as `cam3`, or `all`, which is also what it is when left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Sessions stay, but no RTP and no reports are sent. Sequence numbers stand still, RTP time
    /// goes on.
    StopSending(Target),
    /// Ends [`Fault::StopSending`].
    Resume(Target),
    /// No RTP of one track; its reports go on.
    Silence {
        /// The streams concerned.
        target: Target,
        /// The track concerned.
        track: Track,
        /// Whether it falls silent or speaks again.
        silent: bool,
    },
    /// Closes the connections that have sessions of these streams; [`Target::All`] closes every
    /// connection.
    Close(Target),
    /// Forgets the sessions without a word: later requests in them are answered with 454.
    EndSessions(Target),
    /// Sends an RTCP BYE on one track or on all of every session, and no more media on it.
    Bye {
        /// The streams concerned.
        target: Target,
        /// The track that ends, or all of them.
        track: Option<Track>,
    },
    /// Answers a method with this status.
    Refuse {
        /// The method refused.
        method: Method,
        /// The status code, 300 to 599.
        status: u16,
        /// Whether the next request only is refused, or all until [`Fault::Accept`].
        once: bool,
    },
    /// Ends [`Fault::Refuse`].
    Accept(Method),
    /// Answers a method only after this time; zero ends it. Other requests of the same connection
    /// wait behind it.
    Delay {
        /// The method answered late.
        method: Method,
        /// How long the answer is held back.
        delay: Duration,
    },
    /// Performs a method's requests but never answers them, or answers again.
    Ignore {
        /// The method left without an answer.
        method: Method,
        /// Whether it is ignored from now on.
        ignored: bool,
    },
    /// Every n-th RTP packet of a track changes places with the next one; 0 ends it.
    Reorder(u32),
    /// Every n-th RTP packet of a track is not sent; 0 ends it.
    Drop(u32),
    /// PAUSE is not in `Public` and answered with 405.
    NoPause(bool),
    /// SETUP over UDP is answered with 461.
    NoUdp(bool),
    /// SETUP over UDP is accepted, but nothing is sent.
    UdpSilent(bool),
    /// The session timeout announced from now on, in whole seconds.
    Timeout(Duration),
    /// Whether sessions without a sign of life for the timeout are ended.
    EnforceTimeout(bool),
    /// Changes from one set of parameter sets (and picture size) to the other, at the next key
    /// frame, and in descriptions at once.
    ParameterSets,
    /// The wall clock of the sender reports is off by so many seconds from now on.
    WallClock(i64),
    /// Whether sender reports are sent.
    SenderReports(bool),
    /// What sender reports say.
    Clock(Clock),
    /// The clock that RTP timestamps and sender reports are taken from is off by so many seconds
    /// from now on.
    ClockJump(i64),
    /// Ends all of the above that can be ended.
    Clear,
}

/// What sender reports say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Clock {
    /// The truth, but for [`Fault::WallClock`] and [`Fault::ClockJump`].
    #[default]
    Right,
    /// NTP time zero: there is no clock (RFC 3550, section 6.4.1).
    Zero,
    /// The time since the camera's start, counted from 1970: the clock was never set.
    Since1970,
    /// The right time, and an RTP timestamp of 100 s before.
    Pair,
}

/// Which streams a fault concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every stream.
    All,
    /// The stream of this number, from 0.
    Stream(usize),
}

impl Target {
    pub(crate) fn includes(self, stream: usize) -> bool {
        match self {
            Self::All => true,
            Self::Stream(index) => index == stream,
        }
    }
}

/// A track of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Track {
    /// H.264, `trackID=1`.
    Video,
    /// AAC, `trackID=2`.
    Audio,
}

/// An RTSP method that the camera knows (RFC 2326, section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the methods are their documentation")]
pub enum Method {
    Options,
    Describe,
    Setup,
    Play,
    Pause,
    Teardown,
    GetParameter,
    SetParameter,
}

impl Method {
    /// The method's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Options => "OPTIONS",
            Self::Describe => "DESCRIBE",
            Self::Setup => "SETUP",
            Self::Play => "PLAY",
            Self::Pause => "PAUSE",
            Self::Teardown => "TEARDOWN",
            Self::GetParameter => "GET_PARAMETER",
            Self::SetParameter => "SET_PARAMETER",
        }
    }

    /// All methods.
    pub const ALL: [Self; 8] = [
        Self::Options,
        Self::Describe,
        Self::Setup,
        Self::Play,
        Self::Pause,
        Self::Teardown,
        Self::GetParameter,
        Self::SetParameter,
    ];
}

impl FromStr for Method {
    type Err = FaultError;

    fn from_str(name: &str) -> Result<Self, FaultError> {
        Self::ALL
            .into_iter()
            .find(|method| method.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| FaultError(format!("unknown method {name:?}")))
    }
}

/// Why a line is not a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultError(String);

impl std::fmt::Display for FaultError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FaultError {}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(line: &str) -> Result<Self, FaultError> {
        let mut words = Words(line.split_whitespace().collect());
        let fault = match words.required("a command")? {
            "stop-sending" => Self::StopSending(words.target()?),
            "resume" => Self::Resume(words.target()?),
            "silence" => words.silence(true)?,
            "unsilence" => words.silence(false)?,
            "close" => Self::Close(words.target()?),
            "end-sessions" => Self::EndSessions(words.target()?),
            "bye" => {
                let track = words.track();
                let target = words.target()?;
                Self::Bye { target, track: track.or_else(|| words.track()) }
            }
            "refuse" => Self::Refuse {
                method: words.required("a method")?.parse()?,
                status: words.number("a status", 300..=599)?,
                once: words.optional("once"),
            },
            "accept" => Self::Accept(words.required("a method")?.parse()?),
            "delay" => Self::Delay {
                method: words.required("a method")?.parse()?,
                delay: Duration::from_millis(words.number("milliseconds", 0..=86_400_000)?),
            },
            "ignore" => {
                Self::Ignore { method: words.required("a method")?.parse()?, ignored: true }
            }
            "heed" => Self::Ignore { method: words.required("a method")?.parse()?, ignored: false },
            "options-blackhole" => Self::Ignore { method: Method::Options, ignored: words.on()? },
            "reorder" => Self::Reorder(words.every()?),
            "drop" => Self::Drop(words.every()?),
            "no-pause" => Self::NoPause(words.on()?),
            "no-udp" => Self::NoUdp(words.on()?),
            "udp-silent" => Self::UdpSilent(words.on()?),
            "enforce-timeout" => Self::EnforceTimeout(words.on()?),
            "timeout" => Self::Timeout(Duration::from_secs(words.number("seconds", 1..=86_400)?)),
            "parameter-sets" => Self::ParameterSets,
            "wall-clock" => {
                Self::WallClock(words.number("seconds", -4_000_000_000..=4_000_000_000)?)
            }
            "sender-reports" => Self::SenderReports(words.on()?),
            "clock" => words.clock()?,
            "clear" => Self::Clear,
            other => return Err(FaultError(format!("unknown command {other:?}"))),
        };
        match words.0.pop_front() {
            Some(word) => Err(FaultError(format!("unexpected {word:?}"))),
            None => Ok(fault),
        }
    }
}

/// The words of a line not yet read.
struct Words<'a>(std::collections::VecDeque<&'a str>);

impl<'a> Words<'a> {
    fn required(&mut self, what: &str) -> Result<&'a str, FaultError> {
        self.0.pop_front().ok_or_else(|| FaultError(format!("{what} is missing")))
    }

    fn optional(&mut self, word: &str) -> bool {
        let found = self.0.front() == Some(&word);
        if found {
            self.0.pop_front();
        }
        found
    }

    fn number<T>(&mut self, what: &str, range: std::ops::RangeInclusive<T>) -> Result<T, FaultError>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let word = self.required(what)?;
        word.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| {
            FaultError(format!("{what}: {word:?} is not in {}..={}", range.start(), range.end()))
        })
    }

    fn target(&mut self) -> Result<Target, FaultError> {
        if self.optional("all") {
            return Ok(Target::All);
        }
        let Some(word) = self.0.front().filter(|word| word.starts_with("cam")) else {
            return Ok(Target::All);
        };
        let index = stream_index(word)
            .ok_or_else(|| FaultError(format!("{word:?} is not a stream's name")))?;
        self.0.pop_front();
        Ok(Target::Stream(index))
    }

    fn track(&mut self) -> Option<Track> {
        if self.optional("video") {
            Some(Track::Video)
        } else if self.optional("audio") {
            Some(Track::Audio)
        } else {
            None
        }
    }

    fn silence(&mut self, silent: bool) -> Result<Fault, FaultError> {
        let track = self.track();
        let target = self.target()?;
        let track = track
            .or_else(|| self.track())
            .ok_or_else(|| FaultError("video or audio is missing".to_owned()))?;
        Ok(Fault::Silence { target, track, silent })
    }

    fn clock(&mut self) -> Result<Fault, FaultError> {
        const YEARS: std::ops::RangeInclusive<i64> = -4_000_000_000..=4_000_000_000;
        Ok(match self.required("what is wrong with the clock")? {
            "right" => Fault::Clock(Clock::Right),
            "zero" => Fault::Clock(Clock::Zero),
            "1970" => Fault::Clock(Clock::Since1970),
            "pair" => Fault::Clock(Clock::Pair),
            "none" => Fault::SenderReports(false),
            "step" => Fault::WallClock(self.number("seconds", YEARS)?),
            "jump" => Fault::ClockJump(self.number("seconds", YEARS)?),
            other => return Err(FaultError(format!("no clock is {other:?}"))),
        })
    }

    fn every(&mut self) -> Result<u32, FaultError> {
        if self.0.is_empty() { Ok(10) } else { self.number("a count", 0..=u32::MAX) }
    }

    fn on(&mut self) -> Result<bool, FaultError> {
        match self.0.pop_front() {
            None | Some("on") => Ok(true),
            Some("off") => Ok(false),
            Some(other) => Err(FaultError(format!("{other:?} is neither on nor off"))),
        }
    }
}

/// The path of a stream, without the slash.
pub(crate) fn stream_name(index: usize) -> String {
    if index == 0 { "cam".to_owned() } else { format!("cam{index}") }
}

/// The inverse of [`stream_name`].
pub(crate) fn stream_index(name: &str) -> Option<usize> {
    match name.strip_prefix("cam")? {
        "" => Some(0),
        digits if digits.starts_with(|c: char| ('1'..='9').contains(&c)) => digits.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str) -> Fault {
        line.parse().unwrap()
    }

    #[test]
    fn a_line_names_stream_and_track_in_any_order() {
        let silence =
            Fault::Silence { target: Target::Stream(3), track: Track::Video, silent: true };
        assert_eq!(fault("silence cam3 video"), silence);
        assert_eq!(fault("silence video cam3"), silence);
        assert_eq!(
            fault("unsilence audio"),
            Fault::Silence { target: Target::All, track: Track::Audio, silent: false }
        );
        assert_eq!(fault("bye cam"), Fault::Bye { target: Target::Stream(0), track: None });
        assert_eq!(
            fault("bye all audio"),
            Fault::Bye { target: Target::All, track: Some(Track::Audio) }
        );
    }

    #[test]
    fn methods_and_numbers_are_read() {
        let refuse = Fault::Refuse { method: Method::Describe, status: 404, once: false };
        assert_eq!(fault("refuse describe 404"), refuse);
        assert_eq!(
            fault("refuse SETUP 461 once"),
            Fault::Refuse { method: Method::Setup, status: 461, once: true }
        );
        assert_eq!(
            fault("delay play 3000"),
            Fault::Delay { method: Method::Play, delay: Duration::from_secs(3) }
        );
        assert_eq!(fault("drop 7"), Fault::Drop(7));
        assert_eq!(fault("reorder"), Fault::Reorder(10));
        assert_eq!(fault("no-pause off"), Fault::NoPause(false));
        assert_eq!(
            fault("options-blackhole"),
            Fault::Ignore { method: Method::Options, ignored: true }
        );
        assert_eq!(fault("timeout 4"), Fault::Timeout(Duration::from_secs(4)));
        assert_eq!(fault("wall-clock -3600"), Fault::WallClock(-3600));
        assert_eq!(fault("clock step -3600"), Fault::WallClock(-3600));
        assert_eq!(fault("clock jump 3600"), Fault::ClockJump(3600));
        assert_eq!(fault("clock 1970"), Fault::Clock(Clock::Since1970));
        assert_eq!(fault("clock none"), Fault::SenderReports(false));
    }

    #[test]
    fn what_is_not_understood_is_refused_whole() {
        for line in [
            "",
            "explode",
            "refuse describe",
            "refuse describe 200",
            "refuse sing 404",
            "drop x",
            "silence cam",
            "stop-sending camera",
            "stop-sending cam01",
            "timeout 0",
            "clear now",
            "no-pause maybe",
            "clock",
            "clock left",
            "clock jump",
        ] {
            assert!(line.parse::<Fault>().is_err(), "{line:?} was taken");
        }
    }

    #[test]
    fn stream_names_are_read_back() {
        for index in [0, 1, 9, 10, 249] {
            assert_eq!(stream_index(&stream_name(index)), Some(index));
        }
        assert_eq!(stream_index("cam0"), None);
    }
}
