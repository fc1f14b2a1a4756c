//! What a socket has received: a call for each datagram, and all by one.

use std::hint::black_box;
use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use benches::clock;
use criterion::{Criterion, SamplingMode, Throughput};
use udp_batch::{BatchSender, Receiver, SendOutcome, SocketState};

use crate::{DATAGRAM, FRAME, until_complete};

/// Both ends.
struct Sockets {
    from: UdpSocket,
    to: UdpSocket,
}

impl Sockets {
    fn open() -> io::Result<Self> {
        let to = UdpSocket::bind("127.0.0.1:0")?;
        to.set_nonblocking(true)?;
        let from = UdpSocket::bind("127.0.0.1:0")?;
        from.connect(to.local_addr()?)?;
        Ok(Self { from, to })
    }

    /// How long it takes to receive so often what `send` has sent before.
    fn time(
        &self,
        runs: u64,
        mut send: impl FnMut(&UdpSocket) -> io::Result<()>,
        mut receive: impl FnMut(&UdpSocket) -> io::Result<usize>,
        datagrams: usize,
    ) -> io::Result<Duration> {
        let mut spent = Duration::ZERO;
        for _ in 0..runs {
            send(&self.from)?;
            let mut left = datagrams;
            until_complete(|| {
                let begin = clock::mono();
                let received = receive(&self.to);
                spent += begin.elapsed();
                match received {
                    Ok(taken) => left = left.saturating_sub(taken),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
                Ok(left == 0)
            })?;
        }
        Ok(spent)
    }
}

pub(crate) fn receive(c: &mut Criterion) {
    let mut group = c.benchmark_group("received");
    group.sampling_mode(SamplingMode::Flat);
    let payload = vec![b'U'; FRAME * DATAGRAM];
    let separate = |from: &UdpSocket, datagrams: usize| {
        payload.chunks(DATAGRAM).take(datagrams).try_for_each(|one| from.send(one).map(drop))
    };
    let mut receiver = Receiver::new();
    for datagrams in [1, FRAME] {
        group.throughput(Throughput::Elements(datagrams as u64));
        let named = |how: &str| match datagrams {
            1 => format!("one datagram, {how}"),
            many => format!("{many} datagrams, {how}"),
        };
        group.bench_function(named("a call each"), |b| {
            let sockets = Sockets::open().expect("sockets over loopback");
            let mut buffer = [0; 2 * DATAGRAM];
            let mut receive = |socket: &UdpSocket| {
                let one = |_: &usize| socket.recv_from(&mut buffer).map(black_box).is_ok();
                Ok((0..datagrams).take_while(one).count())
            };
            b.iter_custom(|runs| {
                let send = |from: &UdpSocket| separate(from, datagrams);
                sockets.time(runs, send, &mut receive, datagrams).expect("all is received")
            });
        });
        group.bench_function(named("all by one"), |b| {
            let sockets = Sockets::open().expect("sockets over loopback");
            let state = SocketState::new(&sockets.to).expect("options of a socket");
            let mut receive = |socket: &UdpSocket| taken(&mut receiver, socket, &state);
            b.iter_custom(|runs| {
                let send = |from: &UdpSocket| separate(from, datagrams);
                sockets.time(runs, send, &mut receive, datagrams).expect("all is received")
            });
        });
    }
    group.bench_function(format!("{FRAME} datagrams, joined by the kernel"), |b| {
        let sockets = Sockets::open().expect("sockets over loopback");
        let state = SocketState::new(&sockets.to).expect("options of a socket");
        let (mut sender, to) = (BatchSender::new(), sockets.to.local_addr().expect("bound"));
        // Over loopback a segmented message comes in one piece.
        let mut send =
            |from: &UdpSocket| match sender.send(from, &payload, Some(DATAGRAM as u16), &[to]) {
                SendOutcome::Took(_) => Ok(()),
                other => Err(io::Error::other(format!("{other:?}"))),
            };
        let mut receive = |socket: &UdpSocket| taken(&mut receiver, socket, &state);
        b.iter_custom(|runs| {
            sockets.time(runs, &mut send, &mut receive, FRAME).expect("all is received")
        });
    });
    group.finish();
}

/// How many datagrams one call brings.
fn taken(receiver: &mut Receiver, socket: &UdpSocket, state: &SocketState) -> io::Result<usize> {
    let mut datagrams = 0;
    receiver.receive(socket, state, |from, data| {
        black_box((from, data));
        datagrams += 1;
    })?;
    Ok(datagrams)
}
