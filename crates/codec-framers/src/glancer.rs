//! One track's view of its payloads.

use rtp_rtcp::RtpHeader;
use sdp::{Format, MediaKind};

use crate::glance::Glance;
use crate::nal::frame::SetCodec;
use crate::params::ParameterSets;
use crate::{av1, h263, h264, h265, h266, jpeg, mpeg4, mpv, vp8, vp9};

/// Looks at the payloads of one track in their order.
#[derive(Clone, Debug)]
pub struct Glancer {
    payload_type: u8,
    /// Whether a packet of that payload type has come. Cameras that send under another number
    /// than they announce are looked at all the same.
    confirmed: bool,
    codec: Codec,
    announced: ParameterSets,
}

#[derive(Clone, Debug)]
enum Codec {
    H264(h264::glance::H264),
    H265(h265::glance::H265),
    H266(h266::glance::H266),
    Mpeg4(mpeg4::glance::Mpeg4),
    Mpv(mpv::glance::Mpv),
    Av1(av1::glance::Av1),
    Vp8,
    Vp9,
    H263,
    H263Plus,
    Jpeg,
    Jpeg2000,
    /// Every packet may be joined at; of audio, every packet also ends a unit.
    Opaque {
        audio: bool,
    },
}

impl Glancer {
    /// A view of the payloads of `format` in a media section of this kind. Parameter sets are
    /// taken from the format's parameters; those that are none are passed over.
    pub fn new(kind: &MediaKind, format: &Format) -> Self {
        let codec = Codec::new(kind, format);
        let announced = codec.parameter_sets().cloned().unwrap_or_default();
        Self { payload_type: format.payload_type, confirmed: false, codec, announced }
    }

    /// What the payload of one packet tells; packets are expected in the order of their
    /// sequence numbers.
    pub fn look(&mut self, header: &RtpHeader, payload: &[u8]) -> Glance {
        if header.payload_type == self.payload_type {
            self.confirmed = true;
        } else if self.confirmed {
            return Glance { foreign: true, ..Glance::default() };
        }
        let glance = match &mut self.codec {
            Codec::H264(codec) => codec.look(payload),
            Codec::H265(codec) => codec.look(payload),
            Codec::H266(codec) => codec.look(payload),
            Codec::Mpeg4(codec) => codec.look(payload),
            Codec::Mpv(codec) => codec.look(payload),
            Codec::Av1(codec) => codec.look(payload),
            Codec::Vp8 => vp8::glance::look(payload),
            Codec::Vp9 => vp9::glance::look(payload),
            Codec::H263 => h263::glance::look(payload),
            Codec::H263Plus => h263::glance::look_plus(payload),
            Codec::Jpeg => jpeg::glance::look(payload),
            Codec::Jpeg2000 => jpeg::glance::look_2000(payload),
            Codec::Opaque { audio } => return Glance::opaque(*audio || header.marker),
        };
        Glance { unit_end: header.marker, ..glance }
    }

    /// Whether key frames can be told apart in this format; if not (audio, unknown formats),
    /// every packet may be joined at.
    pub fn knows_keys(&self) -> bool {
        !matches!(self.codec, Codec::Opaque { .. })
    }

    /// The parameter sets in force: the last ones seen in band, else those of the description.
    pub fn parameter_sets(&self) -> ParameterSets {
        self.codec.parameter_sets().cloned().unwrap_or_default()
    }

    /// The parameter sets of the description that this was made with.
    pub fn announced(&self) -> &ParameterSets {
        &self.announced
    }

    /// The format parameters (`a=fmtp`) that a true description of the stream as it is now has, as
    /// far as they speak of parameter sets: name and value.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        match &self.codec {
            Codec::H264(codec) => h264::glance::H264::parameters(codec.parameter_sets()),
            Codec::H265(codec) => h265::glance::H265::parameters(codec.parameter_sets()),
            Codec::H266(codec) => h266::glance::H266::parameters(codec.parameter_sets()),
            Codec::Mpeg4(codec) => mpeg4::parameters(codec.parameter_sets()),
            _ => Vec::new(),
        }
    }

    /// Whether those in force are other than the description says, so that a reader who knows
    /// the description alone needs them.
    pub fn parameter_sets_are_stale(&self) -> bool {
        self.codec.parameter_sets().is_some_and(|sets| *sets != self.announced)
    }
}

impl Codec {
    fn new(kind: &MediaKind, format: &Format) -> Self {
        if *kind == MediaKind::Audio {
            return Self::Opaque { audio: true };
        }
        match format.encoding.to_ascii_uppercase().as_str() {
            "H264" => Self::H264(h264::glance::H264::new(format)),
            "H265" | "HEVC" => Self::H265(h265::glance::H265::new(format)),
            "H266" | "VVC" => Self::H266(h266::glance::H266::new(format)),
            "MP4V-ES" => Self::Mpeg4(mpeg4::glance::Mpeg4::new(format)),
            "MPV" => Self::Mpv(mpv::glance::Mpv::default()),
            "AV1" => Self::Av1(av1::glance::Av1::default()),
            "VP8" => Self::Vp8,
            "VP9" => Self::Vp9,
            "H263" => Self::H263,
            "H263-1998" | "H263-2000" => Self::H263Plus,
            "JPEG" => Self::Jpeg,
            "JPEG2000" => Self::Jpeg2000,
            _ => Self::Opaque { audio: false },
        }
    }

    fn parameter_sets(&self) -> Option<&ParameterSets> {
        match self {
            Self::H264(codec) => Some(codec.parameter_sets()),
            Self::H265(codec) => Some(codec.parameter_sets()),
            Self::H266(codec) => Some(codec.parameter_sets()),
            Self::Mpeg4(codec) => Some(codec.parameter_sets()),
            Self::Av1(codec) => Some(codec.parameter_sets()),
            _ => None,
        }
    }
}
