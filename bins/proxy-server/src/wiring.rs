//! Settings as the parts of the proxy take them.

use fan_out::{FanOutLimits, Start};
use proxy_config::{
    Global, NtpChoice, OnLossChoice, PacketsChoice, Settings, StartChoice, StreamSettings,
    TransportChoice,
};
use proxy_io::{ProxyOptions, StreamSetup};
use proxy_session::{OnLoss, Packets, StreamOptions};
use rtp_rtcp::ReorderLimits;
use rtsp_server::ServerOptions;
use std::time::Duration;
use time_normalizer::{NtpSource, TimelineOptions};

/// A session is ended this much later than its reader was told: one that keeps time exactly would
/// otherwise lose the race now and then.
const RECLAIM_GRACE: Duration = Duration::from_secs(5);

/// A stream's own refusal, which says why, goes before the server's.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// What the shell is started with.
pub(crate) fn proxy_options(settings: &Settings) -> ProxyOptions {
    let global = &settings.global;
    // Both families by default, but a host may lack one of them; what was named has to be there.
    let bind = match global.bind == Global::default().bind {
        true => Vec::new(),
        false => global.bind.clone(),
    };
    ProxyOptions {
        bind,
        rtsp_port: global.rtsp_port,
        workers: global.workers,
        io_uring: global.io_uring,
        log_budget: global.limits.log_budget,
        server: server_options(settings),
        streams: settings.streams.iter().map(|stream| stream_setup(global, stream)).collect(),
        ..ProxyOptions::default()
    }
}

fn server_options(settings: &Settings) -> ServerOptions {
    let global = &settings.global;
    // The streams decide; the server's own deadline is for a stream that says nothing at all.
    let longest = settings.streams.iter().map(|stream| stream.options.answer_deadline).max();
    let deadline = longest.unwrap_or_default() + ANSWER_GRACE;
    ServerOptions {
        users: global.users.iter().map(|u| (u.name.clone(), u.password.clone())).collect(),
        limits: message_limits(global),
        session_timeout: global.session_timeout,
        reclaim_after: global.session_timeout + RECLAIM_GRACE,
        connections: global.limits.connections,
        sessions_per_connection: global.limits.sessions_per_connection,
        first_request: global.limits.first_request,
        idle_connection: global.limits.idle_connection,
        server_name: concat!("rtsp-proxy/", env!("CARGO_PKG_VERSION")).to_owned(),
        dialogue: global.log.dialogues,
        describe_deadline: deadline,
        answer_deadline: deadline,
        ..ServerOptions::default()
    }
}

fn message_limits(global: &Global) -> rtsp_proto::Limits {
    rtsp_proto::Limits {
        header_bytes: global.limits.header_bytes,
        body_bytes: global.limits.body_bytes,
        ..rtsp_proto::Limits::default()
    }
}

fn stream_setup(global: &Global, stream: &StreamSettings) -> StreamSetup {
    let options = &stream.options;
    let mut backend = backend_client::Options::new(stream.source.clone());
    backend.credentials = stream.credentials();
    backend.transport = match options.transport {
        TransportChoice::Auto => backend_client::TransportChoice::Auto,
        TransportChoice::Udp => backend_client::TransportChoice::Udp,
        TransportChoice::Tcp => backend_client::TransportChoice::Tcp,
    };
    backend.max_packet_gap = options.max_packet_gap;
    backend.request_timeout = options.request_timeout;
    backend.connect_timeout = options.connect_timeout;
    backend.no_packets_after_play = options.udp_timeout;
    backend.retry_min = options.retry_min;
    backend.retry_max = options.retry_max;
    backend.retry_unauthorized = options.retry_unauthorized;
    backend.user_agent = concat!("rtsp-proxy/", env!("CARGO_PKG_VERSION")).to_owned();
    backend.limits = message_limits(global);
    backend.dialogue = global.log.dialogues;
    let mut session = StreamOptions::new(backend);
    session.answer_deadline = options.answer_deadline;
    session.max_readers = options.max_readers;
    session.instant_max_bytes = options.instant_max;
    session.instant_max_age = options.instant_max_age;
    session.reorder = ReorderLimits {
        delay: Duration::from_millis(u64::from(options.reorder_ms)),
        ..ReorderLimits::default()
    };
    session.time = TimelineOptions {
        max_ts_step: options.max_ts_step,
        ntp: match options.ntp {
            NtpChoice::Proxy => NtpSource::Proxy,
            NtpChoice::Backend => NtpSource::Backend,
        },
    };
    session.packets = match options.packets {
        PacketsChoice::Relay => Packets::Relay,
        PacketsChoice::Reframe => Packets::Reframe,
    };
    session.max_udp_payload = options.max_udp_payload;
    session.on_loss = match options.on_loss {
        OnLossChoice::Pass => OnLoss::Pass,
        OnLossChoice::DropUnit => OnLoss::DropUnit,
        OnLossChoice::WaitKeyframe => OnLoss::WaitKeyframe,
    };
    session.max_unit = options.max_unit;
    let lag_max = u64::try_from(options.lag_max).unwrap_or(u64::MAX);
    StreamSetup {
        name: stream.name.clone(),
        options: session,
        start: match options.start {
            StartChoice::Instant => Start::Instant,
            StartChoice::KeyFrame => Start::KeyFrame,
            StartChoice::Live => Start::Live,
        },
        fan_out: FanOutLimits {
            log_max_bytes: options.log_max,
            log_max_age: options.log_max_age,
            lag_max_bytes: lag_max,
            lag_max_age: options.lag_max_age,
            shed_bytes: lag_max / 2,
            shed_age: options.lag_max_age / 2,
            stall: options.reader_stall,
            readers: options.max_readers,
            instant_max_bytes: options.instant_max,
            instant_max_age: options.instant_max_age,
            instant_rate: u64::from(options.instant_rate) * 1_000_000,
            max_segments: usize::try_from(options.udp_segments).unwrap_or(1),
            ..FanOutLimits::default()
        },
    }
}
