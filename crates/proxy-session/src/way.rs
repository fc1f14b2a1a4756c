//! The ways through: how the backend's packets become those of readers.

mod reframe;
mod relay;

use std::fmt;
use std::time::Instant;

use codec_framers::{Payload, UnitStart};
use fan_out::{Push, WireBatchBuilder};
use rtp_rtcp::{ExtSeq, Now, RtpPacket, RtpTime, Ssrc};

use crate::output::{Output, StreamEvent};
use crate::picture::Picture;
use crate::stream::Stream;

pub(crate) use reframe::{PacketKind, PayloadTypes, Reframe, Reframing, is_repair};
pub(crate) use relay::Relay;

/// How one track's packets become those of readers.
pub(crate) trait Way: fmt::Debug {
    /// Takes the backend's next packet, in the order of their numbers. What leaves for readers
    /// goes to `exit`.
    fn take(&mut self, seq: ExtSeq, packet: RtpPacket, exit: &mut Exit<'_>);

    /// When [`Self::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Does what is due, if anything is.
    fn handle_timeout(&mut self, _exit: &mut Exit<'_>) {}

    /// What comes from here on has nothing to do with what came before.
    fn restart(&mut self);

    /// Where the unit now arriving begins, as long as it may still turn out to be a key unit;
    /// `next` is the number after the last packet that left.
    fn undecided(&self, next: ExtSeq) -> Option<UnitStart>;

    /// Whether all that came of the unit now arriving is what stands before a picture.
    fn awaits_picture(&self) -> bool;

    /// What was held back.
    fn status(&self) -> WayStatus;
}

/// What a way through held back, since it was made.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct WayStatus {
    /// Access units above `max_unit`.
    pub(crate) units_too_large: u64,
    /// Access units that `on_loss` let not pass.
    pub(crate) units_dropped: u64,
    /// Packets and units that are not what their format demands.
    pub(crate) unreadable: u64,
}

/// Where packets leave for readers: numbers, times and the batch under construction.
pub(crate) struct Exit<'a> {
    stream: &'a mut Stream,
    now: Now,
    index: usize,
}

/// A packet on its way out.
pub(crate) struct Leaving<'a> {
    /// The whole packet; number, timestamp and source are written into the copy.
    pub(crate) bytes: &'a [u8],
    /// Bytes of payload in it.
    pub(crate) payload: usize,
    pub(crate) seq: ExtSeq,
    pub(crate) timestamp: RtpTime,
    /// Whether it is one of the backend's, rather than made here.
    pub(crate) relayed: bool,
}

impl<'a> Exit<'a> {
    pub(crate) fn new(stream: &'a mut Stream, now: Now, index: usize) -> Self {
        Self { stream, now, index }
    }

    /// The number that a packet leaves with which the backend gave this one: gaps stay.
    pub(crate) fn number(&mut self, seq: ExtSeq) -> ExtSeq {
        match self.stream.tracks.get_mut(self.index) {
            Some(Some(track)) => track.number(seq),
            _ => seq,
        }
    }

    /// The number of a packet that is made here, after a gap for so many that are missing.
    pub(crate) fn next_number(&self, missing: u32) -> ExtSeq {
        let next = match self.stream.tracks.get(self.index) {
            Some(Some(track)) => track.next_number(),
            _ => ExtSeq(0),
        };
        ExtSeq(next.0.wrapping_add(u64::from(missing)))
    }

    /// The timestamp that leaves for one of the backend's.
    pub(crate) fn stamp(&mut self, source: Ssrc, timestamp: RtpTime) -> RtpTime {
        match self.stream.tracks.get_mut(self.index) {
            Some(Some(track)) => {
                track.stamp(self.now, &mut self.stream.timeline, source, timestamp)
            }
            _ => timestamp,
        }
    }

    /// Puts a packet into the batch under construction; whether it could be.
    pub(crate) fn send(&mut self, packet: &Leaving<'_>) -> bool {
        let &Leaving { bytes, payload, seq, timestamp, relayed } = packet;
        let push = |builder: &mut WireBatchBuilder, ssrc| builder.push(bytes, seq, timestamp, ssrc);
        let sizes = (bytes.len(), payload);
        self.put((seq, timestamp), sizes, relayed, push, |picture| picture.sent(bytes, timestamp))
    }

    /// The same for one that is made of this payload, which is copied into the batch and nowhere
    /// else.
    pub(crate) fn send_made(&mut self, payload_type: u8, made: &Payload<'_>, seq: ExtSeq) -> bool {
        let second = u8::from(made.marker) << 7 | payload_type & 0x7f;
        // Number, timestamp and source are written as it leaves.
        let header = [0x80, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let (timestamp, octets) = (made.timestamp, made.len());
        let push = |builder: &mut WireBatchBuilder, ssrc| {
            builder.push_parts(header, made.pieces(), octets, seq, timestamp, ssrc)
        };
        let sizes = (header.len() + octets, octets);
        self.put((seq, timestamp), sizes, false, push, |picture| {
            let mut whole = header.to_vec();
            made.append_to(&mut whole);
            picture.sent(&whole, timestamp);
        })
    }

    #[inline]
    fn put(
        &mut self,
        (seq, timestamp): (ExtSeq, RtpTime),
        (bytes, payload): (usize, usize),
        relayed: bool,
        push: impl Fn(&mut WireBatchBuilder, Ssrc) -> Push,
        show: impl FnOnce(&mut Picture),
    ) -> bool {
        let (stream, now) = (&mut *self.stream, self.now);
        let Some(Some(track)) = stream.tracks.get(self.index) else { return false };
        let (id, ssrc) = (track.id, track.ssrc);
        if bytes > track.watch_above {
            stream.on_large(now, self.index, bytes, seq);
        }
        // A batch names one key unit: what follows that unit goes into the next.
        let after_key = stream.key_unit.is_some_and(|key| key != (self.index, timestamp));
        if stream.building != Some(self.index) || after_key {
            stream.begin_batch(now, self.index, id);
        }
        let mut pushed = push(&mut stream.builder, ssrc);
        if pushed == Push::Full {
            if let Some(batch) = stream.builder.finish(now.mono) {
                stream.publish_media(now, batch);
            }
            pushed = push(&mut stream.builder, ssrc);
        }
        if pushed != Push::Added {
            stream.on_too_large(self.index, bytes);
            return false;
        }
        if let Some(Some(track)) = stream.tracks.get_mut(self.index) {
            track.sent(now, seq, timestamp, (bytes, payload));
            if let Some(picture) = &mut track.picture {
                show(picture);
            }
            *if relayed { &mut track.relayed } else { &mut track.made } += 1;
        }
        true
    }

    /// Notes that a key unit is now known to begin with packet `begin`; the last packet that was
    /// sent belongs to it and left with this timestamp.
    pub(crate) fn key(&mut self, begin: ExtSeq, timestamp: RtpTime) {
        self.stream.builder.note_key(begin);
        self.stream.key_unit = Some((self.index, timestamp));
        if let Some(Some(track)) = self.stream.tracks.get_mut(self.index) {
            track.on_key(self.now.mono, begin, timestamp);
            if let Some(picture) = &mut track.picture {
                picture.key();
            }
        }
    }

    /// Tells the operator something about the track.
    pub(crate) fn warn(&mut self, what: &str) {
        let text = format!("track {}: {what}", self.index + 1);
        self.stream.out.push_back(Output::Event(StreamEvent::Warning(text)));
    }

    /// The track's format parameters are these now, rather than those of the description.
    pub(crate) fn set_parameters(&mut self, parameters: &[(&str, String)]) {
        self.stream.on_parameters(self.index, parameters);
    }
}

/// What readers were told of a track's parameter sets, where that is not what the backend says.
#[derive(Clone, Default, Debug)]
pub(crate) struct Told(Option<Vec<(&'static str, String)>>);

impl Told {
    /// Sees to it that who asks for a description is told of the parameter sets in force;
    /// `is_stale` says whether they are other than the backend's description has them.
    fn tell(
        &mut self,
        is_stale: bool,
        parameters: impl FnOnce() -> Vec<(&'static str, String)>,
        exit: &mut Exit<'_>,
    ) {
        if !is_stale && self.0.is_none() {
            return;
        }
        let parameters = parameters();
        if !parameters.is_empty() && self.0.as_ref() != Some(&parameters) {
            exit.set_parameters(&parameters);
            self.0 = Some(parameters);
        }
    }
}
