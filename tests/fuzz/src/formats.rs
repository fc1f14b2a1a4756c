//! The payload formats, by the depacketizers they have.

/// Formats that one depacketizer takes.
#[derive(Debug)]
pub(crate) struct Family {
    /// The target's name.
    pub(crate) name: &'static str,
    /// Media, `a=rtpmap`, `a=fmtp`.
    pub(crate) variants: &'static [(&'static str, &'static str, &'static str)],
    /// Recorded streams, each with the variant it is of.
    pub(crate) recorded: &'static [(&'static str, u8)],
    /// What a unit may be made of.
    pub(crate) mixing: Mixing,
}

/// What a unit may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mixing {
    /// Packets with the unit's own timestamp.
    Own,
    /// Packets with one timestamp: units that follow each other in a packet have later ones.
    One,
    /// Packets of several instants, by the format's design.
    Several,
}

use Mixing::{One, Own, Several};

const HBR: &str = "mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1210";

const fn family(
    name: &'static str,
    variants: &'static [(&'static str, &'static str, &'static str)],
    recorded: &'static [(&'static str, u8)],
    mixing: Mixing,
) -> Family {
    Family { name, variants, recorded, mixing }
}

/// All of them.
pub(crate) const ALL: &[Family] = &[
    family(
        "h264",
        &[
            ("video", "H264/90000", "packetization-mode=1"),
            ("video", "H264/90000", ""),
            ("video", "H264/90000", "packetization-mode=2;sprop-interleaving-depth=3"),
        ],
        &[("h264-ffmpeg", 0), ("h264-gst", 0)],
        // Each NAL unit of an MTAP has a time of its own.
        One,
    ),
    family(
        "h265",
        &[
            ("video", "H265/90000", ""),
            ("video", "H265/90000", "sprop-max-don-diff=3;sprop-depack-buf-nalus=2"),
            ("video", "HEVC/90000", ""),
        ],
        &[("h265-ffmpeg", 0), ("h265-gst", 0)],
        Own,
    ),
    family(
        "h266",
        &[
            ("video", "H266/90000", ""),
            ("video", "H266/90000", "sprop-max-don-diff=1"),
            ("video", "VVC/90000", ""),
        ],
        &[],
        Own,
    ),
    family(
        "mp4v-es",
        &[("video", "MP4V-ES/90000", "config=000001b001000001b509000001000000012000c8")],
        &[("mpeg4-ffmpeg", 0), ("mpeg4-gst", 0)],
        Own,
    ),
    family("mpv", &[("video", "MPV/90000", "")], &[("mpeg1-ffmpeg", 0), ("mpeg2-ffmpeg", 0)], Own),
    family("vp8", &[("video", "VP8/90000", "")], &[("vp8-ffmpeg", 0), ("vp8-gst", 0)], Own),
    family("vp9", &[("video", "VP9/90000", "")], &[("vp9-ffmpeg", 0), ("vp9-gst", 0)], Own),
    family("av1", &[("video", "AV1/90000", "")], &[], Own),
    family(
        "h263",
        &[("video", "H263/90000", "")],
        &[("h263-rfc2190-ffmpeg", 0), ("h263-rfc2190-gst", 0)],
        Own,
    ),
    family(
        "h263-1998",
        &[("video", "H263-1998/90000", ""), ("video", "H263-2000/90000", "")],
        &[("h263p-ffmpeg", 0), ("h263p-gst", 0)],
        Own,
    ),
    family("h261", &[("video", "H261/90000", "")], &[("h261-ffmpeg", 0)], Own),
    family("jpeg2000", &[("video", "JPEG2000/90000", "")], &[("jpeg2000-gst", 0)], Own),
    family("dv", &[("video", "DV/90000", "encode=SD-VCR/525-60;audio=bundled")], &[], Own),
    family(
        "jpeg",
        &[("video", "JPEG/90000", "\na=x-dimensions:2560,1920"), ("video", "JPEG/90000", "")],
        &[("jpeg-ffmpeg", 1), ("jpeg-gst", 1)],
        Own,
    ),
    family(
        "raw",
        &[
            ("video", "RAW/90000", "sampling=YCbCr-4:2:2;width=64;height=48;depth=8"),
            ("video", "RAW/90000", "sampling=YCbCr-4:2:0;width=9;height=3;depth=10"),
            ("video", "RAW/90000", "sampling=RGB;width=32767;height=32767;depth=16"),
        ],
        &[("raw-gst", 0)],
        Own,
    ),
    family(
        "xiph",
        &[
            ("video", "THEORA/90000", "configuration=AAAAAavN7wA="),
            ("audio", "VORBIS/44100/2", "configuration=AAAAAavN7wA="),
        ],
        &[("theora-gst", 0)],
        One,
    ),
    family("mp2t", &[("video", "MP2T/90000", "")], &[("mp2t-gst", 0)], Own),
    family(
        "mpeg4-generic",
        &[
            ("audio", "MPEG4-GENERIC/44100/2", HBR),
            (
                "audio",
                "MPEG4-GENERIC/8000",
                "mode=AAC-lbr;sizelength=6;indexlength=2;indexdeltalength=2;constantduration=1024",
            ),
            ("audio", "MPEG4-GENERIC/8000", "mode=CELP-cbr;constantsize=27;constantduration=240"),
            (
                "audio",
                "MPEG4-GENERIC/8000",
                "mode=generic;sizelength=13;indexlength=3;indexdeltalength=3;ctsdeltalength=9;dtsdeltalength=9;randomaccessindication=1;streamstateindication=3;auxiliarydatasizelength=5;maxdisplacement=4096",
            ),
            (
                "video",
                "MPEG4-GENERIC/90000",
                "mode=generic;dtsdeltalength=22;randomaccessindication=1",
            ),
        ],
        &[("aac-gst", 0), ("aac-ffmpeg", 0)],
        One,
    ),
    family(
        "mp4a-latm",
        &[
            ("audio", "MP4A-LATM/44100/2", "cpresent=0;object=2;config=400024203fc0"),
            ("audio", "MP4A-LATM/44100/2", "cpresent=1"),
        ],
        &[("latm-gst", 0), ("latm-ffmpeg", 0)],
        One,
    ),
    family(
        "mpa",
        &[("audio", "MPA/90000", "")],
        &[("mp3-gst", 0), ("mp3-ffmpeg", 0), ("mp2-gst", 0)],
        One,
    ),
    family("mpa-robust", &[("audio", "MPA-ROBUST/90000", "")], &[], Several),
    family(
        "ac3",
        &[("audio", "AC3/48000/2", ""), ("audio", "EAC3/48000/6", "")],
        &[("ac3-gst", 0)],
        One,
    ),
    family(
        "amr",
        &[
            ("audio", "AMR/8000", "octet-align=1"),
            ("audio", "AMR/8000", ""),
            ("audio", "AMR-WB/16000", "octet-align=1;crc=1"),
            ("audio", "AMR-WB/16000/2", "octet-align=1;interleaving=30;channels=2"),
            ("audio", "AMR/8000", "octet-align=1;robust-sorting=1"),
        ],
        &[("amr-gst", 0)],
        One,
    ),
    family("qcelp", &[("audio", "QCELP/8000", "")], &[], One),
    family("opus", &[("audio", "OPUS/48000/2", "")], &[("opus-gst", 0), ("opus-ffmpeg", 0)], One),
    family("dvi4", &[("audio", "DVI4/8000", "")], &[], One),
    family("t140", &[("text", "T140/1000", "")], &[], One),
    family("speex", &[("audio", "SPEEX/16000", "")], &[("speex-gst", 0)], One),
    family(
        "messages",
        &[("application", "VND.ONVIF.METADATA/90000", ""), ("application", "SMPTE336M/90000", "")],
        &[],
        One,
    ),
    family(
        "samples",
        &[
            ("audio", "PCMU/8000", ""),
            ("audio", "L16/44100/2", ""),
            ("audio", "L24/44100/2", ""),
            ("audio", "G722/8000", ""),
            ("audio", "G726-32/8000", ""),
            ("audio", "GSM/8000", ""),
            ("audio", "L20/48000/2", ""),
            ("audio", "DAT12/32000/3", ""),
            ("audio", "G726-24/8000/2", ""),
            ("audio", "G728/8000", ""),
            ("audio", "G729/8000", ""),
            ("audio", "ILBC/8000", "mode=20"),
            ("audio", "G723/8000", ""),
        ],
        &[("pcmu-gst", 0), ("l16-gst", 1), ("l24-gst", 2), ("g722-gst", 3), ("gsm-gst", 5)],
        One,
    ),
    family("unknown", &[("application", "x-unheard-of/90000", "")], &[], Own),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The encodings that stand in `AnyDepacketizer::for_format`.
    fn encodings() -> BTreeSet<String> {
        let source = include_str!("../../../crates/codec-framers/src/any.rs");
        let (_, from) = source.split_once("impl AnyDepacketizer").expect("the type");
        let (_, from) = from.split_once("pub fn for_format").expect("the function");
        let (arms, _) = from.split_once("pub fn is_known").expect("the next one");
        let patterns = arms.lines().filter_map(|line| line.split_once("=>")).map(|(left, _)| left);
        patterns
            .flat_map(|pattern| pattern.split('"').skip(1).step_by(2))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn every_depacketizer_has_a_target() {
        let named = |encoding: &str| {
            ALL.iter().flat_map(|family| family.variants).any(|(_, map, _)| {
                map.split('/').next().is_some_and(|name| name.eq_ignore_ascii_case(encoding))
            })
        };
        let encodings = encodings();
        assert!(encodings.len() > 25, "{encodings:?}");
        for encoding in encodings {
            assert!(named(&encoding), "{encoding} has no target: give it a family here");
        }
    }
}
