//! The description that readers get.

use std::fmt;

use crate::control::track_control;
use crate::line::Line;
use crate::media::Media;
use crate::presentation::Presentation;
use crate::session::SessionSection;

/// What a reader's description says beside what the backend's says.
pub struct ReaderView<'a> {
    /// The session's identity in `o=`: ours, not the backend's.
    pub origin_session_id: u64,
    /// Grows whenever the description that readers get changes.
    pub origin_version: u64,
    /// The name in `s=`; the backend's where it is `None`.
    pub name: Option<&'a str>,
    /// Which media may be offered, by the backend's index. Sections that are not RTP and back
    /// channels are not even asked about.
    pub allowed: &'a dyn Fn(usize, &Media) -> bool,
    /// Whether the source is live: then the range is `npt=now-`.
    pub live: bool,
}

impl fmt::Debug for ReaderView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderView")
            .field("origin_session_id", &self.origin_session_id)
            .field("origin_version", &self.origin_version)
            .field("name", &self.name)
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

impl Presentation {
    /// The description that readers are offered: all payload types and attributes of the
    /// backend's, except what speaks of the backend's own session.
    ///
    /// Track controls are [`track_control`] of the **backend's** media index, so that leaving
    /// out a section renumbers none. Lines are put into the order of RFC 8866 section 5, and
    /// lines that it does not know are left out: some readers refuse the whole for either.
    pub fn for_readers(&self, view: &ReaderView<'_>) -> Self {
        let media = self
            .media
            .iter()
            .enumerate()
            .filter(|(index, media)| {
                media.is_rtp() && !media.is_back_channel() && (view.allowed)(*index, media)
            })
            .map(|(index, media)| media_for_readers(index, media, view.live))
            .collect();
        Self { session: session_for_readers(&self.session, view), media }
    }
}

fn session_for_readers(session: &SessionSection, view: &ReaderView<'_>) -> SessionSection {
    let name = view.name.or_else(|| session.name()).unwrap_or("-");
    let mut lines = vec![
        Line::new('v', "0"),
        Line::new(
            'o',
            &format!("- {} {} IN IP4 0.0.0.0", view.origin_session_id, view.origin_version),
        ),
        Line::new('s', name),
        // The address comes with the transport; a reader takes nothing from here.
        Line::new('c', "IN IP4 0.0.0.0"),
    ];
    if !session.lines.iter().any(|line| line.letter() == Some('t')) {
        lines.push(Line::new('t', "0 0"));
    }
    let own =
        |line: &&Line| matches!(line.letter(), Some('i' | 'u' | 'e' | 'p' | 'b' | 't' | 'r' | 'z'));
    lines.extend(session.lines.iter().filter(own).cloned());
    lines.extend(attributes_for_readers(&session.lines, "*", view.live));
    if view.live && !lines.iter().any(|line| line.is_attribute("range")) {
        lines.push(Line::attribute_of("range", LIVE_RANGE));
    }
    in_order(&mut lines, "vosiuepcbtrza");
    SessionSection { lines }
}

fn media_for_readers(index: usize, media: &Media, live: bool) -> Media {
    let own = |line: &&Line| matches!(line.letter(), Some('i' | 'b'));
    let mut lines: Vec<Line> = media.lines.iter().filter(own).cloned().collect();
    lines.extend(attributes_for_readers(&media.lines, &track_control(index), live));
    in_order(&mut lines, "iba");

    // Keys and lower transport are agreed with us; feedback is passed on as the backend has it.
    let feedback = media.profile().is_some_and(|(_, feedback)| feedback);
    let proto = if feedback { "RTP/AVPF" } else { "RTP/AVP" };
    let mut head = format!("{} 0 {proto}", media.kind);
    for format in &media.formats {
        head.push(' ');
        head.push_str(&format.payload_type.to_string());
    }
    Media {
        port: 0,
        proto: proto.into(),
        lines,
        head: head.into(),
        kind: media.kind.clone(),
        formats: media.formats.clone(),
        direction: media.direction,
        back_channel: false,
    }
}

/// The attributes that are passed on, with `control` and, for a live source, `range` replaced
/// where they stand; `control` is added at the end where there was none.
fn attributes_for_readers(lines: &[Line], control: &str, live: bool) -> Vec<Line> {
    let mut replaced = false;
    let mut kept = Vec::with_capacity(lines.len() + 1);
    for line in lines {
        let Some((name, _)) = line.attribute() else { continue };
        if line.is_attribute("control") {
            if !replaced {
                kept.push(Line::attribute_of("control", control));
                replaced = true;
            }
        } else if live && line.is_attribute("range") {
            kept.push(Line::attribute_of("range", LIVE_RANGE));
        } else if !speaks_of_the_backend(name) {
            kept.push(line.clone());
        }
    }
    if !replaced {
        kept.push(Line::attribute_of("control", control));
    }
    kept
}

/// Attributes about the session between the backend and us: its addresses, its keys, its
/// sources.
fn speaks_of_the_backend(attribute: &str) -> bool {
    const NAMES: [&str; 13] = [
        "ssrc",
        "ssrc-group",
        "rtcp",
        "rtcp-mux",
        "rtcp-mux-only",
        "candidate",
        "remote-candidates",
        "end-of-candidates",
        "fingerprint",
        "crypto",
        "key-mgmt",
        "source-filter",
        "control",
    ];
    let is_ice = attribute.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("ice-"));
    is_ice || NAMES.iter().any(|name| attribute.eq_ignore_ascii_case(name))
}

/// Sorts lines by the place of their letter in `order`; equal letters keep their order.
fn in_order(lines: &mut [Line], order: &str) {
    lines.sort_by_key(|line| line.letter().and_then(|letter| order.find(letter)));
}

/// A live source has no beginning and no end (RFC 2326 section 3.6).
const LIVE_RANGE: &str = "npt=now-";
