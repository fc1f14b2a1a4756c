//! Streams that this shard pulls.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_client::Input;
use fan_out::{Meter, TrackId};
use proxy_session::{Ask, Output, Stream, StreamEvent, TrackStatus};
use rtp_rtcp::Now;
use time_normalizer::{RefitCause, TimeEvent};

use super::Shard;
use super::backend::BackendIo;
use super::dynamic::Dynamic;
use crate::alarm::Alarm;
use crate::bus::{FromStream, ToStream};
use crate::clock;
use crate::options::StreamSetup;
use crate::registry::{StreamEntry, StreamId};

/// A stream and its backend's sockets.
pub(super) struct Home {
    pub(super) stream: Stream,
    pub(super) io: BackendIo,
    pub(super) entry: StreamEntry,
    /// What counts its batches, on whatever shard they are.
    pub(super) meter: Arc<Meter>,
    /// Shards with readers; where there is any, this one too, whose log others begin with.
    pub(super) subscribers: Vec<usize>,
    pub(super) alarm: Rc<Alarm>,
    /// For streams that were opened on demand.
    pub(super) dynamic: Option<Dynamic>,
    losses: Losses,
}

/// What was told of a backend that is not there, so that it is not told with each attempt.
#[derive(Default)]
struct Losses {
    last: Option<(String, Instant)>,
}

impl Losses {
    /// Whether this is news: another reason, or the same after a minute.
    fn is_news(&mut self, now: Instant, why: &str) -> bool {
        let known = self.last.as_ref().is_some_and(|(told, at)| {
            told == why && now.saturating_duration_since(*at) < TELL_LOSS_AGAIN
        });
        if !known {
            self.last = Some((why.to_owned(), now));
        }
        !known
    }
}

impl Shard {
    pub(super) fn add_home(&mut self, now: Now, entry: StreamEntry, setup: StreamSetup) {
        let id = entry.id;
        let alarm = Rc::new(Alarm::default());
        let seed = crate::entropy::seed();
        let meter = Arc::new(Meter::within(self.ledger.meter(self.me)));
        let io = BackendIo::new(&setup);
        let mut stream = Stream::new(now, &setup.name, setup.options, seed);
        stream.count_in(Arc::clone(&meter));
        let home = Home {
            stream,
            io,
            entry,
            meter,
            subscribers: Vec::new(),
            alarm: Rc::clone(&alarm),
            dynamic: None,
            losses: Losses::default(),
        };
        self.homes.insert(id, home);
        if let Some(shard) = self.shared() {
            tokio::task::spawn_local(async move {
                loop {
                    alarm.ring().await;
                    let now = clock::now();
                    let mut this = shard.borrow_mut();
                    match this.homes.get_mut(&id) {
                        Some(home) => home.stream.handle_timeout(now),
                        None => return,
                    }
                    this.drive_home(now, id);
                    this.settle(now);
                }
            });
        }
        self.drive_home(now, id);
    }

    /// Hands the stream what its backend sent or did, without settling.
    pub(super) fn backend_input(&mut self, now: Now, id: StreamId, input: Input<'_>) {
        if let Some(home) = self.homes.get_mut(&id) {
            home.stream.handle(now, input);
        }
    }

    pub(super) fn on_to_stream(&mut self, now: Now, id: StreamId, what: ToStream) {
        // The message that opens it may come by another shard, and later.
        self.open_home(now, id);
        let Some(home) = self.homes.get_mut(&id) else { return };
        if let Some(dynamic) = &mut home.dynamic {
            dynamic.on_reader(now);
        }
        match what {
            ToStream::Subscribe { shard } => return self.subscribe(now, id, shard),
            ToStream::Unsubscribe { shard } => {
                home.subscribers.retain(|s| *s != shard);
                if home.subscribers == [self.me] {
                    self.unwatch_home(id);
                }
                return;
            }
            ToStream::Ask { ticket, reader, ask } => {
                if home.stream.wants_history(ask) {
                    self.fork(now, id, ask);
                }
                let Some(home) = self.homes.get_mut(&id) else { return };
                home.stream.ask(now, ticket, reader, ask);
            }
            ToStream::Joined => home.stream.joined(),
            ToStream::Pause(reader) => home.stream.pause(now, reader),
            ToStream::Leave(reader) => home.stream.leave(now, reader),
        }
        self.drive_home(now, id);
    }

    /// Makes packets for a reader that is about to ask, from what others have been given.
    fn fork(&mut self, now: Now, id: StreamId, ask: Ask) {
        self.drive_home(now, id);
        let history: Vec<_> = match self.watches.get(&id) {
            Some(watch) => watch.audience.log_from_keys().cloned().collect(),
            None => Vec::new(),
        };
        if let Some(home) = self.homes.get_mut(&id) {
            home.stream.fork(now, ask, &history);
        }
    }

    /// A shard gets what is published from now on, and first what this one has of it.
    fn subscribe(&mut self, now: Now, id: StreamId, shard: usize) {
        let Some(home) = self.homes.get_mut(&id) else { return };
        let description = home.stream.description().cloned();
        let cname: Arc<str> = Arc::from(home.stream.cname());
        let entry = home.entry.clone();
        for subscriber in [self.me, shard] {
            if !home.subscribers.contains(&subscriber) {
                home.subscribers.push(subscriber);
            }
        }
        self.watch_home(&entry);
        if let Some(description) = description {
            if shard != self.me {
                self.described(id, &description, Arc::clone(&cname));
            }
            self.tell_shard(now, shard, id, FromStream::Described(description, cname));
        }
        if shard != self.me
            && let Some(watch) = self.watches.get(&id)
        {
            let batches: Arc<[_]> = watch.audience.log_from_keys().cloned().collect();
            let datagrams = watch.audience.datagrams_from_keys();
            let datagrams = datagrams.map(|batches| batches.cloned().collect());
            if !batches.is_empty() {
                self.tell_shard(now, shard, id, FromStream::Begin(batches));
            }
            if let Some(datagrams) = datagrams {
                self.tell_shard(now, shard, id, FromStream::Part(datagrams));
            }
        }
    }

    /// Does what the stream wants done, until it wants nothing more.
    pub(super) fn drive_home(&mut self, now: Now, id: StreamId) {
        if let Some(home) = self.homes.get_mut(&id) {
            home.stream.flush(now);
        }
        let mut published = false;
        while let Some(home) = self.homes.get_mut(&id) {
            let Some(output) = home.stream.poll_output() else { break };
            match output {
                Output::Publish(batch) => {
                    published = true;
                    self.tell(now, id, &FromStream::Publish(batch));
                }
                Output::Backend(output) => self.on_backend_output(now, id, output),
                Output::Part(batches) => self.tell(now, id, &FromStream::Part(batches)),
                Output::Unite => self.tell(now, id, &FromStream::Unite),
                Output::Clear => self.tell(now, id, &FromStream::Clear),
                Output::Described(description) => {
                    let cname = Arc::from(home.stream.cname());
                    self.tell(now, id, &FromStream::Described(description, cname));
                }
                Output::Reply { to, reply } => {
                    let shard = super::reader::shard_of(to);
                    self.tell_shard(now, shard, id, FromStream::Reply { ticket: to, reply });
                }
                Output::EndReaders { why } => {
                    self.tell(now, id, &FromStream::EndReaders { why: Arc::from(why) });
                }
                Output::Probe { host, port } => self.probe(id, host, port),
                Output::Event(event) => {
                    if let Some(dynamic) = &mut home.dynamic {
                        dynamic.on_event(&event);
                    }
                    let is_news = match &event {
                        StreamEvent::Lost { why, .. } => home.losses.is_news(now.mono, why),
                        StreamEvent::Described { .. } => {
                            home.losses = Losses::default();
                            true
                        }
                        _ => true,
                    };
                    let name = Arc::clone(home.stream.name());
                    self.judge_account(now, id, &event);
                    log(&name, event, is_news);
                }
                _ => {}
            }
        }
        if let Some(home) = self.homes.get(&id) {
            home.alarm.want(home.stream.poll_timeout());
        }
        if published {
            self.keep_budget(now);
        }
    }

    /// Finds out whether anybody takes connections there.
    fn probe(&self, id: StreamId, host: String, port: u16) {
        let Some(shard) = self.shared() else { return };
        tokio::task::spawn_local(async move {
            let connection = tokio::net::TcpStream::connect((host.as_str(), port));
            let is_there = tokio::time::timeout(PROBE, connection).await;
            let is_there = is_there.is_ok_and(|connection| connection.is_ok());
            let now = clock::now();
            let mut this = shard.borrow_mut();
            if let Some(home) = this.homes.get_mut(&id) {
                home.stream.probed(now, is_there);
                this.drive_home(now, id);
                this.settle(now);
            }
        });
    }

    pub(super) fn tell(&mut self, now: Now, id: StreamId, what: &FromStream) {
        let mut next = 0;
        while let Some(shard) =
            self.homes.get(&id).and_then(|home| home.subscribers.get(next).copied())
        {
            next += 1;
            self.tell_shard(now, shard, id, what.clone());
        }
    }

    /// Logs how things are, with the rate of the second that begins now.
    pub(super) fn log_status(&mut self, now: Now) {
        let Some(shard) = self.shared() else { return };
        let before: HashMap<StreamId, u64> =
            self.homes.iter().map(|(id, home)| (*id, home.stream.status().octets)).collect();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(RATE_OVER).await;
            let later = clock::now();
            let seconds = later.mono.saturating_duration_since(now.mono).as_secs_f64();
            shard.borrow().log_status_since(later, &before, seconds);
        });
    }

    fn log_status_since(&self, now: Now, before: &HashMap<StreamId, u64>, seconds: f64) {
        for (id, home) in &self.homes {
            let status = home.stream.status();
            let before = before.get(id).copied().unwrap_or(status.octets);
            let bits = status.octets.saturating_sub(before).saturating_mul(8) as f64;
            let mbit = (bits / seconds.max(0.001) / 1e4).round() / 100.0;
            let sum = |of: fn(&TrackStatus) -> u64| status.tracks.iter().map(of).sum::<u64>();
            let span = self.watches.get(id).map(|watch| watch.audience.log_span());
            let span = span.unwrap_or_default();
            let quirks: Vec<String> =
                home.stream.quirks().map(|(name, count)| format!("{name}:{count}")).collect();
            tracing::info!(
                stream = %home.stream.name(),
                state = status.state.as_str(),
                codecs = %if status.codecs.is_empty() { "unknown" } else { &status.codecs },
                mbit,
                packets = sum(|t| t.packets),
                lost = sum(|t| t.lost),
                relayed = sum(|t| t.relayed),
                made = sum(|t| t.made),
                relayed_udp = sum(|t| t.relayed_udp),
                made_udp = sum(|t| t.made_udp),
                dropped_udp = sum(|t| t.dropped_udp),
                units_dropped = sum(|t| t.units_dropped + t.units_too_large),
                readers = status.readers,
                playing = status.playing,
                log_bytes = home.meter.bytes(),
                log_ms = span.as_millis(),
                quirks = quirks.join(","),
                "status"
            );
        }
        self.log_lagging(now);
        self.log_refused_reports();
        self.log_not_sent();
    }
}

/// A smaller step of a backend's clock concerns nobody, in nanoseconds.
const LEAST_STEP_TOLD: u64 = 1_000_000_000;
/// How long a source that is not used may take to be found there.
const PROBE: Duration = Duration::from_secs(2);
/// How often it is told that a backend is not there for the same reason still.
const TELL_LOSS_AGAIN: Duration = Duration::from_secs(60);
/// The time over which a rate is taken.
const RATE_OVER: Duration = Duration::from_secs(1);

fn log(stream: &str, event: StreamEvent, is_news: bool) {
    match event {
        StreamEvent::Described { summary, tolerated } => {
            tracing::info!(%stream, tracks = %summary, "backend described");
            for what in tolerated {
                tracing::info!(%stream, %what, "backend's description repaired");
            }
        }
        StreamEvent::Lost { why, retry_in } => {
            let retry = format!("{:.1} s", retry_in.as_secs_f64());
            if is_news {
                tracing::warn!(%stream, %why, next_attempt_in = %retry, "backend not available");
            } else {
                tracing::debug!(%stream, %why, next_attempt_in = %retry, "backend not available");
            }
        }
        StreamEvent::Held { readers, at_most } => {
            let at_most = format!("{:.0} s", at_most.as_secs_f64());
            tracing::warn!(%stream, readers, %at_most, "readers wait for the backend to come back");
        }
        StreamEvent::Resumed { after } => {
            let after = format!("{:.1} s", after.as_secs_f64());
            tracing::info!(%stream, %after, "the stream goes on");
        }
        StreamEvent::Playing => tracing::debug!(%stream, "backend is playing"),
        StreamEvent::Paused => tracing::debug!(%stream, "backend is paused: nobody is watching"),
        StreamEvent::TrackEnded { track } => {
            tracing::warn!(%stream, track = u16::from(track.0) + 1, "the backend ended a track");
        }
        StreamEvent::TooLarge { track, bytes } => {
            let track = u16::from(track.0) + 1;
            tracing::warn!(%stream, track, bytes, "a packet was too large to be relayed and is dropped, as all such will be");
        }
        StreamEvent::Malformed { track, why } => {
            let track = u16::from(track.0) + 1;
            tracing::warn!(%stream, track, %why, "a packet that is not RTP is dropped, as all such will be");
        }
        StreamEvent::BadReport { track, why } => {
            let track = u16::from(track.0) + 1;
            tracing::warn!(%stream, track, %why, "a report of the backend's that cannot be read is refused, as all such will be");
        }
        StreamEvent::Time { track, event } => log_time(stream, track, &event),
        StreamEvent::Tolerated { quirk, detail } => {
            tracing::info!(%stream, quirk, %detail, "the backend departs from the protocol");
        }
        StreamEvent::Warning(what) => tracing::warn!(%stream, %what, "backend"),
        StreamEvent::Dialogue { sent, text } => {
            let to = if sent { "to backend" } else { "from backend" };
            tracing::debug!(target: "dialogue", %stream, dialogue = %format_args!("\n{text}"), "{to}");
        }
        _ => {}
    }
}

fn log_time(stream: &str, track: Option<TrackId>, event: &TimeEvent) {
    let track = track.map(|track| u16::from(track.0) + 1);
    match event {
        // Each start of the backend's is one.
        TimeEvent::Refitted { cause: RefitCause::Session, .. } => {
            tracing::debug!(%stream, track, what = %event, "time");
        }
        // Clocks that count in tenths of a second seem to step all the time.
        TimeEvent::BackendClockStepped { by } if by.nanos().unsigned_abs() < LEAST_STEP_TOLD => {
            tracing::debug!(%stream, track, what = %event, "time");
        }
        TimeEvent::BackendTime { .. } | TimeEvent::Realigned { .. } => {
            tracing::info!(%stream, track, what = %event, "time");
        }
        _ => tracing::warn!(%stream, track, what = %event, "time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_loss_is_news_once_a_minute() {
        let (mut losses, now) = (Losses::default(), clock::now().mono);
        let mut is_news = |second, why| losses.is_news(now + Duration::from_secs(second), why);
        assert!(is_news(0, "refused"));
        assert!((1..60).all(|second| !is_news(second, "refused")));
        assert!(is_news(60, "refused"));
        assert!(is_news(61, "no answer"));
        assert!(is_news(62, "refused"));
    }
}
