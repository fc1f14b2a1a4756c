//! What can be set, and every limit by its name.

use core::time::Duration;

use rtsp_proto::Limits;
use rtsp_proto::auth::Secret;

/// How a server treats its readers.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The realm named in challenges.
    pub realm: String,
    /// Who may read, by name and password. Empty: everybody, without being asked.
    pub users: Vec<(String, Secret)>,
    /// Bounds on single messages.
    pub limits: Limits,
    /// The session timeout announced to readers; whole seconds are sent.
    pub session_timeout: Duration,
    /// After this long without a sign of life a session is ended. Longer than what is announced,
    /// because a reader that keeps time exactly would otherwise lose the race now and then.
    pub reclaim_after: Duration,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one IP address; `None` sets no bound of its own.
    pub connections_per_address: Option<usize>,
    /// Sessions at once, those without a connection included.
    pub sessions: usize,
    /// Sessions at once made on one connection.
    pub sessions_per_connection: usize,
    /// Sessions at once of one IP address; `None` sets no bound of its own.
    pub sessions_per_address: Option<usize>,
    /// A connection that has sent no whole request by then is closed.
    pub first_request: Duration,
    /// A connection that owns no session and sends no request for this long is closed.
    pub idle_connection: Duration,
    /// How long the shell may take over a DESCRIBE before the reader is told 503.
    pub describe_deadline: Duration,
    /// The same for SETUP, PLAY and PAUSE.
    pub answer_deadline: Duration,
    /// What `Retry-After` says where the shell named nothing else.
    pub retry_after: Duration,
    /// Wrong credentials are answered only after this long, which makes guessing slow.
    pub failure_delay: Duration,
    /// A connection that has shown this many wrong credentials is closed.
    pub failures_per_connection: u32,
    /// The `Server` header; empty leaves it out.
    pub server_name: String,
    /// The first two digits of every session id made here.
    pub shard_tag: u8,
    /// Whether each message is handed out as [`Output::Dialogue`](crate::Output::Dialogue).
    pub dialogue: bool,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            realm: "rtsp-proxy".to_owned(),
            users: Vec::new(),
            limits: Limits::default(),
            session_timeout: Duration::from_secs(60),
            reclaim_after: Duration::from_secs(65),
            connections: 10_000,
            connections_per_address: None,
            sessions: 20_000,
            sessions_per_connection: 8,
            sessions_per_address: None,
            first_request: Duration::from_secs(10),
            idle_connection: Duration::from_secs(60),
            describe_deadline: Duration::from_secs(10),
            answer_deadline: Duration::from_secs(10),
            retry_after: Duration::from_secs(5),
            failure_delay: Duration::from_secs(1),
            failures_per_connection: 5,
            server_name: String::new(),
            shard_tag: 0,
            dialogue: false,
        }
    }
}

/// Longest request URL in bytes; a longer one is answered 414. A session keeps one per track.
pub const MAX_URI_BYTES: usize = 2048;

/// Tracks that one session can hold: a track of a higher number is answered 404.
pub const MAX_TRACKS: usize = 32;

/// Messages taken from one connection in one call of [`Server::handle`](crate::Server::handle).
pub const MAX_MESSAGES_PER_CALL: usize = 32;

/// Interleaved sessions that may be in PLAY on one connection: the bytes of a connection are cut
/// from one stream's log, so a second one is answered 455.
pub const MAX_PLAYING_INTERLEAVED_PER_CONNECTION: usize = 1;
