//! What an audience may hold, and when a reader counts as lagging.

use std::time::Duration;

/// The bounds of one [`Audience`](crate::Audience). Each has a name; the defaults are the
/// product's.
#[derive(Clone, Debug)]
pub struct FanOutLimits {
    /// Media bytes the log may hold, both forms of an image counted.
    pub log_max_bytes: usize,
    /// Span of media the log may hold, by the media's own arrival times: silence does not age it.
    pub log_max_age: Duration,
    /// A reader further behind than this jumps.
    pub lag_max_bytes: u64,
    /// A reader whose oldest unsent frame is older than this jumps.
    pub lag_max_age: Duration,
    /// A reader further behind than this sheds video until the next key frame.
    pub shed_bytes: u64,
    /// A reader whose oldest unsent frame is older than this sheds video.
    pub shed_age: Duration,
    /// Bytes count as lag only once the oldest unsent frame is older than this: a key frame that
    /// was just published is not lag.
    pub burst_grace: Duration,
    /// A TCP reader that took no byte for so long while there was something to send is cut.
    pub stall: Duration,
    /// Bytes of RTSP messages one connection may have waiting.
    pub control_bytes: usize,
    /// The longest jump of sequence numbers a reader is given; beyond it the reader is cut
    /// (players do not recover from more).
    pub max_jump: u32,
    /// A jump longer than this is preceded by a padding-only packet (players refuse the first
    /// packet after it).
    pub padding_jump: u32,
    /// Readers per audience.
    pub readers: usize,
    /// Segments of one GSO send, at most [`MAX_SEGMENTS`](crate::MAX_SEGMENTS).
    pub max_segments: usize,
    /// TCP readers that are written the same by one call: at least [`FEW_ALIKE`](crate::FEW_ALIKE),
    /// at most [`MAX_ALIKE`](crate::MAX_ALIKE).
    pub max_alike: usize,
    /// The bytes that such a call comes to for all its readers together, for each of them 16 KiB at
    /// least, above which it goes to no more than [`FEW_ALIKE`](crate::FEW_ALIKE): nobody else is
    /// served meanwhile.
    pub alike_bytes: usize,
    /// What a UDP socket that was full for so long has not taken is dropped for the readers not
    /// served. Only the time counts that it was full: who is late because the caller is, is so up
    /// to `lag_max_age`.
    pub udp_max_age: Duration,
    /// The youngest key unit that a reader with [`Start::Instant`](crate::Start::Instant) begins
    /// with, where the log has an older one within the next two bounds: players look at some 25
    /// pictures before they show the first, and what the burst lacks they wait for, and stay
    /// behind by. The log keeps such an older one for so long.
    pub instant_min_age: Duration,
    /// Media bytes of one track, from a key unit on, that such a reader is given at once; beyond
    /// it the reader waits for the next key unit.
    pub instant_max_bytes: usize,
    /// The same for the age of that key unit.
    pub instant_max_age: Duration,
    /// Bits per second at which such a reader catches up over UDP, or twice the rate of the track
    /// where that is more; over TCP it gets what its socket takes.
    pub instant_rate: u64,
}

impl Default for FanOutLimits {
    fn default() -> Self {
        Self {
            log_max_bytes: 16 << 20,
            log_max_age: Duration::from_secs(12),
            lag_max_bytes: 2 << 20,
            lag_max_age: Duration::from_secs(2),
            shed_bytes: 1 << 20,
            shed_age: Duration::from_secs(1),
            burst_grace: Duration::from_millis(250),
            stall: Duration::from_secs(65),
            control_bytes: 256 << 10,
            max_jump: 16_000,
            padding_jump: 2_900,
            readers: 10_000,
            max_segments: crate::MAX_SEGMENTS,
            max_alike: crate::MAX_ALIKE,
            alike_bytes: crate::ALIKE_BYTES,
            udp_max_age: Duration::from_millis(200),
            instant_min_age: Duration::from_millis(1200),
            instant_max_bytes: 4 << 20,
            instant_max_age: Duration::from_secs(5),
            instant_rate: 50_000_000,
        }
    }
}
