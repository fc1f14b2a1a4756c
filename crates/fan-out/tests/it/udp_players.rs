//! The far ends of UDP readers: what arrived where.

use std::collections::BTreeMap;
use std::time::Instant;

use fan_out::{Audience, Join, Start, TrackId, TrackMask, Transport};
use rtp_rtcp::{ExtSeq, RtpTime};

use crate::source::{identify, identify_timed};
use crate::tcp_player::Stage;

/// A destination: reader, track, whether it is the RTCP one.
pub(crate) fn address(reader: u32, track: TrackId, rtcp: bool) -> u32 {
    reader * 1000 + u32::from(track.0) * 2 + u32::from(rtcp)
}

/// A UDP join of the reader with this number.
pub(crate) fn udp(reader: u32, group: usize, tracks: TrackMask, start: Start) -> Join<u32> {
    let addresses = tracks
        .iter()
        .map(|track| (track, address(reader, track, false), address(reader, track, true)));
    Join {
        transport: Transport::Udp { group, tracks: addresses.collect() },
        tracks,
        start,
        prologue: Vec::new(),
    }
}

/// Datagrams by destination, in order.
#[derive(Default, Debug)]
pub(crate) struct Net {
    pub(crate) arrived: BTreeMap<u32, Vec<Vec<u8>>>,
    /// Reports that arrived at destinations of media.
    pub(crate) knocks: BTreeMap<u32, Vec<Vec<u8>>>,
}

/// Whether a datagram is a report rather than media.
pub(crate) fn is_report(datagram: &[u8]) -> bool {
    datagram.get(1) == Some(&200)
}

impl Net {
    /// One offer, of which `sent` destinations take it and the next one refuses if `failed`.
    /// Returns the destinations of the offer, or `None` if there was none.
    pub(crate) fn send(
        &mut self,
        stage: &mut Stage,
        now: Instant,
        group: usize,
        sent: usize,
        failed: bool,
    ) -> Option<Vec<u32>> {
        let send = stage.udp_next(now, group)?;
        let to = send.to.to_vec();
        assert!(!to.is_empty() && to.len() <= 64);
        assert!(send.payload.len() <= 65_507);
        let datagrams: Vec<Vec<u8>> = match send.segment {
            None => vec![send.payload.to_vec()],
            Some(size) => send.payload.chunks(size).map(<[u8]>::to_vec).collect(),
        };
        assert!(datagrams.len() <= 64);
        for to in to.iter().take(sent) {
            assert_eq!(to % 2 == 1, send.rtcp);
            let knocks = !send.rtcp && is_report(send.payload);
            let place = if knocks { &mut self.knocks } else { &mut self.arrived };
            place.entry(*to).or_default().extend(datagrams.iter().cloned());
        }
        match (sent, failed) {
            (0, false) => stage.udp_blocked(now, group),
            _ => stage.udp_sent(now, group, sent, failed),
        }
        Some(to)
    }

    /// Sends all there is; returns the number of offers.
    pub(crate) fn drain(&mut self, stage: &mut Stage, now: Instant, group: usize) -> usize {
        let mut offers = 0;
        while self.send(stage, now, group, usize::MAX, false).is_some() {
            offers += 1;
        }
        offers
    }

    /// The numbers that arrived at a reader's track.
    pub(crate) fn media(&self, reader: u32, track: TrackId) -> Vec<u64> {
        let datagrams = self.arrived.get(&address(reader, track, false));
        datagrams
            .into_iter()
            .flatten()
            .map(|datagram| {
                let (of, seq) = identify(datagram).expect("media");
                assert_eq!(of, track);
                seq.0
            })
            .collect()
    }

    /// The numbers and timestamps that arrived at a reader's track.
    pub(crate) fn timed(&self, reader: u32, track: TrackId) -> Vec<(ExtSeq, RtpTime)> {
        let datagrams = self.arrived.get(&address(reader, track, false));
        let timed = datagrams.into_iter().flatten().map(|datagram| identify_timed(datagram));
        timed.map(|found| found.map(|(_, seq, sent)| (seq, sent)).expect("media")).collect()
    }

    /// The reports that arrived at a reader's track.
    pub(crate) fn reports(&self, reader: u32, track: TrackId) -> Vec<String> {
        Self::named(self.arrived.get(&address(reader, track, true)))
    }

    /// The reports that arrived where a reader's media does.
    pub(crate) fn knocks(&self, reader: u32, track: TrackId) -> Vec<String> {
        Self::named(self.knocks.get(&address(reader, track, false)))
    }

    fn named(datagrams: Option<&Vec<Vec<u8>>>) -> Vec<String> {
        datagrams
            .into_iter()
            .flatten()
            .map(|report| String::from_utf8_lossy(&report[5..]).into_owned())
            .collect()
    }
}

/// A stage with `readers` that have joined, numbered from 0, in group 0.
pub(crate) fn with_readers(
    stage: &mut Audience<u32>,
    now: Instant,
    readers: u32,
    start: Start,
) -> Vec<fan_out::ReaderKey> {
    (0..readers)
        .map(|reader| {
            let join = udp(reader, 0, crate::source::both(), start);
            stage.join(now, join).expect("there is room")
        })
        .collect()
}
