//! Format parameters in descriptions.

use sdp::{Line, Media, Presentation};

use crate::way::is_repair;

/// The description as it is true of packets that are made here: single NAL units, aggregates and
/// fragments in decoding order, whatever the backend's own are.
pub(crate) fn reframed(presentation: &Presentation) -> Presentation {
    let mut told = presentation.clone();
    for media in &mut told.media {
        let format = media.main_format();
        let changes: &[(&str, Option<&str>)] = match format.encoding.to_ascii_uppercase().as_str() {
            "H264" => H264,
            "H265" | "HEVC" | "H266" | "VVC" => H265,
            _ => continue,
        };
        set_parameters(media, changes);
    }
    let mut told = reread(told, presentation);
    for media in &mut told.media {
        leave_out_repairs(media);
    }
    told
}

/// The description as it is true of packets that may be cut: NAL units of H.264 in fragments too,
/// where the backend speaks of single ones.
pub(crate) fn splittable(presentation: &Presentation) -> Presentation {
    let mut told = presentation.clone();
    let mut has_changed = false;
    for media in &mut told.media {
        let format = media.main_format();
        let mode = format.parameter("packetization-mode").map(str::trim);
        if format.is("H264") && !matches!(mode, Some("1" | "2")) {
            set_parameters(media, &[("packetization-mode", Some("1"))]);
            has_changed = true;
        }
    }
    if has_changed { reread(told, presentation) } else { told }
}

/// Payload types that repair others by number, beside a track's own.
fn leave_out_repairs(media: &mut Media) {
    let own = media.main_format().payload_type;
    let repairs: Vec<u8> = media
        .formats
        .iter()
        .filter(|format| format.payload_type != own && is_repair(&format.encoding))
        .map(|format| format.payload_type)
        .collect();
    media.formats.retain(|format| !repairs.contains(&format.payload_type));
    media.lines.retain(|line| match line.attribute() {
        Some((name, Some(value))) if ["rtpmap", "fmtp", "rtcp-fb"].contains(&name) => {
            let number = value.split_whitespace().next().and_then(|number| number.parse().ok());
            number.is_none_or(|number: u8| !repairs.contains(&number))
        }
        _ => true,
    });
}

/// The description with these parameters of a track's main format.
pub(crate) fn with_parameters(
    presentation: &Presentation,
    index: usize,
    parameters: &[(&str, String)],
) -> Presentation {
    let mut told = presentation.clone();
    if let Some(media) = told.media.get_mut(index) {
        let changes: Vec<_> =
            parameters.iter().map(|(name, value)| (*name, Some(value.as_str()))).collect();
        set_parameters(media, &changes);
    }
    reread(told, presentation)
}

/// RFC 6184 section 8.1: what speaks of mode 2 is not true of mode 1.
const H264: &[(&str, Option<&str>)] = &[
    ("packetization-mode", Some("1")),
    ("sprop-interleaving-depth", None),
    ("sprop-deint-buf-req", None),
    ("sprop-init-buf-time", None),
    ("sprop-max-don-diff", None),
];

/// RFC 7798 section 7.1, RFC 9328 section 7.1: without these, NAL units come in decoding order.
const H265: &[(&str, Option<&str>)] = &[
    ("sprop-max-don-diff", None),
    ("sprop-depack-buf-nalus", None),
    ("sprop-depack-buf-bytes", None),
];

/// Sets parameters of the main format, or takes them away, and leaves the others as they are.
fn set_parameters(media: &mut Media, changes: &[(&str, Option<&str>)]) {
    let format = media.main_format();
    let payload_type = format.payload_type;
    let mut parameters: Vec<(String, String)> = Vec::new();
    for (name, value) in format.fmtp.iter().flat_map(|fmtp| fmtp.iter()) {
        let changed = changes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let value = match changed {
            Some((_, Some(value))) => *value,
            Some((_, None)) => continue,
            None => value,
        };
        parameters.push((name.to_owned(), value.to_owned()));
    }
    for (name, value) in changes.iter().filter_map(|(name, value)| Some((*name, (*value)?))) {
        if !parameters.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            parameters.push((name.to_owned(), value.to_owned()));
        }
    }
    if parameters.is_empty() {
        return;
    }
    let all: Vec<_> = parameters
        .iter()
        .map(|(name, value)| match value.as_str() {
            "" => name.clone(),
            value => format!("{name}={value}"),
        })
        .collect();
    let line = Line::new('a', &format!("fmtp:{payload_type} {}", all.join(";")));
    let is_old = |line: &Line| match line.attribute() {
        Some((name, Some(value))) if name.eq_ignore_ascii_case("fmtp") => {
            let number = value.split_whitespace().next();
            number.and_then(|number| number.parse().ok()) == Some(payload_type)
        }
        _ => false,
    };
    let place = media.lines.iter().position(is_old);
    media.lines.retain(|line| !is_old(line));
    let place = place.or_else(|| {
        // Beside what it belongs to.
        let names = |line: &Line| line.attribute().is_some_and(|(name, _)| name == "rtpmap");
        media.lines.iter().position(names).map(|at| at + 1)
    });
    media.lines.insert(place.unwrap_or(media.lines.len()).min(media.lines.len()), line);
}

/// The views of a description's media whose lines were changed, made anew.
fn reread(told: Presentation, otherwise: &Presentation) -> Presentation {
    match Presentation::parse(told.write().as_bytes()) {
        Ok((mut read, _)) if read.media.len() == otherwise.media.len() => {
            // Those that were left out are still listed in what is read.
            for (media, told) in read.media.iter_mut().zip(&told.media) {
                let is_told = |number| told.formats.iter().any(|f| f.payload_type == number);
                media.formats.retain(|format| is_told(format.payload_type));
            }
            read
        }
        _ => otherwise.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(media: &str) -> Presentation {
        let text = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=x\r\nt=0 0\r\n{media}");
        Presentation::parse(text.as_bytes()).expect("a description").0
    }

    fn fmtp(presentation: &Presentation) -> Vec<String> {
        let media = &presentation.media[0];
        let lines = media.attributes().filter(|(name, _)| *name == "fmtp");
        lines.filter_map(|(_, value)| Some(value?.to_owned())).collect()
    }

    #[test]
    fn packetization_mode_is_1_and_the_rest_stays() {
        let backend = read(
            "m=video 0 RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 rtx/90000\r\n\
             a=fmtp:96 profile-level-id=4d401f;packetization-mode=2;sprop-max-don-diff=3; \
             sprop-parameter-sets=Z0==,aM8=\r\na=fmtp:97 apt=96\r\na=control:x\r\n",
        );
        let told = reframed(&backend);
        let wanted =
            "96 profile-level-id=4d401f;packetization-mode=1;sprop-parameter-sets=Z0==,aM8=";
        assert_eq!(fmtp(&told), [wanted]);
        assert_eq!(told.media[0].formats.len(), 1, "retransmission speaks of other numbers");
        let told = with_parameters(&told, 0, &[("sprop-parameter-sets", "Zw==".to_owned())]);
        assert_eq!(told.media[0].formats.len(), 1);
        assert_eq!(told.media[0].main_format().parameter("packetization-mode"), Some("1"));
        assert_eq!(told.media[0].control(), Some("x"));
    }

    #[test]
    fn a_format_without_parameters_is_given_a_line_of_them() {
        let told = reframed(&read("m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=x\r\n"));
        assert_eq!(fmtp(&told), ["96 packetization-mode=1"]);
        let told = with_parameters(&told, 0, &[("sprop-parameter-sets", "Zw==".to_owned())]);
        assert_eq!(fmtp(&told), ["96 packetization-mode=1;sprop-parameter-sets=Zw=="]);
    }

    #[test]
    fn what_may_be_cut_is_told_as_such() {
        let media = |fmtp: &str| {
            format!(
                "m=video 0 RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 rtx/90000\r\n{fmtp}"
            )
        };
        let told = splittable(&read(&media("a=fmtp:96 packetization-mode=0;x=1\r\n")));
        assert_eq!(fmtp(&told), ["96 packetization-mode=1;x=1"]);
        assert_eq!(told.media[0].formats.len(), 2, "relayed to readers over TCP");
        assert_eq!(fmtp(&splittable(&read(&media("")))), ["96 packetization-mode=1"]);
        let interleaved = read(&media("a=fmtp:96 packetization-mode=2\r\n"));
        assert_eq!(splittable(&interleaved), interleaved);
    }

    #[test]
    fn what_has_nothing_to_change_is_as_it_was() {
        let backend = read(
            "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/8000\r\na=fmtp:97 mode=AAC-hbr; a\r\n",
        );
        assert_eq!(reframed(&backend), backend);
    }
}
