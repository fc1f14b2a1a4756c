//! A camera that does what a table says.

use std::time::Duration;

use bytes::Bytes;

/// H.264 and AAC, as most have them.
pub(crate) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\n\
    a=control:*\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:trackID=0\r\n\
    m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/16000\r\na=control:trackID=1\r\n";

/// The same and what must not be set up: a back-channel, and a section that is not RTP.
pub(crate) const SDP_WITH_MORE: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\n\
    m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=control:v\r\na=recvonly\r\n\
    m=audio 0 RTP/AVP 0\r\na=control:back\r\na=sendonly\r\n\
    m=data 0 UDP 33\r\na=control:raw\r\na=recvonly\r\n\
    m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\na=control:m\r\na=recvonly\r\n";

/// A request as a camera reads it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) uri: String,
    headers: Vec<(String, String)>,
}

impl Request {
    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = text.split("\r\n");
        let mut first = lines.next().expect("a line").split(' ');
        let method = first.next().expect("a method").to_owned();
        let uri = first.next().expect("a URI").to_owned();
        assert_eq!(first.next(), Some("RTSP/1.0"));
        assert_eq!(first.next(), None, "{text}");
        let headers = lines
            .take_while(|line| !line.is_empty())
            .map(|line| line.split_once(": ").expect("a header"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { method, uri, headers }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn cseq(&self) -> &str {
        self.header("CSeq").expect("every request has a CSeq")
    }
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Bytes(Bytes),
    Close,
}

/// What a camera does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// What it should.
    Obey,
    /// Refuses.
    Status(u16),
    /// Answers with these headers (`{cseq}` stands for the request's) after the status.
    Answer(u16, &'static str),
    /// Answers with these bytes (`{cseq}` stands for the request's).
    Raw(String),
    /// Never answers.
    Ignore,
    /// Answers as it should, but late.
    Late(f64),
    /// Closes the connection instead.
    Close,
    /// Answers as it should and closes the connection.
    ObeyAndClose,
}

pub(crate) struct Camera {
    /// Takes connections.
    pub(crate) up: bool,
    /// What the web server of a tunnel answers, one after the other; 200 when there are no more.
    pub(crate) web: Vec<&'static str>,
    /// It says nothing to the attempt to open a second connection.
    pub(crate) no_post: bool,
    /// What SETUP is answered with where multicast is asked for.
    pub(crate) group: &'static str,
    /// Hosts where it is not.
    pub(crate) absent: Vec<String>,
    /// Instead of the next connection: its credentials were rejected elsewhere, and rest so long.
    pub(crate) locked: Option<Duration>,
    /// Says nothing to a connection attempt at all.
    pub(crate) mute: bool,
    /// The shell does not say what became of its ports.
    pub(crate) mute_shell: bool,
    /// How long an answer takes.
    pub(crate) delay: Duration,
    pub(crate) sdp: String,
    /// The headers of the session, and how it is named.
    pub(crate) session: &'static str,
    pub(crate) public: &'static str,
    /// One-off acts: taken by the first request with the method.
    pub(crate) script: Vec<(&'static str, Act)>,
    /// What is done with every request of the method that has no one-off act.
    pub(crate) always: Vec<(&'static str, Act)>,
    /// Sends media while it plays.
    pub(crate) media: bool,
    /// The time between two packets of a track.
    pub(crate) pace: Duration,
    pub(crate) udp_blocked: bool,
    /// Only these tracks have media.
    pub(crate) sending: [bool; 8],
    pub(crate) playing: bool,
    pub(crate) tracks: Vec<(usize, Option<u8>)>,
    pub(crate) seq: u16,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            up: true,
            web: Vec::new(),
            no_post: false,
            group: "RTP/AVP;multicast;destination=239.1.1.1;port=5000-5001;ttl=7",
            absent: Vec::new(),
            locked: None,
            mute: false,
            mute_shell: false,
            delay: Duration::from_millis(5),
            sdp: SDP.to_owned(),
            session: "12345678;timeout=60",
            public: "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER",
            script: Vec::new(),
            always: Vec::new(),
            media: true,
            pace: Duration::from_millis(100),
            udp_blocked: false,
            sending: [true; 8],
            playing: false,
            tracks: Vec::new(),
            seq: 0,
        }
    }
}

impl Camera {
    /// The next request with the method is treated so.
    pub(crate) fn once(mut self, method: &'static str, act: Act) -> Self {
        self.then(method, act);
        self
    }

    pub(crate) fn then(&mut self, method: &'static str, act: Act) {
        self.script.push((method, act));
    }

    /// Every request with the method is treated so.
    pub(crate) fn always(mut self, method: &'static str, act: Act) -> Self {
        self.set(method, act);
        self
    }

    pub(crate) fn set(&mut self, method: &'static str, act: Act) {
        self.always.retain(|(known, _)| *known != method);
        self.always.push((method, act));
    }

    /// Does what it should from now on.
    pub(crate) fn heal(&mut self) {
        self.script.clear();
        self.always.clear();
        self.up = true;
        self.absent.clear();
        self.group = Self::default().group;
        self.web.clear();
        self.no_post = false;
        self.mute = false;
        self.mute_shell = false;
        self.media = true;
        self.udp_blocked = false;
    }

    pub(crate) fn is_sending(&self) -> bool {
        self.media && self.playing
    }

    pub(crate) fn streams(&self) -> Vec<(usize, Option<u8>)> {
        let sends = |track: &usize| self.sending.get(*track).copied().unwrap_or(false);
        self.tracks.iter().copied().filter(|(track, _)| sends(track)).collect()
    }

    pub(crate) fn packet(&mut self, track: usize) -> Vec<u8> {
        self.seq = self.seq.wrapping_add(1);
        rtp(self.seq, 100 + track as u32)
    }

    pub(crate) fn disconnect(&mut self) {
        self.playing = false;
        self.tracks.clear();
    }

    pub(crate) fn answer(&mut self, request: &Request) -> Vec<(Duration, Reply)> {
        let place = self.script.iter().position(|(method, _)| *method == request.method);
        let act = match place {
            Some(place) => self.script.remove(place).1,
            None => {
                let always = self.always.iter().find(|(method, _)| *method == request.method);
                always.map_or(Act::Obey, |(_, act)| act.clone())
            }
        };
        let cseq = request.cseq().to_owned();
        let head = |status: u16| format!("RTSP/1.0 {status} Some Reason\r\nCSeq: {cseq}\r\n");
        let text = |text: String| Reply::Bytes(Bytes::from(text));
        let delay = self.delay;
        match act {
            Act::Obey => vec![(delay, text(self.obey(request)))],
            Act::Status(status) => vec![(delay, text(format!("{}\r\n", head(status))))],
            Act::Answer(status, headers) => {
                let headers = headers.replace("{cseq}", &cseq);
                vec![(delay, text(format!("{}{headers}\r\n", head(status))))]
            }
            Act::Raw(raw) => vec![(delay, text(raw.replace("{cseq}", &cseq)))],
            Act::Ignore => Vec::new(),
            Act::Late(seconds) => {
                let late = Duration::from_secs_f64(seconds);
                vec![(late, text(self.obey(request)))]
            }
            Act::Close => vec![(delay, Reply::Close)],
            Act::ObeyAndClose => {
                vec![(delay, text(self.obey(request))), (delay, Reply::Close)]
            }
        }
    }

    /// `None`: never.
    pub(crate) fn answer_get(&mut self) -> Option<String> {
        if self.web.is_empty() {
            return Some("HTTP/1.0 200 OK\r\n\r\n".to_owned());
        }
        let answer = self.web.remove(0);
        (!answer.is_empty()).then(|| format!("HTTP/1.0 {answer}\r\n\r\n"))
    }

    fn obey(&mut self, request: &Request) -> String {
        let cseq = request.cseq();
        let head = format!("RTSP/1.0 200 OK\r\nCSeq: {cseq}\r\n");
        match request.method.as_str() {
            "DESCRIBE" => format!(
                "{head}Content-Base: {}/\r\nContent-Type: application/sdp\r\n\
                 Content-Length: {}\r\n\r\n{}",
                request.uri,
                self.sdp.len(),
                self.sdp
            ),
            "SETUP" => {
                let transport = request.header("Transport").expect("SETUP has a Transport");
                let track = self.track(&request.uri);
                let channel = transport.split_once("interleaved=").map(|(_, channels)| {
                    channels.split('-').next().and_then(|c| c.parse().ok()).expect("a channel")
                });
                self.tracks.retain(|(known, _)| *known != track);
                self.tracks.push((track, channel));
                if transport.contains("multicast") {
                    let track = self.track(&request.uri);
                    self.tracks.retain(|(known, _)| *known != track);
                    self.tracks.push((track, None));
                    let session = self.session;
                    let group = self.group;
                    return format!("{head}Session: {session}\r\nTransport: {group}\r\n\r\n");
                }
                let ports = if channel.is_none() { ";server_port=6000-6001" } else { "" };
                format!("{head}Session: {}\r\nTransport: {transport}{ports}\r\n\r\n", self.session)
            }
            "PLAY" => {
                self.playing = true;
                format!("{head}Session: {}\r\n\r\n", self.session)
            }
            "PAUSE" => {
                self.playing = false;
                format!("{head}\r\n")
            }
            "TEARDOWN" => {
                self.disconnect();
                format!("{head}\r\n")
            }
            "OPTIONS" => format!("{head}Public: {}\r\n\r\n", self.public),
            _ => format!("{head}\r\n"),
        }
    }

    /// The index of the section whose control ends the URI.
    fn track(&self, uri: &str) -> usize {
        let sections = self.sdp.split("m=").skip(1);
        let controls = sections.map(|section| {
            let rest = section.split_once("a=control:").map_or("", |(_, rest)| rest);
            rest.split("\r\n").next().unwrap_or("")
        });
        controls.into_iter().position(|control| uri.ends_with(control)).unwrap_or(0)
    }
}

/// An RTP packet.
pub(crate) fn rtp(seq: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend_from_slice(&seq.to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(b"payload");
    packet
}

/// A receiver report and a BYE.
pub(crate) fn bye(ssrc: u32) -> Vec<u8> {
    let ssrc = ssrc.to_be_bytes();
    let mut compound = vec![0x80, 201, 0, 1];
    compound.extend_from_slice(&ssrc);
    compound.extend_from_slice(&[0x81, 203, 0, 1]);
    compound.extend_from_slice(&ssrc);
    compound
}

/// An interleaved frame.
pub(crate) fn frame(channel: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![b'$', channel, 0, data.len() as u8];
    frame.extend_from_slice(data);
    frame
}
