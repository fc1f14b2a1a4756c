//! The camera as its user sees it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use socket2::SockRef;

use crate::clock::Epoch;
use crate::fault::{Fault, stream_name};
use crate::faults::Faults;
use crate::link::Link;
use crate::log::{Hook, Log, LogEntry, LogEvent};
use crate::media::Content;
use crate::options::CameraOptions;
use crate::pacer::Command;
use crate::random::Random;
use crate::shared::{Shared, Sockets};
use crate::{connection, pacer, shared, tls};

/// A running camera. It stops when dropped.
#[derive(Debug)]
pub struct Camera {
    shared: Arc<Shared>,
    addr: SocketAddr,
    /// Dropped to end all waits.
    stop: Option<Sender<Infallible>>,
    threads: Vec<JoinHandle<()>>,
    /// Cut off when the last connection's thread ended.
    connections_ended: Receiver<Infallible>,
}

impl Camera {
    /// Starts a camera: when this returns, it accepts connections.
    ///
    /// # Errors
    /// The address cannot be bound, or the options are out of their ranges.
    pub fn start(options: CameraOptions) -> anyhow::Result<Self> {
        Self::start_hooked(options, None)
    }

    /// As [`Camera::start`], and `hook` is called with every log entry as it happens. It must
    /// neither block for long nor call the camera.
    ///
    /// # Errors
    /// As [`Camera::start`].
    pub fn start_with_log(
        options: CameraOptions,
        hook: impl Fn(&LogEntry) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::start_hooked(options, Some(Box::new(hook)))
    }

    fn start_hooked(options: CameraOptions, hook: Option<Hook>) -> anyhow::Result<Self> {
        anyhow::ensure!((1..=MAX_STREAMS).contains(&options.streams), "1 to {MAX_STREAMS} streams");
        anyhow::ensure!(options.age <= MAX_AGE, "the content must be younger than a century");
        anyhow::ensure!(
            (64..=65_000).contains(&options.payload_limit),
            "the payload limit must be 64 to 65000 bytes"
        );
        let content = Content::new(&options)?;
        let listener = TcpListener::bind(options.bind)
            .with_context(|| format!("cannot listen on {}", options.bind))?;
        // Only so that a stop is noticed even when the wake-up call does not come through.
        SockRef::from(&listener).set_read_timeout(Some(Duration::from_millis(500)))?;
        let addr = listener.local_addr()?;
        let sockets =
            Sockets::bind(addr, options.multicast.as_ref()).context("cannot open UDP ports")?;
        let tls = options.tls.as_ref().map(tls::config).transpose().context("TLS")?;
        let (commands, commanded) = bounded(MAX_COMMANDS);
        let (stop, stopped) = bounded(0);
        let epoch = Epoch::now();
        let random = Random::new();
        let shared = Arc::new(Shared {
            faults: Mutex::new(Faults::new(options.streams)),
            content,
            epoch,
            log: Log::new(epoch, hook),
            cname: format!("test-camera-{:016x}", random.u64()),
            random,
            sockets,
            sessions: Mutex::default(),
            links: Mutex::default(),
            tunnels: Mutex::default(),
            tls,
            commands,
            lost: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stopped,
            options,
        });
        let (connection_lives, connections_ended) = bounded(0);
        // Built first, so that what already runs is stopped when a thread cannot be started.
        let mut camera =
            Self { shared, addr, stop: Some(stop), threads: Vec::new(), connections_ended };
        camera.spawn("camera-pacer", move |shared| pacer::run(shared, &commanded))?;
        camera.spawn("camera-rtcp", |shared| shared::receive_rtcp(shared))?;
        camera
            .spawn("camera-accept", move |shared| accept(shared, &listener, &connection_lives))?;
        Ok(camera)
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(&Arc<Shared>) + Send + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        self.threads.push(Builder::new().name(name.to_owned()).spawn(move || run(&shared))?);
        Ok(())
    }

    /// The URL of a stream, from 0, without credentials. A camera bound to all addresses names
    /// the loopback address.
    pub fn url(&self, stream: usize) -> String {
        let scheme = if self.shared.tls.is_some() { "rtsps" } else { "rtsp" };
        format!("{scheme}://{}/{}", reachable(self.addr), stream_name(stream))
    }

    /// The URLs of all streams.
    pub fn urls(&self) -> impl Iterator<Item = String> + '_ {
        (0..self.shared.options.streams).map(|stream| self.url(stream))
    }

    /// The port of RTSP.
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The address RTSP is served on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Does something wrong from now on, or right again.
    pub fn fault(&self, fault: Fault) {
        let shared = &self.shared;
        shared.log.add(0, LogEvent::Fault(fault.clone()));
        shared.faults.lock().apply(&fault);
        match fault {
            Fault::Close(target) => shared.close(target),
            Fault::EndSessions(target) => {
                shared.end_sessions(|session| target.includes(session.stream));
            }
            Fault::Bye { target, track } => self.command(Command::Bye { target, track }),
            _ => {}
        }
    }

    /// Everything that happened so far, oldest first; of very much, the last 100,000 entries.
    pub fn log(&self) -> Vec<LogEntry> {
        self.shared.log.entries()
    }

    /// Waits until the log satisfies `wanted`; false when it does not do so within `timeout`.
    /// `wanted` must not call the camera.
    pub fn wait_for(&self, wanted: impl FnMut(&[LogEntry]) -> bool, timeout: Duration) -> bool {
        self.shared.log.wait_for(wanted, timeout)
    }

    /// How many sessions of a stream play.
    pub fn playing(&self, stream: usize) -> usize {
        self.shared.count_sessions(stream, true)
    }

    /// How many sessions of a stream exist, playing or not.
    pub fn sessions(&self, stream: usize) -> usize {
        self.shared.count_sessions(stream, false)
    }

    /// How many packets the camera could not send because a socket was full. Over TCP they are lost
    /// whole access units or pieces of them, never pieces of a packet.
    pub fn lost_packets(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// The true wall clock time at which the camera started: the zero of the log.
    pub fn started(&self) -> SystemTime {
        self.shared.epoch.wall
    }

    /// The true wall clock time of a stream's first frame: frame n is due n frame intervals later.
    /// (With [`Start::Beginning`](crate::Start::Beginning) each session has its own instead.)
    pub fn content_epoch(&self, stream: usize) -> SystemTime {
        let zero = self.shared.zero(stream);
        self.shared.epoch.wall_at(zero.at) - zero.ahead
    }

    /// Stops: connections are closed without a word and all threads end. So does dropping it.
    pub fn stop(self) {}

    fn command(&self, command: Command) {
        // The pacer ends with the camera only.
        let _ = self.shared.commands.send(command);
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.stop = None;
        self.command(Command::Wake);
        let wake = reachable(self.addr);
        // Wakes the acceptor; if it fails, that wakes by itself soon.
        let _ = TcpStream::connect_timeout(&wake, Duration::from_millis(200));
        let rtcp = SocketAddr::new(wake.ip(), self.shared.sockets.port + 1);
        let _ = self.shared.sockets.rtp.send_to(&[], rtcp);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
        self.shared.close(crate::Target::All);
        // Every connection's thread ends at once: its socket is closed and its waits are over.
        let _ = self.connections_ended.recv_timeout(Duration::from_secs(5));
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener, lives: &Sender<Infallible>) {
    let next_id = AtomicU64::new(1);
    while !shared.is_stopping() {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => {
                // Out of file descriptors, or a connection that is gone already.
                shared.wait(Duration::from_millis(20));
                continue;
            }
        };
        if shared.is_stopping() || shared.links.lock().len() >= shared.options.max_connections {
            continue;
        }
        let id = next_id.fetch_add(1, Ordering::Relaxed);
        let Ok(link) = Link::new(id, stream, peer, shared.tls.as_ref()).map(Arc::new) else {
            continue;
        };
        shared.links.lock().insert(id, Arc::clone(&link));
        shared.log.add(id, LogEvent::Opened { peer });
        let (lives, serving, of) = (lives.clone(), Arc::clone(shared), Arc::clone(&link));
        let spawned =
            Builder::new().name(format!("camera-conn-{id}")).stack_size(STACK).spawn(move || {
                connection::serve(&serving, &of);
                drop(lives);
            });
        if let Err(error) = spawned {
            link.close();
            shared.links.lock().remove(&id);
            shared.log.add(id, LogEvent::Closed { reason: error.to_string() });
        }
    }
}

/// An address at which a listener is reached from this host.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

const MAX_STREAMS: usize = 10_000;
const MAX_AGE: Duration = Duration::from_secs(100 * 365 * 86_400);
const MAX_COMMANDS: usize = 1024;
const STACK: usize = 512 << 10;
