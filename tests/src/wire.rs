//! RTSP as bytes: what a reader of our own sends, and everything that comes back, in order.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

use crate::wait;

/// An answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// What is said of it to people.
    pub reason: String,
    headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fitting = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fitting.next().map(|(_, value)| &**value)
    }

    /// All headers of that name.
    pub fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fitting = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        fitting.map(|(_, value)| &**value)
    }

    /// The session's name, without parameters.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.header("Session")?.split(';').next().map(str::trim)
    }

    /// A parameter of the Transport header.
    #[must_use]
    pub fn transport(&self, name: &str) -> Option<&str> {
        let parameters = self.header("Transport")?.split(';');
        parameters.filter_map(|p| p.split_once('=')).find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// A parameter that is a pair of numbers, such as ports.
    #[must_use]
    pub fn transport_pair(&self, name: &str) -> Option<(u16, u16)> {
        let (a, b) = self.transport(name)?.split_once('-')?;
        Some((a.parse().ok()?, b.parse().ok()?))
    }
}

/// What a connection brought.
#[derive(Debug)]
pub enum Item {
    /// An answer.
    Answer(Answer),
    /// An interleaved frame.
    Frame {
        /// Its channel.
        channel: u8,
        /// What it carries.
        data: Vec<u8>,
    },
    /// Its end.
    Closed,
}

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How far the buffer has been read.
    read: usize,
    closed: bool,
}

impl Wire {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).expect("a connected socket");
        stream.set_nonblocking(true).expect("a connected socket");
        Self { stream, buffer: Vec::new(), read: 0, closed: false }
    }

    /// This end's address.
    ///
    /// # Panics
    /// Never on a connected socket.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    /// Whether the other end has closed and all that it sent was taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sends; false if the connection is gone.
    pub fn send(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let fd = PollFd::new(self.stream.as_fd(), PollFlags::POLLOUT);
                    if !poll(&mut [fd], Duration::from_secs(10)) {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// What has arrived, without waiting.
    pub fn take(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.parse() {
                return Some(item);
            }
            if self.closed {
                return Some(Item::Closed);
            }
            self.buffer.drain(..self.read);
            self.read = 0;
            let mut chunk = [0; 65_536];
            match self.stream.read(&mut chunk) {
                Ok(0) => self.closed = true,
                Ok(n) => self.buffer.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.closed = true,
            }
        }
    }

    /// The next item; `None` if the bound passes.
    pub fn next(&mut self, bound: Duration) -> Option<Item> {
        let end = wait::now() + bound;
        loop {
            if let Some(item) = self.take() {
                return Some(item);
            }
            let left = end.saturating_duration_since(wait::now());
            if left.is_zero() {
                return None;
            }
            let fd = PollFd::new(self.stream.as_fd(), PollFlags::POLLIN);
            poll(&mut [fd], left);
        }
    }

    /// The socket, for waiting on several at once.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The socket, for its options.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ends this end of the connection as the loss of its host's power would: the other end hears
    /// nothing, and that there is no such connection when it asks. `false`, said aloud, where this
    /// process may not do that.
    #[must_use]
    pub fn vanish(self) -> bool {
        let may = setsockopt(&self.stream, sockopt::TcpRepair, &1).is_ok();
        if !may {
            eprintln!("SKIPPED: this process may not end connections without a word");
        }
        may
    }

    fn parse(&mut self) -> Option<Item> {
        let rest = self.buffer.get(self.read..).unwrap_or_default();
        let &first = rest.first()?;
        if first == b'$' {
            let &[_, channel, l0, l1] = rest.first_chunk()?;
            let data = rest.get(4..4 + usize::from(u16::from_be_bytes([l0, l1])))?.to_vec();
            self.read += 4 + data.len();
            return Some(Item::Frame { channel, data });
        }
        let shown = rest.get(..rest.len().min(5)).unwrap_or_default();
        assert!(
            b"RTSP/".starts_with(shown),
            "neither an answer nor a frame: {:?}",
            String::from_utf8_lossy(rest.get(..rest.len().min(200)).unwrap_or_default())
        );
        let head_length = rest.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(rest.get(..head_length)?).into_owned();
        let mut lines = head.lines();
        let mut first = lines.next()?.splitn(3, ' ').skip(1);
        let status = first.next()?.parse().ok()?;
        let reason = first.next().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, reason, headers, body: String::new() };
        let length: usize =
            answer.header("Content-Length").map_or(Some(0), |l| l.parse().ok()).unwrap_or(0);
        let body = rest.get(head_length..head_length + length)?;
        answer.body = String::from_utf8_lossy(body).into_owned();
        self.read += head_length + length;
        Some(Item::Answer(answer))
    }
}

/// Waits until one of the sockets has something; false if the bound passes.
pub fn poll(fds: &mut [PollFd<'_>], bound: Duration) -> bool {
    let millis = u16::try_from(bound.as_millis().clamp(1, 60_000)).unwrap_or(60_000);
    matches!(nix::poll::poll(fds, PollTimeout::from(millis)), Ok(n) if n > 0)
}
