//! Reading a description, whatever state it is in.

use std::borrow::Cow;

use crate::direction::Direction;
use crate::format::{Numbered, read_formats};
use crate::limits::{MAX_LINES, MAX_MEDIA, MAX_SDP_BYTES};
use crate::line::{Line, is_unprintable};
use crate::media::{Media, MediaKind};
use crate::presentation::Presentation;
use crate::session::{Origin, SessionSection};
use crate::tolerated::{Repairs, SdpError, Tolerated};

pub(crate) fn parse(body: &[u8]) -> Result<(Presentation, Vec<Tolerated>), SdpError> {
    if body.len() > MAX_SDP_BYTES {
        return Err(SdpError::TooLarge { bytes: body.len() });
    }
    let mut repairs = Repairs::default();
    let text = decode(body, &mut repairs);
    let (session, sections) = split(&text, &mut repairs)?;

    if !session.iter().any(|line| line.letter() == Some('v')) {
        repairs.note(Tolerated::MissingVersion);
    }
    let session = SessionSection { lines: session };
    let inherited = session.direction();
    let several = sections.len() > 1;
    let mut usable = false;
    let mut media = Vec::with_capacity(sections.len());
    for section in sections {
        let at = section.at;
        let section = section.read(inherited, &mut repairs);
        usable |= !section.proto.is_empty();
        if several && !section.proto.is_empty() && section.control().is_none() {
            repairs.note(Tolerated::MissingControl { line: at });
        }
        media.push(section);
    }
    if !usable {
        return Err(SdpError::NoMedia);
    }
    find_back_channels(&mut media);
    Ok((Presentation { session, media }, repairs.finish()))
}

/// Text without what no line may hold.
fn decode<'a>(body: &'a [u8], repairs: &mut Repairs) -> Cow<'a, str> {
    // A camera that sends its C string with the terminator is not worth a warning.
    let end = body.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let text = String::from_utf8_lossy(body.get(..end).unwrap_or_default());
    if matches!(text, Cow::Owned(_)) {
        repairs.note(Tolerated::NotUtf8);
    }
    let unwanted = |c: char| is_unprintable(c) && c != '\r' && c != '\n';
    if text.contains(unwanted) {
        repairs.note(Tolerated::ControlCharacters);
        return Cow::Owned(text.chars().filter(|&c| !unwanted(c)).collect());
    }
    text
}

/// A media section before it is understood.
struct Section {
    at: usize,
    head: Box<str>,
    lines: Vec<Numbered>,
}

fn split(text: &str, repairs: &mut Repairs) -> Result<(Vec<Line>, Vec<Section>), SdpError> {
    let mut session = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    let mut is_sdp = false;
    let mut kept = 0;
    // Where there is no line feed at all, carriage returns alone end the lines.
    let outer = if text.contains('\n') { '\n' } else { '\r' };
    let numbered = text
        .split(outer)
        .enumerate()
        .flat_map(|(index, line)| line.split('\r').map(move |part| (index + 1, part)));
    for (number, text) in numbered {
        let Some(line) = Line::read(text) else { continue };
        if kept == MAX_LINES {
            repairs.note(Tolerated::TooManyLines { line: number });
            break;
        }
        if line.letter() == Some('m') && sections.len() == MAX_MEDIA {
            repairs.note(Tolerated::TooManyMedia { line: number });
            break;
        }
        kept += 1;
        check(number, &line, repairs);
        is_sdp |= line.letter().is_some();
        if line.letter() == Some('m') {
            let head = line.value().trim().into();
            sections.push(Section { at: number, head, lines: Vec::new() });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push((number, line));
        } else {
            session.push(line);
        }
    }
    if is_sdp { Ok((session, sections)) } else { Err(SdpError::NotSdp) }
}

/// Notes what is wrong with a line on its own; nothing here is needed to go on.
fn check(number: usize, line: &Line, repairs: &mut Repairs) {
    match line.letter() {
        None => repairs.note(Tolerated::StrayLine { line: number }),
        Some('o') if Origin::read(line.value()).is_none() => {
            repairs.note(Tolerated::Origin { line: number });
        }
        Some('c') if line.value().split_whitespace().count() < 3 => {
            repairs.note(Tolerated::Connection { line: number });
        }
        Some(_) => {}
    }
}

impl Section {
    fn read(self, inherited: Option<Direction>, repairs: &mut Repairs) -> Media {
        let at = self.at;
        let mut words = self.head.split_whitespace().peekable();
        let kind = MediaKind::read(words.next().unwrap_or(""));
        let port = match words.peek().map(|word| read_port(word)) {
            Some(Port::Valid(port)) => {
                words.next();
                Some(port)
            }
            Some(Port::Invalid) => {
                words.next();
                None
            }
            Some(Port::Missing) | None => None,
        };
        let proto: Box<str> = words.next().unwrap_or("").into();
        let words: Vec<&str> = words.collect();

        let mut media = Media {
            kind,
            port: port.unwrap_or(0),
            proto,
            formats: Default::default(),
            lines: Vec::new(),
            head: self.head.clone(),
            direction: Direction::default(),
            back_channel: false,
        };
        if media.proto.is_empty() {
            repairs.note(Tolerated::MediaLine { line: at });
        } else if port.is_none() {
            repairs.note(Tolerated::MediaPort { line: at });
        }
        media.formats = read_formats(&media.kind, at, &words, media.is_rtp(), &self.lines, repairs);
        media.lines = self.lines.into_iter().map(|(_, line)| line).collect();
        media.direction = Direction::among(&media.lines).or(inherited).unwrap_or_default();
        media
    }
}

enum Port {
    Valid(u16),
    Invalid,
    Missing,
}

/// A port, with or without the number of ports behind a slash.
fn read_port(word: &str) -> Port {
    let first = word.split('/').next().unwrap_or(word);
    match first.parse::<u16>() {
        Ok(port) => Port::Valid(port),
        // A protocol's name begins with a letter: then the port was left out.
        Err(_) if first.starts_with(|c: char| c.is_ascii_alphabetic()) => Port::Missing,
        Err(_) => Port::Invalid,
    }
}

/// See [`Media::is_back_channel`].
fn find_back_channels(media: &mut [Media]) {
    let directions: Vec<Direction> = media.iter().map(Media::direction).collect();
    let others_are_received = directions.iter().any(|&d| d != Direction::SendOnly);
    let others_say_so = directions.contains(&Direction::RecvOnly);
    for section in media {
        // Losing the picture to a misunderstanding is the worse mistake: a picture is a back
        // channel only where another section says plainly that directions are the client's.
        let convincing =
            if section.kind == MediaKind::Video { others_say_so } else { others_are_received };
        section.back_channel = section.direction == Direction::SendOnly && convincing;
    }
}
