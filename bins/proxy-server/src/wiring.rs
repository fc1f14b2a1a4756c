//! Settings as the parts of the proxy take them.

use std::fs;

use anyhow::{Context, Result};
use fan_out::{FanOutLimits, Start};
use proxy_config::{
    Global, IdleChoice, KeepAliveChoice, NtpChoice, OnBackendLossChoice, OnLossChoice,
    PacketsChoice, PullChoice, Settings, StartChoice, StreamSettings, TlsChoice, TracksChoice,
    TransportChoice,
};
use proxy_io::{
    Authorities, Fingerprint, Interface, ProxyOptions, Reach, StreamSetup, TlsOptions, Trust,
};
use proxy_session::{OnBackendLoss, OnLoss, Packets, StreamOptions};
use rtp_rtcp::ReorderLimits;
use rtsp_proto::url::RtspUrl;
use rtsp_proto::url::Scheme;
use rtsp_server::ServerOptions;
use std::time::Duration;
use time_normalizer::{NtpSource, TimelineOptions};

use crate::patterns::{Family, on_demand};

/// A session is ended this much later than its reader was told: one that keeps time exactly would
/// otherwise lose the race now and then.
const RECLAIM_GRACE: Duration = Duration::from_secs(5);

/// A stream's own refusal, which says why, goes before the server's.
const ANSWER_GRACE: Duration = Duration::from_secs(1);

/// First attempts are spread over no more than this.
const LONGEST_SPREAD: Duration = Duration::from_secs(60);

/// What the shell is started with.
///
/// # Errors
/// A file with authorities that cannot be read or used.
pub(crate) fn proxy_options(settings: &Settings) -> Result<ProxyOptions> {
    let global = &settings.global;
    // Both families by default, but a host may lack one of them; what was named has to be there.
    let bind = match global.bind == Global::default().bind {
        true => Vec::new(),
        false => global.bind.clone(),
    };
    let (mut streams, mut families) = (Vec::new(), Vec::new());
    for stream in &settings.streams {
        let setup = stream_setup(global, stream, settings.streams.len())?;
        match stream.pattern() {
            None => streams.push(setup),
            Some(pattern) => {
                families.push(Family { pattern, setup, linger: stream.options.linger })
            }
        }
    }
    Ok(ProxyOptions {
        bind,
        rtsp_port: global.rtsp_port,
        workers: global.workers,
        io_uring: global.io_uring,
        log_budget: global.limits.log_budget,
        server: server_options(settings),
        streams,
        on_demand: on_demand(global.limits.max_dynamic, families),
        ..ProxyOptions::default()
    })
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

fn stream_setup(
    global: &Global,
    stream: &StreamSettings,
    spread_with: usize,
) -> Result<StreamSetup> {
    let options = &stream.options;
    let mut backend = backend_client::Options::new(stream.source.clone());
    backend.credentials = stream.credentials();
    backend.transport = match options.transport {
        // What goes over UDP is not encrypted.
        TransportChoice::Auto if stream.source.scheme == Scheme::Rtsps => {
            backend_client::TransportChoice::Tcp
        }
        TransportChoice::Auto => backend_client::TransportChoice::Auto,
        TransportChoice::Udp => backend_client::TransportChoice::Udp,
        TransportChoice::Tcp => backend_client::TransportChoice::Tcp,
        TransportChoice::Multicast => backend_client::TransportChoice::Multicast,
        TransportChoice::Http => backend_client::TransportChoice::Http,
    };
    backend.http_port = Some(options.http_port).filter(|port| *port != 0);
    backend.credentials_elsewhere = options.credentials_elsewhere;
    backend.max_packet_gap = options.max_packet_gap;
    backend.request_timeout = options.request_timeout;
    backend.connect_timeout = options.connect_timeout;
    backend.no_packets_after_play = options.udp_timeout;
    backend.retry_min = options.retry_min;
    backend.retry_max = options.retry_max;
    backend.retry_unauthorized = options.retry_unauthorized;
    backend.retry_held = options.retry_held;
    // For each of the others: one stream alone begins at once.
    let others = u32::try_from(spread_with.saturating_sub(1)).unwrap_or(u32::MAX);
    backend.start_spread = options.start_spread.saturating_mul(others).min(LONGEST_SPREAD);
    backend.linger = options.linger;
    backend.idle = match options.idle {
        IdleChoice::KeepAlive => backend_client::IdlePolicy::KeepAlive,
        IdleChoice::Close => backend_client::IdlePolicy::Close,
    };
    backend.keep_alive = match options.keep_alive {
        KeepAliveChoice::Options => backend_client::KeepAliveMethod::Options,
        KeepAliveChoice::GetParameter => backend_client::KeepAliveMethod::GetParameter,
        KeepAliveChoice::SetParameter => backend_client::KeepAliveMethod::SetParameter,
    };
    match &options.tracks {
        TracksChoice::All => {}
        TracksChoice::Requested => backend.tracks = backend_client::TrackChoice::Requested,
        TracksChoice::Kinds(kinds) => {
            backend.allowed = backend_client::AllowedMedia::Kinds(kinds.clone());
        }
    }
    let other = |url: &RtspUrl| backend_client::Source {
        url: url.clone(),
        credentials: stream.credentials_for(url),
    };
    backend.alternates = options.other_sources.iter().map(other).collect();
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
        PacketsChoice::Auto => Packets::Auto,
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
    session.on_backend_loss = match options.on_backend_loss {
        OnBackendLossChoice::Hold => OnBackendLoss::Hold,
        OnBackendLossChoice::Close => OnBackendLoss::Close,
    };
    session.hold_for = options.hold_for;
    session.hold_picture = options.hold_picture;
    session.return_to_first = options.return_to_first;
    session.pull_always = options.pull == PullChoice::Always;
    let lag_max = u64::try_from(options.lag_max).unwrap_or(u64::MAX);
    Ok(StreamSetup {
        name: stream.name.clone(),
        options: session,
        reach: reach(stream)?,
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
    })
}

/// How the stream's backend is reached.
fn reach(stream: &StreamSettings) -> Result<Reach> {
    let options = &stream.options;
    let trust = match (options.tls, &options.tls_pin[..], &options.tls_ca) {
        (TlsChoice::Insecure, ..) => Trust::Anything,
        (TlsChoice::Verify, pins @ [_, ..], _) => {
            Trust::Pinned(pins.iter().copied().map(Fingerprint::from).collect())
        }
        (TlsChoice::Verify, [], Some(file)) => {
            let key = || format!("streams.{}.tls_ca: {file}", stream.name);
            let pem = fs::read(file).with_context(key)?;
            Trust::Authorities(Authorities::from_pem(&pem).with_context(key)?)
        }
        (TlsChoice::Verify, [], None) => Trust::System,
    };
    Ok(Reach {
        ports: options.backend_ports.clone(),
        interface: options.interface.as_deref().map(Interface::from),
        tls: TlsOptions { trust, name: options.tls_name.clone() },
    })
}
