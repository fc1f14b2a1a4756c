//! What readers want, and what they are answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend_client::{Demand, Phase, TrackChoice};
use fan_out::{Start, TrackId, TrackMask};
use rtp_rtcp::{Now, ReportSchedule};
use rtsp_proto::StatusCode;

use crate::asks::{Ask, Delivery, ReaderId, Refusal, Reply, Ticket, TrackWelcome, Welcome};
use crate::backend::RETRY_AFTER;
use crate::output::Output;
use crate::relay::Held;
use crate::stream::Stream;
use crate::track::Track;

/// A reader that has set up a track, or is about to.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Interest {
    /// The tracks it was told are set up, and all that it asked for.
    pub(crate) tracks: TrackMask,
    asked: TrackMask,
    /// Whether it wants media.
    pub(crate) wants: bool,
    /// How it gets that.
    pub(crate) delivery: Delivery,
    /// Whether it was told that it gets media.
    plays: bool,
}

/// An ask that waits for the backend.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) reader: ReaderId,
    pub(crate) ask: Ask,
    pub(crate) until: Instant,
}

impl Stream {
    /// Answers a reader's question, now or when the backend has answered: each one once, but for
    /// what a reader that leaves still waits for.
    pub fn ask(&mut self, now: Now, ticket: Ticket, reader: ReaderId, ask: Ask) {
        if let Some(refusal) = self.refusal(reader, ask) {
            self.out.push_back(Output::Reply { to: ticket, reply: Reply::Refused(refusal) });
            return;
        }
        // Unless it has been made already, with what was published before.
        self.fork(now, ask, &[]);
        let reply = self.answer_now(now, ask);
        let until = now.mono + self.options.answer_deadline;
        if let Some(at) = self.client.locked_until().filter(|at| *at > until)
            && !self.is_available
            && reply.is_none()
        {
            let why = "the backend rejects the user name or password";
            let retry = at.saturating_duration_since(now.mono);
            self.refuse(ticket, StatusCode::SERVICE_UNAVAILABLE, retry, why);
            return;
        }
        if reply.is_none() && self.waiting.len() >= self.options.max_waiting {
            let why = "too many readers wait for this backend (max_waiting)";
            self.refuse(ticket, StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(1), why);
            return;
        }
        match ask {
            Ask::Describe => {}
            Ask::SetUp { track } => self.readers.entry(reader).or_default().asked.insert(track),
            Ask::Play { delivery, .. } => {
                if !self.readers.values().any(|interest| interest.wants) {
                    // Nobody has kept what was pulled for nobody.
                    self.tracks.iter_mut().flatten().for_each(Track::forget_keys);
                }
                let interest = self.readers.entry(reader).or_default();
                (interest.wants, interest.delivery) = (true, delivery);
            }
        }
        self.update_demand(now);
        // The demand may have been all that was missing.
        if let Some(reply) = reply.or_else(|| self.answer_now(now, ask)) {
            self.answer(ticket, reader, ask, reply);
            self.update_demand(now);
        } else {
            self.waiting.push(Waiting { ticket, reader, ask, until });
            if !self.is_available {
                self.client.retry_now(now);
            }
        }
        self.drain_client(now, false);
    }

    /// A reader wants no media for the moment, but keeps its session.
    pub fn pause(&mut self, now: Now, reader: ReaderId) {
        if let Some(interest) = self.readers.get_mut(&reader) {
            (interest.wants, interest.plays) = (false, false);
        }
        let is_its_play = |w: &Waiting| w.reader == reader && matches!(w.ask, Ask::Play { .. });
        let status = StatusCode::METHOD_NOT_VALID_IN_THIS_STATE;
        self.refuse_waiting(is_its_play, status, RETRY_AFTER, "the reader paused meanwhile");
        self.update_demand(now);
        self.drain_client(now, false);
    }

    /// A reader is gone, with whatever it was waiting for.
    pub fn leave(&mut self, now: Now, reader: ReaderId) {
        self.waiting.retain(|w| w.reader != reader || w.ask == Ask::Describe);
        if self.readers.remove(&reader).is_some() {
            self.update_demand(now);
            self.drain_client(now, false);
        }
    }

    pub(crate) fn update_demand(&mut self, now: Now) {
        if self.readers.is_empty() && self.outage.is_some() {
            self.end_outage(now);
        }
        self.want_tracks(now);
        self.settle_renditions();
        let is_wanted = self.readers.values().any(|interest| interest.wants);
        let demand = if is_wanted || (self.options.pull_always && !self.is_shut_down) {
            Demand::Playing
        } else if !self.readers.is_empty() {
            Demand::Ready
        } else {
            Demand::Idle
        };
        if demand == self.demand {
            return;
        }
        if demand == Demand::Playing {
            self.begin_playing(now);
        } else if self.demand == Demand::Playing {
            self.end_playing();
        }
        self.demand = demand;
        self.client.set_demand(now, demand);
        if demand == Demand::Playing && self.client.state() == Phase::Playing {
            // It had not come to PAUSE yet, so it says nothing new.
            self.on_playing(now);
        }
    }

    /// Tells the backend which tracks readers want, where that is what it sends.
    fn want_tracks(&mut self, now: Now) {
        if self.options.backend.tracks != TrackChoice::Requested {
            return;
        }
        let all = self.readers.values().flat_map(|interest| interest.asked.iter());
        let wanted: TrackMask = all.collect();
        if wanted != self.wanted {
            self.wanted = wanted;
            self.client.want_tracks(now, wanted.iter().map(TrackId::index));
        }
    }

    /// Numbers and times go on from here, whatever the backend's next packets carry.
    fn begin_playing(&mut self, now: Now) {
        let until = now.mono + self.options.answer_deadline + MAX_HELD_AFTER_ANSWER;
        let held = Held { batches: Vec::new(), bytes: 0, until, first: None };
        self.held = Some(held).filter(|_| !self.readers.is_empty());
        self.timeline.restart();
        for track in self.tracks.iter_mut().flatten() {
            track.begin();
            track.schedule = ReportSchedule::seeded(now.mono, self.rng.next());
        }
    }

    /// What has not been published is an old picture by the time that somebody plays again.
    fn end_playing(&mut self) {
        self.is_playing = false;
        self.building = None;
        self.key_unit = None;
        self.builder.begin(TrackId(0));
        self.receiver_reports.clear();
        self.held = None;
        for track in self.tracks.iter_mut().flatten() {
            track.restart();
        }
        self.unite();
        self.out.push_back(Output::Clear);
    }

    /// What needs no look at the backend to be refused.
    fn refusal(&self, reader: ReaderId, ask: Ask) -> Option<Refusal> {
        let refusal = |status, retry_after, why: &str| {
            Some(Refusal { status, retry_after, why: why.to_owned() })
        };
        if self.is_shut_down {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, None, "the proxy is shutting down");
        }
        if self.is_unknown(ask) {
            return refusal(StatusCode::NOT_FOUND, None, UNKNOWN_TRACK);
        }
        let is_known = self.readers.contains_key(&reader);
        match ask {
            Ask::SetUp { .. } if !is_known && self.readers.len() >= self.options.max_readers => {
                let why = "the stream has as many readers as it may have (max_readers)";
                refusal(StatusCode::NOT_ENOUGH_BANDWIDTH, Some(RETRY_AFTER), why)
            }
            Ask::Play { .. } if !is_known => {
                let why = "the reader has set up nothing";
                refusal(StatusCode::METHOD_NOT_VALID_IN_THIS_STATE, None, why)
            }
            _ => None,
        }
    }

    fn answer_now(&mut self, now: Now, ask: Ask) -> Option<Reply> {
        let is_away = self.takes_in();
        let description = self.description.as_ref().filter(|_| self.is_available || is_away)?;
        match ask {
            Ask::Describe if description.tracks.is_empty() => {
                let why = "the backend offers no track that can be relayed".to_owned();
                let status = StatusCode::BAD_GATEWAY;
                Some(Reply::Refused(Refusal { status, retry_after: None, why }))
            }
            Ask::Describe => Some(Reply::Described(Arc::clone(description))),
            Ask::SetUp { track } if is_away => Some(Reply::SetUp { ssrc: self.track(track)?.ssrc }),
            Ask::SetUp { track } => match self.set_up_answer(track)? {
                Ok(()) => Some(Reply::SetUp { ssrc: self.track(track)?.ssrc }),
                Err(status) => {
                    let why = "the backend refused the track".to_owned();
                    let retry_after = retry_after(status, RETRY_AFTER);
                    Some(Reply::Refused(Refusal { status, retry_after, why }))
                }
            },
            Ask::Play { tracks, start, delivery } => {
                let plays = self.is_playing && self.client.state() == Phase::Playing;
                (plays || is_away).then(|| self.welcome(now, tracks, start, delivery))
            }
        }
    }

    /// What a reader that joins after this is told about its tracks.
    fn welcome(&mut self, now: Now, wanted: TrackMask, start: Start, delivery: Delivery) -> Reply {
        // It begins with what is published from here on, and the newest key unit before it.
        self.flush(now);
        self.timeline.handle_timeout(now);
        let instant = (start == Start::Instant)
            .then_some((self.options.instant_max_bytes, self.options.instant_max_age));
        let key = |track: &Track| instant.and_then(|limits| track.key_unit(now.mono, limits));
        for track in self.tracks.iter_mut().flatten() {
            if start != Start::Live && wanted.contains(track.id) && key(track).is_none() {
                track.wish_for_key();
            }
            if wanted.contains(track.id) {
                track.told.get_or_insert_with(|| self.timeline.report(now, track.index));
            }
        }
        self.request_keys(now);
        let is_wanted = |track: &&Track| wanted.contains(track.id);
        let tracks = || self.tracks.iter().flatten().filter(is_wanted);
        // RTP-Info stands for one instant, and no packet may come from before it.
        let begun = match &self.held {
            Some(held) => held.first.unwrap_or(now),
            None => {
                let late = |track: &Track| track.lateness(now, &self.timeline, key(track));
                let late = tracks().map(late).max();
                let late = late.unwrap_or_default();
                Now { mono: now.mono.checked_sub(late).unwrap_or(now.mono), ..now }
            }
        };
        let welcomes: Vec<_> = tracks()
            .map(|track| TrackWelcome {
                track: track.id,
                ssrc: track.ssrc,
                next_seq: {
                    let lowest = match self.held {
                        Some(_) => track.session_seq(),
                        None => track.lowest_seq(key(track)),
                    };
                    track.fork_for(delivery).map_or(lowest, |fork| fork.lowest(lowest)).seq()
                },
                rtptime: self.timeline.at(begun, track.index),
                live: track.gate.is_some().then(|| self.timeline.at(now, track.index)),
                report: self.report(now, track, track.fork_for(delivery)),
            })
            .collect();
        if welcomes.is_empty() {
            let why = UNKNOWN_TRACK.to_owned();
            let status = StatusCode::NOT_FOUND;
            return Reply::Refused(Refusal { status, retry_after: None, why });
        }
        Reply::Playing(Welcome { tracks: welcomes })
    }

    /// Answers those whose question the backend has answered.
    pub(crate) fn answer_waiting(&mut self, now: Now) {
        let (mut index, mut has_refused) = (0, false);
        while let Some(ask) = self.waiting.get(index).map(|w| w.ask) {
            let reply = if self.is_unknown(ask) {
                let why = UNKNOWN_TRACK.to_owned();
                let status = StatusCode::NOT_FOUND;
                Some(Reply::Refused(Refusal { status, retry_after: None, why }))
            } else {
                self.answer_now(now, ask)
            };
            if let Some(reply) = reply {
                let Waiting { ticket, reader, ask, .. } = self.waiting.remove(index);
                has_refused |= matches!(reply, Reply::Refused(_));
                self.answer(ticket, reader, ask, reply);
            } else {
                index += 1;
            }
        }
        if has_refused {
            self.update_demand(now);
        }
    }

    /// Gives a reader its answer, and takes note of what it has now.
    fn answer(&mut self, to: Ticket, reader: ReaderId, ask: Ask, reply: Reply) {
        let is_refused = matches!(reply, Reply::Refused(_));
        self.out.push_back(Output::Reply { to, reply });
        let Some(interest) = self.readers.get_mut(&reader) else { return };
        match ask {
            Ask::Describe => {}
            Ask::SetUp { track } if !is_refused => interest.tracks.insert(track),
            Ask::Play { .. } if !is_refused => interest.plays = true,
            // A refused PLAY leaves the session set up, and one that was playing playing.
            Ask::Play { .. } => interest.wants = interest.plays,
            // A refused SETUP leaves nothing, unless there is another track.
            Ask::SetUp { track } => {
                interest.asked.remove(track);
                let has_none = interest.tracks.is_empty() && !interest.wants;
                if has_none && !self.waiting.iter().any(|w| w.reader == reader) {
                    self.readers.remove(&reader);
                }
            }
        }
    }

    fn refuse(&mut self, to: Ticket, status: StatusCode, retry: Duration, why: &str) {
        let retry_after = retry_after(status, retry);
        let reply = Reply::Refused(Refusal { status, retry_after, why: why.to_owned() });
        self.out.push_back(Output::Reply { to, reply });
    }

    /// Refuses those that wait and whom `whom` names. The caller updates the demand.
    pub(crate) fn refuse_waiting(
        &mut self,
        whom: impl Fn(&Waiting) -> bool,
        status: StatusCode,
        retry: Duration,
        why: &str,
    ) {
        let (gone, left): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(whom);
        self.waiting = left;
        let retry_after = retry_after(status, retry);
        for Waiting { ticket, reader, ask, .. } in gone {
            let reply = Reply::Refused(Refusal { status, retry_after, why: why.to_owned() });
            self.answer(ticket, reader, ask, reply);
        }
    }

    /// The same for all that wait.
    pub(crate) fn refuse_all_waiting(&mut self, status: StatusCode, retry: Duration, why: &str) {
        self.refuse_waiting(|_| true, status, retry, why);
    }
}

/// Only 503 says that it may be worth asking again (RFC 2326 section 12.31).
fn retry_after(status: StatusCode, retry: Duration) -> Option<Duration> {
    (status == StatusCode::SERVICE_UNAVAILABLE).then_some(retry)
}

const UNKNOWN_TRACK: &str = "the stream has no such track";
/// How long after the last moment for an answer to PLAY the first media is kept.
const MAX_HELD_AFTER_ANSWER: Duration = Duration::from_secs(1);
