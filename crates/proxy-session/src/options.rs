//! What can be chosen for one stream.

use std::time::Duration;

pub use codec_framers::OnLoss;
use rtp_rtcp::ReorderLimits;
use time_normalizer::TimelineOptions;

/// Everything that can be chosen for one proxied stream.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// How the backend is reached and kept.
    pub backend: backend_client::Options,
    /// How long a reader's DESCRIBE, SETUP or PLAY may wait for the backend. Default 10 s.
    pub answer_deadline: Duration,
    /// How packets that arrive over UDP are put in order.
    pub reorder: ReorderLimits,
    /// How far timestamps may step, and whose time of day reports carry.
    pub time: TimelineOptions,
    /// The most asks that may wait for the backend at one time; further ones are refused.
    /// Default 10,000.
    pub max_waiting: usize,
    /// The most readers that may have set up a track; further ones are refused. Default 10,000.
    pub max_readers: usize,
    /// The audiences' [`fan_out::FanOutLimits::instant_max_bytes`]: beyond it no reader begins
    /// with the last key unit. Default 4 MiB.
    pub instant_max_bytes: usize,
    /// The audiences' [`fan_out::FanOutLimits::instant_max_age`]. Default 5 s.
    pub instant_max_age: Duration,
    /// How packets go on to readers. Default as they came where they fit.
    pub packets: Packets,
    /// The largest UDP payload, in bytes, RTP header and all. Larger packets are made anew, for
    /// readers over UDP with [`Packets::Auto`], for all with [`Packets::Reframe`]; what is made has
    /// 1,400 at the most. Of no effect with [`Packets::Relay`]. Default 1,472: what fits into an
    /// Ethernet frame over IPv4; over IPv6 it counts as 1,452 at the most.
    pub max_udp_payload: usize,
    /// Which access units go on after packets were lost. Of no effect on packets that go on as
    /// they came. Default all.
    pub on_loss: OnLoss,
    /// The bytes of an access unit that is put together; larger ones are dropped whole. Default
    /// 16 MiB.
    pub max_unit: usize,
    /// What becomes of readers when the backend is lost. Default they are held.
    pub on_backend_loss: OnBackendLoss,
    /// How long readers are held for a backend to come back. Default 60 s.
    pub hold_for: Duration,
    /// Whether readers that are held are shown the last key frame again every 5 s: some players
    /// give up without pictures. Default no.
    pub hold_picture: bool,
    /// Whether the backend is pulled without readers as well. Default no.
    pub pull_always: bool,
    /// Whether the first of several sources is returned to once somebody answers there, though
    /// another one plays. Default yes.
    pub return_to_first: bool,
}

/// What becomes of readers when the backend is lost.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnBackendLoss {
    /// They keep their sessions, and the stream goes on when the backend is back.
    #[default]
    Hold,
    /// They are ended, so that they come again.
    Close,
}

/// How packets go on to readers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Packets {
    /// As they came, but for number, time and source; those that are too large for a reader over
    /// UDP are made anew for all of these, as long as there are such packets and such readers.
    #[default]
    Auto,
    /// As they came, but for number, time and source.
    Relay,
    /// Taken apart into access units, and put together again.
    Reframe,
}

impl StreamOptions {
    /// The defaults for a backend.
    #[must_use]
    pub fn new(backend: backend_client::Options) -> Self {
        Self {
            backend,
            answer_deadline: Duration::from_secs(10),
            reorder: ReorderLimits::default(),
            time: TimelineOptions::default(),
            max_waiting: 10_000,
            max_readers: 10_000,
            instant_max_bytes: 4 << 20,
            instant_max_age: Duration::from_secs(5),
            packets: Packets::default(),
            max_udp_payload: 1_472,
            on_loss: OnLoss::default(),
            max_unit: codec_framers::MAX_UNIT,
            on_backend_loss: OnBackendLoss::default(),
            hold_for: Duration::from_secs(60),
            hold_picture: false,
            pull_always: false,
            return_to_first: true,
        }
    }
}
