//! What a payload type means (`a=rtpmap`, `a=fmtp`, RFC 3551).

use nom::branch::alt;
use nom::bytes::complete::{take_till, take_till1, take_while1};
use nom::character::complete::{char, space0, u8 as number};
use nom::combinator::opt;
use nom::sequence::preceded;
use nom::{IResult, Parser};
use smallvec::SmallVec;

use crate::fmtp::Fmtp;
use crate::limits::MAX_FORMATS;
use crate::line::Line;
use crate::media::MediaKind;
use crate::statics;
use crate::tolerated::{Repairs, Tolerated, excerpt};

/// One payload type of a media section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// 0 to 127; 255 in the stand-in that [`Media::main_format`](crate::Media::main_format)
    /// gives where a section lists none.
    pub payload_type: u8,
    /// The name of the encoding as written, never empty; `unknown` where nothing says it.
    /// Compare with [`Self::is`].
    pub encoding: Box<str>,
    /// Ticks per second of the RTP timestamps, never 0.
    pub clock_rate: u32,
    /// Audio channels, where they are given.
    pub channels: Option<u16>,
    /// The format's parameters.
    pub fmtp: Option<Fmtp>,
}

impl Format {
    /// Whether this is the encoding `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.encoding.eq_ignore_ascii_case(name)
    }

    /// The value of a format parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.fmtp.as_ref()?.get(name)
    }

    pub(crate) fn unknown(payload_type: u8, clock_rate: u32) -> Self {
        Self { payload_type, encoding: "unknown".into(), clock_rate, channels: None, fmtp: None }
    }
}

/// A line with its number in the body, for repairs to name.
pub(crate) type Numbered = (usize, Line);

/// Reads the formats of one section. `words` is what the `m=` line lists; only where `rtp` is
/// true are they bound to be payload types.
pub(crate) fn read_formats(
    kind: &MediaKind,
    at: usize,
    words: &[&str],
    rtp: bool,
    lines: &[Numbered],
    repairs: &mut Repairs,
) -> SmallVec<[Format; 2]> {
    let maps = read_maps(kind, lines, repairs);
    let mut types = read_payload_types(at, words, rtp, repairs);
    if types.is_empty() && rtp {
        repairs.note(Tolerated::MissingPayloadTypes { line: at });
        for (_, map) in maps.iter().take(MAX_FORMATS) {
            if map.payload_type < 128 && !types.contains(&map.payload_type) {
                types.push(map.payload_type);
            }
        }
    }
    let only = if let [only] = types.as_slice() { Some(*only) } else { None };

    let mut formats: SmallVec<[Format; 2]> = types
        .iter()
        .map(|&payload_type| {
            let own = maps.iter().find(|(_, map)| map.payload_type == payload_type);
            if let Some((_, map)) = own {
                return map.clone();
            }
            if let Some((encoding, clock_rate, channels)) = statics::lookup(payload_type) {
                let encoding = encoding.into();
                return Format { payload_type, encoding, clock_rate, channels, fmtp: None };
            }
            // The only rtpmap of a section with only one payload type is meant for it.
            if let (Some(_), [(line, map)]) = (only, maps.as_slice()) {
                let (line, said) = (*line, map.payload_type);
                repairs.note(Tolerated::OtherPayloadType { line, said, payload_type });
                return Format { payload_type, ..map.clone() };
            }
            if rtp {
                repairs.note(Tolerated::UnknownPayloadType { line: at, payload_type });
            }
            Format::unknown(payload_type, default_clock(kind))
        })
        .collect();
    read_fmtps(&mut formats, lines, repairs);
    formats
}

fn read_payload_types(
    at: usize,
    words: &[&str],
    rtp: bool,
    repairs: &mut Repairs,
) -> SmallVec<[u8; 4]> {
    let mut types = SmallVec::<[u8; 4]>::new();
    for word in words {
        match word.parse::<u8>() {
            Ok(found) if found < 128 => {
                if types.len() == MAX_FORMATS {
                    repairs.note(Tolerated::TooManyFormats { line: at });
                    break;
                }
                if !types.contains(&found) {
                    types.push(found);
                }
            }
            _ if rtp => repairs.note(Tolerated::PayloadType { line: at, text: excerpt(word) }),
            _ => {}
        }
    }
    types
}

fn read_maps(kind: &MediaKind, lines: &[Numbered], repairs: &mut Repairs) -> Vec<(usize, Format)> {
    let mut maps = Vec::new();
    for (line, text) in attributes(lines, "rtpmap").take(2 * MAX_FORMATS) {
        let Ok((_, map)) = rtpmap(text) else {
            repairs.note(Tolerated::Rtpmap { line });
            continue;
        };
        let clock_rate = map.clock_rate.filter(|&rate| rate > 0).unwrap_or_else(|| {
            let assumed = default_clock(kind);
            repairs.note(Tolerated::ClockRate { line, assumed });
            assumed
        });
        // Of other media the third part is whatever the camera means by it.
        let channels = map.third.filter(|_| *kind == MediaKind::Audio);
        let encoding = map.encoding.into();
        let payload_type = map.payload_type;
        maps.push((line, Format { payload_type, encoding, clock_rate, channels, fmtp: None }));
    }
    maps
}

fn read_fmtps(formats: &mut [Format], lines: &[Numbered], repairs: &mut Repairs) {
    let count = attributes(lines, "fmtp").count();
    for (line, text) in attributes(lines, "fmtp").take(2 * MAX_FORMATS) {
        let Ok((raw, said)) = payload_type(text) else {
            repairs.note(Tolerated::Fmtp { line });
            continue;
        };
        let format = match formats.iter().position(|format| format.payload_type == said) {
            Some(at) => formats.get_mut(at),
            None => match formats {
                [format] if count == 1 => {
                    let payload_type = format.payload_type;
                    repairs.note(Tolerated::OtherPayloadType { line, said, payload_type });
                    Some(format)
                }
                _ => None,
            },
        };
        for (name, value) in Fmtp::new(raw).parameters() {
            // A word without equals sign is a flag or a list, as for telephone events.
            if value == Some("") {
                repairs.note(Tolerated::EmptyParameter { line, name: excerpt(name) });
            }
        }
        if let Some(format) = format {
            match &mut format.fmtp {
                Some(fmtp) => fmtp.extend(raw),
                none => *none = Some(Fmtp::new(raw)),
            }
        }
    }
}

fn attributes<'a>(lines: &'a [Numbered], name: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    lines.iter().filter_map(move |(number, line)| {
        let (found, value) = line.attribute()?;
        found.eq_ignore_ascii_case(name).then(|| (*number, value.unwrap_or("")))
    })
}

fn default_clock(kind: &MediaKind) -> u32 {
    if *kind == MediaKind::Audio { 8_000 } else { 90_000 }
}

struct Rtpmap<'a> {
    payload_type: u8,
    encoding: &'a str,
    clock_rate: Option<u32>,
    third: Option<u16>,
}

/// RFC 8866 section 6.6, with any blanks; what comes after the channels is not looked at.
fn rtpmap(input: &str) -> IResult<&str, Rtpmap<'_>> {
    let (input, payload_type) = payload_type(input)?;
    let (input, encoding) = take_till1(|c: char| c == '/' || c.is_whitespace()).parse(input)?;
    let (input, clock_rate) = opt(slash_number).parse(input)?;
    let (input, third) = opt(slash_number).parse(input)?;
    let clock_rate = clock_rate.and_then(|digits| digits.parse().ok());
    let third = third.and_then(|digits| digits.parse().ok());
    Ok((input, Rtpmap { payload_type, encoding, clock_rate, third }))
}

fn payload_type(input: &str) -> IResult<&str, u8> {
    let (input, _) = space0(input)?;
    let (input, found) = number(input)?;
    let (input, _) = space0(input)?;
    Ok((input, found))
}

fn slash_number(input: &str) -> IResult<&str, &str> {
    let digits = take_while1(|c: char| c.is_ascii_digit());
    let nothing = take_till(|_| true);
    preceded((space0, char('/'), space0), alt((digits, nothing))).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formats(kind: &str, words: &[&str], lines: &[&str]) -> (Vec<Format>, Vec<Tolerated>) {
        let lines: Vec<Numbered> =
            lines.iter().enumerate().map(|(i, l)| (i + 2, Line::read(l).unwrap())).collect();
        let mut repairs = Repairs::default();
        let kind = MediaKind::read(kind);
        let found = read_formats(&kind, 1, words, true, &lines, &mut repairs);
        (found.into_vec(), repairs.finish())
    }

    fn brief(format: &Format) -> (u8, &str, u32, Option<u16>) {
        (format.payload_type, &format.encoding, format.clock_rate, format.channels)
    }

    #[test]
    fn an_rtpmap_goes_before_the_static_table() {
        let (f, t) =
            formats("audio", &["0"], &["a=rtpmap:0 MPEG4-GENERIC/16000/2", "a=fmtp:0 config=1408"]);
        assert_eq!(brief(&f[0]), (0, "MPEG4-GENERIC", 16_000, Some(2)));
        assert_eq!(f[0].parameter("config"), Some("1408"));
        assert!(t.is_empty());
    }

    #[test]
    fn static_payload_types_need_no_rtpmap() {
        let (f, t) = formats("audio", &["8", "10", "14"], &[]);
        assert_eq!(brief(&f[0]), (8, "PCMA", 8_000, Some(1)));
        assert_eq!(brief(&f[1]), (10, "L16", 44_100, Some(2)));
        assert_eq!(brief(&f[2]), (14, "MPA", 90_000, None));
        assert!(t.is_empty());
    }

    #[test]
    fn an_unknown_payload_type_is_kept_out_loud() {
        let (f, t) = formats("video", &["35", "97"], &[]);
        assert_eq!(brief(&f[0]), (35, "unknown", 90_000, None));
        assert_eq!(brief(&f[1]), (97, "unknown", 90_000, None));
        assert_eq!(
            t,
            [
                Tolerated::UnknownPayloadType { line: 1, payload_type: 35 },
                Tolerated::UnknownPayloadType { line: 1, payload_type: 97 },
            ]
        );
        let (f, _) = formats("audio", &["77"], &[]);
        assert_eq!(brief(&f[0]), (77, "unknown", 8_000, None));
    }

    #[test]
    fn a_missing_clock_rate_is_that_of_the_medium() {
        let (f, t) =
            formats("application", &["98", "99"], &["a=rtpmap:98 MetaData", "a=rtpmap:99 x/0"]);
        assert_eq!(brief(&f[0]), (98, "MetaData", 90_000, None));
        assert_eq!(brief(&f[1]), (99, "x", 90_000, None));
        assert_eq!(
            t,
            [
                Tolerated::ClockRate { line: 2, assumed: 90_000 },
                Tolerated::ClockRate { line: 3, assumed: 90_000 },
            ]
        );
    }

    #[test]
    fn only_audio_has_channels() {
        let (f, t) =
            formats("application", &["107"], &["a=rtpmap:107 vnd.onvif.metadata/90000/500"]);
        assert_eq!(brief(&f[0]), (107, "vnd.onvif.metadata", 90_000, None));
        assert!(t.is_empty());
    }

    #[test]
    fn attributes_under_the_wrong_number_are_taken_where_no_other_is_meant() {
        let (f, t) = formats(
            "audio",
            &["104"],
            &["a=rtpmap:97 mpeg4-generic/16000/1", "a=fmtp:97 config=1408"],
        );
        assert_eq!(brief(&f[0]), (104, "mpeg4-generic", 16_000, Some(1)));
        assert_eq!(f[0].parameter("config"), Some("1408"));
        assert_eq!(t.len(), 2);
        let (f, _) = formats("video", &["96", "97"], &["a=rtpmap:99 H264/90000"]);
        assert_eq!(&*f[0].encoding, "unknown");
    }

    #[test]
    fn an_empty_parameter_and_a_broken_rtpmap_cost_nothing_else() {
        let lines = [
            "a=rtpmap:x",
            "a=rtpmap:97 MPEG4-GENERIC/16000",
            "a=fmtp:97 config=;mode=",
            "a=fmtp:y",
        ];
        let (f, t) = formats("audio", &["97", "oops"], &lines);
        assert_eq!(f.len(), 1);
        assert_eq!(f[0].parameter("config"), Some(""));
        assert_eq!(
            t,
            [
                Tolerated::Rtpmap { line: 2 },
                Tolerated::PayloadType { line: 1, text: "oops".into() },
                Tolerated::EmptyParameter { line: 4, name: "config".into() },
                Tolerated::EmptyParameter { line: 4, name: "mode".into() },
                Tolerated::Fmtp { line: 5 },
            ]
        );
    }

    #[test]
    fn a_section_that_lists_nothing_has_what_its_rtpmaps_name() {
        let lines = ["a=rtpmap:200 X/1", "a=rtpmap:96 H265/90000"];
        let (f, t) = formats("video", &[], &lines);
        assert_eq!(f.len(), 1, "200 is no payload type");
        assert_eq!(brief(&f[0]), (96, "H265", 90_000, None));
        assert_eq!(t, [Tolerated::MissingPayloadTypes { line: 1 }]);
    }
}
