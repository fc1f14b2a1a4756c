//! Source descriptions (RFC 3550, section 6.5).

use super::read::split_u32;
use crate::Ssrc;

/// The names of some sources. What it is made of was checked as it was parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sdes<'a> {
    count: u8,
    body: &'a [u8],
}

impl<'a> Sdes<'a> {
    /// One chunk per source.
    pub fn chunks(&self) -> impl Iterator<Item = SdesChunk<'a>> + use<'a> {
        let Self { count, mut body } = *self;
        (0..count).map_while(move |_| {
            let (chunk, rest) = split_chunk(body)?;
            body = rest;
            Some(chunk)
        })
    }

    /// The canonical name of `ssrc`.
    pub fn cname(&self, ssrc: Ssrc) -> Option<&'a [u8]> {
        // Some chunk of it: another may say something else of the same source.
        self.chunks().filter(|chunk| chunk.ssrc == ssrc).find_map(|chunk| chunk.cname())
    }

    /// `None` if the chunks are not `count` whole ones.
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        for _ in 0..count {
            (_, rest) = split_chunk(rest)?;
        }
        Some(Self { count, body })
    }
}

/// What is said of one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SdesChunk<'a> {
    /// The source.
    pub ssrc: Ssrc,
    /// Whole items, without the end mark.
    items: &'a [u8],
}

impl<'a> SdesChunk<'a> {
    /// The items in order.
    pub fn items(&self) -> impl Iterator<Item = SdesItem<'a>> + use<'a> {
        let mut rest = self.items;
        std::iter::from_fn(move || {
            let (item, behind) = split_item(rest)?;
            rest = behind;
            Some(item)
        })
    }

    /// The canonical name.
    pub fn cname(&self) -> Option<&'a [u8]> {
        self.items().find(|item| item.kind == SdesKind::CNAME).map(|item| item.value)
    }
}

/// One thing said of a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SdesItem<'a> {
    /// What it is.
    pub kind: SdesKind,
    /// UTF-8, if the sender kept to the RFC; at most 255 bytes.
    pub value: &'a [u8],
}

/// The kind of an item (RFC 3550, section 12.2); never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SdesKind(pub u8);

impl SdesKind {
    /// The canonical name, which ties the tracks of one sender together.
    pub const CNAME: Self = Self(1);
    /// The common name.
    pub const NAME: Self = Self(2);
    /// The program that sends.
    pub const TOOL: Self = Self(6);
}

/// The chunk at the beginning, and what follows its end mark.
///
/// An end mark that is missing at the very end is forgiven.
fn split_chunk(bytes: &[u8]) -> Option<(SdesChunk<'_>, &[u8])> {
    let (ssrc, items) = split_u32(bytes)?;
    let mut rest = items;
    while rest.first().is_some_and(|&kind| kind != END) {
        (_, rest) = split_item(rest)?;
    }
    let length = items.len() - rest.len();
    let chunk = SdesChunk { ssrc: Ssrc(ssrc), items: items.get(..length)? };
    // One to four zeros: the next chunk begins on a word.
    let behind = items.get((length + 1).next_multiple_of(4)..).unwrap_or_default();
    Some((chunk, behind))
}

fn split_item(bytes: &[u8]) -> Option<(SdesItem<'_>, &[u8])> {
    let (&[kind, length], rest) = bytes.split_first_chunk()?;
    let (value, rest) = rest.split_at_checked(usize::from(length))?;
    Some((SdesItem { kind: SdesKind(kind), value }, rest))
}

const END: u8 = 0;
