//! How packets that are too large become smaller ones.

use bytes::Bytes;
use codec_framers::{
    AnyDepacketizer, AnyPacketizer, DepacketizeError, Depacketizer, Limits, NalSplitter, Packet,
    PacketizeError, Packetizer, Payload,
};
use rtp_rtcp::RtpPacket;
use sdp::{Media, MediaKind};

use crate::way::{PayloadTypes, is_repair};

/// What a track's packets can be cut by, as it is described.
#[derive(Clone, Debug)]
pub(crate) struct Cutting {
    /// As the backend describes it, and as readers are told of it.
    media: Media,
    told: Media,
    /// The datagrams that are made, in bytes.
    datagram: usize,
    max_unit: usize,
}

impl Cutting {
    /// Packets are cut to datagrams of at most `datagram` bytes.
    pub(crate) fn new(media: &Media, told: &Media, datagram: usize, max_unit: usize) -> Self {
        let datagram = datagram.min(DATAGRAM);
        Self { media: media.clone(), told: told.clone(), datagram, max_unit }
    }

    /// Whether there is a way to cut them.
    pub(crate) fn can_cut(&self) -> bool {
        let told = self.told.main_format();
        match told.encoding.to_ascii_uppercase().as_str() {
            "H264" | "H265" | "HEVC" | "H266" | "VVC" => NalSplitter::for_format(told).is_some(),
            _ => AnyPacketizer::for_format(&self.told.kind, told).is_known(),
        }
    }

    /// Whether all packets are such as repair those of another track by number.
    pub(crate) fn is_repair(&self) -> bool {
        is_repair(&self.media.main_format().encoding)
    }

    pub(super) fn cutter(&self) -> Cutter {
        let told = self.told.main_format();
        let is_numbered = told.is("VP8") || told.is("VP9");
        let how = match NalSplitter::for_format(told) {
            Some(splitter) => How::Packets(splitter),
            None => How::Units(Box::new(Units {
                depacketizer: AnyDepacketizer::for_media(
                    &self.media,
                    Limits { max_unit: self.max_unit },
                ),
                packetizer: AnyPacketizer::for_format(&self.told.kind, told),
                makes_all: is_numbered && self.media.kind == MediaKind::Video,
                unmade: 0,
                largest_unmade: None,
            })),
        };
        Cutter {
            how,
            payload_types: PayloadTypes::of(&self.media),
            limit: self.datagram.saturating_sub(HEADER),
            is_repair: self.is_repair(),
        }
    }
}

/// What cuts one track's packets.
#[derive(Debug)]
pub(super) struct Cutter {
    pub(super) how: How,
    pub(super) payload_types: PayloadTypes,
    /// What payloads are cut to, in bytes.
    pub(super) limit: usize,
    pub(super) is_repair: bool,
}

#[derive(Debug)]
pub(super) enum How {
    /// Each by itself.
    Packets(NalSplitter),
    /// All from the first one that is too large to the end of its access unit, once they are there.
    Units(Box<Units>),
}

/// Packets by way of access units.
#[derive(Debug)]
pub(super) struct Units {
    depacketizer: AnyDepacketizer,
    packetizer: AnyPacketizer,
    /// Whether all units are made once one is: they are numbered in their payloads.
    pub(super) makes_all: bool,
    /// Units without a form in packets, and the largest payload that fitted into none, in bytes.
    unmade: u64,
    largest_unmade: Option<usize>,
}

/// What became of a packet that was put into a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// Its unit is whole.
    Whole,
    /// More of the unit is to come.
    Open,
    /// It is of no use without those before it, or not what its format demands.
    Refused,
    /// With it its unit has more than so many bytes: nothing of this one leaves.
    TooLarge(usize),
}

impl Units {
    /// Takes a packet of a unit, `lost` ones being missing before it.
    pub(super) fn take(
        &mut self,
        packet: &RtpPacket,
        lost: u32,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Taken {
        let header = *packet.header();
        let pushed = self.depacketizer.push(Packet::from_rtp(packet, lost));
        if pushed.is_err() && !matches!(pushed, Err(DepacketizeError::UnitTooLarge { .. })) {
            self.end(limit, emit);
            return Taken::Refused;
        }
        let last = self.drain(limit, emit);
        if header.marker {
            self.end(limit, emit);
        }
        if let Err(DepacketizeError::UnitTooLarge { limit }) = pushed {
            return Taken::TooLarge(limit);
        }
        if header.marker || last == Some(header.timestamp) { Taken::Whole } else { Taken::Open }
    }

    /// What there is of a unit is all of it.
    pub(super) fn end(&mut self, limit: usize, emit: &mut dyn FnMut(&Payload<'_>)) {
        self.depacketizer.flush();
        self.drain(limit, emit);
    }

    /// How many units had no form in packets since this was asked, and the bytes of the largest
    /// payload that fitted into none.
    pub(super) fn take_unmade(&mut self) -> (u64, Option<usize>) {
        (std::mem::take(&mut self.unmade), self.largest_unmade.take())
    }

    /// The timestamp of the last unit.
    fn drain(
        &mut self,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Option<rtp_rtcp::RtpTime> {
        let mut last = None;
        while let Some(unit) = self.depacketizer.poll() {
            last = Some(unit.timestamp);
            if let Err(error) = self.packetizer.packetize(&unit, limit, emit) {
                self.unmade += 1;
                if let PacketizeError::TooLarge { have, .. } = error {
                    self.largest_unmade = self.largest_unmade.max(Some(have));
                }
            }
        }
        self.packetizer.flush(limit, emit);
        last
    }
}

/// The bytes of a batch, as slices of which units are made.
pub(super) fn shared(batch: &std::sync::Arc<fan_out::WireBatch>) -> Bytes {
    struct Image(std::sync::Arc<fan_out::WireBatch>);
    impl AsRef<[u8]> for Image {
        fn as_ref(&self) -> &[u8] {
            self.0.built()
        }
    }
    Bytes::from_owner(Image(std::sync::Arc::clone(batch)))
}

/// Bytes of an RTP header without CSRCs and extension.
pub(super) const HEADER: usize = 12;
/// The datagrams that are made if nothing smaller is asked for, in bytes: with IP, UDP and the
/// headers of a tunnel or two they stay below an Ethernet's 1,500.
const DATAGRAM: usize = 1_400;
