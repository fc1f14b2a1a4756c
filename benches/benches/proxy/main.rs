//! The whole proxy over loopback: from a backend's sending of a frame, or of one packet, until the
//! kernel has the last byte for the last reader. That is receiving, relaying, writing to readers
//! and every wake-up in between; it has a core of its own where there are two.
//!
//! Frames follow each other without a pause, so caches are warmer than with a camera's.

mod backend;
mod readers;

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use backend_client::{Options, TransportChoice};
use benches::clock;
use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use fan_out::{FanOutLimits, Start};
use integration_tests::reader::Over;
use proxy_io::{Proxy, ProxyOptions, Reach, StreamSetup};
use proxy_session::StreamOptions;
use rtsp_proto::RtspUrl;

use crate::backend::Backend;
use crate::readers::Readers;

/// What is sent, and its bytes without headers: 15 packets, and one.
const SENT: [(&str, usize); 2] = [("frame of 20 KB", 20_000), ("packet of 1.4 KB", 1_386)];
const READERS: [usize; 2] = [1, 100];
/// Frames before it is measured: the first ones find a stream that begins.
const FIRST: usize = 3;

/// A proxy with one shard between a backend and its readers.
struct Between {
    backend: Backend,
    proxy: Proxy,
    readers: Readers,
}

impl Between {
    fn start(from: TransportChoice, to: Over, readers: usize) -> io::Result<Self> {
        let mut backend = Backend::start()?;
        let url = RtspUrl::parse(&backend.url()).map_err(io::Error::other)?;
        let mut source = Options::new(url);
        source.transport = from;
        // Between two measurements nothing is sent for as long as they take to evaluate.
        source.max_packet_gap = None;
        let stream = StreamSetup {
            name: "cam".to_owned(),
            options: StreamOptions::new(source),
            reach: Reach::default(),
            start: Start::Live,
            fan_out: FanOutLimits::default(),
        };
        let options = ProxyOptions {
            bind: vec![Ipv4Addr::LOCALHOST.into()],
            rtsp_port: 0,
            workers: 1,
            streams: vec![stream],
            ..ProxyOptions::default()
        };
        let proxy = Proxy::start(options).map_err(io::Error::other)?;
        let address = proxy.addresses().first().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let mut readers = Readers::play(&format!("rtsp://{address}/cam"), to, readers)?;
        for _ in 0..FIRST {
            let (image, _) = backend.next(1_386);
            backend.send(&image)?;
            readers.drain()?;
        }
        Ok(Self { backend, proxy, readers })
    }

    /// How long so many frames took, one after the other.
    fn time(&mut self, runs: u64, bytes: usize) -> io::Result<Duration> {
        let mut spent = Duration::ZERO;
        for _ in 0..runs {
            let (image, packets) = self.backend.next(bytes);
            let begin = clock::wall();
            self.backend.send(&image)?;
            spent += self.readers.take(packets)?.saturating_sub(begin);
        }
        Ok(spent)
    }

    fn end(self) {
        drop(self.readers);
        self.proxy.shutdown();
        self.backend.end();
    }
}

fn proxy(c: &mut Criterion) {
    for (from, transport) in [("UDP", TransportChoice::Udp), ("TCP", TransportChoice::Tcp)] {
        for (to, over) in [("UDP", Over::Udp), ("TCP", Over::Tcp)] {
            let mut group = c.benchmark_group(format!("proxy, {from} to {to}"));
            group.sampling_mode(SamplingMode::Flat);
            for count in READERS {
                let mut between = None;
                group.throughput(Throughput::Elements(count as u64));
                for (what, bytes) in SENT {
                    group.bench_function(format!("{what}, readers: {count}"), |b| {
                        // Made where this is selected.
                        let between = between.get_or_insert_with(|| {
                            Between::start(transport, over, count).expect("a stream that plays")
                        });
                        b.iter_custom(|runs| between.time(runs, bytes).expect("nothing is lost"));
                    });
                }
                between.into_iter().for_each(Between::end);
            }
            group.finish();
        }
    }
}

/// There are many: less than usual has to do.
fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
}

criterion_group!(name = benches; config = short(); targets = proxy);
criterion_main!(benches);
