//! What the readers saw in one measurement.

use serde::{Deserialize, Serialize};

/// One measurement.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Length of the measurement.
    pub(crate) seconds: f64,
    /// The smallest receive buffer that a reader's socket has, in bytes.
    pub(crate) receive_buffer: usize,
    /// RTP packets that all readers got.
    pub(crate) packets: u64,
    /// Their bytes, headers included.
    pub(crate) bytes: u64,
    /// Frames that were to be seen by all readers, each counted once per reader.
    pub(crate) frames: u64,
    pub(crate) lost_packets: u64,
    pub(crate) lost_frames: u64,
    /// Packets that came twice or late.
    pub(crate) repeated: u64,
    /// Datagrams that the kernel dropped because a reader's socket was full.
    pub(crate) dropped_at_sockets: u64,
    /// Connections that ended.
    pub(crate) closed: usize,
    /// CPU time of the process that sent, in nanoseconds.
    pub(crate) cpu_nanos: u64,
    /// CPU time of the readers' process.
    pub(crate) readers_cpu_nanos: u64,
    /// Resident memory of the process that sent, in bytes, at the end.
    pub(crate) resident: u64,
    /// From the camera's sending of a frame's last packet to its arrival at a reader, in
    /// milliseconds.
    pub(crate) latency: Spread,
    /// The same of the last stream's readers alone.
    pub(crate) latency_last: Spread,
    /// From the camera's sending of a key frame's last packet until all readers had it, in
    /// milliseconds.
    pub(crate) key_to_all: Spread,
    /// From sending PLAY to the last packet of the first key frame, in milliseconds.
    pub(crate) first_key: Spread,
    /// What came of readers that joined later.
    pub(crate) joins: Option<Joined>,
    /// What there is to know besides where readers did not read: the packets are those that
    /// arrived at their sockets then.
    pub(crate) unread: Option<Unread>,
}

/// A measurement with readers that do not read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Unread {
    /// CPU time of each thread of the process that sent, in nanoseconds, the busiest one first.
    pub(crate) threads_nanos: Vec<u64>,
    /// How long they could have run and had no core, all together.
    pub(crate) waited_nanos: u64,
    /// CPU time of the camera.
    pub(crate) camera_nanos: u64,
}

/// Readers that joined those that played.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// From sending PLAY to the last packet of the first key frame, in milliseconds.
    pub(crate) first_key: Spread,
    /// Packets that they and the others lost meanwhile.
    pub(crate) lost: u64,
}

/// Where the values of a sample lie.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    pub(crate) count: usize,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (values.len() as f64 * share).ceil() as usize;
            values.get(index.saturating_sub(1)).copied().unwrap_or_default()
        };
        let max = values.last().copied().unwrap_or_default();
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max, count: values.len() }
    }
}

/// The share of a core from which on a thread could not have sent more.
pub(crate) const SATURATED: f64 = 0.95;

impl Measured {
    /// Packets delivered per second of the sender's CPU time.
    pub(crate) fn packets_per_cpu_second(&self) -> f64 {
        self.packets as f64 * 1e9 / self.cpu_nanos.max(1) as f64
    }

    pub(crate) fn megabits_per_second(&self) -> f64 {
        self.bytes as f64 * 8.0 / 1e6 / self.seconds.max(0.001)
    }

    /// The share of one core that the sender used.
    pub(crate) fn cpu_share(&self) -> f64 {
        self.cpu_nanos as f64 / 1e9 / self.seconds.max(0.001)
    }

    /// Packets delivered per second of time that passed.
    pub(crate) fn packets_per_second(&self) -> f64 {
        self.packets as f64 / self.seconds.max(0.001)
    }

    /// Whether the sender's busiest thread had all of a core, where that was looked at.
    pub(crate) fn is_saturated(&self) -> bool {
        let unread = self.unread.as_ref();
        let busiest = unread.and_then(|unread| unread.threads_nanos.first());
        busiest.is_some_and(|nanos| *nanos as f64 / 1e9 >= SATURATED * self.seconds)
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.joins.is_none_or(|joins| joins.lost == 0)
            && self.lost_packets == 0
            && self.lost_frames == 0
            && self.repeated == 0
            && self.closed == 0
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A measurement of two seconds with so many packets for half a second of CPU time.
    pub(crate) fn measured(packets: u64) -> Measured {
        let spread = Spread { p50: 1.0, p99: 2.0, p999: 3.0, max: 4.0, count: 10 };
        Measured {
            seconds: 2.0,
            receive_buffer: 1 << 20,
            packets,
            bytes: packets * 1000,
            frames: 50,
            lost_packets: 0,
            lost_frames: 0,
            repeated: 0,
            dropped_at_sockets: 0,
            closed: 0,
            cpu_nanos: 500_000_000,
            readers_cpu_nanos: 1,
            resident: 9_000_000,
            latency: spread,
            latency_last: spread,
            key_to_all: spread,
            first_key: spread,
            joins: None,
            unread: None,
        }
    }

    /// The same of readers that did not read, with the busiest thread at this share of a core.
    pub(crate) fn unread(packets: u64, busiest: f64) -> Measured {
        let threads_nanos = vec![(busiest * 2e9) as u64, 1000];
        let unread = Some(Unread { threads_nanos, waited_nanos: 0, camera_nanos: 0 });
        Measured { unread, ..measured(packets) }
    }

    #[test]
    fn a_thread_that_had_nearly_all_of_a_core_was_saturated() {
        assert!(unread(1, 0.96).is_saturated() && !unread(1, 0.94).is_saturated());
        assert!(!measured(1).is_saturated(), "nobody looked");
        assert!((unread(100, 1.0).packets_per_second() - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_percentile_is_a_value_that_so_many_do_not_exceed() {
        let spread = Spread::of((1..=1000).rev().map(f64::from).collect());
        assert_eq!((spread.p50, spread.p99, spread.p999), (500.0, 990.0, 999.0));
        assert_eq!((spread.max, spread.count), (1000.0, 1000));
        let one = Spread::of(vec![3.0]);
        assert_eq!((one.p50, one.p99, one.max), (3.0, 3.0, 3.0));
        assert_eq!(Spread::of(Vec::new()).count, 0);
    }
}
