//! A reader of our own that sees every answer, packet and number.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};

use crate::reader::Over;
use crate::rtp;
use crate::sockets::Pair;
use crate::tally::{Packet, Tally};
use crate::wait;
use crate::wire::{Answer, Item, Wire, poll};

/// How long an answer may take: longer than the proxy waits for its backend.
pub const ANSWER: Duration = Duration::from_secs(15);
/// Datagrams taken from one socket before the others have their turn.
const TURN: usize = 64;

/// A reader.
#[derive(Debug)]
pub struct RawReader {
    /// The connection.
    pub wire: Wire,
    /// The proxy's end of it.
    address: SocketAddr,
    url: String,
    over: Over,
    plain: bool,
    cseq: u32,
    session: Option<String>,
    tracks: Vec<Track>,
    /// Media that came while something else was waited for.
    early: VecDeque<Packet>,
}

#[derive(Debug)]
struct Track {
    number: usize,
    path: Path,
    /// The ports that the proxy's packets and reports come from, over UDP.
    server: Option<(u16, u16)>,
}

impl Track {
    fn is_server(&self, port: u16) -> bool {
        self.server.is_some_and(|(rtp, rtcp)| port == rtp || port == rtcp)
    }
}

#[derive(Debug)]
enum Path {
    Channels(u8),
    Ports(Pair),
}

impl RawReader {
    /// Connects to a stream's URL, as [`crate::proxy::Proxy::url`] gives it.
    ///
    /// # Panics
    /// If the URL has no port or nobody listens there.
    #[must_use]
    pub fn connect(url: &str, over: Over) -> Self {
        Self::connect_to(address_of(url), url, over)
    }

    /// Connects to this address, whatever the stream's URL says.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    pub fn connect_to(address: SocketAddr, url: &str, over: Over) -> Self {
        Self {
            wire: Wire::connect(address),
            address,
            url: url.to_owned(),
            over,
            plain: false,
            cseq: 0,
            session: None,
            tracks: Vec::new(),
            early: VecDeque::new(),
        }
    }

    /// Asks for no larger receive buffers than the kernel gives by itself, as most players do.
    #[must_use]
    pub fn with_plain_buffers(self) -> Self {
        Self { plain: true, ..self }
    }

    /// Connects, describes, sets up these tracks and plays.
    ///
    /// # Panics
    /// If anything is refused.
    #[must_use]
    pub fn play_tracks(url: &str, over: Over, tracks: &[usize]) -> Self {
        let mut reader = Self::connect(url, over);
        reader.describe();
        for &track in tracks {
            reader.set_up(track);
        }
        reader.play();
        reader
    }

    /// Sends a request without waiting for its answer.
    pub fn send(&mut self, method: &str, uri: &str, headers: &[(&str, &str)]) {
        self.cseq += 1;
        let mut text = format!("{method} {uri} RTSP/1.0\r\nCSeq: {}\r\n", self.cseq);
        if let Some(session) =
            self.session.as_deref().filter(|_| headers.iter().all(|(name, _)| *name != "Session"))
        {
            // Writing to a String never fails.
            let _ = write!(text, "Session: {session}\r\n");
        }
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        self.wire.send(text.as_bytes());
    }

    /// The next answer; media that comes before it is kept for later. `None` if the bound passes
    /// or the connection ends.
    pub fn answer(&mut self, bound: Duration) -> Option<Answer> {
        let end = wait::now() + bound;
        loop {
            let left = end.saturating_duration_since(wait::now());
            match self.wire.next(left)? {
                Item::Answer(answer) => return Some(answer),
                Item::Frame { channel, data } => {
                    let packet = self.packet_of(channel, data);
                    self.early.push_back(packet);
                }
                Item::Closed => return None,
            }
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Panics
    /// If none comes in time, or one to another request.
    pub fn request(&mut self, method: &str, uri: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(method, uri, headers);
        let Some(answer) = self.answer(ANSWER) else {
            panic!("no answer to {method} {uri}; closed: {}", self.wire.is_closed())
        };
        assert_eq!(answer.header("CSeq"), Some(&*self.cseq.to_string()), "{method} {uri}");
        answer
    }

    /// DESCRIBE.
    ///
    /// # Panics
    /// If it is refused.
    pub fn describe(&mut self) -> Answer {
        let url = self.url.clone();
        let answer = self.request("DESCRIBE", &url, &[("Accept", "application/sdp")]);
        assert_eq!(answer.status, 200, "DESCRIBE {url}: {answer:?}");
        answer
    }

    /// SETUP of a track, from 1; the session is remembered if it is granted.
    pub fn try_set_up(&mut self, number: usize) -> Answer {
        let local = self.wire.local();
        let (path, transport) = match self.over {
            Over::Tcp => {
                let channel = u8::try_from(2 * (number - 1)).unwrap_or(u8::MAX);
                let text = format!("RTP/AVP/TCP;unicast;interleaved={channel}-{}", channel + 1);
                (Path::Channels(channel), text)
            }
            Over::Udp => {
                let pair = match self.plain {
                    true => Pair::plain_beside(local),
                    false => Pair::bind_beside(local),
                };
                let ports = format!("{}-{}", pair.port, pair.port + 1);
                (Path::Ports(pair), format!("RTP/AVP;unicast;client_port={ports}"))
            }
        };
        let url = self.track_url(number);
        // Media may come before the answer has been looked at.
        self.tracks.push(Track { number, path, server: None });
        let answer = self.request("SETUP", &url, &[("Transport", &transport)]);
        if answer.status == 200 {
            self.session = answer.session().map(str::to_owned);
            if let Some(track) = self.tracks.last_mut() {
                track.server = answer.transport_pair("server_port");
            }
        } else {
            self.tracks.pop();
        }
        answer
    }

    /// SETUP of a track that is there.
    ///
    /// # Panics
    /// If it is refused.
    pub fn set_up(&mut self, number: usize) -> Answer {
        let answer = self.try_set_up(number);
        assert_eq!(answer.status, 200, "SETUP track{number}: {answer:?}");
        answer
    }

    /// PLAY.
    ///
    /// # Panics
    /// If it is refused.
    pub fn play(&mut self) -> Answer {
        let url = self.url.clone();
        let answer = self.request("PLAY", &url, &[("Range", "npt=0.000-")]);
        assert_eq!(answer.status, 200, "PLAY: {answer:?}");
        answer
    }

    /// PAUSE.
    ///
    /// # Panics
    /// If it is refused.
    pub fn pause(&mut self) -> Answer {
        let url = self.url.clone();
        let answer = self.request("PAUSE", &url, &[]);
        assert_eq!(answer.status, 200, "PAUSE: {answer:?}");
        answer
    }

    /// TEARDOWN of the whole session.
    ///
    /// # Panics
    /// If it is refused.
    pub fn tear_down(&mut self) {
        let url = self.url.clone();
        let answer = self.request("TEARDOWN", &url, &[]);
        assert_eq!(answer.status, 200, "TEARDOWN: {answer:?}");
        self.session = None;
    }

    /// The stream's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The URL of a track.
    #[must_use]
    pub fn track_url(&self, number: usize) -> String {
        let (base, query) = match self.url.split_once('?') {
            Some((base, query)) => (base, format!("?{query}")),
            None => (&*self.url, String::new()),
        };
        format!("{base}/track{number}{query}")
    }

    /// The session's name.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// The next packet; `None` if the bound passes or the connection ends.
    pub fn next(&mut self, bound: Duration) -> Option<Packet> {
        let end = wait::now() + bound;
        loop {
            if let Some(packet) = self.early.pop_front() {
                return Some(packet);
            }
            self.gather();
            if !self.early.is_empty() {
                continue;
            }
            let left = end.saturating_duration_since(wait::now());
            if left.is_zero() || self.wire.is_closed() {
                return None;
            }
            let mut fds = vec![PollFd::new(self.wire.fd(), PollFlags::POLLIN)];
            for track in &self.tracks {
                if let Path::Ports(pair) = &track.path {
                    fds.push(PollFd::new(pair.rtp.as_fd(), PollFlags::POLLIN));
                    fds.push(PollFd::new(pair.rtcp.as_fd(), PollFlags::POLLIN));
                }
            }
            poll(&mut fds, left);
        }
    }

    /// Sends a compound packet on a track's own way.
    ///
    /// # Panics
    /// If the track was not set up.
    pub fn send_rtcp(&mut self, number: usize, compound: &[u8]) {
        let to = self.rtcp_address(number);
        let track = self.tracks.iter().find(|track| track.number == number);
        match track.map(|track| &track.path) {
            Some(Path::Channels(rtp)) => {
                let length = u16::try_from(compound.len()).expect("a frame's length");
                let mut frame = vec![b'$', rtp + 1];
                frame.extend_from_slice(&length.to_be_bytes());
                frame.extend_from_slice(compound);
                assert!(self.wire.send(&frame), "the connection is gone");
            }
            Some(Path::Ports(pair)) => {
                let to = to.expect("the proxy's port");
                pair.rtcp.send_to(compound, to).expect("a datagram sent");
            }
            None => panic!("track{number} was not set up"),
        }
    }

    /// Where the proxy takes a track's reports, over UDP.
    #[must_use]
    pub fn rtcp_address(&self, number: usize) -> Option<SocketAddr> {
        let track = self.tracks.iter().find(|track| track.number == number)?;
        let mut address = self.address;
        address.set_port(track.server?.1);
        Some(address)
    }

    /// Gives packets back, to come before all others.
    pub fn put_back(&mut self, packets: Vec<Packet>) {
        for packet in packets.into_iter().rev() {
            self.early.push_front(packet);
        }
    }

    /// The next RTP packet of a track; others are passed over.
    pub fn next_media(&mut self, track: usize, bound: Duration) -> Option<Packet> {
        let end = wait::now() + bound;
        loop {
            let left = end.saturating_duration_since(wait::now());
            let packet = self.next(left)?;
            if packet.track == track && !packet.rtcp {
                return Some(packet);
            }
        }
    }

    /// Takes everything for so long; by track.
    pub fn receive(&mut self, time: Duration) -> BTreeMap<usize, Tally> {
        let mut tallies = BTreeMap::<usize, Tally>::new();
        let end = wait::now() + time;
        loop {
            let left = end.saturating_duration_since(wait::now());
            match self.next(left) {
                Some(packet) => tallies.entry(packet.track).or_default().take(&packet),
                None if left.is_zero() || self.wire.is_closed() => return tallies,
                None => {}
            }
        }
    }

    /// Takes everything until the connection is closed; `None` if that does not happen in time.
    pub fn until_closed(&mut self, bound: Duration) -> Option<BTreeMap<usize, Tally>> {
        let tallies = self.receive(bound);
        self.wire.is_closed().then_some(tallies)
    }

    /// How many datagrams the kernel dropped of a track because this reader was slow.
    #[must_use]
    pub fn dropped(&self, number: usize) -> u64 {
        self.pairs().find(|(n, _)| *n == number).map_or(0, |(_, pair)| pair.dropped())
    }

    /// The receive buffers that the kernel gave.
    #[must_use]
    pub fn buffers(&self) -> Vec<usize> {
        self.pairs().map(|(_, pair)| pair.buffer).collect()
    }

    /// Reads on a thread of its own until told to stop.
    #[must_use]
    pub fn run(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || self.read_until(&stopped));
        Running { stop, thread }
    }

    fn read_until(mut self, stop: &AtomicBool) -> Outcome {
        let mut tracks = BTreeMap::<usize, Tally>::new();
        while !stop.load(Ordering::Relaxed) && !self.wire.is_closed() {
            if let Some(packet) = self.next(Duration::from_millis(100)) {
                tracks.entry(packet.track).or_default().take(&packet);
            }
        }
        let dropped = tracks.keys().map(|number| (*number, self.dropped(*number))).collect();
        let closed = self.wire.is_closed();
        Outcome { over: self.over, tracks, dropped, closed, buffers: self.buffers() }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, &Pair)> {
        self.tracks.iter().filter_map(|track| match &track.path {
            Path::Ports(pair) => Some((track.number, pair)),
            Path::Channels(_) => None,
        })
    }

    /// Takes what has arrived.
    fn gather(&mut self) {
        // Answers that nobody waits for belong to requests sent without waiting.
        while let Some(item) = self.wire.take() {
            match item {
                Item::Frame { channel, data } => {
                    let packet = self.packet_of(channel, data);
                    self.early.push_back(packet);
                    if self.early.len() >= TURN {
                        return;
                    }
                }
                Item::Answer(_) => {}
                Item::Closed => break,
            }
        }
        let mut datagram = [0; 65_536];
        for track in &self.tracks {
            let Path::Ports(pair) = &track.path else { continue };
            for (socket, rtcp) in [(&pair.rtcp, true), (&pair.rtp, false)] {
                for _ in 0..TURN {
                    let Ok((length, from)) = socket.recv_from(&mut datagram) else { break };
                    // Somebody may still send to who had the port before.
                    if !track.is_server(from.port()) {
                        continue;
                    }
                    let data = datagram.get(..length).unwrap_or_default().to_vec();
                    // While there is no media, reports may come where it would.
                    let rtcp = rtcp || rtp::is_rtcp(&data);
                    let packet = Packet { track: track.number, rtcp, at: wait::now(), data };
                    self.early.push_back(packet);
                }
            }
        }
    }

    fn packet_of(&self, channel: u8, data: Vec<u8>) -> Packet {
        let track = self.tracks.iter().find_map(|track| match track.path {
            Path::Channels(rtp) if rtp == channel => Some((track.number, false)),
            Path::Channels(rtp) if rtp + 1 == channel => Some((track.number, true)),
            _ => None,
        });
        let Some((track, rtcp)) = track else {
            panic!("a frame on channel {channel}, which was not set up")
        };
        Packet { track, rtcp, at: wait::now(), data }
    }
}

/// A reader on its thread.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome>,
}

impl Running {
    /// Ends the reading; the connection is closed without a word.
    ///
    /// # Panics
    /// If the reader did.
    #[must_use]
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// What a reader got.
#[derive(Debug)]
pub struct Outcome {
    /// How it was sent.
    pub over: Over,
    /// By track.
    pub tracks: BTreeMap<usize, Tally>,
    /// What the kernel dropped, by track.
    pub dropped: BTreeMap<usize, u64>,
    /// Whether the connection had been closed by the other end.
    pub closed: bool,
    /// The receive buffers of its UDP sockets.
    pub buffers: Vec<usize>,
}

impl Outcome {
    /// What is wrong with it, if anything: over TCP nothing may be missing, over UDP nothing that
    /// the reader's own socket did not drop.
    ///
    /// # Errors
    /// A line for the test's message.
    pub fn check(&self, tracks: &[usize]) -> Result<(), String> {
        if self.closed {
            return Err(format!("{:?}: closed by the proxy", self.over));
        }
        for number in tracks {
            let tally = self.tracks.get(number).cloned().unwrap_or_default();
            let dropped = self.dropped.get(number).copied().unwrap_or_default();
            let fine = tally.packets > 0
                && tally.repeated == 0
                && tally.missing <= dropped
                && tally.sources.len() == 1;
            if !fine {
                let over = self.over;
                return Err(format!("{over:?} track {number}: dropped {dropped}, {tally:?}"));
            }
        }
        Ok(())
    }
}

/// The address and port of a URL.
fn address_of(url: &str) -> SocketAddr {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next());
    let (host, port) = authority.and_then(|a| a.rsplit_once(':')).expect("a URL with a port");
    let port = port.parse().expect("a port");
    let ip: IpAddr = match host {
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        other => other.trim_matches(['[', ']']).parse().expect("an address"),
    };
    SocketAddr::new(ip, port)
}
