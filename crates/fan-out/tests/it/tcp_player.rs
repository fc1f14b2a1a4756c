//! A TCP reader's far end: takes bytes as its socket would and takes them apart.

use std::io::IoSlice;
use std::time::Instant;

use bytes::Bytes;
use fan_out::{
    Audience, AudienceEvent, Egress, Join, ReaderKey, Start, TcpNext, TcpPlace, TrackId, TrackMask,
    Transport,
};
use rtp_rtcp::{ExtSeq, RtpTime, Seq};
use smallvec::SmallVec;

use crate::source::{identify_timed, time};

pub(crate) type Stage = Audience<u32>;

/// Something that came out of the connection, whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    Media(u8, TrackId, ExtSeq),
    Padding(u8, Seq),
    Report(u8, Vec<u8>),
    Answer(String),
}

#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) key: ReaderKey,
    pub(crate) egress: Egress,
    scratch: Vec<u8>,
    wire: Vec<u8>,
    pub(crate) heard: Vec<Heard>,
    /// The timestamps of the media heard.
    pub(crate) times: Vec<(TrackId, ExtSeq, RtpTime)>,
    start: Start,
}

/// One round over all readers as a shell makes it, by sockets that take so many bytes of what is
/// offered to several; those that get something of their own are left out and returned.
pub(crate) fn write_to_all(
    stage: &mut Stage,
    now: Instant,
    players: &mut [(&mut Player, usize)],
) -> Vec<ReaderKey> {
    let (mut after, mut left) = (None, Vec::new());
    while let Some(place) = write_to_some(stage, now, players, after, &mut left) {
        after = Some(place);
    }
    left
}

/// A step of such a round, behind `after`; returns where it has got, unless it is at its end.
pub(crate) fn write_to_some(
    stage: &mut Stage,
    now: Instant,
    players: &mut [(&mut Player, usize)],
    after: Option<TcpPlace>,
    left: &mut Vec<ReaderKey>,
) -> Option<TcpPlace> {
    fn find<'p, 'a>(
        players: &'p mut [(&'a mut Player, usize)],
        key: ReaderKey,
    ) -> &'p mut (&'a mut Player, usize) {
        players.iter_mut().find(|(player, _)| player.key == key).expect("a reader that is here")
    }
    let (to, bytes, place, taken) = match stage.tcp_next(now, after) {
        TcpNext::Done => return None,
        TcpNext::Single(key) => {
            left.push(key);
            return Some(key.into());
        }
        TcpNext::Alike(send) => {
            assert_eq!(send.bytes, send.slices.iter().map(|slice| slice.len()).sum::<usize>());
            assert!(send.bytes > 0 && !send.to.is_empty());
            let taken = send.to.iter().map(|key| {
                let (player, room) = find(players, *key);
                player.offer(&send.slices, *room)
            });
            (send.to.to_vec(), send.bytes, send.place, taken.collect::<Vec<_>>())
        }
    };
    let took: Vec<bool> = taken.iter().map(|taken| *taken == bytes).collect();
    let has_more = stage.tcp_sent(now, &took);
    for ((key, taken), all) in to.iter().zip(taken).zip(took) {
        let (player, _) = find(players, *key);
        if taken > 0 && !all {
            stage.consume(now, *key, &mut player.egress, taken);
        }
        player.take_apart();
        if has_more || !all {
            left.push(*key);
        }
    }
    Some(place)
}

/// A TCP join with the usual channels.
pub(crate) fn tcp(tracks: TrackMask, start: Start) -> Join<u32> {
    let channels = tracks.iter().map(|track| {
        let (rtp, rtcp) = track.usual_channels();
        (track, rtp, rtcp)
    });
    Join {
        transport: Transport::Tcp { channels: channels.collect() },
        tracks,
        start,
        prologue: Vec::new(),
    }
}

impl Player {
    pub(crate) fn join(stage: &mut Stage, now: Instant, join: Join<u32>) -> Self {
        Self::join_held(stage, now, join, &[])
    }

    pub(crate) fn join_held(
        stage: &mut Stage,
        now: Instant,
        join: Join<u32>,
        present: &[(TrackId, RtpTime)],
    ) -> Self {
        let start = join.start;
        Self {
            key: stage.join_held(now, join, present).expect("there is room"),
            egress: Egress::new(1 << 20),
            scratch: Vec::new(),
            wire: Vec::new(),
            heard: Vec::new(),
            times: Vec::new(),
            start,
        }
    }

    pub(crate) fn answer(&mut self, text: &str) {
        let verdict = self.egress.push_control(Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(verdict, fan_out::Admit::Queued);
    }

    /// One write of a socket that takes at most `room` bytes; returns how many it took.
    pub(crate) fn write(&mut self, stage: &mut Stage, now: Instant, room: usize) -> usize {
        let mut taken = 0;
        {
            let mut out = SmallVec::new();
            stage.slices(now, self.key, &self.egress, &mut self.scratch, &mut out);
            assert!(!out.spilled(), "an allocation per write");
            for slice in &out {
                let part = slice.len().min(room - taken);
                self.wire.extend_from_slice(&slice[..part]);
                taken += part;
            }
        }
        stage.consume(now, self.key, &mut self.egress, taken);
        self.take_apart();
        taken
    }

    /// A socket that takes at most `room` bytes is offered what many get; how many it took.
    pub(crate) fn offer(&mut self, slices: &[IoSlice<'_>], room: usize) -> usize {
        if self.egress.has_pending() {
            return 0;
        }
        let before = self.wire.len();
        for slice in slices {
            let room = room - (self.wire.len() - before);
            self.wire.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        self.wire.len() - before
    }

    /// Writes until there is nothing left; returns the number of writes that took something.
    pub(crate) fn drain(&mut self, stage: &mut Stage, now: Instant) -> usize {
        let mut writes = 0;
        while self.write(stage, now, usize::MAX) > 0 {
            writes += 1;
        }
        writes
    }

    fn take_apart(&mut self) {
        let mut at = 0;
        while let Some(&first) = self.wire.get(at) {
            let rest = &self.wire[at..];
            if first == b'$' {
                let &[_, channel, high, low, ..] = rest else { break };
                let length = usize::from(u16::from_be_bytes([high, low]));
                let Some(frame) = rest.get(4..4 + length) else { break };
                let heard = hear(channel, frame);
                if let Heard::Media(..) = heard
                    && let Some(timed) = identify_timed(frame)
                {
                    let (track, seq, sent) = timed;
                    let is_original = sent == time(track, seq);
                    assert!(is_original || self.start == Start::Instant, "it was changed");
                    self.times.push(timed);
                }
                self.heard.push(heard);
                at += 4 + length;
            } else {
                assert_eq!(first, b'R', "the stream is out of step");
                let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else { break };
                let text = std::str::from_utf8(&rest[..end + 4]).expect("an answer is text");
                self.heard.push(Heard::Answer(text.to_owned()));
                at += end + 4;
            }
        }
        self.wire.drain(..at);
    }

    /// The media numbers heard of a track.
    pub(crate) fn media(&self, track: TrackId) -> Vec<u64> {
        self.heard
            .iter()
            .filter_map(|heard| match heard {
                Heard::Media(_, of, seq) if *of == track => Some(seq.0),
                _ => None,
            })
            .collect()
    }

    /// The numbers and timestamps heard of a track.
    pub(crate) fn timed(&self, track: TrackId) -> Vec<(ExtSeq, RtpTime)> {
        let of_track = self.times.iter().filter(|(of, ..)| *of == track);
        of_track.map(|&(_, seq, sent)| (seq, sent)).collect()
    }

    /// Whether bytes of an unfinished frame or answer are there.
    pub(crate) fn is_in_the_middle(&self) -> bool {
        !self.wire.is_empty()
    }
}

fn hear(channel: u8, frame: &[u8]) -> Heard {
    if frame[1] == 200 {
        return Heard::Report(channel, frame.to_vec());
    }
    match identify_timed(frame) {
        Some((track, seq, _)) => Heard::Media(channel, track, seq),
        None => Heard::Padding(channel, Seq(u16::from_be_bytes([frame[2], frame[3]]))),
    }
}

/// All events so far.
pub(crate) fn events(stage: &mut Stage) -> Vec<AudienceEvent> {
    std::iter::from_fn(|| stage.poll_event()).collect()
}
