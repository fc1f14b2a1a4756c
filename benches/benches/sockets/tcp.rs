//! The same bytes to many connections: one submission of a ring, and a call for each.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use benches::clock;
use criterion::{Criterion, Throughput};
use ring_io::Ring;

/// Readers of one batch.
const CONNECTIONS: usize = 100;
/// Bytes of a packet, and of a usual frame of 4 Mbit/s.
const SIZES: [usize; 2] = [1_400, 20_000];

/// Both ends of connections over loopback.
struct Connections {
    senders: Vec<TcpStream>,
    readers: Vec<TcpStream>,
    scratch: Vec<u8>,
}

impl Connections {
    fn open() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (mut senders, mut readers) = (Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            readers.push(TcpStream::connect(listener.local_addr()?)?);
            let (sender, _) = listener.accept()?;
            sender.set_nodelay(true)?;
            senders.push(sender);
        }
        Ok(Self { senders, readers, scratch: vec![0; 1 << 16] })
    }

    /// Takes what was sent, so that there is room for the next.
    fn drain(&mut self, bytes: usize) -> io::Result<()> {
        let room = self.scratch.get_mut(..bytes).unwrap_or_default();
        self.readers.iter_mut().try_for_each(|reader| reader.read_exact(room))
    }

    /// How long it takes to send so often, without the taking.
    fn time(
        &mut self,
        runs: u64,
        bytes: usize,
        mut send: impl FnMut(&mut [TcpStream]) -> io::Result<()>,
    ) -> io::Result<Duration> {
        let mut spent = Duration::ZERO;
        for _ in 0..runs {
            let begin = clock::mono();
            send(&mut self.senders)?;
            spent += begin.elapsed();
            self.drain(bytes)?;
        }
        Ok(spent)
    }
}

pub(crate) fn send(c: &mut Criterion) {
    let mut connections = Connections::open().expect("connections over loopback");
    let mut group = c.benchmark_group(format!("{CONNECTIONS} connections"));
    group.throughput(Throughput::Elements(CONNECTIONS as u64));
    for bytes in SIZES {
        let payload = vec![b'U'; bytes];
        group.bench_function(format!("{bytes} bytes, a write each"), |b| {
            let mut send = |to: &mut [TcpStream]| {
                to.iter_mut().try_for_each(|sender| sender.write_all(&payload))
            };
            b.iter_custom(|runs| connections.time(runs, bytes, &mut send).expect("all is taken"));
        });
        let mut ring = match Ring::new(CONNECTIONS as u32) {
            Ok(ring) => ring,
            Err(error) => {
                eprintln!("no ring on this system: {error}");
                continue;
            }
        };
        let mut results = Vec::new();
        group.bench_function(format!("{bytes} bytes, ring"), |b| {
            let mut send = |to: &mut [TcpStream]| {
                let sockets: Vec<_> = to.iter().map(|sender| sender.as_fd()).collect();
                ring.send_all(&sockets, &[IoSlice::new(&payload)], &mut results)?;
                let all = results.iter().all(|sent| matches!(sent, Ok(sent) if *sent == bytes));
                if all { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
            };
            b.iter_custom(|runs| connections.time(runs, bytes, &mut send).expect("all is taken"));
        });
    }
    group.finish();
}
