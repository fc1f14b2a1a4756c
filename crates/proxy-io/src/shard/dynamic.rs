//! Streams that readers open by asking for them.
//!
//! Such a stream is in the registry from the moment that somebody asked for its name; its home makes
//! it when it is told so, or when the first question about it comes, whichever is first. Sessions
//! and questions that wait hold its lease. Once nobody has held that for `linger`, the name is
//! forgotten, in the same breath in which the registry sees that still nobody has; then the backend
//! gets its TEARDOWN, and the home is dropped.

use std::time::{Duration, Instant};

use proxy_session::StreamEvent;
use rtp_rtcp::Now;
use rtsp_proto::StatusCode;
use rtsp_server::{Answer, ConnId};

use super::{Shard, Shared};
use crate::clock;
use crate::registry::{Sought, StreamEntry, StreamId};
use crate::rtcp_routes;

/// How long a stream is kept whose backend cannot be had and that nobody waits for. Its back-off
/// is known until then.
const FAILED_LINGER: Duration = Duration::from_secs(5);
/// The least time without a reader: one that has been told what there is has no session yet.
const LEAST_LINGER: Duration = Duration::from_secs(1);
/// Between two looks whether anybody wants a stream.
const LOOK: Duration = Duration::from_millis(500);
/// How long the TEARDOWN of a stream that is closed may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Between two looks whether that is done.
const LOOK_CLOSING: Duration = Duration::from_millis(20);
/// When it may be worth asking again where as many streams are open as may be.
const RETRY_FULL: Duration = Duration::from_secs(5);

/// What is known of a stream that was opened on demand.
#[derive(Debug)]
pub(super) struct Dynamic {
    linger: Duration,
    /// When a reader was last known to want it.
    used: Instant,
    has_failed: bool,
}

/// What a look at a stream led to.
enum Look {
    /// It is open; another look is due then.
    Again(Instant),
    /// It is being closed.
    Closing,
    /// There is none.
    Gone,
}

impl Dynamic {
    /// A reader asked, came or left.
    pub(super) fn on_reader(&mut self, now: Now) {
        self.used = now.mono;
    }

    pub(super) fn on_event(&mut self, event: &StreamEvent) {
        match event {
            StreamEvent::Lost { .. } => self.has_failed = true,
            StreamEvent::Described { .. } => self.has_failed = false,
            _ => {}
        }
    }

    /// When it is to be closed if nobody comes.
    fn due(&self) -> Instant {
        self.used + if self.has_failed { FAILED_LINGER } else { self.linger.max(LEAST_LINGER) }
    }
}

impl Shard {
    /// The stream of that name, opened if need be; or what its reader is answered.
    pub(super) fn seek(
        &mut self,
        now: Now,
        conn: ConnId,
        name: &str,
    ) -> Result<StreamEntry, Answer> {
        let (status, retry_after, why) = match self.registry.seek(now.mono, name) {
            Sought::There(entry) => return Ok(entry),
            Sought::Opened(entry) => {
                tracing::debug!(stream = %entry.name, "a reader opens the stream");
                self.post(entry.home, crate::bus::Message::Open(entry.id));
                return Ok(entry);
            }
            Sought::Unknown => (StatusCode::NOT_FOUND, None, "no such stream"),
            Sought::Resting(left) => {
                let why = "its backend has locked us out";
                (StatusCode::SERVICE_UNAVAILABLE, Some(left.max(LEAST_LINGER)), why)
            }
            Sought::Full { tells } => {
                let peer = rtcp_routes::display(self.conns.get(&conn).map(|c| c.peer));
                let limit = self.options.on_demand.max();
                if tells {
                    tracing::warn!(stream = name, %peer, limit, "a stream is not opened: as many as may be are open (max_dynamic)");
                }
                let why = "as many streams are open as may be";
                (StatusCode::SERVICE_UNAVAILABLE, Some(RETRY_FULL), why)
            }
        };
        tracing::debug!(stream = name, %conn, status = status.0, why, "a reader was refused");
        Err(Answer::Refused { status, retry_after, reason: String::new() })
    }

    /// Begins with a stream of this shard that was opened, if that has not been done.
    pub(super) fn open_home(&mut self, now: Now, id: StreamId) {
        if self.stopping || self.homes.contains_key(&id) {
            return;
        }
        let Some((entry, opening)) = self.registry.take(id) else { return };
        let mut setup = opening.setup;
        // Somebody waits for it.
        setup.options.backend.start_spread = Duration::ZERO;
        let dynamic = Dynamic { linger: opening.linger, used: now.mono, has_failed: false };
        self.add_home(now, entry, setup);
        if let Some(home) = self.homes.get_mut(&id) {
            home.dynamic = Some(dynamic);
        }
        if let Some(shard) = self.shared() {
            tokio::task::spawn_local(look_after(shard, id));
        }
    }

    /// Closes a stream that nobody has wanted for long enough.
    fn look(&mut self, now: Now, id: StreamId) -> Look {
        let Some(home) = self.homes.get_mut(&id) else { return Look::Gone };
        let Some(dynamic) = &mut home.dynamic else { return Look::Gone };
        if home.entry.lease.is_held() {
            dynamic.used = now.mono;
        }
        let due = dynamic.due();
        if due > now.mono {
            return Look::Again(due.min(now.mono + LOOK));
        }
        let rest = home.stream.locked_until().filter(|until| *until > now.mono);
        if !self.registry.close(&home.entry, rest) {
            return Look::Again(now.mono + LOOK);
        }
        let has_failed = dynamic.has_failed;
        tracing::debug!(stream = %home.entry.name, has_failed, "stream closed: nobody wants it");
        home.stream.shutdown(now);
        self.drive_home(now, id);
        Look::Closing
    }

    fn drop_home(&mut self, now: Now, id: StreamId) {
        self.unwatch_home(id);
        if let Some(home) = self.homes.remove(&id) {
            // Its task sees that there is nothing left to do.
            home.alarm.want(Some(now.mono));
        }
        self.registry.over(id);
    }

    fn is_closed(&self, id: StreamId) -> bool {
        self.homes.get(&id).is_none_or(|home| home.stream.is_finished())
    }
}

/// Keeps a stream open for as long as it is wanted, and closes it.
async fn look_after(shard: Shared, id: StreamId) {
    loop {
        let look = {
            let now = clock::now();
            let mut this = shard.borrow_mut();
            let look = this.look(now, id);
            if matches!(look, Look::Closing) {
                this.settle(now);
            }
            look
        };
        match look {
            Look::Again(at) => tokio::time::sleep_until(at.into()).await,
            Look::Closing => break,
            Look::Gone => return,
        }
    }
    let deadline = clock::mono() + CLOSING;
    while !shard.borrow().is_closed(id) && clock::mono() < deadline {
        tokio::time::sleep(LOOK_CLOSING).await;
    }
    let now = clock::now();
    let mut this = shard.borrow_mut();
    this.drop_home(now, id);
    this.settle(now);
}
