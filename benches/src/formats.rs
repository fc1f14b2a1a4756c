//! A stream of each payload format, in packets and in access units.

use std::fmt;

use bytes::Bytes;
use codec_framers::h264::ContiguousDepacketizer;
use codec_framers::{
    AccessUnit, AnyDepacketizer, AnyFramer, AnyPacketizer, Continuity, Depacketizer, Framer,
    Limits, Packet, Packetizer, Payload,
};
use rtp_rtcp::{RtpPacket, RtpTime, SeqUnwrapper};
use sdp::{Format, MediaKind, Presentation};

use crate::packets::{KEY_FRAME, OTHER_FRAME, PAYLOAD};

/// A stream, and the format it is of.
pub struct Stream {
    /// The encoding's name.
    pub name: &'static str,
    /// As a backend sends them.
    pub packets: Vec<Packet>,
    /// What they are taken apart to.
    pub units: Vec<AccessUnit>,
    kind: MediaKind,
    format: Format,
}

impl Stream {
    fn new(row: &Row) -> Self {
        let (kind, format) = described(row.media, row.map, row.fmtp);
        let name = row.map.split('/').next().unwrap_or(row.map);
        let mut stream = Self { name, packets: Vec::new(), units: Vec::new(), kind, format };
        match row.origin {
            Origin::Recorded(file) => stream.packets = recorded(file),
            Origin::Made { key, other } => stream.pack(&made(key, other)),
            Origin::Small { head, bytes } => stream.pack(&small(head, bytes)),
            Origin::Of { media, map, file } => {
                let (kind, format) = described(media, map, "");
                stream.pack(&take_apart(&kind, &format, &recorded(file)));
            }
        }
        stream.units = take_apart(&stream.kind, &stream.format, &stream.packets);
        assert!(!stream.units.is_empty(), "{name}");
        stream
    }

    fn pack(&mut self, units: &[AccessUnit]) {
        let mut packetizer = self.packetizer();
        let mut take = |payload: &Payload<'_>| {
            self.packets.push(Packet {
                payload: payload.to_vec().into(),
                timestamp: payload.timestamp,
                marker: payload.marker,
                lost: 0,
            });
        };
        for unit in units {
            packetizer.packetize(unit, PAYLOAD, &mut take).expect("a unit of the format");
        }
        packetizer.flush(PAYLOAD, &mut take);
    }

    /// Payload bytes of the packets.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.packets.iter().map(|packet| packet.payload.len() as u64).sum()
    }

    /// One that is fresh.
    #[must_use]
    pub fn depacketizer(&self) -> AnyDepacketizer {
        AnyDepacketizer::for_format(&self.kind, &self.format, Limits::default())
    }

    /// One of H.264 that is fresh and gives units in one piece.
    #[must_use]
    pub fn contiguous_depacketizer(&self) -> ContiguousDepacketizer {
        ContiguousDepacketizer::new(&self.format, Limits::default())
    }

    /// One that is fresh.
    #[must_use]
    pub fn framer(&self) -> AnyFramer {
        AnyFramer::for_format(&self.kind, &self.format)
    }

    /// One that is fresh.
    #[must_use]
    pub fn packetizer(&self) -> AnyPacketizer {
        AnyPacketizer::for_format(&self.kind, &self.format)
    }

    /// Takes all packets apart.
    pub fn depacketize(
        &self,
        depacketizer: &mut AnyDepacketizer,
        mut take: impl FnMut(AccessUnit),
    ) {
        for packet in &self.packets {
            depacketizer.push(packet.clone()).expect("a packet of the format");
            while let Some(unit) = depacketizer.poll() {
                take(unit);
            }
        }
        depacketizer.flush();
        while let Some(unit) = depacketizer.poll() {
            take(unit);
        }
    }

    /// Shows units to the framer.
    pub fn frame(framer: &mut AnyFramer, units: Vec<AccessUnit>, mut take: impl FnMut(AccessUnit)) {
        for unit in units {
            if let Some(unit) = framer.frame(unit) {
                take(unit);
            }
        }
    }

    /// Puts all units into packets of a usual size.
    pub fn packetize(&self, packetizer: &mut AnyPacketizer, mut take: impl FnMut(&Payload<'_>)) {
        for unit in &self.units {
            packetizer.packetize(unit, PAYLOAD, &mut take).expect("a unit of the format");
        }
        packetizer.flush(PAYLOAD, &mut take);
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A stream of each format.
#[must_use]
pub fn all() -> Vec<Stream> {
    ROWS.iter().map(Stream::new).collect()
}

/// The stream of H.264.
#[must_use]
pub fn h264() -> Stream {
    Stream::new(&H264)
}

struct Row {
    media: &'static str,
    map: &'static str,
    fmtp: &'static str,
    origin: Origin,
}

#[derive(Clone, Copy)]
enum Origin {
    /// By ffmpeg or GStreamer: short, and of small pictures.
    Recorded(&'static str),
    /// Pictures of a camera's sizes without content, behind these bytes.
    Made { key: &'static [u8], other: &'static [u8] },
    /// Units of so many bytes behind these.
    Small { head: &'static [u8], bytes: usize },
    /// Units of another format.
    Of { media: &'static str, map: &'static str, file: &'static str },
}

const fn recording(
    media: &'static str,
    map: &'static str,
    fmtp: &'static str,
    file: &'static str,
) -> Row {
    Row { media, map, fmtp, origin: Origin::Recorded(file) }
}

const fn video(map: &'static str, key: &'static [u8], other: &'static [u8]) -> Row {
    Row { media: "video", map, fmtp: "", origin: Origin::Made { key, other } }
}

const fn few(media: &'static str, map: &'static str, head: &'static [u8], bytes: usize) -> Row {
    Row { media, map, fmtp: "", origin: Origin::Small { head, bytes } }
}

const H264: Row = Row {
    media: "video",
    map: "H264/90000",
    fmtp: "packetization-mode=1; sprop-parameter-sets=Z00ADZWoUH6bgICAgQ==,aO48gA==",
    origin: Origin::Made { key: &[0x65, 0x88], other: &[0x41, 0x88] },
};

const ROWS: &[Row] = &[
    H264,
    video("H265/90000", &[0x26, 1, 0x88], &[2, 1, 0x88]),
    video("H266/90000", &[0, 0x39, 0x88], &[0, 1, 0x88]),
    video("AV1/90000", &[0x30, 0x10], &[0x30, 0x30]),
    video("VP8/90000", &[0x10, 2], &[0x31, 2]),
    video("VP9/90000", &[0x82, 0x49], &[0x86, 0]),
    video(
        "MP4V-ES/90000",
        &[0, 0, 1, 0xb0, 1, 0, 0, 1, 0x20, 1, 2, 0, 0, 1, 0xb6, 0x10],
        &[0, 0, 1, 0xb6, 0x50],
    ),
    recording("video", "MPV/90000", "", "mpeg2-ffmpeg"),
    video(
        "JPEG2000/90000",
        &[0xff, 0x4f, 0xff, 0x51, 9, 9, 0xff, 0x90],
        &[0xff, 0x4f, 0xff, 0x51, 9, 9, 0xff, 0x90],
    ),
    few("video", "DV/90000", &[0x1f, 7, 0], 120_000),
    recording("video", "JPEG/90000", "", "jpeg-ffmpeg"),
    recording("video", "H261/90000", "", "h261-ffmpeg"),
    recording("video", "H263/90000", "", "h263-rfc2190-ffmpeg"),
    recording("video", "H263-1998/90000", "", "h263p-ffmpeg"),
    recording("video", "RAW/90000", "sampling=YCbCr-4:2:2;width=64;height=48;depth=8", "raw-gst"),
    recording("video", "THEORA/90000", "", "theora-gst"),
    recording("video", "MP2T/90000", "", "mp2t-gst"),
    recording(
        "audio",
        "MPEG4-GENERIC/44100/2",
        "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210",
        "aac-gst",
    ),
    recording("audio", "MP4A-LATM/44100/2", "cpresent=0;object=2;config=400024203fc0", "latm-gst"),
    recording("audio", "MPA/90000", "", "mp3-gst"),
    Row {
        media: "audio",
        map: "MPA-ROBUST/90000",
        fmtp: "",
        origin: Origin::Of { media: "audio", map: "MPA/90000", file: "mp3-gst" },
    },
    recording("audio", "AC3/48000/2", "", "ac3-gst"),
    recording("audio", "OPUS/48000/2", "", "opus-ffmpeg"),
    few("audio", "VORBIS/44100/2", &[0x55], 180),
    recording("audio", "SPEEX/16000", "", "speex-gst"),
    recording("audio", "AMR/8000", "octet-align=1", "amr-gst"),
    few("audio", "QCELP/8000", &[4], 35),
    recording("audio", "PCMU/8000", "", "pcmu-gst"),
    recording("audio", "L16/44100/2", "", "l16-gst"),
    recording("audio", "GSM/8000", "", "gsm-gst"),
    few("audio", "DVI4/8000", &[0, 0, 0, 0], 84),
    few("text", "T140/1000", b"text", 9),
    few("application", "vnd.onvif.metadata/90000", b"<tt:MetadataStream/>", 3000),
];

const UNITS: u32 = 10;

fn described(media: &str, map: &str, fmtp: &str) -> (MediaKind, Format) {
    let body = format!("v=0\nm={media} 0 RTP/AVP 96\na=rtpmap:96 {map}\na=fmtp:96 {fmtp}\n");
    let (presentation, _) = Presentation::parse(body.as_bytes()).expect("a description");
    let media = presentation.media.first().expect("a section");
    (media.kind.clone(), media.main_format().clone())
}

fn take_apart(kind: &MediaKind, format: &Format, packets: &[Packet]) -> Vec<AccessUnit> {
    let mut depacketizer = AnyDepacketizer::for_format(kind, format, Limits::default());
    assert!(depacketizer.is_known(), "{}", format.encoding);
    let mut units = Vec::new();
    for packet in packets {
        depacketizer.push(packet.clone()).expect("a packet of the format");
        units.extend(std::iter::from_fn(|| depacketizer.poll()));
    }
    depacketizer.flush();
    units.extend(std::iter::from_fn(|| depacketizer.poll()));
    units
}

fn made(key: &[u8], other: &[u8]) -> Vec<AccessUnit> {
    let unit = |index: u32| {
        let is_key = index == 0;
        let mut bytes = if is_key { key } else { other }.to_vec();
        bytes.resize(if is_key { KEY_FRAME } else { OTHER_FRAME }, 0x88);
        AccessUnit::of(RtpTime(index * 3600), is_key, bytes)
    };
    (0..UNITS).map(unit).collect()
}

fn small(head: &[u8], bytes: usize) -> Vec<AccessUnit> {
    let mut all = head.to_vec();
    all.resize(bytes, 0x33);
    (0..UNITS).map(|index| AccessUnit::of(RtpTime(index * 160), true, all.clone())).collect()
}

/// The packets of a recorded stream: a length of 16 bits before each RTP packet (RFC 4571).
fn recorded(name: &str) -> Vec<Packet> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/codec-framers/tests/fixtures");
    let mut rest = Bytes::from(std::fs::read(format!("{folder}/{name}.rtp")).expect("a fixture"));
    let (mut unwrapper, mut continuity) = (SeqUnwrapper::new(), Continuity::new());
    let mut packets = Vec::new();
    while let Some(&[high, low]) = rest.first_chunk() {
        let end = 2 + usize::from(u16::from_be_bytes([high, low]));
        let packet = RtpPacket::parse(rest.slice(2..end)).expect("an RTP packet");
        rest = rest.slice(end..);
        let lost = continuity.on_packet(unwrapper.unwrap(packet.header().seq));
        packets.push(Packet::from_rtp(&packet, lost));
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_pass_all_three_whole() {
        for stream in all() {
            let mut count = 0;
            stream.depacketize(&mut stream.depacketizer(), |unit| {
                assert!(!unit.is_empty(), "{}", stream.name);
                count += 1;
            });
            assert_eq!(count, stream.units.len(), "{}", stream.name);
            let mut framed = 0;
            Stream::frame(&mut stream.framer(), stream.units.clone(), |_| framed += 1);
            assert_eq!(framed, count, "{}", stream.name);
            let (mut packets, mut bytes) = (0, 0);
            stream.packetize(&mut stream.packetizer(), |payload| {
                packets += 1;
                bytes += payload.len();
            });
            assert!(packets > 0 && bytes > 0, "{}", stream.name);
        }
    }
}
