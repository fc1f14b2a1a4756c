//! The same bytes to many addresses: a call for each datagram, and batches.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use benches::clock;
use benches::runs::{Receiver, Scratch};
use criterion::{Criterion, SamplingMode, Throughput};
use udp_batch::{BatchSender, SendOutcome};

use crate::{DATAGRAM, FRAME, until_complete};

/// Readers of one batch.
const ADDRESSES: usize = 100;

/// A socket and those it sends to, which take datagrams one by one, as players do.
struct Sockets {
    sender: UdpSocket,
    readers: Vec<Receiver>,
    addresses: Vec<SocketAddr>,
    scratch: Scratch,
}

impl Sockets {
    fn open() -> io::Result<Self> {
        let readers: Vec<_> = (0..ADDRESSES)
            .map(|_| Receiver::of_datagrams(UdpSocket::bind("127.0.0.1:0")?))
            .collect::<io::Result<_>>()?;
        let addresses = readers.iter().map(|reader| reader.socket().local_addr());
        let addresses = addresses.collect::<io::Result<_>>()?;
        let sender = UdpSocket::bind("127.0.0.1:0")?;
        Ok(Self { sender, readers, addresses, scratch: Scratch::new(2 * DATAGRAM) })
    }

    /// Takes so many datagrams from each socket, so that there is room for the next.
    fn drain(&mut self, datagrams: usize) -> io::Result<()> {
        for reader in &self.readers {
            let mut left = datagrams;
            until_complete(|| {
                match reader.take(&mut self.scratch, |_| left = left.saturating_sub(1)) {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    _ => Ok(left == 0),
                }
            })?;
        }
        Ok(())
    }

    /// How long it takes to send so often, without the taking.
    fn time(
        &mut self,
        runs: u64,
        datagrams: usize,
        mut send: impl FnMut(&UdpSocket, &[SocketAddr]) -> io::Result<()>,
    ) -> io::Result<Duration> {
        let mut spent = Duration::ZERO;
        for _ in 0..runs {
            let begin = clock::mono();
            send(&self.sender, &self.addresses)?;
            spent += begin.elapsed();
            self.drain(datagrams)?;
        }
        Ok(spent)
    }
}

/// Offers it until all destinations have it.
fn to_all(
    sender: &mut BatchSender,
    socket: &UdpSocket,
    payload: &[u8],
    segment: Option<u16>,
    mut to: &[SocketAddr],
) -> io::Result<()> {
    while !to.is_empty() {
        match sender.send(socket, payload, segment, to) {
            SendOutcome::Took(sent) => to = to.get(sent..).unwrap_or_default(),
            // What is sent over loopback frees its room as it is received.
            SendOutcome::Blocked | SendOutcome::Busy => std::thread::yield_now(),
            SendOutcome::Refused(errno) => return Err(errno.into()),
            SendOutcome::NoSegments => return Err(io::ErrorKind::Unsupported.into()),
        }
    }
    Ok(())
}

pub(crate) fn send(c: &mut Criterion) {
    let mut sockets = Sockets::open().expect("sockets over loopback");
    let mut group = c.benchmark_group(format!("{ADDRESSES} addresses"));
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(ADDRESSES as u64));
    let mut sender = BatchSender::new();
    for datagrams in [1, FRAME] {
        let payload = vec![b'U'; datagrams * DATAGRAM];
        let named = |how: &str| match datagrams {
            1 => format!("one datagram, {how}"),
            many => format!("{many} datagrams, {how}"),
        };
        group.bench_function(named("a call each"), |b| {
            let mut send = |from: &UdpSocket, to: &[SocketAddr]| {
                payload.chunks(DATAGRAM).try_for_each(|datagram| {
                    to.iter().try_for_each(|to| from.send_to(datagram, to).map(drop))
                })
            };
            b.iter_custom(|runs| sockets.time(runs, datagrams, &mut send).expect("all is taken"));
        });
        group.bench_function(named("batches"), |b| {
            let mut send = |from: &UdpSocket, to: &[SocketAddr]| {
                payload
                    .chunks(DATAGRAM)
                    .try_for_each(|datagram| to_all(&mut sender, from, datagram, None, to))
            };
            b.iter_custom(|runs| sockets.time(runs, datagrams, &mut send).expect("all is taken"));
        });
        if datagrams == 1 {
            continue;
        }
        group.bench_function(named("batches of segmented messages"), |b| {
            let segment = Some(DATAGRAM as u16);
            let mut send = |from: &UdpSocket, to: &[SocketAddr]| {
                to_all(&mut sender, from, &payload, segment, to)
            };
            b.iter_custom(|runs| sockets.time(runs, datagrams, &mut send).expect("all is taken"));
        });
    }
    group.finish();
}
