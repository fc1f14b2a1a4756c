//! Writes a playable `.h264` file from RTP packets of one H.264 track.
//!
//! ```text
//! cargo run -p codec-framers --example h264_file -- udp:5004 out.h264
//! cargo run -p codec-framers --example h264_file -- capture.pcap out.h264
//! cargo run -p codec-framers --example h264_file -- packets.rtp out.h264 "sprop-parameter-sets=..."
//! ```
//!
//! The packets come to a UDP port, until there has been none for five seconds; or from a capture
//! of it (pcap, as `tcpdump -w` writes it); or from a file in which each packet has its length
//! in 16 bits before it (RFC 4571). The third argument is what `a=fmtp` has in the stream's
//! description, if anything. To try it:
//!
//! ```text
//! ffmpeg -re -f lavfi -i testsrc -c:v libx264 -f rtp rtp://127.0.0.1:5004
//! ffplay out.h264
//! ```

use std::error::Error;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use bytes::Bytes;
use codec_framers::{Continuity, Depacketizer, Framer, Limits, LossGate, OnLoss, Packet, h264};
use rtp_rtcp::{Reorder, ReorderLimits, RtpPacket, Ssrc};
use sdp::Presentation;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(input), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("what to read and what to write: udp:5004 out.h264".into());
    };
    let fmtp = arguments.next().unwrap_or_default();
    let mut writer = Writer::new(&fmtp, File::create(output)?)?;
    match input.strip_prefix("udp:") {
        Some(port) => from_socket(port.parse()?, &mut writer)?,
        None => {
            let file = Bytes::from(fs::read(input)?);
            let packets = if is_pcap(&file) { from_pcap(&file) } else { from_lengths(&file) };
            for packet in packets {
                writer.on_datagram(packet)?;
            }
        }
    }
    writer.finish()
}

/// The pipeline: in order, to access units, with parameter sets, to the file.
struct Writer {
    now: Instant,
    source: Option<Ssrc>,
    reorder: Reorder,
    continuity: Continuity,
    depacketizer: h264::Depacketizer,
    gate: LossGate,
    framer: h264::Framer,
    file: File,
    units: u64,
    keys: u64,
}

impl Writer {
    fn new(fmtp: &str, file: File) -> Result<Self, Box<dyn Error>> {
        let body = format!("v=0\nm=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 {fmtp}\n");
        let (description, _) = Presentation::parse(body.as_bytes())?;
        let media = description.media.first().ok_or("no media")?;
        let format = media.main_format();
        Ok(Self {
            now: now(),
            source: None,
            reorder: Reorder::new(ReorderLimits::default()),
            continuity: Continuity::new(),
            depacketizer: h264::Depacketizer::new(format, Limits::default()),
            gate: LossGate::new(OnLoss::Pass),
            framer: h264::Framer::new(format),
            file,
            units: 0,
            keys: 0,
        })
    }

    fn on_datagram(&mut self, datagram: Bytes) -> Result<(), Box<dyn Error>> {
        // A capture has all kinds of datagrams.
        let Ok(packet) = RtpPacket::parse(datagram) else { return Ok(()) };
        let ssrc = packet.header().ssrc;
        if rtp_rtcp::looks_like_rtcp(packet.bytes()) || *self.source.get_or_insert(ssrc) != ssrc {
            return Ok(());
        }
        let _ = self.reorder.push(self.now, packet);
        self.drain()
    }

    fn drain(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some((seq, packet)) = self.reorder.pull(self.now) {
            let lost = self.continuity.on_packet(seq);
            if let Err(error) = self.depacketizer.push(Packet::from_rtp(&packet, lost)) {
                eprintln!("packet {}: {error}", seq.0);
            }
            self.write_units()?;
        }
        Ok(())
    }

    fn write_units(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(unit) = self.depacketizer.poll() {
            let Some(unit) = self.gate.admit(unit) else { continue };
            let Some(unit) = self.framer.frame(unit) else { continue };
            self.keys += u64::from(unit.key);
            // A player can do nothing with what comes before the first key picture.
            if self.keys > 0 {
                self.file.write_all(&unit.to_annex_b())?;
                self.units += 1;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), Box<dyn Error>> {
        // What waits for packets that are missing has waited long enough.
        self.now += Duration::from_secs(1);
        self.drain()?;
        self.depacketizer.flush();
        self.write_units()?;
        println!("{} access units, {} of them keys", self.units, self.keys);
        Ok(())
    }
}

fn from_socket(port: u16, writer: &mut Writer) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind(("0.0.0.0", port))?;
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer)?;
    writer.on_datagram(Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default()))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    loop {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                writer.now = now();
                let datagram = buffer.get(..length).unwrap_or_default();
                writer.on_datagram(Bytes::copy_from_slice(datagram))?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Packets behind their lengths.
fn from_lengths(file: &Bytes) -> Vec<Bytes> {
    let mut rest = file.clone();
    let mut packets = Vec::new();
    while let Some(&length) = rest.first_chunk() {
        let end = (2 + usize::from(u16::from_be_bytes(length))).min(rest.len());
        packets.push(rest.slice(2..end));
        rest = rest.slice(end..);
    }
    packets
}

fn is_pcap(file: &[u8]) -> bool {
    // In microseconds and nanoseconds, as little-endian machines write it.
    file.starts_with(&[0xd4, 0xc3, 0xb2, 0xa1]) || file.starts_with(&[0x4d, 0x3c, 0xb2, 0xa1])
}

/// The UDP datagrams in a capture.
fn from_pcap(file: &Bytes) -> Vec<Bytes> {
    let number = |at: usize| {
        let bytes = file.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    // How many bytes the link layer has before IP: Ethernet, BSD loopback, Linux "any", none.
    let link = match number(20) {
        Some(1) => 14,
        Some(0) => 4,
        Some(113) => 16,
        Some(276) => 20,
        _ => 0,
    };
    let mut datagrams = Vec::new();
    let mut at = 24;
    while let Some(length) = number(at + 8) {
        let start = at + 16;
        at = start + length;
        let packet = file.get((start + link).min(at)..at).unwrap_or_default();
        if let Some(payload) = udp_payload(packet) {
            datagrams.push(file.slice_ref(payload));
        }
    }
    datagrams
}

/// What a UDP datagram over IPv4 or IPv6 carries.
fn udp_payload(packet: &[u8]) -> Option<&[u8]> {
    const UDP: u8 = 17;
    let first = packet.first()?;
    let (protocol, header) = match first >> 4 {
        4 => (*packet.get(9)?, usize::from(first & 0x0f) * 4),
        6 => (*packet.get(6)?, 40),
        _ => return None,
    };
    let udp = packet.get(header..)?;
    let length = u16::from_be_bytes(*udp.get(4..)?.first_chunk()?);
    (protocol == UDP).then(|| udp.get(8..usize::from(length)))?
}

#[expect(clippy::disallowed_methods, reason = "a program reads its own clock")]
fn now() -> Instant {
    Instant::now()
}
