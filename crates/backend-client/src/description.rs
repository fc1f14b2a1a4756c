use std::net::IpAddr;

use rtsp_proto::url::RtspUrl;
use sdp::{Line, Media, MediaKind, Presentation};

use crate::Options;

/// What DESCRIBE brought, and where its tracks are controlled.
#[derive(Debug)]
pub(crate) struct Description {
    /// Where PLAY, PAUSE and TEARDOWN go.
    pub(crate) aggregate: String,
    /// The tracks that are pulled, in the order of their media sections; never empty.
    pub(crate) offers: Vec<Offer>,
}

/// A track that is pulled.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// The index of its media section.
    pub(crate) index: usize,
    /// Where SETUP goes.
    pub(crate) uri: String,
    pub(crate) weight: Weight,
    /// The group that its media goes to, if it does.
    pub(crate) group: Option<Group>,
    /// The port of its media line: 0, or a group's.
    pub(crate) port: u16,
    /// For the packets that open the way through a NAT.
    pub(crate) payload_type: u8,
}

/// A multicast group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) address: IpAddr,
    pub(crate) ttl: Option<u8>,
    /// Who alone sends to it.
    pub(crate) source: Option<IpAddr>,
}

/// The group that a section's media goes to: by its own lines, else by those of all.
fn group(presentation: &Presentation, media: &Media) -> Option<Group> {
    let connection = |lines: &[Line]| {
        let mut lines = lines.iter().filter(|line| line.letter() == Some('c'));
        lines.find_map(|line| Group::parse(line.value()))
    };
    let group = connection(&media.lines).or_else(|| connection(&presentation.session.lines))?;
    let filter = media.attribute("source-filter");
    Some(group.filtered(filter.or_else(|| presentation.session.attribute("source-filter"))))
}

/// What the silence of a track means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Silence of all of these is the silence of the backend.
    Video,
    /// The same where there is no video.
    Other,
    /// Metadata, text: silent most of the time.
    Sparse,
}

impl Description {
    /// `None` if nothing in it may be pulled.
    pub(crate) fn new(
        presentation: &Presentation,
        bases: &Bases<'_>,
        options: &Options,
    ) -> Option<Self> {
        let urls = presentation.control_urls(
            bases.content_base,
            bases.content_location,
            bases.request_url,
        );
        let offers: Vec<Offer> = presentation
            .media
            .iter()
            .zip(&urls.media)
            .enumerate()
            .filter(|(_, (media, _))| options.allows(media))
            .map(|(index, (media, url))| Offer {
                index,
                uri: on_the_wire(url),
                weight: match media.kind {
                    MediaKind::Video => Weight::Video,
                    MediaKind::Application | MediaKind::Text | MediaKind::Message => Weight::Sparse,
                    _ => Weight::Other,
                },
                group: group(presentation, media),
                port: media.port,
                payload_type: media.main_format().payload_type & 0x7f,
            })
            .collect();
        (!offers.is_empty()).then_some(Self { aggregate: on_the_wire(&urls.aggregate), offers })
    }
}

/// What relative control URLs may be relative to.
#[derive(Debug)]
pub(crate) struct Bases<'a> {
    pub(crate) content_base: Option<&'a str>,
    pub(crate) content_location: Option<&'a str>,
    pub(crate) request_url: &'a str,
}

/// A URL as a request line may hold it: without the credentials that some backends echo, and
/// without blanks, which would end it.
fn on_the_wire(url: &str) -> String {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let bare = if authority.contains('@') {
        RtspUrl::parse(url).map_or_else(|_| url.to_owned(), |parsed| parsed.to_request())
    } else {
        url.to_owned()
    };
    if !bare.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return bare;
    }
    bare.split(|c: char| c.is_whitespace() || c.is_control()).collect::<Vec<_>>().join("%20")
}
