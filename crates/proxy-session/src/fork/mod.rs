//! A track's packets for readers over UDP, where some are too large for these.

mod cutter;
mod numbers;

use std::sync::Arc;
use std::time::Instant;

use codec_framers::Payload;
use fan_out::{MAX_DATAGRAM_BYTES, Push, Rendition, WireBatch, WireBatchBuilder};
use rtp_rtcp::{ExtSeq, RtpHeader, RtpPacket, RtpTime, SenderInfo, Ssrc};

use self::cutter::{Cutter, HEADER, How, Taken, Units, shared};
use self::numbers::Numbers;
use crate::way::PacketKind;

pub(crate) use self::cutter::Cutting;

/// A rendition of one track that goes on from its parent's packets: what is too large is made anew,
/// the rest is passed on, under numbers of its own. Nothing waits for more than the end of an access
/// unit.
#[derive(Debug)]
pub(crate) struct Fork {
    outgoing: Outgoing,
    cutter: Cutter,
    /// The parent's next number.
    expected: ExtSeq,
    /// The unit that is being put together: its timestamp, and the parent's number of its first
    /// packet.
    open: Option<(RtpTime, ExtSeq)>,
    /// Whether one has been made of units that are numbered.
    has_made: bool,
    /// A key unit of the parent that nothing has been sent of yet.
    key: Option<ExtSeq>,
}

/// What is to be told of batches.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Untold {
    /// The size of the largest packet that could not be cut.
    pub(crate) uncut: Option<usize>,
    /// An access unit was dropped, which had more than so many bytes.
    pub(crate) too_large: Option<usize>,
}

/// What went out, or did not.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) relayed: u64,
    pub(crate) made: u64,
    /// Too large for any datagram.
    pub(crate) dropped: u64,
    /// Access units above the bound.
    pub(crate) units_too_large: u64,
}

impl Counts {
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            relayed: self.relayed + other.relayed,
            made: self.made + other.made,
            dropped: self.dropped + other.dropped,
            units_too_large: self.units_too_large + other.units_too_large,
        }
    }
}

/// Numbers, and the batch under construction.
#[derive(Debug)]
struct Outgoing {
    builder: WireBatchBuilder,
    ready: Vec<Arc<WireBatch>>,
    ssrc: Ssrc,
    numbers: Numbers,
    next: ExtSeq,
    /// Packets missing before the next one.
    missing: u64,
    /// As sender reports count them.
    packets: u32,
    octets: u32,
    counts: Counts,
    /// Packets of at most so many bytes are passed on.
    limit: usize,
    untold: Untold,
}

impl Fork {
    /// Goes on with the parent's packet `from`, under that number, and with the parent's counts.
    pub(crate) fn new(
        builder: WireBatchBuilder,
        (ssrc, from): (Ssrc, ExtSeq),
        (packets, octets): (u32, u32),
        cutting: &Cutting,
        limit: usize,
    ) -> Self {
        let mut builder = builder;
        builder.set_rendition(Rendition::Datagrams);
        Self {
            outgoing: Outgoing {
                builder,
                ready: Vec::new(),
                ssrc,
                numbers: Numbers::default(),
                next: from,
                missing: 0,
                packets,
                octets,
                counts: Counts::default(),
                limit,
                untold: Untold::default(),
            },
            cutter: cutting.cutter(),
            expected: from,
            open: None,
            has_made: false,
            key: None,
        }
    }

    /// The track is described so from now on.
    pub(crate) fn set_cutting(&mut self, cutting: &Cutting) {
        self.restart();
        self.cutter = cutting.cutter();
    }

    /// Packets of at most so many bytes are passed on from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.outgoing.limit = limit;
    }

    /// What comes from here on has nothing to do with what came before.
    pub(crate) fn restart(&mut self) {
        if self.open.take().is_some()
            && let How::Units(units) = &mut self.cutter.how
        {
            units.end(self.cutter.limit, &mut |_| {});
        }
        self.key = None;
    }

    /// Takes a batch of the parent's; gives what is to be published for it, and what is to be told.
    pub(crate) fn take(&mut self, batch: &Arc<WireBatch>) -> (Vec<Arc<WireBatch>>, Untold) {
        if self.cutter.is_repair {
            return (Vec::new(), Untold::default());
        }
        let image = shared(batch);
        let at = batch.at();
        for (index, packet) in batch.packets().enumerate() {
            if let Some(seq) = batch.ext_seq(index)
                && let Ok(packet) = RtpPacket::parse(image.slice_ref(packet))
            {
                self.packet(at, seq, &packet);
            }
        }
        self.key = self.key.max(batch.key());
        self.note_key();
        self.outgoing.finish(at);
        let Outgoing { ready, untold, .. } = &mut self.outgoing;
        (std::mem::take(ready), std::mem::take(untold))
    }

    /// The number that none is below which stands for this one of the parent's.
    pub(crate) fn lowest(&self, parent: ExtSeq) -> ExtSeq {
        self.outgoing.numbers.of(parent).min(self.outgoing.next)
    }

    /// The timestamp of the unit that is being put together.
    pub(crate) fn open_unit(&self) -> Option<RtpTime> {
        Some(self.open?.0)
    }

    /// A sender report's counts in place of the parent's.
    pub(crate) fn sender_info(&self, parent: SenderInfo) -> SenderInfo {
        SenderInfo { packets: self.outgoing.packets, octets: self.outgoing.octets, ..parent }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.outgoing.counts
    }

    fn packet(&mut self, at: Instant, seq: ExtSeq, packet: &RtpPacket) {
        let header = *packet.header();
        let gap = seq.0.saturating_sub(self.expected.0);
        self.expected = ExtSeq(seq.0.wrapping_add(1)).max(self.expected);
        if self.open.is_some_and(|(timestamp, _)| timestamp != header.timestamp) {
            self.end_unit(at, header.payload_type);
        }
        self.outgoing.missing += gap;
        let kind = self.cutter.payload_types.kind(packet);
        // The numbers that they name are others here.
        if kind == PacketKind::Repair {
            return;
        }
        let is_large = packet.bytes().len() > self.outgoing.limit;
        let goes_through = kind == PacketKind::Other || packet.is_padding_only();
        if goes_through || !(is_large || self.open.is_some() || self.makes_all()) {
            return self.pass(at, seq, packet);
        }
        let limit = self.cutter.limit;
        let outgoing = &mut self.outgoing;
        match &mut self.cutter.how {
            How::Packets(splitter) => {
                let mut first = Some(seq);
                let mut emit = |payload: &Payload<'_>| {
                    outgoing.send(at, first.take(), header.payload_type, payload);
                };
                let time = (header.timestamp, header.marker);
                if splitter.split(packet.payload(), time, limit, &mut emit).is_err() {
                    self.pass(at, seq, packet);
                }
            }
            How::Units(units) => {
                let lost = if self.open.is_some() { gap } else { 0 };
                let begun = self.open.get_or_insert((header.timestamp, seq)).1;
                let mut first = Some(begun);
                let mut emit = |payload: &Payload<'_>| {
                    outgoing.send(at, first.take(), header.payload_type, payload);
                };
                let lost = u32::try_from(lost).unwrap_or(u32::MAX);
                let taken = units.take(packet, lost, limit, &mut emit);
                outgoing.note_unmade(units);
                match taken {
                    Taken::Open => return,
                    Taken::TooLarge(bound) => {
                        outgoing.counts.units_too_large += 1;
                        outgoing.untold.too_large = Some(bound);
                        outgoing.missing += 1;
                        // The rest of it is dropped as it comes.
                        if !header.marker {
                            return;
                        }
                    }
                    Taken::Whole => self.has_made |= is_large,
                    // By itself it may be of use to somebody.
                    Taken::Refused if begun == seq => {
                        self.open = None;
                        return self.pass(at, seq, packet);
                    }
                    Taken::Refused => self.outgoing.missing += 1,
                }
                self.close(at);
            }
        }
    }

    /// The unit that was being put together ends without a word of it.
    fn end_unit(&mut self, at: Instant, payload_type: u8) {
        let Some((_, begun)) = self.open else { return };
        let (outgoing, limit) = (&mut self.outgoing, self.cutter.limit);
        let mut first = Some(begun);
        if let How::Units(units) = &mut self.cutter.how {
            units.end(limit, &mut |payload: &Payload<'_>| {
                outgoing.send(at, first.take(), payload_type, payload);
            });
            outgoing.note_unmade(units);
        }
        self.close(at);
    }

    fn close(&mut self, at: Instant) {
        self.open = None;
        if self.key.is_some() {
            self.note_key();
            // A batch names one key unit: what follows it goes into the next.
            self.outgoing.finish(at);
        }
    }

    fn makes_all(&self) -> bool {
        self.has_made && matches!(&self.cutter.how, How::Units(units) if units.makes_all)
    }

    fn pass(&mut self, at: Instant, seq: ExtSeq, packet: &RtpPacket) {
        let size = packet.bytes().len();
        self.outgoing.note_size(size);
        if size > MAX_DATAGRAM_BYTES {
            self.outgoing.counts.dropped += 1;
            self.outgoing.missing += 1;
            return;
        }
        self.outgoing.pass(at, seq, packet);
    }

    /// Notes a key unit once something of it has been sent.
    fn note_key(&mut self) {
        let Some(key) = self.key else { return };
        if self.open.is_none_or(|(_, begun)| key < begun) {
            self.key = None;
            self.outgoing.builder.note_key(self.lowest(key));
        }
    }
}

impl Outgoing {
    /// A packet has so many bytes, and goes out, or would have.
    fn note_size(&mut self, bytes: usize) {
        if bytes > self.limit {
            self.untold.uncut = self.untold.uncut.max(Some(bytes));
        }
    }

    /// Counts units that have no form in packets: each is missing.
    fn note_unmade(&mut self, units: &mut Units) {
        let (unmade, largest) = units.take_unmade();
        self.counts.dropped += unmade;
        self.missing += unmade;
        self.note_size(largest.map_or(0, |payload| HEADER + payload));
    }

    /// The number of the next packet, which stands for this one of the parent's.
    fn number(&mut self, parent: Option<ExtSeq>, is_made: bool) -> ExtSeq {
        let seq = self.next.plus(std::mem::take(&mut self.missing));
        if let Some(parent) = parent {
            self.numbers.note(parent, seq, is_made);
        }
        seq
    }

    fn pass(&mut self, at: Instant, parent: ExtSeq, packet: &RtpPacket) {
        let seq = self.number(Some(parent), false);
        let RtpHeader { timestamp, .. } = *packet.header();
        let ssrc = self.ssrc;
        let push =
            |builder: &mut WireBatchBuilder| builder.push(packet.bytes(), seq, timestamp, ssrc);
        if self.put(at, seq, packet.payload().len(), push) {
            self.counts.relayed += 1;
        }
    }

    fn send(&mut self, at: Instant, parent: Option<ExtSeq>, payload_type: u8, made: &Payload<'_>) {
        self.note_size(HEADER + made.len());
        if HEADER + made.len() > MAX_DATAGRAM_BYTES {
            self.counts.dropped += 1;
            self.missing += 1;
            return;
        }
        let seq = self.number(parent, true);
        let second = u8::from(made.marker) << 7 | payload_type & 0x7f;
        let header = [0x80, second, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let (timestamp, ssrc, octets) = (made.timestamp, self.ssrc, made.len());
        let push = |builder: &mut WireBatchBuilder| {
            builder.push_parts(header, made.pieces(), octets, seq, timestamp, ssrc)
        };
        if self.put(at, seq, octets, push) {
            self.counts.made += 1;
        }
    }

    fn put(
        &mut self,
        at: Instant,
        seq: ExtSeq,
        octets: usize,
        push: impl Fn(&mut WireBatchBuilder) -> Push,
    ) -> bool {
        let mut pushed = push(&mut self.builder);
        if pushed == Push::Full {
            self.finish(at);
            pushed = push(&mut self.builder);
        }
        if pushed != Push::Added {
            self.counts.dropped += 1;
            return false;
        }
        self.next = seq.next();
        self.packets = self.packets.wrapping_add(1);
        let octets = u32::try_from(octets).unwrap_or(u32::MAX);
        self.octets = self.octets.wrapping_add(octets);
        true
    }

    fn finish(&mut self, at: Instant) {
        self.ready.extend(self.builder.finish(at));
    }
}
