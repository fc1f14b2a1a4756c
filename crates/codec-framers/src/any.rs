//! The format of a track, chosen by its description.

use sdp::{Format, Media, MediaKind};

use crate::access_unit::AccessUnit;
use crate::depacketizer::{DepacketizeError, Depacketizer, Limits};
use crate::framer::{Framer, PassFramer};
use crate::packet::Packet;
use crate::packetizer::{PacketizeError, Packetizer, Payload};
use crate::params::ParameterSets;
use crate::{
    ac3, amr, av1, dv, dvi4, h261, h263, h264, h265, h266, jpeg, jpeg2000, latm, messages, mp2t,
    mpa, mpa_robust, mpeg4, mpeg4_generic, mpv, opaque, opus, qcelp, raw, samples, text, vp8, vp9,
    xiph,
};

/// Declares the enum of all implementations of a trait (a closed set) with a method that gives
/// the one at hand.
macro_rules! any {
    ($inner:ident: dyn $trait:ident { $($variant:ident($type:ty)),+ $(,)? }) => {
        #[derive(Debug)]
        #[allow(clippy::large_enum_variant, reason = "there is one per track")]
        enum $inner {
            $($variant($type),)+
        }

        impl $inner {
            fn get(&mut self) -> &mut dyn $trait {
                match self {
                    $(Self::$variant(inner) => inner,)+
                }
            }

        }
    };
}

any!(DepacketizerOf: dyn Depacketizer {
    H264(h264::Depacketizer),
    H265(h265::Depacketizer),
    H266(h266::Depacketizer),
    Mpeg4(mpeg4::Depacketizer),
    Mpv(mpv::Depacketizer),
    Vp8(vp8::Depacketizer),
    Vp9(vp9::Depacketizer),
    Av1(av1::Depacketizer),
    H263(h263::Depacketizer),
    H263Plus(h263::plus::Depacketizer),
    H261(h261::Depacketizer),
    Jpeg2000(jpeg2000::Depacketizer),
    Dv(dv::Depacketizer),
    Jpeg(jpeg::Depacketizer),
    Raw(raw::Depacketizer),
    Xiph(xiph::Depacketizer),
    Mp2t(mp2t::Depacketizer),
    Mpeg4Generic(mpeg4_generic::Depacketizer),
    Latm(latm::Depacketizer),
    Mpa(mpa::Depacketizer),
    MpaRobust(mpa_robust::Depacketizer),
    Ac3(ac3::Depacketizer),
    Amr(amr::Depacketizer),
    Qcelp(qcelp::Depacketizer),
    Opus(opus::Depacketizer),
    Samples(samples::Depacketizer),
    Dvi4(dvi4::Depacketizer),
    Text(text::Depacketizer),
    Messages(messages::Depacketizer),
    Speex(opaque::Depacketizer),
    Opaque(opaque::Depacketizer),
});

any!(FramerOf: dyn Framer {
    H264(h264::Framer),
    H265(h265::Framer),
    H266(h266::Framer),
    Mpeg4(mpeg4::Framer),
    Pass(PassFramer),
});

impl FramerOf {
    fn get_ref(&self) -> &dyn Framer {
        match self {
            Self::H264(inner) => inner,
            Self::H265(inner) => inner,
            Self::H266(inner) => inner,
            Self::Mpeg4(inner) => inner,
            Self::Pass(inner) => inner,
        }
    }
}

any!(PacketizerOf: dyn Packetizer {
    H264(h264::Packetizer),
    H265(h265::Packetizer),
    H266(h266::Packetizer),
    Mpeg4(mpeg4::Packetizer),
    Mpv(mpv::Packetizer),
    Vp8(vp8::Packetizer),
    Vp9(vp9::Packetizer),
    Av1(av1::Packetizer),
    H263(h263::Packetizer),
    H263Plus(h263::plus::Packetizer),
    H261(h261::Packetizer),
    Jpeg2000(jpeg2000::Packetizer),
    Dv(dv::Packetizer),
    Jpeg(jpeg::Packetizer),
    Raw(raw::Packetizer),
    Xiph(xiph::Packetizer),
    Mp2t(mp2t::Packetizer),
    Mpeg4Generic(mpeg4_generic::Packetizer),
    Latm(latm::Packetizer),
    Mpa(mpa::Packetizer),
    MpaRobust(mpa_robust::Packetizer),
    Ac3(ac3::Packetizer),
    Amr(amr::Packetizer),
    Qcelp(qcelp::Packetizer),
    Opus(opus::Packetizer),
    Samples(samples::Packetizer),
    Dvi4(dvi4::Packetizer),
    Text(text::Packetizer),
    Messages(messages::Packetizer),
    Speex(opaque::Packetizer),
    Opaque(opaque::Packetizer),
});

/// The depacketizer of any format.
#[derive(Debug)]
pub struct AnyDepacketizer(DepacketizerOf);

impl AnyDepacketizer {
    /// The one for the main format of this media section, whose attributes tell the size of
    /// images that is too large for payloads.
    pub fn for_media(media: &Media, limits: Limits) -> Self {
        let format = media.main_format();
        if format.is("JPEG")
            && let Some((width, height)) = dimensions(media, format.payload_type)
        {
            let depacketizer = jpeg::Depacketizer::with_dimensions(width, height, limits);
            return Self(DepacketizerOf::Jpeg(depacketizer));
        }
        Self::for_format(&media.kind, format, limits)
    }

    /// The one for this format in a media section of this kind. Of formats that are not known,
    /// each packet is a unit.
    pub fn for_format(kind: &MediaKind, format: &Format, limits: Limits) -> Self {
        use DepacketizerOf as D;
        Self(match format.encoding.to_ascii_uppercase().as_str() {
            "H264" => D::H264(h264::Depacketizer::new(format, limits)),
            "H265" | "HEVC" => D::H265(h265::Depacketizer::new(format, limits)),
            "H266" | "VVC" => D::H266(h266::Depacketizer::new(format, limits)),
            "MP4V-ES" => D::Mpeg4(mpeg4::Depacketizer::new(format, limits)),
            "MPV" => D::Mpv(mpv::Depacketizer::new(limits)),
            "VP8" => D::Vp8(vp8::Depacketizer::new(limits)),
            "VP9" => D::Vp9(vp9::Depacketizer::new(limits)),
            "AV1" => D::Av1(av1::Depacketizer::new(limits)),
            "H263" => D::H263(h263::Depacketizer::new(limits)),
            "H263-1998" | "H263-2000" => D::H263Plus(h263::plus::Depacketizer::new(limits)),
            "H261" => D::H261(h261::Depacketizer::new(limits)),
            "JPEG2000" => D::Jpeg2000(jpeg2000::Depacketizer::new(limits)),
            "DV" => D::Dv(dv::Depacketizer::new(limits)),
            "JPEG" => D::Jpeg(jpeg::Depacketizer::new(limits)),
            "RAW" => D::Raw(raw::Depacketizer::new(format, limits)),
            "THEORA" => D::Xiph(xiph::Depacketizer::new(xiph::Codec::Theora, limits)),
            "VORBIS" => D::Xiph(xiph::Depacketizer::new(xiph::Codec::Vorbis, limits)),
            "MP2T" => D::Mp2t(mp2t::Depacketizer::new(limits)),
            "MPEG4-GENERIC" => {
                D::Mpeg4Generic(mpeg4_generic::Depacketizer::new(kind, format, limits))
            }
            "MP4A-LATM" => D::Latm(latm::Depacketizer::new(format, limits)),
            "MPA" => D::Mpa(mpa::Depacketizer::new(format, limits)),
            "MPA-ROBUST" => D::MpaRobust(mpa_robust::Depacketizer::new(format, limits)),
            "AC3" => D::Ac3(ac3::Depacketizer::new(ac3::Codec::Ac3, limits)),
            "EAC3" => D::Ac3(ac3::Depacketizer::new(ac3::Codec::Eac3, limits)),
            "AMR" | "AMR-WB" => D::Amr(amr::Depacketizer::new(format, limits)),
            "QCELP" => D::Qcelp(qcelp::Depacketizer::new(limits)),
            "OPUS" => D::Opus(opus::Depacketizer::new(limits)),
            "DVI4" => D::Dvi4(dvi4::Depacketizer::new(limits)),
            "T140" => D::Text(text::Depacketizer::new(limits)),
            // Frames follow each other without a gap between bits (RFC 5574 section 3.3).
            "SPEEX" => D::Speex(opaque::Depacketizer::new(limits)),
            name if is_message(name) => D::Messages(messages::Depacketizer::new(format, limits)),
            _ => match samples::Depacketizer::for_format(format, limits) {
                Some(samples) => D::Samples(samples),
                None => D::Opaque(opaque::Depacketizer::new(limits)),
            },
        })
    }

    /// Whether the format is known, so that its units are more than packets.
    pub fn is_known(&self) -> bool {
        !matches!(self.0, DepacketizerOf::Opaque(_))
    }
}

/// Columns and lines, as `a=x-dimensions:640,480` or `a=framesize:96 640-480` has them.
fn dimensions(media: &Media, payload_type: u8) -> Option<(u16, u16)> {
    let read = |text: &str, between| {
        let (width, height) = text.trim().split_once(between)?;
        Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
    };
    let listed = || {
        let (format, size) = media.attribute("framesize")?.trim().split_once(' ')?;
        (format.parse() == Ok(payload_type)).then(|| read(size, '-'))?
    };
    media.attribute("x-dimensions").and_then(|text| read(text, ',')).or_else(listed)
}

impl Depacketizer for AnyDepacketizer {
    fn push(&mut self, packet: Packet) -> Result<(), DepacketizeError> {
        self.0.get().push(packet)
    }

    fn poll(&mut self) -> Option<AccessUnit> {
        self.0.get().poll()
    }

    fn flush(&mut self) {
        self.0.get().flush();
    }
}

/// The framer of any format.
#[derive(Debug)]
pub struct AnyFramer(FramerOf);

impl AnyFramer {
    /// The one for this format in a media section of this kind; where the codec has none, units
    /// pass as they are.
    pub fn for_format(kind: &MediaKind, format: &Format) -> Self {
        use FramerOf as F;
        let _ = kind;
        Self(match format.encoding.to_ascii_uppercase().as_str() {
            "H264" => F::H264(h264::Framer::new(format)),
            "H265" | "HEVC" => F::H265(h265::Framer::new(format)),
            "H266" | "VVC" => F::H266(h266::Framer::new(format)),
            "MP4V-ES" => F::Mpeg4(mpeg4::Framer::new(format)),
            _ => F::Pass(PassFramer::default()),
        })
    }
}

impl Framer for AnyFramer {
    fn frame(&mut self, unit: AccessUnit) -> Option<AccessUnit> {
        self.0.get().frame(unit)
    }

    fn parameter_sets(&self) -> &ParameterSets {
        self.0.get_ref().parameter_sets()
    }

    fn parameter_sets_are_stale(&self) -> bool {
        self.0.get_ref().parameter_sets_are_stale()
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        self.0.get_ref().parameters()
    }
}

/// The packetizer of any format.
#[derive(Debug)]
pub struct AnyPacketizer(PacketizerOf);

impl AnyPacketizer {
    /// The one for this format in a media section of this kind. Units of formats that are not
    /// known are sent as they came.
    pub fn for_format(kind: &MediaKind, format: &Format) -> Self {
        use PacketizerOf as P;
        Self(match format.encoding.to_ascii_uppercase().as_str() {
            "H264" => P::H264(h264::Packetizer::for_format(format)),
            "H265" | "HEVC" => P::H265(h265::Packetizer::for_format(format)),
            "H266" | "VVC" => P::H266(h266::Packetizer::for_format(format)),
            "MP4V-ES" => P::Mpeg4(mpeg4::Packetizer),
            "MPV" => P::Mpv(mpv::Packetizer),
            "VP8" => P::Vp8(vp8::Packetizer::default()),
            "VP9" => P::Vp9(vp9::Packetizer::default()),
            "AV1" => P::Av1(av1::Packetizer),
            "H263" => P::H263(h263::Packetizer),
            "H263-1998" | "H263-2000" => P::H263Plus(h263::plus::Packetizer),
            "H261" => P::H261(h261::Packetizer),
            "JPEG2000" => P::Jpeg2000(jpeg2000::Packetizer),
            "DV" => P::Dv(dv::Packetizer),
            "JPEG" => P::Jpeg(jpeg::Packetizer::default()),
            "RAW" => P::Raw(raw::Packetizer::new(format)),
            "THEORA" | "VORBIS" => P::Xiph(xiph::Packetizer::for_format(format)),
            "MP2T" => P::Mp2t(mp2t::Packetizer),
            "MPEG4-GENERIC" => P::Mpeg4Generic(mpeg4_generic::Packetizer::new(kind, format)),
            "MP4A-LATM" => P::Latm(latm::Packetizer),
            "MPA" => P::Mpa(mpa::Packetizer),
            "MPA-ROBUST" => P::MpaRobust(mpa_robust::Packetizer),
            "AC3" => P::Ac3(ac3::Packetizer::new(ac3::Codec::Ac3)),
            "EAC3" => P::Ac3(ac3::Packetizer::new(ac3::Codec::Eac3)),
            "AMR" | "AMR-WB" => P::Amr(amr::Packetizer::new(format)),
            "QCELP" => P::Qcelp(qcelp::Packetizer),
            "OPUS" => P::Opus(opus::Packetizer),
            "DVI4" => P::Dvi4(dvi4::Packetizer),
            "T140" => P::Text(text::Packetizer),
            "SPEEX" => P::Speex(opaque::Packetizer),
            name if is_message(name) => P::Messages(messages::Packetizer),
            _ => match samples::Packetizer::for_format(format) {
                Some(samples) => P::Samples(samples),
                None => P::Opaque(opaque::Packetizer),
            },
        })
    }

    /// Whether the format is known, so that its units can be cut to a limit.
    pub fn is_known(&self) -> bool {
        !matches!(self.0, PacketizerOf::Opaque(_))
    }
}

impl Packetizer for AnyPacketizer {
    fn packetize(
        &mut self,
        unit: &AccessUnit,
        limit: usize,
        emit: &mut dyn FnMut(&Payload<'_>),
    ) -> Result<(), PacketizeError> {
        self.0.get().packetize(unit, limit, emit)
    }

    fn flush(&mut self, limit: usize, emit: &mut dyn FnMut(&Payload<'_>)) {
        self.0.get().flush(limit, emit);
    }
}

/// ONVIF metadata as XML or zipped, and KLV.
fn is_message(name: &str) -> bool {
    matches!(name, "SMPTE336M" | "VND.ONVIF.METADATA" | "VND.ONVIF.METADATA.GZIP")
}

#[cfg(test)]
mod tests {
    use sdp::Presentation;

    use super::*;

    #[test]
    fn the_size_of_large_images_is_read_from_either_attribute() {
        let read = |attribute: &str| {
            let body = format!("v=0\nm=video 0 RTP/AVP 26\na={attribute}\n");
            let (presentation, _) = Presentation::parse(body.as_bytes()).unwrap();
            dimensions(&presentation.media[0], 26)
        };
        assert_eq!(read("x-dimensions:4000,3000"), Some((4000, 3000)));
        assert_eq!(read("framesize:26 2592-1944"), Some((2592, 1944)));
        for other in ["framesize:96 2592-1944", "x-dimensions:4000", "x-dimensions:99999,1"] {
            assert_eq!(read(other), None, "{other}");
        }
        let body = b"v=0\nm=video 0 RTP/AVP 26\na=x-dimensions:4000,3000\n";
        let (presentation, _) = Presentation::parse(body).unwrap();
        let mut any = AnyDepacketizer::for_media(&presentation.media[0], Limits::default());
        let payload = [0, 0, 0, 0, 1, 50, 0, 0, 1, 2].to_vec().into();
        any.push(Packet { payload, marker: true, ..Packet::default() }).unwrap();
        assert!(any.poll().is_some_and(|unit| unit.complete));
    }
}
