//! What the kernel asks for: the same bytes to many connections and to many addresses, and what a
//! socket has received.

mod tcp;
mod udp_receive;
mod udp_send;

use std::io;
use std::time::Duration;

use benches::clock;
use criterion::{Criterion, criterion_group, criterion_main};

/// Bytes of a datagram.
const DATAGRAM: usize = 1_400;
/// Datagrams of a usual frame.
const FRAME: usize = 15;

/// Calls `take` until nothing is missing, which over loopback is at once.
fn until_complete(mut take: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let end = clock::mono() + PATIENCE;
    while !take()? {
        if clock::mono() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a datagram was lost"));
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// How long a datagram may be on its way.
const PATIENCE: Duration = Duration::from_secs(2);

/// There are many, and what is sent is taken beside the measured time: less than usual has to do.
fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
}

criterion_group!(connections, tcp::send);
criterion_group!(
    name = datagrams;
    config = short();
    targets = udp_send::send, udp_receive::receive
);
criterion_main!(connections, datagrams);
