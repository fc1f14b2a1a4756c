//! Back to the first of several sources, once it is well again.

use std::time::{Duration, Instant};

use backend_client::{Phase, TransportChoice};
use rtp_rtcp::Now;

use crate::output::{Output, StreamEvent};
use crate::stream::Stream;

/// Whether the first source is well, as far as is known while another one is used.
///
/// To be sure would take a session with it; to find out whether anybody is there takes a connection
/// only. A source that takes connections and then cannot be played is left in peace for twice as
/// long each time, since each try is a gap for readers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstSource {
    /// When it is looked for next, while another one is used.
    at: Option<Instant>,
    wait: Duration,
    /// It was returned to, and has brought nothing yet.
    is_tried: bool,
}

impl FirstSource {
    pub(crate) const fn new() -> Self {
        Self { at: None, wait: LEAST_WAIT, is_tried: false }
    }

    pub(crate) const fn poll_timeout(&self) -> Option<Instant> {
        self.at
    }
}

impl Stream {
    /// Takes note of which source is used now.
    pub(crate) fn note_source(&mut self, now: Now) {
        let first = &mut self.first_source;
        if !self.options.return_to_first || self.is_shut_down || self.client.source() == 0 {
            first.at = None;
            return;
        }
        if first.at.is_none() {
            if std::mem::take(&mut first.is_tried) {
                first.wait = (first.wait * 2).min(LONGEST_WAIT);
            }
            first.at = Some(now.mono + first.wait);
        }
    }

    /// Has the first source looked for, if that is due.
    pub(crate) fn look_for_first_source(&mut self, now: Now) {
        if self.first_source.at.is_none_or(|at| now.mono < at) {
            return;
        }
        self.first_source.at = Some(now.mono + self.first_source.wait);
        // One that is being tried for, or played from, is left for another; between attempts it
        // has its turn anyway.
        if matches!(self.client.state(), Phase::Described | Phase::Ready | Phase::Playing) {
            let url = &self.options.backend.url;
            let port = match self.options.backend.transport {
                TransportChoice::Http => self.options.backend.http_port.unwrap_or(url.port),
                _ => url.port,
            };
            self.out.push_back(Output::Probe { host: url.host.clone(), port });
        }
    }

    /// Somebody is there, where [`Output::Probe`] asked, or nobody.
    pub fn probed(&mut self, now: Now, is_there: bool) {
        if !is_there || self.first_source.at.is_none() || self.is_shut_down {
            return;
        }
        if !matches!(self.client.state(), Phase::Described | Phase::Ready | Phase::Playing) {
            return;
        }
        let why = "somebody answers at the first source: it is tried again".to_owned();
        self.out.push_back(Output::Event(StreamEvent::Warning(why)));
        self.first_source.is_tried = true;
        self.flush(now);
        if self.is_playing {
            self.hold(now);
        }
        self.client.set_held(now, self.outage.is_some());
        self.client.return_to_first(now);
        self.drain_client(now, false);
    }

    /// Media flows: if it is the first source's, that is well.
    pub(crate) fn on_first_media(&mut self) {
        if self.client.source() == 0 {
            self.first_source = FirstSource::new();
        }
    }
}

/// Between two looks for the first source.
const LEAST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
