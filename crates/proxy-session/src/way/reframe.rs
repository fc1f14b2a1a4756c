//! Taken apart into access units, and put together again in packets of our own.

use std::time::{Duration, Instant};

use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyFramer, AnyPacketizer, Continuity, DepacketizeError,
    Depacketizer, Framer, Limits, LossGate, OnLoss, Packet, PacketizeError, Packetizer, Payload,
    UnitStart,
};
use rtp_rtcp::{ExtSeq, RtpPacket, RtpTime, Ssrc};
use sdp::Media;

use super::{Exit, Leaving, Told, Way, WayStatus};

/// What is chosen for packets that are made here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reframing {
    /// The largest payload of a UDP datagram, in bytes: with the RTP header.
    pub(crate) datagram: usize,
    pub(crate) max_unit: usize,
    pub(crate) on_loss: OnLoss,
}

/// Depacketizer, loss gate, framer and packetizer of one track.
#[derive(Debug)]
pub(crate) struct Reframe {
    chosen: Reframing,
    /// As the backend describes it.
    media: Media,
    depacketizer: AnyDepacketizer,
    gate: LossGate,
    framer: AnyFramer,
    outgoing: Outgoing,
    knows_keys: bool,
    payload_types: PayloadTypes,
    continuity: Continuity,
    /// Packets missing before the next one that is taken apart.
    lost: u32,
    /// Packets missing before the next unit that leaves.
    missing: u32,
    /// Who sent what is being put together.
    source: Option<Ssrc>,
    /// The backend's timestamp of the unit that is arriving, where some of it has come.
    arriving: Option<RtpTime>,
    /// What the timeline added to the last unit's timestamp.
    offset: Option<u32>,
    told: Told,
    /// When what is half done leaves, unless packets come before.
    idle_at: Option<Instant>,
    status: WayStatus,
    /// Units that gates before the present one let not pass.
    dropped_before: u64,
    warned: Warned,
}

/// What has been told, once per track.
#[derive(Clone, Copy, Default, Debug)]
struct Warned {
    unreadable: bool,
    too_large: bool,
}

impl Reframe {
    /// For a track that the backend describes as `media` and that readers are told of as `told`.
    pub(crate) fn new(media: &Media, told: &Media, knows_keys: bool, chosen: Reframing) -> Self {
        let format = told.main_format();
        Self {
            chosen,
            media: media.clone(),
            depacketizer: AnyDepacketizer::for_media(media, limits(chosen)),
            gate: LossGate::new(chosen.on_loss),
            framer: AnyFramer::for_format(&media.kind, media.main_format()),
            outgoing: Outgoing {
                packetizer: AnyPacketizer::for_format(&told.kind, format),
                limit: chosen.datagram.min(DATAGRAM).saturating_sub(HEADER),
                emitter: Emitter {
                    payload_type: format.payload_type,
                    bound: chosen.datagram.saturating_sub(HEADER),
                    warned: false,
                },
            },
            knows_keys,
            payload_types: PayloadTypes::of(media),
            continuity: Continuity::new(),
            lost: 0,
            missing: 0,
            source: None,
            arriving: None,
            offset: None,
            told: Told::default(),
            idle_at: None,
            status: WayStatus::default(),
            dropped_before: 0,
            warned: Warned::default(),
        }
    }

    /// Passes on the units that are ready; the backend's timestamp of the last of them.
    fn drain(&mut self, source: Ssrc, exit: &mut Exit<'_>) -> Option<RtpTime> {
        let mut last = None;
        while let Some(mut unit) = self.depacketizer.poll() {
            last = Some(unit.timestamp);
            let stamped = exit.stamp(source, unit.timestamp);
            self.offset = Some(stamped.0.wrapping_sub(unit.timestamp.0));
            unit.timestamp = stamped;
            let Some(unit) = self.gate.admit(unit) else { continue };
            let lost = unit.lost;
            self.missing = self.missing.saturating_add(lost);
            let Some(unit) = self.framer.frame(unit) else { continue };
            if unit.key {
                let is_stale = self.framer.parameter_sets_are_stale();
                self.told.tell(is_stale, || self.framer.parameters(), exit);
            }
            self.send(&unit, exit);
        }
        last
    }

    fn send(&mut self, unit: &AccessUnit, exit: &mut Exit<'_>) {
        // More is told no better, and readers may take it for another session.
        let mut missing = self.missing.min(MAX_GAP);
        if missing > 0 {
            // What is held back comes before the gap.
            self.outgoing.flush(exit);
        }
        let Outgoing { packetizer, limit, emitter } = &mut self.outgoing;
        let mut is_key = unit.key;
        let sent = packetizer.packetize(unit, *limit, &mut |payload| {
            let begins_key = std::mem::take(&mut is_key);
            emitter.emit(payload, std::mem::take(&mut missing), begins_key, exit);
        });
        match sent {
            Ok(()) => self.missing = missing,
            Err(error) => {
                self.missing = self.missing.saturating_add(1);
                self.status.unreadable += 1;
                if !std::mem::replace(&mut self.warned.unreadable, true) {
                    let why = match error {
                        PacketizeError::TooLarge { .. } => {
                            "; with packets = \"auto\" readers over TCP get it"
                        }
                        _ => "",
                    };
                    exit.warn(&format!(
                        "an access unit is left out, as all such will be: {error}{why}"
                    ));
                }
            }
        }
    }

    fn on_error(&mut self, error: DepacketizeError, exit: &mut Exit<'_>) {
        match error {
            // A loss, or a beginning in the middle.
            DepacketizeError::Orphaned(_) => {}
            DepacketizeError::UnitTooLarge { .. } => {
                self.status.units_too_large += 1;
                if !std::mem::replace(&mut self.warned.too_large, true) {
                    exit.warn(&format!("{error} is dropped, as all such will be"));
                }
            }
            _ => {
                self.status.unreadable += 1;
                if !std::mem::replace(&mut self.warned.unreadable, true) {
                    exit.warn(&format!("a packet is left out, as all such will be: {error}"));
                }
            }
        }
    }
}

impl Way for Reframe {
    fn take(&mut self, seq: ExtSeq, packet: RtpPacket, exit: &mut Exit<'_>) {
        self.lost = self.lost.saturating_add(self.continuity.on_packet(seq));
        if packet.is_padding_only() {
            return;
        }
        let header = *packet.header();
        match self.payload_types.kind(&packet) {
            PacketKind::Own => {}
            // Their numbers are not those that readers see.
            PacketKind::Repair => return,
            PacketKind::Other => {
                let timestamp = exit.stamp(header.ssrc, header.timestamp);
                let leaving = Leaving {
                    bytes: packet.bytes(),
                    payload: packet.payload().len(),
                    seq: exit.next_number(0),
                    timestamp,
                    relayed: true,
                };
                exit.send(&leaving);
                return;
            }
        }
        if let Some(before) = self.source.replace(header.ssrc)
            && before != header.ssrc
        {
            self.depacketizer.flush();
            self.drain(before, exit);
        }
        if self.outgoing.emitter.payload_type > MAX_PAYLOAD_TYPE {
            // The description names none.
            self.outgoing.emitter.payload_type = header.payload_type;
        }
        let packet = Packet::from_rtp(&packet, std::mem::take(&mut self.lost));
        if let Err(error) = self.depacketizer.push(packet) {
            self.on_error(error, exit);
        }
        match self.drain(header.ssrc, exit) {
            Some(last) if last == header.timestamp => self.arriving = None,
            Some(_) => self.arriving = Some(header.timestamp),
            None => {
                self.arriving.get_or_insert(header.timestamp);
            }
        }
        // Nothing waits for packets to come, but for the rest of what is half there.
        self.idle_at = self.arriving.and_then(|_| exit.now.mono.checked_add(IDLE));
        self.outgoing.flush(exit);
    }

    fn restart(&mut self) {
        self.depacketizer = AnyDepacketizer::for_media(&self.media, limits(self.chosen));
        self.dropped_before += self.gate.dropped();
        self.gate = LossGate::new(self.chosen.on_loss);
        self.continuity = Continuity::new();
        (self.lost, self.missing) = (0, 0);
        (self.source, self.arriving, self.offset) = (None, None, None);
        self.idle_at = None;
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.idle_at
    }

    fn handle_timeout(&mut self, exit: &mut Exit<'_>) {
        let (Some(source), Some(due)) = (self.source, self.idle_at) else { return };
        if exit.now.mono < due {
            return;
        }
        self.idle_at = None;
        self.depacketizer.flush();
        self.drain(source, exit);
        self.outgoing.flush(exit);
        self.arriving = None;
    }

    fn undecided(&self, next: ExtSeq) -> Option<UnitStart> {
        let timestamp = RtpTime(self.arriving?.0.wrapping_add(self.offset?));
        self.knows_keys.then_some(UnitStart { seq: next, timestamp })
    }

    fn awaits_picture(&self) -> bool {
        false
    }

    fn status(&self) -> WayStatus {
        WayStatus { units_dropped: self.dropped_before + self.gate.dropped(), ..self.status }
    }
}

/// The packets that are made.
#[derive(Debug)]
struct Outgoing {
    packetizer: AnyPacketizer,
    /// What payloads are cut to, in bytes.
    limit: usize,
    emitter: Emitter,
}

impl Outgoing {
    /// Sends what is held back: audio, of which every unit can be begun with.
    fn flush(&mut self, exit: &mut Exit<'_>) {
        let Self { packetizer, limit, emitter } = self;
        packetizer.flush(*limit, &mut |payload| emitter.emit(payload, 0, true, exit));
    }
}

/// What makes packets of payloads.
#[derive(Debug)]
struct Emitter {
    payload_type: u8,
    /// What payloads may have at the most where they can be cut, in bytes.
    bound: usize,
    /// Whether it was told that one is larger.
    warned: bool,
}

impl Emitter {
    fn emit(&mut self, payload: &Payload<'_>, missing: u32, begins_key: bool, exit: &mut Exit<'_>) {
        if payload.len() > self.bound && !std::mem::replace(&mut self.warned, true) {
            let (have, bound) = (payload.len() + HEADER, self.bound + HEADER);
            exit.warn(&format!(
                "the format cannot be cut: a packet of {have} bytes goes out whole, above \
                 max_udp_payload = {bound}, as all such will"
            ));
        }
        let seq = exit.next_number(missing);
        if exit.send_made(self.payload_type, payload, seq) && begins_key {
            exit.key(seq, payload.timestamp);
        }
    }
}

/// What the payload types of one media section are.
#[derive(Debug)]
pub(crate) struct PayloadTypes {
    own: u8,
    /// Whether a packet of the track's own payload type has come. Cameras that send under another
    /// number than they announce are understood all the same.
    confirmed: bool,
    /// The others that are listed, and what they are.
    others: Vec<(u8, Listed)>,
}

/// What a further payload type of a media section is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listed {
    /// It repairs packets by number.
    Repair,
    /// It holds packets of other payload types (RFC 2198).
    Redundancy,
    Other,
}

impl Listed {
    fn of(encoding: &str) -> Self {
        match encoding {
            _ if is_repair(encoding) => Self::Repair,
            _ if encoding.eq_ignore_ascii_case("red") => Self::Redundancy,
            _ => Self::Other,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PacketKind {
    /// What the track is described by.
    Own,
    /// Retransmission or forward error correction.
    Repair,
    /// Such as comfort noise and telephone events.
    Other,
}

impl PayloadTypes {
    pub(crate) fn of(media: &Media) -> Self {
        let own = media.main_format().payload_type;
        let others = media.formats.iter().filter(|format| format.payload_type != own);
        let others = others.map(|format| (format.payload_type, Listed::of(&format.encoding)));
        Self { own, confirmed: false, others: others.collect() }
    }

    pub(crate) fn kind(&mut self, packet: &RtpPacket) -> PacketKind {
        let payload_type = packet.header().payload_type;
        if payload_type == self.own {
            self.confirmed = true;
            return PacketKind::Own;
        }
        match self.listed(payload_type) {
            Some(Listed::Repair) => PacketKind::Repair,
            // Error correction goes by itself in a block without a length.
            Some(Listed::Redundancy)
                if packet.payload().first().is_some_and(|&inner| {
                    inner & 0x80 == 0 && self.listed(inner) == Some(Listed::Repair)
                }) =>
            {
                PacketKind::Repair
            }
            None if !self.confirmed => PacketKind::Own,
            _ => PacketKind::Other,
        }
    }

    fn listed(&self, payload_type: u8) -> Option<Listed> {
        let found = self.others.iter().find(|(known, _)| *known == payload_type);
        found.map(|(_, listed)| *listed)
    }
}

/// Whether packets of this format repair others, which they name by their numbers:
/// retransmission and forward error correction.
pub(crate) fn is_repair(encoding: &str) -> bool {
    let name = encoding.to_ascii_lowercase();
    // `ulpfec`, `parityfec`, `raptorfec`, `flexfec-03`.
    name == "rtx" || name.contains("fec")
}

fn limits(chosen: Reframing) -> Limits {
    Limits { max_unit: chosen.max_unit }
}

/// The largest number in seven bits.
const MAX_PAYLOAD_TYPE: u8 = 127;
/// Bytes of an RTP header without CSRCs and extension.
const HEADER: usize = 12;
/// The datagrams that are made if nothing smaller is asked for, in bytes: with IP, UDP and the
/// headers of a tunnel or two they stay below an Ethernet's 1,500.
const DATAGRAM: usize = 1_400;
/// After so long without a packet a unit whose end has not come leaves as it is: its marker may be
/// lost, or its sender has none and rests. A network that stands still for longer breaks a unit.
const IDLE: Duration = Duration::from_secs(1);
/// The longest gap in the numbers that stands for a loss.
const MAX_GAP: u32 = 1_000;
