//! A camera that does what a table says.

use std::time::Duration;

/// H.264 and G.711.
pub(crate) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\na=control:*\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track0\r\n\
    m=audio 0 RTP/AVP 0\r\na=control:track1\r\n";

/// What a camera does with a request.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Act {
    Obey,
    Status(u16),
    /// Obeys after so long.
    Late(Duration),
    Ignore,
    /// Asks for a password, and accepts none.
    Challenge,
    /// Refuses what is not interleaved.
    NoUdp,
}

/// What comes back.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Answer {
    Text(String),
    Nothing,
}

#[derive(Debug)]
pub(crate) struct Camera {
    /// Takes connections.
    pub(crate) is_up: bool,
    /// The host of several at which nobody is.
    pub(crate) missing: &'static str,
    pub(crate) sdp: String,
    pub(crate) public: &'static str,
    /// By method, and by the end of the URL where one is given.
    pub(crate) acts: Vec<(&'static str, &'static str, Act)>,
    /// One letter a request: DESCRIBE, SETUP, PLAY, Z for PAUSE, TEARDOWN, OPTIONS.
    pub(crate) dialogue: String,
    /// The first channel of each track that is set up interleaved; `None` for UDP.
    pub(crate) tracks: Vec<(usize, Option<u8>)>,
    pub(crate) is_playing: bool,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            is_up: true,
            missing: "",
            sdp: SDP.to_owned(),
            public: "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN",
            acts: Vec::new(),
            dialogue: String::new(),
            tracks: Vec::new(),
            is_playing: false,
        }
    }
}

impl Camera {
    /// Treats requests with the method so from now on.
    pub(crate) fn set(&mut self, method: &'static str, act: Act) {
        self.set_track(method, "", act);
    }

    /// The same for one track.
    pub(crate) fn set_track(&mut self, method: &'static str, url: &'static str, act: Act) {
        self.acts.retain(|(known, end, _)| (*known, *end) != (method, url));
        self.acts.push((method, url, act));
    }

    pub(crate) fn with(mut self, method: &'static str, act: Act) -> Self {
        self.set(method, act);
        self
    }

    /// Offers feedback on its video.
    pub(crate) fn offering(feedback: &str) -> Self {
        let with = format!("a=rtcp-fb:{feedback}\r\na=control:track0");
        Self { sdp: SDP.replace("a=control:track0", &with), ..Self::default() }
    }

    /// How often it was asked for something, by letter.
    pub(crate) fn count(&self, letter: char) -> usize {
        self.dialogue.chars().filter(|known| *known == letter).count()
    }

    pub(crate) fn disconnect(&mut self) {
        self.is_playing = false;
        self.tracks.clear();
    }

    pub(crate) fn answer(&mut self, request: &str) -> (Duration, Answer) {
        let mut first = request.split_whitespace();
        let (method, url) = (first.next().unwrap_or(""), first.next().unwrap_or(""));
        self.dialogue.push(match method {
            "PAUSE" => 'Z',
            _ => method.chars().next().unwrap_or('?'),
        });
        let fits = |(known, end, _): &&(&str, &str, Act)| *known == method && url.ends_with(end);
        let act = self.acts.iter().rev().find(fits).map_or(Act::Obey, |(.., act)| *act);
        let is_gone = act == Act::Status(454);
        if is_gone || (method == "TEARDOWN" && matches!(act, Act::Status(_))) {
            // Whatever it says, it has no session then and plays none.
            self.disconnect();
        }
        let act = match act {
            Act::NoUdp if method == "SETUP" && !request.contains("interleaved=") => {
                Act::Status(461)
            }
            act => act,
        };
        let head = |status: u16| {
            let cseq = header(request, "CSeq").unwrap_or("0");
            format!("RTSP/1.0 {status} Reason\r\nCSeq: {cseq}\r\n")
        };
        match act {
            Act::Obey | Act::NoUdp => {
                (DELAY, Answer::Text(self.obey(&head(200), method, url, request)))
            }
            Act::Late(after) => (after, Answer::Text(self.obey(&head(200), method, url, request))),
            Act::Status(status) => (DELAY, Answer::Text(format!("{}\r\n", head(status)))),
            Act::Challenge => {
                let nonce = self.dialogue.len();
                let how =
                    format!("WWW-Authenticate: Digest realm=\"r\", nonce=\"{nonce}\"\r\n\r\n");
                (DELAY, Answer::Text(head(401) + &how))
            }
            Act::Ignore => (DELAY, Answer::Nothing),
        }
    }

    fn obey(&mut self, head: &str, method: &str, url: &str, request: &str) -> String {
        match method {
            "DESCRIBE" => format!(
                "{head}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{}",
                self.sdp.len(),
                self.sdp
            ),
            "SETUP" => {
                let transport = header(request, "Transport").unwrap_or("");
                let track = url.rsplit_once("track").and_then(|(_, index)| index.parse().ok());
                let channel = transport.split_once("interleaved=");
                let channel =
                    channel.and_then(|(_, rest)| rest.split('-').next()?.parse::<u8>().ok());
                let track = track.unwrap_or(0);
                self.tracks.retain(|(known, _)| *known != track);
                self.tracks.push((track, channel));
                let ports = if channel.is_none() { ";server_port=6000-6001" } else { "" };
                format!("{head}Session: 1;timeout=60\r\nTransport: {transport}{ports}\r\n\r\n")
            }
            "PLAY" => {
                self.is_playing = true;
                format!("{head}Session: 1\r\n\r\n")
            }
            "PAUSE" => {
                self.is_playing = false;
                format!("{head}\r\n")
            }
            "TEARDOWN" => {
                self.disconnect();
                format!("{head}\r\n")
            }
            _ => format!("{head}Public: {}\r\n\r\n", self.public),
        }
    }
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// How long an answer takes.
pub(crate) const DELAY: Duration = Duration::from_millis(5);
