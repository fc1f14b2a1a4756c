//! What readers want, and what they are answered.

use std::sync::Arc;
use std::time::Duration;

use backend_client::Demand;
use fan_out::{TrackId, TrackMask, WireBatch, WireBatchBuilder};
use rtp_rtcp::{Now, ReportSchedule};
use rtsp_proto::StatusCode;

use crate::asks::{Ask, ReaderId, Refusal, Reply, Ticket, TrackWelcome, Welcome};
use crate::output::Output;
use crate::stream::{Held, Stream};

impl Stream {
    pub(crate) fn update_demand(&mut self, now: Now) {
        let demand = if self.readers.values().any(|i| i.playing) {
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
    }

    /// Numbers and times go on from here, whatever the backend's next packets carry.
    pub(crate) fn begin_playing(&mut self, now: Now) {
        let until = now.mono + self.options.answer_deadline + MAX_HELD_AFTER_ANSWER;
        self.held = Some(Held { batches: Vec::new(), bytes: 0, until });
        self.timeline.restart();
        for track in self.tracks.iter_mut().flatten() {
            track.restart();
            track.schedule = ReportSchedule::new(now.mono);
        }
    }

    pub(crate) fn end_playing(&mut self) {
        self.playing = false;
        self.building = None;
        self.builder = WireBatchBuilder::new(TrackId(0));
        self.next_receiver_report = None;
        self.held = None;
        self.out.push_back(Output::Clear);
    }

    pub(crate) fn answer_now(&self, now: Now, ask: Ask) -> Option<Reply> {
        let description = self.description.as_ref()?;
        match ask {
            Ask::Describe => Some(Reply::Described(Arc::clone(description))),
            Ask::SetUp { track } => {
                let ssrc = self.track(track)?.ssrc;
                self.ready.contains(track).then_some(Reply::SetUp { ssrc })
            }
            Ask::Play { tracks } => self.playing.then(|| Reply::Playing(self.welcome(now, tracks))),
        }
    }

    pub(crate) fn welcome(&self, now: Now, wanted: TrackMask) -> Welcome {
        let tracks = self
            .tracks
            .iter()
            .flatten()
            .filter(|t| wanted.contains(t.id))
            .map(|t| TrackWelcome {
                track: t.id,
                ssrc: t.ssrc,
                next_seq: match self.held {
                    Some(_) => t.session_seq().seq(),
                    None => t.next_seq().seq(),
                },
                rtptime: self.timeline.at(now, t.index),
                report: self.report(now, t),
            })
            .collect();
        Welcome { tracks }
    }

    /// A batch for the readers, or for the first one as soon as it has joined.
    pub(crate) fn publish(&mut self, batch: Arc<WireBatch>) {
        match &mut self.held {
            Some(held) if held.bytes < MAX_HELD_BYTES => {
                held.bytes += batch.bytes_held();
                held.batches.push(batch);
            }
            _ => {
                self.joined();
                self.out.push_back(Output::Publish(batch));
            }
        }
    }

    pub(crate) fn answer_waiting(&mut self, now: Now) {
        let mut index = 0;
        while let Some(ask) = self.waiting.get(index).map(|w| w.ask) {
            let unknown = match (ask, &self.description) {
                (Ask::SetUp { track }, Some(d)) => d.track(track).is_none(),
                _ => false,
            };
            if unknown {
                let gone = self.waiting.remove(index);
                self.drop_refused(gone.reader, gone.ask);
                let why = "the stream has no such track".to_owned();
                self.refuse(gone.ticket, StatusCode::NOT_FOUND, None, why);
            } else if let Some(reply) = self.answer_now(now, ask) {
                let to = self.waiting.remove(index).ticket;
                self.out.push_back(Output::Reply { to, reply });
            } else {
                index += 1;
            }
        }
    }

    pub(crate) fn refuse(
        &mut self,
        to: Ticket,
        status: StatusCode,
        retry: Option<Duration>,
        why: String,
    ) {
        let reply = Reply::Refused(Refusal { status, retry_after: retry, why });
        self.out.push_back(Output::Reply { to, reply });
    }

    /// A refused PLAY leaves the session set up; a refused SETUP leaves nothing, unless the
    /// reader has set up another track before: then its later requests say so.
    pub(crate) fn drop_refused(&mut self, reader: ReaderId, ask: Ask) {
        match ask {
            Ask::Describe => {}
            Ask::SetUp { .. } => {
                if self.readers.get(&reader).is_some_and(|i| !i.playing) {
                    self.readers.remove(&reader);
                }
            }
            Ask::Play { .. } => {
                if let Some(interest) = self.readers.get_mut(&reader) {
                    interest.playing = false;
                }
            }
        }
    }

    pub(crate) fn refuse_all_waiting(
        &mut self,
        status: StatusCode,
        retry: Option<Duration>,
        why: &str,
    ) {
        for w in std::mem::take(&mut self.waiting) {
            self.drop_refused(w.reader, w.ask);
            self.refuse(w.ticket, status, retry, why.to_owned());
        }
    }
}

/// Bytes kept for the reader that starts the backend until it has joined.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;
/// How long after the last moment for an answer to PLAY they are kept.
const MAX_HELD_AFTER_ANSWER: Duration = Duration::from_secs(1);
