//! A backend that sends when it is told to.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use benches::packets::{Frames, PAYLOAD, interleaved};
use benches::{clock, rig};
use integration_tests::sockets::Pair;
use parking_lot::Mutex;
use udp_batch::{BatchSender, SendOutcome};

/// Frames from one key frame to the next, before which the proxy forgets what was.
const KEY_FRAMES: u64 = 25;
/// Bytes of a whole packet: its header, those of a fragment, and the rest of the payload.
const PACKET: u16 = 12 + PAYLOAD as u16;
/// How long a proxy may take to ask for media.
const PATIENCE: Duration = Duration::from_secs(10);

/// A camera with one track, for one connection.
pub(crate) struct Backend {
    address: SocketAddr,
    began: Instant,
    frames: Frames,
    count: u64,
    asked: Receiver<Way>,
    way: Option<Way>,
    sender: BatchSender,
    thread: JoinHandle<()>,
}

/// Where media goes.
enum Way {
    Udp(Pair, SocketAddr),
    Tcp(Arc<Mutex<TcpStream>>),
}

impl Backend {
    /// Listens for one connection.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (ask, asked) = sync_channel(1);
        let thread = std::thread::Builder::new().name("backend".to_owned()).spawn(move || {
            let served = listener.accept().and_then(|(stream, _)| serve(stream, &ask));
            // A proxy that has ended may close as it likes.
            drop(served);
        })?;
        let (frames, sender) = (Frames::new(), BatchSender::new());
        let began = clock::mono();
        Ok(Self { address, began, frames, count: 0, asked, way: None, sender, thread })
    }

    pub(crate) fn url(&self) -> String {
        format!("rtsp://{}/cam", self.address)
    }

    /// The packets of the next frame, as they go on their way, and how many they are. Its time is
    /// the present: a stream has to take the time it tells of.
    pub(crate) fn next(&mut self, bytes: usize) -> (Vec<u8>, usize) {
        let is_key = self.count.is_multiple_of(KEY_FRAMES);
        self.count += 1;
        let mut packets = self.frames.frame(bytes, is_key);
        let ticks = self.began.elapsed().as_micros() * 9 / 100;
        for packet in &mut packets {
            if let Some(timestamp) = packet.get_mut(4..8) {
                timestamp.copy_from_slice(&(ticks as u32).to_be_bytes());
            }
        }
        let image = match self.way() {
            Way::Udp(..) => packets.concat(),
            Way::Tcp(_) => interleaved(&packets),
        };
        (image, packets.len())
    }

    /// Sends it all by one system call.
    pub(crate) fn send(&mut self, image: &[u8]) -> io::Result<()> {
        match &self.way {
            Some(Way::Udp(from, to)) => {
                let segment = Some(PACKET).filter(|size| image.len() > usize::from(*size));
                match self.sender.send(&from.rtp, image, segment, &[*to]) {
                    SendOutcome::Took(1) => Ok(()),
                    other => Err(io::Error::other(format!("{other:?}"))),
                }
            }
            Some(Way::Tcp(stream)) => stream.lock().write_all(image),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits until the proxy has gone.
    pub(crate) fn end(self) {
        self.thread.join().expect("no panic of the backend's");
    }

    fn way(&mut self) -> &Way {
        let Self { way, asked, .. } = self;
        way.get_or_insert_with(|| asked.recv_timeout(PATIENCE).expect("a SETUP"))
    }
}

/// Answers until the connection ends. What is sent besides requests are reports.
fn serve(mut stream: TcpStream, ask: &SyncSender<Way>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Answers and frames must not come into each other.
    let out = Arc::new(Mutex::new(stream.try_clone()?));
    let peer = stream.peer_addr()?;
    let mut pair = Some(Pair::bind(Ipv4Addr::LOCALHOST.into()));
    let port = pair.as_ref().map_or(0, |pair| pair.port);
    let (mut held, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Ok(());
        }
        held.extend_from_slice(chunk.get(..count).unwrap_or_default());
        while let Some(length) = first(&held) {
            let item: Vec<u8> = held.drain(..length).collect();
            if item.starts_with(b"$") {
                continue;
            }
            let request = String::from_utf8_lossy(&item);
            if request.starts_with("SETUP") {
                let way = match client_port(&request).zip(pair.take()) {
                    Some((port, pair)) => Way::Udp(pair, SocketAddr::new(peer.ip(), port)),
                    None => Way::Tcp(Arc::clone(&out)),
                };
                // One track is set up once.
                let _asked = ask.try_send(way);
            }
            out.lock().write_all(rig::answer(&request, port).as_bytes())?;
        }
    }
}

/// The length of the first report or request, neither of which has a body, once it is there.
fn first(held: &[u8]) -> Option<usize> {
    if let Some(&[b'$', _, high, low]) = held.first_chunk() {
        let length = 4 + usize::from(u16::from_be_bytes([high, low]));
        return Some(length).filter(|length| *length <= held.len());
    }
    Some(held.windows(4).position(|end| end == b"\r\n\r\n")? + 4)
}

fn client_port(request: &str) -> Option<u16> {
    let (_, rest) = request.split_once("client_port=")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
