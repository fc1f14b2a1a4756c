//! What all threads of a camera share.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use rustls::ServerConfig;
use socket2::SockRef;

use crate::clock::Epoch;
use crate::connection::Tunnel;
use crate::fault::{Target, stream_index};
use crate::faults::Faults;
use crate::link::Link;
use crate::log::{Log, LogEvent};
use crate::media::Content;
use crate::options::{CameraOptions, Multicast};
use crate::pacer::Command;
use crate::random::Random;
use crate::session::{Session, Zero};
use crate::{rtcp, rtsp};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: CameraOptions,
    pub(crate) content: Content,
    pub(crate) epoch: Epoch,
    pub(crate) log: Log,
    pub(crate) random: Random,
    pub(crate) cname: String,
    pub(crate) sockets: Sockets,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) sessions: Mutex<HashMap<String, Arc<Session>>>,
    pub(crate) links: Mutex<HashMap<u64, Arc<Link>>>,
    /// By their cookies.
    pub(crate) tunnels: Mutex<HashMap<String, Arc<Tunnel>>>,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    pub(crate) commands: Sender<Command>,
    /// Packets that a full socket did not take.
    pub(crate) lost: AtomicU64,
    pub(crate) stopping: AtomicBool,
    /// Says nothing; it is cut off when the camera stops, which ends all waits.
    pub(crate) stopped: Receiver<Infallible>,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Waits; false when the camera stops meanwhile.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        self.stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout)
    }

    /// The stream that a URI names.
    pub(crate) fn stream_of(&self, uri: &str) -> Option<usize> {
        let name = rtsp::path(uri).split('/').next()?;
        stream_index(name).filter(|&stream| stream < self.options.streams)
    }

    /// When a stream's content began.
    pub(crate) fn zero(&self, stream: usize) -> Zero {
        let ahead = if self.options.stagger {
            let share = stream as f64 / self.options.streams.max(1) as f64;
            self.content.key_frame_interval().mul_f64(share)
        } else {
            Duration::ZERO
        };
        Zero { at: self.epoch.mono, ahead: ahead + self.options.age }
    }

    /// The session timeout in force.
    pub(crate) fn timeout(&self) -> Duration {
        self.faults.lock().timeout.unwrap_or(self.options.timeout)
    }

    pub(crate) fn session(&self, name: &str) -> Option<Arc<Session>> {
        self.sessions.lock().get(name).cloned()
    }

    /// Ends the sessions that satisfy `which` without a word. When this returns, they send no
    /// more. Not for the pacer's thread, which this waits for.
    pub(crate) fn end_sessions(&self, which: impl Fn(&Session) -> bool) {
        let ended: Vec<Arc<Session>> =
            self.sessions.lock().extract_if(|_, session| which(session)).map(|(_, s)| s).collect();
        for session in ended {
            self.halt(&session);
        }
    }

    /// Stops a session's media. When this returns, it sends no more.
    pub(crate) fn halt(&self, session: &Session) {
        session.state.lock().playing = false;
        let (done, wait) = crossbeam_channel::bounded(1);
        if self.commands.send(Command::Halt { session: session.name.clone(), done }).is_ok() {
            crossbeam_channel::select! {
                recv(wait) -> _ => {}
                // The pacer ends too, and may not come to answer.
                recv(self.stopped) -> _ => {}
            }
        }
    }

    /// Closes the connections of a target's sessions, or all.
    pub(crate) fn close(&self, target: Target) {
        let links: Vec<Arc<Link>> = match target {
            Target::All => self.links.lock().values().cloned().collect(),
            Target::Stream(stream) => {
                let sessions = self.sessions.lock();
                let found = sessions.values().filter(|session| session.stream == stream);
                found.map(|session| Arc::clone(&session.link)).collect()
            }
        };
        links.iter().for_each(|link| link.close());
    }

    pub(crate) fn count_sessions(&self, stream: usize, playing: bool) -> usize {
        let sessions = self.sessions.lock();
        let of_stream = sessions.values().filter(|session| session.stream == stream);
        of_stream.filter(|session| !playing || session.state.lock().playing).count()
    }

    /// Notes RTCP from a session's other end.
    pub(crate) fn on_rtcp(&self, session: &Session, connection: u64, compound: &[u8]) {
        let types = rtcp::types(compound);
        if types.is_empty() {
            return;
        }
        session.touch(self.epoch.elapsed());
        let event = LogEvent::Rtcp { stream: session.stream, session: session.name.clone(), types };
        self.log.add(connection, event);
    }
}

/// One pair of UDP ports that all sessions send from.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) rtp: UdpSocket,
    pub(crate) rtcp: UdpSocket,
    /// The port of RTP, which is even; that of RTCP follows it.
    pub(crate) port: u16,
}

impl Sockets {
    pub(crate) fn bind(address: SocketAddr, multicast: Option<&Multicast>) -> io::Result<Self> {
        let mut failure = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..PORT_ATTEMPTS {
            let first = UdpSocket::bind(SocketAddr::new(address.ip(), 0))?;
            let port = first.local_addr()?.port();
            let other = UdpSocket::bind(SocketAddr::new(address.ip(), port ^ 1));
            let (rtp, rtcp) = match other {
                Ok(other) if port % 2 == 0 => (first, other),
                Ok(other) => (other, first),
                Err(error) => {
                    failure = error;
                    continue;
                }
            };
            // A full buffer loses packets as a camera's would; nobody waits for it.
            rtp.set_nonblocking(true)?;
            SockRef::from(&rtp).set_send_buffer_size(SEND_BUFFER)?;
            if let Some(multicast) = multicast {
                multicast.prepare([&rtp, &rtcp], address.ip())?;
            }
            rtcp.set_read_timeout(Some(RTCP_WAIT))?;
            return Ok(Self { rtp, rtcp, port: port & !1 });
        }
        Err(failure)
    }
}

/// Reads RTCP until the camera stops. Runs on a thread of its own.
pub(crate) fn receive_rtcp(shared: &Shared) {
    let mut buffer = [0; 2048];
    while !shared.is_stopping() {
        // Errors are time-outs, or reports of unreachable ports, which change nothing.
        let Ok((length, from)) = shared.sockets.rtcp.recv_from(&mut buffer) else { continue };
        let sender = shared
            .sessions
            .lock()
            .values()
            .find(|session| {
                let state = session.state.lock();
                state.outlets.iter().any(|o| o.destination.rtcp_address() == Some(from))
            })
            .cloned();
        if let Some(session) = sender {
            shared.on_rtcp(&session, session.link.id, buffer.get(..length).unwrap_or_default());
        }
    }
}

const PORT_ATTEMPTS: usize = 64;
const SEND_BUFFER: usize = 4 << 20;
/// How often the RTCP thread looks whether the camera stops, should it not be woken.
const RTCP_WAIT: Duration = Duration::from_millis(500);
