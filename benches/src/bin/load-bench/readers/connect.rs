//! A reader's connection: from nothing to just before PLAY.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use benches::clock;
use benches::runs::Receiver;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::kernel;
use crate::options::Over;
use crate::wire::{self, Item};

/// How long one answer may take: longer than a proxy waits for its camera.
const ANSWER: Duration = Duration::from_secs(12);
/// Attempts at a pair of ports.
const ATTEMPTS: usize = 200;

/// A connection that has set up its track.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) path: Path,
    /// The receive buffer of the socket that media comes to.
    pub(crate) buffer: usize,
    url: String,
    session: String,
    cseq: u32,
}

/// How media comes.
#[derive(Debug)]
pub(crate) enum Path {
    /// In the connection, on channel 0.
    Interleaved,
    /// To this socket. The one for RTCP is there, and nobody reads it.
    Datagrams { rtp: Receiver, _rtcp: UdpSocket, port: u16 },
}

impl Connection {
    /// Connects and sets up the first track of a proxy or the bare loop. Datagrams are taken one by
    /// one, or, where `as_sent`, in the messages they were sent in.
    pub(crate) fn set_up(url: &str, over: Over, as_sent: bool) -> Result<Self> {
        Self::set_up_track(url, "track1", over, as_sent)
    }

    /// The same of the camera, in messages.
    pub(crate) fn set_up_camera(url: &str) -> Result<Self> {
        Self::set_up_track(url, "trackID=1", Over::Udp, true)
    }

    fn set_up_track(url: &str, track: &str, over: Over, as_sent: bool) -> Result<Self> {
        let (stream, tcp_buffer) = connect(url)?;
        let (path, transport, buffer) = match over {
            Over::Tcp => {
                setsockopt(&stream, sockopt::ReceiveTimestampns, &true)?;
                let transport = "RTP/AVP/TCP;unicast;interleaved=0-1".to_owned();
                (Path::Interleaved, transport, tcp_buffer)
            }
            Over::Udp => {
                let (rtp, rtcp, port) = ports()?;
                let buffer = kernel::receive_buffer(&rtp)?;
                let rtp =
                    if as_sent { Receiver::of_messages(rtp) } else { Receiver::of_datagrams(rtp) }?;
                let transport = format!("RTP/AVP;unicast;client_port={port}-{}", port + 1);
                (Path::Datagrams { rtp, _rtcp: rtcp, port }, transport, buffer)
            }
        };
        let session = String::new();
        let mut this = Self { stream, path, buffer, url: url.to_owned(), session, cseq: 0 };
        let track = format!("{url}/{track}");
        let answer = this.ask("SETUP", &track, &[("Transport", &transport)])?;
        ensure!(wire::status(&answer) == Some(200), "SETUP: {answer}");
        this.session = wire::session(&answer).context("SETUP: no session")?.to_owned();
        this.stream.set_nonblocking(true)?;
        Ok(this)
    }

    /// Sends PLAY; its answer comes with the media.
    pub(crate) fn play(&mut self) -> Result<()> {
        let (url, session) = (self.url.clone(), self.session.clone());
        self.send("PLAY", &url, &[("Session", &session)])
    }

    /// Sends TEARDOWN and waits for nothing.
    pub(crate) fn tear_down(&mut self) -> Result<()> {
        let (url, session) = (self.url.clone(), self.session.clone());
        self.send("TEARDOWN", &url, &[("Session", &session)])
    }

    fn send(&mut self, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<()> {
        self.cseq += 1;
        let request = wire::request(method, url, self.cseq, headers);
        self.stream.write_all(request.as_bytes()).context(method.to_owned())
    }

    /// Sends a request and waits for its answer; no media flows yet.
    fn ask(&mut self, method: &str, url: &str, headers: &[(&str, &str)]) -> Result<String> {
        self.send(method, url, headers)?;
        let mut input = Vec::new();
        let mut answer = None;
        while answer.is_none() {
            let mut buf = [0; 4096];
            let count = self.stream.read(&mut buf).context(method.to_owned())?;
            ensure!(count > 0, "{method}: the connection was closed");
            input.extend_from_slice(buf.get(..count).unwrap_or_default());
            wire::take(&input, |item| {
                if let Item::Message(text) = item {
                    answer = Some(text.to_owned());
                }
            });
        }
        answer.context("no answer")
    }
}

/// Asks for the description until there is one.
pub(crate) fn wait_described(url: &str, by: Instant) -> Result<()> {
    let (stream, buffer) = connect(url)?;
    let (url, session) = (url.to_owned(), String::new());
    let mut connection =
        Connection { stream, path: Path::Interleaved, buffer, url: url.clone(), session, cseq: 0 };
    loop {
        let answer = connection.ask("DESCRIBE", &url, &[("Accept", "application/sdp")])?;
        if wire::status(&answer) == Some(200) {
            return Ok(());
        }
        if clock::mono() >= by {
            bail!("DESCRIBE: {answer}");
        }
        clock::sleep_until(clock::mono() + Duration::from_millis(100));
    }
}

fn connect(url: &str) -> Result<(TcpStream, usize)> {
    let authority = url.strip_prefix("rtsp://").and_then(|rest| rest.split('/').next());
    let address: SocketAddr = authority.context("an rtsp URL is wanted")?.parse()?;
    ensure!(address.ip().is_loopback(), "{address} is not loopback");
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Before the connection stands, for the window's scale is settled with it.
    let buffer = kernel::receive_buffer(&socket)?;
    socket.connect_timeout(&address.into(), ANSWER)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER))?;
    Ok((socket.into(), buffer))
}

/// An even port and the one after it.
fn ports() -> Result<(UdpSocket, UdpSocket, u16)> {
    for _ in 0..ATTEMPTS {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = first.local_addr()?.port();
        let Ok(second) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port ^ 1)) else { continue };
        let (rtp, rtcp) = if port.is_multiple_of(2) { (first, second) } else { (second, first) };
        return Ok((rtp, rtcp, port & !1));
    }
    bail!("no pair of free UDP ports")
}
