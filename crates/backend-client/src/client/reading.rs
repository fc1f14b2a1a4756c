//! What comes over the connection, cut into messages and media.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtsp_proto::{Decoder, Frame, Role};
use smallvec::SmallVec;

use super::{BackendClient, Link, OpenLink};
use crate::state::State;
use crate::{Event, Quirk};

impl BackendClient {
    pub(super) fn on_connected(&mut self, now: Instant, peer: IpAddr) {
        if !matches!(self.link, Link::Opening { .. }) {
            return;
        }
        let decoder = Decoder::new(self.options.limits, Role::Client);
        let peer = peer.to_canonical();
        self.link = Link::Open(Box::new(OpenLink {
            decoder,
            peer,
            requests: 0,
            held: BytesMut::new(),
            silent_at: None,
            used: false,
            answered: false,
            stale: SmallVec::new(),
            tunnel: None,
            opened_by: None,
        }));
        self.heard_at = now;
        if self.is_tunnelled() {
            self.open_tunnel(now);
        }
    }

    pub(super) fn on_stream(&mut self, now: Instant, bytes: &mut BytesMut) {
        if !self.on_tunnel_stream(now, bytes) {
            return;
        }
        if let Link::Open(link) = &mut self.link {
            link.requests = 0;
            if !link.held.is_empty() {
                link.held.extend_from_slice(bytes);
                *bytes = std::mem::take(&mut link.held);
            }
        }
        self.read(now, bytes);
        let describing = matches!(self.state, State::Describing);
        if let Link::Open(link) = &mut self.link {
            let endless = link.decoder.awaits_silence();
            link.silent_at = endless.then(|| now + END_OF_MESSAGE);
            if endless || describing {
                link.held = bytes.split();
            }
        }
    }

    /// Takes a message as it is, because nothing more will come of it.
    pub(super) fn read_unfinished(&mut self, now: Instant) {
        if let Some(frame) = self.finish_message() {
            self.on_frame(now, frame);
        }
    }

    /// What came of a message, if that can be made do with.
    pub(super) fn finish_message(&mut self) -> Option<Frame> {
        let Link::Open(link) = &mut self.link else { return None };
        link.silent_at = None;
        let mut held = std::mem::take(&mut link.held);
        let frame = link.decoder.finish(&mut held);
        self.tell_repairs();
        frame
    }

    fn read(&mut self, now: Instant, bytes: &mut BytesMut) {
        let mut expecting = !self.exchanges.is_idle();
        if let Link::Open(link) = &mut self.link {
            link.decoder.expect_response(expecting);
        }
        // Each turn takes bytes out, or ends: a frame is never empty.
        loop {
            let Link::Open(link) = &mut self.link else {
                // What an ended connection still brought.
                bytes.clear();
                return;
            };
            if expecting && self.exchanges.is_idle() {
                expecting = false;
                link.decoder.expect_response(false);
            }
            let frame = link.decoder.decode(bytes);
            self.tell_repairs();
            match frame {
                Ok(Some(frame)) => self.on_frame(now, frame),
                Ok(None) => return,
                Err(error) => {
                    bytes.clear();
                    self.lose_unreadable(now, error.to_string());
                    return;
                }
            }
        }
    }

    fn on_frame(&mut self, now: Instant, frame: Frame) {
        match frame {
            Frame::Interleaved { channel, data } => self.on_interleaved(now, channel, data),
            Frame::Response(response) => {
                self.dialogue(false, || response.encode());
                self.on_response(now, &response);
                self.advance(now);
            }
            Frame::Request(request) => {
                self.dialogue(false, || request.encode());
                self.on_request(now, &request);
                self.advance(now);
            }
        }
    }

    fn tell_repairs(&mut self) {
        let Link::Open(link) = &mut self.link else { return };
        for repair in link.decoder.take_tolerated() {
            self.quirks.count(Quirk::Message);
            if self.quirks.count_repair(repair.name()) {
                let detail = format!("{}: {repair}", repair.name());
                self.event(Event::Tolerated { quirk: Quirk::Message, detail });
            }
        }
    }
}

/// A message whose end nobody told is over when nothing came for this long.
const END_OF_MESSAGE: Duration = Duration::from_millis(500);
