//! The settings themselves: plain values, checked when they were read.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use rtsp_proto::auth::{Credentials, Secret};
use rtsp_proto::url::RtspUrl;

use crate::ConfigError;
use crate::check::{check_stream_name, whole_settings};
use crate::choices::{
    IdleChoice, KeepAliveChoice, LevelChoice, LogFormat, NtpChoice, OnBackendLossChoice,
    OnLossChoice, PacketsChoice, PullChoice, StartChoice, TlsChoice, TracksChoice, TransportChoice,
};
use crate::environment::Variable;
use crate::load;
use crate::pattern::Pattern;
use crate::read::Raw;
use crate::schema;

/// Everything that can be chosen for the program.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What concerns all streams together.
    pub global: Global,
    /// What a stream is given that does not say otherwise.
    pub defaults: StreamOptions,
    /// The streams, in the order in which they were named. All names differ.
    pub streams: Vec<StreamSettings>,
    /// Nothing to serve was named: the program shows itself with the test camera.
    pub demo: bool,
    /// Variables about streams that are not there yet.
    pub(crate) waiting: Vec<Variable>,
}

/// What concerns all streams together.
#[derive(Clone, Debug)]
pub struct Global {
    /// The TCP port of the RTSP server; 0 lets the system choose. Default 8554.
    pub rtsp_port: u16,
    /// The addresses to listen on, at least one. Default all of IPv4 and IPv6.
    pub bind: Vec<IpAddr>,
    /// Threads that carry streams and readers; 0 = one per core, which is the default.
    pub workers: usize,
    /// Whether readers over TCP are served through io_uring where that is possible. Default yes.
    pub io_uring: bool,
    /// How long a reader's session lives without a sign of life, as it is told in `Session`.
    /// Default 60 s.
    pub session_timeout: Duration,
    /// Who may read, by digest authentication; anybody if empty.
    pub users: Vec<User>,
    /// What peers can make the server hold.
    pub limits: Limits,
    /// What is logged and how.
    pub log: Log,
}

/// A reader's name and password.
#[derive(Clone, Debug)]
pub struct User {
    /// The name; not empty, without colon.
    pub name: String,
    /// The password.
    pub password: Secret,
    /// The file to read it from: see [`Settings::read_secrets`].
    pub password_file: Option<String>,
}

/// What peers can make the server hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections of readers at one time. Default 10,000.
    pub connections: usize,
    /// Sessions on one connection. Default 8.
    pub sessions_per_connection: usize,
    /// Bytes of a message's first line and headers. Default 16 KiB.
    pub header_bytes: usize,
    /// Bytes of a message's body. Default 256 KiB.
    pub body_bytes: usize,
    /// How long a new connection may take for its first request. Default 10 s.
    pub first_request: Duration,
    /// How long a connection may stand without a session. Default 60 s.
    pub idle_connection: Duration,
    /// Streams of patterns that are open at one time. Default 64.
    pub max_dynamic: usize,
    /// Bytes that the media kept of all streams together may take; 0 = a quarter of the memory
    /// that the program may have, which is the default.
    pub log_budget: usize,
}

/// What is logged and how.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The least weight of an event that is logged. Default info.
    pub level: LevelChoice,
    /// The form of a line. Default text.
    pub format: LogFormat,
    /// Whether the RTSP messages themselves are logged, secrets blanked. Default no.
    pub dialogues: bool,
    /// How often one line per stream is logged; `None` = on SIGUSR1 only, which is the default.
    pub status: Option<Duration>,
}

/// What is published under one name.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// The path under which readers find it, without the leading slash; or a pattern of such names.
    pub name: String,
    /// Where it is pulled from; may carry credentials. With a pattern, `{1}` and so on in it stand
    /// for what the wildcards match: see [`Pattern::fill`].
    pub source: RtspUrl,
    /// How it is pulled and served.
    pub options: StreamOptions,
}

/// How a stream is pulled and served.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// The name to answer the backend's challenge with, where the URL carries none.
    pub user: Option<String>,
    /// The password that goes with it.
    pub password: Option<Secret>,
    /// The file to read it from: see [`Settings::read_secrets`].
    pub password_file: Option<String>,
    /// Whether the credentials are shown to other hosts that a backend redirects to. Default no.
    pub credentials_elsewhere: bool,
    /// How media travels from the backend. Default auto.
    pub transport: TransportChoice,
    /// The port of the HTTP tunnel; 0 = the URL's own, which is the default.
    pub http_port: u16,
    /// The UDP ports that media is received on; `None` = the system chooses, which is the default.
    pub backend_ports: Option<RangeInclusive<u16>>,
    /// The interface, by name or address, on which groups are joined; `None` = the one that leads
    /// to the backend, which is the default.
    pub interface: Option<String>,
    /// Whether the backend's certificate is verified. Default yes.
    pub tls: TlsChoice,
    /// The file with the authorities that are trusted, in place of the system's.
    pub tls_ca: Option<String>,
    /// The SHA-256 fingerprints of the only certificates that are accepted; none by default.
    pub tls_pin: Vec<[u8; 32]>,
    /// The name that is asked for and verified, in place of the host in the URL.
    pub tls_name: Option<String>,
    /// How long after PLAY media may fail to come over UDP before TCP is tried. Default 3 s.
    pub udp_timeout: Duration,
    /// How long the video may be silent before the backend is reset; `None` = for ever.
    /// Default 10 s.
    pub max_packet_gap: Option<Duration>,
    /// How long a TCP connection to the backend may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long the backend may take for an answer. Default 10 s.
    pub request_timeout: Duration,
    /// The wait after a first failure. Default 1 s.
    pub retry_min: Duration,
    /// The longest wait after failures in a row. Default 30 s.
    pub retry_max: Duration,
    /// The wait after the backend has refused the credentials twice. Default 5 min.
    pub retry_unauthorized: Duration,
    /// The time between attempts that find nobody, while readers are held. Default 1 s.
    pub retry_held: Duration,
    /// Whether the first of several sources is returned to. Default yes.
    pub return_to_first: bool,
    /// The time over which first attempts are spread, for each other stream. Default 50 ms.
    pub start_spread: Duration,
    /// When the backend is asked for media. Default while there are readers.
    pub pull: PullChoice,
    /// How long media is asked for after the last reader. Default 10 s.
    pub linger: Duration,
    /// What becomes of a connection that nobody needs. Default it is kept alive.
    pub idle: IdleChoice,
    /// The method of keep-alives. Default OPTIONS.
    pub keep_alive: KeepAliveChoice,
    /// Which tracks are pulled. Default all.
    pub tracks: TracksChoice,
    /// What becomes of readers when the backend is lost. Default they are held.
    pub on_backend_loss: OnBackendLossChoice,
    /// How long they are held. Default 60 s.
    pub hold_for: Duration,
    /// Whether they are shown the last picture again and again. Default no.
    pub hold_picture: bool,
    /// Where else the stream is to be had, in the order in which that is tried; from the list that
    /// `source` may be.
    pub other_sources: Vec<RtspUrl>,
    /// How long packets from UDP wait for one that is missing, in milliseconds. Default 100.
    pub reorder_ms: u32,
    /// How far the backend's timestamps may step before it counts as a new beginning. Default
    /// 1 s.
    pub max_ts_step: Duration,
    /// Whose time of day reports to readers carry. Default the proxy's.
    pub ntp: NtpChoice,
    /// How packets go on to readers. Default as they came where they fit.
    pub packets: PacketsChoice,
    /// The largest UDP payload where packets are made anew, in bytes. Default 1,472.
    pub max_udp_payload: usize,
    /// Which access units go on after a loss, where packets are made anew. Default all.
    pub on_loss: OnLossChoice,
    /// Bytes of an access unit that is put together. Default 16 MiB.
    pub max_unit: usize,
    /// Where a reader begins. Default instant.
    pub start: StartChoice,
    /// Bytes that a reader is caught up with at the most. Default 4 MiB.
    pub instant_max: usize,
    /// How old the key frame may be that a reader begins with. Default 5 s.
    pub instant_max_age: Duration,
    /// How fast a reader is caught up over UDP, in Mbit/s. Default 50.
    pub instant_rate: u32,
    /// Datagrams that one message to a UDP reader carries at the most. Default 64.
    pub udp_segments: u32,
    /// How long a reader's request may wait for the backend before it is refused. Default 10 s.
    pub answer_deadline: Duration,
    /// Readers at one time. Default 10,000.
    pub max_readers: usize,
    /// Bytes of media kept for readers to come and readers behind. Default 16 MiB.
    pub log_max: usize,
    /// How long media is kept. Default 12 s.
    pub log_max_age: Duration,
    /// Bytes a reader may lag behind before it jumps to a key frame. Default 2 MiB.
    pub lag_max: usize,
    /// How long a reader may lag behind before it jumps to a key frame. Default 2 s.
    pub lag_max_age: Duration,
    /// How long a reader may take no byte before it is cut. Default 65 s.
    pub reader_stall: Duration,
}

impl Settings {
    /// Reads a configuration file. `file` is how its name appears in errors.
    ///
    /// # Errors
    /// Everything that is wrong with the text: syntax, unknown keys, values of the wrong kind or out
    /// of range, values that contradict each other, streams without `source`.
    pub fn from_toml(text: &str, file: &str) -> Result<Self, ConfigError> {
        load::load(text, file, &[])
    }

    /// Reads a configuration file as [`Settings::from_toml`] does, and over it the variables of
    /// the environment that begin with `RTSP_PROXY_`: the key in capitals, with its section before
    /// it (`RTSP_PROXY_RTSP_PORT`, `RTSP_PROXY_LOG_LEVEL`, `RTSP_PROXY_DEFAULTS_TRANSPORT`,
    /// `RTSP_PROXY_STREAMS_HALL_PASSWORD`, `RTSP_PROXY_USERS_ANNA`); in names of streams and
    /// readers everything but letters and digits is `_`. A stream or a reader that is not in the
    /// file is added, its name in small letters; a stream needs its `..._SOURCE` then, or to be
    /// added by [`Settings::add_stream`]. Other variables are left alone.
    ///
    /// # Errors
    /// As for the file. Never the value of a variable.
    pub fn from_toml_and_environment(
        text: &str,
        file: &str,
        variables: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        load::load(text, file, variables)
    }

    /// Replaces passwords whose file is named by what `read` finds there, without the line's end.
    ///
    /// # Errors
    /// The first file that cannot be read or is empty, with its key; never what is in it.
    pub fn read_secrets(
        &mut self,
        read: impl Fn(&str) -> io::Result<String>,
    ) -> Result<(), String> {
        let secret = |key: &str, file: &str| {
            let text = read(file).map_err(|error| format!("{key}: {file}: {error}"))?;
            match text.trim_end_matches(['\r', '\n']) {
                "" => Err(format!("{key}: {file} is empty")),
                password => Ok(Secret::new(password)),
            }
        };
        for user in &mut self.global.users {
            if let Some(file) = &user.password_file {
                user.password = secret(&format!("users.{}", user.name), file)?;
            }
        }
        let streams = self
            .streams
            .iter_mut()
            .map(|stream| (format!("streams.{}.password_file", stream.name), &mut stream.options));
        let defaults = ("defaults.password_file".to_owned(), &mut self.defaults);
        for (key, options) in std::iter::once(defaults).chain(streams) {
            if let Some(file) = &options.password_file {
                options.password = Some(secret(&key, file)?);
            }
        }
        Ok(())
    }

    /// Sets one value from plain text, over what a file said: `key` is the key with its section
    /// (`rtsp_port`, `log.format`, `defaults.transport`). What is set for `defaults` is also set for
    /// all streams that are there already.
    ///
    /// # Errors
    /// An unknown key, or text that is not right for it; in words for the person who wrote it.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        let raw = Raw::Bare(text);
        if let Some(name) = key.strip_prefix("defaults.") {
            let key = schema::STREAM.iter().find(|key| key.name == name);
            let key = key.ok_or_else(|| format!("unknown key `{name}`"))?;
            let streams = self.streams.iter_mut().map(|stream| &mut stream.options);
            for options in std::iter::once(&mut self.defaults).chain(streams) {
                key.set(options, &raw)?;
                options.forget_other_password(name);
            }
            return Ok(());
        }
        let (section, name) = key.split_once('.').unwrap_or(("", key));
        let key = schema::SECTIONS
            .iter()
            .filter(|known| known.name == section)
            .find_map(|known| known.keys.iter().find(|key| key.name == name))
            .ok_or_else(|| format!("unknown key `{key}`"))?;
        key.set(&mut self.global, &raw)
    }

    /// Adds a stream with the default options.
    ///
    /// # Errors
    /// A name that cannot be one or that is there already; in words.
    pub fn add_stream(&mut self, name: &str, source: RtspUrl) -> Result<(), String> {
        check_stream_name(name)?;
        if self.streams.iter().any(|stream| stream.name == name) {
            return Err(format!("there are two streams with the name `{name}`"));
        }
        let options = self.defaults.clone();
        let mut stream = StreamSettings { name: name.to_owned(), source, options };
        let mut waiting = std::mem::take(&mut self.waiting);
        for variable in waiting.extract_if(.., |variable| variable.is_of(name)) {
            variable.set(&mut stream)?;
        }
        self.waiting = waiting;
        self.streams.push(stream);
        Ok(())
    }

    /// Checks what one value alone does not show. [`Settings::from_toml`] has done so for a file;
    /// after [`Settings::set`] it is to be done again.
    ///
    /// # Errors
    /// The first contradiction, in words.
    pub fn check(&self) -> Result<(), String> {
        if let Some(variable) = self.waiting.first() {
            return Err(format!("{variable}: there is no such stream"));
        }
        let first = whole_settings(self).into_iter().next();
        first.map_or(Ok(()), |(key, what)| Err(format!("{key}: {what}")))
    }
}

impl StreamOptions {
    /// A password that was set goes before a file that was named earlier, and the other way round.
    pub(crate) fn forget_other_password(&mut self, key: &str) {
        match key {
            "password" => self.password_file = None,
            "password_file" => self.password = None,
            _ => {}
        }
    }
}

impl StreamSettings {
    /// The pattern that the name is, if it is one.
    #[must_use]
    pub fn pattern(&self) -> Option<Pattern> {
        Pattern::parse(&self.name).ok()
    }

    /// What to answer the backend's challenge with: the URL's own credentials, else those of the
    /// options, where there is a user.
    #[must_use]
    pub fn credentials(&self) -> Option<Credentials> {
        self.credentials_for(&self.source)
    }

    /// The same for one of the other sources.
    #[must_use]
    pub fn credentials_for(&self, source: &RtspUrl) -> Option<Credentials> {
        source.credentials.clone().or_else(|| {
            let user = self.options.user.clone()?;
            let password = self.options.password.clone().unwrap_or_else(|| Secret::new(""));
            Some(Credentials { user, password })
        })
    }
}

impl Default for Global {
    fn default() -> Self {
        Self {
            rtsp_port: 8554,
            bind: vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            workers: 0,
            io_uring: true,
            session_timeout: Duration::from_secs(60),
            users: Vec::new(),
            limits: Limits::default(),
            log: Log::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            sessions_per_connection: 8,
            header_bytes: 16 << 10,
            body_bytes: 256 << 10,
            first_request: Duration::from_secs(10),
            idle_connection: Duration::from_secs(60),
            max_dynamic: 64,
            log_budget: 0,
        }
    }
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            user: None,
            password: None,
            password_file: None,
            credentials_elsewhere: false,
            transport: TransportChoice::default(),
            http_port: 0,
            backend_ports: None,
            interface: None,
            tls: TlsChoice::default(),
            tls_ca: None,
            tls_pin: Vec::new(),
            tls_name: None,
            udp_timeout: Duration::from_secs(3),
            max_packet_gap: Some(Duration::from_secs(10)),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
            retry_min: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            retry_unauthorized: Duration::from_secs(300),
            retry_held: Duration::from_secs(1),
            return_to_first: true,
            start_spread: Duration::from_millis(50),
            pull: PullChoice::default(),
            linger: Duration::from_secs(10),
            idle: IdleChoice::default(),
            keep_alive: KeepAliveChoice::default(),
            tracks: TracksChoice::default(),
            on_backend_loss: OnBackendLossChoice::default(),
            hold_for: Duration::from_secs(60),
            hold_picture: false,
            other_sources: Vec::new(),
            reorder_ms: 100,
            max_ts_step: Duration::from_secs(1),
            ntp: NtpChoice::default(),
            packets: PacketsChoice::default(),
            max_udp_payload: 1472,
            on_loss: OnLossChoice::default(),
            max_unit: 16 << 20,
            start: StartChoice::default(),
            instant_max: 4 << 20,
            instant_max_age: Duration::from_secs(5),
            instant_rate: 50,
            udp_segments: 64,
            answer_deadline: Duration::from_secs(10),
            max_readers: 10_000,
            log_max: 16 << 20,
            log_max_age: Duration::from_secs(12),
            lag_max: 2 << 20,
            lag_max_age: Duration::from_secs(2),
            reader_stall: Duration::from_secs(65),
        }
    }
}
